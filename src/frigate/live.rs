//! The other two sources of a camera's settings: the running Frigate's own answer
//! (`GET /api/config`), and the overrides of a request.

use std::collections::BTreeSet;

use serde_json::{Map as Object, Value as Json};

use super::check;
use super::checks;
use super::config::ReplayCameraConfig;
use super::errors::{Finding, Path, ReplayConfigError, Report};
use super::fields::{self, Fate, Kind, Unknown};
use super::labels::Labels;
use super::merge;
use super::migrate;
use super::placement;
use super::replay_camera;
use super::resolve;
use super::tables::{self, REPLAYED};
use super::tree::{Layer, Map, Node, Source, Value, lay_over};
use super::yaml::{Lines, MAX_VALUES};

/// Deepest nesting taken in overrides and in a live config.
const MAX_DEPTH: usize = 32;

/// The config of the camera that replays one of a running Frigate: `camera` is `.cameras.<name>` of
/// its `GET /api/config`, which is resolved already.
///
/// What Frigate computes is computed again; settings that are not known here are left out with a
/// warning, since a newer Frigate may have more. `overrides` are as in [`FrigateConfig::replay_camera`].
///
/// Its labels count as known: the running Frigate has sorted out the others. Places are named as in
/// the file (`cameras.front.detect.fps`), but nothing has a line.
///
/// [`FrigateConfig::replay_camera`]: super::FrigateConfig::replay_camera
///
/// # Errors
/// `camera` is not what Frigate answers, or the overrides do not fit.
pub fn from_live(
    camera: &Json,
    clip_path: &str,
    overrides: Option<&Object<String, Json>>,
) -> Result<ReplayCameraConfig, ReplayConfigError> {
    let lines = Lines::default();
    match overrides.filter(|overrides| !overrides.is_empty()) {
        None => {
            resolve(camera, clip_path, Map::default(), &lines).map_err(ReplayConfigError::Config)
        }
        Some(overrides) => with_overrides(overrides, &lines, |overrides| {
            resolve(camera, clip_path, overrides, &lines)
        }),
    }
}

fn resolve(
    camera: &Json,
    clip_path: &str,
    overrides: Map,
    lines: &Lines,
) -> Result<ReplayCameraConfig, Vec<Finding>> {
    let name = camera.get("name").and_then(Json::as_str).unwrap_or("live");
    let mut report = Report::on_camera(name, lines);
    let Some(mut written) = sections(camera, &mut report) else {
        return Err(report.errors);
    };
    lay_over(&mut written, overrides);
    let mut root = Node::new(Value::Map(Box::new(written)), Layer::Camera);
    check::section(&mut root, &tables::REPLAYED_SECTIONS, &Path::Top, &mut report);
    let Value::Map(mut written) = root.value else {
        return Err(report.errors);
    };
    merge::check_size_is_whole(written.get("detect"), &mut report);
    resolve::settle(&mut written, &Labels::all_known(), &mut report);
    checks::motion_for_detection(&written, &mut report);
    if !report.errors.is_empty() {
        return Err(report.errors);
    }
    let camera_config = replay_camera::build(&written, clip_path);
    Ok(ReplayCameraConfig { camera_config, warnings: report.warnings })
}

/// The sections of a live camera that a replay takes over.
fn sections(camera: &Json, report: &mut Report<'_>) -> Option<Map> {
    let source = Source::of(Layer::Camera);
    let Json::Object(all) = camera else {
        report.error(&Path::Top, source, "is no object");
        return None;
    };
    let mut left = MAX_VALUES;
    let mut written = Map::default();
    for name in REPLAYED {
        let Some(json) = all.get(name) else {
            continue;
        };
        let path = Path::Top.key(name);
        match node(json, Layer::Camera, MAX_DEPTH, &mut left) {
            Ok(node) => written.insert(name, node),
            Err(fault) => report.error(&path, source, fault),
        }
    }
    if let Some(objects) = written.get_mut("objects").and_then(Node::map_mut) {
        drop_copied_polygons(objects);
    }
    // Up to 0.17 masks have no names.
    migrate::name_masks(&mut written);
    if let Some(objects) = written.get_mut("objects").and_then(Node::map_mut) {
        drop_copied_masks(objects);
    }
    for (name, node) in &mut written.entries {
        if let Some(field) = fields::find(&tables::REPLAYED_SECTIONS, name) {
            prune(node, field.kind, &Path::Top.key(name), report);
        }
    }
    Some(written)
}

/// Leaves out of a live value what a replay loses, and what is not known here.
fn prune(node: &mut Node, kind: Kind, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(map) = node.map_mut() else {
        return;
    };
    match kind {
        Kind::Section(of) => map.entries.retain(|key, node| {
            let path = path.key(key);
            let Some(field) = fields::find(of, key) else {
                if of.unknown == Unknown::Refused && !node.is_null() {
                    report.warn(&path, node.source, "is left out: this program does not know it");
                }
                return false;
            };
            prune(node, field.kind, &path, report);
            let unset = matches!(field.kind, Kind::Distances)
                && node.list().is_some_and(<[Node]>::is_empty);
            field.fate != Fate::Lost && !unset
        }),
        Kind::MapOf(of) | Kind::MapOfNullable(of) => {
            for (key, node) in &mut map.entries {
                prune(node, Kind::Section(of), &path.key(key), report);
            }
        }
        _ => {}
    }
}

/// Up to 0.17 a live filter has the polygons of all objects behind its own; they are added again.
fn drop_copied_polygons(objects: &mut Map) {
    let copies: Vec<String> = match objects.get("mask").map(|mask| &mask.value) {
        Some(Value::Text(polygon)) => vec![polygon.clone()],
        Some(Value::List(polygons)) => {
            polygons.iter().filter_map(Node::text).map(str::to_owned).collect()
        }
        _ => return,
    };
    let filters = objects.get_mut("filters").and_then(Node::map_mut);
    for filter in filters.into_iter().flat_map(|filters| filters.entries.values_mut()) {
        if let Some(Node { value: Value::List(polygons), .. }) =
            filter.map_mut().and_then(|filter| filter.get_mut("mask"))
        {
            polygons
                .retain(|polygon| !polygon.text().is_some_and(|p| copies.iter().any(|c| c == p)));
        }
    }
}

/// A live filter shows the masks of all objects as its own; they are added again.
fn drop_copied_masks(objects: &mut Map) {
    let copies: BTreeSet<String> = objects
        .section("mask")
        .into_iter()
        .flat_map(|masks| masks.entries.keys().map(|id| placement::id_in_filters(id)))
        .collect();
    let filters = objects.get_mut("filters").and_then(Node::map_mut);
    for filter in filters.into_iter().flat_map(|filters| filters.entries.values_mut()) {
        if let Some(masks) =
            filter.map_mut().and_then(|filter| filter.get_mut("mask")).and_then(Node::map_mut)
        {
            masks.entries.retain(|id, _| !copies.contains(id));
        }
    }
}

/// Resolves with the overrides of a request. If that fails, but would not without them, it is the
/// requester's fault.
pub(super) fn with_overrides(
    overrides: &Object<String, Json>,
    lines: &Lines,
    resolve: impl Fn(Map) -> Result<ReplayCameraConfig, Vec<Finding>>,
) -> Result<ReplayCameraConfig, ReplayConfigError> {
    let mut report = Report::on_file(lines);
    let read = read_overrides(overrides, &mut report);
    let mut errors = report.errors;
    match resolve(read) {
        Ok(resolved) if errors.is_empty() => return Ok(resolved),
        Ok(_) => return Err(ReplayConfigError::Overrides(errors)),
        Err(more) => errors.extend(more),
    }
    Err(match resolve(Map::default()) {
        Ok(_) => ReplayConfigError::Overrides(errors),
        Err(_) => ReplayConfigError::Config(errors),
    })
}

fn read_overrides(overrides: &Object<String, Json>, report: &mut Report<'_>) -> Map {
    let source = Source::of(Layer::Overrides);
    let mut left = MAX_VALUES;
    let mut map = Map::default();
    for (name, json) in overrides {
        let path = Path::Top.key(name);
        if !REPLAYED.contains(&name.as_str()) {
            report.error(
                &path,
                source,
                format!("cannot be overridden; only {} can", REPLAYED.join(", ")),
            );
            continue;
        }
        match node(json, Layer::Overrides, MAX_DEPTH, &mut left) {
            Ok(node) => map.insert(name.as_str(), node),
            Err(fault) => report.error(&path, source, fault),
        }
    }
    map
}

/// JSON as a tree, at most `depth` levels deep and with at most `left` values.
fn node(json: &Json, layer: Layer, depth: usize, left: &mut u32) -> Result<Node, &'static str> {
    let deeper = depth.checked_sub(1).ok_or("is nested too deeply")?;
    *left = left.checked_sub(1).ok_or("holds too many values")?;
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Value::Int(value),
            (None, Some(value)) => Value::Float(value),
            (None, None) => Value::Odd("a number out of range"),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(
            items.iter().map(|item| node(item, layer, deeper, left)).collect::<Result<_, _>>()?,
        ),
        Json::Object(object) => {
            let mut map = Map::default();
            for (key, json) in object {
                map.insert(key.as_str(), node(json, layer, deeper, left)?);
            }
            Value::Map(Box::new(map))
        }
    };
    Ok(Node::new(value, layer))
}
