//! The command line: which command, and what exit code it ends with.
//!
//! Each command has a file of its own; this one only lists them and hands over.

pub mod camera_config;
pub mod frigate_files;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code for a failure.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code for a wrong command line; clap uses the same.
pub const EXIT_USAGE: u8 = 2;
/// Exit code for settings that cannot work (`EX_CONFIG` of sysexits.h).
pub const EXIT_SETTINGS: u8 = 78;

/// Frigate's debug replay for everything that speaks MQTT.
#[derive(Parser)]
#[command(name = "frigate-replay", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    CameraConfig(camera_config::Args),
}

/// Reads the command line, does what it says, and gives the exit code.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::CameraConfig(args) => camera_config::run(&args),
    }
}
