//! ffmpeg as the joiner: what only it can join, what it is asked for, and what goes wrong with it.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use frigate_replay::clip::{self, ClipError, Engine, Order, Trim};
use frigate_replay::words::UnixTime;
use tokio::sync::oneshot;

use super::decoded::{assert_detects, assert_shows, shown};
use super::footage::{Camera, Footage};
use super::order::{BEGIN, make, order};

fn with_engine(files: &[PathBuf], engine: Engine) -> Order {
    let mut order = order(files);
    order.engine = engine;
    order
}

/// A program in place of ffmpeg, in the folder of `file`.
fn script(file: &Path, text: &str) -> PathBuf {
    let path = file.with_file_name("ffmpeg.sh");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn ffmpeg_joins_when_it_is_asked_for() {
    let mut footage = Footage::new();
    let mut files = footage.record(&Camera { seconds: 6, ..Camera::h264() });
    files.insert(1, footage.path("gone.mp4"));
    let clip = make(&with_engine(&files, Engine::Ffmpeg)).unwrap();
    assert_eq!(clip.engine, Engine::Ffmpeg);
    assert_eq!(clip.warnings, [format!("{} is not there", files[1].display())]);
    files.remove(1);
    assert_shows(&clip, &files.iter().map(|file| shown(file)).collect::<Vec<_>>());
    assert_detects(&clip, &files);
}

#[test]
fn ffmpeg_trims_at_the_same_frames() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera { seconds: 6, ..Camera::h264() });
    let at = |seconds| UnixTime::new(f64::from(BEGIN) + seconds);
    let mut frames = Vec::new();
    for engine in [Engine::Native, Engine::Ffmpeg] {
        let mut order = with_engine(&files, engine);
        order.trim = Trim { start: at(1.5), end: at(4.55) };
        frames.push(shown(&make(&order).unwrap().path));
    }
    assert_eq!(frames[0].len(), 36);
    assert!(frames[0].iter().map(|f| &f.md5).eq(frames[1].iter().map(|f| &f.md5)));
}

#[test]
fn ffmpeg_keeps_the_sound_if_asked() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera { sound: Some("-c:a aac"), ..Camera::h264() });
    for keep in [true, false] {
        let mut order = with_engine(&files, Engine::Ffmpeg);
        order.keep_audio = keep;
        let clip = make(&order).unwrap();
        let read = super::oracle::read(&clip.path);
        assert_eq!(read.tracks("soun").len(), usize::from(keep));
    }
}

/// Names that a script or a shell might take for something else.
#[test]
fn ffmpeg_is_given_names_as_they_are() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264());
    let odd = footage.path("it's  a \\ \"%03d\" $(x) ü -y #.mp4");
    fs::rename(&files[0], &odd).unwrap();
    let files = [odd, files[1].clone()];
    for engine in [Engine::Ffmpeg, Engine::Native] {
        let mut order = with_engine(&files, engine);
        order.output = footage.path("-clip 'of' %d.mp4");
        let clip = make(&order).unwrap();
        assert_shows(&clip, &files.each_ref().map(|file| shown(file)));
    }
}

#[test]
fn a_fragmented_file_goes_to_ffmpeg() {
    let mut footage = Footage::new();
    let mut files = footage.record(&Camera { seconds: 6, ..Camera::h264() });
    let fragmented = footage.path("fragmented.mp4");
    footage.remux(&files[1], "-movflags +frag_keyframe+empty_moov", &fragmented);
    files[1] = fragmented;

    let clip = make(&with_engine(&files, Engine::Auto)).unwrap();
    assert_eq!((clip.engine, clip.warnings.len()), (Engine::Ffmpeg, 0));
    assert_shows(&clip, &files.iter().map(|file| shown(file)).collect::<Vec<_>>());
    fs::remove_file(&clip.path).unwrap();

    let error = make(&with_engine(&files, Engine::Native)).unwrap_err();
    assert!(matches!(error, ClipError::Unjoinable { .. }), "{error}");
    assert!(error.to_string().contains("is a fragmented MP4 (moof)"), "{error}");

    let mut order = with_engine(&files, Engine::Auto);
    order.ffmpeg = footage.path("no-such-ffmpeg");
    let says = make(&order).unwrap_err().to_string();
    assert!(says.contains("no-such-ffmpeg) cannot be started"), "{says}");
    assert!(says.contains("fragmented.mp4 is a fragmented MP4"), "it says what for: {says}");
}

#[test]
fn what_ffmpeg_says_last_is_the_error() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264());
    let mut order = with_engine(&files, Engine::Ffmpeg);
    order.ffmpeg = script(&files[0], "seq 1 5000 >&2; echo 'no such luck' >&2; exit 7");
    let error = make(&order).unwrap_err();
    let ClipError::Ffmpeg { status, said } = &error else { panic!("{error}") };
    assert!(status.contains('7'), "{status}");
    assert!(said.ends_with("4999\n5000\nno such luck"), "{said}");
    assert!(said.len() <= 4096);

    order.ffmpeg = script(&files[0], "exit 0");
    let error = make(&order).unwrap_err();
    assert!(error.to_string().contains("what it made is empty"), "{error}");
}

#[test]
fn progress_of_ffmpeg_is_below_a_hundred_until_it_ends() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264());
    let mut order = with_engine(&files, Engine::Ffmpeg);
    order.ffmpeg = script(
        &files[0],
        "for t in N/A -21333 nonsense 1000000 2000000 9999999; do echo out_time_us=$t; done
         echo progress=end
         exec ffmpeg \"$@\"",
    );
    let heard = RefCell::new(Vec::new());
    let runtime = runtime();
    let progress = |percent| heard.borrow_mut().push(percent);
    let clip = runtime.block_on(clip::make(order, progress, std::future::pending())).unwrap();
    assert_eq!(clip.frames, 40);
    let heard = heard.into_inner();
    // Lines that come together are heard as the newest of them.
    assert!([25.0, 50.0, 99.0].contains(&heard[0]), "{heard:?}");
    assert_eq!(heard.split_last().map(|(last, _)| *last), Some(100.0));
    let running = &heard[..heard.len() - 1];
    assert!(running.iter().all(|percent| (0.0..=99.0).contains(percent)), "{heard:?}");
}

/// Cancelled, nothing of it is left: not ffmpeg, not what ffmpeg started, not a file.
#[test]
fn a_cancelled_ffmpeg_is_gone_with_all_that_it_started() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264());
    let mut order = with_engine(&files, Engine::Ffmpeg);
    let pids = footage.path("pids");
    // It is deaf to polite signals, as a program that waits for a disk is.
    order.ffmpeg = script(
        &files[0],
        &format!(
            "trap '' TERM INT
             sleep 1000 & echo $! $$ > {0}.new; mv {0}.new {0}
             echo out_time_us=1000000
             while :; do wait; done",
            pids.display()
        ),
    );
    let (cancel, cancelled) = oneshot::channel::<()>();
    let cancel = RefCell::new(Some(cancel));
    let progress = |_| drop(cancel.borrow_mut().take());
    let wish = async { drop(cancelled.await) };
    let made = runtime().block_on(clip::make(order.clone(), progress, wish));
    assert!(matches!(made, Err(ClipError::Cancelled)), "{made:?}");
    assert!(!order.output.exists() && !clip::part_path(&order.output).exists());
    for pid in fs::read_to_string(&pids).unwrap().split_whitespace() {
        wait_until_gone(pid);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Waits until a process has ended; a zombie has.
fn wait_until_gone(pid: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if status.is_empty() || status.contains(") Z ") {
            return;
        }
        assert!(Instant::now() < deadline, "process {pid} is still there: {status}");
        std::thread::yield_now();
    }
}
