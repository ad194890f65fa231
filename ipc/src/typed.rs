//! Values as records: in postcard's encoding, or in a fixed layout.
//!
//! Postcard (<https://postcard.jamesmunns.com/wire-format>) is for records that have parts of any length or kinds that may come to differ; a
//! fixed layout is for small records that are sent often: nothing is parsed, and a reader knows the length beforehand.
//! Either way what arrives is what the peer chose. A value says no more than that its bytes were well formed.

use crate::word::Word;
use crate::{BroadcastReader, BroadcastWriter, ReadError, StreamReader, StreamWriter, WriteError};
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// The ring has no record; as [`ReadError`] says.
    Ring(ReadError),
    /// There was a record, and it is no value of the type; it was passed over.
    Malformed,
}

impl From<ReadError> for ReceiveError {
    fn from(error: ReadError) -> Self {
        ReceiveError::Ring(error)
    }
}

/// Whatever takes records. After a success the caller rings the channel: once for as many records as it likes.
pub trait Send {
    /// As `write` of the ring.
    fn write_record(&mut self, record: &[u8]) -> Result<(), WriteError>;

    /// Writes `value` in postcard's encoding, which is put together in `scratch`; [`WriteError::BadLength`] if it does not fit there.
    fn send<T: Serialize + ?Sized>(&mut self, value: &T, scratch: &mut [u8]) -> Result<(), WriteError> {
        let record = postcard::to_slice(value, scratch).map_err(|_| WriteError::BadLength)?;
        self.write_record(record)
    }

    /// Writes `value` as it lies in memory; `IntoBytes` sees to it that it has no padding, so nothing else of the sender's memory leaves.
    #[inline(always)]
    fn send_fixed<T: IntoBytes + Immutable>(&mut self, value: &T) -> Result<(), WriteError> {
        self.write_record(value.as_bytes())
    }
}

/// Whatever gives records.
pub trait Receive {
    /// As `read` of the ring.
    fn read_record(&mut self, out: &mut [u8]) -> Result<Option<usize>, ReadError>;

    /// The next value in postcard's encoding, made of the copy in `buffer`; `None` when there is nothing new. A record with bytes left over
    /// is malformed: else one value had many encodings.
    fn receive<'b, T: Deserialize<'b>>(&mut self, buffer: &'b mut [u8]) -> Result<Option<T>, ReceiveError> {
        let Some(length) = self.read_record(buffer)? else { return Ok(None) };
        match postcard::take_from_bytes(buffer.get(..length).unwrap_or(&[])) {
            Ok((value, [])) => Ok(Some(value)),
            _ => Err(ReceiveError::Malformed),
        }
    }

    /// The next value in a fixed layout; a record of another length is malformed. Every pattern of bits is a value (`FromBytes`).
    #[inline(always)]
    fn receive_fixed<T: FromBytes + IntoBytes>(&mut self) -> Result<Option<T>, ReceiveError> {
        let mut value = T::new_zeroed();
        match self.read_record(value.as_mut_bytes()) {
            Ok(None) => Ok(None),
            Ok(Some(length)) if length == size_of::<T>() => Ok(Some(value)),
            Ok(Some(_)) | Err(ReadError::TooLong(_)) => Err(ReceiveError::Malformed),
            Err(error) => Err(error.into()),
        }
    }
}

macro_rules! rings {
    ($($writer:ident, $reader:ident);*) => {$(
        impl<W: Word> Send for $writer<'_, W> {
            #[inline(always)]
            fn write_record(&mut self, record: &[u8]) -> Result<(), WriteError> {
                self.write(record)
            }
        }

        impl<W: Word> Receive for $reader<'_, W> {
            #[inline(always)]
            fn read_record(&mut self, out: &mut [u8]) -> Result<Option<usize>, ReadError> {
                self.read(out)
            }
        }
    )*};
}
rings!(BroadcastWriter, BroadcastReader; StreamWriter, StreamReader);
