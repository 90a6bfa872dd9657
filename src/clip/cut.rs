//! Which samples of one file go into the clip: those that a player of that file alone would show,
//! and those that it must decode for them.
//!
//! The rules are libavformat's and libavcodec's own, so that the clip's frames are the file's:
//!
//! - Decoding begins at a sync sample. What comes before the first one cannot be decoded.
//! - *Leading* samples, decoded after the sync sample and shown before it, belong to the picture
//!   group before (open GOP). A file that begins there does not show them.
//! - An edit list that begins between sync samples hides what must be decoded on the way. Those
//!   samples stay, hidden.
//! - Only samples that are wholly inside the file count, up to the first one that is not.
//! - A start time moves forward to the sync sample at or before it. An end time is exact.

use super::movie::Track;
use super::samples::Sample;
use super::unfit::Unfit;

/// Times closer than this are the same: they have been through JSON and databases. Half the
/// duration of a frame at 1000 frames a second.
const SAME_S: f64 = 0.0005;

/// Which seconds of a file are wanted, counted from its first shown frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// From the sync sample at or before this second.
    pub from_s: f64,
    /// Up to, and without, this second.
    pub to_s: f64,
}

impl Wanted {
    /// The whole file.
    pub const ALL: Self = Self { from_s: f64::NEG_INFINITY, to_s: f64::INFINITY };
}

/// The samples of a video track that go into the clip. Times are in the track's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The sync sample that it begins with.
    pub(super) first: usize,
    /// One past the last sample.
    end: usize,
    /// When the sync sample is shown. What is shown before it is left out.
    pub key_pts: i64,
    /// When the first frame is shown: the sync sample, or later if it is hidden.
    pub shown_from: i64,
    /// The time from which no frame is shown any more.
    pub shown_to: i64,
    /// When the file's own first frame is shown, wherever this cut begins.
    pub origin: i64,
    /// When the last of the kept samples is shown.
    pub last_pts: i64,
    /// Ticks for which the last frame is shown.
    pub last_duration: u32,
    /// How many frames are shown.
    pub frames: usize,
    /// How many samples of the track are not in the file.
    pub missing: usize,
}

impl Cut {
    /// Whether `sample` goes into the clip.
    pub fn keeps(&self, sample: &Sample) -> bool {
        (self.first..self.end).contains(&sample.index) && sample.pts >= self.key_pts
    }

    /// Whether `sample`, which is kept, is also shown.
    pub fn shows(&self, sample: &Sample) -> bool {
        (self.shown_from..self.shown_to).contains(&sample.pts)
    }

    /// The samples that go into the clip.
    pub fn samples<'t>(&self, track: &'t Track<'t>) -> impl Iterator<Item = Sample> + use<'t> {
        let cut = *self;
        track.samples().take(cut.end).filter(move |sample| cut.keeps(sample))
    }

    /// When the last of the kept samples ends.
    pub fn ends(&self) -> i64 {
        self.last_pts.saturating_add(i64::from(self.last_duration))
    }

    /// Ticks at the end of the kept samples in which nothing is shown: frames that others need, but
    /// that are themselves beyond the end.
    pub fn hidden_end(&self) -> i64 {
        if self.last_pts < self.shown_to { 0 } else { self.ends().saturating_sub(self.shown_to) }
    }

    /// Seconds from the first frame to the end of the last.
    pub fn seconds(&self, track: &Track<'_>) -> f64 {
        track.seconds(self.ends().saturating_sub(self.hidden_end()).saturating_sub(self.shown_from))
    }
}

/// Cuts `wanted` out of a video track whose file has `length` bytes. `None`: the file has nothing
/// of that time.
///
/// # Errors
/// [`Unfit::NoSamples`] if nothing in the file can be shown at all.
pub fn cut(track: &Track<'_>, length: u64, wanted: Wanted) -> Result<Option<Cut>, Unfit> {
    let whole = whole(track, length)?;
    if wanted == Wanted::ALL {
        return Ok(Some(whole));
    }
    let ticks = |seconds: f64| seconds * f64::from(track.timescale);
    // Float casts saturate, so infinite wishes end at the file's own limits.
    let from = whole.origin.saturating_add(ticks(wanted.from_s + SAME_S).floor() as i64);
    let to = whole.origin.saturating_add(ticks(wanted.to_s - SAME_S).ceil() as i64);
    if from >= whole.ends() || to <= whole.shown_from || to <= from {
        return Ok(None);
    }
    let key = whole
        .samples(track)
        .filter(|sample| sample.sync && sample.pts <= from)
        .last()
        .map_or((whole.first, whole.key_pts), |key| (key.index, key.pts));
    let part = Cut {
        first: key.0,
        key_pts: key.1,
        shown_from: whole.shown_from.max(key.1),
        shown_to: whole.shown_to.min(to),
        ..whole
    };
    Ok(finish(track, part))
}

/// Everything that a player of the whole file would show.
fn whole(track: &Track<'_>, length: u64) -> Result<Cut, Unfit> {
    let inside = |sample: &Sample| sample.end().is_some_and(|end| end <= length);
    let mut key: Option<(usize, i64)> = None;
    let mut end = 0;
    for sample in track.samples().take_while(inside) {
        end = sample.index + 1;
        // Of several at the same time the first: nothing between them is hidden.
        let is_later = |(_, pts)| pts < sample.pts && sample.pts <= track.edit.from;
        if sample.sync && key.is_none_or(is_later) {
            key = Some((sample.index, sample.pts));
        }
    }
    let (first, key_pts) = key.ok_or(Unfit::NoSamples)?;
    let whole = Cut {
        first,
        end,
        key_pts,
        shown_from: key_pts.max(track.edit.from),
        shown_to: track.edit.to,
        origin: 0,
        last_pts: 0,
        last_duration: 0,
        frames: 0,
        missing: track.announced() - end.min(track.announced()),
    };
    let mut whole = finish(track, whole).ok_or(Unfit::NoSamples)?;
    whole.origin = whole.shown_from;
    Ok(whole)
}

/// Takes away the samples at the end that nothing shown needs, and fills in what follows from the
/// rest. `None` if nothing is shown.
fn finish(track: &Track<'_>, mut cut: Cut) -> Option<Cut> {
    let last = cut.samples(track).filter(|sample| cut.shows(sample)).last()?;
    cut.end = last.index + 1;
    let mut first_shown = i64::MAX;
    let mut durations = [0; 2];
    cut.last_pts = i64::MIN;
    cut.frames = 0;
    for sample in cut.samples(track) {
        durations = [durations[1], sample.duration];
        cut.last_pts = cut.last_pts.max(sample.pts);
        if cut.shows(&sample) {
            cut.frames += 1;
            first_shown = first_shown.min(sample.pts);
        }
    }
    cut.shown_from = first_shown;
    cut.last_duration = last_duration(durations);
    Some(cut)
}

/// The duration of the last of two samples. A muxer has to guess the last one of a file (6 ms
/// were seen where the frames were 100 ms apart): if it is less than half of the one before, that
/// one is the better guess.
pub(super) fn last_duration([before, last]: [u32; 2]) -> u32 {
    if last < before / 2 { before } else { last }.max(1)
}
