//! From what is written to what runs: defaults, derived values, and everything in its place in the
//! detect frame.

use std::collections::BTreeSet;

use super::check;
use super::checks;
use super::coordinates::Frame;
use super::errors::{Path, Report};
use super::labels::Labels;
use super::placement;
use super::scalar::quoted;
use super::tables::{self, REPLAYED};
use super::tree::{Layer, Map, Node, Source, Value};

/// The detect frame that Frigate falls back to when it cannot ask the stream, in pixels.
const FALLBACK_FRAME: Frame = Frame { width: 1280, height: 720 };

/// Gives every setting that a replay takes over its final value. `camera` holds what is written for
/// it, own and global, and checked.
pub(super) fn settle(camera: &mut Map, labels: &Labels, report: &mut Report<'_>) {
    warn_of_lost_settings(camera, report);
    for name in REPLAYED {
        if camera.get(name).is_none() {
            camera.insert(name, Node::new(Value::Map(Box::default()), Layer::Default));
        }
        let Some(map) = camera.get_mut(name).and_then(Node::map_mut) else {
            continue;
        };
        match tables::replayed(name) {
            Some(section) => check::complete(map, section),
            None => check::complete_each(map, &tables::ZONE),
        }
    }
    let path = Path::Top.key("detect");
    let frame = camera.get_mut("detect").and_then(Node::map_mut).and_then(|detect| {
        warn_if_off(detect, &path, report);
        derive_stationary(detect, &path, report);
        frame(detect, &path, report)
    });
    settle_objects(camera, labels, frame, report);
    if let Some(frame) = frame {
        placement::place_motion(camera, frame, report);
        placement::place_zones(camera, frame, report);
    }
    check_zone_objects(camera, report);
}

/// The camera's own values of these never reach a replay: Frigate gives the replay camera the global
/// ones, or new defaults.
fn warn_of_lost_settings(camera: &Map, report: &mut Report<'_>) {
    let path = Path::Top.key("detect");
    let Some(detect) = camera.section("detect") else {
        return;
    };
    for key in ["min_initialized", "max_disappeared"] {
        let own = |node: &&Node| {
            matches!(node.source.layer, Layer::Camera | Layer::Overrides) && !node.is_null()
        };
        if let Some(node) = detect.get(key).filter(own) {
            report.warn(
                &path.key(key),
                node.source,
                "is lost in a replay, which runs with the global value or Frigate's default",
            );
        }
    }
}

fn warn_if_off(detect: &Map, path: &Path<'_>, report: &mut Report<'_>) {
    if let Some(node) =
        detect.get("enabled").filter(|node| matches!(node.value, Value::Bool(false)))
    {
        let message = "is off: the replay shows the video, but detects nothing";
        report.warn(&path.key("enabled"), node.source, message);
    }
}

/// Looks at and thresholds for stationary objects, in frames for each frame per second.
const STATIONARY_PER_FPS: i64 = 10;

fn derive_stationary(detect: &mut Map, path: &Path<'_>, report: &mut Report<'_>) {
    let Some((fps, source)) = detect.int("fps").zip(detect.get("fps").map(|node| node.source))
    else {
        return;
    };
    let frames = fps.saturating_mul(STATIONARY_PER_FPS);
    let path = path.key("stationary");
    let Some(stationary) = detect.get_mut("stationary").and_then(Node::map_mut) else {
        return;
    };
    for key in ["interval", "threshold"] {
        if stationary.get(key).is_some_and(Node::is_null) {
            if frames <= 0 {
                let message = format!(
                    "would be {frames}, {STATIONARY_PER_FPS} times the fps of {fps}, but must be greater than 0"
                );
                report.error(&path.key(key), source.in_camera(), message);
            }
            stationary.insert(key, Node::new(Value::Int(frames), Layer::Default));
        }
    }
}

/// The frame that detection sees; `None` if its size is wrong, and reported.
fn frame(detect: &mut Map, path: &Path<'_>, report: &mut Report<'_>) -> Option<Frame> {
    let unknown = |key: &str| detect.get(key).is_some_and(Node::is_null);
    if unknown("width") || unknown("height") {
        report.warn(
            &path.key("width"),
            Source::of(Layer::Camera),
            format!(
                "is not set, and the stream is not asked: {}x{} is assumed",
                FALLBACK_FRAME.width, FALLBACK_FRAME.height
            ),
        );
        detect.insert("width", Node::new(Value::Int(FALLBACK_FRAME.width), Layer::Default));
        detect.insert("height", Node::new(Value::Int(FALLBACK_FRAME.height), Layer::Default));
    }
    let mut size = |key: &str| {
        let pixels = detect.int(key)?;
        if pixels < 0 {
            let source = detect.get(key)?.source;
            report.error(&path.key(key), source, format!("{pixels} is less than nothing"));
            return None;
        }
        Some(pixels)
    };
    let (width, height) = (size("width"), size("height"));
    Some(Frame { width: width?, height: height? })
}

fn settle_objects(
    camera: &mut Map,
    labels: &Labels,
    frame: Option<Frame>,
    report: &mut Report<'_>,
) {
    let path = Path::Top.key("objects");
    let Some(objects) = camera.get_mut("objects").and_then(Node::map_mut) else {
        return;
    };
    add_filters_of_tracked(objects);
    if let Some(frame) = frame {
        let has_filters =
            objects.section("filters").is_some_and(|filters| !filters.entries.is_empty());
        let path = path.key("mask");
        let mut shared = Map::default();
        if let Some(masks) = objects.get_mut("mask").and_then(Node::map_mut) {
            placement::place_masks(masks, frame, has_filters, &path, report);
            placement::note_enabled(masks);
            shared = masks.clone();
        }
        placement::place_filters(objects, &shared, frame, report);
    }
    drop_unknown_labels(objects, labels, &path, report);
}

/// Every tracked label has a filter, and be it one of defaults.
fn add_filters_of_tracked(objects: &mut Map) {
    let tracked: Vec<String> = objects.texts("track").into_iter().map(str::to_owned).collect();
    if let Some(filters) = objects.get_mut("filters").and_then(Node::map_mut) {
        for label in tracked {
            if filters.get(&label).is_none() {
                let mut filter = Map::default();
                check::complete(&mut filter, &tables::FILTER);
                filters.insert(label, Node::new(Value::Map(Box::new(filter)), Layer::Default));
            }
        }
    }
}

/// Labels that the model cannot detect are not tracked; their filters stay.
fn drop_unknown_labels(
    objects: &mut Map,
    labels: &Labels,
    path: &Path<'_>,
    report: &mut Report<'_>,
) {
    let path = path.key("track");
    let Some(node) = objects.get_mut("track") else {
        return;
    };
    let source = node.source;
    if labels.are_guessed() && source.layer != Layer::Default {
        report.warn(&path, source, "is taken as it is: the model's label map is not read here");
    }
    if let Value::List(track) = &mut node.value {
        track.retain(|label| match label.text() {
            Some(text) if !labels.knows(text) => {
                let message =
                    format!("{} is left out: the detection model does not know it", quoted(text));
                report.warn(&path, source, message);
                false
            }
            _ => true,
        });
    }
}

/// A zone may look only at what the camera tracks in the end.
fn check_zone_objects(camera: &Map, report: &mut Report<'_>) {
    let path = Path::Top.key("zones");
    let (Some(zones), Some(objects)) = (camera.section("zones"), camera.section("objects")) else {
        return;
    };
    if objects.get("track").and_then(Node::list).is_none() {
        return;
    }
    let track: BTreeSet<&str> = objects.texts("track").into_iter().collect();
    for (name, zone) in &zones.entries {
        let path = path.key(name);
        let Some(node) = zone.map().and_then(|zone| zone.get("objects")) else {
            continue;
        };
        for label in checks::each_name(node).iter().filter(|label| !track.contains(label.as_str()))
        {
            let message = format!(
                "{} is not tracked by the camera: it is missing from objects.track, or unknown to the model",
                quoted(label)
            );
            report.error(&path.key("objects"), node.source, message);
        }
    }
}
