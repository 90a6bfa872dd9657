//! The clip before a byte of it is written: which samples, when, from where to where.
//!
//! [`Plan::add`] takes one file after the other and keeps what the clip's own index needs: 12
//! bytes for each sample, 16 for each chunk. Nothing is opened or copied here.
//!
//! All decisions are final once the last file is added. A file that turns out to be gone when its
//! bytes are copied is [lost](Plan::lose): its samples are left out of the index, and the bytes
//! reserved for it stay unused. Nothing else moves, so nothing is copied twice, and the index, which
//! can only get smaller, fits in the place kept for it ([`Layout`]).

use std::ops::Range;

use super::cut::{self, Cut, Wanted};
use super::entries::{self, Codec};
use super::merge::{Merged, Share, Timing, TrackPlan};
use super::moov;
use super::movie::{Movie, Track};
use super::samples::MAX_SAMPLES;
use super::unfit::Unfit;

/// Bytes of a clip at most, far below where 64-bit offsets end and far above any disk.
const LENGTH_MAX: u64 = 1 << 60;

/// How the bytes of the files lie in the clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Every byte is as far from a multiple of this as it is in its file.
    block: u64,
    /// Whether whole blocks are taken, one stretch from each file.
    whole: bool,
}

impl Packing {
    /// For copying bytes. A page of a file then becomes a page of the clip, not parts of two, which
    /// takes a quarter off the time; it costs half a page for each file.
    pub const PAGES: Self = Self { block: 4096, whole: false };

    /// Bytes between two wanted stretches that are copied along rather than skipped. To skip them
    /// takes a call, which costs as much as copying some kilobytes.
    const GAP: u64 = 4096;

    /// For sharing blocks of `block` bytes with the help of the file system.
    pub fn blocks(block: u32) -> Self {
        Self { block: u64::from(block.max(1)), whole: true }
    }
}

/// Bytes to copy from a file into the clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// Where they begin in the file.
    pub from: u64,
    /// Where they go, counted from [`Layout::media`].
    pub to: u64,
    /// How many there are.
    pub length: u64,
}

/// Why a file does not go into the plan.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Something about the file itself.
    #[error(transparent)]
    File(#[from] Unfit),
    /// A track has one codec.
    #[error("is {is}, and the footage before it is {was}")]
    Codec {
        /// The codec of the files before.
        was: Codec,
        /// The codec of this file.
        is: Codec,
    },
    /// A codec that cannot change its parameters within a track.
    #[error("is {0} of other parameters than the footage before it")]
    Parameters(Codec),
    /// More than one track can hold.
    #[error(
        "is more than fits: a track holds at most {} sample entries and {MAX_SAMPLES} samples",
        entries::MAX
    )]
    Full,
    /// A time beyond all sense, such as a frame of hours.
    #[error("has sample times that fit no track")]
    Times,
}

/// What became of a file that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// Samples that its index announces and that it does not have.
    pub missing: usize,
    /// Its sound had to be left out: it is of another codec than the clip's.
    pub sound_refused: bool,
}

/// What one file gives to the clip.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The caller's number for the file.
    pub source: usize,
    /// Seconds from the file's own first frame to its first one in the clip.
    pub from_s: f64,
    /// Frames shown.
    pub frames: usize,
    copies: Range<usize>,
    pub(super) video: Share,
    pub(super) timing: Timing,
    pub(super) sound: Option<Sound>,
    lost: bool,
}

/// A piece's sound.
#[derive(Debug, Clone)]
pub(super) struct Sound {
    pub(super) share: Share,
    /// Seconds from the piece's first shown frame to its first sample of sound; may be negative.
    pub(super) at_s: f64,
}

/// Where everything is in the clip's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Where the copied bytes begin. The index is before.
    pub media: u64,
    /// Bytes of the whole file.
    pub length: u64,
    /// Whether offsets need more than 32 bits.
    pub(super) long: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Plan {
    packing: Packing,
    keep_sound: bool,
    pub(super) video: Option<TrackPlan>,
    pub(super) sound: Option<TrackPlan>,
    pieces: Vec<Piece>,
    copies: Vec<Copy>,
    /// Bytes of all copies, and of what aligning them takes.
    length: u64,
}

impl Plan {
    /// A plan of nothing.
    pub fn new(packing: Packing, keep_sound: bool) -> Self {
        Self {
            packing,
            keep_sound,
            video: None,
            sound: None,
            pieces: Vec::new(),
            copies: Vec::new(),
            length: 0,
        }
    }

    /// Adds what is `wanted` of a file of `length` bytes, after all that was added before. `source`
    /// is the caller's number for it. `None`: the file has nothing of that time.
    ///
    /// # Errors
    /// See [`Refusal`]; the plan is then as it was.
    pub fn add(
        &mut self,
        source: usize,
        movie: &Movie<'_>,
        length: u64,
        wanted: Wanted,
    ) -> Result<Option<Added>, Refusal> {
        if length > LENGTH_MAX.saturating_sub(self.length) {
            return Err(Refusal::Full);
        }
        let Some(cut) = cut::cut(&movie.video, length, wanted)? else {
            return Ok(None);
        };
        let video =
            add_to(&mut self.video, &movie.video, |plan| plan.add_video(&movie.video, &cut))?;
        let mut added = Added { missing: cut.missing, sound_refused: false };
        let mut spans = video.spans;
        let mut sound = None;
        if let Some(audio) = movie.audio.as_ref().filter(|_| self.keep_sound) {
            match add_sound(&mut self.sound, audio, length, &movie.video, &cut) {
                Ok(None) => {}
                Ok(Some((at_s, merged))) => {
                    spans.extend(merged.spans);
                    sound = Some(Sound { share: merged.share, at_s });
                }
                Err(_) => added.sound_refused = true,
            }
        }
        let piece = Piece {
            source,
            from_s: movie.video.seconds(cut.shown_from.saturating_sub(cut.origin)),
            frames: cut.frames,
            copies: self.pack(spans, length),
            video: video.share,
            timing: video.timing,
            sound,
            lost: false,
        };
        self.place_chunks(&piece);
        self.pieces.push(piece);
        Ok(Some(added))
    }

    /// Finds a place in the clip for the byte ranges of a file of `length` bytes.
    fn pack(&mut self, mut spans: Vec<Range<u64>>, length: u64) -> Range<usize> {
        let Packing { block, whole } = self.packing;
        let first = self.copies.len();
        spans.sort_unstable_by_key(|span| span.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for span in spans {
            match merged.last_mut() {
                Some(last) if whole || span.start <= last.end.saturating_add(Packing::GAP) => {
                    last.end = last.end.max(span.end);
                }
                _ => merged.push(span),
            }
        }
        for mut span in merged {
            if whole {
                span.start -= span.start % block;
                span.end = span.end.next_multiple_of(block).min(length);
            }
            let distance = (span.start % block + block - self.length % block) % block;
            let to = self.length + distance;
            self.length = to + (span.end - span.start);
            self.copies.push(Copy { from: span.start, to, length: span.end - span.start });
        }
        first..self.copies.len()
    }

    /// Turns the chunk offsets of a new piece from those of its file into those of the clip.
    fn place_chunks(&mut self, piece: &Piece) {
        let copies = &self.copies[piece.copies.clone()];
        let place = |at: u64| {
            let next = copies.partition_point(|copy| copy.from <= at);
            // Every chunk is inside one of the copies: they were made from the chunks.
            copies.get(next.saturating_sub(1)).map_or(0, |copy| copy.to + (at - copy.from))
        };
        let sound = piece.sound.as_ref().map(|sound| &sound.share);
        let tracks = [(self.video.as_mut(), Some(&piece.video)), (self.sound.as_mut(), sound)];
        for (track, share) in tracks {
            if let (Some(track), Some(share)) = (track, share) {
                for chunk in &mut track.chunks[share.chunks.clone()] {
                    chunk.at = place(chunk.at);
                }
            }
        }
    }

    /// The pieces that are not lost.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = &Piece> {
        self.pieces.iter().filter(|piece| !piece.lost)
    }

    /// How many pieces there are, lost ones included.
    pub fn count(&self) -> usize {
        self.pieces.len()
    }

    /// The source of a piece, and the bytes to copy from it.
    pub fn work(&self, piece: usize) -> (usize, &[Copy]) {
        let piece = &self.pieces[piece];
        (piece.source, &self.copies[piece.copies.clone()])
    }

    /// Whether it was made to share blocks.
    pub fn shares_blocks(&self) -> bool {
        self.packing.whole
    }

    /// Bytes to copy in all.
    pub fn to_copy(&self) -> u64 {
        self.copies.iter().map(|copy| copy.length).sum()
    }

    /// Bytes up to the end of the last piece that is not lost.
    pub(super) fn used(&self) -> u64 {
        let last = self.pieces().filter_map(|piece| self.copies.get(piece.copies.clone())?.last());
        last.map(|copy| copy.to + copy.length).max().unwrap_or(0)
    }

    /// Leaves a piece out: its bytes could not be copied.
    pub fn lose(&mut self, piece: usize) {
        self.pieces[piece].lost = true;
    }

    /// Decides where everything goes, once the last file was added. `None` if there is nothing.
    pub fn layout(&self) -> Option<Layout> {
        self.video.as_ref()?;
        let layout = |long| {
            let media = moov::reserved(self, long).next_multiple_of(self.packing.block);
            Layout { media, length: media + self.length, long }
        };
        let short = layout(false);
        let fits = short.length <= u64::from(u32::MAX);
        Some(if fits { short } else { layout(true) })
    }

    /// Ticks a second of the clip's video.
    pub(super) fn timescale(&self) -> u32 {
        self.video.as_ref().map_or(1, |video| video.timescale)
    }

    /// The pieces that are not lost, and for how many ticks of the clip each is shown.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&Piece, u64)> {
        let last = self.pieces().next_back();
        self.pieces().map(move |piece| {
            let Timing { length, hidden_start, hidden_end } = piece.timing;
            // An end that others' frames follow is not hidden: an edit for each piece would make
            // players decode the sync samples in between twice.
            let is_last = last.is_some_and(|last| std::ptr::eq(last, piece));
            (piece, length - hidden_start - if is_last { hidden_end } else { 0 })
        })
    }

    /// The pieces that are not lost, and for how many seconds each is shown.
    pub fn shown_s(&self) -> impl Iterator<Item = (&Piece, f64)> {
        let timescale = f64::from(self.timescale());
        self.shown().map(move |(piece, ticks)| (piece, ticks as f64 / timescale))
    }
}

/// Adds to a track of the clip, which begins with the first file that has something for it.
fn add_to(
    slot: &mut Option<TrackPlan>,
    track: &Track<'_>,
    add: impl FnOnce(&mut TrackPlan) -> Result<Merged, Refusal>,
) -> Result<Merged, Refusal> {
    let added = add(slot.get_or_insert_with(|| TrackPlan::like(track)));
    if slot.as_ref().is_some_and(TrackPlan::is_empty) {
        *slot = None;
    }
    added
}

/// Adds the sound that belongs to the frames of a cut: each sample whose middle falls into the
/// time in which they are shown. So a file's sound ends where the next one's begins, to half a
/// sample.
fn add_sound(
    slot: &mut Option<TrackPlan>,
    audio: &Track<'_>,
    length: u64,
    video: &Track<'_>,
    cut: &Cut,
) -> Result<Option<(f64, Merged)>, Refusal> {
    let begins = video.shown_at(cut.shown_from);
    let ends = begins + cut.seconds(video);
    let belongs = |sample: &super::samples::Sample| {
        let middle = audio.shown_at(sample.pts) + audio.seconds(i64::from(sample.duration)) / 2.0;
        (begins..ends).contains(&middle)
    };
    let mut samples = audio
        .samples()
        .take_while(|sample| sample.end().is_some_and(|end| end <= length))
        .skip_while(|sample| !belongs(sample))
        .take_while(belongs)
        .peekable();
    let Some(at_s) = samples.peek().map(|first| audio.shown_at(first.pts) - begins) else {
        return Ok(None);
    };
    let merged = add_to(slot, audio, |plan| plan.add_sound(audio, samples))?;
    Ok(Some((at_s, merged)))
}
