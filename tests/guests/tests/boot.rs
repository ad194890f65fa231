//! Boots EL2 with the small guests under QEMU and reads the operator's console.

use abi::bundle::{ALIGN, Bundle, ENTRY_SIZE, HEADER_SIZE, MAGIC, VERSION};
use elf::{ElfBytes, abi::PT_LOAD, endian::LittleEndian};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "aarch64-unknown-none-softfloat";
const IMAGES: [(&str, u32); 4] =
    [("guest-director", 2), ("guest-trespasser", 2), ("guest-spinner", 2), ("guest-kernel", 1)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("workspace")
}

fn run(command: &mut Command) -> Vec<u8> {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// The directory with the images, freshly built.
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
fn bundle(images: &Path) -> Vec<u8> {
    let mut out = vec![0u8; HEADER_SIZE + IMAGES.len() * ENTRY_SIZE];
    for (i, (name, kind)) in IMAGES.iter().enumerate() {
        let file = std::fs::read(images.join(name)).expect("image");
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
    put(&mut out, 12, &(IMAGES.len() as u32).to_le_bytes());
    put(&mut out, 16, &total.to_le_bytes());
    let digest = blake3::hash(&out[HEADER_SIZE..]);
    put(&mut out, 32, digest.as_bytes());
    Bundle::parse(&out).expect("bundle");
    out
}

fn objcopy() -> PathBuf {
    let sysroot = run(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()));
    let lib = PathBuf::from(String::from_utf8(sysroot).expect("utf-8").trim()).join("lib/rustlib");
    let mut hosts = std::fs::read_dir(&lib).expect("rustlib").filter_map(|e| Some(e.ok()?.path().join("bin/llvm-objcopy")));
    hosts.find(|p| p.exists()).expect("rustup component llvm-tools is missing")
}

/// Boots `tree`; returns the operator's console.
fn boot(work: &Path, images: &Path, tree: &Path) -> String {
    let (flat, initrd, dtb) = (work.join("el2.bin"), work.join("bundle"), work.join("tree.dtb"));
    run(Command::new(objcopy()).args(["-O", "binary"]).arg(images.join("microkernel")).arg(&flat));
    std::fs::write(&initrd, bundle(images)).expect("bundle");
    run(Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb", "-o"]).arg(&dtb).arg(tree));
    let mut qemu = Command::new("timeout");
    qemu.args(["60", "qemu-system-aarch64", "-M", "virt,virtualization=on,gic-version=2", "-cpu", "cortex-a72"]);
    qemu.args(["-smp", "6", "-m", "2G", "-display", "none", "-monitor", "none", "-net", "none"]);
    qemu.arg("-kernel").arg(&flat).arg("-dtb").arg(&dtb).arg("-initrd").arg(&initrd);
    qemu.arg("-serial").arg(format!("file:{}", work.join("uart0").display())).args(["-serial", "stdio"]);
    let out = qemu.output().expect("qemu-system-aarch64 and timeout");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    println!("{text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

#[test]
fn guests_get_what_is_promised_and_no_more() {
    let images = build();
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot");
    std::fs::create_dir_all(&work).expect("directory");
    let text = boot(&work, &images, &root().join("tests/guests/guests.dts"));
    let expected = [
        "el2: 5 domains on 3 cores, 3 spare",
        "director: 5 domains, entropy true",
        "[one] hello from one with 2 MiB?",
        "[one] ticks ok",
        "[two] ticks ok",
        "[spinner] spinning",
        "el2: trespasser crashed: write forbidden by stage 2 at 0x400",
        "trespasser stopped: ok",
        "[two] doorbells ok",
        "pings: ok",
        "el2: one crashed: write forbidden by stage 2 at 0x200012c0",
        "one stopped by stage 2: ok",
        "news of domains: ok",
        "el2: two crashed: ",
        "two crashed on demand: ok",
        "exits counted: ok",
        "el2: power off",
    ];
    for line in expected {
        assert!(text.contains(line), "missing: {line}");
    }
    for wrong in ["WRONG", "CRASH"] {
        assert!(!text.contains(wrong), "found: {wrong}");
    }
}
