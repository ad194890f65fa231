//! Gates: what takes effect only when enough distinct seats say the same.
//!
//! A gate is made open; its seats are handed out; Seal moves the parent capabilities of a personality into it, for good. From then on
//! the only way to them is an [`act`] that at least `threshold` seats endorsed word for word, for the gate's current epoch
//! and sequence number. Acting uses the sequence number up, so an endorsement counts for one act and one moment. Threshold
//! and seats change by an act too, and that begins a new epoch.

use crate::cap::Cap;
use crate::error::{Error, ErrorKind, Status};
use crate::faults::Fault;
use crate::layout::{HEAD, HELD_MAX, SEATS_MAX, gate, import};
use crate::memory::{Memory, SLOT, Slot};
use crate::plan::{Endorse, Plan, Seal};
use crate::store::{Store, set_bit};
use crate::untyped::Kind;
use crate::words::{Head, kind};

/// What seats can endorse, five words from argument 3 of Endorse on: which, and the number among what was sealed.
mod act {
    /// Takes everything back that was derived from a held capability.
    pub const REVOKE: u64 = 1;
    /// Makes objects of held memory in a held CNode: kind, parameter, place.
    pub const RETYPE: u64 = 2;
    /// Makes a scheduling context of a held core in a held CNode: budget, period, place.
    pub const CARVE: u64 = 3;
    /// Changes who decides: threshold, seats.
    pub const CONFIGURE: u64 = 4;
    /// Begins a new epoch.
    pub const EPOCH: u64 = 5;
    /// Lends held memory to another core: peer, index, depth. What stays behind is held as the Lease that it becomes, so Revoke calls it back.
    pub const LEASE: u64 = 6;
    /// Has a held domain begin anew: image.
    pub const RESTART: u64 = 7;
}

/// Whether five words are an act, whatever the gate holds.
fn check_words([code, held, a, b, _]: [u64; 5]) -> Result<(), Error> {
    match code {
        act::REVOKE | act::RETYPE | act::CARVE | act::LEASE | act::RESTART if held >= HELD_MAX as u64 => {
            Err(ErrorKind::RangeError.of(4))
        }
        act::RETYPE => Kind::from_words(a, b, 5).map(|_| ()),
        act::CONFIGURE if a == 0 || a > b || b > SEATS_MAX as u64 => Err(ErrorKind::RangeError.of(5)),
        act::REVOKE | act::CARVE | act::CONFIGURE | act::EPOCH | act::LEASE | act::RESTART => Ok(()),
        _ => Err(ErrorKind::InvalidArgument.of(3)),
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
        for i in 0..count {
            let kind = self.head(first.plus(i)).kind();
            if !matches!(kind, kind::UNTYPED | kind::CORE | kind::LEASE | kind::CNODE | kind::DOMAIN) {
                return Err(ErrorKind::InvalidCapability.of(6));
            }
        }
        Ok(Plan::Seal(Seal { at, first, count, threshold, seats }))
    }

    pub(crate) fn seal(&mut self, seal: Seal) {
        let Seal { at, first, count, threshold, seats } = seal;
        for i in 0..count {
            self.transplant_whole(first.plus(i), held_slot(at, i as u8));
        }
        self.set_word(at, gate::SEALED, 1);
        self.set_word(at, gate::THRESHOLD, threshold);
        self.set_word(at, gate::SEATS, seats);
    }

    /// Endorse with a seat of a gate, or of one elsewhere (`at` is of no use then): epoch, sequence, act.
    pub(crate) fn decode_endorse(&self, seat: Head, at: u64, args: [u64; 7]) -> Result<Plan, Error> {
        let [epoch, sequence, act @ ..] = args;
        if seat.is(kind::SEAT) {
            return self.plan_endorse(at, seat.small(), epoch, sequence, act);
        }
        check_words(act)?;
        Ok(Plan::EndorseRemotely { peer: seat.small(), index: seat.more(), endorsement: args })
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
        check_words(act)?;
        let mut who = 1 << seat;
        for other in 0..self.word(at, gate::SEATS) as u8 {
            if self.endorses(at, other, epoch, sequence, act) {
                who |= 1u64 << other;
            }
        }
        let count = if self.seeded(Fault::GateCountsTwice) { who.count_ones() + 1 } else { who.count_ones() };
        let acts = count as u64 >= self.word(at, gate::THRESHOLD);
        if acts {
            self.plan_act(at, act)?;
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

    /// What an act comes to, of words that [`check_words`] has seen; or why it cannot be carried out now.
    fn plan_act(&self, at: u64, [code, held, a, b, place]: [u64; 5]) -> Result<Plan, Error> {
        let slot = held_slot(at, held as u8);
        let (into, offset, count) = (place as u8, place >> 8 & 0xff_ffff, place >> 32);
        Ok(match code {
            act::REVOKE if self.is_empty(slot) => return Err(ErrorKind::FailedLookup.of(4)),
            act::REVOKE => Plan::Revoke(slot),
            act::RETYPE => {
                let kind = Kind::from_words(a, b, 5)?;
                Plan::Retype(self.plan_retype(slot, kind, held_slot(at, into), offset, count)?)
            }
            act::CARVE => self.plan_carve(slot, a, b, self.held_empty(at, into, offset)?)?,
            act::CONFIGURE if b > self.word(at, gate::ISSUED).trailing_ones() as u64 => {
                return Err(ErrorKind::RangeError.of(6));
            }
            act::CONFIGURE => Plan::NewEpoch { at, threshold: a, seats: b },
            act::LEASE => {
                // What a gate holds and can lend moves, so that nothing has to be found a slot for.
                match self.head(slot).kind() {
                    kind::UNTYPED => {}
                    kind::NULL => return Err(ErrorKind::FailedLookup.of(4)),
                    _ => return Err(ErrorKind::InvalidCapability.of(4)),
                }
                let blame = |e: Error| e.kind().of(e.argument() + 4);
                Plan::Lend(self.plan_lease(slot, a, b, place).map_err(blame)?)
            }
            act::RESTART => {
                let domain = self.object(slot);
                if !self.head(slot).is(kind::DOMAIN) {
                    return Err(ErrorKind::InvalidCapability.of(4));
                }
                if !self.memory.can_restart(domain, a) {
                    return Err(ErrorKind::InvalidArgument.of(5));
                }
                Plan::Restart { at: domain, image: a }
            }
            _ => {
                let (threshold, seats) = (self.word(at, gate::THRESHOLD), self.word(at, gate::SEATS));
                Plan::NewEpoch { at, threshold, seats }
            }
        })
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
            self.set_words(record, 0, &[1, epoch, sequence]);
            self.set_words(record, 3, &act);
            return;
        };
        if !self.seeded(Fault::GateKeepsEndorsements) {
            self.clear_endorsements(at);
            self.set_word(at, gate::SEQUENCE, sequence + 1);
        }
        let threshold = self.word(at, gate::THRESHOLD);
        self.set_word(at, gate::WITNESS, who);
        self.set_word(at, gate::WITNESS_THRESHOLD, threshold);
        self.set_words(at, gate::ACT, &act);
        self.set_word(at, gate::EXECUTING, 1);
        self.enqueue(self.tables.gates(), at);
        self.gates_parked = false;
        // The act is decided; that it may take longer is not the endorser's business.
        self.gate_step(at);
    }

    fn clear_endorsements(&mut self, at: u64) {
        for seat in 0..SEATS_MAX {
            self.set_words(endorsed(at, seat), 0, &[0; 8]);
        }
    }

    pub(crate) fn endorse_remotely(&mut self, peer: u8, index: u8, endorsement: [u64; 7]) {
        let record = self.tables.import(peer, index) + import::ENDORSEMENT;
        self.set_words(record, 0, &endorsement);
        set_bit(&mut self.endorsements_due, peer, index, true);
    }

    /// A bounded part of a gate's act.
    fn gate_step(&mut self, at: u64) -> Status {
        let word = |i| self.word(at, gate::ACT + i);
        let act = [word(0), word(1), word(2), word(3), word(4)];
        let status = match &self.plan_act(at, act) {
            Ok(plan) => self.perform(at, plan),
            // It was possible when it was decided, and is no more.
            Err(_) => Status::Done,
        };
        // The act may have been the end of the gate itself.
        if status == Status::Done && self.word(at, gate::EXECUTING) != 0 {
            self.end_act(at);
        }
        status
    }

    /// Changes who decides; endorsements of before are worth nothing any more.
    pub(crate) fn new_epoch(&mut self, at: u64, threshold: u64, seats: u64) {
        self.set_word(at, gate::THRESHOLD, threshold);
        self.set_word(at, gate::SEATS, seats);
        self.set_word(at, gate::EPOCH, self.word(at, gate::EPOCH) + 1);
    }

    fn end_act(&mut self, at: u64) {
        self.dequeue(self.tables.gates(), at);
        self.set_word(at, gate::EXECUTING, 0);
    }

    /// The last capability of a gate goes: it acts no more.
    pub(crate) fn gate_stops(&mut self, at: u64) {
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
