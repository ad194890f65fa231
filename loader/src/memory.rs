//! The one module that turns physical addresses into access: tree and bundle, domains' memory, devices, the handover. Everything is mapped
//! one to one, or the MMU is off; one core runs, and nothing below.
#![allow(unsafe_code)]

use abi::bootinfo::BootInfo;
use abi::handover::{Area, Page};
use abi::manifest::Range;

/// Bytes of RAM that no domain can write: the bundle or the tree.
///
/// The range must be RAM outside of partitions, which `Manifest::parse` has checked (or the caller will, before partitions are written).
pub fn fixed(range: Range) -> &'static [u8] {
    // SAFETY: (1) the range is RAM, mapped readable; (2) partitions do not overlap it, and it is written only in `wipe`, through
    // whose range nobody holds a reference; (3) any bytes are valid u8.
    unsafe { core::slice::from_raw_parts(range.base as *const u8, range.size as usize) }
}

/// Squeezes the tree, before anything else refers to it; whether it is well-formed.
pub fn squeeze_tree(range: Range) -> bool {
    // SAFETY: (1) as in `fixed`; (2) boot calls this once, before its first `fixed` of the whole tree (an eight-byte look at the
    // header has ended).
    let bytes = unsafe { core::slice::from_raw_parts_mut(range.base as *mut u8, range.size as usize) };
    board::tree::squeeze(bytes).is_some()
}

/// Overwrites RAM with zeros: secrets that were handed out.
pub fn wipe(range: Range) {
    for address in range.base..range.end() {
        // SAFETY: (1) the byte is RAM, mapped writable; (2) volatile, and the caller uses no reference to it any more.
        unsafe { core::ptr::write_volatile(address as *mut u8, 0) };
    }
}

/// Copies `bytes` to physical address `to` in a partition or channel.
pub fn write(to: u64, bytes: &[u8]) {
    // SAFETY: (1) the caller took `to` from a checked manifest: RAM, mapped writable, disjoint from EL2 and from what `fixed` gave;
    // (2) no Rust reference to partition memory exists.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
}

/// Zeroes a partition's or a channel's memory.
pub fn zero(range: Range) {
    // SAFETY: as in `write`.
    unsafe { core::ptr::write_bytes(range.base as *mut u8, 0, range.size as usize) };
}

/// The place of the handover at `address`, zeroed. Once.
pub fn area(address: u64) -> &'static mut Area {
    let area = address as *mut Area;
    // SAFETY: (1) the microkernel's first instructions pass the address of a static of this type in its image, outside of what this
    // image lies in; (2) zeros are a valid `Area`: it is made of numbers; (3) `boot::primary` calls this once.
    unsafe {
        area.write_bytes(0, 1);
        &mut *area
    }
}

/// Writes a boot page.
pub fn write_info(page: &mut Page, info: &BootInfo) {
    const _: () = assert!(size_of::<BootInfo>() <= size_of::<Page>());
    // SAFETY: (1) a `BootInfo` fits a page, and both are in nobody else's hands; (2) it is `repr(C)` without padding, by its
    // documentation, so each byte is initialised.
    unsafe {
        let bytes = core::slice::from_raw_parts(info as *const BootInfo as *const u8, size_of::<BootInfo>());
        page.0[..bytes.len()].copy_from_slice(bytes);
    }
}

/// The registers of a device at `address`.
pub fn device<T>(address: u64) -> &'static T {
    // SAFETY: (1) the address is from the device tree, whose devices are mapped as device memory for ever; (2) `T` is a block of
    // tock-registers cells, for which shared references may read and write.
    unsafe { &*(address as *const T) }
}
