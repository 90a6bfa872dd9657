//! What can go wrong with a clip, and what is worth a note though it went well.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Order;
use super::plan::Added;
use super::unfit::Unfit;

/// The most warnings of one clip, and reasons of one error: they travel in messages.
const NOTES_MAX: usize = 20;

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// No segment has a frame of the time asked for.
    #[error("{}{}", Nothing(*recordings, reasons.is_empty()), Because(.reasons))]
    Nothing {
        /// How many there were.
        recordings: usize,
        /// Why some of them could not be used. The others have nothing of that time.
        reasons: Vec<String>,
    },
    /// It would not fit, or would not leave enough room for recordings.
    #[error(
        "no space in {}: the clip takes {needed} bytes and {spare} must stay free for recordings, \
         but {available} are available", folder.display()
    )]
    NoSpace {
        /// Where the clip was to be.
        folder: PathBuf,
        /// Bytes of the clip.
        needed: u64,
        /// Bytes that are free.
        available: u64,
        /// Bytes that must stay free.
        spare: u64,
    },
    /// An MP4 track has one codec. ffmpeg cannot join these either.
    #[error("the video changes from {was} to {is} at {}; choose a range on one side of it", path.display())]
    CodecChange {
        /// The first segment of the other codec.
        path: PathBuf,
        /// The codec before.
        was: String,
        /// Its codec.
        is: String,
    },
    /// Native cannot join it, and ffmpeg was ruled out.
    #[error("{} {why}", path.display())]
    Unjoinable {
        /// The segment.
        path: PathBuf,
        /// Why, as the rest of a sentence.
        why: String,
    },
    /// A file that should be a video is none.
    #[error("{} {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why, as the rest of a sentence.
        why: Unfit,
    },
    /// The clip would replace what it is made from.
    #[error("{} is both a recording and the clip to make; name another output", path.display())]
    OutputIsInput {
        /// The segment.
        path: PathBuf,
    },
    /// The clip would take the place of a folder, a device or the like.
    #[error("{} is no file that a clip can replace; name another output", path.display())]
    OutputNotAFile {
        /// The output.
        path: PathBuf,
    },
    /// ffmpeg is needed and could not be started.
    #[error("ffmpeg ({}) cannot be started: {why}{}", program.display(), Because(std::slice::from_ref(needed_for)))]
    FfmpegMissing {
        /// The program that was tried.
        program: PathBuf,
        /// Why it did not start.
        why: io::Error,
        /// Why it was needed.
        needed_for: String,
    },
    /// ffmpeg gave up, or made nothing that can be read.
    #[error("ffmpeg failed ({status}){}", Because(std::slice::from_ref(said)))]
    Ffmpeg {
        /// How it ended.
        status: String,
        /// The last that it said.
        said: String,
    },
    /// The caller did not want it any more.
    #[error("cancelled")]
    Cancelled,
    /// A file or folder could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no thread to be had.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

impl ClipError {
    /// Makes errors of doing `action` with `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// How many recordings give nothing, and whether that is all there is to say.
struct Nothing(usize, bool);

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, unexplained) = *self;
        let recordings = if count == 1 { "recording" } else { "recordings" };
        write!(f, "nothing to join in {count} {recordings}")?;
        if unexplained {
            f.write_str(": no frame of the time asked for")?;
        }
        Ok(())
    }
}

/// `: a; b`, or nothing.
struct Because<'a>(&'a [String]);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.iter().filter(|text| !text.is_empty());
        if let Some(first) = said.next() {
            write!(f, ": {first}")?;
        }
        said.try_for_each(|text| write!(f, "; {text}"))
    }
}

/// What happened on the way to a clip: a sentence each, the first of them kept.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<String>,
    more: usize,
}

impl Notes {
    pub(super) fn push(&mut self, note: impl FnOnce() -> String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note());
        } else {
            self.more += 1;
        }
    }

    /// A file that is not in the clip.
    pub(super) fn left_out(&mut self, path: &Path, unfit: &Unfit) {
        self.push(|| format!("{} {unfit}", path.display()));
    }

    /// A file that is, perhaps not as it should be.
    pub(super) fn added(&mut self, path: &Path, added: Added) {
        let path = path.display();
        if added.missing > 0 {
            self.push(|| {
                format!("{path} is cut short: its last {} frames are missing", added.missing)
            });
        }
        if added.sound_refused {
            self.push(|| {
                format!("{path} has sound of another codec than the clip, which is left out")
            });
        }
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        let mut notes = self.notes;
        if self.more > 0 {
            notes.push(format!("and {} more", self.more));
        }
        notes
    }

    /// The error for when there is nothing left.
    pub(super) fn nothing(&mut self, order: &Order) -> ClipError {
        let reasons = std::mem::take(self).into_warnings();
        ClipError::Nothing { recordings: order.segments.len(), reasons }
    }
}
