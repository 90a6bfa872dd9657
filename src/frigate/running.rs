//! What a running Frigate says of itself: its version, and the cameras of its config.yml.

use crate::words::{REPLAY_PREFIX, ReplayCamera};

use super::config::FrigateConfig;
use super::errors::ConfigError;

/// Longest answer taken for a version, in bytes. A proxy's page is longer.
const VERSION_MAX: usize = 64;

/// Frigate's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 0 in `0.18.0-beta1`.
    pub major: u32,
    /// 18 in `0.18.0-beta1`.
    pub minor: u32,
}

/// The releases whose HTTP API takes a replay camera, by what sets them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Masks are lists; a camera can be added while it runs, but not removed.
    V0_17,
    /// Masks are maps; cameras can be added and removed while it runs. Also every later one.
    V0_18,
}

impl Version {
    /// Reads the answer of `GET /api/version`: `0.18.0-abc1234`.
    pub fn parse(answer: &str) -> Option<Self> {
        let text = answer.trim().trim_matches('"');
        if text.len() > VERSION_MAX {
            return None;
        }
        let mut parts = text.split(['.', '-']);
        let mut number = || {
            let part = parts.next()?;
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
        };
        Some(Self { major: number()?, minor: number()? })
    }

    /// Which API it has; `None` if it is too old to take a replay camera.
    pub fn release(self) -> Option<Release> {
        match (self.major, self.minor) {
            (0, ..17) => None,
            (0, 17) => Some(Release::V0_17),
            _ => Some(Release::V0_18),
        }
    }
}

/// The cameras of a config.yml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CamerasInConfig {
    /// Those that replay another.
    pub replay: Vec<ReplayCamera>,
    /// How many others there are.
    pub others: usize,
}

/// Why the cameras of a config.yml are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawConfigError {
    /// Frigate reads it, but none of its own commands can change it.
    #[error(
        "Frigate's config.yml is written as JSON (it begins with a brace), and no request can change \
         such a file; write it as YAML"
    )]
    Json,
    /// It cannot be read.
    #[error("Frigate's config.yml: {0}")]
    Config(#[from] ConfigError),
}

/// Reads the answer of `GET /api/config/raw`: the text of config.yml, as JSON writes a text or as it
/// is.
///
/// # Errors
/// It is written as JSON, or no YAML.
pub fn cameras_in_config(answer: &str) -> Result<CamerasInConfig, RawConfigError> {
    let unquoted;
    let text = match serde_json::from_str::<String>(answer) {
        Ok(text) => {
            unquoted = text;
            &unquoted
        }
        Err(_) => answer,
    };
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        return Err(RawConfigError::Json);
    }
    let config = FrigateConfig::parse(text)?;
    let mut found = CamerasInConfig::default();
    let cameras = config.root().section("cameras");
    for name in cameras.into_iter().flat_map(|cameras| cameras.entries.keys()) {
        match ReplayCamera::parse(name) {
            Ok(camera) => found.replay.push(camera),
            Err(_) => found.others += usize::from(!name.starts_with(REPLAY_PREFIX)),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart_and_garbage_is_none() {
        for (answer, release) in [
            ("0.18.0-abc1234", Some(Release::V0_18)),
            ("0.18.0-beta1\n", Some(Release::V0_18)),
            ("\"0.17.2-3f1\"", Some(Release::V0_17)),
            ("0.19-dev", Some(Release::V0_18)),
            ("1.0.0", Some(Release::V0_18)),
            ("0.16.4-abc", None),
            ("0.9.1", None),
        ] {
            assert_eq!(Version::parse(answer).unwrap().release(), release, "{answer}");
        }
        assert_eq!(Version::parse("0.17.2-3f1"), Some(Version { major: 0, minor: 17 }));
        let long = "0.18".repeat(1000);
        let garbage =
            ["", "0", "0.x", "+0.18", "dev-abc", "<html>0.18</html>", "0.99999999999", &long];
        for answer in garbage {
            assert_eq!(Version::parse(answer), None, "{answer}");
        }
    }

    fn cameras(answer: &str) -> (Vec<String>, usize) {
        let found = cameras_in_config(answer).unwrap();
        let mut replay: Vec<String> =
            found.replay.iter().map(|camera| camera.as_str().to_owned()).collect();
        replay.sort();
        (replay, found.others)
    }

    #[test]
    fn cameras_are_found_in_any_yaml() {
        let ours = vec!["_replay_a".to_owned(), "_replay_b".to_owned()];
        let plain = "cameras:\n  a: {}\n  _replay_a: {x: 1}\n  b:\n  '_replay_b': null\n";
        assert_eq!(cameras(plain), (ours.clone(), 2));
        assert_eq!(cameras(&serde_json::to_string(plain).unwrap()), (ours.clone(), 2));
        let merged = "base: &base\n  a: &cam {ffmpeg: !x {}}\n  _replay_a: *cam\ncameras:\n  <<: *base\n  \
                      _replay_b: !!map {}\n  true: 1\n";
        assert_eq!(cameras(merged), (ours, 1));
        for none in ["mqtt: {}\n", "cameras:\n", "cameras: []\n", "\"cameras\": {}\n"] {
            assert_eq!(cameras(none), (Vec::new(), 0), "{none}");
        }
        // Not a name that we could have given: whose it is nobody knows.
        assert_eq!(
            cameras("cameras: {_replay_: 1, '_replay_a b': 1, _replay__replay_a: 1}"),
            (Vec::new(), 0)
        );
    }

    #[test]
    fn a_config_that_cannot_be_changed_or_read_says_so() {
        for json in ["{\"cameras\": {}}", "\u{feff} \n{cameras: {}}", "\"{\\\"cameras\\\": {}}\""] {
            assert_eq!(cameras_in_config(json), Err(RawConfigError::Json), "{json}");
        }
        for other in ["", "<html></html>", "a: [", "- 1"] {
            let error = cameras_in_config(other).unwrap_err();
            assert!(matches!(error, RawConfigError::Config(_)), "{other}: {error}");
        }
        let long = format!("a: {}", "x".repeat(super::super::MAX_BYTES));
        assert!(cameras_in_config(&long).is_err());
    }
}
