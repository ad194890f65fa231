//! Trees compiled by `dtc`: the one of the project, and its mistakes one by one.

use super::*;
use crate::bootinfo::SparePolicy;
use fdt::Fdt;
use std::format;
use std::io::Write;
use std::process::{Command, Stdio};
use std::string::{String, ToString};
use std::vec::Vec as List;

fn compile(source: &str) -> List<u8> {
    let mut dtc = Command::new("dtc")
        .args(["-q", "-I", "dts", "-O", "dtb"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dtc is missing: install device-tree-compiler");
    dtc.stdin.take().expect("stdin").write_all(source.as_bytes()).expect("write");
    let out = dtc.wait_with_output().expect("dtc");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// The project's tree with a seed, and `from` replaced by `to`, which must occur.
fn changed(from: &str, to: &str) -> String {
    let source = include_str!("../../../qemu-virt.dts")
        .replace("/include/ \"channels.dtsi\"", include_str!("../../../channels.dtsi"))
        .replace("chosen {", "chosen { rng-seed = <1 2 3 4 5 6 7 8>;");
    assert!(source.contains(from), "no `{from}` in qemu-virt.dts");
    source.replacen(from, to, 1)
}

fn parse(source: &str) -> Result<Manifest, String> {
    let bytes = compile(source);
    let tree = Fdt::new(&bytes).expect("tree");
    let el2 = Range { base: 0x4020_0000, size: 0x40_0000 };
    Manifest::parse(&tree, &[("el2", el2)]).map_err(|e| e.to_string())
}

/// The message for the tree with `from` replaced by `to`.
fn refused(from: &str, to: &str) -> String {
    let message = parse(&changed(from, to)).expect_err(to);
    assert!(!message.contains('\n') && message.starts_with("manifest: /tetrarch"), "{message}");
    message
}

#[test]
fn the_project_s_own() {
    let m = parse(&changed("", "")).expect("good");
    assert_eq!(m.domains.len(), 12);
    assert_eq!(
        (m.run.cold, m.run.kernels(), m.run.spare()),
        (1 << 11, 0b1000_0111_1000, SparePolicy::AfterAttempts)
    );
    assert_eq!(
        (m.run.voters, m.run.quorum, m.run.grace_ms, m.run.digest_interval),
        (0b111_1000, 3, 200, 1024)
    );
    let names: List<&str> = m.domains.iter().map(|d| d.name()).collect();
    assert_eq!(names, ["manager", "gate", "devices", "k1", "k2", "k3", "k4", "r1", "r2", "r3", "r4", "k5"]);
    assert!(m.domains[0].manages && !m.domains[0].entropy && m.domains[7].entropy);
    assert_eq!(m.domains[0].devices[0].frame, Range { base: 0x0904_0000, size: 0x1000 });
    assert_eq!((name_str(&m.domains[0].devices[0].name), m.domains[0].devices[0].intid), ("pl011", 40));
    assert_eq!(m.domains[7].modules.iter().map(name_str).collect::<List<_>>(), ["program", "replay"]);
    assert_eq!(m.domains[6].memory, Range { base: 0x9000_0000, size: 0x1000_0000 });
    assert_eq!(m.channels.len(), 48);
    assert_eq!((m.run.snapshot_interval, m.run.hang_ms), (1024, 10_000));
    assert_eq!(
        parse(&changed("stuck-ms = <50>", "stuck-ms = <50>; hang-ms = <3000>")).expect("good").run.hang_ms,
        3000
    );
    assert_eq!((m.channels[0].writer, m.channels[0].readers), (7, 0b1000_0111_1000));
    assert_eq!(m.channels[1].frames, Range { base: 0xa040_1000, size: 0x40_1000 });
    assert_eq!(m.channels[17].kind, ChannelKind::Stream);
}

#[test]
fn disabled_partitions_take_their_channels_along() {
    let mut source = changed("quorum = <3>", "quorum = <1>");
    for k in 2..=5 {
        source = source.replace(&format!("k{k} {{\n"), &format!("k{k} {{ status = \"disabled\";\n"));
    }
    let m = parse(&source).expect("good");
    assert_eq!(m.domains.len(), 8);
    assert_eq!(m.run.voters, 0b1000);
    let names: List<&str> = m.channels.iter().map(|c| name_str(&c.name)).collect();
    assert_eq!(names[12..18], ["effects-k1", "input", "output", "verdicts", "evidence", "control"]);
    assert_eq!(
        names[18..28],
        [
            "monitor-k1",
            "snapshot-k1",
            "begin-r1",
            "begin-r2",
            "begin-r3",
            "begin-r4",
            "log-manager",
            "log-gate",
            "log-devices",
            "log-k1"
        ]
    );
    assert_eq!(m.channels[0].readers, 0b1000);
    assert_eq!(m.channels[17].readers, 0b1111_1100);
}

#[test]
fn each_mistake_names_its_node() {
    let cases = [
        ("manifest-1", "manifest-2", "/tetrarch: compatible"),
        ("grace-ms = <200>", "grace = <50>", "/tetrarch/run: property `grace` is unknown"),
        ("grace-ms = <200>;", "", "/tetrarch/run: property `grace-ms` is missing"),
        ("grace-ms = <200>", "grace-ms = \"50\"", "/tetrarch/run: property `grace-ms` has a bad value"),
        ("quorum = <3>", "quorum = <5>", "/tetrarch/run: quorum 5 with 4 voters"),
        ("quorum = <3>", "quorum = <0>", "/tetrarch/run: quorum 0"),
        (
            "digest-interval = <1024>;",
            "digest-interval = <1024>; x { };",
            "/tetrarch/run: node `x` is unknown",
        ),
        (
            "iteration = \"re-execute\"",
            "iteration = \"again\"",
            "/tetrarch/run: property `iteration` has a bad value",
        ),
        ("partitions {", "partition {", "/tetrarch: node `partition` is unknown"),
        (
            "kind = \"service\"; image = \"gate\"",
            "kind = \"server\"; image = \"gate\"",
            "partitions/gate: property `kind`",
        ),
        ("image = \"gate\"; ", "", "partitions/gate: property `image` is missing"),
        ("image = \"gate\"", "image = \"a-name-of-17-byte\"", "partitions/gate: `a-name-of-17-byte`"),
        ("k1 {\n", "a-name-of-17-byte {\n", "`a-name-of-17-byte` is no name"),
        ("core = <4>", "core = <6>", "partitions/k4: core 6 is not in /cpus"),
        ("0x60000000", "0x60001000", "partitions/k1: memory 0x60001000"),
        ("0x60000000 0x0 0x10000000", "0x60000000 0x0 0x0", "partitions/k1: memory 0x60000000+0x0"),
        ("0x60000000 0x0 0x10000000", "0x60000000 0x0", "partitions/k1: property `memory`"),
        (
            "0x60000000 0x0 0x10000000",
            "0x60000000 0x0 0x10200000",
            "partitions/k2: memory 0x70000000+0x10000000 overlaps `k1`",
        ),
        ("0x90000000", "0xc0000000", "partitions/k4: memory 0xc0000000+0x10000000 is not RAM"),
        (
            "0x0 0x90000000",
            "0xffffffff 0xf0000000",
            "partitions/k4: memory 0xfffffffff0000000+0x10000000 is not RAM",
        ),
        (
            "0x0 0x50000000 0x0 0x01000000",
            "0x0 0x40000000 0x0 0x01000000",
            "manager: memory 0x40000000+0x1000000 overlaps `el2`",
        ),
        ("manages;", "manages = <1>;", "partitions/manager: property `manages`"),
        ("entropy;", "entropi;", "partitions/k1: property `entropi` is unknown"),
        ("rng-seed = <1 2 3 4 5 6 7 8>", "rng-seed = <1 2>", "partitions/k1: entropy wanted"),
        (
            "devices = <&uart0>",
            "devices = <&uart1>",
            "partitions/devices: a device of it belongs to `manager`",
        ),
        ("devices = <&uart0>", "devices = <99>", "partitions/devices: `devices` holds a phandle"),
        ("devices = <&uart0>", "devices = <&clk24mhz>", "partitions/devices: `devices` holds a phandle"),
        ("devices = <&uart0>", "devices = <>", "partitions/devices: property `devices`"),
        (
            "modules = \"root\";",
            "modules = \"root\"; devices = <&uart0>;",
            "partitions/k1: `devices` is for services",
        ),
        ("modules = \"root\";", "manages;", "partitions/k1: `manages` is for services"),
        (
            "\"program\", \"replay\"",
            "\"a\", \"b\", \"c\", \"d\", \"e\"",
            "partitions/r1: more than 4 modules",
        ),
        ("type = \"stream\"", "type = \"pipe\"", "channels/output: property `type`"),
        (
            "<0x21000>; writer = \"devices\"",
            "<0x11001>; writer = \"devices\"",
            "channels/input: size 0x11001",
        ),
        ("<0x21000>; writer = \"devices\"", "<0x1000>; writer = \"devices\"", "channels/input: size 0x1000"),
        (
            "<0x21000>; writer = \"devices\"",
            "<0x20001000>; writer = \"devices\"",
            "channels/input: size 0x20001000",
        ),
        ("0xa0000000 0x0 0x08000000", "0xa0000000 0x0 0x20001000", "/tetrarch/channels: property `memory`"),
        ("writer = \"devices\"", "writer = \"device\"", "channels/input: writer `device` is no partition"),
        ("\"k3\", \"k4\"", "\"k3\", \"k6\"", "channels/agreed-r1: reader `k6` is no partition"),
        ("\t\t\t\tcold;", "\t\t\t\tcold = <1>;", "/tetrarch/partitions/k5: property `cold`"),
        (
            "kind = \"service\"; image = \"gate\"",
            "cold; kind = \"service\"; image = \"gate\"",
            "partitions/gate: property `cold`",
        ),
        ("spare = \"after-attempts\"", "spare = \"soon\"", "/tetrarch/run: property `spare` has a bad value"),
        ("\"k3\", \"k4\"", "\"k3\", \"r1\"", "channels/agreed-r1: `r1` would read what it writes"),
        (
            "readers = \"devices\"",
            "readers = \"devices\", \"k1\"",
            "channels/output: a stream has one reader, not 2",
        ),
        (
            "0xa0000000 0x0 0x08000000",
            "0xa0000000 0x0 0x00402000",
            "channels/agreed-r2: channels/memory is 0x400000 bytes short",
        ),
        (
            "0xa0000000 0x0 0x08000000",
            "0x9f000000 0x0 0x08000000",
            "/tetrarch/channels: memory 0x9f000000+0x8000000 overlaps `k4`",
        ),
    ];
    for (from, to, want) in cases {
        let message = refused(from, to);
        assert!(message.contains(want), "{from} -> {to}\n  got: {message}\n want: {want}");
    }
}

#[test]
fn too_many_partitions_and_channels() {
    let partition = |i: usize| {
        format!(
            "x{i} {{ kind = \"service\"; image = \"gate\"; core = <0>; memory = <0x0 {:#x} 0x0 0x200000>; }};",
            0xb000_0000 + i * 0x20_0000
        )
    };
    let partitions: String = (0..6).map(partition).collect();
    assert!(
        refused("partitions {", &format!("partitions {{ {partitions}")).contains("more than 16 partitions")
    );
    let channel = |i: usize| {
        format!(
            "x{i} {{ type = \"broadcast\"; size = <0x2000>; writer = \"gate\"; readers = \"manager\"; }};"
        )
    };
    let channels: String = (0..13).map(channel).collect();
    let memory = "memory = <0x0 0xa0000000 0x0 0x08000000>;";
    assert!(refused(memory, &format!("{memory} {channels}")).contains("more than 48 channels"));
}

#[test]
fn without_a_quorum_one_liar_is_tolerated() {
    let mut source = changed("quorum = <3>;", "");
    for quorum in [3, 2, 2, 1] {
        assert_eq!(parse(&source).expect("good").run.quorum, quorum);
        source =
            source.replacen("kind = \"personality\";", "kind = \"personality\"; status = \"disabled\"; ", 1);
        source = source.replacen("kind = \"personality\"; status", "kind  = \"personality\"; status", 1);
    }
}

#[test]
fn start_time_is_two_cells() {
    let m = parse(&changed("run {", "run { start-time-us = <0x1 0x2>;")).expect("good");
    assert_eq!(m.run.start_time_us, 0x1_0000_0002);
    assert!(refused("run {", "run { start-time-us = <5>;").contains("start-time-us"));
}
