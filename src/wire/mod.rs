//! The contract on the bus: topics, requests and messages, as bytes to types and back.
//!
//! Everything that a topic can carry is a type in [`requests`] (in) or [`messages`] (out); the JSON
//! Schemas of `schemas/` are generated from the same types by [`schemas`], and its AsyncAPI document by
//! [`asyncapi`] from the table of all topics in [`contract`]. Nothing here knows a
//! broker, and nothing is built from a name that was not checked.

pub mod asyncapi;
pub mod contract;
pub mod discovery;
pub mod form;
pub mod messages;
pub mod requests;
pub mod schemas;
pub mod topics;

/// A message for the broker, QoS 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where.
    pub topic: String,
    /// What; empty and retained clears the topic.
    pub payload: bytes::Bytes,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// How long the broker keeps it, seconds; for ever if `None`.
    pub expiry_s: Option<u32>,
    /// MQTT 5 Correlation Data.
    pub correlation: Option<Vec<u8>>,
}
