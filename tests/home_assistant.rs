//! The device that Home Assistant is told of, against Home Assistant's own list of keys.
//!
//! Home Assistant drops a key that it does not know inside a component without a word, and the
//! whole device for one beside the components. `home-assistant/keys.json` is what its own code says
//! (`home-assistant/keys.py` asks it; `make test-home-assistant` sees whether it still says so).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use frigate_replay::session::{Policy, Record, State, recover, view};
use frigate_replay::wire::form::Control;
use frigate_replay::wire::messages::{Happening, JobStatus, JobStep};
use frigate_replay::wire::requests::Verb;
use frigate_replay::wire::topics::Topics;
use frigate_replay::words::{CameraName, UnixTime};

fn topics(instance: &str) -> Topics {
    Topics::new("frigate_replay", instance).unwrap().with_discovery("homeassistant").unwrap()
}

fn state(instance: &str, frigate_url: Option<&str>) -> State {
    let policy = Policy {
        topics: topics(instance),
        max_session_s: 43_200.0,
        max_range_s: 86_400.0,
        frigate_url: frigate_url.map(str::to_owned),
        frigate_pictures: frigate_url.map(str::to_owned),
        frigate_topics: None,
    };
    let cameras = ["front", "yard"].map(|name| CameraName::parse(name).unwrap());
    let now = UnixTime::from_secs(1_767_225_600);
    recover(policy, Record::default(), Ok(cameras.to_vec()), false, now).state
}

fn device_of(state: &State) -> Value {
    let topic = state.policy.topics.discovery().unwrap();
    let shown = view(state).into_iter().find(|retained| retained.topic == topic).unwrap();
    serde_json::from_str(&shown.payload.unwrap()).unwrap()
}

fn keys() -> Value {
    serde_json::from_str(include_str!("home-assistant/keys.json")).unwrap()
}

fn is_one_of(list: &Value, value: &Value) -> bool {
    list.as_array().unwrap().contains(value)
}

/// What Home Assistant would not say about `object`, of which it knows `listed`.
fn objections(what: &str, object: &Value, listed: &Value, told_elsewhere: &[&str]) -> Vec<String> {
    let object = object.as_object().unwrap();
    let mut found = Vec::new();
    for key in object.keys().filter(|key| !is_one_of(&listed["known"], &json!(key))) {
        found.push(format!("{what}: {key} is not known"));
    }
    for key in listed["required"].as_array().unwrap() {
        let key = key.as_str().unwrap();
        if !object.contains_key(key) && !told_elsewhere.contains(&key) {
            found.push(format!("{what}: {key} is missing"));
        }
    }
    found
}

fn objections_to(device: &Value) -> Vec<String> {
    let keys = keys();
    let mut found = objections("device discovery", device, &keys["discovery"], &[]);
    found.extend(objections("device", &device["device"], &keys["device"], &[]));
    found.extend(objections("origin", &device["origin"], &keys["origin"], &[]));
    for (key, component) in device["components"].as_object().unwrap() {
        let mut component = component.clone();
        let fields = component.as_object_mut().unwrap();
        let platform = fields.remove("platform").unwrap();
        let platform = platform.as_str().unwrap();
        if fields.is_empty() {
            continue;
        }
        let listed = &keys["platforms"][platform];
        assert!(listed.is_object(), "{key}: nobody knows the platform {platform}");
        found.extend(objections(key, &component, listed, &[]));
        for (field, list) in [
            ("entity_category", &keys["entity_categories"]),
            ("device_class", &keys["device_classes"][platform]),
        ] {
            let value = &component[field];
            if !value.is_null() && !is_one_of(list, value) {
                found.push(format!("{key}: {field} {value} is not known"));
            }
        }
        let units = &keys["units"][component["device_class"].as_str().unwrap_or("none")];
        if units.is_array() && !is_one_of(units, &component["unit_of_measurement"]) {
            found.push(format!("{key}: the unit does not go with its class"));
        }
        let is_enum = component["device_class"] == "enum";
        if platform == "sensor" && is_enum != component["options"].is_array() {
            found.push(format!("{key}: options go with the class enum, and only with it"));
        }
    }
    found
}

fn components(device: &Value) -> Map<String, Value> {
    device["components"].as_object().unwrap().clone()
}

#[test]
fn home_assistant_knows_every_key() {
    for (instance, url) in [("frigate", None), ("front-1", Some("http://frigate:5000"))] {
        let device = device_of(&state(instance, url));
        assert_eq!(objections_to(&device), [""; 0]);
    }
}

#[test]
fn the_check_finds_what_home_assistant_would_drop_or_refuse() {
    let mistakes: [fn(&mut Value); 7] = [
        |device| device["components"]["status"]["state_tpoic"] = json!("x"),
        |device| device["components"]["status"]["object_id"] = json!("x"),
        |device| device["json_attributes_topic"] = json!("x"),
        |device| device["device"]["firmware"] = json!("x"),
        |device| device["components"]["live"]["device_class"] = json!("alive"),
        |device| device["components"]["clip_size"]["unit_of_measurement"] = json!("bytes"),
        |device| {
            device["components"]["camera"].as_object_mut().unwrap().remove("options");
        },
    ];
    for mistake in mistakes {
        let mut device = device_of(&state("frigate", None));
        mistake(&mut device);
        assert_eq!(objections_to(&device).len(), 1, "{:?}", objections_to(&device));
    }
}

#[test]
fn every_entity_of_the_contract_is_there_under_its_id() {
    let wanted = [
        ("binary_sensor", "session_active live"),
        (
            "sensor",
            "status step progress source_camera replay_camera range_start range_end started_at \
             auto_stop_at error last_response past_replays version worker_started_at clip_size",
        ),
        ("select", "camera"),
        ("number", "minutes"),
        ("button", "replay_the_last_minutes stop"),
        ("event", "activity"),
    ];
    for (instance, prefix) in [("frigate", "frigate_replay"), ("Cam-2", "frigate_replay_cam_2")] {
        let mut left = components(&device_of(&state(instance, None)));
        for (platform, keys) in wanted {
            for key in keys.split_whitespace() {
                let component = left.remove(key).unwrap_or_else(|| panic!("{key} is missing"));
                assert_eq!(component["platform"], platform, "{key}");
                assert_eq!(component["unique_id"], format!("frigate_replay_{instance}_{key}"));
                assert_eq!(component["default_entity_id"], format!("{platform}.{prefix}_{key}"));
                assert!(component["icon"].as_str().unwrap().starts_with("mdi:"), "{key}");
            }
        }
        let rest: Vec<&Value> = left.values().collect();
        assert!(rest.iter().all(|gone| gone.as_object().unwrap().len() == 1), "{rest:?}");
    }
}

#[test]
fn what_a_link_to_frigate_brings_is_removed_with_it() {
    let with = components(&device_of(&state("frigate", Some("http://frigate:5000"))));
    let without = components(&device_of(&state("frigate", None)));
    let keys =
        |components: &Map<String, Value>| components.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(&with), keys(&without), "what is left out stays in Home Assistant for ever");
    let mut removed = 0;
    for (key, component) in &without {
        assert_eq!(component["platform"], with[key]["platform"], "{key}");
        if component.as_object().unwrap().len() == 1 {
            removed += 1;
            assert!(key.starts_with("frigate_") || key == "picture", "{key}");
            assert!(with[key]["unique_id"].is_string(), "{key}");
        }
    }
    assert_eq!(removed, 4);
}

#[test]
fn every_topic_of_an_entity_is_one_of_ours() {
    let topics = topics("frigate");
    let mut ours: BTreeSet<String> = view(&state("frigate", Some("http://frigate:5000")))
        .into_iter()
        .filter(|retained| Some(&retained.topic) != topics.discovery().as_ref())
        .map(|retained| retained.topic)
        .collect();
    ours.extend([topics.event(), topics.last_response(), topics.request(Verb::Stop)]);
    ours.extend(Control::ALL.map(|control| topics.form_set(control)));
    let device = device_of(&state("frigate", Some("http://frigate:5000")));
    assert_eq!(device["availability"], json!([{"topic": topics.available()}]));
    let mut seen = 0;
    for (key, component) in components(&device) {
        for (field, topic) in component.as_object().unwrap() {
            if field.ends_with("_topic") {
                assert!(ours.contains(topic.as_str().unwrap()), "{key}.{field}: {topic}");
                seen += 1;
            }
        }
    }
    assert!(seen > 25, "{seen}");
}

#[test]
fn every_word_that_a_message_may_carry_is_an_option() {
    fn words<T: schemars::JsonSchema>() -> BTreeSet<String> {
        let schema = schemars::schema_for!(T).to_value();
        let one_of = schema["oneOf"].as_array().unwrap();
        one_of.iter().map(|word| word["const"].as_str().unwrap().to_owned()).collect()
    }
    let components = components(&device_of(&state("frigate", None)));
    let listed = |key: &str, field: &str| -> BTreeSet<String> {
        let list = components[key][field].as_array().unwrap();
        list.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let with_idle = |mut words: BTreeSet<String>| {
        words.insert("idle".to_owned());
        words
    };
    assert_eq!(listed("activity", "event_types"), words::<Happening>());
    assert_eq!(listed("status", "options"), with_idle(words::<JobStatus>()));
    assert_eq!(listed("step", "options"), with_idle(words::<JobStep>()));
}
