//! A house with a Frigate-like folder, a broker and a worker.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;
use tempfile::TempDir;

use super::bus::Bus;

/// Where our topics are in every house.
pub const BASE: &str = "frigate_replay/frigate";

/// How long anything may take before a test gives up: far longer than it ever takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The tables that a replay camera may leave rows in.
pub const TABLES: [&str; 7] =
    ["event", "timeline", "recordings", "reviewsegment", "previews", "regions", "trigger"];

/// Files of other cameras, which nothing may touch.
pub const NEIGHBOURS: [&str; 5] = [
    "clips/front-1700000000.1-abc.jpg",
    "clips/thumbs/front/1700000000.1-abc.webp",
    "clips/previews/yard/1.mp4",
    "clips/review/thumb-front-1700000000.1-abc.webp",
    "exports/front_done.mp4",
];

pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Waits until `done` gives something.
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Six recordings of ten seconds, made once for all tests.
fn footage() -> &'static Path {
    static FOOTAGE: OnceLock<TempDir> = OnceLock::new();
    let dir = FOOTAGE.get_or_init(|| {
        let dir = TempDir::new().unwrap();
        let made = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i"])
            .arg("testsrc2=s=320x180:r=5:d=60")
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p"])
            .args(["-f", "segment", "-segment_time", "10", "-reset_timestamps", "1"])
            .args(["-segment_format_options", "movflags=+faststart"])
            .arg(dir.path().join("%d.mp4"))
            .status()
            .expect("ffmpeg is there");
        assert!(made.success());
        dir
    });
    dir.path()
}

pub struct House {
    pub dir: TempDir,
    pub port: u16,
    broker: Option<Child>,
    /// When the recordings begin and end.
    pub range: (f64, f64),
    broker_config: String,
    /// What the last worker was started with; `None` if there was none yet.
    pub(super) last_args: RefCell<Option<Vec<String>>>,
    /// Why the end of this house is not looked at, if it is not.
    pub(super) unlooked: Cell<Option<&'static str>>,
}

impl House {
    /// A house whose camera `front` was recorded for the last minute, with a broker for everybody.
    pub fn new() -> Self {
        Self::with_broker("allow_anonymous true\n")
    }

    /// The same with these lines in the broker's configuration.
    pub fn with_broker(lines: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let end = now() - 1.0;
        let mut house = Self {
            dir,
            port: free_port(),
            broker: None,
            range: (end - 60.0, end),
            broker_config: String::new(),
            last_args: RefCell::new(None),
            unlooked: Cell::new(None),
        };
        super::bus::forget_accepted(house.port);
        house.furnish();
        house.set_broker(lines);
        house.start_broker();
        house
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn furnish(&self) {
        for folder in ["config", "media", "data", "mosquitto"] {
            fs::create_dir_all(self.path(folder)).unwrap();
        }
        for file in NEIGHBOURS {
            self.touch(file);
        }
        fs::copy(footage().join("0.mp4"), self.path("media/exports/front_done.mp4")).unwrap();
        self.write_config(&self.usual_config());
        let db = self.database();
        db.execute_batch("PRAGMA journal_mode = WAL;").unwrap();
        db.execute_batch(include_str!("../frigate/schema.sql")).unwrap();
        for n in 0..6 {
            let start = self.range.0 + 10.0 * f64::from(n);
            self.add_recording(&db, "front", n, &footage().join(format!("{n}.mp4")), start);
        }
        self.add_export("front_done", "front", "/media/frigate/exports/front_done.mp4", false);
        self.add_rows("front");
    }

    fn add_recording(
        &self,
        db: &Connection,
        camera: &str,
        n: u32,
        video: &Path,
        start: f64,
    ) -> PathBuf {
        let file = format!("recordings/2026-01-01/00/{camera}/{:02}.{:02}.mp4", n / 6, n % 6 * 10);
        self.touch(&file);
        let path = self.path("media").join(&file);
        fs::copy(video, &path).unwrap();
        db.execute(
            "INSERT INTO recordings (id, camera, path, start_time, end_time, duration, segment_size) \
             VALUES (?1, ?2, ?3, ?4, ?5, 10, 0.1)",
            (format!("{camera}-{n}"), camera, format!("/media/frigate/{file}"), start, start + 10.0),
        )
        .unwrap();
        path
    }

    #[allow(dead_code)] // For the benchmark, which shares this file.
    /// `count` recordings of `camera`, all of them `video`, from `begin` on. Gives their files.
    pub fn add_recordings(
        &self,
        camera: &str,
        video: &Path,
        begin: f64,
        count: u32,
    ) -> Vec<PathBuf> {
        let db = self.database();
        (0..count)
            .map(|n| self.add_recording(&db, camera, n, video, begin + 10.0 * f64::from(n)))
            .collect()
    }

    pub fn usual_config(&self) -> String {
        format!(
            "mqtt:\n  host: 127.0.0.1\n  port: {}\ncameras:\n  front:\n    ffmpeg:\n      inputs:\n        \
             - path: rtsp://127.0.0.1/front\n          roles: [detect, record]\n    detect:\n      \
             enabled: true\n      width: 640\n      height: 360\n  yard:\n    ffmpeg:\n      inputs:\n        \
             - path: rtsp://127.0.0.1/yard\n          roles: [detect, record]\n    detect:\n      \
             enabled: true\n      width: 640\n      height: 360\n",
            self.port
        )
    }

    pub fn write_config(&self, text: &str) {
        fs::write(self.path("config/config.yml"), text).unwrap();
    }

    pub fn database(&self) -> Connection {
        let db = Connection::open(self.path("config/frigate.db")).unwrap();
        db.busy_timeout(PATIENCE).unwrap();
        db
    }

    pub fn add_export(&self, id: &str, camera: &str, path: &str, in_progress: bool) {
        self.database()
            .execute(
                "INSERT INTO export (id, camera, name, date, video_path, thumb_path, in_progress) \
                 VALUES (?1, ?2, 'n', 1700000000, ?3, '', ?4)",
                (id, camera, path, in_progress),
            )
            .unwrap();
    }

    /// A row of `camera` in each of the tables.
    pub fn add_rows(&self, camera: &str) {
        self.database()
            .execute_batch(&format!(
                "INSERT OR IGNORE INTO recordings (id, camera, path, start_time, end_time, duration, segment_size) VALUES ('{camera}-r', '{camera}', '/{camera}', 1, 2, 1, 0.1);
                 INSERT OR IGNORE INTO regions (camera, last_update) VALUES ('{camera}', 0);
                 INSERT OR IGNORE INTO trigger (camera, name, type, model, data) VALUES ('{camera}', 'n', 't', 'm', 'd');
                 INSERT OR IGNORE INTO timeline (timestamp, camera, source, class_type) VALUES (0, '{camera}', 's', 'c');
                 INSERT OR IGNORE INTO previews (id, camera, path, start_time, end_time, duration) VALUES ('{camera}-p', '{camera}', '', 0, 0, 0);
                 INSERT OR IGNORE INTO reviewsegment (id, camera, start_time, severity, thumb_path, data) VALUES ('{camera}-v', '{camera}', 0, '', '', '');
                 INSERT OR IGNORE INTO event (id, label, camera, start_time, zones, has_clip, has_snapshot, retain_indefinitely, data) VALUES ('{camera}-e', '', '{camera}', 0, '', 0, 0, 0, '');"
            ))
            .unwrap();
    }

    /// A file of the media folder.
    pub fn touch(&self, file: &str) {
        let path = self.path("media").join(file);
        // A sweep may take the folder away in between.
        wait_for("a file of the media folder", || {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"x").ok()
        });
    }

    /// Everything that a replay of `camera` leaves when it has detected something. What names the
    /// camera comes last, or a sweep in between would find it and look for the rest too early.
    pub fn leave_traces(&self, camera: &str) {
        for file in [
            format!("clips/{camera}-1700000000.1-abc.jpg"),
            format!("clips/{camera}-1700000000.1-abc-clean.webp"),
            format!("clips/review/thumb-{camera}-1700000000.1-abc.webp"),
            format!("clips/thumbs/{camera}/1.webp"),
            format!("clips/previews/{camera}/1.mp4"),
            format!("clips/{camera}/x.jpg"),
            format!("recordings/{camera}/x.mp4"),
        ] {
            self.touch(&file);
        }
        self.add_rows(camera);
    }

    // The broker.

    pub fn start_broker(&mut self) {
        let config = self.path("mosquitto/mosquitto.conf");
        fs::write(&config, &self.broker_config).unwrap();
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        self.broker = Some(command.spawn().expect("mosquitto is there"));
        let port = self.port;
        wait_for("the broker", || TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// The broker's further configuration, from its next start on.
    pub fn set_broker(&mut self, lines: &str) {
        self.broker_config = format!(
            "listener {} 127.0.0.1\nset_tcp_nodelay true\npersistence true\n\
             persistence_location {}/\nuser root\n{lines}",
            self.port,
            self.path("mosquitto").display(),
        );
    }

    /// The broker's whole configuration, from its next start on.
    pub fn set_whole_broker(&mut self, config: impl FnOnce(&Self) -> String) {
        self.broker_config = config(self);
    }

    /// Ends the broker as an administrator would: it stores what it retains.
    pub fn stop_broker(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            terminate(&broker);
            broker.wait().unwrap();
        }
    }

    pub fn kill_broker(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            broker.kill().unwrap();
            broker.wait().unwrap();
        }
    }

    /// Whether whoever comes may connect and see everything.
    pub(super) fn is_open(&self) -> bool {
        self.broker_config.contains("allow_anonymous true")
            && !self.broker_config.contains("require_certificate")
    }

    pub(super) fn broker_runs(&self) -> bool {
        self.broker.is_some()
    }

    /// The broker loses everything that it stored.
    pub fn forget_broker_store(&self) {
        let _ = fs::remove_file(self.path("mosquitto/mosquitto.db"));
    }

    pub fn bus(&self) -> Bus {
        Bus::connect(self.port, None)
    }

    // The worker.

    pub fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        for (name, value) in [
            ("--frigate-config", self.path("config/config.yml")),
            ("--media-dir", self.path("media")),
            ("--data-dir", self.path("data")),
        ] {
            flags.extend([name.to_owned(), value.display().to_string()]);
        }
        flags
    }

    /// A command of the binary, with this house's settings.
    pub fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_frigate-replay"));
        command.arg(name).args(args).args(self.flags());
        for (name, _) in std::env::vars() {
            if name.starts_with("FRIGATE_") {
                command.env_remove(name);
            }
        }
        command
    }

    pub fn output(&self, name: &str, args: &[&str]) -> Output {
        self.command(name, args).output().unwrap()
    }

    /// Starts a worker and waits until it is online.
    pub fn worker(&self, args: &[&str]) -> Worker {
        let mut bus = self.bus();
        let worker = self.worker_unwaited(args);
        bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "online");
        worker
    }

    pub fn worker_unwaited(&self, args: &[&str]) -> Worker {
        self.worker_in(args, &[])
    }

    /// The same with these environment variables.
    pub fn worker_in(&self, args: &[&str], env: &[(&str, &str)]) -> Worker {
        *self.last_args.borrow_mut() = Some(args.iter().map(|arg| arg.to_string()).collect());
        let log = self.path("worker.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = self.command("run", args);
        command.envs(env.iter().copied());
        command.env("RUST_LOG", "info,frigate_replay=debug").stdout(Stdio::null()).stderr(file);
        Worker { child: command.spawn().unwrap(), log }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let end = || {
            if !std::thread::panicking() {
                self.end();
            }
        };
        // Whatever it found, no broker stays behind.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(end));
        self.kill_broker();
        if let Err(found) = ended {
            std::panic::resume_unwind(found);
        }
    }
}

/// A worker's process.
pub struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and gives its exit code.
    pub fn end(mut self) -> Option<i32> {
        terminate(&self.child);
        self.child.wait().unwrap().code()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = File::open(&self.log).unwrap();
            let lines: Vec<String> = BufReader::new(log).lines().map_while(Result::ok).collect();
            let from = lines.len().saturating_sub(60);
            eprintln!("--- the worker's log ends ---\n{}", lines[from..].join("\n"));
        }
    }
}

/// SIGTERM, to a child that is still ours.
fn terminate(child: &Child) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
