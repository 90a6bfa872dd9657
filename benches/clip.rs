//! Joining recordings, against `cat` of the same bytes (the floor of copying) and against ffmpeg: a
//! process each, in turn, in one run. What each takes of time, processor and memory.

mod ratios;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use frigate_replay::clip::{self, ClipError, Engine, Order, Segment, Trim};
use frigate_replay::words::UnixTime;
use tempfile::TempDir;
use tokio::sync::oneshot;
use wait4::Wait4;

const JOINER: &str = env!("CARGO_BIN_EXE_frigate-replay");

fn main() {
    let dir = TempDir::new().expect("there is a place for temporary files");
    let camera = "testsrc2=s=1280x720:r=10:d=10,noise=alls=20:allf=t";
    let segment = record(&dir, camera, "-g 50 -b:v 1000k -maxrate 1000k -bufsize 1000k");
    for (title, count, rounds) in [("10 minutes", 60, 10), ("60 minutes", 360, 5)] {
        contest(&dir, title, &segment, count, rounds);
    }
    cancels(&dir, &segment);
    let segment = record(&dir, "testsrc2=s=160x90:r=10:d=10", "-g 50");
    let copies = copies(&dir, &segment, 6 * 360);
    let used = run(&mut ours(&copies, &dir.path().join("clip.mp4")));
    println!("\n6 hours in {} recordings: {:.1} MiB at the peak", copies.len(), mib(used.peak));
}

/// What a process took.
struct Used {
    wall: Duration,
    processor: Duration,
    /// Bytes in memory at the peak.
    peak: u64,
}

fn run(command: &mut Command) -> Used {
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).spawn().expect("it can be started");
    let ended = child.wait4().expect("it is our child");
    let wall = start.elapsed();
    assert!(ended.status.success(), "{command:?}");
    let rusage = ended.rusage;
    Used { wall, processor: rusage.utime + rusage.stime, peak: rusage.maxrss }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn contest(dir: &TempDir, title: &str, segment: &Path, count: usize, rounds: usize) {
    const NAMES: [&str; 3] =
        ["cat of the same bytes", "frigate-replay clip", "ffmpeg concat, +faststart"];
    let files = copies(dir, segment, count);
    let output = dir.path().join("out.mp4");
    let list = dir.path().join("list");
    let lines = files.iter().map(|file| format!("file 'file:{}'\n", file.display()));
    fs::write(&list, lines.collect::<String>()).expect("the folder is ours");
    let mut used: [Vec<Used>; 3] = Default::default();
    for round in 0..=rounds {
        for (contender, used) in used.iter_mut().enumerate() {
            let _ = fs::remove_file(&output);
            let mut command = match contender {
                0 => cat(&files, &output),
                1 => ours(&files, &output),
                _ => ffmpeg(&list, &output),
            };
            let took = run(&mut command);
            // The first round warms the caches.
            if round > 0 {
                used.push(took);
            }
        }
    }
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).expect("there").len()).sum();
    let about = format!("{title}, {} MB ({rounds} rounds, interleaved)", bytes / 1_000_000);
    for (what, of) in [
        ("wall", (|used| used.wall) as fn(&Used) -> Duration),
        ("processor", |used| used.processor),
    ] {
        let rows = NAMES.into_iter().zip(used.iter().map(|used| used.iter().map(of).collect()));
        let medians = ratios::table(&format!("{about}: {what}"), rows.collect());
        let to_ffmpeg = medians[1].as_secs_f64() / medians[2].as_secs_f64();
        println!("  {:42} {to_ffmpeg:>41.3}", "frigate-replay clip : ffmpeg");
    }
    for (name, used) in NAMES.iter().zip(&used) {
        let peak = used.iter().map(|used| used.peak).max().unwrap_or(0);
        println!("  {name:42} {:>10.1} MiB at the peak", mib(peak));
    }
    for file in files {
        fs::remove_file(file).expect("it is ours");
    }
}

/// From the wish to cancel, at a third of the way, until nothing of it is left.
fn cancels(dir: &TempDir, segment: &Path) {
    const ROUNDS: usize = 10;
    let files = copies(dir, segment, 360);
    let mut rows = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        let times = [
            make(&files, Engine::Native, f32::INFINITY),
            make(&files, Engine::Native, 30.0),
            make(&files, Engine::Ffmpeg, 30.0),
        ];
        if round > 0 {
            rows.iter_mut().zip(times).for_each(|(row, time)| row.push(time));
        }
    }
    let names = ["60 minutes made", "cancelled", "cancelled, by ffmpeg"];
    ratios::table(
        &format!("a cancel, until nothing is left ({ROUNDS} rounds, interleaved)"),
        names.into_iter().zip(rows).collect(),
    );
    for file in files {
        fs::remove_file(file).expect("it is ours");
    }
}

/// How long it takes to make a clip, or from `cancel_at` percent until the cancel is done.
fn make(files: &[PathBuf], engine: Engine, cancel_at: f32) -> Duration {
    let time = |number: usize| UnixTime::from_secs(1_700_000_000 + 10 * number as u32);
    let segment = |(number, path): (usize, &PathBuf)| Segment {
        path: path.clone(),
        start: time(number),
        end: time(number + 1),
    };
    let order = Order {
        segments: files.iter().enumerate().map(segment).collect(),
        trim: Trim::default(),
        output: files[0].with_file_name("clip.mp4"),
        keep_audio: false,
        engine,
        ffmpeg: PathBuf::from("ffmpeg"),
        spare_bytes: 0,
    };
    let output = order.output.clone();
    let (cancel, cancelled) = oneshot::channel::<()>();
    let since = RefCell::new((Instant::now(), Some(cancel)));
    let progress = |percent| {
        let mut since = since.borrow_mut();
        if percent >= cancel_at
            && let Some(cancel) = since.1.take()
        {
            since.0 = Instant::now();
            drop(cancel);
        }
    };
    let wish = async { drop(cancelled.await) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let made = runtime.expect("there are threads").block_on(clip::make(order, progress, wish));
    let took = since.borrow().0.elapsed();
    match made {
        Ok(_) if cancel_at.is_infinite() => fs::remove_file(output).expect("it was made"),
        Err(ClipError::Cancelled) => {}
        other => panic!("{other:?}"),
    }
    took
}

fn cat(files: &[PathBuf], output: &Path) -> Command {
    let mut command = Command::new("cat");
    command.args(files).stdout(fs::File::create(output).expect("the folder is ours"));
    command
}

fn ours(files: &[PathBuf], output: &Path) -> Command {
    let mut command = Command::new(JOINER);
    command.args(["clip", "--clip-engine", "native", "--output"]).arg(output).args(files);
    command.stdout(Stdio::null());
    command
}

fn ffmpeg(list: &Path, output: &Path) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-hide_banner",
        "-nostdin",
        "-loglevel",
        "error",
        "-f",
        "concat",
        "-safe",
        "0",
        "-i",
    ]);
    command.arg(list).args(["-c", "copy", "-movflags", "+faststart"]).arg(output);
    command
}

/// Ten seconds, as Frigate records them.
fn record(dir: &TempDir, camera: &str, encoder: &str) -> PathBuf {
    let path = dir.path().join("segment.mp4");
    let made = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-y", "-f", "lavfi", "-i", camera])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .args(encoder.split_whitespace())
        .args(["-movflags", "+faststart"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg is there").success());
    path
}

fn copies(dir: &TempDir, segment: &Path, count: usize) -> Vec<PathBuf> {
    let copy = |number| {
        let path = dir.path().join(format!("{number:04}.mp4"));
        fs::copy(segment, &path).expect("the disk has room");
        path
    };
    (0..count).map(copy).collect()
}
