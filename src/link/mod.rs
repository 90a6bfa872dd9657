//! The running Frigate, by its HTTP API: looked at, given a replay camera, rid of it again.
//!
//! What must never be sent stands here by not being there: no removal is published to 0.17, whose
//! threads it kills. When something may be sent is decided by [`session`](crate::session), which
//! leaves time between two changes; nothing here changes anything by itself.

mod http;
mod tls;

use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};

use crate::frigate::{Release, Version, cameras_in_config, shape};
use crate::session::{Deed, Done, Seen};
use crate::wire::messages::FrigateWay;
use crate::words::ReplayCamera;

use http::{Answer, Http};
pub use http::{CHANGE_PATIENCE, Fault, Options};
pub use tls::{Fingerprint, Trust};

/// The running Frigate.
pub struct Frigate {
    http: Http,
}

/// Nothing of the login is shown.
impl std::fmt::Debug for Frigate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Frigate").field(&self.http.address()).finish()
    }
}

/// Reads an address of Frigate's: `http://` or `https://`, a host, perhaps a port and a path.
///
/// # Errors
/// Why it cannot be one, in a sentence that shows no password.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let example = "use one such as http://frigate:5000";
    let url = Url::parse(text).map_err(|error| format!("is no address ({error}); {example}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password belong in frigate_user and frigate_password_file".into());
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("{text:?} must begin with http:// or https://; {example}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{text:?} must end before a ? or #; {example}"));
    }
    Ok(url)
}

/// What a start needs to know of the running Frigate.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Whether a debug replay of its own is active.
    pub own_replay: bool,
    /// The camera as `GET /api/config` shows it; `None` if Frigate does not have it.
    pub camera: Option<Value>,
}

impl Frigate {
    /// Prepares the way; nothing is sent.
    ///
    /// # Errors
    /// The certificates to trust are none.
    pub fn new(options: Options) -> Result<Self, String> {
        Ok(Self { http: Http::new(options)? })
    }

    /// Its address, without a secret.
    pub fn address(&self) -> &str {
        self.http.address()
    }

    /// Does one thing at Frigate.
    pub async fn perform(&self, deed: &Deed) -> Done {
        let done = match deed {
            Deed::Look => self.look().await.map(Done::Looked),
            Deed::Add(camera, config, way) => self.add(camera, config, *way).await,
            Deed::LookForPicture(camera) => self.has_picture(camera).await.map(Done::Picture),
            Deed::Remove(camera) => self.change(published(camera, "remove", Value::Null)).await,
            Deed::SwitchOff(camera) => {
                let off = json!({"enabled": false});
                self.change(published(camera, "enabled", off)).await
            }
            Deed::Delete(camera) => {
                let config = json!({"cameras": {camera.as_str(): ""}});
                self.change(json!({"requires_restart": 1, "config_data": config})).await
            }
        };
        done.unwrap_or_else(|fault| match fault {
            Fault::Refused(reason) => Done::Refused(reason),
            Fault::Failed(reason) => Done::Failed(reason),
            Fault::Unanswered(reason) => Done::Unanswered(reason),
        })
    }

    /// Its version, and what stands in its config.yml. What is only in memory, as the camera of a
    /// debug replay of its own, is not looked at: no request could take it out.
    pub async fn look(&self) -> Result<Seen, Fault> {
        let version = self.version().await?;
        let way = way(&version);
        let mut seen = Seen {
            version,
            way,
            replay_cameras: Default::default(),
            other_cameras: 0,
            own_replay: false,
        };
        if way == FrigateWay::PublishOnly {
            return Ok(seen);
        }
        let raw = well(self.http.get("api/config/raw").await?)?;
        let cameras =
            cameras_in_config(&raw.text()).map_err(|error| Fault::Refused(error.to_string()))?;
        seen.replay_cameras = cameras.replay.into_iter().collect();
        seen.other_cameras = cameras.others;
        seen.own_replay = self.own_replay().await?;
        Ok(seen)
    }

    /// Its version as it says it.
    async fn version(&self) -> Result<String, Fault> {
        let answer = well(self.http.get("api/version").await?)?;
        let text = answer.text().trim().trim_matches('"').to_owned();
        match Version::parse(&text) {
            Some(_) => Ok(text),
            None => Err(Fault::Failed(format!(
                "{} does not answer as Frigate does: {}",
                self.address(),
                answer.excerpt()
            ))),
        }
    }

    /// Whether a debug replay of its own is active; older ones have none.
    async fn own_replay(&self) -> Result<bool, Fault> {
        let answer = self.http.get("api/debug_replay/status").await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        let answer = well(answer)?;
        let active = answer.json().and_then(|status| status.get("active")?.as_bool());
        active.ok_or_else(|| Fault::Failed(format!("no replay status: {}", answer.excerpt())))
    }

    /// How Frigate stands to a replay of `camera`.
    pub async fn standing(&self, camera: &str) -> Result<Standing, Fault> {
        let own_replay = self.own_replay().await?;
        let answer = well(self.http.get("api/config").await?)?;
        let Some(mut config) = answer.json().filter(|config| config.get("cameras").is_some())
        else {
            return Err(Fault::Failed(format!("no config from Frigate: {}", answer.excerpt())));
        };
        let camera = config.get_mut("cameras").and_then(|cameras| cameras.get_mut(camera));
        Ok(Standing { own_replay, camera: camera.map(Value::take) })
    }

    async fn add(
        &self,
        camera: &ReplayCamera,
        config: &Value,
        way: FrigateWay,
    ) -> Result<Done, Fault> {
        let release = match way {
            FrigateWay::SwitchOffAndDelete => Release::V0_17,
            _ => Release::V0_18,
        };
        let shaped = shape(config, release).map_err(|error| Fault::Refused(error.to_string()))?;
        self.change(published(camera, "add", shaped.config)).await?;
        Ok(Done::Added(shaped.warnings))
    }

    async fn change(&self, body: Value) -> Result<Done, Fault> {
        let answer = self.http.put("api/config/set", &body).await?;
        let says_so = |success| {
            answer.json().and_then(|json| json.get("success")?.as_bool()) == Some(success)
        };
        match answer.status {
            StatusCode::OK if says_so(true) => Ok(Done::Changed),
            // In its own words: an order that it understood and will not follow.
            StatusCode::INTERNAL_SERVER_ERROR if says_so(false) => Err(refused(&answer)),
            _ => Err(well(answer)
                .err()
                .unwrap_or_else(|| Fault::Failed("Frigate's answer makes no sense".to_owned()))),
        }
    }

    /// Whether the camera gives a picture of its own, and not one that says there is none.
    async fn has_picture(&self, camera: &ReplayCamera) -> Result<bool, Fault> {
        let path = format!("api/{camera}/latest.jpg?height=120");
        let answer = self.http.get(&path).await?;
        match answer.status {
            StatusCode::OK => {
                let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
                let is_image = kind.is_some_and(|kind| kind.starts_with("image/"));
                Ok(is_image && !answer.headers.contains_key("x-frigate-offline"))
            }
            // Before the first frame.
            StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR => Ok(false),
            _ => well(answer).map(|_| false),
        }
    }
}

fn way(version: &str) -> FrigateWay {
    match Version::parse(version).and_then(Version::release) {
        Some(Release::V0_18) => FrigateWay::AddAndRemove,
        Some(Release::V0_17) => FrigateWay::SwitchOffAndDelete,
        None => FrigateWay::PublishOnly,
    }
}

/// The body of a change of one camera that Frigate hands on to its running parts.
fn published(camera: &ReplayCamera, update: &str, config: Value) -> Value {
    json!({
        "requires_restart": 0,
        "update_topic": format!("config/cameras/{camera}/{update}"),
        "config_data": {"cameras": {camera.as_str(): config}},
    })
}

/// The answer, if it is one of success.
fn well(answer: Answer) -> Result<Answer, Fault> {
    match answer.status {
        status if status.is_success() => Ok(answer),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Err(refused(&answer)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Fault::Refused(format!(
            "Frigate does not allow it ({}): the user needs the role admin",
            answer.excerpt()
        ))),
        // Of whoever stands in between: what became of the request, it does not know either.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Err(Fault::Unanswered(format!("no answer from Frigate: {}", answer.excerpt())))
        }
        _ => Err(Fault::Failed(format!("Frigate could not do it: {}", answer.excerpt()))),
    }
}

fn refused(answer: &Answer) -> Fault {
    Fault::Refused(format!("Frigate refuses it: {}", answer.excerpt()))
}
