//! What EL2's calls cost in instructions, on six cores and on one.

mod harness;

use elf::{ElfBytes, endian::LittleEndian};
use harness::*;

/// Domains of `bench.dts` and the figures that they print.
const SIX: &str = "";
/// What there is on one core of it: all but `far`.
const ONE: &str = r#"
/ {
	cpus {
		/delete-node/ cpu@1; /delete-node/ cpu@2; /delete-node/ cpu@3; /delete-node/ cpu@4; /delete-node/ cpu@5;
	};
	tetrarch {
		partitions { /delete-node/ far; };
		channels {
			/delete-node/ far; /delete-node/ pair;
			client { readers = "server", "faulter", "kernel", "second"; };
		};
	};
};
"#;

/// The console of a machine with so many cores and this change of the tree.
fn boot(name: &str, cores: &str, change: &str) -> String {
    let images = [("guest-bench", "guest-bench", 2), ("guest-bench-el1", "guest-bench-el1", 1)];
    let (tree, bundle) = (tree_of("bench.dts") + change, bundle(&images));
    let qemu = ["-icount", "shift=0,sleep=off", "-smp", cores];
    Machine { name, machine: MACHINE, tree, bundle, qemu: &qemu, kernel: shipped() }.boot(&["el2: power off"])
}

fn figure(text: &str, key: &str) -> u64 {
    let line =
        text.lines().find_map(|l| l.split_once(&format!("{key} "))).unwrap_or_else(|| panic!("no {key}"));
    line.1.trim().parse().expect("a number")
}

/// On one core, at most.
const LOCAL: [(&str, u64); 14] = [
    ("ipc_round_trip_service", 400),
    ("ipc_round_trip_kernel_service", 450),
    ("ipc_one_way_10_words", 300),
    ("switch_kernel_to_kernel", 420),
    ("call_null", 80),
    ("signal_no_waiter", 200),
    ("signal_switch", 420),
    ("fault_round_trip", 450),
    ("cap_copy", 330),
    ("cap_delete", 290),
    ("revoke_per_child", 120),
    ("retype_frame_fresh", 690),
    ("map", 340),
    ("unmap", 270),
];

/// `make bench` prints them beside seL4's. A step backwards is noticed.
#[test]
fn calls_cost_few_instructions() {
    let text = boot("bench", "6", SIX);
    assert!(text.contains("a domain came and went") && !text.contains("WRONG"));
    for (name, most) in LOCAL.into_iter().chain([("signal_cross_core_round_trip", 2000)]) {
        assert!(figure(&text, name) <= most, "{name}");
    }
}

/// Bytes at most: what stays mapped as code while the system runs, and what is gone when all cores do (`make size` prints them).
const CODE: [(&str, u64); 2] = [(".text", 48 << 10), (".start", 8 << 10)];

#[test]
fn code_is_small() {
    let bytes = std::fs::read(shipped()).expect("EL2");
    let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes).expect("an ELF file");
    for (name, most) in CODE {
        let header = file.section_header_by_name(name).expect("sections").expect(name);
        assert!(header.sh_size <= most, "{name} has {} bytes, {most} are allowed", header.sh_size);
    }
}

/// There is no lock on these ways, and nothing that grows with the cores.
#[test]
fn calls_cost_the_same_on_one_core() {
    let (six, one) = (boot("bench-six", "6", SIX), boot("bench-one", "1", ONE));
    for (name, _) in LOCAL {
        let (six, one) = (figure(&six, name), figure(&one, name));
        // Where interrupts fall differs.
        assert!(six.abs_diff(one) <= one.div_ceil(100), "{name}: {six} on six cores, {one} on one");
    }
}
