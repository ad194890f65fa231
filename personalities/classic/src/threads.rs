//! Threads of a process: who they are, who shares a memory with whom, and how one ends.

use crate::fs::Fs;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::process::Process;
use crate::signal::Pending;
use crate::thread::Want;
use crate::turns::Serial;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// The process of a thread.
    pub(crate) fn process(&self, thread: Serial) -> Option<&Process> {
        self.procs.get(&self.threads.get(&thread)?.process)
    }

    /// The process of a thread.
    pub(crate) fn process_mut(&mut self, thread: Serial) -> Option<&mut Process> {
        self.procs.get_mut(&self.threads.get(&thread)?.process)
    }

    /// The threads of a process, ascending.
    pub(crate) fn threads_of(&self, process: Serial) -> Vec<Serial> {
        // A thread is never older than its process.
        let younger = self.threads.range(process..).map(|(_, t)| t);
        younger.filter(|t| t.process == process).map(|t| t.serial).collect()
    }

    /// Whether a process has more than one thread.
    pub(crate) fn has_several(&self, process: Serial) -> bool {
        self.threads.range(process..).filter(|(_, t)| t.process == process).nth(1).is_some()
    }

    /// Tasks: what counts against PROCESSES_MAX. A first thread that has ended counts as long as its number is in use.
    pub(crate) fn tasks(&self) -> usize {
        let without = self.procs.keys().filter(|first| !self.threads.contains_key(first)).count();
        self.threads.len() + without
    }

    /// Tells the turn rule who shares a memory: the threads of processes that have more than one, and their vfork children.
    pub(crate) fn note_sharers(&mut self) {
        let mut threads: BTreeMap<Serial, u32> = BTreeMap::new();
        self.threads.values().for_each(|t| *threads.entry(t.process).or_default() += 1);
        let several = threads.into_iter().filter(|(_, n)| *n > 1);
        let shared: BTreeSet<_> =
            several.filter_map(|(process, _)| self.procs.get(&process)).map(|p| p.space).collect();
        let memory =
            |process: Serial| self.procs.get(&process).map(|p| p.space).filter(|s| shared.contains(s));
        let sharers = self.threads.values().filter_map(|t| Some((t.serial, memory(t.process)?))).collect();
        self.turns.set_sharers(sharers);
    }

    /// Takes a thread out of the round and of all queues; the one whose step this is leaves at the step's end.
    pub(crate) fn retire(&mut self, serial: Serial) {
        if self.stepping != Some(serial) {
            self.turns.retire(serial);
        }
    }

    /// A thread is no more. A call of it that had done a part, or stood at a FIFO's door, is given up.
    pub(crate) fn drop_thread(&mut self, serial: Serial) {
        self.retire(serial);
        let Some(t) = self.threads.remove(&serial) else { return };
        if let Some(p) = self.procs.get_mut(&serial) {
            p.first_mask = t.mask;
        }
        if matches!(t.want, Some(Want::Call { number, .. }) if t.repeated && Fs::handles(number)) {
            let _ = self.fs.interrupt(t.tid, &t.progress);
        }
        if self.fp_owner == Some(serial) {
            self.fp_owner = None;
        }
    }

    /// A process with one thread has one set of pending signals.
    pub(crate) fn join_pending(&mut self, process: Serial) {
        let [only] = self.threads_of(process)[..] else { return };
        let (Some(t), Some(p)) = (self.threads.get_mut(&only), self.procs.get_mut(&process)) else { return };
        core::mem::take::<Pending>(&mut t.pending)
            .iter()
            .for_each(|(signal, info)| p.pending.add(signal, info));
    }

    /// Of several threads only `serial` is left (execve): it goes on as the first, with the process' number.
    pub(crate) fn become_only(&mut self, serial: Serial) -> Serial {
        let Some(process) = self.threads.get(&serial).map(|t| t.process) else { return serial };
        for other in self.threads_of(process).into_iter().filter(|&s| s != serial) {
            self.drop_thread(other);
        }
        if serial != process
            && let Some(mut t) = self.threads.remove(&serial)
        {
            t.serial = process;
            t.tid = self.procs.get(&process).map_or(t.tid, |p| p.pid);
            self.threads.insert(process, t);
            self.turns.rename_head(process);
            self.stepping = Some(process);
            if self.fp_owner == Some(serial) {
                self.fp_owner = Some(process);
            }
        }
        self.join_pending(process);
        self.note_sharers();
        process
    }
}
