//! What a replay camera leaves behind, and must lose: rows of Frigate's database, files of its
//! media folder, the clip. Names only; nothing is touched here.
//!
//! `clips/` can hold hundreds of thousands of files. The folders in [`LISTED`] are short and name
//! what is stale; `clips/` itself is read only when a replay camera that existed is taken away.

use std::path::{Path, PathBuf};

use crate::words::ReplayCamera;

/// The tables whose rows carry a `camera`.
pub const TABLES: [&str; 7] =
    ["event", "timeline", "recordings", "reviewsegment", "previews", "regions", "trigger"];

/// Folders of the media folder that hold one entry for each camera (or day), whose names tell which
/// replay cameras left something.
pub const LISTED: [&str; 3] = ["clips/thumbs", "clips/previews", "recordings"];

/// Folders of the media folder with files of all cameras, told apart by their names.
pub const MIXED: [&str; 2] = ["clips", "clips/review"];

/// The folders of one camera, below the media folder.
pub fn folders(camera: &ReplayCamera) -> [PathBuf; 4] {
    ["recordings", "clips", "clips/thumbs", "clips/previews"]
        .map(|parent| Path::new(parent).join(camera.as_str()))
}

/// The name of the clip's file in the replay folder.
pub fn clip_file_name(camera: &ReplayCamera) -> String {
    format!("{camera}.mp4")
}

/// Whose clip, or clip in the making, a file of the replay folder is. Files in the making begin
/// with a dot and carry more after the clip's name.
pub fn camera_of_clip_file(file_name: &str) -> Option<ReplayCamera> {
    let name = file_name.strip_prefix('.').unwrap_or(file_name);
    let (camera, _) = name.split_once(".mp4")?;
    ReplayCamera::parse(camera).ok()
}

/// Whether `file_name` in the mixed folder `folder` (one of [`MIXED`]) is `camera`'s: its
/// snapshots (`<camera>-*.jpg`, `<camera>-*-clean.webp`, `<camera>-*-clean.png`) and review
/// thumbnails (`thumb-<camera>-*.webp`).
///
/// `_replay_front-*` fits files of a camera `front-door` as well: `others` are the cameras whose
/// files must stay, and of two cameras that fit, the one with the longer name owns the file.
pub fn is_file_of(
    folder: &str,
    file_name: &str,
    camera: &ReplayCamera,
    others: &[ReplayCamera],
) -> bool {
    fits(folder, file_name, camera)
        && !others.iter().any(|other| {
            other.as_str().len() > camera.as_str().len() && fits(folder, file_name, other)
        })
}

fn fits(folder: &str, file_name: &str, camera: &ReplayCamera) -> bool {
    let rest = |name: &str| -> Option<String> {
        name.strip_prefix(camera.as_str())?.strip_prefix('-').map(str::to_owned)
    };
    match folder {
        "clips" => rest(file_name).is_some_and(|rest| {
            rest.ends_with(".jpg") || rest.ends_with("-clean.webp") || rest.ends_with("-clean.png")
        }),
        "clips/review" => file_name
            .strip_prefix("thumb-")
            .and_then(rest)
            .is_some_and(|rest| rest.ends_with(".webp")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::CameraName;

    fn replay(name: &str) -> ReplayCamera {
        CameraName::parse(name).unwrap().replay()
    }

    #[test]
    fn a_cameras_files_are_known_by_their_names() {
        let front = replay("front");
        for file in [
            "_replay_front-1700000000.123456-abcdef.jpg",
            "_replay_front-1700000000.123456-abcdef-clean.webp",
            "_replay_front-1700000000.123456-abcdef-clean.png",
        ] {
            assert!(is_file_of("clips", file, &front, &[]), "{file}");
        }
        for file in [
            "front-1700000000.123456-abcdef.jpg",
            "_replay_front2-1700000000.1-a.jpg",
            "_replay_front.jpg",
            "_replay_front-1700000000.1-a.webp",
            "_replay_front-1700000000.1-a.png",
            "x_replay_front-1.jpg",
        ] {
            assert!(!is_file_of("clips", file, &front, &[]), "{file}");
        }
        assert!(is_file_of("clips/review", "thumb-_replay_front-17.1-a.webp", &front, &[]));
        assert!(!is_file_of("clips/review", "thumb-front-17.1-a.webp", &front, &[]));
        assert!(!is_file_of("exports", "_replay_front-1.jpg", &front, &[]));
    }

    #[test]
    fn of_two_cameras_that_fit_the_longer_name_owns_the_file() {
        let file = "_replay_front-door-1700000000.1-a.jpg";
        let (front, door) = (replay("front"), replay("front-door"));
        assert!(is_file_of("clips", file, &front, &[]));
        assert!(!is_file_of("clips", file, &front, std::slice::from_ref(&door)));
        assert!(is_file_of("clips", file, &door, &[front]));
    }

    #[test]
    fn a_clip_in_the_making_is_the_clips_cameras() {
        let front = replay("front");
        assert_eq!(clip_file_name(&front), "_replay_front.mp4");
        for name in ["_replay_front.mp4", "._replay_front.mp4.part", "._replay_front.mp4.list"] {
            assert_eq!(camera_of_clip_file(name), Some(front.clone()), "{name}");
        }
        for name in ["front.mp4", "_replay_.mp4", "_replay_a b.mp4", "readme.txt"] {
            assert_eq!(camera_of_clip_file(name), None, "{name}");
        }
    }
}
