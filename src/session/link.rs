//! The replay camera in the running Frigate: one more projection of the session.
//!
//! What should stand there follows from the session; what stands there is looked up. From the two
//! follows the next deed, one at a time, and its outcome leads to the next. So a start, a stop, a
//! crash between a deed and its save, a Frigate that was down: one mechanism.
//!
//! Two changes of a camera too close to each other kill threads of Frigate, so that no camera
//! yields events any more until it is restarted: [`CHANGE_GAP_S`] lies between any two, counted from
//! a time in the record, across restarts of the worker.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::messages::{FrigateInfo, LinkState};
use crate::words::{JobId, ReplayCamera, UnixTime};

use super::event::Effect;
use super::state::{Ending, Session, Stage, State, short};
use super::step::Turn;

/// The least time between two changes of Frigate's cameras, seconds. Frigate's maintainer takes
/// changes once a second; two in one round were seen to kill it, four seconds were seen to be fine.
pub const CHANGE_GAP_S: f64 = 5.0;

/// How long a replay waits for Frigate: to be reached, to take the camera, to show a picture of it.
const APPLY_PATIENCE_S: f64 = 60.0;

/// How long the end of a session waits for the camera to be taken out; it is taken out later then.
const TAKE_OUT_PATIENCE_S: f64 = 30.0;

/// The pause after the first failure, and the longest, seconds.
const RETRY_S: (f64, f64) = (2.0, 60.0);

/// How often it is looked whether the camera shows a picture.
const PICTURE_EVERY_S: f64 = 0.5;

/// How the running Frigate takes cameras.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// 0.18 and newer: added and removed while it runs.
    AddAndRemove,
    /// 0.17: added while it runs; taken out by switching it off and deleting it from config.yml, for
    /// a removal kills its threads.
    SwitchOffAndDelete,
}

/// What is saved about the running Frigate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// The replay cameras that we put into it, or were about to.
    pub placed: BTreeMap<ReplayCamera, Placed>,
    /// When something was changed in it last, or was about to be.
    pub changed_at: Option<UnixTime>,
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
    pub known: Option<(String, Option<Way>)>,
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
    /// How it takes cameras; `None` if it does not.
    pub way: Option<Way>,
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
        if self.way == Some(Way::SwitchOffAndDelete) && self.other_cameras < 2 {
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
    Add(ReplayCamera, Box<Value>, Way),
    /// See whether this camera shows a picture.
    LookForPicture(ReplayCamera),
    /// Take this camera out, as 0.18 does it.
    Remove(ReplayCamera),
    /// Switch this camera off, as the first half of taking it out of 0.17.
    SwitchOff(ReplayCamera),
    /// Delete this camera from config.yml, as the second half.
    Delete(ReplayCamera),
}

/// How a deed ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// What was seen.
    Looked(Seen),
    /// The deed is done.
    Changed,
    /// Whether there is a picture.
    Picture(bool),
    /// Frigate says no; the same again would be refused again.
    Refused(String),
    /// It is not known what became of it, or Frigate could not be asked.
    Failed(String),
}

/// What to do next.
enum Next {
    Nothing,
    Wait(UnixTime),
    Do(Deed),
    /// The camera is as much there as it can be.
    GoLive,
    Fail(String),
}

impl State {
    /// The camera that should stand in Frigate, with its config and its job.
    fn wanted(&self) -> Option<(ReplayCamera, &Value, &JobId)> {
        let session = self.record.session.as_ref()?;
        let config = session.camera_config.as_ref()?;
        matches!(session.stage, Stage::StartingCamera | Stage::Live)
            .then(|| (session.replay_camera(), config, &session.job_id))
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
        if self.policy.frigate_url.is_none() || matches!(link.known, Some((_, None))) {
            return LinkState::Off;
        }
        match session.stage {
            _ if link.failures > 0 && link.known.is_none() => LinkState::Unreachable,
            Stage::Preparing => LinkState::Waiting,
            Stage::StartingCamera if !self.may_be_placed(&camera) => LinkState::Waiting,
            Stage::StartingCamera => LinkState::Adding,
            Stage::Live if self.may_be_placed(&camera) => LinkState::Added,
            Stage::Live => LinkState::Waiting,
            Stage::Stopping { .. } if self.may_be_placed(&camera) => LinkState::TakingOut,
            Stage::Stopping { .. } => LinkState::TakenOut,
        }
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
            applies_cameras: link.known.as_ref().map(|(_, way)| way.is_some()),
            error: link.error.clone(),
            left_over: left_over.cloned().collect(),
        })
    }
}

impl Turn {
    /// Does the next thing at Frigate, if there is one and its time has come. Called at the end of
    /// every step, so that nothing has to remember to.
    pub(in crate::session) fn tend_link(&mut self) {
        if self.state.policy.frigate_url.is_none() {
            return;
        }
        self.set_back_clock();
        self.state.link.not_before = self.state.link.not_before.filter(|at| *at > self.now);
        if self.state.link.busy || self.state.link.not_before.is_some() {
            return;
        }
        match self.next_deed() {
            Next::Nothing => {}
            Next::Wait(until) => self.state.link.not_before = Some(until),
            Next::Do(deed) => self.begin(deed),
            Next::GoLive => self.live(),
            Next::Fail(reason) => {
                self.end(Ending::Failed(reason));
                self.tend_link();
            }
        }
    }

    /// A change that lies ahead was made by a clock that has been set back since: it counts as now.
    fn set_back_clock(&mut self) {
        let now = self.now;
        let changed_at = &mut self.state.record.link.changed_at;
        *changed_at = changed_at.map(|at| at.min(now));
        let link = &mut self.state.link;
        let longest = now.plus(RETRY_S.1);
        link.not_before = link.not_before.map(|at| at.min(longest));
    }

    fn next_deed(&self) -> Next {
        let Some(seen) = &self.state.link.seen else {
            return Next::Do(Deed::Look);
        };
        let wanted = self.state.wanted();
        let Some(way) = seen.way else {
            // An older Frigate takes no cameras: publishing has to do.
            return if wanted.is_some() && self.is_starting() {
                Next::GoLive
            } else {
                Next::Nothing
            };
        };
        let is_ours = |camera: &ReplayCamera| {
            let placed = self.state.record.link.placed.get(camera);
            wanted.as_ref().is_some_and(|(wanted, _, job_id)| {
                wanted == camera && placed.is_some_and(|p| p.job_id.as_ref() == Some(job_id))
            })
        };
        if let Some(stale) = seen.replay_cameras.iter().find(|camera| !is_ours(camera)) {
            // Any change while a replay of Frigate's own runs would cut that one loose.
            return match seen.own_replay {
                true => Next::Wait(self.now.plus(RETRY_S.1 / 6.0)),
                false => self.in_time(self.taking_out(stale, way)),
            };
        }
        match wanted {
            Some((camera, config, _)) if !seen.replay_cameras.contains(&camera) => {
                match seen.objection() {
                    Some(reason) => Next::Fail(reason),
                    None => self.in_time(Deed::Add(camera, Box::new(config.clone()), way)),
                }
            }
            Some((camera, ..)) if self.is_starting() => Next::Do(Deed::LookForPicture(camera)),
            _ => Next::Nothing,
        }
    }

    fn taking_out(&self, camera: &ReplayCamera, way: Way) -> Deed {
        let placed = self.state.record.link.placed.get(camera);
        match way {
            Way::AddAndRemove => Deed::Remove(camera.clone()),
            Way::SwitchOffAndDelete if placed.is_some_and(|placed| placed.switched_off) => {
                Deed::Delete(camera.clone())
            }
            Way::SwitchOffAndDelete => Deed::SwitchOff(camera.clone()),
        }
    }

    /// The change, if the last one is long enough ago.
    fn in_time(&self, deed: Deed) -> Next {
        match self.state.record.link.changed_at.map(|at| at.plus(CHANGE_GAP_S)) {
            Some(at) if at > self.now => Next::Wait(at),
            _ => Next::Do(deed),
        }
    }

    fn is_starting(&self) -> bool {
        let session = self.state.record.session.as_ref();
        session.is_some_and(|session| session.stage == Stage::StartingCamera)
    }

    /// Notes what a deed is about to change, so that it is saved before it is done.
    fn begin(&mut self, deed: Deed) {
        let link = &mut self.state.record.link;
        match &deed {
            Deed::Look | Deed::LookForPicture(_) => {}
            Deed::Add(camera, ..) => {
                let job_id = self.state.record.session.as_ref().map(|s| s.job_id.clone());
                link.placed.insert(camera.clone(), Placed { job_id, switched_off: false });
                link.changed_at = Some(self.now);
            }
            Deed::Remove(camera) | Deed::SwitchOff(camera) | Deed::Delete(camera) => {
                let found = Placed { job_id: None, switched_off: false };
                link.placed.entry(camera.clone()).or_insert(found);
                link.changed_at = Some(self.now);
            }
        }
        self.state.link.busy = true;
        self.effects.push(Effect::Frigate(deed));
    }

    /// A deed has ended.
    pub(super) fn deed_done(&mut self, deed: Deed, done: Done) {
        self.state.link.busy = false;
        if !matches!(deed, Deed::Look | Deed::LookForPicture(_)) {
            self.state.record.link.changed_at = Some(self.now);
        }
        match done {
            Done::Failed(reason) => return self.deed_failed(reason),
            Done::Refused(reason) => {
                self.deed_failed(reason.clone());
                if let (Deed::Add(..), Some(_)) = (&deed, self.state.wanted()) {
                    self.end(Ending::Failed(reason));
                }
                return;
            }
            Done::Looked(seen) => self.looked(seen),
            Done::Changed => self.changed(&deed),
            Done::Picture(true) => self.live(),
            Done::Picture(false) => {
                self.state.link.not_before = Some(self.now.plus(PICTURE_EVERY_S));
                self.give_up_waiting("Frigate took the camera, but shows no picture of it");
            }
        }
        self.state.link.failures = 0;
        self.state.link.error = None;
    }

    fn looked(&mut self, seen: Seen) {
        // What is gone needs no taking out any more.
        let placed = &mut self.state.record.link.placed;
        placed.retain(|camera, _| seen.replay_cameras.contains(camera));
        self.state.link.known = Some((seen.version.clone(), seen.way));
        self.state.link.seen = Some(seen);
    }

    fn changed(&mut self, deed: &Deed) {
        let Some(seen) = &mut self.state.link.seen else {
            return;
        };
        match deed {
            Deed::Add(camera, ..) => {
                seen.replay_cameras.insert(camera.clone());
            }
            Deed::Remove(camera) | Deed::Delete(camera) => {
                seen.replay_cameras.remove(camera);
                self.state.record.link.placed.remove(camera);
            }
            Deed::SwitchOff(camera) => {
                if let Some(placed) = self.state.record.link.placed.get_mut(camera) {
                    placed.switched_off = true;
                }
            }
            Deed::Look | Deed::LookForPicture(_) => {}
        }
    }

    /// What stands in Frigate is not known any more: it is looked again, after a pause.
    fn deed_failed(&mut self, reason: String) {
        let link = &mut self.state.link;
        link.seen = None;
        link.failures = link.failures.saturating_add(1);
        let pause_s = RETRY_S.0 * 2f64.powi(link.failures.min(10) as i32 - 1);
        link.not_before = Some(self.now.plus(pause_s.min(RETRY_S.1)));
        link.error = Some(short(&reason));
        self.give_up_waiting(&reason);
    }

    /// Ends a session whose camera has waited long enough.
    fn give_up_waiting(&mut self, reason: &str) {
        let waited_s = self.state.link.waiting_since.map(|since| self.now.since(since));
        if self.is_starting() && waited_s.is_some_and(|waited_s| waited_s >= APPLY_PATIENCE_S) {
            let reason = format!("{reason}; waited {APPLY_PATIENCE_S} s");
            self.end(Ending::Failed(reason));
        }
    }

    /// Tears the session down once its camera is out of Frigate, or has been waited for.
    pub(in crate::session) fn tear_down_when_out(&mut self) {
        let Some(session) = &self.state.record.session else {
            return;
        };
        if !matches!(session.stage, Stage::Stopping { .. }) || self.state.link.tearing_down {
            return;
        }
        let since = *self.state.link.ending_since.get_or_insert(self.now);
        let waited_s = self.now.since(since);
        let is_linked = self.state.policy.frigate_url.is_some()
            && !matches!(self.state.link.known, Some((_, None)));
        let waits = is_linked
            && self.state.may_be_placed(&session.replay_camera())
            && (0.0..TAKE_OUT_PATIENCE_S).contains(&waited_s)
            // A Frigate that does not answer is not waited for.
            && self.state.link.failures < 2;
        if !waits {
            self.state.link.tearing_down = true;
            self.tear_down();
        }
    }
}
