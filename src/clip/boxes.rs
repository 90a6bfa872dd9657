//! MP4 boxes over bytes in memory (ISO/IEC 14496-12, 4.2): finding them, and reading their fields.
//!
//! Every size is checked against the room there is before anything is believed, so any bytes at all
//! may be walked; nothing here copies or allocates.

use std::fmt;

/// A box's or a codec's four-letter name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{self}'")
    }
}

/// What a box says that cannot be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A box is larger than what holds it, or smaller than its own header.
    #[error("box '{kind}' says it has {size} bytes where there are {room}")]
    Size {
        /// Which box.
        kind: FourCc,
        /// The size it claims, header included.
        size: u64,
        /// The bytes from its start to the end of what holds it.
        room: u64,
    },
    /// A box ends before the fields or rows that it announces.
    #[error("box '{0}' ends before its last field")]
    Short(FourCc),
    /// A box that must be there is not.
    #[error("box '{0}' is missing")]
    Missing(FourCc),
    /// A field has a value that means nothing.
    #[error("box '{0}' holds a value that cannot be")]
    Value(FourCc),
}

/// The first bytes of a box: its kind and how far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The box's name.
    pub kind: FourCc,
    /// Bytes of the header itself: 8, or 16 with a 64-bit size.
    pub length: u64,
    /// Bytes of the whole box, header included; `None`: to the end of the file.
    pub size: Option<u64>,
}

impl Header {
    /// The most bytes a header takes.
    pub const MAX: usize = 16;

    /// Reads the header at the start of `bytes`; `None` if they end before it does.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let kind = FourCc(*kind);
        Some(match u32::from_be_bytes(*size) {
            0 => Self { kind, length: 8, size: None },
            1 => {
                let (size, _) = rest.split_first_chunk::<8>()?;
                Self { kind, length: 16, size: Some(u64::from_be_bytes(*size)) }
            }
            size => Self { kind, length: 8, size: Some(u64::from(size)) },
        })
    }
}

/// One box inside bytes in memory.
#[derive(Debug, Clone, Copy)]
pub struct Mp4Box<'a> {
    /// The box's name.
    pub kind: FourCc,
    /// All of it, header included.
    pub whole: &'a [u8],
    /// What follows the header.
    pub body: &'a [u8],
}

/// The boxes of `bytes`, one after the other. The walk ends at the first error, and at fewer than 8
/// bytes: QuickTime closes some containers with four zero bytes.
pub fn boxes(bytes: &[u8]) -> impl Iterator<Item = Result<Mp4Box<'_>, Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = Header::parse(rest)?;
        let room = rest.len() as u64;
        let size = header.size.unwrap_or(room);
        if size < header.length || size > room {
            rest = &[];
            return Some(Err(Malformed::Size { kind: header.kind, size, room }));
        }
        // Both fit in `rest`, as was just checked.
        let (whole, after) = rest.split_at(size as usize);
        rest = after;
        Some(Ok(Mp4Box { kind: header.kind, whole, body: &whole[header.length as usize..] }))
    })
}

/// The body of the first box of `kind` among the boxes of `bytes`.
pub fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<Option<&'a [u8]>, Malformed> {
    for found in boxes(bytes) {
        let found = found?;
        if found.kind.0 == *kind {
            return Ok(Some(found.body));
        }
    }
    Ok(None)
}

/// As [`find`], where the box must be there.
pub fn need<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<&'a [u8], Malformed> {
    find(bytes, kind)?.ok_or(Malformed::Missing(FourCc(*kind)))
}

/// Reads the fields of one box in turn.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    kind: FourCc,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `body`, the body of a box of `kind`.
    pub fn new(kind: &[u8; 4], body: &'a [u8]) -> Self {
        Self { kind: FourCc(*kind), rest: body }
    }

    /// The fields of a full box, after its version, which is returned, and its flags.
    pub fn versioned(kind: &[u8; 4], body: &'a [u8]) -> Result<(u8, Self), Malformed> {
        let mut fields = Self::new(kind, body);
        let [version, ..] = fields.bytes::<4>()?;
        Ok((version, fields))
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or(Malformed::Short(self.kind))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next 32-bit number.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// The next number, of 64 bits if `wide`, else of 32.
    pub fn u64_if(&mut self, wide: bool) -> Result<u64, Malformed> {
        if wide { self.bytes().map(u64::from_be_bytes) } else { self.u32().map(u64::from) }
    }

    /// As [`Self::u64_if`], signed.
    pub fn i64_if(&mut self, wide: bool) -> Result<i64, Malformed> {
        if wide {
            self.bytes().map(i64::from_be_bytes)
        } else {
            self.bytes().map(|b| i64::from(i32::from_be_bytes(b)))
        }
    }

    /// A row count and that many rows of `N` bytes, all of which must be there.
    pub fn rows<const N: usize>(&mut self) -> Result<&'a [[u8; N]], Malformed> {
        let count = self.u32()?;
        self.exactly(count)
    }

    /// `count` rows of `N` bytes, all of which must be there.
    pub fn exactly<const N: usize>(&mut self, count: u32) -> Result<&'a [[u8; N]], Malformed> {
        let (rows, _) = self.rest.as_chunks::<N>();
        let rows = usize::try_from(count).ok().and_then(|count| rows.get(..count));
        rows.ok_or(Malformed::Short(self.kind))
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// The big-endian number in bytes `at..at + 4` of a table row. Rows are arrays and `at` is a
/// constant of the table's layout, so it is always inside.
pub(super) fn field<const N: usize>(row: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut bytes = (8 + body.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn boxes_are_found_by_name_in_either_size_form() {
        let mut bytes = boxed(b"free", b"abc");
        bytes.extend_from_slice(&[0, 0, 0, 1, b'm', b'o', b'o', b'v', 0, 0, 0, 0, 0, 0, 0, 18]);
        bytes.extend_from_slice(b"xy");
        bytes.extend_from_slice(&[0, 0, 0, 0, b'm', b'd', b'a', b't', 7, 8, 9]);
        assert_eq!(find(&bytes, b"moov"), Ok(Some(&b"xy"[..])));
        assert_eq!(find(&bytes, b"mdat"), Ok(Some(&[7, 8, 9][..])));
        assert_eq!(find(&bytes, b"none"), Ok(None));
        assert_eq!(need(&bytes, b"none"), Err(Malformed::Missing(FourCc(*b"none"))));
    }

    #[test]
    fn a_size_that_cannot_be_ends_the_walk() {
        for size in [2_u32, 7, 100, u32::MAX] {
            let mut bytes = boxed(b"free", b"");
            bytes.extend_from_slice(&size.to_be_bytes());
            bytes.extend_from_slice(b"moov....");
            let walked: Vec<_> = boxes(&bytes).collect();
            assert_eq!(walked.len(), 2, "{size}");
            assert!(matches!(walked[1], Err(Malformed::Size { .. })), "{size}");
        }
        let huge = [0, 0, 0, 1, b'm', b'o', b'o', b'v', 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(boxes(&huge).next().is_some_and(|b| b.is_err()));
    }

    #[test]
    fn four_closing_zero_bytes_are_no_box() {
        let mut bytes = boxed(b"udta", b"");
        bytes.extend_from_slice(&[0; 4]);
        assert_eq!(boxes(&bytes).count(), 1);
    }

    #[test]
    fn rows_must_all_be_there() {
        let mut body = vec![0, 0, 0, 0, 0, 0, 0, 2];
        body.extend_from_slice(&[0; 15]);
        let (_, mut fields) = Fields::versioned(b"stts", &body).unwrap();
        assert_eq!(fields.rows::<8>(), Err(Malformed::Short(FourCc(*b"stts"))));
        body.push(0);
        let (_, mut fields) = Fields::versioned(b"stts", &body).unwrap();
        assert_eq!(fields.rows::<8>().map(<[_]>::len), Ok(2));
    }

    #[test]
    fn a_name_that_is_no_text_can_still_be_shown() {
        assert_eq!(FourCc([b'a', 0, 255, b'z']).to_string(), "a\\x00\\xffz");
    }
}
