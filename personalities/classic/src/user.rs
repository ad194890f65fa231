//! The calling process' memory, as the parts of the kernel that need no page tables see it.

use crate::errno::Errno;

/// User memory. Addresses are claims: every access checks them.
pub trait UserMemory {
    /// Copies `out.len()` bytes from `address`; EFAULT and nothing copied if any byte cannot be read by the program.
    fn read(&mut self, address: u64, out: &mut [u8]) -> Result<(), Errno>;
    /// Copies `bytes` to `address`; EFAULT and nothing copied if any byte cannot be written by the program.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno>;
    /// How many of the `len` bytes at `address` can be read before the first that cannot.
    fn readable(&mut self, address: u64, len: usize) -> usize;
    /// How many of the `len` bytes at `address` can be written before the first that cannot.
    fn writable(&mut self, address: u64, len: usize) -> usize;
}
