//! Positive controls: builds of EL2 with one hole each, which the tests of this package must find.

mod harness;

use harness::*;

/// A hole, where it must show, and as what.
struct Control {
    hole: &'static str,
    tree: &'static str,
    images: &'static [Image],
    /// Lines that a sound EL2 gives in the end.
    sound: &'static [&'static str],
    /// A line that tells of the hole.
    finding: &'static str,
}

const BENCH: [Image; 2] = [("guest-bench", "guest-bench", 2), ("guest-bench-el1", "guest-bench-el1", 1)];
const LEASES: [Image; 2] = [("guest-leases", "guest-leases", 2), ("guest-spinner", "guest-spinner", 2)];
const ATTACK: [Image; 2] = [("guest-attack", "guest-attack", 2), ("guest-spinner", "guest-spinner", 2)];
const DIRECTED: [&str; 1] = ["el2: power off"];
const LENT: [&str; 1] = ["leases: 20 rounds, no canary"];

const fn guests(hole: &'static str, finding: &'static str) -> Control {
    Control { hole, tree: "guests.dts", images: &GUESTS, sound: &DIRECTED, finding }
}

const CONTROLS: [Control; 11] = [
    guests("text", "WRONG text"),
    guests("channel", "WRONG: wrote a channel of another"),
    guests("interrupt", "WRONG irq ack"),
    guests("inject", "WRONG inject"),
    // Off before anything was said that comes late in a sound run.
    guests("power-off", "el2: power off"),
    Control {
        hole: "scrub",
        tree: "leases.dts",
        images: &LEASES,
        sound: &LENT,
        // Before anybody looks for a canary a table of what was not scrubbed is found in use: Map says DeleteFirst.
        finding: "crashed: gave up: core 3: capability 2, label 10: -22",
    },
    Control {
        hole: "page",
        tree: "attack.dts",
        images: &ATTACK,
        sound: &[" 0 got through"],
        finding: "attack: 0x60000000 holds",
    },
    Control {
        hole: "message",
        tree: "bench.dts",
        images: &BENCH,
        sound: &DIRECTED,
        finding: "WRONG: a register",
    },
    guests("controls", "lodger-one crashed"),
    guests("smc", "WRONG smc"),
    guests("float", "FP/SIMD registers"),
];

fn boot(control: &Control, hole: &str, expected: &[&str]) -> String {
    let machine = Machine {
        name: "hole",
        machine: MACHINE,
        tree: tree_of(control.tree),
        bundle: bundle(control.images),
        qemu: &[],
        kernel: kernel_with_hole(hole),
    };
    machine.boot(expected)
}

#[test]
#[ignore = "eleven builds; make campaign"]
fn each_hole_is_found() {
    // HOLE=name tries one.
    let only = std::env::var("HOLE").ok();
    for control in CONTROLS.iter().filter(|c| only.as_ref().is_none_or(|only| c.hole == only)) {
        let text = boot(control, control.hole, &[control.finding]);
        let found = text.contains(control.finding) && !text.contains("two crashed on demand: ok");
        assert!(found, "{}: not found", control.hole);
        println!("hole {}: found", control.hole);
    }
    if only.is_some() {
        return;
    }
    // A build of that kind without a hole is sound.
    for control in &CONTROLS[5..9] {
        let text = boot(control, "none", control.sound);
        let whole = control.sound.iter().all(|line| text.contains(line));
        assert!(whole && !text.contains("WRONG"), "{text}");
    }
}
