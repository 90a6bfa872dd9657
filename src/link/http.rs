//! Requests to Frigate: sent, logged in where it asks for that, answers read within bounds.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Value, json};

use super::tls::{self, Trust};

/// How long the way to Frigate may take to stand. It is next door.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// How long Frigate may take to answer a question.
pub const ASK_PATIENCE: Duration = Duration::from_secs(5);

/// How long Frigate may take to change its config: it waits 5 s for the file, then reads all of it.
/// `session::LATEST_ANSWER_S` counts on it.
pub const CHANGE_PATIENCE: Duration = Duration::from_secs(15);

/// Largest answer read, bytes: the config of a hundred cameras has about one million.
const ANSWER_MAX_BYTES: usize = 32 * 1024 * 1024;

/// How much of a strange answer is shown, characters.
const EXCERPT_CHARS: usize = 160;

/// How to reach Frigate.
#[derive(Clone)]
pub struct Options {
    /// Its address, as `http://frigate:5000`.
    pub url: Url,
    /// User and password, if it asks for them (port 8971).
    pub login: Option<(String, String)>,
    /// Whom to trust over https.
    pub trust: Trust,
}

/// Why a request did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Frigate says no; it would again.
    #[error("{0}")]
    Refused(String),
    /// It did not do it; it may be better the next time.
    #[error("{0}")]
    Failed(String),
    /// It was asked, and there is no answer: it may still do it.
    #[error("{0}")]
    Unanswered(String),
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text, whatever it is.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, if it is.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What Frigate says in its own words: `message` of a JSON answer.
    pub fn message(&self) -> Option<String> {
        self.json()?.get("message")?.as_str().map(str::to_owned)
    }

    /// The status and the beginning of what came, for a person.
    pub fn excerpt(&self) -> String {
        let text = self.message().unwrap_or_else(|| self.text());
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut excerpt: String = words.join(" ").chars().take(EXCERPT_CHARS).collect();
        excerpt.retain(|c| !c.is_control());
        match excerpt.as_str() {
            "" => format!("HTTP {}", self.status.as_u16()),
            excerpt => format!("HTTP {}: {excerpt}", self.status.as_u16()),
        }
    }
}

/// One connection to Frigate's HTTP API.
pub struct Http {
    client: Client,
    base: Url,
    login: Option<(String, String)>,
    token: Mutex<Option<String>>,
}

impl Http {
    /// Prepares the way; nothing is sent.
    ///
    /// # Errors
    /// The certificates to trust are none.
    pub fn new(options: Options) -> Result<Self, String> {
        let mut base = options.url;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // Without encryption the system's certificates need not be read.
        let trust = match base.scheme() {
            "https" => options.trust,
            _ => Trust::Fingerprint(tls::Fingerprint::default()),
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls::config(&trust)?)
            .connect_timeout(CONNECT_PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(1)
            .tcp_nodelay(true)
            .user_agent(concat!("frigate-replay/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| sentence(&error))?;
        Ok(Self { client, base, login: options.login, token: Mutex::new(None) })
    }

    /// Frigate's address without a secret.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// `GET` of a path below the address, past the cache of Frigate's nginx, which would answer
    /// with what was 5 s ago.
    pub async fn get(&self, path: &str) -> Result<Answer, Fault> {
        self.ask(Method::GET, path, None, ASK_PATIENCE).await
    }

    /// `PUT` of JSON that changes something.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer, Fault> {
        self.ask(Method::PUT, path, Some(body), CHANGE_PATIENCE).await
    }

    /// Asks, and where Frigate wants to know who does, says it and asks again.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Answer, Fault> {
        let token = self.token();
        let answer = self.send(method.clone(), path, body, patience, token.as_deref()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let Some((user, password)) = &self.login else {
            let message = "Frigate asks for a login: set frigate_user and frigate_password_file, or \
                           use its port 5000";
            return Err(Fault::Refused(message.to_owned()));
        };
        let token = self.log_in(user, password).await?;
        let answer = self.send(method, path, body, patience, Some(&token)).await?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(answer)
    }

    fn token(&self) -> Option<String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn log_in(&self, user: &str, password: &str) -> Result<String, Fault> {
        let body = json!({"user": user, "password": password});
        let answer = self.send(Method::POST, "api/login", Some(&body), ASK_PATIENCE, None).await?;
        let cookies = answer.headers.get_all(SET_COOKIE).iter();
        let token = cookies.filter_map(|cookie| cookie.to_str().ok()).find_map(|cookie| {
            let (name, rest) = cookie.split_once('=')?;
            let value = rest.split(';').next().unwrap_or_default();
            (name.trim() == "frigate_token" && !value.is_empty()).then(|| value.to_owned())
        });
        match token {
            Some(token) if answer.status.is_success() => Ok(token),
            _ if answer.status == StatusCode::UNAUTHORIZED => Err(Fault::Refused(format!(
                "Frigate does not let the user {user:?} in ({}): see frigate_user and \
                 frigate_password_file",
                answer.excerpt()
            ))),
            _ => Err(Fault::Failed(format!("no login at Frigate: {}", answer.excerpt()))),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
        token: Option<&str>,
    ) -> Result<Answer, Fault> {
        let url = self.base.join(path).map_err(|error| Fault::Failed(error.to_string()))?;
        let mut request = self.client.request(method, url).timeout(patience);
        request = request.header("x-cache-bypass", "1");
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        self.read(request).await.map_err(|error| {
            let reason = format!("no answer from {}: {}", self.address(), sentence(&error));
            match error.is_connect() {
                true => Fault::Failed(reason),
                false => Fault::Unanswered(reason),
            }
        })
    }

    async fn read(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let mut response: Response = request.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > ANSWER_MAX_BYTES {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status(), headers: response.headers().clone(), body })
    }
}

/// An error with its causes, without the address, which is named beside it.
fn sentence(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
