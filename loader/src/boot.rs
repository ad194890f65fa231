//! From firmware to the microkernel, from top to bottom. `early` runs with the MMU off; `primary` decides everything.

use crate::entry::stop;
use crate::plan::{self, Found};
use crate::{console, map, memory, say};
use aarch64_cpu::registers::{CNTFRQ_EL0, Readable};
use abi::bootinfo::name_str;
use abi::bundle::Bundle;
use abi::handover::CORES_MAX;
use abi::manifest::{DomainKind, Manifest, Range, fixed_seed, seed};
use board::{Board, rng200};
use fdt::Fdt;

/// Says why there is no system, and stops.
macro_rules! refuse {
    ($($arg:tt)*) => {{
        say!("el2: cannot start: {}", format_args!($($arg)*));
        stop()
    }};
}

/// Where the device tree is that firmware left at `address`.
fn tree_range(address: u64) -> Option<Range> {
    let header = memory::fixed(Range { base: address, size: 8 });
    let magic = header.get(..4)? == [0xd0, 0x0d, 0xfe, 0xed];
    let size = u32::from_be_bytes(header.get(4..8)?.try_into().ok()?);
    (magic && address.is_multiple_of(8)).then(|| Range { base: address, size: size.into() })
}

/// The tree that firmware left at `address`, if it is one.
fn first_look(address: u64) -> Option<Fdt<'static>> {
    let range = tree_range(address).filter(|&r| memory::squeeze_tree(r))?;
    Fdt::new(memory::fixed(range)).ok()
}

/// A console from the tree, or without one the console of the board that this must be.
fn start_console(tree: Option<&Fdt<'_>>, image: u64) {
    console::start(tree.and_then(board::console).unwrap_or(board::console_without_tree(image)));
}

/// MMU off: the first map, for EL2's image from `start` to `end`. Returns its root.
pub fn early(address: u64, start: u64, end: u64) -> u64 {
    let tree = first_look(address);
    start_console(tree.as_ref(), start);
    let Some(tree) = tree else {
        refuse!(
            "no device tree at {address:#x} (x0); boot the flat image with its Linux header, then firmware hands one over"
        )
    };
    match Board::from_tree(&tree) {
        Err(e) => refuse!("{e}"),
        Ok(board) => map::build(&board.memory, &Range { base: start, size: end - start }),
    }
}

/// Not at EL2: one line.
pub fn wrong_level(tree: u64, image: u64) -> ! {
    start_console(first_look(tree).as_ref(), image);
    refuse!("entered below or above EL2; run QEMU with -M virt,virtualization=on")
}

/// An exception: a mistake in this image, or a tree that names memory that is not there.
pub fn unexpected(syndrome: u64, pc: u64, address: u64) -> ! {
    say!("el2: CRASH at boot: syndrome {syndrome:#x} pc {pc:#x} address {address:#x}");
    stop()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("el2: CRASH at boot: {info}");
    stop()
}

/// MMU on: fills the handover at `area`.
pub fn primary(tree_address: u64, start: u64, end: u64, area: u64) {
    say!("el2: Tetrarch {} at EL2", env!("CARGO_PKG_VERSION"));
    let Some(tree_range) = tree_range(tree_address) else { refuse!("no device tree in x0") };
    let Ok(tree) = Fdt::new(memory::fixed(tree_range)) else { refuse!("the device tree is damaged") };
    let board = Board::from_tree(&tree).unwrap_or_else(|e| refuse!("{e}"));
    let (hz, cores, ram) =
        (CNTFRQ_EL0.get(), board.cores.len(), board.memory.iter().map(|r| r.size).sum::<u64>());
    say!("el2: {cores} cores, {} MiB, counter {hz} Hz", ram >> 20);

    // The bundle and the tree are where firmware put them; partitions must leave them and EL2's image alone.
    let image = Range { base: start, size: end - start };
    let reserved = [("el2", image), ("bundle", board.initrd), ("device tree", tree_range)];
    if !board.memory.iter().any(|r| r.contains(&board.initrd)) || !board.initrd.base.is_multiple_of(4096) {
        refuse!("the bundle at {:#x} is not in RAM at a page boundary", board.initrd.base);
    }
    let bundle = Bundle::parse(memory::fixed(board.initrd)).unwrap_or_else(|e| refuse!("{e}"));
    say!(
        "el2: bundle {:#x}+{:#x}, {} entries, digest ok",
        board.initrd.base,
        board.initrd.size,
        bundle.entries().count()
    );

    let manifest = Manifest::parse(&tree, &reserved).unwrap_or_else(|e| refuse!("{e}"));
    for c in &manifest.domains {
        let kind = if c.kind == DomainKind::Personality { "kernel at EL1" } else { "service at EL0" };
        let (base, mib, image) = (c.memory.base, c.memory.size >> 20, name_str(&c.image));
        say!("el2: {:<10} core {}, {base:#x} {mib:>3} MiB, image {image}, {kind}", c.name(), c.core);
    }
    let secret = secret(&tree, &board, &manifest);
    if fixed_seed(&tree).is_some() {
        say!("el2: the seed is fixed: this run's random numbers repeat, its secrets are none");
    }
    let found = Found { board: &board, manifest: &manifest, bundle: &bundle, secret: &secret, hz };
    plan::build(memory::area(area), &found, &reserved).unwrap_or_else(|e| refuse!("{e}"));
    // The tree is not read again: only the domains' own pages know their secrets. This image's copies go with it.
    seed(&tree)
        .map(|s| Range { base: s.as_ptr() as u64, size: s.len() as u64 })
        .into_iter()
        .for_each(memory::wipe);
    summary(&manifest, &board);
}

/// What the domains' secrets are made of: the tree's seed, and behind it what the board's own generator says, unless somebody chose the seed.
/// Zeros in the tree stand where firmware was to put a seed.
fn secret(tree: &Fdt<'_>, board: &Board, manifest: &Manifest) -> [u8; 64] {
    let mut secret = [0; 64];
    let (given, made) = secret.split_at_mut(32);
    if let Some(seed) = seed(tree) {
        given.copy_from_slice(seed);
    }
    if let (Some(address), None) = (board.random, fixed_seed(tree)) {
        match rng200::seed(memory::device(address)) {
            Some(seed) => made.copy_from_slice(&seed),
            None => say!(
                "el2: the random number generator at {address:#x} gives nothing; the tree's seed must do"
            ),
        }
    }
    if secret == [0; 64] && manifest.domains.iter().any(|d| d.entropy) {
        refuse!("/chosen/rng-seed is zero and there is no other source of chance; have firmware fill it");
    }
    secret
}

/// Cores, as text.
struct Spare<'a>(&'a [u64]);

impl core::fmt::Display for Spare<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (n, core) in self.0.iter().enumerate() {
            write!(f, "{}{core}", if n == 0 { ", core " } else { ", " })?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str(" spare") }
    }
}

fn summary(manifest: &Manifest, board: &Board) {
    let used = |core: u64| manifest.domains.iter().any(|d| u64::from(d.core) == core);
    let spare: heapless::Vec<u64, CORES_MAX> = board.cores.iter().copied().filter(|&c| !used(c)).collect();
    say!(
        "el2: {} domains on {} cores{}",
        manifest.domains.len(),
        board.cores.len() - spare.len(),
        Spare(&spare)
    );
}
