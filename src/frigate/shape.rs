//! The replay camera's config as the HTTP API of a running Frigate takes it (`PUT /api/config/set`).
//!
//! The API is no file: it lays what it is given over config.yml, key by key, and takes null and ""
//! for an order to delete. What has no value is therefore left out, which means the same. What it
//! cannot be told is refused where the replay would not run, and warned of where it would run with
//! another value.
//!
//! One thing passes unseen: a null that keeps a global value away from the camera
//! (`max_frames.default: null` below a global `max_frames`). The global value comes through.

use serde_json::{Map as Object, Value as Json, json};

use super::errors::Path;
use super::running::Release;
use super::{placement, python};

/// A config that can be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Shaped {
    /// What stands under `config_data.cameras.<name>`.
    pub config: Json,
    /// What the replay will not be like, a sentence each.
    pub warnings: Vec<String>,
}

/// Why a config cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The config of a replay camera is a map.
    #[error("the config of the replay camera is no map of settings")]
    NotAMap,
    /// A key in which Python sees a whole number.
    #[error(
        "{place}: Frigate's HTTP API takes the name {key:?} for a place in a list, so the running \
         Frigate cannot be given this replay; call it otherwise in Frigate's config"
    )]
    Number {
        /// Where it is.
        place: String,
        /// The key.
        key: String,
    },
    /// A key with a dot in it, for 0.17.
    #[error(
        "{place}: the HTTP API of Frigate 0.17 splits the name {key:?} at its dots, so the running \
         Frigate cannot be given this replay; call it otherwise in Frigate's config"
    )]
    Dots {
        /// Where it is.
        place: String,
        /// The key.
        key: String,
    },
    /// "nan" where a number should be.
    #[error("{place}: is no number; the running Frigate cannot be given this replay")]
    NotANumber {
        /// Where it is.
        place: String,
    },
}

/// Shapes the config of a replay camera, as `add` publishes it, for a Frigate of this release.
///
/// # Errors
/// The API would take part of it for something else.
pub fn shape(config: &Json, release: Release) -> Result<Shaped, ShapeError> {
    let mut warnings = Vec::new();
    let Json::Object(mut camera) = config.clone() else {
        return Err(ShapeError::NotAMap);
    };
    warn_of_nulls(&camera, &mut warnings);
    at_each_holder(&mut camera, |holder| {
        inner(holder, &["mask"]).into_iter().for_each(keep_drawn);
    });
    if release == Release::V0_17 {
        make_older(&mut camera, &mut warnings);
    }
    for zone in inner(&mut camera, &["zones"]).into_iter().flat_map(each_map) {
        zone.shift_remove("enabled_in_config");
        for filter in inner(zone, &["filters"]).into_iter().flat_map(each_map) {
            prune(filter);
            // A filter that says nothing still counts: it lets in what no other rule holds back.
            if filter.is_empty() {
                filter.insert("min_area".to_owned(), json!(0));
            }
        }
    }
    prune(&mut camera);
    bound(&mut camera, &Path::Top, &mut warnings)?;
    check_keys(&camera, &Path::Top, release)?;
    Ok(Shaped { config: Json::Object(camera), warnings })
}

/// Nulls that mean something else than not being there. (`distances: null` of a zone becomes an empty
/// list, which means the same.)
fn warn_of_nulls(camera: &Object<String, Json>, warnings: &mut Vec<String>) {
    for (key, preset) in [("contour_area", 10), ("frame_height", 100)] {
        if camera.get("motion").and_then(|motion| motion.get(key)) == Some(&Json::Null) {
            warnings.push(format!(
                "motion.{key}: Frigate's HTTP API cannot set null; the replay has the global value \
                 or {preset}"
            ));
        }
    }
}

/// The map at `path` below `object`.
fn inner<'o>(
    object: &'o mut Object<String, Json>,
    path: &[&str],
) -> Option<&'o mut Object<String, Json>> {
    path.iter().try_fold(object, |object, key| object.get_mut(*key)?.as_object_mut())
}

fn each_map(map: &mut Object<String, Json>) -> impl Iterator<Item = &mut Object<String, Json>> {
    map.values_mut().filter_map(Json::as_object_mut)
}

/// Does something to every map that may hold masks under `mask`.
fn at_each_holder(
    camera: &mut Object<String, Json>,
    mut act: impl FnMut(&mut Object<String, Json>),
) {
    for section in ["motion", "objects"] {
        inner(camera, &[section]).into_iter().for_each(&mut act);
    }
    inner(camera, &["objects", "filters"]).into_iter().flat_map(each_map).for_each(&mut act);
    for zone in inner(camera, &["zones"]).into_iter().flat_map(each_map) {
        inner(zone, &["filters"]).into_iter().flat_map(each_map).for_each(&mut act);
    }
}

/// Drops masks without coordinates, which Frigate dies of, and what it computes itself.
fn keep_drawn(masks: &mut Object<String, Json>) {
    masks.retain(|_, mask| !polygons(mask).is_empty());
    for mask in each_map(masks) {
        mask.shift_remove("raw_coordinates");
        mask.shift_remove("enabled_in_config");
    }
}

/// The polygons of a mask, each as a text.
fn polygons(mask: &Json) -> Vec<&str> {
    let texts = match mask.get("coordinates") {
        Some(Json::String(text)) => vec![text.as_str()],
        Some(Json::Array(texts)) => texts.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    texts.into_iter().filter(|text| !text.is_empty()).collect()
}

/// What 0.17 has otherwise: masks are lists, without names and switches; zones have no switch.
fn make_older(camera: &mut Object<String, Json>, warnings: &mut Vec<String>) {
    if let Some(motion) = inner(camera, &["motion"])
        && motion.shift_remove("skip_motion_threshold").is_some_and(|value| !value.is_null())
    {
        let warning = "motion.skip_motion_threshold: Frigate 0.17 does not know it";
        warnings.push(warning.to_owned());
    }
    if let Some(zones) = inner(camera, &["zones"]) {
        zones.retain(|_, zone| zone.get("enabled") != Some(&Json::Bool(false)));
        for zone in each_map(zones) {
            zone.shift_remove("enabled");
        }
    }
    // It adds the masks of all objects to each filter itself.
    let copied: Vec<String> = inner(camera, &["objects", "mask"])
        .map(|masks| masks.keys().map(|id| placement::id_in_filters(id)).collect())
        .unwrap_or_default();
    for filter in inner(camera, &["objects", "filters"]).into_iter().flat_map(each_map) {
        if let Some(masks) = inner(filter, &["mask"]) {
            masks.retain(|id, _| !copied.contains(id));
        }
    }
    at_each_holder(camera, list_masks);
}

/// Makes a list of coordinates of the masks that hold, or nothing if none does.
fn list_masks(holder: &mut Object<String, Json>) {
    let Some(masks) = holder.shift_remove("mask") else {
        return;
    };
    let hold = |mask: &&Json| mask.get("enabled") != Some(&Json::Bool(false));
    let texts: Vec<&str> = masks
        .as_object()
        .into_iter()
        .flat_map(|masks| masks.values().filter(hold).flat_map(polygons))
        .collect();
    if !texts.is_empty() {
        holder.insert("mask".to_owned(), json!(texts));
    }
}

/// Leaves out nulls, empty texts, and maps in which nothing stays. Lists stay, empty ones, too.
fn prune(map: &mut Object<String, Json>) {
    map.retain(|_, value| match value {
        Json::Null => false,
        Json::String(text) => !text.is_empty(),
        Json::Object(inner) => {
            prune(inner);
            !inner.is_empty()
        }
        _ => true,
    });
}

/// Makes the largest number of an infinity. Frigate would take the infinity, but could not show its
/// own config any more: its JSON has none. Nothing that it compares with is larger.
fn bound(
    map: &mut Object<String, Json>,
    path: &Path<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), ShapeError> {
    for (key, value) in map {
        let path = path.key(key);
        match value {
            Json::Object(inner) => bound(inner, &path, warnings)?,
            Json::String(text) if key != "friendly_name" => {
                let largest = match text.as_str() {
                    "inf" => f64::MAX,
                    "-inf" => f64::MIN,
                    "nan" => return Err(ShapeError::NotANumber { place: path.written() }),
                    _ => continue,
                };
                warnings.push(format!("{}: is {largest:e} instead of {text}", path.written()));
                *value = json!(largest);
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_keys(
    map: &Object<String, Json>,
    path: &Path<'_>,
    release: Release,
) -> Result<(), ShapeError> {
    for (key, value) in map {
        let path = path.key(key);
        if python::reads_as_int(key) {
            return Err(ShapeError::Number { place: path.written(), key: key.clone() });
        }
        if release == Release::V0_17 && key.contains('.') {
            return Err(ShapeError::Dots { place: path.written(), key: key.clone() });
        }
        if let Json::Object(inner) = value {
            check_keys(inner, &path, release)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(config: Json, release: Release) -> Json {
        shape(&config, release).unwrap().config
    }

    fn mask(coordinates: Json) -> Json {
        json!({ "friendly_name": null, "enabled": true, "coordinates": coordinates,
                "raw_coordinates": coordinates, "enabled_in_config": true })
    }

    #[test]
    fn what_has_no_value_is_left_out_and_lists_stay() {
        let config = json!({
            "ffmpeg": {"hwaccel_args": [], "inputs": [{"path": "/a", "roles": ["detect"]}]},
            "detect": {"stationary": {"max_frames": {"default": null, "objects": {}}}, "fps": 5},
            "objects": {"track": [], "filters": {}, "mask": {}},
            "zones": {},
        });
        for release in [Release::V0_17, Release::V0_18] {
            assert_eq!(
                shaped(config.clone(), release),
                json!({
                    "ffmpeg": {"hwaccel_args": [], "inputs": [{"path": "/a", "roles": ["detect"]}]},
                    "detect": {"fps": 5},
                    "objects": {"track": []},
                })
            );
        }
    }

    #[test]
    fn a_zone_filter_that_says_nothing_still_filters() {
        let zones = |filter: Json| {
            json!({"zones": {"a": {"coordinates": "0,0,1,0,1,1",
            "enabled_in_config": true, "filters": {"person": filter}}}})
        };
        for release in [Release::V0_17, Release::V0_18] {
            for empty in [json!({"mask": {}}), json!({"mask": {"m": mask(json!(""))}})] {
                let expected = json!({"zones": {"a": {"coordinates": "0,0,1,0,1,1",
                    "filters": {"person": {"min_area": 0}}}}});
                assert_eq!(shaped(zones(empty), release), expected);
            }
        }
        let filter = json!({"threshold": 0.9, "mask": {}});
        let shaped = shaped(zones(filter), Release::V0_18);
        assert_eq!(shaped["zones"]["a"]["filters"]["person"], json!({"threshold": 0.9}));
    }

    #[test]
    fn masks_are_maps_in_0_18_and_lists_in_0_17() {
        let off = json!({"enabled": false, "coordinates": "0,0,1,0,0,1"});
        let config = json!({
            "motion": {"skip_motion_threshold": 0.5, "mask": {
                "one": mask(json!("0,0,1,0,1,1")), "many": mask(json!(["0,0,1,0,1,1", "0,0,0,1,1,1"])),
                "none": mask(json!([])), "off": off,
            }},
            "objects": {"mask": {"sky": mask(json!("0,0,1,0,1,0.2"))}, "filters": {"car": {
                "mask": {"global_sky": mask(json!("0,0,1,0,1,0.2")), "global_own": mask(json!("0,0,1,1,1,0"))},
                "min_area": 5,
            }}},
        });
        let of_0_18 = shape(&config, Release::V0_18).unwrap();
        assert_eq!(of_0_18.warnings, [""; 0]);
        let plain = |coordinates: Json| json!({"enabled": true, "coordinates": coordinates});
        assert_eq!(
            of_0_18.config,
            json!({
                "motion": {"skip_motion_threshold": 0.5, "mask": {
                    "one": plain(json!("0,0,1,0,1,1")),
                    "many": plain(json!(["0,0,1,0,1,1", "0,0,0,1,1,1"])),
                    "off": off,
                }},
                "objects": {"mask": {"sky": plain(json!("0,0,1,0,1,0.2"))}, "filters": {"car": {
                    "mask": {"global_sky": plain(json!("0,0,1,0,1,0.2")),
                             "global_own": plain(json!("0,0,1,1,1,0"))},
                    "min_area": 5,
                }}},
            })
        );
        let of_0_17 = shape(&config, Release::V0_17).unwrap();
        let warning = "motion.skip_motion_threshold: Frigate 0.17 does not know it";
        assert_eq!(of_0_17.warnings, [warning]);
        assert_eq!(
            of_0_17.config,
            json!({
                "motion": {"mask": ["0,0,1,0,1,1", "0,0,1,0,1,1", "0,0,0,1,1,1"]},
                "objects": {"mask": ["0,0,1,0,1,0.2"],
                            "filters": {"car": {"mask": ["0,0,1,1,1,0"], "min_area": 5}}},
            })
        );
    }

    #[test]
    fn zones_that_are_off_are_not_in_0_17() {
        let config = json!({"zones": {
            "off": {"coordinates": "0,0,1,0,1,1", "enabled": false, "enabled_in_config": false},
            "on": {"coordinates": "0,0,1,0,1,1", "enabled": true, "friendly_name": "On"},
        }});
        assert_eq!(
            shaped(config.clone(), Release::V0_17),
            json!({"zones": {"on": {"coordinates": "0,0,1,0,1,1", "friendly_name": "On"}}})
        );
        let zones = &shaped(config, Release::V0_18)["zones"];
        assert_eq!(zones["off"], json!({"coordinates": "0,0,1,0,1,1", "enabled": false}));
        assert_eq!(zones["on"]["enabled"], json!(true));
    }

    #[test]
    fn names_that_the_api_misreads_are_refused_with_the_name() {
        let zone = |name: &str| json!({"zones": {name: {"coordinates": "0,0,1,0,1,1"}}});
        for name in ["12", "+1", "1_0", " 7 ", "-0", "\u{661}\u{662}"] {
            for release in [Release::V0_17, Release::V0_18] {
                let error = shape(&zone(name), release).unwrap_err();
                assert!(matches!(&error, ShapeError::Number { key, .. } if key == name), "{error}");
            }
        }
        let error = shape(&zone("12"), Release::V0_18).unwrap_err().to_string();
        assert!(error.starts_with("zones.12: Frigate's HTTP API takes the name \"12\""), "{error}");
        for name in ["1a", "1__0", "a 1", "\u{b2}", "Einfahrt \u{fc}ber 2"] {
            assert!(shape(&zone(name), Release::V0_17).is_ok(), "{name}");
        }
        assert!(shape(&zone("a.b"), Release::V0_18).is_ok());
        let error = shape(&zone("a.b"), Release::V0_17).unwrap_err();
        assert!(matches!(error, ShapeError::Dots { .. }), "{error}");
        // As lists, masks have no names that could be misread.
        let masks = json!({"motion": {"mask": {"1": mask(json!("0,0,1,0,1,1"))}}});
        assert!(shape(&masks, Release::V0_17).is_ok());
        assert!(shape(&masks, Release::V0_18).is_err());
        assert_eq!(shape(&json!([]), Release::V0_18), Err(ShapeError::NotAMap));
    }

    #[test]
    fn what_the_replay_will_not_be_like_is_said() {
        let config = json!({
            "motion": {"contour_area": null, "frame_height": 100},
            "objects": {"filters": {"car": {"max_ratio": "inf", "min_ratio": "-inf"}}},
            "zones": {"a": {"friendly_name": "nan"}},
        });
        let shaped = shape(&config, Release::V0_18).unwrap();
        assert_eq!(shaped.warnings.len(), 3, "{:?}", shaped.warnings);
        assert!(shaped.warnings[0].starts_with("motion.contour_area: "), "{:?}", shaped.warnings);
        let car = &shaped.config["objects"]["filters"]["car"];
        assert_eq!(*car, json!({"max_ratio": f64::MAX, "min_ratio": f64::MIN}));
        let nan = json!({"objects": {"filters": {"car": {"max_ratio": "nan"}}}});
        let error = shape(&nan, Release::V0_18).unwrap_err().to_string();
        assert!(error.starts_with("objects.filters.car.max_ratio: is no number"), "{error}");
    }
}
