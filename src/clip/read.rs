//! Opening a file and finding its index (`moov`), wherever it is in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::boxes::Header;
use super::unfit::Unfit;

/// Bytes read at once from the start of a file. Frigate's segments have their index there, in 1.4
/// to 6 KB, so this is the only read of most of them.
const HEAD: usize = 16 * 1024;

/// The largest index read. A day of 30 frames a second with B frames and sound has one of 70 MB.
const INDEX_MAX: u64 = 128 << 20;

/// The most boxes looked at on the way to the index. Real files have five.
const BOXES_MAX: usize = 1000;

/// What tells one content of a path from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// Bytes of the file.
    pub(super) length: u64,
    modified: (i64, i64),
}

impl Identity {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(rustix::fs::fstat(file)?))
    }

    /// Of what is at a path, if anything is.
    pub(super) fn at(path: &Path) -> Option<Self> {
        rustix::fs::stat(path).ok().map(Self::from)
    }

    /// Whether both are the same file, whatever its content.
    pub(super) fn same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl From<rustix::fs::Stat> for Identity {
    fn from(stat: rustix::fs::Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            length: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
        }
    }
}

/// Opens a file to read. Never waits, as opening a pipe would.
pub(super) fn open(path: &Path) -> Result<(File, Identity), Unfit> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Err(Unfit::Missing),
        Err(other) => return Err(Unfit::Io(other.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(io::Error::from)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Unfit::NotAFile);
    }
    Ok((file, Identity::from(stat)))
}

/// Where bytes of an MP4 come from: a file, or memory in a test.
pub trait Bytes {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// Whatever reading gives; `UnexpectedEof` if there are fewer bytes.
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Bytes for File {
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl Bytes for [u8] {
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset).ok().and_then(|at| self.get(at..));
        match bytes.and_then(|bytes| bytes.get(..buffer.len())) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The body of the index of an MP4 of `length` bytes, in `buffer`, which is reused from file to
/// file.
pub fn index<'b>(
    file: &(impl Bytes + ?Sized),
    length: u64,
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], Unfit> {
    if length == 0 {
        return Err(Unfit::Empty);
    }
    // What cannot be read any more, after its length was seen, was cut in between.
    let fill = |offset, bytes: &mut [u8]| {
        file.fill(offset, bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Unfit::Changed,
            _ => Unfit::Io(error),
        })
    };
    let head = usize::try_from(length).unwrap_or(HEAD).min(HEAD);
    buffer.clear();
    buffer.resize(head, 0);
    fill(0, buffer)?;

    let mut at = 0_u64;
    for _ in 0..BOXES_MAX {
        let room = length.saturating_sub(at);
        let mut bytes = [0; Header::MAX];
        let wanted = usize::try_from(room).unwrap_or(Header::MAX).min(Header::MAX);
        let bytes = &mut bytes[..wanted];
        if buffer[..].fill(at, bytes).is_err() {
            fill(at, bytes)?;
        }
        let Some(header) = Header::parse(bytes) else {
            break;
        };
        let size = header.size.unwrap_or(room);
        match &header.kind.0 {
            b"moov" => return body(fill, buffer, at, header.length, size, room),
            b"moof" => return Err(Unfit::Fragmented),
            _ if size < header.length || size > room => break,
            _ => at += size,
        }
    }
    Err(Unfit::NoIndex)
}

/// The body of the index at `at`, out of `buffer` if it is wholly in it.
fn body(
    fill: impl Fn(u64, &mut [u8]) -> Result<(), Unfit>,
    buffer: &mut Vec<u8>,
    at: u64,
    header: u64,
    size: u64,
    room: u64,
) -> Result<&[u8], Unfit> {
    if size < header || size > room || size > INDEX_MAX {
        return Err(Unfit::IndexCut);
    }
    // At most INDEX_MAX, and inside the file.
    let (from, length) = (at + header, (size - header) as usize);
    let inside = usize::try_from(from).ok().and_then(|from| Some(from..from.checked_add(length)?));
    if let Some(inside) = inside.filter(|inside| inside.end <= buffer.len()) {
        return Ok(&buffer[inside]);
    }
    buffer.clear();
    buffer.resize(length, 0);
    fill(from, buffer)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index_of(bytes: &[u8]) -> Result<Vec<u8>, Unfit> {
        index(bytes, bytes.len() as u64, &mut Vec::new()).map(<[u8]>::to_vec)
    }

    #[test]
    fn the_index_is_found_first_last_and_beyond_the_head() {
        let moov = b"\0\0\0\x0cmoovbody";
        let mdat = [&[0, 0, 0x80, 0][..], b"mdat", &[7; 0x8000 - 8]].concat();
        assert_eq!(index_of(moov).unwrap(), b"body");
        assert_eq!(index_of(&[&moov[..], &mdat].concat()).unwrap(), b"body");
        assert_eq!(index_of(&[&mdat[..], moov].concat()).unwrap(), b"body");
        let straddling = [&mdat[..HEAD - 6], moov].concat();
        let mut straddling = straddling;
        straddling[..4].copy_from_slice(&(HEAD as u32 - 6).to_be_bytes());
        assert_eq!(index_of(&straddling).unwrap(), b"body");
    }

    #[test]
    fn what_has_no_whole_index_says_why() {
        assert!(matches!(index_of(b""), Err(Unfit::Empty)));
        assert!(matches!(index_of(b"text"), Err(Unfit::NoIndex)));
        assert!(matches!(index_of(b"\0\0\0\x0cmoovbod"), Err(Unfit::IndexCut)));
        assert!(matches!(index_of(b"\0\0\0\x04moovbody"), Err(Unfit::IndexCut)));
        assert!(matches!(index_of(b"\0\0\0\x0cmdatbod"), Err(Unfit::NoIndex)));
        assert!(matches!(index_of(b"\0\0\0\x08moof"), Err(Unfit::Fragmented)));
        let endless = b"\0\0\0\x08free".repeat(BOXES_MAX + 1);
        assert!(matches!(index_of(&endless), Err(Unfit::NoIndex)));
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(matches!(open(&pipe), Err(Unfit::NotAFile)));
        assert!(matches!(open(folder.path()), Err(Unfit::NotAFile)));
        assert!(matches!(open(&folder.path().join("none")), Err(Unfit::Missing)));
    }
}
