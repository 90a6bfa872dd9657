//! `frigate-replay clip`, as it is typed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use frigate_replay::clip::Clip;

use super::footage::{Camera, Footage};
use super::order::assert_right;

fn clip(output: &Path, more: &[&str], files: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frigate-replay"));
    command.args(["clip", "--output"]).arg(output).args(more).args(files);
    command.output().unwrap()
}

#[test]
fn it_says_what_it_made() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264());
    let output = footage.path("clip.mp4");
    let json = clip(&output, &["--json"], &files);
    let made: Clip = serde_json::from_slice(&json.stdout).unwrap();
    assert_right(&made, &files);
    let text = String::from_utf8(clip(&output, &["--start", "1.5"], &files).stdout).unwrap();
    assert!(text.contains("(3.000 s), 30 frames of 2 recordings"), "{text}");
}

#[test]
fn it_says_what_is_wrong_and_what_would_be_right() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264());
    let output = footage.path("clip.mp4");
    let number = "it must be a number of seconds, 0 or more";
    for (more, says) in [
        (&["--start", "-3"][..], number),
        (&["--end", "nan"], number),
        (&["--start", "1m"], number),
        (&["--start", "3", "--end", "2"], "--end 2 must be after the start, 3"),
        (&["--start", "99"], "--start 99 must be before the end of the footage, 4.000"),
    ] {
        let refused = clip(&output, more, &files);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains(says), "{more:?}: {said}");
        assert!(!output.exists());
    }
}

/// Whatever is at the output and is no file stays as it is.
#[test]
fn it_replaces_nothing_but_files() {
    let mut footage = Footage::new();
    let files = footage.record(&Camera::h264());
    let pipe = footage.pipe("pipe");
    for output in [&pipe, &footage.path("")] {
        let refused = clip(output, &[], &files);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("is no file that a clip can replace"), "{said}");
    }
    assert!(!pipe.metadata().unwrap().is_file());
}
