//! How the levels of a config come together: a global section below the camera's own, and what each
//! level must be for itself.

use super::errors::{Path, Report};
use super::fields;
use super::tables::{self, FLOWING};
use super::tree::{Layer, Map, Node, Value, lay_below};

/// Score below which a detection of an attribute is dropped, where global filters are written.
const ATTRIBUTE_MIN_SCORE: f64 = 0.7;

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
    for name in FLOWING {
        let Some(global) = globals.get(name) else {
            continue;
        };
        let Value::Map(mut lower) = global.value.clone() else {
            continue;
        };
        if let ("lpr" | "face_recognition", Some(section)) = (name, tables::replayed(name)) {
            lower.entries.retain(|key, _| fields::find(section, key).is_some());
        }
        match camera.get_mut(name).map(|own| &mut own.value) {
            None => camera.insert(name, Node { value: Value::Map(lower), source: global.source }),
            Some(Value::Map(upper)) => lay_below(upper, *lower),
            Some(_) => {}
        }
    }
}

/// Width and height go together, in each section for itself. Gives whether they do.
pub(super) fn check_size_is_whole(detect: Option<&Node>, report: &mut Report<'_>) -> bool {
    let Some((node, map)) = detect.and_then(|node| Some((node, node.map()?))) else {
        return true;
    };
    let written = |key| map.get(key).filter(|node| !node.is_null());
    let alone = match (written("width"), written("height")) {
        (Some(alone), None) | (None, Some(alone)) => alone,
        _ => return true,
    };
    let layer = match alone.source.layer {
        Layer::Overrides => Layer::Overrides,
        _ => node.source.layer,
    };
    report.error(
        &Path::Top.key("detect"),
        alone.source.on(layer),
        "width and height must be given together, or both left out",
    );
    false
}
