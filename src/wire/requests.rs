//! What may be asked of the worker, and the refusal of everything else.
//!
//! The request types are what `schemas/` is generated from. [`parse`] never fails without a sentence
//! that names the field, the value and what would be right.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::words::{CameraName, TimeRange, UnixTime};

use super::form::FormChange;

/// Largest request taken, in bytes. A start with overrides of every section is below 8 KiB.
pub const REQUEST_MAX_BYTES: usize = 64 * 1024;

/// How far the end of a range may lie ahead of our clock, in seconds: clocks of two machines differ.
pub const CLOCK_SKEW_S: f64 = 60.0;

/// The commands, each a topic below `B/request/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Replay a range of a camera's recordings.
    Start,
    /// Replay an export.
    StartFromExport,
    /// End the session.
    Stop,
}

impl Verb {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Verb; 3] = [Verb::Start, Verb::StartFromExport, Verb::Stop];

    /// The verb's level in a topic.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::StartFromExport => "start_from_export",
            Verb::Stop => "stop",
        }
    }

    /// The verb of a topic's level.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not understood: not JSON, a wrong shape, an unknown field, a value that cannot be.
    InvalidRequest,
    /// No such camera in Frigate's config.
    UnknownCamera,
    /// The times make no range that can be replayed.
    InvalidRange,
    /// Nothing was recorded in the range.
    NoRecordings,
    /// No such export.
    ExportNotFound,
    /// The export is unfinished, its file is gone, or it is no video.
    ExportUnusable,
    /// A replay is active already.
    AlreadyActive,
    /// No replay is active.
    NotActive,
    /// Something that the request needs cannot be read just now; the same request may succeed later.
    Unavailable,
    /// A fault of the worker.
    Internal,
}

/// A refusal: its code and a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people: names the field, the value and what would be right.
    pub message: String,
}

impl Refusal {
    /// A refusal with `code` and `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Any JSON string or number of the requester's; it comes back in the response.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Transaction(#[schemars(extend("type" = ["string", "number"], "maxLength" = 256))] Value);

impl Transaction {
    /// Longest text taken, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// `None` unless `value` is a number or a text of at most [`Self::MAX_BYTES`].
    pub fn new(value: Value) -> Option<Self> {
        match &value {
            Value::Number(_) => Some(Self(value)),
            Value::String(text) if text.len() <= Self::MAX_BYTES => Some(Self(value)),
            _ => None,
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::String(text) => f.write_str(text),
            other => write!(f, "{other}"),
        }
    }
}

impl<'de> Deserialize<'de> for Transaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::new(value).ok_or_else(|| {
            de::Error::custom(format_args!(
                "must be a number or a text of at most {} bytes",
                Self::MAX_BYTES
            ))
        })
    }
}

/// A time in a request: unix seconds as a number or a numeric text, or RFC 3339 with an offset.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema)]
#[schemars(
    with = "Value",
    extend("type" = ["number", "string"]),
    description = "Unix seconds as a number or a numeric text, or RFC 3339 text with an offset."
)]
pub struct RequestTime(pub UnixTime);

impl RequestTime {
    fn from_text(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if let Ok(seconds) = trimmed.parse::<f64>() {
            return Self::from_seconds(seconds)
                .ok_or_else(|| format!("{text:?} is not a finite number"));
        }
        match trimmed.parse::<jiff::Timestamp>() {
            Ok(time) => Self::from_seconds(time.as_duration().as_secs_f64())
                .ok_or_else(|| format!("{text:?} is out of range")),
            Err(_) => Err(format!(
                "{text:?} is no time; use unix seconds such as 1767225600, or RFC 3339 with an \
                 offset such as 2026-01-01T00:00:00+00:00"
            )),
        }
    }

    fn from_seconds(seconds: f64) -> Option<Self> {
        UnixTime::new(seconds).map(Self)
    }
}

/// A length of time in a request, in seconds: a number or a numeric text above zero.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema)]
#[schemars(
    with = "Value",
    extend("type" = ["number", "string"], "exclusiveMinimum" = 0),
    description = "Seconds above zero, as a number or a numeric text."
)]
pub struct RequestSeconds(pub f64);

impl RequestSeconds {
    fn checked(seconds: f64, shown: &dyn fmt::Display) -> Result<Self, String> {
        if seconds.is_finite() && seconds > 0.0 {
            Ok(Self(seconds))
        } else {
            Err(format!("{shown} must be a number of seconds above 0"))
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text.trim().parse::<f64>() {
            Ok(seconds) => Self::checked(seconds, &format_args!("{text:?}")),
            Err(_) => Err(format!("{text:?} is no number of seconds")),
        }
    }
}

/// Reads a number, or a text by `from_text`.
struct NumberOrText<T> {
    expecting: &'static str,
    from_number: fn(f64) -> Result<T, String>,
    from_text: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for NumberOrText<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<T, E> {
        (self.from_number)(v).map_err(E::custom)
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<T, E> {
        // Exact up to 2^53 s, far beyond any recording.
        (self.from_number)(v as f64).map_err(E::custom)
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<T, E> {
        (self.from_number)(v as f64).map_err(E::custom)
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<T, E> {
        (self.from_text)(v).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for RequestTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText {
            expecting: "unix seconds or RFC 3339 text",
            from_number: |v| Self::from_seconds(v).ok_or_else(|| format!("{v} is not finite")),
            from_text: Self::from_text,
        })
    }
}

impl<'de> Deserialize<'de> for RequestSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText {
            expecting: "a number of seconds",
            from_number: |v| Self::checked(v, &v),
            from_text: Self::from_text,
        })
    }
}

/// `B/request/start`: replay a range of a camera's recordings.
///
/// Either `start_time` and `end_time`, or `last_seconds` (the range that ends now).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    /// The camera whose recordings are replayed, a key of `cameras:` in Frigate's config.yml.
    pub camera: CameraName,
    /// Where the range begins.
    pub start_time: Option<RequestTime>,
    /// Where the range ends.
    pub end_time: Option<RequestTime>,
    /// Instead of both times: the last so many seconds.
    pub last_seconds: Option<RequestSeconds>,
    /// Settings that the replay uses instead of the camera's own: any part of the sections
    /// detect, objects, motion, zones, lpr and face_recognition, merged over the camera's.
    pub overrides: Option<Map<String, Value>>,
    /// Comes back in the response; the same one twice has one effect.
    pub transaction: Option<Transaction>,
}

/// `B/request/start_from_export`: replay an export of Frigate's.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartFromExportRequest {
    /// The export's id in Frigate's database.
    #[schemars(length(min = 1, max = 128))]
    pub export_id: String,
    /// As in a start.
    pub overrides: Option<Map<String, Value>>,
    /// Comes back in the response; the same one twice has one effect.
    pub transaction: Option<Transaction>,
}

/// `B/request/stop`: end the session. An empty payload is the same as `{}`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Stop only the session of this job.
    pub job_id: Option<String>,
    /// Comes back in the response.
    pub transaction: Option<Transaction>,
}

/// The stretch of time that a start asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// From one time to another.
    Between(UnixTime, UnixTime),
    /// So many seconds, ending now.
    Last(f64),
}

impl Span {
    /// The range as of `now`, refused if it is empty, in the future, before 1970 or longer than
    /// `max_s` seconds.
    pub fn range(self, now: UnixTime, max_s: f64) -> Result<TimeRange, Refusal> {
        let refuse = |message: String| Err(Refusal::new(Code::InvalidRange, message));
        let (start, end) = match self {
            Span::Between(start, end) => (start, end),
            Span::Last(seconds) if seconds > max_s => {
                return refuse(format!(
                    "last_seconds: {seconds} is longer than the limit of {max_s} seconds"
                ));
            }
            Span::Last(seconds) => (now.plus(-seconds), now),
        };
        if start.seconds() < 0.0 {
            return refuse(format!("start_time: {start} is before 1970"));
        }
        if end.since(start) <= 0.0 {
            return refuse(format!("end_time: {end} must be after start_time, which is {start}"));
        }
        if end.since(now) > CLOCK_SKEW_S {
            return refuse(format!("end_time: {end} is in the future; it is now {now}"));
        }
        if end.since(start) > max_s {
            return refuse(format!(
                "end_time: the range of {} seconds is longer than the limit of {max_s} seconds",
                end.since(start)
            ));
        }
        Ok(TimeRange { start, end })
    }
}

/// A request that was understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Replay recordings.
    Start {
        /// Whose recordings.
        camera: CameraName,
        /// Which stretch.
        span: Span,
        /// With which settings instead of the camera's own.
        overrides: Option<Map<String, Value>>,
    },
    /// Replay an export.
    StartFromExport {
        /// Its id.
        export_id: String,
        /// With which settings instead of the camera's own.
        overrides: Option<Map<String, Value>>,
    },
    /// End the session.
    Stop {
        /// Only if it is this job's.
        job_id: Option<String>,
    },
    /// The form is operated.
    Form(FormChange),
}

/// A payload, read: the transaction is known even where the rest is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What to give back in the response.
    pub transaction: Option<Transaction>,
    /// What is asked, or why it cannot be.
    pub request: Result<Request, Refusal>,
}

impl Parsed {
    /// A payload that was not even read.
    pub fn refused(refusal: Refusal) -> Self {
        Self { transaction: None, request: Err(refusal) }
    }
}

/// Reads the payload of a command topic.
pub fn parse(verb: Verb, payload: &[u8]) -> Parsed {
    let value = match json_of(verb, payload) {
        Ok(value) => value,
        Err(message) => {
            return Parsed::refused(Refusal::new(Code::InvalidRequest, message));
        }
    };
    let transaction = value.get("transaction").and_then(|value| Transaction::new(value.clone()));
    let request = match verb {
        Verb::Start => typed::<StartRequest>(value).and_then(start),
        Verb::StartFromExport => typed::<StartFromExportRequest>(value).and_then(from_export),
        Verb::Stop => typed::<StopRequest>(value).map(|stop| Request::Stop { job_id: stop.job_id }),
    };
    Parsed {
        transaction,
        request: request.map_err(|message| Refusal::new(Code::InvalidRequest, message)),
    }
}

fn json_of(verb: Verb, payload: &[u8]) -> Result<Value, String> {
    if payload.len() > REQUEST_MAX_BYTES {
        return Err(format!(
            "the request of {} bytes is larger than {REQUEST_MAX_BYTES}",
            payload.len()
        ));
    }
    let text = std::str::from_utf8(payload)
        .map_err(|error| format!("the request is not UTF-8 text: {error}"))?;
    if text.trim().is_empty() {
        return match verb {
            Verb::Stop => Ok(Value::Object(Map::new())),
            _ => Err(format!(
                "the request is empty; {} needs a JSON object such as {}",
                verb.as_str(),
                example(verb)
            )),
        };
    }
    let value: Value = serde_json::from_str(text).map_err(|error| {
        if looks_like_python(text) {
            format!(
                "the request is a Python dictionary, not JSON ({error}); in a Home Assistant \
                 template end it with `| to_json`"
            )
        } else {
            format!("the request is not JSON: {error}")
        }
    })?;
    if value.is_object() {
        return Ok(value);
    }
    Err(format!("the request is {}, not a JSON object such as {}", kind_of(&value), example(verb)))
}

/// Home Assistant renders a template's dictionary in Python's way: single quotes, `None`, `True`.
pub(super) fn looks_like_python(text: &str) -> bool {
    let start = text.trim_start();
    start.starts_with("{'") || (start.starts_with('{') && start.contains("': "))
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(_) => "a text".to_owned(),
        other => other.to_string(),
    }
}

fn example(verb: Verb) -> &'static str {
    match verb {
        Verb::Start => r#"{"camera": "front", "last_seconds": 600}"#,
        Verb::StartFromExport => r#"{"export_id": "front_a1b2c3"}"#,
        Verb::Stop => "{}",
    }
}

fn typed<'de, T: Deserialize<'de>>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if path == "." { inner.to_string() } else { format!("{path}: {inner}") }
    })
}

fn start(request: StartRequest) -> Result<Request, String> {
    let span = match (request.start_time, request.end_time, request.last_seconds) {
        (Some(start), Some(end), None) => Span::Between(start.0, end.0),
        (None, None, Some(seconds)) => Span::Last(seconds.0),
        (None, None, None) => {
            return Err("start_time: missing; give start_time and end_time, or last_seconds".into());
        }
        (Some(_), None, None) => return Err("end_time: missing beside start_time".into()),
        (None, Some(_), None) => return Err("start_time: missing beside end_time".into()),
        (_, _, Some(_)) => {
            return Err(
                "last_seconds: stands for start_time and end_time; give either, not both".into()
            );
        }
    };
    Ok(Request::Start { camera: request.camera, span, overrides: request.overrides })
}

fn from_export(request: StartFromExportRequest) -> Result<Request, String> {
    let id = &request.export_id;
    if id.is_empty() || id.len() > 128 || id.chars().any(char::is_control) {
        return Err(format!("export_id: {id:?} must be 1 to 128 plain characters"));
    }
    Ok(Request::StartFromExport { export_id: request.export_id, overrides: request.overrides })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(verb: Verb, payload: &[u8]) -> String {
        let parsed = parse(verb, payload);
        let refusal = parsed.request.expect_err("accepted");
        assert_eq!(refusal.code, Code::InvalidRequest);
        refusal.message
    }

    fn span(payload: &str) -> Span {
        match parse(Verb::Start, payload.as_bytes()).request.unwrap() {
            Request::Start { span, .. } => span,
            other => panic!("{other:?}"),
        }
    }

    fn at(seconds: f64) -> UnixTime {
        UnixTime::new(seconds).unwrap()
    }

    #[test]
    fn times_come_as_numbers_numeric_text_or_rfc_3339() {
        let wanted = Span::Between(at(1767225600.0), at(1767226200.5));
        for (start, end) in [
            ("1767225600", "1767226200.5"),
            ("\"1767225600\"", "\" 1767226200.5 \""),
            ("\"2026-01-01T00:00:00Z\"", "\"2026-01-01T01:10:00.5+01:00\""),
            ("\"2026-01-01 00:00:00+00:00\"", "1767226200.5"),
        ] {
            let payload = format!(r#"{{"camera":"front","start_time":{start},"end_time":{end}}}"#);
            assert_eq!(span(&payload), wanted, "{payload}");
        }
        assert_eq!(span(r#"{"camera":"a","last_seconds":"90"}"#), Span::Last(90.0));
    }

    #[test]
    fn a_refusal_names_the_field_and_the_value() {
        for (payload, words) in [
            (r#"{"camera":"a/b","last_seconds":1}"#, vec!["camera:", "a/b", "'/'"]),
            (r#"{"camera":5,"last_seconds":1}"#, vec!["camera:", "5"]),
            (r#"{"last_seconds":1}"#, vec!["camera"]),
            (r#"{"camera":"a","last_seconds":-1}"#, vec!["last_seconds:", "-1"]),
            (r#"{"camera":"a","last_seconds":"soon"}"#, vec!["last_seconds:", "soon"]),
            (r#"{"camera":"a","last_seconds":true}"#, vec!["last_seconds:", "true"]),
            (r#"{"camera":"a","start_time":"NaN","end_time":1}"#, vec!["start_time:", "NaN"]),
            (
                r#"{"camera":"a","start_time":"noon","end_time":1}"#,
                vec!["start_time:", "noon", "RFC"],
            ),
            (
                r#"{"camera":"a","start_time":"2026-01-01T00:00:00","end_time":1}"#,
                vec!["start_time:", "offset"],
            ),
            (r#"{"camera":"a","start_time":1}"#, vec!["end_time:"]),
            (r#"{"camera":"a","end_time":1}"#, vec!["start_time:"]),
            (r#"{"camera":"a"}"#, vec!["start_time", "last_seconds"]),
            (
                r#"{"camera":"a","start_time":1,"end_time":2,"last_seconds":3}"#,
                vec!["last_seconds:"],
            ),
            (r#"{"camera":"a","last_seconds":1,"length":2}"#, vec!["length", "last_seconds"]),
            (r#"{"camera":"a","last_seconds":1,"overrides":[]}"#, vec!["overrides:"]),
            (r#"{"camera":"a","last_seconds":1,"transaction":{}}"#, vec!["transaction:"]),
            (r#"{"camera":"a","last_seconds":1e999}"#, vec!["not JSON"]),
            (r#"{"camera": NaN}"#, vec!["not JSON"]),
            ("[1]", vec!["a list", "camera"]),
            ("", vec!["empty", "camera"]),
            ("{'camera': 'front'}", vec!["Python", "to_json"]),
        ] {
            let message = refusal(Verb::Start, payload.as_bytes());
            for word in words {
                assert!(message.contains(word), "{payload}: {message}");
            }
        }
        assert!(refusal(Verb::Start, &[0xff, 0xfe]).contains("UTF-8"));
        let large = vec![b' '; REQUEST_MAX_BYTES + 1];
        assert!(refusal(Verb::Stop, &large).contains("65537"));
        assert!(refusal(Verb::StartFromExport, br#"{"export_id":""}"#).contains("export_id:"));
        assert!(
            refusal(Verb::StartFromExport, b"{\"export_id\":\"a\\u0000\"}").contains("export_id:")
        );
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_crash() {
        let deep = format!(r#"{{"overrides":{}1{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert!(refusal(Verb::Start, deep.as_bytes()).contains("not JSON"));
    }

    #[test]
    fn a_transaction_is_known_even_of_a_refused_request() {
        let parsed = parse(Verb::Start, br#"{"transaction": 7, "wrong": 1}"#);
        assert!(parsed.request.is_err());
        assert_eq!(parsed.transaction.unwrap().to_string(), "7");
    }

    #[test]
    fn an_empty_stop_is_a_stop() {
        for payload in ["", "{}", "  "] {
            assert_eq!(
                parse(Verb::Stop, payload.as_bytes()).request,
                Ok(Request::Stop { job_id: None })
            );
        }
    }

    #[test]
    fn a_range_must_lie_behind_us_and_within_the_limit() {
        let now = at(1_000_000.0);
        let range = |span: Span| span.range(now, 3600.0);
        assert_eq!(range(Span::Last(600.0)), Ok(TimeRange { start: at(999_400.0), end: now }));
        assert!(range(Span::Between(at(1.0), at(2.0))).is_ok());
        // A clock that runs a little ahead of ours is no future.
        assert!(range(Span::Between(now, at(1_000_030.0))).is_ok());
        for bad in [
            Span::Between(at(5.0), at(5.0)),
            Span::Between(at(6.0), at(5.0)),
            Span::Between(at(-5.0), at(5.0)),
            Span::Between(at(999_000.0), at(2_000_000.0)),
            Span::Between(at(f64::MIN), at(f64::MAX)),
            Span::Between(at(0.0), at(3600.1)),
            Span::Last(3601.0),
            Span::Last(f64::MAX),
        ] {
            assert_eq!(range(bad).unwrap_err().code, Code::InvalidRange, "{bad:?}");
        }
    }
}
