//! `frigate-replay clip`: joins recordings into one MP4, as the worker does.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use tokio::signal::unix::{SignalKind, signal};

use super::EXIT_FAILURE;
use crate::clip::{self, Clip, Engine, Order, Segment, Trim};
use crate::words::UnixTime;

/// Joins recordings into one MP4, as the worker does: no re-encoding, contiguous times, whatever
/// is broken left out and named.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The MP4 to make
    #[arg(long, value_name = "OUT.mp4")]
    output: PathBuf,
    /// Replace the output if it is there
    #[arg(long)]
    overwrite: bool,
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
pub(super) fn run(args: Args) -> ExitCode {
    let json = args.json;
    match make(args) {
        Ok(clip) => match print(&clip, json) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("cannot print the result: {error}")),
        },
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(EXIT_FAILURE)
}

fn make(args: Args) -> Result<Clip, String> {
    if !args.overwrite && args.output.symlink_metadata().is_ok() {
        return Err(format!(
            "{} is there already; --overwrite replaces it",
            args.output.display()
        ));
    }
    let trim = Trim {
        start: time("--start", args.start)?,
        end: time("--end", args.end)?,
    };
    if let (Some(start), Some(end)) = (trim.start, trim.end)
        && end.since(start) <= 0.0
    {
        return Err(format!("--end {end} is not after --start {start}"));
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
    // On this thread, which lives to the end: a child dies with the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let bar = progress_bar();
    let progress = |percent: f32| bar.set_position(percent as u64);
    let made = runtime.block_on(async {
        let interrupted =
            interrupted().map_err(|error| format!("cannot watch signals: {error}"))?;
        let made = clip::make(order, progress, interrupted).await;
        made.map_err(|error| error.to_string())
    });
    bar.finish_and_clear();
    made
}

fn time(flag: &str, seconds: Option<f64>) -> Result<Option<UnixTime>, String> {
    let time = |seconds| UnixTime::new(seconds).ok_or(format!("{flag} {seconds} is no time"));
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

/// Ready when the user presses Ctrl-C, or the system asks to end.
fn interrupted() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
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
        eprintln!("warning: {warning}");
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
