//! The worker over a real broker: from a request to what the bus shows of it, against a plain echo
//! through the same broker in the same run; and from the start of the process to `online`.

#[path = "../tests/worker/bus.rs"]
#[allow(dead_code)] // The tests use the rest of it.
mod bus;
#[path = "../tests/worker/house.rs"]
#[allow(dead_code)] // The tests use the rest of it.
mod house;
mod ratios;
#[path = "../tests/worker/world.rs"]
#[allow(dead_code)] // The tests use the rest of it.
mod world;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use frigate_replay::database::Database;
use frigate_replay::files::Folders;
use frigate_replay::sweep::{Order, Yard};
use rumqttc::mqttbytes::v5::Packet;
use rumqttc::{Client, Event, MqttOptions, NetworkOptions, PublishOptions, QoS};
use serde_json::json;

use bus::Bus;
use house::{BASE, House};

const ROUNDS: usize = 100;

fn main() {
    requests();
    throughput();
    ten_minutes();
    starts();
    sweeps();
}

/// From the request to `running` on the bus, the flush to the disk included.
fn requests() {
    let house = House::new();
    let _echo = echo(house.port);
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.wait_inactive();
    let request =
        json!({"camera": "front", "start_time": house.range.0, "end_time": house.range.1});
    let (mut echoes, mut refusals, mut runnings) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let payload = request.to_string();
        let times = [
            timed(&mut bus, "echo/in", &payload, |topic, _| topic == "echo/out"),
            timed(&mut bus, &format!("{BASE}/request/stop"), "{}", |topic, _| {
                topic == format!("{BASE}/response/stop")
            }),
            timed(&mut bus, &format!("{BASE}/request/start"), &payload, |topic, payload| {
                topic == format!("{BASE}/job_state") && payload.contains("running")
            }),
        ];
        bus.wait_topic("event", |event| event["event_type"] == "live");
        bus.ask("stop", json!({}));
        if round > 0 {
            for (row, time) in [&mut echoes, &mut refusals, &mut runnings].into_iter().zip(times) {
                row.push(time);
            }
        }
    }
    ratios::table(
        &format!("a request over the broker ({ROUNDS} rounds, interleaved)"),
        vec![
            ("QoS 1 echo by another client", echoes),
            ("refused: request to response", refusals),
            ("accepted: request to running", runnings),
        ],
    );
    memory(worker.pid());
}

/// From the request to `add` on the bus for ten minutes of 75 MB, against `cat` of the same bytes.
fn ten_minutes() {
    let house = House::new();
    let segment = house.path("segment.mp4");
    let made = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i"])
        .arg("testsrc2=s=1280x720:r=10:d=10,noise=alls=20:allf=t")
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-b:v", "1000k"])
        .args(["-maxrate", "1000k", "-bufsize", "1000k", "-pix_fmt", "yuv420p"])
        .args(["-movflags", "+faststart"])
        .arg(&segment)
        .status()
        .expect("ffmpeg is there");
    assert!(made.success());
    let begin = house.range.0 - 1000.0;
    let files = house.add_recordings("yard", &segment, begin, 60);
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    let payload =
        json!({"camera": "yard", "start_time": begin, "end_time": begin + 600.0}).to_string();
    let (mut cats, mut adds) = (Vec::new(), Vec::new());
    for round in 0..=10 {
        let copy = house.path("media/copy");
        let start = Instant::now();
        let output = fs::File::create(&copy).expect("the media folder can be written");
        let cat = Command::new("cat").args(&files).stdout(output).status();
        assert!(cat.expect("cat is there").success());
        let cat = start.elapsed();
        fs::remove_file(copy).expect("it is ours");
        let add = timed(&mut bus, &format!("{BASE}/request/start"), &payload, |topic, payload| {
            topic.ends_with("/add") && !payload.is_empty()
        });
        bus.ask("stop", json!({}));
        if round > 0 {
            cats.push(cat);
            adds.push(add);
        }
    }
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).expect("there").len()).sum();
    ratios::table(
        &format!("ten minutes of {} MB (10 rounds, interleaved)", bytes / 1_000_000),
        vec![("cat of the same bytes", cats), ("request to add on the bus", adds)],
    );
    memory(worker.pid());
}

/// From the start of the process to `online` on the bus, against a process that only says its version.
fn starts() {
    let house = House::new();
    let (mut versions, mut onlines) = (Vec::new(), Vec::new());
    for round in 0..=20 {
        let start = Instant::now();
        let version = Command::new(env!("CARGO_BIN_EXE_frigate-replay")).arg("--version").output();
        assert!(version.expect("the binary is there").status.success());
        let version = start.elapsed();
        let mut bus = house.bus();
        let start = Instant::now();
        let worker = house.worker_unwaited(&[]);
        bus.wait("online", |message| message.payload == "online" && !message.retain);
        let online = start.elapsed();
        worker.end();
        if round > 0 {
            versions.push(version);
            onlines.push(online);
        }
    }
    ratios::table(
        "the start of the process (20 rounds, interleaved)",
        vec![("--version", versions), ("run, until online on the bus", onlines)],
    );
}

/// From a publish to the first message that `fits`.
fn timed(bus: &mut Bus, topic: &str, payload: &str, fits: impl Fn(&str, &str) -> bool) -> Duration {
    bus.catch_up();
    let start = Instant::now();
    bus.publish(topic, payload);
    bus.wait(topic, |message| !message.retain && fits(&message.topic, &message.payload));
    start.elapsed()
}

/// Many requests at once, until the last is answered.
fn throughput() {
    const AT_ONCE: usize = 500;
    let house = House::new();
    let _echo = echo(house.port);
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.wait_inactive();
    memory(worker.pid());
    let (mut echoes, mut refusals) = (Vec::new(), Vec::new());
    for round in 0..=10 {
        let echo = all(&mut bus, "echo/in", "echo/out", AT_ONCE);
        let (request, response) = (format!("{BASE}/request/stop"), format!("{BASE}/response/stop"));
        let refusal = all(&mut bus, &request, &response, AT_ONCE);
        if round > 0 {
            echoes.push(echo);
            refusals.push(refusal);
        }
    }
    let medians = ratios::table(
        &format!("{AT_ONCE} requests at once (10 rounds, interleaved)"),
        vec![("QoS 1 echoes by another client", echoes), ("refusals, each saved", refusals)],
    );
    let per_second = medians.iter().map(|all| AT_ONCE as f64 / all.as_secs_f64());
    let shown: Vec<String> = per_second.map(|n| format!("{n:.0}")).collect();
    println!("  a second: {}", shown.join(", "));
    memory(worker.pid());
}

/// From the first of `count` publishes to the last of as many answers.
fn all(bus: &mut Bus, topic: &str, answer: &str, count: usize) -> Duration {
    bus.catch_up();
    bus.forget();
    let start = Instant::now();
    for n in 0..count {
        bus.publish(topic, format!(r#"{{"transaction":{n}}}"#));
    }
    for _ in 0..count {
        bus.wait(answer, |message| message.topic == answer);
    }
    start.elapsed()
}

/// A sweep that finds nothing, with more and more snapshots of other cameras: it lists none of them.
fn sweeps() {
    let folders = [100, 10_000, 100_000].map(|count| {
        let dir = tempfile::TempDir::new().expect("there is room");
        let clips = dir.path().join("clips");
        fs::create_dir(&clips).expect("it is ours");
        for n in 0..count {
            fs::File::create(clips.join(format!("front-{n}.1-abc.jpg"))).expect("likewise");
        }
        dir
    });
    let yards = folders.each_ref().map(|dir| Yard {
        folders: Folders {
            media: dir.path().to_owned(),
            replay: dir.path().join("frigate-replay"),
        },
        database: Database::at(dir.path().join("none.db")),
    });
    let sweep = |yard: &Yard| {
        for _ in 0..100 {
            assert!(yard.sweep(&Order::default(), || true).cameras.is_empty());
        }
    };
    let clips = folders[2].path().join("clips");
    ratios::compare(
        "100 sweeps that find nothing, against the snapshots beside them",
        10,
        &mut [
            ("100 files", &mut || sweep(&yards[0])),
            ("10 000 files", &mut || sweep(&yards[1])),
            ("100 000 files", &mut || sweep(&yards[2])),
            ("listing 100 000 files once", &mut || {
                assert_eq!(fs::read_dir(&clips).expect("there").count(), 100_000);
            }),
        ],
    );
}

/// A client that answers `echo/in` with `echo/out`, as fast as the library can.
fn echo(port: u16) -> Client {
    let mut options = MqttOptions::new("echo", ("127.0.0.1", port));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let (client, mut connection) = Client::builder(options).capacity(10_000).build();
    client.subscribe("echo/in", QoS::AtLeastOnce).expect("the broker is there");
    let (ready, when_ready) = std::sync::mpsc::channel();
    let answering = client.clone();
    std::thread::spawn(move || {
        for event in connection.iter() {
            match event {
                Ok(Event::Incoming(Packet::SubAck(_))) => drop(ready.send(())),
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    let options = PublishOptions::at_least_once();
                    drop(answering.try_publish("echo/out", message.payload, options));
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    when_ready.recv().expect("the broker answers");
    client
}

fn memory(pid: u32) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = |name| status.lines().find(|line| line.starts_with(name)).unwrap_or(name);
    println!("  the worker's memory now and at its peak: {}, {}", line("VmRSS"), line("VmHWM"));
}
