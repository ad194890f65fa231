//! What comes from below: calls, interrupts, faults. One exhaustive decision per exception class.

use crate::arch::registers;
use crate::console::Part;
use crate::core_local::Core;
use crate::domain::{self, hold};
use crate::ready::note;
use crate::{calls, interrupts, invoke, say, shared};
use abi::bootinfo::ENDED_ITSELF;
use abi::handover::KERNEL;
use abi::hypercall::NOTIFY_DOMAIN;

/// Why a domain died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It said so.
    Itself,
    /// An exception: its class, and the address it was about.
    Exception(u64, u64),
}

/// A trap from below; afterwards `core.frame` is of the domain that goes on.
pub fn from_lower(core: &mut Core, vector: u64) {
    let current = core.current();
    let saved = core.saved_mut(current);
    saved.exits = saved.exits.wrapping_add(1);
    shared::set_exits(saved.index, saved.exits);
    // Vectors 4 to 7 are the same, from an AArch32 program of a kernel.
    match vector & 3 {
        0 => synchronous(core),
        1 | 2 => {
            interrupts::serve(core);
            core.store.memory.note(note::NEWS);
            lost(core);
        }
        // SError.
        _ => {
            let (syndrome, address, _) = registers::fault();
            let class = syndrome >> 26;
            let what = ["vector ".into(), vector.into(), ", syndrome ".into(), Part::Hex(syndrome)];
            kill(core, Cause::Exception(class, address), &what);
        }
    }
    if !core.goes_on() {
        core.dispatch();
    }
}

/// Ends a kernel that cannot fetch its own exception vector: it would fault there for ever, at its own level. Interrupts are the only
/// occasion on which EL2 can see it.
fn lost(core: &mut Core) {
    let current = core.current();
    // Another core may have had it suspended.
    if current == 0 {
        return;
    }
    let pc = core.frame().pc;
    if core.in_kernel() && core.saved(current).is_free() && registers::el1_lost(pc) {
        let what = ["its exception vector ".into(), Part::Hex(pc), " is not executable".into()];
        kill(core, Cause::Exception(0x21, pc), &what);
    }
}

fn synchronous(core: &mut Core) {
    let (syndrome, address, ipa_page) = registers::fault();
    let class = syndrome >> 26;
    match (class, core.in_kernel()) {
        // SVC of a service, HVC of a kernel: the pc is behind it already.
        (0x15, false) | (0x16, true) => calls::handle(core),
        (0x07, _) => core.give_float(),
        // WFI or WFE of a service; WFI of a kernel that is not alone on its core.
        (0x01, kernel) => {
            skip(core);
            core.store.memory.note(note::SLICE_OVER);
            if kernel {
                core.keep(core.current(), hold::ASLEEP);
            }
        }
        // SMC: no firmware for guests. PSCI's and SMCCC's NOT_SUPPORTED.
        (0x17, true) => {
            core.frame().x[0] = -1i64 as u64;
            skip(core);
        }
        (0x18, true) => system_register(core, syndrome),
        // An abort at stage 2: for the virtual address see FAR, for the page HPFAR (unknown on permission faults on hardware).
        (0x20 | 0x24, _) => {
            let at = if core.in_kernel() { ipa_page | address & 0xfff } else { address };
            if !invoke::fault(core, syndrome, at) {
                let what = [abort(syndrome).into(), " at ".into(), Part::Hex(at)];
                kill(core, Cause::Exception(class, at), &what);
            }
        }
        _ if invoke::fault(core, syndrome, address) => {}
        _ => {
            let what = [name(class).into(), ", syndrome ".into(), Part::Hex(syndrome)];
            kill(core, Cause::Exception(class, address), &what);
        }
    }
}

/// The current domain goes on behind its instruction.
fn skip(core: &mut Core) {
    let frame = core.frame();
    frame.pc = frame.pc.wrapping_add(4);
}

/// Op0, Op1, CRn, CRm and Op2 of MDSCR_EL1 in a trap's syndrome, and the mask of those fields (D13.2.37, EC 0x18).
const MDSCR: u64 = 2 << 20 | 2 << 17 | 2 << 1;
const REGISTER: u64 = 3 << 20 | 7 << 17 | 7 << 14 | 15 << 10 | 15 << 1;

/// Of MDSCR_EL1 a kernel has the bit SS. Else debug and performance registers read as zero and ignore writes, so that kernels made
/// for bare machines start; set/way cache maintenance does nothing; everything else is undefined.
fn system_register(core: &mut Core, syndrome: u64) {
    let op0 = syndrome >> 20 & 3;
    let (crn, crm) = (syndrome >> 10 & 15, syndrome >> 1 & 15);
    let ignored = match (op0, crn) {
        (2, _) => true,
        (3, 9) => crm >= 12,
        (3, 14) => crm >= 8,
        (1, 7) => true,
        _ => false,
    };
    if !ignored {
        return undefined(core);
    }
    let (read, register) = (syndrome & 1 == 1, (syndrome >> 5 & 31) as usize);
    let single_step = syndrome & REGISTER == MDSCR;
    match (read, core.frame().x.get_mut(register)) {
        (true, Some(x)) => *x = u64::from(single_step && registers::single_step()),
        (true, None) => {}
        (false, x) if single_step => registers::set_single_step(x.is_some_and(|x| *x & 1 != 0)),
        (false, _) => {}
    }
    skip(core);
}

/// Lets EL1 find an undefined instruction, as the processor would (D1.10.2: vector by where it came from).
fn undefined(core: &mut Core) {
    let frame = core.frame();
    let from = frame.state & 0xf;
    let offset = match from {
        0b0101 => 0x200,
        0b0100 => 0x000,
        _ => 0x400,
    };
    // EC 0 (unknown reason), IL.
    registers::set_el1_exception(1 << 25, frame.pc, frame.state);
    frame.pc = registers::el1_vector_base().wrapping_add(offset);
    frame.state = domain::STATE_EL1;
}

/// Ends the current domain: says who, what and where, marks it, and tells the services.
pub fn kill(core: &mut Core, cause: Cause, what: &[Part<'_>]) {
    let current = core.current();
    core.keep(current, hold::DEAD);
    let Some((index, domain)) = core.current_domain() else { return };
    if core.in_kernel() {
        registers::stop_guest_timer();
    }
    let pc = core.frame().pc;
    defmt::warn!("domain {=usize} crashed, pc {=u64:#x}", index, pc);
    let who = &domain.name;
    say!("el2: ", who, " crashed: ", Part::Parts(what), "; pc ", Part::Hex(pc), ", core ", core.id);
    let (class, address) = match cause {
        Cause::Itself => (ENDED_ITSELF, 0),
        Cause::Exception(class, address) => (class as u32, address),
    };
    shared::set_crashed(index, class, pc, address);
    tell_of_change(core);
}

/// Tells the services that the state of a domain changed.
pub fn tell_of_change(core: &mut Core) {
    let plan = core.plan;
    for (d, domain) in plan.given.domains.iter().enumerate() {
        if !domain.is(KERNEL) {
            interrupts::notify(core, d, 1 << NOTIFY_DOMAIN);
        }
    }
}

/// An abort in words.
fn abort(syndrome: u64) -> &'static str {
    const TEXTS: [[&str; 3]; 3] = [
        ["execution forbidden by stage 2", "write forbidden by stage 2", "read forbidden by stage 2"],
        ["fetch where nothing is", "write where nothing is", "read where nothing is"],
        ["fetch aborted", "write aborted", "read aborted"],
    ];
    let how = match syndrome & 0x3c {
        0x0c => 0,
        0x00 | 0x04 => 1,
        _ => 2,
    };
    let (fetch, write) = (syndrome >> 26 == 0x20, syndrome & 1 << 6 != 0);
    TEXTS[how][if fetch { 0 } else { 2 - usize::from(write) }]
}

/// An exception class in words (D13.2.37).
fn name(class: u64) -> &'static str {
    const NAMES: [(u64, &str); 14] = [
        (0x00, "undefined instruction"),
        (0x01, "WFI or WFE"),
        (0x0e, "illegal execution state"),
        (0x15, "SVC from a kernel's level"),
        (0x16, "HVC"),
        (0x17, "SMC"),
        (0x18, "forbidden system register"),
        (0x22, "misaligned pc"),
        (0x26, "misaligned stack pointer"),
        (0x2f, "SError"),
        (0x30, "debug exception"),
        (0x32, "debug exception"),
        (0x34, "debug exception"),
        (0x3c, "BRK"),
    ];
    NAMES.iter().find(|(known, _)| *known == class).map_or("unexpected exception", |(_, name)| name)
}
