//! Reading and writing the terminal.

use super::transfer::{NONBLOCK, Parts, total};
use super::{Outcome, done, ok};
use crate::errno::*;
use crate::process::{Thing, Wait};
use crate::signals::number::*;
use crate::space::WRITE;
use crate::state::{Open, State};
use abi::turn::TTY_SLICE;
use abi::vote::EffectKind;

impl State {
    pub(super) fn read_terminal(&mut self, s: u64, open: &Open, parts: &Parts) -> Result<Outcome> {
        if let Some(outcome) = self.job_control(s, SIGTTIN) {
            return outcome;
        }
        if total(parts) == 0 {
            return ok();
        }
        if !self.tty.is_readable() {
            if open.flags & NONBLOCK != 0 {
                return Err(EAGAIN);
            }
            let (minimum, time) = self.tty.minimum();
            if !self.tty.is_canonical() && minimum == 0 {
                if time == 0 {
                    return ok();
                }
                let now = self.clock();
                let deadline = *self.progress(s).deadline.get_or_insert(now + u64::from(time) * 100_000);
                if deadline <= now {
                    return ok();
                }
                return Ok(Outcome::Wait(Wait { things: alloc::vec![Thing::Terminal], deadline }));
            }
            return Ok(Outcome::Wait(Wait::on(Thing::Terminal)));
        }
        let parts = self.reachable(s, parts, WRITE)?;
        let bytes = self.tty.take(total(&parts) as usize).unwrap_or_default();
        self.scatter(s, &parts, &bytes).and_then(done)
    }

    pub(super) fn write_terminal(&mut self, s: u64, parts: &Parts) -> Result<Outcome> {
        let already = self.progress(s).done;
        if self.tty.stops_writers()
            && self.job_deaf(s, SIGTTOU).is_none()
            && let Some(outcome) = self.job_control(s, SIGTTOU)
        {
            return outcome;
        }
        let count = total(parts);
        if count == 0 {
            return ok();
        }
        let bytes = match self.gather(s, parts, already, count.saturating_sub(already).min(TTY_SLICE as u64))
        {
            Err(_) if already > 0 => return done(already),
            other => other?,
        };
        if bytes.is_empty() {
            return done(already);
        }
        let now = already + bytes.len() as u64;
        self.effect(EffectKind::TtyOutput, bytes);
        if now >= count {
            return done(now);
        }
        self.progress(s).done = now;
        Ok(Outcome::Again)
    }

    /// Whether a process blocks or ignores a signal of job control.
    pub fn job_deaf(&self, s: u64, signal: u8) -> Option<()> {
        let sig = &self.process(s).signals;
        let deaf = sig.mask & crate::signals::bit(signal) != 0
            || sig.action(signal).handler == crate::signals::IGNORE;
        deaf.then_some(())
    }
}
