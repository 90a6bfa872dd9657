//! Puts what is given in the detect frame in its place: masks, zones, and the areas of filters.

use super::coordinates::{self, Frame, Placed, replaced};
use super::errors::{Path, Report};
use super::scalar::quoted;
use super::tree::{Layer, Map, Node, Source, Value};

/// The id under which a mask of all objects shows again in each filter.
pub(super) fn id_in_filters(id: &str) -> String {
    format!("global_{id}")
}

/// Most masks that filters get from the masks of all objects. A camera has a handful.
const MAX_COPIES: usize = 10_000;

/// Places what the filters hold, and adds the masks of all objects to each.
pub(super) fn place_filters(
    objects: &mut Map,
    shared: &Map,
    frame: Frame,
    report: &mut Report<'_>,
) {
    let path = Path::Top.key("objects");
    let path = path.key("filters");
    let Some(filters) = objects.get_mut("filters").and_then(Node::map_mut) else {
        return;
    };
    if filters.entries.len().saturating_mul(shared.entries.len()) > MAX_COPIES {
        let message =
            format!("more than {MAX_COPIES} masks, with those of all objects in each filter");
        report.error(&path, Source::of(Layer::Camera), message);
        return;
    }
    for (label, node) in &mut filters.entries {
        let path = path.key(label);
        let Some(filter) = node.map_mut() else {
            continue;
        };
        place_areas(filter, frame, &path, report);
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
        place_masks(masks, frame, true, &path, report);
        note_enabled(masks);
        for (id, mask) in &shared.entries {
            masks.insert(id_in_filters(id), mask.clone());
        }
    }
}

/// Areas that somebody wrote become pixels; a default is in pixels already.
fn place_areas(filter: &mut Map, frame: Frame, path: &Path<'_>, report: &mut Report<'_>) {
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

/// Writes down for each mask whether it held in the config. Frigate leaves this out for the masks of
/// a zone's filters.
pub(super) fn note_enabled(masks: &mut Map) {
    for mask in masks.entries.values_mut().filter_map(Node::map_mut) {
        let enabled = mask.bool("enabled").unwrap_or(true);
        mask.insert("enabled_in_config", Node::new(Value::Bool(enabled), Layer::Default));
    }
}

/// Places the masks of one map. `drawn`: whether Frigate draws
/// the enabled ones, and so finds out whether they can be drawn.
pub(super) fn place_masks(
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
    }
}

/// Places the masks of `motion`.
pub(super) fn place_motion(camera: &mut Map, frame: Frame, report: &mut Report<'_>) {
    let path = Path::Top.key("motion");
    let masks =
        camera.get_mut("motion").and_then(Node::map_mut).and_then(|motion| motion.get_mut("mask"));
    if let Some(masks) = masks.and_then(Node::map_mut) {
        place_masks(masks, frame, true, &path.key("mask"), report);
    }
}

/// Places every zone and its filters.
pub(super) fn place_zones(camera: &mut Map, frame: Frame, report: &mut Report<'_>) {
    let path = Path::Top.key("zones");
    let Some(zones) = camera.get_mut("zones").and_then(Node::map_mut) else {
        return;
    };
    for (name, node) in &mut zones.entries {
        let path = path.key(name);
        let Some(zone) = node.map_mut() else {
            continue;
        };
        place_zone_filters(zone, frame, &path, report);
        place_one_zone(zone, frame, &path, report);
        check_loitering(zone, &path, report);
        let enabled = zone.bool("enabled").unwrap_or(true);
        zone.insert("enabled_in_config", Node::new(Value::Bool(enabled), Layer::Default));
    }
}

fn place_zone_filters(zone: &mut Map, frame: Frame, path: &Path<'_>, report: &mut Report<'_>) {
    let path = path.key("filters");
    let Some(filters) = zone.get_mut("filters").and_then(Node::map_mut) else {
        return;
    };
    for (label, node) in &mut filters.entries {
        let path = path.key(label);
        let Some(filter) = node.map_mut() else {
            continue;
        };
        place_areas(filter, frame, &path, report);
        if let Some(masks) = filter.get_mut("mask").and_then(Node::map_mut) {
            place_masks(masks, frame, true, &path.key("mask"), report);
        }
    }
}

fn place_one_zone(zone: &mut Map, frame: Frame, path: &Path<'_>, report: &mut Report<'_>) {
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
            let coordinates = match replaced {
                Some(value) => coordinates::replaced(&coordinates, value),
                None => coordinates,
            };
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
