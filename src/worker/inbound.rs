//! Messages from the broker, read.

use std::collections::HashMap;

use serde_json::Value;
use tracing::{debug, info, warn};

use crate::bus::{Acknowledgement, Message};
use crate::session::{Event, Receipt, ReplyTo, RequestEvent, State, view};
use crate::wire::form::{self, Control, FORM_VERB};
use crate::wire::messages::CameraAdd;
use crate::wire::requests::{self, Code, Parsed, Refusal, Verb};
use crate::wire::topics::{Inbound, Topics, Update};
use crate::words::{JobId, ReplayCamera};

use super::Worker;

/// The acknowledgements that are still owed, by the receipts that the session knows.
#[derive(Debug, Default)]
pub struct Receipts {
    next: u64,
    owed: HashMap<u64, Acknowledgement>,
}

impl Receipts {
    fn give(&mut self, acknowledgement: Option<Acknowledgement>) -> Receipt {
        self.next += 1;
        if let Some(acknowledgement) = acknowledgement {
            self.owed.insert(self.next, acknowledgement);
        }
        Receipt(self.next)
    }

    /// The acknowledgement that a receipt stands for; `None` for QoS 0 and after a reconnect.
    pub fn settle(&mut self, receipt: Receipt) -> Option<Acknowledgement> {
        self.owed.remove(&receipt.0)
    }

    /// The connection is gone: the broker will send again what was not acknowledged.
    pub fn clear(&mut self) {
        self.owed.clear();
    }
}

impl Worker {
    /// What a message means to the session. What means nothing is acknowledged at once.
    pub(super) fn read(&mut self, mut message: Message, state: &State) -> Option<Event> {
        message.taken();
        let topics = &state.policy.topics;
        match topics.parse(&message.topic) {
            Some(Inbound::Request(verb)) => {
                let parsed = requests::parse(verb, &message.payload);
                self.requested(message, verb.as_str(), parsed, topics)
            }
            Some(Inbound::UnknownRequest(verb)) => {
                let refusal = unknown_verb(&verb);
                self.requested(message, &verb, Parsed::refused(refusal), topics)
            }
            Some(Inbound::Form(control)) => {
                let parsed = form::parse(control, &message.payload);
                self.requested(message, control.verb(), parsed, topics)
            }
            Some(Inbound::UnknownForm(control)) => {
                let refusal = unknown_control(&control);
                self.requested(message, FORM_VERB, Parsed::refused(refusal), topics)
            }
            Some(Inbound::HomeAssistant) => self.greeted(message, topics),
            Some(Inbound::Camera(camera, update)) => {
                let event = self.stored_camera(&message, &camera, update, state);
                self.dismiss(message);
                event
            }
            Some(Inbound::Info) => {
                self.has_rival |=
                    message.retain && self.rivals.read(&message.payload, state.worker_started_at);
                self.dismiss(message);
                None
            }
            Some(Inbound::Sync) => {
                if self.retained.heard(&message.payload, &self.bus, topics) {
                    self.rivals.settle();
                }
                self.dismiss(message);
                None
            }
            None => {
                if !state.is_ghost(&message.topic) {
                    debug!(topic = message.topic, "not ours to read");
                } else if message.retain && !message.payload.is_empty() {
                    info!(topic = message.topic, "what Frigate left of a past replay is cleared");
                    self.retained.found(&message.topic);
                    self.clear(message.topic.clone());
                }
                self.dismiss(message);
                None
            }
        }
    }

    /// A request, readable or not: the session answers it.
    fn requested(
        &mut self,
        message: Message,
        verb: &str,
        parsed: Parsed,
        topics: &Topics,
    ) -> Option<Event> {
        // The echo of a cleared topic, or somebody's clearing: there is nothing to obey.
        if message.retain && message.payload.is_empty() {
            self.dismiss(message);
            return None;
        }
        let reply_to = ReplyTo {
            verb: verb.to_owned(),
            transaction: parsed.transaction,
            response_topic: message.response_topic.as_deref().and_then(|topic| {
                let checked = topics.checked_response_topic(topic);
                if checked.is_none() {
                    warn!(
                        topic,
                        "a response topic outside {}/response/ is not used",
                        topics.base()
                    );
                }
                checked
            }),
            correlation: message.correlation.map(|data| data.to_vec()),
        };
        let receipt = self.receipts.give(message.acknowledgement);
        if message.retain {
            return Some(Event::RetainedRequest { reply_to, topic: message.topic, receipt });
        }
        Some(Event::Request(RequestEvent {
            request: parsed.request,
            reply_to,
            receipt,
            fresh_id: fresh_job_id(),
            again: message.again,
        }))
    }

    /// Home Assistant tells that it is there: it is given the device again. What it told before we
    /// came needs no answer, for a new connection is given everything.
    fn greeted(&mut self, message: Message, topics: &Topics) -> Option<Event> {
        let has_started = !message.retain && message.payload == "online";
        self.dismiss(message);
        if !has_started {
            return None;
        }
        if let Some(topic) = topics.discovery() {
            self.outbox.give_again(&topic);
        }
        Some(Event::HomeAssistant)
    }

    fn dismiss(&mut self, message: Message) {
        if let Some(acknowledgement) = message.acknowledgement {
            self.bus.acknowledge(acknowledgement);
        }
    }

    /// A retained camera update that is not of our view is of a lost past: it is cleared, and for
    /// an `add` the camera's removal is shown.
    fn stored_camera(
        &mut self,
        message: &Message,
        camera: &ReplayCamera,
        update: Update,
        state: &State,
    ) -> Option<Event> {
        let is_ours = || {
            let topic = &message.topic;
            view(state).iter().any(|kept| kept.topic == *topic && kept.payload.is_some())
        };
        if !message.retain || message.payload.is_empty() || is_ours() {
            return None;
        }
        warn!(topic = message.topic, "a retained topic of a forgotten session is cleared");
        self.retained.found(&message.topic);
        self.outbox.found(message.topic.clone());
        if update == Update::Remove {
            // Nothing changes for the session; the next difference clears it.
            return Some(Event::StaleRemove);
        }
        let add = serde_json::from_slice::<CameraAdd>(&message.payload).ok();
        Some(Event::StaleAdd {
            camera: camera.clone(),
            job_id: add.as_ref().map(|add| add.job_id.clone()),
            config: add.map_or(Value::Null, |add| add.config),
        })
    }
}

fn unknown_verb(verb: &str) -> Refusal {
    let known = Verb::ALL.map(Verb::as_str).join(", ");
    Refusal::new(Code::InvalidRequest, format!("there is no request {verb:?}; there are {known}"))
}

fn unknown_control(control: &str) -> Refusal {
    let known = Control::ALL.map(Control::as_str).join(", ");
    let message = format!("the form has no {control:?}; it has {known}");
    Refusal::new(Code::InvalidRequest, message)
}

/// A new id. Should the system have no random numbers, all zeros are still a valid id, and a
/// session is one at a time.
fn fresh_job_id() -> JobId {
    let mut bytes = [0; JobId::LENGTH];
    if getrandom::fill(&mut bytes).is_err() {
        warn!("no random numbers from the system");
    }
    JobId::from_random(bytes)
}
