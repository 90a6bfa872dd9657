//! Frigate's own words and files, purely: its config.yml, the replay camera's config, and what a
//! replay camera leaves behind. No file is opened here, no clock read, nothing logged.
//!
//! # From config.yml to a replay camera
//!
//! People tune detection on a replay, so its settings must be *equal* to those that run: what counts
//! is not what stands in the file but what Frigate makes of it. [`FrigateConfig`] repeats the way of
//! a camera through Frigate, step by step:
//!
//! 1. `yaml`, `scalar`: the text becomes a `tree` whose scalars mean what they mean to Frigate, and
//!    whose every value knows its line.
//! 2. `migrate`: shapes of older versions become today's, in memory.
//! 3. Overrides of a request are laid over the camera (`live`).
//! 4. `check` holds the camera and the global sections to the `tables` (made of `fields`): types,
//!    limits, unknown and missing keys.
//! 5. `resolve` lays the global sections below the camera's, fills in defaults, derives the rest and
//!    places polygons (`coordinates`) and areas in the detect frame; `labels` knows what the model
//!    can detect.
//! 6. `checks` are Frigate's own checks across settings.
//! 7. `replay_camera` writes the result; `schema` describes it.
//!
//! [`from_live`] enters at step 3 with what a running Frigate has resolved itself. [`shape`] goes on
//! from step 7 to what the HTTP API of a running Frigate takes.
//!
//! Only what the replayed camera needs decides: its own section and the global ones that flow into
//! it. [`FrigateConfig::findings`] looks at the rest.
//!
//! # Where this differs from Frigate, on purpose
//!
//! - Where Frigate dies with an exception of Python's (a zone that is null, coordinates of odd
//!   number), there is an error with its place; and all errors of a camera come at once.
//! - A broken other camera, a section that does not flow into cameras, or an unknown top-level key
//!   does not stop a replay. Of sections that flow into a camera but not into its replay (`record`,
//!   `snapshots`, …) only what Frigate's checks look at is read.
//! - The streams are not asked for the size of the frame: without `detect.width` and `height` it is
//!   1280x720, Frigate's own fallback, with a warning.
//! - A custom model's label map is read only if it is handed in.

pub mod artifacts;
mod check;
mod checks;
mod config;
mod coordinates;
mod env;
mod errors;
mod fields;
mod findings;
mod inputs;
mod labels;
mod live;
pub mod media;
mod merge;
mod migrate;
mod names;
mod own_settings;
mod placement;
mod python;
mod replay_camera;
mod resolve;
mod running;
mod scalar;
mod schema;
mod shape;
mod tables;
mod tree;
mod yaml;

pub use config::{FrigateConfig, ReplayCameraConfig};
pub use env::{ENV_PREFIX, Env};
pub use errors::{ConfigError, Finding, ReplayConfigError};
pub use findings::{CameraFindings, FileFindings};
pub use live::from_live;
pub use own_settings::{MqttSettings, OwnSettings, Password};
pub use running::{CamerasInConfig, RawConfigError, Release, Version, cameras_in_config};
pub use schema::camera_config_schema;
pub use shape::{ShapeError, Shaped, shape};
pub use yaml::{MAX_BYTES, MAX_VALUES};
