//! What happens to a run from outside, drawn from the seed before it begins: inputs, permissions, wishes, restarts.

use super::{Event, World};
use crate::oracle;
use crate::plan::Misfortune;
use crate::rng::Rng;
use consensus::Ticks;
use consensus::line::{Proposal, Voters};

impl World {
    pub(super) fn schedule(&mut self) {
        let mut rng = Rng::new(self.plan.seed, 3);
        let (calm, inputs, syncs) = (self.plan.calm, self.plan.inputs, self.plan.syncs);
        self.oracle.sent = [inputs, inputs];
        self.oracle.permitted = syncs + 1;
        for to in 0..self.instances.len() {
            let boot = Proposal::Boot { seed: oracle::SEED, time_us: 0 };
            self.at(rng.below(2000), Event::Permit { to, what: boot });
            self.at(0, Event::Wake { to });
            if self.instances[to].evil.is_some() {
                self.at(1000, Event::Invent { to });
            }
        }
        for origin in 0..2 {
            let mut times: Vec<Ticks> = (0..inputs).map(|_| rng.below(calm)).collect();
            // Now and then many at once.
            if rng.chance(300) {
                times.iter_mut().for_each(|t| *t = *t / 60_000 * 60_000);
            }
            times.sort();
            // A ring is read in order, by each reader at its own pace.
            let mut read = [0; 5];
            for (number, time) in (1..).zip(times) {
                for (to, read) in read.iter_mut().enumerate().take(self.instances.len()) {
                    *read = (time + rng.below(500)).max(*read);
                    self.at(*read, Event::Input { to, origin, number });
                }
            }
        }
        let mut times: Vec<Ticks> = (0..syncs).map(|_| rng.below(calm)).collect();
        times.sort();
        for (below, time) in (2..).zip(times) {
            for to in 0..self.instances.len() {
                self.at(time + rng.below(2000), Event::Syncs { to, below });
            }
        }
        self.schedule_rest(&mut rng);
    }

    fn schedule_rest(&mut self, rng: &mut Rng) {
        let calm = self.plan.calm;
        let mut wishes = Vec::new();
        for k in 0..rng.below(5) {
            // Some replicas would skip it, some let it go: either may be decided, once.
            let call = 1000 + k;
            self.oracle.calls.push(call);
            let mixed = rng.chance(500);
            wishes.push((rng.below(calm), Proposal::Skip { call }, mixed.then_some(Proposal::Go { call })));
        }
        for epoch in 2..2 + rng.below(3) {
            let set = 0b1111_0000 & !(u64::from(epoch % 2 == 0) << 5);
            let voters = Voters { epoch, set, quorum: if epoch % 2 == 0 { 2 } else { 3 } };
            self.oracle.epochs.push(voters);
            wishes.push((epoch * calm / 6, Proposal::Voters(voters), None));
        }
        for (time, what, other) in wishes {
            for to in 0..self.instances.len() {
                self.at(time + rng.below(3000), Event::Permit { to, what });
                if let Some(other) = other {
                    self.at(time + rng.below(3000), Event::Permit { to, what: other });
                }
            }
        }
        for m in self.plan.misfortunes.clone() {
            if let Misfortune::Restart { who, at } = m {
                self.at(at, Event::Restart { who });
            }
        }
    }
}
