//! What Home Assistant is told, and the form that it operates. The real one is asked by
//! `make test-home-assistant`.

use rumqttc::PublishOptions;
use serde_json::{Value, json};

use super::bus::Bus;
use super::house::{BASE, House, wait_for};

const DEVICE: &str = "homeassistant/device/frigate_replay_frigate/config";
const BIRTH: &str = "homeassistant/status";

fn set(bus: &Bus, control: &str, payload: &str) {
    bus.publish(&format!("{BASE}/form/{control}/set"), payload);
}

fn times_told(bus: &mut Bus) -> usize {
    bus.catch_up();
    bus.heard.iter().filter(|m| m.topic == DEVICE && !m.payload.is_empty()).count()
}

#[test]
fn what_is_chosen_is_shown_kept_and_replayed() {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.wait_topic("form/camera", |camera| camera == "front");
    bus.wait_topic("form/minutes", |minutes| *minutes == 10);
    set(&bus, "camera", "\"yard\"");
    bus.wait_topic("form/camera", |camera| camera == "yard");
    set(&bus, "minutes", "3");
    bus.wait_topic("form/minutes", |minutes| *minutes == 3);
    worker.kill();

    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.wait_topic("form/camera", |camera| camera == "yard");
    bus.wait_topic("form/minutes", |minutes| *minutes == 3);
    // Nothing was recorded of it, and the press is answered as the start that it is.
    set(&bus, "replay", "PRESS");
    let response = bus.wait_topic("response/start", |_| true);
    assert_eq!(response["error"]["code"], "no_recordings", "{response}");
    assert!(response["error"]["message"].as_str().unwrap().contains("yard"), "{response}");
    set(&bus, "camera", "front");
    set(&bus, "replay", r#"{"transaction": "pressed"}"#);
    let response = bus.wait_topic("response/start", |_| true);
    assert_eq!((&response["status"], &response["transaction"]), (&json!("ok"), &json!("pressed")));
    let session = bus.wait_phase("live");
    let seconds = session["end_time"].as_f64().unwrap() - session["start_time"].as_f64().unwrap();
    assert!((seconds - 180.0).abs() < 1.0, "{session}");
    assert!(session["clip_bytes"].as_u64().unwrap() > 1000, "{session}");
    let last = &house.bus().retained()[&format!("{BASE}/last_response")];
    assert!(last.contains("pressed"), "{last}");
    assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
    house.check();
}

#[test]
fn a_choice_that_cannot_be_is_refused_and_changes_nothing() {
    let house = House::new();
    let _worker = house.worker(&["--max-range", "1h"]);
    let mut bus = house.bus();
    bus.wait_topic("form/camera", |camera| camera == "front");
    for (control, payload, code, word) in [
        ("camera", "shed", "unknown_camera", "front, yard"),
        ("camera", "../front", "invalid_request", "../front"),
        ("camera", "", "invalid_request", "camera"),
        ("minutes", "0", "invalid_request", "whole number"),
        ("minutes", "ten", "invalid_request", "ten"),
        ("minutes", "61", "invalid_range", "60"),
        ("seconds", "5", "invalid_request", "camera, minutes, replay"),
    ] {
        set(&bus, control, payload);
        let response = bus.wait_topic("response/form", |_| true);
        assert_eq!(response["error"]["code"], code, "{control} {payload}: {response}");
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{control} {payload}: {message}");
    }
    for payload in ["now", r#"{"camera": "yard"}"#, "{'transaction': 1}"] {
        set(&bus, "replay", payload);
        let response = bus.wait_topic("response/start", |_| true);
        assert_eq!(response["error"]["code"], "invalid_request", "{payload}: {response}");
    }
    bus.catch_up();
    let shown: Vec<&str> = bus
        .heard
        .iter()
        .filter(|m| m.topic == format!("{BASE}/form/camera"))
        .map(|m| m.payload.as_str())
        .collect();
    assert!(shown.iter().all(|payload| *payload == "\"front\""), "{shown:?}");
    house.check();
}

#[test]
fn a_retained_choice_is_never_obeyed_and_cleared() {
    let house = House::new();
    let mut bus = house.bus();
    let topics = ["camera", "replay"].map(|control| format!("{BASE}/form/{control}/set"));
    let keep = |bus: &Bus| {
        for (topic, payload) in topics.iter().zip(["\"yard\"", "PRESS"]) {
            bus.publish_with(topic, payload, PublishOptions::at_least_once().retained());
        }
    };
    keep(&bus);
    let _worker = house.worker(&[]);
    for round in 0..2 {
        if round == 1 {
            keep(&bus);
        }
        for answer in ["response/form", "response/start"] {
            let response = bus.wait_topic(answer, |_| true);
            assert!(response["error"]["message"].as_str().unwrap().contains("retain"));
        }
        let retained = house.bus().retained();
        assert!(topics.iter().all(|topic| !retained.contains_key(topic)), "{retained:?}");
        assert_eq!(retained[&format!("{BASE}/form/camera")], "\"front\"");
    }
    house.check();
}

#[test]
fn a_camera_that_is_gone_is_not_offered_and_comes_back_chosen() {
    let house = House::new();
    let _worker = house.worker(&["--watchdog-interval", "100ms"]);
    let mut bus = house.bus();
    set(&bus, "camera", "yard");
    bus.wait_topic("form/camera", |camera| camera == "yard");
    let without = house.usual_config().replace("  yard:", "  shed:");
    house.write_config(&without);
    bus.wait_topic("form/camera", |camera| camera == "front");
    house.write_config("cameras: {}\n");
    bus.wait_topic("form/camera", Value::is_null);
    set(&bus, "replay", "");
    let response = bus.wait_topic("response/start", |_| true);
    assert_eq!(response["error"]["code"], "unavailable", "{response}");
    house.write_config(&house.usual_config());
    bus.wait_topic("form/camera", |camera| camera == "yard");
    let told: Value = serde_json::from_str(&house.bus().retained()[DEVICE]).unwrap();
    assert_eq!(told["components"]["camera"]["options"], json!(["front", "yard"]));
    house.check();
}

#[test]
fn home_assistant_is_told_again_when_it_starts() {
    let house = House::new();
    let mut bus = house.bus();
    // As a Home Assistant that is set up to retain its greeting leaves it.
    bus.publish_with(BIRTH, "online", PublishOptions::at_least_once().retained());
    let worker = house.worker(&[]);
    bus.wait("the device", |message| message.topic == DEVICE);
    wait_for("calm", || worker.log().contains("requests arrive").then_some(()));
    assert_eq!(times_told(&mut bus), 1, "a retained greeting is an old one");
    bus.publish(BIRTH, "online");
    bus.wait("the device again", |message| message.topic == DEVICE);
    bus.publish(BIRTH, "offline");
    bus.ask("stop", json!({}));
    assert_eq!(times_told(&mut bus), 2);
    house.check();
}

#[test]
fn the_device_goes_with_a_broker_comes_back_and_is_removed_when_turned_off() {
    let mut house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.wait("the device", |message| message.topic == DEVICE);
    house.kill_broker();
    house.forget_broker_store();
    house.start_broker();
    bus = house.bus();
    bus.wait("the device, told again", |message| message.topic == DEVICE);
    worker.end();
    let worker = house.worker(&["--discovery-prefix", ""]);
    wait_for("calm", || worker.log().contains("requests arrive").then_some(()));
    assert!(!house.bus().retained().contains_key(DEVICE));
    worker.end();
    let _worker = house.worker(&["--discovery-prefix", "ha/found"]);
    let elsewhere = "ha/found/device/frigate_replay_frigate/config";
    bus.wait("the device elsewhere", |message| message.topic == elsewhere);
    house.check();
}
