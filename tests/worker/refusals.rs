//! What bad input gets: a response with a code and a sentence, and nothing changed.

use rumqttc::{PublishOptions, QoS};
use serde_json::{Value, json};

use super::bus::Bus;
use super::house::{BASE, House, now, wait_for};

/// Sends `payload` and gives the code and the sentence of the refusal.
fn refused(bus: &mut Bus, verb: &str, payload: impl AsRef<[u8]>) -> (String, String) {
    bus.catch_up();
    bus.publish(&format!("{BASE}/request/{verb}"), payload);
    let response = bus.wait_topic(&format!("response/{verb}"), |_| true);
    assert_eq!(response["status"], "error", "{response}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&response["error"]["code"]), text(&response["error"]["message"]))
}

#[test]
fn every_bad_request_is_refused_by_name_and_changes_nothing() {
    let house = House::new();
    let outside = house.path("outside.mp4");
    std::fs::copy(house.path("media/exports/front_done.mp4"), &outside).unwrap();
    std::os::unix::fs::symlink(&outside, house.path("media/exports/link.mp4")).unwrap();
    house.touch("exports/nonsense.mp4");
    for (id, camera, path, in_progress) in [
        ("unfinished", "front", "/media/frigate/exports/front_done.mp4", true),
        ("outside", "front", "/etc/passwd", false),
        ("climbing", "front", "/media/frigate/exports/../../outside.mp4", false),
        ("linked", "front", "/media/frigate/exports/link.mp4", false),
        ("lost", "front", "/media/frigate/exports/gone.mp4", false),
        ("nonsense", "front", "/media/frigate/exports/nonsense.mp4", false),
        ("nobodys", "shed", "/media/frigate/exports/front_done.mp4", false),
        ("replays", "_replay_front", "/media/frigate/exports/front_done.mp4", false),
    ] {
        house.add_export(id, camera, path, in_progress);
    }
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.wait_inactive();
    let (start, end) = house.range;
    let large =
        format!(r#"{{"camera":"front","last_seconds":60,"transaction":"{}"}}"#, "x".repeat(70_000));
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("start", b"\xff\xfe".to_vec(), "invalid_request", "UTF-8"),
        ("start", b"last ten minutes".to_vec(), "invalid_request", "JSON"),
        ("start", b"{'camera': 'front'}".to_vec(), "invalid_request", "to_json"),
        ("start", large.into_bytes(), "invalid_request", "65536"),
        ("start", b"[]".to_vec(), "invalid_request", "list"),
        ("start", b"{}".to_vec(), "invalid_request", "camera"),
        ("start", br#"{"camera":"front","last_seconds":NaN}"#.to_vec(), "invalid_request", "JSON"),
        ("start", br#"{"camera":"front","last_seconds":-5}"#.to_vec(), "invalid_request", "-5"),
        (
            "start",
            br#"{"camera":"front","last_minutes":5}"#.to_vec(),
            "invalid_request",
            "last_minutes",
        ),
        (
            "start",
            br#"{"camera":"front/yard","last_seconds":5}"#.to_vec(),
            "invalid_request",
            "front/yard",
        ),
        (
            "start",
            br#"{"camera":"../front","last_seconds":5}"#.to_vec(),
            "invalid_request",
            "../front",
        ),
        ("start", br##"{"camera":"#","last_seconds":5}"##.to_vec(), "invalid_request", "#"),
        ("start", br#"{"camera":"+","last_seconds":5}"#.to_vec(), "invalid_request", "+"),
        (
            "start",
            b"{\"camera\":\"a\\u0000b\",\"last_seconds\":5}".to_vec(),
            "invalid_request",
            "camera",
        ),
        (
            "start",
            br#"{"camera":"_replay_front","last_seconds":5}"#.to_vec(),
            "invalid_request",
            "_replay_front",
        ),
        ("start", br#"{"camera":"shed","last_seconds":5}"#.to_vec(), "unknown_camera", "shed"),
        ("start", br#"{"camera":"yard","last_seconds":5}"#.to_vec(), "no_recordings", "yard"),
        (
            "start",
            json!({"camera":"front","start_time":end,"end_time":start}).to_string().into(),
            "invalid_range",
            "end_time",
        ),
        (
            "start",
            json!({"camera":"front","start_time":start,"end_time":now() + 1e6}).to_string().into(),
            "invalid_range",
            "future",
        ),
        (
            "start",
            json!({"camera":"front","start_time":-1e300,"end_time":1e300}).to_string().into(),
            "invalid_range",
            "1970",
        ),
        (
            "start",
            json!({"camera":"front","start_time":0,"end_time":end}).to_string().into(),
            "invalid_range",
            "limit",
        ),
        (
            "start",
            json!({"camera":"front","last_seconds":60,"overrides":{"detect":{"fps":"fast"}}})
                .to_string()
                .into(),
            "invalid_request",
            "overrides.detect.fps",
        ),
        (
            "start",
            json!({"camera":"front","last_seconds":60,"overrides":{"record":{"enabled":true}}})
                .to_string()
                .into(),
            "invalid_request",
            "record",
        ),
        (
            "start_from_export",
            br#"{"export_id":"unknown"}"#.to_vec(),
            "export_not_found",
            "unknown",
        ),
        (
            "start_from_export",
            br#"{"export_id":"unfinished"}"#.to_vec(),
            "export_unusable",
            "still",
        ),
        (
            "start_from_export",
            br#"{"export_id":"outside"}"#.to_vec(),
            "export_unusable",
            "/etc/passwd",
        ),
        (
            "start_from_export",
            br#"{"export_id":"climbing"}"#.to_vec(),
            "export_unusable",
            "outside.mp4",
        ),
        ("start_from_export", br#"{"export_id":"linked"}"#.to_vec(), "export_unusable", "link.mp4"),
        ("start_from_export", br#"{"export_id":"lost"}"#.to_vec(), "export_unusable", "gone.mp4"),
        (
            "start_from_export",
            br#"{"export_id":"nonsense"}"#.to_vec(),
            "export_unusable",
            "nonsense.mp4",
        ),
        ("start_from_export", br#"{"export_id":"nobodys"}"#.to_vec(), "unknown_camera", "shed"),
        (
            "start_from_export",
            br#"{"export_id":"replays"}"#.to_vec(),
            "export_unusable",
            "_replay_front",
        ),
        ("stop", br#"{"job":"x"}"#.to_vec(), "invalid_request", "job"),
        ("stop", b"".to_vec(), "not_active", "no replay"),
        ("Start", b"{}".to_vec(), "invalid_request", "start_from_export"),
    ];
    for (verb, payload, code, word) in &cases {
        let shown = String::from_utf8_lossy(payload).chars().take(100).collect::<String>();
        let (got, message) = refused(&mut bus, verb, payload);
        assert_eq!(got, *code, "{shown}: {message}");
        assert!(message.contains(word), "{shown}: {message}");
    }
    bus.catch_up();
    let changed = bus.heard.iter().filter(|message| {
        message.topic == format!("{BASE}/session") && message.payload.contains(r#""active":true"#)
    });
    assert_eq!(changed.count(), 0);
    house.check();
}

#[test]
fn a_retained_request_is_refused_and_cleared() {
    let house = House::new();
    let mut bus = house.bus();
    let topic = format!("{BASE}/request/start");
    let keep = |bus: &Bus, transaction: &str| {
        let request = json!({"camera": "front", "last_seconds": 60, "transaction": transaction});
        bus.publish_with(&topic, request.to_string(), PublishOptions::at_least_once().retained());
    };
    // One that stands there when the worker comes, and one that comes while the worker is there.
    keep(&bus, "stored");
    let worker = house.worker(&[]);
    for transaction in ["stored", "live"] {
        if transaction == "live" {
            keep(&bus, transaction);
        }
        let response = bus.wait_topic("response/start", |r| r["transaction"] == transaction);
        assert_eq!(response["error"]["code"], "invalid_request");
        assert!(response["error"]["message"].as_str().unwrap().contains("retain"));
        assert!(!house.bus().retained().contains_key(&topic), "{transaction}");
    }
    // Somebody's own clearing of a command topic is no request.
    bus.publish_with(
        &format!("{BASE}/request/stop"),
        "",
        PublishOptions::at_least_once().retained(),
    );
    bus.ask("stop", json!({}));
    let answers = bus.heard.iter().filter(|m| m.topic == format!("{BASE}/response/stop"));
    assert_eq!(answers.count(), 1);
    house.check();
    drop(worker);
}

#[test]
fn a_burst_of_requests_leaves_the_state_right_and_the_memory_bounded() {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.wait_inactive();
    let topic = format!("{BASE}/request/start");
    for n in 0..10_000 {
        let request = match n % 4 {
            0 => json!({"camera": "front", "last_seconds": 60, "transaction": n}).to_string(),
            1 => json!({"camera": "shed", "last_seconds": 60, "transaction": n}).to_string(),
            2 => format!("garbage {n}"),
            _ => json!({"camera": "front", "transaction": n}).to_string(),
        };
        let qos = if n % 2 == 0 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        bus.publish_with(&topic, request, PublishOptions::new(qos));
    }
    // The broker drops what its own queue for the worker cannot hold: 1000 messages by default.
    wait_for("an answer after the burst", || {
        bus.publish_with(&topic, r#"{"transaction": "after"}"#, PublishOptions::at_least_once());
        bus.catch_up();
        bus.heard
            .iter()
            .any(|m| m.topic.ends_with("/response/start") && m.payload.contains("after"))
            .then_some(())
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid())).unwrap();
    let peak_kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().split(' ').next()?.parse().ok())
        .unwrap();
    assert!(peak_kib < 150 * 1024, "{peak_kib} KiB");
    let accepted = bus
        .heard
        .iter()
        .filter(|m| m.topic.ends_with("/response/start") && m.json()["status"] == "ok")
        .count();
    assert_eq!(accepted, 1);
    bus.ask("stop", json!({}));
    house.check();
}

#[test]
fn a_broken_config_is_told_and_needs_no_restart() {
    let house = House::new();
    let _worker = house.worker(&["--mqtt-url", &format!("mqtt://127.0.0.1:{}", house.port)]);
    let mut bus = house.bus();
    let request = json!({"camera": "front", "last_seconds": 60});
    for (text, word) in [
        ("cameras: [", "line"),
        (
            "cameras:\n  front:\n    detect: {fps: fast}\n    ffmpeg: {inputs: [{path: x, roles: [detect]}]}\n",
            "cameras.front.detect.fps",
        ),
    ] {
        house.write_config(text);
        let response = bus.ask("start", request.clone());
        assert_eq!(response["error"]["code"], "unavailable", "{response}");
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.contains("config.yml") && message.contains(word), "{message}");
    }
    std::fs::remove_file(house.path("config/config.yml")).unwrap();
    let response = bus.ask("start", request.clone());
    assert_eq!(response["error"]["code"], "unavailable", "{response}");
    house.write_config(&house.usual_config());
    let response = bus.ask("start", request);
    assert_eq!(response["status"], "ok", "{response}");
    bus.wait_topic("event", |event| event["event_type"] == "live");
    house.check();
}

#[test]
fn a_database_that_cannot_be_read_is_unavailable_and_nothing_is_lost() {
    let house = House::new();
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    let (here, away) = (house.path("config/frigate.db"), house.path("config/away.db"));
    std::fs::rename(&here, &away).unwrap();
    let response = bus.ask("start", json!({"camera": "front", "last_seconds": 60}));
    assert_eq!(response["error"]["code"], "unavailable", "{response}");
    assert!(response["error"]["message"].as_str().unwrap().contains("frigate.db"));
    std::fs::rename(&away, &here).unwrap();
    let response = bus.ask("start", json!({"camera": "front", "last_seconds": 60}));
    assert_eq!(response["status"], "ok", "{response}");
    bus.wait_topic("event", |event| event["event_type"] == "live");
    house.check();
}
