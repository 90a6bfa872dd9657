//! When what of a plan is shown, once it is known which of its pieces there are.

use super::merge::{Share, TrackPlan};
use super::plan::Plan;

/// One track of the clip, without what belongs to lost pieces.
pub(super) struct Timeline<'p> {
    pub(super) plan: &'p TrackPlan,
    pub(super) shares: Vec<&'p Share>,
    /// For sound: how long the last sample of each share lasts.
    lasts: Option<Vec<u32>>,
    /// Ticks of the movie before the track begins.
    pub(super) delay: u64,
    /// What is shown: where it begins in the track, in ticks of the track, and how long it is, in
    /// ticks of the movie.
    pub(super) edits: Vec<(u64, u64)>,
    /// Ticks of the track.
    pub(super) length: u64,
}

impl Timeline<'_> {
    /// Whether this is sound, in which every sample is a sync sample.
    pub(super) fn is_sound(&self) -> bool {
        self.lasts.is_some()
    }

    /// Ticks of the movie until the end of the track.
    pub(super) fn ends(&self) -> u64 {
        self.delay + self.edits.iter().map(|(_, length)| length).sum::<u64>()
    }

    /// Ticks from each sample to the next.
    pub(super) fn durations(&self) -> impl Iterator<Item = u32> {
        self.shares.iter().enumerate().flat_map(|(index, share)| {
            let durations = &self.plan.durations[share.samples.clone()];
            let last = self.lasts.as_ref().and_then(|lasts| lasts.get(index).copied());
            let kept = durations.len() - usize::from(last.is_some());
            durations[..kept].iter().copied().chain(last)
        })
    }

    /// The numbers, from 1, of the sync samples.
    pub(super) fn sync_numbers(&self) -> impl Iterator<Item = u32> {
        let mut before = 0;
        self.shares.iter().flat_map(move |share| {
            let first = before;
            before += share.samples.len() as u32;
            let start = share.samples.start as u32;
            self.plan.syncs[share.syncs.clone()].iter().map(move |sync| sync - start + first + 1)
        })
    }
}

/// The picture: piece after piece, hidden parts skipped.
pub(super) fn video(plan: &Plan) -> Option<Timeline<'_>> {
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
    Some(Timeline { plan: video, shares, lasts: None, delay: 0, edits, length })
}

/// The sound: each piece's is where its frames are. Between neighbours that fit to a sample, nothing
/// is moved; before any other, the last sample is made longer or shorter.
pub(super) fn sound(plan: &Plan) -> Option<Timeline<'_>> {
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
                    // At most what an `stts` row holds: half a day without sound, at 48 kHz.
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
    let shown = (length as f64 / f64::from(sound.timescale) * movie).round() as u64;
    let delay = (delay_s * movie).round() as u64;
    Some(Timeline {
        plan: sound,
        shares,
        lasts: Some(lasts),
        delay,
        edits: vec![(0, shown)],
        length,
    })
}
