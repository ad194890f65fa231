//! What the threads of a snapshot wait for.

use super::Wrong;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::thread::Want;
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
    let t = k.threads.get(&serial).ok_or("a call of nobody")?;
    let Some(Want::Call { number, args }) = t.want else { return Err("a process in the middle of no call") };
    let (deadline_us, child) = (t.progress.deadline_us, t.vfork_child);
    if number == nr::openat {
        k.with_files(serial, |fs, caller, view| fs.begin_opener(caller, &args, view, came))
            .ok_or("a call without memory")??;
    }
    if number == nr::futex
        && let Some(t) = k.threads.get_mut(&serial)
    {
        t.came = came;
    }
    if state != State::Waiting {
        return Ok(());
    }
    let keys = match number {
        nr::clone => Vec::from([Key::Vfork(child.ok_or("a thread waits in clone for nobody")?)]),
        nr::wait4 => Vec::from([Key::Children(serial)]),
        nr::futex => k.futex_key(serial, args[0]).into_iter().collect(),
        nr::nanosleep | nr::clock_nanosleep | nr::rt_sigsuspend => Vec::new(),
        _ => {
            let keys = k.with_files(serial, |fs, caller, view| fs.waits_for(caller, number, &args, view));
            keys.ok_or("a call without memory")??.into_iter().map(Key::File).collect()
        }
    };
    k.turns.resume_wait(serial, keys, deadline_us);
    Ok(())
}
