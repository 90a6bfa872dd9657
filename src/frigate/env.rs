//! `{FRIGATE_…}` placeholders, as Frigate fills them in.

use std::collections::BTreeMap;
use std::fmt;

/// What the name of every variable begins with that Frigate fills in.
pub const ENV_PREFIX: &str = "FRIGATE_";

/// The values for `{FRIGATE_…}`.
///
/// The caller collects them (Frigate takes its environment, and over it the files called
/// `FRIGATE_…` in `$CREDENTIALS_DIRECTORY` or `/run/secrets`); what config.yml itself says under
/// `environment_vars:` comes on top, without the caller's doing.
///
/// Values are secrets: `Debug` shows the names only.
#[derive(Clone, Default)]
pub struct Env {
    values: BTreeMap<String, String>,
    complete: bool,
}

impl Env {
    /// All the values that Frigate has: a placeholder without one is an error, as it is for
    /// Frigate.
    pub fn of_frigate(values: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { complete: true, ..Self::beside_frigate(values) }
    }

    /// The values that a process beside Frigate happens to have. It need not know the passwords of
    /// the cameras' streams, so a placeholder without a value in one of those is only a warning.
    pub fn beside_frigate(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let values = values.into_iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
        Self { values, complete: false }
    }

    /// Whether a placeholder without a value is known to be wrong.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// This and what `environment_vars:` of the config adds.
    pub(super) fn with(&self, added: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut all = self.clone();
        all.values.extend(added.into_iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)));
        all
    }

    /// `text` with every placeholder filled in. `{{` and `}}` become single braces, any other brace
    /// stays.
    pub(super) fn fill_in(&self, text: &str) -> Result<String, Unfilled> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let step = if rest.starts_with("{{") || rest.starts_with("}}") {
                filled.push_str(&rest[..1]);
                2
            } else if let Some(inner) =
                rest.strip_prefix('{').filter(|inner| inner.starts_with(ENV_PREFIX))
            {
                let name = placeholder(inner).ok_or(Unfilled::Malformed)?;
                let value =
                    self.values.get(name).ok_or_else(|| Unfilled::Unknown(name.to_owned()))?;
                filled.push_str(value);
                name.len() + 2
            } else {
                filled.push_str(&rest[..1]);
                1
            };
            rest = &rest[step..];
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// The name at the start of `inner` if a brace closes right behind it.
fn placeholder(inner: &str) -> Option<&str> {
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    (inner[end..].starts_with('}') && end > ENV_PREFIX.len()).then(|| &inner[..end])
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("names", &self.values.keys().collect::<Vec<_>>())
            .field("complete", &self.complete)
            .finish()
    }
}

/// Why a text cannot be filled in. Never shows the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfilled {
    #[error("{{{0}}} has no value in the environment")]
    Unknown(String),
    #[error(
        "holds a {{{ENV_PREFIX} placeholder that is not closed, or has other characters than A-Z, a-z, 0-9 and _"
    )]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        let values = [("FRIGATE_PW", "s3cret"), ("FRIGATE_A1", "a"), ("HOME", "/root")];
        Env::of_frigate(values.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    #[test]
    fn placeholders_are_filled_in_and_other_braces_stay() {
        for (text, filled) in [
            ("rtsp://u:{FRIGATE_PW}@h", "rtsp://u:s3cret@h"),
            ("{FRIGATE_A1}{FRIGATE_A1}", "aa"),
            ("{{FRIGATE_PW}}", "{FRIGATE_PW}"),
            ("%{localtime}", "%{localtime}"),
            ("a{b}c}d", "a{b}c}d"),
            ("{HOME}", "{HOME}"),
            ("{", "{"),
            ("ä{FRIGATE_A1}ö", "äaö"),
        ] {
            assert_eq!(env().fill_in(text).as_deref(), Ok(filled), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_an_error() {
        assert_eq!(env().fill_in("{FRIGATE_NO}"), Err(Unfilled::Unknown("FRIGATE_NO".to_owned())));
        for text in ["{FRIGATE_PW", "{FRIGATE_}", "{FRIGATE_PW:>9}", "{FRIGATE_P-W}"] {
            assert_eq!(env().fill_in(text), Err(Unfilled::Malformed), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        assert!(!format!("{:?}", env()).contains("s3cret"));
    }
}
