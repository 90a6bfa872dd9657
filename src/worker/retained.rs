//! All stale retained topics, surely.
//!
//! The broker sends what it retains when we subscribe, but nothing marks the end of it. So a nonce
//! follows on a topic of our own: what came before it is everything, for the broker keeps the order.
//! If no nonce comes, the broker cut the list (its queue is bounded): what was found is cleared, and
//! another round follows, until one ends with the nonce and nothing new.
//!
//! The nonce travels as a request would, so its arrival also shows that requests can reach us: a
//! broker may grant a subscription whose messages its access rules then hold back.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::bus::{Bus, Filter};
use crate::outbox::Outbox;
use crate::wire::topics::Topics;

/// How long a nonce may be under way.
const NONCE_PATIENCE: Duration = Duration::from_secs(5);

/// Rounds without a nonce before it is said that requests do not arrive. It goes on after that.
const SILENT_ROUNDS: u32 = 3;

/// The tag of the subscription to Home Assistant's greeting; rounds begin with 1.
pub const GREETING_TAG: u64 = 0;

/// A search for stale retained topics on the present connection.
#[derive(Debug, Default)]
pub struct RetainedSweep {
    round: u64,
    deadline: Option<Instant>,
    nonce: String,
    found: HashSet<String>,
    found_in_round: usize,
    silent_rounds: u32,
}

impl RetainedSweep {
    /// Begins with a new connection.
    pub fn begin(&mut self, bus: &Bus, topics: &Topics) {
        self.found.clear();
        self.silent_rounds = 0;
        self.next_round();
        // A request that was published retained must be seen as such even when it comes live.
        let requests = [topics.requests_filter(), topics.form_filter()]
            .map(|filter| Filter { filter, keep_retain_flag: true });
        let [requests, form] = requests;
        bus.subscribe(&[requests, form, cameras(topics)], self.round);
        if let Some(filter) = topics.home_assistant() {
            // On its own: a broker that refuses it must not keep requests from us.
            bus.subscribe(&[Filter { filter, keep_retain_flag: false }], GREETING_TAG);
        }
    }

    /// Ends with the connection.
    pub fn stop(&mut self) {
        self.deadline = None;
    }

    /// Ready when the nonce is overdue.
    pub async fn overdue(&self) {
        match self.deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// The broker took the subscription of round `tag`: the nonce follows.
    pub fn subscribed(&mut self, tag: u64, outbox: &mut Outbox, topics: &Topics) {
        if tag == self.round && self.deadline.is_some() {
            outbox.say(topics.sync(), self.nonce.clone().into_bytes(), None);
        }
    }

    /// A stale topic was found.
    pub fn found(&mut self, topic: &str) {
        if self.found.insert(topic.to_owned()) {
            self.found_in_round += 1;
        }
    }

    /// A nonce arrived.
    pub fn heard(&mut self, nonce: &[u8], bus: &Bus, topics: &Topics) {
        if self.deadline.is_none() || nonce != self.nonce.as_bytes() {
            return;
        }
        self.silent_rounds = 0;
        if self.found_in_round > 0 {
            self.search_again(bus, topics);
            return;
        }
        self.deadline = None;
        debug!(rounds = self.round, "the retained topics are known; requests arrive");
        bus.unsubscribe(&topics.cameras_filter());
    }

    /// No nonce came in time.
    pub fn go_round_again(&mut self, bus: &Bus, topics: &Topics) {
        self.silent_rounds += 1;
        if self.silent_rounds == SILENT_ROUNDS {
            warn!(
                "requests do not reach the worker: may its user read and write {}/# at the broker?",
                topics.base()
            );
        }
        self.search_again(bus, topics);
    }

    fn search_again(&mut self, bus: &Bus, topics: &Topics) {
        self.next_round();
        bus.subscribe(&[cameras(topics)], self.round);
    }

    fn next_round(&mut self) {
        self.round += 1;
        self.found_in_round = 0;
        // A broker that holds requests back for good is asked ever more rarely.
        let patience = NONCE_PATIENCE * self.silent_rounds.clamp(1, 12);
        self.deadline = Some(Instant::now() + patience);
        let mut bytes = [0; 8];
        // Without random numbers the round's number alone must do.
        let _ = getrandom::fill(&mut bytes);
        self.nonce = format!("{}-{:016x}", self.round, u64::from_le_bytes(bytes));
    }
}

fn cameras(topics: &Topics) -> Filter {
    Filter { filter: topics.cameras_filter(), keep_retain_flag: false }
}
