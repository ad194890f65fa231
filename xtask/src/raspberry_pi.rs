//! A Raspberry Pi 4 on QEMU, started from the files of an SD card's image. QEMU's own loader stands in for the firmware; where the card has an
//! armstub, which QEMU does not know, this module does what the firmware does for one.

use crate::build;
use crate::machine::{BUNDLE, KERNEL, TREE};
use crate::sdcard::{self, BUNDLE_AT, KERNEL_AT, TREE_AT};
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::path::Path;

/// The armstub's name in the card, as config.txt gives it.
pub const STUB: &str = "armstub8.bin";

/// Where firmware puts a stub; the other files stand where config.txt says.
const STUB_AT: u64 = 0;
/// Words of an armstub (raspberrypi/tools, armstub8.S): a magic number, by which firmware knows that it may fill in the two others.
const STUB_MAGIC: (usize, u32) = (0xf0, 0x5afe_570b);
const STUB_TREE: usize = 0xf8;
const STUB_KERNEL: usize = 0xfc;

/// Puts the files of a card into `dir`, as the loader of a machine wants them; its device tree.
pub fn unpack(card: &Path, dir: &Path) -> Result<Vec<u8>> {
    for (name, bytes) in sdcard::read(card)? {
        std::fs::write(dir.join(if name == sdcard::TREE { TREE } else { &name }), bytes)?;
    }
    if dir.join(STUB).exists() {
        prepare(dir)?;
    }
    std::fs::read(dir.join(TREE)).with_context(|| format!("{} has no {}", card.display(), sdcard::TREE))
}

/// What firmware does before it starts the stub: tells it where tree and kernel are, and the tree where the bundle is and what chance there was.
fn prepare(dir: &Path) -> Result<()> {
    let mut stub = std::fs::read(dir.join(STUB))?;
    let (at, magic) = STUB_MAGIC;
    ensure!(
        stub.get(at..at + 4) == Some(&magic.to_le_bytes()),
        "{STUB} has no stub's magic number at {at:#x}"
    );
    for (at, word) in [(at, 0), (STUB_TREE, TREE_AT), (STUB_KERNEL, KERNEL_AT)] {
        stub[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    std::fs::write(dir.join(STUB), stub)?;
    let end = BUNDLE_AT + std::fs::metadata(dir.join(BUNDLE))?.len();
    // QEMU has no RNG200; its own loader takes the node out.
    let addition = format!(
        "/ {{ chosen {{ linux,initrd-start = <{:#x}>; linux,initrd-end = <{end:#x}>; rng-seed = {}; }};\n soc {{ rng@7e104000 {{ status = \"disabled\"; }}; }}; }};\n",
        BUNDLE_AT,
        build::tree_bytes(&build::fresh_seed()?)
    );
    build::extend_tree(&dir.join(TREE), &addition, dir).map(|_| ())
}

/// QEMU's arguments for a machine that begins in the stub, at EL3, on all cores.
pub fn as_firmware_loads(dir: &Path) -> Vec<OsString> {
    let places =
        [(STUB, STUB_AT), (KERNEL, u64::from(KERNEL_AT)), (TREE, u64::from(TREE_AT)), (BUNDLE, BUNDLE_AT)];
    let load = |(file, at): (&str, u64)| {
        let mut device = OsString::from("loader,force-raw=on,file=");
        device.push(dir.join(file));
        device.push(format!(",addr={at:#x}"));
        [OsString::from("-device"), device]
    };
    places.into_iter().flat_map(load).collect()
}
