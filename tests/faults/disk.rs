//! The disk is full or read-only; files are gone, cut or garbled.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde_json::{Value, json};

use super::bus::Bus;
use super::house::{BASE, House, wait_for};
use super::requester::Requester;
use super::trial::{Fault, Trial};

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new("data-full", "no space left where the session is saved", data_full)
            .unless(no_mounts)
            .share(2),
        Fault::new(
            "media-full",
            "no space left for the clip, before and in the middle",
            media_full,
        )
        .unless(no_mounts),
        Fault::new("media-read-only", "the media folder is read-only for a while", media_read_only)
            .unless(no_mounts),
        Fault::new("data-read-only", "the data folder is read-only for a while", data_read_only)
            .unless(no_mounts),
        Fault::new("clip-lost", "the clip of a live session is deleted", clip_lost),
        Fault::new("recordings-lost", "recordings cut or deleted in mid-copy", recordings_lost)
            .share(2),
        Fault::new("store-damaged", "the saved session garbled, cut, of a newer version", damaged)
            .share(3),
    ]
}

const NAMESPACE: &str = "FAULTS_IN_A_NAMESPACE";

/// Runs this program again where its mounts are nobody else's, if that is allowed. Gives what
/// became of it.
pub fn in_a_mount_namespace_of_our_own() -> Option<ExitCode> {
    if std::env::var_os(NAMESPACE).is_some() {
        return None;
    }
    let may =
        Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !may.is_ok_and(|may| may.status.success()) {
        return None;
    }
    let status = Command::new("unshare")
        .args(["-m", "--propagation", "private"])
        .arg(std::env::current_exe().expect("a program has a path"))
        .args(std::env::args_os().skip(1))
        .env(NAMESPACE, "1")
        .status()
        .expect("it could be started a moment ago");
    Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub fn no_mounts() -> Option<String> {
    let none = std::env::var_os(NAMESPACE).is_none();
    none.then(|| "this user may not mount anything".to_owned())
}

/// A folder of a house on a small disk of its own.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Moves folder `name` of the house onto it.
    pub fn under(house: &House, name: &str, size: &str) -> Self {
        let (path, aside) = (house.path(name), house.path(&format!("{name}.aside")));
        fs::rename(&path, &aside).unwrap();
        fs::create_dir(&path).unwrap();
        let size = format!("size={size}");
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", path.to_str().unwrap()]);
        run("cp", &["-a", &format!("{}/.", aside.display()), path.to_str().unwrap()]);
        fs::remove_dir_all(aside).unwrap();
        Self(path)
    }

    /// Fills it up but for so many bytes.
    pub fn fill(&self, but: u64) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        let block = [0u8; 4096];
        while file.write(&block).is_ok_and(|written| written > 0) {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(but)).unwrap();
    }

    pub fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }

    pub fn read_only(&self, read_only: bool) {
        let how = if read_only { "remount,ro" } else { "remount,rw" };
        wait_for("the remount", || {
            let path = self.0.to_str().unwrap();
            let output = Command::new("mount").args(["-o", how, path]).output().unwrap();
            output.status.success().then_some(())
        });
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

pub fn start(house: &House) -> Value {
    json!({"camera": "front", "start_time": house.range.0, "end_time": house.range.1})
}

fn data_full(trial: &mut Trial) {
    let mut house = House::new();
    let disk = SmallDisk::under(&house, "data", "4m");
    house.worker(&[]).kill();
    let mut requester = Requester::new(&house);
    let mut worker = house.worker(&[]);
    requester.do_anything(&mut trial.random, &house);
    trial.random.wait_below(30);
    let but = trial.random.below(3) * 8192;
    disk.fill(but);
    // A session writes some 30 kB, and the store has room for some in what it holds already.
    for _ in 0..100 {
        requester.start();
        trial.random.wait_below(20);
        requester.stop();
        trial.random.wait_below(20);
        if !worker.is_running() {
            break;
        }
    }
    let outcome = if worker.is_running() { "went on" } else { "ended, saying why" };
    if !worker.is_running() {
        let log = worker.log();
        assert!(log.contains("the session store"), "why did it end? {log:.2000}");
    }
    worker.kill();
    // As a container would: again and again, until there is room.
    for _ in 0..2 {
        let worker = house.worker_unwaited(&[]);
        trial.random.wait_below(300);
        worker.kill();
    }
    disk.free();
    let worker = house.worker(&[]);
    house.check_when_calm();
    requester.check();
    worker.kill();
    trial.came(outcome);
    let aside = fs::read_dir(house.path("data")).unwrap().flatten();
    let aside = aside.filter(|e| e.file_name().to_string_lossy().contains("damaged")).count();
    assert_eq!(aside, 0, "a full disk is no damage");
    house.end_here();
}

fn media_full(trial: &mut Trial) {
    let mut house = House::new();
    let disk = SmallDisk::under(&house, "media", "16m");
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    // What is asked for is the clip and 1.2 hours of recordings beside it.
    for but in [0, 64 << 10, 512 << 10, trial.random.below(3 << 20)] {
        disk.fill(but);
        let response = bus.ask("start", start(&house));
        assert_eq!(response["status"], "ok", "{response}");
        let event = bus.wait_topic("event", |event| {
            event["event_type"] == "failed" || event["event_type"] == "live"
        });
        if event["event_type"] == "failed" {
            let why = event["message"].as_str().unwrap();
            assert!(why.contains("free") || why.contains("space"), "{why}");
            trial.came("refused");
        } else {
            bus.ask("stop", json!({}));
            trial.came("fitted");
        }
        disk.free();
        house.check_when_calm();
    }
    drop((bus, worker));
    full_in_the_middle(trial, &house, &disk);
    house.ends_with(&[]);
    house.end_here();
}

fn full_in_the_middle(trial: &mut Trial, house: &House, disk: &SmallDisk) {
    let ffmpeg = script(house, "exec ffmpeg -readrate 20 \"$@\"");
    let mut bus = house.bus();
    let worker = house.worker_unwaited(&["--clip-engine", "ffmpeg", "--ffmpeg", &ffmpeg]);
    bus.wait("online", |message| message.payload == "online" && !message.retain);
    bus.ask("start", start(house));
    bus.wait_topic("job_state", |job| {
        job["debug_replay"]["results"]["progress_percent"].as_f64() > Some(0.0)
    });
    disk.fill(0);
    bus.wait_topic("event", |event| event["event_type"] == "failed");
    disk.free();
    house.check_when_calm();
    worker.kill();
    trial.came("full in the middle");
}

/// A program that is run instead of ffmpeg.
pub fn script(house: &House, text: &str) -> String {
    let path = house.path("fake-ffmpeg");
    // Written beside and renamed: one that just runs cannot be written to.
    let new = house.path("fake-ffmpeg.new");
    fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, &path).unwrap();
    path.display().to_string()
}

fn media_read_only(trial: &mut Trial) {
    let mut house = House::new();
    let disk = SmallDisk::under(&house, "media", "16m");
    let worker = house.worker(&["--watchdog-interval", "100ms"]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    house.leave_traces("_replay_front");
    disk.read_only(true);
    let response = bus.ask("stop", json!({}));
    assert_eq!(response["status"], "ok", "the session is not held back: {response}");
    assert_eq!(bus.ask("start", start(&house))["status"], "ok");
    bus.wait_topic("event", |event| event["event_type"] == "failed");
    if trial.random.once_in(2) {
        worker.kill();
        disk.read_only(false);
        let worker = house.worker(&[]);
        house.check_when_calm();
        worker.kill();
    } else {
        disk.read_only(false);
        house.check_when_calm();
        worker.kill();
    }
    house.end_here();
    trial.came("taken away later");
}

fn data_read_only(trial: &mut Trial) {
    let mut house = House::new();
    let disk = SmallDisk::under(&house, "data", "16m");
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    worker.kill();
    disk.read_only(true);
    let output = house.output("run", &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("ead-only") && said.contains("data"), "{said}");
    disk.read_only(false);
    let worker = house.worker(&[]);
    house.check_when_calm();
    assert_eq!(bus.ask("stop", json!({}))["status"], "ok", "it is live again");
    worker.kill();
    house.end_here();
    trial.came("left, saying why");
}

fn clip_lost(trial: &mut Trial) {
    let house = House::new();
    let worker = house.worker(&["--watchdog-interval", "50ms"]);
    let mut bus = house.bus();
    for _ in 0..if trial.long { 10 } else { 3 } {
        bus.ask("start", start(&house));
        bus.wait_phase("live");
        trial.random.wait_below(60);
        fs::remove_file(house.path("media/frigate-replay/_replay_front.mp4")).unwrap();
        bus.wait_status("failed");
        house.check_when_calm();
        trial.came("failed, saying why");
    }
    drop(worker);
}

fn recordings_lost(trial: &mut Trial) {
    let house = House::new();
    let folder = house.path("media/recordings/2026-01-01/00/front");
    let whole: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    for _ in 0..if trial.long { 20 } else { 6 } {
        let seed = trial.random.next();
        let files = whole.clone();
        let vandal = std::thread::spawn(move || vandalise(&files, seed));
        let response = bus.ask("start", start(&house));
        assert_eq!(response["status"], "ok", "{response}");
        let event = bus.wait_topic("event", |event| {
            event["event_type"] == "failed" || event["event_type"] == "live"
        });
        vandal.join().unwrap();
        if event["event_type"] == "live" {
            let session = bus.last("session");
            let warned = session["warnings"].as_array().is_some_and(|w| !w.is_empty());
            trial.came(if warned { "without the lost ones" } else { "whole" });
            house.check_when_calm();
            bus.ask("stop", json!({}));
        } else {
            trial.came("failed, saying why");
        }
        house.check_when_calm();
        for (path, content) in &whole {
            fs::write(path, content).unwrap();
        }
    }
    drop(worker);
}

/// Cuts and deletes recordings, as Frigate does when the disk is nearly full.
fn vandalise(files: &[(PathBuf, Vec<u8>)], seed: u64) {
    let mut random = super::trial::Random(seed);
    random.wait_below(15);
    for _ in 0..random.below(7) {
        let (path, content) = random.one_of(files);
        match random.below(3) {
            0 => drop(fs::remove_file(path)),
            1 => cut(path, random.below(content.len() as u64)),
            _ => cut(path, 0),
        }
        std::thread::sleep(Duration::from_micros(random.below(2000)));
    }
}

fn cut(path: &Path, length: u64) {
    if let Ok(file) = File::options().write(true).open(path) {
        let _ = file.set_len(length);
    }
}

fn damaged(trial: &mut Trial) {
    let house = House::new();
    for _ in 0..if trial.long { 12 } else { 6 } {
        let worker = house.worker(&[]);
        let mut bus = house.bus();
        for _ in 0..trial.random.below(3) {
            bus.ask("start", start(&house));
            trial.random.wait_below(30);
            bus.ask("stop", json!({}));
        }
        bus.ask("start", start(&house));
        trial.random.wait_below(60);
        worker.kill();
        let how = damage(&house.path("data/session"), trial);
        house.forget_accepted();
        let mut worker = house.worker_unwaited(&[]);
        wait_for("online", || {
            assert!(worker.is_running(), "it does not start ({how}): {}", tail(&worker.log()));
            let retained = house.bus().retained();
            let online = retained.get(&format!("{BASE}/available"));
            (online.map(String::as_str) == Some("online")).then_some(())
        });
        house.check_when_calm();
        trial.came(how);
        stop_if_active(&mut bus, &house);
        worker.kill();
    }
}

fn stop_if_active(bus: &mut Bus, house: &House) {
    bus.ask("stop", json!({}));
    house.check_when_calm();
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Damages a store's folder in one of many ways, and says which.
fn damage(folder: &Path, trial: &mut Trial) -> &'static str {
    let random = &mut trial.random;
    let db = folder.join("db");
    let mut content = fs::read(&db).unwrap();
    // What sled never wrote to is of no interest.
    let used = content.iter().rposition(|byte| *byte != 0).map_or(1, |last| last as u64 + 1);
    match random.below(7) {
        0 => {
            let at = random.below(used) as usize;
            content[at] ^= 1 << random.below(8);
            fs::write(&db, content).unwrap();
            "a bit turned"
        }
        1 => {
            for _ in 0..200 {
                let at = random.below(used) as usize;
                content[at] = random.next() as u8;
            }
            fs::write(&db, content).unwrap();
            "garbled"
        }
        2 => {
            content.truncate(random.below(used) as usize);
            fs::write(&db, content).unwrap();
            "cut"
        }
        3 => {
            let at = random.below(used) as usize;
            content[at..].fill(0);
            fs::write(&db, content).unwrap();
            "zeros at the end"
        }
        4 => {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                if entry.file_name().to_string_lossy().starts_with("snap.") {
                    fs::write(entry.path(), b"garbage").unwrap();
                }
            }
            "snapshot garbled"
        }
        5 => {
            let name = *random.one_of(&["db", "conf"]);
            fs::remove_file(folder.join(name)).unwrap();
            "a file gone"
        }
        _ => {
            // Opened as the worker does, or sled would take the file for another's.
            let store = sled::Config::new().path(folder).flush_every_ms(None).open().unwrap();
            store.insert("schema", "999").unwrap();
            store.flush().unwrap();
            "of a newer version"
        }
    }
}
