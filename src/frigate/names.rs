//! Names of cameras and zones: what they may look like, and that none stands for two things.

use crate::words::{CameraName, REPLAY_PREFIX};

use super::errors::{Path, Report};
use super::scalar::quoted;
use super::tree::{Layer, Map, Node};

/// Checks the name of a camera and those of its zones against all the other `cameras`.
pub(super) fn check(name: &str, camera: &Node, cameras: &Map, report: &mut Report<'_>) {
    let source = camera.source.on(Layer::Camera);
    if let Err(fault) = CameraName::parse(name) {
        report.error(&Path::Top, source, format!("the name does not fit: {fault}"));
    }
    let own = camera.map().and_then(|camera| camera.get("name"));
    if let Some((node, text)) = own.and_then(|node| Some((node, node.text()?)))
        && !fits(text)
    {
        let message = format!("{} may hold only letters, digits, _ and -", quoted(text));
        report.error(&Path::Top.key("name"), node.source.on(Layer::Camera), message);
    }
    let replay = format!("{REPLAY_PREFIX}{name}");
    if let Some(taken) = cameras.get(&replay) {
        let message =
            format!("a camera {replay} stands in the file, too; the replay takes its place");
        report.warn(&Path::Top, taken.source.on(Layer::Camera), message);
    }
    let path = Path::Top.key("zones");
    for (zone, node) in zones(camera) {
        if cameras.get(zone).is_some() || *zone == replay {
            let source = node.source.on(Layer::Camera);
            report.error(&path.key(zone), source, "a zone cannot have the name of a camera");
        }
    }
    let others = cameras.entries.iter().filter(|(other, _)| *other != name && **other != replay);
    for (other, node) in others {
        let zones = node.map().and_then(|other| other.section("zones"));
        if zones.is_some_and(|zones| zones.get(name).is_some()) {
            report.error(&Path::Top, source, format!("camera {other} has a zone of the same name"));
        }
    }
}

fn fits(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    !name.is_empty() && name.chars().all(fits)
}

fn zones(camera: &Node) -> impl Iterator<Item = (&String, &Node)> {
    let zones = camera.map().and_then(|camera| camera.section("zones"));
    zones.into_iter().flat_map(|zones| &zones.entries)
}
