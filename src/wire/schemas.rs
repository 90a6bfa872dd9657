//! The JSON Schemas (2020-12) of all messages, generated from their types, each with examples.
//!
//! `schemas/` holds what [`all`] gives; a test keeps the two the same.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::form::{FormCamera, FormCameraSet, FormMinutes, FormMinutesSet, FormReplaySet};
use super::messages::{
    CameraAdd, CameraRemove, EventMessage, HistoryMessage, InfoMessage, JobStateMessage,
    PictureMessage, Response, SessionMessage,
};
use super::requests::{StartFromExportRequest, StartRequest, StopRequest};

/// A message's schema.
pub struct MessageSchema {
    /// Its name and that of its file in `schemas/`, without `.json`.
    pub name: &'static str,
    /// The schema.
    pub schema: Value,
}

/// A replay camera's config, which `camera-add` carries: its own schema and an example.
pub struct CameraConfigSchema {
    /// The schema.
    pub schema: Value,
    /// A config that fits it.
    pub example: Value,
}

/// Every message's schema, requests first.
pub fn all(camera_config: &CameraConfigSchema) -> Vec<MessageSchema> {
    vec![
        message::<StartRequest>("request-start", start_examples()),
        message::<StartFromExportRequest>(
            "request-start_from_export",
            vec![json!({"export_id": "front_a1b2c3", "transaction": "export-1"})],
        ),
        message::<StopRequest>("request-stop", vec![json!({}), json!({"job_id": "k3v9x0q2m7ab"})]),
        message::<FormCameraSet>("form-camera-set", vec![json!("front")]),
        message::<FormMinutesSet>("form-minutes-set", vec![json!(10)]),
        message::<FormReplaySet>(
            "form-replay-set",
            vec![json!({}), json!({"transaction": "from-the-wall-panel"})],
        ),
        message::<Response>("response", response_examples()),
        message::<SessionMessage>("session", session_examples()),
        message::<JobStateMessage>("job_state", job_examples()),
        camera_add(camera_config),
        message::<CameraRemove>(
            "camera-remove",
            vec![json!({
                "camera": "_replay_front", "source_camera": "front", "job_id": "k3v9x0q2m7ab",
                "reason": "stopped", "config": camera_config.example,
            })],
        ),
        message::<PictureMessage>(
            "picture",
            vec![
                json!({"url": "http://frigate:5000/api/_replay_front/latest.jpg?bbox=1&t=1767226320"}),
                json!({"url": null}),
            ],
        ),
        message::<EventMessage>("event", event_examples()),
        message::<HistoryMessage>("history", history_examples()),
        message::<InfoMessage>("info", info_examples()),
        message::<FormCamera>("form-camera", vec![json!("front")]),
        message::<FormMinutes>("form-minutes", vec![json!(10)]),
    ]
}

fn message<T: JsonSchema>(name: &'static str, examples: Vec<Value>) -> MessageSchema {
    let mut schema: Schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), json!(name));
    schema.insert("examples".to_owned(), Value::Array(examples));
    MessageSchema { name, schema: schema.into() }
}

fn camera_add(camera_config: &CameraConfigSchema) -> MessageSchema {
    let example = json!({
        "camera": "_replay_front", "source_camera": "front", "job_id": "k3v9x0q2m7ab",
        "config": camera_config.example,
    });
    let mut add = message::<CameraAdd>("camera-add", vec![example]);
    add.schema["properties"]["config"] = camera_config.schema.clone();
    add
}

fn start_examples() -> Vec<Value> {
    vec![
        json!({"camera": "front", "last_seconds": 600}),
        json!({
            "camera": "front", "start_time": 1767225600.0, "end_time": 1767226200.0,
            "transaction": "why-no-person-1",
        }),
        json!({
            "camera": "front", "start_time": "2026-01-01T00:00:00+00:00",
            "end_time": "2026-01-01T00:10:00+00:00",
            "overrides": {"objects": {"filters": {"person": {"min_score": 0.4}}}},
        }),
    ]
}

fn response_examples() -> Vec<Value> {
    vec![
        json!({
            "verb": "start", "status": "ok",
            "data": {"job_id": "k3v9x0q2m7ab", "replay_camera": "_replay_front",
                     "settings_source": "config_file"},
            "transaction": "why-no-person-1", "ts": 1767226300.25,
        }),
        json!({
            "verb": "start", "status": "error",
            "error": {"code": "unknown_camera",
                      "message": "camera: \"frnt\" is not in /config/config.yml; it has front, yard"},
            "ts": 1767226300.25,
        }),
    ]
}

fn session_examples() -> Vec<Value> {
    let inactive = serde_json::to_value(SessionMessage::default()).unwrap_or_default();
    vec![
        json!({
            "active": true, "replay_camera": "_replay_front", "source_camera": "front",
            "start_time": 1767225600.0, "end_time": 1767226200.0, "live_ready": true,
            "job_id": "k3v9x0q2m7ab", "phase": "live",
            "clip_path": "/media/frigate/frigate-replay/_replay_front.mp4",
            "session_started_at": 1767226300.0, "auto_stop_at": 1767269500.0,
            "segments": 60, "footage_seconds": 600.2, "gaps": 0, "clip_bytes": 52_428_800,
            "settings_source": "config_file", "overridden": false, "link": "added", "warnings": [],
        }),
        inactive,
    ]
}

fn job_examples() -> Vec<Value> {
    vec![
        json!({}),
        json!({"debug_replay": {
            "id": "k3v9x0q2m7ab", "job_type": "debug_replay", "status": "running",
            "start_time": 1767226300.0, "end_time": null, "error_message": null,
            "results": {
                "current_step": "preparing_clip", "progress_percent": 42.5,
                "source_camera": "front", "replay_camera_name": "_replay_front",
                "start_ts": 1767225600.0, "end_ts": 1767226200.0,
            },
        }}),
        json!({"debug_replay": {
            "id": "stopped", "job_type": "debug_replay", "status": "cancelled",
            "start_time": null, "end_time": 1767226900.0, "error_message": null,
            "results": {"source_camera": "front", "replay_camera_name": "_replay_front"},
        }}),
    ]
}

fn event_examples() -> Vec<Value> {
    vec![
        json!({"event_type": "live", "job_id": "k3v9x0q2m7ab", "camera": "_replay_front",
               "ts": 1767226301.0}),
        json!({"event_type": "failed", "job_id": "k3v9x0q2m7ab", "camera": "_replay_front",
               "ts": 1767226301.0, "message": "no space left for the clip"}),
    ]
}

fn history_examples() -> Vec<Value> {
    vec![json!({"jobs": [{
        "job_id": "k3v9x0q2m7ab", "source_camera": "front",
        "start_ts": 1767225600.0, "end_ts": 1767226200.0,
        "started_at": 1767226300.0, "ended_at": 1767226900.0,
        "status": "success", "reason": "stopped", "error_message": null,
    }]})]
}

fn info_examples() -> Vec<Value> {
    vec![json!({
        "version": "0.1.0", "worker_started_at": 1767220000.0, "schema_version": 1, "instance": "frigate",
        "cameras": ["front", "yard"],
        "verbs": {
            "start": "frigate_replay/frigate/request/start",
            "start_from_export": "frigate_replay/frigate/request/start_from_export",
            "stop": "frigate_replay/frigate/request/stop",
        },
        "limits": {"max_session_seconds": 43200.0, "max_range_seconds": 86400.0,
                   "max_request_bytes": 65536, "max_waiting_requests": 100},
        "config_error": null,
        "frigate": {"url": "http://frigate:5000", "reachable": true, "version": "0.18.0-abcdef0",
                    "way": "add_and_remove", "error": null, "left_over": []},
    })]
}
