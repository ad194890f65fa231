//! A process' own part: registers, address space, pages.

use serde::{Deserialize, Serialize};

/// A page of 4096 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<'a> {
    /// Its number in the file, or its address.
    pub at: u64,
    /// Its bytes without the zeros at the end.
    pub bytes: &'a [u8],
}

/// What a process changes without a call, at its next call (or where it waits or is stopped).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private<'a> {
    /// Serial of the process.
    pub serial: u64,
    /// x0 to x30, sp, pc: 33 words, little-endian. Of a call: as before it, pc behind its `svc`.
    pub registers: &'a [u8],
    /// NZCV, in bits 31 to 28.
    pub flags: u32,
    /// Whether it stands before a call (x8 its number). If not it goes on at pc.
    pub at_call: bool,
    /// TPIDR_EL0.
    pub thread_pointer: u64,
    /// v0 to v31, little-endian, without the zeros at the end.
    pub vectors: &'a [u8],
    /// FPSR.
    pub fpsr: u32,
    /// FPCR.
    pub fpcr: u32,
    /// sigaltstack: ss_sp, ss_flags, ss_size.
    pub alternate_stack: [u64; 3],
    /// set_tid_address.
    pub clear_child_tid: u64,
    /// set_robust_list: head.
    pub robust_list: u64,
    /// Bytes of its random stream used.
    pub random_used: u64,
    /// Number of the exec that made its address space ([`crate::layout::layout`]'s `exec`); inherited by fork. Waiting in vfork: 0, as both breaks.
    pub layout: u64,
    /// Lowest break.
    pub break_start: u64,
    /// Break.
    pub break_end: u64,
}

/// What a mapping is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// Anonymous memory.
    Anonymous = 0,
    /// What brk mapped.
    Heap = 1,
    /// The stack.
    Stack = 2,
    /// Pages of a file.
    File = 3,
    /// Pages beyond the end of a mapped file: SIGBUS.
    Beyond = 4,
}

/// A piece of an address space that is of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping<'a> {
    /// First address; the stack's: its lowest page touched.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// PF_ flags.
    pub rights: u8,
    /// Whether its pages are charged.
    pub charged: bool,
    /// MAP_SHARED (read-only).
    pub shared: bool,
    /// What it is of.
    pub kind: Kind,
    /// Inode of the file, kinds File and Beyond; else 0.
    pub inode: u64,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// The name that `/proc/PID/maps` shows for a file.
    pub path: &'a [u8],
}
