//! Reads config.yml as Frigate reads it: `serde_yaml` parses, this gives the scalars their meaning.
//!
//! Frigate reads YAML 1.2 with ruamel.yaml; `serde_yaml` follows the core schema more narrowly.
//! What differs and matters is settled here:
//!
//! - `010`, `1_000`, `0x5_00`, `1_0.5` are numbers and `2024-01-01` is a date when they stand plain,
//!   and texts when they stand in quotes. `serde_yaml` hands all of them over as text, but it
//!   borrows a scalar from its input, so the characters before the borrowed slice tell whether it
//!   was quoted (and the offset of the slice tells the line).
//! - `!!str x` and `!secret x` are values that no setting takes.
//! - `<<` merges when it stands plain, one map or a list of maps, the first of the list winning.
//! - Keys that are no text are kept apart; a key that is there twice is an error.
//! - A `%YAML 1.1` directive brings back `yes`, `on`, octal `010` and `1:30`.
//!
//! Known limits, all of them rare enough to live with: tabs between a key and its value are taken
//! (ruamel refuses them); a plain text that begins or ends with a colon is refused inside `[]` and
//! `{}` (ruamel takes it); `!!str` on the line above its value is not seen; numbers beyond 64 bits
//! lose digits; `.5e3` (a text to ruamel) and, under YAML 1.1, `0o7` are numbers.
//!
//! What is read is bounded, in size and so in time: [`MAX_BYTES`] of text, [`MAX_VALUES`] values once
//! aliases are written out, [`MAX_OPEN`] open brackets, and `serde_yaml`'s own 128 levels.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use indexmap::map::Entry;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::errors::ConfigError;
use super::scalar::{self, Rules};
use super::tree::{Layer, Map, Node, Source, Value};

/// Longest text read, in bytes. A house with 100 cameras has about 120 kB.
pub const MAX_BYTES: usize = 4 << 20;
/// Most brackets and braces that may be open at once. libyaml looks at each of them for each word
/// that follows, long before `serde_yaml` finds that they are too many.
const MAX_OPEN: usize = 256;
/// Most values read, aliases written out. A house with 100 cameras has about 5000.
pub const MAX_VALUES: u32 = 250_000;

/// Where the lines of a text begin.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    starts: Vec<u32>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let after_breaks = text.bytes().zip(1u32..).filter(|(byte, _)| *byte == b'\n');
        Self { starts: after_breaks.map(|(_, next)| next).collect() }
    }

    /// The line of `offset`, counted from 1.
    pub fn line(&self, offset: u32) -> Option<usize> {
        (offset != Source::NOWHERE)
            .then(|| self.starts.partition_point(|start| *start <= offset) + 1)
    }
}

/// Reads `text`; every value gets [`Layer::Global`].
pub(super) fn read(text: &str) -> Result<(Node, Lines), ConfigError> {
    if text.len() > MAX_BYTES {
        return Err(ConfigError::TooLarge { bytes: text.len() });
    }
    if opens_too_much(text) {
        let message = format!("more than {MAX_OPEN} brackets are open at once");
        return Err(ConfigError::Yaml { message, line: None });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Lines::of(text);
    let rules = if asks_for_yaml_1_1(text) { Rules::Yaml11 } else { Rules::Yaml12 };
    let root =
        deserialize(text, rules, BTreeMap::new(), &lines).or_else(|error| {
            match take_tags(text, rules) {
                Some((untagged, tagged)) => deserialize(&untagged, rules, tagged, &lines),
                None => Err(error),
            }
        })?;
    Ok((root, lines))
}

fn deserialize(
    text: &str,
    rules: Rules,
    tagged: BTreeMap<usize, Value>,
    lines: &Lines,
) -> Result<Node, ConfigError> {
    let reader = Reader {
        text,
        rules,
        has_tags: text.contains('!'),
        tagged,
        left: Cell::new(MAX_VALUES),
        fault: Cell::new(Source::NOWHERE),
    };
    reader.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| {
        let place = error.location();
        ConfigError::Yaml {
            line: lines.line(reader.fault.get()).or(place.as_ref().map(|at| at.line())),
            message: without_place(&error.to_string()),
        }
    })
}

/// The tags of scalars that `serde_yaml` reads more narrowly than Frigate.
const TAGS: [&str; 3] = ["!!bool", "!!int", "!!float"];

/// The text with blanks for every tag that makes `serde_yaml` give up although the scalar behind it
/// has a meaning, and these meanings by the place of the scalar. `None` if there is no such tag.
fn take_tags(text: &str, rules: Rules) -> Option<(String, BTreeMap<usize, Value>)> {
    let mut untagged = String::with_capacity(text.len());
    let mut tagged = BTreeMap::new();
    for (at, _) in text.match_indices("!!") {
        let begins = text[..at].chars().next_back().is_none_or(|c| " \t\n[{,".contains(c));
        let Some(tag) = TAGS.into_iter().find(|tag| begins && text[at..].starts_with(tag)) else {
            continue;
        };
        let behind = &text[at + tag.len()..];
        let scalar = behind.trim_start_matches([' ', '\t']);
        let bare = scalar.trim_start_matches(['"', '\'']);
        let end = bare.find([' ', '\t', '\r', '\n', ',', ']', '}', '"', '\'']);
        let value = scalar::tagged(tag, &bare[..end.unwrap_or(bare.len())], rules);
        if let Some(value) = value.filter(|_| scalar.len() < behind.len()) {
            tagged.insert(text.len() - scalar.len(), value);
            untagged.push_str(&text[untagged.len()..at]);
            untagged.push_str(&" ".repeat(tag.len()));
        }
    }
    untagged.push_str(&text[untagged.len()..]);
    (!tagged.is_empty()).then_some((untagged, tagged))
}

/// Counts brackets wherever they stand, in quotes and comments, too: no config has so many there.
fn opens_too_much(text: &str) -> bool {
    let mut open: usize = 0;
    text.bytes().any(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > MAX_OPEN
    })
}

/// `serde_yaml`'s message without its ` at line 1 column 2`, which is given apart.
fn without_place(message: &str) -> String {
    if message.contains("more than one document") {
        return "more than one document".to_owned();
    }
    let is_place = |place: &str| {
        let words = place.split(' ').filter(|word| *word != "column");
        words.into_iter().all(|word| word.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match message.rsplit_once(" at line ") {
        Some((what, place)) if is_place(place) => what.to_owned(),
        _ => message.to_owned(),
    }
}

fn asks_for_yaml_1_1(text: &str) -> bool {
    text.lines()
        .take_while(|line| line.trim().is_empty() || line.starts_with(['#', '%']))
        .any(|line| line.split_whitespace().eq(["%YAML", "1.1"]))
}

struct Reader<'t> {
    text: &'t str,
    rules: Rules,
    has_tags: bool,
    /// What [`take_tags`] has made of scalars, by their offset.
    tagged: BTreeMap<usize, Value>,
    left: Cell<u32>,
    /// Offset of what is wrong, where the parser does not know it.
    fault: Cell<u32>,
}

impl Reader<'_> {
    fn node(&self, value: Value, offset: u32) -> Node {
        Node { value, source: Source { layer: Layer::Global, offset } }
    }

    /// What a scalar means that was borrowed from the text at `offset`.
    fn borrowed(&self, scalar: &str, offset: usize) -> Value {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        let quoted = matches!(before.last(), Some(b'"' | b'\''));
        let start = offset - usize::from(quoted);
        if let Some(value) = self.tagged.get(&start) {
            value.clone()
        } else if self.has_tags && is_tagged(&self.text[..start]) {
            Value::Odd("a value with a tag")
        } else if quoted {
            Value::Text(scalar.to_owned())
        } else {
            scalar::plain(scalar, self.rules)
        }
    }
}

/// Whether the text before a scalar ends with a tag (`!!str `), perhaps with an anchor after it.
/// Looks no further back than that, since it is asked for every scalar of a perhaps long line.
fn is_tagged(mut before: &str) -> bool {
    loop {
        let words = before.trim_end_matches([' ', '\t']);
        if words.len() == before.len() {
            return false;
        }
        let start = words.rfind([' ', '\t', '\n', '[', '{', ',']);
        let (rest, word) = words.split_at(start.map_or(0, |at| at + 1));
        if !word.starts_with('&') {
            return word.starts_with('!') && !word.ends_with(':') && !word.contains(['"', '\'']);
        }
        before = rest;
    }
}

impl<'de> DeserializeSeed<'de> for &Reader<'de> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(D::Error::custom(format!("more than {MAX_VALUES} values"))),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Reader<'de> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(self.node(Value::Bool(value), Source::NOWHERE))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(self.node(Value::Int(value), Source::NOWHERE))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(self.node(scalar::whole(i128::from(value)), Source::NOWHERE))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(self.node(scalar::whole(value), Source::NOWHERE))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(self.node(Value::Float(value as f64), Source::NOWHERE))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(self.node(Value::Float(value), Source::NOWHERE))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(self.node(Value::Null, Source::NOWHERE))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(self.node(Value::Null, Source::NOWHERE))
    }

    /// A text with escapes, of several lines, or in a block: never a number.
    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(self.node(Value::Text(text.to_owned()), Source::NOWHERE))
    }

    fn visit_borrowed_str<E>(self, scalar: &'de str) -> Result<Node, E> {
        let offset = (scalar.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize);
        match offset.filter(|offset| offset + scalar.len() <= self.text.len()) {
            Some(offset) => {
                let place = u32::try_from(offset).unwrap_or(Source::NOWHERE);
                Ok(self.node(self.borrowed(scalar, offset), place))
            }
            None => Ok(self.node(Value::Text(scalar.to_owned()), Source::NOWHERE)),
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Node, A::Error> {
        let (_tag, content) = data.variant::<String>()?;
        content.newtype_variant::<IgnoredAny>()?;
        Ok(self.node(Value::Odd("a value with a tag"), Source::NOWHERE))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(self.node(Value::List(items), Source::NOWHERE))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut map = Map::default();
        let mut merged = None;
        while let Some(key) = access.next_key_seed(self)? {
            let at = key.source.offset;
            let mut node = access.next_value_seed(self)?;
            if at != Source::NOWHERE {
                node.source.offset = at;
            }
            if matches!(key.value, Value::Odd(scalar::MERGE)) {
                if merged.replace(node).is_some() {
                    self.fault.set(at);
                    return Err(A::Error::custom("the merge key << is there twice"));
                }
            } else if let Err(twice) = add(&mut map, key.value, node) {
                self.fault.set(at);
                return Err(A::Error::custom(format!("the key {twice:?} is there twice")));
            }
        }
        if let Some(merged) = merged {
            merge(&mut map, merged).map_err(A::Error::custom)?;
        }
        Ok(self.node(Value::Map(Box::new(map)), Source::NOWHERE))
    }
}

/// Adds an entry; gives the key back if it is there already.
fn add(map: &mut Map, key: Value, node: Node) -> Result<(), String> {
    let (entries, key) = match key {
        Value::Text(text) => (&mut map.entries, text),
        key => (&mut map.odd, scalar::shown(&key)),
    };
    match entries.entry(key) {
        Entry::Occupied(taken) => Err(taken.key().clone()),
        Entry::Vacant(free) => {
            free.insert(node);
            Ok(())
        }
    }
}

/// Puts below `map` what `<<` names: a map, or a list of maps of which the first wins. Nothing is
/// merged deeper than that.
fn merge(map: &mut Map, merged: Node) -> Result<(), &'static str> {
    let sources = match merged.value {
        Value::List(sources) => sources,
        _ => vec![merged],
    };
    for source in sources {
        let Value::Map(source) = source.value else {
            return Err("<< needs a map or a list of maps");
        };
        for (key, node) in source.entries {
            map.entries.entry(key).or_insert(node);
        }
        for (key, node) in source.odd {
            map.odd.entry(key).or_insert(node);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String, Option<usize>)> {
        let (node, lines) = read(text).unwrap();
        let map = node.map().unwrap();
        let shown = |value: &Value| match value {
            Value::Text(text) => format!("text {text}"),
            other => scalar::shown(other),
        };
        let entries = map.entries.iter().chain(&map.odd);
        entries
            .map(|(key, node)| (key.clone(), shown(&node.value), lines.line(node.source.offset)))
            .collect()
    }

    /// The value under `a`.
    fn value(yaml: &str) -> String {
        values(&format!("a: {yaml}\n"))[0].1.clone()
    }

    #[test]
    fn quotes_make_a_text_of_a_number() {
        for (yaml, meaning) in [
            ("007", "7"),
            ("'007'", "text 007"),
            ("\"1_000\"", "text 1_000"),
            ("&x 007", "7"),
            ("&x '007'", "text 007"),
            ("2024-01-01", "(a date)"),
            ("'2024-01-01'", "text 2024-01-01"),
            ("\"20\\x324-01-01\"", "text 2024-01-01"),
            ("|-\n  007", "text 007"),
            ("''", "text "),
            ("", "null"),
            ("<<", "(a merge key)"),
            ("'<<'", "text <<"),
        ] {
            assert_eq!(value(yaml), meaning, "{yaml}");
        }
    }

    #[test]
    fn tags_of_numbers_count_and_others_make_a_value_useless() {
        for (yaml, meaning) in [
            ("!!int \"5\"", "5"),
            ("!!float 3", "3.0"),
            ("!!bool \"true\"", "true"),
            ("!!bool yes", "true"),
            ("!!bool 'Off'", "false"),
            ("!!int 1_000", "1000"),
            ("!!int \"010\"", "10"),
            ("!!float 1_0", "10.0"),
            ("[!!bool no, '!!bool no']", "(a list)"),
            ("!!str 5", "(a value with a tag)"),
            ("!!str '007'", "(a value with a tag)"),
            ("!!str &x y", "(a value with a tag)"),
            ("!secret x", "(a value with a tag)"),
            ("!secret {b: 1}", "(a value with a tag)"),
            ("x !y", "text x !y"),
            ("'!z'", "text !z"),
        ] {
            assert_eq!(value(yaml), meaning, "{yaml}");
        }
        let flow = values("{\"x !y\": z, !!str b: c}");
        assert_eq!(flow[0].1, "text z");
        assert_eq!(flow[1].0, "(a value with a tag)");
    }

    #[test]
    fn keys_that_are_no_text_are_kept_apart() {
        let (node, _) = read("12: a\n'12': b\ntrue: c\non: d\n~: e\n[1]: f\n").unwrap();
        let map = node.map().unwrap();
        assert_eq!(map.entries.keys().collect::<Vec<_>>(), ["12", "on"]);
        assert_eq!(map.odd.keys().collect::<Vec<_>>(), ["12", "true", "null", "(a list)"]);
    }

    #[test]
    fn the_first_of_a_merge_list_wins_and_the_map_itself_before_all() {
        let merged = values("x: &x {a: 1, b: 1, c: 1}\ny: &y {b: 2, d: 2}\n<<: [*y, *x]\nc: 3\n");
        let after: Vec<(&str, &str)> =
            merged[2..].iter().map(|(key, value, _)| (key.as_str(), value.as_str())).collect();
        assert_eq!(after, [("c", "3"), ("b", "2"), ("d", "2"), ("a", "1")]);
        assert_eq!(merged[3].2, Some(2), "a merged value keeps its line");
    }

    #[test]
    fn lines_are_counted_behind_a_mark_and_with_any_line_end() {
        let found = values("\u{feff}# ä\r\na: 1\r\n\r\n\"b\": 007\r\n");
        assert_eq!(found[0].2, Some(2));
        assert_eq!((found[1].1.as_str(), found[1].2), ("7", Some(4)));
    }

    #[test]
    fn a_directive_brings_yaml_1_1_back() {
        assert_eq!(values("# x\n%YAML 1.1\n---\na: yes\n")[0].1, "true");
        assert_eq!(values("%YAML 1.2\n---\na: yes\n")[0].1, "text yes");
        assert_eq!(values("a: yes # %YAML 1.1\n")[0].1, "text yes");
    }

    #[test]
    fn what_is_read_is_bounded() {
        let list = format!("a: &a [{}]\nb: &b [{}]\n", "1,".repeat(1000), "*a,".repeat(1000));
        let error = read(&format!("{list}c: [*b, *b]\n")).unwrap_err().to_string();
        assert!(
            error.contains("more than 250000 values") || error.contains("repetition"),
            "{error}"
        );
        assert!(read(&"[".repeat(10_000)).is_err());
        let large = " ".repeat(MAX_BYTES + 1);
        assert!(matches!(read(&large), Err(ConfigError::TooLarge { .. })));
    }
}
