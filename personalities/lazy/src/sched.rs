//! Who runs user code between calls: earliest eligible virtual deadline first (I. Stoica, H. Abdel-Wahab, 1995). Tickless: a timer is set only if
//! somebody else could run, or somebody watches for a stuck thread.
//!
//! The order of effects does not depend on this at all (the turn rule); it decides only how soon the head gets to its next call.

/// A turn of the processor, microseconds of virtual time.
pub const SLICE_US: u64 = 4000;

/// What the scheduler knows of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entity {
    /// Processor time used, in virtual time.
    pub used: u64,
    /// By when its current request should be served.
    pub deadline: u64,
}

impl Entity {
    /// A thread that becomes runnable when `base` is the least anybody has used: it gets no credit for having slept.
    pub fn join(&mut self, base: u64) {
        self.used = self.used.max(base);
        self.deadline = self.used + SLICE_US;
    }

    /// It ran for `us`. The head of the round is charged a quarter, so that it reaches its call soon.
    pub fn charge(&mut self, us: u64, head: bool) {
        self.used += if head { us / 4 } else { us };
        if self.used >= self.deadline {
            self.deadline = self.used + SLICE_US;
        }
    }
}

/// The one to run: among those that had no more than their share so far, the earliest deadline; ties by serial.
pub fn pick(all: impl Iterator<Item = (u64, Entity)> + Clone) -> Option<u64> {
    let (mut sum, mut count) = (0u128, 0u128);
    for (_, e) in all.clone() {
        sum += u128::from(e.used);
        count += 1;
    }
    let eligible = all.filter(|(_, e)| u128::from(e.used) * count <= sum);
    eligible.min_by_key(|(serial, e)| (e.deadline, *serial)).map(|(serial, _)| serial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nobody_starves(n in 1usize..8, steps in 100usize..600) {
            let mut all = vec![Entity::default(); n];
            for _ in 0..steps {
                let who = pick(all.iter().enumerate().map(|(i, e)| (i as u64, *e)));
                let who = who.expect("somebody is always eligible") as usize;
                all[who].charge(1000, false);
            }
            let (least, most) = (all.iter().map(|e| e.used).min().unwrap(), all.iter().map(|e| e.used).max().unwrap());
            prop_assert!(most - least <= 2 * SLICE_US, "{least} to {most}");
        }
    }

    #[test]
    fn nobody_to_run() {
        assert_eq!(pick([].into_iter()), None);
    }
}
