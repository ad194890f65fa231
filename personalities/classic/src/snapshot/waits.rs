//! What the threads of a snapshot wait for.

use super::Wrong;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::process::Want;
use crate::turns::{Key, Serial};
use abi::linux::nr;
use abi::snapshot::State;
use alloc::vec::Vec;

/// A process in the middle of a call stands there again: in the queues of what it waits for, and as an end of a FIFO that it opens.
pub(super) fn resume<M: Machine>(
    k: &mut Kernel<M>,
    serial: Serial,
    state: State,
    came: bool,
) -> Result<(), Wrong> {
    let p = k.procs.get(&serial).ok_or("a call of nobody")?;
    let Some(Want::Call { number, args }) = p.want else { return Err("a process in the middle of no call") };
    let (deadline_us, child) = (p.progress.deadline_us, p.vfork_child);
    if number == nr::openat {
        k.with_files(serial, Vec::new(), |fs, caller, view| fs.begin_opener(caller, &args, view, came))
            .ok_or("a call without memory")??;
    }
    if state != State::Waiting {
        return Ok(());
    }
    let keys = match number {
        nr::clone => Vec::from([Key::Vfork(child.ok_or("a thread waits in clone for nobody")?)]),
        nr::wait4 => Vec::from([Key::Children(serial)]),
        nr::nanosleep | nr::clock_nanosleep | nr::futex | nr::rt_sigsuspend => Vec::new(),
        _ => {
            let keys = k
                .with_files(serial, Vec::new(), |fs, caller, view| fs.waits_for(caller, number, &args, view));
            keys.ok_or("a call without memory")??.into_iter().map(Key::File).collect()
        }
    };
    k.turns.resume_wait(serial, keys, deadline_us);
    Ok(())
}
