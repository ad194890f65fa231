//! What a capability lets its holder do with its object.

/// A set of rights. On a frame only `READ` and `WRITE` mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rights(u8);

impl Rights {
    /// Nothing.
    pub const NONE: Rights = Rights(0);
    /// Receive, wait, read memory.
    pub const READ: Rights = Rights(1);
    /// Send, signal, write memory.
    pub const WRITE: Rights = Rights(2);
    /// Pass capabilities along with a message, and call.
    pub const GRANT: Rights = Rights(4);
    /// Call: grant the receiver no more than the right to answer.
    pub const GRANT_REPLY: Rights = Rights(8);
    /// Everything.
    pub const ALL: Rights = Rights(15);

    /// The rights in the low bits of a word; other bits are ignored, as an unknown right cannot be given.
    pub const fn from_word(word: u64) -> Rights {
        Rights(word as u8 & 15)
    }

    /// As a word.
    pub const fn word(self) -> u64 {
        self.0 as u64
    }

    /// What both have.
    pub const fn and(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }

    /// What either has.
    pub const fn or(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }

    /// Whether a Call may be made: its answer needs one of these.
    pub(crate) const fn may_call(self) -> bool {
        self.0 & (Rights::GRANT.0 | Rights::GRANT_REPLY.0) != 0
    }

    /// Whether all of `other` is there.
    pub const fn has(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }
}
