//! The look at the whole world: what must hold whenever a house is calm, whatever befell it.
//!
//! Retained topics, the saved record, files, rows and processes agree; no accepted request is
//! without an outcome; nothing of a past session is left; nothing that is not the worker's was
//! touched. The retained topics are compared with the worker's own view of the record that its
//! store holds, read from a copy of the store's folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use frigate_replay::session::{Policy, Record, Stage, State, view};
use frigate_replay::store::Store;
use frigate_replay::wire::messages::HISTORY_LENGTH;
use frigate_replay::wire::topics::Topics;
use serde_json::Value;
use tempfile::TempDir;

use super::bus;
use super::house::{BASE, House, NEIGHBOURS, PATIENCE, TABLES};

/// What the saved record cannot tell: it depends on the worker's settings, or on the moment.
const NOT_IN_THE_RECORD: [&str; 3] = ["info", "available", "form/camera"];

const TO_SWEEP: &str = " is still to be swept";

impl House {
    /// Looks whether everything agrees, now.
    pub fn check(&self) {
        let mut found = self.violations();
        // That everything is swept is saved a moment after it is.
        found.retain(|sentence| !sentence.ends_with(TO_SWEEP));
        assert!(found.is_empty(), "{found:#?}");
    }

    /// Waits until everything agrees.
    pub fn check_when_calm(&self) {
        let found = self.violations_when_calm();
        assert!(found.is_empty(), "not even when calm: {found:#?}");
    }

    /// What does not agree once there was time enough for everything to come to its end.
    pub fn violations_when_calm(&self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.violations();
            if found.is_empty() || Instant::now() > deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The end, looked at now, since what the house stands on goes before it does.
    pub fn end_here(&mut self) {
        self.end();
        self.ends_unlooked("its end was looked at");
    }

    /// With what the worker is started at the end, if not with what it was started with last.
    pub fn ends_with(&self, args: &[&str]) {
        *self.last_args.borrow_mut() = Some(args.iter().map(|arg| arg.to_string()).collect());
    }

    /// The end of a test is not looked at, because of `why`.
    pub fn ends_unlooked(&self, why: &'static str) {
        self.unlooked.set(Some(why));
    }

    /// What was accepted so far needs no outcome: its store is damaged or removed on purpose.
    pub fn forget_accepted(&self) {
        bus::forget_accepted(self.port);
    }

    /// The end of every test: a worker is started once more as the last one was, everything must
    /// come to agree, and must still agree when that worker has left.
    pub fn end(&mut self) {
        let Some(args) = self.last_args.borrow().clone() else { return };
        if self.unlooked.get().is_some() || !self.is_open() {
            return;
        }
        if !self.broker_runs() {
            self.start_broker();
        }
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        if args.contains(&"--frigate-url") {
            // The test's Frigate has gone before its house.
            args.clear();
        }
        let worker = self.worker(&args);
        self.check_when_calm();
        let code = worker.end();
        assert_eq!(code, Some(0), "asked to end, the worker ends well");
        let mut found = self.violations();
        let retained = self.bus().retained();
        if retained.get(&format!("{BASE}/available")).map(String::as_str) != Some("offline") {
            found.push("the worker has left and is not offline".to_owned());
        }
        assert!(found.is_empty(), "after the worker has left: {found:#?}");
    }

    /// Everything that does not agree just now, each in a sentence.
    pub fn violations(&self) -> Vec<String> {
        let retained = self.bus().retained();
        let mut found = Vec::new();
        let (record, remembered) = match self.saved() {
            Ok(saved) => saved,
            Err(error) => {
                found.push(format!("the store: {error}"));
                return found;
            }
        };
        check_record(&record, &mut found);
        check_topics(&record, &remembered, &retained, &mut found);
        self.check_outcomes(&record, &mut found);
        self.check_traces(&record, &mut found);
        self.check_neighbours(&mut found);
        self.check_processes(&mut found);
        found
    }

    /// The record and the remembered topics that the worker's store holds.
    pub fn saved(&self) -> Result<(Record, BTreeSet<String>), String> {
        let folder = self.path("data/session");
        if !folder.exists() {
            return Ok(Default::default());
        }
        let copy = TempDir::new().unwrap();
        let path = copy.path().join("session");
        copy_folder(&folder, &path).map_err(|error| error.to_string())?;
        let store = Store::open(&path).map_err(|error| error.to_string())?;
        let (record, unreadable) = Record::from_parts(store.record());
        if !unreadable.is_empty() {
            return Err(format!("cannot read {unreadable:?}"));
        }
        let topics = store.topics().map_err(|error| error.to_string())?;
        Ok((record, topics))
    }

    /// Every accepted request has led to a session that is there or has ended.
    fn check_outcomes(&self, record: &Record, found: &mut Vec<String>) {
        let accepted = bus::accepted(self.port);
        for id in accepted.iter().rev().take(HISTORY_LENGTH) {
            let ended = record.history.jobs().iter().any(|job| job.job_id.as_str() == id);
            let here = record.session.as_ref().is_some_and(|s| s.job_id.as_str() == id);
            if !ended && !here {
                found.push(format!("the accepted job {id} is without an outcome"));
            }
        }
    }

    fn check_traces(&self, record: &Record, found: &mut Vec<String>) {
        let kept = record.session.as_ref().map(|session| session.replay_camera());
        let clip = kept.as_ref().map(|camera| format!("{camera}.mp4"));
        let wanted: Vec<String> = clip.into_iter().collect();
        if self.clips() != wanted {
            found.push(format!("the clips are {:?} instead of {wanted:?}", self.clips()));
        }
        for trace in self.traces() {
            let is_kept = kept.as_ref().is_some_and(|camera| trace.contains(camera.as_str()));
            if !is_kept {
                found.push(format!("left behind: {trace}"));
            }
        }
    }

    fn clips(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("media/frigate-replay"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Every file and row with a replay camera's name.
    pub fn traces(&self) -> Vec<String> {
        let mut found = Vec::new();
        find(&self.path("media"), &mut found);
        let db = self.database();
        for table in TABLES {
            let sql = format!(
                "SELECT DISTINCT camera FROM \"{table}\" WHERE camera LIKE '\\_replay\\_%' ESCAPE '\\'"
            );
            // A table that is not there has no rows.
            let Ok(mut statement) = db.prepare(&sql) else { continue };
            let cameras = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
            found.extend(cameras.map(|camera| format!("rows of {} in {table}", camera.unwrap())));
        }
        found
    }

    /// What belongs to other cameras is there as it was.
    fn check_neighbours(&self, found: &mut Vec<String>) {
        for file in NEIGHBOURS {
            match fs::read(self.path("media").join(file)) {
                Ok(content) if content == b"x" || file.ends_with(".mp4") => {}
                Ok(_) => found.push(format!("{file} of another camera was changed")),
                Err(error) => found.push(format!("{file} of another camera: {error}")),
            }
        }
        let db = self.database();
        for table in TABLES {
            let rows = db.query_row(
                &format!("SELECT COUNT(*) FROM \"{table}\" WHERE camera = 'front'"),
                [],
                |row| row.get::<_, i64>(0),
            );
            if rows.is_ok_and(|rows| rows == 0) {
                found.push(format!("rows of another camera are gone from {table}"));
            }
        }
    }

    /// No process works in this house but its broker and its worker.
    fn check_processes(&self, found: &mut Vec<String>) {
        let here = self.dir.path().display().to_string();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            let program = line.split('\0').next().unwrap_or_default();
            let is_known = program == "mosquitto" || program.ends_with("/frigate-replay");
            if line.contains(&here) && !is_known {
                found.push(format!("an orphan: {}", line.replace('\0', " ")));
            }
        }
    }
}

/// A calm session is live, or there is none; a calm job has ended.
fn check_record(record: &Record, found: &mut Vec<String>) {
    if let Some(session) = &record.session
        && session.stage != Stage::Live
    {
        found.push(format!("the session gets nowhere: {:?}", session.stage));
    }
    if let Some(job) = record.job.as_ref().filter(|job| job.end_time.is_none()) {
        found.push(format!("the job gets nowhere: {job:?}"));
    }
    let kept = record.session.as_ref().map(|session| session.replay_camera());
    for camera in record.litter.keys().filter(|camera| Some(*camera) != kept.as_ref()) {
        found.push(format!("{camera}{TO_SWEEP}"));
    }
}

/// The retained topics show the record, all of it and nothing else.
fn check_topics(
    record: &Record,
    remembered: &BTreeSet<String>,
    retained: &BTreeMap<String, String>,
    found: &mut Vec<String>,
) {
    let state = State::of(policy(), record.clone());
    let mut wanted: BTreeMap<String, String> =
        view(&state).into_iter().filter_map(|kept| Some((kept.topic, kept.payload?))).collect();
    for name in NOT_IN_THE_RECORD {
        let topic = format!("{BASE}/{name}");
        if !retained.contains_key(&topic) {
            found.push(format!("{topic} is absent"));
        }
        wanted.remove(&topic);
    }
    for (topic, payload) in retained.iter().filter(|(topic, _)| is_ours(topic)) {
        if !remembered.contains(topic) {
            found.push(format!("{topic} is retained and not remembered"));
        }
        match wanted.remove(topic) {
            None => found.push(format!("{topic} should be absent: {payload:.200}")),
            Some(wanted) if normal(&wanted) != normal(payload) => {
                found.push(format!("{topic} shows {payload:.300} instead of {wanted:.300}"));
            }
            Some(_) => {}
        }
    }
    found.extend(wanted.into_keys().map(|topic| format!("{topic} is absent")));
}

fn is_ours(topic: &str) -> bool {
    let name = topic.strip_prefix(BASE).and_then(|rest| rest.strip_prefix('/'));
    let ours = |name: &str| {
        // Cameras that are no replay cameras are none of the worker's business.
        let foreign = name.starts_with("config/cameras/") && !name.contains("/_replay_");
        // A picture is there only beside a running Frigate.
        !foreign && name != "picture" && !NOT_IN_THE_RECORD.contains(&name)
    };
    name.is_some_and(ours)
}

/// Without what only the running worker knows: its settings, and how Frigate has the camera.
fn normal(payload: &str) -> Value {
    let mut value: Value = serde_json::from_str(payload).unwrap_or(Value::Null);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("link");
        fields.remove("auto_stop_at");
    }
    value
}

fn policy() -> Policy {
    let (prefix, instance) = BASE.split_once('/').unwrap();
    Policy {
        topics: Topics::new(prefix, instance).unwrap(),
        max_session_s: 43_200.0,
        max_range_s: 86_400.0,
        frigate_url: None,
        frigate_topics: None,
        frigate_pictures: None,
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn find(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.contains("_replay_") {
            found.push(entry.path().display().to_string());
        } else if entry.file_type().unwrap().is_dir() {
            find(&entry.path(), found);
        }
    }
}
