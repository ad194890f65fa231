//! Boots EL2 with the small guests under QEMU and reads the operator's console.

mod harness;

use consensus::auth::{Authenticator, Secret, Vector};
use harness::*;
use std::path::Path;
use std::process::Command;

#[test]
fn guests_get_what_is_promised_and_no_more() {
    let machine = Machine {
        name: "guests",
        machine: MACHINE,
        tree: guests_tree(),
        bundle: bundle(&GUESTS),
        qemu: &[],
        kernel: shipped(),
    };
    let expected = [
        "el2: 8 domains on 3 cores, core 3, 4, 5 spare",
        "director: 8 domains, entropy true",
        "[one] hello from one with 2 MiB?",
        "[one] ticks ok",
        "[two] ticks ok",
        "[spinner] spinning",
        "el2: trespasser crashed: write forbidden by stage 2 at 0x400",
        "trespasser stopped: ok",
        "[two] doorbells ok",
        "pings: ok",
        "three device interrupts",
        "[trespasser] fuzz ok",
        "[one] fuzz ok",
        "[two] fuzz ok",
        "[lodger-one] lodger ok",
        "[lodger-two] lodger ok",
        "[lodger-three] lodger ok",
        "[one] soak ok",
        "[two] soak ok",
        "el2: one crashed: write forbidden by stage 2 at 0x200012c0",
        "one stopped by stage 2: ok",
        "news of domains: ok",
        "el2: two crashed: its exception vector 0x100000200",
        "two crashed on demand: ok",
        "el2: lodger-one crashed: gave up: anew with clean registers",
        "el2: lodger-three crashed: gave up: anew with clean registers",
        "el2: lodger-three crashed: fetch where nothing is at 0x4000",
        "a CNode in a partition's place: ok",
        "exits counted: ok",
        "el2: power off",
    ];
    let text = machine.boot(&expected);
    assert_says(&text, &expected);
    for wrong in ["WRONG", "CRASH"] {
        assert!(!text.contains(wrong), "found: {wrong}");
    }
}

/// Two kernels on one core: each has EL1, its timer and its interrupts in turn.
#[test]
fn two_kernels_share_a_core() {
    let tree = guests_tree()
        + "/ { tetrarch { partitions { two { core = <1>; }; lodger-two { core = <1>; }; }; }; };";
    let bundle = bundle(&GUESTS);
    let machine = Machine { name: "two", machine: MACHINE, tree, bundle, qemu: &[], kernel: shipped() };
    let expected = [
        "el2: 8 domains on 2 cores, core 2, 3, 4, 5 spare",
        "[one] ticks ok",
        "[two] ticks ok",
        "[two] doorbells ok",
        "pings: ok",
        "[lodger-one] lodger ok",
        "[lodger-two] lodger ok",
        "[one] soak ok",
        "[two] soak ok",
        "el2: power off",
    ];
    let text = machine.boot(&expected);
    assert_says(&text, &expected);
    for wrong in ["WRONG", "CRASH"] {
        assert!(!text.contains(wrong), "found: {wrong}");
    }
}

/// The kernel image of the other tests: where it lies, its console, its interrupt controller and how cores start are in the tree.
#[test]
fn the_same_image_boots_on_a_raspberry_pi_4() {
    let machine = Machine {
        name: "raspberry-pi-4",
        machine: RASPBERRY_PI_4,
        tree: raspberry_pi_4_tree(),
        bundle: bundle(&GUESTS),
        qemu: &[],
        kernel: shipped(),
    };
    let expected = [
        "el2: 4 cores, ",
        "el2: 4 domains on 4 cores",
        "[one] ticks ok",
        "[two] ticks ok",
        "[three] ticks ok",
        "[four] ticks ok",
    ];
    let text = machine.boot(&expected);
    assert_says(&text, &expected);
    assert!(!text.contains("WRONG") && !text.contains("not started"), "{text}");
}

#[test]
fn the_project_s_own_tree_boots() {
    // The stand-ins miss their channels and panic: which shows how a panic is reported.
    let machine = Machine {
        name: "project",
        machine: MACHINE,
        tree: tree(SEED),
        bundle: bundle(&PROJECT),
        qemu: &[],
        kernel: shipped(),
    };
    let expected = [
        "el2: 12 domains on 6 cores",
        "el2: manager crashed: gave up: channel at ",
        "48 channels",
        "[devices] spinning",
    ];
    let text = machine.boot(&expected);
    assert_says(&text, &expected);
    assert!(!text.contains("CRASH"));
}

#[test]
fn what_cannot_start_says_why() {
    let good = bundle(&GUESTS);
    let mut corrupt = good.clone();
    *corrupt.last_mut().expect("byte") ^= 1;
    let cases = [
        ("el1", "virt,gic-version=2", guests_tree(), good.clone(), "entered below or above EL2"),
        ("corrupt", MACHINE, guests_tree(), corrupt, "bundle is corrupt"),
        ("short", MACHINE, guests_tree(), good[..good.len() / 2].to_vec(), "bundle is truncated"),
        ("seedless", MACHINE, tree(""), good.clone(), "/tetrarch/partitions/k1: entropy wanted"),
        (
            "imageless",
            MACHINE,
            tree(SEED),
            good.clone(),
            "partition manager: the bundle has no image `manager`",
        ),
        (
            "gicless",
            MACHINE,
            tree("/ { intc@8000000 { compatible = \"arm,gic-v3\"; }; };"),
            good.clone(),
            "device tree: no GICv2 with",
        ),
        (
            "cores",
            MACHINE,
            changed("partitions { k4 { core = <6>; }; };"),
            good.clone(),
            "k4: core 6 is not in /cpus",
        ),
        (
            "overlap",
            MACHINE,
            changed("partitions { k4 { memory = <0x0 0x6fe00000 0x0 0x10000000>; }; };"),
            good.clone(),
            "overlaps `k1`; move one of them",
        ),
        (
            "unknown",
            MACHINE,
            changed("run { qorum = <3>; };"),
            good,
            "/tetrarch/run: property `qorum` is unknown here",
        ),
    ];
    for (name, machine, tree, bundle, want) in cases {
        let text = Machine { name, machine, tree, bundle, qemu: &[], kernel: shipped() }
            .boot(&["cannot start", want]);
        assert!(
            text.lines().any(|l| l.starts_with("el2: cannot start: ") && l.contains(want)),
            "{name}: {text}"
        );
    }
}

/// Started by a debugger or a boot loader that hands nothing over.
#[test]
fn no_device_tree_is_told() {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("treeless");
    std::fs::create_dir_all(&work).expect("directory");
    let flat = work.join("el2.bin");
    std::fs::write(&flat, harness::flat(&shipped())).expect("image");
    let mut qemu = Command::new("timeout");
    qemu.args([
        "15",
        "qemu-system-aarch64",
        "-M",
        MACHINE,
        "-cpu",
        "cortex-a72",
        "-m",
        "2G",
        "-display",
        "none",
    ]);
    qemu.arg("-device").arg(format!("loader,file={},addr=0x40200000,force-raw=on", flat.display()));
    qemu.args([
        "-device",
        "loader,addr=0x40200000,cpu-num=0",
        "-monitor",
        "none",
        "-serial",
        "stdio",
        "-nic",
        "none",
    ]);
    let text = qemu.output().expect("qemu").stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("el2: cannot start: no device tree at 0x0 (x0)"), "{text}");
}

/// A build of EL2 that dies when asked: by its stack, and by a panic. The other core goes on, and a tool finds the record.
#[test]
fn a_crash_of_el2_is_told_with_its_calls() {
    let images = [("guest-crasher", "guest-crasher", 2), ("guest-spinner", "guest-spinner", 2)];
    let machine = Machine {
        name: "crash",
        machine: MACHINE,
        tree: tree_of("crash.dts"),
        bundle: bundle(&images),
        qemu: &[],
        kernel: kernel_with("crash-test"),
    };
    let expected = [
        "el2: CRASH on core 1: stack overflow",
        "el2: CRASH on core 2: on demand",
        "el2: at microkernel/src/crash.rs",
        "el2: core 1 stops",
        "el2: core 2 stops",
        "[beside] spinning",
    ];
    let text = machine.boot(&expected);
    assert_says(&text, &expected);
    let names: Vec<_> = text.lines().flat_map(|l| xtask::symbols::explain(l, &machine.kernel)).collect();
    for function in ["deeper", "on_demand", "from_lower"] {
        assert!(names.iter().any(|n| n.contains(function)), "{function}: {names:#?}");
    }
}

/// The address is that of the channel between the other two; the onlooker has none of its own there.
#[test]
fn a_domain_without_the_channel_faults_when_it_looks() {
    let images = [("guest-rings", "guest-rings", 2), ("guest-onlooker", "guest-onlooker", 2)];
    let (tree, bundle) = (tree_of("onlooker.dts"), bundle(&images));
    let machine = Machine { name: "onlooker", machine: MACHINE, tree, bundle, qemu: &[], kernel: shipped() };
    let expected = ["[onlooker] looking", "el2: onlooker crashed: read where nothing is at 0x20000000"];
    let text = machine.boot(&expected);
    assert_says(&text, &expected);
    assert!(!text.contains("WRONG"));
}

/// A step backwards is noticed; the figures stand beside seL4's in `docs/capabilities.md`.
#[test]
fn invocations_cost_few_instructions() {
    let (tree, bundle) = (tree_of("capabilities.dts"), bundle(&[("guest-caps", "guest-caps", 2)]));
    let qemu = ["-icount", "shift=0,sleep=off"];
    let text =
        Machine { name: "capabilities", machine: MACHINE, tree, bundle, qemu: &qemu, kernel: shipped() }
            .boot(&["el2: power off"]);
    let most = [
        ("lookup", 40),
        ("copy", 260),
        ("mint", 275),
        ("move", 245),
        ("delete", 180),
        ("retype", 430),
        ("signal", 180),
    ];
    for (name, most) in most {
        assert!(figure(&text, &format!("capability_{name} ")) <= most, "{name}");
    }
    assert!(figure(&text, "capability_revoke_500 ") / 500 <= 75);
}

/// Written against the documents and the generated header alone.
#[test]
fn a_service_in_c_is_content() {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c");
    std::fs::create_dir_all(&work).expect("directory");
    std::fs::write(work.join("tetrarch.h"), xtask::header::header()).expect("header");
    let elf = work.join("guest-c");
    let mut gcc = Command::new("aarch64-linux-gnu-gcc");
    gcc.args([
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O2",
        "-ffreestanding",
        "-nostdlib",
        "-static",
        "-mgeneral-regs-only",
    ]);
    gcc.args([
        "-fno-stack-protector",
        "-fno-pie",
        "-no-pie",
        "-Wl,--build-id=sha1",
        "-Wl,-z,noexecstack",
        "-I",
    ])
    .arg(&work);
    gcc.arg("-T")
        .arg(root().join("runtime/image.ld"))
        .arg(root().join("tests/guests/c/guest.c"))
        .arg("-o")
        .arg(&elf);
    run(&mut gcc);
    // The bundle takes files from where the images are, unless a path says otherwise.
    let file: &'static str = Box::leak(elf.display().to_string().into_boxed_str());
    let bundle = bundle(&[("c", file, 2)]);
    let machine =
        Machine { name: "c", machine: MACHINE, tree: tree_of("c.dts"), bundle, qemu: &[], kernel: shipped() };
    let text = machine.boot(&["el2: power off"]);
    assert!(text.contains("a service in C is content") && !text.contains("WRONG"), "{text}");
}

fn figure(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|l| l.split_once(key)).unwrap_or_else(|| panic!("no {key}"));
    line.1.trim().parse().expect("a number")
}

/// The goal: send and receive of 64 bytes, both cores together, in at most 120 instructions.
#[test]
fn a_record_costs_few_instructions() {
    let (tree, bundle) = (tree_of("rings.dts"), bundle(&[("guest-rings", "guest-rings", 2)]));
    let qemu = ["-icount", "shift=0,sleep=off"];
    let text = Machine { name: "rings", machine: MACHINE, tree, bundle, qemu: &qemu, kernel: shipped() }
        .boot(&["el2: power off"]);
    assert!(figure(&text, "ring_send_receive_64") <= 120);
    assert!(figure(&text, "into a longer buffer") <= 165);
    assert!(figure(&text, "ring_doorbell_64") > figure(&text, "ring_send_receive_64"));
}

/// The goals, and that this target's own BLAKE3 is BLAKE3.
#[test]
fn agreement_costs_few_instructions() {
    let (tree, bundle) = (tree_of("consensus.dts"), bundle(&[("guest-cons", "guest-consensus", 2)]));
    let qemu = ["-icount", "shift=0,sleep=off"];
    let text = Machine { name: "consensus", machine: MACHINE, tree, bundle, qemu: &qemu, kernel: shipped() }
        .boot(&["el2: power off"]);
    let members = [1, 2, 3, 4].map(|s| Secret::new(&[s; 32]).identity());
    let trailer = Vector::new(0, Secret::new(&[1; 32]), 0, &members).seal(&[7; 64]);
    for tag in trailer.chunks(16) {
        assert!(text.contains(&format!("sealed {tag:?}")), "the host seals {tag:?}");
    }
    assert!(figure(&text, "consensus_instructions_per_instance") <= 75_000);
    assert!(figure(&text, "consensus_instructions_per_batch_64") <= 150_000);
}
