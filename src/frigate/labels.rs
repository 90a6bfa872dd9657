//! The labels that the detection model knows, and the attributes that it finds on objects.

use std::collections::{BTreeMap, BTreeSet};

use super::errors::{Path, Report};
use super::python;
use super::scalar::{self, but_needs};
use super::tree::{Map, Node, Value};

/// The label map of the models that come with Frigate 0.18: an index and a label on each line.
const STOCK: &str = include_str!("labelmap.txt");

/// The stock model's attributes, for which global filters get a `min_score` of 0.7.
const STOCK_ATTRIBUTES: [&str; 16] = [
    "amazon",
    "an_post",
    "canada_post",
    "dhl",
    "dpd",
    "face",
    "fedex",
    "gls",
    "license_plate",
    "nzpost",
    "postnl",
    "postnord",
    "purolator",
    "royal_mail",
    "ups",
    "usps",
];

/// How many indices a label map has at least; those without a label are called `unknown`.
const INDICES: u64 = 91;

/// What the model of a config can detect.
pub(super) struct Labels {
    known: Known,
    pub attributes: Vec<String>,
}

enum Known {
    /// Those of [`STOCK`].
    Stock,
    These(BTreeSet<String>),
    /// The config names a model or a label map of its own, which is not read here.
    NotRead,
    /// Somebody else has sorted out the unknown ones.
    All,
}

impl Labels {
    /// No label is unknown, and no attribute gets a filter.
    pub fn all_known() -> Self {
        Self { known: Known::All, attributes: Vec::new() }
    }

    /// The labels of the config's `model:` section. `is_custom`: whether it names a label map
    /// ([`label_map_path`]); `custom` is its text, if the caller has read it.
    pub fn of(
        model: Option<&Map>,
        is_custom: bool,
        custom: Option<&str>,
        report: &mut Report<'_>,
    ) -> Self {
        let added = model.map_or_else(BTreeMap::new, |model| overlay(model, report));
        let map = match custom {
            Some(text) => Some(parse(text)),
            None if is_custom => None,
            None if added.is_empty() => {
                return Self { known: Known::Stock, attributes: attributes(model) };
            }
            None => Some(parse(STOCK)),
        };
        let known = map.map_or(Known::NotRead, |mut map| {
            map.extend(added);
            Known::These(map.into_values().collect())
        });
        Self { known, attributes: attributes(model) }
    }

    /// Whether the model knows `label`. Without its label map every label counts as known.
    pub fn knows(&self, label: &str) -> bool {
        match &self.known {
            Known::Stock => STOCK.lines().filter_map(indexed).any(|(_, known)| known == label),
            Known::These(known) => known.contains(label),
            Known::NotRead | Known::All => true,
        }
    }

    /// Whether [`knows`](Self::knows) only guesses.
    pub fn are_guessed(&self) -> bool {
        matches!(self.known, Known::NotRead)
    }
}

/// The file (or `plus://` model) that a config takes its label map from, if it is not the stock one.
/// A detector may have a model of its own; of several the last one decides.
pub(super) fn label_map_path(root: &Map) -> Option<&str> {
    let detector =
        root.section("detectors").and_then(|detectors| detectors.entries.values().last());
    let model = root.section("model");
    let of_detector =
        detector.and_then(Node::map).and_then(|detector| detector.get("model_path")?.text());
    let weights = of_detector.or_else(|| model?.get("path")?.text());
    weights.filter(|path| path.starts_with("plus://")).or_else(|| {
        let path = model?.get("labelmap_path")?.text();
        path.filter(|path| !path.is_empty() && *path != "/labelmap.txt")
    })
}

fn attributes(model: Option<&Map>) -> Vec<String> {
    let Some(map) = model.and_then(|model| model.section("attributes_map")) else {
        return STOCK_ATTRIBUTES.map(str::to_owned).to_vec();
    };
    let unique: BTreeSet<&str> = map.entries.keys().flat_map(|key| map.texts(key)).collect();
    unique.into_iter().map(str::to_owned).collect()
}

/// `model.labelmap`: labels for single indices. They replace what the label map says.
fn overlay(model: &Map, report: &mut Report<'_>) -> BTreeMap<u64, String> {
    let path = Path::Top.key("model");
    let path = path.key("labelmap");
    let Some(node) = model.get("labelmap") else {
        return BTreeMap::new();
    };
    let Some(map) = node.map() else {
        report.error(&path, node.source, but_needs(&node.value, "a map of labels"));
        return BTreeMap::new();
    };
    let mut labels = BTreeMap::new();
    for (key, node) in map.entries.iter().chain(&map.odd) {
        let index = scalar::integer_of(&Value::Text(key.clone()))
            .and_then(|index| u64::try_from(index).ok());
        match (index, node.text()) {
            (Some(index), Some(label)) => {
                labels.insert(index, label.to_owned());
            }
            (None, _) => report.error(
                &path.key(key),
                node.source,
                "an index of the label map must be a whole number",
            ),
            (_, None) => {
                report.error(&path.key(key), node.source, but_needs(&node.value, "a label"))
            }
        }
    }
    labels
}

/// Reads a label map: `12  horse` on each line, or only labels, which are then counted from 0.
fn parse(text: &str) -> BTreeMap<u64, String> {
    let mut labels: BTreeMap<u64, String> =
        (0..INDICES).map(|index| (index, "unknown".to_owned())).collect();
    if text.lines().next().and_then(indexed).is_some() {
        let pairs = text.lines().filter_map(indexed);
        labels.extend(pairs.map(|(index, label)| (index, label.to_owned())));
    } else {
        labels.extend(
            text.lines().zip(0u64..).map(|(label, index)| (index, label.trim().to_owned())),
        );
    }
    labels
}

/// The index and the label of a line.
fn indexed(line: &str) -> Option<(u64, &str)> {
    let (index, label) = line.split_once(' ')?;
    Some((u64::try_from(python::int(index)?).ok()?, label.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn labels(model: &str, custom: Option<&str>) -> (Labels, Vec<String>) {
        let (node, lines) = yaml::read(model).unwrap();
        let mut report = Report::on_file(&lines);
        let mut root = Map::default();
        root.insert("model", node.clone());
        let is_custom = label_map_path(&root).is_some();
        let labels = Labels::of(node.map(), is_custom, custom, &mut report);
        (labels, report.errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_stock_map_knows_cars_but_no_truck() {
        let (stock, _) = labels("{}", None);
        assert!(stock.knows("car") && stock.knows("hair brush"));
        assert!(!stock.knows("truck") && !stock.knows("face") && !stock.knows("unknown"));
        assert_eq!(stock.attributes.len(), 16);
    }

    #[test]
    fn an_overlay_replaces_an_index() {
        let (overlaid, errors) = labels("labelmap: {0: human, '2': vehicle}", None);
        assert!(overlaid.knows("human") && overlaid.knows("vehicle") && overlaid.knows("car"));
        assert!(!overlaid.knows("person"));
        assert!(errors.is_empty());
        let (_, errors) = labels("labelmap: {x: human, 2: 3}", None);
        assert_eq!(errors.len(), 2, "{errors:?}");
    }

    #[test]
    fn a_custom_map_is_read_with_or_without_indices() {
        let (indexed, _) = labels("labelmap_path: /config/x.txt", Some("0  bus\n2  tram\n"));
        assert!(indexed.knows("bus") && indexed.knows("tram") && indexed.knows("unknown"));
        assert!(!indexed.knows("person"));
        let (plain, _) = labels("labelmap_path: /config/x.txt", Some("bus\ntram\n"));
        assert!(plain.knows("bus") && plain.knows("tram") && !plain.knows("person"));
    }

    #[test]
    fn without_its_map_every_label_of_a_custom_model_counts_as_known() {
        for model in ["labelmap_path: /config/x.txt", "path: plus://abc"] {
            let (custom, _) = labels(model, None);
            assert!(custom.are_guessed() && custom.knows("unicorn"), "{model}");
        }
        assert!(!labels("path: /config/yolo.onnx", None).0.are_guessed());
    }

    #[test]
    fn the_last_detector_decides_over_the_model() {
        let path = |text: &str| {
            let (node, _) = yaml::read(text).unwrap();
            label_map_path(node.map().unwrap()).map(str::to_owned)
        };
        let plus = "{type: onnx, model_path: 'plus://abc'}";
        let cpu = "{type: cpu, model_path: /cpu.tflite}";
        let model = "model: {path: 'plus://model'}";
        for (yaml, from) in [
            (format!("detectors: {{a: {cpu}, b: {plus}}}"), Some("plus://abc")),
            (format!("detectors: {{a: {plus}, b: {cpu}}}"), None),
            (format!("detectors: {{a: {cpu}}}\n{model}"), None),
            (format!("detectors: {{a: {{type: cpu}}}}\n{model}"), Some("plus://model")),
            (format!("detectors: []\n{model}"), Some("plus://model")),
        ] {
            assert_eq!(path(&yaml).as_deref(), from, "{yaml}");
        }
    }

    #[test]
    fn an_attributes_map_replaces_the_stock_attributes() {
        let (custom, _) = labels("attributes_map: {person: [face, badge], car: [face]}", None);
        assert_eq!(custom.attributes, ["badge", "face"]);
    }
}
