//! Recordings that are not as they should be: each is left out, or used as far as it goes, and
//! named; the others are joined all the same.

use std::fs;
use std::path::{Path, PathBuf};

use frigate_replay::clip::{Clip, ClipError, Engine};

use super::decoded::{assert_shows, shown};
use super::footage::{Camera, Footage};
use super::oracle;
use super::order::{make, order};

/// Four good segments.
fn four() -> (Footage, Vec<PathBuf>) {
    let mut footage = Footage::new();
    let files = footage.record(&Camera { seconds: 8, ..Camera::h264() });
    (footage, files)
}

/// Joins `files`; the clip must be all that a player of each shows, and say `warning` of one file.
fn join_but(files: &[PathBuf], odd: &Path, warning: &str) -> Clip {
    let clip = make(&order(files)).unwrap();
    assert_eq!(clip.warnings, [format!("{} {warning}", odd.display())]);
    let wanted: Vec<_> =
        files.iter().map(|file| shown(file)).filter(|frames| !frames.is_empty()).collect();
    assert_shows(&clip, &wanted);
    let there: Vec<&PathBuf> = clip
        .segments
        .iter()
        .map(|piece| files.iter().find(|f| f.to_str() == Some(&piece.path)).unwrap())
        .collect();
    oracle::assert_agrees(&clip, &there, false);
    clip
}

#[test]
fn a_missing_file_in_the_middle() {
    let (_footage, files) = four();
    fs::remove_file(&files[1]).unwrap();
    let clip = join_but(&files, &files[1], "is not there");
    assert_eq!((clip.frames, clip.gaps, clip.segments.len()), (60, 1, 3));
    assert!((clip.gap_seconds - 2.0).abs() < 0.001, "{}", clip.gap_seconds);
}

#[test]
fn an_empty_file_first_and_in_the_middle() {
    for odd in [0, 1] {
        let (_footage, files) = four();
        fs::write(&files[odd], b"").unwrap();
        assert_eq!(join_but(&files, &files[odd], "is empty").frames, 60);
    }
}

#[test]
fn a_file_without_an_index() {
    let (footage, files) = four();
    let unfinished = footage.path("unfinished.mp4");
    footage.remux(&files[3], "", &unfinished);
    let bytes = fs::read(&unfinished).unwrap();
    fs::write(&files[3], &bytes[..bytes.len() * 6 / 10]).unwrap();
    let why = "has no index (moov): it was never finished, or it is not an MP4";
    assert_eq!(join_but(&files, &files[3], why).frames, 60);
}

/// Wherever a file is cut, what is whole in it is used.
#[test]
fn a_file_cut_anywhere() {
    let (_footage, files) = four();
    let bytes = fs::read(&files[2]).unwrap();
    let media = oracle::read(&files[2]).boxes.last().unwrap().1 as usize;
    let media = bytes.len() - media + 8;
    for at in [1, 7, 30, 400, media - 1, media, media + 1] {
        fs::write(&files[2], &bytes[..at]).unwrap();
        let clip = make(&order(&files)).unwrap();
        assert_eq!((clip.frames, clip.warnings.len()), (60, 1), "{at}: {:?}", clip.warnings);
        assert!(clip.warnings[0].contains(files[2].to_str().unwrap()));
    }
    for tenths in [3, 6, 9] {
        let at = media + (bytes.len() - media) * tenths / 10;
        fs::write(&files[2], &bytes[..at]).unwrap();
        let whole = shown(&files[2]).len();
        assert!((1..20).contains(&whole), "{whole}");
        let missing = 20 - whole;
        let why = format!("is cut short: its last {missing} frames are missing");
        let clip = join_but(&files, &files[2], &why);
        assert_eq!(clip.frames as usize, 60 + whole);
    }
}

#[test]
fn what_is_no_recording_at_all() {
    let (footage, files) = four();
    let text = footage.path("text.mp4");
    fs::write(&text, "#!/bin/sh\necho this is no video at all\n".repeat(50)).unwrap();
    let noise = footage.path("noise.mp4");
    fs::write(
        &noise,
        (0..100_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
            .collect::<Vec<u8>>(),
    )
    .unwrap();
    let folder = footage.path("folder.mp4");
    fs::create_dir(&folder).unwrap();
    let pipe = footage.pipe("pipe.mp4");
    let dangling = footage.path("dangling.mp4");
    std::os::unix::fs::symlink(footage.path("nowhere"), &dangling).unwrap();
    let through = footage.path("through.mp4");
    std::os::unix::fs::symlink(&files[1], &through).unwrap();

    let all = [&files[0], &text, &noise, &folder, &pipe, &dangling, &through].map(Clone::clone);
    let clip = make(&order(&all)).unwrap();
    assert_eq!(clip.warnings.len(), 5, "{:?}", clip.warnings);
    for (warning, odd) in clip.warnings.iter().zip([&text, &noise, &folder, &pipe, &dangling]) {
        assert!(warning.starts_with(odd.to_str().unwrap()), "{warning}");
    }
    assert_shows(&clip, &[shown(&files[0]), shown(&files[1])]);
}

#[test]
fn sound_without_a_picture() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera { sound: Some("-c:a aac"), ..Camera::h264() });
    let sound = footage.path("sound.mp4");
    footage.remux(&files[0], "-vn", &sound);
    let all = [files[0].clone(), sound.clone(), files[1].clone()];
    let clip = make(&order(&all)).unwrap();
    assert_eq!(clip.warnings, [format!("{} has no video track", sound.display())]);
    assert_eq!(clip.frames, 40);
}

/// More behind the video than an MP4 has: a download that was appended to, a block of zeros.
#[test]
fn a_file_with_something_behind_it() {
    let (_footage, files) = four();
    for more in [&b"\0\0\0\0"[..], &[0; 4096], b"trailing text, and no box"] {
        let mut bytes = fs::read(&files[1]).unwrap();
        bytes.extend_from_slice(more);
        fs::write(&files[1], bytes).unwrap();
        let clip = make(&order(&files)).unwrap();
        assert_eq!(clip.warnings, [""; 0]);
        let wanted: Vec<_> = files.iter().map(|file| shown(file)).collect();
        assert_shows(&clip, &wanted);
    }
}

#[test]
fn nothing_left_is_an_error_that_says_why() {
    let (_footage, files) = four();
    for file in &files {
        fs::write(file, b"").unwrap();
    }
    let error = make(&order(&files)).unwrap_err();
    let ClipError::Nothing { recordings: 4, reasons } = &error else { panic!("{error}") };
    assert_eq!(reasons.len(), 4);
    assert!(error.to_string().contains(&format!("{} is empty", files[0].display())), "{error}");
}

/// A thousand bad files make no endless message.
#[test]
fn warnings_are_bounded() {
    let (footage, files) = four();
    let mut all = vec![footage.path("gone.mp4"); 1000];
    all.push(files[0].clone());
    let clip = make(&super::order::order(&all)).unwrap();
    assert_eq!(clip.warnings.len(), 21);
    assert_eq!(clip.warnings[20], "and 980 more");
}

/// A track has one codec. Neither engine makes a clip of half the range.
#[test]
fn a_codec_change_is_refused_and_named() {
    let mut footage = Footage::new();
    let mut files = footage.record(&Camera::h264());
    files.extend(footage.record(&Camera::h265("bframes=0")));
    for engine in [Engine::Auto, Engine::Native, Engine::Ffmpeg] {
        let mut order = order(&files);
        order.engine = engine;
        let error = make(&order).unwrap_err();
        let ClipError::CodecChange { path, .. } = &error else { panic!("{error}") };
        assert_eq!(*path, files[2]);
        let says = error.to_string();
        assert!(says.contains("from H.264 to H.265"), "{says}");
    }
}
