//! What an invocation comes to. An error says what is wrong and which argument is at fault, and means that nothing changed.

/// What is wrong; seL4's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// A number that means nothing here.
    InvalidArgument,
    /// A capability of the wrong kind, or without the right that is needed.
    InvalidCapability,
    /// The kind of capability is right; this cannot be done with it, or not now.
    IllegalOperation,
    /// A number beyond what is allowed.
    RangeError,
    /// An address that is not a multiple of what is needed.
    AlignmentError,
    /// No capability there, or no slot.
    FailedLookup,
    /// Something is there already.
    DeleteFirst,
    /// It has descendants.
    RevokeFirst,
    /// No memory, time or number is left.
    NotEnoughMemory,
}

/// Why nothing was done: what is wrong, and with which argument, in one word, so that a Result of it and an address or a number is passed in two registers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Error(u64);

impl Error {
    /// What is wrong.
    pub const fn kind(self) -> ErrorKind {
        ErrorKind::from_number(self.0 as u8)
    }

    /// With which argument: 0 is the invoked capability, n the n-th word after the label.
    pub const fn argument(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// The place of its kind in the list above, and the argument << 8.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// What another instance said by [`Error::word`].
    pub(crate) const fn from_word(word: u64) -> Error {
        Error(word & 0xffff)
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} of argument {}", self.kind(), self.argument())
    }
}

impl ErrorKind {
    /// The kind with this place in the list above; an unknown one is an InvalidArgument.
    const fn from_number(number: u8) -> ErrorKind {
        use ErrorKind::*;
        match number {
            1 => InvalidCapability,
            2 => IllegalOperation,
            3 => RangeError,
            4 => AlignmentError,
            5 => FailedLookup,
            6 => DeleteFirst,
            7 => RevokeFirst,
            8 => NotEnoughMemory,
            _ => InvalidArgument,
        }
    }

    /// The error that blames this argument.
    pub const fn of(self, argument: u8) -> Error {
        Error(self as u64 | (argument as u64) << 8)
    }
}

/// How far an invocation got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It took effect.
    Done,
    /// It took effect and has an answer.
    Word(u64),
    /// A bounded part is done: the same invocation must be made again (the kernel leaves the caller's PC where it is). Nothing
    /// depends on it: the state is one that every invariant allows, whoever goes on or nobody.
    Again,
    /// Another core has work to do; a notification or a later try tells when it is done.
    InProgress,
    /// The caller waits.
    Blocked,
}

/// A message to be copied between register files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transfer {
    /// The sending domain.
    pub from: u64,
    /// The receiving domain.
    pub to: u64,
    /// The badge that the receiver sees.
    pub badge: u64,
}

/// What came of an invocation. An answer and a receive can both move a message, so there may be two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    /// How far it got.
    pub status: Status,
    /// Messages to be copied, in order.
    pub transfers: [Option<Transfer>; 2],
}

impl From<Status> for Outcome {
    fn from(status: Status) -> Outcome {
        Outcome { status, transfers: [None; 2] }
    }
}
