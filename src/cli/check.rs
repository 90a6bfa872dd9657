//! `check`: every setting and where it came from, and what can be reached with them.

use std::fs;
use std::io;
use std::path::Path;

use crate::client::{Client, ClientError, Shown};
use crate::config_file::ConfigFile;
use crate::database::Database;
use crate::settings::Settings;
use crate::wire::messages::FrigateWay;
use crate::words::{TimeRange, UnixTime};

use super::settings_args::SettingsArgs;
use super::{Failure, block_on, run};

/// Shows the settings and tries everything that the worker needs. Fails if something is missing.
pub fn check(args: SettingsArgs) -> Result<(), Failure> {
    let settings = args.settle()?;
    tell!("Settings");
    for shown in &settings.shown {
        tell!("  {:20} {:45} {}", shown.name, shown.value, shown.source);
    }
    for note in &settings.notes {
        tell!("  note: {note}");
    }
    let mut report = Report::default();
    tell!("\nFrigate");
    config(&settings, &mut report);
    database(&settings, &mut report);
    block_on(running_frigate(&settings, &mut report))??;
    tell!("\nFolders");
    folders(&settings, &mut report);
    tell!("\nBroker");
    block_on(broker(&settings, &mut report))?;
    match report.failed {
        0 => {
            tell!("\nEverything that the worker needs is there.");
            Ok(())
        }
        failed => Err(Failure::new(format!("{failed} of {} checks failed", report.tried))),
    }
}

#[derive(Default)]
struct Report {
    tried: usize,
    failed: usize,
}

impl Report {
    fn add(&mut self, what: &str, outcome: Result<String, String>) {
        self.tried += 1;
        match outcome {
            Ok(details) => tell!("  ok      {what}: {details}"),
            Err(problem) => {
                self.failed += 1;
                tell!("  FAILED  {what}: {problem}");
            }
        }
    }
}

fn config(settings: &Settings, report: &mut Report) {
    let file = ConfigFile::new(&settings.frigate_config, settings.frigate_env.clone());
    let config = match file.read() {
        Ok(config) => config,
        Err(error) => return report.add("config.yml", Err(error.to_string())),
    };
    let path = settings.frigate_config.display();
    let cameras: Vec<String> = config.cameras().iter().map(ToString::to_string).collect();
    let outcome = if cameras.is_empty() {
        Err(format!("{path} has no camera that can be replayed"))
    } else {
        Ok(format!("{path} has {}", cameras.join(", ")))
    };
    report.add("config.yml", outcome);
    let findings = config.findings(file.env());
    for finding in &findings.file {
        tell!("          note: {finding}");
    }
    for camera in &findings.cameras {
        for warning in &camera.warnings {
            tell!("          note: {warning}");
        }
        for error in &camera.errors {
            tell!("          cannot be replayed: {error}");
        }
    }
}

fn database(settings: &Settings, report: &mut Report) {
    let database = Database::at(&settings.database);
    let all_time =
        TimeRange { start: UnixTime::from_secs(0), end: crate::clock::now().plus(3600.0) };
    let path = settings.database.display();
    let outcome = database
        .bytes_of_last_hour(all_time.end)
        .map(|bytes| format!("{path}; the last hour of recordings has {} MB", bytes >> 20))
        .map_err(|error| error.to_string());
    report.add("database", outcome);
}

async fn running_frigate(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let Some(frigate) = run::frigate(settings.frigate.clone())? else {
        tell!("  note    no frigate_url: replay cameras are published, and not added to Frigate");
        return Ok(());
    };
    let outcome = match frigate.look().await {
        Ok(seen) => {
            let way = match seen.way {
                FrigateWay::AddAndRemove => "replay cameras are added and removed while it runs",
                FrigateWay::SwitchOffAndDelete => {
                    "replay cameras are added while it runs, and switched off and deleted after"
                }
                FrigateWay::PublishOnly => {
                    "it takes no cameras while it runs (0.17 and newer do): they are only published"
                }
            };
            for camera in &seen.replay_cameras {
                tell!("          note: {camera} stands in its config.yml");
            }
            match seen.objection() {
                Some(reason) => Err(reason),
                None => Ok(format!("{} is Frigate {}; {way}", frigate.address(), seen.version)),
            }
        }
        Err(fault) => Err(fault.to_string()),
    };
    report.add("running Frigate", outcome);
    Ok(())
}

fn folders(settings: &Settings, report: &mut Report) {
    let media = settings.media.here();
    let recordings = media.join("recordings");
    let readable = fs::read_dir(&recordings)
        .map(|_| format!("{} can be read", recordings.display()))
        .map_err(|error| format!("{}: {error}", recordings.display()));
    report.add("recordings", readable);
    report.add("clips", writable(&settings.replay_dir));
    report.add("data", writable(&settings.data_dir));
}

/// Whether a file can be made in `folder`, which is made if it is not there.
fn writable(folder: &Path) -> Result<String, String> {
    let probe = folder.join(".frigate-replay-check");
    let try_it = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(&probe, b"check")?;
        fs::remove_file(&probe)
    };
    match try_it() {
        Ok(()) => Ok(format!("{} can be written", folder.display())),
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}

async fn broker(settings: &Settings, report: &mut Report) {
    let address = format!("{}:{}", settings.bus.host, settings.bus.port);
    let mut client = match Client::connect(&settings.bus, &settings.topics).await {
        Ok(client) => client,
        Err(error) => return report.add("connection", Err(error.to_string())),
    };
    report.add("connection", Ok(format!("{address} takes us")));
    let base = settings.topics.base();
    let arrive = match client.requests_arrive().await {
        Ok(true) => Ok(format!("{base}/request/+ can be read and written")),
        Ok(false) => Err(format!(
            "what is sent to {base}/request/ does not come back; may this user read and write {base}/#?"
        )),
        Err(error) => Err(error.to_string()),
    };
    report.add("requests", arrive);
    tell!("  note    {}", worker_line(client.snapshot().await));
    match settings.topics.discovery() {
        Some(topic) => tell!("  note    Home Assistant is told of the device at {topic}"),
        None => tell!("  note    Home Assistant is told of no device: discovery_prefix is empty"),
    }
    client.close().await;
}

fn worker_line(snapshot: Result<Vec<Shown>, ClientError>) -> String {
    let online = snapshot.unwrap_or_default().into_iter().find_map(|shown| match shown {
        Shown::Available(online) => Some(online),
        _ => None,
    });
    match online {
        Some(true) => "a worker is online".to_owned(),
        Some(false) => "no worker is online; one was before".to_owned(),
        None => "no worker was ever online under this name".to_owned(),
    }
}
