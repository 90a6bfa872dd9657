//! What Frigate's own config.yml tells the worker, so that who runs Frigate has nothing to set.

use std::collections::BTreeMap;
use std::path::Path;

/// The settings that `config` gives, by name, and what a person should know of it.
pub fn read(
    _config: &Path,
    _variables: &BTreeMap<String, String>,
) -> (Vec<(&'static str, String)>, Vec<String>) {
    (Vec::new(), Vec::new())
}
