//! `make state` on a machine that runs: tables, capabilities and manifest agree; and each disagreement that is put into its memory is found.

mod harness;

use abi::manifest::{Manifest, Range};
use capability_model::space::DESCRIPTOR_ADDRESS;
use harness::*;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xtask::look::symbol;
use xtask::session::Memory;
use xtask::state::state;

const RAM: u64 = 0x4000_0000;
/// Write permission of a stage-2 leaf.
const WRITE: u64 = 1 << 7;

/// The machine's memory, to be read and changed.
struct Ram(std::fs::File);

impl Ram {
    fn word(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, address - RAM).expect("word");
        u64::from_le_bytes(bytes)
    }

    /// Changes a word for as long as `look` looks.
    fn with<R>(&self, address: u64, word: u64, look: impl FnOnce() -> R) -> R {
        let old = self.word(address);
        self.0.write_all_at(&word.to_le_bytes(), address - RAM).expect("write");
        let answer = look();
        self.0.write_all_at(&old.to_le_bytes(), address - RAM).expect("write");
        answer
    }

    /// The address of the leaf descriptor for `ipa` below a root table.
    fn leaf(&self, root: u64, ipa: u64) -> u64 {
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
    fn slot(&self, el2: &Path, core: u64, n: u64) -> u64 {
        let store = self.word(symbol(el2, "EL2_STORES").expect("symbol") + core * 8);
        // The store's tables are its second word, the slot with the CNode stands 64 bytes on, its object in the second word.
        let cnode = self.word(self.word(store + 8) + 64 + 8);
        cnode + n * 64
    }
}

/// Boots a machine whose memory can be looked at, and looks when it has said all that is expected.
fn boot_and_look(
    name: &str,
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
    let text = machine.boot_and(expected, || {
        let dtb = std::fs::read(work.join(name).join("run.dtb")).expect("tree");
        let memory = Memory::map(&ram, &dtb).expect("memory");
        let parsed = fdt::Fdt::new(&dtb).expect("tree");
        let manifest = Manifest::parse(&parsed, &[] as &[(&str, Range)]).expect("manifest");
        look(&ram, &|| state(&memory, &el2, &manifest).map_err(|e| e.to_string()));
    });
    std::fs::remove_file(&ram).expect("memory");
    text
}

/// A million hostile invocations, all of memory and the registers of other levels; then the stores are looked at.
#[test]
fn an_attacker_gets_nothing_and_breaks_nothing() {
    let images = [("guest-attack", "guest-attack", 2), ("guest-spinner", "guest-spinner", 2)];
    let text =
        boot_and_look("attack", &images, &["attack: all taken back", "[neighbour] spinning"], |_, look| {
            println!("{}", look().expect("stores and tables agree after the attack"));
        });
    assert!(text.contains(" 0 got through") && text.contains("1000000 invocations"), "{text}");
    assert!(!text.contains("CRASH"));
}

/// Lent, used, revoked, lent to the next, a hundred times, while another domain of the borrower's core never rests.
#[test]
fn what_is_lent_comes_back_clean() {
    let images = [("guest-leases", "guest-leases", 2), ("guest-spinner", "guest-spinner", 2)];
    let expected = [
        "leases: 100 rounds, no canary",
        "el2: first crashed: read where nothing is at 0x50000000",
        "el2: second crashed: read where nothing is at 0x50000000",
    ];
    let text = boot_and_look("leases", &images, &expected, |_, look| {
        println!("{}", look().expect("stores and tables agree after all came back"));
    });
    for line in expected {
        assert!(text.contains(line), "missing: {line}");
    }
    assert!(!text.contains("CRASH") && !text.contains("WRONG"), "{text}");
}

#[test]
fn a_disagreement_of_tables_and_capabilities_is_found() {
    let el2 = shipped();
    // By then the root task has built all, and pings the kernels.
    let expected = ["[spinner] spinning", "[one] fuzz ok", "[two] fuzz ok", "[trespasser] fuzz ok"];
    boot_and_look("guests", &GUESTS, &expected, |ram, look| {
        let text = look().expect("agrees");
        println!("{text}");
        assert!(text.contains("agree") && text.contains("core 0: ") && text.contains("core 2: "));
        let ram = Ram(std::fs::OpenOptions::new().read(true).write(true).open(ram).expect("memory"));
        // `spinner` (domain 2, built by the root task): a block without a capability; a page that is another's.
        let spinner = ram.word(ram.slot(&el2, 0, 32 + 2) + 8);
        let table = ram.word(spinner + 8) & DESCRIPTOR_ADDRESS;
        let nothing = table + (0x7000_0000 >> 21 & 511) * 8;
        assert!(ram.word(nothing) == 0);
        let wrong = ram.with(nothing, 0x6000_0000 | 0x7fd, look).expect_err("a block without a capability");
        assert!(wrong.contains("tables and capabilities agree"), "{wrong}");
        let text_page = ram.leaf(spinner, 0x4000_0000);
        let word = ram.word(text_page);
        let wrong = ram.with(text_page, word ^ 0x0800_0000, look).expect_err("another's page");
        assert!(wrong.contains("tables and capabilities agree"), "{wrong}");
        // `two` (domain 4, built by EL2): reaches into `one`, and writes the director's channel.
        let two = ram.word(ram.slot(&el2, 2, 32 + 4) + 8);
        let block = ram.leaf(two, 0x4000_0000);
        let word = ram.word(block);
        let wrong = ram.with(block, word ^ 0x1000_0000, look).expect_err("memory of `one`");
        assert!(wrong.contains("two reaches 0x60000000"), "{wrong}");
        let orders = ram.leaf(two, 0x2000_0000);
        let word = ram.word(orders);
        let wrong = ram.with(orders, word | WRITE, look).expect_err("a channel that `two` only reads");
        assert!(wrong.contains("two reaches 0xa0000000"), "{wrong}");
        // A capability that says more than there is: a frame of spinner's that stands for another address.
        let domain = ram.slot(&el2, 0, 16 + 2);
        let object = ram.word(domain + 8);
        ram.with(domain + 8, object + 0x1000, look).expect_err("a domain that is none");
        look().expect("agrees again");
    });
}
