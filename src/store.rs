//! What survives a restart: sled, in a folder of its own.
//!
//! Two things are kept: the session's record, as named parts of JSON, and the retained topics that
//! may hold something of ours. [`Store::save`] returns once both are flushed: a kill of the process
//! loses nothing then. For a power cut [`Store::sync`] follows, off the path of a request.
//!
//! A damaged store never stops the worker: it is moved aside with a clear message, and what it
//! described is swept as stale.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sled::{Batch, Db, Tree};
use tracing::error;

use crate::fault;

/// Version of what is written; a store of a newer one is kept and not touched.
const SCHEMA: u32 = 1;
const SCHEMA_KEY: &str = "schema";
const RECORD_TREE: &str = "record";
const TOPICS_TREE: &str = "topics";
const ASIDE_TREE: &str = "aside";

/// How long a store that is in use is tried again.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Bytes of a segment of sled's log: its default.
const SEGMENT_BYTES: usize = 512 * 1024;

/// Largest value written, bytes. sled puts a value of more than a quarter of a segment (512 KiB by
/// default) into a file of its own and never removes that file.
pub const VALUE_MAX_BYTES: usize = 120 * 1024;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{0} is in use by another process; does another worker run with this data directory?")]
    InUse(PathBuf),
    /// The folder cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The store's folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// sled failed in the middle of its work.
    #[error("{path}: {source}")]
    Sled {
        /// The store's folder.
        path: PathBuf,
        /// Why.
        source: sled::Error,
    },
    /// A value is larger than the store keeps well.
    #[error("part {name:?} of the session's record has {bytes} bytes, more than {VALUE_MAX_BYTES}")]
    TooLarge {
        /// The part.
        name: String,
        /// Its size.
        bytes: usize,
    },
}

/// An open store.
pub struct Store {
    path: PathBuf,
    db: Db,
    record: Tree,
    topics: Tree,
    /// What the record's tree holds, so that only differences are written.
    saved: BTreeMap<String, Vec<u8>>,
}

impl Store {
    /// Opens the store in folder `path`, which is made if it is not there.
    ///
    /// # Errors
    /// Another process has it open, or the folder cannot be read or written. A damaged or newer
    /// store is no error: it is moved aside and an empty one begins.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let io_error = |source| StoreError::Io { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io_error)?;
        }
        match Self::try_open(path) {
            Err(error) if is_damage(&error) => {
                // Without its snapshot sled reads the log anew. That may bring back less than there
                // was; what is missing is swept as stale.
                remove_snapshots(path).map_err(io_error)?;
                match Self::try_open(path) {
                    Err(error) if is_damage(&error) => {
                        let aside = move_aside(path, "damaged").map_err(io_error)?;
                        error!(%error, kept_at = %aside.display(),
                            "the session store is damaged; it was moved aside and an empty one begins");
                        Self::try_open(path)
                    }
                    other => other,
                }
            }
            Err(Failure::Newer(version)) => {
                let aside = move_aside(path, "newer").map_err(io_error)?;
                error!(version, known = SCHEMA, kept_at = %aside.display(),
                    "the session store is of a newer version; it was moved aside and an empty one begins");
                Self::try_open(path)
            }
            other => other,
        }
        .map_err(|failure| failure.into_error(path))
    }

    /// Waits a moment for who has the store open: a thread of sled's lets go of it a little after it
    /// was closed.
    fn try_open(path: &Path) -> Result<Self, Failure> {
        let patient_until = Instant::now() + LOCK_PATIENCE;
        loop {
            match Self::open_once(path) {
                Err(Failure::Sled(sled::Error::Io(error)))
                    if is_lock(&error) && Instant::now() < patient_until =>
                {
                    std::thread::sleep(LOCK_PATIENCE / 50);
                }
                other => return other,
            }
        }
    }

    fn open_once(path: &Path) -> Result<Self, Failure> {
        let db = sled::Config::new()
            .path(path)
            // We flush by hand, before every acknowledgement and publish.
            .flush_every_ms(None)
            .cache_capacity(16 * 1024 * 1024)
            .segment_size(SEGMENT_BYTES)
            .open()?;
        if has_damaged_segment(&path.join("db")).map_err(sled::Error::Io)? {
            let damage = "the header of a segment is damaged".to_owned();
            return Err(Failure::Sled(sled::Error::Unsupported(damage)));
        }
        match db.get(SCHEMA_KEY)?.as_deref().map(version_of) {
            None => {
                db.insert(SCHEMA_KEY, SCHEMA.to_string().as_bytes())?;
                db.flush()?;
            }
            Some(Some(version)) if version <= SCHEMA => {}
            Some(Some(version)) => return Err(Failure::Newer(version)),
            Some(None) => return Err(Failure::Sled(sled::Error::Unsupported("schema".into()))),
        }
        let record = db.open_tree(RECORD_TREE)?;
        let topics = db.open_tree(TOPICS_TREE)?;
        let mut saved = BTreeMap::new();
        for pair in record.iter() {
            let (name, value) = pair?;
            saved.insert(String::from_utf8_lossy(&name).into_owned(), value.to_vec());
        }
        Ok(Self { path: path.to_owned(), db, record, topics, saved })
    }

    /// The record's parts as they were saved last.
    pub fn record(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.saved
    }

    /// The retained topics that may hold something of ours.
    pub fn topics(&self) -> Result<BTreeSet<String>, StoreError> {
        self.topics
            .iter()
            .keys()
            .map(|key| Ok(String::from_utf8_lossy(&key?).into_owned()))
            .collect::<Result<_, sled::Error>>()
            .map_err(|source| self.error(source))
    }

    /// Saves the record's parts and remembers `new_topics`. Once it returns, a kill of the process
    /// loses nothing of it. Parts that are not given are removed; what did not change is not
    /// written.
    ///
    /// Blocks, for a fraction of a millisecond on a healthy disk. Nothing may be said or done before it
    /// ends, and `flush_async` takes a quarter longer: it is one more thread that has to wake.
    pub fn save(
        &mut self,
        parts: BTreeMap<String, Vec<u8>>,
        new_topics: &[String],
    ) -> Result<(), StoreError> {
        let mut changes: Vec<(&str, Option<&[u8]>)> = Vec::new();
        for (name, value) in &parts {
            if value.len() > VALUE_MAX_BYTES {
                return Err(StoreError::TooLarge { name: name.clone(), bytes: value.len() });
            }
            if self.saved.get(name) != Some(value) {
                changes.push((name, Some(value)));
            }
        }
        for name in self.saved.keys().filter(|name| !parts.contains_key(*name)) {
            changes.push((name, None));
        }
        if changes.is_empty() && new_topics.is_empty() {
            return Ok(());
        }
        for topic in new_topics {
            self.topics.insert(topic, &[]).map_err(|source| self.error(source))?;
        }
        self.apply(&changes).map_err(|source| self.error(source))?;
        fault::point("before-flush");
        self.db.flush().map_err(|source| self.error(source))?;
        self.saved = parts;
        Ok(())
    }

    /// Writes all of the changes or none. A single one needs no batch, whose header
    /// sled writes to the disk before it writes the rest.
    fn apply(&self, changes: &[(&str, Option<&[u8]>)]) -> sled::Result<()> {
        match changes {
            [] => Ok(()),
            [(name, Some(value))] => self.record.insert(name, *value).map(drop),
            _ => {
                let mut batch = Batch::default();
                for (name, value) in changes {
                    match value {
                        Some(value) => batch.insert(*name, *value),
                        None => batch.remove(*name),
                    }
                }
                self.record.apply_batch(batch)
            }
        }
    }

    /// Forgets a topic that was cleared. A kill may bring it back, to be cleared once more.
    pub fn forget_topic(&self, topic: &str) -> Result<(), StoreError> {
        self.topics.remove(topic).map(drop).map_err(|source| self.error(source))
    }

    /// Keeps parts that could not be read, for a person to look at.
    pub fn set_aside(&self, names: &[String], at_s: u64) -> Result<(), StoreError> {
        let aside = self.db.open_tree(ASIDE_TREE).map_err(|source| self.error(source))?;
        for name in names {
            if let Some(value) = self.saved.get(name) {
                aside
                    .insert(format!("{at_s}/{name}"), value.as_slice())
                    .map_err(|source| self.error(source))?;
            }
        }
        Ok(())
    }

    /// Writes something and flushes it: whether the store can be written.
    pub fn probe(&self) -> Result<(), StoreError> {
        self.db
            .insert(SCHEMA_KEY, SCHEMA.to_string().as_bytes())
            .map_err(|source| self.error(source))?;
        self.db.flush().map(drop).map_err(|source| self.error(source))
    }

    /// A handle that syncs the store to the disk, against a power cut. May be slow.
    pub fn syncer(&self) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let path = self.path.join("db");
        move || File::open(path)?.sync_all()
    }

    fn error(&self, source: sled::Error) -> StoreError {
        StoreError::Sled { path: self.path.clone(), source }
    }
}

enum Failure {
    Sled(sled::Error),
    Newer(u32),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Sled(error) => error.fmt(f),
            Failure::Newer(version) => write!(f, "schema version {version}"),
        }
    }
}

impl From<sled::Error> for Failure {
    fn from(error: sled::Error) -> Self {
        Failure::Sled(error)
    }
}

impl Failure {
    fn into_error(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self {
            Failure::Sled(sled::Error::Io(source)) if is_lock(&source) => StoreError::InUse(path),
            Failure::Sled(sled::Error::Io(source)) => StoreError::Io { path, source },
            Failure::Sled(source) => StoreError::Sled { path, source },
            Failure::Newer(version) => StoreError::Sled {
                path,
                source: sled::Error::Unsupported(format!("schema version {version}")),
            },
        }
    }
}

fn version_of(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Whether the files are at fault, and not the disk or the rights to it.
fn is_damage(failure: &Failure) -> bool {
    match failure {
        Failure::Sled(sled::Error::Io(error)) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        Failure::Sled(_) => true,
        Failure::Newer(_) => false,
    }
}

fn is_lock(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.to_string().contains("could not acquire lock")
}

/// Whether the header of a segment is damaged. With its snapshot sled opens such a log all the same,
/// writes behind the header, and does not read what it wrote the next time.
///
/// A header has the CRC-32 of its other 16 bytes, inverted, in its first four. One of zeros is of a
/// segment that was never written.
fn has_damaged_segment(log: &Path) -> io::Result<bool> {
    let log = File::open(log)?;
    for at in (0..log.metadata()?.len()).step_by(SEGMENT_BYTES) {
        let mut header = [0; 20];
        if log.read_exact_at(&mut header, at).is_err() || header == [0; 20] {
            continue;
        }
        let (sum, rest) = header.split_at(4);
        if sum != (!crc32fast::hash(rest)).to_le_bytes() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove_snapshots(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Renames the folder to the first free `<name>.<word>-<n>`.
fn move_aside(path: &Path, word: &str) -> io::Result<PathBuf> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let free = (1..u32::MAX)
        .map(|n| path.with_file_name(format!("{name}.{word}-{n}")))
        .find(|candidate| !candidate.exists())
        .ok_or_else(|| io::Error::other("too many stores were moved aside"))?;
    fs::rename(path, &free)?;
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn parts(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        (pairs.iter()).map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
    }

    fn filled(path: &Path) {
        let mut store = Store::open(path).unwrap();
        let topics = ["a/b".to_owned(), "a/c".to_owned()];
        store.save(parts(&[("session", "1"), ("job", "2")]), &topics).unwrap();
    }

    #[test]
    fn what_is_saved_is_there_after_a_restart() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("deep/session");
        filled(&path);
        let mut store = Store::open(&path).unwrap();
        assert_eq!(store.record(), &parts(&[("session", "1"), ("job", "2")]));
        assert_eq!(store.topics().unwrap(), ["a/b".to_owned(), "a/c".to_owned()].into());
        store.forget_topic("a/b").unwrap();
        store.save(parts(&[("job", "3")]), &[]).unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.record(), &parts(&[("job", "3")]));
        assert_eq!(store.topics().unwrap(), ["a/c".to_owned()].into());
    }

    #[test]
    fn a_second_worker_is_told_that_the_store_is_in_use() {
        let dir = TempDir::new().unwrap();
        let first = Store::open(&dir.path().join("session")).unwrap();
        let second = Store::open(&dir.path().join("session"));
        assert!(matches!(second, Err(StoreError::InUse(_))), "{:?}", second.err());
        drop(first);
    }

    #[test]
    fn a_damaged_store_is_moved_aside_and_a_snapshot_is_only_a_cache() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("session");
        filled(&path);
        for entry in fs::read_dir(&path).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("snap.") {
                fs::write(entry.path(), b"garbage garbage garbage").unwrap();
            }
        }
        assert_eq!(Store::open(&path).unwrap().record().len(), 2);

        fs::write(path.join("conf"), b"garbage".repeat(10)).unwrap();
        let store = Store::open(&path).unwrap();
        assert!(store.record().is_empty());
        assert!(dir.path().join("session.damaged-1").is_dir());
    }

    /// Over many segments of the log, of which sled clears away the oldest.
    #[test]
    fn many_kills_lose_nothing() {
        let dir = TempDir::new().unwrap();
        let folder = |life: u32| dir.path().join(format!("life{life}"));
        let mut saved = BTreeMap::new();
        for life in 0..12 {
            let mut store = Store::open(&folder(life)).unwrap();
            assert_eq!(*store.record(), saved, "life {life}");
            assert_eq!(store.topics().unwrap().len() as u32, life);
            for n in 0..100 {
                let value = format!("{n}").repeat(10_000);
                saved = parts(&[("now", &value), ("litter", &format!("{life}"))]);
                store.save(saved.clone(), &[format!("t/{life}")]).unwrap();
            }
            copy(&folder(life), &folder(life + 1));
        }
        assert!(!folder(12).with_extension("damaged-1").exists());
    }

    /// The first bytes of a log say whether the rest of it is read at all.
    #[test]
    fn what_is_saved_after_damage_is_there_after_the_next_restart() {
        for at in (0..40).chain([100, 300]) {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join("session");
            filled(&path);
            drop(Store::open(&path).unwrap());
            let db = path.join("db");
            let mut log = fs::read(&db).unwrap();
            log[at] ^= 8;
            fs::write(&db, log).unwrap();
            let as_killed = dir.path().join("killed");
            let mut store = Store::open(&path).unwrap();
            for value in ["3", "4"] {
                let wanted = parts(&[("session", value), ("job", "5")]);
                store.save(wanted.clone(), &[]).unwrap();
                copy(&path, &as_killed);
                assert_eq!(*Store::open(&as_killed).unwrap().record(), wanted, "bit of byte {at}");
                fs::remove_dir_all(&as_killed).unwrap();
            }
        }
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }

    #[test]
    fn a_store_of_a_newer_version_is_kept() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("session");
        filled(&path);
        {
            let store = Store::open(&path).unwrap();
            store.db.insert(SCHEMA_KEY, "999").unwrap();
            store.db.flush().unwrap();
        }
        assert!(Store::open(&path).unwrap().record().is_empty());
        assert!(dir.path().join("session.newer-1").is_dir());
    }

    #[test]
    fn a_value_that_sled_would_never_reclaim_is_refused() {
        let dir = TempDir::new().unwrap();
        let mut store = Store::open(&dir.path().join("session")).unwrap();
        let large = "x".repeat(VALUE_MAX_BYTES + 1);
        let saved = store.save(parts(&[("session", &large)]), &[]);
        assert!(matches!(saved, Err(StoreError::TooLarge { .. })));
    }

    #[test]
    fn the_folder_does_not_grow_with_what_is_written() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("session");
        let mut store = Store::open(&path).unwrap();
        for n in 0..600u32 {
            let value = format!("{n}").repeat(VALUE_MAX_BYTES / 4);
            store.save(parts(&[("session", &value)]), &[]).unwrap();
        }
        let saved = store.record().clone();
        drop(store);
        assert_eq!(*Store::open(&path).unwrap().record(), saved, "nothing counts as damaged");
        let blobs = fs::read_dir(path.join("blobs")).unwrap().count();
        let bytes: u64 = fs::read_dir(&path)
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.metadata().ok())
            .map(|metadata| metadata.len())
            .sum();
        assert_eq!(blobs, 0);
        assert!(bytes < 16 * 1024 * 1024, "{bytes}");
    }
}
