//! The media folder, seen from two sides: Frigate's container and this process may mount it at
//! different places. Paths from Frigate's database are translated to ours, published ones to
//! Frigate's. Purely by text: nothing is looked up on a disk.

use std::path::{Component, Path, PathBuf};

/// Where the media folder is here and in Frigate's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaMap {
    here: PathBuf,
    frigate: PathBuf,
}

/// A path that does not lead into the media folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not below the media folder {folder:?}")]
pub struct OutsideMedia {
    /// The path.
    pub path: String,
    /// The folder that it should be in.
    pub folder: String,
}

impl MediaMap {
    /// The folder `here` in this process is `frigate` to Frigate.
    pub fn new(here: impl Into<PathBuf>, frigate: impl Into<PathBuf>) -> Self {
        Self { here: here.into(), frigate: frigate.into() }
    }

    /// The media folder as this process sees it.
    pub fn here(&self) -> &Path {
        &self.here
    }

    /// The media folder as Frigate sees it.
    pub fn frigate(&self) -> &Path {
        &self.frigate
    }

    /// A path of Frigate's as this process sees it. Refused unless it is plainly below the media
    /// folder: no `..`, nothing relative.
    pub fn to_here(&self, path: &str) -> Result<PathBuf, OutsideMedia> {
        translate(Path::new(path), &self.frigate, &self.here)
    }

    /// A path of ours as Frigate sees it, under the same rule.
    pub fn to_frigate(&self, path: &Path) -> Result<PathBuf, OutsideMedia> {
        translate(path, &self.here, &self.frigate)
    }
}

fn translate(path: &Path, from: &Path, to: &Path) -> Result<PathBuf, OutsideMedia> {
    let outside =
        || OutsideMedia { path: path.display().to_string(), folder: from.display().to_string() };
    let rest = path.strip_prefix(from).map_err(|_| outside())?;
    let plain = rest.components().all(|component| matches!(component, Component::Normal(_)));
    let text = path.as_os_str().as_encoded_bytes();
    if !plain || rest.as_os_str().is_empty() || text.contains(&0) {
        return Err(outside());
    }
    Ok(to.join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_translated_both_ways() {
        let media = MediaMap::new("/mnt/nvr", "/media/frigate");
        let here =
            media.to_here("/media/frigate/recordings/2026-01-01/00/front/00.00.mp4").unwrap();
        assert_eq!(here, Path::new("/mnt/nvr/recordings/2026-01-01/00/front/00.00.mp4"));
        let theirs = media.to_frigate(&here).unwrap();
        assert_eq!(theirs, Path::new("/media/frigate/recordings/2026-01-01/00/front/00.00.mp4"));
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        let media = MediaMap::new("/mnt/nvr", "/media/frigate");
        for bad in [
            "/etc/passwd",
            "/media/frigate",
            "/media/frigate/",
            "/media/frigate/../../etc/passwd",
            "/media/frigate/exports/../../../etc/passwd",
            "/media/frigate2/x.mp4",
            "media/frigate/x.mp4",
            "/media/frigate/a\0b",
            "",
        ] {
            assert!(media.to_here(bad).is_err(), "{bad:?}");
        }
    }
}
