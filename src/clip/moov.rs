//! Writing the clip's index (`moov`) and all else that comes before the copied bytes.
//!
//! It goes straight to the file, table by table: the index of a day's footage has 70 MB, and need
//! not be in memory twice. The same code, writing to nowhere, finds out how long the index will be.

use std::io::{self, Seek, Write};
use std::ops::Range;

use super::merge::{Chunk, Share};
use super::plan::{Layout, Plan};
use super::timeline::{self, Timeline};
use super::writer::{Nowhere, Writer, is_wide};

/// `ftyp`: what libavformat writes for an MP4 without extras.
const FILE_TYPE: &[u8; 28] = b"\0\0\0\x1cftypisom\0\0\x02\0isomiso2mp41";
/// Bytes of a `free` box without content, which fills what the index leaves.
const FREE: u64 = 8;
/// Bytes kept for the header of `mdat`, which takes 8 or 16.
const MEDIA_HEADER: u64 = 16;
/// Bytes by which the loss of a piece can make the sound's `stts` longer: the duration of the last
/// sample before it changes, which may split a run in two.
const SOUND_SLACK: u64 = 16;
/// The identity matrix of a movie header.
const UPRIGHT: [u32; 9] = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000];
/// "Undetermined" in the packed form of ISO 639-2.
const LANGUAGE: u16 = 0x55c4;
/// Normal speed and full volume.
const SPEED: u32 = 0x10000;
const VOLUME: u16 = 0x100;

/// The most bytes that come before the copied ones, whichever pieces are lost.
pub(super) fn reserved(plan: &Plan, long: bool) -> u64 {
    let mut nowhere = Nowhere::default();
    let layout = Layout { media: 0, length: 0, long };
    // Writing to nowhere cannot fail.
    let _ = Writer { out: &mut nowhere }.index(plan, layout);
    let slack = if plan.sound.is_some() { SOUND_SLACK * plan.count() as u64 } else { 0 };
    FILE_TYPE.len() as u64 + nowhere.length + slack + FREE + MEDIA_HEADER
}

/// Writes all that comes before the copied bytes, and gives the length of the file: what is behind
/// that belongs to lost pieces.
///
/// # Errors
/// Those of `out`.
pub fn write(plan: &Plan, layout: Layout, out: impl Write + Seek) -> io::Result<u64> {
    let mut writer = Writer { out };
    writer.out.rewind()?;
    writer.bytes(FILE_TYPE)?;
    writer.index(plan, layout)?;
    let media = plan.used();
    let short = u32::try_from(media + 8).ok();
    let header = if short.is_some() { MEDIA_HEADER / 2 } else { MEDIA_HEADER };
    // At least 8: the index is never longer than what `reserved` kept for it.
    let free = (layout.media - header).saturating_sub(writer.out.stream_position()?);
    writer.boxed(b"free", |w| w.zeros(free.saturating_sub(FREE)))?;
    writer.u32(short.unwrap_or(1))?;
    writer.bytes(b"mdat")?;
    if short.is_none() {
        writer.u64(media + MEDIA_HEADER)?;
    }
    writer.out.flush()?;
    Ok(layout.media + media)
}

impl<W: Write + Seek> Writer<W> {
    fn index(&mut self, plan: &Plan, layout: Layout) -> io::Result<()> {
        let tracks = [timeline::video(plan), timeline::sound(plan)];
        let ends = tracks.iter().flatten().map(Timeline::ends).max().unwrap_or(0);
        self.boxed(b"moov", |w| {
            w.movie_header(plan.timescale(), ends)?;
            (1..)
                .zip(tracks.iter().flatten())
                .try_for_each(|(id, track)| w.track(id, track, layout))
        })
    }

    fn movie_header(&mut self, timescale: u32, ends: u64) -> io::Result<()> {
        let wide = is_wide(ends);
        self.full_box(b"mvhd", wide, 0, |w| {
            w.number(0, wide)?;
            w.number(0, wide)?;
            w.u32(timescale)?;
            w.number(ends, wide)?;
            w.u32(SPEED)?;
            w.u16(VOLUME)?;
            w.zeros(10)?;
            UPRIGHT.iter().try_for_each(|value| w.u32(*value))?;
            w.zeros(24)?;
            // The next free track id.
            w.u32(3)
        })
    }

    fn track(&mut self, id: u32, track: &Timeline<'_>, layout: Layout) -> io::Result<()> {
        self.boxed(b"trak", |w| {
            w.track_header(id, track)?;
            w.boxed(b"edts", |w| w.edits(track))?;
            w.boxed(b"mdia", |w| {
                w.media_header(track)?;
                w.boxed(b"minf", |w| {
                    if track.is_sound() {
                        w.full_box(b"smhd", false, 0, |w| w.zeros(4))?;
                    } else {
                        w.full_box(b"vmhd", false, 1, |w| w.zeros(8))?;
                    }
                    // The samples are in this very file.
                    let here = |w: &mut Self| w.full_box(b"url ", false, 1, |_| Ok(()));
                    w.boxed(b"dinf", |w| {
                        w.full_box(b"dref", false, 0, |w| w.rows([()].iter(), |w, ()| here(w)))
                    })?;
                    w.boxed(b"stbl", |w| w.tables(track, layout))
                })
            })
        })
    }

    fn track_header(&mut self, id: u32, track: &Timeline<'_>) -> io::Result<()> {
        /// The track is enabled, and part of the movie.
        const FLAGS: u32 = 3;
        let wide = is_wide(track.ends());
        self.full_box(b"tkhd", wide, FLAGS, |w| {
            w.number(0, wide)?;
            w.number(0, wide)?;
            w.u32(id)?;
            w.zeros(4)?;
            w.number(track.ends(), wide)?;
            w.zeros(8 + 4)?;
            w.u16(if track.is_sound() { VOLUME } else { 0 })?;
            w.zeros(2)?;
            w.bytes(&track.plan.display.matrix)?;
            w.bytes(&track.plan.display.size)
        })
    }

    fn edits(&mut self, track: &Timeline<'_>) -> io::Result<()> {
        let wide = is_wide(track.length + u64::from(track.plan.delay)) || is_wide(track.ends());
        self.full_box(b"elst", wide, 0, |w| {
            // An empty edit has the start -1, in as many bits as there are.
            let nothing = if wide { u64::MAX } else { u64::from(u32::MAX) };
            let empty = (track.delay > 0).then_some((nothing, track.delay));
            let edits = empty.into_iter().chain(track.edits.iter().copied());
            w.rows(edits, |w, (start, length)| {
                w.number(length, wide)?;
                w.number(start, wide)?;
                w.u32(SPEED)
            })
        })
    }

    fn media_header(&mut self, track: &Timeline<'_>) -> io::Result<()> {
        let wide = is_wide(track.length);
        self.full_box(b"mdhd", wide, 0, |w| {
            w.number(0, wide)?;
            w.number(0, wide)?;
            w.u32(track.plan.timescale)?;
            w.number(track.length, wide)?;
            w.u16(LANGUAGE)?;
            w.u16(0)
        })?;
        self.full_box(b"hdlr", false, 0, |w| {
            w.u32(0)?;
            w.bytes(if track.is_sound() { b"soun" } else { b"vide" })?;
            // Reserved, and an empty name.
            w.zeros(12 + 1)
        })
    }

    fn tables(&mut self, track: &Timeline<'_>, layout: Layout) -> io::Result<()> {
        let plan = track.plan;
        let samples = || all(&track.shares, |share| &share.samples);
        self.full_box(b"stsd", false, 0, |w| {
            w.rows(plan.entries.written().iter(), |w, entry| w.bytes(entry))
        })?;
        self.full_box(b"stts", false, 0, |w| w.run_lengths(track.durations()))?;
        // Some may be late and none early: then there is no delay, and still something to say.
        if plan.offsets.iter().any(|offset| *offset != 0) {
            let delayed = |sample: usize| plan.offsets[sample].wrapping_add_unsigned(plan.delay);
            self.full_box(b"ctts", false, 0, |w| {
                w.run_lengths(samples().map(|sample| delayed(sample).cast_unsigned()))
            })?;
        }
        if !track.is_sound() && track.sync_numbers().count() < samples().count() {
            self.full_box(b"stss", false, 0, |w| w.rows(track.sync_numbers(), Self::u32))?;
        }
        let chunks = || all(&track.shares, |share| &share.chunks).map(|chunk| plan.chunks[chunk]);
        self.full_box(b"stsc", false, 0, |w| w.chunk_runs(chunks()))?;
        self.full_box(b"stsz", false, 0, |w| {
            // No size that all of them have.
            w.u32(0)?;
            w.rows(samples().map(|sample| plan.sizes[sample]), Self::u32)
        })?;
        let kind = if layout.long { b"co64" } else { b"stco" };
        self.full_box(kind, false, 0, |w| {
            w.rows(chunks(), |w, chunk| w.number(layout.media + chunk.at, layout.long))
        })
    }

    /// A row for each chunk that is not like the one before.
    fn chunk_runs(&mut self, chunks: impl Iterator<Item = Chunk>) -> io::Result<()> {
        let mut before = None;
        let changes = (1..).zip(chunks).filter(|(_, chunk)| {
            let now = Some((chunk.samples, chunk.entry));
            std::mem::replace(&mut before, now) != now
        });
        self.rows(changes, |w, (number, chunk)| {
            w.u32(number)?;
            w.u32(chunk.samples)?;
            w.u32(u32::from(chunk.entry) + 1)
        })
    }
}

/// The indices in all of these ranges of shares, one range after the other.
fn all<'a>(
    shares: &'a [&Share],
    range: fn(&Share) -> &Range<usize>,
) -> impl Iterator<Item = usize> + use<'a> {
    shares.iter().flat_map(move |share| range(share).clone())
}
