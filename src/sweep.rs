//! The sweep: whatever replay cameras left that are not the current one, taken away.
//!
//! One idempotent piece of work serves stop, failure, connect and start. It lists only short
//! folders; the folders of all cameras' snapshots are read once, and only when there is a camera to
//! take away. A newer sweep ends an older one, for it does all of its work again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{info, warn};

use crate::database::{Database, DatabaseError};
use crate::files::{Folders, Trouble};
use crate::words::{CameraName, ReplayCamera, UnixTime};

/// Where replay cameras leave something.
#[derive(Clone, Debug)]
pub struct Yard {
    /// Their files.
    pub folders: Folders,
    /// Their rows.
    pub database: Database,
}

/// What to sweep.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Cameras that are known to have left something, and since when.
    pub litter: Vec<(ReplayCamera, UnixTime)>,
    /// The camera that must stay.
    pub keep: Option<ReplayCamera>,
    /// The cameras of Frigate's config: their replay cameras are looked up by name.
    pub known: Vec<CameraName>,
}

/// What a sweep took away.
#[derive(Debug, Default)]
pub struct Swept {
    /// Of the litter, what is wholly gone.
    pub gone: Vec<(ReplayCamera, UnixTime)>,
    /// Every camera that something was taken of or looked for.
    pub cameras: BTreeSet<ReplayCamera>,
    /// What failed, each in a sentence.
    pub troubles: Vec<String>,
    /// Whether everything was looked through and all that was found is gone.
    pub finished: bool,
}

impl Yard {
    /// Sweeps, as long as `go_on` says so. Blocks.
    pub fn sweep(&self, order: &Order, go_on: impl Fn() -> bool) -> Swept {
        let mut files = Vec::new();
        let mut swept = Swept::default();
        let mut cameras = self.folders.replay_cameras(&order.known, &mut files);
        match self.database.replay_cameras() {
            Ok(found) => cameras.extend(found),
            Err(DatabaseError::Missing(_)) => {}
            Err(error) => swept.troubles.push(error.to_string()),
        }
        cameras.extend(order.litter.iter().map(|(camera, _)| camera.clone()));
        if let Some(keep) = &order.keep {
            cameras.remove(keep);
        }
        if cameras.is_empty() {
            swept.troubles.extend(files.iter().map(ToString::to_string));
            swept.finished = swept.troubles.is_empty();
            return swept;
        }
        // What names a camera that only a listing found must go last: cut short, the next sweep
        // finds it again. The litter is remembered, so its clip can go at once.
        let (listed, littered): (Vec<_>, Vec<_>) =
            cameras.iter().partition(|camera| !order.litter.iter().any(|(of, _)| of == *camera));
        self.remove_own(&littered, &mut swept, &mut files, &go_on);
        let others: Vec<ReplayCamera> = (order.known.iter().map(CameraName::replay))
            .chain(order.keep.clone())
            .filter(|camera| !cameras.contains(camera))
            .collect();
        let came_to_the_end =
            go_on() && self.folders.remove_mixed(&cameras, &others, &mut files, &go_on);
        if came_to_the_end {
            self.remove_own(&listed, &mut swept, &mut files, &go_on);
        }
        swept.troubles.extend(files.iter().map(ToString::to_string));
        swept.finished = came_to_the_end && go_on() && swept.troubles.is_empty();
        if swept.finished {
            swept.gone = order.litter.clone();
        }
        swept.cameras = cameras;
        swept
    }

    fn remove_own(
        &self,
        cameras: &[&ReplayCamera],
        swept: &mut Swept,
        files: &mut Vec<Trouble>,
        go_on: impl Fn() -> bool,
    ) {
        for camera in cameras.iter().take_while(|_| go_on()) {
            let (_, failed) = self.database.remove_rows(camera, &go_on);
            swept.troubles.extend(failed.iter().map(|(table, error)| format!("{table}: {error}")));
            self.folders.remove_own(camera, files);
        }
    }
}

/// Runs sweeps off the loop, one at a time.
#[derive(Debug)]
pub struct Sweeps {
    yard: Yard,
    go_on: Arc<AtomicBool>,
    running: Option<JoinHandle<()>>,
}

impl Sweeps {
    /// Nothing is swept yet.
    pub fn new(yard: Yard) -> Self {
        Self { yard, go_on: Arc::new(AtomicBool::new(true)), running: None }
    }

    /// Ends the sweep that runs; the future waits until it has ended.
    pub fn halt(&mut self) -> impl Future<Output = ()> + Send + 'static {
        self.go_on.store(false, Ordering::Relaxed);
        self.go_on = Arc::new(AtomicBool::new(true));
        let running = self.running.take();
        async move {
            if let Some(running) = running {
                // Its end is all that matters here.
                let _ = running.await;
            }
        }
    }

    /// Ends the sweep that runs, waits for `first`, then sweeps and hands the outcome to `report`.
    pub fn start(
        &mut self,
        order: Order,
        first: impl Future<Output = ()> + Send + 'static,
        report: impl FnOnce(Swept) + Send + 'static,
    ) {
        let halted = self.halt();
        let (yard, go_on) = (self.yard.clone(), Arc::clone(&self.go_on));
        self.running = Some(tokio::spawn(async move {
            halted.await;
            first.await;
            let work = spawn_blocking(move || yard.sweep(&order, || go_on.load(Ordering::Relaxed)));
            let swept = work.await.unwrap_or_default();
            if !swept.cameras.is_empty() {
                let cameras: Vec<&str> = swept.cameras.iter().map(ReplayCamera::as_str).collect();
                info!(cameras = cameras.join(" "), "took away what replay cameras left");
            }
            for trouble in &swept.troubles {
                warn!("could not be taken away, will be tried again: {trouble}");
            }
            report(swept);
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;
    use tempfile::TempDir;

    /// Cut short anywhere, a sweep leaves enough for the next one to find the rest.
    #[test]
    fn a_sweep_that_is_cut_short_is_finished_by_the_next() {
        for asked in 0..20u32 {
            let dir = TempDir::new().unwrap();
            let folders =
                Folders { media: dir.path().to_owned(), replay: dir.path().join("replay") };
            for file in [
                "clips/thumbs/_replay_a/1.webp",
                "clips/_replay_a-1.1-x.jpg",
                "clips/review/thumb-_replay_a-1.1-x.webp",
                "replay/_replay_b.mp4",
                "clips/_replay_b-1.1-x.jpg",
            ] {
                let path = dir.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, b"x").unwrap();
            }
            let yard = Yard { folders, database: Database::at(dir.path().join("none.db")) };
            let left = Cell::new(asked);
            yard.sweep(&Order::default(), || left.replace(left.get().saturating_sub(1)) > 0);
            yard.sweep(&Order::default(), || true);
            for folder in ["clips", "clips/thumbs", "clips/review", "replay"] {
                let names: Vec<_> = fs::read_dir(dir.path().join(folder))
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name())
                    .filter(|name| name.to_string_lossy().contains("_replay_"))
                    .collect();
                assert!(names.is_empty(), "cut after {asked}: {names:?}");
            }
        }
    }
}
