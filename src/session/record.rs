//! The record: what is saved before anything is published or done, and what a start makes of it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire::messages::{CameraRemove, FinishedJob, HISTORY_LENGTH, Happening, Job, Response};
use crate::words::{ReplayCamera, UnixTime};

use super::event::Cameras;
use super::form::Form;
use super::link::LinkRecord;
use super::state::{Ending, MAX_ATTEMPTS, Policy, Stage, State};
use super::step::{Step, Turn};

/// Everything that must survive the worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The session, if there is one.
    pub session: Option<super::Session>,
    /// The newest job as it is shown; its progress is shown from elsewhere.
    pub job: Option<Job>,
    /// The replay cameras that were taken away and not added again, and how long that is shown.
    pub removed: BTreeMap<ReplayCamera, Removed>,
    /// Replay cameras that may have left something behind, and when they were taken away.
    pub litter: BTreeMap<ReplayCamera, UnixTime>,
    /// The last finished jobs.
    pub history: History,
    /// The newest answer.
    pub last_response: Option<Response>,
    /// The answers before it, the newest last: a kill between an answer and its acknowledgement
    /// brings the request again, and then it must be answered the same. A few, of those with a
    /// transaction.
    pub answered: Vec<Response>,
    /// What we put into the running Frigate.
    pub link: LinkRecord,
    /// What is chosen in the form.
    pub form: Form,
}

/// How many answers before the newest are saved, and how many bytes of JSON: more than a broker has
/// under way to us at a time, few enough to be written with every answer.
const ANSWERED_MAX: (usize, usize) = (20, 60 * 1024);

/// The part for what nearly every step changes. The store takes a third longer for three values
/// than for one of their size together.
const NOW_PART: &str = "now";

/// What is in [`NOW_PART`], each by the name of the part that it has if they are too large together.
#[derive(Serialize)]
struct Now<'a> {
    session: Option<super::Session>,
    job: &'a Option<Job>,
    last_response: &'a Option<Response>,
}

/// Bytes that [`NOW_PART`] has at most: a step hardly ever brings more, and the store takes it.
const NOW_MAX_BYTES: usize = 64 * 1024;

/// What a removal's part of a record begins with; the camera's name follows.
const REMOVED_PART: &str = "removed/";

impl Record {
    /// Remembers an answer, and forgets the oldest when there are too many.
    pub(super) fn remember_answer(&mut self, response: Response) {
        if let Some(before) = self.last_response.replace(response)
            && before.transaction.is_some()
        {
            self.answered.push(before);
        }
        let bytes = |answers: &[Response]| serde_json::to_vec(answers).map_or(0, |json| json.len());
        while self.answered.len() > ANSWERED_MAX.0 || bytes(&self.answered) > ANSWERED_MAX.1 {
            self.answered.remove(0);
        }
    }

    /// The record as named JSON texts, each small enough for the store and written only when it
    /// changed. [`Record::from_parts`] reads them again.
    pub fn parts(&self) -> BTreeMap<String, Vec<u8>> {
        let mut parts = BTreeMap::new();
        put(&mut parts, "litter", &self.litter);
        parts.insert("history".to_owned(), self.history.json.clone().into_bytes());
        put(&mut parts, "answered", &self.answered);
        put(&mut parts, "link", &self.link);
        put(&mut parts, "form", &self.form);
        let mut session = self.session.clone();
        // The config of the camera is as large as the rest together: a part of its own.
        if let Some(config) = session.as_mut().and_then(|session| session.camera_config.take()) {
            put(&mut parts, "camera_config", &config);
        }
        let now = Now { session, job: &self.job, last_response: &self.last_response };
        let together = json(&now);
        if together.len() <= NOW_MAX_BYTES {
            parts.insert(NOW_PART.to_owned(), together);
        } else {
            put(&mut parts, "session", &now.session);
            put(&mut parts, "job", &now.job);
            put(&mut parts, "last_response", &now.last_response);
        }
        for (camera, removed) in &self.removed {
            put(&mut parts, &format!("{REMOVED_PART}{camera}"), removed);
        }
        parts
    }

    /// Reads what [`Record::parts`] wrote. What cannot be read is left out and named in the second
    /// value; without its part, a session counts as never begun.
    pub fn from_parts(parts: &BTreeMap<String, Vec<u8>>) -> (Self, Vec<String>) {
        let mut unreadable = Vec::new();
        let saved = parts;
        let mut parts = saved.clone();
        let now: Option<BTreeMap<String, Box<RawValue>>> = get(&parts, NOW_PART, &mut unreadable);
        for (name, part) in now.into_iter().flatten() {
            parts.insert(name, part.get().as_bytes().to_vec());
        }
        let parts = &parts;
        let mut record = Record {
            session: get(parts, "session", &mut unreadable).flatten(),
            job: get(parts, "job", &mut unreadable).flatten(),
            litter: get(parts, "litter", &mut unreadable).unwrap_or_default(),
            history: get(parts, "history", &mut unreadable).map(History::of).unwrap_or_default(),
            last_response: get(parts, "last_response", &mut unreadable).flatten(),
            answered: get(parts, "answered", &mut unreadable).unwrap_or_default(),
            link: get(parts, "link", &mut unreadable).unwrap_or_default(),
            form: get(parts, "form", &mut unreadable).unwrap_or_default(),
            removed: BTreeMap::new(),
        };
        if let Some(session) = &mut record.session {
            session.camera_config = get(parts, "camera_config", &mut unreadable);
        }
        for name in parts.keys() {
            if name.starts_with(REMOVED_PART)
                && let Some::<Removed>(removed) = get(parts, name, &mut unreadable)
            {
                record.removed.insert(removed.message.camera.clone(), removed);
            }
        }
        // As they are saved, to be kept aside.
        for name in unreadable.iter_mut().filter(|name| !saved.contains_key(*name)) {
            *name = NOW_PART.to_owned();
        }
        unreadable.sort();
        unreadable.dedup();
        (record, unreadable)
    }
}

fn put<T: Serialize>(parts: &mut BTreeMap<String, Vec<u8>>, name: &str, value: &T) {
    parts.insert(name.to_owned(), json(value));
}

/// A record has text keys and finite numbers only, so it can always be written.
fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn get<T: DeserializeOwned>(
    parts: &BTreeMap<String, Vec<u8>>,
    name: &str,
    unreadable: &mut Vec<String>,
) -> Option<T> {
    let bytes = parts.get(name)?;
    match serde_json::from_slice(bytes) {
        Ok(value) => Some(value),
        Err(_) => {
            unreadable.push(name.to_owned());
            None
        }
    }
}

/// The last finished jobs, the newest first, at most [`HISTORY_LENGTH`]. They are written as JSON when
/// one is added: every step shows and saves them, and hardly any changes them.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    jobs: Vec<FinishedJob>,
    json: String,
}

impl Default for History {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl History {
    fn of(jobs: Vec<FinishedJob>) -> Self {
        // As in `put`.
        let json = serde_json::to_string(&jobs).unwrap_or_default();
        Self { jobs, json }
    }

    /// The jobs, the newest first.
    pub fn jobs(&self) -> &[FinishedJob] {
        &self.jobs
    }

    /// The jobs as a JSON array.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    pub(super) fn add(&mut self, newest: FinishedJob) {
        let mut jobs = std::mem::take(&mut self.jobs);
        jobs.insert(0, newest);
        jobs.truncate(HISTORY_LENGTH);
        *self = Self::of(jobs);
    }
}

/// A replay camera's removal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// What is published.
    pub message: CameraRemove,
    /// Until when.
    pub until: UnixTime,
}

/// What a start of the worker makes of the saved record.
///
/// `clip_gone` says whether the clip of a live session is gone. The same job begins again after an
/// interruption, [`MAX_ATTEMPTS`] times in all; a live session stays live; a stop is finished.
pub fn recover(
    policy: Policy,
    record: Record,
    cameras: Cameras,
    clip_gone: bool,
    now: UnixTime,
) -> Step {
    let state = State { cameras, worker_started_at: now, ..State::of(policy, record) };
    let mut turn = Turn::new(state, now);
    match turn.state.record.session.as_ref().map(|s| (&s.stage, s.attempts)) {
        None => turn.sweep(),
        Some((Stage::Live, _)) if clip_gone => {
            turn.end(Ending::Failed("the clip was lost while the worker was away".to_owned()))
        }
        Some((Stage::Live, _)) => turn.sweep(),
        // Its tear-down is part of every step's end.
        Some((Stage::Stopping { .. }, _)) => {}
        Some((_, attempts)) if attempts >= MAX_ATTEMPTS => turn.end(Ending::Failed(format!(
            "the worker was interrupted {attempts} times while it prepared the replay"
        ))),
        Some(_) => turn.begin_job_again(),
    }
    turn.done()
}

impl Turn {
    /// The same job from its beginning; what it had made is made again.
    fn begin_job_again(&mut self) {
        let now = self.now;
        let Some(session) = &mut self.state.record.session else {
            return;
        };
        session.attempts += 1;
        session.stage = Stage::Preparing;
        session.clip = None;
        session.camera_config = None;
        self.announce(Happening::Resumed, None);
        self.run_job(now);
    }
}
