//! `frigate-replay clip`: joins recordings into one MP4, as the worker does.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clip::{self, Clip, Engine, Order, Segment, Trim};
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
    #[arg(long, value_name = "SECONDS")]
    start: Option<f64>,
    /// Where to end, in seconds of footage
    #[arg(long, value_name = "SECONDS")]
    end: Option<f64>,
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
    // The output replaces what is there, and that must not be what is joined.
    let same = |path: &PathBuf| {
        path == &args.output
            || (path.canonicalize().ok() == args.output.canonicalize().ok() && args.output.exists())
    };
    if args.segments.iter().any(same) {
        return Err(Failure::new(format!(
            "--output {}: is one of the recordings",
            args.output.display()
        )));
    }
    let trim = Trim { start: time("--start", args.start)?, end: time("--end", args.end)? };
    if let (Some(start), Some(end)) = (trim.start, trim.end)
        && end.since(start) <= 0.0
    {
        return Err(Failure::new(format!("--end {end} is not after --start {start}")));
    }
    let order = Order {
        segments: one_after_the_other(args.segments),
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

fn time(flag: &str, seconds: Option<f64>) -> Result<Option<UnixTime>, Failure> {
    let time = |seconds| {
        UnixTime::new(seconds).ok_or_else(|| Failure::new(format!("{flag} {seconds} is no time")))
    };
    seconds.map(time).transpose()
}

/// Segments whose times count the seconds of footage before them.
fn one_after_the_other(paths: Vec<PathBuf>) -> Vec<Segment> {
    let mut start = UnixTime::from_secs(0);
    let mut segments = Vec::with_capacity(paths.len());
    for path in paths {
        // What cannot be read gives nothing, and making the clip will say why.
        let end = start.plus(clip::probe(&path).map_or(0.0, |video| video.duration_s));
        segments.push(Segment { path, start, end });
        start = end;
    }
    segments
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
        "{}: {plays} ({:.3} s), {} frames of {} recordings, {}",
        clip.path.display(),
        clip.duration_s,
        clip.frames,
        clip.segments.len(),
        HumanBytes(clip.bytes),
    )
}
