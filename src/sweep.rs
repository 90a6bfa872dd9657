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

use crate::database::Database;
use crate::files::Folders;
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
}

impl Yard {
    /// Sweeps, as long as `go_on` says so. Blocks.
    pub fn sweep(&self, order: &Order, go_on: impl Fn() -> bool) -> Swept {
        let mut files = Vec::new();
        let mut swept = Swept::default();
        let mut cameras = self.folders.replay_cameras(&order.known, &mut files);
        match self.database.replay_cameras() {
            Ok(found) => cameras.extend(found),
            Err(crate::database::DatabaseError::Missing(_)) => {}
            Err(error) => swept.troubles.push(error.to_string()),
        }
        cameras.extend(order.litter.iter().map(|(camera, _)| camera.clone()));
        if let Some(keep) = &order.keep {
            cameras.remove(keep);
        }
        if cameras.is_empty() {
            return swept;
        }
        for camera in cameras.iter().take_while(|_| go_on()) {
            self.folders.remove_own(camera, &mut files);
            let (_, failed) = self.database.remove_rows(camera, &go_on);
            swept.troubles.extend(failed.iter().map(|(table, error)| format!("{table}: {error}")));
        }
        let others: Vec<ReplayCamera> = (order.known.iter().map(CameraName::replay))
            .chain(order.keep.clone())
            .filter(|camera| !cameras.contains(camera))
            .collect();
        let finished = go_on() && self.folders.remove_mixed(&cameras, &others, &mut files, &go_on);
        swept.troubles.extend(files.iter().map(ToString::to_string));
        if finished && swept.troubles.is_empty() {
            swept.gone = order.litter.clone();
        }
        swept.cameras = cameras;
        swept
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
        report: impl FnOnce(Vec<(ReplayCamera, UnixTime)>) + Send + 'static,
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
            report(swept.gone);
        }));
    }
}
