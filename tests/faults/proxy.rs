//! A link between the worker and its broker that can be spoiled: cut in mid-packet, slow, half-open.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The link; everything is let through until it is told otherwise.
pub struct Link {
    pub port: u16,
    state: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Bytes that still pass before everything is cut; negative for no limit.
    left: AtomicI64,
    /// Bytes a second in each direction; 0 for no limit.
    speed: AtomicU64,
    /// Whether bytes disappear while everything stays open.
    swallows: AtomicBool,
    /// Whether newcomers are turned away.
    closed: AtomicBool,
    ended: AtomicBool,
    connections: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Link {
    pub fn to(broker: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Shared { left: AtomicI64::new(-1), ..Shared::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                if let (Ok(here), false) = (stream, shared.closed.load(Ordering::SeqCst)) {
                    join(&shared, here, broker);
                }
            }
        });
        Self { port, state }
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Cuts everything once so many more bytes have passed.
    pub fn cut_after(&self, bytes: u64) {
        self.state.left.store(bytes as i64, Ordering::SeqCst);
    }

    pub fn speed(&self, bytes_a_second: u64) {
        self.state.speed.store(bytes_a_second, Ordering::SeqCst);
    }

    /// From now on bytes disappear, and nobody is told.
    pub fn swallow(&self, swallows: bool) {
        self.state.swallows.store(swallows, Ordering::SeqCst);
    }

    /// Turns newcomers away.
    pub fn close(&self, closed: bool) {
        self.state.closed.store(closed, Ordering::SeqCst);
    }

    /// Everything passes again; what was cut or hangs is closed.
    pub fn mend(&self) {
        self.state.left.store(-1, Ordering::SeqCst);
        self.speed(0);
        self.swallow(false);
        self.close(false);
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.state.cut();
        // Wakes the thread that waits for newcomers.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn cut(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many of `bytes` may pass before the cut, and whether the cut comes now.
    fn allow(&self, bytes: usize) -> (usize, bool) {
        if self.left.load(Ordering::SeqCst) < 0 {
            return (bytes, false);
        }
        let before = self.left.fetch_sub(bytes as i64, Ordering::SeqCst);
        if before >= bytes as i64 {
            return (bytes, false);
        }
        // Once cut, the next connection is whole again.
        self.left.store(-1, Ordering::SeqCst);
        (before.max(0) as usize, true)
    }
}

fn join(shared: &Arc<Shared>, here: TcpStream, broker: u16) {
    let Ok(there) = TcpStream::connect(("127.0.0.1", broker)) else { return };
    for stream in [&here, &there] {
        let _ = stream.set_nodelay(true);
    }
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let copies = [(&here, &there), (&there, &here)].map(|(a, b)| (a.try_clone(), b.try_clone()));
    {
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.extend([here, there]);
    }
    for copy in copies {
        if let (Ok(from), Ok(to)) = copy {
            let shared = Arc::clone(shared);
            std::thread::spawn(move || carry(&shared, from, to));
        }
    }
}

fn carry(shared: &Shared, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let speed = shared.speed.load(Ordering::SeqCst);
        let most = if speed == 0 { buffer.len() } else { (speed as usize / 20).max(1) };
        let Ok(read @ 1..) = from.read(&mut buffer[..most.min(16 * 1024)]) else { break };
        if shared.swallows.load(Ordering::SeqCst) {
            continue;
        }
        let (allowed, cut) = shared.allow(read);
        if to.write_all(&buffer[..allowed]).is_err() {
            break;
        }
        if cut {
            shared.cut();
            return;
        }
        if speed > 0 {
            std::thread::sleep(Duration::from_secs_f64(read as f64 / speed as f64));
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
