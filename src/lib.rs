//! frigate-replay: Frigate's debug replay for everything that speaks MQTT.
//!
//! The modules stand on floors, and imports go down only (`tests/floors.rs` holds them to it):
//!
//! | floor | modules | may do |
//! |---|---|---|
//! | 5 | [`cli`], [`settings`] | parse what the user says, hand plain values down |
//! | 4 | `worker`, `job`, `demo`, `client` | put hands and decisions together |
//! | 3 | `store`, `bus`, `outbox`, `database`, `files`, [`clip`], `link` | touch the world; none imports another |
//! | 2 | `session` | decide, purely |
//! | 1 | `wire`, [`frigate`] | bytes to types and back, purely |
//! | 0 | [`words`] | the names of things |
//!
//! Floors 0 to 2 know no file, clock, process, thread, random number or log.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![warn(missing_docs)]

pub mod bus;
pub mod cli;
pub mod client;
pub mod clip;
pub mod clock;
pub mod config_file;
pub mod database;
pub mod files;
pub mod frigate;
pub mod health;
pub mod job;
pub mod outbox;
pub mod session;
pub mod settings;
pub mod store;
pub mod sweep;
pub mod wire;
pub mod words;
pub mod worker;
