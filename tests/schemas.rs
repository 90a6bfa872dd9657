//! `schemas/` is what the types say, and its examples are what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use frigate_replay::cli::schema::all;

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
