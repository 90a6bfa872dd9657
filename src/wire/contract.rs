//! The table of all topics: who publishes each, whether the broker keeps it, what it carries.
//!
//! README shows the same table and `schemas/asyncapi.yaml` is written from it; tests keep the three
//! the same, and hold every message that they capture against it.

use Direction::{In, Itself, Out};
use Payload::{Foreign, Json, OneOf, Text};
use Retained::{Never, No, Yes};

/// How long a camera's `remove` is kept, in seconds: a week.
pub const REMOVAL_KEPT_S: u32 = 7 * 24 * 3600;

/// Who publishes to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Whoever asks something of the worker.
    In,
    /// The worker.
    Out,
    /// The worker, and it alone reads it.
    Itself,
}

impl Direction {
    /// As README's table says it.
    pub fn as_str(self) -> &'static str {
        match self {
            In => "in",
            Out => "out",
            Itself => "itself",
        }
    }
}

/// Whether the broker keeps the newest message of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retained {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It must not: a retained request would come again with every connection. It is refused.
    Never,
}

impl Retained {
    /// As README's table says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Yes => "yes",
            No => "no",
            Never => "never",
        }
    }
}

/// What a topic carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// JSON of the schema of this name.
    Json(&'static str),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// Any text; this is an example.
    Text(&'static str),
    /// A JSON object whose shape is somebody else's: this says whose.
    Foreign(&'static str),
}

/// A topic, or all the topics of one pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The topic: `B` is the base, what stands in angle brackets is one level of its own.
    pub topic: &'static str,
    /// Who publishes to it.
    pub direction: Direction,
    /// Whether the broker keeps it.
    pub retained: Retained,
    /// After how many seconds the broker forgets it; never if `None`.
    pub kept_s: Option<u32>,
    /// What it carries.
    pub payload: Payload,
    /// What it says, for a person.
    pub says: &'static str,
}

/// Every topic, in the order in which README shows them.
#[rustfmt::skip] // One line each, as the table that it is.
pub const CHANNELS: &[Channel] = &[
    channel("B/request/start", In, Never, Json("request-start"), "replay a range of a camera's recordings"),
    channel("B/request/start_from_export", In, Never, Json("request-start_from_export"), "replay an export"),
    channel("B/request/stop", In, Never, Json("request-stop"), "end the replay"),
    channel("B/form/camera/set", In, Never, Json("form-camera-set"), "choose the camera that the button replays"),
    channel("B/form/minutes/set", In, Never, Json("form-minutes-set"), "choose how many of the last minutes"),
    channel("B/form/replay/set", In, Never, Json("form-replay-set"), "the button: replay what is chosen"),
    channel("B/form/camera", Out, Yes, Json("form-camera"), "the chosen camera"),
    channel("B/form/minutes", Out, Yes, Json("form-minutes"), "the chosen number of minutes"),
    channel("B/request/sync", Itself, Never, Text("5f0c1b9e6a7d4c32"), "the worker's own echo, by which it knows that requests can arrive"),
    channel("B/response/<verb>", Out, No, Json("response"), "the answer to a request"),
    channel("B/last_response", Out, Yes, Json("response"), "the newest answer, for scripts that look a moment later"),
    channel("B/session", Out, Yes, Json("session"), "the replay that is active, or that there is none"),
    channel("B/job_state", Out, Yes, Json("job_state"), "the job that makes the clip and adds the camera, in Frigate's own shape"),
    channel("B/config/cameras/<replay camera>/add", Out, Yes, Json("camera-add"), "the replay camera is there, with its whole config"),
    channel("B/config/cameras/<replay camera>/remove", Out, Yes, Json("camera-remove"), "it is gone, and why; for a week").kept(REMOVAL_KEPT_S),
    channel("B/event", Out, No, Json("event"), "one message for each thing that happened"),
    channel("B/picture", Out, Yes, Json("picture"), "where Frigate shows the replay, if `frigate_url` is set and asks for no login"),
    channel("B/history", Out, Yes, Json("history"), "the last 50 replays"),
    channel("B/info", Out, Yes, Json("info"), "version, cameras, verbs, limits"),
    channel("B/available", Out, Yes, OneOf(&["online", "offline"]), "`online` or `offline`; also the last will"),
    channel("homeassistant/device/frigate_replay_<instance>/config", Out, Yes, Foreign("Home Assistant's own device discovery"), "the device in Home Assistant, below `discovery_prefix`"),
    channel("homeassistant/status", In, No, OneOf(&["online", "offline"]), "`online` from Home Assistant: it has started, and is told of the device again"),
];

const fn channel(
    topic: &'static str,
    direction: Direction,
    retained: Retained,
    payload: Payload,
    says: &'static str,
) -> Channel {
    Channel { topic, direction, retained, kept_s: None, payload, says }
}

impl Channel {
    const fn kept(self, seconds: u32) -> Self {
        Self { kept_s: Some(seconds), ..self }
    }

    /// Whether `topic` is of this channel, below `base`. A response's topic may have several levels
    /// after `response`: a requester may choose where below it is answered.
    pub fn covers(&self, base: &str, topic: &str) -> bool {
        let pattern = match self.topic.strip_prefix("B/") {
            Some(below) => format!("{base}/{below}"),
            None => self.topic.to_owned(),
        };
        if let Some(below) = pattern.strip_suffix("<verb>") {
            return topic.strip_prefix(below).is_some_and(|rest| !rest.is_empty());
        }
        let (wanted, given): (Vec<_>, Vec<_>) =
            (pattern.split('/').collect(), topic.split('/').collect());
        wanted.len() == given.len() && wanted.into_iter().zip(given).all(|(w, g)| fits(w, g))
    }
}

/// Whether a topic's level is one that `pattern` stands for.
fn fits(pattern: &str, level: &str) -> bool {
    match pattern.split_once('<').map(|(before, rest)| (before, rest.split_once('>'))) {
        Some((before, Some((_, after)))) => {
            level.len() > before.len() + after.len()
                && level.starts_with(before)
                && level.ends_with(after)
        }
        _ => pattern == level,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::form::Control;
    use crate::wire::requests::Verb;
    use crate::wire::topics::{Topics, Update};
    use crate::words::CameraName;

    #[test]
    fn the_table_has_exactly_the_topics_that_can_be_built() {
        let t = Topics::new("frigate_replay", "frigate").unwrap();
        let t = t.with_discovery("homeassistant").unwrap();
        let camera = CameraName::parse("front").unwrap().replay();
        let mut built: Vec<String> = Verb::ALL.iter().map(|verb| t.request(*verb)).collect();
        built.extend(Control::ALL.iter().map(|control| t.form_set(*control)));
        built.extend([
            t.form(Control::Camera),
            t.form(Control::Minutes),
            t.picture(),
            t.discovery().unwrap(),
            t.home_assistant().unwrap(),
            t.sync(),
            t.response("start"),
            t.last_response(),
            t.session(),
            t.job_state(),
            t.camera(&camera, Update::Add),
            t.camera(&camera, Update::Remove),
            t.event(),
            t.history(),
            t.info(),
            t.available(),
        ]);
        for topic in &built {
            let of = CHANNELS.iter().filter(|channel| channel.covers(t.base(), topic)).count();
            assert_eq!(of, 1, "{topic}");
        }
        assert_eq!(built.len(), CHANNELS.len());
    }

    #[test]
    fn a_channel_covers_its_own_topics_only() {
        let of = |topic: &str| {
            CHANNELS.iter().find(|channel| channel.covers("p/i", topic)).map(|found| found.topic)
        };
        assert_eq!(of("p/i/response/my/script"), Some("B/response/<verb>"));
        assert_eq!(
            of("p/i/config/cameras/_replay_x/add"),
            Some("B/config/cameras/<replay camera>/add")
        );
        for foreign in ["p/i", "p/i/response/", "p/i/session/x", "p/j/session", "p/i/request/other"]
        {
            assert_eq!(of(foreign), None, "{foreign}");
        }
    }
}
