//! One track of the clip: the samples of file after file put into one set of tables.

use std::ops::Range;

use super::cut::{Cut, last_duration};
use super::entries::{Codec, Entries, can_follow_another};
use super::movie::{Display, Track, rescale};
use super::plan::Refusal;
use super::samples::{MAX_SAMPLES, Sample};

/// Ticks a second that no track of the clip goes below, so that times of a finer track do not fall
/// together. libavformat's muxer uses the same bound and the same doubling.
const TIMESCALE_MIN: u32 = 10_000;
/// Ticks a second above which a track's times are rounded: an `stts` row then holds hours.
const TIMESCALE_MAX: u32 = 100_000;
/// Ticks between decoding and showing at most: hours. Two of them make no overflow.
const OFFSET_MAX: i32 = 1 << 30;
/// Divisible by every usual frame rate; what RTP uses for video.
const TIMESCALE_ROUNDED: u32 = 90_000;

/// The tables of one track of the clip, one file's samples after the other's.
#[derive(Debug)]
pub(super) struct TrackPlan {
    pub(super) timescale: u32,
    pub(super) display: Display,
    codec: Codec,
    pub(super) entries: Entries,
    /// Ticks from each sample to the next.
    pub(super) durations: Vec<u32>,
    /// Ticks from decoding to showing, before [`Self::delay`] is added. Empty for sound.
    pub(super) offsets: Vec<i32>,
    pub(super) sizes: Vec<u32>,
    /// Which samples are sync samples, from 0. Empty for sound, where all are.
    pub(super) syncs: Vec<u32>,
    pub(super) chunks: Vec<Chunk>,
    /// The least number that makes all offsets positive: the largest delay that B frames cause in
    /// any of the files.
    pub(super) delay: u32,
    /// What rounding has so far taken from the files' lengths, in ticks.
    owed: f64,
}

/// Samples that lie one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    /// Where they begin.
    pub(super) at: u64,
    pub(super) samples: u32,
    pub(super) entry: u16,
}

/// One file's part of the tables.
#[derive(Debug, Clone, Default)]
pub(super) struct Share {
    pub(super) samples: Range<usize>,
    pub(super) syncs: Range<usize>,
    pub(super) chunks: Range<usize>,
}

/// How long a file's video lasts in the clip, in ticks of the clip's track.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timing {
    /// All samples, hidden ones included.
    pub(super) length: u64,
    /// At the start: decoded, not shown.
    pub(super) hidden_start: u64,
    /// At the end: decoded, not shown.
    pub(super) hidden_end: u64,
}

/// What a file's samples take with them into the clip.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) share: Share,
    /// The bytes of each chunk of the share, where they are in the file.
    pub(super) spans: Vec<Range<u64>>,
    pub(super) timing: Timing,
    /// The file's chunk that the last sample was in.
    chunk: Option<usize>,
    /// Where the file's entries are among the clip's.
    places: Vec<Option<u16>>,
}

impl TrackPlan {
    /// An empty track that suits `track`, which will be its first.
    pub(super) fn like(track: &Track<'_>) -> Self {
        Self {
            timescale: clip_timescale(track.timescale),
            display: track.display,
            codec: Codec::of(track.entries[0]),
            entries: Entries::default(),
            durations: Vec::new(),
            offsets: Vec::new(),
            sizes: Vec::new(),
            syncs: Vec::new(),
            chunks: Vec::new(),
            delay: 0,
            owed: 0.0,
        }
    }

    /// Whether nothing was added yet.
    pub(super) fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Adds the samples of a cut. On an error, the track is as it was.
    pub(super) fn add_video(&mut self, track: &Track<'_>, cut: &Cut) -> Result<Merged, Refusal> {
        self.all_or_nothing(track, |plan, merged| plan.video(track, cut, merged))
    }

    /// Adds samples of sound. On an error, the track is as it was.
    pub(super) fn add_sound(
        &mut self,
        track: &Track<'_>,
        samples: impl Iterator<Item = Sample>,
    ) -> Result<Merged, Refusal> {
        self.all_or_nothing(track, |plan, merged| plan.sound(track, samples, merged))
    }

    fn all_or_nothing(
        &mut self,
        track: &Track<'_>,
        add: impl FnOnce(&mut Self, &mut Merged) -> Result<(), Refusal>,
    ) -> Result<Merged, Refusal> {
        let (samples, syncs, chunks) = (self.sizes.len(), self.syncs.len(), self.chunks.len());
        let (entries, delay) = (self.entries.count(), self.delay);
        let mut merged = Merged { places: vec![None; track.entries.len()], ..Merged::default() };
        let added = add(self, &mut merged);
        if let Err(refusal) = added {
            self.durations.truncate(samples);
            self.offsets.truncate(samples);
            self.sizes.truncate(samples);
            self.syncs.truncate(syncs);
            self.chunks.truncate(chunks);
            self.entries.truncate(entries);
            self.delay = delay;
            return Err(refusal);
        }
        merged.share = Share {
            samples: samples..self.sizes.len(),
            syncs: syncs..self.syncs.len(),
            chunks: chunks..self.chunks.len(),
        };
        Ok(merged)
    }

    fn video(&mut self, track: &Track<'_>, cut: &Cut, merged: &mut Merged) -> Result<(), Refusal> {
        let (to, from) = (self.timescale, track.timescale);
        let to_clip = |ticks: u64| rescale(ticks, to, from);
        let since_key = |pts: i64| pts.saturating_sub(cut.key_pts).max(0).cast_unsigned();
        // Leading samples that were left out leave no hole: what is kept is decoded one after
        // the other.
        let mut dts = 0_u64;
        let mut decoded = 0_u64;
        for sample in cut.samples(track) {
            let now = to_clip(dts);
            if sample.index != cut.first {
                self.durations.push(ticks(now - decoded)?);
            }
            decoded = now;
            dts += u64::from(sample.duration);
            let offset = to_clip(since_key(sample.pts)).cast_signed() - now.cast_signed();
            let offset = i32::try_from(offset).ok().filter(|offset| offset.abs() < OFFSET_MAX);
            let offset = offset.ok_or(Refusal::Times)?;
            self.delay = self.delay.max(if offset < 0 { offset.unsigned_abs() } else { 0 });
            self.offsets.push(offset);
            if sample.sync {
                self.syncs.push(u32::try_from(self.sizes.len()).map_err(|_| Refusal::Full)?);
            }
            self.push(track, &sample, merged)?;
        }
        // The next file's first frame follows when this one's last frame has been shown.
        let exact = since_key(cut.ends()) as f64 * f64::from(to) / f64::from(from) + self.owed;
        let length = (exact.round() as u64).max(decoded + 1);
        self.durations.push(ticks(length - decoded)?);
        self.owed = (exact - length as f64).clamp(-1.0, 1.0);
        let hidden_start = to_clip(since_key(cut.shown_from)).min(length - 1);
        let hidden_end = to_clip(cut.hidden_end().max(0).cast_unsigned());
        let hidden_end = hidden_end.min(length - 1 - hidden_start);
        merged.timing = Timing { length, hidden_start, hidden_end };
        Ok(())
    }

    fn sound(
        &mut self,
        track: &Track<'_>,
        samples: impl Iterator<Item = Sample>,
        merged: &mut Merged,
    ) -> Result<(), Refusal> {
        let mut last = [0, 0];
        let (to, from) = (self.timescale, track.timescale);
        let to_clip = |ticks: u64| rescale(ticks, to, from);
        for sample in samples {
            let length = to_clip(sample.dts + u64::from(sample.duration)) - to_clip(sample.dts);
            last = [last[1], ticks(length)?];
            self.durations.push(last[1]);
            self.push(track, &sample, merged)?;
        }
        if let Some(duration) = self.durations.last_mut() {
            *duration = last_duration(last);
        }
        Ok(())
    }

    fn push(
        &mut self,
        track: &Track<'_>,
        sample: &Sample,
        merged: &mut Merged,
    ) -> Result<(), Refusal> {
        if self.sizes.len() >= MAX_SAMPLES {
            return Err(Refusal::Full);
        }
        let entry = self.entry(track, sample.entry, &mut merged.places)?;
        let end = sample.end().ok_or(Refusal::Times)?;
        let same_chunk = merged.chunk == Some(sample.chunk);
        match (self.chunks.last_mut(), merged.spans.last_mut()) {
            (Some(chunk), Some(span))
                if same_chunk && span.end == sample.offset && chunk.entry == entry =>
            {
                chunk.samples += 1;
                span.end = end;
            }
            _ => {
                self.chunks.push(Chunk { at: sample.offset, samples: 1, entry });
                merged.spans.push(sample.offset..end);
            }
        }
        merged.chunk = Some(sample.chunk);
        self.sizes.push(sample.size);
        Ok(())
    }

    /// The place among the clip's entries of the file's entry number `index`.
    fn entry(
        &mut self,
        track: &Track<'_>,
        index: usize,
        places: &mut [Option<u16>],
    ) -> Result<u16, Refusal> {
        if let Some(place) = places[index] {
            return Ok(place);
        }
        let entry = track.entries[index];
        let codec = Codec::of(entry);
        if codec != self.codec {
            return Err(Refusal::Codec { was: self.codec, is: codec });
        }
        let place = self.entries.place(entry).ok_or(Refusal::Full)?;
        if place > 0 && !can_follow_another(entry) {
            return Err(Refusal::Parameters(codec));
        }
        places[index] = Some(place);
        Ok(place)
    }
}

/// What an `stts` row can hold; half of it, since some readers take it for signed.
fn ticks(duration: u64) -> Result<u32, Refusal> {
    let fits = u32::try_from(duration).ok().filter(|ticks| i32::try_from(*ticks).is_ok());
    fits.ok_or(Refusal::Times)
}

/// The clip's ticks a second, given those of its first file: the same ones or a multiple, unless
/// they are too fine.
fn clip_timescale(first: u32) -> u32 {
    if first > TIMESCALE_MAX {
        return TIMESCALE_ROUNDED;
    }
    let mut timescale = first.max(1);
    while timescale < TIMESCALE_MIN {
        timescale *= 2;
    }
    timescale
}
