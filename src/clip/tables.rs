//! What an MP4's index (`moov`) says: its tracks, and each sample's place, time and kind.
//!
//! The tables stay where they are, in the bytes of the index: [`Track::samples`] walks all of them
//! at once. So a file that claims four billion samples costs nothing but the walk, which ends with
//! the shortest table, and after [`MAX_SAMPLES`] at the latest.

use super::boxes::{Fields, FourCc, Malformed, boxes, field, find, need};
use super::entries;

/// The most samples read of one track: a day of 60 frames a second three times over. It bounds
/// the memory that a forged index can ask for.
pub const MAX_SAMPLES: usize = 1 << 24;

/// Why a file has nothing to give, or nothing that can be joined by copying.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// There is no such file.
    #[error("is not there")]
    Missing,
    /// A folder, a pipe or the like.
    #[error("is not a regular file")]
    NotAFile,
    /// No bytes.
    #[error("is empty")]
    Empty,
    /// It was not finished, or it is no MP4.
    #[error("has no index (moov): it was never finished, or it is not an MP4")]
    NoIndex,
    /// The index goes beyond the end of the file, or is larger than any index is.
    #[error("is cut short inside its index (moov)")]
    IndexCut,
    /// Its index contradicts itself.
    #[error("has a broken index: {0}")]
    Broken(#[from] Malformed),
    /// It has no video track.
    #[error("has no video track")]
    NoVideo,
    /// No whole, decodable sample is left in it.
    #[error("holds no video sample that can be decoded")]
    NoSamples,
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// Another file is there now, or other content.
    #[error("was replaced or cut short while it was read")]
    Changed,
    /// Its samples are described in fragments (`moof`), which are not read here.
    #[error("is a fragmented MP4 (moof), which only ffmpeg joins")]
    Fragmented,
    /// Its edit list does more than skip the start and the end.
    #[error("has an edit list of {0} parts, which only ffmpeg joins")]
    Edits(usize),
    /// A sample entry that says the samples are encrypted.
    #[error("is encrypted ('{0}')")]
    Encrypted(FourCc),
}

impl Unfit {
    /// Whether the file may hold footage that this reader cannot join, but ffmpeg perhaps can.
    /// All the others have nothing to give to anybody.
    pub fn needs_ffmpeg(&self) -> bool {
        matches!(self, Self::Fragmented | Self::Edits(_) | Self::Encrypted(_))
    }
}

/// The tracks of one file that matter here.
#[derive(Debug)]
pub struct Movie<'a> {
    /// The first video track.
    pub video: Track<'a>,
    /// The first sound track, if there is one.
    pub audio: Option<Track<'a>>,
}

/// One track: its tables, as they lie in the index.
#[derive(Debug, Clone)]
pub struct Track<'a> {
    /// Ticks a second.
    pub timescale: u32,
    /// The sample entries (`stsd`), each with its header; at least one.
    pub entries: Vec<&'a [u8]>,
    /// How the picture is turned and how large it is shown.
    pub display: Display,
    /// What of the track is shown.
    pub edit: Edit,
    sizes: Sizes<'a>,
    durations: &'a [[u8; 8]],
    compositions: &'a [[u8; 8]],
    /// `None`: every sample is a sync sample.
    syncs: Option<&'a [[u8; 4]]>,
    chunk_runs: &'a [[u8; 12]],
    chunks: Chunks<'a>,
}

/// The part of a track header that says how the picture is shown, as it is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Display {
    /// Transformation matrix: rotation, mirroring.
    pub matrix: [u8; 36],
    /// Width and height, 16.16 fixed point each.
    pub size: [u8; 8],
}

/// What an edit list shows of its track. Without a list: everything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edit {
    /// Seconds into the movie at which the track begins.
    pub delay_s: f64,
    /// The first presentation time that is shown, in ticks of the track.
    pub from: i64,
    /// The first presentation time that is no more shown, in ticks of the track.
    pub to: i64,
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
            Self::Short(rows) => rows
                .get(index)
                .map(|row| u64::from(u32::from_be_bytes(*row))),
            Self::Long(rows) => rows.get(index).map(|row| u64::from_be_bytes(*row)),
        }
    }
}

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

impl<'a> Movie<'a> {
    /// Reads `moov`, the body of an index.
    pub fn parse(moov: &'a [u8]) -> Result<Self, Unfit> {
        if find(moov, b"mvex")?.is_some() {
            return Err(Unfit::Fragmented);
        }
        let movie_timescale = timescale(b"mvhd", need(moov, b"mvhd")?)?;
        let mut video = None;
        let mut audio = None;
        for track in boxes(moov) {
            let track = track?;
            if track.kind.0 != *b"trak" {
                continue;
            }
            let slot = match handler(track.body)? {
                Some([b'v', b'i', b'd', b'e']) => &mut video,
                Some([b's', b'o', b'u', b'n']) => &mut audio,
                _ => continue,
            };
            if slot.is_none() {
                *slot = Some(track.body);
            }
        }
        let video = Track::parse(video.ok_or(Unfit::NoVideo)?, movie_timescale)?;
        // Sound is a bonus: a track that cannot be read is no reason to lose the picture.
        let audio = audio.and_then(|track| Track::parse(track, movie_timescale).ok());
        Ok(Self { video, audio })
    }
}

fn handler(track: &[u8]) -> Result<Option<[u8; 4]>, Malformed> {
    let Some(media) = find(track, b"mdia")? else {
        return Ok(None);
    };
    let (_, mut fields) = Fields::versioned(b"hdlr", need(media, b"hdlr")?)?;
    let _predefined = fields.u32()?;
    fields.bytes().map(Some)
}

/// Ticks a second of a `mvhd` or `mdhd`, which begin alike.
fn timescale(kind: &[u8; 4], body: &[u8]) -> Result<u32, Malformed> {
    let (version, mut fields) = Fields::versioned(kind, body)?;
    let _created = fields.u64_if(version == 1)?;
    let _modified = fields.u64_if(version == 1)?;
    match fields.u32()? {
        0 => Err(Malformed::Value(FourCc(*kind))),
        ticks => Ok(ticks),
    }
}

impl<'a> Track<'a> {
    fn parse(track: &'a [u8], movie_timescale: u32) -> Result<Self, Unfit> {
        let media = need(track, b"mdia")?;
        let timescale = timescale(b"mdhd", need(media, b"mdhd")?)?;
        let tables = need(need(media, b"minf")?, b"stbl")?;
        let entries = sample_entries(need(tables, b"stsd")?)?;
        let rows_of = |kind: &[u8; 4]| -> Result<&'a [[u8; 8]], Malformed> {
            match find(tables, kind)? {
                Some(body) => Fields::versioned(kind, body)?.1.rows(),
                None => Ok(&[]),
            }
        };
        let syncs = match find(tables, b"stss")? {
            Some(body) => Some(Fields::versioned(b"stss", body)?.1.rows()?),
            None => None,
        };
        let chunk_runs: &[[u8; 12]] = match find(tables, b"stsc")? {
            Some(body) => Fields::versioned(b"stsc", body)?.1.rows()?,
            None => &[],
        };
        if chunk_runs
            .iter()
            .any(|run| entry_of(run).is_none_or(|entry| entry >= entries.len()))
        {
            return Err(Malformed::Value(FourCc(*b"stsc")).into());
        }
        Ok(Self {
            timescale,
            entries,
            display: display(need(track, b"tkhd")?)?,
            edit: edit(track, timescale, movie_timescale)?,
            sizes: sizes(tables)?,
            durations: rows_of(b"stts")?,
            compositions: rows_of(b"ctts")?,
            syncs,
            chunk_runs,
            chunks: chunks(tables)?,
        })
    }

    /// How many samples the index announces.
    pub fn announced(&self) -> usize {
        match self.sizes {
            Sizes::Same { count, .. } => count as usize,
            Sizes::Each(rows) => rows.len(),
        }
    }

    /// The samples in decoding order, as far as every table reaches.
    pub fn samples(&self) -> Samples<'_> {
        Samples {
            track: self,
            index: 0,
            dts: 0,
            duration: Run::default(),
            composition: Run::default(),
            sync: 0,
            chunk: None,
        }
    }

    /// When a presentation time is shown, in seconds of the movie.
    pub fn shown_at(&self, pts: i64) -> f64 {
        let begins = if self.edit.from == i64::MIN {
            0
        } else {
            self.edit.from
        };
        self.edit.delay_s + self.seconds(pts.saturating_sub(begins))
    }

    /// A number of ticks as seconds.
    pub fn seconds(&self, ticks: i64) -> f64 {
        ticks as f64 / f64::from(self.timescale)
    }
}

fn sample_entries(stsd: &[u8]) -> Result<Vec<&[u8]>, Unfit> {
    let (_, mut fields) = Fields::versioned(b"stsd", stsd)?;
    let count = fields.u32()? as usize;
    let mut entries = Vec::new();
    for entry in boxes(fields.rest()).take(count) {
        let entry = entry?;
        entries::check(&entry)?;
        entries.push(entry.whole);
    }
    if entries.is_empty() || entries.len() < count {
        return Err(Malformed::Short(FourCc(*b"stsd")).into());
    }
    Ok(entries)
}

fn display(tkhd: &[u8]) -> Result<Display, Malformed> {
    let (version, mut fields) = Fields::versioned(b"tkhd", tkhd)?;
    // Times, id and duration; then layer, group, volume and reserved.
    if version == 1 {
        fields.bytes::<32>()?;
    } else {
        fields.bytes::<20>()?;
    }
    fields.bytes::<16>()?;
    Ok(Display {
        matrix: fields.bytes()?,
        size: fields.bytes()?,
    })
}

/// The edit list: any number of empty parts, then at most one part of the media.
fn edit(track: &[u8], timescale: u32, movie_timescale: u32) -> Result<Edit, Unfit> {
    let mut edit = Edit {
        delay_s: 0.0,
        from: i64::MIN,
        to: i64::MAX,
    };
    let Some(edits) = find(track, b"edts")? else {
        return Ok(edit);
    };
    let Some(list) = find(edits, b"elst")? else {
        return Ok(edit);
    };
    let (version, mut fields) = Fields::versioned(b"elst", list)?;
    let wide = version == 1;
    let count = fields.u32()?;
    let mut shown = 0;
    for _ in 0..count {
        let duration = fields.u64_if(wide)?;
        let start = fields.i64_if(wide)?;
        let _rate: [u8; 4] = fields.bytes()?;
        if start < 0 && shown == 0 {
            edit.delay_s += duration as f64 / f64::from(movie_timescale);
            continue;
        }
        shown += 1;
        edit.from = start;
        // Some muxers write 0 for "to the end".
        if duration > 0 {
            let ticks = rescale(duration, timescale, movie_timescale);
            edit.to = start.saturating_add(i64::try_from(ticks).unwrap_or(i64::MAX));
        }
    }
    if shown > 1 {
        return Err(Unfit::Edits(shown));
    }
    Ok(edit)
}

/// `ticks` of `from` a second as ticks of `to` a second, to the nearest.
pub(super) fn rescale(ticks: u64, to: u32, from: u32) -> u64 {
    let from = u128::from(from.max(1));
    let scaled = (u128::from(ticks) * u128::from(to) + from / 2) / from;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn sizes(tables: &[u8]) -> Result<Sizes<'_>, Malformed> {
    let (_, mut fields) = Fields::versioned(b"stsz", need(tables, b"stsz")?)?;
    let size = fields.u32()?;
    Ok(match size {
        0 => Sizes::Each(fields.rows()?),
        size => Sizes::Same {
            size,
            count: fields.u32()?,
        },
    })
}

fn chunks(tables: &[u8]) -> Result<Chunks<'_>, Malformed> {
    if let Some(body) = find(tables, b"co64")? {
        return Ok(Chunks::Long(Fields::versioned(b"co64", body)?.1.rows()?));
    }
    Ok(Chunks::Short(
        Fields::versioned(b"stco", need(tables, b"stco")?)?
            .1
            .rows()?,
    ))
}

/// The entry, from 0, that a row of `stsc` names; it counts from 1.
fn entry_of(run: &[u8; 12]) -> Option<usize> {
    (field(run, 8) as usize).checked_sub(1)
}

/// A walk over all tables of a track at once.
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    track: &'a Track<'a>,
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
        let track = self.track;
        let size = match track.sizes {
            Sizes::Same { size, count } => {
                ((self.index as u64) < u64::from(count)).then_some(size)?
            }
            Sizes::Each(rows) => u32::from_be_bytes(*rows.get(self.index)?),
        };
        let duration = self.duration.next(track.durations)?;
        // What the table does not reach is shown when it is decoded. Version 0 counts without a
        // sign, but some muxers write one all the same, and no real offset needs the last bit.
        let composition = self
            .composition
            .next(track.compositions)
            .unwrap_or(0)
            .cast_signed();
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

impl Samples<'_> {
    /// The chunk that the next sample is in.
    fn chunk_with_samples(&self) -> Option<Chunk> {
        let runs = self.track.chunk_runs;
        let mut index = match self.chunk {
            Some(chunk) if chunk.left > 0 => return Some(chunk),
            Some(chunk) => chunk.index + 1,
            None => 0,
        };
        let mut run = self.chunk.map_or(0, |chunk| chunk.run);
        loop {
            let offset = self.track.chunks.offset(index)?;
            // Rows name the first chunk that they are about, from 1.
            while runs
                .get(run + 1)
                .is_some_and(|next| field(next, 0) as usize <= index + 1)
            {
                run += 1;
            }
            let row = runs.get(run)?;
            let left = field(row, 4);
            if left > 0 {
                return Some(Chunk {
                    index,
                    run,
                    left,
                    offset,
                    entry: entry_of(row)?,
                });
            }
            index += 1;
        }
    }

    fn is_sync(&mut self) -> bool {
        match self.track.syncs {
            None => true,
            // Nobody marked any: the first one is where decoding begins.
            Some([]) => self.index == 0,
            Some(rows) => {
                // Rows count from 1 and ascend.
                let number = |row: &[u8; 4]| u32::from_be_bytes(*row) as usize;
                while rows
                    .get(self.sync)
                    .is_some_and(|row| number(row) <= self.index)
                {
                    self.sync += 1;
                }
                rows.get(self.sync)
                    .is_some_and(|row| number(row) == self.index + 1)
            }
        }
    }
}
