//! File calls: handed to `fs`, with the waiting and the masks seen to here.

use super::{Call, Ended};
use crate::errno::{EFAULT, EINVAL, Errno};
use crate::fs::{Outcome, ProcessRow};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::signal::SigSet;
use crate::turns::Key;
use abi::linux::nr;
use alloc::vec::Vec;

/// AT_FDCWD as x0 holds it.
const HERE: u32 = -100i32 as u32;

impl<M: Machine> Kernel<M> {
    pub(super) fn file_call(&mut self, call: &Call) -> Ended {
        if let Err(e) = self.take_poll_mask(call) {
            return Ended::Result(e.to_result());
        }
        let rows = match self.rows_for(call) {
            Ok(rows) => rows,
            Err(e) => return Ended::Result(e.to_result()),
        };
        let outcome = self.with_files(call.serial, rows, |fs, caller, view| {
            fs.syscall(caller, call.number, &call.args, view)
        });
        match outcome {
            Some(Outcome::Done(value)) => Ended::Result(value),
            Some(Outcome::Again) => Ended::Again,
            Some(Outcome::Restart) => Ended::Restart,
            Some(Outcome::Block { on, deadline_us }) => {
                Ended::Block { keys: on.into_iter().map(Key::File).collect(), deadline_us }
            }
            None => Ended::Result(EFAULT.to_result()),
        }
    }

    /// ppoll and pselect6 replace the mask while they wait.
    fn take_poll_mask(&mut self, call: &Call) -> Result<(), Errno> {
        let repeated = self.threads.get(&call.serial).is_none_or(|t| t.repeated);
        let (address, size) = match call.number {
            nr::ppoll if !repeated => (call.args[3], call.args[4]),
            nr::pselect6 if !repeated && call.args[5] != 0 => {
                let [address, size] = self.read_words(call.serial, call.args[5])?;
                (address, size)
            }
            _ => return Ok(()),
        };
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

    /// The process table, if the call may ask for it: its path can lead into /proc. Making it for every call would cost more
    /// than most calls. ENOMEM: the heap has no room for it.
    fn rows_for(&mut self, call: &Call) -> Result<Vec<ProcessRow>, Errno> {
        let path = match call.number {
            nr::openat | nr::newfstatat | nr::readlinkat | nr::statx | nr::faccessat | nr::faccessat2 => {
                call.args[1]
            }
            nr::chdir | nr::statfs => call.args[0],
            nr::getdents64 if self.fd_in_proc(call.serial, call.args[0] as u32) => return self.rows(),
            _ => return Ok(Vec::new()),
        };
        let at_cwd = matches!(call.number, nr::chdir | nr::statfs) || call.args[0] as u32 == HERE;
        let Ok(path) = self.read_string(call.serial, path, 4096) else { return Ok(Vec::new()) };
        let plain = path.starts_with(b"/") || at_cwd && !self.cwd_in_proc(call.serial);
        let goes_up = path.windows(2).any(|w| w == b"..");
        let suspect =
            path.starts_with(b"/proc") || path.starts_with(b"/dev/") || path.windows(4).any(|w| w == b"proc");
        if plain && !suspect && !goes_up && !self.leads_by_link(&path) { Ok(Vec::new()) } else { self.rows() }
    }

    /// Links into /proc that are not under /dev: few, and known.
    fn leads_by_link(&self, path: &[u8]) -> bool {
        path.ends_with(b"mtab")
    }

    fn fd_in_proc(&self, serial: u64, fd: u32) -> bool {
        let shown = self.process(serial).map(|p| self.fs.show_fds(&p.fds)).unwrap_or_default();
        shown.iter().any(|(number, path)| *number == fd && path.starts_with(b"/proc"))
    }

    fn cwd_in_proc(&self, serial: u64) -> bool {
        self.process(serial).is_some_and(|p| self.fs.path_of(p.cwd).starts_with(b"/proc"))
    }
}
