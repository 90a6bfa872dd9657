//! What is shipped for containers: the compose file, the broker's configuration, its access rules.
//! No container engine is needed: the compose file is read, and the broker's files are given to the
//! real Mosquitto.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use serde_yaml::Value;

use super::bus::Bus;
use super::house::{BASE, House, free_port, wait_for};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn compose() -> Value {
    serde_yaml::from_str(&fs::read_to_string(format!("{ROOT}/docker-compose.yml")).unwrap())
        .unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_compose_file_names_what_is_there() {
    let compose = compose();
    let worker = &compose["services"]["frigate-replay"];
    let names: Vec<String> =
        frigate_replay::settings::SETTINGS.iter().map(frigate_replay::settings::variable).collect();
    for (name, _) in worker["environment"].as_mapping().unwrap() {
        let name = name.as_str().unwrap();
        assert!(names.iter().any(|known| known == name), "{name} is no setting");
    }
    assert_eq!(worker["read_only"], Value::Bool(true));
    assert_eq!(texts(&worker["cap_drop"]), ["ALL"]);
    assert_eq!(texts(&worker["healthcheck"]["test"])[1..], ["frigate-replay", "healthcheck"]);
    let targets: Vec<String> = texts(&worker["volumes"])
        .iter()
        .map(|volume| volume.rsplit(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(targets, ["/config", "/media/frigate", "/data"], "as the settings' defaults expect");
    let broker = &compose["services"]["mosquitto"];
    let config = fs::read_to_string(format!("{ROOT}/docker/mosquitto/mosquitto.conf")).unwrap();
    for volume in texts(&broker["volumes"]) {
        let (here, there) = volume.split_once(':').unwrap();
        let folder = there.split(':').next().unwrap();
        assert!(config.contains(&format!(" {folder}")), "{folder} is not in mosquitto.conf");
        if here.starts_with('.') {
            assert!(Path::new(ROOT).join(here).is_dir(), "{here}");
            assert!(there.ends_with(":ro"), "{volume}");
        }
    }
    for port in texts(&broker["ports"]) {
        let port = port.rsplit(':').next().unwrap();
        assert!(config.contains(&format!("listener {port}\n")), "nobody listens at {port}");
    }
    for secret in texts(&worker["secrets"]) {
        let file = compose["secrets"][secret.as_str()]["file"].as_str().unwrap();
        let user = Path::new(file).file_name().unwrap().to_str().unwrap();
        let script = fs::read_to_string(format!("{ROOT}/docker/passwords.sh")).unwrap();
        assert!(script.contains(user), "{file} is made by nobody");
        assert_eq!(worker["environment"]["FRIGATE_REPLAY_MQTT_USERNAME"].as_str(), Some(user));
    }
}

#[test]
fn the_dockerfile_copies_what_the_build_needs() {
    let dockerfile = fs::read_to_string(format!("{ROOT}/Dockerfile")).unwrap();
    let copied: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| line.split_whitespace().rev().skip(1).collect::<Vec<_>>())
        .collect();
    assert!(copied.contains(&"src") && copied.contains(&"Cargo.lock"), "{copied:?}");
    for path in copied {
        assert!(Path::new(ROOT).join(path).exists(), "{path}");
    }
}

/// A house whose broker runs with the shipped files; one more user sees and may do everything.
pub struct Shipped {
    pub house: House,
    /// Where the dashboard is.
    pub web_port: u16,
    pub passwords: BTreeMap<String, String>,
}

impl Shipped {
    pub fn new() -> Self {
        let mut house = House::with_broker("");
        let web_port = free_port();
        house.kill_broker();
        let docker = house.path("docker");
        let copied = Command::new("cp")
            .args(["-r", &format!("{ROOT}/docker"), docker.to_str().unwrap()])
            .status();
        assert!(copied.unwrap().success());
        let made =
            Command::new("sh").arg(docker.join("passwords.sh")).args(["front", "yard"]).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut passwords = BTreeMap::new();
        for entry in fs::read_dir(docker.join("secrets")).unwrap().flatten() {
            let user = entry.file_name().into_string().unwrap();
            passwords.insert(user, fs::read_to_string(entry.path()).unwrap());
        }
        let folder = docker.join("mosquitto");
        let hashed = fs::read_to_string(folder.join("passwords")).unwrap();
        assert!(passwords.values().all(|password| !hashed.contains(password)), "hashed");
        let added = Command::new("mosquitto_passwd")
            .args(["-b", folder.join("passwords").to_str().unwrap(), "observer", "sees"])
            .status();
        assert!(added.unwrap().success());
        let acl = fs::read_to_string(folder.join("acl")).unwrap();
        fs::write(folder.join("acl"), format!("{acl}\nuser observer\ntopic readwrite #\n"))
            .unwrap();
        passwords.insert("observer".to_owned(), "sees".to_owned());
        house.set_whole_broker(|house| {
            fs::read_to_string(folder.join("mosquitto.conf"))
                .unwrap()
                .replace("listener 1883", &format!("listener {} 127.0.0.1", house.port))
                .replace("listener 9001", &format!("listener {web_port} 127.0.0.1"))
                .replace("/mosquitto/dashboard", &format!("{ROOT}/dashboard"))
                .replace("/mosquitto/config", folder.to_str().unwrap())
                .replace("/mosquitto/data", house.path("mosquitto").to_str().unwrap())
                + "\nuser root\n"
        });
        house.start_broker();
        Self { house, web_port, passwords }
    }

    pub fn bus(&self, user: &str) -> Bus {
        Bus::connect(self.house.port, Some((user, &self.passwords[user])))
    }

    /// Whether what `user` publishes to `topic` arrives.
    fn may_publish(&self, user: &str, topic: &str) -> bool {
        let mut observer = self.bus("observer");
        let bus = self.bus(user);
        let text = format!("made-by-the-test {user}");
        bus.publish(topic, &text);
        // Acknowledged in order: once this arrives, the other has, if it ever will.
        let after = self.end_of(user);
        bus.publish(&after, "end");
        observer.wait("the end", |message| message.topic == after);
        observer.heard.iter().any(|message| message.topic == topic && message.payload == text)
    }

    /// A topic that `user` may publish to.
    fn end_of(&self, user: &str) -> String {
        match user {
            "frigate" => "frigate/end".to_owned(),
            _ => "frigate_replay/test/request/end".to_owned(),
        }
    }

    /// Whether `user` receives what is published to `topic`.
    fn may_read(&self, user: &str, topic: &str) -> bool {
        let observer = self.bus("observer");
        let mut bus = self.bus(user);
        observer.publish(topic, "made-by-the-test");
        let end = match user {
            "frigate" => "frigate/end",
            _ => "frigate_replay/test/end",
        };
        observer.publish(end, "made-by-the-test end");
        bus.wait("the end", |message| message.topic == end);
        bus.heard.iter().any(|message| message.topic == topic)
    }
}

#[test]
fn with_the_shipped_rules_everybody_may_do_what_they_should_and_nothing_else() {
    let shipped = Shipped::new();
    let request = format!("{BASE}/request/other");
    let session = format!("{BASE}/anything");
    let choice = format!("{BASE}/form/other/set");
    let chosen = format!("{BASE}/form/other");
    let device = format!("homeassistant/device/{}/config", BASE.replace('/', "_"));
    for (user, topic, may) in [
        ("frigate_replay", session.as_str(), true),
        ("frigate_replay", request.as_str(), true),
        ("frigate_replay", "frigate/front/detect/set", false),
        ("frigate_replay", device.as_str(), true),
        ("frigate_replay", "homeassistant/device/other/config", false),
        ("frigate_replay", "homeassistant/status", false),
        ("frigate_replay", "home/door/unlock", false),
        ("frigate_replay", "frigate/_replay_front/person/snapshot", true),
        ("frigate_replay", "frigate/_replay_other/person/snapshot", false),
        ("homeassistant", request.as_str(), true),
        ("homeassistant", session.as_str(), false),
        ("homeassistant", choice.as_str(), true),
        ("homeassistant", chosen.as_str(), false),
        ("homeassistant", "homeassistant/status", true),
        ("dashboard", request.as_str(), true),
        ("dashboard", session.as_str(), false),
        ("dashboard", choice.as_str(), true),
        ("dashboard", chosen.as_str(), false),
        ("dashboard", "homeassistant/status", false),
        ("dashboard", "frigate/front/detect/set", false),
        ("frigate", "frigate/front/person", true),
        ("frigate", request.as_str(), false),
        ("frigate", choice.as_str(), false),
    ] {
        assert_eq!(shipped.may_publish(user, topic), may, "{user} publishes to {topic}");
    }
    for (user, topic, may) in [
        ("frigate_replay", request.as_str(), true),
        ("frigate_replay", "frigate/front/person", false),
        ("frigate_replay", "homeassistant/status", true),
        ("frigate_replay", "homeassistant/other", false),
        ("frigate_replay", "frigate/_replay_yard/detect/state", true),
        ("homeassistant", session.as_str(), true),
        ("dashboard", session.as_str(), true),
        ("dashboard", "home/door/unlock", false),
        ("frigate", session.as_str(), false),
    ] {
        assert_eq!(shipped.may_read(user, topic), may, "{user} reads {topic}");
    }
    let anonymous = Command::new("mosquitto_pub")
        .args(["-p", &shipped.house.port.to_string(), "-t", "x", "-m", "x"])
        .output()
        .unwrap();
    assert!(!anonymous.status.success());
}

#[test]
fn with_the_shipped_rules_a_replay_works() {
    let shipped = Shipped::new();
    let house = &shipped.house;
    let secret = house.path("docker/secrets/frigate_replay");
    let login =
        ["--mqtt-username", "frigate_replay", "--mqtt-password-file", secret.to_str().unwrap()];
    let worker = house.worker_unwaited(&login);
    let mut bus = shipped.bus("homeassistant");
    bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "online");
    let range = house.range;
    let start = json!({"camera": "front", "start_time": range.0, "end_time": range.1});
    assert_eq!(bus.ask("start", start)["status"], "ok");
    bus.wait_phase("live");
    let mut dashboard = shipped.bus("dashboard");
    assert_eq!(dashboard.ask("stop", json!({}))["status"], "ok");
    let check = house.output("check", &login);
    let shown = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{shown}");
    wait_for("calm", || worker.log().contains("requests arrive").then_some(()));
    assert!(!worker.log().contains("ERROR"), "{}", worker.log());
    // Home Assistant finds the device, and is heard when it starts.
    let told = |message: &super::bus::Message| {
        message.topic == "homeassistant/device/frigate_replay_frigate/config"
    };
    assert!(bus.heard.iter().any(told));
    bus.publish("homeassistant/status", "online");
    bus.wait("the device again", told);
    bus.publish(&format!("{BASE}/form/minutes/set"), "7");
    bus.wait_topic("form/minutes", |minutes| *minutes == 7);
}

/// What the broker serves at `path`.
fn fetch(port: u16, path: &str) -> Vec<u8> {
    let mut stream =
        wait_for("the page's listener", || TcpStream::connect(("127.0.0.1", port)).ok());
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // The broker ends the connection as it likes once everything is sent.
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer of HTTP");
    if answer.starts_with(b"HTTP/1.0 200") { answer.split_off(end + 4) } else { Vec::new() }
}

#[test]
fn the_shipped_broker_serves_the_dashboard_and_nothing_else() {
    let shipped = Shipped::new();
    for entry in fs::read_dir(format!("{ROOT}/dashboard")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let served = fetch(shipped.web_port, &format!("/{name}"));
        assert!(served == fs::read(entry.path()).unwrap(), "{name}: {} bytes", served.len());
    }
    let page = fetch(shipped.web_port, "/");
    assert_eq!(page, fs::read(format!("{ROOT}/dashboard/index.html")).unwrap());
    // What the page asks for is there.
    let page = String::from_utf8(page).unwrap();
    for attribute in ["src=\"", "stylesheet\" href=\""] {
        for file in page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(Path::new(ROOT).join("dashboard").join(file).is_file(), "{file}");
        }
    }
    for outside in ["/../docker/mosquitto/acl", "/..%2f..%2fCargo.toml", "//etc/passwd", "/nothing"]
    {
        assert_eq!(fetch(shipped.web_port, outside), b"", "{outside}");
    }
}
