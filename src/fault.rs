//! Faults on purpose, for tests only: points at which the process kills itself, and a clock that is
//! wrong. Without the cargo feature `fault-points`, which no released binary has, nothing of it is
//! compiled in; with it, nothing happens unless an environment variable says so.
//!
//! | variable | meaning |
//! |---|---|
//! | `FAULT_POINT=NAME:N` | at the N-th passing of the point NAME the process kills itself, as by `kill -9` |
//! | `FAULT_CLOCK=FILE` | so many seconds, as the file says at that moment, are added to the clock |

/// Passes the point `name`.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn point(_name: &str) {}

/// How wrong the clock is, seconds.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn clock_error_s() -> f64 {
    0.0
}

#[cfg(feature = "fault-points")]
pub use armed::{clock_error_s, point};

#[cfg(feature = "fault-points")]
mod armed {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    struct Armed {
        name: String,
        left: AtomicU32,
    }

    /// Passes the point `name`.
    pub fn point(name: &str) {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let Some(armed) = ARMED.get_or_init(armed) else { return };
        if armed.name == name && armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Nothing is left that could hear of a failure.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }

    fn armed() -> Option<Armed> {
        let text = std::env::var("FAULT_POINT").ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        Some(Armed { name: name.to_owned(), left: AtomicU32::new(count.parse().ok()?) })
    }

    /// How wrong the clock is, seconds.
    pub fn clock_error_s() -> f64 {
        static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let file = FILE.get_or_init(|| std::env::var_os("FAULT_CLOCK").map(PathBuf::from));
        let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(0.0)
    }
}
