//! What an attacker costs its neighbours on other cores: entries into EL2 and instructions for a fixed amount of work, beside a plain loop on the
//! attacker's core. Instructions are counted by a plugin of QEMU's (`plugin/count.c`).

mod harness;

use harness::*;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The neighbour's core.
const CORE: usize = 1;

fn plugin() -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("count.so");
    let source = root().join("tests/guests/plugin/count.c");
    run(Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o"])
        .arg(&file)
        .arg(source));
    file
}

/// Instructions of the neighbour's core and its entries into EL2, with `images` for warden and attacker.
fn work(name: &str, warden: &str, attacker: &str, expected: &[&str]) -> (u64, u64) {
    let counts = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.counts"));
    let _ = std::fs::remove_file(&counts);
    let images = ["guest-attack", "guest-spinner", "guest-neighbour"].map(|image| (image, image, 2));
    let tree = tree_of("attack.dts")
        + &format!(
            "/ {{ tetrarch {{ partitions {{ warden {{ image = \"{warden}\"; }}; attacker {{ image = \"{attacker}\"; }};
            neighbour {{ image = \"guest-neighbour\"; }}; }}; }}; }};"
        );
    let count = format!("file={},to={}", plugin().display(), counts.display());
    let qemu = ["-plugin", &count];
    let machine =
        Machine { name, machine: MACHINE, tree, bundle: bundle(&images), qemu: &qemu, kernel: shipped() };
    let text = machine.boot_for(400, expected, || ());
    let line = text.lines().find_map(|line| line.split_once(" units, ")).expect("the neighbour's line").1;
    let entries = line.split(' ').next().and_then(|n| n.parse().ok()).expect("entries");
    let counts = std::fs::read_to_string(&counts).expect("the plugin's counts");
    (counts.lines().nth(CORE).and_then(|n| n.parse().ok()).expect("a count"), entries)
}

#[test]
fn an_attacker_costs_its_neighbours_nothing() {
    let plain = work("plain", "guest-spinner", "guest-spinner", &["neighbour: "]);
    let attacked =
        work("attacked", "guest-attack", "guest-attack", &["neighbour: ", "attack: all taken back"]);
    let permille = |a: u64, b: u64| a.abs_diff(b) * 1000 / b;
    println!("beside a plain loop: {} instructions, {} entries", plain.0, plain.1);
    println!("beside an attacker: {} instructions, {} entries", attacked.0, attacked.1);
    assert!(permille(attacked.0, plain.0) <= 20 && permille(attacked.1, plain.1) <= 20);
    // The count is of this work: at least an instruction for each word of each unit.
    assert!(plain.0 > 200_000 * 4096 && plain.1 >= 2_000_000);
}
