//! `frigate-replay clip`: joins recordings into one MP4, as the worker does.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clip::{self, Clip, ClipError, Engine, Order, Segment, Trim};
use crate::words::UnixTime;

use super::run::termination;
use super::{Failure, block_on};

/// Joins recordings into one MP4, as the worker does: no re-encoding, contiguous times, whatever
/// is broken left out and named.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The MP4 to make; what is there is replaced
    #[arg(long, value_name = "OUT.mp4")]
    output: PathBuf,
    /// Keep the sound
    #[arg(long)]
    audio: bool,
    /// Where to begin, in seconds of footage: at the keyframe at or before it
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    start: Option<UnixTime>,
    /// Where to end, in seconds of footage
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    end: Option<UnixTime>,
    /// What joins: this program, or ffmpeg
    #[arg(long, value_enum, default_value = "auto", value_name = "ENGINE")]
    clip_engine: Engine,
    /// The ffmpeg program, for what only it can join
    #[arg(long, default_value = "ffmpeg", value_name = "PROGRAM")]
    ffmpeg: PathBuf,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
    /// The recordings, in the order in which they are shown
    #[arg(required = true, value_name = "SEGMENT")]
    segments: Vec<PathBuf>,
}

/// Does what the arguments say.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    let json = args.json;
    let clip = make(args)?;
    print(&clip, json).map_err(Failure::new)
}

fn make(args: Args) -> Result<Clip, Failure> {
    let trim = Trim { start: args.start, end: args.end };
    let order = Order {
        segments: one_after_the_other(args.segments, trim)?,
        trim,
        output: args.output,
        keep_audio: args.audio,
        engine: args.clip_engine,
        ffmpeg: args.ffmpeg,
        spare_bytes: 0,
    };
    let bar = progress_bar();
    let progress = |percent: f32| bar.set_position(percent as u64);
    let made = block_on(async {
        let interrupted = termination().map_err(Failure::new)?;
        clip::make(order, progress, interrupted).await.map_err(Failure::new)
    });
    bar.finish_and_clear();
    made?
}

/// Seconds of footage, as a time that counts from its beginning.
fn seconds(text: &str) -> Result<UnixTime, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds >= 0.0).and_then(UnixTime::new);
    seconds.ok_or_else(|| "it must be a number of seconds, 0 or more, such as 12.5".to_owned())
}

/// Segments whose times count the seconds of footage before them. Refuses a trim that leaves nothing.
fn one_after_the_other(paths: Vec<PathBuf>, trim: Trim) -> Result<Vec<Segment>, Failure> {
    let mut ends = UnixTime::from_secs(0);
    let mut unknown = false;
    let mut segments = Vec::with_capacity(paths.len());
    for path in paths {
        let start = ends;
        match clip::probe(&path) {
            Ok(video) => ends = start.plus(video.duration_s),
            Err(ClipError::Unusable { why, .. }) if why.needs_ffmpeg() => unknown = true,
            // It gives nothing, and making the clip will say why.
            Err(_) => {}
        }
        segments.push(Segment { path, start, end: ends });
    }
    let footage_s = ends.seconds();
    let start_s = trim.start.map_or(0.0, UnixTime::seconds);
    if let Some(end_s) = trim.end.map(UnixTime::seconds).filter(|end_s| *end_s <= start_s) {
        return Err(Failure::new(format!("--end {end_s} must be after the start, {start_s}")));
    }
    if trim == Trim::default() {
        Ok(segments)
    } else if unknown && segments.len() > 1 {
        let why =
            "cannot be used with fragmented recordings: how long each of them is, is not known";
        Err(Failure::new(format!("--start and --end {why}; join them first, then trim the clip")))
    } else if !unknown && footage_s > 0.0 && start_s >= footage_s {
        let why = format!("must be before the end of the footage, {footage_s:.3}");
        Err(Failure::new(format!("--start {start_s} {why}")))
    } else {
        Ok(segments)
    }
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar() -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {elapsed}");
    let bar = ProgressBar::with_draw_target(Some(100), target);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print(clip: &Clip, json: bool) -> io::Result<()> {
    if json {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, clip)?;
        return writeln!(out);
    }
    for warning in &clip.warnings {
        complain!("warning: {warning}");
    }
    let plays = HumanDuration(Duration::from_secs_f64(clip.duration_s.max(0.0)));
    writeln!(
        io::stdout(),
        "{}: {plays} ({:.3} s), {} frames of {} {}, {}",
        clip.path.display(),
        clip.duration_s,
        clip.frames,
        clip.segments.len(),
        if clip.segments.len() == 1 { "recording" } else { "recordings" },
        HumanBytes(clip.bytes),
    )
}
