//! Frigate's own files as they lie on this machine: config.yml, the label map that it names, and
//! the values for its `{FRIGATE_…}` placeholders.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::frigate::{ConfigError, ENV_PREFIX, Env, FrigateConfig, MAX_BYTES};

/// Where Frigate looks for its config.
pub const CONFIG_PATH: &str = "/config/config.yml";
/// Where container runtimes put secrets, unless `$CREDENTIALS_DIRECTORY` says otherwise.
const SECRETS_DIR: &str = "/run/secrets";

/// Why Frigate's config cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It holds no config.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
}

/// Reads and parses config.yml at `path`, or beside it with `yaml` for every `yml` in its path, as
/// Frigate does. If the config names a label map that can be read, it goes along.
pub fn load_config(path: &Path) -> Result<FrigateConfig, LoadError> {
    let path = match path.to_str() {
        Some(text) if !path.is_file() => PathBuf::from(text.replace("yml", "yaml")),
        _ => path.to_owned(),
    };
    let too_large =
        |bytes: u64| ConfigError::TooLarge { bytes: usize::try_from(bytes).unwrap_or(usize::MAX) };
    match fs::metadata(&path) {
        Ok(file) if file.len() > MAX_BYTES as u64 => {
            return Err(LoadError::Parse { path, source: too_large(file.len()) });
        }
        _ => {}
    }
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(LoadError::Read { path, source }),
    };
    let config = match FrigateConfig::parse(&text) {
        Ok(config) => config,
        Err(source) => return Err(LoadError::Parse { path, source }),
    };
    let label_map = config.label_map_path().map(fs::read_to_string);
    Ok(match label_map {
        Some(Ok(text)) => config.with_label_map(text),
        _ => config,
    })
}

/// The values for `{FRIGATE_…}` that this process can see: its environment, and over it the files
/// called `FRIGATE_…` in `$CREDENTIALS_DIRECTORY` or `/run/secrets`. What cannot be read is left
/// out.
pub fn env() -> Env {
    let own = std::env::vars_os().filter_map(|(name, value)| text(name).zip(text(value)));
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").unwrap_or_else(|| SECRETS_DIR.into());
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let secrets = files.filter_map(|file| {
        let name = text(file.file_name()).filter(|name| name.starts_with(ENV_PREFIX))?;
        Some((name, fs::read_to_string(file.path()).ok()?.trim().to_owned()))
    });
    Env::beside_frigate(own.chain(secrets))
}

fn text(text: OsString) -> Option<String> {
    text.into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_called_yaml_is_found_under_yml() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.yaml"), "cameras: {front: {}}").unwrap();
        let config = load_config(&folder.path().join("config.yml")).unwrap();
        assert_eq!(config.cameras().len(), 1);
    }

    #[test]
    fn a_label_map_that_is_there_goes_along() {
        let folder = tempfile::tempdir().unwrap();
        let labels = folder.path().join("labels.txt");
        fs::write(&labels, "tram\n").unwrap();
        let path = folder.path().join("config.yml");
        let camera = "{ffmpeg: {inputs: [{path: a}]}, objects: {track: [tram, person]}}";
        let text =
            format!("model: {{labelmap_path: {}}}\ncameras: {{front: {camera}}}", labels.display());
        fs::write(&path, text).unwrap();
        let replay = load_config(&path)
            .unwrap()
            .replay_camera(&Env::default(), "front", "/clip", None)
            .unwrap();
        assert_eq!(replay.camera_config["objects"]["track"], serde_json::json!(["tram"]));
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yml");
        assert!(load_config(&path).unwrap_err().to_string().contains("config.yaml"));
        fs::write(&path, "a: [").unwrap();
        assert!(load_config(&path).unwrap_err().to_string().contains("config.yml: line 2: "));
    }
}
