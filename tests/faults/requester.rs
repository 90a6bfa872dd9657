//! Somebody who asks, and remembers what became of each request.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bus::Bus;
use super::house::{BASE, House, PATIENCE};
use super::trial::Random;

/// A client that stays connected while the worker comes and goes.
pub struct Requester {
    pub bus: Bus,
    asked: Vec<String>,
    /// Whether it also lays out traces of a forgotten replay: what follows must have them swept.
    pub lays_traces: bool,
    range: (f64, f64),
}

/// What was said to one request.
#[derive(Debug, Default)]
struct Answers {
    statuses: BTreeSet<String>,
    jobs: BTreeSet<String>,
}

impl Requester {
    pub fn new(house: &House) -> Self {
        Self { bus: house.bus(), asked: Vec::new(), lays_traces: false, range: house.range }
    }

    pub fn ask(&mut self, verb: &str, mut request: Value) {
        let transaction = format!("{verb}-{}", self.asked.len());
        request["transaction"] = json!(transaction);
        self.asked.push(transaction);
        self.bus.request(verb, request);
    }

    pub fn start(&mut self) {
        let (start, end) = self.range;
        self.ask("start", json!({"camera": "front", "start_time": start, "end_time": end}));
    }

    pub fn stop(&mut self) {
        self.ask("stop", json!({}));
    }

    /// Something that somebody may do at any time.
    pub fn do_anything(&mut self, random: &mut Random, house: &House) {
        match random.below(12) {
            0..=4 => self.start(),
            5..=7 => self.stop(),
            8 => self.ask("start_from_export", json!({"export_id": "front_done"})),
            9 => self.ask("start", json!({"camera": "shed", "last_seconds": 60})),
            10 if self.lays_traces => {
                house.leave_traces(["_replay_front", "_replay_old"][random.below(2) as usize])
            }
            _ => random.wait_below(60),
        }
    }

    /// Every request was answered, and none was answered with yes and no, or with two jobs. A
    /// reader of the retained topics never saw a camera both added and removed.
    pub fn check(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.bus.catch_up();
            let answers = self.answers();
            let missing: Vec<&String> =
                self.asked.iter().filter(|asked| !answers.contains_key(*asked)).collect();
            if missing.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "never answered: {missing:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        for (transaction, answers) in self.answers() {
            assert_eq!(answers.statuses.len(), 1, "{transaction} was answered {answers:?}");
            assert!(answers.jobs.len() <= 1, "{transaction} led to {answers:?}");
        }
        self.check_cameras();
    }

    fn answers(&self) -> BTreeMap<String, Answers> {
        let mut answers: BTreeMap<String, Answers> = BTreeMap::new();
        for message in &self.bus.heard {
            let Some(name) = message.topic.strip_prefix(BASE) else { continue };
            if name != "/last_response" && !name.starts_with("/response/") {
                continue;
            }
            let response = message.json();
            let Some(transaction) = response["transaction"].as_str() else { continue };
            let answer = answers.entry(transaction.to_owned()).or_default();
            answer.statuses.extend(response["status"].as_str().map(str::to_owned));
            answer.jobs.extend(response["data"]["job_id"].as_str().map(str::to_owned));
        }
        answers
    }

    fn check_cameras(&self) {
        let mut shown: BTreeSet<&str> = BTreeSet::new();
        for message in &self.bus.heard {
            let topic = message.topic.as_str();
            if !topic.contains("/config/cameras/_replay_") {
                continue;
            }
            if message.payload.is_empty() {
                shown.remove(topic);
                continue;
            }
            shown.insert(topic);
            let other = match topic.strip_suffix("/add") {
                Some(camera) => format!("{camera}/remove"),
                None => topic.replace("/remove", "/add"),
            };
            assert!(!shown.contains(other.as_str()), "{topic} beside {other}");
        }
    }
}
