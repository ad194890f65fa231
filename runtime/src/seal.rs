//! What the root task does when all runs: it gives up what it has, for good.
//!
//! Each kernel, each replica and the root task itself go into a gate of their own, on their core, which needs f + 1 of the replicas' seats to
//! have them begin anew; the last gate of a core takes whatever else there is on it: time, spaces, memory, what gates and seats are made of, the
//! leases by which they were handed out. Afterwards nobody holds more than seats, and the replicas those.
//!
//! ```text
//! core c   gate of k, gate of r:  seats 0 to 3 -- lent --> the replicas' CSpaces, on their cores
//!          the last one of them:  the core's time, a CNode with all the rest (what the partitions' memory became, too), the memory of both
//! ```

use crate::partition::{KEPT as BUILT, TABLES};
use crate::root::{BuildError, NOT_THERE, core_of, done, pause, there};
use abi::bootinfo::BootInfo;
use abi::capability::{kind, label, root, seats};
use abi::log::VOUCHERS;

/// Pages for the gates, CSpaces and CNodes of one core.
const PAGES: u64 = 16;
/// Bits of the CNode with what is left of a core, which has room for a whole CSpace of a root task.
const KEPT_RADIX: u64 = root::RADIX;
/// Slots, on each core the same: Leases of seats; a CNode a replica; what is under way; from `HELD` on what a gate takes.
const LEASES: u64 = root::FREE + 32;
const CNODES: u64 = root::FREE + 96;
const GATE: u64 = root::FREE + 112;
const SEAT: u64 = root::FREE + 113;
const ARRIVED: u64 = root::FREE + 114;
const WHOLE: u64 = root::FREE + 115;
const HELD: u64 = root::FREE + 116;
const KEPT: u64 = HELD + 2;
const MEMORY: u64 = HELD + 3;
/// Plus a core: what is lent to it.
const LENT: u64 = root::FREE + 120;
/// Tries until something that another core sent must be there.
const TRIES: u32 = 1000;

const _: () = assert!(LENT + 8 <= root::IRQS && KEPT < MEMORY);

struct Sealing<'a> {
    boot: &'a BootInfo,
    here: u64,
    /// Domains, in the order of their seats.
    replicas: &'a [u32],
}

impl Sealing<'_> {
    /// An invocation on core `core`.
    fn at(&self, core: u64, address: u64, label: u64, arguments: &[u64]) -> Result<(), BuildError> {
        if core == self.here {
            done(address, label, arguments).map(|_| ())
        } else {
            there(self.boot, core, address, label, arguments)
        }
    }

    /// The same with what may still be on its way from another core.
    fn arrives(&self, core: u64, address: u64, label: u64, arguments: &[u64]) -> Result<(), BuildError> {
        for _ in 0..TRIES {
            match self.at(core, address, label, arguments) {
                Err(BuildError::Refused(.., NOT_THERE)) => {
                    pause(self.boot, 10_000);
                }
                answer => return answer,
            }
        }
        self.at(core, address, label, arguments)
    }

    fn core(&self, domain: u32) -> u64 {
        core_of(self.boot, domain.into())
    }

    fn retype(&self, core: u64, kind: u64, parameter: u64, slot: u64) -> Result<(), BuildError> {
        self.arrives(core, MEMORY, label::RETYPE, &[kind, parameter, root::CNODE, 0, 0, slot, 1])
    }

    fn delete(&self, core: u64, slot: u64) -> Result<(), BuildError> {
        self.at(core, root::CNODE, label::DELETE, &[slot, 64])
    }

    fn shift(&self, core: u64, to: u64, from: u64) -> Result<(), BuildError> {
        self.at(core, root::CNODE, label::MOVE, &[to, 64, root::CNODE, from, 64])
    }

    /// Memory for core `core`, of piece `free`; there a CNode for what will be left, and the CSpaces of the replicas.
    fn prepare(&self, core: u64, free: u64) -> Result<(), BuildError> {
        let lent = LENT + core;
        done(free, label::RETYPE, &[kind::UNTYPED, PAGES, root::CNODE, 0, 0, lent, 1])?;
        if core == self.here {
            self.shift(core, MEMORY, lent)?;
        } else {
            done(lent, label::LEASE, &[core, MEMORY, 64])?;
        }
        self.retype(core, kind::CNODE, KEPT_RADIX, KEPT)?;
        for (place, &replica) in (0..).zip(self.replicas).filter(|(_, r)| self.core(**r) == core) {
            let (plain, guard) = (CNODES + place, (64 - seats::RADIX) << 58);
            self.retype(core, kind::CNODE, seats::RADIX, plain)?;
            self.at(core, root::CNODE, label::MINT, &[WHOLE, 64, root::CNODE, plain, 64, 15, guard])?;
            self.at(core, root::DOMAINS + u64::from(replica), label::CONFIGURE, &[WHOLE, 0, 0])?;
            self.delete(core, WHOLE)?;
        }
        Ok(())
    }

    /// A gate for `domain` on its core, the `nth` there, and its seats to the replicas.
    fn gate(&self, domain: u32, nth: u64) -> Result<(), BuildError> {
        let core = self.core(domain);
        self.retype(core, kind::GATE, 0, GATE)?;
        for (place, &replica) in (0..).zip(self.replicas) {
            self.at(core, GATE, label::SEAT, &[place, root::CNODE, SEAT, 64])?;
            let (to, from) = (self.core(replica), if self.core(replica) == core { SEAT } else { ARRIVED });
            if to != core {
                let lease = LEASES + nth * self.replicas.len() as u64 + place;
                self.at(core, SEAT, label::LEASE, &[to, ARRIVED, 64, root::CNODE, lease, 64])?;
                self.delete(core, SEAT)?;
            }
            let slot = seats::slot(domain);
            let words = [slot, seats::RADIX, root::CNODE, from, 64];
            self.arrives(to, CNODES + place, label::MOVE, &words)?;
        }
        Ok(())
    }

    /// The gate takes `count` capabilities from `first` on.
    fn seal(&self, core: u64, first: u64, count: u64) -> Result<(), BuildError> {
        let seats = self.replicas.len() as u64;
        let threshold = (VOUCHERS as u64).min(seats);
        self.at(core, GATE, label::SEAL, &[threshold, seats, root::CNODE, 0, 0, first, count])?;
        self.delete(core, GATE)
    }

    /// Everything of core `core` but what the last gate takes by itself goes into the CNode for it.
    fn keep(&self, core: u64) -> Result<(), BuildError> {
        // Of an agent's CSpace it is known what there is: what EL2 gave it, and what was made here.
        let of_the_core = |slot: u64| core_of(self.boot, (slot - root::DOMAINS) % 16) == core;
        let known = |slot: u64| match slot {
            root::DOMAINS..root::UNTYPED | root::MEMORY..root::FREE | BUILT..TABLES => of_the_core(slot),
            root::AGENT | TABLES => true,
            _ => (LEASES..LEASES + 32).contains(&slot),
        };
        let rest = (root::AGENT..1 << root::RADIX).filter(|slot| core == self.here || known(*slot));
        for slot in rest.filter(|slot| !(HELD..=MEMORY).contains(slot) && *slot != GATE) {
            match self.at(core, KEPT, label::MOVE, &[slot, KEPT_RADIX, root::CNODE, slot, 64]) {
                Ok(()) | Err(BuildError::Refused(.., NOT_THERE)) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The gates of core `core`, with their seats where they belong. All but the last are sealed, which stays in its slot.
    fn gates(&self, core: u64, gated: impl Iterator<Item = u32>) -> Result<(), BuildError> {
        let mut gated = (0..).zip(gated).peekable();
        while let Some((nth, domain)) = gated.next() {
            self.gate(domain, nth)?;
            if gated.peek().is_some() {
                self.seal(core, root::DOMAINS + u64::from(domain), 1)?;
            }
        }
        Ok(())
    }

    /// The last gate of core `core`, that of `domain`, takes the rest. From then on nothing can be done there.
    fn rest(&self, core: u64, domain: u32) -> Result<(), BuildError> {
        for place in (0..).zip(self.replicas).filter(|(_, r)| self.core(**r) == core).map(|(n, _)| n) {
            self.delete(core, CNODES + place)?;
        }
        self.shift(core, HELD, root::DOMAINS + u64::from(domain))?;
        self.shift(core, HELD + 1, root::CORE)?;
        self.keep(core)?;
        self.seal(core, HELD, 4)
    }
}

/// Seals the domains in `gated`, a bit each; the replicas decide about them. On an error the domain that it is about. `boot` is the root task's.
pub fn seal(boot: &BootInfo, gated: u64, replicas: &[u32]) -> Result<(), BuildError> {
    let here = core_of(boot, boot.domain.into());
    let sealing = Sealing { boot, here, replicas };
    let gated_on =
        |core| (0..boot.domains).filter(move |d| gated >> d & 1 == 1 && core_of(boot, u64::from(*d)) == core);
    // The other cores first: their capabilities, through which this one acts there, go with the rest of this one.
    let cores =
        || (0..8).filter(|&core| core != here).chain([here]).filter(|&core| gated_on(core).next().is_some());
    let largest = (root::UNTYPED..).zip(&boot.untyped).max_by_key(|(_, m)| m.size);
    let (free, _) = largest.ok_or(BuildError::NoMemory)?;
    cores().try_for_each(|core| sealing.prepare(core, free))?;
    // Seats go from every core to every other, so no core is closed before the last of them has arrived.
    cores().try_for_each(|core| sealing.gates(core, gated_on(core)))?;
    for core in cores() {
        if let Some(last) = gated_on(core).next_back() {
            sealing.rest(core, last)?;
        }
    }
    // Its CSpace is empty but for itself.
    sealing.delete(here, root::CNODE)
}
