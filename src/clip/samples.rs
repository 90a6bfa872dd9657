//! A track's samples: a walk over all of its tables at once.
//!
//! The tables stay where they are, in the bytes of the index. So a file that claims four billion
//! samples costs nothing but the walk, which ends with the shortest table, and after
//! [`MAX_SAMPLES`] at the latest.

use super::boxes::{Fields, FourCc, Malformed, field, find, need};

/// The most samples read of one track: a day of 60 frames a second three times over. It bounds
/// the memory that a forged index can ask for.
pub const MAX_SAMPLES: usize = 1 << 24;

/// One sample, as the tables together describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Which one, in decoding order, from 0.
    pub index: usize,
    /// The chunk that it is in, from 0.
    pub chunk: usize,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub size: u32,
    /// When it is decoded, in ticks, the first at 0.
    pub dts: u64,
    /// When it is shown, in ticks, before the edit list is applied.
    pub pts: i64,
    /// Ticks until the next one is decoded.
    pub duration: u32,
    /// Whether decoding can begin with it.
    pub sync: bool,
    /// Which of the track's entries describes it, from 0.
    pub entry: usize,
}

impl Sample {
    /// The first byte after it, if that is a number at all.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.size))
    }
}

/// The sample tables (`stbl`) of a track, but for its entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables<'a> {
    sizes: Sizes<'a>,
    durations: &'a [[u8; 8]],
    compositions: &'a [[u8; 8]],
    /// `None`: every sample is a sync sample.
    syncs: Option<&'a [[u8; 4]]>,
    chunk_runs: &'a [[u8; 12]],
    chunks: Chunks<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Sizes<'a> {
    Same { size: u32, count: u32 },
    Each(&'a [[u8; 4]]),
}

#[derive(Debug, Clone, Copy)]
enum Chunks<'a> {
    Short(&'a [[u8; 4]]),
    Long(&'a [[u8; 8]]),
}

impl Chunks<'_> {
    fn offset(self, index: usize) -> Option<u64> {
        match self {
            Self::Short(rows) => rows.get(index).map(|row| u64::from(u32::from_be_bytes(*row))),
            Self::Long(rows) => rows.get(index).map(|row| u64::from_be_bytes(*row)),
        }
    }
}

impl<'a> Tables<'a> {
    /// Reads the tables in `stbl`, the samples of which are described by `entries` entries.
    pub(super) fn parse(stbl: &'a [u8], entries: usize) -> Result<Self, Malformed> {
        let syncs = match find(stbl, b"stss")? {
            Some(body) => Some(Fields::versioned(b"stss", body)?.1.rows()?),
            None => None,
        };
        let chunk_runs = rows(stbl, b"stsc")?;
        if chunk_runs.iter().any(|run| entry_of(run).is_none_or(|entry| entry >= entries)) {
            return Err(Malformed::Value(FourCc(*b"stsc")));
        }
        Ok(Self {
            sizes: sizes(stbl)?,
            durations: rows(stbl, b"stts")?,
            compositions: rows(stbl, b"ctts")?,
            syncs,
            chunk_runs,
            chunks: chunks(stbl)?,
        })
    }

    /// How many samples are announced.
    pub(super) fn announced(&self) -> usize {
        match self.sizes {
            Sizes::Same { count, .. } => count as usize,
            Sizes::Each(rows) => rows.len(),
        }
    }
}

/// The rows of a table, none if it is not there.
fn rows<'a, const N: usize>(stbl: &'a [u8], kind: &[u8; 4]) -> Result<&'a [[u8; N]], Malformed> {
    match find(stbl, kind)? {
        Some(body) => Fields::versioned(kind, body)?.1.rows(),
        None => Ok(&[]),
    }
}

fn sizes(stbl: &[u8]) -> Result<Sizes<'_>, Malformed> {
    let (_, mut fields) = Fields::versioned(b"stsz", need(stbl, b"stsz")?)?;
    let size = fields.u32()?;
    Ok(match size {
        0 => Sizes::Each(fields.rows()?),
        size => Sizes::Same { size, count: fields.u32()? },
    })
}

fn chunks(stbl: &[u8]) -> Result<Chunks<'_>, Malformed> {
    if let Some(body) = find(stbl, b"co64")? {
        return Ok(Chunks::Long(Fields::versioned(b"co64", body)?.1.rows()?));
    }
    Ok(Chunks::Short(Fields::versioned(b"stco", need(stbl, b"stco")?)?.1.rows()?))
}

/// The entry, from 0, that a row of `stsc` names; it counts from 1.
fn entry_of(run: &[u8; 12]) -> Option<usize> {
    (field(run, 8) as usize).checked_sub(1)
}

/// A walk over all tables of a track at once.
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    tables: Tables<'a>,
    index: usize,
    dts: u64,
    duration: Run,
    composition: Run,
    sync: usize,
    chunk: Option<Chunk>,
}

/// A place in a run-length table: the next row, what is left of the one before, and its value.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    row: usize,
    left: u32,
    value: u32,
}

impl Run {
    /// The next value; `None` once the table is used up.
    fn next(&mut self, rows: &[[u8; 8]]) -> Option<u32> {
        while self.left == 0 {
            let row = rows.get(self.row)?;
            self.row += 1;
            self.left = field(row, 0);
            self.value = field(row, 4);
        }
        self.left -= 1;
        Some(self.value)
    }
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    index: usize,
    run: usize,
    left: u32,
    offset: u64,
    entry: usize,
}

impl Iterator for Samples<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        if self.index >= MAX_SAMPLES {
            return None;
        }
        let tables = self.tables;
        let size = match tables.sizes {
            Sizes::Same { size, count } => {
                ((self.index as u64) < u64::from(count)).then_some(size)?
            }
            Sizes::Each(rows) => u32::from_be_bytes(*rows.get(self.index)?),
        };
        let duration = self.duration.next(tables.durations)?;
        // What the table does not reach is shown when it is decoded. Version 0 counts without a
        // sign, but some muxers write one all the same, and no real offset needs the last bit.
        let composition = self.composition.next(tables.compositions).unwrap_or(0).cast_signed();
        let mut chunk = self.chunk_with_samples()?;
        let sample = Sample {
            index: self.index,
            chunk: chunk.index,
            offset: chunk.offset,
            size,
            dts: self.dts,
            // At most 2^24 samples of 2^32 ticks: far from the ends of either type.
            pts: self.dts.cast_signed() + i64::from(composition),
            duration,
            sync: self.is_sync(),
            entry: chunk.entry,
        };
        chunk.left -= 1;
        chunk.offset = sample.end()?;
        self.chunk = Some(chunk);
        self.dts += u64::from(duration);
        self.index += 1;
        Some(sample)
    }
}

impl<'a> Samples<'a> {
    pub(super) fn of(tables: Tables<'a>) -> Self {
        Self {
            tables,
            index: 0,
            dts: 0,
            duration: Run::default(),
            composition: Run::default(),
            sync: 0,
            chunk: None,
        }
    }

    /// The chunk that the next sample is in.
    fn chunk_with_samples(&self) -> Option<Chunk> {
        let runs = self.tables.chunk_runs;
        let mut index = match self.chunk {
            Some(chunk) if chunk.left > 0 => return Some(chunk),
            Some(chunk) => chunk.index + 1,
            None => 0,
        };
        let mut run = self.chunk.map_or(0, |chunk| chunk.run);
        loop {
            let offset = self.tables.chunks.offset(index)?;
            // Rows name the first chunk that they are about, from 1.
            while runs.get(run + 1).is_some_and(|next| field(next, 0) as usize <= index + 1) {
                run += 1;
            }
            let row = runs.get(run)?;
            let left = field(row, 4);
            if left > 0 {
                return Some(Chunk { index, run, left, offset, entry: entry_of(row)? });
            }
            index += 1;
        }
    }

    fn is_sync(&mut self) -> bool {
        match self.tables.syncs {
            None => true,
            // Nobody marked any: the first one is where decoding begins.
            Some([]) => self.index == 0,
            Some(rows) => {
                // Rows count from 1 and ascend.
                let number = |row: &[u8; 4]| u32::from_be_bytes(*row) as usize;
                while rows.get(self.sync).is_some_and(|row| number(row) <= self.index) {
                    self.sync += 1;
                }
                rows.get(self.sync).is_some_and(|row| number(row) == self.index + 1)
            }
        }
    }
}
