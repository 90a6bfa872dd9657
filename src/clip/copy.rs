//! Moving bytes from file to file, by the fastest way that the file systems offer.
//!
//! Which way works is found out by trying: blocks are shared (`FICLONERANGE`: XFS, btrfs, …), else
//! the kernel copies (`copy_file_range`), else this process does. Every step is small enough for a
//! cancel to be noticed within milliseconds.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use super::control::Control;
use super::plan::Copy;
use super::unfit::Unfit;

/// Bytes copied between two looks at the cancel flag: 1 ms from cache, 20 ms from a hard disk. Most
/// segments are copied in one call; eight times as much is no faster.
const STEP: u64 = 2 << 20;
/// Bytes shared between two looks: a matter of extents, not of bytes.
const CLONE_STEP: u64 = 256 << 20;
/// Bytes for each read and write where the kernel does not copy.
const BUFFER: usize = 256 * 1024;
/// The largest block tried for sharing; page and block sizes of 4, 16 and 64 KiB exist.
const BLOCK_MAX: u64 = 64 * 1024;

/// Why bytes could not be copied.
#[derive(Debug)]
pub(super) enum Failed {
    /// The source could not be read, or has fewer bytes than it had.
    Source(Unfit),
    /// The clip could not be written.
    Target(io::Error),
    /// Somebody does not want it any more.
    Cancelled,
}

/// Copies into one file.
pub(super) struct Copier<'a> {
    to: &'a File,
    share: bool,
    kernel: bool,
    buffer: Vec<u8>,
    control: &'a Control,
    done: u64,
    total: u64,
}

impl<'a> Copier<'a> {
    /// A copier of `total` bytes into `to`, which shares blocks if `share`.
    pub(super) fn new(to: &'a File, share: bool, total: u64, control: &'a Control) -> Self {
        Self { to, share, kernel: true, buffer: Vec::new(), control, done: 0, total }
    }

    /// What is left of the first `due` bytes is not going to be copied.
    pub(super) fn pass_over(&mut self, due: u64) {
        self.done = due;
        self.control.report(self.done, self.total);
    }

    /// Copies one stretch; `copy.to` is counted from `base`.
    pub(super) fn copy(&mut self, from: &File, base: u64, copy: Copy) -> Result<(), Failed> {
        let mut done = 0;
        while done < copy.length {
            if self.control.is_cancelled() {
                return Err(Failed::Cancelled);
            }
            let rest = copy.length - done;
            let (at, to) = (copy.from + done, base + copy.to + done);
            let moved = match self.step(from, at, to, rest)? {
                0 => return Err(Failed::Source(Unfit::Changed)),
                moved => moved,
            };
            done += moved;
            self.done += moved;
            self.control.report(self.done, self.total);
        }
        Ok(())
    }

    /// Moves some of `rest` bytes; 0 at the end of the source.
    fn step(&mut self, from: &File, at: u64, to: u64, rest: u64) -> Result<u64, Failed> {
        if self.share {
            let length = rest.min(CLONE_STEP);
            if share_blocks(from, at, self.to, to, length).is_ok() {
                return Ok(length);
            }
            // Not for this file, perhaps: it is on another file system, or was just cut.
        }
        let length = rest.min(STEP) as usize;
        if self.kernel {
            let (mut at, mut to) = (at, to);
            match rustix::fs::copy_file_range(from, Some(&mut at), self.to, Some(&mut to), length) {
                Ok(moved) => return Ok(moved as u64),
                Err(Errno::INTR) => return self.by_hand(from, at, to, length),
                Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
                    return Err(Failed::Target(error.into()));
                }
                // Whatever else it is: the plain way works, or says which of the files it is.
                Err(_) => self.kernel = false,
            }
        }
        self.by_hand(from, at, to, length)
    }

    fn by_hand(&mut self, from: &File, at: u64, to: u64, length: usize) -> Result<u64, Failed> {
        self.buffer.resize(BUFFER, 0);
        let buffer = &mut self.buffer[..length.min(BUFFER)];
        let moved = loop {
            match from.read_at(buffer, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(|error| Failed::Source(error.into()))?,
            }
        };
        self.to.write_all_at(&buffer[..moved], to).map_err(Failed::Target)?;
        Ok(moved as u64)
    }
}

/// The size of block in which `to` can share what is in `from`, if it can. `to` is empty, and is
/// emptied again.
pub(super) fn sharing(from: &File, length: u64, to: &File) -> Option<u32> {
    // Of the file system; a file's own st_blksize is but advice on reading.
    let block = rustix::fs::fstatvfs(to).ok()?.f_bsize;
    if !block.is_power_of_two() || block > BLOCK_MAX {
        return None;
    }
    share_blocks(from, 0, to, 0, length.min(block)).ok()?;
    to.set_len(0).ok()?;
    u32::try_from(block).ok()
}

fn share_blocks(from: &File, at: u64, to: &File, to_at: u64, length: u64) -> io::Result<()> {
    let length = NonZeroU64::new(length).ok_or(io::ErrorKind::InvalidInput)?;
    reflink_copy::ReflinkBlockBuilder::new(from, to, length)
        .from_offset(at)
        .to_offset(to_at)
        .reflink_block()
}
