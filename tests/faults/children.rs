//! ffmpeg, when it has to be asked: it hangs, does not listen, fails late, talks nonsense.

use std::time::Duration;

use serde_json::json;

use super::disk::{script, start};
use super::house::{House, Worker};
use super::trial::{Fault, Trial};

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new("ffmpeg-hangs", "it hangs and ignores SIGTERM, until it is stopped", hangs),
        Fault::new("ffmpeg-fails", "fails at once, late, with nonsense, with nothing", fails),
        Fault::new("ffmpeg-orphan", "the worker is killed while it runs", orphaned),
    ]
}

const HANGING: [(&str, &str); 6] = [
    ("sleeps", "exec sleep 1000"),
    ("ignores SIGTERM", "trap '' TERM HUP INT; while :; do sleep 0.05; done"),
    ("never ends to talk", "yes out_time_us=5 & yes >&2"),
    ("never ends a line", "cat /dev/zero & cat /dev/zero >&2"),
    ("is silent", "exec sleep 1000 <&- >&- 2>&-"),
    ("has stopped itself", "kill -STOP $$; sleep 1000"),
];

const FAILING: [(&str, &str); 6] = [
    ("at once", "exit 1"),
    ("by a signal", "kill -SEGV $$"),
    ("late", "ffmpeg \"$@\"; exit 3"),
    ("with nonsense", "head -c 300000 /dev/urandom; head -c 300000 /dev/urandom >&2; exit 0"),
    ("with a file of nonsense", "for out; do :; done; head -c 9999 /dev/urandom > \"$out\""),
    (
        "with strange numbers",
        "printf 'out_time_us=-5\\nout_time_us=N/A\\nout_time_us=99999999999999999999\\nout_time_us=nan\\nprogress=end\\n'; exit 0",
    ),
];

fn with(house: &House, text: &str) -> Worker {
    let ffmpeg = script(house, text);
    house.worker(&["--clip-engine", "ffmpeg", "--ffmpeg", &ffmpeg])
}

fn hangs(trial: &mut Trial) {
    let house = House::new();
    for (how, text) in HANGING {
        let worker = with(&house, text);
        let mut bus = house.bus();
        bus.ask("start", start(&house));
        std::thread::sleep(Duration::from_millis(20 + trial.random.below(80)));
        let response = bus.ask("stop", json!({}));
        assert_eq!(response["status"], "ok", "{response}");
        house.check_when_calm();
        worker.kill();
        trial.came(how);
    }
    house.ends_with(&[]);
}

fn fails(trial: &mut Trial) {
    let house = House::new();
    for (how, text) in FAILING {
        let worker = with(&house, text);
        let mut bus = house.bus();
        bus.ask("start", start(&house));
        let job = bus.wait_status("failed");
        let why = job["debug_replay"]["error_message"].as_str().unwrap();
        assert!(why.contains("ffmpeg"), "{how}: {why}");
        house.check_when_calm();
        worker.kill();
        trial.came(how);
    }
    house.ends_with(&[]);
}

fn orphaned(trial: &mut Trial) {
    let house = House::new();
    // Every start of the worker begins the job again, three times in all.
    let worker = with(&house, "exec ffmpeg -re \"$@\"");
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_topic("job_state", |job| {
        job["debug_replay"]["results"]["progress_percent"].as_f64() > Some(0.0)
    });
    worker.kill();
    let worker = house.worker(&[]);
    house.check_when_calm();
    bus.ask("stop", json!({}));
    house.check_when_calm();
    worker.kill();
    trial.came("no orphan");
}
