//! What EL2 sets for itself and for those below, each odd value with its reason. All are this core's own registers.

use super::float;
use crate::hole::{Hole, hole};
use aarch64_cpu::asm::barrier::{self, dsb, isb};
use aarch64_cpu::registers::*;
use core::arch::asm;

/// VTCR_EL2 (D13.2.151): RES1 bit 31; PS 40 bits; 4 KiB; SH0 inner; ORGN0/IRGN0 write-back; SL0 1 (start at level 1); T0SZ 25 (39 bits).
const VTCR: u64 = 1 << 31 | 0b010 << 16 | 0b11 << 12 | 0b01 << 10 | 0b01 << 8 | 0b01 << 6 | 25;
/// HCR_EL2 for kernels: RW, TSW (set/way operations reach beyond a partition), TACR, TIDCP, TSC, AMO, IMO, FMO, VM.
const HCR_KERNEL: u64 = 1 << 31 | 1 << 22 | 1 << 21 | 1 << 20 | 1 << 19 | 0b111 << 3 | 1;
/// HCR_EL2.TWI: a kernel that sleeps gives its core to others, if there are others.
const HCR_TWI: u64 = 1 << 13;
/// HCR_EL2 for flat services: RW, TGE, TSC, DC, AMO, IMO, FMO, VM (platform.md).
const HCR_SERVICE: u64 = 1 << 31 | 1 << 27 | 1 << 19 | 1 << 12 | 0b111 << 3 | 1;
/// MDCR_EL2: TDRA, TDOSA, TDA, TPM, TPMCR: debug and performance registers trap, they would reach the other level.
const MDCR: u64 = 1 << 11 | 1 << 10 | 1 << 9 | 1 << 6 | 1 << 5;
/// SCTLR_EL1 with the MMU off: RES1 only.
const SCTLR_EL1_OFF: u64 = 0x30d0_0800;
/// CPACR_EL1.FPEN: EL1 takes no FP/SIMD of EL0 for itself.
const CPACR_SERVICE: u64 = 0b11 << 20;
/// SCTLR_EL1 as EL0 services feel it: RES1, UCI, UCT, DZE (cache maintenance by address, DC ZVA); WFI and WFE trap.
const SCTLR_EL1_SERVICE: u64 = SCTLR_EL1_OFF | 1 << 26 | 1 << 15 | 1 << 14;

/// What of EL1's registers governs EL0 too, so that a kernel and a service on one core each have their own. All else of EL1 stays in place
/// while a service runs, which cannot reach it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Controls {
    sctlr: u64,
    cpacr: u64,
    cntkctl: u64,
    mdscr: u64,
    /// HCR_EL2.
    hcr: u64,
    /// TPIDR_EL0, TPIDRRO_EL0.
    pub thread: [u64; 2],
}

impl Controls {
    /// Those that a kernel finds at its start.
    pub const KERNEL: Controls =
        Controls { sctlr: SCTLR_EL1_OFF, cpacr: 0, cntkctl: 0, mdscr: 0, hcr: HCR_KERNEL, thread: [0; 2] };
    /// Those of a service: it may read the virtual counter.
    pub const SERVICE: Controls = Controls {
        sctlr: SCTLR_EL1_SERVICE,
        cpacr: CPACR_SERVICE,
        cntkctl: 0b10,
        hcr: HCR_SERVICE,
        ..Controls::KERNEL
    };

    /// What stands in the registers.
    #[inline(always)]
    pub fn now() -> Controls {
        Controls {
            sctlr: SCTLR_EL1.get(),
            cpacr: CPACR_EL1.get(),
            cntkctl: CNTKCTL_EL1.get(),
            mdscr: MDSCR_EL1.get(),
            hcr: HCR_EL2.get(),
            thread: [TPIDR_EL0.get(), TPIDRRO_EL0.get()],
        }
    }

    /// The same for a kernel that gives its core away when it sleeps (WFI), as it is not alone there.
    pub const LODGED: Controls = Controls { hcr: HCR_KERNEL | HCR_TWI, ..Controls::KERNEL };

    /// A kernel's at its start; whether it gives its core away when it sleeps stays.
    pub fn anew(&self) -> Controls {
        Controls { hcr: self.hcr, ..Controls::KERNEL }
    }

    #[inline(always)]
    fn set(&self) {
        SCTLR_EL1.set(self.sctlr);
        CPACR_EL1.set(self.cpacr);
        CNTKCTL_EL1.set(self.cntkctl);
        MDSCR_EL1.set(self.mdscr);
        TPIDR_EL0.set(self.thread[0]);
        if !hole(Hole::Controls) {
            TPIDRRO_EL0.set(self.thread[1]);
        }
    }
}

/// Makes the processor that of a kernel or of services, with stage 2 `vttbr`. VMIDs differ, so nothing is flushed. At no moment is a
/// kernel's stage 1 walked under a service's VMID or the other way round (platform.md has the order). `float`: the FP/SIMD registers are its
/// own as they are.
#[inline(always)]
pub fn become_kernel(vttbr: u64, controls: &Controls, float: bool) {
    controls.set();
    VTTBR_EL2.set(vttbr);
    isb(barrier::SY);
    HCR_EL2.set(if hole(Hole::Smc) { controls.hcr & !(1 << 19) } else { controls.hcr });
    float::allow(float);
    isb(barrier::SY);
}

/// EL1's stage 1 is not walked from now on until [`become_kernel`].
pub fn leave_kernel() {
    HCR_EL2.set(HCR_SERVICE);
    isb(barrier::SY);
}

/// As [`become_kernel`]. A service's controls never change but for its thread register.
#[inline(always)]
pub fn become_service(vttbr: u64, thread: u64, float: bool) {
    HCR_EL2.set(HCR_SERVICE);
    float::allow(float);
    isb(barrier::SY);
    VTTBR_EL2.set(vttbr);
    Controls { thread: [thread, 0], ..Controls::SERVICE }.set();
    isb(barrier::SY);
}

/// Sets everything that stays as it is while domains come and go.
pub fn prepare() {
    VTCR_EL2.set(VTCR);
    VTTBR_EL2.set(0);
    HCR_EL2.set(HCR_SERVICE);
    float::allow(false);
    // HPMN (the low bits) keeps its reset value, the number of counters.
    MDCR_EL2.set(MDCR_EL2.get() & 0x1f | MDCR);
    // EL1 may read the physical counter and use its timer, whose interrupt stays disabled: Linux expects both.
    CNTHCTL_EL2.set(0b11);
    CNTVOFF_EL2.set(0);
    CNTV_CTL_EL0.set(0);
    CNTHP_CTL_EL2.set(0);
    Controls::SERVICE.set();
    unlock_debug();
    VBAR_EL1.set(0);
    // Every kernel sees the same single core, so that images do not depend on where they run.
    VMPIDR_EL2.set(1 << 31);
    let (zeroes, cache): (u64, u64);
    // SAFETY: (1) VPIDR_EL2 only changes what EL1 reads as MIDR_EL1; (2) HSTR_EL2 0 traps nothing, its traps are for AArch32;
    // (3) invalidating EL1&0 translations is always allowed, and no domain has run on this core.
    unsafe {
        asm!(
            "mrs {zeroes}, dczid_el0",
            "mrs {cache}, ctr_el0",
            "mrs {t}, midr_el1",
            "msr vpidr_el2, {t}",
            "msr hstr_el2, xzr",
            "dsb ishst",
            "tlbi alle1",
            "dsb nsh",
            "isb",
            t = out(reg) _, zeroes = out(reg) zeroes, cache = out(reg) cache,
            options(nostack)
        )
    };
    // DC ZVA is allowed (DZP) and zeroes 2^4 words (BS); a line has as many (DminLine).
    assert!(zeroes & 0x1f == 4 && cache >> 16 & 15 == 4, "cache lines are not 64 bytes, or cannot be zeroed");
}

/// Clears the OS lock (OSLAR_EL1): while it is set, no kernel can single-step its programs.
fn unlock_debug() {
    // SAFETY: the lock only keeps debug exceptions away; none is enabled, and those that a kernel enables go to that kernel (MDCR_EL2.TDE 0).
    unsafe { asm!("msr oslar_el1, xzr", "isb", options(nomem, nostack)) };
}

/// Whether the kernel single-steps its programs (MDSCR_EL1.SS).
pub fn single_step() -> bool {
    MDSCR_EL1.is_set(MDSCR_EL1::SS)
}

/// Sets that.
pub fn set_single_step(on: bool) {
    MDSCR_EL1.set(u64::from(on));
}

/// The same without waiting for what stands before it: for accounting.
#[inline(always)]
pub fn ticks() -> u64 {
    CNTVCT_EL0.get()
}

/// Where the entry code saves the registers of what runs below.
#[inline(always)]
pub fn save_registers_at(frame: u64) {
    TPIDR_EL2.set(frame);
}

/// Exception class and the rest of the syndrome of the exception just taken.
#[inline(always)]
pub fn syndrome() -> u64 {
    ESR_EL2.get()
}

/// A service with stage 2 `vttbr` follows a kernel, whose controls are the answer.
#[inline(always)]
pub fn kernel_to_service(vttbr: u64, thread: u64, float: bool) -> Controls {
    let old = Controls::now();
    become_service(vttbr, thread, float);
    old
}

/// A kernel follows a service, whose thread register is the answer.
#[inline(always)]
pub fn service_to_kernel(vttbr: u64, controls: &Controls, float: bool) -> u64 {
    let old = TPIDR_EL0.get();
    become_kernel(vttbr, controls, float);
    old
}

/// Another service with stage 2 `vttbr` follows the service that ran; answers the old thread register.
#[inline(always)]
pub fn next_service(vttbr: u64, thread: u64) -> u64 {
    let old = TPIDR_EL0.get();
    TPIDR_EL0.set(thread);
    VTTBR_EL2.set(vttbr);
    isb(barrier::SY);
    old
}

/// Stage-2 descriptors that were written are seen by the next walk.
pub fn publish_tables() {
    dsb(barrier::ISHST);
    isb(barrier::SY);
}

/// Zeroes a page and cleans it to the point of coherency: a kernel with its caches off would find there what others had left. Lines of
/// 64 bytes, as [`prepare`] has found.
#[inline(never)]
pub fn scrub(page: u64) {
    // SAFETY: (1) the page was given to the capability store and nobody's reference is live (`memory::Direct`); (2) 64 lines from its start
    // lie within it.
    unsafe {
        asm!(
            "2:",
            ".rept 16",
            "dc zva, {line}",
            "dc cvac, {line}",
            "add {line}, {line}, #64",
            ".endr",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            "dsb ish",
            line = inout(reg) page => _, count = inout(reg) 4u64 => _,
            options(nostack)
        )
    };
}

/// Cleans a page to the point of coherency: somebody will read it with his caches off.
pub fn clean(page: u64) {
    for line in (page..page.wrapping_add(4096)).step_by(64) {
        // SAFETY: cleaning a line is always allowed; the caller maps it.
        unsafe { asm!("dc cvac, {}", in(reg) line, options(nostack)) };
    }
}

/// What stage 1 of EL2 no longer maps is seen by no core any more.
pub fn forget_own() {
    // SAFETY: invalidating is always allowed.
    unsafe { asm!("dsb ishst", "tlbi alle2is", "dsb ish", "isb", options(nostack)) };
}

/// Takes translations out of this core's TLBs: of one address in the space with this VMID, or of the whole space.
pub fn forget(vmid: u16, ipa: Option<u64>) {
    let running = VTTBR_EL2.get();
    dsb(barrier::ISHST);
    VTTBR_EL2.set(u64::from(vmid) << 48);
    isb(barrier::SY);
    // SAFETY: invalidating is always allowed. Stage 2 of one address, then what combines it with stage 1 (D5.10).
    unsafe {
        match ipa {
            Some(ipa) => {
                asm!("tlbi ipas2e1, {}", "dsb nsh", "tlbi vmalle1", "dsb nsh", in(reg) ipa >> 12, options(nostack))
            }
            None => asm!("tlbi vmalls12e1", "dsb nsh", options(nostack)),
        }
    }
    VTTBR_EL2.set(running);
    isb(barrier::SY);
}

/// The virtual counter, which is the physical one: CNTVOFF is 0 for all.
pub fn now() -> u64 {
    isb(barrier::SY);
    CNTVCT_EL0.get()
}

/// Hz of [`now`].
pub fn counter_hz() -> u64 {
    CNTFRQ_EL0.get()
}

/// Lets EL2's timer fire at `at`; `u64::MAX`: never.
pub fn alarm(at: u64) {
    if at == u64::MAX {
        CNTHP_CTL_EL2.set(0);
        return;
    }
    // SAFETY: CNTHP_CVAL_EL2 is EL2's own timer; writing it has no effect but when its interrupt comes.
    unsafe { asm!("msr cnthp_cval_el2, {}", in(reg) at, options(nomem, nostack)) };
    CNTHP_CTL_EL2.set(1);
}

/// Silences the guest's timer.
pub fn stop_guest_timer() {
    CNTV_CTL_EL0.set(0);
}

/// Wakes cores that wait by WFE.
pub fn wake_others() {
    aarch64_cpu::asm::sev();
}

/// Sleeps until an interrupt is pending, masked or not.
pub fn sleep() {
    dsb(barrier::SY);
    aarch64_cpu::asm::wfi();
}

/// Syndrome, faulting virtual address and page of the faulting IPA of the exception just taken.
pub fn fault() -> (u64, u64, u64) {
    // HPFAR_EL2.FIPA holds bits 47:12 of the IPA from bit 4 (D13.2.66); unknown on permission faults on hardware.
    (ESR_EL2.get(), FAR_EL2.get(), (HPFAR_EL2.get() & !0xf) << 8)
}

/// EL1's exception base.
pub fn el1_vector_base() -> u64 {
    VBAR_EL1.get()
}

/// Whether EL1 at `pc` faults on fetching its own vector, for ever: its last exception is an instruction abort of its own level (EC
/// 0x21), whose address is `pc`, in its vector table.
pub fn el1_lost(pc: u64) -> bool {
    let same = ELR_EL1.get() == pc && FAR_EL1.get() == pc;
    ESR_EL1.get() >> 26 == 0x21 && same && pc & !0x7ff == VBAR_EL1.get() & !0x7ff
}

/// Writes what EL1 reads after an exception.
pub fn set_el1_exception(syndrome: u64, pc: u64, state: u64) {
    ESR_EL1.set(syndrome);
    ELR_EL1.set(pc);
    SPSR_EL1.set(state);
}

/// This core's affinity, level 0.
pub fn core_number() -> usize {
    (MPIDR_EL1.get() & 0xff) as usize
}

/// Calls firmware.
pub fn smc(function: u64, a: u64, b: u64, c: u64) -> i64 {
    let result;
    // SAFETY: (1) the caller found a `psci` node, so SMC is defined; (2) by SMCCC x4..x17 are at most clobbered; (3) PSCI functions
    // touch no memory of ours.
    unsafe {
        asm!(
            "smc #0",
            inout("x0") function => result,
            inout("x1") a => _, inout("x2") b => _, inout("x3") c => _,
            out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _, out("x11") _,
            out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            options(nostack)
        )
    };
    result
}

/// Makes instructions written as data visible to fetches of all cores.
pub fn publish_code() {
    // SAFETY: invalidating instruction caches is always allowed. Data caches are coherent with them here (QEMU), or cleaned by
    // the caller.
    unsafe { asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack)) };
}
