//! The files that replay cameras leave in the media folder: found by short listings, removed.
//!
//! Everything here blocks and belongs off the loop. Each item is removed on its own; what fails is
//! told and the rest is done. Links are removed, never followed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::fault;
use crate::frigate::artifacts;
use crate::words::{CameraName, ReplayCamera};

/// Where replay cameras leave files.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The media folder.
    pub media: PathBuf,
    /// Where the clips are.
    pub replay: PathBuf,
}

/// Something that could not be listed or removed.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct Trouble {
    /// What.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Folders {
    /// The replay cameras that left something, as far as short listings tell: the cost does not
    /// grow with the number of snapshots. For the cameras in `known` it is looked up by name.
    pub fn replay_cameras(
        &self,
        known: &[CameraName],
        troubles: &mut Vec<Trouble>,
    ) -> BTreeSet<ReplayCamera> {
        let mut found = BTreeSet::new();
        for folder in artifacts::LISTED {
            let names = list(&self.media.join(folder), troubles);
            found.extend(names.iter().filter_map(|name| ReplayCamera::parse(name).ok()));
        }
        let clips = list(&self.replay, troubles);
        found.extend(clips.iter().filter_map(|name| artifacts::camera_of_clip_file(name)));
        for camera in known.iter().map(CameraName::replay) {
            let mut folders = artifacts::folders(&camera).into_iter();
            if folders.any(|folder| self.media.join(folder).symlink_metadata().is_ok()) {
                found.insert(camera);
            }
        }
        found
    }

    /// Removes the clip and the folders of `camera`.
    pub fn remove_own(&self, camera: &ReplayCamera, troubles: &mut Vec<Trouble>) {
        for folder in artifacts::folders(camera) {
            remove(&self.media.join(folder), troubles, |path| match fs::remove_dir_all(path) {
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
                other => other,
            });
        }
        for name in list(&self.replay, troubles) {
            if artifacts::camera_of_clip_file(&name).as_ref() == Some(camera) {
                remove(&self.replay.join(name), troubles, |path| fs::remove_file(path));
            }
        }
    }

    /// Removes the snapshots and review thumbnails of `cameras`, but none of `others`. Reads the
    /// folders of all cameras' snapshots once, which may take seconds; `go_on` is asked now and
    /// then. Gives whether it came to the end.
    pub fn remove_mixed(
        &self,
        cameras: &BTreeSet<ReplayCamera>,
        others: &[ReplayCamera],
        troubles: &mut Vec<Trouble>,
        go_on: impl Fn() -> bool,
    ) -> bool {
        for folder in artifacts::MIXED {
            let path = self.media.join(folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => {
                    troubles.push(Trouble { path, source });
                    continue;
                }
            };
            for (count, entry) in entries.enumerate() {
                if count % 256 == 0 && !go_on() {
                    return false;
                }
                let Ok(entry) = entry else { continue };
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let stale = cameras
                    .iter()
                    .any(|camera| artifacts::is_file_of(folder, name, camera, others));
                if stale {
                    remove(&entry.path(), troubles, |path| fs::remove_file(path));
                }
            }
        }
        true
    }
}

/// The names in a folder; a folder that is not there is empty.
fn list(folder: &Path, troubles: &mut Vec<Trouble>) -> Vec<String> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => {
            troubles.push(Trouble { path: folder.to_owned(), source });
            Vec::new()
        }
    }
}

/// Removes with `how`; what is gone already is as good as removed.
fn remove(path: &Path, troubles: &mut Vec<Trouble>, how: impl Fn(&Path) -> io::Result<()>) {
    fault::point("sweep-file");
    match how(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => troubles.push(Trouble { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn replay(name: &str) -> ReplayCamera {
        CameraName::parse(name).unwrap().replay()
    }

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }

    fn folders(dir: &TempDir) -> Folders {
        Folders { media: dir.path().to_owned(), replay: dir.path().join("frigate-replay") }
    }

    #[test]
    fn stale_cameras_are_found_by_short_listings() {
        let dir = TempDir::new().unwrap();
        for path in [
            "clips/thumbs/_replay_a/x.webp",
            "clips/previews/_replay_b/x.mp4",
            "recordings/_replay_c/x.mp4",
            "clips/_replay_d/x.jpg",
            "frigate-replay/_replay_e.mp4",
            "frigate-replay/._replay_f.mp4.part",
            "clips/thumbs/front/x.webp",
            "recordings/2026-01-01/00/front/00.00.mp4",
            "clips/_replay_unknown-1.jpg",
        ] {
            touch(&dir.path().join(path));
        }
        let known = [CameraName::parse("d").unwrap(), CameraName::parse("front").unwrap()];
        let mut troubles = Vec::new();
        let found = folders(&dir).replay_cameras(&known, &mut troubles);
        assert_eq!(found, ["a", "b", "c", "d", "e", "f"].map(replay).into());
        assert!(troubles.is_empty());
    }

    #[test]
    fn everything_of_the_camera_goes_and_nothing_else() {
        let dir = TempDir::new().unwrap();
        let mine = [
            "recordings/_replay_front/00.mp4",
            "clips/_replay_front/a/b.jpg",
            "clips/thumbs/_replay_front/1.webp",
            "clips/previews/_replay_front/1.mp4",
            "clips/_replay_front-1.1-a.jpg",
            "clips/_replay_front-1.1-a-clean.webp",
            "clips/review/thumb-_replay_front-1.1-a.webp",
            "frigate-replay/_replay_front.mp4",
            "frigate-replay/._replay_front.mp4.part",
        ];
        let others = [
            "recordings/2026-01-01/00/front/00.00.mp4",
            "clips/thumbs/front/1.webp",
            "clips/front-1.1-a.jpg",
            "clips/_replay_front-door-1.1-a.jpg",
            "clips/review/thumb-front-1.1-a.webp",
            "frigate-replay/_replay_front-door.mp4",
        ];
        for path in mine.iter().chain(&others) {
            touch(&dir.path().join(path));
        }
        let (folders, front) = (folders(&dir), replay("front"));
        let mut troubles = Vec::new();
        folders.remove_own(&front, &mut troubles);
        let done =
            folders.remove_mixed(&[front].into(), &[replay("front-door")], &mut troubles, || true);
        assert!(done && troubles.is_empty(), "{troubles:?}");
        for path in mine {
            assert!(!dir.path().join(path).exists(), "{path} stayed");
        }
        for path in others {
            assert!(dir.path().join(path).exists(), "{path} is gone");
        }
    }

    #[test]
    fn a_link_is_removed_and_what_it_leads_to_stays() {
        let dir = TempDir::new().unwrap();
        let treasure = dir.path().join("elsewhere/treasure.txt");
        touch(&treasure);
        fs::create_dir_all(dir.path().join("clips/thumbs")).unwrap();
        let link = dir.path().join("clips/thumbs/_replay_front");
        symlink(dir.path().join("elsewhere"), &link).unwrap();
        let mut troubles = Vec::new();
        folders(&dir).remove_own(&replay("front"), &mut troubles);
        assert!(troubles.is_empty(), "{troubles:?}");
        assert!(link.symlink_metadata().is_err());
        assert!(treasure.exists());
    }

    #[test]
    fn what_cannot_be_removed_is_told_and_the_rest_is_done() {
        let dir = TempDir::new().unwrap();
        // A folder where the clip should be, and a file where a folder should be.
        touch(&dir.path().join("frigate-replay/_replay_front.mp4/x"));
        touch(&dir.path().join("frigate-replay/._replay_front.mp4.part"));
        touch(&dir.path().join("clips/thumbs/_replay_front"));
        let mut troubles = Vec::new();
        folders(&dir).remove_own(&replay("front"), &mut troubles);
        assert_eq!(troubles.len(), 1, "{troubles:?}");
        assert!(!dir.path().join("frigate-replay/._replay_front.mp4.part").exists());
        assert!(!dir.path().join("clips/thumbs/_replay_front").exists());
    }
}
