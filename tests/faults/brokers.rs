//! The broker and the way to it.

use std::fs;

use serde_json::json;

use super::bus::Bus;
use super::house::{BASE, House, Worker, wait_for};
use super::proxy::Link;
use super::requester::Requester;
use super::trial::{Fault, Trial};

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new("broker-restart", "the broker restarts, with its store and without", restarts)
            .share(3),
        Fault::new("broker-kill", "killed with -9; an older store comes back", older_store)
            .share(3),
        Fault::new("link-cut", "the connection is cut in mid-packet", cut_links).share(3),
        Fault::new("link-slow", "a link of 4 kB a second", slow_link),
        Fault::new("link-half-open", "packets are dropped, nothing is closed", half_open)
            .long_only(),
        Fault::new("login", "the broker refuses the login for a while", refused_login),
        Fault::new("acl", "the access rules deny topics for a while", denied),
        Fault::new("small-packets", "the broker takes packets of 1500 bytes only", small_packets),
        Fault::new("two-workers", "a second worker with the same instance", two_workers),
    ]
}

fn online(house: &House) {
    let mut bus = house.bus();
    bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "online");
}

/// What the worker may be at when something happens to its broker.
fn get_busy(trial: &mut Trial, house: &House) {
    let mut requester = Requester::new(house);
    requester.lays_traces = true;
    for _ in 0..1 + trial.random.below(4) {
        requester.do_anything(&mut trial.random, house);
        trial.random.wait_below(30);
    }
}

fn restarts(trial: &mut Trial) {
    let mut house = House::new();
    let _worker = house.worker(&[]);
    for _ in 0..if trial.long { 6 } else { 3 } {
        get_busy(trial, &house);
        let forgets = trial.random.once_in(2);
        house.stop_broker();
        if forgets {
            house.forget_broker_store();
        }
        trial.random.wait_below(200);
        house.start_broker();
        online(&house);
        house.check_when_calm();
        trial.came(if forgets { "without its store" } else { "with its store" });
    }
}

fn older_store(trial: &mut Trial) {
    let mut house = House::new();
    let mut worker = Some(house.worker(&[]));
    for _ in 0..if trial.long { 5 } else { 2 } {
        get_busy(trial, &house);
        house.stop_broker();
        let store = house.path("mosquitto/mosquitto.db");
        let older = fs::read(&store).unwrap();
        house.start_broker();
        online(&house);
        get_busy(trial, &house);
        trial.random.wait_below(100);
        house.kill_broker();
        fs::write(store, older).unwrap();
        let worker_too = trial.random.once_in(2);
        if worker_too && let Some(worker) = worker.take() {
            worker.kill();
        }
        house.start_broker();
        if worker.is_none() {
            worker = Some(house.worker(&[]));
        }
        online(&house);
        house.check_when_calm();
        trial.came(if worker_too { "with the worker" } else { "alone" });
    }
}

fn worker_over(house: &House, link: &Link) -> Worker {
    let worker = house.worker(&["--mqtt-url", &link.url()]);
    house.ends_with(&[]);
    worker
}

fn cut_links(trial: &mut Trial) {
    let house = House::new();
    let link = Link::to(house.port);
    let _worker = worker_over(&house, &link);
    let mut requester = Requester::new(&house);
    for _ in 0..if trial.long { 12 } else { 5 } {
        let before = link.connections();
        link.cut_after(trial.random.below(3000));
        for _ in 0..1 + trial.random.below(4) {
            requester.do_anything(&mut trial.random, &house);
            trial.random.wait_below(30);
        }
        trial.random.wait_below(50);
        let was_cut = link.connections() > before;
        link.mend();
        house.check_when_calm();
        requester.check();
        trial.came(if was_cut || link.connections() > before { "cut" } else { "not reached" });
    }
}

fn slow_link(trial: &mut Trial) {
    let house = House::new();
    let link = Link::to(house.port);
    let _worker = worker_over(&house, &link);
    let mut requester = Requester::new(&house);
    link.speed(4000);
    for _ in 0..4 {
        requester.do_anything(&mut trial.random, &house);
    }
    // More than the way holds, so that answers and acknowledgements find no room.
    let burst = if trial.long { 3000 } else { 300 };
    for n in 0..burst {
        requester.bus.request("stop", json!({"job_id": "nobody", "transaction": n}));
    }
    trial.random.wait_below(300);
    link.mend();
    requester.check();
    house.check_when_calm();
    trial.came("slow");
}

fn half_open(trial: &mut Trial) {
    let house = House::new();
    let link = Link::to(house.port);
    let worker = worker_over(&house, &link);
    let mut requester = Requester::new(&house);
    requester.start();
    requester.bus.wait_phase("live");
    link.swallow(true);
    requester.stop();
    // 15 s of keep-alive and what follows from it.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(90);
    while !worker.log().contains("lost the broker") {
        assert!(std::time::Instant::now() < deadline, "the dead link is not noticed");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    link.mend();
    requester.check();
    house.check_when_calm();
    trial.came("noticed");
}

fn refused_login(trial: &mut Trial) {
    let mut house = House::new();
    let worker = house.worker(&[]);
    get_busy(trial, &house);
    house.stop_broker();
    let passwords = house.path("mosquitto/passwords");
    fs::write(&passwords, "").unwrap();
    house.set_broker(&format!("allow_anonymous false\npassword_file {}\n", passwords.display()));
    house.start_broker();
    wait_for("the complaint", || worker.log().contains("user name or the password").then_some(()));
    house.stop_broker();
    house.set_broker("allow_anonymous true\n");
    house.start_broker();
    online(&house);
    house.check_when_calm();
    trial.came("refused, then taken");
}

fn denied(trial: &mut Trial) {
    let mut house = House::new();
    let mut worker = house.worker(&[]);
    get_busy(trial, &house);
    let rules = house.path("mosquitto/rules");
    // Everything but one kind of our topics.
    let denied = *trial.random.one_of(&[
        "session",
        "job_state",
        "config/cameras/_replay_front/add",
        "request/start",
        "response/start",
        "available",
    ]);
    fs::write(&rules, format!("topic deny {BASE}/{denied}\ntopic readwrite #\n")).unwrap();
    house.stop_broker();
    house.set_broker(&format!("allow_anonymous true\nacl_file {}\n", rules.display()));
    house.start_broker();
    wait_for("the connection", || {
        (worker.log().matches("connected to the broker").count() > 1).then_some(())
    });
    get_busy(trial, &house);
    assert!(worker.is_running(), "a denied topic ends the worker");
    house.stop_broker();
    house.set_broker("allow_anonymous true\n");
    house.start_broker();
    online(&house);
    house.check_when_calm();
    trial.came(denied.rsplit('/').next().unwrap_or(denied));
}

fn small_packets(trial: &mut Trial) {
    let mut house = House::new();
    let mut worker = house.worker(&[]);
    let start = |house: &House, bus: &mut Bus| {
        let range = house.range;
        bus.ask("start", json!({"camera": "front", "start_time": range.0, "end_time": range.1}))
    };
    let mut bus = house.bus();
    start(&house, &mut bus);
    bus.wait_phase("live");
    drop(bus);
    house.stop_broker();
    house.set_broker("allow_anonymous true\nmax_packet_size 1500\n");
    house.start_broker();
    let mut bus = house.bus();
    bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "online");
    bus.ask("stop", json!({}));
    // What is too large must at least not be wrong.
    let retained = house.bus().retained();
    let add = retained.get(&format!("{BASE}/config/cameras/_replay_front/add"));
    assert_eq!(add, None, "an add of a session that is over");
    drop(bus);
    assert!(worker.is_running());
    house.stop_broker();
    house.set_broker("allow_anonymous true\n");
    house.start_broker();
    online(&house);
    house.check_when_calm();
    trial.came("told what fits");
}

/// The first gives way and says so; what it was at belongs to a past that the second sweeps.
fn two_workers(trial: &mut Trial) {
    let house = House::new();
    let mut first = house.worker(&[]);
    get_busy(trial, &house);
    trial.random.wait_below(50);
    house.forget_accepted();
    let data = house.path("data-of-the-second");
    fs::rename(house.path("data"), house.path("data-of-the-first")).unwrap();
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&data, house.path("data")).unwrap();
    let second = house.worker_unwaited(&[]);
    wait_for("the first to give way", || (!first.is_running()).then_some(()));
    assert!(first.log().contains("took over the client id"), "and says why");
    online(&house);
    house.check_when_calm();
    second.kill();
    trial.came("the first gave way");
}
