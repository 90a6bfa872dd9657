//! The broker as it is: it restarts, forgets, remembers too much, asks for names.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use rumqttc::PublishOptions;
use serde_json::{Value, json};

use super::bus::Bus;
use super::house::{BASE, House, PATIENCE, wait_for};

fn start(house: &House) -> Value {
    json!({"camera": "front", "start_time": house.range.0, "end_time": house.range.1})
}

#[test]
fn a_broker_that_restarts_shows_the_same_with_and_without_its_store() {
    for forgets in [false, true] {
        let mut house = House::new();
        let _worker = house.worker(&[]);
        let mut bus = house.bus();
        bus.ask("start", start(&house));
        bus.wait_phase("live");
        bus.catch_up();
        let before = house.bus().retained();
        drop(bus);
        house.stop_broker();
        if forgets {
            house.forget_broker_store();
        }
        house.start_broker();
        let mut bus = house.bus();
        bus.wait_phase("live");
        bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "online");
        bus.catch_up();
        assert_eq!(house.bus().retained(), before, "forgets: {forgets}");
        house.check();
    }
}

#[test]
fn a_broker_that_comes_back_with_an_older_store_is_put_right() {
    let mut house = House::new();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", start(&house));
    bus.wait_phase("live");
    drop(bus);
    // It stores that the camera is added; what comes after is lost with it.
    house.stop_broker();
    let stored = fs::read(house.path("mosquitto/mosquitto.db")).unwrap();
    house.start_broker();
    let mut bus = house.bus();
    bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "online");
    bus.ask("stop", json!({}));
    drop(bus);
    house.kill_broker();
    fs::write(house.path("mosquitto/mosquitto.db"), stored).unwrap();
    house.start_broker();
    let mut bus = house.bus();
    bus.wait_topic("config/cameras/_replay_front/remove", |m| m["reason"] == "stopped");
    bus.wait_inactive();
    bus.catch_up();
    house.check();
    drop(worker);
}

#[test]
fn retained_topics_of_a_lost_past_are_cleared_and_others_are_left_alone() {
    let house = House::new();
    let mut bus = house.bus();
    let keep = PublishOptions::at_least_once().retained();
    let ours = |name: &str| format!("{BASE}/config/cameras/{name}");
    let nonsense = r#"{"made-by-the-test": 1}"#;
    for n in 0..50 {
        bus.publish_with(&ours(&format!("_replay_old{n}/add")), nonsense, keep.clone());
        bus.publish_with(&ours(&format!("_replay_gone{n}/remove")), nonsense, keep.clone());
    }
    let others = [
        ours("front/add"),
        "frigate_replay/other/config/cameras/_replay_x/add".to_owned(),
        "frigate/front/person".to_owned(),
    ];
    for topic in &others {
        bus.publish_with(topic, nonsense, keep.clone());
    }
    bus.catch_up();
    let _worker = house.worker(&[]);
    for n in 0..50 {
        let topic = format!("config/cameras/_replay_old{n}/remove");
        bus.wait_retained_or_live(&format!("{BASE}/{topic}"), |p| p.contains("stale"));
    }
    wait_for("the clearing", || {
        let retained = house.bus().retained();
        let left = retained.keys().filter(|topic| {
            topic.starts_with(&ours("_replay_old")) && topic.ends_with("/add")
                || topic.starts_with(&ours("_replay_gone"))
        });
        (left.count() == 0).then_some(())
    });
    let retained = house.bus().retained();
    for topic in &others {
        assert_eq!(retained.get(topic).map(String::as_str), Some(nonsense), "{topic}");
    }
}

#[test]
fn a_renamed_instance_leaves_nothing_behind() {
    let house = House::new();
    let worker = house.worker_unwaited(&["--instance", "before"]);
    let mut bus = house.bus();
    bus.wait_retained_or_live("frigate_replay/before/available", |payload| payload == "online");
    worker.kill();
    let _worker = house.worker(&[]);
    wait_for("the clearing", || {
        let retained = house.bus().retained();
        let left = retained.keys().any(|topic| topic.starts_with("frigate_replay/before/"));
        (!left).then_some(())
    });
    house.check();
}

#[test]
fn a_login_works_from_a_file_and_a_wrong_one_is_told() {
    let mut house = House::with_broker("");
    house.kill_broker();
    let passwords = house.path("mosquitto/passwords");
    fs::write(&passwords, "").unwrap();
    for (user, password) in [("worker", "worker-secret"), ("test", "test-secret")] {
        let added = Command::new("mosquitto_passwd")
            .args(["-b", passwords.to_str().unwrap(), user, password])
            .output()
            .unwrap();
        assert!(added.status.success(), "{added:?}");
    }
    house.set_broker(&format!("allow_anonymous false\npassword_file {}\n", passwords.display()));
    house.start_broker();
    let secret = house.path("secret");
    let args = ["--mqtt-username", "worker", "--mqtt-password-file", secret.to_str().unwrap()];

    fs::write(&secret, "wrong-secret\n").unwrap();
    let worker = house.worker_unwaited(&args);
    wait_for("the complaint", || worker.log().contains("password").then_some(()));
    assert!(!worker.log().contains("wrong-secret"));
    worker.kill();
    let check = house.output("check", &args);
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stdout).contains("password"));

    fs::write(&secret, "worker-secret\n").unwrap();
    let worker = house.worker_unwaited(&args);
    let mut bus = Bus::connect(house.port, Some(("test", "test-secret")));
    bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "online");
    let response = bus.ask("start", start(&house));
    assert_eq!(response["status"], "ok", "{response}");
    bus.wait_phase("live");
    let check = house.output("check", &args);
    let shown = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{shown}");
    assert!(!shown.contains("worker-secret"));
    assert!(!worker.log().contains("worker-secret"));
}

#[test]
fn tls_with_an_authority_and_a_client_certificate() {
    let mut house = House::with_broker("");
    house.kill_broker();
    let folder = house.path("mosquitto");
    let made = Command::new("sh")
        .current_dir(&folder)
        .args(["-ec", "
            openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem \
                -addext basicConstraints=critical,CA:TRUE
            for name in server client; do
                openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
                printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > $name.ext
                openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                    -extfile $name.ext -out $name.pem
            done"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| folder.join(name).display().to_string();
    house.set_broker(&format!(
        "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        file("ca.pem"),
        file("server.pem"),
        file("server.key")
    ));
    house.start_broker();
    let url = format!("mqtts://localhost:{}", house.port);
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let trusted = ["--mqtt-url", &url, "--mqtt-ca-file", &ca];
    let known = [&trusted[..], &["--mqtt-client-cert", &cert, "--mqtt-client-key", &key]].concat();
    let without = house.output("check", &trusted);
    assert_eq!(without.status.code(), Some(1), "the broker asks for a certificate");
    let worker = house.worker_unwaited(&known);
    wait_for("the connection", || worker.log().contains("connected to the broker").then_some(()));
    let status = house.output("status", &known);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert!(String::from_utf8_lossy(&status.stdout).contains("online"));
}

/// The next MQTT packet: its first byte, and what follows its length.
fn packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    let first = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).unwrap();
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).unwrap();
    (first, rest)
}

/// Who reads `online` may send a request at once: a broker that does not know the worker yet would
/// drop it before it has the worker's subscription.
#[test]
fn online_is_said_once_requests_can_arrive() {
    const CONNECT: u8 = 0x10;
    const PUBLISH: u8 = 0x30;
    const SUBSCRIBE: u8 = 0x82;
    let house = House::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    house.ends_unlooked("its broker is none");
    let _worker = house.worker_unwaited(&["--mqtt-url", &url]);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(packet(&mut stream).0, CONNECT);
    stream.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
    let (first, subscription) = packet(&mut stream);
    assert_eq!(first, SUBSCRIBE, "{}", String::from_utf8_lossy(&subscription));
    assert!(String::from_utf8_lossy(&subscription).contains("/request/+"));
    let mut granted = vec![0x90, 0, subscription[0], subscription[1], 0];
    // After the packet's id and its properties, of which there are none: length, filter, options.
    let mut filters = &subscription[3..];
    while let [high, low, rest @ ..] = filters {
        filters = &rest[usize::from(*high) * 256 + usize::from(*low) + 1..];
        granted.push(1);
    }
    granted[1] = granted.len() as u8 - 2;
    stream.write_all(&granted).unwrap();
    loop {
        let (first, rest) = packet(&mut stream);
        if first & 0xf0 == PUBLISH && rest.ends_with(b"online") {
            break;
        }
    }
}
