//! Orders for clips of files, and all checks of one.

use std::path::{Path, PathBuf};

use frigate_replay::clip::{self, Clip, ClipError, Engine, Order, Segment, Trim};
use frigate_replay::words::UnixTime;

use super::decoded::{assert_detects, assert_shows, shown};
use super::footage::SEGMENT_S;
use super::oracle;

/// When the first segment of every order was recorded.
pub const BEGIN: u32 = 1_700_000_000;

/// These files one after the other, each of [`SEGMENT_S`], into `clip.mp4` beside the first.
pub fn order(files: &[impl AsRef<Path>]) -> Order {
    let time = |number: usize| UnixTime::from_secs(BEGIN + SEGMENT_S * number as u32);
    let segment = |(number, path): (usize, &_)| Segment {
        path: AsRef::<Path>::as_ref(path).to_owned(),
        start: time(number),
        end: time(number + 1),
    };
    Order {
        segments: files.iter().enumerate().map(segment).collect(),
        trim: Trim::default(),
        output: files[0].as_ref().with_file_name("clip.mp4"),
        keep_audio: false,
        engine: Engine::Native,
        ffmpeg: PathBuf::from("ffmpeg"),
        spare_bytes: 0,
    }
}

/// Makes a clip. What it leaves in its folder is checked: itself, or nothing.
pub fn make(order: &Order) -> Result<Clip, ClipError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let made = runtime.block_on(clip::make(order.clone(), |_| {}, std::future::pending()));
    assert!(!clip::part_path(&order.output).exists(), "a part is left");
    assert_eq!(made.is_ok(), order.output.exists());
    made
}

/// Joins `files`, all of which are good, and checks everything there is to check.
pub fn join_all(files: &[PathBuf]) -> Clip {
    let clip = make(&order(files)).unwrap();
    assert_eq!(clip.warnings, [""; 0]);
    assert_eq!(clip.engine, Engine::Native);
    assert_right(&clip, files);
    clip
}

/// Checks that a clip is all of `files`, in order.
pub fn assert_right(clip: &Clip, files: &[PathBuf]) {
    let wanted: Vec<_> = files.iter().map(|file| shown(file)).collect();
    assert_shows(clip, &wanted);
    assert_detects(clip, files);
    oracle::assert_agrees(clip, files, false);
}
