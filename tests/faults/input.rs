//! Bad input, by the million: through the parser and the step function, and over a real broker.

use std::time::{Duration, Instant};

use frigate_replay::session::{
    Effect, Event, Found, JobReport, Policy, Receipt, Record, ReplyTo, RequestEvent, State, step,
    view,
};
use frigate_replay::wire::messages::SettingsSource;
use frigate_replay::wire::requests::{Code, Refusal, Verb, parse};
use frigate_replay::wire::topics::Topics;
use frigate_replay::words::{CameraName, JobId, TimeRange, UnixTime};
use rumqttc::PublishOptions;
use serde_json::json;

use super::house::{BASE, House};
use super::trial::{Fault, Random, Trial};

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new(
            "input",
            "10 million mutated requests through parser and step (3 s of them in the short form)",
            through_the_core,
        )
        .share(0),
        Fault::new(
            "input-broker",
            "100 000 mutated requests over a real broker (2000 in the short form)",
            over_a_broker,
        )
        .share(0),
    ]
}

const SEEDS: [&str; 12] = [
    r#"{"camera":"front","start_time":1700000000,"end_time":1700000600,"transaction":"t"}"#,
    r#"{"camera":"front","last_seconds":600,"transaction":7}"#,
    r#"{"camera":"front","start_time":"2026-01-01T00:00:00+00:00","end_time":"2026-01-01T00:10:00Z"}"#,
    r#"{"camera":"front","last_seconds":"60","overrides":{"objects":{"filters":{"person":{"min_score":0.4}}}}}"#,
    r#"{"camera":"front","last_seconds":60,"overrides":{"detect":{"fps":5},"zones":{"z":{"coordinates":"0,0,1,0,1,1"}}}}"#,
    r#"{"export_id":"front_done","transaction":"x"}"#,
    r#"{"export_id":"' OR 1=1 --"}"#,
    r#"{"job_id":"abcdefghijkl"}"#,
    "{}",
    "",
    "null",
    "[1,2,3]",
];

/// Pieces that parsers stumble over.
const PIECES: [&str; 24] = [
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "NaN",
    "1e999",
    "-0",
    "\\u0000",
    "\\ud800",
    "9223372036854775808",
    "../",
    "_replay_",
    "#",
    "+",
    "/",
    "\u{0}",
    "\u{feff}",
    "'",
    "\"camera\":",
];

/// A request that somebody's script might send by mistake.
fn mutated(random: &mut Random) -> Vec<u8> {
    let mut bytes = random.one_of(&SEEDS).as_bytes().to_vec();
    for _ in 0..random.below(5) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] = random.next() as u8,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            3 => {
                let other = random.one_of(&SEEDS).as_bytes();
                let from = random.below(other.len() as u64 + 1) as usize;
                bytes.extend_from_slice(&other[from..]);
            }
            4 => {
                let piece = *random.one_of(&PIECES);
                for _ in 0..1 + random.below(4) {
                    drop(bytes.splice(at..at, piece.bytes()));
                }
            }
            5 if random.once_in(50) => {
                let deep = ["[", "{\"a\":"][random.below(2) as usize].repeat(200);
                drop(bytes.splice(at..at, deep.bytes()));
            }
            _ => bytes.insert(at, random.next() as u8),
        }
    }
    bytes
}

fn policy() -> Policy {
    Policy {
        topics: Topics::new("frigate_replay", "frigate").unwrap(),
        max_session_s: 43_200.0,
        max_range_s: 86_400.0,
        frigate_url: None,
        frigate_topics: None,
        frigate_pictures: None,
    }
}

fn through_the_core(trial: &mut Trial) {
    const WANTED: u64 = 10_000_000;
    let begin = Instant::now();
    let patience = Duration::from_secs(3);
    let mut world = Core::new();
    let mut done = 0;
    let mut accepted = 0;
    while done < WANTED && (trial.long || begin.elapsed() < patience) {
        for _ in 0..1000 {
            accepted += world.ask(&mut trial.random);
        }
        done += 1000;
        // Whatever was asked, it can be saved, read again and shown.
        let (record, unreadable) = Record::from_parts(&world.state.record.parts());
        assert!(unreadable.is_empty() && record == world.state.record);
        assert!(view(&world.state).iter().all(|kept| kept.topic.starts_with(BASE)));
    }
    trial.tried(done);
    trial.note("accepted", accepted);
    trial.note("refused", done - accepted);
    let rate = done as f64 / begin.elapsed().as_secs_f64();
    trial.note("thousands a second", (rate / 1000.0) as u64);
}

/// The session with a world around it that says anything.
struct Core {
    state: State,
    now: f64,
    count: u64,
}

impl Core {
    fn new() -> Self {
        Self { state: State::of(policy(), Record::default()), now: 1.7e9, count: 0 }
    }

    /// One request and what follows from it. Gives 1 if it was accepted.
    fn ask(&mut self, random: &mut Random) -> u64 {
        self.count += 1;
        self.now += random.below(100) as f64 / 10.0;
        let verb = *random.one_of(&Verb::ALL);
        let parsed = parse(verb, &mutated(random));
        let mut id = [0; JobId::LENGTH];
        id[..8].copy_from_slice(&self.count.to_le_bytes().map(|byte| byte % 36));
        let event = Event::Request(RequestEvent {
            request: parsed.request,
            reply_to: ReplyTo {
                verb: verb.as_str().to_owned(),
                transaction: parsed.transaction,
                response_topic: None,
                correlation: None,
            },
            receipt: Receipt(self.count),
            fresh_id: JobId::from_random(id),
            again: false,
        });
        let mut under_way = vec![event];
        let (mut answered, mut settled, mut accepted) = (0, 0, 0);
        while let Some(event) = under_way.pop() {
            let state = std::mem::replace(&mut self.state, State::of(policy(), Record::default()));
            let step = step(state, event, UnixTime::new(self.now).unwrap());
            self.state = step.state;
            for effect in step.effects {
                match effect {
                    Effect::Settle(_) => settled += 1,
                    Effect::Reply(_, response) => {
                        answered += 1;
                        accepted += u64::from(response.error.is_none());
                    }
                    Effect::LookUp(_) => under_way.push(Event::LookedUp(found(random))),
                    Effect::TearDown(id, _) => under_way.push(Event::TornDown(id)),
                    Effect::RunJob(order) => {
                        let end = JobReport::Ended(Some("no".to_owned()));
                        under_way.push(Event::Job(order.job_id, end));
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(settled, 1, "each request is acknowledged once");
        assert_eq!(answered, 1, "each request is answered once");
        accepted
    }
}

fn found(random: &mut Random) -> Result<Found, Refusal> {
    if random.once_in(2) {
        return Err(Refusal::new(Code::NoRecordings, "none"));
    }
    let at = |seconds| UnixTime::new(seconds).unwrap();
    Ok(Found {
        source_camera: CameraName::parse("front").unwrap(),
        range: TimeRange { start: at(1.0), end: at(2.0) },
        settings_source: SettingsSource::ConfigFile,
        warnings: vec![],
    })
}

fn over_a_broker(trial: &mut Trial) {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    let wanted = if trial.long { 100_000 } else { 2000 };
    let mut sent = 0;
    let mut answers = 0;
    while sent < wanted {
        // Fewer than the broker queues for a client, so that none is dropped there.
        for _ in 0..400 {
            let verb = trial.random.one_of(&Verb::ALL).as_str();
            let payload = mutated(&mut trial.random);
            bus.publish_with(
                &format!("{BASE}/request/{verb}"),
                payload,
                PublishOptions::at_least_once(),
            );
            sent += 1;
        }
        bus.ask("stop", json!({"job_id": "nobody"}));
        sent += 1;
        bus.catch_up();
        for message in &bus.heard {
            answers += u64::from(message.topic.starts_with(&format!("{BASE}/response/")));
            assert!(
                [BASE, "homeassistant/device/frigate_replay_frigate/", "test/"]
                    .iter()
                    .any(|ours| message.topic.starts_with(ours)),
                "published elsewhere: {}",
                message.topic
            );
        }
        bus.forget();
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while answers < sent {
        assert!(Instant::now() < deadline, "{answers} answers to {sent} requests");
        bus.catch_up();
        for message in &bus.heard {
            answers += u64::from(message.topic.starts_with(&format!("{BASE}/response/")));
        }
        bus.forget();
    }
    bus.ask("stop", json!({}));
    house.check_when_calm();
    trial.tried(sent);
    trial.note("answered", answers);
    assert_eq!(answers, sent, "one answer for each request");
    worker.kill();
}
