//! The system's clock: the only place that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::words::UnixTime;

/// Now.
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs_f64() + crate::fault::clock_error_s();
    UnixTime::new(seconds).unwrap_or(UnixTime::from_secs(0))
}
