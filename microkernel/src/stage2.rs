//! Stage-2 spaces: 39-bit intermediate addresses, three levels, 2 MiB blocks where both addresses allow.
//!
//! Own code rather than aarch64-paging: that crate activates stage 2 with VMID 0 only (style.md). Tables are filled before the
//! domain first runs and not changed afterwards, so nothing here breaks before it makes.

use crate::tables::{self, Page};
use abi::handover::Rights;

const BLOCK: u64 = 2 << 20;
const TABLE: u64 = 0b11;
/// SH inner, AF.
const COMMON: u64 = 0b11 << 8 | 1 << 10;

/// The bits of a descriptor for these rights (D8.5: S2AP at 7:6, XN at 54, MemAttr at 5:2).
fn bits(rights: Rights) -> u64 {
    const NORMAL: u64 = 0b1111 << 2;
    const DEVICE: u64 = 0b0001 << 2;
    const READ: u64 = 0b01 << 6;
    const WRITE: u64 = 0b11 << 6;
    const XN: u64 = 1 << 54;
    match rights {
        Rights::Read => NORMAL | READ | XN,
        Rights::ReadExecute => NORMAL | READ,
        Rights::ReadWrite => NORMAL | WRITE | XN,
        Rights::All => NORMAL | WRITE,
        Rights::Device => DEVICE | WRITE | XN,
    }
}

/// No page is left for tables.
#[derive(Clone, Copy, Debug)]
pub struct NoTables;

/// One domain's space.
pub struct Space {
    root: &'static Page,
}

#[unsafe(link_section = ".start")]
#[allow(unsafe_code)] // Where it stands, and nothing else.
fn next_table(table: &Page, index: usize) -> Result<&'static Page, NoTables> {
    const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
    match table.get(index) {
        0 => {
            let new = tables::allocate().ok_or(NoTables)?;
            table.set(index, new.address() | TABLE);
            Ok(new)
        }
        word => tables::at(word & ADDRESS).ok_or(NoTables),
    }
}

impl Space {
    /// An empty space.
    pub fn new() -> Result<Space, NoTables> {
        Ok(Space { root: tables::allocate().ok_or(NoTables)? })
    }

    /// Maps `size` bytes at `ipa` to `pa`; all are multiples of 4096, and nothing is there yet.
    #[unsafe(link_section = ".start")]
    #[allow(unsafe_code)] // Where it stands, and nothing else.
    pub fn map(&self, ipa: u64, pa: u64, size: u64, rights: Rights) -> Result<(), NoTables> {
        assert!(
            (ipa | pa | size).is_multiple_of(4096) && ipa + size <= 1 << 39,
            "a mapping that no table can hold"
        );
        let mut done = 0;
        while done < size {
            let (at, to) = (ipa + done, pa + done);
            let level2 = next_table(self.root, (at >> 30) as usize)?;
            let index2 = (at >> 21 & 511) as usize;
            if (at | to).is_multiple_of(BLOCK) && size - done >= BLOCK {
                assert!(level2.get(index2) == 0, "mapped twice");
                level2.set(index2, to | bits(rights) | COMMON | 1);
                done += BLOCK;
            } else {
                let level3 = next_table(level2, index2)?;
                let index3 = (at >> 12 & 511) as usize;
                assert!(level3.get(index3) == 0, "mapped twice");
                level3.set(index3, to | bits(rights) | COMMON | TABLE);
                done += 4096;
            }
        }
        Ok(())
    }

    /// Address of the root table.
    pub fn root(&self) -> u64 {
        self.root.address()
    }
}
