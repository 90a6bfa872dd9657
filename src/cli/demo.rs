//! `demo`: everything in one process, with nothing else installed. An embedded broker, a small
//! folder as Frigate has it, the worker itself, and a replay shown from request to removal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerShutdownHandle, MqttBroker};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::client::Client;
use crate::clock;
use crate::settings::Settings;
use crate::wire::messages::{JobStatus, ResponseStatus};
use crate::wire::requests::Verb;
use crate::worker;

use super::{Failure, block_on, run};

/// Ten seconds of video, which stand for every recording of the demo.
const RECORDING: &[u8] = include_bytes!("../../assets/demo-recording.mp4");

/// How many recordings there are: the last ten minutes.
const RECORDINGS: u32 = 60;

/// How long a recording is, seconds.
const RECORDING_S: u32 = 10;

/// Frigate's database as far as a replay needs it, in Frigate's own words.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE recordings (id VARCHAR(30) NOT NULL PRIMARY KEY, camera VARCHAR(20) NOT NULL,
        path VARCHAR(255) NOT NULL, start_time DATETIME NOT NULL, end_time DATETIME NOT NULL,
        duration REAL NOT NULL, objects INTEGER, motion INTEGER, segment_size REAL NOT NULL);
    CREATE TABLE export (id VARCHAR(30) NOT NULL PRIMARY KEY, camera VARCHAR(20) NOT NULL,
        name VARCHAR(100) NOT NULL, date DATETIME NOT NULL, video_path VARCHAR(255) NOT NULL,
        thumb_path VARCHAR(255) NOT NULL, in_progress INTEGER NOT NULL);";

/// How the demo goes.
#[derive(Args)]
pub struct DemoArgs {
    /// Stay up after the show, to be played with.
    #[arg(long)]
    keep: bool,
    /// The embedded broker's port; a free one if it is not given.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Shows a replay, then ends; with `--keep` once it is told to.
pub fn demo(args: DemoArgs) -> Result<(), Failure> {
    let folder = Folder::make().map_err(|error| Failure::new(format!("demo folder: {error}")))?;
    block_on(show(&args, &folder.path))?
}

/// A folder that goes when the demo ends.
struct Folder {
    path: PathBuf,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Folder {
    fn make() -> io::Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let name = format!("frigate-replay-demo-{:016x}", u64::from_le_bytes(bytes));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }
}

async fn show(args: &DemoArgs, folder: &Path) -> Result<(), Failure> {
    let broker = Broker::start(args.port).await?;
    let port = broker.port;
    frigate_folder(folder, port)
        .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    tell!(
        "An MQTT broker listens on 127.0.0.1:{port}, and Frigate's files are in {}.",
        folder.display()
    );
    let settings = settings(folder)?;
    let (options, topics) = (settings.bus.clone(), settings.topics.clone());
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(worker::run(run::plan(settings)?, async {
        // Sent, or dropped: either way it is over.
        let _ = ended.await;
    }));
    let mut client = Client::connect(&options, &topics).await.map_err(Failure::new)?;
    let mut watcher = Client::connect(&options, &topics).await.map_err(Failure::new)?;
    watcher.listen(&format!("{}/#", topics.base())).await.map_err(Failure::new)?;
    let told = tokio::spawn(tell(watcher, topics.base().to_owned()));
    let played = play(&mut client, topics.base()).await;
    if args.keep && played.is_ok() {
        keep(port, topics.base()).await;
    }
    told.abort();
    client.close().await;
    // The worker may have ended by itself, with an error of its own.
    let _ = end.send(());
    let worked = worker.await.map_err(Failure::new)?;
    broker.stop().await;
    worked.map_err(Failure::new)?;
    played
}

/// Starts a replay of the last ten minutes, waits until it is live, stops it, waits until it is gone.
async fn play(client: &mut Client, base: &str) -> Result<(), Failure> {
    client.wait_until_online(Duration::from_secs(10)).await.map_err(Failure::new)?;
    tell!("\nA start is sent, as a Home Assistant automation would:\n");
    ask(client, Verb::Start, json!({"camera": "front", "last_seconds": 600}), base).await?;
    let job = client.wait_for_job(Duration::from_secs(30)).await.map_err(Failure::new)?;
    if job.status != JobStatus::Success {
        return Err(Failure::new(job.error_message.unwrap_or_else(|| "no replay".to_owned())));
    }
    tell!("\nThe replay is live. A stop is sent:\n");
    ask(client, Verb::Stop, json!({}), base).await?;
    tell!("\nThe replay is gone, with its clip and its camera.");
    Ok(())
}

async fn ask(client: &mut Client, verb: Verb, request: Value, base: &str) -> Result<(), Failure> {
    tell!("  mosquitto_pub -t {base}/request/{} -m '{request}'\n", verb.as_str());
    let response = client.ask(verb, request).await.map_err(Failure::new)?;
    match (response.status, response.error) {
        (ResponseStatus::Error, Some(refusal)) => Err(Failure::new(refusal.message)),
        _ => Ok(()),
    }
}

/// Prints what appears on the topics, shortened to a line each.
async fn tell(mut watcher: Client, base: String) {
    let began = Instant::now();
    while let Ok((topic, payload)) = watcher.heard().await {
        let topic = topic.strip_prefix(&base).unwrap_or(&topic).trim_start_matches('/');
        let payload = if payload.is_empty() { "(cleared)".to_owned() } else { payload };
        let line: String = payload.chars().take(150).collect();
        let more = if payload.chars().count() > 150 { " …" } else { "" };
        tell!("  {:6.3} s  {topic:38} {line}{more}", began.elapsed().as_secs_f64());
    }
}

async fn keep(port: u16, base: &str) {
    tell!(
        "\nThe worker stays up until Ctrl-C. In another terminal:\n\n  \
         mosquitto_sub -p {port} -v -t '{base}/#'\n  \
         mosquitto_pub -p {port} -t {base}/request/start -m '{{\"camera\": \"front\", \"last_seconds\": 300}}'\n  \
         mosquitto_pub -p {port} -t {base}/request/stop -m '{{}}'\n"
    );
    // Without a signal to wait for there is nothing to keep up for.
    let _ = tokio::signal::ctrl_c().await;
}

/// The embedded broker.
struct Broker {
    port: u16,
    shutdown: BrokerShutdownHandle,
    running: tokio::task::JoinHandle<()>,
}

impl Broker {
    async fn start(port: u16) -> Result<Self, Failure> {
        let config = BrokerConfig::new().with_bind_address(([127, 0, 0, 1], port)).with_storage(
            StorageConfig {
                backend: StorageBackend::Memory,
                enable_persistence: false,
                ..StorageConfig::default()
            },
        );
        let mut broker = MqttBroker::with_config(config).await.map_err(Failure::new)?;
        let port = broker.local_addr().map_or(port, |address| address.port());
        let shutdown = broker.shutdown_handle();
        let running = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                complain!("the embedded broker ended: {error}");
            }
        });
        Ok(Self { port, shutdown, running })
    }

    async fn stop(self) {
        self.shutdown.shutdown();
        // A client that does not leave must not keep the demo.
        let _ = timeout(Duration::from_secs(2), self.running).await;
    }
}

/// A folder as Frigate has it: config.yml, its database, the last ten minutes of one camera.
fn frigate_folder(folder: &Path, port: u16) -> io::Result<()> {
    let config = folder.join("config");
    let recordings = folder.join("media/recordings/2026-01-01/00/front");
    fs::create_dir_all(&config)?;
    fs::create_dir_all(&recordings)?;
    fs::write(
        config.join("config.yml"),
        format!(
            "mqtt:\n  host: 127.0.0.1\n  port: {port}\ncameras:\n  front:\n    ffmpeg:\n      \
             inputs:\n        - path: rtsp://camera.example/stream\n          roles: [detect, record]\n    \
             detect:\n      enabled: true\n      width: 320\n      height: 180\n      fps: 5\n"
        ),
    )?;
    let end = clock::now().seconds() - 1.0;
    let fill = |db: &Connection| -> rusqlite::Result<()> {
        db.execute_batch(SCHEMA)?;
        let mut insert = db.prepare(
            "INSERT INTO recordings (id, camera, path, start_time, end_time, duration, segment_size) \
             VALUES (?1, 'front', ?2, ?3, ?4, ?5, 0.1)",
        )?;
        for n in 0..RECORDINGS {
            let file = recordings.join(format!("{:02}.{:02}.mp4", n / 6, n % 6 * 10));
            let start = end - f64::from((RECORDINGS - n) * RECORDING_S);
            let stop = start + f64::from(RECORDING_S);
            insert.execute((n, file.display().to_string(), start, stop, RECORDING_S))?;
        }
        Ok(())
    };
    for n in 0..RECORDINGS {
        fs::write(recordings.join(format!("{:02}.{:02}.mp4", n / 6, n % 6 * 10)), RECORDING)?;
    }
    Connection::open(config.join("frigate.db")).and_then(|db| fill(&db)).map_err(io::Error::other)
}

/// The settings of a worker in `folder`; the environment of the real one does not count.
fn settings(folder: &Path) -> Result<Settings, Failure> {
    let path = |name: &str| folder.join(name).display().to_string();
    let flags = [
        ("frigate_config", path("config/config.yml")),
        ("media_dir", path("media")),
        ("frigate_media_dir", path("media")),
        ("data_dir", path("data")),
        ("clip_engine", "native".to_owned()),
    ];
    let flags = flags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Settings::settle(&flags, &Default::default()).map_err(Failure::settings)
}
