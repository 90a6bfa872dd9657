//! What can happen to a session, and what a step asks the world to do.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::wire::messages::{EventMessage, Response, SettingsSource};
use crate::wire::requests::{Refusal, Request, Transaction};
use crate::words::{CameraName, JobId, ReplayCamera, TimeRange, UnixTime};

use super::link::{Deed, Done};
use super::state::{ClipInfo, Source};

/// A message's claim to be acknowledged; the bus knows which message it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub u64);

/// Where an answer goes, and what must be in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The last level of the request's topic.
    pub verb: String,
    /// The requester's own mark.
    pub transaction: Option<Transaction>,
    /// A checked topic below `B/response/`, if the requester named one.
    pub response_topic: Option<String>,
    /// MQTT 5 Correlation Data, given back as it came.
    pub correlation: Option<Vec<u8>>,
}

/// A request as it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestEvent {
    /// What is asked, or why it cannot be.
    pub request: Result<Request, Refusal>,
    /// Where the answer goes.
    pub reply_to: ReplyTo,
    /// To be settled once the request can no longer be lost.
    pub receipt: Receipt,
    /// The id of the job that it may begin.
    pub fresh_id: JobId,
    /// The broker may have sent it before.
    pub again: bool,
}

/// Everything that can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A request arrived.
    Request(RequestEvent),
    /// A retained message stood on a command topic: never obeyed.
    RetainedRequest {
        /// Where a refusal goes.
        reply_to: ReplyTo,
        /// The topic to clear.
        topic: String,
        /// The message's receipt.
        receipt: Receipt,
    },
    /// What [`Effect::LookUp`] found.
    LookedUp(Result<Found, Refusal>),
    /// The job says something.
    Job(JobId, JobReport),
    /// What [`Effect::TearDown`] of this job has taken away.
    TornDown(JobId),
    /// A sweep ended; of the litter that it was told of, this is gone wholly.
    Swept(Vec<(ReplayCamera, UnixTime)>),
    /// A sweep was cut short, or could not look at or take away everything.
    SweepUnfinished,
    /// The connection to the broker stands and requests can arrive.
    Connected,
    /// The retained topics hold an `add` that is not of this session.
    StaleAdd {
        /// The camera that it adds.
        camera: ReplayCamera,
        /// The job that it names, if it can be read.
        job_id: Option<JobId>,
        /// The config that it carries, null if it cannot be read.
        config: Value,
    },
    /// The retained topics hold a `remove` that nobody remembers; it needs no answer but to be
    /// cleared, as everything that is not in the view.
    StaleRemove,
    /// What Frigate's config.yml says of the cameras now.
    Cameras(Cameras),
    /// A deed at the running Frigate has ended.
    Frigate(Deed, Done),
    /// Home Assistant has started; what it must be told is given to it again.
    HomeAssistant,
    /// The time of [`State::wake_at`](super::State::wake_at) has come.
    Wake,
    /// The watchdog's round.
    Tick {
        /// The clip of a live session is gone.
        clip_gone: bool,
    },
}

/// The cameras that can be replayed, or why they are not known.
pub type Cameras = Result<Vec<CameraName>, String>;

/// What a job reports while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum JobReport {
    /// The clip is so many percent done.
    Progress(f64),
    /// The clip is made.
    ClipMade(ClipInfo),
    /// The replay camera's config is built.
    CameraBuilt {
        /// The config.
        config: Value,
        /// Where the settings came from.
        settings_source: SettingsSource,
        /// What a person should know of them.
        warnings: Vec<String>,
    },
    /// The job ended before its camera was there: `None` if it was cancelled, else why.
    Ended(Option<String>),
}

/// What a start needs to be looked up before it can be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct LookUp {
    /// What to replay: `None` for the range if an export is to tell it.
    pub request: LookUpRequest,
    /// Overrides, to be judged together with the camera's settings.
    pub overrides: Option<Map<String, Value>>,
}

/// The two ways to ask for a replay.
#[derive(Clone, Debug, PartialEq)]
pub enum LookUpRequest {
    /// Recordings of a camera in a range.
    Recordings(CameraName, TimeRange),
    /// An export by its id.
    Export(String),
}

/// What was found for a start.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The camera whose video is replayed.
    pub source_camera: CameraName,
    /// The range that is replayed.
    pub range: TimeRange,
    /// Where the settings come from.
    pub settings_source: SettingsSource,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A job to run.
#[derive(Clone, Debug, PartialEq)]
pub struct JobOrder {
    /// The job.
    pub job_id: JobId,
    /// The camera whose video is replayed.
    pub source_camera: CameraName,
    /// Recordings or an export.
    pub source: Source,
    /// The range that is replayed.
    pub range: TimeRange,
    /// Settings instead of the camera's own.
    pub overrides: Option<Map<String, Value>>,
}

/// What a step asks the world to do, after the save and the publishing.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Acknowledge the message: it can no longer be lost.
    Settle(Receipt),
    /// Answer a request.
    Reply(ReplyTo, Box<Response>),
    /// Tell what happened.
    Announce(EventMessage),
    /// Clear a retained topic that is not the worker's own.
    ClearTopic(String),
    /// Find out whether a start can be obeyed; comes back as [`Event::LookedUp`].
    LookUp(LookUp),
    /// Run the job; its reports come back as [`Event::Job`].
    RunJob(Box<JobOrder>),
    /// Cancel this job if it runs, and take away the litter, which holds its camera; comes back as
    /// [`Event::TornDown`] and [`Event::Swept`].
    TearDown(JobId, Vec<(ReplayCamera, UnixTime)>),
    /// Take away what is left of replay cameras; comes back as [`Event::Swept`].
    Sweep {
        /// Cameras that are known to have left something, and until when.
        litter: Vec<(ReplayCamera, UnixTime)>,
        /// The camera that must stay.
        keep: Option<ReplayCamera>,
    },
    /// Look for retained topics of a lost past, our own and those that Frigate leaves; an `add` of
    /// ours comes back as [`Event::StaleAdd`].
    SweepRetained,
    /// Do this at the running Frigate; comes back as [`Event::Frigate`].
    Frigate(Deed),
}
