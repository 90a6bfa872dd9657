//! What the stand-in is made of inside, and how it answers.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use frigate_replay::frigate::{Env, FrigateConfig};
use serde_json::{Map, Value, json};

use super::http::{Answer, Reply, Request};
use super::{Call, Fault, Picture, Setup, config_file, set};

/// How long its nginx keeps an answer.
const CACHE: Duration = Duration::from_secs(5);

pub struct Planned {
    /// What the call begins with: `PUT /api/config/set`.
    pub call: &'static str,
    pub left: usize,
    pub fault: Fault,
    /// Whether what was asked is done before it fails.
    pub done_first: bool,
}

/// A camera with its processes.
pub struct Running {
    pub since: Instant,
    pub enabled: bool,
}

/// What the handlers share.
pub struct World {
    pub setup: Setup,
    pub config: PathBuf,
    /// The cameras that the API knows: those of the file when it last read it.
    pub known: Map<String, Value>,
    pub running: BTreeMap<String, Running>,
    /// When a camera was last added or removed.
    pub changed: HashMap<String, Instant>,
    /// What `GET /api/config` says of a camera, where a test says it.
    pub live: Map<String, Value>,
    pub native_replay: Option<String>,
    pub picture: Picture,
    pub lock_patience: Duration,
    pub cache: HashMap<String, (Instant, Answer)>,
    pub tokens: Vec<String>,
    pub logins: usize,
    pub planned: Vec<Planned>,
    pub calls: Vec<Call>,
    pub violations: Vec<String>,
}

pub fn is_replay(camera: &str) -> bool {
    camera.starts_with("_replay_")
}

pub fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn handle(world: &Mutex<World>, request: &Request) -> Reply {
    let call = format!("{} {}", request.method, request.path);
    let at = Instant::now();
    let planned = lock(world).take_planned(&call);
    let answer = match planned {
        Some((_, false)) => None,
        _ => Some(answer(world, request)),
    };
    let reply = match planned {
        None => answer.map_or(Reply::Close, Reply::Answer),
        Some((Fault::Answer(answer), _)) => Reply::Answer(answer),
        Some((Fault::Close, _)) => Reply::Close,
        Some((Fault::Hang(time), _)) => {
            std::thread::sleep(time);
            Reply::Close
        }
    };
    let status = match &reply {
        Reply::Answer(answer) => Some(answer.status),
        Reply::Close => None,
    };
    let call = Call { at, call, body: request.body.clone(), status };
    lock(world).calls.push(call);
    reply
}

fn answer(world: &Mutex<World>, request: &Request) -> Answer {
    let is_change = request.method != "GET";
    let mut now = lock(world);
    if let Some(refusal) = now.refusal(request) {
        return refusal;
    }
    // Only a browser sends an origin.
    let is_forged = request.header("origin").is_some() && request.header("x-csrf-token").is_none();
    if is_change && is_forged {
        return failure(401, "Missing CSRF header");
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/api/version") => Answer::new(200, "text/plain; charset=utf-8", now.setup.version),
        ("POST", "/api/login") => now.log_in(request),
        ("GET", "/api/config/raw") => {
            let text = fs::read_to_string(&now.config).unwrap();
            Answer::new(200, "text/plain; charset=utf-8", json!(text).to_string())
        }
        ("GET", "/api/config") => now.cached(request, World::whole_config),
        ("GET", "/api/stats") => now.cached(request, |_| json!({"cameras": {}})),
        ("GET", "/api/debug_replay/status") if now.setup.version >= "0.18" => {
            now.cached(request, World::replay_status)
        }
        ("PUT", "/api/config/set") => {
            drop(now);
            set::set(world, request)
        }
        ("GET", path) => {
            match path.strip_prefix("/api/").and_then(|p| p.strip_suffix("/latest.jpg")) {
                Some(camera) => now.latest(camera),
                None => not_found(),
            }
        }
        _ => not_found(),
    }
}

fn not_found() -> Answer {
    Answer::json(404, &json!({"detail": "Not Found"}))
}

pub fn failure(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({"success": false, "message": message}))
}

impl World {
    pub fn of(config: &Path, setup: Setup) -> Self {
        Self {
            setup,
            config: config.to_owned(),
            known: Map::new(),
            running: BTreeMap::new(),
            changed: HashMap::new(),
            live: Map::new(),
            native_replay: None,
            picture: Picture::After(Duration::from_millis(300)),
            lock_patience: Duration::from_secs(5),
            cache: HashMap::new(),
            tokens: Vec::new(),
            logins: 0,
            planned: Vec::new(),
            calls: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub fn boot(&mut self) {
        let text = fs::read_to_string(&self.config).unwrap();
        self.known = config_file::cameras(&text);
        self.native_replay = None;
        self.cache.clear();
        self.changed.clear();
        let now = Instant::now();
        let running = |camera: &Value| Running { since: now, enabled: camera["enabled"] != false };
        self.running =
            self.known.iter().map(|(name, camera)| (name.clone(), running(camera))).collect();
    }

    pub fn is_0_17(&self) -> bool {
        self.setup.version.starts_with("0.17")
    }

    pub fn violate(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    fn take_planned(&mut self, call: &str) -> Option<(Fault, bool)> {
        let planned = &mut self.planned;
        let at = planned.iter().position(|plan| plan.left > 0 && call.starts_with(plan.call))?;
        planned[at].left -= 1;
        Some((planned[at].fault.clone(), planned[at].done_first))
    }

    /// The answer to who has no token, where one is needed.
    fn refusal(&self, request: &Request) -> Option<Answer> {
        self.setup.login?;
        if matches!(request.path.as_str(), "/api/version" | "/api/login") {
            return None;
        }
        let bearer =
            request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let cookies = request.header("cookie").into_iter().flat_map(|cookies| cookies.split("; "));
        let mut given = cookies.filter_map(|cookie| cookie.strip_prefix("frigate_token="));
        let is_known = |token: &str| self.tokens.iter().any(|known| known == token);
        let is_in = bearer.is_some_and(is_known) || given.any(is_known);
        let page = "<html><head><title>401 Authorization Required</title></head></html>";
        (!is_in).then(|| Answer::new(401, "text/html", page))
    }

    fn log_in(&mut self, request: &Request) -> Answer {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        match self.setup.login {
            Some((user, password)) if body["user"] == user && body["password"] == password => {
                self.logins += 1;
                let token = format!("eyJ.test.{}", self.logins);
                let cookie =
                    format!("frigate_token={token}; HttpOnly; Max-Age=86400; Path=/; SameSite=lax");
                self.tokens.push(token);
                Answer::new(200, "text/plain", "").with("set-cookie", cookie)
            }
            _ => Answer::json(401, &json!({"message": "Login failed"})),
        }
    }

    /// The answer of nginx: up to five seconds old, unless the request goes around that.
    fn cached(&mut self, request: &Request, make: impl FnOnce(&Self) -> Value) -> Answer {
        let url = format!("{}?{}", request.path, request.query.as_deref().unwrap_or_default());
        let bypass = request.header("x-cache-bypass") == Some("1");
        if !bypass {
            self.violate(format!(
                "GET {} without X-Cache-Bypass: what it says may be old",
                request.path
            ));
            if let Some((at, answer)) = self.cache.get(&url)
                && at.elapsed() < CACHE
            {
                return answer.clone().with("x-cache-status", "HIT");
            }
        }
        let answer = Answer::json(200, &make(self));
        self.cache.insert(url, (Instant::now(), answer.clone()));
        answer.with("x-cache-status", if bypass { "BYPASS" } else { "MISS" })
    }

    /// `GET /api/config`: what the API knows, resolved.
    fn whole_config(&self) -> Value {
        let text = fs::read_to_string(&self.config).unwrap();
        let file = config_file::values(&text).unwrap_or_default();
        let mut cameras: Map<String, Value> = self
            .known
            .iter()
            .map(|(name, written)| {
                let live = self.live.get(name).cloned();
                (name.clone(), live.unwrap_or_else(|| resolved(&text, name, written)))
            })
            .collect();
        if let Some(camera) = &self.native_replay {
            cameras
                .insert(format!("_replay_{camera}"), json!({"name": format!("_replay_{camera}")}));
        }
        let mqtt = |key: &str, preset: &str| {
            file["mqtt"].get(key).cloned().unwrap_or_else(|| json!(preset))
        };
        json!({
            "version": file["version"],
            "mqtt": {"topic_prefix": mqtt("topic_prefix", "frigate"), "client_id": mqtt("client_id", "frigate")},
            "cameras": cameras,
        })
    }

    fn replay_status(&self) -> Value {
        let active = self.native_replay.is_some();
        json!({
            "active": active,
            "replay_camera": self.native_replay.as_ref().map(|camera| format!("_replay_{camera}")),
            "source_camera": self.native_replay,
            "start_time": active.then_some(1.0), "end_time": active.then_some(2.0),
            "live_ready": active,
        })
    }

    fn latest(&self, camera: &str) -> Answer {
        let Some(known) = self.known.get(camera) else {
            return failure(404, "Camera not found");
        };
        let running = self.running.get(camera).filter(|running| running.enabled);
        let is_shown = match self.picture {
            Picture::After(time) => running.is_some_and(|running| running.since.elapsed() >= time),
            Picture::Never | Picture::ErrorImage => false,
        };
        let side = |key: &str, preset: u16| {
            known["detect"][key].as_u64().and_then(|side| side.try_into().ok()).unwrap_or(preset)
        };
        match self.picture {
            _ if is_shown => {
                Answer::new(200, "image/jpeg", jpeg(side("width", 1280), side("height", 720)))
            }
            Picture::ErrorImage => Answer::new(200, "image/jpeg", jpeg(1000, 500))
                .with("cache-control", "no-store")
                .with("x-frigate-offline", "true"),
            _ => failure(500, "Unable to get valid frame"),
        }
    }
}

/// The head of a JPEG of this size.
fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xc0, 0, 11, 8];
    bytes.extend(height.to_be_bytes());
    bytes.extend(width.to_be_bytes());
    bytes.extend([1, 1, 0x11, 0, 0xff, 0xd9]);
    bytes
}

/// A camera as `GET /api/config` shows it: resolved, without nulls, with what is secret masked.
fn resolved(text: &str, name: &str, written: &Value) -> Value {
    let config = FrigateConfig::parse(text).ok();
    let replay =
        config.and_then(|c| c.replay_camera(&Env::default(), name, "/clip.mp4", None).ok());
    let mut camera = replay.map_or_else(|| written.clone(), |replay| replay.camera_config);
    drop_nulls(&mut camera);
    camera["name"] = json!(name);
    camera["enabled"] = json!(written["enabled"] != false);
    camera["ffmpeg"] =
        json!({"inputs": [{"path": "rtsp://*:*@127.0.0.1/x", "roles": ["detect", "record"]}]});
    camera["ffmpeg_cmds"] = json!([]);
    camera
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}
