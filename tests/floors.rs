//! The house stands on floors: imports go down only, and the lower floors touch nothing.
//! ARCHITECTURE.md draws the same table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of each floor, the ground first. Modules of one floor do not import each other.
const FLOORS: &[&[&str]] = &[
    &["words"],
    &["wire", "frigate"],
    &["session"],
    &["fault"],
    &[
        "bus",
        "clip",
        "clock",
        "config_file",
        "database",
        "files",
        "health",
        "link",
        "outbox",
        "store",
    ],
    &["client", "job", "settings", "sweep"],
    &["worker"],
    &["cli"],
];

/// Up to this floor everything is pure.
const PURE: usize = 2;

/// What a pure module must not know.
const IMPURE: &[&str] = &[
    "tokio",
    "tracing",
    "getrandom",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "std::io",
    "SystemTime",
    "Instant",
    "async fn",
    "Mutex",
];

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// The code of every module: without comments, and without what is only for tests.
fn modules() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(&src).unwrap();
            let first = inside.iter().next().unwrap().to_str().unwrap();
            let module = first.trim_end_matches(".rs").to_owned();
            let is_code = path.extension().is_some_and(|extension| extension == "rs");
            if !is_code || module == "lib" || module == "main" || path.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("\n#[cfg(test)]\n").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let code = lines.collect::<Vec<_>>().join("\n");
            modules.entry(module).or_default().push((path, code));
        }
    }
    modules
}

#[test]
fn every_module_has_its_floor() {
    let found: Vec<String> = modules().into_keys().collect();
    let mut known: Vec<&str> = FLOORS.iter().flat_map(|floor| floor.iter().copied()).collect();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for (module, files) in modules() {
        let here = floor_of(&module).unwrap();
        for (path, code) in files {
            for reference in code.split("crate::").skip(1) {
                let target: String =
                    reference.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_fine = target == module || floor_of(&target).is_some_and(|f| f < here);
                if !is_fine {
                    wrong.push(format!("{} reaches {target}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_lower_floors_touch_nothing() {
    let mut wrong = Vec::new();
    for (module, files) in modules() {
        if floor_of(&module).unwrap() > PURE {
            continue;
        }
        for (path, code) in files {
            for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                wrong.push(format!("{} knows {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One module alone names the broker's library, and one the store's.
#[test]
fn what_is_fragile_is_named_in_one_place() {
    for (library, home) in [("rumqttc", "bus"), ("sled", "store"), ("rusqlite", "database")] {
        for (module, files) in modules() {
            for (path, code) in files {
                let is_home = module == home || path.ends_with("cli/demo.rs");
                assert!(is_home || !code.contains(&format!("{library}::")), "{}", path.display());
            }
        }
    }
}
