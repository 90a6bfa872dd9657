//! Frigate's database: locked, read-only, of another shape, replaced, huge.

use std::fs;
use std::time::{Duration, Instant};

use frigate_replay::database::Database;
use frigate_replay::words::{CameraName, TimeRange, UnixTime};
use rusqlite::Connection;
use serde_json::json;

use super::disk::{SmallDisk, no_mounts, start};
use super::house::{House, TABLES, wait_for};
use super::trial::{Fault, Trial};

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new("db-locked", "held by somebody for 30 s (6 s in the short form)", locked),
        Fault::new("db-read-only", "read-only for a while", read_only).unless(no_mounts),
        Fault::new("db-tables", "some tables are missing", missing_tables).share(2),
        Fault::new("db-replaced", "replaced while it is open", replaced),
        Fault::new(
            "db-huge",
            "1 million recordings, 100 000 events (a tenth of it in the short form)",
            huge,
        )
        .share(0),
    ]
}

/// Held longer than the worker waits, and so that nobody can even read.
fn locked(trial: &mut Trial) {
    let house = House::new();
    let mut bus = house.bus();
    let db = house.database();
    let mode: String = db.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
    // What a forgotten session left; nothing but the database knows of it.
    house.add_rows("_replay_old");
    db.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begin = Instant::now();
    let worker = house.worker(&["--watchdog-interval", "200ms"]);
    let response = bus.ask("start", start(&house));
    assert_eq!(response["error"]["code"], "unavailable", "{response}");
    assert!(response["error"]["message"].as_str().unwrap().contains("locked"), "{response}");
    let held = Duration::from_secs(if trial.long { 30 } else { 6 });
    std::thread::sleep(held.saturating_sub(begin.elapsed()));
    db.execute_batch("ROLLBACK").unwrap();
    house.check_when_calm();
    trial.came("unavailable, then swept");

    // And while a session ends.
    assert_eq!(bus.ask("start", start(&house))["status"], "ok");
    bus.wait_phase("live");
    house.leave_traces("_replay_front");
    db.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(bus.ask("stop", json!({}))["status"], "ok", "the session is not held back");
    db.execute_batch("ROLLBACK").unwrap();
    house.check_when_calm();
    worker.kill();
    trial.came("not held back");
}

fn read_only(trial: &mut Trial) {
    let mut house = House::new();
    let disk = SmallDisk::under(&house, "config", "16m");
    let worker = house.worker(&["--watchdog-interval", "100ms"]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    house.leave_traces("_replay_front");
    wait_for("the last connection to be closed", || {
        let db = Connection::open(house.path("config/frigate.db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = DELETE").ok()
    });
    disk.read_only(true);
    assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
    disk.read_only(false);
    house.check_when_calm();
    worker.kill();
    house.end_here();
    trial.came("swept later");
}

fn missing_tables(trial: &mut Trial) {
    let house = House::new();
    let _worker = house.worker(&["--watchdog-interval", "100ms"]);
    let mut bus = house.bus();
    let mut tables: Vec<&str> = TABLES.into_iter().chain(["export"]).collect();
    while !tables.is_empty() {
        let table = tables.remove(trial.random.below(tables.len() as u64) as usize);
        let response = bus.ask("start", start(&house));
        let is_ok = response["status"] == "ok";
        if is_ok {
            bus.wait_phase("live");
        } else {
            assert_eq!(response["error"]["code"], "unavailable", "{response}");
        }
        for file in ["clips/thumbs/_replay_front/1.webp", "clips/_replay_front-1.1-a.jpg"] {
            house.touch(file);
        }
        house.database().execute_batch(&format!("DROP TABLE \"{table}\"")).unwrap();
        if is_ok {
            assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
        } else {
            bus.ask("start_from_export", json!({"export_id": "front_done"}));
            bus.ask("stop", json!({}));
        }
        trial.came(if is_ok { "replayed" } else { "unavailable" });
        sweep_by_hand(&house);
    }
}

/// Without a session nobody takes away what was laid out by hand.
fn sweep_by_hand(house: &House) {
    for trace in house.traces() {
        let path = std::path::Path::new(&trace);
        let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
    }
    house.check_when_calm();
}

fn replaced(trial: &mut Trial) {
    let house = House::new();
    let worker = house.worker(&["--watchdog-interval", "100ms"]);
    let mut bus = house.bus();
    let path = house.path("config/frigate.db");
    for _ in 0..if trial.long { 6 } else { 3 } {
        bus.ask("start", start(&house));
        bus.wait_phase("live");
        // A copy of it, as a restore from a backup would be, with rows of the session in it.
        house.add_rows("_replay_front");
        house.database().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let copy = house.path("config/copy.db");
        fs::copy(&path, &copy).unwrap();
        for extra in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{extra}", path.display()));
        }
        fs::rename(&copy, &path).unwrap();
        trial.random.wait_below(50);
        assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
        house.check_when_calm();
        trial.came("opened anew");
    }
    worker.kill();
}

/// The cost of a look-up and of a search for stale rows does not grow with the database.
fn huge(trial: &mut Trial) {
    let most = if trial.long { 1_000_000 } else { 100_000 };
    let mut rows = Vec::new();
    for recordings in [1000, most] {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("frigate.db");
        fill(&path, recordings);
        let database = Database::at(&path);
        let camera = CameraName::parse("camera_1").unwrap();
        let at = |n: u32| UnixTime::new(1.7e9 + f64::from(n)).unwrap();
        // In the middle, and where a plan by the wrong index would read the most.
        let ranges = [recordings / 2, 100, recordings - 200];
        let mut look_ups = Vec::new();
        let mut sweeps = Vec::new();
        for round in 0..30 {
            let from = ranges[round % 3];
            let range = TimeRange { start: at(from), end: at(from + 600) };
            let begin = Instant::now();
            database.has_recordings(&camera, range).unwrap();
            database.recordings(&camera, range).unwrap();
            look_ups.push(begin.elapsed());
            let begin = Instant::now();
            assert!(database.replay_cameras().unwrap().is_empty());
            sweeps.push(begin.elapsed());
        }
        let begin = Instant::now();
        database.bytes_of_last_hour(at(recordings)).unwrap();
        rows.push((median(look_ups), median(sweeps), begin.elapsed()));
    }
    let ratio = |of: fn(&(Duration, Duration, Duration)) -> Duration| {
        of(&rows[1]).as_secs_f64() / of(&rows[0]).as_secs_f64().max(1e-6)
    };
    let (look_up, sweep) = (ratio(|row| row.0), ratio(|row| row.1));
    // A thousand times the rows: what reads them all takes a thousand times as long.
    assert!(look_up < 20.0 && sweep < 20.0, "look-up x{look_up:.1}, sweep x{sweep:.1}: {rows:?}");
    trial.came(format!("look-up x{look_up:.1}, sweep x{sweep:.1} for x{}", most / 1000));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// So many recordings of ten cameras, ten seconds each, and a tenth as many events.
fn fill(path: &std::path::Path, recordings: u32) {
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;").unwrap();
    db.execute_batch(include_str!("../frigate/schema.sql")).unwrap();
    db.execute_batch(&format!(
        "INSERT INTO recordings (id, camera, path, start_time, end_time, duration, segment_size)
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {recordings})
         SELECT 'r' || i, 'camera_' || (i % 10), '/r/' || i, 1700000000 + i, 1700000010 + i, 10, 1.5 FROM n;
         INSERT INTO event (id, label, camera, start_time, zones, has_clip, has_snapshot, retain_indefinitely, data)
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {recordings} / 10)
         SELECT 'e' || i, 'person', 'camera_' || (i % 10), 1700000000 + i, '', 0, 0, 0, '' FROM n;"
    ))
    .unwrap();
}
