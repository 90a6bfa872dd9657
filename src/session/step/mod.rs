//! One step: an event and a state give the next state and what to do.

mod ending;
mod job;
mod requests;

use std::collections::{BTreeSet, VecDeque};

use crate::wire::messages::{EventMessage, Happening, Response, ResponseData, ResponseStatus};
use crate::wire::requests::{Code, Refusal};
use crate::words::{CameraName, JobId, ReplayCamera, UnixTime};

use super::event::{Effect, Event, ReplyTo};
use super::link::LinkNow;
use super::record::Record;
use super::state::{MAX_ANSWERED, Policy, Session, Stage, State, short};

/// What follows from an event. To be saved, then published, then acted upon.
#[must_use]
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The next state.
    pub state: State,
    /// What to do, in this order.
    pub effects: Vec<Effect>,
}

impl Step {
    /// Whether it only begins a look-up. A claim is neither saved nor shown, and a look-up does
    /// nothing that could be lost, so it need not wait for a save. What else there may be to save and
    /// to tell is saved and told when it ends.
    pub fn only_looks(&self) -> bool {
        matches!(self.effects.as_slice(), [Effect::LookUp(_)])
    }
}

/// Turns `state` and `event`, which happened at `now`, into the next state and the effects.
pub fn step(state: State, event: Event, now: UnixTime) -> Step {
    let mut turn = Turn::new(state, now);
    match event {
        Event::Request(request) => turn.request(request),
        Event::RetainedRequest { reply_to, topic, receipt } => {
            turn.refuse(reply_to, retained_refusal(&topic));
            turn.effects.push(Effect::ClearTopic(topic));
            turn.effects.push(Effect::Settle(receipt));
        }
        Event::LookedUp(found) => turn.looked_up(found),
        Event::Job(job_id, report) => turn.job(&job_id, report),
        Event::TornDown(job_id) => turn.torn_down(&job_id),
        Event::Swept(cameras) => {
            let litter = &mut turn.state.record.litter;
            litter.retain(|camera, at| !cameras.contains(&(camera.clone(), *at)));
        }
        Event::SweepUnfinished => turn.state.sweep_again = true,
        Event::Connected => {
            turn.state.link.seen = None;
            turn.sweep();
            turn.effects.push(Effect::SweepRetained);
        }
        Event::StaleAdd { camera, job_id, config } => turn.stale_add(camera, job_id, config),
        Event::StaleRemove => {}
        Event::Cameras(cameras) => turn.state.cameras = cameras,
        Event::Frigate(deed, done) => turn.deed_done(deed, done),
        Event::HomeAssistant | Event::Wake => {}
        Event::Tick { clip_gone } => turn.tick(clip_gone),
    }
    turn.done()
}

/// A state in the making, and the effects so far.
pub(super) struct Turn {
    pub(super) state: State,
    pub(super) effects: Vec<Effect>,
    pub(super) now: UnixTime,
}

impl State {
    /// The state of a worker that knows only its record.
    pub fn of(policy: Policy, record: Record) -> Self {
        Self {
            policy,
            answered: record.answered.iter().chain(&record.last_response).cloned().collect(),
            record,
            progress_percent: 0.0,
            progress_shown_at: UnixTime::from_secs(0),
            claim: None,
            waiting: VecDeque::new(),
            worker_started_at: UnixTime::from_secs(0),
            sweep_again: false,
            stop_receipts: Vec::new(),
            cameras: Ok(Vec::new()),
            device: None,
            link: LinkNow::default(),
        }
    }

    /// The replay camera that must stay: the session's, unless the session is ending.
    pub fn kept_camera(&self) -> Option<ReplayCamera> {
        let session = self.record.session.as_ref()?;
        (!matches!(session.stage, Stage::Stopping { .. })).then(|| session.replay_camera())
    }

    /// The filters of Frigate's own topics where a replay camera of the past may have left something.
    pub fn ghost_filters(&self) -> Vec<String> {
        let Some(topics) = &self.policy.frigate_topics else {
            return Vec::new();
        };
        let known = self.cameras.iter().flatten().map(CameraName::replay);
        let mut cameras: BTreeSet<ReplayCamera> = known.collect();
        cameras.extend(self.record.removed.keys().cloned());
        if let Some(kept) = self.kept_camera() {
            cameras.remove(&kept);
        }
        cameras.iter().map(|camera| topics.filter(camera)).collect()
    }

    /// Whether a topic is one of Frigate's that a replay camera of the past left.
    pub fn is_ghost(&self, topic: &str) -> bool {
        let topics = self.policy.frigate_topics.as_ref();
        let camera = topics.and_then(|topics| topics.parse(topic));
        camera.is_some_and(|camera| self.kept_camera() != Some(camera))
    }
}

impl Turn {
    pub(in crate::session) fn new(state: State, now: UnixTime) -> Self {
        Self { state, effects: Vec::new(), now }
    }

    pub(in crate::session) fn done(mut self) -> Step {
        self.tend_link();
        self.tear_down_when_out();
        self.state.keep_device();
        Step { state: self.state, effects: self.effects }
    }

    fn session_of(&mut self, job_id: &JobId) -> Option<&mut Session> {
        let session = self.state.record.session.as_mut();
        session.filter(|session| session.job_id == *job_id)
    }

    fn answer(&mut self, reply_to: ReplyTo, data: ResponseData) {
        self.reply(reply_to, ResponseStatus::Ok, Some(data), None);
    }

    fn refuse(&mut self, reply_to: ReplyTo, refusal: Refusal) {
        self.effects.push(Effect::Announce(EventMessage {
            event_type: Happening::Refused,
            job_id: None,
            camera: None,
            ts: self.now,
            message: Some(short(&format!("{}: {}", reply_to.verb, refusal.message))),
        }));
        self.reply(reply_to, ResponseStatus::Error, None, Some(refusal));
    }

    fn reply(
        &mut self,
        reply_to: ReplyTo,
        status: ResponseStatus,
        data: Option<ResponseData>,
        error: Option<Refusal>,
    ) {
        let response = Response {
            verb: reply_to.verb.clone(),
            status,
            data,
            error,
            transaction: reply_to.transaction.clone(),
            ts: self.now,
        };
        self.state.record.remember_answer(response.clone());
        if self.state.answered.len() == MAX_ANSWERED {
            self.state.answered.pop_front();
        }
        self.state.answered.push_back(response.clone());
        self.effects.push(Effect::Reply(reply_to, Box::new(response)));
    }

    pub(in crate::session) fn announce(&mut self, happening: Happening, message: Option<String>) {
        let session = self.state.record.session.clone();
        self.announce_of(happening, session.as_ref(), message);
    }

    fn announce_of(
        &mut self,
        event_type: Happening,
        session: Option<&Session>,
        message: Option<String>,
    ) {
        self.effects.push(Effect::Announce(EventMessage {
            event_type,
            job_id: session.map(|session| session.job_id.clone()),
            camera: session.map(Session::replay_camera),
            ts: self.now,
            message,
        }));
    }
}

fn retained_refusal(topic: &str) -> Refusal {
    let message = format!(
        "a retained message on {topic} is never obeyed, or it would be obeyed again at every \
         reconnect; it was cleared, send it again without retain"
    );
    Refusal::new(Code::InvalidRequest, message)
}
