//! State and memory digests (`docs/linux-abi.md`, "State digest").

use super::Kernel;
use crate::files::Numbering;
use crate::machine::Machine;
use crate::turns::{Place, Serial};
use abi::digest::{Digest, Encoder};
use abi::vote::Vote;

const NZCV: u64 = 0xf000_0000;

impl<M: Machine> Kernel<M> {
    /// Number of a process' state.
    fn state_number(&self, serial: Serial) -> u64 {
        match self.turns.place(serial) {
            Some(Place::Round) => 0,
            Some(Place::Waiting { .. }) => 1,
            Some(Place::Stopped) => 2,
            None => 3,
            Some(Place::Outside { .. }) => 4,
        }
    }

    /// Pages that a process is charged for.
    pub(crate) fn charge_of(&self, serial: Serial) -> u64 {
        crate::snapshot::charge(&self.threads, &self.memory, serial)
    }

    pub(crate) fn parent_pid(&self, parent: Serial) -> u32 {
        self.processes.get(parent).map_or(0, |p| p.pid)
    }

    pub(super) fn state_digest(&self) -> Digest {
        let mut e = Encoder::new("state");
        e.u64(self.turns.calls()).u64(self.execs).u64(self.processes.last_serial());
        e.u64(self.processes.last_pid().into()).u64(self.turns.base_us());
        e.u64(self.turns.round_length());
        self.turns.round().for_each(|s| _ = e.u64(s));
        self.turns.outside().for_each(|s| _ = e.u64(s));
        let mut numbering = Numbering::default();
        for p in self.processes.iter() {
            e.u64(p.serial).u64(p.pid.into()).u64(self.parent_pid(p.parent).into()).u64(p.pgid.into());
            e.u64(p.sid.into()).u64(self.state_number(p.serial)).u64(p.ended.unwrap_or(0) as u32 as u64);
            match p.ended {
                Some(_) => e.u64(0).u64(0).u64(0),
                None => {
                    e.u64(p.signals.pending_set()).u64(p.signals.ignored_set()).u64(p.signals.caught_set())
                }
            };
            e.u64(self.charge_of(p.serial));
            self.files.digest_table(p.serial, &mut numbering, &mut e);
        }
        for pipe in self.files.digest_handles(&numbering, &mut e) {
            e.bytes(&self.pipes.contents(pipe));
        }
        let t = &self.terminal;
        e.bytes(t.modes()).u64(t.size[0].into()).u64(t.size[1].into());
        e.u64(t.foreground.into()).bytes(&t.queued());
        self.files.digest_layer(&mut e);
        e.finish()
    }

    /// Posts the digest of a process' memory if one is due, before its call is made.
    pub(super) fn say_memory(&mut self, me: Serial) {
        let Some(s) = self.threads.get_mut(&me).and_then(|t| t.digest_due.take()) else { return };
        self.settle_fp();
        let (Some(t), Ok(p)) = (self.threads.get(&me), self.processes.get(me)) else { return };
        if p.unagreed {
            return;
        }
        let mut e = Encoder::new("memory");
        e.u64(me);
        t.user.x.iter().for_each(|x| _ = e.u64(*x));
        e.u64(t.user.sp).u64(t.user.pc).u64(t.user.pstate & NZCV).u64(t.user.tls).u64(p.signals.mask);
        let Some(space) = self.memory.space(t.space) else { return };
        e.u64(space.brk);
        t.user.fp.v.iter().for_each(|v| _ = e.raw(&v.to_le_bytes()));
        e.u64(t.user.fp.fpsr).u64(t.user.fp.fpcr);
        space.digest(&mut e);
        let (process, pid, digest) = (me, p.pid, e.finish());
        self.machine.post(&Vote::Memory { s, process, pid, digest });
    }
}
