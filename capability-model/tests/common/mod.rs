//! What tests share: memory over vectors that counts (`ram`), and small worlds to act in.
#![allow(dead_code)] // Each test file uses a part.

mod ram;

use capability_model::cap::Cap;
use capability_model::invariants::{self, View};
use capability_model::invoke::WORDS;
use capability_model::layout::TABLES_SIZE;
use capability_model::lease::{About, Message};
use capability_model::mailbox::REQUEST_WORDS;
use capability_model::memory::{PAGE, Slot};
use capability_model::{Error, ErrorKind, Label, Outcome, Rights, Status, Store};
pub use ram::Ram;
use std::collections::BTreeMap;

/// A small world: one store, one domain that runs, a root CNode of 64 slots with a guard that uses up the other 58 bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub store: Store<Ram>,
    pub domain: u64,
    pub root: u64,
}

/// Slots of the root CNode that a new world fills.
pub const ROOT: u64 = 1;
pub const UNTYPED: u64 = 2;
pub const DOMAIN: u64 = 3;
pub const CORE: u64 = 4;
pub const IRQ: u64 = 5;
/// Where tests that need it install the Core capability of another core.
pub const OTHER_CORE: u64 = 6;
/// The first that is empty.
pub const FREE: u64 = 8;
pub const RADIX: u8 = 6;

/// Where core `core` has its tables; its memory is behind them.
pub const fn tables(core: u8) -> u64 {
    0x4000_0000 + core as u64 * 0x4_0000
}

pub const RETYPES: [(u64, u64); 10] =
    [(0, 1), (1, 2), (2, 0), (3, 0), (4, 0), (5, 0), (6, 3), (7, 0), (8, 0), (9, 0)];
pub const K_UNTYPED: u64 = 0;
pub const K_CNODE: u64 = 1;
pub const K_ENDPOINT: u64 = 2;
pub const K_NOTIFICATION: u64 = 3;
pub const K_REPLY: u64 = 4;
pub const K_FRAME: u64 = 5;
pub const K_TABLE: u64 = 6;
pub const K_SPACE: u64 = 7;
pub const K_DOMAIN: u64 = 8;
pub const K_GATE: u64 = 9;

pub type Answer = Result<Outcome, Error>;

impl World {
    pub fn new() -> World {
        World::with_pages(256)
    }

    /// With so many pages of Untyped.
    pub fn with_pages(pages: u64) -> World {
        World::on(0, pages, tables(0), TABLES_SIZE + (pages + 16) * PAGE)
    }

    /// On core `core` with `pages` of Untyped, in memory that can hold all.
    pub fn on(core: u8, pages: u64, ram_base: u64, ram_size: u64) -> World {
        let mut store = Store::new(Ram::new(ram_base, ram_size), core, tables(core));
        let root = tables(core) + TABLES_SIZE;
        let domain = root + 2 * PAGE;
        let cnode = Cap::CNode { at: root, radix: RADIX, guard: 0, guard_bits: 64 - RADIX };
        store.install(Slot(root).plus(ROOT), cnode);
        let untyped =
            Cap::Untyped { base: domain + 2 * PAGE, size: pages * PAGE, free: 0, clean: 0, device: false };
        store.install(Slot(root).plus(UNTYPED), untyped);
        store.install(Slot(root).plus(DOMAIN), Cap::Domain { at: domain });
        store.install(Slot(root).plus(CORE), Cap::Core { number: core });
        store.install(Slot(root).plus(IRQ), Cap::Irq { number: 42 });
        let mut world = World { store, domain, root };
        world.store.receive_leases_in(Slot(root).plus(ROOT));
        world.boot_domain(domain);
        world
    }

    /// The first domain gets its CSpace as the boot gives it.
    fn boot_domain(&mut self, at: u64) {
        self.store.configure_boot_domain(at, Slot(self.root).plus(ROOT));
    }

    pub fn untyped_base(&self) -> u64 {
        self.domain + 2 * PAGE
    }

    pub fn slot(&self, n: u64) -> Slot {
        Slot(self.root).plus(n)
    }

    pub fn cap(&self, n: u64) -> Cap {
        self.store.cap(self.slot(n))
    }

    pub fn roots(&self) -> Vec<Slot> {
        (0..64).map(|n| self.slot(n)).chain([Slot(self.domain + 128)]).collect()
    }

    pub fn invoke(&mut self, address: u64, label: Label, args: &[u64]) -> Answer {
        self.invoke_as(self.domain, address, label, args)
    }

    /// Once, by another domain.
    pub fn invoke_as(&mut self, caller: u64, address: u64, label: Label, args: &[u64]) -> Answer {
        let mut words = [0; WORDS];
        words[0] = address;
        words[1] = label as u64;
        words[2..2 + args.len()].copy_from_slice(args);
        self.store.invoke(caller, words)
    }

    /// Until it no longer says Again.
    pub fn run(&mut self, address: u64, label: Label, args: &[u64]) -> Answer {
        for _ in 0..100_000 {
            match self.invoke(address, label, args) {
                Ok(Outcome { status: Status::Again, .. }) => self.check(),
                answer => return answer,
            }
        }
        panic!("no end")
    }

    pub fn retype(&mut self, kind: u64, parameter: u64, slot: u64, count: u64) -> Answer {
        self.retype_from(UNTYPED, kind, parameter, slot, count)
    }

    pub fn retype_from(&mut self, from: u64, kind: u64, parameter: u64, slot: u64, count: u64) -> Answer {
        self.run(from, Label::Retype, &[kind, parameter, ROOT, 0, 0, slot, count])
    }

    /// Makes one and checks it.
    pub fn make(&mut self, kind: u64, parameter: u64, slot: u64) {
        assert_eq!(self.retype(kind, parameter, slot, 1), Ok(Status::Done.into()));
    }

    pub fn copy(&mut self, to: u64, from: u64, rights: Rights) -> Answer {
        self.invoke(ROOT, Label::Copy, &[to, 64, ROOT, from, 64, rights.word()])
    }

    pub fn mint(&mut self, to: u64, from: u64, rights: Rights, data: u64) -> Answer {
        self.invoke(ROOT, Label::Mint, &[to, 64, ROOT, from, 64, rights.word(), data])
    }

    pub fn move_to(&mut self, to: u64, from: u64) -> Answer {
        self.invoke(ROOT, Label::Move, &[to, 64, ROOT, from, 64])
    }

    pub fn mutate(&mut self, to: u64, from: u64, data: u64) -> Answer {
        self.invoke(ROOT, Label::Mutate, &[to, 64, ROOT, from, 64, data])
    }

    pub fn rotate(&mut self, to: u64, pivot: u64, from: u64) -> Answer {
        self.invoke(ROOT, Label::Rotate, &[to, 64, ROOT, pivot, 64, 0, ROOT, from, 64, 0])
    }

    pub fn delete(&mut self, n: u64) -> Answer {
        self.run(ROOT, Label::Delete, &[n, 64])
    }

    pub fn revoke(&mut self, n: u64) -> Answer {
        self.run(ROOT, Label::Revoke, &[n, 64])
    }

    /// A second domain that runs in the same CSpace, its capability in `slot`.
    pub fn domain_in(&mut self, slot: u64) -> u64 {
        self.make(K_DOMAIN, 0, slot);
        done(self.invoke(slot, Label::Configure, &[ROOT, 0, 0]));
        done(self.invoke(slot, Label::Resume, &[]));
        let Cap::Domain { at } = self.cap(slot) else { panic!("no domain") };
        at
    }

    pub fn check(&self) {
        if cfg!(miri) {
            // Miri is here for the crate's own code; the predicates take hours in it.
            return;
        }
        if let Err(broken) = invariants::check(&self.store, &self.roots()) {
            panic!("{broken}");
        }
    }

    pub fn view(&self) -> View<'_, Ram> {
        View::of(&self.store, &self.roots())
    }
}

/// Carries messages and does work until nothing is left.
pub fn settle(worlds: &mut [World]) {
    let n = worlds.len();
    loop {
        let mut moved = false;
        for from in 0..n {
            moved |= worlds[from].store.work();
            for to in (0..n).filter(|to| *to != from) {
                if let Some(message) = worlds[from].store.take_message(to as u8) {
                    worlds[to].store.receive_message(from as u8, message);
                    moved = true;
                }
            }
        }
        worlds.iter().for_each(World::check);
        if !moved {
            return;
        }
    }
}

/// So many stores of 24 pages, each able to reach all memory.
pub fn cores(n: u8) -> Vec<World> {
    (0..n).map(|core| World::on(core, 24, tables(0), 0x4_0000 * n as u64)).collect()
}

/// Took effect.
#[track_caller]
pub fn done(answer: Answer) {
    assert_eq!(answer.map(|o| o.status), Ok(Status::Done));
}

/// Failed so, with the fault in this argument.
#[track_caller]
pub fn fails(answer: Answer, kind: ErrorKind, argument: u8) {
    assert_eq!(answer, Err(kind.of(argument)));
}

/// A message that says these words.
pub fn tell(about: About, index: u8, generation: u64, said: &[u64]) -> Message {
    let mut words = [0; REQUEST_WORDS];
    words[..said.len()].copy_from_slice(said);
    Message { about, index, generation, words }
}

/// A small generator, so that a seed repeats a run.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    pub fn below(&mut self, n: u64) -> u64 {
        ((self.next() as u128 * n as u128) >> 64) as u64
    }
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Counts by name.
pub type Counts = BTreeMap<String, u64>;
