//! What is still to be told to the broker.
//!
//! The retained topics are a view of the state. The outbox knows what this connection was given,
//! queues the difference, and forgets everything at each new connection, for the broker may have
//! lost it. Of a retained topic only the newest value waits; responses and events wait in order.
//!
//! It also knows which topics were ever published and not cleared again, so that what a renamed
//! instance or a crash left behind is cleared: a topic that is remembered and not in the view must
//! be absent.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use bytes::Bytes;
use tracing::{error, warn};

use crate::session::Retained;
use crate::wire::Outgoing;
use crate::wire::topics::is_discovery;

/// Responses and events that wait at most while the broker does not take them; the oldest go first.
pub const SAID_MAX: usize = 10_000;

/// What a packet needs besides topic and payload, bytes: fixed header, lengths, properties.
const PACKET_OVERHEAD_BYTES: usize = 64;

/// What is still to be told to the broker.
#[derive(Debug, Default)]
pub struct Outbox {
    connected: bool,
    max_packet_bytes: Option<u32>,
    /// What this connection was given, by topic; `None` for a topic that was cleared.
    given: HashMap<String, Option<Given>>,
    /// The retained topics that may hold something of ours, as they are remembered on disk.
    remembered: BTreeSet<String>,
    /// Those that were found on the broker and not remembered.
    found: BTreeSet<String>,
    queue: VecDeque<Outgoing>,
    /// How many of `queue` are not retained.
    said: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Given {
    payload: Bytes,
    expires_at: Option<u64>,
}

impl Outbox {
    /// An outbox of a worker that published `remembered` in its past.
    pub fn new(remembered: BTreeSet<String>) -> Self {
        Self { remembered, ..Self::default() }
    }

    /// A new connection: nothing that was given before counts.
    pub fn connected(&mut self, max_packet_bytes: Option<u32>) {
        self.connected = true;
        self.max_packet_bytes = max_packet_bytes;
        self.given.clear();
        self.queue.retain(|message| !message.retain);
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        self.connected = false;
    }

    /// The topics of `view` that are not remembered yet. They must be remembered on disk before
    /// they are published, or a crash between the two leaves them behind.
    pub fn unremembered(&mut self, view: &[Retained]) -> Vec<String> {
        let mut new = Vec::new();
        for topic in view.iter().filter(|r| r.payload.is_some()).map(|r| &r.topic) {
            if self.remembered.insert(topic.clone()) {
                new.push(topic.clone());
            }
        }
        new
    }

    /// A retained topic was found that is not of this view: it will be cleared.
    pub fn found(&mut self, topic: String) {
        self.given.remove(&topic);
        self.found.insert(topic);
    }

    /// A reader needs `topic` once more, as if this connection had not been given it.
    pub fn give_again(&mut self, topic: &str) {
        self.given.remove(topic);
    }

    /// The broker has cleared `topic`. Gives whether it can be forgotten on disk as well.
    pub fn cleared(&mut self, topic: &str) -> bool {
        if self.given.get(topic) != Some(&None) {
            return false;
        }
        self.found.remove(topic);
        self.remembered.remove(topic)
    }

    /// Queues what `view` shows differently from what this connection was given. `now_s` is in unix
    /// seconds.
    pub fn show(&mut self, view: &[Retained], now_s: u64) {
        if !self.connected {
            return;
        }
        // Absences first: an `add` and a `remove` of one camera never stand side by side.
        let (present, absent): (Vec<_>, Vec<_>) = view.iter().partition(|r| r.payload.is_some());
        let shown: HashSet<&str> = present.iter().map(|retained| retained.topic.as_str()).collect();
        let forgotten: BTreeSet<(bool, String)> = (self.remembered.iter())
            .chain(&self.found)
            .chain(absent.iter().map(|retained| &retained.topic))
            .filter(|topic| !shown.contains(topic.as_str()))
            // Home Assistant forgets a device before what its entities read is cleared.
            .map(|topic| (!is_discovery(topic), topic.clone()))
            .collect();
        for (_, topic) in forgotten {
            self.give(topic, None, None);
        }
        for retained in present {
            let expires_in_s = retained
                .expires_at
                .map(|at| u32::try_from(at.saturating_sub(now_s).max(1)).unwrap_or(u32::MAX));
            let given = Given {
                payload: retained.payload.clone().unwrap_or_default().into(),
                expires_at: retained.expires_at,
            };
            self.give(retained.topic.clone(), Some(given), expires_in_s);
        }
    }

    fn give(&mut self, topic: String, what: Option<Given>, expiry_s: Option<u32>) {
        if self.given.get(&topic) == Some(&what) {
            return;
        }
        let mut payload = what.as_ref().map(|given| given.payload.clone()).unwrap_or_default();
        let mut expiry_s = expiry_s;
        if self.is_too_large(&topic, payload.len()) {
            // Rather nothing than what was true before.
            (payload, expiry_s) = (Bytes::new(), None);
        }
        self.queue.retain(|message| !(message.retain && message.topic == topic));
        self.queue.push_back(Outgoing {
            topic: topic.clone(),
            payload,
            retain: true,
            expiry_s,
            correlation: None,
        });
        self.given.insert(topic, what);
    }

    /// A packet over the broker's limit would end the connection, again and again.
    fn is_too_large(&self, topic: &str, payload_bytes: usize) -> bool {
        let bytes = topic.len() + payload_bytes + PACKET_OVERHEAD_BYTES;
        match self.max_packet_bytes {
            Some(max) if bytes > max as usize => {
                error!(topic, bytes, max, "not published: the broker takes no packet of this size");
                true
            }
            _ => false,
        }
    }

    /// Queues a message that the broker does not keep.
    pub fn say(&mut self, topic: String, payload: Vec<u8>, correlation: Option<Vec<u8>>) {
        if self.is_too_large(&topic, payload.len()) {
            return;
        }
        if self.said == SAID_MAX {
            self.drop_oldest_said();
        }
        self.said += 1;
        self.queue.push_back(Outgoing {
            topic,
            payload: payload.into(),
            retain: false,
            expiry_s: None,
            correlation,
        });
    }

    fn drop_oldest_said(&mut self) {
        if let Some(at) = self.queue.iter().position(|message| !message.retain) {
            self.queue.remove(at);
            self.said -= 1;
            warn!("{SAID_MAX} responses and events wait for the broker; the oldest was dropped");
        }
    }

    /// Hands the queue to `publish` until it gives a message back.
    pub fn flush(&mut self, mut publish: impl FnMut(Outgoing) -> Result<(), Outgoing>) {
        while self.connected
            && let Some(message) = self.queue.pop_front()
        {
            let said = !message.retain;
            if let Err(message) = publish(message) {
                self.queue.push_front(message);
                return;
            }
            self.said -= usize::from(said);
        }
    }

    /// Whether nothing is left to be told.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether something still waits for the way to be free.
    pub fn is_waiting(&self) -> bool {
        self.connected && !self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(topic: &str, payload: &str) -> Retained {
        Retained { topic: topic.into(), payload: Some(payload.into()), expires_at: None }
    }

    fn sent(outbox: &mut Outbox) -> Vec<String> {
        let mut sent = Vec::new();
        outbox.flush(|message| {
            sent.push(format!("{}={}", message.topic, String::from_utf8_lossy(&message.payload)));
            Ok(())
        });
        sent
    }

    fn shown(outbox: &mut Outbox, view: &[Retained]) -> Vec<String> {
        outbox.unremembered(view);
        outbox.show(view, 0);
        sent(outbox)
    }

    #[test]
    fn only_the_difference_is_published_and_all_of_it_after_a_reconnect() {
        let mut outbox = Outbox::default();
        let view = [kept("a", "1"), kept("b", "2")];
        assert!(shown(&mut outbox, &view).is_empty(), "not connected");
        outbox.connected(None);
        assert_eq!(shown(&mut outbox, &view), ["a=1", "b=2"]);
        assert!(shown(&mut outbox, &view).is_empty());
        assert_eq!(shown(&mut outbox, &[kept("a", "1"), kept("b", "3")]), ["b=3"]);
        outbox.lost();
        outbox.connected(None);
        assert_eq!(shown(&mut outbox, &view), ["a=1", "b=2"]);
    }

    #[test]
    fn a_device_is_cleared_before_what_its_entities_read() {
        let device = "homeassistant/device/frigate_replay_old/config";
        let mut outbox = Outbox::new(["a/old/session".to_owned(), device.to_owned()].into());
        outbox.connected(None);
        let cleared = [format!("{device}="), "a/old/session=".to_owned()];
        assert_eq!(shown(&mut outbox, &[]), cleared);
    }

    #[test]
    fn a_topic_is_given_again_to_who_comes_anew() {
        let mut outbox = Outbox::default();
        outbox.connected(None);
        let view = [kept("a", "1"), kept("b", "2")];
        shown(&mut outbox, &view);
        outbox.give_again("b");
        outbox.give_again("c");
        assert_eq!(shown(&mut outbox, &view), ["b=2"]);
    }

    #[test]
    fn absences_come_first_and_are_forgotten_once_the_broker_has_them() {
        let mut outbox = Outbox::new(["old/session".to_owned()].into());
        outbox.connected(None);
        let add = [kept("x/add", "A")];
        assert_eq!(shown(&mut outbox, &add), ["old/session=", "x/add=A"]);
        let remove = [kept("x/remove", "R")];
        assert_eq!(shown(&mut outbox, &remove), ["x/add=", "x/remove=R"]);
        assert!(outbox.cleared("old/session"));
        assert!(!outbox.cleared("old/session"), "once");
        // Shown again before the broker answered: must stay remembered.
        assert_eq!(shown(&mut outbox, &add), ["x/remove=", "x/add=A"]);
        assert!(!outbox.cleared("x/add"));
    }

    /// Only then it is still cleared after a crash, under whatever name the worker has by then.
    #[test]
    fn what_was_found_and_is_shown_again_is_remembered() {
        let mut outbox = Outbox::default();
        outbox.connected(None);
        outbox.found("x/add".into());
        assert_eq!(shown(&mut outbox, &[]), ["x/add="]);
        let add = [kept("x/add", "A")];
        assert_eq!(outbox.unremembered(&add), ["x/add"]);
        assert_eq!(shown(&mut outbox, &add), ["x/add=A"]);
        assert!(!outbox.cleared("x/add"), "the broker's answer to what was before");
        assert!(outbox.unremembered(&add).is_empty());
    }

    #[test]
    fn what_waits_is_bounded_and_a_retained_topic_waits_once() {
        let mut outbox = Outbox::default();
        outbox.connected(None);
        for n in 0..SAID_MAX + 5 {
            outbox.unremembered(&[kept("a", "")]);
            outbox.show(&[kept("a", &n.to_string())], 0);
            outbox.say("r".into(), n.to_string().into_bytes(), None);
        }
        outbox.flush(Err);
        assert_eq!(outbox.queue.len(), SAID_MAX + 1);
        let sent = sent(&mut outbox);
        assert_eq!(sent[0], "r=5");
        assert_eq!(sent[sent.len() - 2], format!("a={}", SAID_MAX + 4));
        assert_eq!(outbox.said, 0);
    }

    #[test]
    fn a_message_that_finds_no_way_waits_in_its_place() {
        let mut outbox = Outbox::default();
        outbox.connected(None);
        outbox.say("r".into(), b"1".to_vec(), None);
        outbox.say("r".into(), b"2".to_vec(), None);
        outbox.flush(Err);
        assert!(outbox.is_waiting());
        assert_eq!(sent(&mut outbox), ["r=1", "r=2"]);
        assert!(!outbox.is_waiting());
    }

    #[test]
    fn a_packet_over_the_brokers_limit_is_not_sent_and_its_topic_cleared() {
        let mut outbox = Outbox::default();
        outbox.connected(Some(200));
        assert_eq!(
            shown(&mut outbox, &[kept("a", &"x".repeat(300)), kept("b", "ok")]),
            ["a=", "b=ok"],
            "what cannot be told is absent"
        );
        assert!(!outbox.cleared("a"), "an earlier value may come back with a broker's older store");
        assert!(shown(&mut outbox, &[kept("a", &"x".repeat(300)), kept("b", "ok")]).is_empty());
        outbox.say("r".into(), vec![b'x'; 300], None);
        assert!(sent(&mut outbox).is_empty());
    }

    #[test]
    fn an_expiry_counts_from_now() {
        let mut outbox = Outbox::default();
        outbox.connected(None);
        let mut retained = kept("a", "1");
        retained.expires_at = Some(1_000);
        outbox.show(&[retained.clone()], 400);
        assert_eq!(outbox.queue[0].expiry_s, Some(600));
        outbox.connected(None);
        outbox.show(&[retained], 2_000);
        assert_eq!(outbox.queue[0].expiry_s, Some(1));
    }
}
