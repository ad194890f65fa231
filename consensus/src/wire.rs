//! The layout of messages, version 1: fixed, little-endian, header first.
//!
//! ```text
//!   0  version     u8      1
//!   1  kind        u8      Kind
//!   2  sender      u8      replica
//!   3  zero        u8
//!   4  length      u32     bytes of body
//!   8  epoch       u64
//!  16  view        u64
//!  24  sequence    u64
//!  32  digest      [u8; 32]
//!  64  trailer     [u8; 64]   four BLAKE3 tags of 16 bytes, or an Ed25519 signature, over bytes 0..64
//! 128  body        length bytes, its digest is in the header (but see Kind)
//! ```
//!
//! The header is one block of BLAKE3, so that authenticating it costs one compression; and everything that a message means to its receiver is
//! under that one authenticator: kind, epoch, view, and through the digest the body. Nothing of a body is looked at before both were checked.

use crate::{Digest, REPLICAS, ReplicaId};

/// Version of the layout; the first byte of each message.
pub const VERSION: u8 = 1;
/// Bytes of a header.
pub const HEADER: usize = 64;
/// Bytes of a trailer.
pub const TRAILER: usize = 64;
/// Where the body begins.
pub const BODY: usize = HEADER + TRAILER;
/// A trailer.
pub type Trailer = [u8; TRAILER];

/// What a message is. "MAC": its trailer is the authenticator's for this run; "signed": an Ed25519 signature, so that others can hand it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// MAC. The primary of `view` proposes the body, a batch, as number `sequence`.
    PrePrepare = 1,
    /// MAC. A backup holds `digest` as number `sequence` in `view`.
    Prepare = 2,
    /// MAC. `digest` is prepared at the sender in `view`.
    Commit = 3,
    /// MAC. The state after `sequence` has `digest`. The body is empty, or a signature over the header as [`Kind::Certified`], view 0.
    Checkpoint = 4,
    /// Signed. The sender leaves all views below `view`; body: [`crate::replica::Change`].
    ViewChange = 5,
    /// Signed. The primary of `view` begins it with the view changes whose digests the body lists.
    NewView = 6,
    /// MAC. How far the sender is, so that others send what it lacks.
    Status = 7,
    /// No authenticator: asks for the state after `sequence`, of `digest`.
    FetchState = 8,
    /// No authenticator: the body is that state; who wants it knows its digest.
    State = 9,
    /// No authenticator of its own: signatures of a quorum on the last checkpoint of an epoch.
    Certificate = 10,
    /// MAC. Number `sequence` is committed at the sender, with `digest`; told to who lags behind, when f+1 say so it may believe it.
    Committed = 11,
    /// Never sent; what the signatures of checkpoints are over.
    Certified = 12,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        use Kind::*;
        Some(match byte {
            1 => PrePrepare,
            2 => Prepare,
            3 => Commit,
            4 => Checkpoint,
            5 => ViewChange,
            6 => NewView,
            7 => Status,
            8 => FetchState,
            9 => State,
            10 => Certificate,
            11 => Committed,
            _ => return None,
        })
    }
}

/// A message without trailer and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Who says so.
    pub sender: ReplicaId,
    /// Bytes of body.
    pub length: u32,
    /// Epoch whose keys hold.
    pub epoch: u64,
    /// View.
    pub view: u64,
    /// Sequence number.
    pub sequence: u64,
    /// Digest; of what, says the kind.
    pub digest: Digest,
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter or longer than a header, a trailer and the body that the header announces.
    Length,
    /// Another version of the layout.
    Version(u8),
    /// No such kind, no such replica, or a reserved byte that is not zero.
    Field,
}

impl Header {
    /// The bytes as sent.
    #[inline]
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[0] = VERSION;
        out[1] = self.kind as u8;
        out[2] = self.sender;
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        out[16..24].copy_from_slice(&self.view.to_le_bytes());
        out[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        out[32..64].copy_from_slice(&self.digest);
        out
    }
}

#[inline]
fn word(bytes: &[u8; HEADER], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// A message as received: its parts, still unchecked but for their shape.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The header, decoded.
    pub header: Header,
    /// The header's bytes as received; what the trailer authenticates.
    pub bytes: &'a [u8; HEADER],
    /// The trailer.
    pub trailer: &'a Trailer,
    /// The body.
    pub body: &'a [u8],
    /// All of it.
    pub record: &'a [u8],
}

impl<'a> Message<'a> {
    /// Splits `record`; says what is wrong with it otherwise.
    #[inline]
    pub fn parse(record: &'a [u8]) -> Result<Self, Malformed> {
        let (bytes, rest) = record.split_first_chunk::<HEADER>().ok_or(Malformed::Length)?;
        let (trailer, body) = rest.split_first_chunk::<TRAILER>().ok_or(Malformed::Length)?;
        if bytes[0] != VERSION {
            return Err(Malformed::Version(bytes[0]));
        }
        let kind = Kind::from_byte(bytes[1]).ok_or(Malformed::Field)?;
        let sender = bytes[2];
        if usize::from(sender) >= REPLICAS || bytes[3] != 0 {
            return Err(Malformed::Field);
        }
        let length = (word(bytes, 0) >> 32) as u32;
        if length as usize != body.len() {
            return Err(Malformed::Length);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[32..64]);
        let header = Header {
            kind,
            sender,
            length,
            epoch: word(bytes, 8),
            view: word(bytes, 16),
            sequence: word(bytes, 24),
            digest,
        };
        Ok(Message { header, bytes, trailer, body, record })
    }
}

/// A record of at most `M` bytes, kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Record<const M: usize> {
    bytes: [u8; M],
    length: usize,
}

impl<const M: usize> Record<M> {
    /// Nothing.
    pub const EMPTY: Self = Record { bytes: [0; M], length: 0 };

    /// Keeps `record`. `false`: it is longer than `M`; then nothing is kept.
    pub fn set(&mut self, record: &[u8]) -> bool {
        match self.bytes.get_mut(..record.len()) {
            Some(to) => {
                to.copy_from_slice(record);
                self.length = record.len();
                true
            }
            None => {
                self.length = 0;
                false
            }
        }
    }

    /// Forgets it.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// What is kept.
    #[inline]
    pub fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    /// The body of what is kept.
    #[inline]
    pub fn body(&self) -> &[u8] {
        self.get().get(BODY..).unwrap_or(&[])
    }

    /// All `M` bytes after header and trailer, to write a body in place; then [`Record::finish`].
    pub fn space(&mut self) -> &mut [u8] {
        self.bytes.get_mut(BODY..).unwrap_or(&mut [])
    }

    /// Puts a header and a trailer before the body written in place.
    pub fn finish(&mut self, header: &Header, trailer: &Trailer) {
        let length = BODY + header.length as usize;
        if length <= M {
            self.bytes[..HEADER].copy_from_slice(&header.encode());
            self.bytes[HEADER..BODY].copy_from_slice(trailer);
            self.length = length;
        }
    }
}

impl<const M: usize> core::fmt::Debug for Record<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}

/// Writes fields one after the other.
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    /// Into `bytes`.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Writer { bytes, length: 0 }
    }

    /// Appends bytes; `None` when there is no room.
    #[inline]
    pub fn bytes(&mut self, from: &[u8]) -> Option<&mut Self> {
        let end = self.length.checked_add(from.len())?;
        self.bytes.get_mut(self.length..end)?.copy_from_slice(from);
        self.length = end;
        Some(self)
    }

    /// Appends a number.
    pub fn u64(&mut self, v: u64) -> Option<&mut Self> {
        self.bytes(&v.to_le_bytes())
    }

    /// Writes once more what was written at `at`.
    #[inline]
    pub fn patch<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        if let Some(to) = self.bytes.get_mut(at..self.length).and_then(<[u8]>::first_chunk_mut) {
            *to = bytes;
        }
    }

    /// Bytes left.
    #[inline]
    pub fn room(&self) -> usize {
        self.bytes.len().saturating_sub(self.length)
    }

    /// Bytes written.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// Reads fields one after the other.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    /// The next number.
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.bytes(8)?.first_chunk()?))
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    /// The next array.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused_and_what_is_parsed_is_what_was_encoded(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::parse(&bytes);
            let mut record = vec![0; BODY];
            let header = Header { kind: Kind::Commit, sender: 3, length: bytes.len() as u32, epoch: 5, view: u64::MAX, sequence: 7, digest: [9; 32] };
            record[..HEADER].copy_from_slice(&header.encode());
            record.extend(&bytes);
            let m = Message::parse(&record).unwrap();
            prop_assert_eq!((m.header, m.body), (header, &bytes[..]));
        }
    }

    #[test]
    fn each_byte_of_shape_is_checked() {
        let header = Header {
            kind: Kind::Prepare,
            sender: 0,
            length: 0,
            epoch: 0,
            view: 0,
            sequence: 1,
            digest: [0; 32],
        };
        let mut record = [0; BODY];
        record[..HEADER].copy_from_slice(&header.encode());
        assert!(Message::parse(&record).is_ok());
        for (at, value, error) in [
            (0, 2, Malformed::Version(2)),
            (1, 0, Malformed::Field),
            (1, 12, Malformed::Field),
            (2, 4, Malformed::Field),
            (3, 1, Malformed::Field),
            (4, 1, Malformed::Length),
        ] {
            let mut damaged = record;
            damaged[at] = value;
            assert_eq!(Message::parse(&damaged).unwrap_err(), error);
        }
        assert_eq!(Message::parse(&record[..127]).unwrap_err(), Malformed::Length);
    }
}
