//! An independent reading of an MP4's index, by mp4-atom: tracks, samples, durations, and every
//! sample's bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use frigate_replay::clip::Clip;
use mp4_atom::{Atom, Decode, Header, Moov, StszSamples, Trak};

/// A file and its index.
pub struct Read {
    file: File,
    length: u64,
    pub moov: Moov,
    /// The boxes of the file and their sizes.
    pub boxes: Vec<(String, u64)>,
}

/// One sample, as the tables together describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub offset: u64,
    pub size: u32,
    pub dts: u64,
    pub pts: i64,
    pub entry: u32,
}

pub fn read(path: &Path) -> Read {
    let file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let mut boxes = Vec::new();
    let mut moov = None;
    let mut at = 0;
    while at < length {
        let mut head = [0; 16];
        let there = (length - at).min(16) as usize;
        file.read_exact_at(&mut head[..there], at).unwrap();
        let mut rest = &head[..];
        let header = Header::decode(&mut rest).unwrap();
        let header_length = (16 - rest.len()) as u64;
        let body = header.size.map_or(length - at - header_length, |size| size as u64);
        if header.kind == Moov::KIND {
            let mut bytes = vec![0; (header_length + body) as usize];
            file.read_exact_at(&mut bytes, at).unwrap();
            moov = Some(Moov::decode(&mut &bytes[..]).unwrap());
        }
        boxes.push((header.kind.to_string(), header_length + body));
        at += header_length + body;
    }
    Read { file, length, moov: moov.expect("there is an index"), boxes }
}

impl Read {
    /// The tracks of a kind: `vide` or `soun`.
    pub fn tracks(&self, kind: &str) -> Vec<&Trak> {
        let of_kind = |track: &&Trak| track.mdia.hdlr.handler.to_string() == kind;
        self.moov.trak.iter().filter(of_kind).collect()
    }

    pub fn bytes(&self, sample: &Sample) -> Vec<u8> {
        let mut bytes = vec![0; sample.size as usize];
        self.file.read_exact_at(&mut bytes, sample.offset).unwrap();
        bytes
    }
}

/// The samples of a track; its tables must agree on how many there are.
pub fn samples(track: &Trak) -> Vec<Sample> {
    let tables = &track.mdia.minf.stbl;
    let sizes = match &tables.stsz.samples {
        StszSamples::Identical { count, size } => vec![*size; *count as usize],
        StszSamples::Different { sizes } => sizes.clone(),
    };
    let durations: Vec<u32> = tables
        .stts
        .entries
        .iter()
        .flat_map(|row| std::iter::repeat_n(row.sample_delta, row.sample_count as usize))
        .collect();
    assert_eq!(durations.len(), sizes.len(), "stts and stsz");
    let mut offsets = vec![0; sizes.len()];
    if let Some(ctts) = &tables.ctts {
        offsets = ctts
            .entries
            .iter()
            .flat_map(|row| std::iter::repeat_n(row.sample_offset, row.sample_count as usize))
            .collect();
        assert_eq!(offsets.len(), sizes.len(), "ctts and stsz");
    }
    let places = places(track, &sizes);
    assert_eq!(places.len(), sizes.len(), "stsc and stsz");
    let mut dts = 0;
    let mut samples = Vec::new();
    for (((size, duration), offset), (place, entry)) in
        sizes.into_iter().zip(durations).zip(offsets).zip(places)
    {
        samples.push(Sample { offset: place, size, dts, pts: dts as i64 + offset, entry });
        dts += u64::from(duration);
    }
    samples
}

/// Where each sample is, and its entry.
fn places(track: &Trak, sizes: &[u32]) -> Vec<(u64, u32)> {
    let tables = &track.mdia.minf.stbl;
    let chunks: Vec<u64> = match (&tables.stco, &tables.co64) {
        (Some(stco), None) => stco.entries.iter().map(|at| u64::from(*at)).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        both => panic!("one kind of offsets, not {both:?}"),
    };
    let mut sizes = sizes.iter();
    let mut places = Vec::new();
    for (number, mut at) in (1..).zip(chunks) {
        let run = tables.stsc.entries.iter().rfind(|run| run.first_chunk <= number).unwrap();
        for size in sizes.by_ref().take(run.samples_per_chunk as usize) {
            places.push((at, run.sample_description_index));
            at += u64::from(*size);
        }
    }
    places
}

/// Checks the clip's index against what the joiner says of it, and every sample against the
/// samples of `sources`, one of which it must be, in their order.
pub fn assert_agrees(clip: &Clip, sources: &[impl AsRef<Path>], sound: bool) {
    let read = read(&clip.path);
    let kinds: Vec<&str> = read.boxes.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["ftyp", "moov", "free", "mdat"], "the index first, nothing else");
    let length: u64 = read.boxes.iter().map(|(_, size)| size).sum();
    assert_eq!((clip.bytes, read.length), (length, length), "the boxes fill the file");
    assert_eq!(read.tracks("vide").len(), 1);
    assert_eq!(read.tracks("soun").len(), usize::from(sound));
    assert_eq!(read.moov.trak.len(), 1 + usize::from(sound));

    let sources: Vec<Read> = sources.iter().map(|source| self::read(source.as_ref())).collect();
    for kind in ["vide", "soun"].into_iter().take(1 + usize::from(sound)) {
        let track = read.tracks(kind)[0];
        let got = samples(track);
        assert_header(&read.moov, track, kind, got.len(), clip);
        let all = sources.iter().flat_map(|source| {
            let track = source.tracks(kind).into_iter().next();
            let samples = track.map(samples).into_iter().flatten();
            // A file may have been cut short.
            let there = |sample: &Sample| sample.offset + u64::from(sample.size) <= source.length;
            samples.take_while(there).map(move |sample| (source, sample))
        });
        let mut all = all.map(|(source, sample)| source.bytes(&sample));
        for (number, sample) in got.iter().enumerate() {
            let bytes = read.bytes(sample);
            assert!(all.any(|source| source == bytes), "sample {number} of {kind} is no source's");
        }
    }
}

fn assert_header(moov: &Moov, track: &Trak, kind: &str, count: usize, clip: &Clip) {
    let movie = f64::from(moov.mvhd.timescale);
    let tables = &track.mdia.minf.stbl;
    let ticks = tables
        .stts
        .entries
        .iter()
        .map(|row| u64::from(row.sample_count) * u64::from(row.sample_delta));
    assert_eq!(ticks.sum::<u64>(), track.mdia.mdhd.duration, "stts and mdhd");
    let edits = &track.edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
    let edited: u64 = edits.iter().map(|edit| edit.segment_duration).sum();
    assert_eq!(edited, track.tkhd.duration, "elst and tkhd");
    if kind == "vide" {
        assert!(count as u64 >= clip.frames);
        let plays_s = edited as f64 / movie;
        assert!((plays_s - clip.duration_s).abs() < 1e-6, "{plays_s} and {}", clip.duration_s);
        // Each edit is a part of the media.
        for edit in edits {
            let from = edit.media_time.expect("no empty edit");
            let ticks = edit.segment_duration * u64::from(track.mdia.mdhd.timescale);
            let to = from + ticks / u64::from(moov.mvhd.timescale);
            let delay = tables.ctts.as_ref().map_or(0, |ctts| {
                ctts.entries.iter().map(|row| row.sample_offset).max().unwrap_or(0)
            });
            assert!(to <= track.mdia.mdhd.duration + delay.unsigned_abs(), "{edit:?}");
        }
    }
    let entries = tables.stsd.codecs.len() as u32;
    assert!(entries > 0);
    assert!(
        tables.stsc.entries.iter().all(|run| (1..=entries).contains(&run.sample_description_index))
    );
    if let Some(stss) = &tables.stss {
        assert!(stss.entries.is_sorted_by(|a, b| a < b), "sync samples ascend");
        assert_eq!(stss.entries.first(), Some(&1), "decoding can begin with the first sample");
        assert!(*stss.entries.last().unwrap() as usize <= count);
    }
    assert!(track.tkhd.enabled && track.tkhd.in_movie);
    assert!(moov.mvhd.duration >= track.tkhd.duration);
}
