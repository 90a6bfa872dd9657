//! What an MP4's index (`moov`) says: its tracks, and how their samples are to be shown.

use super::boxes::{Fields, FourCc, Malformed, boxes, find, need};
use super::entries;
use super::samples::{Samples, Tables};
use super::unfit::Unfit;

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
    tables: Tables<'a>,
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
        if find(tables, b"stz2")?.is_some() {
            return Err(Unfit::CompactSizes);
        }
        let entries = sample_entries(need(tables, b"stsd")?)?;
        Ok(Self {
            timescale,
            tables: Tables::parse(tables, entries.len())?,
            entries,
            display: display(need(track, b"tkhd")?)?,
            edit: edit(track, timescale, movie_timescale)?,
        })
    }

    /// How many samples the index announces.
    pub fn announced(&self) -> usize {
        self.tables.announced()
    }

    /// The samples in decoding order, as far as every table reaches.
    pub fn samples(&self) -> Samples<'a> {
        Samples::of(self.tables)
    }

    /// When a presentation time is shown, in seconds of the movie.
    pub fn shown_at(&self, pts: i64) -> f64 {
        let begins = if self.edit.from == i64::MIN { 0 } else { self.edit.from };
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
    Ok(Display { matrix: fields.bytes()?, size: fields.bytes()? })
}

/// The edit list: any number of empty parts, then at most one part of the media.
fn edit(track: &[u8], timescale: u32, movie_timescale: u32) -> Result<Edit, Unfit> {
    let mut edit = Edit { delay_s: 0.0, from: i64::MIN, to: i64::MAX };
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
