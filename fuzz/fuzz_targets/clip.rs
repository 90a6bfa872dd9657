//! Any bytes as two recordings that are joined: no panic, no endless walk, no memory that the bytes do
//! not account for; and what is joined has an index that is read again with the same frames.
//!
//! The first byte says how, the next two where the second recording begins. Seeds are small MP4s with
//! three bytes before them; `clip.dict` has the names of the boxes.

#![no_main]

use std::io::{self, Cursor};

use frigate_replay::clip::cut::{self, Wanted};
use frigate_replay::clip::movie::{Movie, Track};
use frigate_replay::clip::plan::{Packing, Plan};
use frigate_replay::clip::{moov, read};
use libfuzzer_sys::fuzz_target;

/// A clip whose index is there; its media, which nobody wrote, is zeros up to the length.
struct Made<'a>(&'a [u8], u64);

impl read::Bytes for Made<'_> {
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.1) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let there =
            usize::try_from(offset).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let (here, beyond) = buffer.split_at_mut(there.len().min(buffer.len()));
        here.copy_from_slice(&there[..here.len()]);
        beyond.fill(0);
        Ok(())
    }
}

fuzz_target!(|input: &[u8]| {
    let Some(([how, high, low], rest)) =
        input.split_first_chunk::<3>().map(|(head, rest)| (*head, rest))
    else {
        return;
    };
    let at = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
    let packing = if how & 1 == 0 { Packing::PAGES } else { Packing::blocks(4096) };
    let sound = how & 2 != 0;
    let wanted = match how & 12 {
        0 => Wanted::ALL,
        4 => Wanted { from_s: 0.5, to_s: 1.0 },
        8 => Wanted { from_s: 1.25, to_s: f64::INFINITY },
        _ => Wanted { from_s: f64::NEG_INFINITY, to_s: 0.75 },
    };
    let mut plan = Plan::new(packing, sound);
    let mut buffer = Vec::new();
    let mut timescales = Vec::new();
    let mut is_in_order = true;
    for (source, bytes) in [&rest[..at], &rest[at..]].into_iter().enumerate() {
        // The samples need not be there for the index to be read.
        let length = bytes.len() as u64 + if how & 16 == 0 { 0 } else { 1 << 20 };
        let index = match read::index(bytes, bytes.len() as u64, &mut buffer) {
            Ok(index) => index,
            Err(_) => bytes,
        };
        if let Ok(movie) = Movie::parse(index) {
            timescales.push(movie.video.timescale);
            is_in_order &= syncs_divide(&movie.video);
            let _ = plan.add(source, &movie, length, wanted);
        }
    }
    if how & 32 != 0 && plan.count() > 1 {
        plan.lose(0);
    }
    let Some(layout) = plan.layout() else {
        return;
    };
    let mut head = Cursor::new(Vec::new());
    let length = moov::write(&plan, layout, &mut head).expect("memory takes everything");
    let head = head.into_inner();
    assert_eq!(head.len() as u64, layout.media);
    if plan.pieces().next().is_none() {
        return;
    }
    let index =
        read::index(&Made(&head, length), length, &mut buffer).expect("a clip has an index");
    // Several hidden parts are beyond this reader.
    let Ok(movie) = Movie::parse(index) else {
        return;
    };
    let frames: usize = plan.pieces().map(|piece| piece.frames).sum();
    let samples = movie.video.samples().count();
    assert!(samples >= frames, "{samples} samples, {frames} frames");
    let made =
        cut::cut(&movie.video, length, Wanted::ALL).expect("it is whole").expect("it is shown");
    assert_eq!(made.missing, 0);
    // Frames less than a tick of the clip apart may become one, or be rounded out of what is shown.
    let is_exact = timescales.iter().all(|timescale| movie.video.timescale % timescale == 0);
    if is_exact && is_in_order {
        assert!(made.frames >= frames, "{} frames of {frames}", made.frames);
    }
});

/// Whether what is decoded before a sync sample is also shown before it, as with every encoder.
fn syncs_divide(track: &Track<'_>) -> bool {
    let mut latest = i64::MIN;
    track.samples().all(|sample| {
        let divides = !sample.sync || sample.pts >= latest;
        latest = latest.max(sample.pts);
        divides
    })
}
