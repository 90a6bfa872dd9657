//! A client of a worker: sends a request and waits for its answer, reads what the topics show.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout_at};

use crate::bus::{self, Bus, BusError, Filter, Message, Signal};
use crate::wire::Outgoing;
use crate::wire::messages::{Job, JobStateMessage, Response, SessionMessage};
use crate::wire::requests::Verb;
use crate::wire::topics::Topics;

/// How long the broker may take to accept us.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How long the worker may take to answer. A stop is answered when it is done.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// How long the broker may take to tell what it retains.
const RETAINED_PATIENCE: Duration = Duration::from_secs(2);

/// Why the worker could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The settings do not make a connection.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// No connection came about.
    #[error("no connection to the broker at {address}: {reason}")]
    NoConnection {
        /// Host and port.
        address: String,
        /// Why.
        reason: String,
    },
    /// The broker refused something.
    #[error("the broker refuses the subscription: {0}")]
    Refused(String),
    /// Nobody answered.
    #[error(
        "no answer on {0} in time; is the worker running, and may this user read and write there?"
    )]
    NoAnswer(String),
    /// The connection ended.
    #[error("lost the connection to the broker")]
    Lost,
}

/// Something that a watched topic shows.
#[derive(Clone, Debug)]
pub enum Shown {
    /// `B/available`.
    Available(bool),
    /// `B/session`.
    Session(Box<SessionMessage>),
    /// `B/job_state`.
    Job(Box<JobStateMessage>),
    /// `B/info`, as it came.
    Info(Value),
}

/// A connection of a client.
pub struct Client {
    bus: Bus,
    signals: UnboundedReceiver<Signal>,
    topics: Topics,
    next_tag: u64,
    /// Messages that came before they were waited for.
    early: VecDeque<Message>,
}

impl Client {
    /// Connects under a client id of its own and without a session at the broker.
    pub async fn connect(options: &bus::Options, topics: &Topics) -> Result<Self, ClientError> {
        let options = bus::Options {
            client_id: format!("frigate-replay-cli-{:08x}", random()),
            session_expiry_s: 0,
            will_topic: None,
            ..options.clone()
        };
        let (bus, mut signals) = Bus::open(&options)?;
        let address = format!("{}:{}", options.host, options.port);
        let deadline = Instant::now() + CONNECT_PATIENCE;
        let mut reason = "no answer".to_owned();
        loop {
            match timeout_at(deadline, signals.recv()).await {
                Ok(Some(Signal::Connected { .. })) => break,
                // A refusal stays one; a broker that is not there may be starting.
                Ok(Some(Signal::Lost { reason: why })) if why.contains("refuses") => {
                    return Err(ClientError::NoConnection { address, reason: why });
                }
                Ok(Some(Signal::Lost { reason: why })) => reason = why,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(ClientError::NoConnection { address, reason }),
            }
        }
        Ok(Self { bus, signals, topics: topics.clone(), next_tag: 0, early: VecDeque::new() })
    }

    /// Sends a request and waits for its answer. `request` gets a transaction if it has none.
    pub async fn ask(&mut self, verb: Verb, mut request: Value) -> Result<Response, ClientError> {
        let transaction = Value::String(format!("cli-{:016x}", random()));
        if let Some(fields) = request.as_object_mut() {
            fields.entry("transaction").or_insert(transaction);
        }
        let transaction = request.get("transaction").cloned().unwrap_or_default();
        let topic = self.topics.response(verb.as_str());
        self.subscribe(&[&topic]).await?;
        self.publish(self.topics.request(verb), request.to_string(), false);
        let deadline = Instant::now() + ANSWER_PATIENCE;
        loop {
            let message = self.message(deadline).await.map_err(|error| match error {
                ClientError::NoAnswer(_) => ClientError::NoAnswer(topic.clone()),
                other => other,
            })?;
            let Ok(payload) = serde_json::from_slice::<Value>(&message.payload) else { continue };
            if message.topic == topic
                && payload.get("transaction") == Some(&transaction)
                && let Ok(response) = serde_json::from_value(payload)
            {
                return Ok(response);
            }
        }
    }

    /// Begins to watch the worker's state; [`Client::next`] gives it, first what is retained.
    pub async fn watch(&mut self) -> Result<(), ClientError> {
        let topics = self.watched();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.subscribe(&topics).await
    }

    /// The next thing that a watched topic shows; `None` if nothing came until `deadline`.
    pub async fn next(&mut self, deadline: Option<Instant>) -> Result<Option<Shown>, ClientError> {
        loop {
            let message = match self.message(deadline.unwrap_or_else(far_off)).await {
                Err(ClientError::NoAnswer(_)) => return Ok(None),
                other => other?,
            };
            if let Some(shown) = self.shown(&message) {
                return Ok(Some(shown));
            }
        }
    }

    /// What the watched topics show now.
    pub async fn snapshot(&mut self) -> Result<Vec<Shown>, ClientError> {
        self.watch().await?;
        let deadline = Instant::now() + RETAINED_PATIENCE;
        let mut all = Vec::new();
        while all.len() < self.watched().len() {
            match self.next(Some(deadline)).await? {
                Some(shown) => all.push(shown),
                None => break,
            }
        }
        Ok(all)
    }

    /// Waits until a worker is online.
    pub async fn wait_until_online(&mut self, patience: Duration) -> Result<(), ClientError> {
        self.watch().await?;
        let deadline = Some(Instant::now() + patience);
        while let Some(shown) = self.next(deadline).await? {
            if matches!(shown, Shown::Available(true)) {
                return Ok(());
            }
        }
        Err(ClientError::NoAnswer(self.topics.available()))
    }

    /// Waits until the job that is shown has ended, and gives it.
    pub async fn wait_for_job(&mut self, patience: Duration) -> Result<Job, ClientError> {
        self.watch().await?;
        let deadline = Some(Instant::now() + patience);
        while let Some(shown) = self.next(deadline).await? {
            if let Shown::Job(message) = shown
                && let Some(job) = message.debug_replay
                && job.end_time.is_some()
            {
                return Ok(job);
            }
        }
        Err(ClientError::NoAnswer(self.topics.job_state()))
    }

    /// Listens to everything that `filter` fits; [`Client::heard`] gives it.
    pub async fn listen(&mut self, filter: &str) -> Result<(), ClientError> {
        self.subscribe(&[filter]).await
    }

    /// The next message of any topic, as text.
    pub async fn heard(&mut self) -> Result<(String, String), ClientError> {
        let message = self.message(far_off()).await?;
        Ok((message.topic, String::from_utf8_lossy(&message.payload).into_owned()))
    }

    fn watched(&self) -> [String; 4] {
        let topics = &self.topics;
        [topics.available(), topics.session(), topics.job_state(), topics.info()]
    }

    fn shown(&self, message: &Message) -> Option<Shown> {
        let payload = &message.payload;
        let [available, session, job, info] = self.watched();
        let topic = &message.topic;
        if *topic == available {
            Some(Shown::Available(&payload[..] == b"online"))
        } else if *topic == session {
            serde_json::from_slice(payload).ok().map(|m| Shown::Session(Box::new(m)))
        } else if *topic == job {
            serde_json::from_slice(payload).ok().map(|m| Shown::Job(Box::new(m)))
        } else if *topic == info {
            serde_json::from_slice(payload).ok().map(Shown::Info)
        } else {
            None
        }
    }

    /// Every retained topic below `filter` that holds something, as far as the broker tells in time.
    pub async fn retained(&mut self, filter: &str) -> Result<Vec<String>, ClientError> {
        self.subscribe(&[filter]).await?;
        let deadline = Instant::now() + RETAINED_PATIENCE;
        let mut found = Vec::new();
        loop {
            match self.message(deadline).await {
                Ok(message) if message.retain && !message.payload.is_empty() => {
                    found.push(message.topic);
                }
                Ok(_) => {}
                Err(ClientError::NoAnswer(_)) => return Ok(found),
                Err(error) => return Err(error),
            }
        }
    }

    /// Clears retained topics, in this order, and waits until the broker has done so. Gives those
    /// that it refused, with the reason.
    pub async fn clear(&mut self, topics: &[String]) -> Result<Vec<(String, String)>, ClientError> {
        let mut waiting: HashSet<String> = topics.iter().cloned().collect();
        let mut to_send: Vec<String> = topics.iter().rev().cloned().collect();
        let mut refused = Vec::new();
        let deadline = Instant::now() + ANSWER_PATIENCE;
        while !waiting.is_empty() {
            while let Some(topic) = to_send.pop() {
                if !self.publish(topic.clone(), String::new(), true) {
                    to_send.push(topic);
                    break;
                }
            }
            match timeout_at(deadline, self.signals.recv()).await {
                Ok(Some(Signal::Published { topic, result, .. })) => {
                    waiting.remove(&topic);
                    if let Err(reason) = result {
                        refused.push((topic, reason));
                    }
                }
                Ok(Some(Signal::Message(message))) => self.take(message),
                Ok(Some(Signal::Lost { .. } | Signal::TakenOver) | None) => {
                    return Err(ClientError::Lost);
                }
                Ok(Some(_)) => {}
                Err(_) => return Err(ClientError::NoAnswer("a cleared topic".to_owned())),
            }
        }
        Ok(refused)
    }

    /// Publishes a nonce as a request would travel and waits until it comes back: whether requests
    /// can arrive with this login.
    pub async fn requests_arrive(&mut self) -> Result<bool, ClientError> {
        self.subscribe(&[&self.topics.requests_filter()]).await?;
        let nonce = format!("check-{:016x}", random());
        self.publish(self.topics.sync(), nonce.clone(), false);
        let deadline = Instant::now() + RETAINED_PATIENCE;
        loop {
            match self.message(deadline).await {
                Ok(message) if &message.payload[..] == nonce.as_bytes() => return Ok(true),
                Ok(_) => {}
                Err(ClientError::NoAnswer(_)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Says good-bye.
    pub async fn close(self) {
        self.bus.close(Duration::from_secs(1)).await;
    }

    async fn subscribe(&mut self, filters: &[&str]) -> Result<(), ClientError> {
        self.next_tag += 1;
        let tag = self.next_tag;
        let filters: Vec<Filter> = filters
            .iter()
            .map(|filter| Filter { filter: (*filter).to_owned(), keep_retain_flag: false })
            .collect();
        self.bus.subscribe(&filters, tag);
        let deadline = Instant::now() + CONNECT_PATIENCE;
        loop {
            match timeout_at(deadline, self.signals.recv()).await {
                Ok(Some(Signal::Subscribed { tag: of, result })) if of == tag => {
                    return result.map_err(ClientError::Refused);
                }
                Ok(Some(Signal::Message(message))) => self.take(message),
                Ok(Some(Signal::Lost { .. } | Signal::TakenOver) | None) => {
                    return Err(ClientError::Lost);
                }
                Ok(Some(_)) => {}
                Err(_) => return Err(ClientError::NoAnswer("a subscription".to_owned())),
            }
        }
    }

    /// The next message, acknowledged.
    async fn message(&mut self, deadline: Instant) -> Result<Message, ClientError> {
        loop {
            if let Some(message) = self.early.pop_front() {
                return Ok(message);
            }
            match timeout_at(deadline, self.signals.recv()).await {
                Ok(Some(Signal::Message(message))) => self.take(message),
                Ok(Some(Signal::Lost { .. } | Signal::TakenOver) | None) => {
                    return Err(ClientError::Lost);
                }
                Ok(Some(_)) => {}
                Err(_) => return Err(ClientError::NoAnswer("a topic".to_owned())),
            }
        }
    }

    fn take(&mut self, mut message: Message) {
        if let Some(acknowledgement) = message.acknowledgement.take() {
            self.bus.acknowledge(acknowledgement);
        }
        message.taken();
        self.early.push_back(message);
    }

    fn publish(&self, topic: String, payload: String, retain: bool) -> bool {
        let payload = payload.into();
        let message = Outgoing { topic, payload, retain, expiry_s: None, correlation: None };
        self.bus.publish(message).is_ok()
    }
}

/// A deadline that nobody lives to see.
fn far_off() -> Instant {
    Instant::now() + Duration::from_secs(30 * 365 * 24 * 3600)
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers two clients at once may disturb each other; nothing worse.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
