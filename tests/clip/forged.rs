//! Indexes that no muxer ever wrote: any bytes may be read, and what is joined from them is still a
//! file that another reader understands. `fuzz/` goes further with the same.

use std::io::Cursor;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use frigate_replay::clip::cut::{self, Wanted};
use frigate_replay::clip::movie::Movie;
use frigate_replay::clip::plan::{Packing, Plan, Refusal};
use frigate_replay::clip::{boxes, moov, read};
use mp4_atom::{Co64, Ctts, CttsEntry, Decode, Encode, Moov, StscEntry, StszSamples, SttsEntry};
use proptest::prelude::*;

use super::footage::{Camera, Footage};
use super::oracle;

/// A recording with B frames and sound, and where its index is in it.
fn recording() -> &'static (Vec<u8>, Range<usize>) {
    static RECORDING: OnceLock<(Vec<u8>, Range<usize>)> = OnceLock::new();
    RECORDING.get_or_init(|| {
        let mut footage = Footage::new();
        let camera = Camera { sound: Some("-c:a aac"), seconds: 2, ..Camera::h264_b_frames() };
        let file = footage.record(&camera).swap_remove(0);
        let boxes = oracle::read(&file).boxes;
        let before: u64 = boxes.iter().take_while(|(kind, _)| kind != "moov").map(|b| b.1).sum();
        let index = boxes.iter().find(|(kind, _)| kind == "moov").unwrap().1;
        let index = before as usize..(before + index) as usize;
        (std::fs::read(file).unwrap(), index)
    })
}

/// Joins three files in memory: the forged one between two good ones, if it is accepted at all.
/// Gives all that comes before the samples.
fn join(forged: &[u8], packing: Packing, wanted: Wanted) -> Option<Vec<u8>> {
    let good = &recording().0;
    let mut plan = Plan::new(packing, true);
    let mut buffer = Vec::new();
    for (source, bytes) in [&good[..], forged, good].into_iter().enumerate() {
        let length = bytes.len() as u64;
        let Ok(index) = read::index(bytes, length, &mut buffer) else { continue };
        let Ok(movie) = Movie::parse(index) else { continue };
        let Ok(Some(_)) = plan.add(source, &movie, length, wanted) else { continue };
        let (source, copies) = plan.work(plan.count() - 1);
        let total: u64 = copies.iter().map(|copy| copy.length).sum();
        for copy in copies {
            assert!(copy.from + copy.length <= length, "{copy:?} of {length} bytes of {source}");
            assert!(total <= 3 * length);
        }
    }
    let layout = plan.layout()?;
    let mut head = Cursor::new(Vec::new());
    let length = moov::write(&plan, layout, &mut head).unwrap();
    let head = head.into_inner();
    assert_eq!(head.len() as u64, layout.media, "the index ends where the samples begin");
    assert!(length <= layout.length);
    Some(head)
}

/// Checks that mp4-atom reads the index of a clip, and that its tables agree with each other.
fn assert_readable(head: &[u8]) {
    let index = boxes::need(head, b"moov").unwrap();
    let mut whole = (index.len() as u32 + 8).to_be_bytes().to_vec();
    whole.extend_from_slice(b"moov");
    whole.extend_from_slice(index);
    // It knows fewer kinds of entries than there are; a forged one may be any.
    let Ok(moov) = Moov::decode(&mut &whole[..]) else { return };
    for track in &moov.trak {
        oracle::samples(track);
    }
}

fn everything() -> Wanted {
    Wanted::ALL
}

/// Cases by the thousand, since each takes microseconds. `PROPTEST_CASES` makes them more.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.saturating_mul(8), failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(config())]

    /// Fields overwritten with values that stand for trouble.
    #[test]
    fn any_field_may_hold_anything(
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            any::<u32>(),
            prop::sample::select(vec![0, 1, 2, 7, 8, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fff0]),
            0_u32..5000,
        ]), 1..6),
        step in prop::sample::select(vec![1_usize, 4]),
        whole in any::<bool>(),
        from in -1.0..3.0_f64,
    ) {
        let (good, index) = recording();
        let mut forged = good.clone();
        for (at, value) in edits {
            let at = index.start + at.index((index.len() - 4) / step) * step;
            forged[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        let packing = if whole { Packing::blocks(4096) } else { Packing::PAGES };
        for wanted in [everything(), Wanted { from_s: from, to_s: from + 1.0 }] {
            if let Some(head) = join(&forged, packing, wanted) {
                assert_readable(&head);
            }
        }
    }

    /// Parts cut out, doubled or moved.
    #[test]
    fn any_part_may_be_missing_or_doubled(
        at in any::<prop::sample::Index>(),
        length in 1_usize..200,
        to in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let (good, index) = recording();
        let at = index.start + at.index(index.len());
        let part = good[at..(at + length).min(index.end)].to_vec();
        let mut forged = good.clone();
        if !keep {
            forged.drain(at..at + part.len());
        }
        let to = index.start + to.index(index.len() - part.len());
        forged.splice(to..to, part);
        if let Some(head) = join(&forged, Packing::PAGES, everything()) {
            assert_readable(&head);
        }
    }

    /// Cut anywhere.
    #[test]
    fn any_length_may_be_left(at in any::<prop::sample::Index>()) {
        let (good, _) = recording();
        if let Some(head) = join(&good[..at.index(good.len())], Packing::PAGES, everything()) {
            assert_readable(&head);
        }
    }

    /// No MP4 at all.
    #[test]
    fn any_bytes_may_be_read(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        join(&bytes, Packing::PAGES, everything());
        let mut boxed = (bytes.len() as u32 + 8).to_be_bytes().to_vec();
        boxed.extend_from_slice(b"moov");
        boxed.extend_from_slice(&bytes);
        join(&boxed, Packing::PAGES, everything());
    }
}

/// What is lost while it is copied leaves a clip of the rest, in the place that was kept for it.
#[test]
fn any_piece_may_be_lost() {
    let good = &recording().0;
    for lost in 0_u32..16 {
        let mut plan = Plan::new(Packing::PAGES, true);
        let mut buffer = Vec::new();
        for source in 0..4 {
            let index = read::index(&good[..], good.len() as u64, &mut buffer).unwrap();
            let movie = Movie::parse(index).unwrap();
            plan.add(source, &movie, good.len() as u64, everything()).unwrap().unwrap();
        }
        let layout = plan.layout().unwrap();
        for piece in 0..4 {
            if lost & (1 << piece) != 0 {
                plan.lose(piece);
            }
        }
        let mut file = Cursor::new(vec![0; layout.length as usize]);
        let length = moov::write(&plan, layout, &mut file).unwrap() as usize;
        let mut file = file.into_inner();
        for piece in 0..4 {
            for copy in plan.work(piece).1 {
                let from = copy.from as usize..(copy.from + copy.length) as usize;
                let to = (layout.media + copy.to) as usize;
                file[to..to + from.len()].copy_from_slice(&good[from]);
            }
        }
        let left = 4 - lost.count_ones() as usize;
        assert_eq!(plan.pieces().count(), left);
        if left == 0 {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let (clip, source) = (folder.path().join("clip.mp4"), folder.path().join("source.mp4"));
        std::fs::write(&clip, &file[..length]).unwrap();
        std::fs::write(&source, good).unwrap();
        assert_same_samples(&clip, &source, left);
    }
}

/// Every sample of the clip is one of the source's, again and again.
fn assert_same_samples(clip: &Path, source: &Path, times: usize) {
    let (clip, source) = (oracle::read(clip), oracle::read(source));
    for kind in ["vide", "soun"] {
        let wanted: Vec<_> =
            oracle::samples(source.tracks(kind)[0]).iter().map(|s| source.bytes(s)).collect();
        let got: Vec<_> =
            oracle::samples(clip.tracks(kind)[0]).iter().map(|s| clip.bytes(s)).collect();
        assert_eq!(got.len() % times, 0);
        let each = got.len() / times;
        assert!(each <= wanted.len() && each + 3 > wanted.len(), "{each} of {}", wanted.len());
        for part in got.chunks(each) {
            let mut wanted = wanted.iter();
            assert!(part.iter().all(|sample| wanted.any(|other| other == sample)));
        }
    }
}

/// A clip of `count` samples of `size` bytes each, of which only the index is looked at.
fn large_clip(count: u32, size: u32) -> (Moov, u64) {
    let (good, index) = recording();
    let mut moov = Moov::decode(&mut &good[index.clone()]).unwrap();
    moov.trak.retain(|track| track.mdia.hdlr.handler.to_string() == "vide");
    let tables = &mut moov.trak[0].mdia.minf.stbl;
    let places: Vec<u64> = (0..count).map(|n| 64 + u64::from(n) * u64::from(size)).collect();
    tables.stsz.samples = StszSamples::Identical { count, size };
    tables.stts.entries = vec![SttsEntry { sample_count: count, sample_delta: 1000 }];
    tables.stsc.entries =
        vec![StscEntry { first_chunk: 1, samples_per_chunk: 1, sample_description_index: 1 }];
    tables.ctts = None;
    tables.stco = None;
    tables.co64 = Some(Co64 { entries: places.clone() });
    moov.trak[0].edts = None;
    let mut bytes = Vec::new();
    moov.encode(&mut bytes).unwrap();
    let movie = Movie::parse(&bytes[8..]).unwrap();

    let mut plan = Plan::new(Packing::PAGES, false);
    let length = 64 + u64::from(count) * u64::from(size);
    plan.add(0, &movie, length, everything()).unwrap().unwrap();
    let layout = plan.layout().unwrap();
    let mut head = Cursor::new(Vec::new());
    assert_eq!(moov::write(&plan, layout, &mut head).unwrap(), layout.length);
    let head = head.into_inner();
    let index = boxes::boxes(&head).flatten().find(|found| found.kind.0 == *b"moov").unwrap();
    let made = Moov::decode(&mut &index.whole[..]).unwrap();
    let [copy] = plan.work(0).1 else { panic!("one stretch") };
    for (sample, place) in oracle::samples(&made.trak[0]).iter().zip(places) {
        assert_eq!(sample.offset, layout.media + copy.to + place - copy.from);
    }
    // The size of `mdat`, in the last 8 or 16 bytes before the samples.
    let long = head.ends_with(&(layout.length - layout.media + 16).to_be_bytes());
    let short = u32::try_from(layout.length - layout.media + 8)
        .is_ok_and(|size| head.ends_with(&[&size.to_be_bytes()[..], b"mdat"].concat()));
    assert!(long != short);
    (made, layout.length)
}

#[test]
fn offsets_take_64_bits_when_they_must() {
    for (count, long) in [(4000, false), (4300, true), (9000, true)] {
        let (made, length) = large_clip(count, 1 << 20);
        let tables = &made.trak[0].mdia.minf.stbl;
        assert_eq!(tables.co64.is_some(), long, "{length} bytes");
        assert_eq!(tables.stco.is_some(), !long);
    }
}

/// All frames but the first are shown later than they are decoded, none earlier: no muxer does it,
/// but the times are as good as any.
#[test]
fn frames_that_are_late_stay_late() {
    let mut index = index_without_edits();
    let video = &mut index.trak[0];
    let count = oracle::samples(video).len() as u32;
    let late = [(1, 0), (count - 1, 5000)];
    let entries =
        late.map(|(sample_count, sample_offset)| CttsEntry { sample_count, sample_offset });
    video.mdia.minf.stbl.ctts = Some(Ctts { entries: entries.into() });
    let (forged, head) = clip_of(&index);

    let movie = Movie::parse(&forged[8..]).unwrap();
    let made = Movie::parse(boxes::need(&head, b"moov").unwrap()).unwrap();
    let times =
        |movie: &Movie<'_>| movie.video.samples().map(|sample| sample.pts).collect::<Vec<_>>();
    assert_eq!(made.video.timescale, movie.video.timescale);
    assert_eq!(times(&made), times(&movie));
}

/// All frames at one time, sync samples among them: none of them is lost when the clip is read.
#[test]
fn frames_that_take_no_time_are_kept() {
    let mut index = index_without_edits();
    let video = &mut index.trak[0];
    let frames = oracle::samples(video).len();
    let tables = &mut video.mdia.minf.stbl;
    tables.ctts = None;
    tables.stts.entries = vec![SttsEntry { sample_count: frames as u32, sample_delta: 0 }];
    assert!(tables.stss.as_ref().unwrap().entries.len() > 1);
    let (_, head) = clip_of(&index);

    let made = Movie::parse(boxes::need(&head, b"moov").unwrap()).unwrap();
    let cut = cut::cut(&made.video, u64::MAX, Wanted::ALL).unwrap().unwrap();
    assert_eq!(cut.frames, frames);
}

/// A file that is refused in the middle of its samples has no part in the clip.
#[test]
fn a_refused_file_leaves_nothing_behind() {
    let mut late = index_without_edits();
    let mut plain = late.clone();
    plain.trak[0].mdia.minf.stbl.ctts = None;
    let tables = &mut late.trak[0].mdia.minf.stbl;
    let offsets = &mut tables.ctts.as_mut().unwrap().entries;
    offsets.last_mut().unwrap().sample_offset = i32::MAX as _;
    let mut late_bytes = Vec::new();
    late.encode(&mut late_bytes).unwrap();

    let (plain_bytes, alone) = clip_of(&plain);
    let mut plan = Plan::new(Packing::PAGES, false);
    let length = recording().0.len() as u64;
    plan.add(0, &Movie::parse(&plain_bytes[8..]).unwrap(), length, Wanted::ALL).unwrap();
    let refused = plan.add(1, &Movie::parse(&late_bytes[8..]).unwrap(), length, Wanted::ALL);
    assert!(matches!(refused, Err(Refusal::Times)), "{refused:?}");
    let mut head = Cursor::new(Vec::new());
    moov::write(&plan, plan.layout().unwrap(), &mut head).unwrap();
    assert_eq!(head.into_inner(), alone);
}

/// The recording's index, with all of its video shown.
fn index_without_edits() -> Moov {
    let (bytes, index) = recording();
    let mut index = Moov::decode(&mut &bytes[index.clone()]).unwrap();
    index.trak[0].edts = None;
    index
}

/// The index as bytes, and all that comes before the samples in a clip of the recording with it.
fn clip_of(index: &Moov) -> (Vec<u8>, Vec<u8>) {
    let mut forged = Vec::new();
    index.encode(&mut forged).unwrap();
    let movie = Movie::parse(&forged[8..]).unwrap();
    let mut plan = Plan::new(Packing::PAGES, false);
    let length = recording().0.len() as u64;
    assert!(plan.add(0, &movie, length, Wanted::ALL).unwrap().is_some());
    let mut head = Cursor::new(Vec::new());
    moov::write(&plan, plan.layout().unwrap(), &mut head).unwrap();
    (forged, head.into_inner())
}
