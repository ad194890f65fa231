//! Where the words of each object lie. Offsets are in words unless they say slot or size.
//!
//! Zero is a valid new object of every kind: Retype scrubs, and then only has to write capabilities. An object that can
//! take long to destroy has a slot of its own, its *grave*, where its last capability is kept while it is taken apart.

use crate::memory::SLOT;

/// What is queued (domains, gates) has its links at the same words.
pub(crate) const PREVIOUS: u64 = 1;
pub(crate) const NEXT: u64 = 2;

/// A queue: head and tail at the words of the same name.
pub(crate) const HEAD: u64 = 3;
pub(crate) const TAIL: u64 = 4;

pub(crate) mod endpoint {
    /// 0 nobody, 1 senders, 2 receivers wait.
    pub const STATE: u64 = 0;
    /// A cancellation is under way for this badge...
    pub const CANCELLING: u64 = 1;
    pub const CANCEL_BADGE: u64 = 2;
    /// ...the next sender to look at, and the last one.
    pub const CANCEL_NEXT: u64 = 5;
    pub const CANCEL_LAST: u64 = 6;
}

pub(crate) mod notification {
    /// Whether the word was signalled since it was last taken.
    pub const ACTIVE: u64 = 0;
    pub const WORD: u64 = 1;
    /// The domain that gets signals while it waits for messages.
    pub const BOUND: u64 = 2;
}

pub(crate) mod domain {
    pub const STATE: u64 = 0;
    /// The endpoint, notification or reply it waits at.
    pub const AT: u64 = 3;
    /// Of a waiting sender.
    pub const BADGE: u64 = 4;
    pub const MANNER: u64 = 5;
    /// Of a waiting receiver: where its callers shall wait.
    pub const REPLY: u64 = 6;
    pub const NOTIFICATION: u64 = 7;
    /// The slot of its scheduling context.
    pub const CONTEXT: u64 = 8;
    /// How the last wait ended.
    pub const RESULT: u64 = 9;
    pub const RESULT_BADGE: u64 = 10;
    /// Whether a capability came along.
    pub const RESULT_CAP: u64 = 11;
    /// The capability that a waiting sender wants to pass, 0 for none.
    pub const SENDS: u64 = 12;
    /// Where a waiting receiver wants a capability, depth 0 for nowhere.
    pub const RECEIVE_INDEX: u64 = 13;
    pub const RECEIVE_DEPTH: u64 = 14;

    /// Slots, bytes from the domain's start.
    pub const CSPACE: u64 = 128;
    pub const SPACE: u64 = 192;
    pub const FAULT: u64 = 256;
}

pub(crate) mod reply {
    /// The domain that waits for the answer.
    pub const CALLER: u64 = 0;
    /// The domain that waits for a call with this reply in hand.
    pub const RECEIVER: u64 = 1;
}

pub(crate) mod gate {
    pub const SEALED: u64 = 0;
    pub const SEATS: u64 = 3;
    pub const THRESHOLD: u64 = 4;
    pub const EPOCH: u64 = 5;
    pub const SEQUENCE: u64 = 6;
    /// One bit for each seat that was handed out.
    pub const ISSUED: u64 = 7;
    /// 1 while the act below is being carried out.
    pub const EXECUTING: u64 = 8;
    /// The seats that endorsed the last act, and the threshold then: the evidence.
    pub const WITNESS: u64 = 9;
    pub const WITNESS_THRESHOLD: u64 = 10;
    /// The last act, five words.
    pub const ACT: u64 = 11;

    /// Slots of what was sealed, bytes from the start.
    pub const HELD: u64 = 192;
    /// What each seat endorsed: present, epoch, sequence, five words of act.
    pub const ENDORSED: u64 = 704;
}

/// A lease, at the lender: generation as at the borrower.
pub(crate) mod export {
    /// 0 free, 1 offered, 2 called back.
    pub const PHASE: u64 = 0;
    pub const GENERATION: u64 = 1;
    /// Where the Lease capability is.
    pub const SLOT: u64 = 2;
    /// What is lent, the number of a seat << 8, the depth of the destination << 16.
    pub const WHAT: u64 = 3;
    pub const BASE: u64 = 4;
    // Then its size, and the index of the destination at the borrower.
    /// Whether the Lease capability was deleted: then nothing is given back to a holder.
    pub const ORPHAN: u64 = 7;

    /// Slots, bytes from the record.
    pub const ORPHAN_SLOT: u64 = 64;
    pub const NOTIFICATION: u64 = 128;
}

/// A lease, at the borrower.
pub(crate) mod import {
    /// 0 nothing is here, 1 in use, 2 being revoked, 3 being scrubbed.
    pub const PHASE: u64 = 0;
    /// The highest that was seen: what is at or below it and not here was given back.
    pub const GENERATION: u64 = 1;
    pub const CURSOR: u64 = 2;
    pub const BASE: u64 = 3;
    pub const SIZE: u64 = 4;
    pub const WHAT: u64 = 5;

    /// The slot of what was lent, and the endorsement to be sent (epoch, sequence, five words), bytes from the record.
    pub const SLOT: u64 = 64;
    pub const ENDORSEMENT: u64 = 128;
}

/// A request to another core, at the asker.
pub(crate) mod asked {
    /// 0 nothing was asked, 1 asked, 2 answered.
    pub const PHASE: u64 = 0;
    /// Number of the last request.
    pub const SEQUENCE: u64 = 1;
    /// Its answer, two words.
    pub const ANSWER: u64 = 2;
    /// What was asked, ten words.
    pub const WORDS: u64 = 8;

    /// The slot of the notification for answers, bytes from the record.
    pub const NOTIFICATION: u64 = 192;
}

/// The same at the core that carries it out.
pub(crate) mod served {
    /// The domain in whose name, 0 for none.
    pub const AGENT: u64 = 0;
    pub const SEQUENCE: u64 = 1;
    pub const ANSWER: u64 = 2;
    pub const WORDS: u64 = 8;
}

/// Bytes of an endpoint.
pub const ENDPOINT_SIZE: u64 = 128;
/// Bytes of a notification.
pub const NOTIFICATION_SIZE: u64 = 128;
/// Bytes of a reply.
pub const REPLY_SIZE: u64 = 64;
/// Bytes of a gate.
pub const GATE_SIZE: u64 = 1216;
/// Where a grave lies in endpoints and notifications.
pub(crate) const WAIT_GRAVE: u64 = 64;
/// Where it lies in a gate.
pub(crate) const GATE_GRAVE: u64 = 128;
/// Bytes of a domain's page that this crate uses; the rest is the microkernel's, for registers.
pub const DOMAIN_RESERVED: u64 = 512;

/// Cores, and so stores, at most.
pub const CORES_MAX: u8 = 8;
/// Leases from one store to one other, at most.
pub const LEASES_MAX: u8 = 16;
/// Interrupt lines.
pub const IRQS_MAX: u16 = 256;
/// Spaces at most; VMID 0 is nobody's.
pub const VMIDS_MAX: u16 = 256;
/// Seats of one gate at most.
pub const SEATS_MAX: u8 = 8;
/// Capabilities that one gate can hold.
pub const HELD_MAX: u8 = 8;

/// Three lines for each lease: its record, and two slots or a slot and a record.
const LEASE_ENTRY: u64 = 3 * SLOT;
const LEASES: u64 = CORES_MAX as u64 * LEASES_MAX as u64;

const ROOT_AT: u64 = SLOT;
const VMIDS_AT: u64 = 2 * SLOT;
const IRQS_AT: u64 = VMIDS_AT + VMIDS_MAX as u64 * 16;
const EXPORTS_AT: u64 = IRQS_AT + IRQS_MAX as u64 * SLOT;
const IMPORTS_AT: u64 = EXPORTS_AT + LEASES * LEASE_ENTRY;
/// Four lines for each peer's requests, and four for those to it.
const MAIL_ENTRY: u64 = 4 * SLOT;
const ASKED_AT: u64 = IMPORTS_AT + LEASES * LEASE_ENTRY;
const SERVED_AT: u64 = ASKED_AT + CORES_MAX as u64 * MAIL_ENTRY;
/// Bytes that a store keeps for itself, page-aligned: interrupts, VMIDs, leases, requests between cores.
pub const TABLES_SIZE: u64 =
    (SERVED_AT + CORES_MAX as u64 * MAIL_ENTRY).next_multiple_of(crate::memory::PAGE);

/// Addresses inside a store's own tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub(crate) struct Tables(pub u64);

impl Tables {
    /// The queue of gates that carry out an act.
    pub const fn gates(self) -> u64 {
        self.0
    }
    /// The slot of the CNode that what other cores lend is put into.
    pub const fn root(self) -> u64 {
        self.0 + ROOT_AT
    }
    /// Root table and generation of a VMID.
    pub const fn vmid(self, vmid: u16) -> u64 {
        self.0 + VMIDS_AT + (vmid % VMIDS_MAX) as u64 * 16
    }
    /// The slot with the notification of an interrupt.
    pub const fn irq(self, number: u16) -> u64 {
        self.0 + IRQS_AT + (number % IRQS_MAX) as u64 * SLOT
    }
    /// Record, slot for an orphan, slot for a notification.
    pub const fn export(self, peer: u8, index: u8) -> u64 {
        self.0 + EXPORTS_AT + entry(peer, index)
    }
    /// Record of what was asked of a peer, with a slot.
    pub const fn asked(self, peer: u8) -> u64 {
        self.0 + ASKED_AT + (peer % CORES_MAX) as u64 * MAIL_ENTRY
    }
    /// Record of what a peer asked.
    pub const fn served(self, peer: u8) -> u64 {
        self.0 + SERVED_AT + (peer % CORES_MAX) as u64 * MAIL_ENTRY
    }
    /// Record, slot of what was lent, pending endorsement.
    pub const fn import(self, peer: u8, index: u8) -> u64 {
        self.0 + IMPORTS_AT + entry(peer, index)
    }
}

const fn entry(peer: u8, index: u8) -> u64 {
    ((peer % CORES_MAX) as u64 * LEASES_MAX as u64 + (index % LEASES_MAX) as u64) * LEASE_ENTRY
}
