//! A client of the broker, independent of the worker's own code but for the library.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use frigate_replay::wire::contract::{CHANNELS, Payload, Retained};
use rumqttc::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::{Client, Event, MqttOptions, NetworkOptions, PublishOptions, QoS};
use serde_json::{Value, json};

use super::house::{BASE, PATIENCE};

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub retain: bool,
    pub properties: PublishProperties,
}

impl Message {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap_or(Value::Null)
    }
}

/// A connection that hears everything.
pub struct Bus {
    client: Client,
    arriving: Receiver<Message>,
    /// Everything that arrived, and how far it was looked through.
    pub heard: Vec<Message>,
    seen: usize,
}

impl Bus {
    pub fn connect(port: u16, login: Option<(&str, &str)>) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut options = MqttOptions::new(format!("test-{n}"), ("127.0.0.1", port));
        options.set_max_packet_size(Some(4 * 1024 * 1024)).set_keep_alive(60);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some((user, password)) = login {
            options.set_credentials(user, password.to_owned());
        }
        let (client, mut connection) = Client::builder(options).capacity(20_000).build();
        client.subscribe("#", QoS::AtLeastOnce).unwrap();
        let (sender, arriving) = channel();
        let (subscribed, when_subscribed) = channel();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(subscribed.send(())),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let message = Message {
                            topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
                            payload: String::from_utf8_lossy(&publish.payload).into_owned(),
                            retain: publish.retain,
                            properties: publish.properties.unwrap_or_default(),
                        };
                        note_accepted(port, &message);
                        if sender.send(message).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(rumqttc::ConnectionError::RequestsDone) => return,
                    Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
                }
            }
        });
        when_subscribed.recv_timeout(PATIENCE).expect("the broker takes the test's client");
        Self { client, arriving, heard: Vec::new(), seen: 0 }
    }

    pub fn publish(&self, topic: &str, payload: impl AsRef<[u8]>) {
        self.publish_with(topic, payload, PublishOptions::at_least_once());
    }

    pub fn publish_with(&self, topic: &str, payload: impl AsRef<[u8]>, options: PublishOptions) {
        self.client.publish(topic, payload.as_ref().to_vec(), options).unwrap();
    }

    pub fn request(&self, verb: &str, request: Value) {
        self.publish(&format!("{BASE}/request/{verb}"), request.to_string());
    }

    /// Sends a request and gives its response.
    pub fn ask(&mut self, verb: &str, mut request: Value) -> Value {
        if request.get("transaction").is_none() {
            request["transaction"] = json!(format!("t{}", self.heard.len()));
        }
        let transaction = request["transaction"].clone();
        self.request(verb, request);
        self.wait(&format!("the response to {transaction}"), |message| {
            message.topic == format!("{BASE}/response/{verb}")
                && message.json()["transaction"] == transaction
        })
        .json()
    }

    /// The next message, among those not looked at yet, that `fits`.
    pub fn wait(&mut self, what: &str, fits: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(message) = self.heard.get(self.seen) {
                self.seen += 1;
                if fits(message) {
                    return message.clone();
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.arriving.recv_timeout(left) {
                Ok(message) => {
                    validate(&message);
                    self.heard.push(message);
                }
                Err(RecvTimeoutError::Timeout) => {
                    let last: Vec<String> = self
                        .heard
                        .iter()
                        .rev()
                        .take(12)
                        .map(|m| format!("{} {:.200}", m.topic, m.payload))
                        .collect();
                    panic!(
                        "waited in vain for {what}; the last messages, newest first:\n{}",
                        last.join("\n")
                    );
                }
                Err(RecvTimeoutError::Disconnected) => panic!("the test's client ended"),
            }
        }
    }

    /// What was heard so far is cleared, or about to be: it needs no second look.
    pub fn forget(&mut self) {
        self.heard.clear();
        self.seen = 0;
    }

    /// The next message of a topic of ours.
    pub fn wait_topic(&mut self, topic: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let topic = format!("{BASE}/{topic}");
        self.wait(&topic, |message| message.topic == topic && fits(&message.json())).json()
    }

    /// What a topic of ours showed last.
    pub fn last(&mut self, topic: &str) -> Value {
        self.catch_up();
        let topic = format!("{BASE}/{topic}");
        self.heard.iter().rev().find(|m| m.topic == topic).map(Message::json).unwrap_or_default()
    }

    pub fn wait_phase(&mut self, phase: &str) -> Value {
        self.wait_topic("session", |session| session["phase"] == phase)
    }

    pub fn wait_inactive(&mut self) -> Value {
        self.wait_topic("session", |session| session["active"] == false)
    }

    pub fn wait_status(&mut self, status: &str) -> Value {
        self.wait_topic("job_state", |job| job["debug_replay"]["status"] == status)
    }

    pub fn wait_retained_or_live(&mut self, topic: &str, fits: impl Fn(&str) -> bool) {
        self.wait(topic, |message| message.topic == topic && fits(&message.payload));
    }

    /// Takes in what has arrived by now: what was published before this call, by anyone whose
    /// publish the broker has acknowledged.
    pub fn catch_up(&mut self) {
        let nonce = format!("test/sync/{}/{}", std::process::id(), self.heard.len());
        self.publish(&nonce, "x");
        self.wait(&nonce, |message| message.topic == nonce);
    }

    /// Everything that the broker retains, for a client that comes now.
    pub fn retained(mut self) -> BTreeMap<String, String> {
        self.catch_up();
        self.heard
            .iter()
            .filter(|message| message.retain && !message.payload.is_empty())
            .map(|message| (message.topic.clone(), message.payload.clone()))
            .collect()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.client.disconnect();
    }
}

/// The jobs that any client of a broker saw accepted, by the broker's port.
static ACCEPTED: Mutex<BTreeMap<u16, Vec<String>>> = Mutex::new(BTreeMap::new());

fn note_accepted(port: u16, message: &Message) {
    if !message.topic.starts_with(&format!("{BASE}/response/start")) {
        return;
    }
    let response = message.json();
    if let ("ok", Some(id)) =
        (response["status"].as_str().unwrap_or_default(), response["data"]["job_id"].as_str())
    {
        let mut accepted = ACCEPTED.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = accepted.entry(port).or_default();
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
}

/// The jobs that were seen accepted, in their order.
pub fn accepted(port: u16) -> Vec<String> {
    let accepted = ACCEPTED.lock().unwrap_or_else(PoisonError::into_inner);
    accepted.get(&port).cloned().unwrap_or_default()
}

/// Nothing that was accepted before needs an outcome: the store that knew of it is gone on purpose.
pub fn forget_accepted(port: u16) {
    ACCEPTED.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
}

/// Every message of the worker must be of a topic of the contract and fit its schema in `schemas/`.
fn validate(message: &Message) {
    let Some(topic) = message.topic.strip_prefix(&format!("{BASE}/")) else { return };
    if message.payload.is_empty() || topic.starts_with("request/") || topic.ends_with("/set") {
        return;
    }
    // Tests that play a lost past put nonsense on our topics.
    if message.payload.contains("made-by-the-test") {
        return;
    }
    let channel = CHANNELS.iter().find(|channel| channel.covers(BASE, &message.topic));
    let channel = channel.unwrap_or_else(|| panic!("nobody knows the topic {topic}"));
    assert!(
        !message.retain || channel.retained == Retained::Yes,
        "{topic} is retained: {}",
        message.payload
    );
    let name = match channel.payload {
        Payload::Json(name) => name,
        Payload::OneOf(texts) => return assert!(texts.contains(&message.payload.as_str())),
        Payload::Text(_) | Payload::Foreign(_) => return,
    };
    let schema = schemas().get(name).unwrap_or_else(|| panic!("no schema for {topic}"));
    let value: Value = serde_json::from_str(&message.payload)
        .unwrap_or_else(|error| panic!("{topic}: {error}: {}", message.payload));
    let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{topic}: {errors:?}: {}", message.payload);
}

fn schemas() -> &'static BTreeMap<String, jsonschema::Validator> {
    static SCHEMAS: OnceLock<BTreeMap<String, jsonschema::Validator>> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .map(|path| {
                let text = std::fs::read_to_string(&path).unwrap();
                let schema = serde_json::from_str(&text).unwrap();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                (name, jsonschema::draft202012::new(&schema).unwrap())
            })
            .collect()
    })
}
