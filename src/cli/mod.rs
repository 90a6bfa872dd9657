//! The command line: which command, and what exit code it ends with.
//!
//! Each command has a file of its own; this one only lists them and hands over. Here alone the
//! program reads its environment, makes its runtime and decides how to log.

/// Prints a line of a command that ends by itself: if nobody reads any more it just goes on.
macro_rules! tell {
    ($($line:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}

/// Prints a line to stderr.
macro_rules! complain {
    ($($line:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($line)*);
    }};
}

mod ask;
mod camera_config;
mod check;
mod clip;
#[cfg(feature = "demo")]
mod demo;
mod purge;
mod run;
pub mod schema;
mod settings_args;

use std::fmt;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::settings::LogFormat;
use settings_args::SettingsArgs;

/// Exit code for a failure.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code for a wrong command line; clap uses the same.
pub const EXIT_USAGE: u8 = 2;
/// Exit code for settings that cannot work (`EX_CONFIG` of sysexits.h).
pub const EXIT_SETTINGS: u8 = 78;

/// Frigate's debug replay for everything that speaks MQTT.
///
/// Every setting is a flag, an environment variable FRIGATE_REPLAY_<NAME> and a key of the settings
/// file; what nobody sets comes from Frigate's own config.yml. `check` shows them all.
#[derive(Parser)]
#[command(name = "frigate-replay", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the worker.
    Run {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Show a replay from request to removal, with a broker and recordings of its own.
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    /// Start a replay and watch it until it is live.
    Start(ask::StartArgs),
    /// Stop the replay.
    Stop(ask::StopArgs),
    /// Show the session and the job.
    Status(ask::StatusArgs),
    CameraConfig(camera_config::Args),
    Clip(clip::Args),
    /// Show every setting, where it came from, and what can be reached.
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Remove every trace of the worker: topics, clips, rows, its own data. Stop the worker first.
    Purge {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Tell by the exit code whether the worker is connected and can save; for a container's health check.
    Healthcheck {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Print the JSON Schemas of all messages.
    Schema(schema::SchemaArgs),
}

/// How a command failed: a line for stderr and the exit code.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    fn new(error: impl fmt::Display) -> Self {
        Self { message: error.to_string(), code: EXIT_FAILURE }
    }

    fn settings(error: impl fmt::Display) -> Self {
        Self { message: error.to_string(), code: EXIT_SETTINGS }
    }

    /// A failure that has been told already.
    fn silent() -> Self {
        Self { message: String::new(), code: EXIT_FAILURE }
    }
}

/// Reads the command line, does what it says, and gives the exit code.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run { settings } => run::run(settings),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::demo(args),
        Command::Start(args) => ask::start(args),
        Command::Stop(args) => ask::stop(args),
        Command::Status(args) => ask::status(args),
        Command::CameraConfig(args) => camera_config::run(&args),
        Command::Clip(args) => clip::run(args),
        Command::Check { settings } => check::check(settings),
        Command::Purge { settings } => purge::purge(settings),
        Command::Healthcheck { settings } => run::healthcheck(settings),
        Command::Schema(args) => schema::schema(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                complain!("frigate-replay: {}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Runs `work` on this thread. One thread is enough for a worker that mostly waits, and children
/// that are to die with their thread then die with the process.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    let done = runtime.block_on(work);
    // A look at a hanging disk must not hold the end back.
    runtime.shutdown_background();
    Ok(done)
}

/// Prints a line. Whoever reads us may have gone, as `head` does: that ends the command.
fn say(line: impl fmt::Display) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::silent(),
        _ => Failure::new(error),
    })
}

/// Logs to stderr; `RUST_LOG` sets the level, `info` if it is not set.
fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Whoever reads the log may go; the worker stays. Told of it, it would panic.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal());
    // It fails only if somebody logs already.
    let _ = match format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}
