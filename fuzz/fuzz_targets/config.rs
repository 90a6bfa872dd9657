//! Any text as config.yml, and what follows a NUL byte as overrides: no panic, no hang, and what is
//! accepted is accepted again as a live camera, with the same result.

#![no_main]

use frigate_replay::frigate::{Env, FrigateConfig, from_live};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

fuzz_target!(|input: &str| {
    let (text, overrides) = input.split_once('\0').unwrap_or((input, ""));
    let overrides: Option<Map<String, Value>> = serde_json::from_str(overrides).ok();
    let Ok(config) = FrigateConfig::parse(text) else {
        return;
    };
    let env = Env::beside_frigate([("FRIGATE_A".to_owned(), "a".to_owned())]);
    let _ = format!("{:?}{:?}", config.findings(&env), config.own_settings(&env));
    for camera in config.cameras() {
        let Ok(replay) =
            config.replay_camera(&env, camera.as_str(), "/clip.mp4", overrides.as_ref())
        else {
            continue;
        };
        let again = from_live(&replay.camera_config, "/clip.mp4", None).expect("resolved once");
        assert_eq!(again.camera_config, replay.camera_config);
    }
});
