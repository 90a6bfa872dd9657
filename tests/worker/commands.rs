//! The commands of the binary, as a person runs them.

use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::house::{BASE, House};

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn start_status_and_stop_from_the_command_line() {
    let house = House::new();
    let _worker = house.worker(&[]);
    let (start, end) = (house.range.0.to_string(), house.range.1.to_string());
    let started = house.output("start", &["--camera", "front", "--start", &start, "--end", &end]);
    assert!(started.status.success(), "{}", text(&started));
    assert!(text(&started).contains("_replay_front") && text(&started).contains("live"));
    let status = house.output("status", &[]);
    assert!(text(&status).contains("_replay_front: live"), "{}", text(&status));
    let status = house.output("status", &["--json"]);
    let lines: Vec<Value> = String::from_utf8_lossy(&status.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().any(|line| line["session"]["active"] == true), "{lines:?}");
    let again = house.output("start", &["--camera", "front", "--last", "1m"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again).contains("is active"), "{}", text(&again));
    let stopped = house.output("stop", &["--json"]);
    assert!(stopped.status.success(), "{}", text(&stopped));
    let response: Value = serde_json::from_slice(&stopped.stdout).unwrap();
    assert_eq!(response["response"]["status"], "ok");
    house.check();
}

#[test]
fn a_failed_replay_is_told_on_the_command_line() {
    let house = House::new();
    let _worker = house.worker(&[]);
    for n in 0..6 {
        let file = format!("media/recordings/2026-01-01/00/front/00.{n}0.mp4");
        std::fs::write(house.path(&file), b"no video").unwrap();
    }
    let started = house.output("start", &["--camera", "front", "--last", "2m"]);
    assert_eq!(started.status.code(), Some(1), "{}", text(&started));
    assert!(text(&started).contains("00.00.mp4"), "{}", text(&started));
    let mut bus = house.bus();
    bus.wait_inactive();
    house.check();
}

#[test]
fn wrong_command_lines_and_settings_have_exit_codes_of_their_own() {
    let house = House::new();
    assert_eq!(house.output("start", &["--camera", "front"]).status.code(), Some(2));
    assert_eq!(house.output("start", &["--nonsense"]).status.code(), Some(2));
    let settings = house.output("run", &["--max-session", "long"]);
    assert_eq!(settings.status.code(), Some(78));
    assert!(text(&settings).contains("max_session"), "{}", text(&settings));
}

#[test]
fn check_shows_settings_and_what_is_missing() {
    let house = House::new();
    let check = house.output("check", &[]);
    assert!(check.status.success(), "{}", text(&check));
    for words in [
        "topic_prefix",
        "frigate_replay",
        "Frigate's config",
        "front, yard",
        "can be written",
        "device at",
    ] {
        assert!(text(&check).contains(words), "{words}: {}", text(&check));
    }
    house.write_config("cameras: {front: {detect: {fps: fast}}}");
    std::fs::remove_file(house.path("config/frigate.db")).unwrap();
    let url = format!("mqtt://127.0.0.1:{}", house.port);
    let check = house.output("check", &["--mqtt-url", &url]);
    assert_eq!(check.status.code(), Some(1));
    for words in ["cameras.front.detect.fps", "frigate.db is not there"] {
        assert!(text(&check).contains(words), "{words}: {}", text(&check));
    }
}

#[test]
fn healthcheck_tells_whether_the_worker_is_well() {
    let mut house = House::new();
    assert_eq!(house.output("healthcheck", &[]).status.code(), Some(1));
    let worker = house.worker(&[]);
    let well = house.output("healthcheck", &[]);
    assert!(well.status.success(), "{}", text(&well));
    house.stop_broker();
    super::house::wait_for("the loss", || worker.log().contains("lost the broker").then_some(()));
    let ill = house.output("healthcheck", &[]);
    assert_eq!(ill.status.code(), Some(1));
    assert!(text(&ill).contains("not connected"), "{}", text(&ill));
    worker.kill();
    assert_eq!(house.output("healthcheck", &[]).status.code(), Some(1));
}

/// A log driver may go away; the worker must not follow it.
#[test]
fn a_worker_whose_log_nobody_reads_goes_on() {
    let house = House::new();
    let mut bus = house.bus();
    let mut worker = house.command("run", &[]).stderr(Stdio::piped()).spawn().unwrap();
    drop(worker.stderr.take());
    bus.wait_inactive();
    let response = bus.ask("stop", json!({}));
    assert_eq!(response["error"]["code"], "not_active", "refused, which it logs");
    assert_eq!(bus.ask("stop", json!({}))["error"]["code"], "not_active");
    worker.kill().unwrap();
    worker.wait().unwrap();
}

#[test]
fn purge_leaves_nothing() {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", json!({"camera": "front", "last_seconds": 120}));
    bus.wait_phase("live");
    let running = house.output("purge", &[]);
    assert_eq!(running.status.code(), Some(1), "{}", text(&running));
    assert!(text(&running).contains("stop the worker first"));
    worker.end();
    house.leave_traces("_replay_front");
    let purged = house.output("purge", &[]);
    assert!(purged.status.success(), "{}", text(&purged));
    let retained = house.bus().retained();
    let ours = |topic: &&String| topic.starts_with(BASE) || topic.starts_with("homeassistant/");
    let left: Vec<&String> = retained.keys().filter(ours).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(house.traces().is_empty(), "{:?}", house.traces());
    assert!(!house.path("data/session").exists());
    assert!(!house.path("media/frigate-replay").exists());
    house.forget_accepted();
}
