//! The connection to the broker: MQTT 5 by rumqttc, and the only module that names it.
//!
//! One task, the pump, polls the connection and does nothing else; what it sees goes through an
//! unbounded channel to whoever decides. Unbounded is safe: QoS 1 messages are acknowledged by
//! hand, so the broker's window bounds them, and [`QOS0_WAITING_MAX`] bounds the rest. The decider
//! never waits for the pump: it publishes with `try`, so the two cannot lock each other.
//!
//! The broker keeps our session for a short while ([`Options::session_expiry_s`]), so that a
//! request sent while the worker restarts is obeyed and one from hours ago is not.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::v5::{
    ConnectReturnCode, DisconnectReasonCode, LastWill, Packet, PubAckReason, Publish,
    PublishProperties, SubscribeReasonCode,
};
use rumqttc::{
    AckMode, AsyncClient, Broker, ConnectionError, Event, EventLoop, ManualAck, MqttOptions,
    NetworkOptions, PersistedAckMode, PersistedSession, PublishNoticeError, PublishOptions,
    PublishResult, QoS, SessionStore, SessionStoreError, SessionStoreKey, StateError,
    SubscribeFilter, TlsConfiguration, Transport,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::wire::Outgoing;

/// How often the broker hears from us at least. A dead connection is noticed after 1.5 times this.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Largest packet that the broker may send us: well above the largest request taken, so that a
/// request that is too large is refused with a sentence and not dropped.
pub const PACKET_MAX_BYTES: u32 = 1024 * 1024;

/// How many QoS 0 messages may wait for the decider; what comes then is dropped, as QoS 0 allows.
pub const QOS0_WAITING_MAX: usize = 20_000;

/// Messages on their way to the broker that the client holds at most.
const CHANNEL_CAPACITY: usize = 1000;

/// Publishes that may be without their acknowledgement at a time. The client keeps a place for each,
/// 65535 unless it is told otherwise, which alone took 12 MB.
const IN_FLIGHT_MAX: u16 = 100;

/// First and longest pause between two attempts to connect.
const RECONNECT_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// How to reach the broker, and who we are there.
#[derive(Clone)]
pub struct Options {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Encryption, if any.
    pub tls: Option<Tls>,
    /// User and password, if any.
    pub login: Option<(String, String)>,
    /// The client id; one worker at a time may use it.
    pub client_id: String,
    /// How long the broker keeps our session while we are away, seconds; 0 for not at all.
    pub session_expiry_s: u32,
    /// The topic that the broker sets to `offline`, retained, when it loses us.
    pub will_topic: Option<String>,
}

/// Encryption of the connection.
#[derive(Clone)]
pub enum Tls {
    /// Trust the authorities that the system trusts.
    System,
    /// Trust these authorities. All values are PEM.
    Authorities {
        /// The authorities' certificates.
        ca: Vec<u8>,
        /// Our certificate and its key, if the broker asks for one.
        client: Option<(Vec<u8>, Vec<u8>)>,
    },
}

/// Why no connection can even be tried.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The certificates cannot be used.
    #[error("TLS settings: {0}")]
    Tls(#[source] rumqttc::TlsError),
    /// The client refuses the options.
    #[error("MQTT settings: {0}")]
    Options(#[source] rumqttc::ClientBuildError),
}

/// What the pump saw.
#[derive(Debug)]
pub enum Signal {
    /// The broker took us. Nothing that was published before is certain to be there any more.
    Connected {
        /// Largest packet that the broker takes, bytes.
        max_packet_bytes: Option<u32>,
    },
    /// The connection is gone, or an attempt to connect failed; the next is under way.
    Lost {
        /// Why, in a sentence.
        reason: String,
    },
    /// Another client took over our client id; the pump has ended.
    TakenOver,
    /// A message arrived.
    Message(Message),
    /// The broker answered [`Bus::subscribe`].
    Subscribed {
        /// What was given to `subscribe`.
        tag: u64,
        /// Why it was refused, if it was.
        result: Result<(), String>,
    },
    /// The broker answered a publish of QoS 1.
    Published {
        /// The topic.
        topic: String,
        /// Whether the payload was empty.
        cleared: bool,
        /// Why it was refused, if it was.
        result: Result<(), String>,
    },
}

/// A message from the broker.
#[derive(Debug)]
pub struct Message {
    /// Where it was published.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
    /// Whether the broker kept it, or was asked to.
    pub retain: bool,
    /// Whether the broker may have sent it before.
    pub again: bool,
    /// MQTT 5: where the answer should go.
    pub response_topic: Option<String>,
    /// MQTT 5: what the answer must carry.
    pub correlation: Option<Bytes>,
    /// To be given to [`Bus::acknowledge`] once it cannot be lost any more; `None` for QoS 0.
    pub acknowledgement: Option<Acknowledgement>,
    qos0: Option<Qos0Slot>,
}

impl Message {
    /// Frees the message's place among those that wait. Dropping the message does the same.
    pub fn taken(&mut self) {
        self.qos0 = None;
    }
}

/// A message's acknowledgement, valid for the connection that brought it.
#[derive(Debug)]
pub struct Acknowledgement {
    ack: ManualAck,
    generation: u64,
}

/// Counts a QoS 0 message as waiting for as long as it lives.
#[derive(Debug)]
struct Qos0Slot(Arc<AtomicUsize>);

impl Drop for Qos0Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A filter to subscribe to, QoS 1.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The filter.
    pub filter: String,
    /// Whether a live message shows that it was published retained.
    pub keep_retain_flag: bool,
}

/// Our end of the connection.
pub struct Bus {
    client: AsyncClient,
    signals: UnboundedSender<Signal>,
    generation: Arc<AtomicU64>,
    /// Acknowledgements that are still to be sent.
    unsent_acks: VecDeque<Acknowledgement>,
    pump: JoinHandle<()>,
}

impl Bus {
    /// Begins to connect; the signals tell the rest. Must be called inside a tokio runtime.
    pub fn open(options: &Options) -> Result<(Self, UnboundedReceiver<Signal>), BusError> {
        let (client, event_loop) = AsyncClient::builder(mqtt_options(options)?)
            .capacity(CHANNEL_CAPACITY)
            .try_build()
            .map_err(BusError::Options)?;
        let (signals, receiver) = unbounded_channel();
        let generation = Arc::new(AtomicU64::new(0));
        let pump = Pump {
            event_loop,
            client: client.clone(),
            signals: signals.clone(),
            generation: Arc::clone(&generation),
            qos0_waiting: Arc::new(AtomicUsize::new(0)),
        };
        let bus = Self {
            client,
            signals,
            generation,
            unsent_acks: VecDeque::new(),
            pump: tokio::spawn(pump.run()),
        };
        Ok((bus, receiver))
    }

    /// Publishes `message`, or gives it back if the way to the broker is full just now.
    /// [`Signal::Published`] tells what the broker made of it.
    pub fn publish(&self, message: Outgoing) -> Result<(), Outgoing> {
        let mut options = PublishOptions::at_least_once().retain(message.retain);
        if message.expiry_s.is_some() || message.correlation.is_some() {
            options = options.properties(PublishProperties {
                message_expiry_interval: message.expiry_s,
                correlation_data: message.correlation.clone().map(Bytes::from),
                ..PublishProperties::default()
            });
        }
        let payload = message.payload.clone();
        let Ok(notice) = self.client.try_publish_tracked(message.topic.as_str(), payload, options)
        else {
            return Err(message);
        };
        let signals = self.signals.clone();
        let (topic, cleared) = (message.topic, message.payload.is_empty());
        tokio::spawn(async move {
            let result = puback_result(notice.wait_async().await);
            // Nobody listens any more only when the worker ends.
            let _ = signals.send(Signal::Published { topic, cleared, result });
        });
        Ok(())
    }

    /// Subscribes; [`Signal::Subscribed`] with `tag` tells the broker's answer. A filter that was
    /// subscribed before brings its retained messages again.
    pub fn subscribe(&self, filters: &[Filter], tag: u64) {
        let filters: Vec<SubscribeFilter> = filters
            .iter()
            .map(|filter| SubscribeFilter {
                preserve_retain: filter.keep_retain_flag,
                ..SubscribeFilter::new(filter.filter.as_str(), QoS::AtLeastOnce)
            })
            .collect();
        let signals = self.signals.clone();
        let notice = self.client.try_subscribe_many_tracked(filters);
        tokio::spawn(async move {
            let result = match notice {
                Err(error) => Err(error.to_string()),
                Ok(notice) => match notice.wait_async().await {
                    Err(error) => Err(error.to_string()),
                    Ok(ack) => ack
                        .return_codes
                        .iter()
                        .find(|code| !matches!(code, SubscribeReasonCode::Success(_)))
                        .map_or(Ok(()), |code| Err(format!("{code:?}"))),
                },
            };
            let _ = signals.send(Signal::Subscribed { tag, result });
        });
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, filter: &str) {
        // A full channel leaves it subscribed until the next connection: more messages, no harm.
        let _ = self.client.try_unsubscribe(filter);
    }

    /// A message cannot be lost any more: the broker is told so by [`Bus::flush_acks`].
    pub fn acknowledge(&mut self, acknowledgement: Acknowledgement) {
        self.unsent_acks.push_back(acknowledgement);
    }

    /// Sends the acknowledgements as far as there is room for them. One of an older connection is
    /// passed over: the broker sends that message again.
    pub fn flush_acks(&mut self) {
        while let Some(next) = self.unsent_acks.pop_front() {
            if next.generation != self.generation.load(Ordering::Acquire) {
                continue;
            }
            if self.client.try_manual_ack(next.ack.clone()).is_err() {
                self.unsent_acks.push_front(next);
                break;
            }
        }
    }

    /// Says good-bye and waits until the broker has everything, at most `patience`.
    pub async fn close(self, patience: Duration) {
        if timeout(patience, self.client.disconnect_with_timeout(patience)).await.is_ok() {
            let _ = timeout(patience, self.pump).await;
        }
    }
}

/// The task that polls.
struct Pump {
    event_loop: EventLoop,
    client: AsyncClient,
    signals: UnboundedSender<Signal>,
    generation: Arc<AtomicU64>,
    qos0_waiting: Arc<AtomicUsize>,
}

impl Pump {
    async fn run(mut self) {
        let mut pause = RECONNECT_PAUSE.0;
        let mut attempt_began = Instant::now();
        loop {
            // poll() answers at least at every ping; a half-open link with a full buffer never does.
            let polled = timeout(KEEP_ALIVE.mul_f64(2.5), self.event_loop.poll()).await;
            let signal = match polled {
                Ok(Ok(Event::Incoming(packet))) => {
                    if matches!(packet, Packet::ConnAck(_)) {
                        pause = RECONNECT_PAUSE.0;
                    }
                    self.signal_of(packet)
                }
                Ok(Ok(_)) => None,
                Ok(Err(ConnectionError::RequestsDone)) => return,
                Ok(Err(error)) => {
                    self.generation.fetch_add(1, Ordering::AcqRel);
                    if is_taken_over(&error) {
                        let _ = self.signals.send(Signal::TakenOver);
                        return;
                    }
                    Some(Signal::Lost { reason: sentence(&error) })
                }
                Err(_) => {
                    self.generation.fetch_add(1, Ordering::AcqRel);
                    self.event_loop.clean();
                    Some(Signal::Lost { reason: "the broker does not answer".to_owned() })
                }
            };
            let lost = matches!(signal, Some(Signal::Lost { .. }));
            if signal.is_some_and(|signal| self.signals.send(signal).is_err()) {
                return;
            }
            if lost {
                sleep(pause.saturating_sub(attempt_began.elapsed())).await;
                pause = (pause * 2).min(RECONNECT_PAUSE.1);
                attempt_began = Instant::now();
            }
        }
    }

    fn signal_of(&self, packet: Packet) -> Option<Signal> {
        match packet {
            Packet::ConnAck(ack) => Some(Signal::Connected {
                max_packet_bytes: ack.properties.and_then(|p| p.max_packet_size),
            }),
            Packet::Publish(publish) => self.message(publish).map(Signal::Message),
            _ => None,
        }
    }

    /// `None` for a QoS 0 message that finds no place to wait, and for a topic that is no text
    /// (rumqttc refuses those before us).
    fn message(&self, publish: Publish) -> Option<Message> {
        let qos0 = if publish.qos == QoS::AtMostOnce {
            if self.qos0_waiting.fetch_add(1, Ordering::Relaxed) >= QOS0_WAITING_MAX {
                self.qos0_waiting.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            Some(Qos0Slot(Arc::clone(&self.qos0_waiting)))
        } else {
            None
        };
        let acknowledgement = self.client.prepare_ack(&publish).map(|ack| Acknowledgement {
            ack,
            generation: self.generation.load(Ordering::Acquire),
        });
        let properties = publish.properties.unwrap_or_default();
        Some(Message {
            topic: String::from_utf8(publish.topic.to_vec()).ok()?,
            payload: publish.payload,
            retain: publish.retain,
            again: publish.dup,
            response_topic: properties.response_topic,
            correlation: properties.correlation_data,
            acknowledgement,
            qos0,
        })
    }
}

fn mqtt_options(options: &Options) -> Result<MqttOptions, BusError> {
    let broker = Broker::tcp(options.host.as_str(), options.port);
    let mut mqtt = MqttOptions::new(options.client_id.as_str(), broker);
    mqtt.set_keep_alive(KEEP_ALIVE.as_secs() as u16)
        .set_connect_timeout(Duration::from_secs(5))
        .set_clean_start(options.session_expiry_s == 0)
        .set_session_expiry_interval(Some(options.session_expiry_s))
        .set_ack_mode(AckMode::Manual)
        .set_max_packet_size(Some(PACKET_MAX_BYTES))
        .set_max_request_batch(64)
        .set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX)
        .set_session_store(EmptySession {
            client_id: options.client_id.clone(),
            session_expiry_s: options.session_expiry_s,
        });
    // Without it a command's state comes 43 ms late: Nagle here, delayed ACK there.
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    mqtt.set_network_options(network);
    if let Some((user, password)) = &options.login {
        mqtt.set_credentials(user.as_str(), password.clone());
    }
    if let Some(topic) = &options.will_topic {
        mqtt.set_last_will(LastWill::new(topic.as_str(), "offline", QoS::AtLeastOnce, true, None));
    }
    if let Some(tls) = &options.tls {
        mqtt.set_transport(transport(tls)?);
    }
    Ok(mqtt)
}

fn transport(tls: &Tls) -> Result<Transport, BusError> {
    match tls {
        Tls::System => Transport::try_tls_with_default_config().map_err(BusError::Tls),
        Tls::Authorities { ca, client } => {
            Ok(Transport::tls_with_config(TlsConfiguration::Simple {
                ca: ca.clone(),
                alpn: None,
                client_auth: client.clone(),
            }))
        }
    }
}

/// Tells the client, at a start of the process, that it knows its session with the broker: there is
/// nothing in it. Our publishes need no memory of their own (every connection publishes the whole
/// view again), and the broker's messages to us are QoS 0 and 1 only. Without this the client would
/// refuse the broker's session for ever after a restart.
#[derive(Debug)]
struct EmptySession {
    client_id: String,
    session_expiry_s: u32,
}

type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for EmptySession {
    fn load<'a>(&'a self, _: &'a SessionStoreKey) -> StoreFuture<'a, Option<PersistedSession>> {
        Box::pin(async move {
            Ok(Some(PersistedSession {
                format_version: 1,
                client_id: self.client_id.clone(),
                clean_start: self.session_expiry_s == 0,
                session_expiry_interval: Some(self.session_expiry_s),
                outgoing_inflight_upper_limit: Some(IN_FLIGHT_MAX),
                ack_mode: PersistedAckMode::Manual,
                last_pkid: 0,
                last_puback: 0,
                replay: Vec::new(),
                incoming_qos2: Vec::new(),
            }))
        })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

fn puback_result(notice: Result<PublishResult, PublishNoticeError>) -> Result<(), String> {
    match notice {
        Ok(PublishResult::Qos1(ack)) => match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Ok(_) => Ok(()),
        Err(PublishNoticeError::V5PubAck(PubAckReason::NoMatchingSubscribers)) => Ok(()),
        Err(PublishNoticeError::V5PubAck(reason)) => Err(format!("{reason:?}")),
        Err(error) => Err(error.to_string()),
    }
}

fn is_taken_over(error: &ConnectionError) -> bool {
    matches!(
        error,
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code: DisconnectReasonCode::SessionTakenOver,
            ..
        })
    )
}

/// A failed connection in words that say what to look at.
fn sentence(error: &ConnectionError) -> String {
    let refused = match error {
        ConnectionError::ConnectionRefused(code)
        | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => Some(code),
        _ => None,
    };
    match refused {
        Some(ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized) => {
            "the broker refuses the user name or the password".to_owned()
        }
        Some(
            ConnectReturnCode::UnsupportedProtocolVersion
            | ConnectReturnCode::RefusedProtocolVersion,
        ) => "the broker does not speak MQTT 5".to_owned(),
        Some(code) => format!("the broker refuses the connection: {code:?}"),
        None => error.to_string(),
    }
}
