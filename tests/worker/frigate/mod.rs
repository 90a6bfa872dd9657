//! A Frigate for tests: its HTTP API as far as a worker uses it, over a config.yml on disk.
//!
//! It behaves as the real one was measured to behave, in 0.18, in 0.17, and (as far as `version`)
//! before; above all it remembers what would have *killed* the real one, or left something behind
//! in it: [`Frigate::assert_unharmed`] fails then. It answers as if nothing had happened, so that a
//! test sees what the worker does of itself.
//!
//! It can be told to fail: to be away ([`Frigate::stop`]), to answer something else or nothing at
//! all ([`Frigate::fail_next`]), before or after it has done what was asked.
//!
//! Nothing here uses the rest of these tests, so that other harnesses can have it, too.

#![allow(dead_code)] // Each test crate that has it uses another part of it.

mod config_file;
mod http;
mod set;
#[cfg(test)]
mod tests;
mod world;

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use serde_json::{Value, json};

pub use http::Answer;
use http::{Request, Server};
use world::{Planned, World, handle, is_replay, lock};

/// Two changes of a camera that are closer than this kill threads of the real one.
pub const KILLING_GAP: Duration = Duration::from_secs(3);

pub const V0_18: &str = "0.18.0-1a2b3c4";
pub const V0_17: &str = "0.17.2-5d6e7f8";
pub const V0_16: &str = "0.16.4-9a8b7c6";

/// How it is set up.
#[derive(Clone, Copy)]
pub struct Setup {
    pub version: &'static str,
    /// With a user and a password it is as on port 8971: nothing without a token.
    pub login: Option<(&'static str, &'static str)>,
    /// With a certificate that it has signed itself: `frigate.pem` beside config.yml.
    pub tls: bool,
}

impl Setup {
    pub const fn of(version: &'static str) -> Self {
        Self { version, login: None, tls: false }
    }
}

/// When a camera shows a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// So long after it was added; 500 before.
    After(Duration),
    /// Never: always 500.
    Never,
    /// Never, but an image that says so, as the real one's container has it.
    ErrorImage,
}

/// How a call fails.
#[derive(Clone)]
pub enum Fault {
    /// The connection is closed.
    Close,
    /// Nothing comes for so long, then the connection is closed.
    Hang(Duration),
    /// Another answer.
    Answer(Answer),
}

impl Fault {
    pub fn status(status: u16) -> Self {
        Self::Answer(match status {
            401 => {
                Answer::new(401, "text/html", "<html><h1>401 Authorization Required</h1></html>")
            }
            403 => Answer::json(403, &json!({"message": "Access denied"})),
            422 => Answer::json(
                422,
                &json!({"detail": [{"type": "missing", "msg": "Field required"}]}),
            ),
            500 => Answer::new(500, "text/plain", "Internal Server Error"),
            503 => Answer::json(503, &set::busy()),
            other => Answer::json(
                other,
                &json!({"success": false, "message": "Error saving config: no"}),
            ),
        })
    }

    /// The page of a proxy that stands where Frigate should.
    pub fn html(status: u16) -> Self {
        let page = "<!doctype html><html><title>Sign in</title><body>Who are you?</body></html>";
        Self::Answer(Answer::new(status, "text/html; charset=utf-8", page))
    }
}

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Call {
    pub at: Instant,
    /// `PUT /api/config/set`
    pub call: String,
    pub body: String,
    /// Of the answer; `None` if the connection was closed.
    pub status: Option<u16>,
}

/// The stand-in itself. It ends when it is dropped.
pub struct Frigate {
    world: Arc<Mutex<World>>,
    server: Option<Server>,
    tls: Option<Arc<ServerConfig>>,
    port: u16,
}

impl Frigate {
    /// Starts one over this config.yml.
    pub fn start(config: &Path, setup: Setup) -> Self {
        let tls = setup.tls.then(|| http::self_signed(config.parent().unwrap()));
        let world = World::of(config, setup);
        let mut frigate = Self { world: Arc::new(Mutex::new(world)), server: None, tls, port: 0 };
        frigate.start_again();
        frigate
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// It ends: connections are refused.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// It starts again, and reads its config.yml, at the same address.
    pub fn start_again(&mut self) {
        self.world().boot();
        let world = Arc::clone(&self.world);
        let handler = Arc::new(move |request: &Request| handle(&world, request));
        let server = Server::start(self.port, self.tls.clone(), handler);
        self.port = server.port;
        self.server = Some(server);
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// What `GET /api/config` says of this camera from now on.
    pub fn set_live(&self, camera: &str, live: Value) {
        self.world().live.insert(camera.to_owned(), live);
    }

    pub fn set_picture(&self, picture: Picture) {
        self.world().picture = picture;
    }

    /// A debug replay of its own, of this camera, or none.
    pub fn set_native_replay(&self, camera: Option<&str>) {
        self.world().native_replay = camera.map(str::to_owned);
    }

    /// How long it waits for the lock of config.yml.
    pub fn set_lock_patience(&self, patience: Duration) {
        self.world().lock_patience = patience;
    }

    /// Holds the lock of config.yml, as another process would, until the file is dropped.
    pub fn hold_lock(&self) -> File {
        let file = set::lock_file(&self.world().config);
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        file
    }

    /// The next `count` calls that begin with `call` (`PUT /api/config/set`) fail, undone.
    pub fn fail_next(&self, call: &'static str, count: usize, fault: Fault) {
        self.world().planned.push(Planned { call, left: count, fault, done_first: false });
    }

    /// The same, but what was asked is done; only the answer gets lost.
    pub fn lose_next_answer(&self, call: &'static str, count: usize, fault: Fault) {
        self.world().planned.push(Planned { call, left: count, fault, done_first: true });
    }

    /// Forgets what was planned to fail.
    pub fn fail_no_more(&self) {
        self.world().planned.clear();
    }

    /// Who has logged in has to do it again.
    pub fn expire_tokens(&self) {
        self.world().tokens.clear();
    }

    pub fn calls(&self) -> Vec<Call> {
        self.world().calls.clone()
    }

    /// How often a call that begins so was made.
    pub fn count(&self, call: &str) -> usize {
        self.world().calls.iter().filter(|made| made.call.starts_with(call)).count()
    }

    /// The replay cameras in its config.yml.
    pub fn replay_cameras(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.world().config).unwrap();
        let names = config_file::cameras(&text);
        names.into_iter().map(|(name, _)| name).filter(|name| is_replay(name)).collect()
    }

    /// A camera as config.yml has it.
    pub fn camera_in_file(&self, name: &str) -> Option<Value> {
        let text = fs::read_to_string(&self.world().config).unwrap();
        config_file::cameras(&text).remove(name)
    }

    /// The replay cameras that detect.
    pub fn running_replay_cameras(&self) -> Vec<String> {
        let world = self.world();
        let running = world.running.iter().filter(|(_, running)| running.enabled);
        running.map(|(name, _)| name.clone()).filter(|name| is_replay(name)).collect()
    }

    /// What would have killed the real one, or left something in it.
    pub fn violations(&self) -> Vec<String> {
        self.world().violations.clone()
    }

    /// Nothing was asked that kills the real one.
    #[track_caller]
    pub fn assert_unharmed(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "{violations:#?}\nafter these calls:\n{}", self.log());
    }

    /// No replay camera stands in its config.yml, and none runs.
    #[track_caller]
    pub fn assert_clean(&self) {
        let (written, running) = (self.replay_cameras(), self.running_replay_cameras());
        assert!(
            written.is_empty() && running.is_empty(),
            "left: {written:?} in config.yml, {running:?} running\nafter these calls:\n{}",
            self.log()
        );
    }

    /// The calls, a line each.
    pub fn log(&self) -> String {
        let calls = self.calls();
        let first = calls.first().map_or_else(Instant::now, |call| call.at);
        let lines = calls.iter().map(|made| {
            let at = (made.at - first).as_secs_f64();
            let status = made.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
            format!("{at:8.3} {} {status} {:.160}", made.call, made.body)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
