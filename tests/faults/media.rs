//! A media folder with very many files.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use serde_json::json;

use super::disk::{SmallDisk, no_mounts, start};
use super::house::{House, wait_for};
use super::trial::{Fault, Trial};

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new(
            "many-files",
            "1 million snapshots under clips/ (20 000 in the short form)",
            many_files,
        )
        .unless(no_mounts)
        .share(0),
    ]
}

/// Whether a folder was read shows in the time of its last access.
fn many_files(trial: &mut Trial) {
    let mut house = House::new();
    let disk = SmallDisk::under(&house, "media", "4g,nr_inodes=2m");
    let clips = house.path("media/clips");
    let count = if trial.long { 1_000_000 } else { 20_000 };
    for n in 0..count {
        File::create(clips.join(format!("front-{}.{n}-abc.jpg", 1_700_000_000 + n))).unwrap();
    }
    let worker = house.worker(&[]);
    wait_for("all of its subscriptions", || worker.log().contains("requests arrive").then_some(()));
    assert_eq!(worker.end(), Some(0));
    forget_reading(&clips);
    let worker = house.worker(&[]);
    wait_for("all of its subscriptions", || {
        (worker.log().matches("requests arrive").count() == 2).then_some(())
    });
    // It waits for its sweep before it leaves.
    assert_eq!(worker.end(), Some(0));
    assert_eq!(last_read(&clips), 0, "a start and a connection read clips/");
    fs::read_dir(&clips).unwrap().next();
    assert_ne!(last_read(&clips), 0, "else the look above could not see a reading");
    trial.came("start and connect do not list it");

    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    house.leave_traces("_replay_front");
    let begin = std::time::Instant::now();
    let response = bus.ask("stop", json!({}));
    assert_eq!(response["status"], "ok", "{response}");
    let answered = begin.elapsed();
    house.check_when_calm();
    let left = fs::read_dir(&clips).unwrap().count();
    assert!(left >= count as usize, "{left} of {count} are left");
    trial.came(format!("stop of {count} answered after {:.1} s", answered.as_secs_f64()));
    worker.kill();
    house.end_here();
    drop((bus, disk));
}

fn forget_reading(folder: &std::path::Path) {
    let set = Command::new("touch").args(["-a", "-d", "@0"]).arg(folder).status();
    assert!(set.unwrap().success());
}

fn last_read(folder: &std::path::Path) -> i64 {
    fs::metadata(folder).unwrap().atime()
}
