//! The replay camera in the running Frigate: one more projection of the session.
//!
//! What should stand there follows from the session; what stands there is looked up. From the two
//! follows the next deed, one at a time, and its outcome leads to the next. So a start, a stop, a
//! crash between a deed and its save, a Frigate that was down: one mechanism.
//!
//! Two changes of a camera too close to each other kill threads of Frigate, so that no camera
//! yields events any more until it is restarted: [`CHANGE_GAP_S`] lies between any two, counted from
//! a time in the record, across restarts of the worker.

mod tend;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::messages::{FrigateInfo, FrigateWay, LinkState, PictureMessage};
use crate::words::{JobId, ReplayCamera, UnixTime};

use super::state::{Session, Stage, State};

/// The least time between two changes of Frigate's cameras, seconds. Frigate's maintainer takes
/// changes once a second; two in one round were seen to kill it, four seconds were seen to be fine.
pub const CHANGE_GAP_S: f64 = 5.0;

/// How long the end of a session waits for the camera to be taken out; it is taken out later then.
const TAKE_OUT_PATIENCE_S: f64 = 30.0;

/// How long after a change was sent Frigate may still carry it out, seconds, if its answer is not
/// known: it waits 5 s for its config.yml, and then reads all of it.
pub const LATEST_ANSWER_S: f64 = 15.0;

/// What is saved about the running Frigate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// The replay cameras that we put into it, or were about to.
    pub placed: BTreeMap<ReplayCamera, Placed>,
    /// When something was changed in it last, or was about to be.
    pub changed_at: Option<UnixTime>,
    /// Whether that change may still be under way: its answer is not known.
    pub unanswered: bool,
}

impl LinkRecord {
    /// By when a change that was not answered is done or never will be.
    fn settled_at(&self) -> Option<UnixTime> {
        let changed_at = self.changed_at.filter(|_| self.unanswered)?;
        Some(changed_at.plus(LATEST_ANSWER_S))
    }
}

/// A camera that we put into Frigate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// For which job; `None` if it was found there.
    pub job_id: Option<JobId>,
    /// Whether it is switched off already, on its way out of 0.17.
    pub switched_off: bool,
}

/// What is known of the running Frigate and need not be saved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkNow {
    /// What the newest look found; `None` if it has to be looked again.
    pub seen: Option<Seen>,
    /// Version and way of the newest look that succeeded.
    pub known: Option<(String, FrigateWay)>,
    /// When the picture of the replay was last said to be fresh.
    pub picture_at: Option<UnixTime>,
    /// A deed is under way.
    pub busy: bool,
    /// Why the newest deed failed.
    pub error: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// Nothing is done before.
    pub not_before: Option<UnixTime>,
    /// Since when the session's camera waits to be there.
    pub waiting_since: Option<UnixTime>,
    /// Since when the session's end waits for the camera to be taken out.
    pub ending_since: Option<UnixTime>,
    /// The session's end waits no more.
    pub tearing_down: bool,
}

/// What a look at Frigate found.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Its version, as it says it.
    pub version: String,
    /// How it takes cameras.
    pub way: FrigateWay,
    /// The replay cameras of its config.yml.
    pub replay_cameras: BTreeSet<ReplayCamera>,
    /// How many other cameras it has.
    pub other_cameras: usize,
    /// Whether a debug replay of its own is active.
    pub own_replay: bool,
}

impl Seen {
    /// Why a camera must not be added, if it must not.
    pub fn objection(&self) -> Option<String> {
        if self.own_replay {
            return Some(
                "a debug replay of Frigate's own is active; end it on its page".to_owned(),
            );
        }
        // With one camera, an add ends the thread that hands detections on, for all cameras.
        if self.way == FrigateWay::SwitchOffAndDelete && self.other_cameras < 2 {
            return Some(format!(
                "Frigate {} with a single camera cannot take a second one while it runs; it would \
                 yield no events any more until its restart",
                self.version
            ));
        }
        None
    }
}

/// Something to do at Frigate.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Look what is there.
    Look,
    /// Add this camera with this config.
    Add(ReplayCamera, Box<Value>, FrigateWay),
    /// See whether this camera shows a picture.
    LookForPicture(ReplayCamera),
    /// Take this camera out, as 0.18 does it.
    Remove(ReplayCamera),
    /// Switch this camera off, as the first half of taking it out of 0.17.
    SwitchOff(ReplayCamera),
    /// Delete this camera from config.yml, as the second half.
    Delete(ReplayCamera),
}

impl Deed {
    /// Whether it changes something in Frigate.
    fn is_change(&self) -> bool {
        !matches!(self, Deed::Look | Deed::LookForPicture(_))
    }
}

/// How a deed ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// What was seen.
    Looked(Seen),
    /// The camera is added; what could not be taken along, each in a sentence.
    Added(Vec<String>),
    /// The camera is taken out, or halfway.
    Changed,
    /// Whether there is a picture.
    Picture(bool),
    /// Frigate says no; the same again would be refused again.
    Refused(String),
    /// It is not done; it may be better the next time.
    Failed(String),
    /// It was asked for, and there is no answer: Frigate may still do it.
    Unanswered(String),
}

impl State {
    /// The camera that should stand in Frigate, with its config and its job.
    fn wanted(&self) -> Option<(ReplayCamera, &Value, &JobId)> {
        let session = self.record.session.as_ref()?;
        let config = session.camera_config.as_ref()?;
        matches!(session.stage, Stage::StartingCamera | Stage::Live)
            .then(|| (session.replay_camera(), config, &session.job_id))
    }

    /// Whether this camera of Frigate's is the one that should stand there.
    fn is_ours(&self, camera: &ReplayCamera) -> bool {
        let placed = self.record.link.placed.get(camera);
        self.wanted().is_some_and(|(wanted, _, job_id)| {
            wanted == *camera && placed.is_some_and(|placed| placed.job_id.as_ref() == Some(job_id))
        })
    }

    /// Whether a replay camera is, or may be, in Frigate.
    fn may_be_placed(&self, camera: &ReplayCamera) -> bool {
        let seen = self.link.seen.as_ref();
        self.record.link.placed.contains_key(camera)
            || seen.is_some_and(|seen| seen.replay_cameras.contains(camera))
    }

    /// When the loop has to look at this state again, though nothing happened.
    pub fn wake_at(&self) -> Option<UnixTime> {
        let link = &self.link;
        let next = link.not_before.filter(|_| self.policy.frigate_url.is_some() && !link.busy);
        let waiting = link.ending_since.filter(|_| !link.tearing_down);
        let given_up = waiting.map(|since| since.plus(TAKE_OUT_PATIENCE_S));
        match (next, given_up) {
            (Some(next), Some(given_up)) => Some(next.min(given_up)),
            (next, given_up) => next.or(given_up),
        }
    }

    /// How the session's camera stands in Frigate, as it is shown.
    pub(super) fn link_state(&self, session: &Session) -> LinkState {
        let camera = session.replay_camera();
        let link = &self.link;
        if self.policy.frigate_url.is_none()
            || matches!(link.known, Some((_, FrigateWay::PublishOnly)))
        {
            return LinkState::Off;
        }
        match session.stage {
            _ if link.failures > 0 => LinkState::Unreachable,
            Stage::Preparing => LinkState::Waiting,
            Stage::StartingCamera if !self.may_be_placed(&camera) => LinkState::Waiting,
            Stage::StartingCamera => LinkState::Adding,
            Stage::Live if self.may_be_placed(&camera) => LinkState::Added,
            Stage::Live => LinkState::Waiting,
            Stage::Stopping { .. } if self.may_be_placed(&camera) => LinkState::TakingOut,
            Stage::Stopping { .. } => LinkState::TakenOut,
        }
    }

    /// Where Frigate shows the replay; `None` where nobody may look without a login.
    pub(super) fn picture(&self) -> Option<PictureMessage> {
        let base = self.policy.frigate_pictures.as_ref()?;
        let session = self.record.session.as_ref().filter(|session| session.stage == Stage::Live);
        let camera = session.map(Session::replay_camera).filter(|camera| self.is_ours(camera));
        let url = camera.map(|camera| {
            let t = self.link.picture_at.map_or(0.0, |at| at.seconds().floor());
            format!("{base}/api/{camera}/latest.jpg?bbox=1&t={t}")
        });
        Some(PictureMessage { url })
    }

    /// The running Frigate as it is shown in `info`; `None` without a link.
    pub(super) fn frigate_info(&self) -> Option<FrigateInfo> {
        let url = self.policy.frigate_url.clone()?;
        let link = &self.link;
        let wanted = self.wanted().map(|(camera, ..)| camera);
        let left_over =
            self.record.link.placed.keys().filter(|camera| Some(*camera) != wanted.as_ref());
        Some(FrigateInfo {
            url,
            reachable: link
                .known
                .as_ref()
                .map(|_| link.failures == 0)
                .or((link.failures > 0).then_some(false)),
            version: link.known.as_ref().map(|(version, _)| version.clone()),
            way: link.known.as_ref().map(|(_, way)| *way),
            error: link.error.clone(),
            left_over: left_over.cloned().collect(),
        })
    }
}
