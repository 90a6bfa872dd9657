//! Much at once, and much one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use frigate_replay::outbox::Outbox;
use frigate_replay::session::{Event, JobReport, Policy, Stage, State, recover, step, view};
use frigate_replay::wire::topics::Topics;
use frigate_replay::words::UnixTime;
use serde_json::json;

use super::disk::{script, start};
use super::house::{BASE, House, Worker};
use super::trial::{Fault, Trial};

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new(
            "progress",
            "1000 progress updates a second, for a minute of the core",
            progress,
        )
        .share(0),
        Fault::new("load", "the same by a fake ffmpeg, 200 cameras, 100 subscribers", load)
            .share(0),
        Fault::new("soak", "start and stop, again and again", soak).long_only().share(0),
    ]
}

/// 60 000 reports of a job within 60 seconds are shown 60 times.
fn progress(trial: &mut Trial) {
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    assert_eq!(worker.end(), Some(0));
    // A true record, set back to where its clip is being made.
    let mut record = house.saved().unwrap().0;
    let session = record.session.as_mut().unwrap();
    session.stage = Stage::Preparing;
    let job_id = session.job_id.clone();
    let policy = Policy {
        topics: Topics::new("frigate_replay", "frigate").unwrap(),
        max_session_s: 43_200.0,
        max_range_s: 86_400.0,
        frigate_url: None,
        frigate_topics: None,
        frigate_pictures: None,
    };
    let begin = super::house::now();
    let at = |ms: u32| UnixTime::new(begin + f64::from(ms) / 1000.0).unwrap();
    let mut state: State = recover(policy, record, Ok(vec![]), false, at(0)).state;
    let mut outbox = Outbox::default();
    outbox.connected(None);
    let mut published = 0;
    for ms in 0..60_000 {
        let report = JobReport::Progress(f64::from(ms) / 600.0);
        state = step(state, Event::Job(job_id.clone(), report), at(ms)).state;
        outbox.show(&view(&state), 0);
        outbox.flush(|message| {
            published += u64::from(message.topic.ends_with("/job_state"));
            Ok(())
        });
    }
    trial.tried(60_000);
    trial.note("shown", published);
    assert!((55..=62).contains(&published), "shown {published} times in a minute");
}

fn load(trial: &mut Trial) {
    let house = House::new();
    let mut config = house.usual_config();
    for n in 0..198 {
        config += &format!(
            "  camera_{n}:\n    ffmpeg:\n      inputs:\n        - path: rtsp://127.0.0.1/{n}\n          \
             roles: [detect, record]\n    detect:\n      enabled: true\n      width: 640\n      height: 360\n"
        );
    }
    house.write_config(&config);
    // 1000 lines a second, as near as a script can.
    let talk = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); printf 'out_time_us=%s\\nout_time_us=%s\\nout_time_us=%s\\nout_time_us=%s\\nout_time_us=%s\\nout_time_us=%s\\nout_time_us=%s\\nout_time_us=%s\\nout_time_us=%s\\nout_time_us=%s\\n' ${i}0001 ${i}0002 ${i}0003 ${i}0004 ${i}0005 ${i}0006 ${i}0007 ${i}0008 ${i}0009 ${i}0010; sleep 0.01; done; exec ffmpeg \"$@\"";
    let ffmpeg = script(&house, talk);
    let worker = house.worker(&["--clip-engine", "ffmpeg", "--ffmpeg", &ffmpeg]);
    let mut subscribers: Vec<_> = (0..100).map(|_| house.bus()).collect();
    let mut bus = house.bus();
    let begin = Instant::now();
    bus.ask("start", start(&house));
    let mut slowest = Duration::ZERO;
    let mut asked = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        let asking = Instant::now();
        bus.ask("start", start(&house));
        slowest = slowest.max(asking.elapsed());
        asked += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    bus.wait_topic("event", |event| event["event_type"] == "live");
    let seconds = begin.elapsed().as_secs_f64();
    let topic = format!("{BASE}/job_state");
    let shown = bus.heard.iter().filter(|message| message.topic == topic).count();
    assert!((shown as f64) < seconds + 6.0, "{shown} states of the job in {seconds:.0} s");
    bus.ask("stop", json!({}));
    bus.catch_up();
    let session = format!("{BASE}/session");
    let last = bus.heard.iter().rev().find(|m| m.topic == session).unwrap().payload.clone();
    for subscriber in &mut subscribers {
        subscriber.wait("the end", |message| message.topic == session && message.payload == last);
    }
    house.check_when_calm();
    let peak = memory_kib(&worker, "VmHWM");
    assert!(peak < 150 * 1024, "{peak} KiB");
    trial.tried(asked);
    trial.came(format!("slowest answer {} ms, peak {} MiB", slowest.as_millis(), peak / 1024));
    worker.kill();
}

fn memory_kib(worker: &Worker, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", worker.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|rest| rest.trim().split(' ').next()?.parse().ok()).unwrap()
}

/// What must not grow.
#[derive(Clone, Debug)]
struct Size {
    memory_kib: u64,
    files: u64,
    store_bytes: u64,
    topics: u64,
}

fn size(house: &House, worker: &Worker) -> Size {
    let files = fs::read_dir(format!("/proc/{}/fd", worker.pid())).unwrap().count() as u64;
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    bytes_below(&house.path("data/session"), &mut sizes);
    Size {
        memory_kib: memory_kib(worker, "VmRSS"),
        files,
        store_bytes: sizes.values().sum(),
        topics: house.bus().retained().len() as u64,
    }
}

fn bytes_below(folder: &std::path::Path, sizes: &mut BTreeMap<String, u64>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            bytes_below(&entry.path(), sizes);
        } else {
            sizes.insert(entry.path().display().to_string(), metadata.len());
        }
    }
}

/// A tenth of the time at least; all of it if nothing else is tried.
fn soak(trial: &mut Trial) {
    let alone = std::env::var("FAULTS_ONLY").is_ok_and(|only| only == "soak");
    let share = if alone { 1.0 } else { 0.25 };
    let lasts = Duration::from_secs_f64(trial.minutes * 60.0 * share);
    let house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    let begin = Instant::now();
    let mut cycles = 0u64;
    let mut sizes: Vec<Size> = Vec::new();
    while begin.elapsed() < lasts {
        assert_eq!(bus.ask("start", start(&house))["status"], "ok");
        bus.wait_topic("event", |event| event["event_type"] == "live");
        if cycles.is_multiple_of(10) {
            house.leave_traces("_replay_front");
        }
        assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
        bus.forget();
        cycles += 1;
        if cycles.is_multiple_of(100) {
            sizes.push(size(&house, &worker));
        }
    }
    house.check_when_calm();
    trial.tried(cycles);
    // The first quarter warms up; then the last is compared with the second.
    let quarter = |n: usize| {
        let part = &sizes[sizes.len() * n / 4..sizes.len() * (n + 1) / 4];
        let median = |of: fn(&Size) -> u64| {
            let mut values: Vec<u64> = part.iter().map(of).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or(0)
        };
        Size {
            memory_kib: median(|size| size.memory_kib),
            files: median(|size| size.files),
            store_bytes: median(|size| size.store_bytes),
            topics: median(|size| size.topics),
        }
    };
    if sizes.len() < 8 {
        trial.note("too short to compare", 1);
        return;
    }
    let (early, late) = (quarter(1), quarter(3));
    trial.note(format!("from {early:?} to {late:?}"), 1);
    assert!(late.memory_kib < early.memory_kib + early.memory_kib / 5, "{early:?} {late:?}");
    assert!(late.files <= early.files + 2, "{early:?} {late:?}");
    assert!(late.store_bytes < early.store_bytes + (4 << 20), "{early:?} {late:?}");
    assert_eq!(late.topics, early.topics);
    worker.kill();
}
