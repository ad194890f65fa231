//! Boots EL2 with the small guests under QEMU and reads the operator's console.

use abi::bundle::{ALIGN, Bundle, ENTRY_SIZE, HEADER_SIZE, MAGIC, VERSION};
use elf::{ElfBytes, abi::PT_LOAD, endian::LittleEndian};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const TARGET: &str = "aarch64-unknown-none-softfloat";
/// Name in the bundle, file, kind.
type Image = (&'static str, &'static str, u32);
const GUESTS: [Image; 4] = [
    ("guest-director", "guest-director", 2),
    ("guest-trespasser", "guest-trespasser", 2),
    ("guest-spinner", "guest-spinner", 2),
    ("guest-kernel", "guest-kernel", 1),
];
/// Stand-ins for the images that the project's own tree names.
const PROJECT: [Image; 5] = [
    ("manager", "guest-director", 2),
    ("sequencer", "guest-trespasser", 2),
    ("gate", "guest-trespasser", 2),
    ("devices", "guest-spinner", 2),
    ("classic", "guest-kernel", 1),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("workspace")
}

fn run(command: &mut Command) -> Vec<u8> {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// The directory with the images, freshly built, once for all tests.
fn images() -> &'static Path {
    static IMAGES: OnceLock<PathBuf> = OnceLock::new();
    IMAGES.get_or_init(build)
}

fn build() -> PathBuf {
    // Its own target directory: the test runs while cargo holds the lock of the usual one.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["build", "--release", "-p", "microkernel", "-p", "guests", "--bins"]);
    cargo.args(["--target", TARGET, "--target-dir"]).arg(&target);
    run(&mut cargo);
    target.join(TARGET).join("release")
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// `abi::bundle`, by hand: the bundler of the system is xtask's.
fn bundle(list: &[Image]) -> Vec<u8> {
    let mut out = vec![0u8; HEADER_SIZE + list.len() * ENTRY_SIZE];
    for (i, (name, file, kind)) in list.iter().enumerate() {
        let file = std::fs::read(images().join(file)).expect("image");
        let elf = ElfBytes::<LittleEndian>::minimal_parse(&file).expect("elf");
        let at = HEADER_SIZE + i * ENTRY_SIZE;
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        let start = out.len();
        let loads = elf.segments().expect("segments").iter().filter(|s| s.p_type == PT_LOAD);
        let mut count = 0u32;
        for (k, s) in loads.enumerate() {
            let offset = out.len() - start;
            out.extend(&file[s.p_offset as usize..(s.p_offset + s.p_filesz) as usize]);
            let row = [s.p_paddr, offset as u64, s.p_filesz, s.p_memsz, u64::from(s.p_flags)];
            for (n, word) in row.iter().enumerate() {
                put(&mut out, at + 80 + k * 40 + n * 8, &word.to_le_bytes());
            }
            count += 1;
        }
        let size = (out.len() - start) as u64;
        put(&mut out, at, name.as_bytes());
        put(&mut out, at + 16, &kind.to_le_bytes());
        put(&mut out, at + 20, &count.to_le_bytes());
        put(&mut out, at + 24, &(start as u64).to_le_bytes());
        put(&mut out, at + 32, &size.to_le_bytes());
        put(&mut out, at + 40, &elf.ehdr.e_entry.to_le_bytes());
    }
    let total = out.len() as u64;
    put(&mut out, 0, &MAGIC);
    put(&mut out, 8, &VERSION.to_le_bytes());
    put(&mut out, 12, &(list.len() as u32).to_le_bytes());
    put(&mut out, 16, &total.to_le_bytes());
    let digest = blake3::hash(&out[HEADER_SIZE..]);
    put(&mut out, 32, digest.as_bytes());
    Bundle::parse(&out).expect("bundle");
    out
}

fn objcopy() -> PathBuf {
    let sysroot = run(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()));
    let lib = PathBuf::from(String::from_utf8(sysroot).expect("utf-8").trim()).join("lib/rustlib");
    let mut hosts = std::fs::read_dir(&lib)
        .expect("rustlib")
        .filter_map(|e| Some(e.ok()?.path().join("bin/llvm-objcopy")));
    hosts.find(|p| p.exists()).expect("rustup component llvm-tools is missing")
}

/// A machine to boot.
struct Machine<'a> {
    /// Directory for its files.
    name: &'a str,
    machine: &'a str,
    tree: String,
    bundle: Vec<u8>,
    /// More arguments for QEMU.
    qemu: &'a [&'a str],
}

impl Machine<'_> {
    /// Boots; returns the operator's console until it holds all of `expected`, or all of a minute.
    /// Cores and services run side by side, so the order is nobody's promise.
    fn boot(&self, expected: &[&str]) -> String {
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.name);
        std::fs::create_dir_all(&work).expect("directory");
        let (flat, initrd, dts, dtb) =
            (work.join("el2.bin"), work.join("bundle"), work.join("run.dts"), work.join("run.dtb"));
        run(Command::new(objcopy()).args(["-O", "binary"]).arg(images().join("microkernel")).arg(&flat));
        std::fs::write(&initrd, &self.bundle).expect("bundle");
        std::fs::write(&dts, &self.tree).expect("tree");
        run(Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb", "-o"]).arg(&dtb).arg(&dts));
        let mut qemu = Command::new("timeout");
        qemu.args(["60", "qemu-system-aarch64", "-M", self.machine, "-cpu", "cortex-a72"]);
        qemu.args(["-smp", "6", "-m", "2G", "-display", "none", "-monitor", "none", "-net", "none"]);
        qemu.arg("-kernel").arg(&flat).arg("-dtb").arg(&dtb).arg("-initrd").arg(&initrd);
        qemu.args(self.qemu);
        qemu.arg("-serial").arg(format!("file:{}", work.join("uart0").display())).args(["-serial", "stdio"]);
        let mut child = qemu
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-aarch64 and timeout");
        let mut text = String::new();
        for line in BufReader::new(child.stdout.take().expect("stdout")).lines() {
            let line = line.expect("text");
            println!("{line}");
            text.push_str(&line);
            text.push('\n');
            if expected.iter().all(|e| text.contains(e)) {
                break;
            }
        }
        // SIGTERM to `timeout`, which passes it on to QEMU.
        run(Command::new("sh").args(["-c", &format!("kill {} 2>/dev/null; true", child.id())]));
        child.wait().expect("qemu");
        text
    }
}

const MACHINE: &str = "virt,virtualization=on,gic-version=2";

/// `qemu-virt.dts` and `overlay`.
fn tree(overlay: &str) -> String {
    format!("/include/ \"{}\"\n{overlay}", root().join("qemu-virt.dts").display())
}

const SEED: &str = "/ { chosen { rng-seed = <1 2 3 4 5 6 7 8>; }; };";

fn guests_tree() -> String {
    tree_of("guests.dts")
}

fn tree_of(file: &str) -> String {
    format!("/include/ \"{}\"\n", root().join("tests/guests").join(file).display())
}

#[test]
fn guests_get_what_is_promised_and_no_more() {
    let machine =
        Machine { name: "guests", machine: MACHINE, tree: guests_tree(), bundle: bundle(&GUESTS), qemu: &[] };
    let expected = [
        "el2: 5 domains on 3 cores, core 3, 4, 5 spare",
        "director: 5 domains, entropy true",
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
        "[one] soak ok",
        "[two] soak ok",
        "el2: one crashed: write forbidden by stage 2 at 0x200012c0",
        "one stopped by stage 2: ok",
        "news of domains: ok",
        "el2: two crashed: its exception vector 0x100000200",
        "two crashed on demand: ok",
        "exits counted: ok",
        "el2: power off",
    ];
    let text = machine.boot(&expected);
    for line in expected {
        assert!(text.contains(line), "missing: {line}");
    }
    for wrong in ["WRONG", "CRASH"] {
        assert!(!text.contains(wrong), "found: {wrong}");
    }
}

#[test]
fn the_project_s_own_tree_boots() {
    // The stand-ins miss their channels and panic: which shows how a panic is reported.
    let machine =
        Machine { name: "project", machine: MACHINE, tree: tree(SEED), bundle: bundle(&PROJECT), qemu: &[] };
    let expected = [
        "el2: 8 domains on 5 cores, core 5 spare",
        "el2: manager crashed: gave up: channel at ",
        "10 channels",
        "[devices] spinning",
    ];
    let text = machine.boot(&expected);
    for line in expected {
        assert!(text.contains(line), "missing: {line}");
    }
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
        ("seedless", MACHINE, tree(""), good.clone(), "/tetrarch/partitions/sequencer: entropy wanted"),
        ("imageless", MACHINE, tree(SEED), good, "partition manager: the bundle has no image `manager`"),
    ];
    for (name, machine, tree, bundle, want) in cases {
        let text = Machine { name, machine, tree, bundle, qemu: &[] }.boot(&["cannot start", want]);
        assert!(
            text.lines().any(|l| l.starts_with("el2: cannot start: ") && l.contains(want)),
            "{name}: {text}"
        );
    }
}

/// The address is that of the channel between the other two; the onlooker has none of its own there.
#[test]
fn a_domain_without_the_channel_faults_when_it_looks() {
    let images = [("guest-rings", "guest-rings", 2), ("guest-onlooker", "guest-onlooker", 2)];
    let (tree, bundle) = (tree_of("onlooker.dts"), bundle(&images));
    let machine = Machine { name: "onlooker", machine: MACHINE, tree, bundle, qemu: &[] };
    let expected = ["[onlooker] looking", "el2: onlooker crashed: read where nothing is at 0x20000000"];
    let text = machine.boot(&expected);
    for line in expected {
        assert!(text.contains(line), "missing: {line}");
    }
    assert!(!text.contains("WRONG"));
}

/// A step backwards is noticed; the goal of 120 instructions is not reached yet (`docs/rings.md`).
#[test]
fn a_record_costs_few_instructions() {
    let (tree, bundle) = (tree_of("rings.dts"), bundle(&[("guest-rings", "guest-rings", 2)]));
    let qemu = ["-icount", "shift=0,sleep=off"];
    let text =
        Machine { name: "rings", machine: MACHINE, tree, bundle, qemu: &qemu }.boot(&["el2: power off"]);
    let figure = |key: &str| -> u64 {
        let line = text.lines().find_map(|l| l.split_once(key)).unwrap_or_else(|| panic!("no {key}"));
        line.1.trim().parse().expect("a number")
    };
    assert!(figure("ring_send_receive_64") <= 160);
    assert!(figure("ring_doorbell_64") > figure("ring_send_receive_64"));
}

/// A step backwards is noticed; the goals of 75,000 and 150,000 are not reached, and why stands in `docs/consensus.md`.
#[test]
fn agreement_costs_few_instructions() {
    let (tree, bundle) = (tree_of("consensus.dts"), bundle(&[("guest-cons", "guest-consensus", 2)]));
    let qemu = ["-icount", "shift=0,sleep=off"];
    let text =
        Machine { name: "consensus", machine: MACHINE, tree, bundle, qemu: &qemu }.boot(&["el2: power off"]);
    let figure = |key: &str| -> u64 {
        let line = text.lines().find_map(|l| l.split_once(key)).unwrap_or_else(|| panic!("no {key}"));
        line.1.trim().parse().expect("a number")
    };
    assert!(figure("consensus_instructions_per_instance") <= 130_000);
    assert!(figure("consensus_instructions_per_batch_64") <= 630_000);
}
