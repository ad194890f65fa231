//! Boots EL2 with small guests under QEMU.
#![allow(dead_code)] // Each test file uses a part.

pub mod look;

use abi::bundle::{ALIGN, Bundle, ENTRY_SIZE, HEADER_SIZE, MAGIC, VERSION};
use elf::{ElfBytes, abi::PT_LOAD, endian::LittleEndian};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use xtask::build::{Tools, tree_source};
use xtask::sdcard::debian_tree;

pub const TARGET: &str = "aarch64-unknown-none-softfloat";
/// Target of the images with floating point, and those.
pub const TARGET_FLOAT: &str = "aarch64-unknown-none";
const FLOAT: [&str; 1] = ["guest-consensus"];
/// Name in the bundle, file, kind.
pub type Image = (&'static str, &'static str, u32);
pub const GUESTS: [Image; 5] = [
    ("guest-director", "guest-director", 2),
    ("guest-trespasser", "guest-trespasser", 2),
    ("guest-spinner", "guest-spinner", 2),
    ("guest-kernel", "guest-kernel", 1),
    ("guest-lodger", "guest-lodger", 2),
];
/// Stand-ins for the images that the project's own tree names.
pub const PROJECT: [Image; 8] = [
    ("manager", "guest-director", 2),
    ("replica", "guest-trespasser", 2),
    ("gate", "guest-trespasser", 2),
    ("devices", "guest-spinner", 2),
    ("classic", "guest-kernel", 1),
    ("lazy", "guest-kernel", 1),
    ("actor", "guest-kernel", 1),
    ("journal", "guest-kernel", 1),
];

/// All of `expected` stands in what was printed.
pub fn assert_says(text: &str, expected: &[&str]) {
    for line in expected {
        assert!(text.contains(line), "missing: {line}");
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("workspace")
}

pub fn run(command: &mut Command) -> Vec<u8> {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// The directory with the images, freshly built, once for all tests.
pub fn images() -> &'static Path {
    static IMAGES: OnceLock<PathBuf> = OnceLock::new();
    let what = ["-p", "loader", "-p", "guests", "--bins"];
    IMAGES.get_or_init(|| build_for(TARGET, "release", &what, "images", &[]))
}

/// The file of guest `name`.
fn image(name: &str) -> PathBuf {
    static IMAGES: OnceLock<PathBuf> = OnceLock::new();
    if !FLOAT.contains(&name) {
        return images().join(name);
    }
    let bins: Vec<&str> = FLOAT.iter().flat_map(|bin| ["--bin", bin]).collect();
    let what = [&["-p", "guests"], &bins[..]].concat();
    IMAGES.get_or_init(|| build_for(TARGET_FLOAT, "release", &what, "images", &[])).join(name)
}

/// EL2 as it ships.
pub fn shipped() -> PathBuf {
    static SHIPPED: OnceLock<PathBuf> = OnceLock::new();
    SHIPPED.get_or_init(|| kernel(&[], "images", &[])).clone()
}

/// EL2 with cargo feature `feature`.
pub fn kernel_with(feature: &str) -> PathBuf {
    kernel(&["--features", feature], feature, &[])
}

/// EL2 with the hole `name` (microkernel/src/hole.rs).
pub fn kernel_with_hole(name: &str) -> PathBuf {
    kernel(&["--features", "holes"], "holes", &[("TETRARCH_HOLE", name)])
}

fn kernel(what: &[&str], directory: &str, environment: &[(&str, &str)]) -> PathBuf {
    let what = [&["-p", "microkernel"], what].concat();
    build_for(TARGET, "el2", &what, directory, environment).join("microkernel")
}

fn build_for(
    triple: &str,
    profile: &str,
    what: &[&str],
    directory: &str,
    environment: &[(&str, &str)],
) -> PathBuf {
    // Its own target directory: the test runs while cargo holds the lock of the usual one.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["build", "--profile", profile]).args(what);
    cargo.args(["--target", triple, "--target-dir"]).arg(&target);
    cargo.env_remove("RUSTFLAGS").envs(environment.iter().copied());
    run(&mut cargo);
    target.join(triple).join(profile)
}

pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// `abi::bundle`, by hand: the bundler of the system is xtask's.
pub fn bundle(list: &[Image]) -> Vec<u8> {
    let mut out = vec![0u8; HEADER_SIZE + list.len() * ENTRY_SIZE];
    for (i, (name, file, kind)) in list.iter().enumerate() {
        let file = std::fs::read(image(file)).expect("image");
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

/// EL2's image as firmware loads it.
pub fn flat(kernel: &Path) -> Vec<u8> {
    xtask::image::flat(kernel, &images().join("loader")).expect("EL2's image")
}

/// A machine to boot.
pub struct Machine<'a> {
    /// Directory for its files.
    pub name: &'a str,
    pub machine: &'a str,
    pub tree: String,
    pub bundle: Vec<u8>,
    /// More arguments for QEMU.
    pub qemu: &'a [&'a str],
    /// EL2's image.
    pub kernel: PathBuf,
}

impl Machine<'_> {
    /// Boots; returns the operator's console until it holds all of `expected`, or all of two minutes.
    /// Cores and services run side by side, so the order is nobody's promise.
    pub fn boot(&self, expected: &[&str]) -> String {
        self.boot_and(expected, || ())
    }

    /// As [`Machine::boot`], and looks at the machine with `look` before it ends.
    pub fn boot_and(&self, expected: &[&str], look: impl FnOnce()) -> String {
        self.boot_for(120, expected, look)
    }

    /// The same with another limit, in seconds.
    pub fn boot_for(&self, limit: u64, expected: &[&str], look: impl FnOnce()) -> String {
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.name);
        std::fs::create_dir_all(&work).expect("directory");
        let (flat, initrd, dts, dtb) =
            (work.join("el2.bin"), work.join("bundle"), work.join("run.dts"), work.join("run.dtb"));
        std::fs::write(&flat, self::flat(&self.kernel)).expect("image");
        std::fs::write(&initrd, &self.bundle).expect("bundle");
        std::fs::write(&dts, &self.tree).expect("tree");
        run(Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb", "-o"]).arg(&dtb).arg(&dts));
        let mut qemu = Command::new("timeout");
        // Who looks for a mistake does not want to wait for two minutes each time.
        let seconds = std::env::var("BOOT_SECONDS").unwrap_or(limit.to_string());
        qemu.args([&seconds, "qemu-system-aarch64", "-M", self.machine, "-cpu", "cortex-a72"]);
        let cores = if self.machine == RASPBERRY_PI_4 { "4" } else { "6" };
        qemu.args(["-smp", cores, "-m", "2G", "-display", "none", "-monitor", "none", "-net", "none"]);
        qemu.arg("-kernel").arg(&flat).arg("-dtb").arg(&dtb).arg("-initrd").arg(&initrd);
        qemu.args(self.qemu);
        // The operator's console is the second port.
        qemu.arg("-serial").arg(format!("file:{}", work.join("uart0").display()));
        qemu.args(["-serial", "stdio"]);
        let child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = Running(child.expect("qemu-system-aarch64 and timeout"));
        let mut text = String::new();
        for line in BufReader::new(child.0.stdout.take().expect("stdout")).lines() {
            let line = line.expect("text");
            println!("{line}");
            text.push_str(&line);
            text.push('\n');
            if expected.iter().all(|e| text.contains(e)) {
                break;
            }
        }
        look();
        text
    }
}

/// QEMU below `timeout`; it ends with the test, however that ends.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM to `timeout`, which passes it on to QEMU.
        let _ = Command::new("sh").args(["-c", &format!("kill {} 2>/dev/null; true", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

pub const MACHINE: &str = "virt,virtualization=on,gic-version=2";
pub const RASPBERRY_PI_4: &str = "raspi4b";

/// The board's own tree, from Debian's kernel package, with the test's partitions behind it.
pub fn raspberry_pi_4_tree() -> String {
    let board = Tools::find().and_then(|t| debian_tree(&t)).expect("the board's tree");
    let text = tree_source(&board).expect("source");
    let partitions =
        std::fs::read_to_string(root().join("tests/guests/raspberry-pi-4.dtsi")).expect("partitions");
    text + &partitions
}

/// `qemu-virt.dts` and `overlay`.
pub fn tree(overlay: &str) -> String {
    format!("/include/ \"{}\"\n{overlay}", root().join("qemu-virt.dts").display())
}

pub const SEED: &str = "/ { chosen { rng-seed = <1 2 3 4 5 6 7 8>; }; };";

/// The project's tree with `what` changed in its manifest.
pub fn changed(what: &str) -> String {
    tree(&format!("{SEED} / {{ tetrarch {{ {what} }}; }};"))
}

pub fn guests_tree() -> String {
    tree_of("guests.dts")
}

pub fn tree_of(file: &str) -> String {
    format!("/include/ \"{}\"\n", root().join("tests/guests").join(file).display())
}
