//! Rules for the code.

use std::collections::{BTreeMap, BTreeSet};
use tidy::{files, functions, metadata, text};

/// The house (design.md, README): who stands on which level. A crate uses only what stands below it, and `services/shell`, which is
/// common to the services.
const LEVELS: [(&str, u32); 18] = [
    ("abi", 1),
    ("capability-model", 2),
    ("board", 2),
    ("ipc", 2),
    ("loader", 3),
    ("microkernel", 3),
    ("runtime", 3),
    ("classic", 4),
    ("lazy", 4),
    ("actor", 4),
    ("journal", 4),
    ("minimal", 4),
    ("consensus", 4),
    ("shell", 5),
    ("manager", 6),
    ("gate", 6),
    ("devices", 6),
    ("replica", 6),
];
/// Beside the house: they may use anything.
const BESIDE: [&str; 6] = ["xtask", "guests", "system-tests", "turn-model", "tidy", "consensus-simulator"];

#[test]
fn no_arrow_runs_back_up_the_house() {
    let metadata = metadata();
    let levels: BTreeMap<_, _> = LEVELS.into();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        if !package["source"].is_null() || BESIDE.contains(&name) {
            continue;
        }
        let Some(&level) = levels.get(name) else {
            panic!("crate {name} has no level: give it one in tests/tidy and in the README")
        };
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        for d in dependencies.iter().filter(|d| d["kind"].is_null()) {
            let used = d["name"].as_str().expect("name");
            if let Some(&below) = levels.get(used) {
                assert!(below < level, "{name} (level {level}) uses {used} (level {below})");
            }
            assert!(!BESIDE.contains(&used), "{name} uses {used}, which is no part of the house");
        }
    }
}

/// What a dependency's licence may be. All allow use and redistribution with a notice.
const LICENCES: [&str; 10] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
];

#[test]
fn every_licence_is_one_that_we_accept() {
    for package in metadata()["packages"].as_array().expect("packages") {
        let (name, licence) = (&package["name"], package["license"].as_str().unwrap_or("none"));
        let accepted = LICENCES.iter().chain(&["Zlib", "0BSD"]).any(|l| {
            licence.replace('/', " OR ").split(" OR ").any(|one| {
                let one = one.trim_matches(['(', ')', ' ']);
                one.split(" AND ").all(|part| part == *l || LICENCES.contains(&part))
            })
        });
        assert!(accepted, "{name}: licence {licence}");
    }
}

#[test]
fn every_dependency_of_the_workspace_has_its_reason() {
    let table = text("Cargo.toml").expect("Cargo.toml");
    let table =
        table.split("[workspace.dependencies]").nth(1).expect("a table").split("\n[").next().expect("one");
    let mut reason = false;
    for line in table.lines() {
        if line.starts_with('#') {
            reason = true;
        } else if line.contains('=') && !line.contains("path =") {
            assert!(reason, "no reason before: {line}");
        } else if line.is_empty() {
            reason = false;
        }
    }
}

/// Files longer than 400 lines, each with its reason.
const LONG_FILES: [(&str, &str); 3] = [
    ("abi/src/linux.rs", "one table: a row for each system call"),
    ("tests/turn-model/src/kernel.rs", "the executable model in the order of the page it makes precise"),
    ("personalities/classic/src/kernel.rs", "the loop and its state, which other files extend"),
];
const FILE_LINES: usize = 400;
/// A screen. Tests and tables of cases may be longer.
const FUNCTION_LINES: usize = 70;
/// Functions longer than that, each with its reason.
const LONG_FUNCTIONS: [(&str, &str, &str); 1] =
    [("abi/src/manifest/error.rs", "fmt", "one table: a text for each mistake")];

fn rust_files() -> Vec<String> {
    files().into_iter().filter(|f| f.ends_with(".rs")).collect()
}

#[test]
fn files_and_functions_have_a_length_that_one_can_read() {
    let mut wrong = vec![];
    for file in rust_files() {
        let source = text(&file).expect("UTF-8");
        let lines = source.lines().count();
        if lines > FILE_LINES && !LONG_FILES.iter().any(|(f, _)| *f == file) {
            wrong.push(format!("{file}: {lines} lines, at most {FILE_LINES}"));
        }
        let test = file.contains("/tests/") || file.starts_with("tests/") || file.ends_with("test.rs");
        if test {
            continue;
        }
        let functions = functions(&source).unwrap_or_else(|e| panic!("{file}: {e}"));
        for f in functions.iter().filter(|f| f.lines > FUNCTION_LINES) {
            if !LONG_FUNCTIONS.iter().any(|(g, name, _)| *g == file && *name == f.name) {
                wrong.push(format!(
                    "{file}:{}: `{}` has {} lines, at most {FUNCTION_LINES}",
                    f.line, f.name, f.lines
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each source file is somebody's module, target or build script.
#[test]
fn no_file_is_dead() {
    let all = files();
    let mut named = BTreeSet::new();
    for file in &all {
        let text = text(file).unwrap_or_default();
        if file.ends_with(".rs") {
            for line in text.lines() {
                let line = line.trim().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
                if let Some(name) = line.strip_prefix("mod ").and_then(|l| l.strip_suffix(';')) {
                    named.insert(name.to_owned());
                }
                if let Some(path) = line.strip_prefix("#[path = \"").and_then(|l| l.strip_suffix("\"]")) {
                    named.insert(path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs").to_owned());
                }
            }
        }
    }
    let manifests: String =
        all.iter().filter(|f| f.ends_with("Cargo.toml")).filter_map(|f| text(f)).collect();
    for file in all.iter().filter(|f| f.ends_with(".rs")) {
        let (dir, name) = file.rsplit_once('/').expect("in a directory");
        let stem = name.trim_end_matches(".rs");
        let target = ["lib", "main", "build"].contains(&stem)
            || dir.ends_with("/tests")
            || dir.ends_with("/benches")
            || dir.ends_with("/bin")
            || dir.ends_with("/examples")
            || dir.ends_with("fuzz_targets")
            || manifests.contains(&format!("src/{name}"));
        let module = if stem == "mod" { dir.rsplit('/').next().unwrap_or(dir) } else { stem };
        assert!(target || named.contains(module), "{file} is nobody's module");
    }
}

/// Unsafe code is forbidden, but where it is meant to be.
#[test]
fn unsafe_is_where_it_is_meant_to_be() {
    // Each of these is a crate root; the modules that may use it are allowed there one by one, or the crate is all hardware.
    const MEANT: [&str; 17] = [
        "consensus/src/lib.rs",
        "loader/src/main.rs",
        "microkernel/src/main.rs",
        "personalities/actor/src/main.rs",
        "personalities/classic/src/main.rs",
        "personalities/lazy/src/main.rs",
        "personalities/journal/src/main.rs",
        "personalities/minimal/src/main.rs",
        "runtime/src/lib.rs",
        "services/devices/src/main.rs",
        "services/gate/src/main.rs",
        "services/manager/src/main.rs",
        "consensus/service/src/main.rs",
        "services/shell/src/lib.rs",
        "xtask/src/lib.rs",
        "xtask/src/main.rs",
        "tests/system/src/lib.rs",
    ];
    for file in rust_files().iter().filter(|f| f.ends_with("src/lib.rs") || f.ends_with("src/main.rs")) {
        let forbids = text(file).is_some_and(|t| t.contains("#![forbid(unsafe_code)]"));
        assert!(
            forbids || MEANT.contains(&file.as_str()) || file.starts_with("apps/"),
            "{file} does not forbid unsafe code"
        );
    }
}
