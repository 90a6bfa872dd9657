//! The running Frigate of the virtual world: it takes replay cameras as the real one does, and notes
//! whatever would have killed the real one's threads.

use std::collections::{BTreeMap, BTreeSet};

use frigate_replay::session::{Deed, Done, Seen};
use frigate_replay::wire::messages::FrigateWay;
use frigate_replay::words::ReplayCamera;

/// Two changes closer than this were seen to kill threads, seconds.
const DEADLY_GAP_S: f64 = 3.0;

pub struct Frigate {
    pub way: FrigateWay,
    /// What stands in its config.yml, and whether it is switched on.
    pub cameras: BTreeMap<ReplayCamera, bool>,
    pub others: usize,
    /// Nobody answers.
    pub down: bool,
    /// It does what it is told, so many seconds later, and nobody gets an answer.
    pub late_s: Option<f64>,
    late: Vec<(f64, Deed)>,
    /// It says no to a camera.
    pub refuses: bool,
    /// Cameras give no picture.
    pub dark: bool,
    pub own_replay: bool,
    changed_at: Option<f64>,
    pub harm: Vec<String>,
}

impl Frigate {
    pub fn new(way: FrigateWay) -> Self {
        Self {
            way,
            cameras: BTreeMap::new(),
            others: 3,
            down: false,
            late_s: None,
            late: Vec::new(),
            refuses: false,
            dark: false,
            own_replay: false,
            changed_at: None,
            harm: Vec::new(),
        }
    }

    pub fn standing(&self) -> BTreeSet<ReplayCamera> {
        self.cameras.keys().cloned().collect()
    }

    /// Time goes on: what was late is done now.
    pub fn pass_time(&mut self, now: f64) {
        let late = std::mem::take(&mut self.late);
        for (at, deed) in late {
            if at <= now {
                self.change(&deed, at);
            } else {
                self.late.push((at, deed));
            }
        }
    }

    pub fn perform(&mut self, deed: &Deed, now: f64) -> Done {
        if self.down {
            return Done::Failed("connection refused".into());
        }
        match deed {
            Deed::Look => Done::Looked(Seen {
                version: "0.x".into(),
                way: self.way,
                replay_cameras: self.standing(),
                other_cameras: self.others,
                own_replay: self.own_replay,
            }),
            Deed::LookForPicture(camera) => {
                Done::Picture(!self.dark && self.cameras.get(camera) == Some(&true))
            }
            _ => {
                if let Some(late_s) = self.late_s {
                    self.late.push((now + late_s, deed.clone()));
                    return Done::Unanswered("no answer in time".into());
                }
                self.change(deed, now)
            }
        }
    }

    fn change(&mut self, deed: &Deed, now: f64) -> Done {
        if self.changed_at.is_some_and(|at| now - at < DEADLY_GAP_S) {
            self.harm.push(format!("{deed:?} at {now}, right after another change"));
        }
        self.changed_at = Some(now);
        if self.own_replay {
            self.harm.push(format!("{deed:?} while a replay of its own is active"));
        }
        let is_older = self.way == FrigateWay::SwitchOffAndDelete;
        match deed {
            Deed::Add(..) if self.refuses => return Done::Refused("HTTP 400: no".into()),
            Deed::Add(camera, _, way) => {
                assert_eq!(*way, self.way);
                if is_older && self.others < 2 {
                    self.harm.push("an add to the only camera".into());
                }
                if self.cameras.insert(camera.clone(), true).is_some() {
                    self.harm.push(format!("{camera} is added over itself"));
                }
                return Done::Added(vec![]);
            }
            Deed::Remove(camera) => {
                if is_older {
                    self.harm.push(format!("a removal of {camera} is published to 0.17"));
                }
                if self.cameras.remove(camera).is_none() {
                    return Done::Refused("HTTP 500: Error updating config".into());
                }
            }
            Deed::SwitchOff(camera) => match self.cameras.get_mut(camera) {
                Some(is_on) => *is_on = false,
                None => return Done::Failed("HTTP 500: Internal Server Error".into()),
            },
            Deed::Delete(camera) => {
                if self.cameras.get(camera) == Some(&true) {
                    self.harm.push(format!("{camera} is deleted, and runs on"));
                }
                if self.cameras.remove(camera).is_none() {
                    return Done::Refused("HTTP 500: Error updating config".into());
                }
            }
            Deed::Look | Deed::LookForPicture(_) => {}
        }
        Done::Changed
    }
}
