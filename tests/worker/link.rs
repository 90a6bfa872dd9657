//! A replay in the running Frigate.

use serde_json::{Value, json};

use super::frigate::{Frigate, Picture, Setup, V0_16, V0_17, V0_18};
use super::house::{BASE, House, wait_for};

fn beside(house: &House, version: &'static str) -> Frigate {
    Frigate::start(&house.path("config/config.yml"), Setup::of(version))
}

fn minute(house: &House) -> Value {
    json!({"camera": "front", "start_time": house.range.0, "end_time": house.range.1})
}

#[test]
fn a_replay_appears_in_frigate_and_disappears_again() {
    for version in [V0_18, V0_17] {
        let house = House::new();
        let frigate = beside(&house, version);
        let before = std::fs::read_to_string(house.path("config/config.yml")).unwrap();
        let _worker = house.worker(&["--frigate-url", &frigate.url()]);
        let mut bus = house.bus();
        let info = bus.wait_topic("info", |info| info["frigate"]["reachable"] == true);
        assert_eq!(info["frigate"]["version"], version);
        assert_eq!(bus.ask("start", minute(&house))["status"], "ok");
        let session = bus.wait_phase("live");
        assert_eq!(session["link"], "added");
        let picture = bus.wait_topic("picture", |picture| !picture["url"].is_null());
        let url = picture["url"].as_str().unwrap();
        assert!(url.starts_with(&format!("{}/api/_replay_front/latest.jpg?", frigate.url())));
        assert_eq!(frigate.running_replay_cameras(), ["_replay_front"]);
        let camera = frigate.camera_in_file("_replay_front").unwrap();
        assert_eq!(camera["ffmpeg"]["inputs"][0]["path"], session["clip_path"]);
        house.check();
        assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
        frigate.assert_clean();
        frigate.assert_unharmed();
        let after = std::fs::read_to_string(house.path("config/config.yml")).unwrap();
        assert_eq!(after, before);
        house.check();
    }
}

#[test]
fn a_replay_is_live_only_once_there_is_a_picture_of_it() {
    let house = House::new();
    let frigate = beside(&house, V0_18);
    frigate.set_picture(Picture::Never);
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    assert_eq!(bus.ask("start", minute(&house))["status"], "ok");
    bus.wait_topic("session", |session| session["link"] == "adding");
    wait_for("looks for a picture", || {
        (frigate.count("GET /api/_replay_front/latest.jpg") > 2).then_some(())
    });
    let retained = house.bus().retained();
    let session: Value = serde_json::from_str(&retained[&format!("{BASE}/session")]).unwrap();
    assert_eq!(session["live_ready"], false, "{session}");
    frigate.set_picture(Picture::After(std::time::Duration::ZERO));
    bus.wait_phase("live");
    frigate.assert_unharmed();
}

#[test]
fn an_older_frigate_is_told_nothing() {
    let house = House::new();
    let frigate = beside(&house, V0_16);
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    let info = bus.wait_topic("info", |info| info["frigate"]["way"] == "publish_only");
    assert_eq!(info["frigate"]["version"], V0_16);
    assert_eq!(bus.ask("start", minute(&house))["status"], "ok");
    assert_eq!(bus.wait_phase("live")["link"], "off");
    assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
    assert_eq!(frigate.count("PUT"), 0);
    frigate.assert_unharmed();
}
