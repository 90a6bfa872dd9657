//! Whether the worker is well, asked over a socket in its data directory.
//!
//! A container's health check runs `frigate-replay healthcheck`, which asks here; nothing is written
//! while nobody asks.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// How long an answer may take: the store writes to a disk before it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the worker is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether the broker has us.
    pub connected: bool,
    /// Why the store cannot be written, if it cannot.
    pub store_error: Option<String>,
}

impl Health {
    /// Connected, and the store can be written.
    pub fn is_well(&self) -> bool {
        self.connected && self.store_error.is_none()
    }
}

/// The socket's path in `data_dir`.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("health.sock")
}

/// Listens for questions. A socket that an earlier worker left is replaced: the store's lock has
/// shown that this worker is the only one.
pub fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let path = socket_path(data_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Answers one question. Whoever does not read the answer in time is left alone.
pub async fn answer(mut stream: UnixStream, health: Health) {
    if let Ok(text) = serde_json::to_vec(&health) {
        // Nothing to be done about an asker who went away.
        let _ = timeout(PATIENCE, stream.write_all(&text)).await;
    }
}

/// Asks the worker of `data_dir`.
///
/// # Errors
/// No worker listens there, or it does not answer in time.
pub async fn ask(data_dir: &Path) -> io::Result<Health> {
    let question = async {
        let mut text = Vec::new();
        UnixStream::connect(socket_path(data_dir)).await?.read_to_end(&mut text).await?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    };
    timeout(PATIENCE, question).await.map_err(|_| io::Error::other("no answer in time"))?
}
