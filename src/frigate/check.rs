//! Holds a part of the config to its table: every value is brought into the type of its field, and
//! everything that does not fit is reported, not only the first.

use super::errors::{Path, Report};
use super::fields::{Field, Kind, Preset, Range, Section, Unknown};
use super::python;
use super::scalar::{self, but_needs};
use super::tree::{Layer, Map, Node, Source, Value};

/// Checks a node that should be a map with the keys of `section`.
pub(super) fn section(
    node: &mut Node,
    section: &Section,
    path: &Path<'_>,
    report: &mut Report<'_>,
) {
    let source = node.source;
    let Value::Map(map) = &mut node.value else {
        report.error(path, source, but_needs(&node.value, "a map of settings"));
        return;
    };
    text_keys_only(map, path, report);
    map.entries.retain(|key, node| match section.fields.iter().find(|field| field.name == key) {
        Some(known) => {
            field(node, known, &path.key(key), report);
            true
        }
        None => {
            if section.unknown == Unknown::Refused {
                report.error(
                    &path.key(key),
                    node.source,
                    "is not a setting that Frigate knows here",
                );
            }
            section.unknown == Unknown::Unread
        }
    });
    for field in section.fields {
        if matches!(field.preset, Preset::Required) && map.get(field.name).is_none() {
            report.error(&path.key(field.name), source, "is missing");
        }
    }
}

/// A name that is a number, a boolean or null must be quoted.
fn text_keys_only(map: &Map, path: &Path<'_>, report: &mut Report<'_>) {
    for (key, node) in &map.odd {
        report.error(&path.key(key), node.source, "a name must be text: write it in quotes");
    }
}

/// Checks one value against its field.
fn field(node: &mut Node, field: &Field, path: &Path<'_>, report: &mut Report<'_>) {
    if node.is_null() && field.nullable {
        return;
    }
    let needed = match scalar(node, field.kind) {
        Checked::Scalar(value) => {
            if let Some(fault) = outside(&value, &field.range) {
                report.error(path, node.source, fault);
            }
            node.value = value;
            return;
        }
        Checked::Wrong(needed) => needed,
        Checked::NoScalar => {
            collection(node, field.kind, path, report);
            return;
        }
    };
    let mut message = but_needs(&node.value, &needed);
    if field.nullable && node.text() == Some("None") {
        message += "; for no value leave it empty or write null";
    }
    report.error(path, node.source, message);
}

enum Checked {
    Scalar(Value),
    /// Not what the field needs: what it needs.
    Wrong(String),
    /// The field holds no scalar.
    NoScalar,
}

fn scalar(node: &Node, kind: Kind) -> Checked {
    let (value, needed) = match kind {
        Kind::Bool => (scalar::boolean(&node.value).map(Value::Bool), "true or false"),
        Kind::Int => (scalar::integer_of(&node.value).map(Value::Int), "a whole number"),
        Kind::Float => (scalar::float_of(&node.value).map(Value::Float), "a number"),
        Kind::Area => (
            scalar::area_of(&node.value),
            "an area: whole pixels, or a fraction of the frame between 0.000001 and 0.99",
        ),
        Kind::Text => (text(node), "text: write it in quotes"),
        Kind::Choice(choices) => {
            return match node.text().filter(|text| choices.contains(text)) {
                Some(_) => Checked::Scalar(node.value.clone()),
                None => Checked::Wrong(format!("one of {}", choices.join(", "))),
            };
        }
        Kind::TextOrTexts if node.list().is_none() => (text(node), "text, or a list of texts"),
        Kind::OneOrTexts if node.list().is_none() => {
            let value = text(node).map(|value| match node.text() {
                Some(text) if !text.contains(',') => Value::List(vec![node.clone()]),
                _ => value,
            });
            (value, "text, or a list of texts")
        }
        _ => return Checked::NoScalar,
    };
    value.map_or(Checked::Wrong(needed.to_owned()), Checked::Scalar)
}

fn text(node: &Node) -> Option<Value> {
    node.text().map(|_| node.value.clone())
}

fn outside(value: &Value, range: &Range) -> Option<String> {
    let number = match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => return None,
    };
    // NaN is inside no limit.
    let breaks = |limit: Option<f64>, fits: fn(&f64, &f64) -> bool| {
        limit.filter(|limit| !fits(&number, limit))
    };
    let limit = if let Some(limit) = breaks(range.at_least, f64::ge) {
        format!("must be at least {limit}")
    } else if let Some(limit) = breaks(range.above, f64::gt) {
        format!("must be greater than {limit}")
    } else {
        format!("must be at most {}", breaks(range.at_most, f64::le)?)
    };
    Some(format!("{} {limit}", scalar::shown(value)))
}

fn collection(node: &mut Node, kind: Kind, path: &Path<'_>, report: &mut Report<'_>) {
    match kind {
        Kind::Section(of) => section(node, of, path, report),
        Kind::MapOf(of) => {
            entries(node, path, report, |node, path, report| section(node, of, path, report))
        }
        Kind::MapOfNullable(of) => entries(node, path, report, |node, path, report| {
            if !node.is_null() {
                section(node, of, path, report);
            }
        }),
        Kind::MapOfInt => {
            entries(node, path, report, |node, path, report| {
                match scalar::integer_of(&node.value) {
                    Some(value) => node.value = Value::Int(value),
                    None => {
                        report.error(path, node.source, but_needs(&node.value, "a whole number"))
                    }
                }
            })
        }
        Kind::MapOfTexts => entries(node, path, report, texts),
        Kind::AnyMap => entries(node, path, report, |_, _, _| {}),
        Kind::ListOf(of) => match &mut node.value {
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    section(item, of, &path.index(index), report);
                }
            }
            other => report.error(path, node.source, but_needs(other, "a list")),
        },
        Kind::Distances => distances(node, path, report),
        _ => texts(node, path, report),
    }
}

fn entries(
    node: &mut Node,
    path: &Path<'_>,
    report: &mut Report<'_>,
    mut each: impl FnMut(&mut Node, &Path<'_>, &mut Report<'_>),
) {
    match &mut node.value {
        Value::Map(map) => {
            text_keys_only(map, path, report);
            for (key, node) in &mut map.entries {
                each(node, &path.key(key), report);
            }
        }
        other => report.error(path, node.source, but_needs(other, "a map")),
    }
}

fn texts(node: &mut Node, path: &Path<'_>, report: &mut Report<'_>) {
    match &node.value {
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                if item.text().is_none() {
                    let source = if item.source.offset == Source::NOWHERE {
                        node.source
                    } else {
                        item.source
                    };
                    report.error(
                        &path.index(index),
                        source,
                        but_needs(&item.value, "text: write it in quotes"),
                    );
                }
            }
        }
        other => report.error(path, node.source, but_needs(other, "a list of texts")),
    }
}

/// How many sides of a zone have a length.
const SIDES: usize = 4;

fn distances(node: &mut Node, path: &Path<'_>, report: &mut Report<'_>) {
    let lengths: Option<Vec<f64>> = match &node.value {
        Value::Text(text) => text.split(',').map(python::float).collect(),
        Value::List(items) => items
            .iter()
            .map(|item| match &item.value {
                Value::Text(text) => python::float(text),
                value => scalar::float_of(value),
            })
            .collect(),
        _ => None,
    };
    let Some(lengths) = lengths else {
        report.error(
            path,
            node.source,
            but_needs(&node.value, "four numbers: \"10,12,11,13\" or a list"),
        );
        return;
    };
    if lengths.len() != SIDES {
        report.error(
            path,
            node.source,
            format!("has {} values, but needs exactly {SIDES}", lengths.len()),
        );
        return;
    }
    let source = node.source;
    let text = |length: f64| Node { value: Value::Text(python::float_text(length)), source };
    node.value = Value::List(lengths.into_iter().map(text).collect());
}

/// Fills in the default of everything that nobody wrote.
pub(super) fn complete(map: &mut Map, section: &Section) {
    map.entries.reserve(section.fields.len().saturating_sub(map.entries.len()));
    for field in section.fields {
        if map.get(field.name).is_none() {
            let Some(value) = preset(field.preset) else {
                continue;
            };
            map.insert(field.name, Node::new(value, Layer::Default));
        }
        let inner = match field.kind {
            Kind::Section(_) | Kind::MapOf(_) | Kind::MapOfNullable(_) => map.get_mut(field.name),
            _ => continue,
        };
        match (field.kind, inner.and_then(Node::map_mut)) {
            (Kind::Section(of), Some(inner)) => complete(inner, of),
            (Kind::MapOf(of) | Kind::MapOfNullable(of), Some(inner)) => complete_each(inner, of),
            _ => {}
        }
    }
}

fn preset(preset: Preset) -> Option<Value> {
    Some(match preset {
        Preset::Required | Preset::Absent => return None,
        Preset::Null => Value::Null,
        Preset::Bool(value) => Value::Bool(value),
        Preset::Int(value) => Value::Int(value),
        Preset::Float(value) => Value::Float(value),
        Preset::Text(value) => Value::Text(value.to_owned()),
        Preset::Texts(values) => {
            let node = |text: &&str| Node::new(Value::Text((*text).to_owned()), Layer::Default);
            Value::List(values.iter().map(node).collect())
        }
        Preset::Empty => Value::Map(Box::default()),
    })
}

/// The same for every section of a map.
pub(super) fn complete_each(map: &mut Map, of: &Section) {
    for node in map.entries.values_mut() {
        if let Some(inner) = node.map_mut() {
            complete(inner, of);
        }
    }
}
