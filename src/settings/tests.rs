use std::fs;
use std::path::Path;

use super::*;
use tempfile::TempDir;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn settle(flags: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::settle(&map(flags), &map(variables))
}

fn problem(flags: &[(&str, &str)]) -> String {
    settle(flags, &[]).err().expect("accepted").to_string()
}

#[test]
fn the_defaults_work_without_anything() {
    let settings = settle(&[], &[]).unwrap();
    assert_eq!(settings.media.here(), Path::new("/media/frigate"));
    assert_eq!(settings.replay_dir, Path::new("/media/frigate/frigate-replay"));
    assert_eq!(settings.database, Path::new("/config/frigate.db"));
    assert_eq!(settings.topics.base(), "frigate_replay/frigate");
    assert_eq!((settings.bus.host.as_str(), settings.bus.port), ("localhost", 1883));
    assert_eq!(settings.bus.client_id, "frigate-replay-frigate");
    assert_eq!(settings.max_session, Duration::from_secs(12 * 3600));
    assert_eq!(settings.watchdog_interval, Duration::from_secs(60));
    assert_eq!(settings.bus.session_expiry_s, 300);
}

#[test]
fn discovery_is_on_unless_its_prefix_is_empty() {
    let device = |flags: &[(&str, &str)], variables: &[(&str, &str)]| {
        settle(flags, variables).unwrap().topics.discovery()
    };
    let usual = "homeassistant/device/frigate_replay_frigate/config";
    assert_eq!(device(&[], &[]).as_deref(), Some(usual));
    assert_eq!(device(&[("discovery_prefix", "")], &[]), None);
    assert_eq!(device(&[], &[("FRIGATE_REPLAY_DISCOVERY_PREFIX", "")]), None);
    let other = device(&[("discovery_prefix", "ha")], &[("FRIGATE_REPLAY_DISCOVERY_PREFIX", "")]);
    assert_eq!(other.as_deref(), Some("ha/device/frigate_replay_frigate/config"));
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("settings.yml");
    fs::write(&file, "discovery_prefix: \"\"\n").unwrap();
    assert_eq!(device(&[("settings", file.to_str().unwrap())], &[]), None);
    assert!(problem(&[("discovery_prefix", "home/#")]).contains("discovery_prefix"));
}

#[test]
fn a_flag_beats_a_variable_beats_the_file() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("settings.yml");
    fs::write(&file, "max_range: 1h\nmax_session: 2h\nwatchdog_interval: 3s\n").unwrap();
    let file = file.to_str().unwrap();
    let settings = settle(
        &[("settings", file), ("max_range", "10h")],
        &[("FRIGATE_REPLAY_MAX_RANGE", "20h"), ("FRIGATE_REPLAY_MAX_SESSION", "20h")],
    )
    .unwrap();
    let source = |name| settings.shown.iter().find(|shown| shown.name == name).unwrap().source;
    assert_eq!(settings.max_range, Duration::from_secs(10 * 3600));
    assert_eq!(source("max_range"), Source::Flag);
    assert_eq!(settings.max_session, Duration::from_secs(20 * 3600));
    assert_eq!(source("max_session"), Source::Variable);
    assert_eq!(settings.watchdog_interval, Duration::from_secs(3));
    assert_eq!(source("watchdog_interval"), Source::File);
    assert_eq!(source("data_dir"), Source::Default);
}

#[test]
fn an_empty_variable_sets_nothing_and_an_unknown_one_is_told() {
    let settings =
        settle(&[], &[("FRIGATE_REPLAY_MQTT_URL", ""), ("FRIGATE_REPLAY_MQTT_HOST", "x")]).unwrap();
    assert_eq!(settings.bus.host, "localhost");
    assert!(settings.notes.iter().any(|note| note.contains("FRIGATE_REPLAY_MQTT_HOST")));
}

#[test]
fn a_secret_is_never_shown() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, "geheim2\n").unwrap();
    let settings = settle(&[("mqtt_username", "u"), ("mqtt_password", "geheim")], &[]).unwrap();
    assert_eq!(settings.bus.login, Some(("u".into(), "geheim".into())));
    assert!(!format!("{:?}", settings.shown).contains("geheim"));
    let settings =
        settle(&[("mqtt_username", "u"), ("mqtt_password_file", file.to_str().unwrap())], &[])
            .unwrap();
    assert_eq!(settings.bus.login, Some(("u".into(), "geheim2".into())));
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    for (flags, words) in [
        (vec![("max_session", "soon")], vec!["max_session", "flag", "soon", "12h"]),
        (vec![("max_session", "0s")], vec!["max_session", "more than 0"]),
        (vec![("topic_prefix", "a/#")], vec!["topic_prefix", "a/#"]),
        (vec![("instance", "a/b")], vec!["instance", "a/b"]),
        (vec![("mqtt_url", "http://x")], vec!["mqtt_url", "mqtt://"]),
        (vec![("mqtt_url", "mqtt://u:p@x")], vec!["mqtt_url", "mqtt_username"]),
        (vec![("mqtt_url", "mqtt://x:99999")], vec!["mqtt_url", "99999"]),
        (vec![("mqtt_password", "x")], vec!["mqtt_username"]),
        (vec![("mqtt_password_file", "/nowhere/x"), ("mqtt_username", "u")], vec!["/nowhere/x"]),
        (vec![("frigate_url", "frigate:5000")], vec!["frigate_url", "http://frigate:5000"]),
        (vec![("frigate_url", "http://u:p@frigate")], vec!["frigate_url", "frigate_user"]),
        (vec![("frigate_url", "http://f/?x")], vec!["frigate_url", "?"]),
        (vec![("frigate_url", "http://f"), ("frigate_user", "a")], vec!["frigate_password_file"]),
        (vec![("frigate_url", "http://f"), ("frigate_password", "a")], vec!["frigate_user"]),
        (
            vec![("frigate_url", "https://f"), ("frigate_fingerprint", "12:34")],
            vec!["frigate_fingerprint", "12:34", "openssl"],
        ),
        (vec![("frigate_link", "on")], vec!["frigate_link", "auto, off"]),
        (vec![("frigate_topic_prefix", "a/#")], vec!["frigate_topic_prefix", "a/#"]),
        (vec![("clip_engine", "magic")], vec!["clip_engine", "magic", "native"]),
        (vec![("replay_dir", "/tmp/x")], vec!["replay_dir", "/media/frigate"]),
        (vec![("replay_dir", "/media/frigate/clips/replay")], vec!["replay_dir", "Frigate itself"]),
        (
            vec![("mqtt_url", "mqtts://x"), ("mqtt_client_cert", "/etc/hostname")],
            vec!["mqtt_client_key"],
        ),
    ] {
        let problem = problem(&flags);
        for word in words {
            assert!(problem.contains(word), "{flags:?}: {problem}");
        }
    }
    assert!(!problem(&[("mqtt_url", "mqtt://u:secret@x")]).contains("secret"));
}

#[test]
fn the_running_frigate_is_used_if_its_address_is_set_and_not_turned_off() {
    let url = ("frigate_url", "http://frigate:5000");
    assert!(settle(&[], &[]).unwrap().frigate.is_none());
    assert!(settle(&[url, ("frigate_link", "off")], &[]).unwrap().frigate.is_none());
    let login = [("frigate_user", "admin"), ("frigate_password", "geheim")];
    let settings = settle(&[url, login[0], login[1]], &[]).unwrap();
    assert_eq!(settings.frigate.unwrap().login, Some(("admin".into(), "geheim".into())));
    assert!(!format!("{:?}", settings.shown).contains("geheim"));
    assert!(settings.frigate_topics.is_some());
    assert!(settle(&[("clear_frigate_topics", "off")], &[]).unwrap().frigate_topics.is_none());
}

#[test]
fn an_unknown_key_of_the_settings_file_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("settings.yml");
    for (text, word) in
        [("mqtt_ulr: x", "mqtt_ulr"), ("max_range: [1]", "max_range"), ("a: b: c", "line 1")]
    {
        fs::write(&file, text).unwrap();
        let problem = problem(&[("settings", file.to_str().unwrap())]);
        assert!(problem.contains(word) && problem.contains("settings.yml"), "{problem}");
    }
    fs::write(&file, "# nothing\n").unwrap();
    assert!(settle(&[("settings", file.to_str().unwrap())], &[]).is_ok());
}
