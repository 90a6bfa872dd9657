//! The device in Home Assistant: what it is told of us, so that nobody has to write YAML.
//!
//! One message names the device and all its entities. Home Assistant ignores a key that it does not
//! know inside a component without a word, and refuses the whole device for one beside the
//! components; a template that meets what is not there gives an empty state, which is ignored, so
//! that the old one stays. So every template gives `None` for what is not known, each text fits
//! into a state, and the tests hold all of it against Home Assistant's own list of keys.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::words::CameraName;

use super::form::{Control, PRESS};
use super::messages::{Happening, JobStatus, JobStep};
use super::requests::Verb;
use super::topics::Topics;

/// What the device shows that does not come over topics.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// Where everything is.
    pub topics: &'a Topics,
    /// The worker's version.
    pub version: &'a str,
    /// The cameras that can be chosen.
    pub cameras: &'a [CameraName],
    /// The most minutes that can be chosen.
    pub minutes_max: u32,
    /// The running Frigate's address, if there is a link to it.
    pub frigate_url: Option<&'a str>,
    /// From where Home Assistant may fetch pictures of Frigate's cameras.
    pub frigate_pictures: Option<&'a str>,
}

/// Components that an earlier version had, with their platform: Home Assistant removes an entity
/// only when it is told so.
const RETIRED: &[(&str, &str)] = &[];

/// The instance that needs no name beside the device's: what Frigate is called unless it is changed.
const USUAL_INSTANCE: &str = "frigate";

/// Longest state that Home Assistant takes, characters.
const STATE_MAX_CHARS: usize = 255;

/// The payload of [`Topics::discovery`].
pub fn payload(device: &Device) -> Value {
    let topics = device.topics;
    let name = match topics.instance() {
        USUAL_INSTANCE => "Frigate Replay".to_owned(),
        instance => format!("Frigate Replay {instance}"),
    };
    let mut entities = Entities {
        unique_prefix: topics.device_id(),
        id_prefix: slug(&name),
        components: Map::new(),
    };
    entities.states(topics);
    entities.job(topics);
    entities.outcomes(topics);
    entities.controls(device);
    entities.diagnostics(topics);
    entities.frigate(topics, device.frigate_url.is_some());
    entities.picture(topics, device.frigate_pictures);
    for (key, platform) in RETIRED {
        entities.remove(platform, key);
    }
    let mut about = json!({
        "identifiers": [topics.device_id()],
        "name": name,
        "manufacturer": "frigate-replay",
        "model": "Debug replay",
        "sw_version": device.version,
    });
    if let Some(url) = device.frigate_url {
        about["configuration_url"] = json!(url);
    }
    json!({
        "device": about,
        "origin": {"name": "frigate-replay", "sw_version": device.version},
        "availability": [{"topic": topics.available()}],
        "qos": 1,
        "components": entities.components,
    })
}

/// Lower case, with `_` for everything that an entity's id cannot hold: as Home Assistant makes it.
fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    text.chars().map(plain).collect()
}

/// The words of an enum as they stand in messages.
fn words<T: Serialize>(all: &[T]) -> Vec<Value> {
    all.iter().filter_map(|word| serde_json::to_value(word).ok()).collect()
}

/// A template for a time of a message, which may be null.
fn time(field: &str) -> String {
    format!("{{{{ value_json.{field} | as_datetime if value_json.{field} is number else none }}}}")
}

/// A template for a text of a message, which may be null or absent, cut to what a state holds.
fn text(field: &str) -> String {
    format!("{{{{ ({field} | string)[:{STATE_MAX_CHARS}] if {field} is string else none }}}}")
}

/// Home Assistant keeps no attributes over 16 KiB: the first few sentences, each cut short.
const SHORT_WARNINGS: &str = "[:10] | map('truncate', 250, true) | list";

struct Entities {
    unique_prefix: String,
    id_prefix: String,
    components: Map<String, Value>,
}

impl Entities {
    /// An entity whose key and id are made of its name, as Home Assistant itself would make them.
    fn add(&mut self, platform: &str, name: &str, icon: &str, more: Value) {
        let key = slug(name);
        let mut component = json!({
            "platform": platform,
            "name": name,
            "unique_id": format!("{}_{key}", self.unique_prefix),
            "default_entity_id": format!("{platform}.{}_{key}", self.id_prefix),
            "icon": icon,
        });
        if let (Some(component), Value::Object(more)) = (component.as_object_mut(), more) {
            component.extend(more);
        }
        self.components.insert(key, component);
    }

    /// A component with nothing but its platform is one that is not there any more.
    fn remove(&mut self, platform: &str, key: &str) {
        self.components.insert(key.to_owned(), json!({"platform": platform}));
    }

    /// The session.
    fn states(&mut self, topics: &Topics) {
        let session = topics.session();
        let attributes = format!(
            "{{{{ dict(value_json, warnings=(value_json.warnings or []){SHORT_WARNINGS}) | to_json }}}}"
        );
        self.add(
            "binary_sensor",
            "Session active",
            "mdi:motion-play",
            json!({
                "state_topic": session,
                "value_template": "{{ 'ON' if value_json.active else 'OFF' }}",
                "device_class": "running",
                "json_attributes_topic": session,
                "json_attributes_template": attributes,
            }),
        );
        self.add(
            "binary_sensor",
            "Live",
            "mdi:play-circle-outline",
            json!({
                "state_topic": session,
                "value_template": "{{ 'ON' if value_json.live_ready else 'OFF' }}",
            }),
        );
        for (name, icon, field) in [
            ("Source camera", "mdi:cctv", "source_camera"),
            ("Replay camera", "mdi:movie-open-play-outline", "replay_camera"),
        ] {
            let template = text(&format!("value_json.{field}"));
            self.add(
                "sensor",
                name,
                icon,
                json!({
                    "state_topic": session,
                    "value_template": template,
                }),
            );
        }
        for (name, icon, field) in [
            ("Range start", "mdi:ray-start", "start_time"),
            ("Range end", "mdi:ray-end", "end_time"),
            ("Started at", "mdi:clock-start", "session_started_at"),
            ("Auto-stop at", "mdi:clock-end", "auto_stop_at"),
        ] {
            self.add(
                "sensor",
                name,
                icon,
                json!({
                    "state_topic": session,
                    "value_template": time(field),
                    "device_class": "timestamp",
                }),
            );
        }
    }

    /// The job.
    fn job(&mut self, topics: &Topics) {
        let job_state = topics.job_state();
        let job = "{% set job = value_json.get('debug_replay') or {} %}";
        let mut statuses = vec![json!("idle")];
        statuses.extend(words(&JobStatus::ALL));
        self.add(
            "sensor",
            "Status",
            "mdi:list-status",
            json!({
                "state_topic": job_state,
                "value_template": format!("{job}{{{{ job.get('status', 'idle') }}}}"),
                "device_class": "enum",
                "options": statuses,
                "json_attributes_topic": job_state,
                "json_attributes_template": format!("{job}{{{{ job | to_json }}}}"),
            }),
        );
        let mut steps = vec![json!("idle")];
        steps.extend(words(&JobStep::ALL));
        let step = "{% if job.get('end_time') is none %}\
                    {{ job.get('results', {}).get('current_step') or 'idle' }}\
                    {% else %}idle{% endif %}";
        self.add(
            "sensor",
            "Step",
            "mdi:stairs",
            json!({
                "state_topic": job_state,
                "value_template": format!("{job}{step}"),
                "device_class": "enum",
                "options": steps,
            }),
        );
        self.add("sensor", "Progress", "mdi:progress-clock", json!({
            "state_topic": job_state,
            "value_template": format!("{job}{{{{ job.get('results', {{}}).get('progress_percent') }}}}"),
            "unit_of_measurement": "%",
            "suggested_display_precision": 0,
        }));
        self.add(
            "sensor",
            "Error",
            "mdi:alert-circle-outline",
            json!({
                "state_topic": job_state,
                "value_template":
                    format!("{job}{{% set error = job.get('error_message') %}}{}", text("error")),
            }),
        );
    }

    /// The answers, what happens, what happened.
    fn outcomes(&mut self, topics: &Topics) {
        let attributes = format!(
            "{{% set data = value_json.get('data') %}}{{% set error = value_json.get('error') %}}\
             {{{{ dict(value_json, transaction=value_json.get('transaction'), \
             data=dict(data, warnings=data.get('warnings', []){SHORT_WARNINGS}) if data else none, \
             error=dict(error, message=error.message[:1000]) if error else none) | to_json }}}}"
        );
        let state = format!(
            "{{{{ (value_json.get('transaction', '') | string | trim)[:{STATE_MAX_CHARS}] \
             or value_json.status }}}}"
        );
        self.add(
            "sensor",
            "Last response",
            "mdi:message-reply-text-outline",
            json!({
                "state_topic": topics.last_response(),
                "value_template": state,
                "json_attributes_topic": topics.last_response(),
                "json_attributes_template": attributes,
            }),
        );
        self.history(topics);
        self.add(
            "event",
            "Activity",
            "mdi:timeline-clock-outline",
            json!({
                "state_topic": topics.event(),
                "event_types": words(&Happening::ALL),
            }),
        );
    }

    fn history(&mut self, topics: &Topics) {
        let jobs = "{% set ns = namespace(jobs=[]) %}\
                    {% for job in value_json.jobs[:10] %}\
                    {% set error = (job.error_message or '')[:250] %}\
                    {% set ns.jobs = ns.jobs + [dict(job, error_message=error)] %}\
                    {% endfor %}{{ {'jobs': ns.jobs} | to_json }}";
        self.add(
            "sensor",
            "Past replays",
            "mdi:history",
            json!({
                "state_topic": topics.history(),
                "value_template": "{{ value_json.jobs | count }}",
                "unit_of_measurement": "replays",
                "json_attributes_topic": topics.history(),
                "json_attributes_template": jobs,
            }),
        );
    }

    /// The form and the stop.
    fn controls(&mut self, device: &Device) {
        let topics = device.topics;
        self.add(
            "select",
            "Camera",
            "mdi:cctv",
            json!({
                "command_topic": topics.form_set(Control::Camera),
                "command_template": "{{ value | to_json }}",
                "state_topic": topics.form(Control::Camera),
                "value_template": "{{ value_json }}",
                "options": device.cameras,
            }),
        );
        self.add(
            "number",
            "Minutes",
            "mdi:timer-outline",
            json!({
                "command_topic": topics.form_set(Control::Minutes),
                "command_template": "{{ value | int }}",
                "state_topic": topics.form(Control::Minutes),
                "min": 1,
                "max": device.minutes_max,
                "step": 1,
                "mode": "box",
                "unit_of_measurement": "min",
            }),
        );
        self.add(
            "button",
            "Replay the last minutes",
            "mdi:replay",
            json!({
                "command_topic": topics.form_set(Control::Replay),
                "payload_press": PRESS,
            }),
        );
        self.add(
            "button",
            "Stop",
            "mdi:stop",
            json!({
                "command_topic": topics.request(Verb::Stop),
                "payload_press": "{}",
            }),
        );
    }

    /// The worker.
    fn diagnostics(&mut self, topics: &Topics) {
        self.add(
            "sensor",
            "Version",
            "mdi:tag-outline",
            json!({
                "state_topic": topics.info(),
                "value_template": text("value_json.version"),
                "entity_category": "diagnostic",
            }),
        );
        self.add(
            "sensor",
            "Worker started at",
            "mdi:clock-check-outline",
            json!({
                "state_topic": topics.info(),
                "value_template": time("worker_started_at"),
                "device_class": "timestamp",
                "entity_category": "diagnostic",
            }),
        );
        self.add(
            "sensor",
            "Clip size",
            "mdi:file-video-outline",
            json!({
                "state_topic": topics.session(),
                "value_template": "{{ value_json.clip_bytes | default(none) }}",
                "device_class": "data_size",
                "unit_of_measurement": "B",
                "entity_category": "diagnostic",
            }),
        );
    }

    /// The replay as Frigate shows it. There is no address without a replay, and Home Assistant takes
    /// nothing else for a picture: Frigate's own stands in while the entity is unavailable.
    fn picture(&mut self, topics: &Topics, base: Option<&str>) {
        let Some(base) = base else {
            return self.remove("image", "picture");
        };
        let base = base.replace('\'', "%27");
        // Once there is no link any more the topic is cleared, and that is no message.
        let has_picture = "value_json is defined and value_json.url";
        self.add(
            "image",
            "Picture",
            "mdi:image-outline",
            json!({
                "url_topic": topics.picture(),
                "url_template": format!("{{{{ value_json.url if {has_picture} else '{base}' }}}}"),
                "availability": [
                    {"topic": topics.available()},
                    {
                        "topic": topics.picture(),
                        "value_template":
                            format!("{{{{ 'online' if {has_picture} else 'offline' }}}}"),
                    },
                ],
                "availability_mode": "all",
            }),
        );
    }

    /// The running Frigate, if it is linked; removed if it is not any more.
    fn frigate(&mut self, topics: &Topics, is_linked: bool) {
        if !is_linked {
            self.remove("binary_sensor", "frigate_reachable");
            self.remove("sensor", "frigate_version");
            self.remove("sensor", "frigate_link");
            return;
        }
        let frigate = "{% set frigate = value_json.get('frigate') or {} %}";
        let reachable = "{% set reachable = frigate.get('reachable') %}\
             {{ none if reachable is none else 'ON' if reachable else 'OFF' }}";
        self.add(
            "binary_sensor",
            "Frigate reachable",
            "mdi:lan-connect",
            json!({
                "state_topic": topics.info(),
                "value_template": format!("{frigate}{reachable}"),
                "device_class": "connectivity",
                "entity_category": "diagnostic",
            }),
        );
        let version = format!("{{% set version = frigate.get('version') %}}{}", text("version"));
        self.add(
            "sensor",
            "Frigate version",
            "mdi:tag-outline",
            json!({
                "state_topic": topics.info(),
                "value_template": format!("{frigate}{version}"),
                "entity_category": "diagnostic",
            }),
        );
        self.add(
            "sensor",
            "Frigate link",
            "mdi:link-variant",
            json!({
                "state_topic": topics.session(),
                "value_template": text("value_json.link"),
                "entity_category": "diagnostic",
            }),
        );
    }
}
