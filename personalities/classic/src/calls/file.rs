//! File calls: handed to `fs`, with the waiting and the masks seen to here.

use super::{Call, Ended};
use crate::errno::{EFAULT, EINVAL, Errno};
use crate::fs::Outcome;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::signal::SigSet;
use crate::turns::Key;
use abi::linux::nr;
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    pub(super) fn file_call(&mut self, call: &Call) -> Ended {
        if let Err(e) = self.take_poll_mask(call) {
            return Ended::Result(e.to_result());
        }
        // What a call asks of /proc is told by making it: it fails at what is missing before it changes anything.
        let mut details = Vec::new();
        let outcome = loop {
            let made = self.with_files_and(call.serial, &details, |fs, caller, view| {
                fs.syscall(caller, call.number, &call.args, view)
            });
            match made {
                Some((_, Some(pid))) => match self.row_of(pid) {
                    Ok(row) => details.push(row),
                    Err(e) => return Ended::Result(e.to_result()),
                },
                Some((outcome, None)) => break Some(outcome),
                None => break None,
            }
        };
        match outcome {
            Some(Outcome::Done(value)) => Ended::Result(value),
            Some(Outcome::Again) => Ended::Again,
            Some(Outcome::Expired) => Ended::Expired,
            Some(Outcome::Restart) => Ended::Restart,
            Some(Outcome::Block { on, deadline_us }) => {
                Ended::Block { keys: on.into_iter().map(Key::File).collect(), deadline_us }
            }
            None => Ended::Result(EFAULT.to_result()),
        }
    }

    /// ppoll and pselect6 replace the mask while they wait. In Linux' order: where pselect6's mask is, the time to wait, the mask's size, the mask.
    fn take_poll_mask(&mut self, call: &Call) -> Result<(), Errno> {
        let repeated = self.threads.get(&call.serial).is_none_or(|t| t.repeated);
        let (address, size, timeout) = match call.number {
            nr::ppoll if !repeated => (call.args[3], call.args[4], call.args[2]),
            nr::pselect6 if !repeated && call.args[5] != 0 => {
                let [address, size] = self.read_words(call.serial, call.args[5])?;
                (address, size, call.args[4])
            }
            _ => return Ok(()),
        };
        if timeout != 0 {
            self.read_timespec(call.serial, timeout)?;
        }
        if address == 0 {
            return Ok(());
        }
        if size != 8 {
            return Err(EINVAL);
        }
        let [mask] = self.read_words(call.serial, address)?;
        self.replace_mask(call.serial, SigSet(mask));
        Ok(())
    }

    /// The mask until the call ends.
    pub(super) fn replace_mask(&mut self, serial: u64, mask: SigSet) {
        if let Some(t) = self.threads.get_mut(&serial) {
            t.saved_mask = Some(t.mask);
            t.mask = mask.without(SigSet::UNBLOCKABLE);
        }
    }
}
