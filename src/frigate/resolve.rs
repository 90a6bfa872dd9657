//! From what is written to what runs: global sections laid below the camera's, defaults, derived
//! values, polygons as fractions of the frame, areas as pixels.

use super::check;
use super::checks;
use super::coordinates::{self, Frame, Placed, replaced};
use super::errors::{Path, Report};
use super::fields::{self, REPLAYED};
use super::labels::Labels;
use super::scalar::quoted;
use super::tree::{Layer, Map, Node, Source, Value, lay_below};

/// The detect frame that Frigate falls back to when it cannot ask the stream, in pixels.
const FALLBACK_FRAME: Frame = Frame { width: 1280, height: 720 };

/// Score below which a detection of an attribute is dropped, where global filters are written.
const ATTRIBUTE_MIN_SCORE: f64 = 0.7;

/// The id under which a mask of all objects shows again in each filter.
pub(super) fn id_in_filters(id: &str) -> String {
    format!("global_{id}")
}

/// Global filters, once there are any, bring a filter for each attribute along.
pub(super) fn add_attribute_filters(globals: &mut Map, attributes: &[String]) {
    let objects = globals.get_mut("objects").and_then(Node::map_mut);
    let Some(filters) =
        objects.and_then(|objects| objects.get_mut("filters")).and_then(Node::map_mut)
    else {
        return;
    };
    let score = || Node::new(Value::Float(ATTRIBUTE_MIN_SCORE), Layer::Global);
    for label in attributes {
        match filters.get_mut(label).map(Node::map_mut) {
            Some(Some(filter)) if filter.get("min_score").is_none() => {
                filter.insert("min_score", score())
            }
            Some(_) => {}
            None => {
                let mut filter = Map::default();
                filter.insert("min_score", score());
                filters
                    .insert(label.as_str(), Node::new(Value::Map(Box::new(filter)), Layer::Global));
            }
        }
    }
}

/// Lays every global section that Frigate hands down below the camera's own.
pub(super) fn lay_globals_below(camera: &mut Map, globals: &Map) {
    for field in fields::GLOBALS.fields {
        let Some(lower) = globals.get(field.name).filter(|node| node.map().is_some()) else {
            continue;
        };
        let mut lower = lower.clone();
        if let (Some(map), "lpr" | "face_recognition") = (lower.map_mut(), field.name)
            && let Some(section) = camera_section(field.name)
        {
            map.entries.retain(|key, _| fields::find(section, key).is_some());
        }
        match (camera.get_mut(field.name), lower.value) {
            (None, value) => {
                if fields::find(&fields::CAMERA, field.name).is_some() {
                    camera.insert(field.name, Node { value, source: lower.source });
                }
            }
            (Some(Node { value: Value::Map(upper), .. }), Value::Map(lower)) => {
                lay_below(upper, *lower)
            }
            _ => {}
        }
    }
}

/// The table of a section that a replay takes over.
pub(super) fn camera_section(name: &str) -> Option<&'static fields::Section> {
    match name {
        "detect" => Some(&fields::DETECT),
        "objects" => Some(&fields::OBJECTS),
        "motion" => Some(&fields::MOTION),
        "lpr" => Some(&fields::LPR),
        "face_recognition" => Some(&fields::FACE_RECOGNITION),
        _ => None,
    }
}

/// Width and height go together, in each section for itself.
pub(super) fn check_size_is_whole(detect: Option<&Node>, report: &mut Report<'_>) -> bool {
    let Some((node, map)) = detect.and_then(|node| Some((node, node.map()?))) else {
        return true;
    };
    let written = |key| map.get(key).filter(|node| !node.is_null());
    let alone = match (written("width"), written("height")) {
        (Some(alone), None) | (None, Some(alone)) => alone,
        _ => return true,
    };
    let layer =
        if alone.source.layer == Layer::Overrides { Layer::Overrides } else { node.source.layer };
    report.error(
        &Path::Top.key("detect"),
        Source { layer, ..alone.source },
        "width and height must be given together, or both left out",
    );
    false
}

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
        match camera_section(name) {
            Some(section) => check::complete(map, section),
            None => check::complete_each(map, &fields::ZONE),
        }
    }
    let path = Path::Top.key("detect");
    let frame = camera.get_mut("detect").and_then(Node::map_mut).and_then(|detect| {
        derive_stationary(detect, &path, report);
        frame(detect, &path, report)
    });
    settle_objects(camera, labels, frame, report);
    if let Some(frame) = frame {
        settle_motion(camera, frame, report);
        settle_zones(camera, frame, report);
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
    if detect.bool("enabled") != Some(true) {
        let source = detect.get("enabled").map_or(Source::of(Layer::Camera), |node| node.source);
        report.warn(
            &path.key("enabled"),
            source,
            "is off: the replay shows the video, but detects nothing",
        );
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
                report.error(&path.key(key), in_camera(source), message);
            }
            stationary.insert(key, Node::new(Value::Int(frames), Layer::Default));
        }
    }
}

/// The place of what a global setting does to a camera.
fn in_camera(source: Source) -> Source {
    match source.layer {
        Layer::Overrides => source,
        _ => Source { layer: Layer::Camera, ..source },
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
            settle_masks(masks, frame, has_filters, &path, report);
            shared = masks.clone();
        }
        settle_filters(objects, &shared, frame, report);
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
                check::complete(&mut filter, &fields::FILTER);
                filters.insert(label, Node::new(Value::Map(Box::new(filter)), Layer::Default));
            }
        }
    }
}

fn settle_filters(objects: &mut Map, shared: &Map, frame: Frame, report: &mut Report<'_>) {
    let path = Path::Top.key("objects");
    let path = path.key("filters");
    let Some(filters) = objects.get_mut("filters").and_then(Node::map_mut) else {
        return;
    };
    for (label, node) in &mut filters.entries {
        let path = path.key(label);
        let Some(filter) = node.map_mut() else {
            continue;
        };
        settle_areas(filter, frame, &path, report);
        let path = path.key("mask");
        let Some(masks) = filter.get_mut("mask").and_then(Node::map_mut) else {
            continue;
        };
        for id in shared.entries.keys() {
            let id_here = id_in_filters(id);
            if let Some(own) = masks.entries.shift_remove(&id_here) {
                report.warn(
                    &path.key(&id_here),
                    own.source,
                    format!("gives way to the mask {} of all objects", quoted(id)),
                );
            }
        }
        settle_masks(masks, frame, true, &path, report);
        for (id, mask) in &shared.entries {
            masks.insert(id_in_filters(id), mask.clone());
        }
    }
}

/// Areas that somebody wrote become pixels; a default is in pixels already.
fn settle_areas(filter: &mut Map, frame: Frame, path: &Path<'_>, report: &mut Report<'_>) {
    for key in ["min_area", "max_area"] {
        let Some(node) = filter
            .get_mut(key)
            .filter(|node| matches!(node.value, Value::Int(_) | Value::Float(_)))
        else {
            continue;
        };
        match coordinates::place_area(&node.value, frame) {
            Ok(area) => node.value = area,
            Err(fault) => report.error(&path.key(key), node.source, fault),
        }
    }
}

/// Places the masks of one map and fills in what Frigate computes. `drawn`: whether Frigate draws
/// the enabled ones, and so finds out whether they can be drawn.
fn settle_masks(
    masks: &mut Map,
    frame: Frame,
    drawn: bool,
    path: &Path<'_>,
    report: &mut Report<'_>,
) {
    for (id, node) in &mut masks.entries {
        let path = path.key(id);
        let source = node.source;
        let Some(mask) = node.map_mut() else {
            if node.is_null() {
                report.error(&path, source, "is empty, but needs a map of settings");
            }
            continue;
        };
        let enabled = mask.bool("enabled").unwrap_or(true);
        let Some(coordinates) = mask.get("coordinates").cloned() else {
            continue;
        };
        let path = path.key("coordinates");
        let source =
            if coordinates.source.layer == Layer::Default { source } else { coordinates.source };
        let placed = match coordinates::place_mask(&coordinates, frame) {
            Ok(placed) => placed,
            Err(fault) => {
                report.error(&path, source, fault);
                continue;
            }
        };
        let is_drawn = enabled && drawn;
        match (&placed.outside, &placed.replaced) {
            (Some(outside), None) if is_drawn => report.error(&path, source, outside),
            (outside, replaced) => {
                if let Some(outside) = outside {
                    let what = if replaced.is_some() {
                        "it is left out"
                    } else {
                        "the mask stays in pixels"
                    };
                    report.warn(&path, source, format!("{outside}: {what}"));
                }
                let value = replaced.as_ref().unwrap_or(&coordinates.value);
                if is_drawn && let Err(fault) = coordinates::check_drawable(value, frame) {
                    report.error(&path, source, fault);
                }
            }
        }
        let coordinates = match placed.replaced {
            Some(value) => replaced(&coordinates, value),
            None => coordinates,
        };
        mask.insert("raw_coordinates", coordinates.clone());
        mask.insert("coordinates", coordinates);
        mask.insert("enabled_in_config", Node::new(Value::Bool(enabled), Layer::Default));
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

fn settle_motion(camera: &mut Map, frame: Frame, report: &mut Report<'_>) {
    let path = Path::Top.key("motion");
    let masks =
        camera.get_mut("motion").and_then(Node::map_mut).and_then(|motion| motion.get_mut("mask"));
    if let Some(masks) = masks.and_then(Node::map_mut) {
        settle_masks(masks, frame, true, &path.key("mask"), report);
    }
}

fn settle_zones(camera: &mut Map, frame: Frame, report: &mut Report<'_>) {
    let path = Path::Top.key("zones");
    let Some(zones) = camera.get_mut("zones").and_then(Node::map_mut) else {
        return;
    };
    for (name, node) in &mut zones.entries {
        let path = path.key(name);
        let Some(zone) = node.map_mut() else {
            continue;
        };
        settle_zone_filters(zone, frame, &path, report);
        place_zone(zone, frame, &path, report);
        check_loitering(zone, &path, report);
        let enabled = zone.bool("enabled").unwrap_or(true);
        zone.insert("enabled_in_config", Node::new(Value::Bool(enabled), Layer::Default));
    }
}

fn settle_zone_filters(zone: &mut Map, frame: Frame, path: &Path<'_>, report: &mut Report<'_>) {
    let path = path.key("filters");
    let Some(filters) = zone.get_mut("filters").and_then(Node::map_mut) else {
        return;
    };
    for (label, node) in &mut filters.entries {
        let path = path.key(label);
        let Some(filter) = node.map_mut() else {
            continue;
        };
        settle_areas(filter, frame, &path, report);
        if let Some(masks) = filter.get_mut("mask").and_then(Node::map_mut) {
            let before: Vec<Option<Node>> = masks.entries.values().map(in_config).collect();
            settle_masks(masks, frame, true, &path.key("mask"), report);
            // Frigate does not fill this one in for the masks of a zone's filter.
            for (mask, before) in masks.entries.values_mut().filter_map(Node::map_mut).zip(before) {
                match before {
                    Some(node) => mask.insert("enabled_in_config", node),
                    None => drop(mask.entries.shift_remove("enabled_in_config")),
                }
            }
        }
    }
}

fn in_config(mask: &Node) -> Option<Node> {
    mask.map().and_then(|mask| mask.get("enabled_in_config")).cloned()
}

fn place_zone(zone: &mut Map, frame: Frame, path: &Path<'_>, report: &mut Report<'_>) {
    let path = path.key("coordinates");
    let Some(coordinates) = zone.get("coordinates").cloned() else {
        return;
    };
    let source = coordinates.source;
    match coordinates::place_zone(&coordinates, frame) {
        Err(fault) => report.error(&path, source, fault),
        Ok(Placed { outside: Some(outside), .. }) => {
            let message = format!(
                "{outside}; Frigate would take the result for pixels again and refuse the replay"
            );
            report.error(&path, source, message);
        }
        Ok(Placed { replaced, .. }) => {
            let coordinates = replaced
                .map_or(coordinates.clone(), |value| coordinates::replaced(&coordinates, value));
            if let Some(number) = coordinates::beyond_frame(&coordinates) {
                report.warn(
                    &path,
                    source,
                    format!("{number} lies outside of the frame, which goes from 0 to 1"),
                );
            }
            zone.insert("coordinates", coordinates);
        }
    }
}

/// Loitering and speed do not go together; without an answer to `distances` Frigate dies of it.
fn check_loitering(zone: &Map, path: &Path<'_>, report: &mut Report<'_>) {
    if zone.int("loitering_time").is_none_or(|seconds| seconds <= 0) {
        return;
    }
    let source = zone.get("loitering_time").map_or(Source::of(Layer::Camera), |node| node.source);
    let has_speed = zone.get("speed_threshold").is_some_and(|node| !node.is_null());
    let distances = zone.get("distances");
    if has_speed || distances.and_then(Node::list).is_some_and(|list| !list.is_empty()) {
        report.warn(
            &path.key("loitering_time"),
            source,
            "should not be set where speed_threshold or distances is",
        );
    } else if let Some(distances) = distances.filter(|node| node.is_null()) {
        report.error(
            &path.key("distances"),
            distances.source,
            "is empty, which Frigate cannot take with a loitering_time",
        );
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
    let track = objects.texts("track");
    for (name, zone) in &zones.entries {
        let path = path.key(name);
        let Some(node) = zone.map().and_then(|zone| zone.get("objects")) else {
            continue;
        };
        for label in checks::each_name(node).iter().filter(|label| !track.contains(&label.as_str()))
        {
            let message = format!(
                "{} is not tracked by the camera: it is missing from objects.track, or unknown to the model",
                quoted(label)
            );
            report.error(&path.key("objects"), node.source, message);
        }
    }
}
