//! The worker: the loop that carries out what the session decides.
//!
//! Everything that happens comes in as an [`Event`], one at a time. For each: decide, *save*,
//! *publish* the view's difference, then *act* on the effects. What takes longer than a moment runs
//! beside the loop as a task whose end is an event again; the loop itself waits for nothing but the
//! store's flush.

mod effects;
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
use crate::session::{Event, Policy, Record, State, Step, recover, step, view};
use crate::store::{Store, StoreError};
use crate::sweep::{Sweeps, Yard};
use crate::wire::Outgoing;
use crate::words::UnixTime;

use effects::{is_word, log_word};
use inbound::Receipts;
use retained::{GREETING_TAG, RetainedSweep};
use rivals::Rivals;

/// How long a stop waits for the job, as Frigate does.
const JOB_END_PATIENCE: Duration = Duration::from_secs(2);

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
        let only_looks = step.only_looks();
        let Step { state, effects } = step;
        if only_looks {
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

fn whole_seconds(time: UnixTime) -> u64 {
    time.seconds().max(0.0) as u64
}
