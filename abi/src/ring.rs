//! Layout of a channel: a ring of records in one region that only its writer can write.
//!
//! ```text
//! byte 0    u64  magic   "TETRRING"
//! byte 8    u32  version 1
//! byte 12   u32  epoch   EL2 makes the header, with epoch 1; a writer that takes over from another begins a new one
//! byte 16   u64  capacity  bytes of the data area, a power of two
//! byte 64   u64  reserve   position up to which the writer may have begun to overwrite (broadcast: written before the data)
//! byte 128  u64  head      position up to which records are complete (written after the data, release order)
//! byte 4096      data area, `capacity` bytes
//! ```
//! Positions count bytes from the ring's beginning and never wrap (u64); position p lies at `4096 + p % capacity`.
//! A record starts at a multiple of 8: `u32 length` of the payload, `u32` the low half of its own position (a reader
//! that lost its place finds out), payload, zero padding up to a multiple of 8. A record may wrap round the end of
//! the data area. A payload is 1..=[`RECORD_MAX`] bytes.
//!
//! *Broadcast*: the writer never waits. Valid positions for a reader at p: `reserve - capacity <= p <= head`; outside
//! it was lapped (`Overrun`). A reader copies a record out, then looks at `reserve` again; only if the record is still inside
//! was the copy good.
//! *Stream*: one reader, which publishes its position (see [`crate::bootinfo::POSITION_IPA`]); the writer keeps
//! `head + record - position <= capacity`, treating a position outside `head - capacity ..= head` as a peer fault.
//!
//! Doorbells: after advancing `head` the writer rings (`Call::Signal`). A reader that finds nothing takes its notification
//! word *after* having looked, so that a ring between look and wait is not lost: the word is level, not edge.

/// "TETRRING" in little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TETRRING");
/// Version of this layout.
pub const VERSION: u32 = 1;
/// Offset of the magic number.
pub const OFFSET_MAGIC: usize = 0;
/// Offset of version (low half) and epoch (high half), one u64.
pub const OFFSET_VERSION_EPOCH: usize = 8;
/// Offset of the capacity.
pub const OFFSET_CAPACITY: usize = 16;
/// Offset of `reserve`.
pub const OFFSET_RESERVE: usize = 64;
/// Offset of `head`.
pub const OFFSET_HEAD: usize = 128;
/// Offset of the data area.
pub const OFFSET_DATA: usize = 4096;
/// Longest payload, bytes.
pub const RECORD_MAX: usize = 64 * 1024;
/// Bytes before the payload.
pub const RECORD_HEADER: usize = 8;

/// Capacity of the ring in a region of `region_size` bytes: the largest power of two that fits behind the header.
pub fn capacity(region_size: usize) -> Option<usize> {
    let room = region_size.checked_sub(OFFSET_DATA)?;
    if room < 8 { None } else { Some(1 << room.ilog2()) }
}

/// Bytes that a record with `payload` bytes (at most [`RECORD_MAX`]) takes in the ring.
#[inline]
pub const fn record_size(payload: usize) -> usize {
    RECORD_HEADER.wrapping_add(payload.wrapping_add(7) & !7)
}

/// The words of the header that mean something, as they lie.
#[repr(C)]
struct Header {
    magic: u64,
    version: u32,
    epoch: u32,
    capacity: u64,
    _unused: [u64; 5],
    reserve: u64,
    _writer_only: [u64; 7],
    head: u64,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(offset_of!(Header, magic) == OFFSET_MAGIC);
    assert!(offset_of!(Header, version) == OFFSET_VERSION_EPOCH && offset_of!(Header, epoch) == 12);
    assert!(offset_of!(Header, capacity) == OFFSET_CAPACITY);
    assert!(offset_of!(Header, reserve) == OFFSET_RESERVE);
    assert!(offset_of!(Header, head) == OFFSET_HEAD);
    assert!(size_of::<Header>() <= OFFSET_DATA && OFFSET_DATA.is_multiple_of(4096));
    assert!(record_size(1) == 16 && record_size(8) == 16 && record_size(9) == 24);
    assert!(record_size(RECORD_MAX) == RECORD_MAX + RECORD_HEADER);
};
