//! Sound, where it is kept: each piece's own, at its own frames.

use std::path::PathBuf;

use frigate_replay::clip::{Clip, Trim};
use frigate_replay::words::UnixTime;

use super::footage::{Camera, Footage};
use super::oracle::{self, Read, samples};
use super::order::{BEGIN, make, order};

/// Seconds of a sample of AAC at 16 kHz: half of one may be cut off at either end of a piece.
const AAC_S: f64 = 1024.0 / 16_000.0;

fn camera(sound: &'static str) -> Camera {
    Camera { sound: Some(sound), ..Camera::h264() }
}

/// Bytes of each sample of sound, and when it is heard, in seconds of the movie.
fn heard(read: &Read) -> Vec<(Vec<u8>, f64)> {
    let track = read.tracks("soun")[0];
    let mut delay_s = 0.0;
    let mut from = 0;
    for edit in &track.edts.as_ref().unwrap().elst.as_ref().unwrap().entries {
        match edit.media_time {
            None => {
                delay_s += edit.segment_duration as f64 / f64::from(read.moov.mvhd.timescale);
            }
            Some(time) => from = time,
        }
    }
    let timescale = f64::from(track.mdia.mdhd.timescale);
    samples(track)
        .into_iter()
        .map(|sample| {
            let at = delay_s + (sample.pts - from as i64) as f64 / timescale;
            (read.bytes(&sample), at)
        })
        .collect()
}

/// Seconds of the movie at which a file's first frame is shown, and the last one ends.
fn shows(read: &Read) -> f64 {
    let track = read.tracks("vide")[0];
    let edits = &track.edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
    let empty = edits.iter().take_while(|edit| edit.media_time.is_none());
    let ticks: u64 = empty.map(|edit| edit.segment_duration).sum();
    ticks as f64 / f64::from(read.moov.mvhd.timescale)
}

/// Checks that every sample of sound is as far from its segment's first frame as in its own file.
fn assert_in_sync(clip: &Clip, off_by_s: f64) {
    let read = oracle::read(&clip.path);
    let all = heard(&read);
    assert!(!all.is_empty());
    let mut got = all.iter().peekable();
    for piece in &clip.segments {
        let source = oracle::read(piece.path.as_ref());
        if source.tracks("soun").is_empty() {
            continue;
        }
        let trimmed_s = piece.start.since(UnixTime::new(f64::from(BEGIN)).unwrap()) % 2.0;
        let begins = shows(&source) + trimmed_s;
        let (mut found, mut due) = (0_i32, 0_i32);
        for (bytes, at) in heard(&source) {
            let middle = at - begins + AAC_S / 2.0;
            due += i32::from((0.0..piece.duration_s).contains(&middle));
            let Some((_, time)) = got.next_if(|(sample, _)| *sample == bytes) else {
                continue;
            };
            let off = (time - piece.offset_s) - (at - begins);
            assert!(off.abs() <= off_by_s, "{off} s off in {piece:?}");
            found += 1;
        }
        assert!(due > 3 && (found - due).abs() <= 1, "{found} of {due} in {piece:?}");
    }
    assert_eq!(got.count(), 0, "sound that is no source's, or out of order");
}

fn join(files: &[PathBuf]) -> Clip {
    let mut order = order(files);
    order.keep_audio = true;
    let clip = make(&order).unwrap();
    oracle::assert_agrees(&clip, files, true);
    clip
}

#[test]
fn it_is_dropped_unless_it_is_asked_for() {
    let mut footage = Footage::new();
    let files = footage.record(&camera("-c:a aac"));
    super::order::join_all(&files);
}

#[test]
fn it_stays_in_sync() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera { seconds: 10, ..camera("-c:a aac") });
    let clip = join(&files);
    assert_eq!(clip.warnings, [""; 0]);
    assert_in_sync(&clip, AAC_S);
}

#[test]
fn it_stays_in_sync_beside_b_frames_and_when_trimmed() {
    let mut footage = Footage::new();
    let files =
        footage.record(&Camera { seconds: 8, sound: Some("-c:a aac"), ..Camera::h264_b_frames() });
    assert_in_sync(&join(&files), AAC_S);
    let mut order = order(&files);
    order.keep_audio = true;
    let at = |seconds| UnixTime::new(f64::from(BEGIN) + seconds);
    order.trim = Trim { start: at(1.5), end: at(6.4) };
    assert_in_sync(&make(&order).unwrap(), AAC_S);
}

#[test]
fn segments_without_sound_are_silent() {
    let mut footage = Footage::new();
    let with = footage.record(&Camera { seconds: 6, ..camera("-c:a aac") });
    let without = footage.record(&Camera::h264());
    let clip = join(&[
        without[0].clone(),
        with[0].clone(),
        with[1].clone(),
        without[1].clone(),
        with[2].clone(),
    ]);
    assert_in_sync(&clip, AAC_S);
    let first = heard(&oracle::read(&clip.path))[0].1;
    assert!((first - 2.0).abs() < AAC_S, "sound begins at {first}");
}

#[test]
fn other_sound_codecs() {
    for codec in ["-c:a libopus", "-c:a libmp3lame"] {
        let mut footage = Footage::new();
        let files = footage.record(&Camera { in_band: false, ..camera(codec) });
        let clip = join(&files);
        assert_eq!(clip.warnings, [""; 0]);
    }
}

#[test]
fn sound_of_another_codec_is_left_out_and_named() {
    let mut footage = Footage::new();
    let mut files = footage.record(&Camera { in_band: false, ..camera("-c:a aac") });
    files.truncate(1);
    let other = footage.record(&Camera { in_band: false, ..camera("-c:a libopus") });
    files.push(other[0].clone());
    let clip = join(&files);
    let says = "has sound of another codec than the clip, which is left out";
    assert_eq!(clip.warnings, [format!("{} {says}", other[0].display())]);
    assert_eq!(clip.frames, 40);
}
