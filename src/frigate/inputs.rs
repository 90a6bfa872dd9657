//! A camera's inputs and their roles. A replay has an input of its own, but a camera whose inputs do
//! not fit does not run in Frigate.

use super::env::{Env, Unfilled};
use super::errors::{Path, Report};
use super::scalar::but_needs;
use super::tree::{Map, Node, Source, Value};

/// What an input may be used for.
const ROLES: [&str; 3] = ["audio", "record", "detect"];
/// Settings of an input; everything but the first two is only for ffmpeg.
const INPUT_FIELDS: [&str; 5] = ["path", "roles", "global_args", "hwaccel_args", "input_args"];

/// Checks `ffmpeg.inputs` and gives the roles that are assigned.
pub(super) fn check(camera: &Map, env: &Env, report: &mut Report<'_>) -> Vec<String> {
    let Some(ffmpeg) = camera.get("ffmpeg") else {
        return Vec::new();
    };
    let path = Path::Top.key("ffmpeg");
    let path = path.key("inputs");
    let Some(node) = ffmpeg.map().and_then(|ffmpeg| ffmpeg.get("inputs")) else {
        if ffmpeg.map().is_some() {
            report.error(&path, ffmpeg.source, "is missing");
        }
        return Vec::new();
    };
    let Some(inputs) = node.list() else {
        report.error(&path, node.source, but_needs(&node.value, "a list"));
        return Vec::new();
    };
    let mut roles = Vec::new();
    let mut all_read = true;
    for (index, one) in inputs.iter().enumerate() {
        match input(one, inputs.len() == 1, &path.index(index), env, report) {
            Some(more) => roles.extend(more),
            None => all_read = false,
        }
    }
    if all_read {
        let twice = roles.iter().enumerate().find(|(index, role)| roles[..*index].contains(role));
        if let Some((_, role)) = twice {
            report.error(
                &path,
                node.source,
                format!("the role {role} is used twice; each may be used once"),
            );
        } else if !roles.iter().any(|role| role == "detect") {
            report.error(&path, node.source, "no input has the role detect");
        }
    }
    roles
}

/// Checks one input and gives its roles; `None` if they cannot be read. An only input records and
/// detects, whatever it says.
fn input(
    input: &Node,
    only: bool,
    path: &Path<'_>,
    env: &Env,
    report: &mut Report<'_>,
) -> Option<Vec<String>> {
    let Some(map) = input.map() else {
        report.error(path, input.source, but_needs(&input.value, "a map of settings"));
        return None;
    };
    for (key, node) in map.entries.iter().chain(&map.odd) {
        if !INPUT_FIELDS.contains(&key.as_str()) {
            report.error(&path.key(key), node.source, "is not a setting that Frigate knows here");
        }
    }
    stream_address(map, input.source, path, env, report);
    let path = path.key("roles");
    let roles = map.get("roles");
    if only {
        let hears = match roles.map(|roles| &roles.value) {
            None => false,
            Some(Value::List(_)) => map.texts("roles").contains(&"audio"),
            Some(Value::Text(text)) => text.contains("audio"),
            Some(other) => {
                report.error(&path, input.source, but_needs(other, "a list of roles"));
                return None;
            }
        };
        let roles = ["record", "detect", "audio"];
        return Some(
            roles[..if hears { 3 } else { 2 }].iter().map(|role| (*role).to_owned()).collect(),
        );
    }
    let Some(roles) = roles else {
        report.error(&path, input.source, "is missing");
        return None;
    };
    let Some(items) = roles.list() else {
        report.error(&path, roles.source, but_needs(&roles.value, "a list of roles"));
        return None;
    };
    let mut read = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.text().filter(|role| ROLES.contains(role)) {
            Some(role) => read.push(role.to_owned()),
            None => {
                report.error(
                    &path.index(index),
                    roles.source,
                    but_needs(&item.value, "one of audio, record, detect"),
                );
                return None;
            }
        }
    }
    Some(read)
}

fn stream_address(
    input: &Map,
    source: Source,
    path: &Path<'_>,
    env: &Env,
    report: &mut Report<'_>,
) {
    let path = path.key("path");
    let Some(node) = input.get("path") else {
        report.error(&path, source, "is missing");
        return;
    };
    // The address may hold a password: no message repeats it.
    let Some(text) = node.text() else {
        report.error(&path, node.source, "must be text");
        return;
    };
    match env.fill_in(text) {
        Ok(_) => {}
        Err(unknown @ Unfilled::Unknown(_)) if !env.is_complete() => {
            report.warn(&path, node.source, format!("{unknown} of this process; Frigate needs it"));
        }
        Err(unfilled) => report.error(&path, node.source, unfilled.to_string()),
    }
}
