//! `run`: the worker itself, and `healthcheck`, which asks it.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::config_file::ConfigFile;
use crate::database::Database;
use crate::files::Folders;
use crate::health;
use crate::job::Workshop;
use crate::link::{self, Frigate};
use crate::session::Policy;
use crate::settings::Settings;
use crate::sweep::Yard;
use crate::worker::{self, Plan, WorkerError};

use super::settings_args::SettingsArgs;
use super::{EXIT_SETTINGS, Failure, block_on, log_to_stderr, say};

/// Runs the worker until it is asked to end.
pub fn run(args: SettingsArgs) -> Result<(), Failure> {
    let settings = args.settle()?;
    log_to_stderr(settings.log_format);
    for note in &settings.notes {
        warn!("{note}");
    }
    let plan = plan(settings)?;
    block_on(async {
        let shutdown = termination().map_err(Failure::new)?;
        worker::run(plan, shutdown).await.map_err(|error| match error {
            // Another start would not mend these.
            WorkerError::Bus(_) => Failure { message: error.to_string(), code: EXIT_SETTINGS },
            other => Failure::new(other),
        })
    })?
}

/// What a worker with these settings needs.
///
/// # Errors
/// The certificates to trust for Frigate are none.
pub fn plan(settings: Settings) -> Result<Plan, Failure> {
    let database = Database::at(settings.database);
    let is_open = settings.frigate.as_ref().is_some_and(|options| options.login.is_none());
    let frigate = frigate(settings.frigate)?.map(Arc::new);
    let frigate_url = frigate.as_deref().map(|frigate| frigate.address().to_owned());
    let frigate_pictures = frigate_url.clone().filter(|_| is_open);
    Ok(Plan {
        policy: Policy {
            topics: settings.topics,
            max_session_s: settings.max_session.as_secs_f64(),
            max_range_s: settings.max_range.as_secs_f64(),
            frigate_url,
            frigate_pictures,
            frigate_topics: settings.frigate_topics,
        },
        bus: settings.bus,
        data_dir: settings.data_dir,
        yard: Yard {
            folders: Folders {
                media: settings.media.here().to_owned(),
                replay: settings.replay_dir.clone(),
            },
            database: database.clone(),
        },
        workshop: Workshop {
            config: ConfigFile::new(settings.frigate_config, settings.frigate_env),
            database,
            media: settings.media,
            replay_dir: settings.replay_dir,
            engine: settings.clip_engine,
            ffmpeg: settings.ffmpeg,
            frigate,
        },
        watchdog_interval: settings.watchdog_interval,
    })
}

/// The way to the running Frigate, if there is one.
pub fn frigate(options: Option<link::Options>) -> Result<Option<Frigate>, Failure> {
    options.map(Frigate::new).transpose().map_err(|problem| Failure {
        message: format!("frigate_ca_file: {problem}"),
        code: EXIT_SETTINGS,
    })
}

/// Ready once the process is asked to end: Ctrl-C, a container's stop, or a terminal that is closed.
pub fn termination() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => info!("asked to end (SIGTERM)"),
            _ = interrupt.recv() => info!("asked to end (Ctrl-C)"),
            _ = hang_up.recv() => info!("asked to end (SIGHUP)"),
        }
    })
}

/// Exits with 0 only if the worker is connected and can save.
pub fn healthcheck(args: SettingsArgs) -> Result<(), Failure> {
    let settings = args.settle()?;
    let asked = block_on(health::ask(&settings.data_dir))?;
    let socket = health::socket_path(&settings.data_dir);
    match asked {
        Err(error) => {
            Err(Failure::new(format!("no worker answers at {}: {error}", socket.display())))
        }
        Ok(health) if health.is_well() => say("connected to the broker, the store can be written"),
        Ok(health) => Err(Failure::new(match health.store_error {
            Some(error) => format!("the store cannot be written: {error}"),
            None => "not connected to the broker".to_owned(),
        })),
    }
}
