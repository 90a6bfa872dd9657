//! The settings as flags, made from the table of settings.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::settings::{SETTINGS, Settings, variable};

use super::Failure;

/// The settings that were given as flags.
#[derive(Clone, Debug, Default)]
pub struct SettingsArgs {
    flags: BTreeMap<String, String>,
}

impl SettingsArgs {
    /// Settles all settings from these flags and the environment.
    pub fn settle(&self) -> Result<Settings, Failure> {
        Settings::settle(&self.flags, &environment()).map_err(Failure::settings)
    }
}

/// The environment, as far as it is text.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        command.next_help_heading("Settings").args(SETTINGS.iter().map(|setting| {
            Arg::new(setting.name)
                .long(setting.name.replace('_', "-"))
                .value_name(setting.value)
                .help(format!("{} [default: {}]", setting.help, setting.default))
                .long_help(format!(
                    "{}\n\n[default: {}] [env: {}]",
                    setting.help,
                    setting.default,
                    variable(setting)
                ))
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            if let Ok(Some(value)) = matches.try_get_one::<String>(setting.name) {
                self.flags.insert(setting.name.to_owned(), value.clone());
            }
        }
        Ok(())
    }
}
