//! Gathers the settings from their sources and makes plain values of them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bus;
use crate::clip::Engine;
use crate::frigate::Env;
use crate::frigate::media::MediaMap;
use crate::wire::topics::{TopicError, Topics};

use super::broker_url::BrokerUrl;
use super::table::{SETTINGS, Setting, find, variable};
use super::{FRIGATE_CONFIG, LogFormat, Settings, SettingsError, Shown, Source, from_frigate};

/// The values found so far, each with its source.
#[derive(Default)]
pub(super) struct Gathered {
    values: BTreeMap<&'static str, (String, Source)>,
    notes: Vec<String>,
}

impl Gathered {
    /// The first who sets a value has it: the sources are asked in their order. An empty text sets
    /// nothing, for that is what an unset variable of a compose file gives, unless it is a value of
    /// its own.
    fn add(&mut self, setting: &'static Setting, value: &str, source: Source) {
        if !value.is_empty() || setting.may_be_empty {
            self.values.entry(setting.name).or_insert_with(|| (value.to_owned(), source));
        }
    }

    pub(super) fn add_flags(&mut self, flags: &BTreeMap<String, String>) {
        for setting in SETTINGS {
            if let Some(value) = flags.get(setting.name) {
                self.add(setting, value, Source::Flag);
            }
        }
    }

    pub(super) fn add_variables(&mut self, variables: &BTreeMap<String, String>) {
        for setting in SETTINGS {
            if let Some(value) = variables.get(&variable(setting)) {
                self.add(setting, value, Source::Variable);
            }
        }
        for name in variables.keys().filter(|name| name.starts_with("FRIGATE_REPLAY_")) {
            if !SETTINGS.iter().any(|setting| variable(setting) == **name) {
                self.notes.push(format!("the environment variable {name} is no setting"));
            }
        }
    }

    pub(super) fn add_file(&mut self) -> Result<(), SettingsError> {
        let path = match self.get("settings") {
            Some((path, _)) => PathBuf::from(path),
            None => {
                let beside = self.frigate_config().with_file_name("frigate-replay.yml");
                if !beside.is_file() {
                    return Ok(());
                }
                beside
            }
        };
        let error = |problem: String| SettingsError::File { path: path.clone(), problem };
        let text = fs::read_to_string(&path).map_err(|e| error(e.to_string()))?;
        let file: BTreeMap<String, serde_yaml::Value> = serde_yaml::from_str::<Option<_>>(&text)
            .map_err(|e| error(e.to_string()))?
            .unwrap_or_default();
        for (name, value) in &file {
            let setting =
                find(name).filter(|setting| setting.name != "settings").ok_or_else(|| {
                    error(format!("{name:?} is no setting; see `frigate-replay run --help`"))
                })?;
            let value = match value {
                serde_yaml::Value::Null => continue,
                serde_yaml::Value::String(text) => text.clone(),
                serde_yaml::Value::Number(number) => number.to_string(),
                _ => return Err(error(format!("{name} must be a text"))),
            };
            self.add(setting, &value, Source::File);
        }
        if let Some(settings) = find("settings") {
            self.add(settings, &path.display().to_string(), Source::Default);
        }
        Ok(())
    }

    /// Frigate's config.yml as it was set, else where Frigate itself looks for it.
    pub(super) fn frigate_config(&self) -> PathBuf {
        PathBuf::from(self.get("frigate_config").map_or(FRIGATE_CONFIG, |(path, _)| path))
    }

    pub(super) fn add_frigate(&mut self, config: &Path, env: &Env) {
        let (values, notes) = from_frigate::read(config, env);
        for (name, value) in values {
            if let Some(setting) = find(name) {
                self.add(setting, &value, Source::Frigate);
            }
        }
        self.notes.extend(notes);
    }

    pub(super) fn get(&self, name: &str) -> Option<(&str, Source)> {
        self.values.get(name).map(|(value, source)| (value.as_str(), *source))
    }

    /// The value of `name`, or `default` in its place; noted for `check`.
    pub(super) fn text(&mut self, name: &'static str, default: &str) -> String {
        if let (None, Some(setting)) = (self.get(name), find(name)) {
            self.add(setting, default, Source::Default);
        }
        self.get(name).map(|(value, _)| value.to_owned()).unwrap_or_default()
    }

    fn path(&mut self, name: &'static str, default: impl AsRef<Path>) -> PathBuf {
        PathBuf::from(self.text(name, &default.as_ref().display().to_string()))
    }

    pub(super) fn wrong(&self, name: &'static str, problem: impl fmt::Display) -> SettingsError {
        let from = self.get(name).map_or(Source::Default, |(_, source)| source);
        SettingsError::Value { name, from, problem: problem.to_string() }
    }

    fn duration(&mut self, name: &'static str, default: &str) -> Result<Duration, SettingsError> {
        let text = self.text(name, default);
        match humantime::parse_duration(&text) {
            Ok(duration) => Ok(duration),
            Err(_) => Err(self.wrong(
                name,
                format!(
                    "{text:?} is no length of time; use a number and a unit, such as {default}"
                ),
            )),
        }
    }

    fn positive(&mut self, name: &'static str, default: &str) -> Result<Duration, SettingsError> {
        let duration = self.duration(name, default)?;
        if duration.is_zero() {
            return Err(self.wrong(name, "must be more than 0"));
        }
        Ok(duration)
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<T, SettingsError> {
        let default = choices.first().map_or("", |(word, _)| *word).to_owned();
        let text = self.text(name, &default);
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => Ok(*choice),
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                Err(self.wrong(name, format!("{text:?} must be one of {}", words.join(", "))))
            }
        }
    }

    /// The bytes of the file that `name` names, if it is set.
    pub(super) fn file(&self, name: &'static str) -> Result<Option<Vec<u8>>, SettingsError> {
        let Some((path, _)) = self.get(name) else {
            return Ok(None);
        };
        fs::read(path).map(Some).map_err(|error| self.wrong(name, format!("{path}: {error}")))
    }

    /// The password in the file that `name` names, if it is set.
    pub(super) fn secret_file(&self, name: &'static str) -> Result<Option<String>, SettingsError> {
        let Some(bytes) = self.file(name)? else {
            return Ok(None);
        };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(_) => Err(self.wrong(name, "does not hold UTF-8 text")),
        }
    }

    pub(super) fn into_settings(
        mut self,
        frigate_config: PathBuf,
        frigate_env: Env,
    ) -> Result<Settings, SettingsError> {
        self.path("frigate_config", &frigate_config);
        let media_dir = self.path("media_dir", "/media/frigate");
        let frigate_media_dir = self.path("frigate_media_dir", "/media/frigate");
        let media = MediaMap::new(media_dir.clone(), frigate_media_dir);
        let replay_dir = self.path("replay_dir", media_dir.join("frigate-replay"));
        self.check_replay_dir(&media, &replay_dir)?;
        let prefix = self.text("topic_prefix", "frigate_replay");
        let instance = self.text("instance", "frigate");
        let discovery = self.text("discovery_prefix", "homeassistant");
        let topics = Topics::new(&prefix, &instance)
            .and_then(|topics| topics.with_discovery(&discovery))
            .map_err(|error| {
                let at_fault = match error {
                    TopicError::Discovery(_) => "discovery_prefix",
                    TopicError::Instance(_) => "instance",
                    _ => "topic_prefix",
                };
                self.wrong(at_fault, error)
            })?;
        let settings = Settings {
            database: self.path("database", frigate_config.with_file_name("frigate.db")),
            frigate_config,
            frigate_env,
            media,
            replay_dir,
            data_dir: self.path("data_dir", "/data"),
            bus: self.bus(&instance)?,
            frigate: self.frigate()?,
            frigate_topics: self.frigate_topics()?,
            topics,
            max_session: self.positive("max_session", "12h")?,
            watchdog_interval: self.positive("watchdog_interval", "60s")?,
            max_range: self.positive("max_range", "24h")?,
            clip_engine: self.one_of(
                "clip_engine",
                &[("auto", Engine::Auto), ("native", Engine::Native), ("ffmpeg", Engine::Ffmpeg)],
            )?,
            ffmpeg: self.path("ffmpeg", "ffmpeg"),
            log_format: self
                .one_of("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])?,
            shown: self.shown(),
            notes: std::mem::take(&mut self.notes),
        };
        Ok(settings)
    }

    /// The clips must be where Frigate sees them, and where Frigate does not remove them: 0.18
    /// empties its own replay folder whenever one of its own replays ends.
    fn check_replay_dir(&self, media: &MediaMap, dir: &Path) -> Result<(), SettingsError> {
        if media.to_frigate(dir).is_err() {
            return Err(self.wrong(
                "replay_dir",
                format!("{} must be below media_dir, {}", dir.display(), media.here().display()),
            ));
        }
        if dir.starts_with(media.here().join("clips/replay")) {
            return Err(self.wrong(
                "replay_dir",
                format!("{} is emptied by Frigate itself; choose another folder", dir.display()),
            ));
        }
        Ok(())
    }

    fn bus(&mut self, instance: &str) -> Result<bus::Options, SettingsError> {
        let url = self.text("mqtt_url", "mqtt://localhost:1883");
        let broker = BrokerUrl::parse(&url).map_err(|problem| self.wrong("mqtt_url", problem))?;
        let password = match self.secret_file("mqtt_password_file")? {
            Some(password) => Some(password),
            // Frigate's password goes with Frigate's user only.
            None => self
                .get("mqtt_password")
                .filter(|(_, source)| *source != Source::Frigate || self.is_frigates_user())
                .map(|(password, _)| password.to_owned()),
        };
        let login = match (self.get("mqtt_username"), password) {
            (Some((user, _)), password) => Some((user.to_owned(), password.unwrap_or_default())),
            (None, Some(_)) => {
                return Err(self.wrong("mqtt_username", "missing beside a password"));
            }
            (None, None) => None,
        };
        let expiry = self.duration("session_expiry", "5m")?;
        Ok(bus::Options {
            host: broker.host,
            port: broker.port,
            tls: if broker.tls { Some(self.tls()?) } else { None },
            login,
            client_id: self.text("mqtt_client_id", &format!("frigate-replay-{instance}")),
            session_expiry_s: u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX),
            will_topic: None,
        })
    }

    fn is_frigates_user(&self) -> bool {
        self.get("mqtt_username").is_some_and(|(_, source)| source == Source::Frigate)
    }

    fn tls(&self) -> Result<bus::Tls, SettingsError> {
        let ca = self.file("mqtt_ca_file")?;
        let client = match (self.file("mqtt_client_cert")?, self.file("mqtt_client_key")?) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(self.wrong("mqtt_client_key", "missing beside mqtt_client_cert"));
            }
            (None, Some(_)) => {
                return Err(self.wrong("mqtt_client_cert", "missing beside mqtt_client_key"));
            }
        };
        match (ca, client) {
            (Some(ca), client) => Ok(bus::Tls::Authorities { ca, client }),
            (None, None) => Ok(bus::Tls::System),
            (None, Some(_)) => Err(self.wrong("mqtt_ca_file", "missing beside mqtt_client_cert")),
        }
    }

    fn shown(&self) -> Vec<Shown> {
        let shown = |setting: &Setting| {
            let (value, source) = match self.get(setting.name) {
                Some((_, source)) if setting.secret => ("(set)".to_owned(), source),
                Some((value, source)) => (value.to_owned(), source),
                None => ("-".to_owned(), Source::Default),
            };
            Shown { name: setting.name, value, source }
        };
        SETTINGS.iter().map(shown).collect()
    }
}
