//! Frigate's SQLite database: looked up read-only, and rid of replay cameras' rows.
//!
//! Frigate writes to it all the time (WAL); every call waits [`BUSY_TIMEOUT`] at most for a lock. The
//! connection for look-ups is kept open for the next one, until [`Database::rest`]: opening takes ten
//! times as long as looking up. A file that was replaced is opened anew. Everything here blocks and
//! belongs off the loop. No statement is built from a name that is not in this file.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use crate::fault;
use crate::frigate::artifacts::TABLES;
use crate::words::{CameraName, REPLAY_PREFIX, ReplayCamera, TimeRange, UnixTime};

/// How long a look-up or a removal waits for Frigate's own writing.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest recording that is looked for, seconds. Frigate's are about 10 s; its segment time is
/// a setting, but an hour is beyond any. It bounds how many rows a look-up reads.
const RECORDING_MAX_S: f64 = 3600.0;

/// A recording of a camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Its file as Frigate sees it.
    pub path: String,
    /// Where it begins.
    pub start: UnixTime,
    /// Where it ends.
    pub end: UnixTime,
}

/// An export.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The camera's name as the database has it; not checked.
    pub camera: String,
    /// The time of its first picture.
    pub date: UnixTime,
    /// Its file as Frigate sees it.
    pub video_path: String,
    /// Whether Frigate is still making it.
    pub in_progress: bool,
}

/// Why the database could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// There is no such file.
    #[error("Frigate's database {0} is not there")]
    Missing(PathBuf),
    /// Somebody held it for longer than we wait.
    #[error("Frigate's database {path} is locked; waited {wait} s", path = .0.display(), wait = BUSY_TIMEOUT.as_secs())]
    Locked(PathBuf),
    /// It is no database of Frigate's, or cannot be read.
    #[error("Frigate's database {path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// Where the database is.
#[derive(Clone, Debug)]
pub struct Database {
    path: PathBuf,
    reader: Arc<Mutex<Option<Reader>>>,
}

/// An open connection for look-ups.
#[derive(Debug)]
struct Reader {
    connection: Connection,
    /// Device and inode of the file that it has open.
    file: (u64, u64),
    used: bool,
}

impl Database {
    /// The database in file `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), reader: Arc::default() }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The recordings of `camera` that hold something of `range`, in their order. One that only
    /// touches the range holds nothing of it.
    pub fn recordings(
        &self,
        camera: &CameraName,
        range: TimeRange,
    ) -> Result<Vec<Recording>, DatabaseError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT path, start_time, end_time FROM recordings \
                 WHERE camera = ?1 AND start_time > ?2 AND start_time < ?3 AND end_time > ?4 \
                 ORDER BY start_time",
            )?
            .query_map(
                params![
                    camera.as_str(),
                    range.start.seconds() - RECORDING_MAX_S,
                    range.end.seconds(),
                    range.start.seconds()
                ],
                |row| Ok(Recording { path: row.get(0)?, start: time(row, 1)?, end: time(row, 2)? }),
            )?
            .collect()
        })
    }

    /// Whether `camera` has any recording in `range`.
    pub fn has_recordings(
        &self,
        camera: &CameraName,
        range: TimeRange,
    ) -> Result<bool, DatabaseError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT 1 FROM recordings \
                 WHERE camera = ?1 AND start_time > ?2 AND start_time < ?3 AND end_time > ?4 LIMIT 1",
            )?
            .exists(params![
                camera.as_str(),
                range.start.seconds() - RECORDING_MAX_S,
                range.end.seconds(),
                range.start.seconds()
            ])
        })
    }

    /// The export with this id.
    pub fn export(&self, id: &str) -> Result<Option<Export>, DatabaseError> {
        self.read(|db| {
            db.query_row(
                "SELECT camera, date, video_path, in_progress FROM export WHERE id = ?1",
                [id],
                |row| {
                    Ok(Export {
                        camera: row.get(0)?,
                        date: time(row, 1)?,
                        video_path: row.get(2)?,
                        in_progress: row.get::<_, i64>(3)? != 0,
                    })
                },
            )
            .optional()
        })
    }

    /// How many bytes all cameras recorded in the hour before `now`: Frigate removes its oldest
    /// recordings once the free space falls below this.
    pub fn bytes_of_last_hour(&self, now: UnixTime) -> Result<u64, DatabaseError> {
        self.read(|db| {
            let mebibytes: f64 = db.query_row(
                "SELECT COALESCE(SUM(segment_size), 0) FROM recordings WHERE start_time > ?1",
                [now.seconds() - 3600.0],
                |row| row.get(0),
            )?;
            // Frigate notes MB as 2^20 bytes, rounded to two places.
            Ok((mebibytes.max(0.0) * 1024.0 * 1024.0) as u64)
        })
    }

    /// The replay cameras that have rows. Tables that are not there are passed over.
    pub fn replay_cameras(&self) -> Result<BTreeSet<ReplayCamera>, DatabaseError> {
        // Every name with the prefix, by the range of texts that begin with it: indices serve.
        let (from, to) = (REPLAY_PREFIX.to_owned(), after_prefix(REPLAY_PREFIX));
        self.read(|db| {
            let mut found = BTreeSet::new();
            for table in TABLES {
                let sql = format!(
                    "SELECT DISTINCT camera FROM \"{table}\" WHERE camera >= ?1 AND camera < ?2"
                );
                let mut statement = match db.prepare(&sql) {
                    Err(error) if is_no_such_table(&error) => continue,
                    other => other?,
                };
                for name in statement.query_map([&from, &to], |row| row.get::<_, String>(0))? {
                    found.extend(ReplayCamera::parse(&name?));
                }
            }
            Ok(found)
        })
    }

    /// Removes the rows of `camera`, each table on its own, as long as `go_on` says so. Gives how
    /// many went, and what failed; a table or a database that is not there has no rows. Where there
    /// are none nothing is written, so that a database we may only read is no failure.
    pub fn remove_rows(
        &self,
        camera: &ReplayCamera,
        go_on: impl Fn() -> bool,
    ) -> (usize, Vec<(&'static str, DatabaseError)>) {
        let mut removed = 0;
        let mut failed = Vec::new();
        for table in TABLES.into_iter().take_while(|_| go_on()) {
            match self.remove_from(table, camera) {
                Ok(rows) => removed += rows,
                Err(DatabaseError::Missing(_)) => {}
                Err(error) => failed.push((table, error)),
            }
        }
        (removed, failed)
    }

    fn remove_from(&self, table: &str, camera: &ReplayCamera) -> Result<usize, DatabaseError> {
        let any = format!("SELECT 1 FROM \"{table}\" WHERE camera = ?1 LIMIT 1");
        let is_there = self.read(|db| match db.prepare(&any) {
            Err(error) if is_no_such_table(&error) => Ok(false),
            other => other?.exists([camera.as_str()]),
        })?;
        if !is_there {
            return Ok(0);
        }
        fault::point("sweep-rows");
        let delete = format!("DELETE FROM \"{table}\" WHERE camera = ?1");
        self.file()?;
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?
            .execute(&delete, [camera.as_str()])
            .map_err(|source| self.error(source))
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DatabaseError> {
        let file = self.file()?;
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match reader.take().filter(|reader| reader.file == file) {
            Some(open) => reader.insert(open),
            None => {
                let connection = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                reader.insert(Reader { connection, file, used: true })
            }
        };
        open.used = true;
        let done = work(&open.connection).map_err(|source| self.error(source));
        if done.is_err() {
            *reader = None;
        }
        done
    }

    /// Closes the connection for look-ups if nobody used it since the last rest.
    pub fn rest(&self) {
        // One that is in use just now has no need of rest.
        if let Ok(mut reader) = self.reader.try_lock() {
            *reader =
                reader.take().filter(|open| open.used).map(|open| Reader { used: false, ..open });
        }
    }

    fn file(&self) -> Result<(u64, u64), DatabaseError> {
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok((metadata.dev(), metadata.ino())),
            Err(_) => Err(DatabaseError::Missing(self.path.clone())),
        }
    }

    fn open(&self, access: OpenFlags) -> Result<Connection, DatabaseError> {
        let open = || {
            let db =
                Connection::open_with_flags(&self.path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            db.busy_timeout(BUSY_TIMEOUT)?;
            Ok(db)
        };
        open().map_err(|source| self.error(source))
    }

    fn error(&self, source: rusqlite::Error) -> DatabaseError {
        let path = self.path.clone();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                DatabaseError::Locked(path)
            }
            _ => DatabaseError::Sqlite { path, source },
        }
    }
}

/// A time column: declared DATETIME, holding unix seconds as REAL or INTEGER.
fn time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<UnixTime> {
    let seconds: f64 = match row.get_ref(column)? {
        rusqlite::types::ValueRef::Integer(seconds) => seconds as f64,
        _ => row.get(column)?,
    };
    UnixTime::new(seconds).ok_or(rusqlite::Error::InvalidColumnType(
        column,
        "time".to_owned(),
        rusqlite::types::Type::Real,
    ))
}

fn is_no_such_table(error: &rusqlite::Error) -> bool {
    error.to_string().contains("no such table")
}

/// The first text after all texts that begin with `prefix`, which ends in an ASCII character.
fn after_prefix(prefix: &str) -> String {
    let mut text = prefix.to_owned();
    if let Some(last) = text.pop() {
        text.push(char::from_u32(last as u32 + 1).unwrap_or(char::MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const SCHEMA: &str = include_str!("../tests/frigate/schema.sql");

    fn camera(name: &str) -> CameraName {
        CameraName::parse(name).unwrap()
    }

    fn at(seconds: f64) -> UnixTime {
        UnixTime::new(seconds).unwrap()
    }

    fn range(start: f64, end: f64) -> TimeRange {
        TimeRange { start: at(start), end: at(end) }
    }

    fn database(sql: &str) -> (TempDir, Database, Connection) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("frigate.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL;").unwrap();
        db.execute_batch(SCHEMA).unwrap();
        db.execute_batch(sql).unwrap();
        (dir, Database::at(path), db)
    }

    fn recording(id: &str, camera: &str, start: f64, end: f64) -> String {
        format!(
            "INSERT INTO recordings (id, camera, path, start_time, end_time, duration, segment_size) \
             VALUES ('{id}', '{camera}', '/media/frigate/recordings/{id}.mp4', {start}, {end}, 10, 1.5);"
        )
    }

    #[test]
    fn recordings_that_hold_something_of_the_range_are_found_in_order() {
        let rows = [
            recording("c", "front", 120.0, 130.0),
            recording("a", "front", 100.0, 110.0),
            recording("b", "front", 110.0, 120.0),
            recording("z", "yard", 110.0, 120.0),
            recording("i", "front", 200.0, 210.0).replace("200.0", "200"),
        ]
        .concat();
        let (_dir, database, _db) = database(&rows);
        let found = |start, end| -> Vec<f64> {
            let found = database.recordings(&camera("front"), range(start, end)).unwrap();
            assert_eq!(
                database.has_recordings(&camera("front"), range(start, end)).unwrap(),
                !found.is_empty()
            );
            found.iter().map(|recording| recording.start.seconds()).collect()
        };
        assert_eq!(found(0.0, 1000.0), [100.0, 110.0, 120.0, 200.0]);
        assert_eq!(found(110.0, 120.0), [110.0], "what only touches the range holds nothing of it");
        assert_eq!(found(115.0, 116.0), [110.0], "a recording that spans the range");
        assert_eq!(found(130.0, 200.0), [0.0; 0]);
    }

    #[test]
    fn an_export_is_found_by_its_id() {
        let (_dir, database, _db) = database(
            "INSERT INTO export (id, camera, name, date, video_path, thumb_path, in_progress) \
             VALUES ('front_x', 'front', 'n', 1700000000, '/media/frigate/exports/x.mp4', '', 1);",
        );
        let export = database.export("front_x").unwrap().unwrap();
        assert_eq!(export.date, at(1.7e9));
        assert!(export.in_progress);
        assert_eq!(database.export("' OR 1=1 --").unwrap(), None);
    }

    #[test]
    fn the_last_hour_is_summed_over_all_cameras() {
        let rows = [recording("a", "front", 5000.0, 5010.0), recording("b", "yard", 100.0, 110.0)]
            .concat();
        let (_dir, database, _db) = database(&rows);
        assert_eq!(database.bytes_of_last_hour(at(5100.0)).unwrap(), 3 << 19);
    }

    #[test]
    fn rows_of_the_replay_camera_go_and_the_neighbours_stay() {
        let names = ["_replay_front", "front", "_replay_front2"];
        let rows: String = (names.iter().enumerate())
            .map(|(n, name)| {
                recording(&format!("r{n}"), name, 1.0, 2.0)
                    + &format!(
                        "INSERT INTO regions (camera, last_update) VALUES ('{name}', 0);
                         INSERT INTO trigger (camera, name, type, model, data) VALUES ('{name}', 'n', 't', 'm', 'd');
                         INSERT INTO timeline (timestamp, camera, source, class_type) VALUES (0, '{name}', 's', 'c');
                         INSERT INTO previews (id, camera, path, start_time, end_time, duration) VALUES ('p{n}', '{name}', '', 0, 0, 0);
                         INSERT INTO reviewsegment (id, camera, start_time, severity, thumb_path, data) VALUES ('v{n}', '{name}', 0, '', '', '');
                         INSERT INTO event (id, label, camera, start_time, zones, has_clip, has_snapshot, retain_indefinitely, data) VALUES ('e{n}', '', '{name}', 0, '', 0, 0, 0, '');"
                    )
            })
            .collect();
        let (_dir, database, db) = database(&rows);
        let replays = ["front", "front2"].map(|name| camera(name).replay());
        assert_eq!(database.replay_cameras().unwrap(), replays.clone().into());
        let (removed, failed) = database.remove_rows(&replays[0], || true);
        assert_eq!((removed, failed.len()), (7, 0));
        assert_eq!(database.replay_cameras().unwrap(), [replays[1].clone()].into());
        for table in TABLES {
            let left: i64 = db
                .query_row(&format!("SELECT COUNT(*) FROM \"{table}\""), [], |row| row.get(0))
                .unwrap();
            assert_eq!(left, 2, "{table}");
        }
    }

    #[test]
    fn an_older_frigates_missing_tables_are_passed_over() {
        let (_dir, database, db) = database(&recording("a", "_replay_front", 1.0, 2.0));
        db.execute_batch("DROP TABLE trigger; DROP TABLE previews;").unwrap();
        let front = camera("front").replay();
        assert_eq!(database.replay_cameras().unwrap(), [front.clone()].into());
        let (removed, failed) = database.remove_rows(&front, || true);
        assert_eq!((removed, failed.len()), (1, 0));
    }

    #[test]
    fn a_database_that_was_replaced_is_read_as_it_is_now() {
        let (dir, database, _db) = database(&recording("a", "front", 1.0, 2.0));
        assert!(database.has_recordings(&camera("front"), range(0.0, 5.0)).unwrap());
        let (other, _, _other_db) = self::database(&recording("b", "yard", 1.0, 2.0));
        std::fs::rename(other.path().join("frigate.db"), dir.path().join("frigate.db")).unwrap();
        for file in ["frigate.db-wal", "frigate.db-shm"] {
            let _ = std::fs::rename(other.path().join(file), dir.path().join(file));
        }
        assert!(!database.has_recordings(&camera("front"), range(0.0, 5.0)).unwrap());
        assert!(database.has_recordings(&camera("yard"), range(0.0, 5.0)).unwrap());
        database.rest();
        assert!(database.reader.lock().unwrap().is_some(), "used since the last rest");
        database.rest();
        assert!(database.reader.lock().unwrap().is_none());
    }

    #[test]
    fn a_missing_or_foreign_file_is_an_error_that_names_it() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("frigate.db");
        let database = Database::at(&path);
        let error = database.export("x").unwrap_err();
        assert!(matches!(error, DatabaseError::Missing(_)));
        std::fs::write(&path, "no database ".repeat(1000)).unwrap();
        let error = database.export("x").unwrap_err().to_string();
        assert!(error.contains("frigate.db"), "{error}");
        assert_eq!(database.remove_rows(&camera("a").replay(), || true).1.len(), TABLES.len());
    }

    #[test]
    fn a_database_that_frigate_writes_to_can_be_read_meanwhile() {
        let (_dir, database, db) = database(&recording("a", "front", 1.0, 2.0));
        db.execute_batch("BEGIN IMMEDIATE; DELETE FROM recordings;").unwrap();
        assert!(database.has_recordings(&camera("front"), range(0.0, 5.0)).unwrap());
    }
}
