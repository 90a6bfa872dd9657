//! `camera-config`: prints what the replay of a camera would run with.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::frigate_files::{self, CONFIG_PATH};
use crate::words::REPLAY_PREFIX;

/// Prints the config that a replay of a camera would run with.
///
/// On success one JSON object goes to standard output: replay_camera, camera_config, warnings. If
/// the camera cannot be replayed, standard error gets one line for each thing that is wrong.
#[derive(clap::Args)]
pub struct Args {
    /// Frigate's config; if it is not there, the same path with .yaml
    #[arg(long, value_name = "FILE", default_value = CONFIG_PATH)]
    frigate_config: PathBuf,
    /// The camera to replay
    #[arg(long, value_name = "NAME")]
    camera: String,
    /// Path of the clip, as Frigate sees it
    #[arg(long, value_name = "PATH")]
    clip: String,
    /// Settings to lay over the camera's own, as a JSON object: any part of detect, objects, zones,
    /// motion, lpr and face_recognition
    #[arg(long, value_name = "JSON", value_parser = parse_overrides)]
    overrides: Option<Overrides>,
}

#[derive(Clone)]
struct Overrides(Map<String, Value>);

fn parse_overrides(text: &str) -> Result<Overrides, String> {
    serde_json::from_str(text).map(Overrides).map_err(|error| format!("no JSON object: {error}"))
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match resolve(args) {
        Ok(resolved) => {
            println!("{resolved:#}");
            ExitCode::SUCCESS
        }
        Err(lines) => {
            for line in lines {
                eprintln!("{line}");
            }
            ExitCode::from(super::EXIT_FAILURE)
        }
    }
}

fn resolve(args: &Args) -> Result<Value, Vec<String>> {
    let config = frigate_files::load_config(&args.frigate_config)
        .map_err(|error| vec![error.to_string()])?;
    let overrides = args.overrides.as_ref().map(|overrides| &overrides.0);
    let replay = config
        .replay_camera(&frigate_files::env(), &args.camera, &args.clip, overrides)
        .map_err(|error| error.lines())?;
    let warnings: Vec<String> = replay.warnings.iter().map(ToString::to_string).collect();
    Ok(json!({
        "replay_camera": format!("{REPLAY_PREFIX}{}", args.camera),
        "camera_config": replay.camera_config,
        "warnings": warnings,
    }))
}
