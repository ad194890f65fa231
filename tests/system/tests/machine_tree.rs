//! The machine part of `qemu-virt.dts` is the machine that QEMU makes: held against QEMU's own `dumpdtb`.

use fdt::Fdt;
use std::path::PathBuf;
use std::process::Command;

/// Ours, or known to differ: handles are numbers that each tree chooses for itself.
const OURS: [&str; 2] = ["tetrarch", "chosen"];
const HANDLES: [&str; 3] = ["phandle", "interrupt-parent", "clocks"];

fn run(command: &mut Command) {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// QEMU's tree without the NOPs that end `fdt`'s searches.
fn qemus() -> Vec<u8> {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("virt.dtb");
    let mut qemu = Command::new("qemu-system-aarch64");
    qemu.arg("-M").arg(format!("virt,virtualization=on,gic-version=2,dumpdtb={}", file.display()));
    qemu.args([
        "-cpu",
        "cortex-a72",
        "-smp",
        "6",
        "-m",
        "2G",
        "-nodefaults",
        "-nographic",
        "-monitor",
        "none",
    ]);
    run(qemu.args([
        "-chardev",
        "null,id=a",
        "-serial",
        "chardev:a",
        "-chardev",
        "null,id=b",
        "-serial",
        "chardev:b",
    ]));
    let mut tree = std::fs::read(file).unwrap();
    board::tree::squeeze(&mut tree).expect("QEMU's tree is well-formed");
    tree
}

fn ours() -> Vec<u8> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ours.dtb");
    run(Command::new("dtc")
        .args(["-q", "-I", "dts", "-O", "dtb", "-o"])
        .arg(&file)
        .arg(root.join("qemu-virt.dts")));
    std::fs::read(file).unwrap()
}

/// Every node and property of ours is QEMU's, with the same value. What QEMU has besides is none of our business.
fn compare(ours: fdt::node::FdtNode<'_, '_>, qemus: &Fdt<'_>, path: &str, wrong: &mut Vec<String>) {
    let Some(other) = qemus.find_node(if path.is_empty() { "/" } else { path }) else {
        return wrong.push(format!("QEMU has no {path}"));
    };
    for p in ours.properties().filter(|p| !HANDLES.contains(&p.name)) {
        match other.property(p.name) {
            Some(q) if q.value == p.value => {}
            q => wrong.push(format!("{path} {}: {:x?}, QEMU {:x?}", p.name, p.value, q.map(|q| q.value))),
        }
    }
    for child in ours.children().filter(|c| !path.is_empty() || !OURS.contains(&c.name)) {
        compare(child, qemus, &format!("{path}/{}", child.name), wrong);
    }
}

#[test]
fn the_machine_part_is_qemus_own() {
    let (ours, qemus) = (ours(), qemus());
    let (ours, qemus) = (Fdt::new(&ours).unwrap(), Fdt::new(&qemus).unwrap());
    let mut wrong = vec![];
    compare(ours.find_node("/").unwrap(), &qemus, "", &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
