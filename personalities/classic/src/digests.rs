//! State digests, field by field as `docs/linux-abi.md` ("State digest") lists them.

use crate::kernel::Kernel;
use crate::machine::{Machine, NZCV, PAGE_BYTES, Rights};
use crate::process::{Effect, Life, Process};
use crate::signal::{SIG_IGN, SIGNALS_MAX, SigSet};
use crate::space::{Page, UserView};
use crate::turns::Serial;
use abi::digest::{Digest, Encoder};
use abi::layout::PAGE;
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// Digest of the kernel-held state.
    pub(crate) fn state_digest(&mut self) -> Digest {
        let mut e = Encoder::new("state");
        e.u64(self.turns.call()).u64(self.execs).u64(self.last_serial);
        e.u64(u64::from(self.last_pid)).u64(self.turns.base_us());
        e.u64(self.turns.round().len() as u64);
        for serial in self.turns.round() {
            e.u64(serial);
        }
        for serial in self.turns.outside() {
            e.u64(serial);
        }
        let mut numbering = Vec::new();
        for p in self.procs.values() {
            self.digest_process(p, &mut e);
            self.fs.digest_fds(&p.fds, &mut numbering, &mut e);
            e.u64(if p.life == Life::Zombie { 0 } else { p.cwd });
        }
        self.fs.digest_rest(&numbering, &mut e);
        e.finish()
    }

    fn digest_process(&self, p: &Process, e: &mut Encoder) {
        let state = match p.life {
            Life::Zombie => 3,
            Life::Stopped => 2,
            Life::Alive if self.turns.is_waiting(p.serial) => 1,
            Life::Alive if self.turns.skipped_at(p.serial).is_some() => 4,
            Life::Alive => 0,
        };
        let (mut ignored, mut caught) = (SigSet::default(), SigSet::default());
        for signal in 1..=SIGNALS_MAX {
            if p.action(signal).handler == SIG_IGN {
                ignored.add(SigSet::of(signal));
            } else if p.effect_of(signal) == Effect::Handled {
                caught.add(SigSet::of(signal));
            }
        }
        let ids = [p.serial, p.pid.into(), self.pid_of(p.parent).into(), p.pgid.into(), p.sid.into()];
        let sets = if p.life == Life::Zombie { [0; 3] } else { [p.pending.0, ignored.0, caught.0] };
        for value in ids.into_iter().chain([state, p.status as u64]).chain(sets).chain([self.charge_of(p)]) {
            e.u64(value);
        }
    }

    /// Digest of a process' registers and memory, before its call is made.
    pub(crate) fn memory_digest(&mut self, serial: Serial) -> Digest {
        self.save_fp();
        let mut e = Encoder::new("memory");
        let Some(p) = self.procs.get(&serial) else { return e.finish() };
        e.u64(serial);
        let r = &p.registers;
        for value in r.x.into_iter().chain([r.sp, r.pc, r.pstate & NZCV, r.tpidr, p.mask.0]) {
            e.u64(value);
        }
        let Some(shared) = self.spaces.get(&p.space) else { return e.finish() };
        e.u64(shared.space.brk);
        for v in p.fp.v {
            e.raw(&v.to_le_bytes());
        }
        e.u64(p.fp.fpsr).u64(p.fp.fpcr);
        let areas = shared.space.areas();
        let mut i = 0;
        while let Some(first) = areas.get(i) {
            // Adjacent mappings with equal rights count as one, whatever this kernel keeps them as.
            let joins = |a: &&crate::space::Area| a.rights == first.rights && a.charged == first.charged;
            let mut end = first.end;
            let mut n = 1;
            while let Some(next) = areas.get(i + n).filter(joins).filter(|a| a.start == end) {
                end = next.end;
                n += 1;
            }
            e.u64(first.start).u64(end).u64(u64::from(first.rights.0));
            for area in areas.iter().skip(i).take(n).filter(|a| a.charged) {
                let mut at = area.start;
                while at < area.end {
                    match area.page(at) {
                        Page::Frame(frame) => e.raw(self.m.frame(frame)),
                        Page::Image(bytes) => e.raw(bytes),
                        Page::Untouched | Page::Beyond => e.raw(&[0; PAGE_BYTES]),
                    };
                    at += PAGE;
                }
            }
            i += n;
        }
        e.finish()
    }

    /// A fault on demand: the lowest byte of the lowest writable page is inverted.
    pub(crate) fn invert_a_byte(&mut self, serial: Serial) {
        let Some(UserView { machine, space, budget }) = self.view(serial) else { return };
        let Some(at) = space.areas().iter().find(|a| a.rights.has(Rights::WRITE)).map(|a| a.start) else {
            return;
        };
        let mut view = UserView { machine, space, budget };
        let mut byte = [0];
        if crate::user::UserMemory::read(&mut view, at, &mut byte).is_ok() {
            view.copy_in(at, &[!byte[0]]);
        }
    }
}
