//! The replay camera's config, held against Frigate's own: `tests/frigate-cases/` says what Frigate
//! makes of each config, and this makes the same of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use frigate_replay::frigate::{
    Env, Finding, FrigateConfig, Release, ReplayCameraConfig, ReplayConfigError, Shaped,
    camera_config_schema, cameras_in_config, from_live, shape,
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

/// Frigate's path of a place, written as ours: `_replay_front` is where its second reading found
/// what is wrong with `front`, `[key]` marks the name itself, and a key `true` is 1 to Python. For a
/// bad name of a camera it says only `name`.
fn place(at: &Value) -> Option<String> {
    let mut place = String::new();
    for part in at.as_array()? {
        match part {
            Value::Number(index) if place.ends_with(".track") => place += &format!("[{index}]"),
            Value::Number(key) if place == "cameras" && key.as_i64() == Some(1) => place += ".true",
            Value::String(part) if part == "[key]" => {}
            part => {
                let part = part.as_str().map_or_else(|| part.to_string(), str::to_owned);
                if !place.is_empty() {
                    place.push('.');
                }
                place += part.strip_prefix("_replay_").unwrap_or(&part);
            }
        }
    }
    (!place.is_empty() && place != "name").then_some(place)
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
                let place = place(&error["at"]).map(|place| place + ": ");
                let named = |place: &String| lines.iter().any(|line| line.starts_with(place));
                if !place.as_ref().is_none_or(named) {
                    wrong.push(format!("{}: not {place:?}, but {lines:?}", case.name));
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
        // An fps of 0 makes two derived values wrong.
        let most = if case.name == "bad_detect_fps_zero" { 2 } else { 1 };
        assert!((1..=most).contains(&lines.len()), "{}: {lines:?}", case.name);
    }
}

#[test]
fn every_result_fits_the_schema() {
    let schema = jsonschema::draft202012::new(&camera_config_schema()).unwrap();
    for case in cases() {
        if let Ok(replay) = case.resolve(None)
            && let Err(error) = schema.validate(&replay.camera_config)
        {
            panic!("{}: {}: {error}", case.name, error.instance_path());
        }
    }
}

#[test]
fn the_schema_is_closed() {
    let schema = jsonschema::draft202012::new(&camera_config_schema()).unwrap();
    let valid = camera("{}").resolve(None).unwrap().camera_config;
    assert!(schema.is_valid(&valid));
    for pointer in
        ["", "/detect", "/detect/stationary", "/objects/filters/person", "/review/alerts"]
    {
        let mut more = valid.clone();
        more.pointer_mut(pointer).unwrap()["surprise"] = json!(1);
        assert!(!schema.is_valid(&more), "{pointer:?}");
    }
    for (pointer, key) in [("", "zones"), ("/detect", "width"), ("/motion", "threshold")] {
        let mut less = valid.clone();
        less.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
        assert!(!schema.is_valid(&less), "{pointer}/{key}");
    }
}

/// A config whose only camera `front` has these settings besides its input.
fn camera(settings: &str) -> Case {
    file(&format!(
        "cameras:\n  front:\n    <<: {settings}\n    ffmpeg: {{inputs: [{{path: rtsp://a}}]}}\n"
    ))
}

fn file(yaml: &str) -> Case {
    Case {
        name: String::new(),
        yaml: format!("version: 0.18-0\n{yaml}"),
        camera: "front".to_owned(),
        clip_path: "/clip.mp4".to_owned(),
        env: Env::default(),
        expected: Err(Value::Null),
    }
}

fn object(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// What Frigate builds is what it reads again when it starts the replay: read as a camera of its
/// own, or as a live one, the result must come out the same.
#[test]
fn a_result_read_again_stays_as_it_is() {
    for case in cases() {
        let Ok(once) = case.resolve(None) else {
            continue;
        };
        let live = from_live(&once.camera_config, &case.clip_path, None).unwrap();
        assert_eq!(live.camera_config, once.camera_config, "{} as a live camera", case.name);
        // Frigate wants these switched on globally where a camera has them on.
        let around = json!({
            "version": "0.18-0",
            "lpr": {"enabled": true},
            "face_recognition": {"enabled": true},
            "cameras": {"front": once.camera_config},
        });
        let mut again = file("");
        again.yaml = around.to_string();
        again.clip_path.clone_from(&case.clip_path);
        let again = again.resolve(None).unwrap_or_else(|lines| panic!("{}: {lines:?}", case.name));
        assert_eq!(again.camera_config, once.camera_config, "{} as a camera", case.name);
    }
}

/// A running Frigate leaves nulls out. What is null by default comes back; a null that blocks
/// another default does not, which in these cases is one: the `distances` of a zone.
#[test]
fn a_live_camera_without_nulls_stays_as_it_is() {
    for case in cases() {
        let Ok(once) = case.resolve(None) else {
            continue;
        };
        let live = from_live(&without_nulls(&once.camera_config), &case.clip_path, None).unwrap();
        let mut expected = once.camera_config;
        if case.name == "zones_distances_null_ok" {
            let zone = expected["zones"]["a"].as_object_mut().unwrap();
            assert_eq!(zone.remove("distances"), Some(Value::Null));
        }
        assert_eq!(live.camera_config, expected, "{}", case.name);
    }
}

/// Both sources of a camera's settings agree on every golden case: what a running Frigate would
/// answer for the camera is built here from what Frigate made of it, with everything more that its
/// `GET /api/config` has (defaults written out, computed keys, colours) and less (nulls).
#[test]
fn file_and_running_frigate_agree_on_every_case() {
    let mut shared = 0;
    for case in cases() {
        let Ok(expected) = &case.expected else {
            continue;
        };
        // JSON has neither an infinity nor a null that blocks a default, so these two no Frigate can answer.
        if ["yaml_infinity", "zones_distances_null_ok"].contains(&case.name.as_str()) {
            continue;
        }
        let live = as_a_running_frigate_answers(&case.camera, expected);
        let replay = from_live(&live, &case.clip_path, None)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(same(&replay.camera_config, expected), "{}: {:#}", case.name, replay.camera_config);
        shared += 1;
    }
    assert!(shared >= 60, "only {shared} cases are shared");
}

fn as_a_running_frigate_answers(name: &str, replay: &Value) -> Value {
    let mut live = replay.clone();
    live["name"] = json!(name);
    live["ffmpeg"] =
        json!({"inputs": [{"path": "rtsp://*:*@10.0.0.1/a", "roles": ["record", "detect"]}]});
    live["ffmpeg_cmds"] = json!([{"roles": ["detect"], "cmd": "ffmpeg"}]);
    live["enabled_in_config"] = json!(true);
    live["record"] = json!({"enabled": true, "enabled_in_config": true});
    live["detect"]["min_initialized"] = json!(2);
    live["detect"]["max_disappeared"] = json!(25);
    live["motion"]["enabled_in_config"] = live["motion"]["enabled"].clone();
    live["objects"]["genai"] = json!({"enabled": false, "objects": []});
    let computed = |mask: &mut Value| mask["enabled_in_config"] = mask["enabled"].clone();
    for pointer in ["/objects/mask", "/motion/mask"] {
        each(live.pointer_mut(pointer), computed);
    }
    if live["motion"].get("mask").is_none() {
        live["motion"]["mask"] = json!({});
    }
    // Coordinates are shown once, the raw ones not at all.
    let shown = |mask: &mut Value| drop(mask.as_object_mut().unwrap().remove("raw_coordinates"));
    let with_defaults = |over: &mut Value, defaults: Value| {
        let mut full = object(defaults);
        full.extend(object(over.take()));
        *over = Value::Object(full);
    };
    each(live.pointer_mut("/objects/filters"), |filter| each(filter.get_mut("mask"), shown));
    each(live.pointer_mut("/zones"), |zone| {
        with_defaults(
            zone,
            json!({"enabled": true, "filters": {}, "distances": [], "inertia": 3, "loitering_time": 0, "objects": [],
                   "color": [255, 0, 0]}),
        );
        each(zone.get_mut("filters"), |filter| {
            with_defaults(
                filter,
                json!({"min_area": 0, "max_area": 24000000, "min_ratio": 0.0, "max_ratio": 24000000.0,
                       "threshold": 0.7, "min_score": 0.5}),
            );
            each(filter.get_mut("mask"), |mask| {
                with_defaults(mask, json!({"enabled": true}));
                shown(mask);
            });
        });
    });
    without_nulls(&live)
}

/// Does the same to every value of a map, if there is one.
fn each(map: Option<&mut Value>, mut change: impl FnMut(&mut Value)) {
    for value in map.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        change(value);
    }
}

/// Every accepted case as the HTTP API is given it.
fn shaped(release: Release) -> Vec<(Case, Value, Shaped)> {
    let accepted = cases().into_iter().filter_map(|case| {
        let config = case.resolve(None).ok()?.camera_config;
        let shaped = shape(&config, release).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        Some((case, config, shaped))
    });
    let shaped: Vec<_> = accepted.collect();
    assert!(shaped.len() > 60, "only {} cases", shaped.len());
    shaped
}

/// What Frigate makes of a camera that it was given, in a file of this version.
fn given(case: &Case, version: &str, camera: &Value) -> Value {
    let around = json!({
        "version": version,
        "lpr": {"enabled": true},
        "face_recognition": {"enabled": true},
        "cameras": {"front": camera},
    });
    let mut again = file("");
    again.yaml = around.to_string();
    again.clip_path.clone_from(&case.clip_path);
    let again = again.resolve(None).unwrap_or_else(|lines| panic!("{}: {lines:?}", case.name));
    again.camera_config
}

#[test]
fn what_frigate_is_given_is_what_was_published() {
    for (case, mut published, shaped) in shaped(Release::V0_18) {
        let ours = given(&case, "0.18-0", &shaped.config);
        // What cannot be said.
        let warned = match case.name.as_str() {
            "zones_distances_null_ok" => {
                let zone = published["zones"]["a"].as_object_mut().unwrap();
                assert_eq!(zone.remove("distances"), Some(Value::Null));
                0
            }
            "yaml_infinity" => {
                let ratio = &mut published["objects"]["filters"]["person"]["max_ratio"];
                assert_eq!(*ratio, "inf");
                *ratio = json!(f64::MAX);
                1
            }
            _ => 0,
        };
        assert_eq!(shaped.warnings.len(), warned, "{}: {:?}", case.name, shaped.warnings);
        assert!(same(&ours, &published), "{}: {ours:#}\n{published:#}", case.name);
    }
}

/// Frigate 0.17 has no names and no switches for masks, and no switch for zones; what holds is the same.
#[test]
fn what_frigate_0_17_is_given_holds_the_same() {
    for (case, published, mut shaped) in shaped(Release::V0_17) {
        // The way from 0.17 to 0.18 passes these by.
        let zones = shaped.config.get_mut("zones").and_then(Value::as_object_mut);
        for zone in zones.into_iter().flat_map(|zones| zones.values_mut()) {
            let filters = zone.get_mut("filters").and_then(Value::as_object_mut);
            for filter in filters.into_iter().flat_map(|filters| filters.values_mut()) {
                if let Some(Value::Array(masks)) = filter.get_mut("mask").map(Value::take) {
                    let named = masks.into_iter().enumerate();
                    filter["mask"] = named
                        .map(|(n, mask)| (format!("m{n}"), json!({ "coordinates": mask })))
                        .collect();
                }
            }
        }
        let ours = given(&case, "0.17-0", &shaped.config);
        let mut published = what_holds(published);
        match case.name.as_str() {
            "zones_distances_null_ok" => {
                published["zones"]["a"].as_object_mut().unwrap().remove("distances");
            }
            "yaml_infinity" => {
                published["objects"]["filters"]["person"]["max_ratio"] = json!(f64::MAX);
            }
            _ => {}
        }
        let ours = what_holds(ours);
        assert!(same(&ours, &published), "{}: {ours:#}\n{published:#}", case.name);
    }
}

/// A camera's config without what 0.17 has not: masks become the set of polygons that hold.
fn what_holds(mut config: Value) -> Value {
    fn list(holder: &mut Value) {
        let Some(holder) = holder.as_object_mut() else { return };
        let masks = holder.remove("mask").unwrap_or_default();
        let holding = masks.as_object().into_iter().flat_map(|masks| masks.values());
        let mut polygons: Vec<String> = holding
            .filter(|mask| mask["enabled"] != false)
            .flat_map(|mask| match &mask["coordinates"] {
                Value::Array(polygons) => polygons.clone(),
                one => vec![one.clone()],
            })
            .map(|polygon| polygon.as_str().unwrap().to_owned())
            .collect();
        polygons.sort();
        polygons.dedup();
        holder.insert("mask".to_owned(), json!(polygons));
    }
    config["motion"].as_object_mut().unwrap().remove("skip_motion_threshold");
    list(&mut config["motion"]);
    list(&mut config["objects"]);
    config["objects"]["filters"].as_object_mut().unwrap().values_mut().for_each(list);
    let zones = config["zones"].as_object_mut().unwrap();
    zones.retain(|_, zone| zone["enabled"] != false);
    for filters in zones.values_mut().filter_map(|zone| zone["filters"].as_object_mut()) {
        filters.values_mut().for_each(list);
    }
    config
}

#[test]
fn nothing_that_is_sent_deletes_or_is_misread() {
    fn look(value: &Value, path: &str, release: Release) {
        match value {
            Value::Object(map) => {
                assert!(!map.is_empty(), "{path}");
                for (key, value) in map {
                    assert!(key.trim().parse::<i64>().is_err(), "{path}.{key}");
                    let computed = ["raw_coordinates", "enabled_in_config"].contains(&key.as_str());
                    assert!(!computed, "{path}.{key}");
                    let is_mask = key == "mask" && release == Release::V0_17;
                    assert!(!is_mask || value.is_array(), "{path}.{key}: {value}");
                    look(value, &format!("{path}.{key}"), release);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| look(value, path, release)),
            value => assert!(!value.is_null() && *value != "", "{path}: {value}"),
        }
    }
    for release in [Release::V0_17, Release::V0_18] {
        for (case, _, shaped) in shaped(release) {
            look(&shaped.config, &case.name, release);
            let filters = |config: &Value| -> Vec<usize> {
                let zones =
                    config["zones"].as_object().into_iter().flat_map(|zones| zones.values());
                let filters = zones.filter_map(|zone| zone["filters"].as_object());
                filters.map(|filters| filters.len()).collect()
            };
            let published = what_holds(case.resolve(None).unwrap().camera_config);
            if release == Release::V0_17 {
                assert_eq!(filters(&shaped.config), filters(&published), "{}", case.name);
            }
        }
    }
}

fn without_nulls(json: &Value) -> Value {
    match json {
        Value::Object(object) => {
            let kept = object.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect()
        }
        other => other.clone(),
    }
}

/// What a running Frigate answers has more in it, and less: computed keys, empty lists instead of
/// nothing, no nulls.
#[test]
fn a_live_camera_is_taken_as_it_runs() {
    let live = json!({
        "name": "front",
        "friendly_name": "Front door",
        "ffmpeg": {"inputs": [{"path": "rtsp://*:*@10.0.0.1/a"}]},
        "ffmpeg_cmds": [],
        "detect": {
            "enabled": true, "height": 720, "width": 1280, "fps": 5, "min_initialized": 2, "max_disappeared": 25,
            "stationary": {"interval": 50, "threshold": 50, "max_frames": {"objects": {}}, "classifier": true},
            "annotation_offset": 0,
        },
        "objects": {
            "track": ["person", "unicorn"],
            "filters": {"person": {
                "min_area": 500, "max_area": 24000000, "min_ratio": 0.0, "max_ratio": 24000000.0,
                "threshold": 0.7, "min_score": 0.5,
                "mask": {"global_sky": {"enabled": true, "coordinates": "0,0,1,0,1,0.2", "enabled_in_config": true}},
            }},
            "mask": {"sky": {"enabled": true, "coordinates": "0,0,1,0,1,0.2", "enabled_in_config": true}},
            "genai": {"enabled": false},
        },
        "motion": {"enabled": true, "threshold": 22, "from_the_future": 1, "enabled_in_config": true, "mask": {}},
        "zones": {"near": {
            "enabled": false, "enabled_in_config": true, "coordinates": "0.1,0.1,0.5,0.1,0.5,0.5", "color": [1, 2, 3],
            "distances": [], "objects": [], "filters": {}, "inertia": 3, "loitering_time": 0,
        }},
        "lpr": {"enabled": true, "expire_time": 3, "min_area": 1000, "enhancement": 0},
        "base_config": {"detect": {}},
    });
    let overrides = object(json!({"motion": {"threshold": 40}, "zones": {"near": {"inertia": 5}}}));
    let replay = from_live(&live, "/clip.mp4", Some(&overrides)).unwrap();
    let config = &replay.camera_config;
    assert_eq!(config["objects"]["track"], json!(["person", "unicorn"]));
    assert_eq!(config["motion"]["threshold"], json!(40));
    assert_eq!(
        config["zones"]["near"],
        json!({"enabled": false, "enabled_in_config": false, "coordinates": "0.1,0.1,0.5,0.1,0.5,0.5", "inertia": 5})
    );
    assert_eq!(config["objects"]["filters"]["person"]["min_area"], json!(500));
    assert_eq!(config["objects"]["filters"]["person"]["mask"].as_object().unwrap().len(), 1);
    assert_eq!(config["face_recognition"], json!({"enabled": false, "min_area": 750}));
    let warnings: Vec<String> = replay.warnings.iter().map(Finding::to_string).collect();
    assert_eq!(
        warnings,
        ["cameras.front.motion.from_the_future: is left out: this program does not know it"]
    );

    let error = from_live(&live, "/clip.mp4", Some(&object(json!({"detect": {"fps": "fast"}}))))
        .unwrap_err();
    assert_eq!(error.to_string(), "overrides.detect.fps: \"fast\" is not a whole number");
    assert!(matches!(from_live(&json!([]), "/clip.mp4", None), Err(ReplayConfigError::Config(_))));
}

/// Up to 0.17 masks are lists without names, and each filter has those of all objects behind its own.
#[test]
fn a_live_camera_of_0_17_is_taken_as_it_runs() {
    let live = json!({
        "name": "front",
        "detect": {"enabled": true, "fps": 5, "width": 640, "height": 360},
        "motion": {"mask": ["0.1,0.1,0.2,0.1,0.2,0.2"]},
        "objects": {
            "track": ["person"],
            "mask": "0.5,0.5,0.6,0.5,0.6,0.6",
            "filters": {"person": {
                "min_score": 0.4,
                "mask": ["0.7,0.7,0.8,0.7,0.8,0.8", "0.5,0.5,0.6,0.5,0.6,0.6"],
            }},
        },
    });
    let replay = from_live(&live, "/clip.mp4", None).unwrap();
    let config = &replay.camera_config;
    let coordinates = |masks: &Value| -> Vec<String> {
        let masks = masks.as_object().unwrap().values();
        masks.map(|mask| mask["coordinates"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(coordinates(&config["motion"]["mask"]), ["0.1,0.1,0.2,0.1,0.2,0.2"]);
    assert_eq!(coordinates(&config["objects"]["mask"]), ["0.5,0.5,0.6,0.5,0.6,0.6"]);
    let of_person = coordinates(&config["objects"]["filters"]["person"]["mask"]);
    assert_eq!(of_person, ["0.7,0.7,0.8,0.7,0.8,0.8", "0.5,0.5,0.6,0.5,0.6,0.6"]);
    let shaped = shape(config, Release::V0_17).unwrap().config;
    assert_eq!(shaped["motion"]["mask"], live["motion"]["mask"]);
    assert_eq!(shaped["objects"]["filters"]["person"]["mask"], json!(["0.7,0.7,0.8,0.7,0.8,0.8"]));
}

#[test]
fn overrides_are_laid_over_the_camera() {
    let case = file(
        "objects: {track: [person, car], filters: {person: {min_score: 0.6}}}\n\
         cameras: {front: {ffmpeg: {inputs: [{path: a}]}, detect: {width: 640, height: 480, fps: 5},\n\
         objects: {filters: {person: {min_area: 100}}}, zones: {a: {coordinates: '0,0,1,0,1,1'}}}}\n",
    );
    let overrides = object(json!({
        "detect": {"fps": 10, "enabled": true},
        "objects": {"track": ["dog"], "filters": {"person": {"threshold": 0.9, "min_area": 0.5}}},
        "motion": {"mask": {"m": {"coordinates": "64,48,128,48,128,96"}}},
        "zones": {"a": {"inertia": 7}, "b": {"coordinates": "0,0,1,0,1,1"}},
    }));
    let config = case.resolve(Some(&overrides)).unwrap().camera_config;
    assert_eq!(config["detect"]["fps"], json!(10));
    assert_eq!(config["detect"]["width"], json!(640));
    assert_eq!(config["detect"]["stationary"]["interval"], json!(100));
    assert_eq!(config["objects"]["track"], json!(["dog"]));
    let person = &config["objects"]["filters"]["person"];
    assert_eq!([&person["threshold"], &person["min_score"]], [&json!(0.9), &json!(0.6)]);
    assert_eq!(person["min_area"], json!(640 * 480 / 2));
    assert_eq!(config["motion"]["mask"]["m"]["coordinates"], json!("0.1,0.1,0.2,0.1,0.2,0.2"));
    assert_eq!(config["zones"]["a"]["inertia"], json!(7));
    assert_eq!(config["zones"]["b"]["enabled_in_config"], json!(true));
}

/// The requester reads what is wrong with what he sent, under the path that he sent.
#[test]
fn bad_overrides_are_told_from_a_bad_config() {
    let resolve = |case: &Case, overrides: Value| {
        let config = FrigateConfig::parse(&case.yaml).unwrap();
        config.replay_camera(&case.env, "front", "/clip.mp4", Some(&object(overrides)))
    };
    let fine = camera("{detect: {enabled: true}}");
    for (overrides, lines) in [
        (
            json!({"detect": {"fps": "fast"}}),
            vec!["overrides.detect.fps: \"fast\" is not a whole number"],
        ),
        (
            json!({"record": {"enabled": true}, "detect": {"fbs": 1}}),
            vec![
                "overrides.record: cannot be overridden; only detect, objects, zones, motion, lpr, face_recognition can",
                "overrides.detect.fbs: is not a setting that Frigate knows here",
            ],
        ),
        (json!({"detect": 5}), vec!["overrides.detect: 5 is not a map of settings"]),
        (
            json!({"zones": {"a": {"inertia": 2}}}),
            vec!["overrides.zones.a.coordinates: is missing"],
        ),
        (
            json!({"detect": {"width": 640}}),
            vec!["overrides.detect: width and height must be given together, or both left out"],
        ),
        (
            json!({"motion": {"enabled": false}}),
            vec![
                "overrides.motion.enabled: is off while detect.enabled is on; detection needs motion detection",
            ],
        ),
        (
            json!({"lpr": {"enabled": true}}),
            vec!["overrides.lpr.enabled: is on, but the global lpr is off"],
        ),
        (
            json!({"motion": {"mask": []}}),
            vec!["overrides.motion.mask: is a list, but needs a map"],
        ),
    ] {
        match resolve(&fine, overrides.clone()) {
            Err(error @ ReplayConfigError::Overrides(_)) => assert_eq!(error.lines(), lines),
            other => panic!("{overrides}: {other:?}"),
        }
    }
    let broken = camera("{detect: {fps: fast}}");
    assert!(matches!(
        resolve(&broken, json!({"motion": {"threshold": 5}})),
        Err(ReplayConfigError::Config(_))
    ));
    assert!(
        resolve(&broken, json!({"detect": {"fps": 5}})).is_ok(),
        "an override mends what it replaces"
    );
    let unknown =
        FrigateConfig::parse(&fine.yaml).unwrap().replay_camera(&fine.env, "back", "/c", None);
    assert_eq!(
        unknown.unwrap_err().to_string(),
        "camera \"back\" is not in the config, which has front"
    );
}

/// Every place at once, each with its line, wherever the value came from.
#[test]
fn errors_say_where_and_what() {
    let case = file(
        "\
motion:
  threshold: 300
detect: &det
  fps: fast
cameras:
  back:
    ffmpeg: 5
  front:
    detect:
      <<: *det
      enabled: maybe
      # a comment
      fsp: 5
    ffmpeg:
      inputs:
        - path: rtsp://nvr:s3cret@10.0.0.1/{FRIGATE_
          roles: [detect]
    objects:
      track:
        - person
        - 12
    zones:
      drive way:
        coordinates: 0,0,1,0
        inertia: '0'
      2:
        coordinates: 0,0,1,0
",
    );
    let lines = case.resolve(None).unwrap_err();
    assert_eq!(
        lines,
        [
            "cameras.front.detect.enabled: \"maybe\" is not true or false (line 12)",
            "cameras.front.detect.fsp: is not a setting that Frigate knows here (line 14)",
            "cameras.front.detect.fps: \"fast\" is not a whole number (line 5)",
            "cameras.front.objects.track[1]: 12 is not text: write it in quotes (line 20)",
            "cameras.front.zones.2: a name must be text: write it in quotes",
            "cameras.front.zones.\"drive way\".inertia: 0 must be greater than 0 (line 26)",
            "cameras.front.ffmpeg.inputs[0].path: holds a {FRIGATE_ placeholder that is not closed, or has other \
             characters than A-Z, a-z, 0-9 and _ (line 17)",
            "detect.fps: \"fast\" is not a whole number (line 5)",
            "motion.threshold: 300 must be at most 255 (line 3)",
        ]
    );
}

#[test]
fn yaml_that_cannot_be_read_is_an_error_with_its_line() {
    for (yaml, error) in [
        ("a: 1\nb: [1, 2\n", "line 3: "),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4: b: the key \"c\" is there twice"),
        ("a: *b\n", "line 1: unknown anchor"),
        ("a: 1\n\tb: 2\n", "line 2: "),
        ("<<: 5\n", "line 1: << needs a map or a list of maps"),
        ("a: 1\n---\nb: 2\n", "more than one document"),
        ("5", "the file holds a single value, not a map of settings"),
    ] {
        let said = FrigateConfig::parse(yaml).unwrap_err().to_string();
        assert!(said.starts_with(error), "{yaml:?}: {said}");
    }
}

/// What the replayed camera does not need does not stop it, and is told by `findings`.
#[test]
fn other_cameras_and_sections_do_not_matter() {
    let text = "\
mqtt: []
snapshots: {quality: banana}
record: {retain: {days: never}}
telemetry: 5
surprise: {a: 1}
cameras:
  back:
    ffmpeg:
    detect: {fps: fast}
  'a b': {ffmpeg: {inputs: [{path: a}]}}
  12: {}
  front: {ffmpeg: {inputs: [{path: a}]}, snapshots: {quality: banana}}
";
    let case = file(text);
    case.resolve(None).unwrap();
    let config = FrigateConfig::parse(&case.yaml).unwrap();
    let cameras: Vec<String> = config.cameras().iter().map(ToString::to_string).collect();
    assert_eq!(cameras, ["back", "front"]);
    let findings = config.findings(&case.env);
    let file: Vec<&str> = findings.file.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(file, ["surprise", "mqtt"]);
    let errors: Vec<(&str, usize)> = findings
        .cameras
        .iter()
        .map(|camera| (camera.camera.as_str(), camera.errors.len()))
        .collect();
    assert_eq!(errors, [("back", 2), ("a b", 1), ("front", 0), ("12", 1)]);
}

#[test]
fn a_version_that_is_no_text_is_found() {
    let mut case = file("");
    case.yaml =
        "version: 5\nmqtt: {}\ncameras: {front: {ffmpeg: {inputs: [{path: a}]}}}\n".to_owned();
    case.resolve(None).unwrap();
    let findings = FrigateConfig::parse(&case.yaml).unwrap().findings(&case.env);
    assert_eq!(findings.file[0].to_string(), "version: 5 is not text: write it in quotes (line 1)");
}

/// A global mistake is told once, not with every camera.
#[test]
fn findings_of_globals_are_told_once() {
    let case = file(
        "mqtt: {}\nmotion: {threshold: 0}\ncameras:\n  a: {ffmpeg: {inputs: [{path: a}]}}\n  b: {ffmpeg: {inputs: [{path: a}]}}\n",
    );
    let findings = FrigateConfig::parse(&case.yaml).unwrap().findings(&case.env);
    assert_eq!(findings.file.len(), 1, "{findings:?}");
    assert!(findings.cameras.iter().all(|camera| camera.errors.is_empty()));
}

#[test]
fn surprises_are_warned_of() {
    let sized = "detect: {enabled: true, width: 640, height: 480}";
    for (settings, warning) in [
        (
            "{detect: {enabled: true}}".to_owned(),
            "cameras.front.detect.width: is not set, and the stream is not asked: 1280x720 is assumed",
        ),
        (
            "{detect: {enabled: true, width: 640, height: 480, min_initialized: 9}}".to_owned(),
            "cameras.front.detect.min_initialized: is lost in a replay, which runs with the global value or Frigate's default (line 4)",
        ),
        (
            format!("{{{sized}, objects: {{track: [person, unicorn]}}}}"),
            "cameras.front.objects.track: \"unicorn\" is left out: the detection model does not know it (line 4)",
        ),
        (
            format!("{{{sized}, zones: {{a: {{coordinates: ['0,0', '1,700', '0,1']}}}}}}"),
            "cameras.front.zones.a.coordinates: 700 lies outside of the frame, which goes from 0 to 1 (line 4)",
        ),
        (
            format!(
                "{{{sized}, motion: {{mask: {{m: {{enabled: false, coordinates: '0,0,700,0,700,9'}}}}}}}}"
            ),
            "cameras.front.motion.mask.m.coordinates: the point 700,0 is outside of the detect frame of 640x480: the mask stays in pixels (line 4)",
        ),
        (
            format!(
                "{{{sized}, motion: {{mask: {{m: {{coordinates: ['0,0,700,0,600,9,0,9']}}}}}}}}"
            ),
            "cameras.front.motion.mask.m.coordinates: the point 700,0 is outside of the detect frame of 640x480: it is left out (line 4)",
        ),
        (
            format!(
                "{{{sized}, zones: {{a: {{coordinates: '0,0,1,0,1,1', loitering_time: 5, speed_threshold: 1}}}}}}"
            ),
            "cameras.front.zones.a.loitering_time: should not be set where speed_threshold or distances is (line 4)",
        ),
    ] {
        let replay = camera(&settings).resolve(None).unwrap();
        let warnings: Vec<String> = replay.warnings.iter().map(Finding::to_string).collect();
        assert_eq!(warnings, [warning], "{settings}");
    }
    let off = camera("{detect: {width: 640, height: 480}}").resolve(None).unwrap();
    assert!(off.warnings[0].to_string().contains("detect.enabled: is off"), "{:?}", off.warnings);
}

/// Beside Frigate one need not know the passwords of its cameras; as Frigate itself one does.
#[test]
fn a_placeholder_without_a_value_stops_only_frigate() {
    let mut case =
        file("cameras: {front: {ffmpeg: {inputs: [{path: 'rtsp://u:{FRIGATE_PW}@h'}]}}}\n");
    let warnings = case.resolve(None).unwrap().warnings;
    assert!(
        warnings.iter().any(|warning| warning.message.contains("{FRIGATE_PW}")),
        "{warnings:?}"
    );
    case.env = Env::of_frigate([]);
    assert_eq!(
        case.resolve(None).unwrap_err(),
        [
            "cameras.front.ffmpeg.inputs[0].path: {FRIGATE_PW} has no value in the environment (line 2)"
        ]
    );
    case.yaml += "environment_vars: {FRIGATE_PW: x}\n";
    case.resolve(None).unwrap();
}

/// Frigate's checks across settings, each refused at its place.
#[test]
fn checks_across_settings() {
    let two = "ffmpeg: {inputs: [{path: a, roles: [detect]}, {path: b, roles: [record]}]}";
    for (camera, line) in [
        (
            "ffmpeg: {inputs: [{path: a, roles: [detect]}, {path: b}]}",
            "cameras.front.ffmpeg.inputs[1].roles: is missing",
        ),
        (
            "ffmpeg: {inputs: [{path: a, roles: [detect]}, {path: b, roles: [detect]}]}",
            "cameras.front.ffmpeg.inputs: the role detect is used twice",
        ),
        (
            "ffmpeg: {inputs: [{path: a, roles: [audio]}, {path: b, roles: [record]}]}",
            "cameras.front.ffmpeg.inputs: no input has the role detect",
        ),
        ("ffmpeg: {inputs: []}", "cameras.front.ffmpeg.inputs: no input has the role detect"),
        ("ffmpeg: {}", "cameras.front.ffmpeg.inputs: is missing"),
        (
            "ffmpeg: {inputs: [{roles: [detect]}]}",
            "cameras.front.ffmpeg.inputs[0].path: is missing",
        ),
        ("enabled: true", "cameras.front.ffmpeg: is missing"),
        (
            "ffmpeg: {inputs: [{path: a, roles: [detect]}, {path: b, roles: [audio]}]}, record: {enabled: true}",
            "cameras.front.record.enabled: is on, but no input",
        ),
        (
            &format!("{two}, audio: {{enabled: true}}"),
            "cameras.front.audio.enabled: is on, but no input",
        ),
        (
            &format!("{two}, review: {{alerts: {{required_zones: gone}}}}"),
            "cameras.front.review.alerts.required_zones: zone \"gone\" is not a zone",
        ),
        // What a replay takes over from the global sections does not depend on the camera's own.
        (
            &format!(
                "{two}, review: {{alerts: {{required_zones: []}}}}}}\nreview: {{alerts: {{required_zones: [gone]}}}}\nx: {{y: 1"
            ),
            "review.alerts.required_zones: zone \"gone\" is not a zone of this camera; the replay takes this over",
        ),
        (
            &format!(
                "{}}}\nffmpeg: {{output_args: {{record: -f segment}}}}\nx: {{y: 1",
                two.replace("}]}", "}], output_args: {record: preset-record-generic}}")
            ),
            "ffmpeg.output_args.record: has no -segment_time, which recording needs; the replay",
        ),
        (
            &format!("{two}, onvif: {{autotracking: {{enabled: true}}}}"),
            "cameras.front.onvif.autotracking: is on, but",
        ),
        (
            &format!("{two}, ffmpeg: 1").replace("ffmpeg: {", "x: {"),
            "cameras.front.x: is not a setting",
        ),
        (
            &format!("{two}, face_recognition: {{enabled: true}}"),
            "cameras.front.face_recognition.enabled: is on, but the global",
        ),
        (
            &format!("{two}, audio_transcription: {{enabled: true}}"),
            "cameras.front.audio_transcription.enabled: is on, but",
        ),
        (
            &format!("{two}, profiles: {{night: {{zones: {{gone: {{}}}}}}}}"),
            "cameras.front.profiles.night: is not defined",
        ),
        (
            &format!("{two}, zones: {{front: {{coordinates: '0,0,1,1'}}}}"),
            "cameras.front.zones.front: a zone cannot have the name of a camera",
        ),
        (&format!("{two}, name: 'a b'"), "cameras.front.name: \"a b\" may hold only letters"),
        (&format!("{two}, record: null"), "cameras.front.record: is empty"),
        (
            &two.replace("}]}", "}], output_args: {record: -f segment -segment_time 90}}"),
            "cameras.front.ffmpeg.output_args.record: has a -segment_time of 90; at most 60",
        ),
    ] {
        let lines = file(&format!("cameras:\n  front: {{{camera}}}\n")).resolve(None).unwrap_err();
        assert!(lines.iter().any(|found| found.starts_with(line)), "{camera}: {lines:?}");
    }
}

/// The command prints what the library says, on the right stream and with the right exit code.
#[test]
fn the_command_prints_a_camera_or_one_line_for_each_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yml");
    let yaml =
        "detect: {fps: fast}\ncameras: {front: {ffmpeg: {inputs: [{path: 'a{FRIGATE_X}'}]}}}\n";
    let run = |yaml: &str, more: &[&str]| {
        fs::write(&path, yaml).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_frigate-replay"))
            .args(["camera-config", "--camera", "front", "--clip", "/clip.mp4", "--frigate-config"])
            .arg(&path)
            .args(more)
            .env("FRIGATE_X", "x")
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) =
        run(&yaml.replace("fast", "7"), &["--overrides", "{\"motion\": {\"threshold\": 9}}"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let printed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(printed["replay_camera"], "_replay_front");
    assert_eq!(printed["camera_config"]["detect"]["fps"], 7);
    assert_eq!(printed["camera_config"]["motion"]["threshold"], 9);
    assert_eq!(printed["warnings"].as_array().unwrap().len(), 1, "{out}");

    let (code, out, err) = run(yaml, &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, "detect.fps: \"fast\" is not a whole number (line 1)\n");
    let (code, _, err) = run("a: [", &[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("config.yml: line 2: "), "{err}");
    assert_eq!(run(yaml, &["--overrides", "[]"]).0, Some(2));
}

/// Found by comparing with Frigate's rules on random configs.
#[test]
fn a_polygon_that_loses_all_its_points_cannot_be_drawn() {
    let case = camera(
        "{detect: {width: 320, height: 240}, motion: {mask: {m: {coordinates: ['400,33,800,73', '0,0,1,0,1,1']}}}}",
    );
    let lines = case.resolve(None).unwrap_err();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("cameras.front.motion.mask.m.coordinates: \"\" is not a number"),
        "{lines:?}"
    );
}

/// `scalars.jsonl` says what ruamel.yaml 0.19 and pydantic 2.10 make of a scalar, for each type that
/// takes it; a type that is not listed refuses it.
#[test]
fn scalars_mean_what_they_mean_to_frigate() {
    let sized = "detect: {width: 1280, height: 720}\n    ";
    let (motion, objects) = (format!("{sized}motion:\n      "), format!("{sized}objects:\n      "));
    let kinds = [
        ("int", "/detect/annotation_offset", "detect:\n      annotation_offset: ".to_owned()),
        ("float", "/motion/frame_alpha", format!("{motion}frame_alpha: ")),
        ("bool", "/motion/improve_contrast", format!("{motion}improve_contrast: ")),
        (
            "text",
            "/objects/mask/m/friendly_name",
            format!("{objects}mask:\n        m:\n          friendly_name: "),
        ),
        (
            "area",
            "/objects/filters/person/min_area",
            format!("{objects}filters:\n        person:\n          min_area: "),
        ),
    ];
    let mut wrong = Vec::new();
    for line in include_str!("frigate/scalars.jsonl").lines() {
        let scalar: Value = serde_json::from_str(line).unwrap();
        let yaml = scalar["yaml"].as_str().unwrap();
        for (kind, pointer, settings) in &kinds {
            let case = file(&format!(
                "cameras:\n  front:\n    ffmpeg: {{inputs: [{{path: a}}]}}\n    {settings}{yaml}\n"
            ));
            let ours = case.resolve(None).map(|ours| ours.camera_config.pointer(pointer).cloned());
            let agree = match (&ours, scalar.get(*kind)) {
                (Ok(Some(ours)), Some(value)) => same(ours, value),
                (ours, None) => ours.is_err(),
                _ => false,
            };
            if !agree {
                wrong.push(format!("{yaml} as {kind}: {ours:?}, not {:?}", scalar.get(*kind)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Everything there is to ask of a text must come back, whatever the text.
fn ask_everything(text: &str) {
    let schema = jsonschema::draft202012::new(&camera_config_schema()).unwrap();
    let Ok(config) = FrigateConfig::parse(text) else {
        return;
    };
    let env = Env::default();
    config.findings(&env);
    config.own_settings(&env);
    let _ = cameras_in_config(text);
    for camera in config.cameras() {
        if let Ok(replay) = config.replay_camera(&env, camera.as_str(), "/clip.mp4", None) {
            assert!(schema.is_valid(&replay.camera_config), "{text}\n{:#}", replay.camera_config);
            let again = from_live(&replay.camera_config, "/clip.mp4", None).unwrap();
            assert_eq!(again.camera_config, replay.camera_config, "{text}");
            for release in [Release::V0_17, Release::V0_18] {
                let _ = shape(&replay.camera_config, release);
            }
        }
    }
}

/// Pieces that mean something to YAML, to Frigate, or to neither.
const PIECES: [&str; 40] = [
    "null",
    "~",
    "true",
    "yes",
    "0",
    "-1",
    "5",
    "1e400",
    ".inf",
    ".nan",
    "0x10",
    "1_000",
    "'5'",
    "''",
    "\"\\u0000\"",
    "[]",
    "{}",
    "[[[[[[",
    "}",
    "&a ",
    "*a",
    "<<: *a",
    "<<: {}",
    "!!str x",
    "!x y",
    "- ",
    "? ",
    ": ",
    "|\n",
    ">\n ",
    "#",
    "2024-01-01",
    "'0,0,1,0,1,1'",
    "'700,10,9'",
    "['1,1', '0,0']",
    "%YAML 1.1",
    "---\n",
    "\t",
    "\u{feff}",
    "person",
];

fn mutated() -> impl Strategy<Value = String> {
    let texts: Vec<String> =
        cases().into_iter().map(|case| case.yaml).filter(|yaml| yaml.len() < 4000).collect();
    let edit = (any::<prop::sample::Index>(), 0..6u8, prop::sample::select(PIECES.to_vec()));
    (prop::sample::select(texts), prop::collection::vec(edit, 1..5)).prop_map(|(text, edits)| {
        let mut text = text;
        for (at, kind, piece) in edits {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.is_empty() {
                break;
            }
            let line = at.index(lines.len());
            match kind {
                0 => drop(lines.remove(line)),
                1 => lines.insert(line, lines[line].clone()),
                2 => lines[line] = format!(" {}", lines[line]),
                3 => lines[line].push_str(piece),
                // The value of a key, or of the first key of a flow map.
                _ => {
                    if let Some((key, _)) = lines[line].split_once(": ") {
                        lines[line] = format!("{key}: {piece}");
                    }
                }
            }
            text = lines.join("\n") + "\n";
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        ask_everything(&text);
    }

    #[test]
    fn any_yaml_is_read_or_refused(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40)) {
        ask_everything(&pieces.concat());
        ask_everything(&format!("cameras:\n  front:\n    {}", pieces.join("\n    ")));
    }

    #[test]
    fn any_mutation_of_a_case_is_read_or_refused(text in mutated()) {
        ask_everything(&text);
    }
}
