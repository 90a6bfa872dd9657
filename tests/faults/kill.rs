//! The worker killed with -9: at any moment, and at each named point.

use serde_json::json;

use super::house::{House, Worker};
use super::requester::Requester;
use super::trial::{Fault, Trial};

/// Where the worker can be made to kill itself, and how often it passes there at most in one life.
const POINTS: [(&str, u64); 13] = [
    ("before-save", 40),
    ("before-flush", 20),
    ("after-save", 40),
    ("word", 20),
    ("deed", 6),
    ("connected", 1),
    ("message", 12),
    ("published", 40),
    ("clip-part", 1),
    ("clip-piece", 6),
    ("clip-rename", 1),
    ("clip-renamed", 1),
    ("sweep-file", 9),
];

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new("kill", "the worker killed with -9 at any moment", at_any_moment).share(10),
        Fault::new("kill-point", "killed between save, publish and act", at_points).share(10),
        Fault::new("kill-sweep", "killed while it takes traces away", while_sweeping).share(2),
    ]
}

fn at_any_moment(trial: &mut Trial) {
    let rounds = if trial.long { 20 } else { 8 };
    lives(trial, rounds, |trial, house| {
        let worker = house.worker_unwaited(&[]);
        let tries = 200;
        (worker, tries.min(20 + trial.random.below(tries)), None)
    });
}

fn at_points(trial: &mut Trial) {
    let rounds = if trial.long { 20 } else { 10 };
    lives(trial, rounds, |trial, house| {
        let (point, passings) = *trial.random.one_of(&POINTS);
        let at = format!("{point}:{}", 1 + trial.random.below(passings));
        let worker = house.worker_in(&[], &[("FAULT_POINT", &at)]);
        (worker, 400, Some(point))
    });
}

/// Several lives of a worker in one house, each of which ends with a kill; now and then there is calm.
fn lives(
    trial: &mut Trial,
    rounds: u32,
    begin: impl Fn(&mut Trial, &House) -> (Worker, u64, Option<&'static str>),
) {
    let house = House::new();
    let mut requester = Requester::new(&house);
    requester.lays_traces = true;
    // Before its first connection the broker keeps nothing for the worker.
    house.worker(&[]).kill();
    for round in 0..rounds {
        let (mut worker, patience_ms, point) = begin(trial, &house);
        for _ in 0..1 + trial.random.below(5) {
            requester.do_anything(&mut trial.random, &house);
            trial.random.wait_below(20);
        }
        if point.is_some() {
            // Until it is at its point, or shows that it does not come there in this life.
            let deadline =
                std::time::Instant::now() + std::time::Duration::from_millis(patience_ms);
            while worker.is_running() && std::time::Instant::now() < deadline {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        } else {
            trial.random.wait_below(patience_ms);
        }
        let outcome = match point {
            Some(point) if !worker.is_running() => format!("at {point}"),
            Some(_) => "elsewhere".to_owned(),
            None => phase(&house),
        };
        worker.kill();
        trial.came(outcome);
        if trial.random.once_in(3) || round + 1 == rounds {
            // A sweep that a start has cut short is done again in the watchdog's round.
            let worker = house.worker(&["--watchdog-interval", "500ms"]);
            house.check_when_calm();
            requester.check();
            if trial.random.once_in(2) {
                worker.kill();
            } else {
                assert_eq!(worker.end(), Some(0));
            }
        }
    }
}

/// What the worker was at when it was killed, as its retained topics say.
fn phase(house: &House) -> String {
    let retained = house.bus().retained();
    let session = retained.get(&format!("{}/session", super::house::BASE));
    let session: serde_json::Value =
        session.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    session["phase"].as_str().unwrap_or("idle").to_owned()
}

fn while_sweeping(trial: &mut Trial) {
    let house = House::new();
    for point in ["sweep-file", "sweep-rows", "deed", "after-save"] {
        for camera in ["_replay_front", "_replay_old", "_replay_front-door"] {
            house.leave_traces(camera);
            house.touch(&format!("frigate-replay/{camera}.mp4"));
        }
        let at = format!("{point}:{}", 1 + trial.random.below(8));
        let mut worker = house.worker_in(&[], &[("FAULT_POINT", &at)]);
        let killed = super::house::wait_for("the kill or the end of the sweep", || {
            let killed = !worker.is_running();
            (killed || house.traces().is_empty()).then_some(killed)
        });
        worker.kill();
        trial.came(if killed { format!("at {point}") } else { "swept before".to_owned() });
        let worker = house.worker(&[]);
        house.check_when_calm();
        worker.kill();
    }
    let mut bus = house.bus();
    let _worker = house.worker(&[]);
    assert_eq!(bus.ask("stop", json!({}))["error"]["code"], "not_active");
}
