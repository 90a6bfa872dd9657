//! The JSON Schema of a replay camera's config, from the same tables that check and write it.

use serde_json::{Map as Object, Value as Json, json};

use super::fields::{Fate, Field, Kind, Section};
use super::tables;

/// The schema (2020-12) of a replay camera's config. It is closed: a key that no replay camera has
/// is invalid.
pub fn camera_config_schema() -> Json {
    let off = |doc: &str| {
        let enabled = json!({ "const": false });
        closed(doc, [("enabled", enabled)], &["enabled"])
    };
    let fixed = json!({ "const": true });
    let names = [
        ("enabled", fixed),
        ("ffmpeg", ffmpeg()),
        ("detect", full(&tables::DETECT, &["interval", "threshold", "width", "height"])),
        ("objects", full(&tables::OBJECTS, &[])),
        ("zones", map_of(zone(), "Zones, by name.")),
        ("motion", motion()),
        ("record", off("Nothing is recorded.")),
        ("snapshots", off("No snapshots are kept.")),
        (
            "review",
            closed(
                "Nothing is put up for review.",
                [("alerts", off("")), ("detections", off(""))],
                &["alerts", "detections"],
            ),
        ),
        ("birdseye", off("Not part of the overview.")),
        ("audio", off("Nobody listens.")),
        ("lpr", full(&tables::LPR, &[])),
        ("face_recognition", full(&tables::FACE_RECOGNITION, &[])),
    ];
    let required: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    let mut schema = closed(
        "A Frigate camera that loops a clip with the settings of its source camera.",
        names.clone(),
        &required,
    );
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Replay camera");
    schema
}

fn ffmpeg() -> Json {
    let text = |doc: &str| json!({ "type": "string", "description": doc });
    let input = closed(
        "The clip.",
        [
            ("path", text("Where Frigate finds the clip.")),
            ("roles", json!({ "const": ["detect"] })),
            ("input_args", text("How ffmpeg reads it: at its own speed, over and over.")),
        ],
        &["path", "roles", "input_args"],
    );
    let inputs = json!({ "type": "array", "items": input, "minItems": 1, "maxItems": 1 });
    let none = json!({ "type": "array", "maxItems": 0, "description": "The clip is decoded without hardware." });
    closed(
        "The only input is the clip.",
        [("inputs", inputs), ("hwaccel_args", none)],
        &["inputs", "hwaccel_args"],
    )
}

/// A section in which every carried setting is there. `settled`: nullable settings that have got a
/// value by the time they are written.
fn full(section: &Section, settled: &[&str]) -> Json {
    let carried = section.fields.iter().filter(|field| field.fate == Fate::Carried);
    let required: Vec<&str> = carried.clone().map(|field| field.name).collect();
    let properties = carried.map(|field| {
        let field = Field { nullable: field.nullable && !settled.contains(&field.name), ..*field };
        (field.name, value(&field, settled))
    });
    closed(section.doc, properties, &required)
}

fn motion() -> Json {
    let mut schema = full(&tables::MOTION, &[]);
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|name| name != "mask");
    }
    schema["properties"]["mask"]["minProperties"] = json!(1);
    schema
}

/// A zone: what differs from the default, its coordinates, and whether it was on in the config.
fn zone() -> Json {
    let mask = some(&tables::MASK, &[], &["coordinates", "raw_coordinates"]);
    let filter = some(&tables::FILTER, &[("mask", map_of(mask, "Masks, by id."))], &["mask"]);
    some(
        &tables::ZONE,
        &[("filters", map_of(filter, "Filters that hold in this zone, for each label."))],
        &["coordinates", "enabled_in_config"],
    )
}

/// A section in which only `required` must be there. `own` replaces the schema of single settings.
fn some(section: &Section, own: &[(&str, Json)], required: &[&str]) -> Json {
    let fields = section.fields.iter().filter(|field| field.fate != Fate::Lost);
    let properties = fields.map(|field| {
        let given = own.iter().find(|(name, _)| *name == field.name);
        (field.name, given.map_or_else(|| value(field, &[]), |(_, schema)| schema.clone()))
    });
    closed(section.doc, properties, required)
}

/// An object filter's mask: with what Frigate computes.
fn computed_mask() -> Json {
    let names: Vec<&str> = tables::MASK.fields.iter().map(|field| field.name).collect();
    some(&tables::MASK, &[], &names)
}

fn value(field: &Field, settled: &[&str]) -> Json {
    let mut schema = match field.kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Int | Kind::Area => json!({ "type": "integer" }),
        // JSON has no infinity; Frigate reads these texts as numbers.
        Kind::Float => {
            json!({ "anyOf": [{ "type": "number" }, { "enum": ["inf", "-inf", "nan"] }] })
        }
        Kind::Text => json!({ "type": "string" }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::Texts => texts(),
        Kind::TextOrTexts | Kind::OneOrTexts => json!({ "anyOf": [{ "type": "string" }, texts()] }),
        Kind::Distances => {
            json!({ "type": "array", "items": { "type": "string" }, "minItems": 4, "maxItems": 4 })
        }
        Kind::Section(of) => full(of, settled),
        Kind::MapOf(of) => {
            let mut filter = full(of, settled);
            filter["properties"]["mask"] = map_of(
                computed_mask(),
                "Masks for this label and, under global_<id>, those for every label.",
            );
            map_of(filter, field.doc)
        }
        Kind::MapOfNullable(of) => map_of(full(of, settled), field.doc),
        Kind::ListOf(of) => json!({ "type": "array", "items": full(of, settled) }),
        Kind::MapOfInt => map_of(json!({ "type": "integer" }), field.doc),
        Kind::MapOfTexts => map_of(texts(), field.doc),
        Kind::AnyMap => json!({ "type": "object" }),
    };
    limit(&mut schema, field);
    if field.nullable {
        schema = json!({ "anyOf": [schema, { "type": "null" }] });
    }
    if !field.doc.is_empty() {
        schema["description"] = json!(field.doc);
    }
    schema
}

fn limit(schema: &mut Json, field: &Field) {
    let target = match field.kind {
        Kind::Float => &mut schema["anyOf"][0],
        _ => schema,
    };
    let limits = [
        ("minimum", field.range.at_least),
        ("exclusiveMinimum", field.range.above),
        ("maximum", field.range.at_most),
    ];
    for (key, limit) in limits {
        if let Some(limit) = limit {
            target[key] = json!(limit);
        }
    }
}

fn texts() -> Json {
    json!({ "type": "array", "items": { "type": "string" } })
}

fn map_of(of: Json, doc: &str) -> Json {
    json!({ "type": "object", "additionalProperties": of, "description": doc })
}

fn closed<'a>(
    doc: &str,
    properties: impl IntoIterator<Item = (&'a str, Json)>,
    required: &[&str],
) -> Json {
    let properties: Object<String, Json> =
        properties.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if !doc.is_empty() {
        schema["description"] = json!(doc);
    }
    schema
}
