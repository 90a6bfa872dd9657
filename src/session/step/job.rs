//! The job: begun, reporting, done.

use serde_json::Value;

use crate::wire::messages::{Happening, Job, JobProgress, JobResults, JobStatus, JobStep, JobType};
use crate::words::{JobId, UnixTime};

use super::super::event::{Effect, JobOrder, JobReport};
use super::super::state::{
    CAMERA_CONFIG_MAX_BYTES, ClipInfo, Ending, PROGRESS_SHOWN_EVERY_S, Stage, few,
};
use super::Turn;

impl Turn {
    pub(super) fn job(&mut self, job_id: &JobId, report: JobReport) {
        let Some(session) = self.session_of(job_id) else {
            return;
        };
        match (&session.stage, report) {
            (Stage::Preparing, JobReport::Progress(percent)) => self.show_progress(percent),
            (Stage::Preparing, JobReport::ClipMade(clip)) => {
                session.stage = Stage::StartingCamera;
                session.clip = Some(ClipInfo { warnings: few(clip.warnings), ..clip });
                self.state.progress_percent = 100.0;
                self.set_step(JobStep::StartingCamera);
                self.announce(Happening::ClipReady, None);
            }
            (
                Stage::StartingCamera,
                JobReport::CameraBuilt { config, settings_source, warnings },
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

    fn show_progress(&mut self, percent: f64) {
        let shown_for_s = self.now.since(self.state.progress_shown_at);
        // Below 0 the clock was set back: what is shown counts from then on.
        if !(0.0..PROGRESS_SHOWN_EVERY_S).contains(&shown_for_s) {
            self.state.progress_percent = percent.clamp(0.0, 100.0);
            self.state.progress_shown_at = self.now;
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
        match self.state.policy.frigate_url {
            None => self.live(),
            Some(_) => {
                self.state.link.seen = None;
                self.state.link.waiting_since = Some(self.now);
            }
        }
    }

    /// The camera is there: the job has done its work.
    pub(in crate::session) fn live(&mut self) {
        let now = self.now;
        if let Some(session) = &mut self.state.record.session {
            session.stage = Stage::Live;
        }
        self.state.link.picture_at = Some(now);
        if let Some(job) = &mut self.state.record.job {
            job.status = JobStatus::Success;
            job.end_time = Some(now);
        }
        self.announce(Happening::Live, None);
    }

    fn set_step(&mut self, step: JobStep) {
        if let Some(Job { results: JobResults::Job(progress), .. }) = &mut self.state.record.job {
            progress.current_step = Some(step);
            progress.progress_percent = self.state.progress_percent;
        }
    }

    /// Shows the session's job as running and has it run.
    pub(in crate::session) fn run_job(&mut self, start_time: UnixTime) {
        let Some(session) = &self.state.record.session else {
            return;
        };
        self.state.progress_percent = 0.0;
        self.state.progress_shown_at = self.now;
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
