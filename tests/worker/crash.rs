//! The worker killed with -9 in each phase and started again.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::house::{BASE, House, wait_for};

fn start(house: &House) -> serde_json::Value {
    json!({"camera": "front", "start_time": house.range.0, "end_time": house.range.1})
}

/// An ffmpeg that takes its time, so that a phase is long enough to be hit.
fn slow_ffmpeg(house: &House) -> String {
    let path = house.path("slow-ffmpeg");
    std::fs::write(&path, "#!/bin/sh\nexec ffmpeg -re \"$@\"\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn killed_while_live_it_is_live_again() {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    let started = bus.ask("start", start(&house));
    let live = bus.wait_phase("live");
    worker.kill();
    bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "offline");
    let _worker = house.worker(&[]);
    let again = bus.wait_phase("live");
    assert_eq!(again, live, "the same session, counted from the same start");
    assert_eq!(again["job_id"], started["data"]["job_id"]);
    house.check();
    assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
    house.check();
}

#[test]
fn killed_while_live_and_the_clip_lost_the_session_has_failed() {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    worker.kill();
    std::fs::remove_file(house.path("media/frigate-replay/_replay_front.mp4")).unwrap();
    let _worker = house.worker(&[]);
    let job = bus.wait_status("failed");
    assert!(job["debug_replay"]["error_message"].as_str().unwrap().contains("clip"));
    bus.wait_inactive();
    house.check();
}

#[test]
fn a_clip_lost_while_live_ends_the_session() {
    let house = House::new();
    let _worker = house.worker(&["--watchdog-interval", "100ms"]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    std::fs::remove_file(house.path("media/frigate-replay/_replay_front.mp4")).unwrap();
    bus.wait_status("failed");
    bus.wait_inactive();
    house.check();
}

#[test]
fn killed_while_the_clip_is_made_the_same_job_begins_again() {
    let house = House::new();
    let slow = slow_ffmpeg(&house);
    let worker = house.worker(&["--clip-engine", "ffmpeg", "--ffmpeg", &slow]);
    let mut bus = house.bus();
    let mut request = start(&house);
    request["overrides"] = json!({"detect": {"fps": 9}});
    let started = bus.ask("start", request);
    bus.wait_topic("job_state", |job| {
        job["debug_replay"]["results"]["progress_percent"].as_f64() > Some(0.0)
    });
    worker.kill();
    // No ffmpeg outlives its worker.
    let here = house.dir.path().display().to_string();
    wait_for("the end of ffmpeg", || {
        let alive = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            line.contains("ffmpeg\0") && line.contains(&here)
        });
        (!alive).then_some(())
    });
    let _worker = house.worker(&[]);
    let live = bus.wait_phase("live");
    assert_eq!(live["job_id"], started["data"]["job_id"]);
    bus.catch_up();
    let add = house.bus().retained()[&format!("{BASE}/config/cameras/_replay_front/add")].clone();
    let add: serde_json::Value = serde_json::from_str(&add).unwrap();
    assert_eq!(add["config"]["detect"]["fps"], 9, "the overrides are part of the session");
    assert!(bus.heard.iter().any(|m| m.payload.contains(r#""event_type":"resumed""#)));
    house.check();
}

#[test]
fn killed_while_stopping_the_stop_is_finished_and_answered() {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    house.leave_traces("_replay_front");
    // A database that Frigate holds keeps the stop from its end.
    let db = house.database();
    db.execute_batch("BEGIN EXCLUSIVE").unwrap();
    bus.request("stop", json!({"transaction": "the-stop"}));
    bus.wait_phase("stopping");
    worker.kill();
    db.execute_batch("ROLLBACK").unwrap();
    let _worker = house.worker(&[]);
    let response = bus.wait_topic("response/stop", |r| r["transaction"] == "the-stop");
    assert_eq!(response["status"], "ok");
    wait_for("the removal of the traces", || house.traces().is_empty().then_some(()));
    house.check();
}

#[test]
fn a_request_sent_while_the_worker_is_down_for_a_moment_is_obeyed() {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    worker.kill();
    bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "offline");
    let mut request = start(&house);
    request["transaction"] = json!("meanwhile");
    bus.request("start", request);
    let _worker = house.worker(&[]);
    let response = bus.wait_topic("response/start", |r| r["transaction"] == "meanwhile");
    assert_eq!(response["status"], "ok");
    bus.wait_phase("live");
    house.check();
}

#[test]
fn asked_to_end_it_leaves_the_session_as_it_is() {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    assert_eq!(worker.end(), Some(0));
    bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "offline");
    let _worker = house.worker(&[]);
    bus.wait_phase("live");
    house.check();
}

#[test]
fn a_record_that_cannot_be_read_never_makes_a_crash_loop() {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    worker.kill();
    std::fs::write(house.path("data/session/conf"), "garbage".repeat(20)).unwrap();
    house.forget_accepted();
    let _worker = house.worker(&[]);
    // Nobody knows the session any more: it is swept as stale.
    bus.wait_inactive();
    bus.wait_topic("config/cameras/_replay_front/remove", |m| m["reason"] == "stale");
    wait_for("the removal of the clip", || house.traces().is_empty().then_some(()));
    bus.catch_up();
    house.check();
    assert!(house.path("data/session.damaged-1").is_dir());
}

#[test]
fn a_second_worker_with_the_same_data_leaves_and_says_so() {
    let house = House::new();
    let mut first = house.worker(&[]);
    let second = house.output("run", &[]);
    assert_eq!(second.status.code(), Some(1));
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(message.contains("in use") && message.contains("data/session"), "{message}");
    assert!(first.is_running());
    house.check();
}
