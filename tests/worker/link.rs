//! A replay in the running Frigate.

use std::time::Duration;

use rumqttc::PublishOptions;
use serde_json::{Value, json};

use super::frigate::{Answer, Fault, Frigate, Picture, Setup, V0_16, V0_17, V0_18};
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

/// Lines of config.yml for replay cameras that somebody left there.
fn left_over(names: &[&str]) -> String {
    let camera = |name: &&str| {
        format!(
            "  _replay_{name}:\n    ffmpeg:\n      inputs:\n        - path: /gone.mp4\n          roles: [detect]\n"
        )
    };
    names.iter().map(camera).collect()
}

fn clean(frigate: &Frigate) {
    wait_for("Frigate without a replay camera", || {
        let is_clean =
            frigate.replay_cameras().is_empty() && frigate.running_replay_cameras().is_empty();
        is_clean.then_some(())
    });
    frigate.assert_unharmed();
}

#[test]
fn a_stop_right_after_a_start_waits_visibly_and_does_not_fail() {
    let house = House::new();
    let frigate = beside(&house, V0_18);
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    wait_for("the add", || (frigate.count("PUT") == 1).then_some(()));
    bus.request("stop", json!({"transaction": "at once"}));
    let session = bus.wait_phase("stopping");
    assert_eq!(session["link"], "taking_out");
    let answer = bus.wait_topic("response/stop", |answer| answer["transaction"] == "at once");
    assert_eq!(answer["status"], "ok", "{answer}");
    frigate.assert_clean();
    frigate.assert_unharmed();
    let failed = bus.heard.iter().any(|message| message.json()["event_type"] == "failed");
    assert!(!failed, "a stop is no failure");
    house.check();
}

#[test]
fn what_was_left_in_frigate_is_taken_out_at_the_start_one_by_one() {
    for (version, names) in [(V0_18, &["a", "b", "front"][..]), (V0_17, &["a", "front"])] {
        let house = House::new();
        house.write_config(&format!("{}{}", house.usual_config(), left_over(names)));
        let frigate = beside(&house, version);
        let _worker = house.worker(&["--frigate-url", &frigate.url()]);
        clean(&frigate);
        assert_eq!(
            std::fs::read_to_string(house.path("config/config.yml")).unwrap(),
            house.usual_config()
        );
        house.check();
    }
}

#[test]
fn a_frigate_that_is_down_at_the_start_gets_the_replay_once_it_is_up() {
    let house = House::new();
    let mut frigate = beside(&house, V0_18);
    frigate.stop();
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    let response = bus.ask("start", minute(&house));
    assert_eq!(response["data"]["settings_source"], "config_file", "{response}");
    let session = bus.wait_topic("session", |session| {
        session["phase"] == "starting_camera" && session["link"] == "unreachable"
    });
    assert_eq!(session["live_ready"], false);
    frigate.start_again();
    assert_eq!(bus.wait_phase("live")["link"], "added");
    bus.ask("stop", json!({}));
    clean(&frigate);
    house.check();
}

#[test]
fn a_frigate_that_is_down_at_the_stop_is_rid_of_the_replay_later() {
    let house = House::new();
    let mut frigate = beside(&house, V0_18);
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    bus.wait_phase("live");
    frigate.stop();
    assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
    let late = house.bus().retained();
    let info: Value = serde_json::from_str(&late[&format!("{BASE}/info")]).unwrap();
    assert_eq!(info["frigate"]["reachable"], false);
    assert_eq!(info["frigate"]["left_over"], json!(["_replay_front"]));
    frigate.start_again();
    clean(&frigate);
    bus.wait_topic("info", |info| info["frigate"]["left_over"] == json!([]));
    house.check();
}

#[test]
fn a_frigate_that_restarts_while_live_has_the_replay_again() {
    let house = House::new();
    let mut frigate = beside(&house, V0_18);
    let _worker = house.worker(&["--frigate-url", &frigate.url(), "--watchdog-interval", "200ms"]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    bus.wait_phase("live");
    frigate.restart();
    assert_eq!(frigate.running_replay_cameras(), ["_replay_front"], "from its config.yml");
    // Restored from a backup, it has lost the camera.
    frigate.stop();
    house.write_config(&house.usual_config());
    frigate.start_again();
    wait_for("the camera again", || {
        (frigate.running_replay_cameras() == ["_replay_front"]).then_some(())
    });
    frigate.assert_unharmed();
    bus.ask("stop", json!({}));
    clean(&frigate);
    house.check();
}

#[test]
fn a_0_17_with_a_single_camera_is_not_given_a_second_one() {
    let house = House::new();
    let config = house.usual_config();
    house.write_config(&config[..config.find("  yard:").unwrap()]);
    let frigate = beside(&house, V0_17);
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    let job = bus.wait_status("failed");
    let message = job["debug_replay"]["error_message"].as_str().unwrap().to_owned();
    assert!(message.contains("with a single camera"), "{message}");
    bus.wait_inactive();
    assert_eq!(frigate.count("PUT"), 0);
    frigate.assert_unharmed();
    house.check();
}

#[test]
fn beside_a_replay_of_frigates_own_there_is_none_of_ours() {
    let house = House::new();
    let frigate = beside(&house, V0_18);
    frigate.set_native_replay(Some("yard"));
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    let response = bus.ask("start", minute(&house));
    assert_eq!(response["error"]["code"], "already_active", "{response}");
    let message = response["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("Frigate's own"), "{message}");
    assert_eq!(frigate.count("PUT"), 0);
    frigate.assert_unharmed();
    house.check();
}

/// An add that fails so: the job fails with these words, and nothing is left.
#[test]
fn what_frigate_refuses_fails_in_its_own_words() {
    let unchanged = json!({"success": false, "message": "Error updating config"});
    for (fault, words) in [
        (Fault::status(400), "HTTP 400: Error saving config: no"),
        (Fault::status(401), "asks for a login"),
        (Fault::status(403), "role admin"),
        (Fault::status(422), "HTTP 422"),
        (Fault::Answer(Answer::json(500, &unchanged)), "HTTP 500: Error updating config"),
    ] {
        let house = House::new();
        let frigate = beside(&house, V0_18);
        frigate.fail_next("PUT", 1, fault);
        let _worker = house.worker(&["--frigate-url", &frigate.url()]);
        let mut bus = house.bus();
        bus.ask("start", minute(&house));
        let job = bus.wait_status("failed");
        let message = job["debug_replay"]["error_message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{words}: {message}");
        bus.wait_inactive();
        frigate.assert_clean();
        frigate.assert_unharmed();
        house.check();
    }
}

/// Replays whose add fails so, `done` or not: they are live in the end, and gone after the stop.
fn comes_through(fault: Fault, done: bool) {
    let house = House::new();
    let frigate = beside(&house, V0_18);
    match done {
        true => frigate.lose_next_answer("PUT", 1, fault),
        false => frigate.fail_next("PUT", 1, fault),
    }
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    bus.wait_phase("live");
    assert_eq!(frigate.running_replay_cameras(), ["_replay_front"]);
    frigate.assert_unharmed();
    assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
    frigate.assert_clean();
    frigate.assert_unharmed();
    house.check();
}

#[test]
fn an_add_that_was_written_and_answered_with_500_comes_through() {
    comes_through(Fault::status(500), true);
}

#[test]
fn a_config_that_another_process_holds_comes_through() {
    comes_through(Fault::status(503), false);
}

#[test]
fn an_add_that_got_lost_comes_through() {
    comes_through(Fault::Close, false);
}

#[test]
fn an_add_whose_answer_got_lost_comes_through() {
    comes_through(Fault::Close, true);
}

#[test]
fn an_add_that_a_proxy_gave_up_comes_through() {
    comes_through(Fault::html(502), true);
}

#[test]
fn a_removal_whose_answer_got_lost_is_not_sent_again() {
    let house = House::new();
    let frigate = beside(&house, V0_18);
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    bus.wait_phase("live");
    frigate.lose_next_answer("PUT", 1, Fault::Close);
    assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
    clean(&frigate);
    house.check();
}

#[test]
fn the_settings_are_those_of_the_running_camera() {
    let house = House::new();
    let frigate = beside(&house, V0_18);
    frigate.set_live(
        "front",
        json!({
            "name": "front", "enabled": true,
            "detect": {"enabled": true, "width": 800, "height": 600, "fps": 7,
                       "min_initialized": 3, "max_disappeared": 35},
            "objects": {"track": ["car"], "filters": {}, "mask": {}},
            "motion": {"enabled": true, "threshold": 44, "mask": {}},
            "zones": {"near": {"coordinates": "0,0,1,0,1,1", "color": [1, 2, 3], "enabled": true}},
        }),
    );
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    let mut request = minute(&house);
    request["overrides"] = json!({"detect": {"fps": 9}});
    let response = bus.ask("start", request);
    assert_eq!(response["data"]["settings_source"], "frigate", "{response}");
    let session = bus.wait_phase("live");
    assert_eq!(session["settings_source"], "frigate");
    let camera = frigate.camera_in_file("_replay_front").unwrap();
    assert_eq!(camera["detect"]["width"], 800);
    assert_eq!(camera["detect"]["fps"], 9, "overrides lie over what runs");
    assert_eq!(camera["motion"]["threshold"], 44);
    assert_eq!(camera["objects"]["track"], json!(["car"]));
    assert_eq!(camera["zones"]["near"], json!({"coordinates": "0,0,1,0,1,1"}));
    frigate.assert_unharmed();
    house.check();
}

#[test]
fn what_frigate_retains_of_the_replay_is_cleared_and_nothing_else() {
    let house = House::new();
    let frigate = beside(&house, V0_18);
    let _worker = house.worker(&["--frigate-url", &frigate.url()]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    bus.wait_phase("live");
    let ghost = "frigate/_replay_front/person/snapshot";
    let neighbour = "frigate/front/person/snapshot";
    for topic in [ghost, neighbour] {
        let retained = PublishOptions::at_least_once().retained();
        bus.publish_with(topic, "made-by-the-test", retained);
    }
    bus.catch_up();
    assert!(house.bus().retained().contains_key(ghost), "a session's own stay");
    bus.ask("stop", json!({}));
    wait_for("the broker without it", || {
        (!house.bus().retained().contains_key(ghost)).then_some(())
    });
    assert!(house.bus().retained().contains_key(neighbour));
    frigate.assert_clean();
    frigate.assert_unharmed();
}

/// Killed while a change is under way: at its add, while live, at its removal.
#[test]
fn killed_with_a_change_under_way_nothing_stays_and_nothing_comes_too_close() {
    for version in [V0_18, V0_17] {
        let house = House::new();
        let frigate = beside(&house, version);
        let url = frigate.url();
        let flags = ["--frigate-url", url.as_str()];
        let hang = || Fault::Hang(Duration::from_millis(200));
        let worker = house.worker(&flags);
        let mut bus = house.bus();
        frigate.lose_next_answer("PUT", 1, hang());
        bus.ask("start", minute(&house));
        wait_for("the add", || (!frigate.replay_cameras().is_empty()).then_some(()));
        worker.kill();
        let worker = house.worker(&flags);
        bus.wait_phase("live");
        frigate.lose_next_answer("PUT", 1, hang());
        let before = frigate.calls().iter().filter(|made| made.call.starts_with("PUT")).count();
        bus.request("stop", json!({"transaction": "the-stop"}));
        wait_for("the removal", || {
            (frigate.running_replay_cameras().is_empty() || frigate.count("PUT") > before)
                .then_some(())
        });
        worker.kill();
        let _worker = house.worker(&flags);
        bus.wait_inactive();
        clean(&frigate);
        house.check();
    }
}

/// Killed wherever it happens to be, again and again.
#[test]
fn killed_at_any_moment_nothing_stays_and_nothing_comes_too_close() {
    let house = House::new();
    let frigate = beside(&house, V0_18);
    let url = frigate.url();
    let flags = ["--frigate-url", url.as_str()];
    let mut seed = [0];
    getrandom::fill(&mut seed).unwrap();
    for round in 0..5u8 {
        let worker = house.worker(&flags);
        let bus = house.bus();
        let verb = if round % 2 == 0 { "start" } else { "stop" };
        bus.request(verb, if verb == "start" { minute(&house) } else { json!({}) });
        // The moment is what is tried here.
        let moment = u64::from(seed[0].wrapping_mul(31).wrapping_add(round.wrapping_mul(97)));
        println!("round {round}: {verb}, killed after {} ms", moment * 10);
        std::thread::sleep(Duration::from_millis(moment * 10));
        worker.kill();
    }
    let _worker = house.worker(&flags);
    let mut bus = house.bus();
    let answer = bus.ask("stop", json!({}));
    assert!(answer["status"] == "ok" || answer["error"]["code"] == "not_active", "{answer}");
    clean(&frigate);
    house.check();
}

#[test]
fn behind_a_login_and_a_certificate_of_its_own_it_is_reached_by_fingerprint() {
    let house = House::new();
    let setup = Setup { login: Some(("admin", "secret")), tls: true, ..Setup::of(V0_18) };
    let frigate = Frigate::start(&house.path("config/config.yml"), setup);
    let fingerprint = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(house.path("config/frigate.pem"))
        .output()
        .unwrap();
    let fingerprint = String::from_utf8(fingerprint.stdout).unwrap();
    let fingerprint = fingerprint.trim().rsplit('=').next().unwrap().to_owned();
    std::fs::write(house.path("password"), "secret\n").unwrap();
    let password = house.path("password").display().to_string();
    let _worker = house.worker(&[
        "--frigate-url",
        &frigate.url(),
        "--frigate-user",
        "admin",
        "--frigate-password-file",
        &password,
        "--frigate-fingerprint",
        &fingerprint,
    ]);
    let mut bus = house.bus();
    bus.ask("start", minute(&house));
    bus.wait_phase("live");
    // A token ends some day.
    frigate.expire_tokens();
    assert_eq!(bus.ask("stop", json!({}))["status"], "ok");
    frigate.assert_clean();
    frigate.assert_unharmed();
    house.check();
}
