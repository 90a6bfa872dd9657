//! The nouns that every floor shares: cameras, jobs, times.
//!
//! Each is checked once, where it is made, so that whoever holds one may put it in a topic or a
//! path without another look. Nothing here reads a clock or makes a random number.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a replay camera's name begins with. The one place that decides whose a camera is.
pub const REPLAY_PREFIX: &str = "_replay_";

/// Longest camera name taken, in bytes: `_replay_<name>.mp4` must fit a file name of 255 bytes,
/// with room for the dot and `.part` of a clip in the making.
pub const CAMERA_NAME_MAX: usize = 200;

/// A source camera's name as Frigate allows it: `^[a-zA-Z0-9_-]+$`, at most
/// [`CAMERA_NAME_MAX`] bytes, and not the name of a replay camera.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CameraName(String);

/// Why a text is no camera name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a camera name is empty")]
    Empty,
    /// More than [`CAMERA_NAME_MAX`] bytes.
    #[error("a camera name of {0} bytes is longer than {CAMERA_NAME_MAX}")]
    TooLong(usize),
    /// A character outside `a-z A-Z 0-9 _ -`.
    #[error("camera name {0:?} holds {1:?}; only letters, digits, _ and - are allowed")]
    Character(String, char),
    /// A name of a replay camera where a source camera is meant.
    #[error("{0:?} is a replay camera; name the camera that it replays")]
    Replay(String),
    /// A name without [`REPLAY_PREFIX`] where a replay camera is meant.
    #[error("{0:?} is not a replay camera, whose name begins with {REPLAY_PREFIX}")]
    NotReplay(String),
}

impl CameraName {
    /// Checks `name`.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        check_characters(name)?;
        if name.starts_with(REPLAY_PREFIX) {
            return Err(NameError::Replay(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The temporary camera that replays this one.
    pub fn replay(&self) -> ReplayCamera {
        ReplayCamera(format!("{REPLAY_PREFIX}{}", self.0))
    }
}

/// A replay camera's name: [`REPLAY_PREFIX`] and the name of its source camera.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReplayCamera(String);

impl ReplayCamera {
    /// Checks `name`, which must begin with [`REPLAY_PREFIX`] and go on as a camera name.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let Some(source) = name.strip_prefix(REPLAY_PREFIX) else {
            return Err(NameError::NotReplay(name.to_owned()));
        };
        check_characters(source)?;
        if source.starts_with(REPLAY_PREFIX) {
            return Err(NameError::Replay(source.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The camera that it replays.
    pub fn source(&self) -> CameraName {
        CameraName(self.0[REPLAY_PREFIX.len()..].to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_characters(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > CAMERA_NAME_MAX {
        return Err(NameError::TooLong(name.len()));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        Some(character) => Err(NameError::Character(name.to_owned(), character)),
        None => Ok(()),
    }
}

/// A job's id: 12 lower-case letters and digits, as Frigate makes them.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// How many characters an id has.
    pub const LENGTH: usize = 12;

    /// Writes random bytes as an id, a character for each byte: 36^12 ids. The slight unevenness of
    /// the remainder does no harm.
    pub fn from_random(bytes: [u8; Self::LENGTH]) -> Self {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        Self(bytes.iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).collect())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Seconds since 1970-01-01T00:00:00Z, finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct UnixTime(f64);

impl UnixTime {
    /// `None` for NaN and the infinities.
    pub fn new(seconds: f64) -> Option<Self> {
        seconds.is_finite().then_some(Self(seconds))
    }

    /// Whole seconds, which are always finite.
    pub fn from_secs(seconds: u32) -> Self {
        Self(f64::from(seconds))
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> f64 {
        self.0
    }

    /// Seconds from `earlier` to this time; negative if this time is before it.
    pub fn since(self, earlier: Self) -> f64 {
        self.0 - earlier.0
    }

    /// The earlier of the two.
    pub fn min(self, other: Self) -> Self {
        if other < self { other } else { self }
    }

    /// This time and `seconds` more. What would not be finite stays where it is.
    pub fn plus(self, seconds: f64) -> Self {
        Self::new(self.0 + seconds).unwrap_or(self)
    }
}

/// A stretch of time; who makes one sees to it that the end is after the start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimeRange {
    /// Where it begins.
    pub start: UnixTime,
    /// Where it ends.
    pub end: UnixTime,
}

impl TimeRange {
    /// Its length in seconds.
    pub fn seconds(self) -> f64 {
        self.end.since(self.start)
    }
}

macro_rules! text_word {
    ($word:ident, $parse:path, $pattern:literal) => {
        impl fmt::Display for $word {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl JsonSchema for $word {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($word).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
        impl TryFrom<String> for $word {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                $parse(&text)
            }
        }
        impl From<$word> for String {
            fn from(word: $word) -> String {
                word.0
            }
        }
    };
}
text_word!(CameraName, CameraName::parse, "^(?!_replay_)[a-zA-Z0-9_-]{1,200}$");
text_word!(ReplayCamera, ReplayCamera::parse, "^_replay_(?!_replay_)[a-zA-Z0-9_-]{1,200}$");

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For people: the seconds, and the time in UTC where there is one.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match jiff::Timestamp::from_second(self.0 as i64) {
            Ok(time) => write!(f, " ({time})"),
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_name_that_could_leave_its_topic_or_folder_is_refused() {
        for bad in ["", "a/b", "a+", "#", "..", "a b", "tür", "a\0", "a.b", "_replay_front"] {
            assert!(CameraName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(CameraName::parse(&"x".repeat(CAMERA_NAME_MAX)).is_ok());
        assert!(CameraName::parse(&"x".repeat(CAMERA_NAME_MAX + 1)).is_err());
    }

    #[test]
    fn a_replay_camera_is_its_source_with_the_prefix() {
        let front = CameraName::parse("front-door_2").unwrap();
        assert_eq!(front.replay().as_str(), "_replay_front-door_2");
        assert_eq!(ReplayCamera::parse("_replay_front-door_2"), Ok(front.replay()));
        assert_eq!(front.replay().source(), front);
        for bad in ["front", "_replay_", "_replay_a/b", "_replay_..", "_replay__replay_a"] {
            assert!(ReplayCamera::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_job_id_has_twelve_plain_characters() {
        let id = JobId::from_random([0, 35, 36, 255, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(id.as_str().len(), JobId::LENGTH);
        assert!(id.as_str().starts_with("a9ad"));
    }

    #[test]
    fn a_time_is_shown_to_people_with_its_date() {
        let time = UnixTime::new(1767225600.5).unwrap();
        assert_eq!(time.to_string(), "1767225600.5 (2026-01-01T00:00:00Z)");
        assert_eq!(UnixTime::new(1e15).unwrap().to_string(), "1000000000000000");
    }

    #[test]
    fn times_stay_finite() {
        assert_eq!(UnixTime::new(f64::NAN), None);
        assert_eq!(UnixTime::new(f64::INFINITY), None);
        let huge = UnixTime::new(f64::MAX).unwrap();
        assert_eq!(huge.plus(f64::MAX), huge);
    }
}
