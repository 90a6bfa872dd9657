//! Work in a thread of its own: told to stop, asked how far it is, waited for to the end.
//!
//! Not a pool thread, since the work lowers its thread's priority, which no unprivileged thread
//! can raise again.

use std::cell::Cell;
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

/// How nice the work is to everything else on the machine, ffmpeg's process included. Frigate
/// starts its own replay's ffmpeg at the same.
pub(super) const NICENESS: i32 = 10;

/// How often progress is handed on: as often as a progress bar can be seen to move.
pub(super) const REPORT_EVERY: Duration = Duration::from_millis(50);

/// What work in a thread has of those who wait for it.
#[derive(Debug)]
pub(super) struct Control {
    cancelled: Arc<AtomicBool>,
    progress: watch::Sender<f32>,
    reported: Cell<Option<Instant>>,
}

impl Control {
    /// Whether the work is to stop.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Says that `done` of `total` is done. Not every call is heard: the other side is woken at
    /// most once in [`REPORT_EVERY`], and for the last one.
    pub(super) fn report(&self, done: u64, total: u64) {
        let now = Instant::now();
        let recent = |then: Instant| now.duration_since(then) < REPORT_EVERY;
        if total == 0 || (done < total && self.reported.get().is_some_and(recent)) {
            return;
        }
        self.reported.set(Some(now));
        let percent = done as f64 / total as f64 * 100.0;
        self.progress.send_replace(percent as f32);
    }
}

/// Tells the work to stop, also when nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A wish to cancel, which may be looked at again after it came.
pub(super) struct Cancel<'a, F> {
    wish: Pin<&'a mut F>,
    came: bool,
}

impl<'a, F: Future<Output = ()>> Cancel<'a, F> {
    pub(super) fn new(wish: Pin<&'a mut F>) -> Self {
        Self { wish, came: false }
    }

    /// Ready once the wish came.
    pub(super) async fn came(&mut self) {
        if !self.came {
            self.wish.as_mut().await;
            self.came = true;
        }
    }
}

/// Does `work` in a thread of low priority, and hands on its progress, in percent. Returns when the
/// thread has ended.
///
/// # Errors
/// When there is no thread to be had.
pub(super) async fn in_thread<T: Send + 'static>(
    work: impl FnOnce(&Control) -> T + Send + 'static,
    progress: &impl Fn(f32),
    cancel: &mut Cancel<'_, impl Future<Output = ()>>,
) -> io::Result<T> {
    let (sender, mut seen) = watch::channel(0.0);
    let control =
        Control { cancelled: Arc::default(), progress: sender, reported: Cell::new(None) };
    let stop = Stop(Arc::clone(&control.cancelled));
    let (end, mut ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("clip".to_owned()).spawn(move || {
        // Linux gives each thread a niceness of its own; a refusal costs nothing but courtesy.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        let _ = end.send(work(&control));
    })?;
    let mut stopping = false;
    let mut said = 0.0;
    let result = loop {
        tokio::select! {
            biased;
            result = &mut ended => break result,
            () = cancel.came(), if !stopping => {
                stopping = true;
                stop.0.store(true, Ordering::Relaxed);
            }
            Ok(()) = seen.changed() => {
                said = *seen.borrow_and_update();
                progress(said);
            }
        }
    };
    // The end is often quicker than its news.
    let last = *seen.borrow();
    if last > said {
        progress(last);
    }
    // The thread has nothing left to do, or it panicked.
    if let Err(panic) = thread.join() {
        resume_unwind(panic);
    }
    result.map_err(io::Error::other)
}

#[cfg(test)]
impl Control {
    /// For work that nobody waits for.
    pub(super) fn unheard() -> Self {
        let (progress, _) = watch::channel(0.0);
        Self { cancelled: Arc::default(), progress, reported: Cell::new(None) }
    }

    /// Percent that were last reported.
    pub(super) fn reported(&self) -> f32 {
        *self.progress.borrow()
    }
}
