//! File systems that share blocks between files: the clip is then made of its recordings' own blocks.
//! An image of each is mounted for the test. That takes the right to mount, which root has, but not in
//! every container; where the system refuses it, the test says so and looks at nothing.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::decoded::shown;
use super::footage::{Camera, Footage};
use super::order::{assert_right, make, order};

/// A file system in a file. Gone when dropped.
struct Mounted {
    dir: TempDir,
}

impl Mounted {
    /// Makes one with `mkfs`; `None` where mounting is not allowed.
    fn new(mkfs: &[&str]) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("image");
        // XFS takes no less; it is a hole.
        std::fs::File::create(&image).unwrap().set_len(300 << 20).unwrap();
        run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image))
            .unwrap_or_else(|said| panic!("{mkfs:?} (`make tools` installs it): {said}"));
        std::fs::create_dir(dir.path().join("mounted")).unwrap();
        let mount = run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(dir.path().join("mounted")));
        if let Err(said) = mount {
            eprintln!("not looked at, since {} cannot be mounted here: {said}", mkfs[0]);
            return None;
        }
        Some(Self { dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("mounted").join(name)
    }

    /// Bytes that are free.
    fn free(&self) -> u64 {
        let root = std::fs::File::open(self.path("")).unwrap();
        rustix::fs::syncfs(&root).unwrap();
        let disk = rustix::fs::fstatvfs(&root).unwrap();
        disk.f_bavail * disk.f_frsize
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(self.dir.path().join("mounted")));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let ended = command.env("PATH", path_of_root()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    ended.status.success().then_some(()).ok_or(said)
}

/// The programs that make file systems are where only root looks.
fn path_of_root() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

fn check(mkfs: &[&str]) {
    let Some(mounted) = Mounted::new(mkfs) else { return };
    let mut footage = Footage::new();
    let mut camera = Camera { seconds: 6, sound: Some("-c:a aac"), ..Camera::h264_b_frames() };
    // Not compressible, and large beside what a file system writes about its files.
    camera.encoder += " -qp 0";
    camera.size = "320x180";
    let files = footage.record(&camera);
    let mut there = Vec::new();
    for round in 0..4 {
        for (number, file) in files.iter().enumerate() {
            let path = mounted.path(&format!("{round}-{number}.mp4"));
            std::fs::copy(file, &path).unwrap();
            there.push(path);
        }
    }
    let free = mounted.free();
    let mut whole = order(&there);
    whole.keep_audio = true;
    let clip = make(&whole).unwrap();
    let taken = free.saturating_sub(mounted.free());
    assert!(clip.bytes > 4 << 20, "{}", clip.bytes);
    assert!(taken < clip.bytes / 4, "{taken} bytes of {} are not shared", clip.bytes);
    std::fs::remove_file(&clip.path).unwrap();

    // Bit for bit, and mixed with a file that is not on this file system.
    let mixed = [there[0].clone(), files[1].clone(), there[2].clone()];
    assert_right(&make(&order(&mixed)).unwrap(), &mixed);

    // A part of a file, and files that were cut short.
    let bytes = std::fs::metadata(&there[1]).unwrap().len();
    std::fs::File::options().write(true).open(&there[1]).unwrap().set_len(bytes * 2 / 3).unwrap();
    let clip = make(&order(&there[..3])).unwrap();
    assert_eq!(clip.warnings.len(), 1);
    let frames: Vec<_> = there[..3].iter().map(|file| shown(file)).collect();
    super::decoded::assert_shows(&clip, &frames);
}

#[test]
fn xfs() {
    check(&["mkfs.xfs", "-q"]);
}

#[test]
fn xfs_with_small_blocks() {
    check(&["mkfs.xfs", "-q", "-b", "size=1024"]);
}

#[test]
fn btrfs() {
    check(&["mkfs.btrfs", "-q"]);
}
