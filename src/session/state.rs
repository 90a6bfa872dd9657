//! The state of the worker's decisions: the record that is saved, and what need not be.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::wire::messages::{Phase, RemoveReason, Response, SettingsSource};
use crate::wire::topics::{FrigateTopics, Topics};
use crate::words::{CameraName, JobId, ReplayCamera, TimeRange, UnixTime};

use super::event::{Cameras, Receipt, ReplyTo, RequestEvent};
use super::link::LinkNow;
use super::record::Record;

/// How many requests may wait while one is looked into; what comes then is refused.
pub const MAX_WAITING: usize = 100;

/// How many answers are remembered: more than a broker has on its way to us without our
/// acknowledgement (Mosquitto: 20).
pub(super) const MAX_ANSWERED: usize = 128;

/// How many times a job is begun before it is given up: a worker that dies of it must not die for ever.
pub const MAX_ATTEMPTS: u32 = 3;

/// Largest config of a replay camera, bytes of JSON: a house's camera has 2 to 20 KiB, and the
/// store keeps values of this size well.
pub const CAMERA_CONFIG_MAX_BYTES: usize = 100 * 1024;

/// How many warnings are kept, and how many characters of each sentence for people: enough to act
/// on, too few to fill a topic.
const SENTENCES_MAX: usize = 20;
const SENTENCE_MAX_CHARS: usize = 1000;

/// `sentence`, shortened if it is very long.
pub(super) fn short(sentence: &str) -> String {
    match sentence.char_indices().nth(SENTENCE_MAX_CHARS) {
        Some((at, _)) => format!("{} …", &sentence[..at]),
        None => sentence.to_owned(),
    }
}

/// The first of `sentences`, and how many more there are.
pub(super) fn few(sentences: Vec<String>) -> Vec<String> {
    let more = sentences.len().saturating_sub(SENTENCES_MAX);
    let mut few: Vec<String> = sentences.iter().take(SENTENCES_MAX).map(|s| short(s)).collect();
    if more > 0 {
        few.push(format!("and {more} more"));
    }
    few
}

/// Progress is shown at most so often, seconds; a change of status or step at once.
pub(super) const PROGRESS_SHOWN_EVERY_S: f64 = 1.0;

/// What does not change while the worker runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Where the topics are.
    pub topics: Topics,
    /// How long a session may last, seconds.
    pub max_session_s: f64,
    /// How long a range may be, seconds.
    pub max_range_s: f64,
    /// The running Frigate's address, if cameras are to be applied to it.
    pub frigate_url: Option<String>,
    /// From where anybody may fetch pictures of Frigate's cameras, if one may without a login.
    pub frigate_pictures: Option<String>,
    /// Where Frigate's own topics are, if what it leaves there of replay cameras is to be cleared.
    pub frigate_topics: Option<FrigateTopics>,
}

/// What is decided upon.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What does not change.
    pub policy: Policy,
    /// What is saved.
    pub record: Record,
    /// How far the clip is, percent, and since when that is shown; too fleeting to be saved.
    pub progress_percent: f64,
    /// When `progress_percent` was last changed.
    pub progress_shown_at: UnixTime,
    /// The start that is being looked into. It is claimed, not accepted.
    pub claim: Option<Claim>,
    /// Requests that came while one was looked into, in their order.
    pub waiting: VecDeque<RequestEvent>,
    /// When the worker started.
    pub worker_started_at: UnixTime,
    /// The last sweep may have left something of a camera that nobody remembers.
    pub sweep_again: bool,
    /// To be settled with the answers to the stops.
    pub stop_receipts: Vec<Receipt>,
    /// The newest answers, the newest last: a request that comes again is answered the same.
    pub answered: VecDeque<Response>,
    /// The cameras that can be replayed.
    pub cameras: Cameras,
    /// The device as it was shown last.
    pub device: Option<DeviceShown>,
    /// What is known of the running Frigate.
    pub link: LinkNow,
}

/// Home Assistant's device as JSON, and what of it changes. It takes longer to write than all other
/// messages together and hardly ever changes, so it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceShown {
    /// The cameras that can be chosen in it.
    pub cameras: Vec<CameraName>,
    /// The payload.
    pub json: String,
}

/// A start that is being looked into.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The id that its job will have.
    pub job_id: JobId,
    /// Recordings or an export.
    pub source: Source,
    /// Settings instead of the camera's own.
    pub overrides: Option<Map<String, Value>>,
    /// Where the answer goes.
    pub reply_to: ReplyTo,
    /// To be settled with the answer.
    pub receipt: Receipt,
}

/// What is replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The recordings of the camera in the range.
    Recordings,
    /// An export's file, by the export's id.
    Export(String),
}

/// One replay, from the accepted start to the end of its traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The job's id, and with it the session's.
    pub job_id: JobId,
    /// The camera whose video is replayed.
    pub source_camera: CameraName,
    /// Recordings or an export.
    pub source: Source,
    /// The range that is replayed.
    pub range: TimeRange,
    /// Settings instead of the camera's own.
    pub overrides: Option<Map<String, Value>>,
    /// The verb and the transaction of the request that began it: the same again has no effect.
    pub begun_by: ReplyTo,
    /// When the session was claimed. The longest time counts from here, across restarts.
    pub started_at: UnixTime,
    /// How many times the job was begun.
    pub attempts: u32,
    /// Where the session stands.
    pub stage: Stage,
    /// The clip, once it is made.
    pub clip: Option<ClipInfo>,
    /// The camera's config, once the camera is added.
    pub camera_config: Option<Value>,
    /// Where the settings came from.
    pub settings_source: SettingsSource,
    /// What a person should know of the settings.
    pub warnings: Vec<String>,
}

impl Session {
    /// The camera that shows the replay.
    pub fn replay_camera(&self) -> ReplayCamera {
        self.source_camera.replay()
    }
}

/// Where a session stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The clip is being made.
    Preparing,
    /// The clip is there, the camera is being added.
    StartingCamera,
    /// The camera is there.
    Live,
    /// Everything is being taken away.
    Stopping {
        /// Why.
        ending: Ending,
        /// The stops that wait for it.
        answers: Vec<ReplyTo>,
    },
}

impl Stage {
    /// The word for it on the bus.
    pub fn phase(&self) -> Phase {
        match self {
            Stage::Preparing => Phase::Preparing,
            Stage::StartingCamera => Phase::StartingCamera,
            Stage::Live => Phase::Live,
            Stage::Stopping { .. } => Phase::Stopping,
        }
    }
}

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// A request.
    Stopped,
    /// Its longest time is over.
    TimedOut,
    /// An error, in a sentence.
    Failed(String),
}

impl Ending {
    /// The word for it on the bus.
    pub fn reason(&self) -> RemoveReason {
        match self {
            Ending::Stopped => RemoveReason::Stopped,
            Ending::TimedOut => RemoveReason::TimedOut,
            Ending::Failed(_) => RemoveReason::Failed,
        }
    }
}

/// What is known of a made clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipInfo {
    /// The clip as Frigate sees it.
    pub path: String,
    /// How many recordings it is made of.
    pub segments: u32,
    /// How many seconds of video it holds.
    pub footage_s: f64,
    /// How many gaps between recordings it skips.
    pub gaps: u32,
    /// Its size.
    pub bytes: u64,
    /// Which recorded time stands where in it.
    pub stretches: Vec<Stretch>,
    /// What could not be used, each in a sentence.
    pub warnings: Vec<String>,
}

/// A stretch of the clip without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// When its first frame was recorded.
    pub start: UnixTime,
    /// Seconds into the clip at which it begins.
    pub offset_s: f64,
    /// Seconds of the clip that it fills.
    pub duration_s: f64,
}

/// Times in Frigate's database begin at whole seconds, so what is apart by less is no gap.
const GAP_MIN_S: f64 = 1.0;

/// How many stretches are kept; a range with more gaps is kept as far as that.
const STRETCHES_MAX: usize = 500;

impl Stretch {
    /// The stretches that single recordings join to.
    pub fn joined(recordings: impl IntoIterator<Item = Stretch>) -> Vec<Stretch> {
        let mut joined: Vec<Stretch> = Vec::new();
        for next in recordings {
            let is_full = joined.len() == STRETCHES_MAX;
            match joined.last_mut() {
                Some(last) if next.start.since(last.start.plus(last.duration_s)) <= GAP_MIN_S => {
                    last.duration_s += next.duration_s;
                }
                _ if is_full => break,
                _ => joined.push(next),
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_without_a_gap_are_one_stretch() {
        let stretch = |start: f64, offset_s| Stretch {
            start: UnixTime::new(start).unwrap(),
            offset_s,
            duration_s: 10.0,
        };
        let joined =
            Stretch::joined([stretch(100.0, 0.0), stretch(110.9, 10.0), stretch(200.0, 20.0)]);
        assert_eq!(
            joined,
            [Stretch { duration_s: 20.0, ..stretch(100.0, 0.0) }, stretch(200.0, 20.0)]
        );
    }

    #[test]
    fn sentences_are_few_and_short() {
        let kept = few(vec!["ä".repeat(2000); 25]);
        assert_eq!(kept.len(), 21);
        assert!(kept[0].chars().count() < 1010);
        assert_eq!(kept[20], "and 5 more");
    }
}
