//! The end of a session: turned to, torn down, remembered; and what a lost past left.

use serde_json::Value;

use crate::wire::contract::REMOVAL_KEPT_S;
use crate::wire::messages::{
    CameraRemove, EventMessage, FinishedJob, Happening, Job, JobResults, JobStatus, JobType,
    RemoveReason, ResponseData, StoppedResults,
};
use crate::words::{JobId, ReplayCamera, UnixTime};

use super::super::event::Effect;
use super::super::record::Removed;
use super::super::state::{Ending, Session, Source, Stage, short};
use super::Turn;

/// How long a camera's removal is shown unless the camera is added again: a week, so that who was
/// away for a weekend still reads it, and what nobody reads does not stay for ever.
pub const REMOVAL_SHOWN_S: f64 = REMOVAL_KEPT_S as f64;

impl Turn {
    /// Turns the session to its end: the camera's removal is shown, and the job's outcome. What the
    /// session made is taken away at the end of a step, once the camera is out of Frigate.
    pub(in crate::session) fn end(&mut self, ending: Ending) {
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
            self.state.record.removed.insert(camera, Removed { message, until });
        }
        if let Some(job) = &mut self.state.record.job {
            let was_running = job.end_time.is_none();
            match &ending {
                Ending::Failed(reason) => {
                    job.status = JobStatus::Failed;
                    job.end_time = Some(now);
                    job.error_message = Some(reason.clone());
                }
                _ if was_running => {
                    job.status = JobStatus::Cancelled;
                    job.end_time = Some(now);
                }
                _ => {}
            }
            if let (JobResults::Job(progress), true) = (&mut job.results, was_running) {
                progress.progress_percent = self.state.progress_percent;
            }
        }
        session.stage = Stage::Stopping { ending, answers: Vec::new() };
        self.state.link.ending_since = None;
        self.state.link.tearing_down = false;
    }

    /// Has everything taken away that the session made.
    pub(in crate::session) fn tear_down(&mut self) {
        let Some(session) = &self.state.record.session else {
            return;
        };
        let (job_id, camera) = (session.job_id.clone(), session.replay_camera());
        self.state.record.litter.insert(camera, self.now);
        let litter = self.litter();
        self.effects.push(Effect::TearDown(job_id, litter));
    }

    /// Takes away what is left of replay cameras other than the one that must stay. While a session
    /// ends, its own tear-down does that; another round would cut it short.
    pub(in crate::session) fn sweep(&mut self) {
        let keep = self.state.kept_camera();
        if self.state.record.session.is_some() && keep.is_none() {
            return;
        }
        self.state.sweep_again = false;
        self.effects.push(Effect::Sweep { litter: self.litter(), keep });
    }

    fn litter(&self) -> Vec<(ReplayCamera, UnixTime)> {
        let keep = self.state.kept_camera();
        (self.state.record.litter.iter())
            .filter(|(camera, _)| Some(*camera) != keep.as_ref())
            .map(|(camera, at)| (camera.clone(), *at))
            .collect()
    }

    pub(super) fn torn_down(&mut self, job_id: &JobId) {
        if self.session_of(job_id).is_none() {
            return;
        }
        let Some(session) = self.state.record.session.take() else {
            return;
        };
        let Session { stage: Stage::Stopping { ending, answers }, .. } = &session else {
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
        // Frigate's own topics of the camera are searched again now that it is gone.
        if self.state.policy.frigate_topics.is_some() {
            self.effects.push(Effect::SweepRetained);
        }
        for reply_to in answers.clone() {
            let data = ResponseData {
                job_id: session.job_id.clone(),
                replay_camera: session.replay_camera(),
                settings_source: None,
                warnings: Vec::new(),
            };
            self.answer(reply_to, data);
        }
        let receipts = std::mem::take(&mut self.state.stop_receipts);
        self.effects.extend(receipts.into_iter().map(Effect::Settle));
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
        self.state.record.history.add(finished);
    }

    pub(super) fn tick(&mut self, clip_gone: bool) {
        let now = self.now;
        self.state.link.seen = None;
        self.state.link.picture_at = Some(now);
        self.set_back_clock_of_session();
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
        self.state.record.removed.retain(|_, removed| removed.until > now);
        if self.state.sweep_again || !self.litter().is_empty() {
            self.sweep();
        }
    }

    /// A time in the future means that the clock was set back: a session lasts no longer than any
    /// other from then on, and a removal is shown no longer.
    fn set_back_clock_of_session(&mut self) {
        let now = self.now;
        if let Some(session) = self.state.record.session.as_mut().filter(|s| s.started_at > now) {
            session.started_at = now;
        }
        let last = now.plus(REMOVAL_SHOWN_S);
        for removed in self.state.record.removed.values_mut().filter(|r| r.until > last) {
            removed.until = last;
        }
    }

    /// An `add` that nobody remembers: its removal is shown instead. One whose removal is shown
    /// already came from an older store of the broker's, and is only cleared.
    pub(super) fn stale_add(&mut self, camera: ReplayCamera, job_id: Option<JobId>, config: Value) {
        let is_current = self.state.kept_camera().as_ref() == Some(&camera);
        if is_current || self.state.record.removed.contains_key(&camera) {
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
        self.state.record.removed.insert(camera.clone(), Removed { message, until });
        self.effects.push(Effect::Announce(EventMessage {
            event_type: Happening::StaleRemoved,
            job_id,
            camera: Some(camera),
            ts: self.now,
            message: None,
        }));
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
