//! Gates: what takes effect only when enough distinct seats say the same.
//!
//! A gate is made open; its seats are handed out; Seal moves the parent capabilities of a personality into it, for good. From then on
//! the only way to them is an [`Act`] that at least `threshold` seats endorsed word for word, for the gate's current epoch
//! and sequence number. Acting uses the sequence number up, so an endorsement counts for one act and one moment. Threshold
//! and seats change by an act too, and that begins a new epoch.

use crate::cap::Cap;
use crate::error::{Error, ErrorKind, Status};
use crate::faults::Fault;
use crate::layout::{HEAD, HELD_MAX, SEATS_MAX, gate, import};
use crate::memory::{Memory, SLOT, Slot};
use crate::plan::{Endorse, Lend, Plan, Seal};
use crate::store::{Store, set_bit};
use crate::untyped::Kind;

/// What seats can endorse. `held` numbers what was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // As the arguments of the invocations of the same name.
#[repr(u64)] // As `Cap`.
pub enum Act {
    /// Takes everything back that was derived from a held capability.
    Revoke { held: u8 },
    /// Makes objects of held memory in a held CNode.
    Retype { held: u8, kind: Kind, into: u8, offset: u64, count: u64 },
    /// Makes a scheduling context of a held core in a held CNode.
    Carve { held: u8, into: u8, offset: u64, budget_us: u64, period_us: u64 },
    /// Changes who decides.
    Configure { threshold: u8, seats: u8 },
    /// Begins a new epoch.
    Epoch,
    /// Lends held memory to another core. What stays behind is held as the Lease that it becomes, so Revoke calls it back.
    Lease { held: u8, peer: u64, to_index: u64, to_depth: u64 },
    /// Has a held domain begin anew.
    Restart { held: u8, image: u64 },
}

impl Act {
    /// From five words, which begin with argument 3 of Endorse.
    pub fn from_words([code, held, a, b, place]: [u64; 5]) -> Result<Act, Error> {
        if matches!(code, 1..=3 | 6 | 7) && held >= HELD_MAX as u64 {
            return Err(ErrorKind::RangeError.of(4));
        }
        let held = held as u8;
        let (into, offset, count) = (place as u8 % HELD_MAX, place >> 8 & 0xff_ffff, place >> 32);
        Ok(match code {
            1 => Act::Revoke { held },
            2 => Act::Retype { held, kind: Kind::from_words(a, b, 5)?, into, offset, count },
            3 => Act::Carve { held, into, offset, budget_us: a, period_us: b },
            4 if a >= 1 && a <= b && b <= SEATS_MAX as u64 => {
                Act::Configure { threshold: a as u8, seats: b as u8 }
            }
            4 => return Err(ErrorKind::RangeError.of(5)),
            5 => Act::Epoch,
            6 => Act::Lease { held, peer: a, to_index: b, to_depth: place },
            7 => Act::Restart { held, image: a },
            _ => return Err(ErrorKind::InvalidArgument.of(3)),
        })
    }
}

const fn held_slot(at: u64, held: u8) -> Slot {
    Slot(at + gate::HELD).plus((held % HELD_MAX) as u64)
}

const fn endorsed(at: u64, seat: u8) -> u64 {
    at + gate::ENDORSED + (seat % SEATS_MAX) as u64 * SLOT
}

impl<M: Memory> Store<M> {
    /// Seat: number; root, index, depth of a slot for it. Each number is given once, while the gate is open.
    pub(crate) fn decode_seat(
        &self,
        caller: u64,
        slot: Slot,
        at: u64,
        args: [u64; 4],
    ) -> Result<Plan, Error> {
        let [number, root, index, depth] = args;
        if self.word(at, gate::SEALED) != 0 {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        if number >= SEATS_MAX as u64 {
            return Err(ErrorKind::RangeError.of(1));
        }
        if self.word(at, gate::ISSUED) >> number & 1 != 0 {
            return Err(ErrorKind::IllegalOperation.of(1));
        }
        let root = self.lookup_full(caller, root, 2)?;
        let to = self.lookup_empty(root, index, depth, 3)?;
        Ok(Plan::IssueSeat { source: slot, slot: to, at, number: number as u8 })
    }

    pub(crate) fn issue_seat(&mut self, source: Slot, slot: Slot, at: u64, number: u8) {
        let issued = self.word(at, gate::ISSUED) | 1 << (number % SEATS_MAX);
        self.set_word(at, gate::ISSUED, issued);
        self.insert_leaf(source, slot, Cap::Seat { at, index: number });
    }

    /// Seal: threshold, seats; root, index, depth of a CNode (depth 0: the root itself), offset and count of the slots whose contents it takes.
    pub(crate) fn decode_seal(&self, caller: u64, at: u64, args: [u64; 7]) -> Result<Plan, Error> {
        let [threshold, seats, root, index, depth, offset, count] = args;
        if self.word(at, gate::SEALED) != 0 {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        if threshold == 0 || threshold > seats {
            return Err(ErrorKind::RangeError.of(1));
        }
        if seats > SEATS_MAX as u64 || self.word(at, gate::ISSUED).trailing_ones() < seats as u32 {
            return Err(ErrorKind::RangeError.of(2));
        }
        let mut cnode = self.lookup_full(caller, root, 3)?;
        if depth != 0 {
            cnode = self.lookup_slot(cnode, index, depth, 4)?;
        }
        let (first, slots) = self.slots_of(cnode).ok_or(ErrorKind::FailedLookup.of(4))?;
        if offset >= slots {
            return Err(ErrorKind::RangeError.of(6));
        }
        if count == 0 || count > HELD_MAX as u64 || count > slots - offset {
            return Err(ErrorKind::RangeError.of(7));
        }
        let first = first.plus(offset);
        let fits = |i| {
            matches!(
                self.cap(first.plus(i)),
                Cap::Untyped { .. }
                    | Cap::Core { .. }
                    | Cap::Lease { .. }
                    | Cap::CNode { .. }
                    | Cap::Domain { .. }
            )
        };
        if !(0..count).all(fits) {
            return Err(ErrorKind::InvalidCapability.of(6));
        }
        Ok(Plan::Seal(Seal { at, first, count, threshold, seats }))
    }

    pub(crate) fn seal(&mut self, seal: Seal) {
        let Seal { at, first, count, threshold, seats } = seal;
        for i in 0..count {
            self.transplant_whole(first.plus(i), held_slot(at, i as u8));
        }
        for (word, value) in [(gate::SEALED, 1), (gate::THRESHOLD, threshold), (gate::SEATS, seats)] {
            self.set_word(at, word, value);
        }
    }

    /// Endorse: epoch, sequence, act.
    pub(crate) fn decode_endorse(&self, cap: &Cap, args: [u64; 7]) -> Result<Plan, Error> {
        let [epoch, sequence, act @ ..] = args;
        match *cap {
            Cap::Seat { at, index } => self.plan_endorse(at, index, epoch, sequence, act),
            Cap::RemoteSeat { peer, index } => {
                Act::from_words(act)?;
                Ok(Plan::EndorseRemotely { peer, index, epoch, sequence, act })
            }
            _ => Err(ErrorKind::InvalidCapability.of(0)),
        }
    }

    /// The same for a seat that was found; endorsements by message come in here.
    pub(crate) fn plan_endorse(
        &self,
        at: u64,
        seat: u8,
        epoch: u64,
        sequence: u64,
        act: [u64; 5],
    ) -> Result<Plan, Error> {
        if self.word(at, gate::SEALED) == 0 || seat as u64 >= self.word(at, gate::SEATS) {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        if self.word(at, gate::EPOCH) != epoch && !self.seeded(Fault::GateAcceptsStaleEpoch) {
            return Err(ErrorKind::IllegalOperation.of(1));
        }
        if self.word(at, gate::SEQUENCE) != sequence {
            return Err(ErrorKind::IllegalOperation.of(2));
        }
        if self.word(at, gate::EXECUTING) != 0 {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        let decoded = Act::from_words(act)?;
        let mut who = 1 << seat;
        for other in 0..self.word(at, gate::SEATS) as u8 {
            if self.endorses(at, other, epoch, sequence, act) {
                who |= 1u64 << other;
            }
        }
        let count = if self.seeded(Fault::GateCountsTwice) { who.count_ones() + 1 } else { who.count_ones() };
        let acts = count as u64 >= self.word(at, gate::THRESHOLD);
        if acts {
            self.check_act(at, decoded)?;
        }
        Ok(Plan::Endorse(Endorse { at, seat, epoch, sequence, act, acts: acts.then_some(who) }))
    }

    /// Whether a seat endorsed exactly this.
    fn endorses(&self, at: u64, seat: u8, epoch: u64, sequence: u64, act: [u64; 5]) -> bool {
        let record = endorsed(at, seat);
        let same_act = (3..).zip(act).all(|(i, word)| self.word(record, i) == word);
        self.word(record, 0) != 0
            && (self.word(record, 1) == epoch || self.seeded(Fault::GateAcceptsStaleEpoch))
            && self.word(record, 2) == sequence
            && (same_act || self.seeded(Fault::GateMixesActs))
    }

    /// Whether an act can be carried out now.
    fn check_act(&self, at: u64, act: Act) -> Result<(), Error> {
        match act {
            Act::Revoke { held } => match self.cap(held_slot(at, held)) {
                Cap::Null => Err(ErrorKind::FailedLookup.of(4)),
                _ => Ok(()),
            },
            Act::Retype { held, kind, into, offset, count } => {
                self.plan_retype(held_slot(at, held), kind, held_slot(at, into), offset, count).map(|_| ())
            }
            Act::Carve { held, into, offset, budget_us, period_us } => {
                let slot = self.held_empty(at, into, offset)?;
                self.plan_carve(held_slot(at, held), budget_us, period_us, slot).map(|_| ())
            }
            Act::Configure { seats, .. } => {
                let issued = self.word(at, gate::ISSUED).trailing_ones() as u8;
                if seats > issued { Err(ErrorKind::RangeError.of(6)) } else { Ok(()) }
            }
            Act::Epoch => Ok(()),
            Act::Lease { held, peer, to_index, to_depth } => {
                self.plan_held_lease(at, held, peer, to_index, to_depth).map(|_| ())
            }
            Act::Restart { held, image } => match self.cap(held_slot(at, held)) {
                Cap::Domain { at } if self.memory.can_restart(at, image) => Ok(()),
                Cap::Domain { .. } => Err(ErrorKind::InvalidArgument.of(5)),
                _ => Err(ErrorKind::InvalidCapability.of(4)),
            },
        }
    }

    /// What a gate holds and can lend moves, so that nothing has to be found a slot for.
    fn plan_held_lease(
        &self,
        at: u64,
        held: u8,
        peer: u64,
        to_index: u64,
        to_depth: u64,
    ) -> Result<Lend, Error> {
        let slot = held_slot(at, held);
        match self.cap(slot) {
            Cap::Null => Err(ErrorKind::FailedLookup.of(4)),
            Cap::Untyped { .. } => {
                let blame =
                    |error: Error| error.kind.of(if error.argument == 0 { 4 } else { error.argument + 4 });
                self.plan_lease(slot, peer, to_index, to_depth, |_| Ok(slot)).map_err(blame)
            }
            _ => Err(ErrorKind::InvalidCapability.of(4)),
        }
    }

    fn held_empty(&self, at: u64, into: u8, offset: u64) -> Result<Slot, Error> {
        let (first, slots) = self.slots_of(held_slot(at, into)).ok_or(ErrorKind::FailedLookup.of(7))?;
        if offset >= slots {
            return Err(ErrorKind::RangeError.of(7));
        }
        let slot = first.plus(offset);
        if self.is_empty(slot) { Ok(slot) } else { Err(ErrorKind::DeleteFirst.of(7)) }
    }

    pub(crate) fn endorse(&mut self, plan: Endorse) {
        let Endorse { at, seat, epoch, sequence, act, acts } = plan;
        let Some(who) = acts else {
            let record = endorsed(at, seat);
            for (i, word) in (0..).zip([1, epoch, sequence]).chain((3..).zip(act)) {
                self.set_word(record, i, word);
            }
            return;
        };
        if !self.seeded(Fault::GateKeepsEndorsements) {
            self.clear_endorsements(at);
            self.set_word(at, gate::SEQUENCE, sequence + 1);
        }
        let threshold = self.word(at, gate::THRESHOLD);
        self.set_word(at, gate::WITNESS, who);
        self.set_word(at, gate::WITNESS_THRESHOLD, threshold);
        for (i, word) in (gate::ACT..).zip(act) {
            self.set_word(at, i, word);
        }
        self.set_word(at, gate::EXECUTING, 1);
        self.enqueue(self.tables.gates(), at);
        self.gates_parked = false;
        // The act is decided; that it may take longer is not the endorser's business.
        self.gate_step(at);
    }

    fn clear_endorsements(&mut self, at: u64) {
        for seat in 0..SEATS_MAX {
            let record = endorsed(at, seat);
            for i in 0..8 {
                self.set_word(record, i, 0);
            }
        }
    }

    pub(crate) fn endorse_remotely(&mut self, peer: u8, index: u8, endorsement: [u64; 7]) {
        let record = self.tables.import(peer, index) + import::ENDORSEMENT;
        for (i, word) in (0..).zip(endorsement) {
            self.set_word(record, i, word);
        }
        set_bit(&mut self.endorsements_due, peer, index, true);
    }

    /// A bounded part of a gate's act.
    fn gate_step(&mut self, at: u64) -> Status {
        let words = [0, 1, 2, 3, 4].map(|i| self.word(at, gate::ACT + i));
        let status = match Act::from_words(words) {
            Ok(Act::Revoke { held }) => self.revoke(held_slot(at, held)),
            Ok(Act::Retype { held, kind, into, offset, count }) => {
                match self.plan_retype(held_slot(at, held), kind, held_slot(at, into), offset, count) {
                    Ok(plan) => self.retype(&plan),
                    _ => Status::Done,
                }
            }
            Ok(Act::Carve { held, into, offset, budget_us, period_us }) => {
                if let Ok(slot) = self.held_empty(at, into, offset)
                    && self.plan_carve(held_slot(at, held), budget_us, period_us, slot).is_ok()
                {
                    self.carve(held_slot(at, held), slot, budget_us, period_us);
                }
                Status::Done
            }
            Ok(Act::Configure { threshold, seats }) => {
                self.set_word(at, gate::THRESHOLD, threshold as u64);
                self.set_word(at, gate::SEATS, seats as u64);
                self.new_epoch(at)
            }
            Ok(Act::Epoch) => self.new_epoch(at),
            Ok(Act::Lease { held, peer, to_index, to_depth }) => {
                if let Ok(plan) = self.plan_held_lease(at, held, peer, to_index, to_depth) {
                    self.lend(plan);
                }
                Status::Done
            }
            Ok(Act::Restart { held, image }) => {
                if let Cap::Domain { at } = self.cap(held_slot(at, held)) {
                    self.restart(at, image);
                }
                Status::Done
            }
            Err(_) => Status::Done,
        };
        // The act may have been the end of the gate itself.
        if status == Status::Done && self.word(at, gate::EXECUTING) != 0 {
            self.end_act(at);
        }
        status
    }

    fn new_epoch(&mut self, at: u64) -> Status {
        self.set_word(at, gate::EPOCH, self.word(at, gate::EPOCH) + 1);
        Status::Done
    }

    fn end_act(&mut self, at: u64) {
        self.dequeue(self.tables.gates(), at);
        self.set_word(at, gate::EXECUTING, 0);
    }

    /// The last capability of a gate goes: it acts no more.
    pub(crate) fn gate_stops(&mut self, cap: &Cap) {
        let (Cap::Gate { at } | Cap::Seat { at, .. }) = *cap else { return };
        if self.word(at, gate::EXECUTING) != 0 {
            self.end_act(at);
        }
    }

    /// A bounded part of the first gate's act. False if none can go on.
    pub(crate) fn gate_work(&mut self) -> bool {
        let queue = self.tables.gates();
        let at = self.word(queue, HEAD);
        if at == 0 || self.gates_parked {
            return false;
        }
        if self.gate_step(at) == Status::InProgress {
            // Another gate may be able to go on when something comes back.
            self.dequeue(queue, at);
            self.enqueue(queue, at);
            self.gates_parked = true;
        }
        true
    }

    /// Epoch << 32 | sequence, what an endorsement must name.
    pub(crate) fn inspect_gate(&self, at: u64) -> u64 {
        self.word(at, gate::EPOCH) << 32 | self.word(at, gate::SEQUENCE) & 0xffff_ffff
    }
}
