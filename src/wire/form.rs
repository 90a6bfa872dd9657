//! The form: what a person chooses before pressing "replay the last minutes".
//!
//! Home Assistant's select, number and button have no place of their own for a value, so the worker
//! keeps the choice and shows it, retained, below `B/form/`. What is sent to `B/form/<control>/set`
//! is a request like any other: taken in turn, refused by name, never obeyed if it is retained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::words::CameraName;

use super::requests::{
    Code, Parsed, REQUEST_MAX_BYTES, Refusal, Request, Transaction, looks_like_python,
};

/// What Home Assistant's button sends unless it is told otherwise.
pub const PRESS: &str = "PRESS";

/// What can be operated, each a level below `B/form/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Which camera is to be replayed.
    Camera,
    /// How many of the last minutes.
    Minutes,
    /// The button: replay them.
    Replay,
}

impl Control {
    /// All of them, in the order in which they are filled in.
    pub const ALL: [Control; 3] = [Control::Camera, Control::Minutes, Control::Replay];

    /// The control's level in a topic.
    pub fn as_str(self) -> &'static str {
        match self {
            Control::Camera => "camera",
            Control::Minutes => "minutes",
            Control::Replay => "replay",
        }
    }

    /// The control of a topic's level.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|control| control.as_str() == text)
    }

    /// The verb under which it is answered: the button is a start; a choice is answered only if it
    /// is refused, for what is shown answers it.
    pub fn verb(self) -> &'static str {
        match self {
            Control::Camera | Control::Minutes => FORM_VERB,
            Control::Replay => "start",
        }
    }
}

/// The verb under which a choice is refused.
pub const FORM_VERB: &str = "form";

/// How the form is operated.
#[derive(Clone, Debug, PartialEq)]
pub enum FormChange {
    /// This camera is chosen.
    Camera(CameraName),
    /// So many minutes are chosen.
    Minutes(u32),
    /// The button is pressed.
    Replay,
}

/// `B/form/camera`: the chosen camera; null if none can be replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FormCamera(pub Option<CameraName>);

/// `B/form/camera/set`: chooses a camera. Its bare name, without quotes, is taken as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FormCameraSet(pub CameraName);

/// `B/form/minutes`: the chosen number of minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FormMinutes(#[schemars(range(min = 1))] pub u32);

/// `B/form/minutes/set`: chooses how many of the last minutes are replayed, a whole number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FormMinutesSet(#[schemars(range(min = 1))] pub u32);

/// `B/form/replay/set`: replays what is chosen. Nothing and `PRESS` are the same as `{}`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FormReplaySet {
    /// Comes back in the response; the same one twice has one effect.
    pub transaction: Option<Transaction>,
}

/// Reads the payload of `B/form/<control>/set`.
pub fn parse(control: Control, payload: &[u8]) -> Parsed {
    let mut transaction = None;
    let change = text_of(payload).and_then(|text| match control {
        Control::Camera => camera(text).map(FormChange::Camera),
        Control::Minutes => minutes(text).map(FormChange::Minutes),
        Control::Replay => press(text).map(|press| {
            transaction = press.transaction;
            FormChange::Replay
        }),
    });
    let request = change.map(Request::Form).map_err(|problem| {
        Refusal::new(Code::InvalidRequest, format!("{}: {problem}", control.as_str()))
    });
    Parsed { transaction, request }
}

fn text_of(payload: &[u8]) -> Result<&str, String> {
    if payload.len() > REQUEST_MAX_BYTES {
        return Err(format!("{} bytes are more than {REQUEST_MAX_BYTES}", payload.len()));
    }
    std::str::from_utf8(payload).map(str::trim).map_err(|error| format!("no UTF-8 text: {error}"))
}

/// A name as JSON, or bare: then it may look like a number.
fn camera(text: &str) -> Result<CameraName, String> {
    let quoted: Result<String, _> = serde_json::from_str(text);
    CameraName::parse(quoted.as_deref().unwrap_or(text)).map_err(|error| error.to_string())
}

fn minutes(text: &str) -> Result<u32, String> {
    let bare = text.trim_matches('"').trim();
    let wrong = || format!("{bare:?} must be a whole number of minutes, 1 or more");
    let number: f64 = bare.parse().map_err(|_| wrong())?;
    // 10.0 is how some templates write 10.
    if number.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&number) {
        Ok(number as u32)
    } else {
        Err(wrong())
    }
}

fn press(text: &str) -> Result<FormReplaySet, String> {
    if text.is_empty() || text == PRESS {
        return Ok(FormReplaySet::default());
    }
    let fields: Map<String, Value> = serde_json::from_str(text).map_err(|_| {
        let hint = if looks_like_python(text) {
            "; this is a Python dictionary: in a Home Assistant template end it with `| to_json`"
        } else {
            ""
        };
        format!("send {PRESS}, nothing, or a JSON object with a transaction{hint}")
    })?;
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(control: Control, payload: &str) -> FormChange {
        match parse(control, payload.as_bytes()).request.unwrap() {
            Request::Form(change) => change,
            other => panic!("{other:?}"),
        }
    }

    fn refusal(control: Control, payload: &[u8]) -> String {
        let refusal = parse(control, payload).request.expect_err("accepted");
        assert_eq!(refusal.code, Code::InvalidRequest);
        assert!(refusal.message.starts_with(control.as_str()), "{}", refusal.message);
        refusal.message
    }

    #[test]
    fn a_choice_is_read_as_json_and_bare() {
        for (payload, name) in [("\"front\"", "front"), ("front\n", "front"), ("10", "10")] {
            let wanted = FormChange::Camera(CameraName::parse(name).unwrap());
            assert_eq!(change(Control::Camera, payload), wanted);
        }
        for payload in ["10", "10.0", "\"10\"", " 10 ", "1e1"] {
            assert_eq!(change(Control::Minutes, payload), FormChange::Minutes(10));
        }
        for payload in ["", "PRESS", "{}", r#"{"transaction": 7}"#] {
            assert_eq!(change(Control::Replay, payload), FormChange::Replay);
        }
        let pressed = parse(Control::Replay, br#"{"transaction": 7}"#);
        assert_eq!(pressed.transaction, Transaction::new(json!(7)));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name_and_value() {
        for payload in ["", "../front", "#", "_replay_front", "[]", "{'camera': 'front'}"] {
            refusal(Control::Camera, payload.as_bytes());
        }
        for payload in ["", "0", "-1", "2.5", "NaN", "inf", "1e300", "ten", "null", "[10]"] {
            assert!(refusal(Control::Minutes, payload.as_bytes()).contains("whole number"));
        }
        assert!(refusal(Control::Replay, br#"{"camera": "front"}"#).contains("camera"));
        assert!(refusal(Control::Replay, b"{'transaction': 'x'}").contains("| to_json"));
        assert!(refusal(Control::Replay, b"now").contains("PRESS"));
        assert!(refusal(Control::Replay, b"[]").contains("PRESS"));
        let large = vec![b'1'; REQUEST_MAX_BYTES + 1];
        for control in Control::ALL {
            refusal(control, b"\xff");
            assert!(refusal(control, &large).contains("65536"));
        }
    }
}
