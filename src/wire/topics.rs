//! Building and reading topics, side by side.
//!
//! With the prefix `frigate_replay` and the instance `frigate`, the base `B` is
//! `frigate_replay/frigate`. What can be built here can be read here, and nothing else can.

use crate::words::ReplayCamera;

use super::form::Control;
use super::requests::Verb;

/// Where every topic of one worker begins: `<prefix>/<instance>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    base: String,
    instance: String,
    /// Where Home Assistant looks for devices, if they are to be told.
    discovery_prefix: Option<String>,
}

/// Why a prefix or an instance name cannot begin a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The prefix is not a plain topic.
    #[error(
        "topic prefix {0:?} must be one or more levels of letters, digits, _ - or ., joined by /"
    )]
    Prefix(String),
    /// The prefix of Home Assistant's discovery is not a plain topic.
    #[error(
        "discovery prefix {0:?} must be one or more levels of letters, digits, _ - or ., joined by /; \
         empty turns discovery off"
    )]
    Discovery(String),
    /// The prefix of Frigate's topics is none.
    #[error("{0:?} is no prefix of topics; it must not be empty or hold + or #")]
    FrigatePrefix(String),
    /// The instance is not one plain level.
    #[error("instance {0:?} must be letters, digits, _ and -, at most 64")]
    Instance(String),
}

/// Which of a camera's two update topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Update {
    /// `…/add`
    Add,
    /// `…/remove`
    Remove,
}

/// What a topic below our base means to the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// A command topic of a known verb.
    Request(Verb),
    /// A topic below `request/` that is no command; the text is safe to show and to answer on.
    UnknownRequest(String),
    /// The worker's own echo, by which it knows that requests can reach it.
    Sync,
    /// A control of the form.
    Form(Control),
    /// A command below `form/` for no control that there is; the text is safe to show.
    UnknownForm(String),
    /// Home Assistant says that it has started, or that it ends.
    HomeAssistant,
    /// The worker's own `info`, or that of another with the same instance name.
    Info,
    /// A camera update of a replay camera: our own, or one of a lost past.
    Camera(ReplayCamera, Update),
}

impl Topics {
    /// Checks both names. `prefix` may have several levels, `instance` is one.
    pub fn new(prefix: &str, instance: &str) -> Result<Self, TopicError> {
        if !is_plain_topic(prefix) {
            return Err(TopicError::Prefix(prefix.to_owned()));
        }
        if instance.len() > 64 || !is_plain(instance, "_-") {
            return Err(TopicError::Instance(instance.to_owned()));
        }
        Ok(Self {
            base: format!("{prefix}/{instance}"),
            instance: instance.to_owned(),
            discovery_prefix: None,
        })
    }

    /// The same with Home Assistant told of the device below `prefix`; an empty one tells nobody.
    pub fn with_discovery(self, prefix: &str) -> Result<Self, TopicError> {
        if !prefix.is_empty() && !is_plain_topic(prefix) {
            return Err(TopicError::Discovery(prefix.to_owned()));
        }
        let discovery_prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
        Ok(Self { discovery_prefix, ..self })
    }

    /// The instance's name.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// `B`, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `B/available`: `online` or `offline`, retained.
    pub fn available(&self) -> String {
        format!("{}/available", self.base)
    }

    /// `B/info`, retained.
    pub fn info(&self) -> String {
        format!("{}/info", self.base)
    }

    /// `B/session`, retained.
    pub fn session(&self) -> String {
        format!("{}/session", self.base)
    }

    /// `B/job_state`, retained.
    pub fn job_state(&self) -> String {
        format!("{}/job_state", self.base)
    }

    /// `B/picture`, retained.
    pub fn picture(&self) -> String {
        format!("{}/picture", self.base)
    }

    /// `B/history`, retained.
    pub fn history(&self) -> String {
        format!("{}/history", self.base)
    }

    /// `B/last_response`, retained.
    pub fn last_response(&self) -> String {
        format!("{}/last_response", self.base)
    }

    /// `B/event`, not retained.
    pub fn event(&self) -> String {
        format!("{}/event", self.base)
    }

    /// `B/form/<control>`, retained: what is chosen.
    pub fn form(&self, control: Control) -> String {
        format!("{}/form/{}", self.base, control.as_str())
    }

    /// `B/form/<control>/set`: where a choice is sent.
    pub fn form_set(&self, control: Control) -> String {
        format!("{}/set", self.form(control))
    }

    /// The device in Home Assistant, as its id and as that level of the discovery topic.
    pub fn device_id(&self) -> String {
        format!("frigate_replay_{}", self.instance)
    }

    /// `<discovery prefix>/device/frigate_replay_<instance>/config`, retained; `None` if Home
    /// Assistant is not to be told.
    pub fn discovery(&self) -> Option<String> {
        let prefix = self.discovery_prefix.as_ref()?;
        Some(format!("{prefix}/device/{}/config", self.device_id()))
    }

    /// `<discovery prefix>/status`: where Home Assistant says that it has started.
    pub fn home_assistant(&self) -> Option<String> {
        self.discovery_prefix.as_ref().map(|prefix| format!("{prefix}/status"))
    }

    /// `B/config/cameras/<camera>/add` or `/remove`, retained.
    pub fn camera(&self, camera: &ReplayCamera, update: Update) -> String {
        let update = match update {
            Update::Add => "add",
            Update::Remove => "remove",
        };
        format!("{}/config/cameras/{camera}/{update}", self.base)
    }

    /// `B/request/<verb>`.
    pub fn request(&self, verb: Verb) -> String {
        format!("{}/request/{}", self.base, verb.as_str())
    }

    /// `B/request/sync`: the worker's own echo.
    pub fn sync(&self) -> String {
        format!("{}/request/sync", self.base)
    }

    /// `B/response/<verb>`; `verb` is one of ours or came from [`Inbound::UnknownRequest`].
    pub fn response(&self, verb: &str) -> String {
        format!("{}/response/{verb}", self.base)
    }

    /// The filter of all requests.
    pub fn requests_filter(&self) -> String {
        format!("{}/request/+", self.base)
    }

    /// The filter of all commands of the form.
    pub fn form_filter(&self) -> String {
        format!("{}/form/+/set", self.base)
    }

    /// The filter of all camera updates.
    pub fn cameras_filter(&self) -> String {
        format!("{}/config/cameras/+/+", self.base)
    }

    /// A requester's response topic, if it is one that we may publish to: below `B/response/`,
    /// without wildcards or control characters, at most 256 bytes.
    pub fn checked_response_topic(&self, topic: &str) -> Option<String> {
        let rest = topic.strip_prefix(&format!("{}/response/", self.base))?;
        let plain = !rest.is_empty()
            && topic.len() <= 256
            && !rest.contains(['+', '#'])
            && !rest.chars().any(char::is_control);
        plain.then(|| topic.to_owned())
    }

    /// What `topic` means, `None` if it is not ours to read.
    pub fn parse(&self, topic: &str) -> Option<Inbound> {
        if self.home_assistant().as_deref() == Some(topic) {
            return Some(Inbound::HomeAssistant);
        }
        let rest = topic.strip_prefix(self.base.as_str())?.strip_prefix('/')?;
        let mut levels = rest.split('/');
        match (levels.next()?, levels.next(), levels.next(), levels.next()) {
            ("request", Some("sync"), None, None) => Some(Inbound::Sync),
            ("request", Some(verb), None, None) => match Verb::parse(verb) {
                Some(verb) => Some(Inbound::Request(verb)),
                None => (verb.len() <= 32 && is_plain(verb, "_-"))
                    .then(|| Inbound::UnknownRequest(verb.to_owned())),
            },
            ("form", Some(control), Some("set"), None) => match Control::parse(control) {
                Some(control) => Some(Inbound::Form(control)),
                None => (control.len() <= 32 && is_plain(control, "_-"))
                    .then(|| Inbound::UnknownForm(control.to_owned())),
            },
            ("info", None, None, None) => Some(Inbound::Info),
            ("config", Some("cameras"), Some(camera), Some(update)) => {
                let update = match (update, levels.next()) {
                    ("add", None) => Update::Add,
                    ("remove", None) => Update::Remove,
                    _ => return None,
                };
                let camera = ReplayCamera::parse(camera).ok()?;
                Some(Inbound::Camera(camera, update))
            }
            _ => None,
        }
    }
}

/// Frigate's own topics, of which only those of replay cameras concern us: what Frigate leaves
/// retained there nothing else clears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrigateTopics {
    prefix: String,
}

impl FrigateTopics {
    /// Checks the prefix: Frigate takes any text, we one without wildcards.
    ///
    /// # Errors
    /// It is no topic.
    pub fn new(prefix: &str) -> Result<Self, TopicError> {
        let wrong = |c: char| matches!(c, '+' | '#') || c.is_control();
        if prefix.is_empty() || prefix.len() > 256 || prefix.contains(wrong) {
            return Err(TopicError::FrigatePrefix(prefix.to_owned()));
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// The filter of everything of one replay camera.
    pub fn filter(&self, camera: &ReplayCamera) -> String {
        format!("{}/{camera}/#", self.prefix)
    }

    /// The replay camera whose topic this is, `None` for every other.
    pub fn parse(&self, topic: &str) -> Option<ReplayCamera> {
        let rest = topic.strip_prefix(self.prefix.as_str())?.strip_prefix('/')?;
        let (camera, below) = rest.split_once('/')?;
        ReplayCamera::parse(camera).ok().filter(|_| !below.is_empty())
    }
}

/// Whether `topic` is where a worker, of whatever instance and prefix, tells Home Assistant of its
/// device. It is cleared before the topics that the device's entities read: what they read then would
/// be no message.
pub fn is_discovery(topic: &str) -> bool {
    topic.contains("/device/frigate_replay_") && topic.ends_with("/config")
}

fn is_plain_topic(text: &str) -> bool {
    text.len() <= 128 && text.split('/').all(|level| is_plain(level, "_-."))
}

fn is_plain(text: &str, also: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::CameraName;

    fn topics() -> Topics {
        Topics::new("frigate_replay", "frigate").unwrap().with_discovery("homeassistant").unwrap()
    }

    fn replay(name: &str) -> ReplayCamera {
        CameraName::parse(name).unwrap().replay()
    }

    #[test]
    fn of_frigates_topics_only_those_of_replay_cameras_are_read() {
        let frigate = FrigateTopics::new("frigate").unwrap();
        assert_eq!(frigate.filter(&replay("front")), "frigate/_replay_front/#");
        for topic in ["frigate/_replay_front/person/snapshot", "frigate/_replay_front/detect/state"]
        {
            assert_eq!(frigate.parse(topic), Some(replay("front")));
        }
        for topic in [
            "frigate/front/person/snapshot",
            "frigate/_replay_front",
            "frigate/_replay_front/",
            "frigate/_replay_/x",
            "frigate/events",
            "other/_replay_front/x",
        ] {
            assert_eq!(frigate.parse(topic), None, "{topic}");
        }
        for wrong in ["", "a/#", "+", "a\0"] {
            assert!(FrigateTopics::new(wrong).is_err());
        }
    }

    #[test]
    fn what_is_built_can_be_read() {
        let t = topics();
        for verb in Verb::ALL {
            assert_eq!(t.parse(&t.request(verb)), Some(Inbound::Request(verb)));
        }
        for update in [Update::Add, Update::Remove] {
            let topic = t.camera(&replay("front"), update);
            assert_eq!(t.parse(&topic), Some(Inbound::Camera(replay("front"), update)));
        }
        for control in Control::ALL {
            assert_eq!(t.parse(&t.form_set(control)), Some(Inbound::Form(control)));
        }
        assert_eq!(t.parse(&t.home_assistant().unwrap()), Some(Inbound::HomeAssistant));
        assert_eq!(
            t.discovery().as_deref(),
            Some("homeassistant/device/frigate_replay_frigate/config")
        );
        assert!(t.discovery().is_some_and(|topic| is_discovery(&topic)));
        assert!(!is_discovery(&t.session()));
        assert_eq!(t.parse(&t.sync()), Some(Inbound::Sync));
        assert_eq!(t.parse(&t.info()), Some(Inbound::Info));
        assert_eq!(
            t.camera(&replay("front"), Update::Add),
            "frigate_replay/frigate/config/cameras/_replay_front/add"
        );
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        let t = topics();
        for foreign in [
            "",
            "frigate_replay",
            "frigate_replay/frigate",
            "frigate_replay/frigate2/request/start",
            "frigate_replay/frigate/session",
            "frigate_replay/frigate/request",
            "frigate_replay/frigate/request/start/more",
            "frigate_replay/frigate/request/st art",
            "frigate_replay/frigate/config/cameras/front/add",
            "frigate_replay/frigate/config/cameras/_replay_/add",
            "frigate_replay/frigate/config/cameras/_replay_front/update",
            "frigate_replay/frigate/config/cameras/_replay_front/add/x",
            "frigate/config/cameras/_replay_front/add",
            "frigate_replay/frigate/form/camera",
            "frigate_replay/frigate/form/camera/set/x",
            "frigate_replay/frigate/form/ca mera/set",
            "homeassistant/status/x",
        ] {
            assert_eq!(t.parse(foreign), None, "{foreign}");
        }
        assert_eq!(
            t.parse("frigate_replay/frigate/request/Start"),
            Some(Inbound::UnknownRequest("Start".into()))
        );
    }

    #[test]
    fn names_that_would_widen_a_topic_are_refused() {
        for prefix in ["", "/", "a/", "/a", "a//b", "a/+", "#", "$SYS", "a b", "a\0"] {
            assert!(Topics::new(prefix, "x").is_err(), "{prefix:?}");
        }
        for prefix in ["a/", "+", "homeassistant/#", "a b"] {
            assert!(topics().with_discovery(prefix).is_err(), "{prefix:?}");
        }
        let silent = topics().with_discovery("").unwrap();
        assert_eq!((silent.discovery(), silent.home_assistant()), (None, None));
        assert_eq!(silent.parse("homeassistant/status"), None);
        for instance in ["", "a/b", "+", "#", "a.b", "ä"] {
            assert!(Topics::new("p", instance).is_err(), "{instance:?}");
        }
        assert!(Topics::new("home/frigate_replay", "front-1").is_ok());
    }

    #[test]
    fn a_response_topic_leads_nowhere_but_below_our_responses() {
        let t = topics();
        let good = "frigate_replay/frigate/response/my/script";
        assert_eq!(t.checked_response_topic(good), Some(good.into()));
        for bad in [
            "frigate_replay/frigate/response/",
            "frigate_replay/frigate/responses/x",
            "frigate_replay/frigate/session",
            "frigate_replay/frigate/response/#",
            "frigate_replay/frigate/response/a+",
            "frigate_replay/frigate/response/\0",
            "homeassistant/x",
        ] {
            assert_eq!(t.checked_response_topic(bad), None, "{bad:?}");
        }
        let long = format!("frigate_replay/frigate/response/{}", "x".repeat(300));
        assert_eq!(t.checked_response_topic(&long), None);
    }
}
