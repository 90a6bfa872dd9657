//! What Frigate's own config.yml tells the worker, so that who runs Frigate has nothing to set.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config_file::ConfigFile;
use crate::frigate::{ENV_PREFIX, Env, OwnSettings};

/// Where Frigate finds its secrets as files, unless `$CREDENTIALS_DIRECTORY` says otherwise.
const SECRETS_DIR: &str = "/run/secrets";

/// The settings that `config` gives, by name, and what a person should know of it.
pub fn read(config: &Path, env: &Env) -> (Vec<(&'static str, String)>, Vec<String>) {
    match ConfigFile::new(config, env.clone()).read() {
        Ok(file) => {
            let own = file.own_settings(env);
            let notes =
                own.errors.iter().map(|error| format!("{}: {error}", config.display())).collect();
            (values(own, config), notes)
        }
        Err(error) => (Vec::new(), vec![error.to_string()]),
    }
}

fn values(own: OwnSettings, config: &Path) -> Vec<(&'static str, String)> {
    let mut values = Vec::new();
    let mut add = |name, value: Option<String>| values.extend(value.map(|value| (name, value)));
    let mqtt = own.mqtt;
    let tls = mqtt.tls_ca_certs.is_some();
    let scheme = if tls { "mqtts" } else { "mqtt" };
    let port = mqtt.port.unwrap_or(1883);
    // An IPv6 address stands in brackets.
    let host = mqtt.host.map(|host| if host.contains(':') { format!("[{host}]") } else { host });
    add("mqtt_url", host.map(|host| format!("{scheme}://{host}:{port}")));
    add("mqtt_username", mqtt.user);
    add("mqtt_password", mqtt.password.map(|password| password.expose().to_owned()));
    add("mqtt_ca_file", mqtt.tls_ca_certs);
    add("mqtt_client_cert", mqtt.tls_client_cert);
    add("mqtt_client_key", mqtt.tls_client_key);
    add("frigate_topic_prefix", mqtt.topic_prefix);
    add("instance", mqtt.client_id.map(|id| instance_of(&id)));
    add("database", own.database_path.map(|path| database_of(&path, config)));
    // `default` and version numbers name an ffmpeg inside Frigate's container.
    add(
        "ffmpeg",
        own.ffmpeg_path
            .map(|folder| Path::new(&folder).join("bin/ffmpeg"))
            .filter(|program| program.is_absolute() && program.is_file())
            .map(|program| program.display().to_string()),
    );
    values
}

/// A client id as an instance name: what cannot be in a topic's level becomes `_`.
fn instance_of(client_id: &str) -> String {
    client_id
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .collect()
}

/// The database's path as this process sees it: what Frigate has in its `/config` is in the folder
/// of the config that we read.
fn database_of(path: &str, config: &Path) -> String {
    let beside = Path::new(path)
        .strip_prefix("/config")
        .ok()
        .and_then(|rest| Some(config.parent()?.join(rest)))
        .unwrap_or_else(|| PathBuf::from(path));
    beside.display().to_string()
}

/// The values that stand for `{FRIGATE_…}` in config.yml: from the environment, and over them the
/// files of that name among the secrets, as Frigate reads them.
pub fn frigate_env(variables: &BTreeMap<String, String>) -> Env {
    let mut values: BTreeMap<String, String> = (variables.iter())
        .filter(|(name, _)| name.starts_with(ENV_PREFIX))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let folder = variables.get("CREDENTIALS_DIRECTORY").map_or(SECRETS_DIR, String::as_str);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if let (Ok(name), Ok(text)) =
            (entry.file_name().into_string(), fs::read_to_string(entry.path()))
            && name.starts_with(ENV_PREFIX)
        {
            values.insert(name, text.trim().to_owned());
        }
    }
    Env::beside_frigate(values)
}
