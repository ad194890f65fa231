//! What the loader leaves for the microkernel: everything about board, domains and memory that boot found out, as one plain structure at a
//! fixed place of EL2's image. Both are built together; version and size tell one build's from another's.
//!
//! Numbers only, `repr(C)`, little-endian: any bytes are a valid value. A list's count is clamped to its room by whoever reads it.

use crate::bootinfo::{CHANNELS_MAX, DEVICES_MAX, DOMAINS_MAX, MEMORY_IPA, Name, UNTYPED_MAX};
use crate::bundle::SEGMENTS_MAX;
use crate::manifest::Range;
use core::ops::Deref;

/// First word of a [`Handover`]: "TETRHAND" in little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TETRHAND");
/// Version of this structure.
pub const VERSION: u32 = 1;
/// At most so many cores; each has its slot in EL2's tables.
pub const CORES_MAX: usize = 8;
/// At most so many ranges of RAM.
pub const MEMORIES_MAX: usize = 4;
/// At most so many mappings of all domains together: each channel in each domain, a stream's position page with its writer, and for each
/// domain its boot page, its positions, its interrupt controller, the pieces of its memory, its devices and its modules with the bundle.
pub const REGIONS_MAX: usize =
    CHANNELS_MAX * (DOMAINS_MAX + 1) + DOMAINS_MAX * (3 + SEGMENTS_MAX + 1 + DEVICES_MAX + 4 + 1);

/// Rows that count, and room for more.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct List<T, const N: usize> {
    count: u64,
    rows: [T; N],
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        List { count: 0, rows: [T::default(); N] }
    }
}

impl<T, const N: usize> List<T, N> {
    /// Adds a row; it comes back when there is no room.
    pub fn push(&mut self, row: T) -> Result<(), T> {
        let place = usize::try_from(self.count).ok().and_then(|count| self.rows.get_mut(count));
        match place {
            Some(place) => *place = row,
            None => return Err(row),
        }
        self.count += 1;
        Ok(())
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let count = usize::try_from(self.count).unwrap_or(N);
        self.rows.get(..count).unwrap_or(&self.rows)
    }
}

/// A GICv2 with its virtual interface, by physical addresses.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Gic {
    /// Distributor.
    pub distributor: u64,
    /// CPU interface.
    pub cpu: u64,
    /// Hypervisor control.
    pub hypervisor: u64,
    /// Virtual CPU interface, which guests see as their CPU interface.
    pub virtual_cpu: u64,
    /// INTID of the maintenance interrupt.
    pub maintenance: u32,
}

/// Interrupts of the generic timer.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Timer {
    /// INTID of the virtual timer (CNTV).
    pub virtual_intid: u32,
    /// INTID of EL2's physical timer (CNTHP).
    pub hypervisor_intid: u32,
}

/// Function numbers of PSCI by SMC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Psci {
    /// CPU_ON; 0: firmware has no PSCI, and an SMC would be undefined.
    pub cpu_on: u64,
    /// SYSTEM_OFF.
    pub system_off: u64,
}

/// Bit of a port's word: a mini UART, else a PL011. The rest is the address of its registers; 0 for no port.
pub const PORT_AUX: u64 = 1;

/// The machine.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Board {
    /// RAM.
    pub memory: List<Range, MEMORIES_MAX>,
    /// Every core's number, which is its MPIDR affinity, level 0; below [`CORES_MAX`].
    pub cores: List<u64, CORES_MAX>,
    /// By core: the word where it waits for an address to go to; 0: it is started by PSCI, or not at all.
    pub release: [u64; CORES_MAX],
    /// Interrupt controller.
    pub gic: Gic,
    /// Timer interrupts.
    pub timer: Timer,
    /// How cores are started and the machine is turned off.
    pub psci: Psci,
    /// Registers of the BCM2835's power manager; 0 for none.
    pub power_manager: u64,
    /// The operator's port, ready to send, and the other one that boot prints on, see [`PORT_AUX`].
    pub ports: [u64; 2],
}

/// A part of an image, by physical addresses: what a restart copies again.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Segment {
    /// Where it lies in the bundle.
    pub from: u64,
    /// Where it belongs in the domain's memory.
    pub to: u64,
    /// Bytes.
    pub size: u64,
}

/// Bit of [`Domain::flags`]: a kernel at EL1, else a flat service at EL0.
pub const KERNEL: u32 = 1;
/// It gets secret random bytes.
pub const ENTROPY: u32 = 2;
/// It may inject faults and turn the machine off.
pub const MANAGES: u32 = 4;
/// It is the root task: it builds the partitions, and they start when it says so.
pub const BUILDS: u32 = 8;
/// The root task builds its memory, and says when it begins.
pub const BUILT_ABOVE: u32 = 16;
/// Its memory is zero, caches and all: nobody has written there since power-on.
pub const ZEROED: u32 = 32;
/// It is stopped at first, and its memory is zero ([`crate::bootinfo::DomainState::Cold`]).
pub const COLD: u32 = 64;

/// One partition.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Domain {
    /// Its name.
    pub name: Name,
    /// The core it runs on, one of [`Board::cores`].
    pub core: u32,
    /// What it is and may do.
    pub flags: u32,
    /// Its memory.
    pub memory: Range,
    /// Its first instruction, an intermediate physical address.
    pub entry: u64,
    /// Physical address of its boot page ([`crate::bootinfo::BootInfo`]).
    pub boot_page: u64,
    /// INTIDs of its devices; 0 for none.
    pub interrupts: [u32; DEVICES_MAX],
    /// Its image.
    pub image: List<Segment, SEGMENTS_MAX>,
}

impl Domain {
    /// Whether it has one of these flags.
    pub fn is(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    /// Whether `intid` is one of its devices'.
    pub fn has_interrupt(&self, intid: u32) -> bool {
        intid != 0 && self.interrupts.contains(&intid)
    }
}

/// Kernels of the bundle at most that can take another's place; the others are not offered.
pub const DESIGNS_MAX: usize = 8;

/// A kernel of the bundle, the n-th of its kind: what Restart with image n puts into a partition, counted from 1.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Design {
    /// Its first instruction, an intermediate physical address.
    pub entry: u64,
    /// Where free memory begins behind it, likewise.
    pub end: u64,
    /// Its image; [`Segment::to`] counts from the start of the partition's memory.
    pub image: List<Segment, SEGMENTS_MAX>,
}

impl Design {
    /// Whether `domain` is a partition for it.
    pub fn fits(&self, domain: &Domain) -> bool {
        let room = Range { base: 0, size: domain.memory.size };
        let inside = |s: &Segment| room.contains(&Range { base: s.to, size: s.size });
        let memory = Range { base: MEMORY_IPA, size: domain.memory.size };
        let starts = (memory.base..memory.end()).contains(&self.entry);
        let ends = (memory.base..=memory.end()).contains(&self.end);
        domain.is(KERNEL) && starts && ends && self.image.iter().all(inside)
    }
}

/// One channel, as far as doorbells go.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Channel {
    /// Domain that writes.
    pub writer: u32,
    /// Bit d set: domain d reads.
    pub readers: u32,
}

impl Channel {
    /// Whether domain `d` reads.
    pub fn reads(&self, d: usize) -> bool {
        d < DOMAINS_MAX && self.readers >> d & 1 == 1
    }
}

/// What a domain may do with a region, and of what kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Rights {
    /// Read.
    Read = 1,
    /// Read and execute.
    ReadExecute = 2,
    /// Read and write.
    ReadWrite = 3,
    /// Everything: memory of a kernel, which sets its own rights at stage 1.
    All = 4,
    /// Read and write, device.
    Device = 5,
}

impl Rights {
    /// The rights with this number.
    pub fn from_number(n: u32) -> Option<Rights> {
        [Rights::Read, Rights::ReadExecute, Rights::ReadWrite, Rights::All, Rights::Device]
            .into_iter()
            .find(|r| *r as u32 == n)
    }
}

/// A mapping in a domain's stage 2, whole pages.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Region {
    /// Index of the domain.
    pub domain: u32,
    /// [`Rights`] as a number.
    pub rights: u32,
    /// Where the domain sees it.
    pub ipa: u64,
    /// What it sees.
    pub at: Range,
}

/// Everything.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Handover {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of this structure.
    pub size: u32,
    /// The machine.
    pub board: Board,
    /// The partitions, by index.
    pub domains: List<Domain, DOMAINS_MAX>,
    /// The kernels of the bundle, in its order.
    pub designs: List<Design, DESIGNS_MAX>,
    /// The channels, by index.
    pub channels: List<Channel, CHANNELS_MAX>,
    /// The mappings of all domains.
    pub regions: List<Region, REGIONS_MAX>,
    /// RAM that is nobody's, whole pages.
    pub free: List<Range, UNTYPED_MAX>,
    /// What the secrets of restarted domains are derived from.
    pub secret: [u8; 32],
}

impl Handover {
    /// Whether it is one, and of this build's kind.
    pub fn is_ours(&self) -> bool {
        (self.magic, self.version, self.size as usize) == (MAGIC, VERSION, size_of::<Handover>())
    }
}

/// A page.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4096))]
pub struct Page(pub [u8; 4096]);

/// The place in EL2's image that the loader fills.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4096))]
pub struct Area {
    /// For EL2.
    pub handover: Handover,
    /// Boot pages, by domain, which read them.
    pub boot: [Page; DOMAINS_MAX],
    /// The pages in which domains publish their positions in streams, by domain. They alone may be written from below.
    pub positions: [Page; DOMAINS_MAX],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_what_it_has_room_for_and_no_count_leads_out_of_it() {
        let mut list = List::<u64, 2>::default();
        assert_eq!([list.push(5), list.push(6), list.push(7)], [Ok(()), Ok(()), Err(7)]);
        assert_eq!(*list, [5, 6]);
        list.count = u64::MAX;
        assert_eq!((list.len(), list.push(8)), (2, Err(8)));
    }

    #[test]
    fn rights_have_their_numbers() {
        assert_eq!((1..=5).filter_map(Rights::from_number).map(|r| r as u32).sum::<u32>(), 15);
        assert_eq!((Rights::from_number(0), Rights::from_number(6)), (None, None));
    }
}
