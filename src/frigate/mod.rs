//! Frigate's own words and files, purely: its config.yml, the replay camera's config, and what a
//! replay camera leaves behind. No file is opened here, no clock read, nothing logged.

pub mod artifacts;
pub mod media;
