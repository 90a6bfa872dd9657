//! What the worker says: one type for each topic that it publishes.
//!
//! The job's words (`job_type`, `status`, `results`, `current_step` …) are Frigate's own, so that
//! whoever reads Frigate's job state reads ours.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::words::{CameraName, JobId, ReplayCamera, UnixTime};

use super::requests::{Refusal, Transaction};

/// Version of the contract: goes up when a message changes in a way that a reader may notice.
pub const SCHEMA_VERSION: u32 = 1;

/// How many finished jobs `B/history` shows.
pub const HISTORY_LENGTH: usize = 50;

/// Whether a request was obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    /// Obeyed.
    Ok,
    /// Refused; `error` says why.
    Error,
}

/// What a request that was obeyed led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseData {
    /// The session's job.
    pub job_id: JobId,
    /// The camera that shows the replay.
    pub replay_camera: ReplayCamera,
    /// Where the settings of the replay came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settings_source: Option<SettingsSource>,
    /// What a person should know of the settings: what is ignored, assumed or lost.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
}

/// Where the source camera's settings were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingsSource {
    /// Frigate's config.yml.
    ConfigFile,
    /// The running Frigate.
    Frigate,
}

/// `B/response/<verb>` and `B/last_response`: the answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// The last level of the request's topic.
    pub verb: String,
    /// Obeyed or not.
    pub status: ResponseStatus,
    /// What it led to, if it was obeyed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<ResponseData>,
    /// Why it was refused, if it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Refusal>,
    /// The request's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transaction: Option<Transaction>,
    /// When it was answered.
    pub ts: UnixTime,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The clip is being made.
    Preparing,
    /// The clip is there; the camera is being added.
    StartingCamera,
    /// The camera is there.
    Live,
    /// The camera and its traces are being taken away.
    Stopping,
}

/// `B/session`: the session, or that there is none (`active` false, the rest null).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionMessage {
    /// Whether there is a session.
    pub active: bool,
    /// The camera that shows the replay.
    pub replay_camera: Option<ReplayCamera>,
    /// The camera whose recordings are replayed.
    pub source_camera: Option<CameraName>,
    /// Where the replayed range begins, unix seconds.
    pub start_time: Option<UnixTime>,
    /// Where the replayed range ends, unix seconds.
    pub end_time: Option<UnixTime>,
    /// Whether the replay camera can be looked at.
    pub live_ready: Option<bool>,
    /// The session's job.
    pub job_id: Option<JobId>,
    /// Where the session stands.
    pub phase: Option<Phase>,
    /// The clip as Frigate sees it, once it is made.
    pub clip_path: Option<String>,
    /// When the session was claimed, unix seconds.
    pub session_started_at: Option<UnixTime>,
    /// When the session will be stopped by itself, unix seconds.
    pub auto_stop_at: Option<UnixTime>,
    /// How many recordings the clip is made of.
    pub segments: Option<u32>,
    /// How many seconds of video the clip holds.
    pub footage_seconds: Option<f64>,
    /// How many gaps between recordings the clip skips.
    pub gaps: Option<u32>,
    /// How large the clip is, bytes.
    pub clip_bytes: Option<u64>,
    /// Where the settings came from.
    pub settings_source: Option<SettingsSource>,
    /// Whether the request brought overrides.
    pub overridden: Option<bool>,
    /// How the replay camera stands in the running Frigate.
    pub link: Option<LinkState>,
    /// What a person should know: recordings that could not be used, settings that are ignored.
    pub warnings: Option<Vec<String>>,
}

/// How a replay camera stands in the running Frigate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Cameras are published only: no address of Frigate is set, or it is older than 0.17.
    Off,
    /// Frigate does not answer; it is tried again.
    Unreachable,
    /// It is not there yet.
    Waiting,
    /// It is there, and shows no picture yet.
    Adding,
    /// It is there.
    Added,
    /// It is being taken out.
    TakingOut,
    /// It is out.
    TakenOut,
}

/// How the running Frigate takes replay cameras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FrigateWay {
    /// 0.18 and newer: they are added and removed while it runs.
    AddAndRemove,
    /// 0.17: they are added while it runs; they are taken out by switching them off and deleting
    /// them from its config.yml, for a removal kills its threads.
    SwitchOffAndDelete,
    /// Older: not at all; they are only published.
    PublishOnly,
}

/// The running Frigate, as far as the worker knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrigateInfo {
    /// Its address.
    pub url: String,
    /// Whether it answered the last time; null before the first.
    pub reachable: Option<bool>,
    /// Its version.
    pub version: Option<String>,
    /// How it takes replay cameras; null before the first answer.
    pub way: Option<FrigateWay>,
    /// What failed the last time.
    pub error: Option<String>,
    /// Replay cameras that are still to be taken out.
    pub left_over: Vec<ReplayCamera>,
}

/// `B/picture`: where Frigate shows the replay; with a link to a Frigate that asks for no login.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PictureMessage {
    /// Address of the newest picture, with the boxes of what is detected; null without a replay. Its
    /// end changes now and then, so that who fetches at each change sees a fresh one.
    pub url: Option<String>,
}

/// How a job stands, in Frigate's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Accepted, not begun.
    Queued,
    /// At work.
    Running,
    /// The camera is there.
    Success,
    /// Ended by an error.
    Failed,
    /// Ended by a stop.
    Cancelled,
}

impl JobStatus {
    /// All of them.
    pub const ALL: [JobStatus; 5] = [
        JobStatus::Queued,
        JobStatus::Running,
        JobStatus::Success,
        JobStatus::Failed,
        JobStatus::Cancelled,
    ];
}

/// What a running job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStep {
    /// Making the clip.
    PreparingClip,
    /// Adding the camera.
    StartingCamera,
}

impl JobStep {
    /// All of them.
    pub const ALL: [JobStep; 2] = [JobStep::PreparingClip, JobStep::StartingCamera];
}

/// `debug_replay`: always this text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobType {
    /// The one kind of job there is.
    #[default]
    DebugReplay,
}

/// A job as Frigate shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The job's id; `stopped` for the state that a stop leaves.
    pub id: String,
    /// `debug_replay`.
    pub job_type: JobType,
    /// How it stands.
    pub status: JobStatus,
    /// When it began, unix seconds.
    pub start_time: Option<UnixTime>,
    /// When it ended, unix seconds.
    pub end_time: Option<UnixTime>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// What it does and for whom.
    pub results: JobResults,
}

/// What a job does and for whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum JobResults {
    /// Of a job.
    Job(JobProgress),
    /// Of the state that a stop leaves.
    Stopped(StoppedResults),
}

/// Where a job stands and what it replays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobProgress {
    /// What it does now, or did last.
    pub current_step: Option<JobStep>,
    /// How far the clip is, 0 to 100.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub progress_percent: f64,
    /// The camera whose recordings are replayed.
    pub source_camera: CameraName,
    /// The camera that shows them.
    pub replay_camera_name: ReplayCamera,
    /// Where the range begins, unix seconds.
    pub start_ts: UnixTime,
    /// Where the range ends, unix seconds.
    pub end_ts: UnixTime,
}

/// Whose replay was stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoppedResults {
    /// The camera whose recordings were replayed.
    pub source_camera: CameraName,
    /// The camera that showed them.
    pub replay_camera_name: ReplayCamera,
}

/// `B/job_state`: the newest job, `{}` before the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobStateMessage {
    /// The job, in the shape of Frigate's own `frigate/job_state`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub debug_replay: Option<Job>,
}

/// Why a replay camera was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemoveReason {
    /// By a request.
    Stopped,
    /// The session reached its longest time.
    TimedOut,
    /// The job failed, or the clip was lost.
    Failed,
    /// Left over from a session that nobody remembers.
    Stale,
}

/// `B/config/cameras/<replay camera>/add`: the camera is there, with this config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraAdd {
    /// The replay camera.
    pub camera: ReplayCamera,
    /// The camera that it replays.
    pub source_camera: CameraName,
    /// The session's job.
    pub job_id: JobId,
    /// The camera's config, as Frigate would build it.
    pub config: Value,
}

/// `B/config/cameras/<replay camera>/remove`: the camera is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraRemove {
    /// The replay camera.
    pub camera: ReplayCamera,
    /// The camera that it replayed.
    pub source_camera: CameraName,
    /// The session's job; null where it is not known any more.
    pub job_id: Option<JobId>,
    /// Why it was taken away.
    pub reason: RemoveReason,
    /// The config that it had; null where it is not known any more.
    pub config: Value,
}

/// What can happen, as `event_type` of `B/event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// A session was claimed and its job begins.
    Started,
    /// A job begins again after the worker was interrupted.
    Resumed,
    /// The clip is made.
    ClipReady,
    /// The camera is there.
    Live,
    /// The session ended by a request.
    Stopped,
    /// The session ended because it reached its longest time.
    TimedOut,
    /// The session ended because of an error.
    Failed,
    /// A request was refused.
    Refused,
    /// Something left over from a forgotten session was taken away.
    StaleRemoved,
}

impl Happening {
    /// All of them.
    pub const ALL: [Happening; 9] = [
        Happening::Started,
        Happening::Resumed,
        Happening::ClipReady,
        Happening::Live,
        Happening::Stopped,
        Happening::TimedOut,
        Happening::Failed,
        Happening::Refused,
        Happening::StaleRemoved,
    ];
}

/// `B/event`: one message for each thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventMessage {
    /// What happened.
    pub event_type: Happening,
    /// The session's job, if it concerns one.
    pub job_id: Option<JobId>,
    /// The replay camera, if it concerns one.
    pub camera: Option<ReplayCamera>,
    /// When, unix seconds.
    pub ts: UnixTime,
    /// More for a person: the reason of a failure, of a refusal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

/// A finished session's job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishedJob {
    /// The job's id.
    pub job_id: JobId,
    /// The camera whose recordings were replayed.
    pub source_camera: CameraName,
    /// The export that was replayed, if it was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub export_id: Option<String>,
    /// Where the range began, unix seconds.
    pub start_ts: UnixTime,
    /// Where the range ended, unix seconds.
    pub end_ts: UnixTime,
    /// When the session was claimed, unix seconds.
    pub started_at: UnixTime,
    /// When the session was over, unix seconds.
    pub ended_at: UnixTime,
    /// How the job ended: `success` if the camera was there, however the session ended after.
    pub status: JobStatus,
    /// How the session ended.
    pub reason: RemoveReason,
    /// Why it failed.
    pub error_message: Option<String>,
}

/// `B/history`: the last finished jobs, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryMessage {
    /// At most [`HISTORY_LENGTH`].
    #[schemars(length(max = 50))]
    pub jobs: Vec<FinishedJob>,
}

/// What a request may not exceed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How long a session lasts before it is stopped by itself, seconds.
    pub max_session_seconds: f64,
    /// How long a range may be, seconds.
    pub max_range_seconds: f64,
    /// How large a request may be, bytes.
    pub max_request_bytes: usize,
    /// How many requests may wait while one is looked into.
    pub max_waiting_requests: usize,
}

/// `B/info`: who answers here and what may be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfoMessage {
    /// The worker's version.
    pub version: String,
    /// When the worker started, unix seconds.
    pub worker_started_at: UnixTime,
    /// The contract's version.
    pub schema_version: u32,
    /// The instance's name.
    pub instance: String,
    /// The cameras that can be replayed, in the order of Frigate's config.yml.
    pub cameras: Vec<CameraName>,
    /// The verbs, and where to send each.
    pub verbs: BTreeMap<String, String>,
    /// What a request may not exceed.
    pub limits: Limits,
    /// Why the cameras are not known, if they are not.
    pub config_error: Option<String>,
    /// The running Frigate; null if its address is not set.
    pub frigate: Option<FrigateInfo>,
}
