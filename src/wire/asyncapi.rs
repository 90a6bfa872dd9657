//! The contract as an AsyncAPI 3.0 document, seen from the worker: it receives requests and sends
//! the rest. Payloads are references to the JSON Schemas beside it.
//!
//! `schemas/asyncapi.yaml` holds what [`document`] gives; a test keeps the two the same.

use serde_json::{Map, Value, json};

use super::contract::{CHANNELS, Channel, Direction, Payload, Retained};
use super::messages::SCHEMA_VERSION;
use super::schemas::MessageSchema;

/// The version of AsyncAPI's MQTT bindings that is meant.
const BINDING_VERSION: &str = "0.2.0";

/// The whole document. `messages` are all messages' schemas.
pub fn document(messages: &[MessageSchema]) -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": info(),
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": CHANNELS.iter().map(|it| (id(it), channel(it))).collect::<Map<_, _>>(),
        "operations": CHANNELS.iter().flat_map(operations).collect::<Map<_, _>>(),
        "components": {
            "messages": components(messages),
            "parameters": parameters(),
            "correlationIds": {
                "transaction": {
                    "description": "The requester's own; it comes back in the response.",
                    "location": "$message.payload#/transaction",
                },
            },
            "securitySchemes": {
                "login": {
                    "type": "userPassword",
                    "description": "A user of the broker; docker/mosquitto/acl says who may do what.",
                },
            },
        },
    })
}

fn info() -> Value {
    json!({
        "title": "frigate-replay",
        "version": SCHEMA_VERSION.to_string(),
        "description": "Frigate's debug replay for everything that speaks MQTT. Everything is QoS 1 and JSON in \
                        UTF-8 unless it says otherwise; times are unix seconds. The version is \
                        `schema_version` of `info`.",
        "license": {"name": "MIT OR Apache-2.0"},
    })
}

fn servers() -> Value {
    let server = |protocol: &str, port: &str| {
        json!({
            "host": "{host}:{port}",
            "protocol": protocol,
            "protocolVersion": "5.0",
            "variables": {
                "host": {"default": "localhost", "description": "As in Frigate's config, mqtt.host."},
                "port": {"default": port},
            },
            "security": [{"$ref": "#/components/securitySchemes/login"}],
            "bindings": {"mqtt": {
                "lastWill": {"topic": "frigate_replay/frigate/available", "qos": 1,
                             "message": "offline", "retain": true},
                "bindingVersion": BINDING_VERSION,
            }},
        })
    };
    json!({"broker": server("mqtt", "1883"), "broker_with_tls": server("secure-mqtt", "8883")})
}

/// `B/config/cameras/<replay camera>/add` is `config_cameras_add`.
fn id(channel: &Channel) -> String {
    let topic = channel.topic.strip_prefix("B/").unwrap_or(channel.topic);
    let levels: Vec<&str> = topic.split('/').filter(|level| !level.contains('<')).collect();
    levels.join("_")
}

/// A topic's address: `B` and what stands in angle brackets are parameters.
fn address(channel: &Channel) -> String {
    let topic = match channel.topic.strip_prefix("B/") {
        Some(below) => format!("{{prefix}}/{{instance}}/{below}"),
        None => channel.topic.to_owned(),
    };
    topic.replace('<', "{").replace('>', "}").replace(' ', "_")
}

/// The message of a channel. Texts have one of their own for each channel.
fn message_name(channel: &Channel) -> String {
    match channel.payload {
        Payload::Json(schema) => schema.to_owned(),
        Payload::OneOf(_) | Payload::Text(_) | Payload::Foreign(_) => id(channel),
    }
}

fn channel(channel: &Channel) -> Value {
    let address = address(channel);
    let used = parameters().as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
    let used = used.into_iter().flatten().filter(|name| address.contains(&format!("{{{name}}}")));
    let message = message_name(channel);
    json!({
        "address": address,
        "description": channel.says,
        "parameters": used
            .map(|name| (name.clone(), reference(&format!("components/parameters/{name}"))))
            .collect::<Map<_, _>>(),
        "messages": {message.clone(): reference(&format!("components/messages/{message}"))},
    })
}

fn operations(channel: &Channel) -> Vec<(String, Value)> {
    let (receives, sends) = match channel.direction {
        Direction::In => (true, false),
        Direction::Out => (false, true),
        Direction::Itself => (true, true),
    };
    let mut operations = Vec::new();
    for (does, action) in [(receives, "receive"), (sends, "send")] {
        if does {
            operations.push((format!("{action}_{}", id(channel)), operation(channel, action)));
        }
    }
    operations
}

fn operation(channel: &Channel, action: &str) -> Value {
    let id = id(channel);
    let mut mqtt = json!({
        "qos": 1,
        "retain": channel.retained == Retained::Yes,
        "bindingVersion": BINDING_VERSION,
    });
    if let Some(seconds) = channel.kept_s {
        mqtt["messageExpiryInterval"] = json!(seconds);
    }
    let mut operation = json!({
        "action": action,
        "channel": reference(&format!("channels/{id}")),
        "summary": channel.says,
        "messages": [reference(&format!("channels/{id}/messages/{}", message_name(channel)))],
        "bindings": {"mqtt": mqtt},
    });
    if channel.direction == Direction::In && channel.topic.starts_with("B/") {
        operation["reply"] = json!({
            "channel": reference("channels/response"),
            "messages": [reference("channels/response/messages/response")],
        });
    }
    operation
}

fn components(messages: &[MessageSchema]) -> Map<String, Value> {
    let mut components = Map::new();
    for channel in CHANNELS {
        let name = message_name(channel);
        let message = match channel.payload {
            Payload::Json(schema) => messages
                .iter()
                .find(|message| message.name == schema)
                .map_or(Value::Null, |message| of_schema(message, channel)),
            Payload::OneOf(texts) => text(json!({"type": "string", "enum": texts}), texts),
            Payload::Text(example) => text(json!({"type": "string"}), &[example]),
            Payload::Foreign(whose) => json!({
                "summary": whose,
                "payload": {"type": "object", "description": whose},
            }),
        };
        components.entry(name).or_insert(message);
    }
    components
}

fn of_schema(message: &MessageSchema, channel: &Channel) -> Value {
    let examples = message.schema["examples"].as_array().cloned().unwrap_or_default();
    let mut described = json!({
        "name": message.name,
        "summary": channel.says,
        "payload": {"$ref": format!("./{}.json", message.name)},
        "examples":
            examples.into_iter().map(|payload| json!({"payload": payload})).collect::<Vec<_>>(),
    });
    if message.schema["properties"].get("transaction").is_some() {
        described["correlationId"] = reference("components/correlationIds/transaction");
    }
    if channel.direction == Direction::In {
        described["bindings"] = json!({"mqtt": {
            "responseTopic": {
                "type": "string",
                "description": "Honoured below the base's `response/`.",
            },
            "correlationData": {"type": "string", "description": "Comes back with the response."},
            "bindingVersion": BINDING_VERSION,
        }});
    }
    described
}

fn text(schema: Value, examples: &[&str]) -> Value {
    json!({
        "contentType": "text/plain",
        "payload": schema,
        "examples": examples.iter().map(|text| json!({"payload": text})).collect::<Vec<_>>(),
    })
}

/// What an address may hold, by name.
fn parameters() -> Value {
    json!({
        "prefix": {
            "default": "frigate_replay",
            "description": "The worker's setting topic_prefix; it may have several levels.",
        },
        "instance": {
            "default": "frigate",
            "description": "Frigate's mqtt.client_id: one worker for each Frigate.",
        },
        "verb": {"description": "The last level of the request's topic."},
        "replay_camera": {
            "description": "`_replay_` and the camera's name.",
            "examples": ["_replay_front"],
        },
    })
}

fn reference(below: &str) -> Value {
    json!({"$ref": format!("#/{below}")})
}
