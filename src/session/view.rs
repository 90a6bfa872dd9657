//! What the retained topics must show, as a view of the state.
//!
//! There is no other place that knows which topic holds what when. First publish, stop, broker
//! loss, reconnect, a full channel: the outbox publishes the difference between this view and what
//! the broker was given, and nothing else.

use serde::Serialize;

use crate::wire::discovery::{self, Device};
use crate::wire::form::{Control, FormCamera, FormMinutes};
use crate::wire::messages::{
    CameraAdd, InfoMessage, JobResults, JobStateMessage, Limits, SCHEMA_VERSION, SessionMessage,
};
use crate::wire::requests::{REQUEST_MAX_BYTES, Verb};
use crate::wire::topics::Update;
use crate::words::UnixTime;

use super::record::Record;
use super::state::{DeviceShown, MAX_WAITING, Session, Stage, State};

/// The worker's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a retained topic must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// The topic.
    pub topic: String,
    /// The payload; `None` if the topic must be absent, whatever the broker remembers.
    pub payload: Option<String>,
    /// Unix seconds after which the broker may forget it, rounded up.
    pub expires_at: Option<u64>,
}

/// Every retained topic with its payload, in the order in which they are to be published: a
/// reader who acts on the session finds the camera and the job there. A topic of ours that is not
/// here must be absent. Of an `add` and a `remove` of one camera the absent one is named, for a
/// broker may come back with an older store; absences are published first, so that the two never
/// stand side by side.
pub fn view(state: &State) -> Vec<Retained> {
    let topics = &state.policy.topics;
    let record = &state.record;
    let mut view = Vec::new();
    for (camera, removed) in &record.removed {
        view.push(absent(topics.camera(camera, Update::Add)));
        view.push(Retained {
            topic: topics.camera(camera, Update::Remove),
            payload: Some(json(&removed.message)),
            expires_at: Some(whole_seconds_up(removed.until)),
        });
    }
    if let Some(add) = record.session.as_ref().and_then(camera_add) {
        view.push(absent(topics.camera(&add.camera, Update::Remove)));
        view.push(kept(topics.camera(&add.camera, Update::Add), &add));
    }
    view.push(kept(topics.job_state(), &job_state(state)));
    view.push(kept(topics.session(), &session_message(state)));
    view.push(text(topics.history(), history(record)));
    view.push(match &record.last_response {
        Some(response) => kept(topics.last_response(), response),
        // One of a store that was lost may stand there.
        None => absent(topics.last_response()),
    });
    if let Some(picture) = state.picture() {
        view.push(kept(topics.picture(), &picture));
    }
    view.push(kept(topics.info(), &info(state)));
    if let Some(topic) = topics.discovery() {
        view.push(text(topic, state.device_json()));
    }
    let camera = FormCamera(state.form_camera().cloned());
    view.push(kept(topics.form(Control::Camera), &camera));
    view.push(kept(topics.form(Control::Minutes), &FormMinutes(state.form_minutes())));
    view.push(text(topics.available(), "online".to_owned()));
    view
}

fn kept<T: Serialize>(topic: String, message: &T) -> Retained {
    text(topic, json(message))
}

fn text(topic: String, payload: String) -> Retained {
    Retained { topic, payload: Some(payload), expires_at: None }
}

fn absent(topic: String) -> Retained {
    Retained { topic, payload: None, expires_at: None }
}

/// Our messages have text keys and finite numbers only, so they can always be written.
fn json<T: Serialize>(message: &T) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

fn whole_seconds_up(time: UnixTime) -> u64 {
    time.seconds().max(0.0).ceil() as u64
}

fn camera_add(session: &Session) -> Option<CameraAdd> {
    Some(CameraAdd {
        camera: session.replay_camera(),
        source_camera: session.source_camera.clone(),
        job_id: session.job_id.clone(),
        config: session.camera_config.clone()?,
    })
}

fn job_state(state: &State) -> JobStateMessage {
    let mut job = state.record.job.clone();
    if let Some(job) = &mut job
        && let (JobResults::Job(progress), None) = (&mut job.results, job.end_time)
    {
        progress.progress_percent = state.progress_percent;
    }
    JobStateMessage { debug_replay: job }
}

/// A [`HistoryMessage`] around the list that is written already.
///
/// [`HistoryMessage`]: crate::wire::messages::HistoryMessage
fn history(record: &Record) -> String {
    format!(r#"{{"jobs":{}}}"#, record.history.json())
}

fn session_message(state: &State) -> SessionMessage {
    let Some(session) = &state.record.session else {
        return SessionMessage::default();
    };
    let clip = session.clip.as_ref();
    let mut warnings = session.warnings.clone();
    warnings.extend(clip.iter().flat_map(|clip| clip.warnings.iter().cloned()));
    SessionMessage {
        active: true,
        replay_camera: Some(session.replay_camera()),
        source_camera: Some(session.source_camera.clone()),
        start_time: Some(session.range.start),
        end_time: Some(session.range.end),
        live_ready: Some(session.stage == Stage::Live),
        job_id: Some(session.job_id.clone()),
        phase: Some(session.stage.phase()),
        clip_path: clip.map(|clip| clip.path.clone()),
        session_started_at: Some(session.started_at),
        auto_stop_at: Some(session.started_at.plus(state.policy.max_session_s)),
        segments: clip.map(|clip| clip.segments),
        footage_seconds: clip.map(|clip| clip.footage_s),
        gaps: clip.map(|clip| clip.gaps),
        clip_bytes: clip.map(|clip| clip.bytes),
        settings_source: Some(session.settings_source),
        overridden: Some(session.overrides.is_some()),
        link: Some(state.link_state(session)),
        warnings: Some(warnings),
    }
}

impl State {
    /// The device's payload: the one that is kept, if it is still true.
    fn device_json(&self) -> String {
        match &self.device {
            Some(device) if device.cameras == self.form_cameras() => device.json.clone(),
            _ => json(&discovery::payload(&Device {
                topics: &self.policy.topics,
                version: VERSION,
                cameras: self.form_cameras(),
                minutes_max: self.policy.minutes_max(),
                frigate_url: self.policy.frigate_url.as_deref(),
                frigate_pictures: self.policy.frigate_pictures.as_deref(),
            })),
        }
    }

    /// Keeps the device's payload for the next views.
    pub(super) fn keep_device(&mut self) {
        let cameras = self.form_cameras();
        if self.device.as_ref().is_none_or(|device| device.cameras != cameras) {
            let cameras = cameras.to_vec();
            self.device = Some(DeviceShown { cameras, json: self.device_json() });
        }
    }
}

fn info(state: &State) -> InfoMessage {
    let policy = &state.policy;
    let (cameras, config_error) = match &state.cameras {
        Ok(cameras) => (cameras.clone(), None),
        Err(error) => (Vec::new(), Some(error.clone())),
    };
    InfoMessage {
        version: VERSION.to_owned(),
        worker_started_at: state.worker_started_at,
        schema_version: SCHEMA_VERSION,
        instance: policy.topics.instance().to_owned(),
        cameras,
        verbs: Verb::ALL.map(|verb| (verb.as_str().to_owned(), policy.topics.request(verb))).into(),
        limits: Limits {
            max_session_seconds: policy.max_session_s,
            max_range_seconds: policy.max_range_s,
            max_request_bytes: REQUEST_MAX_BYTES,
            max_waiting_requests: MAX_WAITING,
        },
        config_error,
        frigate: state.frigate_info(),
    }
}
