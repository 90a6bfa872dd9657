//! A config as a tree that remembers where each value came from.
//!
//! The tree of `serde_yaml` forgets two things that Frigate's rules and a good error message need:
//! whether a scalar was quoted, and where it stands. This one keeps both, and the same tree goes
//! through every step, so that an error found at the very end still points at the line that caused
//! it, be it the camera's, a global section's or the requester's.

use indexmap::IndexMap;

/// Which text a value comes from. It decides how the path of an error begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// A top-level section of config.yml: `detect.fps`.
    Global,
    /// The camera's own section: `cameras.front.detect.fps`.
    Camera,
    /// What a start request carries: `overrides.detect.fps`.
    Overrides,
    /// Nobody wrote it: Frigate's default.
    Default,
}

/// Where a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub layer: Layer,
    /// Byte offset in config.yml of the value or of its key; [`Source::NOWHERE`] if not known.
    pub offset: u32,
}

impl Source {
    /// The offset of what has no place in config.yml.
    pub const NOWHERE: u32 = u32::MAX;

    /// The same place, as part of `layer`.
    pub const fn on(self, layer: Layer) -> Self {
        Self { layer, ..self }
    }

    /// The place of what a setting does to the camera, wherever it was written.
    pub const fn in_camera(self) -> Self {
        match self.layer {
            Layer::Overrides => self,
            _ => self.on(Layer::Camera),
        }
    }

    /// No place in particular.
    pub const fn of(layer: Layer) -> Self {
        Self { layer, offset: Self::NOWHERE }
    }
}

/// One value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub value: Value,
    pub source: Source,
}

/// What a scalar or a collection is, by Frigate's reading of YAML.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// Also a whole number beyond `i64`.
    Float(f64),
    Text(String),
    /// What no setting takes (a date, `!secret x`, `<<` in a wrong place): what to call it.
    Odd(&'static str),
    List(Vec<Node>),
    Map(Box<Map>),
}

/// A mapping in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    pub entries: IndexMap<String, Node>,
    /// Entries whose key is no text (`12:`, `true:`), under the key as it would be printed.
    pub odd: IndexMap<String, Node>,
}

impl Node {
    pub fn new(value: Value, layer: Layer) -> Self {
        Self { value, source: Source::of(layer) }
    }

    /// A copy whose every value belongs to `layer`.
    pub fn copied_as(&self, layer: Layer) -> Self {
        let value = match &self.value {
            Value::List(items) => {
                Value::List(items.iter().map(|item| item.copied_as(layer)).collect())
            }
            Value::Map(map) => Value::Map(Box::new(map.copied_as(layer))),
            scalar => scalar.clone(),
        };
        Self { value, source: Source { layer, ..self.source } }
    }

    pub fn map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub fn map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub fn list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }
}

impl Map {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.get_mut(key)
    }

    /// The map under `key`, if there is one.
    pub fn section(&self, key: &str) -> Option<&Map> {
        self.get(key).and_then(Node::map)
    }

    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)?.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub fn int(&self, key: &str) -> Option<i64> {
        match self.get(key)?.value {
            Value::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The texts of the list under `key`, or the one text that stands there.
    pub fn texts(&self, key: &str) -> Vec<&str> {
        match self.get(key).map(|node| &node.value) {
            Some(Value::Text(text)) => vec![text],
            Some(Value::List(items)) => items.iter().filter_map(Node::text).collect(),
            _ => Vec::new(),
        }
    }

    pub fn insert(&mut self, key: impl Into<String>, node: Node) {
        self.entries.insert(key.into(), node);
    }

    fn copied_as(&self, layer: Layer) -> Self {
        let copy = |(key, node): (&String, &Node)| (key.clone(), node.copied_as(layer));
        Self {
            entries: self.entries.iter().map(copy).collect(),
            odd: self.odd.iter().map(copy).collect(),
        }
    }
}

/// Lays `under` below `over`: maps are merged key by key at every depth, and anything else that
/// `over` holds stays, be it a null or a list.
pub(super) fn lay_below(over: &mut Map, under: Map) {
    for (key, node) in under.entries {
        match over.entries.get_mut(&key) {
            None => {
                over.entries.insert(key, node);
            }
            Some(Node { value: Value::Map(upper), .. }) => {
                if let Value::Map(lower) = node.value {
                    lay_below(upper, *lower);
                }
            }
            Some(_) => {}
        }
    }
    for (key, node) in under.odd {
        over.odd.entry(key).or_insert(node);
    }
}

/// Lays `over` on top of `under`, the other way round: what `over` holds wins.
pub(super) fn lay_over(under: &mut Map, over: Map) {
    for (key, node) in over.entries {
        match (under.entries.get_mut(&key), node) {
            (
                Some(Node { value: Value::Map(lower), .. }),
                Node { value: Value::Map(upper), .. },
            ) => lay_over(lower, *upper),
            (Some(place), node) => *place = node,
            (None, node) => {
                under.entries.insert(key, node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, Value)]) -> Map {
        let mut map = Map::default();
        for (key, value) in entries {
            map.insert(*key, Node::new(value.clone(), Layer::Camera));
        }
        map
    }

    fn nest(entries: &[(&str, Value)]) -> Value {
        Value::Map(Box::new(map(entries)))
    }

    #[test]
    fn a_null_and_a_list_of_the_upper_map_stay() {
        let mut over = map(&[
            ("width", Value::Null),
            ("track", Value::List(Vec::new())),
            ("mask", nest(&[("a", Value::Int(1))])),
        ]);
        let under = map(&[
            ("width", Value::Int(640)),
            ("track", Value::List(vec![Node::new(Value::Int(1), Layer::Global)])),
            ("mask", nest(&[("a", Value::Int(2)), ("b", Value::Int(3))])),
            ("fps", Value::Int(5)),
        ]);
        lay_below(&mut over, under);
        assert!(over.get("width").unwrap().is_null());
        assert!(over.get("track").unwrap().list().unwrap().is_empty());
        let mask = over.section("mask").unwrap();
        assert_eq!((mask.int("a"), mask.int("b"), over.int("fps")), (Some(1), Some(3), Some(5)));
    }

    #[test]
    fn what_is_laid_over_wins_key_by_key() {
        let mut under = map(&[("mask", nest(&[("a", Value::Int(1))])), ("fps", Value::Int(5))]);
        lay_over(&mut under, map(&[("mask", nest(&[("b", Value::Int(2))])), ("fps", Value::Null)]));
        assert!(under.get("fps").unwrap().is_null());
        let mask = under.section("mask").unwrap();
        assert_eq!((mask.int("a"), mask.int("b")), (Some(1), Some(2)));
    }
}
