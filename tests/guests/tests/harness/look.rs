//! A machine whose memory the test reads and changes while it runs.

use super::*;
use abi::manifest::{Manifest, Range};
use capability_model::space::DESCRIPTOR_ADDRESS;
use std::os::unix::fs::FileExt;
use xtask::look::symbol;
use xtask::session::Memory;
use xtask::state::state;

const RAM: u64 = 0x4000_0000;
/// Write permission of a stage-2 leaf.
pub const WRITE: u64 = 1 << 7;

/// The machine's memory, to be read and changed.
pub struct Ram(std::fs::File);

impl Ram {
    pub fn open(file: &Path) -> Ram {
        Ram(std::fs::OpenOptions::new().read(true).write(true).open(file).expect("memory"))
    }

    pub fn write(&self, address: u64, word: u64) {
        self.0.write_all_at(&word.to_le_bytes(), address - RAM).expect("write");
    }

    pub fn word(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, address - RAM).expect("word");
        u64::from_le_bytes(bytes)
    }

    /// Changes a word for as long as `look` looks.
    pub fn with<R>(&self, address: u64, word: u64, look: impl FnOnce() -> R) -> R {
        let old = self.word(address);
        self.write(address, word);
        let answer = look();
        self.write(address, old);
        answer
    }

    /// The address of the leaf descriptor for `ipa` below a root table.
    pub fn leaf(&self, root: u64, ipa: u64) -> u64 {
        let mut table = root;
        for shift in [30, 21, 12] {
            let entry = table + (ipa >> shift & 511) * 8;
            let word = self.word(entry);
            assert!(word & 1 == 1, "{ipa:#x} is not mapped");
            if word & 2 == 0 || shift == 12 {
                return entry;
            }
            table = word & DESCRIPTOR_ADDRESS;
        }
        unreachable!()
    }

    /// The slot `n` of core `core`'s first CNode: three words.
    pub fn slot(&self, el2: &Path, core: u64, n: u64) -> u64 {
        let store = self.word(symbol(el2, "EL2_STORES").expect("symbol") + core * 8);
        // The store's tables are its second word, the slot with the CNode stands 64 bytes on, its object in the second word.
        let cnode = self.word(self.word(store + 8) + 64 + 8);
        cnode + n * 64
    }
}

/// Boots a machine whose memory can be looked at, for at most `limit` seconds, and looks when it has said all that is expected.
pub fn boot_and_look(
    name: &str,
    limit: u64,
    images: &[Image],
    expected: &[&str],
    look: impl FnOnce(&Path, &dyn Fn() -> Result<String, String>),
) -> String {
    let work = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let ram = work.join(format!("{name}.ram"));
    let object = format!("memory-backend-file,id=ram,size=2G,share=on,mem-path={}", ram.display());
    let machine = Machine {
        name,
        machine: "virt,virtualization=on,gic-version=2,memory-backend=ram",
        tree: tree_of(&format!("{name}.dts")),
        bundle: bundle(images),
        qemu: &["-object", &object],
        kernel: shipped(),
    };
    let el2 = shipped();
    let text = machine.boot_for(limit, expected, || {
        let dtb = std::fs::read(work.join(name).join("run.dtb")).expect("tree");
        let memory = Memory::map(&ram, &dtb).expect("memory");
        let parsed = fdt::Fdt::new(&dtb).expect("tree");
        let manifest = Manifest::parse(&parsed, &[] as &[(&str, Range)]).expect("manifest");
        look(&ram, &|| state(&memory, &el2, &manifest).map_err(|e| e.to_string()));
    });
    std::fs::remove_file(&ram).expect("memory");
    text
}
