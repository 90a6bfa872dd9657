//! The clip: one MP4 of a stretch of recordings, made beside the recordings, whole or not at all.
//!
//! [`make`] joins Frigate's recording segments, or takes an export's file, without decoding
//! anything: every sample is copied as it is, with the parameter sets of its own segment, and the
//! times run on without a gap. Two engines do it:
//!
//! - **native** joins in this process. It reads the index of every file ([`read`], [`boxes`],
//!   [`movie`], [`samples`]), decides which samples to take ([`cut`](mod@cut)) and where everything goes
//!   ([`plan`]), copies bytes by the fastest way there is, and writes an index over them ([`moov`]).
//! - **ffmpeg** joins with `-f concat -c copy`. It is slower by a factor of ten and silently wrong
//!   where parameter sets change, so it only gets what native refuses, or what is asked of it.
//!
//! A file that is missing, empty or cut short is left out, or used as far as it goes, and named in
//! the clip's warnings. The clip is made under the name `.NAME.part` ([`part_path`]) and then
//! renamed; whatever goes wrong, nothing of it stays, unless this process is killed.
//!
//! Nothing here knows the database, the broker or the session.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::UnixTime;

pub mod boxes;
mod control;
mod copy;
pub mod cut;
pub mod entries;
mod error;
mod ffmpeg;
mod merge;
pub mod moov;
pub mod movie;
mod native;
mod part;
pub mod plan;
pub mod read;
pub mod samples;
mod timeline;
pub mod unfit;
mod writer;

pub use error::ClipError;
pub use part::{is_part, part_path};

use control::{Cancel, in_thread};
use error::Notes;

/// Seconds by which a segment may begin after the end of the one before without being counted as
/// a gap. The times in Frigate's database begin at whole seconds, so two of them may be off by one.
const GAP_MIN_S: f64 = 1.0;

/// One recording segment, or an export's file, as this process sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Where the file is.
    pub path: PathBuf,
    /// When its first frame was recorded.
    pub start: UnixTime,
    /// When it ends, according to whoever lists it. Believed only where the file itself does not
    /// tell, which is when ffmpeg is needed; if unknown, the same as `start`.
    pub end: UnixTime,
}

/// Which part of the segments is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Trim {
    /// From the sync sample ("keyframe") at or before this time; `None`: from the beginning.
    pub start: Option<UnixTime>,
    /// Up to the last frame before this time; `None`: to the end.
    pub end: Option<UnixTime>,
}

impl Trim {
    /// What of `segment` is wanted.
    fn of(&self, segment: &Segment) -> cut::Wanted {
        let seconds = |time: UnixTime| time.since(segment.start);
        let all = cut::Wanted::ALL;
        cut::Wanted {
            from_s: self.start.map_or(all.from_s, seconds),
            to_s: self.end.map_or(all.to_s, seconds),
        }
    }
}

/// Which engine joins.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Native, and ffmpeg for what native cannot join.
    #[default]
    Auto,
    /// In this process.
    Native,
    /// ffmpeg's concat demuxer.
    Ffmpeg,
}

/// What to make.
#[derive(Debug, Clone)]
pub struct Order {
    /// The files, in the order in which they are shown.
    pub segments: Vec<Segment>,
    /// What of them is wanted.
    pub trim: Trim,
    /// The clip's path. A file that is there is replaced.
    pub output: PathBuf,
    /// Whether the sound goes along. It stays in sync; where segments have none, it is silent. Sound
    /// of another codec than the first segment's is left out.
    pub keep_audio: bool,
    /// Which engine to use.
    pub engine: Engine,
    /// The ffmpeg program, should it be needed.
    pub ffmpeg: PathBuf,
    /// Bytes that must stay free in the folder of the clip. Frigate deletes recordings once an hour
    /// of them would not fit any more.
    pub spare_bytes: u64,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clip {
    /// Where it is.
    pub path: PathBuf,
    /// Which engine made it: `native` or `ffmpeg`.
    pub engine: Engine,
    /// Seconds of footage in it, which is how long it plays.
    pub duration_s: f64,
    /// Video frames that it shows.
    pub frames: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// When its first frame was recorded: at the start asked for, or up to a keyframe's distance
    /// earlier.
    pub start: UnixTime,
    /// The segments it is made of, in order.
    pub segments: Vec<Piece>,
    /// How often time without footage was skipped between two of them.
    pub gaps: u32,
    /// Seconds skipped in all gaps.
    pub gap_seconds: f64,
    /// What was left out, a sentence each.
    pub warnings: Vec<String>,
}

/// One segment's part of a [`Clip`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Piece {
    /// The segment's path, as it was given.
    pub path: String,
    /// When its first frame in the clip was recorded.
    pub start: UnixTime,
    /// Seconds into the clip at which it begins.
    pub offset_s: f64,
    /// Seconds of the clip that it fills.
    pub duration_s: f64,
}

impl Clip {
    /// The clip of `order`, of these parts of segments: each with the time of its first frame and
    /// its seconds. There must be at least one.
    fn of<'a>(
        order: &Order,
        engine: Engine,
        parts: impl Iterator<Item = (&'a Segment, UnixTime, f64)>,
        frames: usize,
        bytes: u64,
        notes: Notes,
    ) -> Self {
        let mut clip = Self {
            path: order.output.clone(),
            engine,
            duration_s: 0.0,
            frames: frames as u64,
            bytes,
            start: UnixTime::from_secs(0),
            segments: Vec::new(),
            gaps: 0,
            gap_seconds: 0.0,
            warnings: notes.into_warnings(),
        };
        for (segment, start, duration_s) in parts {
            match clip.segments.last() {
                None => clip.start = start,
                Some(before) => {
                    let gap = start.since(before.start.plus(before.duration_s));
                    if gap > GAP_MIN_S {
                        clip.gaps += 1;
                        clip.gap_seconds += gap;
                    }
                }
            }
            let path = segment.path.to_string_lossy().into_owned();
            let offset_s = clip.duration_s;
            clip.duration_s += duration_s;
            clip.segments.push(Piece { path, start, offset_s, duration_s });
        }
        clip
    }
}

/// Makes a clip. `progress` hears percents from 0 to 100, as bytes are copied; they never fall,
/// unless native hands over to ffmpeg. When `cancel` is ready, the work stops within milliseconds.
///
/// Returns when nothing of it runs any more: no thread, no child process. Dropped early, it leaves
/// a thread that stops at once, or kills the child.
///
/// To be called on a thread that lives as long as this process, in a tokio runtime with IO and
/// time: a child of ffmpeg is killed by the kernel when the thread that started it ends.
///
/// # Errors
/// See [`ClipError`]. Nothing is left in the folder of the clip then, and a clip that was there
/// before still is.
pub async fn make(
    order: Order,
    progress: impl Fn(f32),
    cancel: impl Future<Output = ()>,
) -> Result<Clip, ClipError> {
    let cancel = pin!(cancel);
    let mut cancel = Cancel::new(cancel);
    let order = Arc::new(order);
    let why = match order.engine {
        Engine::Ffmpeg => None,
        Engine::Auto | Engine::Native => {
            let native = Arc::clone(&order);
            let join = move |control: &_| native::join(&native, control);
            match in_thread(join, &progress, &mut cancel).await.map_err(ClipError::Thread)? {
                Err(ClipError::Unjoinable { path, why }) if order.engine == Engine::Auto => {
                    Some(Unjoinable { path, why })
                }
                made => return made,
            }
        }
    };
    ffmpeg::join(order, why, &progress, &mut cancel).await
}

/// What native could not join, and why.
#[derive(Debug)]
struct Unjoinable {
    path: PathBuf,
    why: String,
}

impl fmt::Display for Unjoinable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.why)
    }
}

/// What the index of a video file says of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoInfo {
    /// Seconds that it plays; above 0.
    pub duration_s: f64,
    /// Frames that it shows.
    pub frames: u64,
}

/// Reads how long a video file plays. One or two short reads; it never waits for a pipe.
///
/// # Errors
/// [`ClipError::Unusable`] if the file is missing, has no index or no video, or is fragmented.
pub fn probe(path: &Path) -> Result<VideoInfo, ClipError> {
    let probe = || {
        let (file, identity) = read::open(path)?;
        let mut buffer = Vec::new();
        let movie = movie::Movie::parse(read::index(&file, identity.length, &mut buffer)?)?;
        let cut = cut::cut(&movie.video, identity.length, cut::Wanted::ALL)?;
        let cut = cut.ok_or(unfit::Unfit::NoSamples)?;
        Ok(VideoInfo { duration_s: cut.seconds(&movie.video), frames: cut.frames as u64 })
    };
    probe().map_err(|why| ClipError::Unusable { path: path.to_owned(), why })
}
