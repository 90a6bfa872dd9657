//! Writing boxes, whose sizes are known only when they are full.

use std::io::{self, Seek, SeekFrom, Write};

/// Writes boxes to `out`.
pub(super) struct Writer<W> {
    pub(super) out: W,
}

impl<W: Write + Seek> Writer<W> {
    /// A box of what `content` writes.
    pub(super) fn boxed(
        &mut self,
        kind: &[u8; 4],
        content: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = self.out.stream_position()?;
        self.u32(0)?;
        self.bytes(kind)?;
        content(self)?;
        let end = self.out.stream_position()?;
        let size = u32::try_from(end - start).map_err(io::Error::other)?;
        self.patch(start, size, end)
    }

    /// A box with flags and a version, which is 1 where times or offsets take 64 bits.
    pub(super) fn full_box(
        &mut self,
        kind: &[u8; 4],
        wide: bool,
        flags: u32,
        content: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.boxed(kind, |w| {
            w.u32((u32::from(wide) << 24) | flags)?;
            content(w)
        })
    }

    /// A count, and a row for each of `rows`.
    pub(super) fn rows<T>(
        &mut self,
        rows: impl Iterator<Item = T>,
        mut row: impl FnMut(&mut Self, T) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = self.out.stream_position()?;
        self.u32(0)?;
        let mut count = 0_u32;
        for value in rows {
            row(self, value)?;
            count += 1;
        }
        let end = self.out.stream_position()?;
        self.patch(start, count, end)
    }

    /// A count, and a row of a count and a value for each run of equal values.
    pub(super) fn run_lengths(&mut self, values: impl Iterator<Item = u32>) -> io::Result<()> {
        let mut values = values.peekable();
        let runs = std::iter::from_fn(move || {
            let value = values.next()?;
            let mut count = 1_u32;
            while values.next_if_eq(&value).is_some() {
                count += 1;
            }
            Some((count, value))
        });
        self.rows(runs, |w, (count, value)| {
            w.u32(count)?;
            w.u32(value)
        })
    }

    /// Writes a number over what is at `at`, and goes back to `back`.
    fn patch(&mut self, at: u64, value: u32, back: u64) -> io::Result<()> {
        self.out.seek(SeekFrom::Start(at))?;
        self.u32(value)?;
        self.out.seek(SeekFrom::Start(back))?;
        Ok(())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    pub(super) fn u16(&mut self, value: u16) -> io::Result<()> {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> io::Result<()> {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> io::Result<()> {
        self.bytes(&value.to_be_bytes())
    }

    /// 64 bits if `wide`, else the lower 32, in which the caller made sure that it fits.
    pub(super) fn number(&mut self, value: u64, wide: bool) -> io::Result<()> {
        if wide { self.u64(value) } else { self.u32(value as u32) }
    }

    pub(super) fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::Read::take(io::repeat(0), count), &mut self.out)?;
        Ok(())
    }
}

/// Whether a number needs more than 32 bits.
pub(super) fn is_wide(value: u64) -> bool {
    value > u64::from(u32::MAX)
}

/// Counts what is written.
#[derive(Default)]
pub(super) struct Nowhere {
    at: u64,
    /// Bytes that a file would have.
    pub(super) length: u64,
}

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.at += bytes.len() as u64;
        self.length = self.length.max(self.at);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Nowhere {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
            SeekFrom::End(by) => self.length.saturating_add_signed(by),
        };
        Ok(self.at)
    }
}
