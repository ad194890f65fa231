//! Boot, from top to bottom. `early` runs with the MMU off; `primary` decides everything, then starts the other cores; from
//! then on each core is alone with its `Core`.

use crate::arch::sync::Once;
use crate::arch::{entry, log, percpu, registers};
use crate::core_local::Core;
use crate::plan::Plan;
use crate::{console, crash, gic, memory, say, shared, stage1, tables};
use abi::bootinfo::name_str;
use abi::bundle::Bundle;
use abi::manifest::{DomainKind, Manifest, Range, fixed_seed, seed};
use board::{Board, CORES_MAX, rng200};
use fdt::Fdt;

static PLAN: Once<Plan> = Once::new();
static MANIFEST: Once<Manifest> = Once::new();

/// Says why there is no system, and stops.
macro_rules! refuse {
    ($($arg:tt)*) => {{
        say!("el2: cannot start: {}", format_args!($($arg)*));
        crash::stop()
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
fn start_console(tree: Option<&Fdt<'_>>) {
    let [image, ..] = entry::image();
    console::start(tree.and_then(board::console).unwrap_or(board::console_without_tree(image)));
}

/// MMU off: the first map. Returns its root.
pub fn early(address: u64) -> u64 {
    let tree = first_look(address);
    start_console(tree.as_ref());
    let Some(tree) = tree else {
        refuse!(
            "no device tree at {address:#x} (x0); boot the flat image with its Linux header, then firmware hands one over"
        )
    };
    match Board::from_tree(&tree) {
        Err(e) => refuse!("{e}"),
        Ok(board) => stage1::build(&board.memory).unwrap_or_else(|| refuse!("no pages for EL2's own tables")),
    }
}

/// Not at EL2: one line.
pub fn wrong_level(tree: u64) -> ! {
    start_console(first_look(tree).as_ref());
    refuse!("entered below or above EL2; run QEMU with -M virt,virtualization=on")
}

/// The boot core, MMU on.
pub fn primary(tree_address: u64) -> ! {
    say!("el2: Tetrarch {} at EL2", env!("CARGO_PKG_VERSION"));
    let Some(tree_range) = tree_range(tree_address) else { refuse!("no device tree in x0") };
    let Ok(tree) = Fdt::new(memory::fixed(tree_range)) else { refuse!("the device tree is damaged") };
    let board = Board::from_tree(&tree).unwrap_or_else(|e| refuse!("{e}"));
    let (hz, cores, ram) =
        (registers::counter_hz(), board.cores.len(), board.memory.iter().map(|r| r.size).sum::<u64>());
    say!("el2: {cores} cores, {} MiB, counter {hz} Hz", ram >> 20);

    // The bundle and the tree are where firmware put them; partitions must leave them and this image alone.
    let [image_start, .., image_end] = entry::image();
    let image = Range { base: image_start, size: image_end - image_start };
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
    let Some(manifest) = MANIFEST.set(manifest) else { refuse!("booted twice") };
    for c in &manifest.domains {
        let kind = if c.kind == DomainKind::Personality { "kernel at EL1" } else { "service at EL0" };
        let (base, mib, image) = (c.memory.base, c.memory.size >> 20, name_str(&c.image));
        say!("el2: {:<10} core {}, {base:#x} {mib:>3} MiB, image {image}, {kind}", c.name(), c.core);
    }
    let secret = secret(&tree, &board, manifest);
    if fixed_seed(&tree).is_some() {
        say!("el2: the seed is fixed: this run's random numbers repeat, its secrets are none");
    }
    let plan =
        Plan::build(board, manifest, &bundle, &reserved, &secret, hz).unwrap_or_else(|e| refuse!("{e}"));
    // The tree is not read again: only the domains' own pages know their secrets.
    let tree_copy = seed(&tree).map(|s| Range { base: s.as_ptr() as u64, size: s.len() as u64 });
    let own_copy = Range { base: secret.as_ptr() as u64, size: secret.len() as u64 };
    tree_copy.into_iter().chain([own_copy]).for_each(memory::wipe);
    let (used, pages) = tables::usage();
    say!("el2: {} channels, {used} of {pages} pages of tables", manifest.channels.len());
    registers::publish_code();

    gic::reset_distributor(&plan.board.gic);
    let Some(plan) = PLAN.set(plan) else { refuse!("booted twice") };
    let me = registers::core_number();
    start_others(plan, me);
    summary(plan);
    console::leave_boot_port();
    run(me, plan)
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

fn start_others(plan: &Plan, me: usize) {
    for &id in plan.board.cores.iter().filter(|&&id| id != me as u64) {
        match (plan.board.release[id as usize], plan.board.psci) {
            (0, None) => say!("el2: core {id} not started: the tree has neither psci (smc) nor a spin table"),
            (0, Some(psci)) => match registers::smc(psci.cpu_on, id, entry::secondary_address(), 0) {
                0 => {}
                e => say!("el2: core {id} not started: PSCI answers {e}"),
            },
            (word, _) => {
                memory::publish(word, entry::secondary_address());
                registers::wake_others();
            }
        }
    }
}

/// The cores without a partition, as text.
struct Spare<'a>(&'a Plan);

impl core::fmt::Display for Spare<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let spare = self.0.board.cores.iter().filter(|&&c| self.0.on_core(c as usize).next().is_none());
        let mut count = 0;
        for core in spare {
            write!(f, "{}{core}", if count == 0 { ", core " } else { ", " })?;
            count += 1;
        }
        if count > 0 { f.write_str(" spare") } else { Ok(()) }
    }
}

fn summary(plan: &Plan) {
    let used = (0..CORES_MAX).filter(|&c| plan.on_core(c).next().is_some()).count();
    say!("el2: {} domains on {used} cores{}", plan.domains.len(), Spare(plan));
}

/// The plan, once there is one.
pub fn plan() -> Option<&'static Plan> {
    PLAN.get()
}

/// Another core, MMU on.
pub fn secondary(id: usize) -> ! {
    match PLAN.get() {
        Some(plan) => run(id, plan),
        None => crash::stop(),
    }
}

/// This core's own instance begins.
fn run(id: usize, plan: &'static Plan) -> ! {
    log::start();
    defmt::info!("core {=usize} begins, {=usize} domains", id, plan.on_core(id).count());
    let core = percpu::install(Core::new(id, plan));
    shared::set_store(id, &raw const core.store as u64);
    core.dispatch();
    entry::enter(core)
}
