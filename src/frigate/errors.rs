//! What can be wrong with a config, and where: every finding names its place the way a user would
//! look for it (`cameras.front.detect.fps`) and the line, where one is known.

use std::fmt;

use super::tree::{Layer, Source};
use super::yaml::{Lines, MAX_BYTES};

/// Most findings gathered of one kind; what comes after is not listed. A file that is wrong in more
/// places has one cause.
const MAX_FINDINGS: usize = 100;

/// The text of config.yml cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No YAML, or more than one document.
    #[error("{}{message}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    Yaml {
        /// What the parser says.
        message: String,
        /// Counted from 1.
        line: Option<usize>,
    },
    /// YAML, but no map of settings at its top.
    #[error("the file holds {0}, not a map of settings")]
    NotAMap(&'static str),
    /// Longer than [`MAX_BYTES`].
    #[error("the file has {bytes} bytes; at most {MAX_BYTES} are read")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}

/// One thing that is wrong, or surprising, at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The path of the setting: `cameras.front.detect.fps`, `objects.track[0]`,
    /// `overrides.detect.fps`.
    pub place: String,
    /// What is to be said about it, without the place: `"fast" is not a whole number`.
    pub message: String,
    /// The line in config.yml, counted from 1, where it is known.
    pub line: Option<usize>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// Why there is no config for a replay camera.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayConfigError {
    /// The config has no camera of that name.
    #[error("camera {camera:?} is not in the config{}", and_known(known))]
    UnknownCamera {
        /// The name asked for.
        camera: String,
        /// The cameras that are there.
        known: Vec<String>,
    },
    /// The camera's settings, or global ones that it takes over, are wrong; with every place.
    #[error("{}", joined(.0))]
    Config(Vec<Finding>),
    /// The settings are fine, but not with the overrides of the request.
    #[error("{}", joined(.0))]
    Overrides(Vec<Finding>),
}

impl ReplayConfigError {
    /// One line for each thing that is wrong.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::UnknownCamera { .. } => vec![self.to_string()],
            Self::Config(findings) | Self::Overrides(findings) => {
                findings.iter().map(Finding::to_string).collect()
            }
        }
    }
}

/// How many cameras a message lists.
const MAX_LISTED: usize = 20;

fn and_known(known: &[String]) -> String {
    let listed = &known[..known.len().min(MAX_LISTED)];
    match known.len() - listed.len() {
        0 if known.is_empty() => String::new(),
        0 => format!(", which has {}", listed.join(", ")),
        more => format!(", which has {} and {more} more", listed.join(", ")),
    }
}

fn joined(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    lines.join("; ")
}

/// A path from the top of a section, built on the way down and written out only for a finding.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    Top,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }

    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    /// The path as a text.
    pub fn written(&self) -> String {
        let mut place = String::new();
        self.write(&mut place);
        place
    }

    fn write(&self, place: &mut String) {
        match self {
            Path::Top => {}
            Path::Key(parent, key) => {
                parent.write(place);
                write_key(place, key);
            }
            Path::Index(parent, index) => {
                parent.write(place);
                place.push_str(&format!("[{index}]"));
            }
        }
    }
}

/// Appends `.key`, in quotes if a dot, a blank or the like would make the path ambiguous.
fn write_key(place: &mut String, key: &str) {
    if !place.is_empty() {
        place.push('.');
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '<');
    if !key.is_empty() && key.chars().all(plain) {
        place.push_str(key);
    } else {
        place.push_str(&super::scalar::quoted(key));
    }
}

/// Gathers the findings about one camera, or about the file as a whole.
pub(super) struct Report<'a> {
    /// What stands before the path of the camera's own settings: `cameras.front`.
    prefix: String,
    lines: &'a Lines,
    pub errors: Vec<Finding>,
    pub warnings: Vec<Finding>,
}

impl<'a> Report<'a> {
    /// A report on the camera `name` of the file whose lines are given.
    pub fn on_camera(name: &str, lines: &'a Lines) -> Self {
        let mut prefix = "cameras".to_owned();
        write_key(&mut prefix, name);
        Self { prefix, lines, errors: Vec::new(), warnings: Vec::new() }
    }

    /// A report in which every path begins at the top.
    pub fn on_file(lines: &'a Lines) -> Self {
        Self { prefix: String::new(), lines, errors: Vec::new(), warnings: Vec::new() }
    }

    pub fn error(&mut self, path: &Path<'_>, source: Source, message: impl Into<String>) {
        if self.errors.len() < MAX_FINDINGS {
            let finding = self.finding(path, source, message.into());
            note(&mut self.errors, finding);
        }
    }

    pub fn warn(&mut self, path: &Path<'_>, source: Source, message: impl Into<String>) {
        if self.warnings.len() < MAX_FINDINGS {
            let finding = self.finding(path, source, message.into());
            note(&mut self.warnings, finding);
        }
    }

    fn finding(&self, path: &Path<'_>, source: Source, message: String) -> Finding {
        let mut place = match source.layer {
            Layer::Global => String::new(),
            Layer::Camera | Layer::Default => self.prefix.clone(),
            Layer::Overrides => "overrides".to_owned(),
        };
        path.write(&mut place);
        Finding { place, message, line: self.lines.line(source.offset) }
    }
}

/// Adds `finding` unless it is there already.
fn note(findings: &mut Vec<Finding>, finding: Finding) {
    if !findings.contains(&finding) {
        findings.push(finding);
    }
}
