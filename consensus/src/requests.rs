//! The plain application: each input is delivered once, in the agreed order. For models and measurements.

use crate::Ticks;
use crate::batch::{Batch, BatchWriter};
use crate::inputs::Full;
use crate::intake::Intake;
use crate::replica::{Application, Channel, Check, Output, Rekey};
use crate::wire::{Reader, Writer};

/// Inputs in, inputs out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requests<const ORIGINS: usize, const COUNT: usize, const BYTES: usize> {
    intake: Intake<ORIGINS, COUNT, BYTES>,
}

impl<const ORIGINS: usize, const COUNT: usize, const BYTES: usize> Requests<ORIGINS, COUNT, BYTES> {
    /// See [`Intake::push`].
    pub fn push(&mut self, origin: u8, number: u64, payload: &[u8], now: Ticks) -> Result<(), Full> {
        self.intake.push(origin, number, payload, now)
    }

    /// See [`Intake::done`].
    pub fn done(&self, origin: u8) -> u64 {
        self.intake.done(origin)
    }
}

impl<const ORIGINS: usize, const COUNT: usize, const BYTES: usize> Application
    for Requests<ORIGINS, COUNT, BYTES>
{
    fn propose(&mut self, _: Ticks, batch: &mut BatchWriter<'_>) {
        self.intake.propose(batch);
    }

    fn check(&self, _: Ticks, batch: Batch<'_>) -> Check {
        let mut checks = batch.runs().map(|run| self.intake.check(run));
        checks.find(|c| *c != Check::Valid).unwrap_or(Check::Valid)
    }

    fn execute(&mut self, n: u64, batch: Batch<'_>, out: &mut impl Output) -> Option<Rekey> {
        for run in batch.runs() {
            for item in run.items() {
                if self.intake.execute(&item) {
                    out.deliver(n, Channel::Log, item.payload);
                }
            }
        }
        None
    }

    fn begin_view(&mut self) {
        self.intake.begin_view();
    }

    fn proposed(&mut self, batch: Batch<'_>) {
        batch.items().for_each(|item| self.intake.proposed(&item));
    }

    fn oldest(&self) -> Option<Ticks> {
        self.intake.oldest()
    }

    fn snapshot(&self, out: &mut [u8]) -> Option<usize> {
        let mut w = Writer::new(out);
        self.intake.snapshot(&mut w)?;
        Some(w.length())
    }

    fn restore(&mut self, state: &[u8]) -> bool {
        let mut r = Reader(state);
        let done = Intake::<ORIGINS, COUNT, BYTES>::read(&mut r).filter(|_| r.0.is_empty());
        done.map(|done| self.intake.restore(done)).is_some()
    }
}
