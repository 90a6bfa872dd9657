//! What is to be said about a whole config.yml: every camera, and what is wrong besides them.

use super::config::{FrigateConfig, NAME_NOT_TEXT};
use super::env::Env;
use super::errors::{Finding, Path, ReplayConfigError, Report};
use super::fields;
use super::merge;
use super::migrate;
use super::scalar::but_needs;
use super::tables;
use super::tree::{Layer, Map, Node, Source, Value};

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
    /// What `check` has to say about the whole file: every camera, and what is wrong besides them.
    pub fn findings(&self, env: &Env) -> FileFindings {
        let mut report = Report::on_file(self.lines());
        let mut globals = self.globals();
        migrate::migrate(&migrate::version(self.root()), &mut globals, &mut Map::default());
        self.check_globals(&mut globals, &mut report);
        merge::check_size_is_whole(globals.get("detect"), &mut report);
        let of_globals = report.errors.clone();
        self.check_rest(&globals, &mut report);
        report.errors.extend(self.own_settings(env).errors);
        let mut findings = FileFindings { file: report.errors, cameras: Vec::new() };
        let Some(cameras) = self.root().section("cameras") else {
            if let Err(ReplayConfigError::Config(errors)) = self.find_camera("") {
                findings.file.extend(errors);
            }
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
            let mut report = Report::on_camera(name, self.lines());
            report.error(&Path::Top, node.source.on(Layer::Camera), NAME_NOT_TEXT);
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
        for (key, node) in &self.root().entries {
            let known = tables::OTHER_TOP_LEVEL.contains(&key.as_str())
                || fields::find(&tables::GLOBALS, key).is_some();
            if !known {
                report.error(&Path::Top.key(key), node.source, "is no section that Frigate knows");
            }
        }
        for (key, node) in &self.root().odd {
            report.error(
                &Path::Top.key(key),
                node.source,
                "a name must be text: write it in quotes",
            );
        }
        if let Some(node) = self.root().get("version")
            && *migrate::version(self.root()) >= *migrate::CURRENT
            && !matches!(node.value, Value::Text(_) | Value::Null)
        {
            let message = but_needs(&node.value, "text: write it in quotes");
            report.error(&Path::Top.key("version"), node.source, message);
        }
        if self.root().get("mqtt").is_none() {
            report.error(&Path::Top.key("mqtt"), Source::of(Layer::Global), "is missing");
        }
        let on = |map: &Map, section: &str| {
            map.section(section).and_then(|section| section.bool("enabled")).unwrap_or(false)
        };
        let hears = |node: &Node| node.map().is_some_and(|camera| on(camera, "audio"));
        let any_hears = on(globals, "audio")
            || self
                .root()
                .section("cameras")
                .is_some_and(|cameras| cameras.entries.values().any(hears));
        if on(globals, "audio_transcription") && !any_hears {
            let source = self
                .root()
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
