//! The dashboard in headless Chromium, with the real broker and the real worker.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rumqttc::PublishOptions;
use serde_json::json;
use thirtyfour::Key;

use super::browser::Browser;
use super::deployment::Shipped;
use super::house::{BASE, House, free_port};

/// A house whose broker serves the dashboard to everybody, and where that is.
fn house() -> (House, String) {
    let port = free_port();
    let house = House::with_broker(&format!(
        "allow_anonymous true\nlistener {port} 127.0.0.1\nprotocol websockets\nhttp_dir {}/dashboard\n",
        env!("CARGO_MANIFEST_DIR")
    ));
    (house, format!("http://127.0.0.1:{port}/"))
}

/// An ffmpeg that first waits for the file `go`, so that there is time to look.
fn held_ffmpeg(house: &House) -> String {
    let path = house.path("held-ffmpeg");
    let go = house.path("go");
    let script = format!(
        "#!/bin/sh\nwhile [ ! -e '{}' ]; do sleep 0.05; done\nexec ffmpeg \"$@\"\n",
        go.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn a_replay_is_started_watched_and_stopped_with_the_shipped_broker() {
    let shipped = Shipped::new();
    let house = &shipped.house;
    let secret = house.path("docker/secrets/frigate_replay");
    let ffmpeg = held_ffmpeg(house);
    let _worker = house.worker_unwaited(&[
        "--mqtt-username",
        "frigate_replay",
        "--mqtt-password-file",
        secret.to_str().unwrap(),
        "--clip-engine",
        "ffmpeg",
        "--ffmpeg",
        &ffmpeg,
    ]);
    let mut bus = shipped.bus("observer");
    bus.wait_retained_or_live(&format!("{BASE}/available"), |payload| payload == "online");
    let browser = Browser::open(&format!("http://127.0.0.1:{}/", shipped.web_port));

    // The broker asks for a name; a wrong password is told.
    browser.wait_text("login-reason", "The broker asks who you are");
    assert_eq!(browser.focus(), "user");
    browser.write("user", "dashboard");
    browser.write("password", "wrong");
    browser.press(Key::Enter);
    browser.wait_text("login-reason", "refuses the user “dashboard”");
    assert_eq!(browser.focus(), "password");
    browser.picture("login");
    browser.write("password", &shipped.passwords["dashboard"]);
    browser.press(Key::Enter);
    browser.wait_text("connection", "Worker online");
    assert_eq!(browser.run("return localStorage.length"), 0, "remembered without being asked to");

    browser.wait_text("headline", "No replay is running");
    assert_eq!(
        browser.run("return [...camera.options].map((o) => o.value)"),
        json!(["front", "yard"])
    );
    browser.write("minutes", "0.9");
    browser.click("start-button");
    browser.wait_text("headline", "Making the clip of front");
    browser.wait("document.getElementById('progress').checkVisibility()");
    browser.wait_text("percent", "0 %");
    browser.wait_text("answer", "Done: start");
    let request = bus.wait("the request", |message| message.topic.ends_with("/request/start"));
    assert_eq!(request.json()["last_seconds"], 54.0);
    fs::write(house.path("go"), "").unwrap();
    browser.wait_text("headline", "front is live as _replay_front");
    browser.wait_text("facts", "published on MQTT only");
    browser.picture("desktop");
    let again = json!({"camera": "front", "last_seconds": 5});
    bus.request("start", again);
    browser.wait_text("answer", "Refused: start");
    browser.click("stop");
    browser.wait_text("headline", "No replay is running");
    browser.wait_text("answer", "Done: stop");
    browser.wait_text("history-rows", "Stopped");
    browser.wait("!document.getElementById('stop').checkVisibility()");

    // Remembered once that is wished for, and forgotten again.
    browser.click("sign-out");
    browser.wait_text("login-reason", "You are signed out");
    browser.write("user", "dashboard");
    browser.write("password", &shipped.passwords["dashboard"]);
    browser.click("remember");
    browser.press(Key::Enter);
    browser.wait_text("connection", "Worker online");
    browser.go_to(&format!("http://127.0.0.1:{}/", shipped.web_port));
    browser.wait_text("connection", "Worker online");
    browser.click("sign-out");
    assert_eq!(browser.run("return localStorage.length"), 0);
    bus.catch_up();
    let retained = shipped.bus("observer").retained();
    assert!(!retained.keys().any(|topic| topic.contains("/request/")), "{retained:?}");
}

#[test]
fn it_comes_back_with_the_broker_and_tells_when_the_worker_is_away() {
    let (mut house, url) = house();
    let worker = house.worker(&[]);
    let mut bus = house.bus();
    let browser = Browser::open(&url);
    browser.wait_text("connection", "Worker online");
    bus.ask(
        "start",
        json!({"camera": "front", "start_time": house.range.0, "end_time": house.range.1}),
    );
    browser.wait_text("headline", "front is live");
    drop(bus);

    house.stop_broker();
    house.forget_broker_store();
    browser.wait_text("connection", "Connection lost");
    browser.wait_text("notices", "is tried again");
    browser.wait_text("headline", "front is live");
    house.start_broker();
    browser.wait_text("connection", "Worker online");
    browser.wait("document.getElementById('notices').innerText === ''");
    browser.wait_text("headline", "front is live");

    worker.kill();
    browser.wait_text("connection", "Worker offline");
    browser.wait_text("notices", "The worker is offline");
    assert_eq!(browser.run("return document.getElementById('stop').ariaDisabled"), "true");
    let _worker = house.worker_unwaited(&[]);
    browser.wait_text("connection", "Worker online");
    browser.wait_text("headline", "front is live");
    browser.click("stop");
    browser.wait_text("headline", "No replay is running");
    house.check();
}

#[test]
fn it_is_used_by_keyboard_alone_and_says_what_is_wrong_with_a_field() {
    let (house, url) = house();
    let _worker = house.worker(&[]);
    let browser = Browser::open(&url);
    browser.wait_text("connection", "Worker online");
    browser.wait("document.getElementById('camera').value === 'front'");

    browser.tab_to("what-last");
    browser.press(Key::Right + Key::Right);
    assert_eq!(browser.focus(), "what-export");
    browser.tab_to("export");
    browser.press(Key::Enter);
    browser.wait_text("start-error", "Write the id of the export");
    assert_eq!(browser.run("return document.activeElement.ariaInvalid"), "true");
    browser.press("nowhere");
    browser.press(Key::Enter);
    browser.wait_text("answer", "Refused: start_from_export");
    browser.wait_text("answer", "nowhere");

    browser.run("document.getElementById('export').value = 'front_done'");
    browser.tab_to("start-button");
    browser.press(" ");
    browser.wait_text("headline", "front is live");
    assert_eq!(browser.focus(), "start-button", "the keyboard is not thrown off");
    browser.run("document.activeElement.blur(); document.getElementById('headline').focus()");
    browser.tab_to("stop");
    browser.press(" ");
    browser.wait_text("headline", "No replay is running");
    assert_eq!(browser.focus(), "headline");

    // From a past job to the same again, with other settings.
    browser.wait_text("history-rows", "export front_done");
    browser.run("document.getElementById('what-range').click()");
    browser.run("document.querySelector('#start details').open = true");
    browser.write("overrides", "{no json}");
    browser.click("start-button");
    browser.wait_text("start-error", "must be a JSON object");
    assert_eq!(browser.focus(), "overrides");
    browser.write("overrides", r#"{"detect": {"fps": 3}}"#);
    browser.run("document.querySelector('#history-rows button').click()");
    assert_eq!(browser.run("return document.getElementById('export').value"), "front_done");
    browser.press(Key::Enter);
    browser.wait_text("facts", "with overrides");
    every_field_has_a_name(&browser);
}

/// What a screen reader needs: a name for everything that can be used, and no id twice.
fn every_field_has_a_name(browser: &Browser) {
    let nameless = browser.run(
        "return [...document.querySelectorAll('input, select, textarea, button, progress')]
            .filter((it) => !it.labels?.length && !it.ariaLabel && !it.textContent.trim())
            .map((it) => it.outerHTML)",
    );
    assert_eq!(nameless, json!([]));
    let twice = browser.run(
        "const ids = [...document.querySelectorAll('[id]')].map((it) => it.id);
         return ids.filter((id, at) => ids.indexOf(id) !== at)",
    );
    assert_eq!(twice, json!([]));
}

#[test]
fn on_a_phone_and_in_the_dark() {
    let (house, url) = house();
    let _worker = house.worker(&[]);
    let mut bus = house.bus();
    bus.ask("start", json!({"camera": "front", "last_seconds": 30}));
    bus.ask("stop", json!({}));
    bus.ask(
        "start",
        json!({"camera": "front", "start_time": house.range.0, "end_time": house.range.1}),
    );
    let browser = Browser::open(&url);
    let light = colours(&browser);
    browser.dark(true);
    let dark = colours(&browser);
    assert!(light.0 > 200.0 && light.1 < 60.0, "{light:?}");
    assert!(dark.0 < 60.0 && dark.1 > 200.0, "{dark:?}");
    browser.wait_text("headline", "front is live");
    browser.picture("dark");
    browser.viewport(360, 740);
    browser.run("document.querySelector('details').open = true");
    for what in ["what-last", "what-range", "what-export"] {
        browser.run(&format!("document.getElementById('{what}').click()"));
        let width = browser.run("return document.documentElement.scrollWidth");
        assert_eq!(width, 360, "{what}: it must not be moved sideways");
    }
    let small = browser.run(
        "return [...document.querySelectorAll('main button, main select, main input:not([type=radio], [type=checkbox]), .choice label')]
            .filter((it) => it.checkVisibility() && it.getBoundingClientRect().height < 36)
            .map((it) => it.outerHTML)",
    );
    assert_eq!(small, json!([]), "too small for a finger");
    browser.picture("phone-dark");
    browser.dark(false);
    browser.picture("phone");
    browser.click("stop");
    browser.wait_text("headline", "No replay is running");
}

/// How bright the page and its text are, 0 to 255.
fn colours(browser: &Browser) -> (f64, f64) {
    let bright = |property: &str| {
        let script = format!(
            "const [r, g, b] = getComputedStyle(document.body).{property}.match(/[\\d.]+/g);
             return (Number(r) + Number(g) + Number(b)) / 3"
        );
        browser.run(&script).as_f64().unwrap()
    };
    (bright("backgroundColor"), bright("color"))
}

/// Somebody who may publish anything puts markup and wrong shapes into every topic of ours.
#[test]
fn what_a_message_holds_is_shown_and_never_run() {
    let (house, url) = house();
    let bus = house.bus();
    let attack = "<img src=x onerror=\"window.caught=1\"><script>window.caught=1</script>";
    let keep = PublishOptions::at_least_once().retained();
    let info = json!({"made-by-the-test": 1, "version": attack, "schema_version": attack,
        "cameras": [attack, 7, null], "limits": attack, "config_error": attack,
        "frigate": {"url": attack, "version": attack, "reachable": true, "error": attack, "left_over": [attack]}});
    let session = json!({"made-by-the-test": 1, "active": true, "replay_camera": attack, "source_camera": attack,
        "phase": attack, "start_time": attack, "end_time": {}, "auto_stop_at": 1e300, "link": attack,
        "footage_seconds": attack, "settings_source": attack, "warnings": [attack, {"a": attack}]});
    let history = json!({"made-by-the-test": 1, "jobs": [null, 7, attack,
        {"source_camera": attack, "reason": attack, "error_message": attack, "export_id": attack}]});
    let response = json!({"made-by-the-test": 1, "verb": attack, "status": attack,
        "error": {"message": attack, "code": attack}, "data": {"warnings": [attack]}});
    let job = json!({"made-by-the-test": 1, "debug_replay": {"status": "failed", "error_message": attack, "results": 7}});
    for (topic, payload) in [
        ("session", session),
        ("history", history),
        ("last_response", response),
        ("job_state", job),
        ("available", json!("online made-by-the-test")),
        ("info", info),
    ] {
        bus.publish_with(&format!("{BASE}/{topic}"), payload.to_string(), keep.clone());
    }
    let other = format!("frigate_replay/{}/info", attack.replace('/', ""));
    bus.publish_with(&other, r#"{"made-by-the-test": 1}"#, keep.clone());
    let browser = Browser::open(&format!("{url}?instance=frigate"));
    browser.wait("document.getElementById('headline').innerText.includes('onerror')");
    for id in ["warning-list", "facts", "answer", "frigate", "history-rows", "notices", "about"] {
        browser.wait_text(id, "<script>window.caught=1</script>");
    }
    let found =
        browser.run("return document.querySelectorAll('main img, main script, [onerror]').length");
    assert_eq!(found, 0);
    assert_eq!(browser.run("return window.caught ?? null"), serde_json::Value::Null);
    // Were there a way in, the page's own policy would still stop it.
    browser.run("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.caught=1\" id=bad>')");
    browser.wait("document.getElementById('bad').complete");
    assert_eq!(browser.run("return window.caught ?? null"), serde_json::Value::Null);
    // What is no message at all changes nothing, and the page stays up.
    for payload in ["[1]", "7", "{", "null", "\"made-by-the-test\""] {
        bus.publish_with(
            &format!("{BASE}/session"),
            format!("{payload} made-by-the-test"),
            keep.clone(),
        );
    }
    browser.wait_text("headline", "The last replay failed");
}
