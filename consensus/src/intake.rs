//! Input on its way into batches: what waits from each origin, what was proposed, what is done. The part that all applications share.

use crate::Ticks;
use crate::batch::{BatchWriter, Item, Run};
use crate::inputs::{Full, Inputs};
use crate::replica::Check;
use crate::seeded::{self, Bug};
use crate::wire::{Reader, Writer};

/// Input of `ORIGINS` origins, at most `COUNT` records of together `BYTES` bytes of each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Intake<const ORIGINS: usize, const COUNT: usize, const BYTES: usize> {
    waiting: [Inputs<COUNT, BYTES>; ORIGINS],
    /// Agreed: up to here the input of each origin is executed.
    done: [u64; ORIGINS],
    /// Local: up to here it is proposed in this view.
    proposed: [u64; ORIGINS],
}

impl<const ORIGINS: usize, const COUNT: usize, const BYTES: usize> Default for Intake<ORIGINS, COUNT, BYTES> {
    fn default() -> Self {
        Intake {
            waiting: core::array::from_fn(|_| Inputs::default()),
            done: [0; ORIGINS],
            proposed: [0; ORIGINS],
        }
    }
}

impl<const ORIGINS: usize, const COUNT: usize, const BYTES: usize> Intake<ORIGINS, COUNT, BYTES> {
    /// Takes record `number` (1, 2, ...) of `origin`'s ring, as this replica read it itself. One of an unknown origin is dropped.
    pub fn push(&mut self, origin: u8, number: u64, payload: &[u8], now: Ticks) -> Result<(), Full> {
        match (self.waiting.get_mut(usize::from(origin)), self.done.get(usize::from(origin))) {
            (Some(inputs), Some(done)) if number > *done => inputs.push(number, payload, now),
            _ => Ok(()),
        }
    }

    /// Puts into `batch` what waits and was not proposed yet; the origins take turns, so none keeps another out.
    #[inline]
    pub fn propose(&mut self, batch: &mut BatchWriter<'_>) {
        let mut open = [!seeded::has(Bug::PrimaryStarves); ORIGINS];
        while open.contains(&true) {
            for (origin, open) in open.iter_mut().enumerate().filter(|(_, open)| **open) {
                let next = self.proposed[origin].max(self.done[origin]) + 1;
                let fits = |payload| batch.push(origin as u8, next, payload);
                *open = self.waiting[origin].get(next).is_some_and(fits);
                if *open {
                    self.proposed[origin] = next;
                }
            }
        }
    }

    /// Whether this replica has read all of `run` itself, or it is executed already.
    #[inline]
    pub fn check(&self, run: Run<'_>) -> Check {
        let origin = usize::from(run.origin);
        let (Some(inputs), Some(done)) = (self.waiting.get(origin), self.done.get(origin)) else {
            return Check::Invalid;
        };
        if run.first > *done && inputs.are(run.first, run.items, run.length, run.payloads)
            || seeded::has(Bug::InputUnseen)
        {
            return Check::Valid;
        }
        let check = |item: Item<'_>| {
            if item.number <= *done || inputs.is(item.number, item.payload) {
                Check::Valid
            } else if inputs.get(item.number).is_some() || item.payload.len() > BYTES {
                Check::Invalid
            } else {
                Check::Later
            }
        };
        run.items().map(check).find(|c| *c != Check::Valid).unwrap_or(Check::Valid)
    }

    /// Whether `item` is the next of its origin: then it is done from now on, else it is passed over.
    #[inline]
    pub fn execute(&mut self, item: &Item<'_>) -> bool {
        let origin = usize::from(item.origin);
        let (Some(inputs), Some(done)) = (self.waiting.get_mut(origin), self.done.get_mut(origin)) else {
            return false;
        };
        let gap = item.number > *done + 1 && !seeded::has(Bug::GapExecuted);
        let again = item.number <= *done && !seeded::has(Bug::DuplicateExecuted);
        if gap && let Some(proposed) = self.proposed.get_mut(origin) {
            // An earlier one was nulled by a new view or found no room: from there on it is proposed again.
            *proposed = *done;
        }
        if gap || again {
            return false;
        }
        *done = item.number;
        inputs.release(item.number);
        true
    }

    /// See [`crate::replica::Application::begin_view`].
    pub fn begin_view(&mut self) {
        self.proposed = self.done;
    }

    /// See [`crate::replica::Application::proposed`].
    pub fn proposed(&mut self, item: &Item<'_>) {
        if let Some(proposed) = self.proposed.get_mut(usize::from(item.origin))
            && item.number == *proposed + 1
        {
            *proposed = item.number;
        }
    }

    /// When the oldest that waits arrived.
    #[inline]
    pub fn oldest(&self) -> Option<Ticks> {
        self.waiting.iter().filter_map(|w| w.oldest()).min()
    }

    /// Number of the last executed record of `origin`.
    pub fn done(&self, origin: u8) -> u64 {
        self.done.get(usize::from(origin)).copied().unwrap_or(0)
    }

    /// Writes the agreed part.
    pub fn snapshot(&self, w: &mut Writer<'_>) -> Option<()> {
        self.done.iter().try_for_each(|d| w.u64(*d).map(|_| ()))
    }

    /// Reads what [`Intake::snapshot`] wrote.
    pub fn read(r: &mut Reader<'_>) -> Option<[u64; ORIGINS]> {
        let mut done = [0; ORIGINS];
        for d in &mut done {
            *d = r.u64()?;
        }
        Some(done)
    }

    /// Takes over what [`Intake::read`] read.
    pub fn restore(&mut self, done: [u64; ORIGINS]) {
        for (inputs, done) in self.waiting.iter_mut().zip(done) {
            inputs.release(done);
        }
        self.done = done;
        self.proposed = done;
    }
}
