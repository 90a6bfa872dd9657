//! Ranges that begin and end inside segments.

use std::path::PathBuf;

use frigate_replay::clip::{ClipError, Trim};
use frigate_replay::words::UnixTime;

use super::decoded::{Frame, assert_shows, shown};
use super::footage::{Camera, Footage, SEGMENT_S};
use super::oracle;
use super::order::{BEGIN, make, order};

fn at(seconds: f64) -> UnixTime {
    UnixTime::new(f64::from(BEGIN) + seconds).unwrap()
}

/// The frames of each of the files from the keyframe at or before `start` (there is one each
/// second) up to `end`. Files with none of them are not there.
fn wanted(files: &[PathBuf], start: f64, end: f64) -> Vec<Vec<Frame>> {
    let mut wanted = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let begins = f64::from(SEGMENT_S) * number as f64;
        let frames = shown(file);
        let first = frames[0].pts_s;
        let part: Vec<Frame> = frames
            .into_iter()
            .filter(|frame| {
                let time = begins + frame.pts_s - first + 0.001;
                let in_time = time < end + 0.0005;
                time >= (start + 0.0001).floor() && in_time
            })
            .collect();
        if !part.is_empty() {
            wanted.push(part);
        }
    }
    wanted
}

fn check(camera: &Camera, ranges: &[(f64, f64)]) {
    let mut footage = Footage::new();
    let files = footage.record(&Camera { seconds: 6, ..camera.clone() });
    for (start, end) in ranges {
        let mut order = order(&files);
        order.trim = Trim { start: Some(at(*start)), end: Some(at(*end)) };
        let clip = make(&order).unwrap_or_else(|error| panic!("{start} to {end}: {error}"));
        assert_shows(&clip, &wanted(&files, *start, *end));
        assert_eq!(clip.warnings, [""; 0]);
        assert!((clip.start.since(at(start.max(0.0).floor()))).abs() < 0.001, "{start}");
        oracle::assert_agrees(&clip, &files, false);
    }
}

#[test]
fn at_every_kind_of_instant() {
    check(
        &Camera::h264(),
        &[
            (0.0, 6.0),
            (-5.0, 100.0),
            (0.35, 5.65),
            (1.0, 2.0),
            (1.999, 2.001),
            (2.5, 2.55),
            (3.95, 4.05),
            (5.95, 6.0),
        ],
    );
}

#[test]
fn with_b_frames() {
    check(
        &Camera::h264_b_frames(),
        &[(0.0, 5.95), (0.7, 3.15), (1.0, 5.25), (2.2, 2.45), (3.3, 3.35), (4.9, 5.05)],
    );
}

#[test]
fn with_b_frames_in_h265() {
    check(&Camera::h265("bframes=3"), &[(0.7, 3.15), (2.2, 2.45), (1.0, 5.75)]);
}

/// Each end alone.
#[test]
fn only_one_end() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264_b_frames());
    let mut order = order(&files);
    order.trim = Trim { start: Some(at(1.4)), end: None };
    assert_shows(&make(&order).unwrap(), &wanted(&files, 1.4, 100.0));
    order.trim = Trim { start: None, end: Some(at(2.33)) };
    assert_shows(&make(&order).unwrap(), &wanted(&files, 0.0, 2.33));
}

/// Wherever it ends, no frame too many is shown, and none too few.
#[test]
fn every_end_of_a_group_of_pictures() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264_b_frames());
    for tenth in (1..=11).chain([19, 20]) {
        let mut order = order(&files[..1]);
        order.trim.end = Some(at(f64::from(tenth) / 10.0));
        let clip = make(&order).unwrap();
        assert_eq!(clip.frames, tenth as u64);
        assert_shows(&clip, &wanted(&files[..1], 0.0, f64::from(tenth) / 10.0));
    }
}

/// An export may be trimmed like anything else.
#[test]
fn a_long_file() {
    let mut footage = Footage::new();
    let export =
        footage.record_whole(&Camera { seconds: 6, ..Camera::h264_b_frames().out_of_band() });
    let files = [export];
    for (start, end) in [(1.5, 4.5), (2.0, 3.0), (5.1, 6.0)] {
        let mut order = order(&files);
        order.trim = Trim { start: Some(at(start)), end: Some(at(end)) };
        assert_shows(&make(&order).unwrap(), &wanted(&files, start, end));
    }
}

#[test]
fn a_range_without_footage_is_refused() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264());
    for (start, end) in [(-10.0, -5.0), (-10.0, 0.0), (4.0, 9.0), (50.0, 60.0)] {
        let mut order = order(&files);
        order.trim = Trim { start: Some(at(start)), end: Some(at(end)) };
        let error = make(&order).unwrap_err();
        assert!(matches!(error, ClipError::Nothing { .. }), "{start}: {error}");
    }
}
