//! One step: an event and a state give the next state and what to do.

use std::collections::VecDeque;

use serde_json::Value;

use crate::wire::messages::{
    CameraRemove, EventMessage, FinishedJob, HISTORY_LENGTH, Happening, Job, JobProgress,
    JobResults, JobStatus, JobStep, JobType, RemoveReason, Response, ResponseData, ResponseStatus,
    StoppedResults,
};
use crate::wire::requests::{Code, Refusal, Request};
use crate::words::{JobId, ReplayCamera, UnixTime};

use super::event::{
    Effect, Event, Found, JobOrder, JobReport, LookUp, LookUpRequest, ReplyTo, RequestEvent,
};
use super::record::{Record, Removed};
use super::state::{
    CAMERA_CONFIG_MAX_BYTES, Claim, ClipInfo, Ending, MAX_WAITING, Policy, Session, Source, Stage,
    State, few, short,
};

/// How long a camera's removal is shown unless the camera is added again: a week, so that who was
/// away for a weekend still reads it, and what nobody reads does not stay for ever.
pub const REMOVAL_SHOWN_S: f64 = 7.0 * 24.0 * 3600.0;

/// How many stops may wait for the end of one session.
const MAX_ANSWERS: usize = 16;

/// What follows from an event. To be saved, then published, then acted upon.
#[must_use]
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The next state.
    pub state: State,
    /// What to do, in this order.
    pub effects: Vec<Effect>,
}

/// Turns `state` and `event`, which happened at `now`, into the next state and the effects.
pub fn step(state: State, event: Event, now: UnixTime) -> Step {
    let mut turn = Turn::new(state, now);
    match event {
        Event::Request(request) => turn.request(request),
        Event::RetainedRequest {
            reply_to,
            topic,
            receipt,
        } => {
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
        Event::Connected => {
            turn.sweep();
            turn.effects.push(Effect::SweepRetained);
        }
        Event::StaleAdd {
            camera,
            job_id,
            config,
        } => turn.stale_add(camera, job_id, config),
        Event::Cameras(cameras) => turn.state.cameras = cameras,
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
            record,
            progress_percent: 0.0,
            claim: None,
            waiting: VecDeque::new(),
            cameras: Ok(Vec::new()),
        }
    }

    /// The camera that shows a replay now and must stay.
    pub fn current_camera(&self) -> Option<ReplayCamera> {
        self.record.session.as_ref().map(Session::replay_camera)
    }
}

// Requests.
impl Turn {
    /// Requests take their turn: while a start is looked into, the others wait in their order, so
    /// that each is answered by what the one before it led to.
    fn request(&mut self, request: RequestEvent) {
        if self.state.claim.is_none() {
            self.obey(request);
        } else if self.state.waiting.len() < MAX_WAITING {
            self.state.waiting.push_back(request);
        } else {
            let message =
                format!("{MAX_WAITING} requests are waiting already; ask again in a moment");
            self.refuse(request.reply_to, Refusal::new(Code::Unavailable, message));
            self.effects.push(Effect::Settle(request.receipt));
        }
    }

    fn obey(&mut self, event: RequestEvent) {
        let RequestEvent {
            request,
            reply_to,
            receipt,
            fresh_id,
        } = event;
        let refusal = match request {
            Err(refusal) => Some(refusal),
            Ok(Request::Stop { job_id }) => self.stop(job_id, &reply_to),
            Ok(start) => match self.claim(start, &reply_to, receipt, fresh_id) {
                Ok(Claimed::LookingUp) => return,
                Ok(Claimed::Already) => None,
                Err(refusal) => Some(refusal),
            },
        };
        if let Some(refusal) = refusal {
            self.refuse(reply_to, refusal);
        }
        self.effects.push(Effect::Settle(receipt));
    }

    /// Claims the session for a start and has it looked into.
    fn claim(
        &mut self,
        request: Request,
        reply_to: &ReplyTo,
        receipt: super::Receipt,
        job_id: JobId,
    ) -> Result<Claimed, Refusal> {
        if let Some(session) = &self.state.record.session {
            if !is_repeated(session, reply_to) {
                return Err(already_active(session));
            }
            let data = response_data(session);
            self.answer(reply_to.clone(), data);
            return Ok(Claimed::Already);
        }
        let (source, overrides, request) = match request {
            Request::Start {
                camera,
                span,
                overrides,
            } => {
                let range = span.range(self.now, self.state.policy.max_range_s)?;
                (
                    Source::Recordings,
                    overrides,
                    LookUpRequest::Recordings(camera, range),
                )
            }
            Request::StartFromExport {
                export_id,
                overrides,
            } => {
                let request = LookUpRequest::Export(export_id.clone());
                (Source::Export(export_id), overrides, request)
            }
            Request::Stop { .. } => {
                return Err(Refusal::new(Code::Internal, "a stop was taken for a start"));
            }
        };
        self.effects.push(Effect::LookUp(LookUp {
            request,
            overrides: overrides.clone(),
        }));
        let reply_to = reply_to.clone();
        self.state.claim = Some(Claim {
            job_id,
            source,
            overrides,
            reply_to,
            receipt,
        });
        Ok(Claimed::LookingUp)
    }

    fn looked_up(&mut self, found: Result<Found, Refusal>) {
        let Some(claim) = self.state.claim.take() else {
            return;
        };
        let receipt = claim.receipt;
        match found {
            Ok(found) => self.accept(claim, found),
            Err(refusal) => self.refuse(claim.reply_to, refusal),
        }
        self.effects.push(Effect::Settle(receipt));
        while self.state.claim.is_none() {
            match self.state.waiting.pop_front() {
                Some(request) => self.obey(request),
                None => break,
            }
        }
    }

    fn accept(&mut self, claim: Claim, found: Found) {
        let session = Session {
            job_id: claim.job_id,
            source_camera: found.source_camera,
            source: claim.source,
            range: found.range,
            overrides: claim.overrides,
            begun_by: claim.reply_to.clone(),
            started_at: self.now,
            attempts: 1,
            stage: Stage::Preparing,
            clip: None,
            camera_config: None,
            settings_source: found.settings_source,
            warnings: few(found.warnings),
        };
        let data = response_data(&session);
        self.state.record.session = Some(session);
        self.answer(claim.reply_to, data);
        self.announce(Happening::Started, None);
        self.run_job(self.now);
    }

    /// Begins to end the session; the answer comes when it has ended.
    fn stop(&mut self, job_id: Option<String>, reply_to: &ReplyTo) -> Option<Refusal> {
        let session = match &mut self.state.record.session {
            None => {
                return Some(Refusal::new(Code::NotActive, "no replay is active"));
            }
            Some(session) => session,
        };
        if let Some(wanted) = job_id.filter(|id| id != session.job_id.as_str()) {
            return Some(Refusal::new(
                Code::NotActive,
                format!("job_id: {wanted:?} is not active; {} is", session.job_id),
            ));
        }
        if !matches!(session.stage, Stage::Stopping { .. }) {
            self.end(Ending::Stopped);
        }
        if let Some(Session {
            stage: Stage::Stopping { answers, .. },
            ..
        }) = &mut self.state.record.session
        {
            if answers.len() == MAX_ANSWERS {
                let message = format!("{MAX_ANSWERS} stops are waiting already");
                return Some(Refusal::new(Code::Unavailable, message));
            }
            answers.push(reply_to.clone());
        }
        None
    }
}

// The job.
impl Turn {
    fn job(&mut self, job_id: &JobId, report: JobReport) {
        let Some(session) = self.session_of(job_id) else {
            return;
        };
        match (&session.stage, report) {
            (Stage::Preparing, JobReport::Progress(percent)) => {
                self.state.progress_percent = percent.clamp(0.0, 100.0);
            }
            (Stage::Preparing, JobReport::ClipMade(clip)) => {
                session.stage = Stage::StartingCamera;
                session.clip = Some(ClipInfo {
                    warnings: few(clip.warnings),
                    ..clip
                });
                self.state.progress_percent = 100.0;
                self.set_step(JobStep::StartingCamera);
                self.announce(Happening::ClipReady, None);
            }
            (
                Stage::StartingCamera,
                JobReport::CameraBuilt {
                    config,
                    settings_source,
                    warnings,
                },
            ) => {
                session.settings_source = settings_source;
                session.warnings = few(warnings);
                self.camera_built(config);
            }
            (Stage::Preparing | Stage::StartingCamera, JobReport::Ended(reason)) => {
                let reason = reason.unwrap_or_else(|| "the job was cancelled".to_owned());
                self.end(Ending::Failed(reason));
            }
            // A report that was under way when the session turned to its end.
            _ => {}
        }
    }

    fn camera_built(&mut self, config: Value) {
        let bytes = config.to_string().len();
        if bytes > CAMERA_CONFIG_MAX_BYTES {
            self.end(Ending::Failed(format!(
                "the replay camera's config has {bytes} bytes, more than {CAMERA_CONFIG_MAX_BYTES}"
            )));
            return;
        }
        if let Some(session) = &mut self.state.record.session {
            session.camera_config = Some(config);
            let camera = session.replay_camera();
            self.state.record.removed.remove(&camera);
        }
        self.live();
    }

    /// The camera is there: the job has done its work.
    fn live(&mut self) {
        let now = self.now;
        if let Some(session) = &mut self.state.record.session {
            session.stage = Stage::Live;
        }
        if let Some(job) = &mut self.state.record.job {
            job.status = JobStatus::Success;
            job.end_time = Some(now);
        }
        self.announce(Happening::Live, None);
    }

    fn set_step(&mut self, step: JobStep) {
        if let Some(Job {
            results: JobResults::Job(progress),
            ..
        }) = &mut self.state.record.job
        {
            progress.current_step = Some(step);
            progress.progress_percent = self.state.progress_percent;
        }
    }

    /// Shows the session's job as running and has it run.
    pub(super) fn run_job(&mut self, start_time: UnixTime) {
        let Some(session) = &self.state.record.session else {
            return;
        };
        self.state.progress_percent = 0.0;
        self.state.record.job = Some(Job {
            id: session.job_id.to_string(),
            job_type: JobType::DebugReplay,
            status: JobStatus::Running,
            start_time: Some(start_time),
            end_time: None,
            error_message: None,
            results: JobResults::Job(JobProgress {
                current_step: Some(JobStep::PreparingClip),
                progress_percent: 0.0,
                source_camera: session.source_camera.clone(),
                replay_camera_name: session.replay_camera(),
                start_ts: session.range.start,
                end_ts: session.range.end,
            }),
        });
        self.effects.push(Effect::RunJob(Box::new(JobOrder {
            job_id: session.job_id.clone(),
            source_camera: session.source_camera.clone(),
            source: session.source.clone(),
            range: session.range,
            overrides: session.overrides.clone(),
        })));
    }
}

// The end.
impl Turn {
    /// Turns the session to its end: the camera's removal is shown, the job's outcome, and all that
    /// the session made is to be taken away.
    pub(super) fn end(&mut self, ending: Ending) {
        let now = self.now;
        let ending = match ending {
            Ending::Failed(reason) => Ending::Failed(short(&reason)),
            other => other,
        };
        let Some(session) = &mut self.state.record.session else {
            return;
        };
        if let Some(config) = session.camera_config.take() {
            let message = CameraRemove {
                camera: session.replay_camera(),
                source_camera: session.source_camera.clone(),
                job_id: Some(session.job_id.clone()),
                reason: ending.reason(),
                config,
            };
            let until = now.plus(REMOVAL_SHOWN_S);
            let camera = session.replay_camera();
            self.state
                .record
                .removed
                .insert(camera, Removed { message, until });
        }
        if let Some(job) = &mut self.state.record.job {
            match &ending {
                Ending::Failed(reason) => {
                    job.status = JobStatus::Failed;
                    job.end_time = Some(now);
                    job.error_message = Some(reason.clone());
                }
                _ if job.end_time.is_none() => {
                    job.status = JobStatus::Cancelled;
                    job.end_time = Some(now);
                }
                _ => {}
            }
            if let JobResults::Job(progress) = &mut job.results {
                progress.progress_percent = self.state.progress_percent;
            }
        }
        session.stage = Stage::Stopping {
            ending,
            answers: Vec::new(),
        };
        self.tear_down();
    }

    /// Has everything taken away that the session made.
    pub(super) fn tear_down(&mut self) {
        let Some(session) = &self.state.record.session else {
            return;
        };
        let (job_id, camera) = (session.job_id.clone(), session.replay_camera());
        self.state.record.litter.insert(camera.clone(), self.now);
        self.effects.push(Effect::TearDown(job_id, camera));
    }

    fn torn_down(&mut self, job_id: &JobId) {
        if self.session_of(job_id).is_none() {
            return;
        }
        let Some(session) = self.state.record.session.take() else {
            return;
        };
        let Session {
            stage: Stage::Stopping { ending, answers },
            ..
        } = &session
        else {
            self.state.record.session = Some(session);
            return;
        };
        self.remember(&session, ending);
        let (happening, message) = match ending {
            Ending::Stopped => (Happening::Stopped, None),
            Ending::TimedOut => (Happening::TimedOut, None),
            Ending::Failed(reason) => (Happening::Failed, Some(reason.clone())),
        };
        if !matches!(ending, Ending::Failed(_)) {
            self.state.record.job = Some(stopped_job(&session, self.now));
        }
        self.announce_of(happening, Some(&session), message);
        for reply_to in answers.clone() {
            self.answer(reply_to, response_data(&session));
        }
    }

    fn remember(&mut self, session: &Session, ending: &Ending) {
        let job = self.state.record.job.as_ref();
        let finished = FinishedJob {
            job_id: session.job_id.clone(),
            source_camera: session.source_camera.clone(),
            export_id: match &session.source {
                Source::Recordings => None,
                Source::Export(id) => Some(id.clone()),
            },
            start_ts: session.range.start,
            end_ts: session.range.end,
            started_at: session.started_at,
            ended_at: self.now,
            status: job.map_or(JobStatus::Cancelled, |job| job.status),
            reason: ending.reason(),
            error_message: job.and_then(|job| job.error_message.clone()),
        };
        let history = &mut self.state.record.history;
        history.insert(0, finished);
        history.truncate(HISTORY_LENGTH);
    }

    fn tick(&mut self, clip_gone: bool) {
        let now = self.now;
        let max_session_s = self.state.policy.max_session_s;
        let session = self.state.record.session.as_ref();
        let ending = session.and_then(|session| match session.stage {
            Stage::Stopping { .. } => None,
            _ if now.since(session.started_at) >= max_session_s => Some(Ending::TimedOut),
            Stage::Live if clip_gone => Some(Ending::Failed("the clip was lost".to_owned())),
            _ => None,
        });
        if let Some(ending) = ending {
            self.end(ending);
        }
        self.state
            .record
            .removed
            .retain(|_, removed| removed.until > now);
        let current = self.state.current_camera();
        if self
            .state
            .record
            .litter
            .keys()
            .any(|camera| Some(camera) != current.as_ref())
        {
            self.sweep();
        }
    }

    /// An `add` that nobody remembers: its removal is shown instead.
    fn stale_add(&mut self, camera: ReplayCamera, job_id: Option<JobId>, config: Value) {
        if self.state.current_camera().as_ref() == Some(&camera) {
            return;
        }
        let message = CameraRemove {
            source_camera: camera.source(),
            camera: camera.clone(),
            job_id: job_id.clone(),
            reason: RemoveReason::Stale,
            config,
        };
        let until = self.now.plus(REMOVAL_SHOWN_S);
        self.state
            .record
            .removed
            .insert(camera.clone(), Removed { message, until });
        self.effects.push(Effect::Announce(EventMessage {
            event_type: Happening::StaleRemoved,
            job_id,
            camera: Some(camera),
            ts: self.now,
            message: None,
        }));
    }
}

// What every part of a step does.
impl Turn {
    pub(super) fn new(state: State, now: UnixTime) -> Self {
        Self {
            state,
            effects: Vec::new(),
            now,
        }
    }

    pub(super) fn done(self) -> Step {
        Step {
            state: self.state,
            effects: self.effects,
        }
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
        self.state.record.last_response = Some(response.clone());
        self.effects
            .push(Effect::Reply(reply_to, Box::new(response)));
    }

    pub(super) fn announce(&mut self, happening: Happening, message: Option<String>) {
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

enum Claimed {
    /// The answer comes when it is looked up.
    LookingUp,
    /// The session stands already; it was answered.
    Already,
}

/// Whether this is the request again that began the session: QoS 1 may deliver it twice.
fn is_repeated(session: &Session, reply_to: &ReplyTo) -> bool {
    reply_to.transaction.is_some()
        && session.begun_by.verb == reply_to.verb
        && session.begun_by.transaction == reply_to.transaction
}

fn already_active(session: &Session) -> Refusal {
    let message = format!(
        "a replay of camera {:?} is active since {} (job {}); stop it first",
        session.source_camera.as_str(),
        session.started_at,
        session.job_id
    );
    Refusal::new(Code::AlreadyActive, message)
}

fn retained_refusal(topic: &str) -> Refusal {
    let message = format!(
        "a retained message on {topic} is never obeyed, or it would be obeyed again at every \
         reconnect; it was cleared, send it again without retain"
    );
    Refusal::new(Code::InvalidRequest, message)
}

fn response_data(session: &Session) -> ResponseData {
    ResponseData {
        job_id: session.job_id.clone(),
        replay_camera: session.replay_camera(),
        settings_source: Some(session.settings_source),
        warnings: session.warnings.clone(),
    }
}

/// The job state that a stop leaves, in Frigate's shape.
fn stopped_job(session: &Session, now: UnixTime) -> Job {
    Job {
        id: "stopped".to_owned(),
        job_type: JobType::DebugReplay,
        status: JobStatus::Cancelled,
        start_time: None,
        end_time: Some(now),
        error_message: None,
        results: JobResults::Stopped(StoppedResults {
            source_camera: session.source_camera.clone(),
            replay_camera_name: session.replay_camera(),
        }),
    }
}
