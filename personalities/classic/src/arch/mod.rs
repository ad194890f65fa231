//! The machine under this kernel: one core at EL1 behind EL2's stage 2. The only place with `unsafe`.
//!
//! | module | what |
//! |---|---|
//! | `start` | first instructions, MMU on |
//! | `kernel_map` | the kernel's own tables (upper half, W^X) |
//! | `user_map` | programs' tables (lower half) |
//! | `bytes` | memcpy and memset
//! | `memory` | heap, frames, and the way from a physical address to bytes |
//! | `vectors` | into user mode and back |
//! | `devices` | virtual GIC CPU interface, virtual timer |
//! | `machine` | all of it as `classic::machine::Machine` |

mod bytes;
mod devices;
mod kernel_map;
mod machine;
mod memory;
mod start;
mod user_map;
mod vectors;

/// Virtual address minus intermediate physical address, for all the kernel maps.
const OFFSET: u64 = 0xffff_ff80_0000_0000;

/// Bits of translation table descriptors (Armv8-A, 4 KiB granule).
mod descriptor {
    /// A table, or a page at the last level.
    pub const TABLE: u64 = 0b11;
    /// A block.
    pub const BLOCK: u64 = 0b01;
    /// Accessed.
    pub const AF: u64 = 1 << 10;
    /// Inner shareable.
    pub const SHARED: u64 = 0b11 << 8;
    /// MAIR index 1: device memory. Index 0 is normal memory, write-back.
    pub const DEVICE: u64 = 1 << 2;
    /// EL0 may read.
    pub const USER: u64 = 1 << 6;
    /// Nobody may write.
    pub const READ_ONLY: u64 = 1 << 7;
    /// Belongs to an ASID.
    pub const NOT_GLOBAL: u64 = 1 << 11;
    /// EL1 may not execute.
    pub const PXN: u64 = 1 << 53;
    /// EL0 may not execute.
    pub const UXN: u64 = 1 << 54;
    /// The address in a descriptor.
    pub const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
}
