//! A replay, from request to removal, as its users see it.

use rumqttc::mqttbytes::v5::PublishProperties;
use rumqttc::{PublishOptions, QoS};
use serde_json::{Value, json};

use super::house::{BASE, House};

fn minute(house: &House) -> Value {
    json!({"camera": "front", "start_time": house.range.0, "end_time": house.range.1})
}

#[test]
fn a_replay_started_watched_and_stopped() {
    let house = House::new();
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.wait_inactive();
    let response = bus.ask("start", minute(&house));
    assert_eq!(response["status"], "ok", "{response}");
    let job_id = response["data"]["job_id"].as_str().unwrap().to_owned();
    assert_eq!(job_id.len(), 12);
    assert_eq!(response["data"]["replay_camera"], "_replay_front");
    bus.wait_topic("event", |event| event["event_type"] == "live");

    // Who comes late reads everything.
    let late = house.bus().retained();
    let read =
        |topic: &str| -> Value { serde_json::from_str(&late[&format!("{BASE}/{topic}")]).unwrap() };
    let session = read("session");
    assert_eq!(session["active"], true);
    assert_eq!(session["live_ready"], true);
    assert_eq!(session["phase"], "live");
    assert_eq!(session["job_id"], job_id.as_str());
    assert_eq!(session["segments"], 6);
    assert!((session["footage_seconds"].as_f64().unwrap() - 60.0).abs() < 0.5, "{session}");
    assert_eq!(session["clip_path"], "/media/frigate/frigate-replay/_replay_front.mp4");
    let lasts =
        session["auto_stop_at"].as_f64().unwrap() - session["session_started_at"].as_f64().unwrap();
    assert_eq!(lasts, 43_200.0);
    let job = &read("job_state")["debug_replay"];
    assert_eq!(job["status"], "success");
    assert_eq!(job["results"]["progress_percent"], 100.0);
    assert_eq!(job["results"]["replay_camera_name"], "_replay_front");
    let add = read("config/cameras/_replay_front/add");
    assert_eq!(add["job_id"], job_id.as_str());
    let input = &add["config"]["ffmpeg"]["inputs"][0];
    assert_eq!(input["path"], session["clip_path"]);
    assert_eq!(read("last_response")["transaction"], response["transaction"]);
    house.check();

    house.leave_traces("_replay_front");
    let response = bus.ask("stop", json!({}));
    assert_eq!(response["status"], "ok", "{response}");
    // The answer comes when it is done: a late reader finds it so.
    let late = house.bus().retained();
    let session: Value = serde_json::from_str(&late[&format!("{BASE}/session")]).unwrap();
    assert_eq!(session["active"], false);
    assert!(session.as_object().unwrap().iter().all(|(k, v)| k == "active" || v.is_null()));
    let job: Value = serde_json::from_str(&late[&format!("{BASE}/job_state")]).unwrap();
    assert_eq!(job["debug_replay"]["id"], "stopped");
    assert!(!late.contains_key(&format!("{BASE}/config/cameras/_replay_front/add")));
    let remove: Value =
        serde_json::from_str(&late[&format!("{BASE}/config/cameras/_replay_front/remove")])
            .unwrap();
    assert_eq!(remove["reason"], "stopped");
    assert_eq!(remove["config"], add["config"]);
    let history: Value = serde_json::from_str(&late[&format!("{BASE}/history")]).unwrap();
    assert_eq!(history["jobs"][0]["job_id"], job_id.as_str());
    house.check();
}

#[test]
fn the_job_is_seen_going_through_its_steps() {
    let house = House::new();
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    bus.wait_topic("event", |event| event["event_type"] == "live");
    let steps: Vec<String> = bus
        .heard
        .iter()
        .filter(|message| message.topic == format!("{BASE}/job_state"))
        .map(|message| message.json())
        .map(|job| {
            let job = &job["debug_replay"];
            let step = job["results"]["current_step"].as_str().unwrap_or("-").to_owned();
            format!("{} {step}", job["status"].as_str().unwrap_or("none"))
        })
        .collect();
    let mut seen = steps.clone();
    seen.dedup();
    assert_eq!(
        seen,
        ["none -", "running preparing_clip", "running starting_camera", "success starting_camera"]
    );
    bus.ask("stop", json!({}));
    house.check();
}

#[test]
fn a_replay_of_an_export() {
    let house = House::new();
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    let response = bus.ask("start_from_export", json!({"export_id": "front_done"}));
    assert_eq!(response["status"], "ok", "{response}");
    let session = bus.wait_phase("live");
    assert_eq!(session["source_camera"], "front");
    assert_eq!(session["start_time"], 1_700_000_000.0);
    assert_eq!(session["end_time"], 1_700_000_010.0);
    house.check();
    bus.ask("stop", json!({}));
    house.check();
}

#[test]
fn one_replay_at_a_time() {
    let house = House::new();
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.request("start", minute(&house));
    let response = bus.ask("start", minute(&house));
    assert_eq!(response["error"]["code"], "already_active", "{response}");
    bus.wait_topic("event", |event| event["event_type"] == "live");
    let response = bus.ask("start_from_export", json!({"export_id": "front_done"}));
    assert_eq!(response["error"]["code"], "already_active", "{response}");
    let other = bus.ask("stop", json!({"job_id": "another"}));
    assert_eq!(other["error"]["code"], "not_active", "{other}");
    house.check();
    bus.ask("stop", json!({}));
    let none = bus.ask("stop", json!({}));
    assert_eq!(none["error"]["code"], "not_active", "{none}");
    house.check();
}

#[test]
fn the_same_start_twice_has_one_effect() {
    let house = House::new();
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    let mut request = minute(&house);
    request["transaction"] = json!(42);
    let first = bus.ask("start", request.clone());
    let second = bus.ask("start", request);
    assert_eq!(first["status"], "ok");
    assert_eq!(second["status"], "ok");
    assert_eq!(first["data"]["job_id"], second["data"]["job_id"]);
    // It may be live before the second answer came.
    house.check_when_calm();
    let retained = house.bus().retained();
    let session: Value = serde_json::from_str(&retained[&format!("{BASE}/session")]).unwrap();
    assert_eq!(session["phase"], "live");
}

#[test]
fn a_stop_in_the_middle_of_the_clip() {
    let house = House::new();
    // An ffmpeg that takes its time, so that the middle is long.
    let slow = house.path("slow-ffmpeg");
    std::fs::write(&slow, "#!/bin/sh\nexec ffmpeg -re \"$@\"\n").unwrap();
    let mut permissions = std::fs::metadata(&slow).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&slow, permissions).unwrap();
    let ffmpeg = slow.display().to_string();
    let _worker = house.worker(&["--clip-engine", "ffmpeg", "--ffmpeg", &ffmpeg]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    bus.wait_topic("job_state", |job| {
        job["debug_replay"]["results"]["progress_percent"].as_f64() > Some(0.0)
    });
    let response = bus.ask("stop", json!({}));
    assert_eq!(response["status"], "ok", "{response}");
    let late = house.bus().retained();
    assert!(!late.keys().any(|topic| topic.contains("/config/cameras/")), "never added");
    let history: Value = serde_json::from_str(&late[&format!("{BASE}/history")]).unwrap();
    assert_eq!(history["jobs"][0]["status"], "cancelled");
    house.check();
}

#[test]
fn a_session_stops_by_itself() {
    let house = House::new();
    let _worker = house.worker(&["--max-session", "2s", "--watchdog-interval", "100ms"]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    bus.wait_topic("event", |event| event["event_type"] == "timed_out");
    let remove = bus.heard.iter().find(|message| {
        message.topic.ends_with("/remove") && message.payload.contains("timed_out")
    });
    assert!(remove.is_some());
    house.check();
}

#[test]
fn surprises_are_told_in_the_response_the_session_and_the_log() {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    let mut request = minute(&house);
    request["overrides"] = json!({"objects": {"track": ["person", "unicorn"]}});
    let response = bus.ask("start", request);
    let warning =
        "overrides.objects.track: \"unicorn\" is left out: the detection model does not know it";
    assert_eq!(response["data"]["warnings"], json!([warning]), "{response}");
    assert_eq!(bus.wait_phase("live")["warnings"], json!([warning]));
    let log = worker.log();
    let lines = log.lines().filter(|line| line.contains("WARN") && line.contains("unicorn"));
    assert_eq!(lines.count(), 1, "{log}");
    house.check();
}

#[test]
fn overrides_change_the_replay_and_are_kept() {
    let house = House::new();
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    let mut request = minute(&house);
    request["overrides"] = json!({"detect": {"fps": 9}, "objects": {"track": ["car"]}});
    let response = bus.ask("start", request);
    assert_eq!(response["status"], "ok", "{response}");
    let add = bus.wait_topic("config/cameras/_replay_front/add", |add| add.is_object());
    assert_eq!(add["config"]["detect"]["fps"], 9);
    assert_eq!(add["config"]["objects"]["track"], json!(["car"]));
    house.check();
}

#[test]
fn mqtt_5_response_topic_and_correlation_data_are_honoured_below_our_responses() {
    let house = House::new();
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    let ask = |bus: &super::bus::Bus, response_topic: &str| {
        let options = PublishOptions::new(QoS::AtLeastOnce).properties(PublishProperties {
            response_topic: Some(response_topic.to_owned()),
            correlation_data: Some(b"\x00\xffmine".to_vec().into()),
            ..PublishProperties::default()
        });
        bus.publish_with(&format!("{BASE}/request/stop"), "{}", options);
    };
    let wanted = format!("{BASE}/response/my/script");
    ask(&bus, &wanted);
    let answer = bus.wait("the answer", |message| message.topic == wanted);
    assert_eq!(answer.properties.correlation_data.as_deref(), Some(&b"\x00\xffmine"[..]));
    // Elsewhere the worker would publish what the requester might not.
    ask(&bus, "home/door/unlock");
    let answer = bus.wait("the answer", |message| message.topic == format!("{BASE}/response/stop"));
    assert_eq!(answer.properties.correlation_data.as_deref(), Some(&b"\x00\xffmine"[..]));
    bus.catch_up();
    assert!(!bus.heard.iter().any(|message| message.topic == "home/door/unlock"));
    house.check();
}
