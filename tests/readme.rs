//! The README tells the truth: its settings, topics, commands and payloads are those of the program.

use std::process::Command;

use frigate_replay::cli::schema::all;
use frigate_replay::settings::SETTINGS;
use frigate_replay::wire::contract::CHANNELS;
use frigate_replay::wire::requests::Verb;

const README: &str = include_str!("../README.md");

#[test]
fn every_setting_is_in_the_table_as_the_program_has_it() {
    for setting in SETTINGS {
        let row = format!("| `{}` | {} | {} |", setting.name, setting.help, setting.default);
        assert!(README.contains(&row), "not in the README: {row}");
    }
    let rows = README.lines().skip_while(|line| !line.starts_with("| Setting |")).skip(2);
    assert_eq!(rows.take_while(|line| line.starts_with('|')).count(), SETTINGS.len());
}

#[test]
fn the_table_of_topics_is_that_of_the_contract() {
    let rows: Vec<&str> = README
        .lines()
        .skip_while(|line| !line.starts_with("| Topic |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let expected: Vec<String> = CHANNELS
        .iter()
        .map(|channel| {
            let topic = channel.topic.replacen("B/", "…/", 1);
            let (direction, retained) = (channel.direction.as_str(), channel.retained.as_str());
            format!("| `{topic}` | {direction} | {retained} | {} |", channel.says)
        })
        .collect();
    assert_eq!(rows, expected);
    for verb in Verb::ALL {
        assert!(README.contains(&format!("frigate_replay/frigate/request/{}", verb.as_str())));
    }
}

#[test]
fn every_payload_fits_its_schema() {
    let mut checked = 0;
    for block in README.split("```json ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        let payload = rest.split("```").next().unwrap();
        let value = serde_json::from_str(payload).unwrap_or_else(|e| panic!("{name}: {e}"));
        let wanted = if name == "request-start" { "request-start" } else { name };
        let message = all().into_iter().find(|message| message.name == wanted);
        let message = message.unwrap_or_else(|| panic!("no message {name}"));
        let schema = jsonschema::draft202012::new(&message.schema).unwrap();
        let errors: Vec<String> = schema.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        checked += 1;
    }
    assert!(checked >= 6, "{checked}");
}

#[test]
fn every_command_is_named() {
    let help = Command::new(env!("CARGO_BIN_EXE_frigate-replay")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() >= 9, "{help}");
    for command in commands {
        assert!(README.contains(&format!("`{command}")), "{command} is not in the README");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for link in README.split("](").skip(1) {
        let target = link.split(')').next().unwrap();
        if !target.starts_with("http") && !target.starts_with('#') {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(target);
            assert!(path.exists(), "{target}");
        }
    }
}
