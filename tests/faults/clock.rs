//! The clock jumps, and the machine is suspended.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::house::{BASE, House, Worker};
use super::trial::{Fault, Trial};

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new("clock", "an hour back, a day ahead, over the 12 h, years off", jumps),
        Fault::new("suspend", "the worker stands still while hours go by", suspended),
    ]
}

const HOUR: f64 = 3600.0;

fn jumps(trial: &mut Trial) {
    let house = House::new();
    let clock = house.path("clock");
    fs::write(&clock, "0").unwrap();
    let env = [("FAULT_CLOCK", clock.to_str().unwrap())];
    for (error_s, ends) in [
        (-HOUR, false),
        (11.0 * HOUR, false),
        (24.0 * HOUR, true),
        (13.0 * HOUR, true),
        (-10.0 * 365.0 * 24.0 * HOUR, false),
    ] {
        fs::write(&clock, "0").unwrap();
        let mut worker = begin(&house, &env);
        let mut bus = house.bus();
        let range = house.range;
        bus.ask("start", json!({"camera": "front", "start_time": range.0, "end_time": range.1}));
        bus.wait_phase("live");
        fs::write(&clock, error_s.to_string()).unwrap();
        if trial.random.once_in(2) {
            worker.kill();
            worker = begin(&house, &env);
        }
        if ends {
            bus.wait_inactive();
        } else {
            // It is taken note of, and the session goes on and can be stopped.
            bus.catch_up();
            house.check_when_calm();
            assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
        }
        house.check_when_calm();
        worker.kill();
        trial.came(if ends { "ended by its longest time" } else { "went on" });
    }
    // Back from years ahead: the next session is as long as any.
    fs::write(&clock, (10.0 * 365.0 * 24.0 * HOUR).to_string()).unwrap();
    let worker = begin(&house, &env);
    let mut bus = house.bus();
    bus.ask(
        "start",
        json!({"camera": "front", "start_time": house.range.0, "end_time": house.range.1}),
    );
    bus.wait_phase("live");
    fs::write(&clock, "0").unwrap();
    let later = super::house::now() + 12.5 * HOUR;
    bus.wait_topic("session", |session| {
        session["auto_stop_at"].as_f64().is_some_and(|at| at < later)
    });
    bus.ask("stop", json!({}));
    house.check_when_calm();
    drop(worker);
    trial.came("set right");
}

/// For longer than the broker's patience with a silent client, 22 s, where there is time for it.
fn suspended(trial: &mut Trial) {
    let house = House::new();
    let clock = house.path("clock");
    let env = [("FAULT_CLOCK", clock.to_str().unwrap())];
    for (hours, ends) in [(8.0, false), (13.0, true)] {
        fs::write(&clock, "0").unwrap();
        let worker = begin(&house, &env);
        let mut bus = house.bus();
        let range = house.range;
        bus.ask("start", json!({"camera": "front", "start_time": range.0, "end_time": range.1}));
        bus.wait_phase("live");
        let pid = Pid::from_raw(worker.pid().cast_signed()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        fs::write(&clock, (hours * HOUR).to_string()).unwrap();
        let stands_still_s = if trial.long { 30 } else { 1 };
        if !ends {
            bus.publish(&format!("{BASE}/request/stop"), r#"{"transaction": "meanwhile"}"#);
        }
        std::thread::sleep(Duration::from_secs(stands_still_s));
        kill_process(pid, Signal::CONT).unwrap();
        if ends {
            bus.wait_inactive();
        } else {
            let response = bus.wait_topic("response/stop", |r| r["transaction"] == "meanwhile");
            assert_eq!(response["status"], "ok", "{response}");
        }
        house.check_when_calm();
        worker.kill();
        trial.came(if ends { "ended by its longest time" } else { "obeyed what came meanwhile" });
    }
}

fn begin(house: &House, env: &[(&str, &str)]) -> Worker {
    let mut bus = house.bus();
    let worker = house.worker_in(&["--watchdog-interval", "50ms"], env);
    bus.wait("online", |message| message.payload == "online" && !message.retain);
    worker
}
