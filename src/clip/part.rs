//! The file that becomes the clip: `.NAME.part` beside it until it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, FileType, Mode, OFlags};

use super::read::Identity;
use super::{ClipError, Segment};
use crate::fault;

const PREFIX: &str = ".";
const SUFFIX: &str = ".part";

/// The path under which `clip` is made, in the same folder: `.NAME.part`.
pub fn part_path(clip: &Path) -> PathBuf {
    let mut name = OsString::from(PREFIX);
    name.push(clip.file_name().unwrap_or_default());
    name.push(SUFFIX);
    clip.with_file_name(name)
}

/// Whether a file of this name is a clip in the making, or was left by one that was interrupted.
pub fn is_part(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.len() > PREFIX.len() + SUFFIX.len()
        && name.starts_with(PREFIX.as_bytes())
        && name.ends_with(SUFFIX.as_bytes())
}

/// A clip in the making. Its file is gone when this is dropped, unless it was [finished](Self::finish).
#[derive(Debug)]
pub(super) struct Part {
    clip: PathBuf,
    path: PathBuf,
    pub(super) file: File,
    finished: bool,
}

impl Part {
    /// An empty file for `clip`, in the place of one left by an interrupted attempt.
    pub(super) fn create(clip: &Path) -> Result<Self, ClipError> {
        // A folder could not be replaced, and a device had better not be.
        let replaceable = |stat: rustix::fs::Stat| {
            matches!(
                FileType::from_raw_mode(stat.st_mode),
                FileType::RegularFile | FileType::Symlink
            )
        };
        if clip.file_name().is_none()
            || rustix::fs::lstat(clip).is_ok_and(|stat| !replaceable(stat))
        {
            return Err(ClipError::OutputNotAFile { path: clip.to_owned() });
        }
        let path = part_path(clip);
        remove(&path)?;
        // Readable for Frigate, which may run as another user; writable for nobody else.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let file = rustix::fs::openat(CWD, &path, flags, mode)
            .map_err(|error| ClipError::io("create", &path)(error.into()))?;
        fault::point("clip-part");
        Ok(Self { clip: clip.to_owned(), path, file: file.into(), finished: false })
    }

    /// Where the clip is being made.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Turns a failure to write into an error that names the file.
    pub(super) fn unwritable(&self) -> impl Fn(io::Error) -> ClipError {
        ClipError::io("write", &self.path)
    }

    /// Makes sure that `needed` bytes fit and leave `spare` bytes free.
    pub(super) fn check_space(&self, needed: u64, spare: u64) -> Result<(), ClipError> {
        let disk = rustix::fs::fstatvfs(&self.file).map_err(|e| self.unwritable()(e.into()))?;
        let available = disk.f_bavail.saturating_mul(disk.f_frsize);
        if available.saturating_sub(spare) >= needed {
            return Ok(());
        }
        let folder = self.clip.parent().unwrap_or(Path::new("")).to_owned();
        Err(ClipError::NoSpace { folder, needed, available, spare })
    }

    /// Reserves `length` bytes in one piece, where the file system knows how.
    pub(super) fn reserve(&self, length: u64) -> Result<(), ClipError> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            Err(error @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) => {
                Err(self.unwritable()(error.into()))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to replace a file by a clip of itself.
    pub(super) fn check_inputs(&self, segments: &[Segment]) -> Result<(), ClipError> {
        let Some(replaced) = Identity::at(&self.clip) else {
            return Ok(());
        };
        let same = |path: &Path| Identity::at(path).is_some_and(|other| other.same_file(&replaced));
        match segments.iter().find(|segment| same(&segment.path)) {
            Some(segment) => Err(ClipError::OutputIsInput { path: segment.path.clone() }),
            None => Ok(()),
        }
    }

    /// Gives the clip its name. Not synced to the disk: it can be made again.
    pub(super) fn finish(mut self) -> Result<(), ClipError> {
        // First, since a rename over a file makes ext4 flush the new one: 190 ms for 300 MB.
        remove(&self.clip)?;
        fault::point("clip-rename");
        std::fs::rename(&self.path, &self.clip).map_err(ClipError::io("rename", &self.path))?;
        fault::point("clip-renamed");
        self.finished = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // An attempt that hung on its disk may end after the next one has begun.
        let is_ours = || {
            let ours = Identity::of(&self.file).ok();
            ours.is_some_and(|ours| Identity::at(&self.path).is_some_and(|at| at.same_file(&ours)))
        };
        if !self.finished && is_ours() {
            // Whoever asked learns of the failure that led here; the sweep finds what stays.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a file, which may be absent.
fn remove(path: &Path) -> Result<(), ClipError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ClipError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_named_after_its_clip_and_recognised() {
        let part = part_path(Path::new("/media/replay/_replay_front.mp4"));
        assert_eq!(part, Path::new("/media/replay/._replay_front.mp4.part"));
        assert!(is_part(part.file_name().unwrap()));
        for other in ["_replay_front.mp4", ".part", "a.part", ".a", ""] {
            assert!(!is_part(OsStr::new(other)), "{other:?}");
        }
    }

    #[test]
    fn nothing_is_left_of_a_part_that_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip.mp4");
        drop(Part::create(&clip).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_part_that_ends_late_leaves_the_next_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip.mp4");
        let late = Part::create(&clip).unwrap();
        let next = Part::create(&clip).unwrap();
        drop(late);
        next.finish().unwrap();
        assert!(clip.exists());
    }

    #[test]
    fn a_finished_part_takes_the_place_of_a_stale_clip() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip.mp4");
        std::fs::write(&clip, "old").unwrap();
        std::fs::write(part_path(&clip), "left over").unwrap();
        Part::create(&clip).unwrap().finish().unwrap();
        assert_eq!(std::fs::read(&clip).unwrap(), b"");
        assert_eq!(std::fs::metadata(&clip).unwrap().permissions().mode() & 0o022, 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_clip_that_would_not_leave_the_margin_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let part = Part::create(&folder.path().join("clip.mp4")).unwrap();
        assert!(part.check_space(1, 0).is_ok());
        let refused = part.check_space(1, u64::MAX).unwrap_err();
        assert!(matches!(refused, ClipError::NoSpace { needed: 1, .. }), "{refused}");
        assert!(part.check_space(u64::MAX, 0).is_err());
    }
}
