//! What the session's effects are in the world: what is said, and what is done beside the loop, as
//! tasks whose ends are events again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::session::{Deed, Done, Effect, Event, JobOrder, JobReport, LookUp, State};
use crate::sweep::{self, Swept};
use crate::wire::Outgoing;
use crate::wire::messages::{EventMessage, Happening, Response, ResponseStatus};
use crate::words::{CameraName, JobId, ReplayCamera, UnixTime};

use super::{JOB_END_PATIENCE, LOOK_PATIENCE, RunningJob, Worker};

/// How long a session's end is held back by the removal of its traces; what takes longer goes on
/// after it.
const TEAR_DOWN_PATIENCE: Duration = Duration::from_secs(3);

impl Worker {
    pub(super) fn speak(&mut self, effect: &Effect, state: &State) {
        match effect {
            Effect::Settle(receipt) => {
                if let Some(acknowledgement) = self.receipts.settle(*receipt) {
                    self.bus.acknowledge(acknowledgement);
                }
            }
            Effect::Reply(reply_to, response) => {
                let topic = (reply_to.response_topic.clone())
                    .unwrap_or_else(|| state.policy.topics.response(&reply_to.verb));
                self.outbox.say(topic, json(response), reply_to.correlation.clone());
            }
            Effect::Announce(message) => {
                let topic = state.policy.topics.event();
                self.outbox.say(topic, json(message), None);
            }
            Effect::ClearTopic(topic) => self.clear(topic.clone()),
            _ => {}
        }
    }

    /// Clears a retained topic that is not of our view.
    pub(super) fn clear(&self, topic: String) {
        let clear = Outgoing {
            topic,
            payload: Default::default(),
            retain: true,
            expiry_s: None,
            correlation: None,
        };
        // If there is no room now, the next connection finds the message again.
        let _ = self.bus.publish(clear);
    }

    pub(super) fn act(&mut self, effect: Effect, state: &State) {
        match effect {
            Effect::LookUp(look_up) => self.look_up(look_up),
            Effect::RunJob(order) => self.run_job(*order),
            Effect::TearDown(job_id, litter) => self.tear_down(job_id, litter, state),
            Effect::Sweep { litter, keep } => {
                let order = sweep::Order { litter, keep, known: known_cameras(state) };
                let events = self.events.clone();
                self.sweeps.start(order, async {}, move |swept| report_swept(&events, swept));
            }
            // Without a connection the next one brings it.
            Effect::SweepRetained if self.connected => {
                self.retained.begin(&self.bus, &state.policy.topics, state.ghost_filters());
            }
            Effect::Frigate(deed) => self.do_at_frigate(deed),
            _ => {}
        }
    }

    fn look_up(&self, look_up: LookUp) {
        let (workshop, events) = (Arc::clone(&self.workshop), self.events.clone());
        tokio::spawn(async move {
            send(&events, Event::LookedUp(workshop.look_up(look_up).await));
        });
    }

    /// Runs the job beside the loop. A sweep may still be at the traces of the same camera's last
    /// session: it is ended first, and the job waits until it has.
    fn run_job(&mut self, order: JobOrder) {
        let halted = self.sweeps.halt();
        let (cancel, cancelled) = watch::channel(false);
        let (workshop, events) = (Arc::clone(&self.workshop), self.events.clone());
        let job_id = order.job_id.clone();
        let report = {
            let (events, job_id) = (events.clone(), job_id.clone());
            move |report| send(&events, Event::Job(job_id.clone(), report))
        };
        let end = tokio::spawn(async move {
            halted.await;
            let job = tokio::spawn(async move { workshop.run(order, report, cancelled).await });
            let end = match job.await {
                Ok(Ok(())) => return,
                Ok(Err(failure)) => failure,
                Err(error) => Some(format!("the job ended: {error}")),
            };
            send(&events, Event::Job(job_id, JobReport::Ended(end)));
        });
        self.job = Some(RunningJob { cancel, end });
    }

    fn tear_down(&mut self, job_id: JobId, litter: Vec<(ReplayCamera, UnixTime)>, state: &State) {
        let job = self.job.take();
        let job_ended = async move {
            if let Some(job) = job {
                // A job that is over listens no more.
                let _ = job.cancel.send(true);
                if timeout(JOB_END_PATIENCE, job.end).await.is_err() {
                    warn!("the job did not end in time; its traces are taken away all the same");
                }
            }
        };
        let order = sweep::Order { litter, keep: None, known: known_cameras(state) };
        let (done, swept) = tokio::sync::oneshot::channel();
        let events = self.events.clone();
        self.sweeps.start(order, job_ended, move |swept| {
            report_swept(&events, swept);
            // Nobody waits any more if it took too long.
            let _ = done.send(());
        });
        let events = self.events.clone();
        tokio::spawn(async move {
            // Cut short or too slow: what is left is litter, and swept again.
            let _ = timeout(TEAR_DOWN_PATIENCE, swept).await;
            send(&events, Event::TornDown(job_id));
        });
    }

    /// Does one thing at the running Frigate, beside the loop. The session asks for one at a time.
    fn do_at_frigate(&self, deed: Deed) {
        let (workshop, events) = (Arc::clone(&self.workshop), self.events.clone());
        tokio::spawn(async move {
            let done = match &workshop.frigate {
                Some(frigate) => frigate.perform(&deed).await,
                None => Done::Failed("there is no way to Frigate".to_owned()),
            };
            log_deed(&deed, &done);
            send(&events, Event::Frigate(deed, done));
        });
    }

    /// Sends the watchdog's round, with a look at the clip of a live session.
    pub(super) fn look_at_clip(&mut self, state: &State) {
        if self.tick.as_ref().is_some_and(|tick| !tick.is_finished()) {
            return;
        }
        let (workshop, events) = (Arc::clone(&self.workshop), self.events.clone());
        let session = state.record.session.clone();
        self.tick = Some(tokio::spawn(async move {
            workshop.rest();
            let clip_gone = workshop.is_clip_gone(session.as_ref(), LOOK_PATIENCE).await;
            send(&events, Event::Tick { clip_gone });
        }));
    }

    pub(super) fn read_cameras(&self) {
        let (workshop, events) = (Arc::clone(&self.workshop), self.events.clone());
        tokio::spawn(async move {
            send(&events, Event::Cameras(workshop.cameras().await));
        });
    }
}

/// Whether an effect says something; the others do something, after everything was said.
pub(super) fn is_word(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Settle(_) | Effect::Reply(..) | Effect::Announce(_) | Effect::ClearTopic(_)
    )
}

fn known_cameras(state: &State) -> Vec<CameraName> {
    state.cameras.clone().unwrap_or_default()
}

/// The loop ends before its tasks only when the worker ends.
fn send(events: &UnboundedSender<Event>, event: Event) {
    let _ = events.send(event);
}

fn report_swept(events: &UnboundedSender<Event>, swept: Swept) {
    if !swept.finished {
        send(events, Event::SweepUnfinished);
    }
    send(events, Event::Swept(swept.gone));
}

/// Our messages have text keys and finite numbers only, so they can always be written.
fn json<T: serde::Serialize>(message: &T) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_default()
}

/// After it was said: a line of the log takes longer than a message.
pub(super) fn log_word(effect: &Effect) {
    match effect {
        Effect::Reply(reply_to, response) => log_reply(&reply_to.verb, response),
        Effect::Announce(message) => log_happening(message),
        _ => {}
    }
}

fn log_reply(verb: &str, response: &Response) {
    if let (ResponseStatus::Error, Some(refusal)) = (response.status, &response.error) {
        warn!(verb, code = ?refusal.code, "refused: {}", refusal.message);
    }
    for warning in response.data.iter().flat_map(|data| &data.warnings) {
        warn!(verb, "{warning}");
    }
}

fn log_happening(message: &EventMessage) {
    let job_id = message.job_id.as_ref().map(JobId::as_str);
    let camera = message.camera.as_ref().map(ReplayCamera::as_str);
    let what = message.message.as_deref().unwrap_or_default();
    match message.event_type {
        // The refusal itself is logged where it is answered.
        Happening::Refused => {}
        Happening::Failed | Happening::StaleRemoved => {
            warn!(job_id, camera, "{:?} {what}", message.event_type);
        }
        happening => info!(job_id, camera, "{happening:?} {what}"),
    }
}

fn log_deed(deed: &Deed, done: &Done) {
    let (what, camera) = match deed {
        Deed::Look => ("look", None),
        Deed::Add(camera, ..) => ("add", Some(camera)),
        Deed::LookForPicture(camera) => ("look for a picture", Some(camera)),
        Deed::Remove(camera) => ("remove", Some(camera)),
        Deed::SwitchOff(camera) => ("switch off", Some(camera)),
        Deed::Delete(camera) => ("delete", Some(camera)),
    };
    let camera = camera.map(ReplayCamera::as_str);
    match done {
        Done::Refused(reason) | Done::Failed(reason) | Done::Unanswered(reason) => {
            warn!(camera, "Frigate, {what}: {reason}");
        }
        Done::Added(_) | Done::Changed => info!(camera, "Frigate, {what}: done"),
        Done::Looked(_) | Done::Picture(_) => debug!(camera, "Frigate, {what}: {done:?}"),
    }
}
