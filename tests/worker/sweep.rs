//! Stale cleanup: at start, on connect, with what cannot be removed just now.

use serde_json::json;

use super::house::{House, wait_for};

#[test]
fn what_forgotten_replays_left_is_taken_away_at_the_start() {
    let house = House::new();
    for camera in ["_replay_front", "_replay_old-camera"] {
        house.leave_traces(camera);
    }
    house.touch("frigate-replay/_replay_front.mp4");
    house.touch("frigate-replay/._replay_shed.mp4.part");
    assert!(!house.traces().is_empty());
    let _worker = house.worker(&[]);
    wait_for("the sweep", || house.traces().is_empty().then_some(()));
    house.check();
}

#[test]
fn a_sweep_on_connect_leaves_the_live_session_alone() {
    let mut house = House::new();
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    let range = house.range;
    bus.ask("start", json!({"camera": "front", "start_time": range.0, "end_time": range.1}));
    bus.wait_phase("live");
    drop(bus);
    house.leave_traces("_replay_yard");
    house.add_rows("_replay_front");
    house.stop_broker();
    house.start_broker();
    wait_for("the sweep", || {
        house.traces().iter().all(|trace| !trace.contains("_replay_yard")).then_some(())
    });
    house.check();
    let rows: i64 = house
        .database()
        .query_row("SELECT COUNT(*) FROM event WHERE camera = '_replay_front'", [], |r| r.get(0))
        .unwrap();
    assert_eq!(rows, 1, "the live camera's own rows stay");
}

#[test]
fn what_cannot_be_removed_now_is_removed_later() {
    let house = House::new();
    let _worker = house.worker(&["--watchdog-interval", "300ms"]);
    let mut bus = house.bus();
    let range = house.range;
    bus.ask("start", json!({"camera": "front", "start_time": range.0, "end_time": range.1}));
    bus.wait_phase("live");
    house.leave_traces("_replay_front");
    let db = house.database();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let response = bus.ask("stop", json!({}));
    assert_eq!(response["status"], "ok", "the session is not held back: {response}");
    assert!(house.traces().iter().any(|trace| trace.contains("rows")));
    db.execute_batch("ROLLBACK").unwrap();
    wait_for("the rows to go", || house.traces().is_empty().then_some(()));
    house.check();
}

#[test]
fn an_older_frigate_without_some_tables_is_swept_as_well() {
    let house = House::new();
    house.leave_traces("_replay_front");
    house.database().execute_batch("DROP TABLE trigger; DROP TABLE regions;").unwrap();
    let _worker = house.worker(&[]);
    wait_for("the sweep", || house.traces().is_empty().then_some(()));
    house.check();
}

/// Nobody remembers these cameras: only the rows name them, and the rows cannot be removed.
#[test]
fn rows_that_only_a_sweep_found_are_removed_later_too() {
    let house = House::new();
    house.add_rows("_replay_old");
    let db = house.database();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let worker = house.worker(&["--watchdog-interval", "300ms"]);
    wait_for("the failure", || worker.log().contains("could not be taken away").then_some(()));
    db.execute_batch("ROLLBACK").unwrap();
    wait_for("the rows to go", || house.traces().is_empty().then_some(()));
}
