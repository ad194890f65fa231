//! `make state` on a machine that runs: tables, capabilities and manifest agree; and each disagreement that is put into its memory is found.

mod harness;

use capability_model::space::DESCRIPTOR_ADDRESS;
use harness::look::{Ram, WRITE, boot_and_look};
use harness::*;
use std::path::Path;
use xtask::look::symbol;

/// A million hostile invocations, all of memory and the registers of other levels; then the stores are looked at.
#[test]
fn an_attacker_gets_nothing_and_breaks_nothing() {
    let images = [("guest-attack", "guest-attack", 2), ("guest-spinner", "guest-spinner", 2)];
    let text = boot_and_look(
        "attack",
        120,
        &images,
        &["attack: all taken back", "[neighbour] spinning"],
        |_, look| {
            println!("{}", look().expect("stores and tables agree after the attack"));
        },
    );
    assert!(text.contains(" 0 got through") && text.contains("1000000 invocations"), "{text}");
    assert!(!text.contains("CRASH"));
}

#[test]
fn a_disagreement_of_tables_and_capabilities_is_found() {
    let el2 = shipped();
    // By then the root task has built all, and pings the kernels.
    let expected = ["[spinner] spinning", "[one] fuzz ok", "[two] fuzz ok", "[trespasser] fuzz ok"];
    boot_and_look("guests", 120, &GUESTS, &expected, |ram, look| {
        let text = look().expect("agrees");
        println!("{text}");
        assert!(text.contains("agree") && text.contains("core 0: ") && text.contains("core 2: "));
        let ram = Ram::open(ram);
        start_is_gone(&ram, &el2);
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
        // `two` (domain 4, built by the root task on core 2): reaches into `one`.
        let two = ram.word(ram.slot(&el2, 2, 32 + 4) + 8);
        let block = ram.leaf(two, 0x4000_0000);
        let word = ram.word(block);
        let wrong = ram.with(block, word ^ 0x1000_0000, look).expect_err("memory of `one`");
        assert!(wrong.contains("tables and capabilities agree"), "{wrong}");
        // What the manifest gives it, but by tables of EL2's own (boot pages of domains that are none): no capability is behind that page.
        let boot_page = ram.word(ram.leaf(two, 0x1000_0000)) & DESCRIPTOR_ADDRESS;
        let [level2, level3] = [10, 11].map(|n| boot_page + n * 4096);
        assert!(ram.word(level2) == 0 && ram.word(level3 + 8) == 0);
        let by_table = || ram.with(level2, level3 | 3, || ram.with(two + 8, level2 | 3, look));
        let wrong = ram.with(level3 + 8, 0x7000_1000 | 0x7ff, by_table).expect_err("a page without a frame");
        assert!(wrong.contains("two reaches 0x70001000"), "{wrong}");
        // A channel of the director's that it only reads.
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

/// All cores run: EL2 maps what only the start needs no more, and goes on from the page behind it.
fn start_is_gone(ram: &Ram, el2: &Path) {
    let [root, start, end] =
        ["EL2_STAGE1_ROOT", "__image_start", "__start_end"].map(|name| symbol(el2, name).expect(name));
    let entry = |table: u64, page: u64, shift: u64| ram.word(table + (page >> shift & 511) * 8);
    let leaf = |page| {
        let level2 = entry(ram.word(root), page, 30) & DESCRIPTOR_ADDRESS;
        entry(entry(level2, page, 21) & DESCRIPTOR_ADDRESS, page, 12)
    };
    assert!((start..end).step_by(4096).all(|page| leaf(page) == 0), "the start is still mapped");
    assert!(leaf(end) & 1 == 1, "EL2's text");
}
