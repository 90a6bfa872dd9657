//! config.yml, read but not yet judged, and what is asked of it: a replay camera's config, the
//! findings of `check`, and the settings that this program takes over from Frigate.

use serde_json::{Map as Object, Value as Json};

use crate::words::CameraName;

use super::check;
use super::checks::{self, Surroundings};
use super::env::{ENV_PREFIX, Env};
use super::errors::{ConfigError, Finding, Path, ReplayConfigError, Report};
use super::inputs;
use super::labels::{self, Labels};
use super::live;
use super::merge;
use super::migrate;
use super::names;
use super::replay_camera;
use super::resolve;
use super::scalar::but_needs;
use super::tables;
use super::tree::{Layer, Map, Node, Source, Value, lay_over};
use super::yaml::{self, Lines};

/// config.yml, read but not yet judged.
#[derive(Clone, Debug)]
pub struct FrigateConfig {
    root: Map,
    lines: Lines,
    label_map: Option<String>,
}

/// What a replay camera runs with.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayCameraConfig {
    /// The camera's config as Frigate builds it for a debug replay. Its numbers are finite; where a
    /// setting is infinite or no number, it is one of the texts `"inf"`, `"-inf"` and `"nan"`.
    pub camera_config: Json,
    /// What is surprising about it, though Frigate says nothing.
    pub warnings: Vec<Finding>,
}

impl FrigateConfig {
    /// Reads the text of config.yml.
    ///
    /// # Errors
    /// It is no YAML, holds more than one document, is no map, or is too large
    /// ([`MAX_BYTES`](super::MAX_BYTES), [`MAX_VALUES`](super::MAX_VALUES)).
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let (node, lines) = yaml::read(text)?;
        let root = match node.value {
            Value::Map(map) => *map,
            Value::Null => return Err(ConfigError::NotAMap("nothing")),
            Value::List(_) => return Err(ConfigError::NotAMap("a list")),
            _ => return Err(ConfigError::NotAMap("a single value")),
        };
        Ok(Self { root, lines, label_map: None })
    }

    /// The file that the config takes its model's label map from, or the `plus://` name of its
    /// model; `None` with a stock model.
    pub fn label_map_path(&self) -> Option<&str> {
        labels::label_map_path(&self.root)
    }

    /// Hands in the text of the label map that [`label_map_path`](Self::label_map_path) names.
    /// Without it every label counts as known, and a warning says so.
    pub fn with_label_map(mut self, text: impl Into<String>) -> Self {
        self.label_map = Some(text.into());
        self
    }

    /// The cameras that can be named in a request, in the order of the file. Whether their settings
    /// are right is another question.
    pub fn cameras(&self) -> Vec<CameraName> {
        let cameras =
            self.root.section("cameras").into_iter().flat_map(|cameras| cameras.entries.keys());
        cameras.filter_map(|name| CameraName::parse(name).ok()).collect()
    }

    /// The config of the camera that replays `camera` from the clip at `clip_path` (as Frigate sees
    /// the path), with `overrides` laid over the camera's own settings.
    ///
    /// `overrides` may hold any part of `detect`, `objects`, `motion`, `zones`, `lpr` and
    /// `face_recognition`; maps are merged key by key, anything else replaces what the file says.
    ///
    /// # Errors
    /// Everything at once that is wrong with the camera, with a global section that flows into it,
    /// or with the overrides. Other cameras and other sections do not matter.
    pub fn replay_camera(
        &self,
        env: &Env,
        camera: &str,
        clip_path: &str,
        overrides: Option<&Object<String, Json>>,
    ) -> Result<ReplayCameraConfig, ReplayConfigError> {
        let node = self.find_camera(camera)?;
        match overrides.filter(|overrides| !overrides.is_empty()) {
            None => self
                .resolve(env, camera, node, clip_path, Map::default())
                .map_err(ReplayConfigError::Config),
            Some(overrides) => live::with_overrides(overrides, &self.lines, |overrides| {
                self.resolve(env, camera, node, clip_path, overrides)
            }),
        }
    }

    pub(super) fn find_camera(&self, camera: &str) -> Result<&Node, ReplayConfigError> {
        let mut report = Report::on_file(&self.lines);
        let path = Path::Top.key("cameras");
        let cameras = match self.root.get("cameras") {
            None => {
                report.error(&path, Source::of(Layer::Global), "is missing");
                return Err(ReplayConfigError::Config(report.errors));
            }
            Some(node) => match &node.value {
                Value::Map(map) => map,
                other => {
                    report.error(&path, node.source, but_needs(other, "a map of cameras"));
                    return Err(ReplayConfigError::Config(report.errors));
                }
            },
        };
        if let Some(node) = cameras.get(camera) {
            return Ok(node);
        }
        if let Some(node) = cameras.odd.get(camera) {
            report.error(&path.key(camera), node.source, NAME_NOT_TEXT);
            return Err(ReplayConfigError::Config(report.errors));
        }
        let known = self.cameras().iter().map(CameraName::to_string).collect();
        Err(ReplayConfigError::UnknownCamera { camera: camera.to_owned(), known })
    }

    pub(super) fn resolve(
        &self,
        env: &Env,
        name: &str,
        node: &Node,
        clip_path: &str,
        overrides: Map,
    ) -> Result<ReplayCameraConfig, Vec<Finding>> {
        let mut report = Report::on_camera(name, &self.lines);
        let env = env.with(self.environment_vars());
        if let Some(cameras) = self.root.section("cameras") {
            names::check(name, node, cameras, &mut report);
        }
        let mut camera = node.copied_as(Layer::Camera);
        let mut globals = self.globals();
        match camera.map_mut() {
            Some(camera) => {
                migrate::migrate(&migrate::version(&self.root), &mut globals, camera);
                lay_over(camera, overrides);
            }
            None => {
                report.error(&Path::Top, node.source, but_needs(&node.value, "a map of settings"));
                return Err(report.errors);
            }
        }
        check::section(&mut camera, &tables::CAMERA, &Path::Top, &mut report);
        let Value::Map(mut camera) = camera.value else {
            return Err(report.errors);
        };
        check_clip_path(clip_path, &env, &mut report);
        let roles = inputs::check(&camera, &env, &mut report);
        let labels = self.check_globals(&mut globals, &mut report);
        if merge::check_size_is_whole(globals.get("detect"), &mut report)
            && merge::check_size_is_whole(camera.get("detect"), &mut report)
        {
            merge::lay_globals_below(&mut camera, &globals);
            merge::check_size_is_whole(camera.get("detect"), &mut report);
        } else {
            merge::lay_globals_below(&mut camera, &globals);
        }
        resolve::settle(&mut camera, &labels, &mut report);
        let around = Surroundings {
            roles: &roles,
            globals: &globals,
            profiles: self.root.section("profiles"),
        };
        checks::all(&camera, &around, &mut report);
        if !report.errors.is_empty() {
            return Err(report.errors);
        }
        let camera_config = replay_camera::build(&camera, clip_path);
        Ok(ReplayCameraConfig { camera_config, warnings: report.warnings })
    }

    /// A copy of the top-level sections that flow into cameras.
    pub(super) fn globals(&self) -> Map {
        let mut globals = Map::default();
        for field in tables::GLOBALS.fields {
            if let Some(node) = self.root.get(field.name) {
                globals.insert(field.name, node.clone());
            }
        }
        globals
    }

    /// Holds the global sections to their tables and gives the model's labels.
    pub(super) fn check_globals(&self, globals: &mut Map, report: &mut Report<'_>) -> Labels {
        let mut node = Node::new(Value::Map(Box::new(std::mem::take(globals))), Layer::Global);
        check::section(&mut node, &tables::GLOBALS, &Path::Top, report);
        if let Value::Map(map) = node.value {
            *globals = *map;
        }
        let is_custom = self.label_map_path().is_some();
        let labels =
            Labels::of(globals.section("model"), is_custom, self.label_map.as_deref(), report);
        merge::add_attribute_filters(globals, &labels.attributes);
        labels
    }

    /// `environment_vars:` of the file, as far as placeholders can name them.
    fn environment_vars(&self) -> impl Iterator<Item = (String, String)> {
        let vars = self.root.section("environment_vars").into_iter().flat_map(|vars| &vars.entries);
        vars.filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .filter_map(|(name, node)| Some((name.clone(), node.text()?.to_owned())))
    }
}

impl FrigateConfig {
    pub(super) fn root(&self) -> &Map {
        &self.root
    }

    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    pub(super) fn env_with_own(&self, env: &Env) -> Env {
        env.with(self.environment_vars())
    }
}

pub(super) const NAME_NOT_TEXT: &str = "the name of a camera must be text: write it in quotes";

/// Frigate fills in placeholders in the path of the clip, too.
fn check_clip_path(clip_path: &str, env: &Env, report: &mut Report<'_>) {
    if let Err(fault) = env.fill_in(clip_path) {
        report.error(&Path::Top.key("clip_path"), Source::of(Layer::Global), fault.to_string());
    }
}
