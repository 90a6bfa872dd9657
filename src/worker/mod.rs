//! The worker: the loop that carries out what the session decides.
//!
//! Everything that happens comes in as an [`Event`], one at a time. For each: decide, *save*,
//! *publish* the view's difference, then *act* on the effects. What takes longer than a moment runs
//! beside the loop as a task whose end is an event again; the loop itself waits for nothing but the
//! store's flush.

mod inbound;
mod retained;
mod rivals;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, error, info, warn};

use crate::bus::{self, Bus, BusError, Signal};
use crate::clock;
use crate::fault;
use crate::health::{self, Health};
use crate::job::Workshop;
use crate::outbox::Outbox;
use crate::session::{
    Deed, Done, Effect, Event, JobOrder, JobReport, LookUp, Policy, Record, State, Step, recover,
    step, view,
};
use crate::store::{Store, StoreError};
use crate::sweep::{self, Sweeps, Swept, Yard};
use crate::wire::Outgoing;
use crate::wire::messages::{EventMessage, Happening, Response, ResponseStatus};
use crate::words::{JobId, ReplayCamera, UnixTime};

use inbound::Receipts;
use retained::{GREETING_TAG, RetainedSweep};
use rivals::Rivals;

/// How long a stop waits for the job, as Frigate does.
const JOB_END_PATIENCE: Duration = Duration::from_secs(2);

/// How long a session's end is held back by the removal of its traces; what takes longer goes on
/// after it.
const TEAR_DOWN_PATIENCE: Duration = Duration::from_secs(3);

/// How long the worker takes to say good-bye.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// How long a look at the clip may take before it counts as there: a hanging network disk must
/// not keep the watchdog from its round.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// Everything a worker needs, as plain values.
pub struct Plan {
    /// What the decisions depend on.
    pub policy: Policy,
    /// How to reach the broker; the will is added here.
    pub bus: bus::Options,
    /// Where the worker keeps its session and its socket.
    pub data_dir: PathBuf,
    /// What a job needs.
    pub workshop: Workshop,
    /// Where replay cameras leave something.
    pub yard: Yard,
    /// How often the watchdog looks.
    pub watchdog_interval: Duration,
}

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The store cannot be opened or written: nothing may be done that is not saved.
    #[error("the session store: {0}")]
    Store(#[from] StoreError),
    /// No connection can be tried.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The health socket cannot be made.
    #[error("{path}: {source}")]
    Health {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another client connected with our client id.
    #[error(
        "another client took over the client id {0:?} at the broker: does a second worker run with \
         this instance name?"
    )]
    TakenOver(String),
}

/// Runs a worker until `shutdown` is ready, then leaves the session as it is for the next start.
pub async fn run(plan: Plan, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError> {
    let store = Store::open(&plan.data_dir.join("session"))?;
    let listener = health::listen(&plan.data_dir).map_err(|source| WorkerError::Health {
        path: health::socket_path(&plan.data_dir),
        source,
    })?;
    let topics = plan.policy.topics.clone();
    let options = bus::Options { will_topic: Some(topics.available()), ..plan.bus };
    let (bus, signals) = Bus::open(&options)?;
    let (events, received) = unbounded_channel();
    let record = read_record(&store)?;
    let worker = Worker {
        outbox: Outbox::new(store.topics()?),
        store,
        bus,
        receipts: Receipts::default(),
        retained: RetainedSweep::default(),
        rivals: Rivals::default(),
        has_rival: false,
        sweeps: Sweeps::new(plan.yard),
        workshop: Arc::new(plan.workshop),
        job: None,
        tick: None,
        events,
        connected: false,
        max_packet_bytes: None,
        client_id: options.client_id,
    };
    info!(
        instance = topics.instance(),
        broker = format!("{}:{}", options.host, options.port),
        "frigate-replay {} starts",
        env!("CARGO_PKG_VERSION")
    );
    let inlets = Inlets { signals, events: received, listener };
    worker.run(plan.policy, record, inlets, plan.watchdog_interval, shutdown).await
}

fn read_record(store: &Store) -> Result<Record, StoreError> {
    let (record, unreadable) = Record::from_parts(store.record());
    if !unreadable.is_empty() {
        error!(
            parts = unreadable.join(" "),
            "parts of the saved session cannot be read; kept aside"
        );
        store.set_aside(&unreadable, whole_seconds(clock::now()))?;
    }
    Ok(record)
}

struct Worker {
    store: Store,
    bus: Bus,
    outbox: Outbox,
    receipts: Receipts,
    retained: RetainedSweep,
    rivals: Rivals,
    /// Another worker with this instance name came after this one.
    has_rival: bool,
    sweeps: Sweeps,
    workshop: Arc<Workshop>,
    job: Option<RunningJob>,
    tick: Option<JoinHandle<()>>,
    events: UnboundedSender<Event>,
    connected: bool,
    max_packet_bytes: Option<u32>,
    client_id: String,
}

/// Where everything that happens comes in.
struct Inlets {
    signals: UnboundedReceiver<Signal>,
    events: UnboundedReceiver<Event>,
    listener: UnixListener,
}

struct RunningJob {
    cancel: watch::Sender<bool>,
    end: JoinHandle<()>,
}

impl Worker {
    async fn run(
        mut self,
        policy: Policy,
        record: Record,
        mut inlets: Inlets,
        watchdog_interval: Duration,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), WorkerError> {
        let clip_gone = self.workshop.is_clip_gone(record.session.as_ref(), LOOK_PATIENCE).await;
        let cameras = timeout(LOOK_PATIENCE, Arc::clone(&self.workshop).cameras()).await;
        let cameras = cameras.unwrap_or_else(|_| Err("Frigate's config cannot be read".to_owned()));
        let recovered = recover(policy, record, cameras, clip_gone, clock::now());
        let mut state = self.carry_out(recovered)?;
        let mut watchdog = interval(watchdog_interval);
        watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shutdown = pin!(shutdown);
        loop {
            let wake_in = state.wake_at().map(|at| at.since(clock::now()));
            let event = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(event) = inlets.events.recv() => Some(event),
                Some(signal) = inlets.signals.recv() => self.hear(signal, &state)?,
                () = self.retained.overdue() => {
                    self.retained.go_round_again(&self.bus, &state.policy.topics);
                    None
                }
                () = wake(wake_in) => Some(Event::Wake),
                _ = watchdog.tick() => {
                    self.look_at_clip(&state);
                    self.read_cameras();
                    None
                }
                Ok((stream, _)) = inlets.listener.accept() => {
                    self.tell_health(stream);
                    None
                }
            };
            if let Some(event) = event {
                state = self.carry_out(step(state, event, clock::now()))?;
            }
            self.tell();
        }
        self.leave(&state).await;
        Ok(())
    }

    /// Tells the broker what waits. A request is acknowledged after its answer is on its way: killed
    /// in between, the worker gets it again.
    fn tell(&mut self) {
        self.outbox.flush(|message| self.bus.publish(message));
        if self.outbox.is_empty() {
            self.bus.flush_acks();
        }
    }

    /// Save, then publish, then act.
    fn carry_out(&mut self, step: Step) -> Result<State, WorkerError> {
        let Step { state, effects } = step;
        // A claim is neither saved nor shown, and its look-up does nothing that could be lost. What
        // else there may be to tell is told when it ends.
        if let [Effect::LookUp(_)] = effects.as_slice() {
            effects.into_iter().for_each(|effect| self.act(effect, &state));
            return Ok(state);
        }
        let view = view(&state);
        let new_topics = self.outbox.unremembered(&view);
        fault::point("before-save");
        self.store.save(state.record.parts(), &new_topics)?;
        fault::point("after-save");
        self.outbox.show(&view, whole_seconds(clock::now()));
        let (words, deeds): (Vec<_>, Vec<_>) = effects.into_iter().partition(is_word);
        for effect in &words {
            fault::point("word");
            self.speak(effect, &state);
        }
        self.tell();
        words.iter().for_each(log_word);
        for effect in deeds {
            fault::point("deed");
            self.act(effect, &state);
        }
        Ok(state)
    }

    /// What the pump saw, and what it means to the session.
    fn hear(&mut self, signal: Signal, state: &State) -> Result<Option<Event>, WorkerError> {
        match &signal {
            Signal::Connected { .. } => fault::point("connected"),
            Signal::Published { .. } => fault::point("published"),
            Signal::Message(_) => fault::point("message"),
            _ => {}
        }
        match signal {
            Signal::Connected { max_packet_bytes } => {
                info!("connected to the broker");
                self.connected = true;
                self.max_packet_bytes = max_packet_bytes;
                self.rivals.connected();
                self.retained.listen(&self.bus, &state.policy.topics);
            }
            Signal::Lost { reason } => {
                if std::mem::replace(&mut self.connected, false) {
                    warn!(reason, "lost the broker; connecting again");
                } else {
                    warn!(reason, "no connection to the broker; trying again");
                }
                self.outbox.lost();
                self.receipts.clear();
                self.retained.stop();
            }
            Signal::TakenOver => return Err(WorkerError::TakenOver(self.client_id.clone())),
            Signal::Subscribed { tag: GREETING_TAG, result } => {
                if let Err(reason) = result {
                    warn!(reason, "the broker does not tell when Home Assistant starts");
                }
            }
            Signal::Message(message) => {
                let event = self.read(message, state);
                if self.has_rival {
                    return Err(WorkerError::TakenOver(self.client_id.clone()));
                }
                return Ok(event);
            }
            // Only now: who reads `online` may send a request at once, and it must arrive.
            Signal::Subscribed { tag, result } if self.retained.is_listening(tag) => {
                if let Err(reason) = result {
                    error!(reason, "the subscription to requests failed; it is tried again");
                }
                self.outbox.connected(self.max_packet_bytes);
                return Ok(Some(Event::Connected));
            }
            Signal::Subscribed { tag, result } => {
                let topics = &state.policy.topics;
                self.retained.subscribed(tag, result, &mut self.outbox, topics);
            }
            Signal::Published { topic, cleared, result } => match result {
                Ok(()) if cleared && self.outbox.cleared(&topic) => {
                    // Only a crash in this moment would clear the topic once more.
                    if let Err(error) = self.store.forget_topic(&topic) {
                        warn!(%error, topic, "could not forget a cleared topic");
                    }
                }
                Ok(()) => {}
                Err(reason) if self.connected => {
                    error!(
                        topic,
                        reason, "the broker did not take a message; see its access rules"
                    );
                }
                Err(reason) => debug!(topic, reason, "a message did not reach the broker"),
            },
        }
        Ok(None)
    }

    fn speak(&mut self, effect: &Effect, state: &State) {
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
    fn clear(&self, topic: String) {
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

    fn act(&mut self, effect: Effect, state: &State) {
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
    fn look_at_clip(&mut self, state: &State) {
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

    fn read_cameras(&self) {
        let (workshop, events) = (Arc::clone(&self.workshop), self.events.clone());
        tokio::spawn(async move {
            send(&events, Event::Cameras(workshop.cameras().await));
        });
    }

    fn tell_health(&self, stream: UnixStream) {
        let store_error = self.store.probe().err().map(|error| error.to_string());
        let health = Health { connected: self.connected, store_error };
        tokio::spawn(health::answer(stream, health));
    }

    /// Ends what runs and says good-bye; the session stays as it is saved.
    async fn leave(mut self, state: &State) {
        info!("leaving; the session is kept");
        if let Some(job) = self.job.take() {
            let _ = job.cancel.send(true);
            let _ = timeout(JOB_END_PATIENCE, job.end).await;
        }
        self.sweeps.halt().await;
        self.tell();
        let offline = Outgoing {
            topic: state.policy.topics.available(),
            payload: "offline".into(),
            retain: true,
            expiry_s: None,
            correlation: None,
        };
        if self.connected {
            // Should it find no room, the broker publishes our will.
            let _ = self.bus.publish(offline);
        }
        self.bus.close(CLOSE_PATIENCE).await;
    }
}

/// Ready in so many seconds, never without them. The clock may be set meanwhile, so it is looked at
/// again once a minute.
async fn wake(in_s: Option<f64>) {
    match in_s {
        Some(in_s) => sleep(Duration::from_secs_f64(in_s.clamp(0.0, 60.0))).await,
        None => std::future::pending().await,
    }
}

/// Whether an effect says something; the others do something, after everything was said.
fn is_word(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Settle(_) | Effect::Reply(..) | Effect::Announce(_) | Effect::ClearTopic(_)
    )
}

fn known_cameras(state: &State) -> Vec<crate::words::CameraName> {
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
fn log_word(effect: &Effect) {
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

fn whole_seconds(time: UnixTime) -> u64 {
    time.seconds().max(0.0) as u64
}
