//! The settings: gathered from flag, environment, settings file, Frigate's own config and defaults,
//! in this order, then made into plain values that are handed down. Nothing below this module knows
//! where a value came from.
//!
//! Settling them touches no broker and no database: it reads files and checks what can be checked
//! by itself, so that a mistake is told before anything is done.

mod broker_url;
mod from_frigate;
mod gather;
mod running_frigate;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::bus;
use crate::clip::Engine;
use crate::frigate::Env;
use crate::frigate::media::MediaMap;
use crate::link;
use crate::wire::topics::{FrigateTopics, Topics};

pub use from_frigate::frigate_env;
use gather::Gathered;
pub use table::{SETTINGS, Setting, find, variable};

/// Where Frigate keeps its config, in its own container and, by default, in ours.
pub const FRIGATE_CONFIG: &str = "/config/config.yml";

/// Where a setting's value came from; of two, the smaller counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A flag of the command line.
    Flag,
    /// An environment variable.
    Variable,
    /// The settings file.
    File,
    /// Frigate's config.yml.
    Frigate,
    /// Nobody set it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Source::Flag => "flag",
            Source::Variable => "environment",
            Source::File => "settings file",
            Source::Frigate => "Frigate's config",
            Source::Default => "default",
        })
    }
}

/// A setting that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value is not what it should be.
    #[error("{name} (from {from}): {problem}")]
    Value {
        /// The setting.
        name: &'static str,
        /// Where the value came from.
        from: Source,
        /// What is wrong, with the value unless it is secret.
        problem: String,
    },
    /// The settings file cannot be read or has something unknown.
    #[error("settings file {path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// One line of what `check` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The setting.
    pub name: &'static str,
    /// Its value, or that it is set if it is secret.
    pub value: String,
    /// Where it came from.
    pub source: Source,
}

/// Everything that was settled.
pub struct Settings {
    /// Frigate's config.yml.
    pub frigate_config: PathBuf,
    /// What the placeholders in it stand for.
    pub frigate_env: Env,
    /// The media folder, here and for Frigate.
    pub media: MediaMap,
    /// Frigate's database.
    pub database: PathBuf,
    /// Where the clips are put.
    pub replay_dir: PathBuf,
    /// Where the worker keeps its session.
    pub data_dir: PathBuf,
    /// How to reach the broker; without a will.
    pub bus: bus::Options,
    /// How to reach the running Frigate, if it is to be given replay cameras.
    pub frigate: Option<link::Options>,
    /// Where Frigate's own topics begin, if what it leaves there is to be cleared.
    pub frigate_topics: Option<FrigateTopics>,
    /// Where the topics are.
    pub topics: Topics,
    /// How long a session may last.
    pub max_session: Duration,
    /// How often that is looked at.
    pub watchdog_interval: Duration,
    /// How long a range may be.
    pub max_range: Duration,
    /// Who joins the recordings.
    pub clip_engine: Engine,
    /// The ffmpeg program.
    pub ffmpeg: PathBuf,
    /// How to log.
    pub log_format: LogFormat,
    /// Every setting as it is shown.
    pub shown: Vec<Shown>,
    /// What a person should know: Frigate's config cannot be read, a variable is unknown.
    pub notes: Vec<String>,
}

impl Settings {
    /// Settles everything. `flags` are the values of the command line by name, `variables` the
    /// environment.
    pub fn settle(
        flags: &BTreeMap<String, String>,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, SettingsError> {
        let mut gathered = Gathered::default();
        gathered.add_flags(flags);
        gathered.add_variables(variables);
        gathered.add_file()?;
        let frigate_config = gathered.frigate_config();
        let frigate_env = frigate_env(variables);
        gathered.add_frigate(&frigate_config, &frigate_env);
        gathered.into_settings(frigate_config, frigate_env)
    }
}

#[cfg(test)]
mod tests;
