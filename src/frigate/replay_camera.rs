//! The config of a replay camera, as Frigate builds it: the source camera's settled sections and a
//! fixed rest, with the clip as its only input, looped.

use serde_json::{Map as Object, Number, Value as Json, json};

use super::fields::{Fate, Field, Kind, Preset, Section};
use super::python;
use super::tables;
use super::tree::{Map, Node, Value};

/// How ffmpeg reads the clip: at its own speed, over and over, with new timestamps.
const INPUT_ARGS: &str = "-re -stream_loop -1 -fflags +genpts";

/// Builds the config from a settled camera.
pub(super) fn build(camera: &Map, clip_path: &str) -> Json {
    let section = |name: &str| match (camera.section(name), tables::replayed(name)) {
        (Some(map), Some(section)) => Json::Object(full(map, section, name == "motion")),
        _ => Json::Object(Object::new()),
    };
    // Not one json!({…}), which would copy every section.
    let entries = [
        ("enabled", Json::Bool(true)),
        (
            "ffmpeg",
            json!({
                "inputs": [{ "path": clip_path, "roles": ["detect"], "input_args": INPUT_ARGS }],
                "hwaccel_args": [],
            }),
        ),
        ("detect", section("detect")),
        ("objects", section("objects")),
        ("zones", zones(camera)),
        ("motion", section("motion")),
        ("record", json!({ "enabled": false })),
        ("snapshots", json!({ "enabled": false })),
        ("review", json!({ "alerts": { "enabled": false }, "detections": { "enabled": false } })),
        ("birdseye", json!({ "enabled": false })),
        ("audio", json!({ "enabled": false })),
        ("lpr", section("lpr")),
        ("face_recognition", section("face_recognition")),
    ];
    Json::Object(entries.map(|(key, value)| (key.to_owned(), value)).into_iter().collect())
}

/// Every carried setting of a section. Motion leaves out an empty map of masks.
fn full(map: &Map, section: &Section, sparse_masks: bool) -> Object<String, Json> {
    let mut object = Object::with_capacity(section.fields.len());
    for field in section.fields.iter().filter(|field| field.fate == Fate::Carried) {
        let Some(node) = map.get(field.name) else {
            continue;
        };
        let value = match (field.kind, node.map()) {
            (Kind::Section(of), Some(inner)) => Json::Object(full(inner, of, false)),
            (Kind::MapOf(of), Some(inner)) => each(inner, |filter| filter_json(filter, of)),
            (Kind::MapOfNullable(of), Some(inner)) => {
                if sparse_masks && inner.entries.is_empty() {
                    continue;
                }
                each(inner, |mask| full(mask, of, false))
            }
            _ => plain(node),
        };
        object.insert(field.name.to_owned(), value);
    }
    object
}

/// An object filter: everything, its masks with what Frigate computes for them.
fn filter_json(filter: &Map, section: &Section) -> Object<String, Json> {
    let mut object = full(filter, section, false);
    if let Some(masks) = filter.section("mask") {
        let all = |mask: &Map| {
            let fields = tables::MASK.fields.iter();
            fields
                .filter_map(|field| Some((field.name.to_owned(), plain(mask.get(field.name)?))))
                .collect()
        };
        object.insert("mask".to_owned(), each(masks, all));
    }
    object
}

/// Zones say only what differs from the default, and always their coordinates and whether they were
/// on in the config.
fn zones(camera: &Map) -> Json {
    let Some(zones) = camera.section("zones") else {
        return Json::Object(Object::new());
    };
    each(zones, |zone| {
        let mut object = sparse(zone, tables::ZONE.fields);
        if let Some(filters) = zone.section("filters").filter(|filters| !filters.entries.is_empty())
        {
            object.insert("filters".to_owned(), each(filters, zone_filter));
        }
        object
    })
}

/// A zone's filter: what differs, and always its masks, which always have their coordinates.
fn zone_filter(filter: &Map) -> Object<String, Json> {
    let mut object = sparse(filter, tables::FILTER.fields);
    let masks = filter.section("mask").map(|masks| {
        each(masks, |mask| {
            let mut object = sparse(mask, tables::MASK.fields);
            for key in ["coordinates", "raw_coordinates"] {
                if let Some(node) = mask.get(key) {
                    object.insert(key.to_owned(), plain(node));
                }
            }
            object
        })
    });
    object.insert("mask".to_owned(), masks.unwrap_or_default());
    object
}

/// The settings, but for nested maps, that differ from their default.
fn sparse(map: &Map, fields: &[Field]) -> Object<String, Json> {
    let mut object = Object::new();
    for field in fields.iter().filter(|field| field.fate != Fate::Lost) {
        if let Some(node) = map.get(field.name)
            && node.map().is_none()
            && !is_preset(node, field)
        {
            object.insert(field.name.to_owned(), plain(node));
        }
    }
    object
}

fn is_preset(node: &Node, field: &Field) -> bool {
    match (&node.value, field.preset) {
        (Value::Null, Preset::Null) => true,
        (Value::Bool(value), Preset::Bool(preset)) => *value == preset,
        (Value::Int(value), Preset::Int(preset)) => *value == preset,
        (Value::Float(value), Preset::Float(preset)) => *value == preset,
        (Value::Text(value), Preset::Text(preset)) => value == preset,
        (Value::List(values), Preset::Texts(preset)) => {
            values.len() == preset.len()
                && values.iter().zip(preset).all(|(value, preset)| value.text() == Some(preset))
        }
        _ => false,
    }
}

fn each(map: &Map, of: impl Fn(&Map) -> Object<String, Json>) -> Json {
    let entries = map
        .entries
        .iter()
        .filter_map(|(key, node)| Some((key.clone(), Json::Object(of(node.map()?)))));
    Json::Object(entries.collect())
}

/// A value as JSON. JSON has no infinity and no NaN; `"inf"`, `"-inf"` and `"nan"` stand for them,
/// which Frigate reads as such.
fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Odd(_) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(value) => match Number::from_f64(*value) {
            Some(number) => Json::Number(number),
            None => Json::String(python::float_text(*value)),
        },
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Map(map) => {
            Json::Object(map.entries.iter().map(|(key, node)| (key.clone(), plain(node))).collect())
        }
    }
}
