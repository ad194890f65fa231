//! Rules for what people read.

use tidy::{files, metadata, root, text};

fn documents() -> Vec<String> {
    files().into_iter().filter(|f| f.ends_with(".md")).collect()
}

/// Every `[text](path)` leads somewhere.
#[test]
fn links_lead_somewhere() {
    for file in documents() {
        let source = text(&file).expect("UTF-8");
        for link in source.split("](").skip(1).filter_map(|l| l.split(')').next()) {
            let path = link.split('#').next().unwrap_or(link);
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let at = root().join(&file).with_file_name(path);
            assert!(at.exists(), "{file}: {link} leads nowhere");
        }
    }
}

fn targets() -> Vec<String> {
    let makefile = text("Makefile").expect("Makefile");
    let rules = makefile
        .lines()
        .filter_map(|l| l.split_once(':'))
        .filter(|(t, r)| !r.starts_with('=') && !t.contains([' ', '\t', '.']));
    rules.map(|(t, _)| t.to_owned()).collect()
}

/// Every `make target` that a document names exists, and `make help` tells of each.
#[test]
fn make_does_what_documents_say() {
    let targets = targets();
    for file in documents() {
        let source = text(&file).expect("UTF-8");
        for words in source.split("`make ").skip(1).filter_map(|l| l.split('`').next()) {
            let named = words.split_whitespace().next().unwrap_or("");
            assert!(targets.iter().any(|t| t == named), "{file}: there is no `make {named}`");
        }
    }
    let makefile = text("Makefile").expect("Makefile");
    for target in targets {
        let told = makefile.lines().any(|l| l.starts_with(&format!("{target}:")) && l.contains(" ## "));
        assert!(told, "`make help` says nothing of {target}");
    }
}

/// README's house has every crate, and each document is reachable.
#[test]
fn the_readme_knows_every_crate_and_document() {
    let readme = text("README.md").expect("README.md");
    for package in
        metadata()["packages"].as_array().expect("packages").iter().filter(|p| p["source"].is_null())
    {
        let manifest = package["manifest_path"].as_str().expect("path");
        let dir = manifest.trim_end_matches("/Cargo.toml").rsplit('/').next().expect("name");
        assert!(
            readme.contains(&format!("`{dir}")) || readme.contains(&format!("/{dir}")),
            "README: no word of {dir}"
        );
    }
    let all: String = documents().iter().filter_map(|f| text(f)).collect();
    for file in documents().iter().filter(|f| f.starts_with("docs/") && !f.contains("decisions/")) {
        let name = file.rsplit('/').next().expect("name");
        assert!(
            all.contains(&format!("{name})")) || all.contains(&format!("{name}`")),
            "nothing leads to {file}"
        );
    }
}

/// docs/requirements.md has R1 to R85, once each, and each says by which command it is observed, in which issue it will be, or "later".
#[test]
fn every_requirement_has_its_place() {
    let table = text("docs/requirements.md").expect("docs/requirements.md");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|l| l.starts_with("| R") && !l.starts_with("| R |"))
        .map(|l| l.split('|').map(str::trim).filter(|c| !c.is_empty()).collect())
        .collect();
    let numbers: Vec<u32> = rows.iter().map(|r| r[0][1..].parse().expect("a number")).collect();
    assert_eq!(numbers, (1..=85).collect::<Vec<_>>());
    for row in rows {
        let [number, what, place] = row[..] else { panic!("not three cells: {row:?}") };
        assert!(!what.is_empty(), "{number} says nothing");
        let known = place.starts_with("issue ")
            || place.starts_with("later")
            || place.contains("`make ")
            || place.contains("`cargo ");
        assert!(known, "{number}: {place}");
    }
}

/// Nothing names a machine's own path or a registry's host.
#[test]
fn nothing_is_said_of_whose_machine_it_was() {
    let words = ["/home/", "/root/.", "deb.debian", "crates.io", "pypi.org", "registry.npmjs"];
    for file in files().iter().filter(|f| !f.ends_with(".lock") && !f.ends_with("tidy/tests/documents.rs")) {
        let source = text(file).unwrap_or_default();
        for word in words {
            assert!(!source.contains(word), "{file} names {word}");
        }
    }
}
