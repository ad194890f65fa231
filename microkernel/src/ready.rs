//! Who can run: queues of domains, linked through their pages.
//!
//! The capability model says who was woken and who must stop; the queues belong to its [`Direct`] memory, so that it can tell at once and nobody
//! has to look for it.

use crate::memory::Direct;

/// Services with budget, kernels with budget, who has none left, and who was woken and is not sorted yet.
pub const QUEUES: usize = 4;
/// Who runs only when nobody else wants to.
pub const BACKGROUND: u64 = 2;
/// Who was woken.
pub const WOKEN: u64 = 3;

/// More bits of [`Ready::mask`]: why somebody else may have to run. Those who were woken are one reason, too.
pub mod note {
    /// Somebody may have a reason to wake: his word, his time, an interrupt.
    pub const NEWS: u64 = 1 << 4;
    /// The current domain waits or is gone.
    pub const STOPPED: u64 = 1 << 5;
    /// It must give way if another of its class wants to run.
    pub const SLICE_OVER: u64 = 1 << 6;
    /// A whole space went, or a domain got another: the current domain's may not be what the processor has.
    pub const RESPACED: u64 = 1 << 7;
}

/// Heads and tails.
#[derive(Debug, Default)]
pub struct Ready {
    heads: [u64; QUEUES],
    tails: [u64; QUEUES],
    /// Bit n: queue n is not empty. Above: [`note`].
    pub mask: u64,
}

impl Direct {
    /// Notes reasons to look who runs.
    #[inline(always)]
    pub fn note(&mut self, what: u64) {
        self.ready.mask |= what;
    }

    /// Whether something is noted; it is no more.
    pub fn take_note(&mut self, what: u64) -> bool {
        let noted = self.ready.mask & what != 0;
        self.ready.mask &= !what;
        noted
    }

    /// `domain` joins a queue at its end, unless it is in one.
    pub fn enqueue(&mut self, domain: u64, queue: u64) {
        if self.saved(domain).queue != 0 || queue >= QUEUES as u64 {
            return;
        }
        let q = queue as usize;
        let last = core::mem::replace(&mut self.ready.tails[q], domain);
        let saved = self.saved_mut(domain);
        saved.queue = queue + 1;
        saved.previous = last;
        saved.next = 0;
        match last {
            0 => self.ready.heads[q] = domain,
            last => self.saved_mut(last).next = domain,
        }
        self.ready.mask |= 1 << queue;
    }

    /// `domain` leaves its queue, if it is in one.
    pub fn dequeue(&mut self, domain: u64) {
        let saved = self.saved_mut(domain);
        let (next, previous) = (saved.next, saved.previous);
        let Some(queue) = saved.queue.checked_sub(1) else { return };
        let q = queue as usize & (QUEUES - 1);
        (saved.next, saved.previous, saved.queue) = (0, 0, 0);
        match previous {
            0 => self.ready.heads[q] = next,
            previous => self.saved_mut(previous).next = next,
        }
        match next {
            0 => self.ready.tails[q] = previous,
            next => self.saved_mut(next).previous = previous,
        }
        if self.ready.heads[q] == 0 {
            self.ready.mask &= !(1 << queue);
        }
    }

    /// The first of a queue.
    pub fn first(&self, queue: u64) -> Option<u64> {
        self.ready.heads.get(queue as usize).copied().filter(|&domain| domain != 0)
    }

    /// The one behind `domain` in its queue.
    pub fn after(&self, domain: u64) -> Option<u64> {
        Some(self.saved(domain).next).filter(|&next| next != 0)
    }

    /// The first queue of those that are sorted that is not empty.
    pub fn best(&self) -> Option<u64> {
        let sorted = self.ready.mask & ((1 << WOKEN) - 1);
        (sorted != 0).then(|| u64::from(sorted.trailing_zeros()))
    }
}
