//! The replay camera's config, held against Frigate's own: `tests/frigate-cases/` says what Frigate
//! makes of each config, and this makes the same of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use frigate_replay::frigate::{
    Env, Finding, FrigateConfig, ReplayCameraConfig, ReplayConfigError, camera_config_schema,
    from_live,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

struct Case {
    name: String,
    yaml: String,
    camera: String,
    clip_path: String,
    env: Env,
    /// What Frigate builds, or where it refuses and what it says.
    expected: Result<Value, Value>,
}

fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/frigate-cases");
    let mut cases: Vec<Case> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| {
            let case = fs::read_to_string(path.join("case.json")).unwrap();
            let mut case: Map<String, Value> = serde_json::from_str(&case).unwrap();
            let env: BTreeMap<String, String> = case
                .remove("env")
                .map_or_else(BTreeMap::new, |env| serde_json::from_value(env).unwrap());
            Case {
                name: path.file_name().unwrap().to_str().unwrap().to_owned(),
                yaml: fs::read_to_string(path.join("config.yml")).unwrap(),
                camera: case["camera"].as_str().unwrap().to_owned(),
                clip_path: case["clip_path"].as_str().unwrap().to_owned(),
                env: Env::of_frigate(env),
                expected: match case.remove("camera_config") {
                    Some(config) => Ok(config),
                    None => Err(case["error"].clone()),
                },
            }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() >= 120, "only {} cases", cases.len());
    cases
}

impl Case {
    /// One line for each thing that is wrong.
    fn resolve(
        &self,
        overrides: Option<&Map<String, Value>>,
    ) -> Result<ReplayCameraConfig, Vec<String>> {
        let config = FrigateConfig::parse(&self.yaml).map_err(|error| vec![error.to_string()])?;
        config
            .replay_camera(&self.env, &self.camera, &self.clip_path, overrides)
            .map_err(|error| error.lines())
    }
}

/// Equal by value: 0 is 0.0, the order of keys does not matter, and a text that stands for a number
/// that JSON lacks is what the cases write as `{"__float__": …}`.
fn same(ours: &Value, frigates: &Value) -> bool {
    match (ours, frigates) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::String(a), Value::Object(b)) => b.get("__float__").is_some_and(|b| b == a.as_str()),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => ours == frigates,
    }
}

/// `cameras.front.zones.a` as Frigate's path of the same place: `_replay_front` is where its second
/// reading found what is wrong with `front`, and `[key]` marks the name itself.
fn place(at: &Value) -> Option<String> {
    let mut place = String::new();
    for part in at.as_array()? {
        match part {
            Value::Number(index) if place.ends_with("track") => place += &format!("[{index}]"),
            part => {
                let part = part.as_str().map_or_else(|| part.to_string(), str::to_owned);
                if part == "[key]" {
                    continue;
                }
                if !place.is_empty() {
                    place.push('.');
                }
                place += part.strip_prefix("_replay_").unwrap_or(&part);
            }
        }
    }
    (!place.is_empty()).then_some(place)
}

#[test]
fn every_case_comes_out_as_in_frigate() {
    let mut wrong = Vec::new();
    for case in cases() {
        match (case.resolve(None), &case.expected) {
            (Ok(ours), Ok(frigates)) => {
                if !same(&ours.camera_config, frigates) {
                    wrong.push(format!("{}: {:#}\n", case.name, ours.camera_config));
                }
            }
            (Err(lines), Err(error)) => {
                // For a bad name Frigate says only `name`.
                if let Some(place) = place(&error["at"]).filter(|place| place != "name")
                    && !lines.iter().any(|line| line.starts_with(&place))
                    && case.name != "bad_only_comment"
                {
                    wrong.push(format!("{}: not {place}, but {lines:?}", case.name));
                }
            }
            (Ok(_), Err(error)) => {
                wrong.push(format!("{}: taken, but Frigate says {error}", case.name))
            }
            (Err(lines), Ok(_)) => wrong.push(format!("{}: refused: {lines:?}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One fault makes one line: nothing is reported that only follows from it.
#[test]
fn a_refusal_says_what_is_wrong_and_nothing_else() {
    for case in cases().iter().filter(|case| case.expected.is_err()) {
        let lines = case.resolve(None).unwrap_err();
        println!("{}: {lines:?}", case.name);
        // The derived interval and threshold are both wrong.
        let most = if case.name == "bad_detect_fps_zero" { 2 } else { 1 };
        assert!((1..=most).contains(&lines.len()), "{}: {lines:?}", case.name);
    }
}
