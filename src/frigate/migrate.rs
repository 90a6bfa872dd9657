//! Brings a config of an older Frigate into today's shape, in memory and only where a replay sees it.
//!
//! Frigate rewrites config.yml when it starts, so a worker beside it normally reads a migrated file.
//! Where it does not (a read-only file, a Frigate that has not started yet), the same steps are
//! taken here. Frigate's steps each start again from the file's own top level, so a top-level
//! section that one step adds is lost with the next; only what they change inside a section stays.

use super::python;
use super::scalar;
use super::tree::{Map, Node, Value};

/// The first version that needs no migration.
pub(super) const CURRENT: &str = "0.18-0";
/// The version of a file that names none.
const OLDEST: &str = "0.13";

/// The `version:` of the file as Frigate compares it: as text.
pub(super) fn version(root: &Map) -> String {
    match root.get("version").map(|node| &node.value) {
        None => OLDEST.to_owned(),
        Some(Value::Text(text)) => text.clone(),
        // Python's own words for these values.
        Some(Value::Null) => "None".to_owned(),
        Some(Value::Bool(true)) => "True".to_owned(),
        Some(Value::Bool(false)) => "False".to_owned(),
        Some(Value::Float(value)) => python::float_text(*value),
        Some(other) => scalar::shown(other),
    }
}

/// Takes every step from `version` on, on the global sections and on one camera.
pub(super) fn migrate(version: &str, globals: &mut Map, camera: &mut Map) {
    if version < "0.14" {
        move_required_zones(globals, false);
        move_required_zones(camera, true);
        remove_if_truthy(camera, "rtmp");
    }
    if version < "0.16-0" {
        enable_detect(globals);
    }
    if version < "0.17-0" {
        // It moves below objects, where no replay looks.
        remove_if_truthy(camera, "genai");
    }
    if version < CURRENT {
        name_masks(globals);
        name_masks(camera);
    }
}

/// Python's truth of a value.
fn is_truthy(node: &Node) -> bool {
    match &node.value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Int(value) => *value != 0,
        Value::Float(value) => *value != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Map(map) => !map.entries.is_empty() || !map.odd.is_empty(),
        Value::Odd(_) => true,
    }
}

fn remove_if_truthy(map: &mut Map, key: &str) {
    if map.get(key).is_some_and(is_truthy) {
        map.entries.shift_remove(key);
    }
}

/// `record.events.required_zones` becomes `review.alerts.required_zones`, if that is not there yet.
fn move_required_zones(map: &mut Map, may_add_review: bool) {
    let events = map.get_mut("record").and_then(Node::map_mut);
    let events = events.and_then(|record| record.get_mut("events")).and_then(Node::map_mut);
    let Some(zones) = events
        .filter(|events| events.get("required_zones").is_some_and(is_truthy))
        .and_then(|events| events.entries.shift_remove("required_zones"))
    else {
        return;
    };
    let has_review = map.get("review").is_some_and(is_truthy);
    if !has_review && !may_add_review {
        return;
    }
    let review = map_under(map, "review", &zones);
    let alerts = review.and_then(|review| map_under(review, "alerts", &zones));
    if let Some(alerts) = alerts
        && !alerts.get("required_zones").is_some_and(is_truthy)
    {
        alerts.insert("required_zones", zones);
    }
}

/// The map under `key`, made if nothing (or nothing true) is there; `None` if something else is.
fn map_under<'a>(map: &'a mut Map, key: &str, like: &Node) -> Option<&'a mut Map> {
    if !map.get(key).is_some_and(is_truthy) {
        map.insert(key, Node { value: Value::Map(Box::default()), source: like.source });
    }
    map.get_mut(key).and_then(Node::map_mut)
}

/// Before 0.16 detection was on unless switched off. A file without a `detect:` section stays off:
/// the section that this step adds is lost with the next step.
fn enable_detect(globals: &mut Map) {
    let Some(node) = globals.get_mut("detect") else {
        return;
    };
    let source = node.source;
    if let Some(detect) = node.map_mut()
        && detect.get("enabled").is_none_or(Node::is_null)
    {
        detect.insert("enabled", Node { value: Value::Bool(true), source });
    }
}

/// Masks were a polygon or a list of polygons; now each has an id and a name.
pub(super) fn name_masks(settings: &mut Map) {
    let motion = settings.get_mut("motion").and_then(Node::map_mut);
    if let Some(mask) = motion.and_then(|motion| motion.get_mut("mask")) {
        name_polygons(mask, "motion_mask", "Motion Mask", "");
    }
    let Some(objects) = settings.get_mut("objects").and_then(Node::map_mut) else {
        return;
    };
    if let Some(mask) = objects.get_mut("mask") {
        name_polygons(mask, "object_mask", "Object Mask", "");
    }
    let Some(filters) = objects.get_mut("filters").and_then(Node::map_mut) else {
        return;
    };
    for (label, filter) in &mut filters.entries {
        if let Some(mask) = filter.map_mut().and_then(|filter| filter.get_mut("mask")) {
            name_polygons(mask, "object_mask", "Object Mask", label);
        }
    }
}

fn name_polygons(mask: &mut Node, id: &str, name: &str, label: &str) {
    let source = mask.source;
    let polygons = match std::mem::replace(&mut mask.value, Value::Null) {
        keep @ (Value::Null | Value::Map(_)) => {
            mask.value = keep;
            return;
        }
        Value::List(polygons) => polygons,
        text @ Value::Text(_) => vec![Node { value: text, source }],
        // Frigate takes anything else for no mask at all.
        _ => Vec::new(),
    };
    let mut masks = Map::default();
    for (number, polygon) in (1..).zip(polygons).filter(|(_, polygon)| is_truthy(polygon)) {
        let of_label = if label.is_empty() { String::new() } else { format!(" ({label})") };
        let node = |value| Node { value, source };
        let mut entry = Map::default();
        entry.insert("friendly_name", node(Value::Text(format!("{name} {number}{of_label}"))));
        entry.insert("enabled", node(Value::Bool(true)));
        entry.insert("coordinates", polygon);
        masks.insert(format!("{id}_{number}"), node(Value::Map(Box::new(entry))));
    }
    mask.value = Value::Map(Box::new(masks));
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn map(text: &str) -> Map {
        let (node, _) = yaml::read(text).unwrap();
        node.map().unwrap().clone()
    }

    fn migrated(version: &str, text: &str) -> Map {
        let mut camera = map(text);
        migrate(version, &mut Map::default(), &mut camera);
        camera
    }

    fn ids(map: &Map, section: &str) -> Vec<String> {
        map.section(section)
            .and_then(|section| section.section("mask"))
            .unwrap()
            .entries
            .keys()
            .cloned()
            .collect()
    }

    #[test]
    fn versions_are_compared_as_text() {
        for (text, version) in [
            ("a: 1", "0.13"),
            ("version: 0.14", "0.14"),
            ("version: 0.15-1", "0.15-1"),
            ("version: 1", "1"),
            ("version:", "None"),
        ] {
            assert_eq!(super::version(&map(text)), version, "{text}");
        }
    }

    #[test]
    fn masks_get_ids_by_their_place_in_the_list() {
        let camera = migrated(
            "0.17-0",
            "motion: {mask: ['0,0,1,1', '', '1,1,0,0']}\nobjects: {mask: '0,0,1,1', filters: {person: {mask: ['0,0']}}}",
        );
        assert_eq!(ids(&camera, "motion"), ["motion_mask_1", "motion_mask_3"]);
        assert_eq!(ids(&camera, "objects"), ["object_mask_1"]);
        let person = camera
            .section("objects")
            .unwrap()
            .section("filters")
            .unwrap()
            .section("person")
            .unwrap();
        let mask = person.section("mask").unwrap().section("object_mask_1").unwrap();
        assert_eq!(mask.get("friendly_name").unwrap().text(), Some("Object Mask 1 (person)"));
    }

    #[test]
    fn empty_masks_become_none_and_maps_stay() {
        let camera =
            migrated("0.13", "motion: {mask: []}\nobjects: {mask: {a: {coordinates: ''}}}");
        assert!(ids(&camera, "motion").is_empty());
        assert_eq!(ids(&camera, "objects"), ["a"]);
        let camera = migrated("0.18-0", "motion: {mask: []}");
        assert!(camera.section("motion").unwrap().get("mask").unwrap().list().is_some());
    }

    #[test]
    fn detection_is_switched_on_only_in_a_section_that_is_there() {
        for (before, after) in [
            ("detect: {fps: 6}", Some(true)),
            ("detect: {enabled: }", Some(true)),
            ("detect: {enabled: false}", Some(false)),
            ("{}", None),
        ] {
            let mut globals = map(before);
            migrate("0.15-1", &mut globals, &mut Map::default());
            assert_eq!(
                globals.section("detect").and_then(|detect| detect.bool("enabled")),
                after,
                "{before}"
            );
        }
    }

    #[test]
    fn required_zones_move_to_review_and_rtmp_goes() {
        let camera =
            migrated("0.13", "rtmp: {enabled: false}\nrecord: {events: {required_zones: [a]}}");
        let alerts = camera.section("review").unwrap().section("alerts").unwrap();
        assert_eq!(alerts.texts("required_zones"), ["a"]);
        assert!(camera.get("rtmp").is_none());
    }
}
