//! The calls of `abi::hypercall`: decode, check everything, perform. Whatever a caller passes is a claim.

use crate::arch::registers;
use crate::console::Part;
use crate::core_local::Core;
use crate::hole::{Hole, hole};
use crate::interrupts::{self, notify};
use crate::ready::note;
use crate::{crash, memory, say, shared, traps};
use abi::capability::BUFFER_WORDS;
use abi::handover::MANAGES;
use abi::hypercall::{Call, Error, Inject, TEXT_BUDGET, TEXT_MAX};
use board::power;

/// What a call answers in x0 and, if there is a second result, x1.
type Answer = Result<Outcome, Error>;

/// How a call ends.
enum Outcome {
    /// x0 = 0.
    Done,
    /// x0 = 0, x1 = this.
    Word(u64),
    /// The caller's registers are not to be touched: it waits or is dead.
    NoAnswer,
}

/// Performs the call in the current domain's registers.
pub fn handle(core: &mut Core) {
    let number = core.frame().x[8];
    let [a, b, ..] = core.frame().x;
    #[cfg(feature = "crash-test")]
    crash::on_demand(number);
    let answer = match Call::from_number(number) {
        None => Err(Error::UnknownCall),
        Some(Call::Null) => Ok(Outcome::Done),
        Some(Call::Text) => text(core, a, b),
        Some(Call::Signal) => signal(core, a),
        Some(Call::Wait) => wait(core, a),
        Some(Call::Poll) => poll(core),
        Some(Call::IrqAck) => irq_ack(core, a),
        Some(Call::Crash) => crashed(core, a, b),
        Some(Call::Inject) => inject(core, a, b),
        Some(Call::PowerOff) => power_off(core),
        Some(Call::Yield) => {
            core.store.memory.note(note::SLICE_OVER);
            Ok(Outcome::Done)
        }
        Some(Call::Buffer) => buffer(core, a),
    };
    match answer {
        Ok(Outcome::Done) => core.frame().x[0] = 0,
        Ok(Outcome::Word(word)) => {
            let x = &mut core.frame().x;
            (x[0], x[1]) = (0, word);
        }
        Ok(Outcome::NoAnswer) => {}
        Err(e) => core.frame().x[0] = e as i64 as u64,
    }
}

/// Copies a text of the caller once; the copy is what is checked and printed.
fn copy_text<'b>(
    core: &Core,
    address: u64,
    length: u64,
    buffer: &'b mut [u8; TEXT_MAX as usize],
) -> Result<&'b [u8], Error> {
    if length > TEXT_MAX {
        return Err(Error::BadArgument);
    }
    let from = core.own_memory(address, length).ok_or(Error::BadAddress)?;
    let bytes = &mut buffer[..length as usize];
    memory::read(from, bytes);
    Ok(bytes)
}

fn text(core: &mut Core, address: u64, length: u64) -> Answer {
    let mut buffer = [0; TEXT_MAX as usize];
    let bytes = copy_text(core, address, length, &mut buffer)?;
    let (_, domain) = core.current_domain().ok_or(Error::Denied)?;
    if domain.is(MANAGES) {
        say!(Part::Foreign(bytes));
        return Ok(Outcome::Done);
    }
    let current = core.current();
    let printed = &mut core.saved_mut(current).text;
    let used = printed.saturating_add(length);
    let was_open = *printed <= TEXT_BUDGET;
    *printed = used;
    if used > TEXT_BUDGET {
        if was_open {
            say!(
                "el2: ",
                &domain.name,
                " has printed ",
                TEXT_BUDGET >> 10,
                " KiB; what else it prints is dropped"
            );
        }
        return Err(Error::Exhausted);
    }
    say!("[", &domain.name, "] ", Part::Foreign(bytes));
    Ok(Outcome::Done)
}

fn signal(core: &mut Core, channel: u64) -> Answer {
    let (me, _) = core.current_domain().ok_or(Error::Denied)?;
    let given = core.plan.given;
    let index = usize::try_from(channel).map_err(|_| Error::BadArgument)?;
    let c = given.channels.get(index).ok_or(Error::BadArgument)?;
    let bit = 1 << index;
    if c.writer as usize == me {
        let mut readers = c.readers;
        while readers != 0 {
            notify(core, readers.trailing_zeros() as usize, bit);
            readers &= readers - 1;
        }
    } else if c.reads(me) {
        notify(core, c.writer as usize, bit);
    } else {
        return Err(Error::Denied);
    }
    Ok(Outcome::Done)
}

fn wait(core: &mut Core, deadline: u64) -> Answer {
    // Only domains of the manifest have notification words.
    core.current_domain().ok_or(Error::Denied)?;
    if core.in_kernel() {
        core.gic.retract_doorbell();
    }
    core.wait(deadline);
    Ok(Outcome::NoAnswer)
}

fn poll(core: &mut Core) -> Answer {
    let (me, _) = core.current_domain().ok_or(Error::Denied)?;
    if core.in_kernel() {
        core.gic.retract_doorbell();
    }
    Ok(Outcome::Word(shared::take_word(me)))
}

fn irq_ack(core: &mut Core, intid: u64) -> Answer {
    let (_, domain) = core.current_domain().ok_or(Error::Denied)?;
    if hole(Hole::Interrupt) {
        core.gic.unmask(intid as u32 & 1023);
        return Ok(Outcome::Done);
    }
    let intid = u32::try_from(intid).ok().filter(|&i| domain.has_interrupt(i));
    core.gic.unmask(intid.ok_or(Error::BadArgument)?);
    Ok(Outcome::Done)
}

fn crashed(core: &mut Core, address: u64, length: u64) -> Answer {
    let mut buffer = [0; TEXT_MAX as usize];
    // A domain that gives up badly still gives up.
    let bytes =
        copy_text(core, address, length.min(TEXT_MAX), &mut buffer).unwrap_or(b"(no readable message)");
    traps::kill(core, traps::Cause::Itself, &["gave up: ".into(), Part::Foreign(bytes)]);
    Ok(Outcome::NoAnswer)
}

fn inject(core: &mut Core, domain: u64, kind: u64) -> Answer {
    let (_, me) = core.current_domain().ok_or(Error::Denied)?;
    if !me.is(MANAGES) && !hole(Hole::Inject) {
        return Err(Error::Denied);
    }
    let kind = Inject::ALL.into_iter().find(|k| *k as u64 == kind).ok_or(Error::BadArgument)?;
    let index = usize::try_from(domain).map_err(|_| Error::BadArgument)?;
    let partition = core.plan.given.domains.get(index).ok_or(Error::BadArgument)?;
    let target = partition.core as usize;
    if target == core.id {
        // The answer first: an injected crash of the caller itself changes its registers afterwards.
        core.frame().x[0] = 0;
        if let Some(at) = core.domain_of(index) {
            interrupts::inject(core, at, kind);
        }
        return Ok(Outcome::NoAnswer);
    }
    shared::post(target, index, kind);
    core.gic.knock(target);
    Ok(Outcome::Done)
}

fn buffer(core: &mut Core, address: u64) -> Answer {
    if !address.is_multiple_of(8) || (address & 4095) + BUFFER_WORDS * 8 > 4096 {
        return Err(Error::BadArgument);
    }
    let current = core.current();
    core.saved_mut(current).buffer = address;
    Ok(Outcome::Done)
}

fn power_off(core: &mut Core) -> Answer {
    let (_, me) = core.current_domain().ok_or(Error::Denied)?;
    if !me.is(MANAGES) && !hole(Hole::PowerOff) {
        return Err(Error::Denied);
    }
    say!("el2: power off");
    let board = &core.plan.given.board;
    if board.psci.cpu_on != 0 {
        registers::smc(board.psci.system_off, 0, 0, 0);
    }
    match board.power_manager {
        0 => say!("el2: firmware cannot turn the machine off; core ", core.id, " stops"),
        address => power::off(memory::device(address)),
    }
    crash::stop()
}
