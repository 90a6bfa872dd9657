//! Frigate's checks of a camera that look at more than one setting. A camera that fails one of them
//! does not run in Frigate, and neither does its replay.

use super::errors::{Path, Report};
use super::scalar::quoted;
use super::tree::{Layer, Map, Node, Source, Value};

/// What a check needs to know of the whole file.
pub(super) struct Surroundings<'a> {
    pub roles: &'a [String],
    pub globals: &'a Map,
    /// The top-level `profiles:`.
    pub profiles: Option<&'a Map>,
}

/// Every check of one camera, after the global settings have been laid below it and everything has
/// its default. Zones are looked at where `track` is final.
pub(super) fn all(camera: &Map, around: &Surroundings<'_>, report: &mut Report<'_>) {
    assigned_roles(camera, around, report);
    segment_time(camera, Whose::Camera, report);
    required_zones(camera, camera.section("zones"), Whose::Camera, report);
    inherited(camera, around.globals, report);
    profiles(camera, around, report);
    autotracking(camera, report);
    motion_for_detection(camera, report);
    enabled_globally(camera, around, report);
    transcription(camera, around.globals, report);
}

/// Whose settings a check looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Camera,
    /// The global ones, which the replay camera takes over.
    Replay,
}

impl Whose {
    fn place(self, source: Source) -> Source {
        match self {
            Self::Camera => source.in_camera(),
            Self::Replay => source,
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Camera => "",
            Self::Replay => "; the replay takes this over, although its source camera does not",
        }
    }
}

/// The replay camera has no settings of its own for review and for recording: what the global
/// sections say holds for it even where its source camera says otherwise.
fn inherited(camera: &Map, globals: &Map, report: &mut Report<'_>) {
    for (section, inner) in
        [("review", "alerts"), ("review", "detections"), ("ffmpeg", "output_args")]
    {
        let own = camera.section(section).and_then(|section| section.section(inner));
        let overrides = own
            .is_some_and(|own| own.entries.values().any(|node| node.source.layer == Layer::Camera));
        let Some(global) = globals.get(section).filter(|_| overrides) else {
            continue;
        };
        let mut settings = Map::default();
        settings.insert(section, global.clone());
        segment_time(&settings, Whose::Replay, report);
        required_zones(&settings, camera.section("zones"), Whose::Replay, report);
    }
}

fn is_on(map: &Map, section: &str) -> bool {
    map.section(section).and_then(|section| section.bool("enabled")).unwrap_or(false)
}

fn source_of(map: &Map, section: &str, key: &str) -> Source {
    let node = map.get(section);
    let inner = node.and_then(Node::map).and_then(|section| section.get(key));
    let source = inner.or(node).map_or(Source::of(Layer::Camera), |node| node.source);
    source.in_camera()
}

fn assigned_roles(camera: &Map, around: &Surroundings<'_>, report: &mut Report<'_>) {
    for (section, role) in [("record", "record"), ("audio", "audio")] {
        // Without any role the inputs themselves are wrong, and reported.
        let assigned =
            around.roles.is_empty() || around.roles.iter().any(|assigned| assigned == role);
        if is_on(camera, section) && !assigned {
            let path = Path::Top.key(section);
            let source = source_of(camera, section, "enabled");
            report.error(
                &path.key("enabled"),
                source,
                format!("is on, but no input of the camera has the role {role}"),
            );
        }
    }
}

/// Longest recording segment, in seconds, that Frigate takes.
const SEGMENT_MAX_S: i128 = 60;

fn segment_time(settings: &Map, whose: Whose, report: &mut Report<'_>) {
    let args = settings.section("ffmpeg").and_then(|ffmpeg| ffmpeg.section("output_args"));
    let Some(node) = args.and_then(|args| args.get("record")) else {
        return;
    };
    let words: Vec<&str> = match &node.value {
        Value::Text(text) => text.split_whitespace().collect(),
        Value::List(items) => items.iter().filter_map(Node::text).collect(),
        _ => return,
    };
    if words.first().is_some_and(|word| word.starts_with("preset")) {
        return;
    }
    let seconds = words
        .iter()
        .position(|word| *word == "-segment_time")
        .map(|at| words.get(at + 1).and_then(|seconds| super::python::int(seconds)));
    let fault = match seconds {
        None => "has no -segment_time, which recording needs".to_owned(),
        Some(None) => "has a -segment_time without a whole number of seconds".to_owned(),
        Some(Some(seconds)) if seconds > SEGMENT_MAX_S => {
            format!("has a -segment_time of {seconds}; at most {SEGMENT_MAX_S} is allowed")
        }
        Some(Some(_)) => return,
    };
    let path = Path::Top.key("ffmpeg");
    let path = path.key("output_args");
    report.error(&path.key("record"), whose.place(node.source), fault + whose.why());
}

fn required_zones(settings: &Map, zones: Option<&Map>, whose: Whose, report: &mut Report<'_>) {
    let path = Path::Top.key("review");
    for kind in ["alerts", "detections"] {
        let Some(node) = settings
            .section("review")
            .and_then(|review| review.section(kind))
            .and_then(|items| items.get("required_zones"))
        else {
            continue;
        };
        for zone in each_name(node) {
            if zones.is_none_or(|zones| zones.get(&zone).is_none()) {
                let path = path.key(kind);
                report.error(
                    &path.key("required_zones"),
                    whose.place(node.source),
                    format!("zone {} is not a zone of this camera{}", quoted(&zone), whose.why()),
                );
            }
        }
    }
}

/// The names of a list; Frigate goes through a text letter by letter.
pub(super) fn each_name(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Text(text) => text.chars().map(String::from).collect(),
        Value::List(items) => items.iter().filter_map(Node::text).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn profiles(camera: &Map, around: &Surroundings<'_>, report: &mut Report<'_>) {
    let Some(profiles) = camera.section("profiles") else {
        return;
    };
    let path = Path::Top.key("profiles");
    for (name, node) in &profiles.entries {
        let path = path.key(name);
        if around.profiles.is_none_or(|defined| defined.get(name).is_none()) {
            report.error(&path, node.source, "is not defined in the top-level profiles section");
        }
        let Some(profile) = node.map() else {
            continue;
        };
        only_of_base(profile, camera, &["zones"], "a zone", &path, report);
        only_of_base(profile, camera, &["motion", "mask"], "a motion mask", &path, report);
        only_of_base(profile, camera, &["objects", "mask"], "an object mask", &path, report);
        let filters = profile.section("objects").and_then(|objects| objects.section("filters"));
        for label in filters.into_iter().flat_map(|filters| filters.entries.keys()) {
            only_of_base(
                profile,
                camera,
                &["objects", "filters", label, "mask"],
                "an object mask",
                &path,
                report,
            );
        }
    }
}

/// What a profile changes at `at` must be there without the profile.
fn only_of_base(
    profile: &Map,
    camera: &Map,
    at: &[&str],
    what: &str,
    path: &Path<'_>,
    report: &mut Report<'_>,
) {
    let down = |map: &Map| at.iter().try_fold(map.clone(), |map, key| map.section(key).cloned());
    let Some(changed) = down(profile) else {
        return;
    };
    let base = down(camera);
    for (name, node) in &changed.entries {
        if base.as_ref().is_none_or(|base| base.get(name).is_none()) {
            report.error(
                &path.key(name),
                node.source,
                format!("is {what} that the camera itself does not have"),
            );
        }
    }
}

fn autotracking(camera: &Map, report: &mut Report<'_>) {
    let Some(node) = camera.section("onvif").and_then(|onvif| onvif.get("autotracking")) else {
        return;
    };
    let Some(tracking) = node.map() else {
        return;
    };
    if tracking.bool("enabled") == Some(true) && tracking.texts("required_zones").is_empty() {
        let path = Path::Top.key("onvif");
        report.error(
            &path.key("autotracking"),
            node.source,
            "is on, but its required_zones name no zone of the camera",
        );
    }
}

/// Detection looks only where something moves.
pub(super) fn motion_for_detection(camera: &Map, report: &mut Report<'_>) {
    let moves = camera.section("motion").and_then(|motion| motion.bool("enabled")).unwrap_or(true);
    if is_on(camera, "detect") && !moves {
        let path = Path::Top.key("motion");
        let source = source_of(camera, "motion", "enabled");
        report.error(
            &path.key("enabled"),
            source,
            "is off while detect.enabled is on; detection needs motion detection",
        );
    }
}

fn enabled_globally(camera: &Map, around: &Surroundings<'_>, report: &mut Report<'_>) {
    for section in ["lpr", "face_recognition"] {
        if is_on(camera, section) && !is_on(around.globals, section) {
            let path = Path::Top.key(section);
            let source = source_of(camera, section, "enabled");
            report.error(
                &path.key("enabled"),
                source,
                format!("is on, but the global {section} is off"),
            );
        }
    }
}

fn transcription(camera: &Map, globals: &Map, report: &mut Report<'_>) {
    if is_on(camera, "audio_transcription")
        && !is_on(globals, "audio_transcription")
        && !is_on(camera, "audio")
    {
        let path = Path::Top.key("audio_transcription");
        let source = source_of(camera, "audio_transcription", "enabled");
        report.error(
            &path.key("enabled"),
            source,
            "is on, but the camera's audio detection is off",
        );
    }
}
