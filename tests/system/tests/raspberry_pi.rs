//! The SD card for a Raspberry Pi 4, and QEMU's one started from its files (R83).

use std::path::{Path, PathBuf};
use std::process::Command;
use system_tests::{Options, Session, images};
use xtask::build::Tools;
use xtask::sdcard::{self, Card};

/// Writes a card's image into the directory of cargo's test files.
fn image(name: &str, card: &Card) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let parts = sdcard::parts(&Tools::find().unwrap(), images(), card).unwrap();
    sdcard::write(&parts, &path).unwrap();
    path
}

fn sha256(path: &Path) -> String {
    let out = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(out.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// The second partition of an image, where a loop device would put it, checked by a tool that is not ours.
fn fsck(image: &Path) -> String {
    let bytes = std::fs::read(image).unwrap();
    let partition = image.with_extension("fat");
    std::fs::write(&partition, &bytes[4 << 20..]).unwrap();
    let paths = ["/usr/sbin", "/sbin", &std::env::var("PATH").unwrap()].join(":");
    let out =
        Command::new("fsck.fat").env("PATH", paths).arg("-n").arg("-v").arg(&partition).output().unwrap();
    std::fs::remove_file(&partition).unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

#[test]
fn the_image_is_a_card_that_firmware_can_read() {
    let card = image("card.img", &Card::default());
    let bytes = std::fs::read(&card).unwrap();
    // The partition table (one entry, type 0x0c, from 4 MiB on), by hand.
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(bytes[510..512], [0x55, 0xaa]);
    assert_eq!((bytes[450], word(454), word(458)), (0x0c, 8192, (bytes.len() as u32 >> 9) - 8192));
    assert!(bytes[462..510].iter().all(|&b| b == 0), "more than one partition");
    let checked = fsck(&card);
    assert!(
        checked.contains("32 bits/entry") || checked.contains("FAT32") || checked.contains("32 bit"),
        "{checked}"
    );

    let files = sdcard::read(&card).unwrap();
    let names: Vec<&str> = files.iter().map(|(n, _)| n.as_str()).collect();
    let expected = [
        "start4.elf",
        "fixup4.dat",
        "LICENCE.broadcom",
        "kernel8.img",
        sdcard::TREE,
        "bundle.bin",
        "config.txt",
    ];
    assert_eq!(names, expected);
    let file = |name: &str| &files.iter().find(|(n, _)| n == name).unwrap().1;
    let config = String::from_utf8(file("config.txt").clone()).unwrap();
    for line in [
        "arm_64bit=1",
        "enable_gic=1",
        "kernel=kernel8.img",
        "initramfs bundle.bin 0x08000000",
        "enable_uart=1",
    ] {
        assert!(config.lines().any(|l| l == line), "config.txt lacks {line}: {config}");
    }
    for named in config
        .lines()
        .filter_map(|l| l.split_once('='))
        .filter(|(k, _)| ["kernel", "device_tree"].contains(k))
    {
        assert!(names.contains(&named.1), "config.txt names {}, which is not there", named.1);
    }
    assert_eq!(file("kernel8.img")[56..60], *b"ARM\x64");
    assert_eq!(file(sdcard::TREE)[..4], [0xd0, 0x0d, 0xfe, 0xed]);
    assert!(file("start4.elf").len() > 1 << 20 && file("bundle.bin").len() > 1 << 20);
    // What firmware loads must not meet: kernel, tree, bundle, then the partitions.
    assert!(file("kernel8.img").len() < 0x70_0000 - 0x20_0000 && file(sdcard::TREE).len() < 0x10_0000);
    assert!(file("bundle.bin").len() < 0x0900_0000 - 0x0800_0000);

    assert_eq!(sha256(&card), sha256(&image("again.img", &Card::default())), "the image does not repeat");
}

#[test]
fn who_lies_or_crashes_on_the_card_s_machine_changes_no_byte_is_named_and_votes_again() {
    let card = Some(image("lie.img", &Card::default()));
    let mut s = Session::shell(&Options { card, ..Options::default() }).unwrap();
    let before = s.command("seq 1 2000 | md5sum").unwrap();
    s.operate("replace k2 spare").unwrap();
    s.operator_says(&["this machine has no spare core"]).unwrap();
    s.operate("inject lie k2").unwrap();
    assert_eq!(s.command("seq 1 2000 | md5sum").unwrap(), before);
    s.operator_says(&["verdict: k2", "wrong output"]).unwrap();
    s.operator_says(&["return: k2 votes as", "four vote again"]).unwrap();
    // The first shares its core with the services.
    s.operate("inject crash k1").unwrap();
    s.operator_says(&["verdict: k1", "crashed"]).unwrap();
    s.operator_says(&["return: k1 votes as", "four vote again"]).unwrap();
    assert!(s.command("echo still $((6 * 7))").unwrap().contains("still 42"));
    s.send("exit 7\r").unwrap();
    assert_eq!(s.finish().unwrap().status, Some(7));
}

#[test]
fn three_kernels_under_trusted_firmware_outlive_a_crash() {
    let armstub = Some(sdcard::trusted_firmware(&Tools::find().unwrap()).unwrap());
    // One line of the manifest: core 0 is the services' alone, and two of three release.
    let manifest = "/ { tetrarch { partitions { k1 { status = \"disabled\"; }; }; }; };".to_owned();
    let card = Some(image("three.img", &Card { armstub, manifest, ..Card::default() }));
    let mut s = Session::shell(&Options { card, ..Options::default() }).unwrap();
    let before = s.command("seq 1 2000 | sort -rn | md5sum").unwrap();
    s.operate("inject crash k3").unwrap();
    s.operator_says(&["verdict: k3", "crashed"]).unwrap();
    s.operator_says(&["return: k3 votes as", "three vote again"]).unwrap();
    assert_eq!(s.command("seq 1 2000 | sort -rn | md5sum").unwrap(), before);
    s.send("exit 0\r").unwrap();
    assert_eq!(s.finish().unwrap().status, Some(0));
}
