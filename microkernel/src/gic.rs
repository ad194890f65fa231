//! GICv2 (Arm IHI 0048B): distributor, CPU interface, and the virtual interface.
//!
//! The physical timer interrupt stays active (priority drop only) while the guest handles the virtual one. On a GIC-400 the list register is linked
//! to it, so that the guest's end of the one ends the other. QEMU loses interrupts of such list registers (platform.md, 1), so there it is done by
//! hand: the end raises the maintenance interrupt, and only then is the physical one deactivated. Two list registers have fixed uses, so there is nothing to allocate.

use crate::memory;
use abi::hypercall::DOORBELL_INTID;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};

register_structs! {
    #[allow(non_snake_case)]
    Distributor {
        (0x000 => ctlr: ReadWrite<u32>),
        (0x004 => typer: ReadOnly<u32>),
        (0x008 => iidr: ReadOnly<u32>),
        (0x00c => _r0),
        (0x080 => igroupr: [ReadWrite<u32>; 32]),
        (0x100 => isenabler: [ReadWrite<u32>; 32]),
        (0x180 => icenabler: [ReadWrite<u32>; 32]),
        (0x200 => ispendr: [ReadWrite<u32>; 32]),
        (0x280 => icpendr: [ReadWrite<u32>; 32]),
        (0x300 => isactiver: [ReadWrite<u32>; 32]),
        (0x380 => icactiver: [ReadWrite<u32>; 32]),
        (0x400 => ipriorityr: [ReadWrite<u8>; 1024]),
        (0x800 => itargetsr: [ReadWrite<u8>; 1024]),
        (0xc00 => icfgr: [ReadWrite<u32>; 64]),
        (0xd00 => _r1),
        (0xf00 => sgir: WriteOnly<u32>),
        (0xf04 => @END),
    }
}

register_structs! {
    CpuInterface {
        (0x0000 => ctlr: ReadWrite<u32>),
        (0x0004 => pmr: ReadWrite<u32>),
        (0x0008 => bpr: ReadWrite<u32>),
        (0x000c => iar: ReadOnly<u32>),
        (0x0010 => eoir: WriteOnly<u32>),
        (0x0014 => _r0),
        (0x1000 => dir: WriteOnly<u32>),
        (0x1004 => @END),
    }
}

register_structs! {
    HypervisorInterface {
        (0x000 => hcr: ReadWrite<u32>),
        (0x004 => vtr: ReadOnly<u32>),
        (0x008 => vmcr: ReadWrite<u32>),
        (0x00c => _r0),
        (0x010 => misr: ReadOnly<u32>),
        (0x014 => _r1),
        (0x020 => eisr0: ReadOnly<u32>),
        (0x024 => _r2),
        (0x030 => elsr0: ReadOnly<u32>),
        (0x034 => _r3),
        (0x0f0 => apr: ReadWrite<u32>),
        (0x0f4 => _r4),
        (0x100 => lr: [ReadWrite<u32>; 4]),
        (0x110 => @END),
    }
}

/// The interrupt by which one EL2 instance knocks at another.
pub const SGI_KNOCK: u32 = 0;
/// What the CPU interface answers when nothing is pending.
const SPURIOUS: u32 = 1023;
const PRIORITY: u8 = 0xa0;

/// The guest's timer has list register 0, its doorbell 1.
const LR_TIMER: usize = 0;
const LR_DOORBELL: usize = 1;
const LR_PENDING: u32 = 1 << 28;
const LR_STATE: u32 = 0b11 << 28;
/// Priority field 27:23, the upper five bits: middle.
const LR_PRIORITY: u32 = 0x14 << 23;
/// With HW = 0: raise the maintenance interrupt at the end of this interrupt (5.3.8).
const LR_EOI: u32 = 1 << 19;
/// HW = 1: linked to the physical interrupt in bits 19:10 (5.3.8).
const LR_LINKED: u32 = 1 << 31;
const LR_PHYSICAL_SHIFT: u32 = 10;
/// GICD_IIDR of a GIC-400 (Arm DDI 0471B, 3.2.1), without revision and variant. QEMU's reads as zero.
const GIC_400: u32 = 0x0200_043b;
const IIDR_KIND: u32 = 0xff00_0fff;

/// One core's view of the interrupt controller.
#[derive(Clone, Copy)]
pub struct Gic {
    distributor: &'static Distributor,
    cpu: &'static CpuInterface,
    hypervisor: &'static HypervisorInterface,
    /// List registers can be linked to physical interrupts.
    linked: bool,
    /// The virtual timer's interrupt.
    timer: u32,
}

impl core::fmt::Debug for Gic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Gic")
    }
}

/// A kernel's virtual interface, while another kernel of its core has the hardware's.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Virtual {
    vmcr: u32,
    apr: u32,
    lr: [u32; 2],
}

impl Virtual {
    /// Whether the timer's interrupt waits to be taken.
    pub fn timer_pending(&self) -> bool {
        self.lr[LR_TIMER] & LR_PENDING != 0
    }

    /// Whether the doorbell does.
    pub fn doorbell_pending(&self) -> bool {
        self.lr[LR_DOORBELL] & LR_PENDING != 0
    }

    /// See [`Gic::doorbell_to_guest`].
    pub fn ring(&mut self) {
        self.lr[LR_DOORBELL] = rung(self.lr[LR_DOORBELL]);
    }
}

/// The doorbell's list register when it is rung: pending, or pending again if it is being handled.
fn rung(lr: u32) -> u32 {
    lr & LR_STATE | LR_PENDING | LR_PRIORITY | DOORBELL_INTID
}

/// An interrupt that was taken and must be ended.
#[derive(Clone, Copy, Debug)]
pub struct Taken(u32);

impl Taken {
    /// Its INTID.
    pub fn intid(self) -> u32 {
        self.0 & 0x3ff
    }
}

/// Resets the distributor: everything disabled, group 0 (which "works in every boot", platform.md). Boot core only.
pub fn reset_distributor(board: &board::Gic) {
    let d: &Distributor = memory::device(board.distributor);
    d.ctlr.set(0);
    let words = (d.typer.get() as usize & 0x1f) + 1;
    for i in 1..words.min(32) {
        d.icenabler[i].set(u32::MAX);
        d.icpendr[i].set(u32::MAX);
        d.icactiver[i].set(u32::MAX);
        d.igroupr[i].set(0);
    }
    d.ctlr.set(1);
}

impl Gic {
    /// This core's interfaces, with private interrupts `enabled` on.
    pub fn start(board: &board::Gic, enabled: &[u32], timer: u32) -> Gic {
        let gic = Gic {
            distributor: memory::device(board.distributor),
            cpu: memory::device(board.cpu),
            hypervisor: memory::device(board.hypervisor),
            linked: memory::device::<Distributor>(board.distributor).iidr.get() & IIDR_KIND == GIC_400,
            timer,
        };
        gic.distributor.igroupr[0].set(0);
        gic.distributor.icenabler[0].set(u32::MAX);
        for &intid in enabled {
            gic.claim_device(intid);
        }
        gic.cpu.pmr.set(0xf0);
        // EOImode 1: ending drops the priority, deactivating is separate. Enable.
        gic.cpu.ctlr.set(0x201);
        gic.hypervisor.hcr.set(1);
        gic.hypervisor.vmcr.set(0);
        gic.hypervisor.apr.set(0);
        gic.hypervisor.lr.iter().for_each(|lr| lr.set(0));
        gic
    }

    /// Directs a device's interrupt to this core, and lets it come.
    pub fn claim_device(&self, intid: u32) {
        // Reading the target of a private interrupt gives this core's own mask (4.3.12).
        let me = self.distributor.itargetsr[0].get();
        let intid = intid & 1023;
        self.distributor.itargetsr[intid as usize].set(me);
        self.distributor.ipriorityr[intid as usize].set(PRIORITY);
        self.unmask(intid);
    }

    /// Lets `intid` come.
    pub fn unmask(&self, intid: u32) {
        self.distributor.isenabler[(intid / 32) as usize & 31].set(1 << (intid % 32));
    }

    /// Keeps `intid` away.
    pub fn mask(&self, intid: u32) {
        self.distributor.icenabler[(intid / 32) as usize & 31].set(1 << (intid % 32));
    }

    /// Takes the next interrupt.
    pub fn take(&self) -> Option<Taken> {
        let iar = self.cpu.iar.get();
        // 1020 to 1023 are no interrupts.
        (iar & 0x3ff < SPURIOUS - 3).then_some(Taken(iar))
    }

    /// Drops its priority; it stays active, so it does not come again.
    pub fn drop_priority(&self, taken: Taken) {
        self.cpu.eoir.set(taken.0);
    }

    /// Ends it wholly.
    pub fn end(&self, taken: Taken) {
        self.cpu.eoir.set(taken.0);
        self.cpu.dir.set(taken.0);
    }

    /// Knocks at core `core`. On GICv2 boards of ours the interface number is the core number.
    pub fn knock(&self, core: usize) {
        self.distributor.sgir.set(1 << (16 + core) | SGI_KNOCK);
    }

    /// Gives the guest its timer interrupt; the physical one stays active.
    pub fn timer_to_guest(&self) {
        let intid = self.timer;
        let end = if self.linked { LR_LINKED | intid << LR_PHYSICAL_SHIFT } else { LR_EOI };
        self.hypervisor.lr[LR_TIMER].set(LR_PENDING | LR_PRIORITY | end | intid);
    }

    /// The guest ended something: deactivate the physical timer interrupt if that was it.
    pub fn maintain(&self) {
        if self.hypervisor.eisr0.get() & 1 << LR_TIMER != 0 {
            self.hypervisor.lr[LR_TIMER].set(0);
            self.cpu.dir.set(self.timer);
        }
    }

    /// Whether the guest's timer interrupt waits to be taken.
    pub fn guest_timer_pending(&self) -> bool {
        self.hypervisor.lr[LR_TIMER].get() & LR_PENDING != 0
    }

    /// Whether any interrupt waits for the guest.
    pub fn guest_pending(&self) -> bool {
        self.guest_timer_pending() || self.hypervisor.lr[LR_DOORBELL].get() & LR_PENDING != 0
    }

    /// Rings the guest's doorbell.
    pub fn doorbell_to_guest(&self) {
        let lr = &self.hypervisor.lr[LR_DOORBELL];
        lr.set(rung(lr.get()));
    }

    /// The virtual interface becomes nobody's; what was in it. The physical timer interrupt is no longer active.
    pub fn save(&self) -> Virtual {
        let h = self.hypervisor;
        let lr = [h.lr[LR_TIMER].get(), h.lr[LR_DOORBELL].get()];
        if self.keeps_active(lr[LR_TIMER]) {
            self.cpu.dir.set(self.timer);
        }
        h.lr[LR_TIMER].set(0);
        h.lr[LR_DOORBELL].set(0);
        Virtual { vmcr: h.vmcr.get(), apr: h.apr.get(), lr }
    }

    /// The virtual interface becomes that of a guest.
    pub fn load(&self, guest: &Virtual) {
        let h = self.hypervisor;
        h.vmcr.set(guest.vmcr);
        h.apr.set(guest.apr);
        if self.keeps_active(guest.lr[LR_TIMER]) {
            self.distributor.isactiver[0].set(1 << (self.timer & 31));
        }
        h.lr[LR_TIMER].set(guest.lr[LR_TIMER]);
        h.lr[LR_DOORBELL].set(guest.lr[LR_DOORBELL]);
    }

    /// Whether the physical timer interrupt is active because of this list register: until the guest has ended it, by hand also until that
    /// was seen (`Gic::maintain`).
    fn keeps_active(&self, lr: u32) -> bool {
        lr & LR_STATE != 0 || !self.linked && lr != 0
    }

    /// The guest took its notification word: a doorbell not yet seen has no news.
    pub fn retract_doorbell(&self) {
        let lr = &self.hypervisor.lr[LR_DOORBELL];
        if lr.get() & LR_PENDING != 0 {
            lr.set(lr.get() & !LR_PENDING);
        }
    }
}
