//! Every setting, once: its name, its words, its default. Flags, environment variables, keys of the
//! settings file, `--help`, `check` and the README's table are all made from this.

/// A setting. Its flag is `--<name>` with dashes, its variable `FRIGATE_REPLAY_<NAME>`, its key in
/// the settings file `<name>`.
#[derive(Debug)]
pub struct Setting {
    /// The name, with underscores.
    pub name: &'static str,
    /// What stands for its value in `--help`.
    pub value: &'static str,
    /// What it is for, and in which unit.
    pub help: &'static str,
    /// What holds if it is set nowhere, in words.
    pub default: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// Whether an empty text is a value of its own and not the same as none.
    pub may_be_empty: bool,
}

const fn setting(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    default: &'static str,
) -> Setting {
    Setting { name, value, help, default, secret: false, may_be_empty: false }
}

/// All settings, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    setting(
        "settings",
        "FILE",
        "Settings file (YAML) with the names below as keys",
        "frigate-replay.yml beside Frigate's config.yml, if it is there",
    ),
    setting("frigate_config", "FILE", "Frigate's config.yml", "/config/config.yml, else .yaml"),
    setting("media_dir", "DIR", "Frigate's media folder as this process sees it", "/media/frigate"),
    setting("frigate_media_dir", "DIR", "The same folder as Frigate sees it", "/media/frigate"),
    setting(
        "database",
        "FILE",
        "Frigate's SQLite database",
        "database.path of Frigate's config, else frigate.db beside it",
    ),
    setting(
        "replay_dir",
        "DIR",
        "Where the clips are put; below the media folder, so that Frigate sees them",
        "<media_dir>/frigate-replay",
    ),
    setting("data_dir", "DIR", "Where the worker keeps its session", "/data"),
    setting(
        "mqtt_url",
        "URL",
        "The broker: mqtt://host:port, or mqtts:// for TLS",
        "mqtt.host and mqtt.port of Frigate's config, else mqtt://localhost:1883",
    ),
    setting("mqtt_username", "NAME", "User at the broker", "mqtt.user of Frigate's config"),
    Setting {
        name: "mqtt_password",
        value: "TEXT",
        help: "Password at the broker; better in a file",
        default: "mqtt.password of Frigate's config",
        secret: true,
        may_be_empty: false,
    },
    setting("mqtt_password_file", "FILE", "File that holds the password", "none"),
    setting(
        "mqtt_ca_file",
        "FILE",
        "Certificates (PEM) of the authorities to trust for mqtts",
        "mqtt.tls_ca_certs of Frigate's config, else the system's",
    ),
    setting(
        "mqtt_client_cert",
        "FILE",
        "Our certificate (PEM), if the broker asks for one",
        "mqtt.tls_client_cert of Frigate's config",
    ),
    setting(
        "mqtt_client_key",
        "FILE",
        "The key (PEM) of our certificate",
        "mqtt.tls_client_key of Frigate's config",
    ),
    setting("mqtt_client_id", "TEXT", "Our client id at the broker", "frigate-replay-<instance>"),
    setting(
        "frigate_url",
        "URL",
        "The running Frigate, to which replay cameras are added: http://host:5000, or https://host:8971",
        "none: replay cameras are only published",
    ),
    setting("frigate_link", "NAME", "Whether to use frigate_url: auto or off", "auto"),
    setting("frigate_user", "NAME", "User at Frigate, with the role admin (port 8971)", "none"),
    Setting {
        name: "frigate_password",
        value: "TEXT",
        help: "Password at Frigate; better in a file",
        default: "none",
        secret: true,
        may_be_empty: false,
    },
    setting("frigate_password_file", "FILE", "File that holds that password", "none"),
    setting(
        "frigate_ca_file",
        "FILE",
        "Certificates (PEM) of the authorities to trust for Frigate's https",
        "the system's",
    ),
    setting(
        "frigate_fingerprint",
        "HEX",
        "SHA-256 fingerprint of Frigate's own certificate, to be trusted instead of authorities",
        "none",
    ),
    setting(
        "frigate_topic_prefix",
        "TOPIC",
        "Where Frigate's own topics begin",
        "mqtt.topic_prefix of Frigate's config, else frigate",
    ),
    setting(
        "clear_frigate_topics",
        "NAME",
        "Whether to clear what Frigate leaves retained of a replay camera: on or off",
        "on",
    ),
    setting("topic_prefix", "TOPIC", "Where our topics begin", "frigate_replay"),
    setting(
        "instance",
        "NAME",
        "The level below the prefix: one for each Frigate",
        "mqtt.client_id of Frigate's config, else frigate",
    ),
    Setting {
        name: "discovery_prefix",
        value: "TOPIC",
        help: "Where Home Assistant looks for devices; empty: it is told of none",
        default: "homeassistant",
        secret: false,
        may_be_empty: true,
    },
    setting("max_session", "TIME", "How long a session may last, such as 12h", "12h"),
    setting(
        "watchdog_interval",
        "TIME",
        "How often the length of the session is looked at, such as 60s",
        "60s",
    ),
    setting("max_range", "TIME", "How long a replayed range may be, such as 24h", "24h"),
    setting(
        "session_expiry",
        "TIME",
        "How long the broker keeps requests for us while we are away, such as 5m",
        "5m",
    ),
    setting(
        "clip_engine",
        "NAME",
        "Who joins the recordings: auto, native or ffmpeg",
        "auto: native, and ffmpeg for what that cannot join",
    ),
    setting(
        "ffmpeg",
        "PROGRAM",
        "The ffmpeg program",
        "ffmpeg.path of Frigate's config if it is a folder here, else ffmpeg",
    ),
    setting("log_format", "NAME", "How to log: text or json", "text"),
];

/// The setting of this name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The name of a setting's environment variable.
pub fn variable(setting: &Setting) -> String {
    format!("FRIGATE_REPLAY_{}", setting.name.to_ascii_uppercase())
}
