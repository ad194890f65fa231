//! Leases: what one core's store lends another's. Capabilities never cross cores; memory moves, and something stays behind.
//!
//! ```text
//! lender   Untyped --Lease--> offered ----------------Revoke--> called back ---------------------------> Untyped
//!                                | Offer(g)                       | Revoke(g)                 ^ Returned(g)
//! borrower                       +--> in use (slot filled) -------+--> revoked --> scrubbed --+
//! ```
//! Memory that is offered and not yet in use, or called back and no longer in use, is nobody's. Each lease has a number that the
//! lender gives (one of [`LEASES_MAX`] per pair) and a generation that grows with each use of the number. Messages may be
//! late, doubled and overtake each other: the borrower keeps the highest generation that it saw; a call back that
//! overtakes its offer is answered at once, and the offer is then too old. What is to be sent is read off the state (a bit says
//! that something is due), so no queue can overflow and a full ring only means later.

use crate::cap::{Cap, Leased};
use crate::error::{Error, ErrorKind, Status};
use crate::faults::Fault;
use crate::layout::{CORES_MAX, LEASES_MAX, domain, export, import, served};
use crate::mailbox::REQUEST_WORDS;
use crate::memory::{Memory, PAGE, Slot};
use crate::plan::{Lend, Plan};
use crate::rights::Rights;
use crate::store::{Leases, SCRUBS_PER_ENTRY, Store, bit, of_peer, set_bit};
use crate::words::{self, kind};

const OFFERED: u64 = 1;
pub(crate) const CALLED_BACK: u64 = 2;

/// What a [`Message`] is about, and which words it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// From the lender: here is something, put it there. What, base, size, index, as the lease's record has them from `export::WHAT` on.
    Offer = 1,
    /// From the lender: give it back.
    Revoke,
    /// From the borrower: nothing is left of it here.
    Returned,
    /// From the borrower of a seat: epoch, sequence, act.
    Endorse,
    /// From the holder of this core: carry this out. See [`crate::mailbox`].
    Request,
    /// How it ended, two words.
    Answer,
}

impl About {
    /// What has this number.
    pub fn from_number(number: u8) -> Option<About> {
        use About::*;
        [Offer, Revoke, Returned, Endorse, Request, Answer].into_iter().find(|about| *about as u8 == number)
    }
}

/// What instances of the microkernel tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// What it is about.
    pub about: About,
    /// Number of the lease between the two; 0 for a request and its answer.
    pub index: u8,
    /// Generation of the lease, or number of the request.
    pub generation: u64,
    /// What else it says; zeros behind it.
    pub words: [u64; REQUEST_WORDS],
}

impl<M: Memory> Store<M> {
    /// Lease: peer; index and depth in the peer's root; and for what stays here, root, index and depth of a slot for the Lease.
    pub(crate) fn decode_lease(&self, caller: u64, source: Slot, args: [u64; 6]) -> Result<Plan, Error> {
        let [peer, to_index, to_depth, root, index, depth] = args;
        let mut lend = self.plan_lease(source, peer, to_index, to_depth)?;
        if !lend.what.moves() {
            let root = self.lookup_full(caller, root, 4)?;
            lend.slot = self.lookup_empty(root, index, depth, 5)?;
        }
        Ok(Plan::Lend(lend))
    }

    /// The same for what moves, in whose slot the Lease will be; gates come in here.
    pub(crate) fn plan_lease(
        &self,
        source: Slot,
        peer: u64,
        to_index: u64,
        to_depth: u64,
    ) -> Result<Lend, Error> {
        if peer >= CORES_MAX as u64 || peer == self.core as u64 {
            return Err(ErrorKind::InvalidArgument.of(1));
        }
        if to_depth == 0 || to_depth > 64 {
            return Err(ErrorKind::RangeError.of(3));
        }
        let (head, base, data) = (self.head(source), self.object(source), self.word(source.0, words::DATA));
        let bytes = head.bytes(data).unwrap_or(0);
        let (what, size) = match head.kind() {
            kind::UNTYPED if self.has_children(source) => return Err(ErrorKind::RevokeFirst.of(0)),
            kind::UNTYPED if head.is_device() => (Leased::Device, bytes),
            kind::UNTYPED => (Leased::Memory, bytes),
            kind::FRAME if head.is_device() || !head.rights().has(Rights::READ) => {
                return Err(ErrorKind::IllegalOperation.of(0));
            }
            kind::FRAME if bytes == PAGE => (Leased::Page, bytes),
            kind::FRAME => (Leased::Block, bytes),
            kind::SEAT => (Leased::Seat, bytes),
            // Of one's own core time is carved, and nobody else does that.
            kind::CORE if head.small() == self.core || head.small() as u64 == peer => {
                return Err(ErrorKind::IllegalOperation.of(0));
            }
            kind::CORE => (Leased::Core, 0),
            _ => return Err(ErrorKind::InvalidCapability.of(0)),
        };
        let seat = if what == Leased::Seat { head.small() } else { 0 };
        let number = of_peer(self.exported, peer as u8).trailing_ones() as u8;
        if number >= LEASES_MAX {
            return Err(ErrorKind::NotEnoughMemory.of(1));
        }
        let (peer, to_depth) = (peer as u8, to_depth as u8);
        Ok(Lend { source, slot: source, peer, number, what, seat, base, size, to_index, to_depth })
    }

    pub(crate) fn lend(&mut self, lend: Lend) {
        let Lend { source, slot, peer, number, what, seat, base, size, to_index, to_depth } = lend;
        let record = self.tables.export(peer, number);
        let generation = self.word(record, export::GENERATION) + 1;
        let packed = what.word() | (seat as u64) << 8 | (to_depth as u64) << 16;
        let words = [OFFERED, generation, slot.0, packed, base, size, to_index, 0];
        self.set_words(record, 0, &words);
        set_bit(&mut self.exported, peer, number, true);
        set_bit(&mut self.exports_due, peer, number, true);
        let lease = Cap::Lease { peer, index: number, what, base, size };
        if !what.moves() {
            self.insert_leaf(source, slot, lease);
        } else if !self.seeded(Fault::LeaseKeepsSource) {
            self.set_cap(slot, lease);
        }
    }

    pub(crate) fn lease_moved(&mut self, peer: u8, index: u8, slot: Slot) {
        self.set_word(self.tables.export(peer, index), export::SLOT, slot.0);
    }

    /// Asks for a lease to come back; once is enough.
    pub(crate) fn call_back(&mut self, peer: u8, index: u8) {
        let record = self.tables.export(peer, index);
        if self.word(record, export::PHASE) == OFFERED {
            self.set_word(record, export::PHASE, CALLED_BACK);
            set_bit(&mut self.exports_due, peer, index, true);
        }
    }

    /// A Lease capability is deleted: it is called back, and until then stays in the tree, so that what it
    /// was divided from cannot be given out.
    pub(crate) fn orphan_lease(&mut self, slot: Slot, peer: u8, index: u8) {
        let record = self.tables.export(peer, index);
        self.transplant_whole(slot, Slot(record + export::ORPHAN_SLOT));
        self.set_word(record, export::ORPHAN, 1);
        self.call_back(peer, index);
    }

    /// Whether anything is to be sent to anybody.
    pub fn has_messages(&self) -> bool {
        let due = self.exports_due | self.endorsements_due | self.imports_due;
        due != 0 || self.requests_due | self.answers_due != 0
    }

    /// What is to be sent to a peer, oldest need first within a kind; None if nothing. Taking it is sending it.
    pub fn take_message(&mut self, peer: u8) -> Option<Message> {
        if let Some(index) = take_first(&mut self.exports_due, peer) {
            let record = self.tables.export(peer, index);
            let generation = self.word(record, export::GENERATION);
            return Some(match self.word(record, export::PHASE) {
                CALLED_BACK => self.message(About::Revoke, index, generation, record, 0),
                _ => self.message(About::Offer, index, generation, record + export::WHAT * 8, 4),
            });
        }
        let (about, index, words) = if let Some(index) = take_first(&mut self.endorsements_due, peer) {
            (About::Endorse, index, 7)
        } else if let Some(index) = take_first(&mut self.imports_due, peer) {
            (About::Returned, index, 0)
        } else {
            return self.take_mail(peer);
        };
        let record = self.tables.import(peer, index);
        let generation = self.word(record, import::GENERATION);
        Some(self.message(about, index, generation, record + import::ENDORSEMENT, words))
    }

    /// A message with so many words from `at` on.
    #[inline(never)]
    pub(crate) fn message(&self, about: About, index: u8, generation: u64, at: u64, count: usize) -> Message {
        let mut words = [0; REQUEST_WORDS];
        for (i, word) in (0..).zip(words.iter_mut().take(count)) {
            *word = self.word(at, i);
        }
        Message { about, index, generation, words }
    }

    /// A message from `peer`'s instance came. O(1); long work is left to [`Store::work`].
    pub fn receive_message(&mut self, peer: u8, message: Message) {
        let Message { about, index, generation, words } = message;
        let of_lease = !matches!(about, About::Request | About::Answer);
        if peer >= CORES_MAX || peer == self.core || of_lease && index >= LEASES_MAX {
            return;
        }
        let [a, b, ..] = words;
        match about {
            About::Offer => self.take_offer(peer, index, generation, words),
            About::Revoke => self.take_revoke(peer, index, generation),
            About::Returned => self.take_return(peer, index, generation),
            About::Endorse => self.take_endorsement(peer, index, generation, words),
            About::Request => self.take_request(peer, generation, &words),
            About::Answer => self.take_answer(peer, generation, [a, b]),
        }
    }

    fn take_endorsement(&mut self, peer: u8, index: u8, generation: u64, words: [u64; REQUEST_WORDS]) {
        let [epoch, sequence, a, b, c, d, e, ..] = words;
        let record = self.tables.export(peer, index);
        let packed = self.word(record, export::WHAT);
        let current = self.word(record, export::PHASE) == OFFERED
            && self.word(record, export::GENERATION) == generation
            && Leased::from_word(packed & 0xff) == Leased::Seat;
        let gate = self.word(record, export::BASE);
        if current
            && let Ok(Plan::Endorse(plan)) =
                self.plan_endorse(gate, (packed >> 8) as u8, epoch, sequence, [a, b, c, d, e])
        {
            // Its work goes on in `work`.
            self.endorse(plan);
        }
    }

    fn take_offer(&mut self, peer: u8, index: u8, generation: u64, words: [u64; REQUEST_WORDS]) {
        let [packed, base, size, to_index, ..] = words;
        let (what, to_depth) = (Leased::from_word(packed & 0xff), packed >> 16 & 0xff);
        let record = self.tables.import(peer, index);
        let seen = self.word(record, import::GENERATION);
        let free = self.word(record, import::PHASE) == 0;
        if !free || generation <= seen && !self.seeded(Fault::LeaseAcceptsStale) {
            return;
        }
        self.set_word(record, import::GENERATION, generation);
        // A new offer says that the lender knows of the last return: one still due would now speak of this offer.
        set_bit(&mut self.imports_due, peer, index, false);
        // Who acts here for the lender says by its CSpace where that lender may put things.
        let agent = self.word(self.tables.served(peer), served::AGENT);
        let root = if agent == 0 { Slot(self.tables.root()) } else { Slot(agent + domain::CSPACE) };
        let Ok(slot) = self.lookup_empty(root, to_index, to_depth, 1) else {
            // Refused: it goes back as if it had been here.
            set_bit(&mut self.imports_due, peer, index, true);
            return;
        };
        let rights = Rights::READ;
        let rights = if self.seeded(Fault::ShareWritable) { rights.or(Rights::WRITE) } else { rights };
        let cap = what.borrowed(peer, index, base, size, rights);
        let words = [1, generation, 0, base, size, what.word()];
        self.set_words(record, 0, &words);
        let own = Slot(record + import::SLOT);
        self.install_words(own, cap);
        self.insert(own, slot, self.altered(own));
    }

    fn take_revoke(&mut self, peer: u8, index: u8, generation: u64) {
        let record = self.tables.import(peer, index);
        let seen = self.word(record, import::GENERATION);
        if generation < seen {
            return;
        }
        let here = generation == seen && self.word(record, import::PHASE) != 0;
        if !here {
            // Not yet come, or gone already.
            if !self.seeded(Fault::LeaseForgetsTombstone) {
                self.set_word(record, import::GENERATION, generation);
            }
            set_bit(&mut self.imports_due, peer, index, true);
        } else if self.word(record, import::PHASE) == 1 {
            self.set_word(record, import::PHASE, 2);
            set_bit(&mut self.endorsements_due, peer, index, false);
            set_bit(&mut self.imports_busy, peer, index, true);
            if self.seeded(Fault::LeaseReturnsBeforeRevoke) {
                set_bit(&mut self.imports_due, peer, index, true);
            }
        }
    }

    /// A bounded part of giving back. False if no import can go on.
    pub(crate) fn import_work(&mut self) -> bool {
        if self.imports_busy == 0 {
            return false;
        }
        let place = self.imports_busy.trailing_zeros() as u8;
        let (peer, index) = (place / LEASES_MAX, place % LEASES_MAX);
        let record = self.tables.import(peer, index);
        if self.word(record, import::PHASE) == 2 {
            let slot = Slot(record + import::SLOT);
            let what = Leased::from_word(self.word(record, import::WHAT));
            let core = self.word(record, import::BASE) as u8;
            match self.revoke(slot) {
                Status::Done if what != Leased::Core || self.forget_answers(core) => {}
                // Other cores have to give back what was lent on, or still carry out what was asked of them.
                Status::Done | Status::InProgress => {
                    set_bit(&mut self.imports_busy, peer, index, false);
                    set_bit(&mut self.imports_waiting, peer, index, true);
                    return true;
                }
                _ => return true,
            }
            self.unlink(slot);
            self.set_word(record, import::PHASE, 3);
            if what == Leased::Memory && !self.seeded(Fault::LeaseReturnsUnscrubbed) {
                return true;
            }
            self.set_word(record, import::CURSOR, self.word(record, import::SIZE));
        }
        let (base, size) = (self.word(record, import::BASE), self.word(record, import::SIZE));
        let mut cursor = self.word(record, import::CURSOR);
        for _ in 0..SCRUBS_PER_ENTRY {
            if cursor >= size {
                break;
            }
            self.memory.scrub(base + cursor);
            cursor += PAGE;
        }
        self.set_word(record, import::CURSOR, cursor);
        if cursor >= size {
            self.set_word(record, import::PHASE, 0);
            self.set_words(record, import::CURSOR, &[0; 4]);
            set_bit(&mut self.imports_busy, peer, index, false);
            set_bit(&mut self.imports_due, peer, index, true);
        }
        true
    }

    fn take_return(&mut self, peer: u8, index: u8, generation: u64) {
        let record = self.tables.export(peer, index);
        let current = self.word(record, export::GENERATION) == generation && bit(self.exported, peer, index);
        if !current {
            return;
        }
        self.give_back(record, Slot(self.word(record, export::SLOT)));
        set_bit(&mut self.exported, peer, index, false);
        set_bit(&mut self.exports_due, peer, index, false);
        self.set_word(record, export::PHASE, 0);
        self.set_words(record, export::SLOT, &[0; 6]);
        let notification = Slot(record + export::NOTIFICATION);
        if self.signal_kept(notification) {
            self.empty_slot(notification);
        }
        self.wake_imports();
        self.gates_parked = false;
    }

    /// What waited for another core may be able to go back now.
    pub(crate) fn wake_imports(&mut self) {
        self.imports_busy |= core::mem::take(&mut self.imports_waiting);
    }

    /// The Lease becomes what it was made of, or goes if that stayed here.
    fn give_back(&mut self, record: u64, slot: Slot) {
        if !self.head(slot).is(kind::LEASE) {
            return;
        }
        let (base, size) = (self.object(slot), self.word(slot.0, words::DATA));
        match Leased::from_word(self.word(slot.0, words::LENT)) {
            what @ (Leased::Memory | Leased::Device) => {
                let device = what == Leased::Device;
                self.set_cap(slot, Cap::Untyped { base, size, free: 0, clean: 0, device });
                if self.word(record, export::ORPHAN) != 0 {
                    self.empty_slot(slot);
                }
            }
            Leased::Page | Leased::Block | Leased::Core => self.unlink(slot),
            Leased::Seat => {
                // It may have been the gate's last.
                self.set_cap(slot, Cap::Seat { at: base, index: 0 });
                self.empty_slot(slot);
            }
        }
    }
}

/// Takes the first of a peer's bits.
#[inline(never)]
fn take_first(set: &mut Leases, peer: u8) -> Option<u8> {
    let index = of_peer(*set, peer).trailing_zeros() as u8;
    set_bit(set, peer, index, false);
    (index < LEASES_MAX).then_some(index)
}
