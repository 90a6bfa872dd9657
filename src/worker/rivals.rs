//! A second worker with the same instance name: the first gives way.
//!
//! Both use one client id, so each connection of the one ends the other's. Some brokers say why,
//! others only close (Mosquitto 2.0 with a session that it keeps); the two would go on for ever. So
//! every worker reads at each connection what stood in `info` before it publishes its own, and knows the
//! other by when it started. A start that this worker did not see when it was first connected is of one
//! that came after it. Once would not prove it: a broker that was killed may bring back
//! the `info` of an earlier life. Twice does, for this worker published its own in between.

use serde::Deserialize;

use crate::words::UnixTime;

/// How many connections in a row must find another worker's `info`.
const MEETINGS: u32 = 2;

/// What is known of other workers.
#[derive(Debug, Default)]
pub struct Rivals {
    /// Starts of workers that were there before this one.
    earlier: Vec<UnixTime>,
    /// A connection lasted long enough to know what was there before.
    settled: bool,
    read: bool,
    met: u32,
}

#[derive(Deserialize)]
struct Info {
    worker_started_at: UnixTime,
}

impl Rivals {
    /// A new connection: what is read next stood there before.
    pub fn connected(&mut self) {
        self.read = false;
    }

    /// What the broker keeps is known: whoever is new from now on came after this worker. The very
    /// first connection may be ended by the other worker before that.
    pub fn settle(&mut self) {
        self.settled = true;
    }

    /// Reads the `info` that the broker keeps; `own` is when this worker started. Gives whether
    /// another worker came after this one.
    pub fn read(&mut self, info: &[u8], own: UnixTime) -> bool {
        if std::mem::replace(&mut self.read, true) {
            return false;
        }
        let Ok(Info { worker_started_at: start }) = serde_json::from_slice(info) else {
            return false;
        };
        // They have been through JSON, and no two starts are so close.
        let same = |other: &UnixTime| start.since(*other).abs() < 0.001;
        if same(&own) || self.earlier.iter().any(same) {
            self.met = 0;
        } else if !self.settled {
            self.earlier.push(start);
        } else {
            self.met += 1;
        }
        self.met >= MEETINGS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAST: u32 = 100;
    const FIRST: u32 = 200;
    const SECOND: u32 = 300;

    fn reads(rivals: &mut Rivals, own: u32, stands: u32) -> bool {
        rivals.connected();
        let info = format!(r#"{{"worker_started_at":{stands}.25,"more":1}}"#);
        let is_rival = rivals.read(info.as_bytes(), UnixTime::new(f64::from(own) + 0.25).unwrap());
        rivals.settle();
        is_rival
    }

    #[test]
    fn the_first_gives_way_and_the_second_stays() {
        let (mut first, mut second) = (Rivals::default(), Rivals::default());
        assert!(!reads(&mut first, FIRST, PAST));
        // The first ends it before it can read anything.
        second.connected();
        assert!(!reads(&mut second, SECOND, FIRST));
        assert!(!reads(&mut first, FIRST, SECOND));
        assert!(!reads(&mut second, SECOND, FIRST));
        assert!(reads(&mut first, FIRST, SECOND));
        assert!(!reads(&mut second, SECOND, FIRST));
    }

    #[test]
    fn an_older_store_of_the_broker_is_no_rival() {
        let mut worker = Rivals::default();
        assert!(!reads(&mut worker, SECOND, FIRST));
        for _ in 0..5 {
            assert!(!reads(&mut worker, SECOND, PAST));
            assert!(!reads(&mut worker, SECOND, SECOND));
        }
        worker.connected();
        assert!(!worker.read(b"nonsense", UnixTime::from_secs(SECOND)));
    }
}
