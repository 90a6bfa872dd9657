//! Frigate's config.yml, changed a camera at a time: what no request names stays as it is, byte by
//! byte. A camera that was changed stands in one line, which is YAML, too.

use serde_json::{Map, Value};

/// The whole file as values; what JSON lacks is null.
pub fn values(text: &str) -> Result<Value, String> {
    let yaml: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    Ok(plain(&yaml))
}

/// The cameras of the file, in its order.
pub fn cameras(text: &str) -> Map<String, Value> {
    let mut values = values(text).unwrap_or_default();
    match values.get_mut("cameras").map(Value::take) {
        Some(Value::Object(cameras)) => cameras,
        _ => Map::new(),
    }
}

fn plain(yaml: &serde_yaml::Value) -> Value {
    use serde_yaml::Value as Yaml;
    match yaml {
        Yaml::Mapping(map) => map
            .iter()
            .map(|(key, value)| {
                let key = key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
                (key, plain(value))
            })
            .collect(),
        Yaml::Sequence(items) => items.iter().map(plain).collect(),
        Yaml::Tagged(tagged) => plain(&tagged.value),
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}

/// The file with this camera, or without it.
pub fn with_camera(text: &str, name: &str, camera: Option<&Value>) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let top = lines.iter().position(|line| line.trim_end() == "cameras:");
    let top = top.expect("this Frigate changes files in which the cameras stand below each other");
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_text = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let end_of = |from: usize, deeper_than: usize| {
        let rest = lines.iter().enumerate().skip(from);
        let next = rest.clone().find(|(_, line)| is_text(line) && indent(line) <= deeper_than);
        let end = next.map_or(lines.len(), |(at, _)| at);
        // Blank lines and comments before the next entry are its own.
        let last = rest.take_while(|(at, _)| *at < end).filter(|(_, line)| is_text(line)).last();
        last.map_or(from, |(at, _)| at + 1)
    };
    let depth = lines.get(top + 1..).into_iter().flatten().find(|line| is_text(line));
    let depth = depth.map_or(2, |line| indent(line)).max(1);
    let is_this = |line: &&str| {
        indent(line) == depth
            && line.trim_start().trim_start_matches(['"', '\'']).strip_prefix(name).is_some_and(
                |rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'),
            )
    };
    let end = end_of(top + 1, 0);
    let at = lines[top + 1..end].iter().position(is_this).map(|at| top + 1 + at);
    let line = camera.map(|camera| format!("{}{name}: {camera}\n", " ".repeat(depth)));
    match at {
        Some(at) => drop(lines.splice(at..end_of(at + 1, depth), line.as_deref())),
        None => drop(lines.splice(end..end, line.as_deref())),
    }
    lines.concat()
}
