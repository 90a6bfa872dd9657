//! What this program takes over from Frigate's own config: its broker, its database, its ffmpeg.

use std::fmt;

use super::config::FrigateConfig;
use super::env::Env;
use super::errors::{Finding, Path, Report};
use super::scalar::{self, but_needs};
use super::tree::{Layer, Map, Node, Source};

/// A password: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Frigate's `mqtt:` section. `None` where the file says nothing, or something wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MqttSettings {
    /// Whether Frigate talks MQTT at all.
    pub enabled: Option<bool>,
    /// Name or address of the broker.
    pub host: Option<String>,
    /// Its port, 1 to 65535.
    pub port: Option<u16>,
    /// Who to log in as.
    pub user: Option<String>,
    /// The password for it.
    pub password: Option<Password>,
    /// Frigate's client id, by which its instances are told apart.
    pub client_id: Option<String>,
    /// What Frigate's topics begin with.
    pub topic_prefix: Option<String>,
    /// Path of the certificates that the broker's is checked against, as Frigate sees it.
    pub tls_ca_certs: Option<String>,
    /// Path of the client certificate, as Frigate sees it.
    pub tls_client_cert: Option<String>,
    /// Path of the client's key, as Frigate sees it.
    pub tls_client_key: Option<String>,
    /// Whether the broker's name is not checked.
    pub tls_insecure: Option<bool>,
}

/// What config.yml says of the things that this program shares with Frigate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnSettings {
    /// The broker.
    pub mqtt: MqttSettings,
    /// Path of the database, as Frigate sees it.
    pub database_path: Option<String>,
    /// `default`, a version that comes with Frigate, or a folder with `bin/ffmpeg`.
    pub ffmpeg_path: Option<String>,
    /// What is wrong with any of them. Each wrong setting is `None` above; the others are there.
    pub errors: Vec<Finding>,
}

impl FrigateConfig {
    /// What the file says of the things that this program shares with Frigate, with `{FRIGATE_…}`
    /// filled in where Frigate does so: in the broker's host, user and password.
    pub fn own_settings(&self, env: &Env) -> OwnSettings {
        let env = self.env_with_own(env);
        let mut report = Report::on_file(self.lines());
        let root = self.root();
        let database_path = Reader::of(root, "database", &env, &mut report).text("path");
        let ffmpeg_path = Reader::of(root, "ffmpeg", &env, &mut report).text("path");
        let mut mqtt = Reader::of(root, "mqtt", &env, &mut report);
        let settings = MqttSettings {
            enabled: mqtt.flag("enabled"),
            host: mqtt.secret("host"),
            port: mqtt.port("port"),
            user: mqtt.secret("user"),
            password: mqtt.secret("password").map(Password),
            client_id: mqtt.text("client_id"),
            topic_prefix: mqtt.text("topic_prefix"),
            tls_ca_certs: mqtt.text("tls_ca_certs"),
            tls_client_cert: mqtt.text("tls_client_cert"),
            tls_client_key: mqtt.text("tls_client_key"),
            tls_insecure: mqtt.flag("tls_insecure"),
        };
        mqtt.user_with_password();
        OwnSettings { mqtt: settings, database_path, ffmpeg_path, errors: report.errors }
    }
}

/// Reads single settings out of one section.
struct Reader<'a, 'r, 'l> {
    name: &'static str,
    section: Option<&'a Map>,
    env: &'a Env,
    report: &'r mut Report<'l>,
}

impl<'a, 'r, 'l> Reader<'a, 'r, 'l> {
    fn of(root: &'a Map, name: &'static str, env: &'a Env, report: &'r mut Report<'l>) -> Self {
        if let Some(node) = root.get(name).filter(|node| node.map().is_none()) {
            report.error(
                &Path::Top.key(name),
                node.source,
                but_needs(&node.value, "a map of settings"),
            );
        }
        Self { name, section: root.section(name), env, report }
    }

    /// The node of a setting that is written, and no null.
    fn get(&self, key: &str) -> Option<&'a Node> {
        self.section?.get(key).filter(|node| !node.is_null())
    }

    fn wrong(&mut self, key: &str, node: &Node, message: impl Into<String>) {
        self.report.error(&Path::Top.key(self.name).key(key), node.source, message);
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        let node = self.get(key)?;
        let value = scalar::boolean(&node.value);
        if value.is_none() {
            self.wrong(key, node, but_needs(&node.value, "true or false"));
        }
        value
    }

    fn port(&mut self, key: &str) -> Option<u16> {
        let node = self.get(key)?;
        let port = scalar::integer_of(&node.value)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0);
        if port.is_none() {
            self.wrong(key, node, but_needs(&node.value, "a port between 1 and 65535"));
        }
        port
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let node = self.get(key)?;
        if node.text().is_none() {
            self.wrong(key, node, but_needs(&node.value, "text: write it in quotes"));
        }
        node.text().map(str::to_owned)
    }

    /// A text with placeholders. No message repeats it.
    fn secret(&mut self, key: &str) -> Option<String> {
        let node = self.get(key)?;
        let Some(text) = node.text() else {
            self.wrong(key, node, "must be text: write it in quotes");
            return None;
        };
        match self.env.fill_in(text) {
            Ok(filled) => Some(filled),
            Err(unfilled) => {
                self.wrong(key, node, unfilled.to_string());
                None
            }
        }
    }

    /// Frigate wants both or neither.
    fn user_with_password(&mut self) {
        if self.get("user").is_some() != self.get("password").is_some() {
            let source = self
                .get("user")
                .or(self.get("password"))
                .map_or(Source::of(Layer::Global), |node| node.source);
            self.report.error(
                &Path::Top.key(self.name),
                source,
                "user and password must be given together",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> OwnSettings {
        let env = Env::beside_frigate([("FRIGATE_PW".to_owned(), "s3cret".to_owned())]);
        FrigateConfig::parse(text).unwrap().own_settings(&env)
    }

    #[test]
    fn what_the_file_says_is_taken_over() {
        let own = settings(
            "mqtt: {host: broker.lan, port: '8883', user: nvr, password: '{FRIGATE_PW}', tls_insecure: on}\n\
             database: {path: /config/other.db}\nffmpeg: {path: '7.0'}",
        );
        assert_eq!(own.errors, []);
        assert_eq!(own.mqtt.host.as_deref(), Some("broker.lan"));
        assert_eq!(own.mqtt.port, Some(8883));
        assert_eq!(own.mqtt.password.as_ref().map(Password::expose), Some("s3cret"));
        assert_eq!(own.mqtt.tls_insecure, Some(true));
        assert_eq!(own.mqtt.client_id, None);
        assert_eq!(own.database_path.as_deref(), Some("/config/other.db"));
        assert_eq!(own.ffmpeg_path.as_deref(), Some("7.0"));
        assert!(!format!("{own:?}").contains("s3cret"));
    }

    #[test]
    fn a_wrong_setting_hides_no_other_and_no_message_shows_a_password() {
        let own = settings(
            "mqtt:\n  host: '{FRIGATE_HOST}'\n  port: 0\n  user: nvr\n  password: 12345\n  client_id: front\ndatabase: []\ncameras:",
        );
        let errors: Vec<String> = own.errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "database: is a list, but needs a map of settings (line 7)",
                "mqtt.host: {FRIGATE_HOST} has no value in the environment (line 2)",
                "mqtt.port: 0 is not a port between 1 and 65535 (line 3)",
                "mqtt.password: must be text: write it in quotes (line 5)",
            ]
        );
        assert_eq!(own.mqtt.client_id.as_deref(), Some("front"));
    }

    #[test]
    fn a_user_needs_a_password() {
        let own = settings("mqtt: {user: nvr}");
        assert_eq!(
            own.errors[0].to_string(),
            "mqtt: user and password must be given together (line 1)"
        );
    }

    #[test]
    fn variables_of_the_file_itself_are_filled_in() {
        let own = settings("environment_vars: {FRIGATE_H: broker}\nmqtt: {host: '{FRIGATE_H}'}");
        assert_eq!(own.mqtt.host.as_deref(), Some("broker"));
    }
}
