//! What can be said of a setting: its type, its default, its limits, its fate. The settings
//! themselves stand in [`tables`](super::tables).

/// A map with a fixed set of keys.
#[derive(Debug)]
pub(super) struct Section {
    pub fields: &'static [Field],
    pub unknown: Unknown,
    /// What it is, for the schema.
    pub doc: &'static str,
}

/// What happens to keys that the table does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// An error, as nearly everywhere in Frigate.
    Refused,
    /// Left out without a word, as in a zone.
    Dropped,
    /// Let through unread: a section that no replay takes over, of which a few keys matter.
    Unread,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub preset: Preset,
    /// Whether an explicit null is a value.
    pub nullable: bool,
    pub range: Range,
    pub fate: Fate,
    /// What it means, with its unit.
    pub doc: &'static str,
}

/// What a setting may hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Bool,
    Int,
    Float,
    /// Pixels as a whole number, or a fraction of the frame as a float.
    Area,
    Text,
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A text, or a list of texts.
    TextOrTexts,
    /// A list of texts; one text without a comma stands for a list of one.
    OneOrTexts,
    /// Four numbers, as a text or as a list; kept as four texts.
    Distances,
    Section(&'static Section),
    /// A map from a name of the user's choice to a section.
    MapOf(&'static Section),
    /// The same, but the section may be null (which no rule gives a meaning).
    MapOfNullable(&'static Section),
    ListOf(&'static Section),
    MapOfInt,
    MapOfTexts,
    /// A map, whatever is in it.
    AnyMap,
}

/// What holds if nobody writes the setting.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preset {
    /// It must be written.
    Required,
    /// It stays away.
    Absent,
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'static str),
    Texts(&'static [&'static str]),
    /// An empty map, or a section with its own defaults.
    Empty,
}

/// The limits of a number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    pub at_least: Option<f64>,
    pub above: Option<f64>,
    pub at_most: Option<f64>,
}

/// Whether a setting reaches the replay camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Carried,
    /// Taken, but no part of the replay camera's config.
    Lost,
    /// Filled in by Frigate whatever the file says; part of the config only where Frigate shows it.
    Computed,
}

pub(super) const fn field(
    name: &'static str,
    kind: Kind,
    preset: Preset,
    doc: &'static str,
) -> Field {
    let range = Range { at_least: None, above: None, at_most: None };
    Field { name, kind, preset, nullable: false, range, fate: Fate::Carried, doc }
}

pub(super) const fn flag(name: &'static str, preset: bool, doc: &'static str) -> Field {
    field(name, Kind::Bool, Preset::Bool(preset), doc)
}

pub(super) const fn int(name: &'static str, preset: i64, doc: &'static str) -> Field {
    field(name, Kind::Int, Preset::Int(preset), doc)
}

pub(super) const fn float(name: &'static str, preset: f64, doc: &'static str) -> Field {
    field(name, Kind::Float, Preset::Float(preset), doc)
}

pub(super) const fn text(name: &'static str, doc: &'static str) -> Field {
    field(name, Kind::Text, Preset::Null, doc).or_null()
}

pub(super) const fn section(name: &'static str, section: &'static Section) -> Field {
    field(name, Kind::Section(section), Preset::Empty, section.doc)
}

/// A section that no replay takes over.
pub(super) const fn unread(name: &'static str) -> Field {
    field(name, Kind::AnyMap, Preset::Absent, "").lost()
}

impl Field {
    pub const fn or_null(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Null unless written.
    pub const fn maybe(mut self) -> Self {
        self.preset = Preset::Null;
        self.or_null()
    }

    pub const fn absent(mut self) -> Self {
        self.preset = Preset::Absent;
        self
    }

    pub const fn at_least(mut self, limit: f64) -> Self {
        self.range.at_least = Some(limit);
        self
    }

    pub const fn above(mut self, limit: f64) -> Self {
        self.range.above = Some(limit);
        self
    }

    pub const fn at_most(mut self, limit: f64) -> Self {
        self.range.at_most = Some(limit);
        self
    }

    pub const fn lost(mut self) -> Self {
        self.fate = Fate::Lost;
        self
    }

    pub const fn computed(mut self) -> Self {
        self.fate = Fate::Computed;
        self
    }
}

pub(super) const fn closed(doc: &'static str, fields: &'static [Field]) -> Section {
    Section { fields, unknown: Unknown::Refused, doc }
}

pub(super) const fn partly_read(fields: &'static [Field]) -> Section {
    Section { fields, unknown: Unknown::Unread, doc: "" }
}

/// The field of `section` that is called `name`.
pub(super) fn find(section: &'static Section, name: &str) -> Option<&'static Field> {
    section.fields.iter().find(|field| field.name == name)
}
