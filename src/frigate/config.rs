//! config.yml, read but not yet judged, and what is asked of it: a replay camera's config, the
//! findings of `check`, and the settings that this program takes over from Frigate.

use serde_json::{Map as Object, Value as Json};

use crate::words::{CameraName, REPLAY_PREFIX};

use super::check;
use super::checks::{self, Surroundings};
use super::env::{ENV_PREFIX, Env};
use super::errors::{ConfigError, Finding, Path, ReplayConfigError, Report};
use super::fields;
use super::labels::{self, Labels};
use super::live;
use super::migrate;
use super::replay_camera;
use super::resolve;
use super::scalar::but_needs;
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

/// What `check` has to say about one camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraFindings {
    /// The camera's name, as it stands in the file.
    pub camera: String,
    /// Why it cannot be replayed; empty if it can.
    pub errors: Vec<Finding>,
    /// What is surprising about its replay.
    pub warnings: Vec<Finding>,
}

/// What `check` has to say about a whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFindings {
    /// What is wrong outside of the cameras. It stops a replay only if it flows into the camera.
    pub file: Vec<Finding>,
    /// Every camera of the file, in its order.
    pub cameras: Vec<CameraFindings>,
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
        self.root.section("model").and_then(labels::label_map_path)
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

    fn find_camera(&self, camera: &str) -> Result<&Node, ReplayConfigError> {
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

    fn resolve(
        &self,
        env: &Env,
        name: &str,
        node: &Node,
        clip_path: &str,
        overrides: Map,
    ) -> Result<ReplayCameraConfig, Vec<Finding>> {
        let mut report = Report::on_camera(name, &self.lines);
        let env = env.with(self.environment_vars());
        self.check_name(name, node, &mut report);
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
        check::section(&mut camera, &fields::CAMERA, &Path::Top, &mut report);
        let Value::Map(mut camera) = camera.value else {
            return Err(report.errors);
        };
        check_clip_path(clip_path, &env, &mut report);
        let roles = checks::inputs(&camera, &env, &mut report);
        let labels = self.check_globals(&mut globals, &mut report);
        if resolve::check_size_is_whole(globals.get("detect"), &mut report)
            && resolve::check_size_is_whole(camera.get("detect"), &mut report)
        {
            resolve::lay_globals_below(&mut camera, &globals);
            resolve::check_size_is_whole(camera.get("detect"), &mut report);
        } else {
            resolve::lay_globals_below(&mut camera, &globals);
        }
        resolve::settle(&mut camera, &labels, &mut report);
        let own_name = camera.get("name").and_then(Node::text).unwrap_or(name);
        let around = Surroundings {
            camera: own_name,
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

    /// The camera's name and those of its zones must fit, and not stand for two things.
    fn check_name(&self, name: &str, node: &Node, report: &mut Report<'_>) {
        let at_camera = Source { layer: Layer::Camera, ..node.source };
        if let Err(fault) = CameraName::parse(name) {
            report.error(&Path::Top, at_camera, format!("the name does not fit: {fault}"));
        }
        if let Some(own) = node.map().and_then(|camera| camera.get("name"))
            && let Some(Err(fault)) = own.text().map(CameraName::parse)
        {
            report.error(
                &Path::Top.key("name"),
                Source { layer: Layer::Camera, ..own.source },
                fault.to_string(),
            );
        }
        let Some(cameras) = self.root.section("cameras") else {
            return;
        };
        let replay = format!("{REPLAY_PREFIX}{name}");
        if let Some(taken) = cameras.get(&replay) {
            let message = format!(
                "camera {replay} stands in the file, too; a replay of {name} takes its place"
            );
            report.warn(&Path::Top, Source { layer: Layer::Camera, ..taken.source }, message);
        }
        let path = Path::Top.key("zones");
        let zones = node.map().and_then(|camera| camera.section("zones"));
        for (zone, node) in zones.into_iter().flat_map(|zones| &zones.entries) {
            if cameras.get(zone).is_some() || *zone == replay {
                let source = Source { layer: Layer::Camera, ..node.source };
                report.error(&path.key(zone), source, "a zone cannot have the name of a camera");
            }
        }
        let others =
            cameras.entries.iter().filter(|(other, _)| *other != name && **other != replay);
        for (other, zone) in others
            .filter_map(|(other, node)| Some((other, node.map()?.section("zones")?.get(name)?)))
        {
            let source = Source { layer: Layer::Camera, ..zone.source };
            report.error(&Path::Top, source, format!("camera {other} has a zone of the same name"));
        }
    }

    /// A copy of the top-level sections that flow into cameras.
    fn globals(&self) -> Map {
        let mut globals = Map::default();
        for field in fields::GLOBALS.fields {
            if let Some(node) = self.root.get(field.name) {
                globals.insert(field.name, node.clone());
            }
        }
        globals
    }

    /// Holds the global sections to their tables and gives the model's labels.
    fn check_globals(&self, globals: &mut Map, report: &mut Report<'_>) -> Labels {
        let mut node = Node::new(Value::Map(Box::new(std::mem::take(globals))), Layer::Global);
        check::section(&mut node, &fields::GLOBALS, &Path::Top, report);
        if let Value::Map(map) = node.value {
            *globals = *map;
        }
        let labels = Labels::of(globals.section("model"), self.label_map.as_deref(), report);
        resolve::add_attribute_filters(globals, &labels.attributes);
        labels
    }

    /// `environment_vars:` of the file, as far as placeholders can name them.
    fn environment_vars(&self) -> impl Iterator<Item = (String, String)> {
        let vars = self.root.section("environment_vars").into_iter().flat_map(|vars| &vars.entries);
        vars.filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .filter_map(|(name, node)| Some((name.clone(), node.text()?.to_owned())))
    }

    /// What `check` has to say about the whole file: every camera, and what is wrong besides them.
    pub fn findings(&self, env: &Env) -> FileFindings {
        let mut report = Report::on_file(&self.lines);
        let mut globals = self.globals();
        migrate::migrate(&migrate::version(&self.root), &mut globals, &mut Map::default());
        self.check_globals(&mut globals, &mut report);
        resolve::check_size_is_whole(globals.get("detect"), &mut report);
        let of_globals = report.errors.clone();
        self.check_rest(&globals, &mut report);
        report.errors.extend(self.own_settings(env).errors);
        let mut findings = FileFindings { file: report.errors, cameras: Vec::new() };
        let Some(cameras) = self.root.section("cameras") else {
            findings.file.extend(self.find_camera("").err().into_iter().flat_map(
                |error| match error {
                    ReplayConfigError::Config(errors) => errors,
                    _ => Vec::new(),
                },
            ));
            return findings;
        };
        for (name, node) in &cameras.entries {
            let (errors, warnings) = match self.resolve(env, name, node, "", Map::default()) {
                Ok(resolved) => (Vec::new(), resolved.warnings),
                Err(errors) => (errors, Vec::new()),
            };
            let errors = errors.into_iter().filter(|error| !of_globals.contains(error)).collect();
            findings.cameras.push(CameraFindings { camera: name.clone(), errors, warnings });
        }
        for (name, node) in &cameras.odd {
            let mut report = Report::on_camera(name, &self.lines);
            report.error(&Path::Top, Source { layer: Layer::Camera, ..node.source }, NAME_NOT_TEXT);
            findings.cameras.push(CameraFindings {
                camera: name.clone(),
                errors: report.errors,
                warnings: Vec::new(),
            });
        }
        findings
    }

    /// What Frigate refuses although no replay depends on it.
    fn check_rest(&self, globals: &Map, report: &mut Report<'_>) {
        for (key, node) in &self.root.entries {
            let known = fields::OTHER_TOP_LEVEL.contains(&key.as_str())
                || fields::find(&fields::GLOBALS, key).is_some();
            if !known {
                report.error(&Path::Top.key(key), node.source, "is no section that Frigate knows");
            }
        }
        for (key, node) in &self.root.odd {
            report.error(
                &Path::Top.key(key),
                node.source,
                "a name must be text: write it in quotes",
            );
        }
        if self.root.get("mqtt").is_none() {
            report.error(&Path::Top.key("mqtt"), Source::of(Layer::Global), "is missing");
        }
        let on = |map: &Map, section: &str| {
            map.section(section).and_then(|section| section.bool("enabled")).unwrap_or(false)
        };
        let hears = |node: &Node| node.map().is_some_and(|camera| on(camera, "audio"));
        let any_hears = on(globals, "audio")
            || self
                .root
                .section("cameras")
                .is_some_and(|cameras| cameras.entries.values().any(hears));
        if on(globals, "audio_transcription") && !any_hears {
            let source = self
                .root
                .get("audio_transcription")
                .map_or(Source::of(Layer::Global), |node| node.source);
            report.error(
                &Path::Top.key("audio_transcription"),
                source,
                "is on, but no camera has audio detection on",
            );
        }
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

const NAME_NOT_TEXT: &str = "the name of a camera must be text: write it in quotes";

/// Frigate fills in placeholders in the path of the clip, too.
fn check_clip_path(clip_path: &str, env: &Env, report: &mut Report<'_>) {
    if let Err(fault) = env.fill_in(clip_path) {
        report.error(&Path::Top.key("clip path"), Source::of(Layer::Global), fault.to_string());
    }
}
