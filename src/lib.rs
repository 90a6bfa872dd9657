//! frigate-replay: Frigate's debug replay for everything that speaks MQTT.
//!
//! The modules stand on floors, and imports go down only (`tests/floors.rs` holds them to it):
//!
//! | floor | modules | may do |
//! |---|---|---|
//! | 6 | [`cli`] | commands: read the environment, make the runtime, hand plain values down |
//! | 5 | [`worker`] | the loop: save, publish, act |
//! | 4 | [`job`], [`sweep`], [`client`], [`settings`] | put hands to a piece of work |
//! | 3 | [`bus`], [`outbox`], [`store`], [`database`], [`files`], [`clip`], [`config_file`], [`link`], [`health`], [`clock`] | hands: each touches one thing of the world, none another |
//! | | [`fault`] | faults on purpose, in tests only |
//! | 2 | [`session`] | decide, purely |
//! | 1 | [`wire`], [`frigate`] | bytes to types and back, purely |
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
pub mod fault;
pub mod files;
pub mod frigate;
pub mod health;
pub mod job;
pub mod link;
pub mod outbox;
pub mod session;
pub mod settings;
pub mod store;
pub mod sweep;
pub mod wire;
pub mod words;
pub mod worker;
