//! Writing the clip's index (`moov`) and all else that comes before the copied bytes.
//!
//! It goes straight to the file, table by table: the index of a day's footage has 70 MB, and need
//! not be in memory twice. The same code, writing to nowhere, finds out how long the index will be.

use std::io::{self, Seek, SeekFrom, Write};

use super::merge::{Share, TrackPlan};
use super::plan::{Layout, Plan};

/// `ftyp`: what libavformat writes for an MP4 without extras.
const FILE_TYPE: &[u8; 28] = b"\0\0\0\x1cftypisom\0\0\x02\0isomiso2mp41";
/// Bytes of the `free` box that fills what the index leaves, when it has no content.
const FREE: u64 = 8;
/// Bytes kept for the header of `mdat`, which takes 8 or 16.
const MEDIA_HEADER: u64 = 16;
/// Bytes by which leaving a piece out can make the sound's `stts` longer: at each piece, at most
/// the duration of the last sample before it changes, which splits a run in two.
const SOUND_SLACK: u64 = 16;
/// The identity matrix of a movie or track header.
const UPRIGHT: [u32; 9] = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000];
/// "Undetermined" in the packed form of ISO 639-2.
const LANGUAGE: u16 = 0x55c4;

/// The most bytes that come before the copied ones, whichever pieces are lost.
pub(super) fn reserved(plan: &Plan, long: bool) -> u64 {
    let mut nowhere = Nowhere::default();
    let layout = Layout {
        media: 0,
        length: 0,
        long,
    };
    // Writing to nowhere cannot fail.
    let _ = Writer {
        out: &mut nowhere,
        layout,
    }
    .index(plan);
    let slack = if plan.sound.is_some() {
        SOUND_SLACK * plan.count() as u64
    } else {
        0
    };
    FILE_TYPE.len() as u64 + nowhere.length + slack + FREE + MEDIA_HEADER
}

/// Writes all that comes before the copied bytes, and gives the length of the file: what is behind
/// it belongs to lost pieces.
///
/// # Errors
/// Those of `out`.
pub fn write(plan: &Plan, layout: Layout, out: impl Write + Seek) -> io::Result<u64> {
    let mut writer = Writer { out, layout };
    writer.out.rewind()?;
    writer.out.write_all(FILE_TYPE)?;
    writer.index(plan)?;
    let length = layout.media + plan.used();
    let at = writer.out.stream_position()?;
    // The index is never longer than what `reserved` kept for it.
    let free = (layout.media - MEDIA_HEADER).saturating_sub(at);
    let media = length - layout.media;
    let (free, short) = match u32::try_from(media + 8) {
        Ok(short) => (free + 8, Some(short)),
        Err(_) => (free, None),
    };
    writer.u32(u32::try_from(free).map_err(io::Error::other)?)?;
    writer.out.write_all(b"free")?;
    writer.zeros(free - FREE)?;
    writer.u32(short.unwrap_or(1))?;
    writer.out.write_all(b"mdat")?;
    if short.is_none() {
        writer.u64(media + MEDIA_HEADER)?;
    }
    writer.out.flush()?;
    Ok(length)
}

/// One track of the clip, without what belongs to lost pieces.
struct Part<'p> {
    plan: &'p TrackPlan,
    shares: Vec<&'p Share>,
    /// For sound: how long the last sample of each share lasts.
    lasts: Option<Vec<u32>>,
    /// Ticks of the movie before the track begins.
    delay: u64,
    /// What is shown: where it begins in the track, in ticks of the track, and how long it is, in
    /// ticks of the movie.
    edits: Vec<(u64, u64)>,
    /// Ticks of the track.
    length: u64,
}

impl Part<'_> {
    /// Ticks of the movie until the end of the track.
    fn ends(&self) -> u64 {
        self.delay + self.edits.iter().map(|(_, length)| length).sum::<u64>()
    }

    fn durations(&self) -> impl Iterator<Item = u32> {
        self.shares.iter().enumerate().flat_map(|(index, share)| {
            let durations = &self.plan.durations[share.samples.clone()];
            let last = self
                .lasts
                .as_ref()
                .and_then(|lasts| lasts.get(index).copied());
            let kept = durations.len() - usize::from(last.is_some());
            durations[..kept].iter().copied().chain(last)
        })
    }
}

/// The picture: piece after piece, hidden parts skipped.
fn video(plan: &Plan) -> Option<Part<'_>> {
    let video = plan.video.as_ref()?;
    let mut edits: Vec<(u64, u64)> = Vec::new();
    let mut length = 0;
    for (piece, shown) in plan.shown() {
        let begins = length + u64::from(video.delay) + piece.timing.hidden_start;
        match edits.last_mut() {
            Some((start, so_far)) if *start + *so_far == begins => *so_far += shown,
            _ => edits.push((begins, shown)),
        }
        length += piece.timing.length;
    }
    let shares = plan.pieces().map(|piece| &piece.video).collect();
    Some(Part {
        plan: video,
        shares,
        lasts: None,
        delay: 0,
        edits,
        length,
    })
}

/// The sound: each piece's is where its frames are. Between neighbours that fit to a sample, nothing
/// is moved; before any other, the last sample is made longer or shorter.
fn sound(plan: &Plan) -> Option<Part<'_>> {
    let sound = plan.sound.as_ref()?;
    let mut shares = Vec::new();
    let mut lasts: Vec<u32> = Vec::new();
    let mut delay_s = 0.0;
    let mut length = 0_u64;
    let mut shown_s = 0.0;
    for (piece, seconds) in plan.shown_s() {
        if let Some(own) = &piece.sound {
            let durations = &sound.durations[own.share.samples.clone()];
            let begins_s = shown_s + own.at_s;
            if let Some(last) = lasts.last_mut() {
                let begins = (begins_s - delay_s) * f64::from(sound.timescale);
                let off = begins.round() as i64 - length.cast_signed();
                if off.unsigned_abs() > u64::from(*last) {
                    let moved = (i64::from(*last) + off).clamp(1, i64::from(i32::MAX));
                    length = length - u64::from(*last) + moved.cast_unsigned();
                    *last = moved as u32;
                }
            } else {
                delay_s = begins_s.max(0.0);
            }
            length += durations.iter().map(|ticks| u64::from(*ticks)).sum::<u64>();
            shares.push(&own.share);
            lasts.extend(durations.last());
        }
        shown_s += seconds;
    }
    let movie = f64::from(plan.timescale());
    let edits = vec![(
        0,
        (length as f64 / f64::from(sound.timescale) * movie).round() as u64,
    )];
    let delay = (delay_s * movie).round() as u64;
    Some(Part {
        plan: sound,
        shares,
        lasts: Some(lasts),
        delay,
        edits,
        length,
    })
}

struct Writer<W> {
    out: W,
    layout: Layout,
}

impl<W: Write + Seek> Writer<W> {
    fn index(&mut self, plan: &Plan) -> io::Result<()> {
        let (video, sound) = (video(plan), sound(plan));
        let timescale = plan.timescale();
        let parts = [(video, Media::Video), (sound, Media::Sound)];
        let ends = parts
            .iter()
            .flat_map(|(part, _)| part)
            .map(Part::ends)
            .max()
            .unwrap_or(0);
        self.boxed(b"moov", |w| {
            w.movie_header(timescale, ends)?;
            for (number, (part, media)) in (1..).zip(&parts) {
                if let Some(part) = part {
                    w.track(number, *media, part)?;
                }
            }
            Ok(())
        })
    }

    fn movie_header(&mut self, timescale: u32, ends: u64) -> io::Result<()> {
        let wide = is_wide(ends);
        self.full_box(b"mvhd", wide, 0, |w| {
            w.number(0, wide)?;
            w.number(0, wide)?;
            w.u32(timescale)?;
            w.number(ends, wide)?;
            // Speed 1, volume 1.
            w.u32(0x10000)?;
            w.u16(0x100)?;
            w.zeros(10)?;
            UPRIGHT.iter().try_for_each(|value| w.u32(*value))?;
            w.zeros(24)?;
            // The next free track number.
            w.u32(3)
        })
    }

    fn track(&mut self, number: u32, media: Media, part: &Part<'_>) -> io::Result<()> {
        self.boxed(b"trak", |w| {
            w.track_header(number, media, part)?;
            w.boxed(b"edts", |w| w.edits(part))?;
            w.boxed(b"mdia", |w| {
                let wide = is_wide(part.length);
                w.full_box(b"mdhd", wide, 0, |w| {
                    w.number(0, wide)?;
                    w.number(0, wide)?;
                    w.u32(part.plan.timescale)?;
                    w.number(part.length, wide)?;
                    w.u16(LANGUAGE)?;
                    w.u16(0)
                })?;
                w.full_box(b"hdlr", false, 0, |w| {
                    w.u32(0)?;
                    w.out.write_all(media.handler())?;
                    w.zeros(12 + 1)
                })?;
                w.boxed(b"minf", |w| {
                    match media {
                        Media::Video => w.full_box(b"vmhd", false, 1, |w| w.zeros(8))?,
                        Media::Sound => w.full_box(b"smhd", false, 0, |w| w.zeros(4))?,
                    }
                    // The samples are in this very file.
                    w.boxed(b"dinf", |w| {
                        w.full_box(b"dref", false, 0, |w| {
                            w.u32(1)?;
                            w.full_box(b"url ", false, 1, |_| Ok(()))
                        })
                    })?;
                    w.boxed(b"stbl", |w| w.tables(part))
                })
            })
        })
    }

    fn track_header(&mut self, number: u32, media: Media, part: &Part<'_>) -> io::Result<()> {
        let wide = is_wide(part.ends());
        // Enabled, and in the movie.
        self.full_box(b"tkhd", wide, 3, |w| {
            w.number(0, wide)?;
            w.number(0, wide)?;
            w.u32(number)?;
            w.zeros(4)?;
            w.number(part.ends(), wide)?;
            w.zeros(8 + 4)?;
            w.u16(if media == Media::Sound { 0x100 } else { 0 })?;
            w.zeros(2)?;
            w.out.write_all(&part.plan.display.matrix)?;
            w.out.write_all(&part.plan.display.size)
        })
    }

    fn edits(&mut self, part: &Part<'_>) -> io::Result<()> {
        let wide = is_wide(part.length.max(part.ends()) + u64::from(part.plan.delay));
        self.full_box(b"elst", wide, 0, |w| {
            let empty = (part.delay > 0).then_some((u64::MAX, part.delay));
            let edits = empty.into_iter().chain(part.edits.iter().copied());
            w.rows(edits, |w, (start, length)| {
                w.number(length, wide)?;
                // An empty edit starts at -1, in as many bits as there are.
                w.number(
                    if wide {
                        start
                    } else {
                        start & u64::from(u32::MAX)
                    },
                    wide,
                )?;
                w.u32(0x10000)
            })
        })
    }

    fn tables(&mut self, part: &Part<'_>) -> io::Result<()> {
        let plan = part.plan;
        let in_shares = |range: fn(&Share) -> &std::ops::Range<usize>| {
            part.shares
                .iter()
                .flat_map(move |share| range(share).clone())
        };
        self.full_box(b"stsd", false, 0, |w| {
            w.rows(plan.entries.written().iter(), |w, entry| {
                w.out.write_all(entry)
            })
        })?;
        self.full_box(b"stts", false, 0, |w| w.run_lengths(part.durations()))?;
        if plan.delay > 0 {
            let delayed = |sample: usize| plan.offsets[sample].wrapping_add_unsigned(plan.delay);
            let offsets = in_shares(|share| &share.samples).map(delayed);
            self.full_box(b"ctts", false, 0, |w| {
                w.run_lengths(offsets.map(i32::cast_unsigned))
            })?;
        }
        let samples: usize = part.shares.iter().map(|share| share.samples.len()).sum();
        let syncs: usize = part.shares.iter().map(|share| share.syncs.len()).sum();
        if part.lasts.is_none() && syncs < samples {
            self.full_box(b"stss", false, 0, |w| w.rows(sync_numbers(part), Self::row))?;
        }
        let chunks = || in_shares(|share| &share.chunks).map(|chunk| plan.chunks[chunk]);
        self.full_box(b"stsc", false, 0, |w| {
            let mut before = None;
            let changes = (1..).zip(chunks()).filter(|(_, chunk)| {
                let now = (chunk.samples, chunk.entry);
                before.replace(now) != Some(now)
            });
            w.rows(changes, |w, (number, chunk)| {
                w.u32(number)?;
                w.u32(chunk.samples)?;
                w.u32(u32::from(chunk.entry) + 1)
            })
        })?;
        self.full_box(b"stsz", false, 0, |w| {
            w.u32(0)?;
            w.rows(
                in_shares(|share| &share.samples).map(|sample| plan.sizes[sample]),
                Self::row,
            )
        })?;
        let Layout { media, long, .. } = self.layout;
        let offsets = chunks().map(|chunk| media + chunk.at);
        self.full_box(if long { b"co64" } else { b"stco" }, false, 0, |w| {
            w.rows(offsets, |w, offset| w.number(offset, long))
        })
    }

    /// A box of what `content` writes.
    fn boxed(
        &mut self,
        kind: &[u8; 4],
        content: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = self.out.stream_position()?;
        self.u32(0)?;
        self.out.write_all(kind)?;
        content(self)?;
        let end = self.out.stream_position()?;
        self.patch(
            start,
            u32::try_from(end - start).map_err(io::Error::other)?,
            end,
        )
    }

    fn full_box(
        &mut self,
        kind: &[u8; 4],
        wide: bool,
        flags: u32,
        content: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        self.boxed(kind, |w| {
            w.u32(u32::from(wide) << 24 | flags)?;
            content(w)
        })
    }

    /// A count and as many rows.
    fn rows<T>(
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

    fn row(&mut self, value: u32) -> io::Result<()> {
        self.u32(value)
    }

    /// Rows of a count and a value, for values that follow each other.
    fn run_lengths(&mut self, values: impl Iterator<Item = u32>) -> io::Result<()> {
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

    fn patch(&mut self, at: u64, value: u32, back: u64) -> io::Result<()> {
        self.out.seek(SeekFrom::Start(at))?;
        self.u32(value)?;
        self.out.seek(SeekFrom::Start(back))?;
        Ok(())
    }

    fn u16(&mut self, value: u16) -> io::Result<()> {
        self.out.write_all(&value.to_be_bytes())
    }

    fn u32(&mut self, value: u32) -> io::Result<()> {
        self.out.write_all(&value.to_be_bytes())
    }

    fn u64(&mut self, value: u64) -> io::Result<()> {
        self.out.write_all(&value.to_be_bytes())
    }

    /// 64 bits if `wide`, else 32, in which the caller made sure that it fits.
    fn number(&mut self, value: u64, wide: bool) -> io::Result<()> {
        if wide {
            self.u64(value)
        } else {
            self.u32(value as u32)
        }
    }

    fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            let now = count.min(ZEROS.len() as u64);
            self.out.write_all(&ZEROS[..now as usize])?;
            count -= now;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Media {
    Video,
    Sound,
}

impl Media {
    fn handler(self) -> &'static [u8; 4] {
        match self {
            Self::Video => b"vide",
            Self::Sound => b"soun",
        }
    }
}

fn is_wide(value: u64) -> bool {
    value > u64::from(u32::MAX)
}

/// The numbers, from 1, of the sync samples.
fn sync_numbers(part: &Part<'_>) -> impl Iterator<Item = u32> {
    let mut before = 0;
    part.shares.iter().flat_map(move |share| {
        let first = before;
        before += share.samples.len() as u32;
        let start = share.samples.start as u32;
        part.plan.syncs[share.syncs.clone()]
            .iter()
            .map(move |sync| sync - start + first + 1)
    })
}

/// Counts what is written.
#[derive(Default)]
struct Nowhere {
    at: u64,
    length: u64,
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
