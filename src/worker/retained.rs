//! All stale retained topics, surely.
//!
//! The broker sends what it retains when we subscribe, but nothing marks the end of it. So a nonce
//! follows on a topic of our own: what came before it is everything, for the broker keeps the order.
//! If no nonce comes, the broker cut the list (its queue is bounded): what was found is cleared, and
//! another round follows, until one ends with the nonce and nothing new.
//!
//! The nonce travels as a request would, so its arrival also shows that requests can reach us: a
//! broker may grant a subscription whose messages its access rules then hold back.
//!
//! Two kinds are searched: updates of replay cameras below our own base, and *ghosts*, what Frigate
//! leaves below its own prefix of a replay camera that is gone.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, warn};

use crate::bus::{Bus, Filter};
use crate::outbox::Outbox;
use crate::wire::topics::Topics;

/// How long a nonce may be under way.
const NONCE_PATIENCE: Duration = Duration::from_secs(5);

/// Rounds without a nonce before it is said that requests do not arrive. It goes on after that.
const SILENT_ROUNDS: u32 = 3;

/// The tag of the subscription to Home Assistant's greeting; rounds begin with 1.
pub const GREETING_TAG: u64 = 0;
/// How many bytes of filters go into one packet: small enough for any broker that takes our messages.
const FILTERS_MAX_BYTES: usize = 1000;

/// A search for stale retained topics on the present connection.
#[derive(Debug, Default)]
pub struct RetainedSweep {
    round: u64,
    /// The round that waits for the subscription to requests.
    listening: Option<u64>,
    deadline: Option<Instant>,
    nonce: String,
    found: HashSet<String>,
    found_in_round: usize,
    silent_rounds: u32,
    /// The filters of the ghosts.
    ghosts: Vec<String>,
    /// Subscriptions of this round that the broker has not answered yet.
    awaited: usize,
    ghosts_refused: bool,
}

impl RetainedSweep {
    /// Subscribes to requests on a new connection, and to what `info` shows before ours.
    pub fn listen(&mut self, bus: &Bus, topics: &Topics) {
        self.round += 1;
        self.listening = Some(self.round);
        let info = Filter { filter: topics.info(), keep_retain_flag: false };
        let [requests, form] = requests(topics);
        bus.subscribe(&[requests, form, info], self.round * 2);
    }

    /// Whether `tag` is the subscription to requests that is waited for; it is waited for no more.
    pub fn is_listening(&mut self, tag: u64) -> bool {
        self.listening.take_if(|round| *round * 2 == tag).is_some()
    }

    /// Begins anew: with a new connection, once requests are subscribed to, and when a session has
    /// ended.
    pub fn begin(&mut self, bus: &Bus, topics: &Topics, ghosts: Vec<String>) {
        self.let_go_of_ghosts(bus);
        self.ghosts = ghosts;
        self.found.clear();
        self.silent_rounds = 0;
        self.search_again(bus, topics);
        if let Some(filter) = topics.home_assistant() {
            // On its own: a broker that refuses it must not keep requests from us.
            bus.subscribe(&[Filter { filter, keep_retain_flag: false }], GREETING_TAG);
        }
    }

    /// Ends with the connection.
    pub fn stop(&mut self) {
        self.listening = None;
        self.deadline = None;
    }

    /// Ready when the nonce is overdue.
    pub async fn overdue(&self) {
        match self.deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// The broker answered a subscription: after the last of a round the nonce follows.
    pub fn subscribed(
        &mut self,
        tag: u64,
        result: Result<(), String>,
        outbox: &mut Outbox,
        topics: &Topics,
    ) {
        let (round, is_ghosts) = (tag / 2, tag % 2 == 1);
        if round != self.round || self.deadline.is_none() {
            return;
        }
        match result {
            Err(reason) if is_ghosts => {
                if !std::mem::replace(&mut self.ghosts_refused, true) {
                    warn!(
                        reason,
                        "what Frigate leaves retained is not cleared: the broker refuses it"
                    );
                }
            }
            Err(reason) => {
                error!(reason, "the broker refuses the subscription to requests");
                return;
            }
            Ok(()) => {}
        }
        self.awaited = self.awaited.saturating_sub(1);
        if self.awaited == 0 {
            outbox.say(topics.sync(), self.nonce.clone().into_bytes(), None);
        }
    }

    /// A stale topic was found.
    pub fn found(&mut self, topic: &str) {
        if self.found.insert(topic.to_owned()) {
            self.found_in_round += 1;
        }
    }

    /// A nonce arrived. Gives whether the search has ended.
    pub fn heard(&mut self, nonce: &[u8], bus: &Bus, topics: &Topics) -> bool {
        if self.deadline.is_none() || nonce != self.nonce.as_bytes() {
            return false;
        }
        self.silent_rounds = 0;
        if self.found_in_round > 0 {
            self.search_again(bus, topics);
            return false;
        }
        self.deadline = None;
        debug!(rounds = self.round, "the retained topics are known; requests arrive");
        bus.unsubscribe(&topics.info());
        bus.unsubscribe(&topics.cameras_filter());
        self.let_go_of_ghosts(bus);
        true
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
        // Whatever became of the first subscription: a requester must be heard.
        let [requests, form] = requests(topics);
        self.next_round(bus, vec![requests, form, cameras(topics)]);
    }

    fn search_again(&mut self, bus: &Bus, topics: &Topics) {
        self.next_round(bus, vec![cameras(topics)]);
    }

    fn let_go_of_ghosts(&mut self, bus: &Bus) {
        for filter in self.ghosts.drain(..) {
            bus.unsubscribe(&filter);
        }
    }

    fn next_round(&mut self, bus: &Bus, own: Vec<Filter>) {
        self.round += 1;
        self.found_in_round = 0;
        // A broker that holds requests back for good is asked ever more rarely.
        let patience = NONCE_PATIENCE * self.silent_rounds.clamp(1, 12);
        self.deadline = Some(Instant::now() + patience);
        let mut bytes = [0; 8];
        // Without random numbers the round's number alone must do.
        let _ = getrandom::fill(&mut bytes);
        self.nonce = format!("{}-{:016x}", self.round, u64::from_le_bytes(bytes));
        bus.subscribe(&own, self.round * 2);
        self.awaited = 1;
        for filters in packets(&self.ghosts) {
            bus.subscribe(&filters, self.round * 2 + 1);
            self.awaited += 1;
        }
    }
}

/// A request that was published retained must be seen as such even when it comes live.
fn requests(topics: &Topics) -> [Filter; 2] {
    [topics.requests_filter(), topics.form_filter()]
        .map(|filter| Filter { filter, keep_retain_flag: true })
}

fn cameras(topics: &Topics) -> Filter {
    Filter { filter: topics.cameras_filter(), keep_retain_flag: false }
}

/// Filters, a packet's worth at a time.
fn packets(filters: &[String]) -> Vec<Vec<Filter>> {
    let mut packets: Vec<Vec<Filter>> = Vec::new();
    let mut bytes = FILTERS_MAX_BYTES;
    for filter in filters {
        bytes += filter.len();
        if bytes > FILTERS_MAX_BYTES {
            packets.push(Vec::new());
            bytes = filter.len();
        }
        if let Some(packet) = packets.last_mut() {
            packet.push(Filter { filter: filter.clone(), keep_retain_flag: false });
        }
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_shared_out_among_packets() {
        let filters: Vec<String> =
            (0..50).map(|n| format!("frigate/_replay_camera{n:03}/#")).collect();
        let packets = packets(&filters);
        assert!(packets.len() > 1);
        for packet in &packets {
            let bytes: usize = packet.iter().map(|filter| filter.filter.len()).sum();
            assert!(!packet.is_empty() && bytes <= FILTERS_MAX_BYTES);
        }
        let all: Vec<String> = packets.into_iter().flatten().map(|f| f.filter).collect();
        assert_eq!(all, filters);
        assert!(super::packets(&[]).is_empty());
    }
}
