//! What a decoder makes of a file: ffmpeg's frames as checksums, with their times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

use frigate_replay::clip::Clip;

/// Seconds by which a frame's time may be off: a tick of the coarsest time scale of a clip, and as
/// much of its source.
const TICK_S: f64 = 0.000_21;

/// One decoded frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub pts_s: f64,
    pub md5: String,
}

/// Decodes the first video track (`kind` v) or sound track (a) of a file. What ffmpeg says comes
/// with it.
pub fn decode(path: &Path, kind: char, input: &str, output: &str) -> (Vec<Frame>, String) {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(input.split_whitespace())
        .arg("-i")
        .arg(path)
        .args(["-map", &format!("0:{kind}:0")])
        .args(output.split_whitespace())
        .args(["-f", "framemd5", "-"])
        .output()
        .expect("ffmpeg is there (`make tools` installs it)");
    let text = String::from_utf8(decoded.stdout).unwrap();
    let mut tick_s = f64::NAN;
    let mut frames = Vec::new();
    for line in text.lines() {
        if let Some(base) = line.strip_prefix("#tb 0: ") {
            let (ticks, of) = base.split_once('/').unwrap();
            tick_s = ticks.parse::<f64>().unwrap() / of.parse::<f64>().unwrap();
        } else if !line.starts_with('#') {
            let columns: Vec<&str> = line.split(',').map(str::trim).collect();
            let pts_s = columns[2].parse::<f64>().unwrap() * tick_s;
            frames.push(Frame { pts_s, md5: columns[5].to_owned() });
        }
    }
    (frames, String::from_utf8(decoded.stderr).unwrap())
}

/// Every frame as the decoder gives it, in its own size, at its own time.
const AS_THEY_ARE: &str = "-fps_mode passthrough -noautoscale -enc_time_base -1";

/// The frames that a player of one file shows. Decoded once for each content of the file.
pub fn shown(path: &Path) -> Vec<Frame> {
    type Content = (PathBuf, u64, SystemTime);
    static KNOWN: Mutex<BTreeMap<Content, Vec<Frame>>> = Mutex::new(BTreeMap::new());
    let Ok(metadata) = path.metadata() else { return Vec::new() };
    let content = (path.to_owned(), metadata.len(), metadata.modified().unwrap());
    if let Some(frames) = KNOWN.lock().unwrap().get(&content) {
        return frames.clone();
    }
    let frames = decode(path, 'v', "", AS_THEY_ARE).0;
    KNOWN.lock().unwrap().insert(content, frames.clone());
    frames
}

pub fn md5s(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.md5.as_str()).collect()
}

/// Checks that a clip shows exactly `wanted`, the frames of each of its segments with their times
/// in their own file.
pub fn assert_shows(clip: &Clip, wanted: &[Vec<Frame>]) {
    let all = wanted.concat();
    let (got, said) = decode(&clip.path, 'v', "", AS_THEY_ARE);
    assert_eq!(said, "", "the decoder complains");
    assert_same(&md5s(&got), &md5s(&all));
    assert_eq!(clip.frames, got.len() as u64);
    assert_times(clip, wanted, &got);

    let (looped, _) = decode(&clip.path, 'v', "-stream_loop 2", AS_THEY_ARE);
    let thrice = [all.clone(), all.clone(), all].concat();
    assert_same(&md5s(&looped), &md5s(&thrice));
}

fn assert_same(got: &[&str], wanted: &[&str]) {
    let first = got.iter().zip(wanted).position(|(got, wanted)| got != wanted);
    assert!(
        got == wanted,
        "{} frames of {} came out; the first that differs: {first:?}",
        got.len(),
        wanted.len()
    );
}

/// Every piece begins where the one before ends, and its frames are as far from each other as they
/// are in its own file.
fn assert_times(clip: &Clip, wanted: &[Vec<Frame>], got: &[Frame]) {
    let mut got = got.iter();
    let mut ends_s = 0.0;
    assert_eq!(clip.segments.len(), wanted.len(), "pieces");
    for (piece, frames) in clip.segments.iter().zip(wanted) {
        assert!((piece.offset_s - ends_s).abs() < 1e-9, "{piece:?} after {ends_s}");
        ends_s += piece.duration_s;
        for (number, (frame, got)) in frames.iter().zip(&mut got).enumerate() {
            let time = piece.offset_s + frame.pts_s - frames[0].pts_s;
            let off = got.pts_s - time;
            assert!(off.abs() < 2.0 * TICK_S, "frame {number} of {piece:?} is {off} s off");
            assert!(got.pts_s < ends_s, "frame {number} of {piece:?} is shown after its end");
        }
    }
    assert!((clip.duration_s - ends_s).abs() < 1e-9);
}

/// Checks the clip as Frigate's detector sees it, five frames a second in one size: every one is a
/// frame of the sources, in their order, and no segment is passed over.
pub fn assert_detects(clip: &Clip, sources: &[PathBuf]) {
    const SCALE: &str = "scale=128:72";
    let (got, said) =
        decode(&clip.path, 'v', "-fflags +genpts", &format!("-r 5 -vf fps=5,{SCALE}"));
    assert_eq!(said, "", "the decoder complains");
    let mut at = 0;
    for (source, piece) in sources.iter().zip(&clip.segments) {
        let frames = decode(source, 'v', "", &format!("-fps_mode passthrough -vf {SCALE}")).0;
        let frames = md5s(&frames);
        let mut from = 0;
        let mut found = 0;
        while let Some(frame) = got.get(at) {
            // A slow camera's frames are shown twice.
            let Some(place) = frames[from..].iter().position(|md5| *md5 == frame.md5) else {
                break;
            };
            from += place;
            found += 1;
            at += 1;
        }
        let due = piece.duration_s * 5.0;
        assert!((f64::from(found) - due).abs() <= 2.0, "{found} frames of {due} of {piece:?}");
    }
    assert_eq!(at, got.len(), "a frame that no source shows, or out of order");
}
