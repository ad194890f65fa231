//! The one module that turns physical addresses into access: partitions' memory, the bundle, devices.
//!
//! EL2 maps RAM one to one; so the capability model's addresses are pointers, and [`Direct`] is its way to memory. What lies in a partition may change under our hands at any time, so it is only ever copied, never
//! referred to; what is referred to (bundle, registers) belongs to EL2 alone.
#![allow(unsafe_code)]

use crate::arch::float;
use crate::arch::registers::{self, Controls};
use crate::domain::{Saved, hold};
use crate::gic::Gic;
use crate::hole::{Hole, hole};
use crate::ready::{Ready, WOKEN, note};
use crate::restart;
use abi::manifest::Range;
use capability_model::layout::DOMAIN_RESERVED;
use capability_model::memory::{Memory, PAGE, Registers as Words};

/// Memory as the capability store of one core sees it, and what the hardware of that core must be told.
#[derive(Debug)]
pub struct Direct {
    /// Where interrupts are let come again.
    pub gic: Gic,
    /// Who can run.
    pub ready: Ready,
    /// The domain whose registers the processor has, 0 for nobody's.
    pub current: u64,
    /// The domain whose FP/SIMD registers the processor has, 0 for nobody's. Only while it is `current` those below may use them.
    pub float: u64,
    /// The kernel that has EL1, its timers and the virtual interrupts; services run beside it. 0 for none.
    pub loaded: u64,
    /// The domains that are to begin anew, a bit for each place in the manifest.
    pub restarts: u64,
}

impl Memory for Direct {
    #[inline(always)]
    fn read(&self, address: u64) -> u64 {
        // SAFETY: (1) the model reads and writes only memory that it was given (its `tests/decoder.rs`): boot objects and Untyped, all RAM
        // of this core's alone, mapped, aligned; (2) what is retyped into objects is mapped below nowhere; (3) no reference to it is
        // live: those of `saved` borrow `self`.
        unsafe { (address as *const u64).read() }
    }

    #[inline(always)]
    fn write(&mut self, address: u64, word: u64) {
        // SAFETY: as in `read`. Stage-2 tables are read by the hardware: it takes a descriptor whole, and `publish` orders.
        unsafe { (address as *mut u64).write(word) }
    }

    fn scrub(&mut self, page: u64) {
        if !hole(Hole::Scrub) {
            registers::scrub(page);
        }
    }

    fn forget(&mut self, vmid: u16, ipa: Option<u64>) {
        registers::forget(vmid, ipa);
        if ipa.is_none() {
            self.note(note::RESPACED);
        }
    }

    fn publish(&mut self) {
        registers::publish_tables();
    }

    fn respaced(&mut self) {
        self.note(note::RESPACED);
    }

    fn unmask(&mut self, irq: u16) {
        self.gic.claim_device(irq.into());
    }

    fn woken(&mut self, domain: u64) {
        if domain != self.current {
            self.enqueue(domain, WOKEN);
        }
    }

    fn can_restart(&self, domain: u64, image: u64) -> bool {
        restart::fits(self.saved(domain).index, image)
    }

    fn restart(&mut self, domain: u64, image: u64) {
        let saved = self.saved_mut(domain);
        saved.hold = saved.hold & !hold::COLD | hold::DEAD;
        if image == restart::COLD {
            saved.hold |= hold::COLD;
        } else if image != 0 {
            saved.image = image;
        }
        // A place in the manifest, plus 1.
        self.restarts |= 1 << saved.index >> 1;
        self.gic.knock(registers::core_number());
    }

    fn set_registers(&mut self, domain: u64, registers: &Words) {
        self.saved_mut(domain).begin(registers);
    }

    fn stopped(&mut self, domain: u64) {
        self.dequeue(domain);
        // Its page may go.
        if domain == self.float {
            self.take_float();
        }
        if domain == self.current {
            self.current = 0;
            self.note(note::STOPPED);
            self.saved_mut(domain).controls = Controls::now();
        }
        // Its page may go.
        if domain == self.loaded {
            self.give_el1(0);
        }
    }
}

impl Direct {
    /// Another kernel than the last gets EL1, or nobody (0). The current domain's controls are saved, and those of who runs next follow.
    #[inline(never)]
    pub fn give_el1(&mut self, to: u64) {
        registers::leave_kernel();
        let (from, gic) = (core::mem::replace(&mut self.loaded, to), self.gic);
        if from != 0 {
            let saved = self.saved_mut(from);
            saved.el1.save();
            saved.interrupts = gic.save();
        }
        if to != 0 {
            let saved = self.saved(to);
            saved.el1.load();
            gic.load(&saved.interrupts);
        }
    }

    /// The microkernel's part of the domain at `domain`.
    #[inline(always)]
    pub fn saved(&self, domain: u64) -> &Saved {
        // SAFETY: (1) `domain` is the address of a domain object, a page that the model keeps to itself but for this part, which is
        // words only; (2) the reference borrows `self`, and all writes need `self` mutably; the entry code writes while none runs.
        unsafe { &*(frame_address(domain) as *const Saved) }
    }

    /// The same to be changed.
    #[inline(always)]
    pub fn saved_mut(&mut self, domain: u64) -> &mut Saved {
        // SAFETY: as in `saved`, and the borrow is exclusive.
        unsafe { &mut *(frame_address(domain) as *mut Saved) }
    }

    /// The FP/SIMD registers become nobody's; whose they were, its page keeps them.
    pub fn take_float(&mut self) {
        let owner = core::mem::take(&mut self.float);
        if owner != 0 {
            self.saved_mut(owner).float.save();
            float::allow(false);
        }
    }
}

/// Where a domain's registers are. No sum of addresses in memory reaches the end of u64.
pub const fn frame_address(domain: u64) -> u64 {
    domain.wrapping_add(DOMAIN_RESERVED)
}

const _: () = assert!(PAGE == 4096 && size_of::<Saved>().is_multiple_of(8));

/// Bytes of the bundle, which no domain can write.
pub fn fixed(range: Range) -> &'static [u8] {
    // SAFETY: (1) the range is RAM, mapped readable (`plan::check`); (2) partitions do not overlap it, by the loader's word, and EL2 never
    // writes it; (3) any bytes are valid u8.
    unsafe { core::slice::from_raw_parts(range.base as *const u8, range.size as usize) }
}

/// Copies `bytes` to physical address `to` in a partition.
#[inline(never)]
pub fn write(to: u64, bytes: &[u8]) {
    // SAFETY: (1) the caller took `to` from a checked plan: RAM, mapped writable, disjoint from EL2; (2) no Rust reference to
    // partition memory exists.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
}

/// Writes a word of firmware's for a core whose caches are off.
pub fn publish(to: u64, word: u64) {
    // SAFETY: (1) the address is from the device tree's spin table, RAM that firmware reserved for it, mapped writable; (2) cleaning a
    // line is always allowed.
    unsafe {
        core::ptr::write_volatile(to as *mut u64, word);
        core::arch::asm!("dc civac, {}", "dsb sy", in(reg) to, options(nostack));
    }
}

/// Copies from physical address `from` in a partition, once.
#[inline(never)]
pub fn read(from: u64, bytes: &mut [u8]) {
    // SAFETY: (1) the caller checked that the range lies in a partition's memory, which is RAM, mapped readable; (2) a racing
    // writer below can only change which bytes we get: there is no reference, and any byte is valid.
    unsafe { core::ptr::copy(from as *const u8, bytes.as_mut_ptr(), bytes.len()) };
}

/// Copies words from one piece of domains' memory to another, each read once.
pub fn copy_words(from: u64, to: u64, words: u64) {
    for i in 0..words {
        // SAFETY: (1) both were translated by stage-2 tables of this core's store: memory of domains, aligned, and the words do not cross
        // a page; (2) volatile, no reference exists, any bytes are a valid word.
        unsafe { ((to + i * 8) as *mut u64).write_volatile(((from + i * 8) as *const u64).read_volatile()) };
    }
}

/// The registers of a device at `address`.
pub fn device<T>(address: u64) -> &'static T {
    // SAFETY: (1) the address is from the device tree, whose devices are mapped as device memory for ever; (2) `T` is a block of
    // tock-registers cells, for which shared references may read and write.
    unsafe { &*(address as *const T) }
}
