//! Why a file cannot be used.

use super::boxes::{FourCc, Malformed};

/// Why a file has nothing to give, or nothing that can be joined by copying.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// There is no such file.
    #[error("is not there")]
    Missing,
    /// A folder, a pipe or the like.
    #[error("is not a regular file")]
    NotAFile,
    /// No bytes.
    #[error("is empty")]
    Empty,
    /// It was not finished, or it is no MP4.
    #[error("has no index (moov): it was never finished, or it is not an MP4")]
    NoIndex,
    /// The index goes beyond the end of the file, or is larger than any index is.
    #[error("is cut short inside its index (moov)")]
    IndexCut,
    /// Its index contradicts itself.
    #[error("has a broken index: {0}")]
    Broken(#[from] Malformed),
    /// It has no video track.
    #[error("has no video track")]
    NoVideo,
    /// No whole, decodable sample is left in it.
    #[error("holds no video sample that can be decoded")]
    NoSamples,
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// Another file is there now, or other content.
    #[error("was replaced or cut short while it was read")]
    Changed,
    /// Its samples are described in fragments (`moof`), which are not read here.
    #[error("is a fragmented MP4 (moof), which only ffmpeg joins")]
    Fragmented,
    /// Its edit list does more than skip the start and the end.
    #[error("has an edit list of {0} parts, which only ffmpeg joins")]
    Edits(usize),
    /// Its samples' sizes are in a table of half bytes (`stz2`), which next to nobody writes.
    #[error("has compact sample sizes (stz2), which only ffmpeg joins")]
    CompactSizes,
    /// A sample entry that says the samples are encrypted.
    #[error("is encrypted ('{0}')")]
    Encrypted(FourCc),
}

impl Unfit {
    /// Whether the file may hold footage that this reader cannot join, but ffmpeg perhaps can.
    /// All the others have nothing to give to anybody.
    pub fn needs_ffmpeg(&self) -> bool {
        matches!(self, Self::Fragmented | Self::Edits(_) | Self::CompactSizes | Self::Encrypted(_))
    }
}
