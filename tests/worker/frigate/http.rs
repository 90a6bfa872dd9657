//! As much HTTP/1.1 as Frigate's nginx talks with a client: requests with a length, answers with a
//! length, one connection for many of them, with or without TLS.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Largest body taken.
const BODY_MAX: usize = 8 << 20;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: Option<String>,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What becomes of a request.
pub enum Reply {
    Answer(Answer),
    /// The connection ends without an answer.
    Close,
}

/// What answers the requests.
pub type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A server on a port of the loopback interface.
pub struct Server {
    pub port: u16,
    ended: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `port`, or on a free one if it is 0.
    pub fn start(port: u16, tls: Option<Arc<ServerConfig>>, handler: Handler) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port to listen on");
        let port = listener.local_addr().unwrap().port();
        let ended = Arc::new(AtomicBool::new(false));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (when_ended, connections) = (Arc::clone(&ended), Arc::clone(&open));
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if when_ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let _ = stream.set_nodelay(true);
                connections.lock().unwrap().push(stream.try_clone().unwrap());
                let (tls, handler) = (tls.clone(), Arc::clone(&handler));
                std::thread::spawn(move || {
                    let ending = stream.try_clone();
                    let _ = match tls {
                        None => serve(stream, &handler),
                        Some(config) => ServerConnection::new(config)
                            .map_err(io::Error::other)
                            .and_then(|tls| serve(StreamOwned::new(tls, stream), &handler)),
                    };
                    let _ = ending.map(|stream| stream.shutdown(Shutdown::Both));
                });
            }
        });
        Self { port, ended, open, listening: Some(listening) }
    }

    /// Ends it with all its connections: the next one is refused.
    pub fn stop(&mut self) {
        let Some(listening) = self.listening.take() else { return };
        self.ended.store(true, Ordering::SeqCst);
        // Wakes it, so that it sees that it has ended.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        listening.join().unwrap();
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve<S: Read + Write>(stream: S, handler: &Handler) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream)? {
        let Reply::Answer(answer) = handler(&request) else { return Ok(()) };
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nserver: nginx\r\ncontent-type: {}\r\ncontent-length: {}\r\n",
            answer.status,
            reason(answer.status),
            answer.content_type,
            answer.body.len()
        );
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let stream = stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(b"\r\n")?;
        stream.write_all(&answer.body)?;
        stream.flush()?;
        if request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return Ok(());
        }
    }
    Ok(())
}

/// The next request; `None` at the connection's end.
fn read(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut words = line.split_whitespace();
    let (method, target) = words.next().zip(words.next()).ok_or_else(|| bad("no request line"))?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            None if line.trim_end().is_empty() => break,
            None => return Err(bad("no header")),
        }
    }
    let length = headers.get("content-length").map_or(Ok(0), |length| length.parse());
    let length = length.map_err(|_| bad("no length"))?;
    if length > BODY_MAX || headers.contains_key("transfer-encoding") {
        return Err(bad("a body that this server does not take"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(|_| bad("a body that is no text"))?;
    Ok(Some(Request { method, path, query, headers, body }))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        422 => "Unprocessable Entity",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}

/// Makes a certificate as Frigate's image makes one, in `folder`, as `frigate.pem` and `frigate.key`:
/// it is signed by itself, as an authority, and names no host.
pub fn self_signed(folder: &Path) -> Arc<ServerConfig> {
    let (certificate, key) = (folder.join("frigate.pem"), folder.join("frigate.key"));
    if !certificate.exists() {
        let made = Command::new("openssl")
            .args(["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
            .args(["-subj", "/O=FRIGATE DEFAULT CERT/CN=*"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .expect("openssl is there");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let chain = vec![CertificateDer::from_pem_file(&certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}
