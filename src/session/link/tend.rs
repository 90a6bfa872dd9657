//! What follows: the next deed at Frigate, and what its outcome leads to.

use crate::wire::messages::FrigateWay;
use crate::words::{ReplayCamera, UnixTime};

use super::super::event::Effect;
use super::super::state::{Ending, Stage, few, short};
use super::super::step::Turn;
use super::{CHANGE_GAP_S, Deed, Done, Placed, Seen, TAKE_OUT_PATIENCE_S};

/// How long a replay waits for Frigate: to be reached, to take the camera, to show a picture of it.
const APPLY_PATIENCE_S: f64 = 60.0;

/// The pause after the first failure, and the longest, seconds.
const RETRY_S: (f64, f64) = (2.0, 60.0);

/// How often it is looked whether the camera shows a picture.
const PICTURE_EVERY_S: f64 = 0.5;

/// How often it is looked whether a replay of Frigate's own is over, seconds.
const OWN_REPLAY_EVERY_S: f64 = 10.0;

/// What to do next.
enum Next {
    Nothing,
    Wait(UnixTime),
    Do(Deed),
    /// The camera is as much there as it can be.
    GoLive,
    Fail(String),
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
            Next::Wait(until) => {
                self.state.link.not_before = Some(until);
                // Nobody is alone with Frigate: it is looked again after it.
                self.state.link.seen = None;
            }
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
        // What was not answered may be done behind a look's back.
        if let Some(settled_at) = self.state.record.link.settled_at().filter(|at| *at > self.now) {
            return Next::Wait(settled_at);
        }
        let Some(seen) = &self.state.link.seen else {
            return Next::Do(Deed::Look);
        };
        let wanted = self.state.wanted();
        if seen.way == FrigateWay::PublishOnly {
            return if self.is_starting_camera() { Next::GoLive } else { Next::Nothing };
        }
        let objection = wanted.as_ref().and_then(|_| seen.objection());
        if let (Some(reason), true) = (&objection, self.is_starting_camera()) {
            return Next::Fail(reason.clone());
        }
        if let Some(stale) = seen.replay_cameras.iter().find(|camera| !self.state.is_ours(camera)) {
            // Any change while a replay of Frigate's own runs would cut that one loose.
            return match seen.own_replay {
                true => Next::Wait(self.now.plus(OWN_REPLAY_EVERY_S)),
                false => self.in_time(self.taking_out(stale, seen.way)),
            };
        }
        match wanted {
            Some((camera, config, _)) if !seen.replay_cameras.contains(&camera) => {
                match objection {
                    Some(reason) => Next::Fail(reason),
                    None => self.in_time(Deed::Add(camera, Box::new(config.clone()), seen.way)),
                }
            }
            Some((camera, ..)) if self.is_starting_camera() => {
                Next::Do(Deed::LookForPicture(camera))
            }
            _ => Next::Nothing,
        }
    }

    fn taking_out(&self, camera: &ReplayCamera, way: FrigateWay) -> Deed {
        let placed = self.state.record.link.placed.get(camera);
        match (way, placed) {
            (FrigateWay::SwitchOffAndDelete, Some(Placed { switched_off: true, .. })) => {
                Deed::Delete(camera.clone())
            }
            (FrigateWay::SwitchOffAndDelete, _) => Deed::SwitchOff(camera.clone()),
            _ => Deed::Remove(camera.clone()),
        }
    }

    /// The change, if the last one is long enough ago.
    fn in_time(&self, deed: Deed) -> Next {
        let changed_at = self.state.record.link.changed_at;
        match changed_at.map(|at| at.plus(CHANGE_GAP_S)) {
            Some(at) if at > self.now => Next::Wait(at),
            _ => Next::Do(deed),
        }
    }

    /// Whether the session's camera waits to be there.
    fn is_starting_camera(&self) -> bool {
        let session = self.state.record.session.as_ref();
        session.is_some_and(|session| {
            session.stage == Stage::StartingCamera && session.camera_config.is_some()
        })
    }

    /// Notes what a deed is about to change, so that it is saved before it is done.
    fn begin(&mut self, deed: Deed) {
        let link = &mut self.state.record.link;
        match &deed {
            Deed::Look | Deed::LookForPicture(_) => {}
            Deed::Add(camera, ..) => {
                let job_id = self.state.record.session.as_ref().map(|s| s.job_id.clone());
                link.placed.insert(camera.clone(), Placed { job_id, switched_off: false });
            }
            Deed::Remove(camera) | Deed::SwitchOff(camera) | Deed::Delete(camera) => {
                let found = Placed { job_id: None, switched_off: false };
                link.placed.entry(camera.clone()).or_insert(found);
            }
        }
        if deed.is_change() {
            link.changed_at = Some(self.now);
            link.unanswered = true;
        }
        self.state.link.busy = true;
        self.effects.push(Effect::Frigate(deed));
    }

    /// A deed has ended.
    pub(in crate::session) fn deed_done(&mut self, deed: Deed, done: Done) {
        self.state.link.busy = false;
        if deed.is_change() {
            let link = &mut self.state.record.link;
            link.changed_at = Some(self.now);
            link.unanswered = matches!(done, Done::Unanswered(_));
        }
        match done {
            Done::Failed(reason) | Done::Unanswered(reason) => return self.deed_failed(&reason),
            Done::Refused(reason) => return self.deed_refused(&deed, reason),
            Done::Looked(seen) => self.looked(seen),
            Done::Added(warnings) => self.added(&deed, warnings),
            Done::Changed => self.changed(&deed),
            Done::Picture(there) => self.picture(&deed, there),
        }
        self.state.link.failures = 0;
        self.state.link.error = None;
    }

    fn looked(&mut self, seen: Seen) {
        let link = &mut self.state.record.link;
        if let Some(settled_at) = link.settled_at() {
            link.changed_at = Some(settled_at);
            link.unanswered = false;
        }
        // What is gone needs no taking out any more.
        let placed = &mut link.placed;
        placed.retain(|camera, _| seen.replay_cameras.contains(camera));
        self.state.link.known = Some((seen.version.clone(), seen.way));
        self.state.link.seen = Some(seen);
    }

    fn added(&mut self, deed: &Deed, warnings: Vec<String>) {
        if let (Deed::Add(camera, ..), Some(seen)) = (deed, &mut self.state.link.seen) {
            seen.replay_cameras.insert(camera.clone());
        }
        if !self.is_of_this_session(deed) {
            return;
        }
        // The picture has its own time.
        self.state.link.waiting_since = Some(self.now);
        if let Some(session) = &mut self.state.record.session {
            let mut all = std::mem::take(&mut session.warnings);
            all.extend(warnings);
            all.dedup();
            session.warnings = few(all);
        }
    }

    fn changed(&mut self, deed: &Deed) {
        let placed = &mut self.state.record.link.placed;
        match deed {
            Deed::Remove(camera) | Deed::Delete(camera) => {
                placed.remove(camera);
                if let Some(seen) = &mut self.state.link.seen {
                    seen.replay_cameras.remove(camera);
                }
            }
            Deed::SwitchOff(camera) => {
                if let Some(placed) = placed.get_mut(camera) {
                    placed.switched_off = true;
                }
            }
            Deed::Look | Deed::Add(..) | Deed::LookForPicture(_) => {}
        }
    }

    fn picture(&mut self, deed: &Deed, there: bool) {
        if !self.is_of_this_session(deed) || !self.is_starting_camera() {
            return;
        }
        if there {
            return self.live();
        }
        self.state.link.not_before = Some(self.now.plus(PICTURE_EVERY_S));
        self.give_up_waiting("Frigate took the camera, but shows no picture of it");
    }

    /// Whether the camera of a deed stands in Frigate for the session that there is now.
    fn is_of_this_session(&self, deed: &Deed) -> bool {
        match deed {
            Deed::Add(camera, ..) | Deed::LookForPicture(camera) => self.state.is_ours(camera),
            _ => false,
        }
    }

    /// Frigate says no, and would again: a replay that waits for it waits for nothing.
    fn deed_refused(&mut self, deed: &Deed, reason: String) {
        self.deed_failed(&reason);
        let concerns_it = matches!(deed, Deed::Look) || self.is_of_this_session(deed);
        if concerns_it && (self.is_starting_camera() || matches!(deed, Deed::Add(..))) {
            self.end(Ending::Failed(reason));
        }
    }

    /// What stands in Frigate is not known any more: it is looked again, after a pause.
    fn deed_failed(&mut self, reason: &str) {
        let link = &mut self.state.link;
        link.seen = None;
        link.failures = link.failures.saturating_add(1);
        let pause_s = RETRY_S.0 * 2f64.powi(link.failures.min(10) as i32 - 1);
        link.not_before = Some(self.now.plus(pause_s.min(RETRY_S.1)));
        link.error = Some(short(reason));
        self.give_up_waiting(reason);
    }

    /// Ends a session whose camera has waited long enough.
    fn give_up_waiting(&mut self, reason: &str) {
        let waited_s = self.state.link.waiting_since.map(|since| self.now.since(since));
        if self.is_starting_camera()
            && waited_s.is_some_and(|waited_s| waited_s >= APPLY_PATIENCE_S)
        {
            self.end(Ending::Failed(format!("{reason}; waited {APPLY_PATIENCE_S} s")));
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
            && !matches!(self.state.link.known, Some((_, FrigateWay::PublishOnly)));
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
