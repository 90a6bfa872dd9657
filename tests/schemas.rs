//! `schemas/` is what the types and the table of topics say, and its examples are what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use frigate_replay::cli::schema::{all, asyncapi};
use frigate_replay::wire::contract::{CHANNELS, Channel, Direction, Payload, Retained};
use serde_json::Value;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"))
}

#[test]
fn the_files_are_those_of_the_types() {
    let mut names = BTreeSet::new();
    for message in all() {
        let path = folder().join(format!("{}.json", message.name));
        let file = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            file,
            format!("{:#}\n", message.schema),
            "{} is not what the types say; `frigate-replay schema --output schemas` writes it",
            path.display()
        );
        names.insert(format!("{}.json", message.name));
    }
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name) || name == "asyncapi.yaml", "{name} belongs to no message");
    }
}

#[test]
fn every_example_fits_its_schema_and_every_schema_has_one() {
    for message in all() {
        let schema = jsonschema::draft202012::new(&message.schema).unwrap();
        let examples = message.schema["examples"].as_array().unwrap();
        assert!(!examples.is_empty(), "{}", message.name);
        for example in examples {
            let errors: Vec<String> = schema.iter_errors(example).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", message.name);
        }
    }
}

#[test]
fn a_schema_refuses_what_its_type_does_not_have() {
    for message in all() {
        let schema = jsonschema::draft202012::new(&message.schema).unwrap();
        let mut example = message.schema["examples"][0].clone();
        if !example.is_object() {
            // A single value has no fields; something else than it is no such value.
            assert!(!schema.is_valid(&example_of_another_kind(&example)), "{}", message.name);
            continue;
        }
        example["something_else"] = true.into();
        assert!(!schema.is_valid(&example), "{} takes unknown fields", message.name);
    }
}

fn example_of_another_kind(value: &serde_json::Value) -> serde_json::Value {
    if value.is_string() { 5.into() } else { "five".into() }
}

fn contract() -> Value {
    let text = fs::read_to_string(folder().join("asyncapi.yaml")).unwrap();
    assert_eq!(
        text,
        asyncapi(),
        "asyncapi.yaml is not what the table says; `make schemas` writes it"
    );
    serde_yaml::from_str(&text).unwrap()
}

/// What a `$ref` within the document leads to.
fn follow<'a>(contract: &'a Value, reference: &Value) -> &'a Value {
    let target = reference["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
    contract.pointer(target).unwrap_or_else(|| panic!("{target} leads nowhere"))
}

/// Follows what is written in the file, not how it was made: id, address, operations.
#[test]
fn the_contract_has_the_topics_directions_and_retain_flags_of_the_table() {
    let contract = contract();
    let channels = contract["channels"].as_object().unwrap();
    assert_eq!(channels.len(), CHANNELS.len());
    let operations = contract["operations"].as_object().unwrap();
    let mut seen = 0;
    for row in CHANNELS {
        let topic = row.topic.replace("B/", "{prefix}/{instance}/");
        let address = topic.replace('<', "{").replace('>', "}").replace(' ', "_");
        let (_, channel) = channels
            .iter()
            .find(|(_, channel)| channel["address"] == address.as_str())
            .unwrap_or_else(|| panic!("{} is not in the contract", row.topic));
        let of_it = operations.values().filter(|it| follow(&contract, &it["channel"]) == channel);
        let of_it: Vec<&Value> = of_it.collect();
        let actions: Vec<&str> = of_it.iter().map(|it| it["action"].as_str().unwrap()).collect();
        let expected: &[&str] = match row.direction {
            Direction::In => &["receive"],
            Direction::Out => &["send"],
            Direction::Itself => &["receive", "send"],
        };
        assert_eq!(actions, expected, "{}", row.topic);
        for operation in of_it {
            let mqtt = &operation["bindings"]["mqtt"];
            assert_eq!(mqtt["retain"], row.retained == Retained::Yes, "{}", row.topic);
            assert_eq!(mqtt["qos"], 1, "{}", row.topic);
            assert_eq!(mqtt["messageExpiryInterval"].as_u64(), row.kept_s.map(u64::from));
            seen += 1;
        }
        the_message_is_that_of_the_table(&contract, row, channel);
    }
    assert_eq!(seen, operations.len(), "an operation without a topic");
}

fn the_message_is_that_of_the_table(contract: &Value, row: &Channel, channel: &Value) {
    for name in channel["address"].as_str().unwrap().split('{').skip(1) {
        let name = name.split('}').next().unwrap();
        follow(contract, &channel["parameters"][name]);
    }
    for message in channel["messages"].as_object().unwrap().values() {
        let message = follow(contract, message);
        let has_example = message["examples"].as_array().is_some_and(|all| !all.is_empty());
        assert!(has_example || matches!(row.payload, Payload::Foreign(_)), "{}", row.topic);
        match row.payload {
            Payload::Json(schema) => {
                let file = message["payload"]["$ref"].as_str().unwrap();
                assert_eq!(file, format!("./{schema}.json"));
                assert!(folder().join(file).exists(), "{file}");
            }
            Payload::OneOf(_) | Payload::Text(_) => {
                assert_eq!(message["payload"]["type"], "string");
            }
            Payload::Foreign(_) => assert_eq!(message["payload"]["type"], "object"),
        }
    }
}

/// `tests/asyncapi/3.0.0.json` is AsyncAPI's own, of the npm package @asyncapi/specs 6.11.1.
#[test]
fn the_contract_is_a_valid_asyncapi_document() {
    let schema = include_str!("asyncapi/3.0.0.json");
    let schema = jsonschema::draft7::new(&serde_json::from_str(schema).unwrap()).unwrap();
    let contract = contract();
    let errors: Vec<String> = schema
        .iter_errors(&contract)
        .map(|error| format!("{}: {error:.300}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for (pointer, wrong) in [
        ("/channels/session/address", Value::from(1)),
        ("/operations/send_session/action", Value::from("publish")),
        ("/operations/send_session/bindings/mqtt/retain", Value::from("yes")),
        ("/info", Value::from("none")),
    ] {
        let mut broken = contract.clone();
        *broken.pointer_mut(pointer).unwrap() = wrong;
        assert!(!schema.is_valid(&broken), "{pointer} may be anything");
    }
}
