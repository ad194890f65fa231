//! What was released: to hold late votes against, and to know how long a voter has been missing.

use abi::digest::Digest;

/// So many effects back can a late voter be compared; one that is further behind has lost its place.
pub const HISTORY: usize = 4096;

/// One released effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The quorum's digest.
    pub digest: Digest,
    /// The call, as the quorum says.
    pub call: u64,
    /// Who agreed, a bit a domain.
    pub agreed: u64,
    /// When.
    pub at_us: u64,
}

/// The last [`HISTORY`] released effects.
pub struct History {
    ring: [Released; HISTORY],
    count: u64,
}

fn slot(n: u64) -> usize {
    (n % HISTORY as u64) as usize
}

impl History {
    pub const fn new() -> Self {
        History { ring: [Released { digest: [0; 32], call: 0, agreed: 0, at_us: 0 }; HISTORY], count: 0 }
    }

    /// Effects released so far; also the number of the next.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Nothing was released here yet, and the first will be effect `n`.
    pub fn begin(&mut self, n: u64) {
        if self.count == 0 {
            self.count = n;
        }
    }

    pub fn push(&mut self, released: Released) {
        if let Some(row) = self.ring.get_mut(slot(self.count)) {
            *row = released;
        }
        self.count = self.count.saturating_add(1);
    }

    /// Effect `n`; `None` when it was not released, or too long ago.
    pub fn get(&self, n: u64) -> Option<&Released> {
        let age = self.count.checked_sub(n).filter(|age| (1..=HISTORY as u64).contains(age));
        age.and_then(|_| self.ring.get(slot(n)))
    }
}
