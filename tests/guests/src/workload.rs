//! Invocations whose cost is measured: by `guest-caps` in instructions, by `benches/capabilities.rs` in nanoseconds. No I/O here.

use capability_model::cap::Cap;
use capability_model::domain::State;
use capability_model::error::Error;
use capability_model::invoke::{Short, WORDS};
use capability_model::layout::TABLES_SIZE;
use capability_model::memory::{Memory, PAGE, Slot};
use capability_model::{Label, Status, Store};

/// Bytes of memory that the workload needs, from an address that is a multiple of a page.
pub const MEMORY: u64 = TABLES_SIZE + (ROOT_PAGES + 1 + UNTYPED_PAGES) * PAGE;
const RADIX: u8 = 10;
const ROOT_PAGES: u64 = 16;
const UNTYPED_PAGES: u64 = 96;
const ROOT: u64 = 1;
const UNTYPED: u64 = 2;
const DOMAIN: u64 = 3;
const ENDPOINT: u64 = 4;
const INNER: u64 = 5;
const NOTIFICATION: u64 = 6;
/// Slots from here on are filled and emptied.
const FREE: u64 = 16;
const COUNT: u64 = 500;
const FRAMES: u64 = 64;

struct Bench<M> {
    store: Store<M>,
    caller: u64,
}

impl<M: Memory> Bench<M> {
    fn new(memory: M, base: u64) -> Self {
        let mut store = Store::new(memory, 0, base);
        let root = base + TABLES_SIZE;
        let domain = root + ROOT_PAGES * PAGE;
        let slot = |n| Slot(root).plus(n);
        store.install(slot(ROOT), Cap::CNode { at: root, radix: RADIX, guard: 0, guard_bits: 64 - RADIX });
        let (base, size) = (domain + PAGE, UNTYPED_PAGES * PAGE);
        store.install(slot(UNTYPED), Cap::Untyped { base, size, free: 0, clean: 0, device: false });
        store.install(slot(DOMAIN), Cap::Domain { at: domain });
        store.configure_boot_domain(domain, slot(ROOT));
        assert!(store.domain_state(domain) == State::Running);
        Bench { store, caller: domain }
    }

    /// Until it is done; how many entries that took.
    #[inline(always)]
    fn invoke<const N: usize>(&mut self, address: u64, label: Label, args: &[u64; N]) -> u64 {
        let mut words = [0; WORDS];
        words[0] = address;
        words[1] = label as u64;
        words[2..2 + N].copy_from_slice(args);
        let mut entries = 1;
        loop {
            match enter(&mut self.store, self.caller, &words) {
                Ok(Status::Again) => entries += 1,
                Ok(_) => return entries,
                Err(_) => panic!("{label:?} failed"),
            }
        }
    }

    fn retype(&mut self, kind: u64, parameter: u64, slot: u64, count: u64) {
        self.invoke(UNTYPED, Label::Retype, &[kind, parameter, ROOT, 0, 0, slot, count]);
    }
}

/// As EL2's entry does it.
#[inline(never)]
fn enter<M: Memory>(store: &mut Store<M>, caller: u64, words: &[u64; WORDS]) -> Result<Status, Error> {
    let [address, label, args @ ..] = words;
    match store.invoke_short(caller, *label, *address, |_, i| args.get(i as usize).copied().unwrap_or(0)) {
        Short::Done => Ok(Status::Done),
        Short::Again => Ok(Status::Again),
        Short::Long => store.invoke_long(caller, words).map(|outcome| outcome.status),
        Short::Refused(error) => Err(error),
    }
}

/// Runs everything. `now` is a clock; `report` is told a name and the clock's units per thousand operations.
pub fn run<M: Memory>(memory: M, base: u64, mut now: impl FnMut() -> u64, mut report: impl FnMut(&str, u64)) {
    let mut bench = Bench::new(memory, base);
    bench.retype(2, 0, ENDPOINT, 1);
    bench.retype(1, 2, INNER, 1);
    bench.retype(3, 0, NOTIFICATION, 1);
    let mut time =
        |bench: &mut Bench<M>, name: &str, count: u64, step: &mut dyn FnMut(&mut Bench<M>, u64)| {
            let start = now();
            for n in 0..count {
                step(bench, n);
            }
            let spent = now() - start;
            report(name, spent * 1000 / count);
        };
    time(&mut bench, "capability_loop", COUNT, &mut |_, n| {
        core::hint::black_box(n);
    });
    time(&mut bench, "capability_lookup", COUNT, &mut |b, _| {
        let address = core::hint::black_box(ENDPOINT);
        core::hint::black_box(b.store.lookup(b.caller, address));
    });
    time(&mut bench, "capability_copy", COUNT, &mut |b, n| {
        b.invoke(ROOT, Label::Copy, &[FREE + n, 64, ROOT, ENDPOINT, 64, 15]);
    });
    time(&mut bench, "capability_delete", COUNT, &mut |b, n| {
        b.invoke(ROOT, Label::Delete, &[FREE + n, 64]);
    });
    time(&mut bench, "capability_mint", COUNT, &mut |b, n| {
        b.invoke(ROOT, Label::Mint, &[FREE + n, 64, ROOT, ENDPOINT, 64, 15, n + 1]);
    });
    time(&mut bench, "capability_revoke_500", 1, &mut |b, _| {
        b.invoke(ROOT, Label::Revoke, &[ENDPOINT, 64]);
    });
    time(&mut bench, "capability_retype", COUNT, &mut |b, n| b.retype(4, 0, FREE + n, 1));
    for n in 0..COUNT {
        bench.invoke(ROOT, Label::Delete, &[FREE + n, 64]);
    }
    time(&mut bench, "capability_retype_64_frames", 1, &mut |b, _| b.retype(5, 0, FREE, FRAMES));
    for n in 0..FRAMES {
        bench.invoke(ROOT, Label::Delete, &[FREE + n, 64]);
    }
    time(&mut bench, "capability_move", COUNT, &mut |b, n| {
        let (from, to) = if n % 2 == 0 { (NOTIFICATION, FREE) } else { (FREE, NOTIFICATION) };
        b.invoke(ROOT, Label::Move, &[to, 64, ROOT, from, 64]);
    });
    time(&mut bench, "capability_signal", COUNT, &mut |b, _| {
        b.invoke(NOTIFICATION, Label::Signal, &[]);
    });
    let root = Cap::CNode { at: base + TABLES_SIZE, radix: RADIX, guard: 0, guard_bits: 62 - RADIX };
    time(&mut bench, "capability_lookup_two_levels", COUNT, &mut |b, _| {
        let address = core::hint::black_box(INNER << 2 | 3);
        core::hint::black_box(b.store.resolve(&root, address, 64));
    });
}
