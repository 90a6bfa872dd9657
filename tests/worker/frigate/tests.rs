//! The stand-in itself: what it says, and that it notices what would have killed the real one.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const CONFIG: &str = "mqtt:\n  host: x\n\ncameras:\n  # The door.\n  front:\n    ffmpeg:\n      inputs:\n        \
                      - path: rtsp://a\n          roles: [detect]\n  yard: # behind\n    ffmpeg: {inputs: [{path: b}]}\n\n\
                      # Last.\nversion: 0.18-0\n";

struct Scene {
    folder: TempDir,
    frigate: Frigate,
}

impl Scene {
    fn of(version: &'static str) -> Self {
        Self::with(Setup::of(version), CONFIG)
    }

    fn with(setup: Setup, config: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let frigate = Frigate::start(&path, setup);
        Self { folder, frigate }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.folder.path().join("config.yml")).unwrap()
    }

    /// Status, head and body; `None` if there is no answer.
    fn raw(
        &self,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> Option<(u16, String, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.frigate.port)).ok()?;
        let length = body.len();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nhost: frigate\r\nconnection: close\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, head.to_owned(), body.to_owned()))
    }

    fn get(&self, target: &str) -> (u16, String) {
        let (status, _, body) = self.raw("GET", target, "x-cache-bypass: 1\r\n", "").unwrap();
        (status, body)
    }

    fn put(&self, body: &Value) -> (u16, Value) {
        let headers = "content-type: application/json\r\n";
        let (status, _, body) =
            self.raw("PUT", "/api/config/set", headers, &body.to_string()).unwrap();
        let json = serde_json::from_str(&body);
        (status, json.unwrap_or_else(|_| json!({ "text": body })))
    }

    fn add(&self) -> u16 {
        self.put(&add()).0
    }

    fn remove(&self) -> u16 {
        self.put(&remove()).0
    }

    /// What there is to complain about, which must be one thing that says this.
    #[track_caller]
    fn complains(&self, of: &str) {
        let violations = self.frigate.violations();
        assert!(matches!(&violations[..], [one] if one.contains(of)), "{violations:?}");
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.frigate.assert_unharmed()
        }));
        assert!(failed.is_err());
    }

    /// A camera's last change is long ago.
    fn wait_out_the_gap(&self) {
        self.frigate.world().changed.clear();
    }
}

fn set(camera: Value, topic: Option<&str>) -> Value {
    let topic = topic.map(|what| format!("config/cameras/_replay_front/{what}"));
    json!({"requires_restart": 0, "update_topic": topic,
           "config_data": {"cameras": {"_replay_front": camera}}})
}

fn add() -> Value {
    let camera = json!({"enabled": true, "detect": {"fps": 5, "width": 640, "height": 360},
        "ffmpeg": {"inputs": [{"path": "/clip.mp4", "roles": ["detect"]}], "hwaccel_args": []}});
    set(camera, Some("add"))
}

fn remove() -> Value {
    set(Value::Null, Some("remove"))
}

fn switch_off() -> Value {
    set(json!({"enabled": false}), Some("enabled"))
}

fn delete() -> Value {
    json!({"requires_restart": 1, "config_data": {"cameras": {"_replay_front": ""}}})
}

#[test]
fn a_camera_comes_and_goes_in_0_18_and_the_file_is_as_before() {
    let scene = Scene::of(V0_18);
    assert_eq!(scene.get("/api/version"), (200, V0_18.to_owned()));
    scene.frigate.set_picture(Picture::After(Duration::ZERO));
    assert_eq!(scene.get("/api/_replay_front/latest.jpg").0, 404);
    let (status, answer) = scene.put(&add());
    assert_eq!((status, &answer["message"]), (200, &json!("Config successfully updated")));
    assert_eq!(scene.frigate.running_replay_cameras(), ["_replay_front"]);
    assert_eq!(scene.frigate.replay_cameras(), ["_replay_front"]);
    let (_, config) = scene.get("/api/config");
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["cameras"]["_replay_front"]["detect"]["fps"], 5);
    assert_eq!(config["cameras"]["front"]["detect"]["width"], 1280);
    assert_eq!(scene.get("/api/_replay_front/latest.jpg").0, 200);
    let raw: String = serde_json::from_str(&scene.get("/api/config/raw").1).unwrap();
    assert_eq!(raw, scene.text());
    scene.wait_out_the_gap();
    assert_eq!(scene.remove(), 200);
    assert_eq!(scene.text(), CONFIG);
    scene.frigate.assert_clean();
    scene.frigate.assert_unharmed();
    assert_eq!(scene.frigate.count("PUT /api/config/set"), 2);
}

#[test]
fn a_camera_comes_and_goes_in_0_17() {
    let scene = Scene::of(V0_17);
    scene.frigate.set_picture(Picture::After(Duration::ZERO));
    assert_eq!(scene.add(), 200);
    assert_eq!(scene.get("/api/_replay_front/latest.jpg").0, 200);
    assert_eq!(scene.put(&switch_off()).0, 200);
    assert_eq!(scene.get("/api/_replay_front/latest.jpg").0, 500);
    let (status, answer) = scene.put(&delete());
    assert_eq!(status, 200);
    assert_eq!(answer["message"], "Config successfully updated, restart to apply");
    assert_eq!(scene.text(), CONFIG);
    let knows = |scene: &Scene| scene.get("/api/config").1.contains("_replay_front");
    assert!(knows(&scene), "until it is restarted");
    let mut scene = scene;
    scene.frigate.restart();
    assert!(!knows(&scene));
    scene.frigate.assert_clean();
    scene.frigate.assert_unharmed();
    assert_eq!(scene.get("/api/debug_replay/status").0, 404);
}

#[test]
fn a_restart_starts_what_stands_in_the_file() {
    let mut scene = Scene::of(V0_18);
    scene.add();
    scene.frigate.stop();
    assert!(TcpStream::connect(("127.0.0.1", scene.frigate.port)).is_err());
    scene.frigate.start_again();
    assert_eq!(scene.frigate.running_replay_cameras(), ["_replay_front"]);
    assert_eq!(scene.remove(), 200);
    scene.frigate.assert_unharmed();
    scene.frigate.assert_clean();
}

#[test]
fn what_deletes_nothing_is_refused_and_noted() {
    for version in [V0_18, V0_17] {
        let scene = Scene::of(version);
        assert_eq!(
            scene.put(&delete()),
            (500, json!({"success": false, "message": "Error updating config"}))
        );
        assert_eq!(scene.text(), CONFIG);
        scene.complains("_replay_front is deleted, but is not there");
    }
    let scene = Scene::of(V0_17);
    scene.add();
    assert_eq!(scene.put(&set(Value::Null, None)).0, 400, "null deletes nothing in 0.17");
    // Within a camera null orders a deletion, too.
    let scene = Scene::of(V0_18);
    let mut null = add();
    null["config_data"]["cameras"]["_replay_front"]["detect"]["max_disappeared"] = Value::Null;
    assert_eq!(scene.put(&null).0, 500);
    assert_eq!(scene.text(), CONFIG);
}

#[test]
fn remove_of_0_17_is_noted() {
    let scene = Scene::of(V0_17);
    scene.add();
    scene.wait_out_the_gap();
    scene.put(&set(json!(""), Some("remove")));
    scene.complains("removed from a running 0.17");
}

#[test]
fn changes_too_close_are_noted_whoever_makes_them() {
    let scene = Scene::of(V0_18);
    scene.add();
    scene.remove();
    scene.complains("after its last change");
    let scene = Scene::of(V0_18);
    scene.add();
    scene.wait_out_the_gap();
    scene.remove();
    scene.add();
    scene.complains("after its last change");
}

#[test]
fn an_add_over_a_camera_is_noted_and_changes_what_is_written_but_not_what_runs() {
    let scene = Scene::of(V0_18);
    scene.add();
    scene.wait_out_the_gap();
    assert_eq!(scene.add(), 200);
    scene.complains("is added, but is there");
}

#[test]
fn an_add_to_a_single_camera_of_0_17_is_noted() {
    let one = CONFIG.replace("  yard: # behind\n    ffmpeg: {inputs: [{path: b}]}\n", "");
    let scene = Scene::with(Setup::of(V0_17), &one);
    scene.add();
    scene.complains("0.17 with a single camera");
    let scene = Scene::with(Setup::of(V0_18), &one);
    scene.add();
    scene.frigate.assert_unharmed();
}

#[test]
fn a_change_during_a_replay_of_its_own_is_noted() {
    let scene = Scene::of(V0_18);
    scene.frigate.set_native_replay(Some("yard"));
    assert!(scene.get("/api/debug_replay/status").1.contains(r#""active":true"#));
    assert!(scene.get("/api/config").1.contains("_replay_yard"));
    scene.add();
    scene.complains("debug replay of Frigate's own");
}

#[test]
fn what_nginx_keeps_is_old_and_asking_for_it_is_noted() {
    let scene = Scene::of(V0_18);
    scene.get("/api/config");
    scene.add();
    let (_, head, body) = scene.raw("GET", "/api/config", "", "").unwrap();
    assert!(head.contains("x-cache-status: HIT"), "{head}");
    assert!(!body.contains("_replay_front"));
    scene.complains("without X-Cache-Bypass");
    assert!(scene.get("/api/config").1.contains("_replay_front"));
}

#[test]
fn other_cameras_and_sections_are_none_of_our_business() {
    let scene = Scene::of(V0_18);
    let change =
        json!({"requires_restart": 0, "config_data": {"cameras": {"front": {"enabled": false}}}});
    assert_eq!(scene.put(&change).0, 200);
    scene.complains("a change of the camera front");
    assert!(scene.text().contains("\"enabled\":false"));
    let scene = Scene::of(V0_18);
    scene.put(&json!({"config_data": {"detect": {"fps": 5}}}));
    scene.complains("a change of detect");
}

#[test]
fn a_camera_deleted_without_a_word_runs_on() {
    let scene = Scene::of(V0_18);
    scene.add();
    scene.put(&delete());
    assert_eq!(scene.frigate.running_replay_cameras(), ["_replay_front"]);
    scene.complains("without a word to its processes");
}

#[test]
fn a_frigate_before_0_17_takes_no_camera() {
    let scene = Scene::of(V0_16);
    scene.add();
    scene.complains("before 0.17");
}

#[test]
fn a_query_wins_over_the_body_and_is_noted() {
    let scene = Scene::of(V0_18);
    let headers = "content-type: application/json\r\n";
    scene.raw("PUT", "/api/config/set?x=1", headers, &add().to_string());
    scene.complains("a query string");
}

#[test]
fn what_is_wrong_is_refused_and_the_file_stays() {
    let scene = Scene::of(V0_18);
    let with = |pointer: &str, value: Value| {
        let mut body = add();
        let camera = &mut body["config_data"]["cameras"]["_replay_front"];
        let (section, key) = pointer.split_once('/').unwrap();
        camera[section][key] = value;
        body
    };
    let (status, answer) = scene.put(&with("detect/fps", json!("fast")));
    assert_eq!(status, 400);
    assert!(answer["message"].as_str().unwrap().starts_with("Error saving config: "));
    assert_eq!(scene.put(&with("motion/surprise", json!(1))).0, 400);
    assert_eq!(scene.put(&with("motion/mask", json!({"m": {"enabled": true}}))).0, 400);
    assert_eq!(
        scene.put(&with("zones/12", json!({"coordinates": "0,0"}))).0,
        500,
        "a number as a key"
    );
    assert_eq!(scene.put(&json!({"config_data": {}})).0, 400);
    let as_text =
        scene.raw("PUT", "/api/config/set", "content-type: text/plain\r\n", "{}").unwrap();
    assert_eq!(as_text.0, 422);
    let forged = "content-type: application/json\r\norigin: http://evil\r\n";
    assert_eq!(scene.raw("PUT", "/api/config/set", forged, "{}").unwrap().0, 401);
    let old = Scene::of(V0_17);
    assert_eq!(old.put(&with("motion/skip_motion_threshold", json!(0.5))).0, 400);
    assert_eq!(old.put(&with("motion/mask", json!({"m": {"coordinates": "0,0"}}))).0, 400);
    assert_eq!(old.put(&with("motion/mask", json!(["0,0,1,1,1,0"]))).0, 200);
    assert_eq!(scene.text(), CONFIG);
    scene.frigate.assert_unharmed();
}

#[test]
fn a_topic_of_a_camera_that_is_not_there_fails_after_the_file_was_written() {
    let scene = Scene::of(V0_18);
    let mut other = add();
    other["update_topic"] = json!("config/cameras/_replay_yard/add");
    let (status, answer) = scene.put(&other);
    assert_eq!((status, answer), (500, json!({"text": "Internal Server Error"})));
    assert_eq!(scene.frigate.replay_cameras(), ["_replay_front"]);
    assert_eq!(scene.frigate.running_replay_cameras(), [""; 0]);
}

#[test]
fn who_holds_the_lock_keeps_others_out() {
    let scene = Scene::of(V0_18);
    scene.frigate.set_lock_patience(Duration::from_millis(100));
    let held = scene.frigate.hold_lock();
    assert_eq!(scene.add(), 503);
    drop(held);
    assert_eq!(scene.add(), 200);
    scene.frigate.assert_unharmed();
}

#[test]
fn without_a_token_there_is_nothing_but_the_version() {
    let setup = Setup { login: Some(("admin", "secret")), ..Setup::of(V0_18) };
    let scene = Scene::with(setup, CONFIG);
    let log_in = |password: &str| {
        let body = json!({"user": "admin", "password": password}).to_string();
        scene.raw("POST", "/api/login", "content-type: application/json\r\n", &body).unwrap()
    };
    assert_eq!(scene.get("/api/version").0, 200);
    let (status, page) = scene.get("/api/config");
    assert!(status == 401 && page.contains("<html>"), "{status} {page}");
    assert_eq!(log_in("wrong").0, 401);
    let (status, head, body) = log_in("secret");
    assert_eq!((status, body.as_str()), (200, ""));
    let token = head.split("frigate_token=").nth(1).unwrap().split(';').next().unwrap();
    for header in
        [format!("authorization: Bearer {token}"), format!("cookie: frigate_token={token}")]
    {
        let headers = format!("x-cache-bypass: 1\r\n{header}\r\n");
        assert_eq!(scene.raw("GET", "/api/config", &headers, "").unwrap().0, 200);
        scene.frigate.expire_tokens();
        assert_eq!(scene.raw("GET", "/api/config", &headers, "").unwrap().0, 401);
        scene.frigate.world().tokens.push(token.to_owned());
    }
}

#[test]
fn it_fails_as_it_is_told_before_or_after_the_deed() {
    let scene = Scene::of(V0_18);
    scene.frigate.fail_next("PUT /api/config/set", 1, Fault::Close);
    let headers = "content-type: application/json\r\n";
    assert!(scene.raw("PUT", "/api/config/set", headers, &add().to_string()).is_none());
    assert_eq!(scene.text(), CONFIG);
    scene.frigate.lose_next_answer("PUT /api/config/set", 1, Fault::html(502));
    let (status, page) = scene.put(&add());
    assert!(status == 502 && page["text"].as_str().unwrap().contains("Sign in"), "{page}");
    assert_eq!(scene.frigate.replay_cameras(), ["_replay_front"]);
    scene.frigate.fail_next("GET /api/version", 2, Fault::Hang(Duration::from_millis(1)));
    assert!(scene.raw("GET", "/api/version", "", "").is_none());
    scene.frigate.fail_no_more();
    assert_eq!(scene.get("/api/version").0, 200);
    for status in [401, 403, 422, 500, 503] {
        scene.frigate.fail_next("GET /api/version", 1, Fault::status(status));
        assert_eq!(scene.get("/api/version").0, status);
    }
}

#[test]
fn a_camera_may_never_show_a_picture() {
    let scene = Scene::of(V0_18);
    scene.frigate.set_picture(Picture::Never);
    scene.add();
    assert_eq!(scene.get("/api/_replay_front/latest.jpg").0, 500);
    scene.frigate.set_picture(Picture::ErrorImage);
    let (status, head, _) = scene.raw("GET", "/api/_replay_front/latest.jpg", "", "").unwrap();
    assert!(status == 200 && head.contains("x-frigate-offline: true"), "{head}");
}

#[test]
fn it_speaks_tls_with_a_certificate_of_its_own() {
    let scene = Scene::with(Setup { tls: true, ..Setup::of(V0_18) }, CONFIG);
    assert!(scene.frigate.url().starts_with("https://127.0.0.1:"));
    let address = format!("127.0.0.1:{}", scene.frigate.port);
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut sending = client.stdin.take().unwrap();
    write!(sending, "GET /api/version HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    client.wait().unwrap();
    assert!(answer.contains(V0_18), "{answer}");
}

/// The cameras of a file whose cameras stand elsewhere, and one that was written by hand.
#[test]
fn a_file_is_changed_at_one_place_only() {
    let text = "version: 1\ncameras:\n    a: {}\n    # Old.\n    _replay_front:\n        x: 1\n        y:\n          - 2\n\n    \
                '_replay_b': {}\nlast: 1";
    let without = config_file::with_camera(text, "_replay_front", None);
    assert_eq!(
        without,
        text.replace("    _replay_front:\n        x: 1\n        y:\n          - 2\n", "")
    );
    let without = config_file::with_camera(&without, "_replay_b", None);
    assert!(!without.contains("_replay_"), "{without}");
    let again = config_file::with_camera(&without, "_replay_c", Some(&json!({"x": null})));
    assert!(
        again.ends_with("    a: {}\n    _replay_c: {\"x\":null}\n    # Old.\n\nlast: 1"),
        "{again}"
    );
}
