//! What a manager can try: each capability that it still has and each slot where one could be, with each label, then at random; by mail on the
//! personality's core and on that of one seat, and directly. It spares only what it needs to go on: its own CNode, domain, space and time.

use crate::agents::there;
use crate::random::Random;
use runtime::abi::capability::{label, root};
use runtime::capability::ask;
use runtime::say;

/// Attempts at random on each of the two other cores, and here.
const BY_MAIL: u64 = 5_000;
const HERE: u64 = 20_000;
const SLOTS: u64 = 1 << root::RADIX;
/// The personality's core, and that of the seat which will not be missed.
const CORES: [u64; 2] = [1, 4];

impl Random {
    /// Mostly what can mean something.
    fn word(&mut self) -> u64 {
        let n = self.next();
        match n % 8 {
            0 => n,
            1 => 64,
            2 => n >> 8 & 7,
            _ => n >> 8 & (SLOTS - 1),
        }
    }
}

/// Labels that say something to the capability at an address, and arguments that could fit.
const SAID: [(u64, &[u64]); 17] = [
    (label::SUSPEND, &[]),
    (label::CONFIGURE, &[root::CNODE, 0, 0]),
    (label::UNBIND, &[]),
    (label::UNMAP, &[]),
    (label::CONFIGURE, &[1, 1_000_000]),
    (label::CARVE, &[9_000, 10_000, root::CNODE, 400, 64]),
    (label::RETYPE, &[8, 0, root::CNODE, 0, 0, 401, 1]),
    (label::SERVE, &[0, root::DOMAINS + 1]),
    (label::SEAT, &[0, root::CNODE, 402, 64]),
    (label::SEAL, &[1, 1, root::CNODE, 0, 0, 96, 1]),
    (label::INSPECT, &[]),
    // The act that is two voices old, with what the gate wants to hear.
    (label::ENDORSE, &[1, 1, 1, 0, 0, 0, 0]),
    (label::ENDORSE, &[0, 0, 1, 0, 0, 0, 0]),
    (label::LEASE, &[3, 403, 64, root::CNODE, 404, 64]),
    (label::BIND, &[root::DOMAINS + 1]),
    (label::RESUME, &[]),
    (label::ACKNOWLEDGE, &[]),
];
/// Labels about the capability in a slot.
const ABOUT: [u64; 3] = [label::CANCEL_BADGED_SENDS, label::REVOKE, label::DELETE];

/// All that is not at random; how many took effect, of how many.
fn each(mut act: impl FnMut(u64, u64, &[u64]) -> bool) -> (u64, u64) {
    let (mut done, mut tried) = (0, 0);
    let mut attempt = |address, label, arguments: &[u64]| {
        tried += 1;
        done += u64::from(act(address, label, arguments));
    };
    for slot in 0..SLOTS {
        SAID.iter().for_each(|(label, arguments)| attempt(slot, *label, arguments));
        attempt(root::CNODE, label::COPY, &[405, 64, root::CNODE, slot, 64, 15]);
        attempt(root::CNODE, label::DELETE, &[405, 64]);
    }
    for label in ABOUT {
        (0..SLOTS).for_each(|slot| attempt(root::CNODE, label, &[slot, 64]));
    }
    (done, tried)
}

/// Whether an attempt would take the CNode away that all of them go through.
fn ends_all(label: u64, arguments: &[u64]) -> bool {
    let names = |i: usize| arguments.get(i).is_some_and(|word| word & (SLOTS - 1) == root::CNODE);
    match label {
        label::DELETE | label::REVOKE => names(0),
        label::MOVE | label::MUTATE => names(3),
        label::ROTATE => true,
        _ => false,
    }
}

fn by_mail(n: u64, random: &mut Random) {
    let core = root::OTHER_CORES + n;
    let act = |address, label, arguments: &[u64]| {
        !ends_all(label, arguments) && there(core, address, label, arguments).is_ok()
    };
    let (mut done, mut tried) = each(act);
    for _ in 0..BY_MAIL {
        let (address, label) = (random.word(), random.next() % 36);
        let arguments: [u64; 8] = core::array::from_fn(|_| random.word());
        tried += 1;
        done += u64::from(act(address, label, &arguments));
    }
    say!("hostile: {tried} attempts by mail on core {n}, {done} took effect");
}

/// Slots of its own that the manager needs, and a core's whole time.
fn spared(slot: u64) -> bool {
    let own = [root::CNODE, root::CORE, root::DOMAINS, root::SPACES, root::CONTEXTS];
    own.contains(&slot) || (root::OTHER_CORES..root::OTHER_CORES + 8).contains(&slot)
}

fn here(random: &mut Random) {
    let act = |address: u64, label: u64, arguments: &[u64]| {
        let waits = (label::SEND..=label::REPLY_RECV).contains(&label) || label == label::WAIT;
        let cnode = address == root::CNODE;
        let about = arguments.iter().any(|word| spared(word & (SLOTS - 1)));
        let harms =
            if cnode { about && label != label::COPY } else { spared(address) && label != label::INSPECT };
        !waits && !harms && ask(address, label, arguments).is_ok()
    };
    let (mut done, mut tried) = each(act);
    for _ in 0..HERE {
        let (address, label) = (random.word(), random.next() % 36);
        let arguments: [u64; 8] = core::array::from_fn(|_| random.word());
        tried += 1;
        done += u64::from(act(address, label, &arguments));
    }
    say!("hostile: {tried} attempts on core 0, {done} took effect");
}

/// Everything, with a look at the personality behind each part.
pub fn everything(look: &mut dyn FnMut()) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for n in CORES {
        by_mail(n, &mut random);
        look();
    }
    here(&mut random);
    look();
}
