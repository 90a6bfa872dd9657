//! Frigate's config.yml on disk: read when it is needed, and parsed and worked out again only when
//! it changed.
//!
//! Nothing here judges what it says, and nothing ever writes it. Everything blocks and belongs off
//! the loop.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::frigate::{
    ConfigError, Env, FrigateConfig, MAX_BYTES, ReplayCameraConfig, ReplayConfigError,
};

/// Largest config.yml or label map read, bytes.
const FILE_MAX_BYTES: u64 = MAX_BYTES as u64;

/// Why the config is not to be had. The sentence names the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no config.
    #[error("{path}: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
}

/// Why the config of a replay camera is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum ReplayCameraError {
    /// The file.
    #[error(transparent)]
    File(#[from] ConfigFileError),
    /// What it says.
    #[error(transparent)]
    Config(#[from] ReplayConfigError),
}

/// A config.yml, wherever it is.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    env: Env,
    /// The newest text that was parsed, for as long as the file is the same.
    parsed: Mutex<Option<(Stamp, Arc<FrigateConfig>)>>,
    /// The replay camera that was worked out last: every start asks twice, and the next one mostly
    /// for the same.
    replay: Mutex<Option<Replay>>,
}

/// A replay camera without overrides, as it comes out of a config.
#[derive(Debug)]
struct Replay {
    of: Arc<FrigateConfig>,
    camera: String,
    clip_path: String,
    config: Arc<ReplayCameraConfig>,
}

/// What changes when the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

impl ConfigFile {
    /// The config at `path`, whose placeholders stand for `env`.
    pub fn new(path: impl Into<PathBuf>, env: Env) -> Self {
        Self { path: path.into(), env, parsed: Mutex::new(None), replay: Mutex::new(None) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its placeholders stand for.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// The config as the file has it now.
    pub fn read(&self) -> Result<Arc<FrigateConfig>, ConfigFileError> {
        let io_error = |source| ConfigFileError::Io { path: self.path.clone(), source };
        let path = self.path_as_frigate_finds_it();
        let stamp = stamp(&path).map_err(io_error)?;
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, config)) = &*parsed
            && *of == stamp
        {
            return Ok(Arc::clone(config));
        }
        let text = read_text(&path).map_err(io_error)?;
        let config = FrigateConfig::parse(&text)
            .map_err(|source| ConfigFileError::Config { path: self.path.clone(), source })?;
        let config = Arc::new(with_label_map(config));
        *parsed = Some((stamp, Arc::clone(&config)));
        Ok(config)
    }

    /// The config of the replay camera that plays `clip_path`, as the file has it now. See
    /// [`FrigateConfig::replay_camera`].
    pub fn replay_camera(
        &self,
        camera: &str,
        clip_path: &str,
        overrides: Option<&Map<String, Value>>,
    ) -> Result<Arc<ReplayCameraConfig>, ReplayCameraError> {
        let of = self.read()?;
        if overrides.is_some() {
            return Ok(Arc::new(of.replay_camera(&self.env, camera, clip_path, overrides)?));
        }
        let mut replay = self.replay.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*replay
            && Arc::ptr_eq(&known.of, &of)
            && known.camera == camera
            && known.clip_path == clip_path
        {
            return Ok(Arc::clone(&known.config));
        }
        let config = Arc::new(of.replay_camera(&self.env, camera, clip_path, None)?);
        let (camera, clip_path) = (camera.to_owned(), clip_path.to_owned());
        *replay = Some(Replay { of, camera, clip_path, config: Arc::clone(&config) });
        Ok(config)
    }

    /// Where there is no such file, Frigate takes "yaml" for every "yml" in its path.
    fn path_as_frigate_finds_it(&self) -> PathBuf {
        let yaml = self.path.to_str().map(|path| PathBuf::from(path.replace("yml", "yaml")));
        match yaml {
            Some(yaml) if !self.path.is_file() && yaml.is_file() => yaml,
            _ => self.path.clone(),
        }
    }
}

/// Hands in the label map that the config names, if it is to be seen from here. Without it every
/// label counts as known.
fn with_label_map(config: FrigateConfig) -> FrigateConfig {
    match config.label_map_path().map(read_text) {
        Some(Ok(text)) => config.with_label_map(text),
        _ => config,
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp {
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is no plain file"));
    }
    let mut text = String::new();
    file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(io::Error::other(format!("is larger than {FILE_MAX_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CLIP: &str = "/media/clip.mp4";

    #[test]
    fn a_replay_camera_is_the_same_until_the_config_changes() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("config.yml");
        let write = |fps: u32| {
            let camera = format!(
                "{{ffmpeg: {{inputs: [{{path: x, roles: [detect]}}]}}, detect: {{fps: {fps}}}}}"
            );
            fs::write(&path, format!("cameras: {{front: {camera}, yard: {camera}}}")).unwrap();
        };
        let file = ConfigFile::new(&path, Env::beside_frigate([]));
        let ask = |camera: &str| file.replay_camera(camera, CLIP, None).unwrap();
        let fps = |config: &ReplayCameraConfig| config.camera_config["detect"]["fps"].clone();
        write(5);
        let first = ask("front");
        assert!(Arc::ptr_eq(&first, &ask("front")));
        assert!(!Arc::ptr_eq(&first, &ask("yard")));
        assert!(file.replay_camera("shed", CLIP, None).is_err());

        let overrides = json!({"detect": {"fps": 9}});
        let other = file.replay_camera("yard", CLIP, overrides.as_object()).unwrap();
        assert_eq!(fps(&other), json!(9));
        assert_eq!(fps(&ask("yard")), json!(5));

        write(17);
        assert_eq!(fps(&ask("yard")), json!(17));
        fs::remove_file(&path).unwrap();
        assert!(file.replay_camera("yard", CLIP, None).is_err());
    }
}
