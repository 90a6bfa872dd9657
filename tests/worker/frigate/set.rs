//! `PUT /api/config/set`: what it does, and what it must not be asked.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};
use serde_json::{Map, Value, json};

use super::http::{Answer, Request};
use super::world::{Running, World, failure, is_replay, lock};
use super::{KILLING_GAP, config_file};

const SECTIONS: [&str; 26] = [
    "enabled",
    "name",
    "friendly_name",
    "type",
    "webui_url",
    "best_image_timeout",
    "ffmpeg",
    "detect",
    "objects",
    "motion",
    "zones",
    "lpr",
    "face_recognition",
    "record",
    "snapshots",
    "review",
    "birdseye",
    "audio",
    "audio_transcription",
    "onvif",
    "live",
    "mqtt",
    "notifications",
    "semantic_search",
    "timestamp_style",
    "ui",
];
const MOTION: [&str; 11] = [
    "enabled",
    "threshold",
    "lightning_threshold",
    "skip_motion_threshold",
    "improve_contrast",
    "contour_area",
    "delta_alpha",
    "frame_alpha",
    "frame_height",
    "mask",
    "mqtt_off_delay",
];

pub fn busy() -> Value {
    json!({"success": false, "message":
        "Another process is currently updating the config. Please try again in a few seconds."})
}

pub fn lock_file(config: &Path) -> File {
    let path = config.with_extension("yml.lock");
    File::options().create(true).write(true).truncate(false).open(path).unwrap()
}

/// Takes the lock beside config.yml, as 0.18 does; `None` if another process keeps it.
fn take_lock(world: &Mutex<World>) -> Option<File> {
    let (file, patience) = {
        let world = lock(world);
        (lock_file(&world.config), world.lock_patience)
    };
    let begin = Instant::now();
    loop {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Some(file);
        }
        if begin.elapsed() > patience {
            return None;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

pub fn set(world: &Mutex<World>, request: &Request) -> Answer {
    let is_0_17 = lock(world).is_0_17();
    let _held = if is_0_17 {
        None
    } else {
        match take_lock(world) {
            Some(held) => Some(held),
            None => return Answer::json(503, &busy()),
        }
    };
    lock(world).set(request).unwrap_or_else(|refusal| refusal)
}

/// What `update_topic` asks of a camera.
struct Asked<'a> {
    camera: &'a str,
    what: &'a str,
}

impl World {
    fn set(&mut self, request: &Request) -> Result<Answer, Answer> {
        if self.setup.version < "0.17" {
            self.violate("a Frigate before 0.17 is given a camera");
        }
        if request.query.is_some() {
            self.violate("a query string, which wins over the body");
        }
        let content_type = request.header("content-type").unwrap_or_default();
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        if !content_type.starts_with("application/json") || !body.is_object() {
            return Err(Answer::json(422, &json!({"detail": [{"type": "json_invalid"}]})));
        }
        let data = match &body["config_data"] {
            Value::Object(data) if !data.is_empty() => data.clone(),
            _ => return Err(failure(400, "No configuration data provided")),
        };
        if self.native_replay.is_some() {
            self.violate(
                "a change during a debug replay of Frigate's own, which nothing ends then",
            );
        }
        let before = fs::read_to_string(&self.config).unwrap();
        let after = self.merged(&before, &data)?;
        fs::write(&self.config, &after).unwrap();
        let topic = body["update_topic"].as_str();
        let asked = topic.and_then(|topic| {
            let (camera, what) = topic.strip_prefix("config/cameras/")?.split_once('/')?;
            Some(Asked { camera, what })
        });
        self.tell(&before, &after, asked)?;
        let is_now = topic.is_some() || body["requires_restart"] == 0;
        if is_now {
            self.known = config_file::cameras(&after);
        }
        let message = match is_now && !self.is_0_17() {
            true => "Config successfully updated",
            false => "Config successfully updated, restart to apply",
        };
        Ok(Answer::json(200, &json!({"success": true, "message": message})))
    }

    /// The text of config.yml with what is given laid over it.
    fn merged(&mut self, text: &str, data: &Map<String, Value>) -> Result<String, Answer> {
        for section in data.keys().filter(|section| *section != "cameras") {
            self.violate(format!("a change of {section}, which is none of our business"));
        }
        let mut text = text.to_owned();
        for (name, given) in data.get("cameras").and_then(Value::as_object).into_iter().flatten() {
            if !is_replay(name) {
                self.violate(format!(
                    "a change of the camera {name}, which is none of our business"
                ));
            }
            let mut there = config_file::cameras(&text);
            if *given == "" || (given.is_null() && !self.is_0_17()) {
                if !there.contains_key(name) {
                    self.violate(format!("{name} is deleted, but is not there"));
                    return Err(failure(500, "Error updating config"));
                }
                text = config_file::with_camera(&text, name, None);
                continue;
            }
            if given.is_null() {
                return Err(failure(400, "Error parsing config. Check logs for error message."));
            }
            let mut camera = there.remove(name).unwrap_or_else(|| json!({}));
            self.lay_over(&mut camera, given)?;
            self.check(&camera)?;
            text = config_file::with_camera(&text, name, Some(&camera));
        }
        Ok(text)
    }

    /// Key by key; null (in 0.18) and "" delete, and an empty map says nothing.
    fn lay_over(&mut self, under: &mut Value, over: &Value) -> Result<(), Answer> {
        let unknown = || failure(500, "Error updating config");
        let (Value::Object(over), Some(under)) = (over, under.as_object_mut()) else {
            return Err(unknown());
        };
        for (key, value) in over {
            if key.trim().parse::<i64>().is_ok() {
                return Err(unknown());
            }
            if self.is_0_17() && key.contains('.') {
                self.violate(format!("the key {key} is split at its dots"));
                return Err(unknown());
            }
            match value {
                Value::Object(inner) if inner.is_empty() => {}
                Value::Object(_) => {
                    let place = under.entry(key).or_insert_with(|| json!({}));
                    if !place.is_object() {
                        *place = json!({});
                    }
                    self.lay_over(place, value)?;
                }
                Value::Null if !self.is_0_17() => drop(under.remove(key).ok_or_else(unknown)?),
                Value::String(text) if text.is_empty() => {
                    drop(under.remove(key).ok_or_else(unknown)?);
                }
                value => drop(under.insert(key.clone(), value.clone())),
            }
        }
        Ok(())
    }

    /// As much of Frigate's own check of a camera as a worker can get wrong.
    fn check(&self, camera: &Value) -> Result<(), Answer> {
        let wrong = |message: &str| match self.is_0_17() {
            true => failure(400, "Error parsing config. Check logs for error message."),
            false => failure(400, &format!("Error saving config: {message}")),
        };
        let only = |value: &Value, known: &[&str]| {
            let keys = value.as_object().into_iter().flat_map(Map::keys);
            match keys.into_iter().all(|key| known.contains(&key.as_str())) {
                true => Ok(()),
                false => Err(wrong("Extra inputs are not permitted")),
            }
        };
        only(camera, &SECTIONS)?;
        only(&camera["motion"], &MOTION)?;
        if camera["ffmpeg"]["inputs"].as_array().is_none_or(Vec::is_empty) {
            return Err(wrong("Field required"));
        }
        if !camera["detect"]["fps"].is_null() && !camera["detect"]["fps"].is_i64() {
            return Err(wrong("Input should be a valid integer"));
        }
        let filters = |holder: &Value| -> Vec<Value> {
            let filters = holder["filters"].as_object().into_iter().flat_map(Map::values);
            filters.cloned().collect()
        };
        let mut holders = vec![camera["motion"].clone(), camera["objects"].clone()];
        holders.extend(filters(&camera["objects"]));
        for zone in camera["zones"].as_object().into_iter().flat_map(Map::values) {
            if zone["coordinates"].is_null() {
                return Err(wrong("Field required"));
            }
            holders.extend(filters(zone));
        }
        for masks in holders.iter().map(|holder| &holder["mask"]).filter(|masks| !masks.is_null()) {
            let fits = match masks {
                Value::Array(masks) => self.is_0_17() && masks.iter().all(Value::is_string),
                Value::Object(masks) => {
                    !self.is_0_17() && masks.values().all(|mask| !mask["coordinates"].is_null())
                }
                _ => self.is_0_17(),
            };
            if !fits {
                return Err(wrong("Input should be a valid dictionary"));
            }
        }
        if self.is_0_17() && !camera["motion"]["skip_motion_threshold"].is_null() {
            return Err(wrong("Extra inputs are not permitted"));
        }
        Ok(())
    }

    /// Tells the processes, after the file was written.
    fn tell(&mut self, before: &str, after: &str, asked: Option<Asked<'_>>) -> Result<(), Answer> {
        let (before, after) = (config_file::cameras(before), config_file::cameras(after));
        let removed =
            asked.as_ref().filter(|asked| asked.what == "remove").map(|asked| asked.camera);
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            if !self.is_0_17() && removed != Some(name) && self.running.contains_key(name) {
                self.violate(format!(
                    "{name} is deleted without a word to its processes, which run on"
                ));
            }
            if self.is_0_17() && removed != Some(name) {
                self.changed.insert(name.clone(), Instant::now());
            }
        }
        let Some(Asked { camera, what }) = asked else {
            return Ok(());
        };
        match what {
            "remove" => {
                if self.is_0_17() {
                    self.violate(format!(
                        "{camera} is removed from a running 0.17: its threads die"
                    ));
                }
                self.check_gap(camera);
                self.running.remove(camera);
                return Ok(());
            }
            _ if !after.contains_key(camera) => {
                return Err(Answer::new(500, "text/plain; charset=utf-8", "Internal Server Error"));
            }
            "add" => self.add(camera, &before),
            "enabled" => {
                let enabled = after[camera]["enabled"] != false;
                if let Some(running) = self.running.get_mut(camera) {
                    running.enabled = enabled;
                }
            }
            other => self.violate(format!("nobody asks for {other} of {camera}")),
        }
        Ok(())
    }

    fn add(&mut self, camera: &str, before: &Map<String, Value>) {
        if before.contains_key(camera) {
            self.violate(format!("{camera} is added, but is there: it keeps running as it was"));
            return;
        }
        if self.is_0_17() && before.len() < 2 {
            self.violate(format!(
                "{camera} is added to a 0.17 with a single camera: its threads die"
            ));
        }
        self.check_gap(camera);
        let started = Running { since: Instant::now(), enabled: true };
        self.running.insert(camera.to_owned(), started);
    }

    fn check_gap(&mut self, camera: &str) {
        let now = Instant::now();
        let last = self.changed.insert(camera.to_owned(), now);
        if let Some(gap) = last.map(|last| now - last).filter(|gap| *gap < KILLING_GAP) {
            self.violate(format!(
                "{camera} is changed {gap:.3?} after its last change: threads die"
            ));
        }
    }
}
