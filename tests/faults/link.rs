//! The worker killed while it changes the cameras of a running Frigate.
//!
//! The stand-in notes what would have killed the real one: above all two changes too close to each
//! other, also across a restart of the worker.

use std::time::{Duration, Instant};

use super::frigate::{Frigate, Setup, V0_17, V0_18};
use super::house::House;
use super::requester::Requester;
use super::trial::{Fault, Trial};

/// Between two changes lie 5 s, after one without an answer 20; a session's end waits for 30.
const PATIENCE: Duration = Duration::from_secs(180);

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new("kill-link", "killed with -9 beside a running Frigate", killed)
            .long_only()
            .share(4),
    ]
}

fn killed(trial: &mut Trial) {
    let house = House::new();
    let version = *trial.random.one_of(&[V0_18, V0_17]);
    let frigate = Frigate::start(&house.path("config/config.yml"), Setup::of(version));
    let url = frigate.url();
    let mut requester = Requester::new(&house);
    house.worker(&["--frigate-url", &url]).kill();
    for _ in 0..5 {
        let worker = house.worker(&["--frigate-url", &url]);
        for _ in 0..1 + trial.random.below(3) {
            requester.do_anything(&mut trial.random, &house);
            trial.random.wait_below(300);
        }
        trial.random.wait_below(4000);
        worker.kill();
        let placed = frigate.replay_cameras().len();
        trial.came(if placed == 0 { "without the camera" } else { "with the camera" });
    }
    let worker = house.worker(&["--frigate-url", &url]);
    requester.stop();
    wait("everything to agree", || house.violations(), Vec::is_empty);
    requester.check();
    let still_live = house.saved().is_ok_and(|(record, _)| record.session.is_some());
    assert!(!still_live, "a session after the last stop");
    wait("the camera to be gone", || frigate.replay_cameras(), Vec::is_empty);
    assert_eq!(worker.end(), Some(0));
    frigate.assert_clean();
    frigate.assert_unharmed();
}

fn wait<T: std::fmt::Debug>(what: &str, look: impl Fn() -> T, done: impl Fn(&T) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if done(&seen) {
            return;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}: {seen:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
