//! Joining with an ffmpeg process: `-f concat -c copy`, for what native cannot join.
//!
//! The concat demuxer stops without a word at a file that it cannot open, so only files go to it
//! that were looked at here. What it made is read back: its frames are counted, not believed.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use super::control::{Cancel, Control, NICENESS, REPORT_EVERY, in_thread};
use super::entries::Codec;
use super::error::Notes;
use super::movie::Movie;
use super::native::codec_change;
use super::part::Part;
use super::unfit::Unfit;
use super::{Clip, ClipError, Engine, Order, Segment, Unjoinable, cut, read};
use crate::words::UnixTime;

/// Bytes kept of the end of what ffmpeg says.
const SAID_MAX: usize = 4096;
/// Bytes kept of a line of progress; ffmpeg's have 30.
const LINE_MAX: usize = 1024;
/// Percent shown at most while ffmpeg still runs: it moves the index to the front at the end.
const RUNNING_MAX: f32 = 99.0;

/// A file that ffmpeg gets, and what is expected of it.
struct Input {
    segment: usize,
    /// Where to begin and end in it, in seconds of the file.
    from_s: Option<f64>,
    to_s: Option<f64>,
    /// When its first frame in the clip was recorded.
    start: UnixTime,
    seconds: f64,
    /// Unknown for what cannot be read here.
    frames: Option<usize>,
    bytes: u64,
}

/// Makes the clip that `order` asks for; `why` is what native had against it.
pub(super) async fn join(
    order: Arc<Order>,
    why: Option<Unjoinable>,
    progress: &impl Fn(f32),
    cancel: &mut Cancel<'_, impl Future<Output = ()>>,
) -> Result<Clip, ClipError> {
    let surveyed = Arc::clone(&order);
    let survey = move |control: &Control| survey(&surveyed, control);
    let (inputs, mut notes) =
        in_thread(survey, &|_| {}, cancel).await.map_err(ClipError::Thread)??;
    if inputs.is_empty() {
        return Err(notes.nothing(&order));
    }
    let part = Part::create(&order.output)?;
    part.check_inputs(&order.segments)?;
    part.check_space(inputs.iter().map(|input| input.bytes).sum(), order.spare_bytes)?;

    let needed_for = why.map(|why| why.to_string()).unwrap_or_default();
    let mut child = start(&order, part.path(), needed_for)?;
    let group = Group(child.id());
    let list = list(&order, &inputs)?;
    let total_s: f64 = inputs.iter().map(|input| input.seconds).sum();
    let run = run(&mut child, list, total_s, progress);
    let ended = tokio::select! {
        biased;
        () = cancel.came() => None,
        ended = run => Some(ended),
    };
    let Some(ended) = ended else {
        // At once: what it would still write is thrown away anyway.
        drop(group);
        child.wait().await.map_err(ClipError::io("wait for", &order.ffmpeg))?;
        return Err(ClipError::Cancelled);
    };
    let (status, said) = ended.map_err(ClipError::io("wait for", &order.ffmpeg))?;
    if !status.success() {
        return Err(ClipError::Ffmpeg { status: status.to_string(), said });
    }
    let made = move |control: &Control| {
        let made = finish(&order, part, &inputs, notes);
        control.report(u64::from(made.is_ok()), 1);
        made
    };
    in_thread(made, progress, cancel).await.map_err(ClipError::Thread)?
}

/// Looks at every file: which of them ffmpeg gets, and how much of them.
fn survey(order: &Order, control: &Control) -> Result<(Vec<Input>, Notes), ClipError> {
    let mut inputs = Vec::new();
    let mut notes = Notes::default();
    let mut codec = None;
    let mut buffer = Vec::new();
    for (index, segment) in order.segments.iter().enumerate() {
        if control.is_cancelled() {
            return Err(ClipError::Cancelled);
        }
        match input(order, index, &mut buffer) {
            Ok(None) => {}
            Ok(Some((input, is))) => {
                match (codec, is) {
                    (Some(was), Some(is)) if was != is => {
                        return Err(codec_change(&segment.path, was, is));
                    }
                    _ => codec = codec.or(is),
                }
                inputs.push(input);
            }
            Err(unfit) => notes.left_out(&segment.path, &unfit),
        }
    }
    Ok((inputs, notes))
}

/// One file as an input, and its codec if it can be read here. `None`: it has nothing of the time
/// asked for.
fn input(
    order: &Order,
    index: usize,
    buffer: &mut Vec<u8>,
) -> Result<Option<(Input, Option<Codec>)>, Unfit> {
    let segment = &order.segments[index];
    let (file, identity) = read::open(&segment.path)?;
    let wanted = order.trim.of(segment);
    let mut input = Input {
        segment: index,
        from_s: (wanted.from_s > 0.0).then_some(wanted.from_s),
        to_s: wanted.to_s.is_finite().then_some(wanted.to_s),
        start: segment.start,
        seconds: 0.0,
        frames: None,
        bytes: identity.length,
    };
    match read::index(&file, identity.length, buffer).and_then(Movie::parse) {
        Ok(movie) => {
            let Some(cut) = cut::cut(&movie.video, identity.length, wanted)? else {
                return Ok(None);
            };
            let from_s = movie.video.seconds(cut.shown_from.saturating_sub(cut.origin));
            input.start = segment.start.plus(from_s);
            input.seconds = cut.seconds(&movie.video);
            input.frames = Some(cut.frames);
            Ok(Some((input, movie.video.entries.first().map(|entry| Codec::of(entry)))))
        }
        Err(unfit) if unfit.needs_ffmpeg() => {
            let listed = segment.end.since(segment.start).max(0.0);
            let to_s = if listed > 0.0 { wanted.to_s.min(listed) } else { wanted.to_s };
            input.seconds = (to_s.min(listed) - wanted.from_s.max(0.0)).max(0.0);
            input.start = segment.start.plus(wanted.from_s.max(0.0));
            let nothing = to_s <= 0.0 || (listed > 0.0 && wanted.from_s >= listed);
            Ok((!nothing).then_some((input, None)))
        }
        Err(unfit) => Err(unfit),
    }
}

/// The files as the concat demuxer's script.
fn list(order: &Order, inputs: &[Input]) -> Result<String, ClipError> {
    let mut list = String::from("ffconcat version 1.0\n");
    for input in inputs {
        let path = &order.segments[input.segment].path;
        let unusable =
            |why| ClipError::io("name", path)(io::Error::new(io::ErrorKind::InvalidInput, why));
        let absolute = std::path::absolute(path).map_err(ClipError::io("find", path))?;
        let name = absolute.to_str().filter(|name| !name.contains(['\n', '\r']));
        let name =
            name.ok_or_else(|| unusable("its name is not one line of text, as ffmpeg needs"))?;
        // Writing to a string cannot fail.
        let _ = writeln!(list, "file 'file:{}'", name.replace('\'', r"'\''"));
        for (what, seconds) in [("inpoint", input.from_s), ("outpoint", input.to_s)] {
            if let Some(seconds) = seconds {
                let _ = writeln!(list, "{what} {seconds:.6}");
            }
        }
    }
    Ok(list)
}

fn start(order: &Order, part: &Path, needed_for: String) -> Result<Child, ClipError> {
    let mut output = std::ffi::OsString::from("file:");
    output.push(std::path::absolute(part).map_err(ClipError::io("find", part))?);
    let mut command = Command::new(&order.ffmpeg);
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-nostats", "-xerror", "-y"]);
    command.args(["-progress", "pipe:1", "-stats_period", "0.5"]);
    command.args([
        "-protocol_whitelist",
        "file,pipe",
        "-f",
        "concat",
        "-safe",
        "0",
        "-i",
        "pipe:0",
    ]);
    command.args(["-map", "0:v:0"]);
    if order.keep_audio {
        command.args(["-map", "0:a:0?"]);
    }
    command.args(["-c", "copy", "-movflags", "+faststart", "-f", "mp4"]).arg(output);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let parent = rustix::process::getpid();
    let before_exec = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before that took effect.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from(rustix::io::Errno::SRCH));
        }
        let _ = rustix::process::setpriority_process(None, NICENESS);
        Ok(())
    };
    // SAFETY: between fork and exec, only async-signal-safe things may be done, since another
    // thread may have held any lock when this one forked. The closure makes three system calls
    // (prctl, getppid, setpriority) through rustix, which does so without locks, allocation or
    // any state of its own. An `Errno` turned into `io::Error` is a number, and the captured
    // `Pid` is one too.
    unsafe { command.pre_exec(before_exec) };
    command.spawn().map_err(|why| ClipError::FfmpegMissing {
        program: order.ffmpeg.clone(),
        why,
        needed_for,
    })
}

/// ffmpeg and whatever it started (it may be a script): all killed when this is dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(leader) = leader {
            // It may have ended already.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Feeds ffmpeg its list, listens to it, and waits for its end.
async fn run(
    child: &mut Child,
    list: String,
    total_s: f64,
    progress: &impl Fn(f32),
) -> io::Result<(std::process::ExitStatus, String)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ((), (), said) =
        tokio::join!(feed(stdin, list), listen(stdout, total_s, progress), last_words(stderr));
    Ok((child.wait().await?, said))
}

async fn feed(stdin: Option<ChildStdin>, list: String) {
    if let Some(mut stdin) = stdin {
        // If it does not want to hear all of it, it says why.
        let _ = stdin.write_all(list.as_bytes()).await;
    }
}

/// Hands on how far ffmpeg is, from its `key=value` lines. One that talks without end is heard as
/// often as any other, and of a line without end no more is kept than of a long one.
async fn listen(stdout: Option<impl AsyncRead + Unpin>, total_s: f64, progress: &impl Fn(f32)) {
    let Some(mut stdout) = stdout else { return };
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    let mut reported: Option<Instant> = None;
    while let Ok(read @ 1..) = stdout.read(&mut buffer).await {
        let mut newest = None;
        for byte in &buffer[..read] {
            if *byte == b'\n' {
                newest = percent(&String::from_utf8_lossy(&line), total_s).or(newest);
                line.clear();
            } else if line.len() < LINE_MAX {
                line.push(*byte);
            }
        }
        if let Some(percent) = newest
            && reported.is_none_or(|then| then.elapsed() >= REPORT_EVERY)
        {
            reported = Some(Instant::now());
            progress(percent);
        }
    }
}

/// The percentage that a line of progress means, if it is about time. `N/A` and negative times come
/// before the first packet.
fn percent(line: &str, total_s: f64) -> Option<f32> {
    let microseconds: i64 = line.strip_prefix("out_time_us=")?.trim().parse().ok()?;
    if microseconds < 0 || total_s <= 0.0 {
        return None;
    }
    Some((microseconds as f64 / 1e4 / total_s).min(f64::from(RUNNING_MAX)) as f32)
}

/// The end of what ffmpeg says.
async fn last_words(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stderr) = stderr else {
        return String::new();
    };
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        said.extend_from_slice(&buffer[..read]);
        said.drain(..said.len().saturating_sub(SAID_MAX));
    }
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// Reads what ffmpeg made, and gives it its name.
fn finish(
    order: &Order,
    part: Part,
    inputs: &[Input],
    mut notes: Notes,
) -> Result<Clip, ClipError> {
    let read = || {
        let identity = read::Identity::of(&part.file)?;
        let mut buffer = Vec::new();
        let movie = Movie::parse(read::index(&part.file, identity.length, &mut buffer)?)?;
        let cut = cut::cut(&movie.video, identity.length, cut::Wanted::ALL)?;
        let (frames, seconds) = cut.map_or((0, 0.0), |cut| (cut.frames, cut.seconds(&movie.video)));
        Ok((identity.length, frames, seconds))
    };
    let (bytes, frames, seconds) = read().map_err(|unfit: Unfit| ClipError::Ffmpeg {
        status: "exit status: 0".to_owned(),
        said: format!("what it made {unfit}"),
    })?;
    let expected: Option<usize> = inputs.iter().map(|input| input.frames).sum();
    if let Some(expected) = expected.filter(|expected| frames < *expected) {
        notes.push(|| format!("ffmpeg joined {frames} of {expected} frames"));
    }
    part.finish()?;
    let parts = inputs.iter().zip(shares(inputs, seconds)).map(|(input, seconds)| {
        let segment: &Segment = &order.segments[input.segment];
        (segment, input.start, seconds)
    });
    Ok(Clip::of(order, Engine::Ffmpeg, parts, frames, bytes, notes))
}

/// How many of the clip's seconds each input fills. Those that cannot be read here share what the
/// others leave, in proportion to what is listed of them.
fn shares(inputs: &[Input], seconds: f64) -> Vec<f64> {
    let (known, unknown): (Vec<&Input>, Vec<&Input>) =
        inputs.iter().partition(|input| input.frames.is_some());
    let left = (seconds - known.iter().map(|input| input.seconds).sum::<f64>()).max(0.0);
    let listed: f64 = unknown.iter().map(|input| input.seconds).sum();
    let share = |input: &Input| match input.frames {
        Some(_) => input.seconds,
        None if listed > 0.0 => left * input.seconds / listed,
        None => left / unknown.len() as f64,
    };
    inputs.iter().map(share).collect()
}
