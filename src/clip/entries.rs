//! Sample entries (`stsd`): what a decoder must know before a track's first sample.
//!
//! They go into the clip byte for byte, but for the two things that must fit the new file. Whether
//! two of them are the same is another matter: muxers write the segment's own bit rate into them
//! (`btrt`, `esds`), so that no two segments have equal bytes, while libavformat opens no file
//! with more than [`MAX`] entries. Bit rates therefore do not count in a comparison.

use super::boxes::{FourCc, Header, Malformed, Mp4Box, boxes, find};
use super::unfit::Unfit;

/// The most entries that libavformat reads in a track (`mov_read_stsd`).
pub const MAX: usize = 1024;

/// Bytes of a visual entry before its boxes (ISO/IEC 14496-12, 12.1.3).
const VISUAL_FIELDS: usize = 86;
/// Bytes of a sound entry before its boxes (12.2.3).
const AUDIO_FIELDS: usize = 36;
/// Where an entry says which of the file's `dref` rows its samples are in.
const DATA_REFERENCE: std::ops::Range<usize> = 14..16;

/// Refuses what cannot be an entry, and entries of encrypted samples: their keys are in tables
/// that would have to be joined as well.
pub(super) fn check(entry: &Mp4Box<'_>) -> Result<(), Unfit> {
    if matches!(&entry.kind.0, b"encv" | b"enca" | b"drmi" | b"drms") {
        return Err(Unfit::Encrypted(entry.kind));
    }
    // Every entry has at least 8 bytes of its own, and is written back with its plain header, which
    // must not say "to the end": others may follow it in the clip.
    let header = Header::parse(entry.whole).and_then(|header| header.size);
    let plain = entry.whole.len() == entry.body.len() + 8 && header.is_some();
    if entry.body.len() < 8 || !plain {
        return Err(Malformed::Short(entry.kind).into());
    }
    Ok(())
}

/// A codec, as the name of the entries that may share a track. `avc1` and `avc3`, `hvc1` and
/// `hev1` differ only in where parameter sets may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec(FourCc);

impl Codec {
    /// The codec of an entry.
    pub fn of(entry: &[u8]) -> Self {
        Self(FourCc(match kind(entry) {
            [b'a', b'v', b'c', b'3'] => *b"avc1",
            [b'h', b'e', b'v', b'1'] => *b"hvc1",
            other => other,
        }))
    }

    /// The entry name that allows parameter sets in the entry *and* between the samples.
    fn permissive(self) -> [u8; 4] {
        match &self.0.0 {
            b"avc1" => *b"avc3",
            b"hvc1" => *b"hev1",
            other => *other,
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.0 {
            b"avc1" => f.write_str("H.264"),
            b"hvc1" => f.write_str("H.265"),
            b"av01" => f.write_str("AV1"),
            b"mp4v" => f.write_str("MPEG-4 Part 2"),
            b"mp4a" => f.write_str("AAC"),
            _ => self.0.fmt(f),
        }
    }
}

/// The name of an entry that [`check`] let through.
fn kind(entry: &[u8]) -> [u8; 4] {
    entry.get(4..8).and_then(|name| name.try_into().ok()).unwrap_or_default()
}

/// The distinct entries of one track, in the order in which they were met.
#[derive(Debug, Default)]
pub struct Entries {
    keys: Vec<Vec<u8>>,
    raw: Vec<Vec<u8>>,
}

impl Entries {
    /// The place of `entry` among the distinct ones; it is added if it is new. `None` if that
    /// would be one too many.
    pub fn place(&mut self, entry: &[u8]) -> Option<u16> {
        let key = without_bit_rates(entry);
        // Nearly always it is the entry of the segment before.
        let place = match self.keys.iter().rposition(|known| *known == key) {
            Some(place) => place,
            None if self.keys.len() == MAX => return None,
            None => {
                self.keys.push(key);
                self.raw.push(entry.to_vec());
                self.raw.len() - 1
            }
        };
        u16::try_from(place).ok()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.raw.len()
    }

    /// Forgets all but the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.keys.truncate(count);
        self.raw.truncate(count);
    }

    /// The entries as they are written: one `dref` row, and one name for all of them, since
    /// libavformat skips those of another name than the first one's.
    pub fn written(&self) -> Vec<Vec<u8>> {
        let mut written = self.raw.clone();
        let mixed = written.iter().any(|entry| kind(entry) != kind(&written[0]));
        for entry in &mut written {
            entry[DATA_REFERENCE].copy_from_slice(&[0, 1]);
            if mixed {
                let name = Codec::of(entry).permissive();
                entry[4..8].copy_from_slice(&name);
            }
        }
        written
    }
}

/// Whether a decoder takes this entry's parameters in the middle of a track. libavcodec's for MPEG-4
/// Part 2 goes on with the first ones, and shows rubbish.
pub(super) fn can_follow_another(entry: &[u8]) -> bool {
    /// Of the object types of ISO/IEC 14496-1, 7.2.6.6.2. Motion JPEG has the same entry name.
    const MPEG4_VISUAL: u8 = 0x20;
    let children = entry.get(VISUAL_FIELDS..).unwrap_or_default();
    let esds = || find(children, b"esds").ok().flatten();
    let object_type = || esds().and_then(|esds| esds.get(decoder_config(esds)?));
    kind(entry) != *b"mp4v" || object_type() != Some(&MPEG4_VISUAL)
}

/// `entry` with every bit rate in it set to zero.
fn without_bit_rates(entry: &[u8]) -> Vec<u8> {
    let mut key = entry.to_vec();
    let fields = match &kind(entry) {
        b"mp4a" | b"Opus" | b"fLaC" | b"ac-3" | b"ec-3" | b"alac" => AUDIO_FIELDS,
        _ => VISUAL_FIELDS,
    };
    let mut at = fields;
    for child in boxes(entry.get(fields..).unwrap_or_default()).map_while(Result::ok) {
        let body = at + (child.whole.len() - child.body.len());
        at += child.whole.len();
        match &child.kind.0 {
            b"btrt" => key[body..at].fill(0),
            b"esds" => {
                if let Some(rates) = rates_in_esds(child.body) {
                    key[body + rates.start..body + rates.end].fill(0);
                }
            }
            _ => {}
        }
    }
    key
}

/// Where in the body of an `esds` (ISO/IEC 14496-1, 7.2.6) the buffer size and the two bit rates
/// are: 3 + 4 + 4 bytes.
fn rates_in_esds(body: &[u8]) -> Option<std::ops::Range<usize>> {
    /// Object type and stream type.
    const TYPES: usize = 2;
    let at = decoder_config(body)? + TYPES;
    let rates = at..at + 11;
    (rates.end <= body.len()).then_some(rates)
}

/// Where in the body of an `esds` its decoder's configuration is.
fn decoder_config(body: &[u8]) -> Option<usize> {
    const ES: u8 = 3;
    const DECODER_CONFIG: u8 = 4;
    /// Version and flags of the box.
    const FULL_BOX: usize = 4;
    /// Id and flags of the stream; Frigate's files have none of the optional fields.
    const ES_FIELDS: usize = 3;
    let at = descriptor(body, FULL_BOX, ES)?;
    if *body.get(at + 2)? & 0xe0 != 0 {
        return None;
    }
    descriptor(body, at + ES_FIELDS, DECODER_CONFIG)
}

/// Where the content of the descriptor at `at` begins, if it has that tag. Its length takes one to
/// four bytes, all but the last with the high bit set.
fn descriptor(body: &[u8], at: usize, tag: u8) -> Option<usize> {
    if *body.get(at)? != tag {
        return None;
    }
    let length = body.get(at + 1..)?.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    Some(at + 1 + length + 1)
}
