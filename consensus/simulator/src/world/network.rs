//! The network: it delays, loses, doubles and divides what replicas say, until the calm. A liar changes its words on the way in.

use super::{Event, World};
use crate::adversary::Said;
use crate::plan::Misfortune;
use consensus::{ReplicaId, Ticks};
use std::rc::Rc;

impl World {
    pub(super) fn send(&mut self, from: usize, only: Option<ReplicaId>, record: Vec<u8>) {
        let to = only.map_or(15, |id| 1 << id);
        let twins = self.instances.len() > 4
            && !self.instances[4].gone
            && self.instances[from].id == self.instances[4].id;
        let said = match &mut self.instances[from].evil {
            Some(evil) => evil.change(&record, to),
            None => vec![Said { record, to }],
        };
        for mut said in said {
            if twins && self.now < self.plan.end / 2 {
                said.to &= if from == 4 { self.side } else { !self.side };
            }
            self.carry(from, said);
        }
    }

    /// The network.
    pub(super) fn carry(&mut self, from: usize, said: Said) {
        let id = self.instances[from].id;
        let record: Rc<[u8]> = said.record.into();
        for to in 0..self.instances.len() {
            let target = self.instances[to].id;
            if target == id || said.to >> target & 1 == 0 || self.instances[to].gone {
                continue;
            }
            let Some((delay, twice)) = self.weather(id, target) else { continue };
            self.at(self.now + delay, Event::Deliver { to, from: id, record: record.clone() });
            if twice {
                let again = delay + self.rng.below(5_000);
                self.at(self.now + again, Event::Deliver { to, from: id, record: record.clone() });
            }
        }
    }

    /// How long a message takes, and whether it comes twice; `None`: it is lost.
    fn weather(&mut self, from: u8, to: u8) -> Option<(Ticks, bool)> {
        let mut delay = 20 + self.rng.below(100);
        if self.rng.chance(50) {
            delay += self.rng.below(2_000);
        }
        if self.now >= self.plan.calm {
            return Some((delay, false));
        }
        let mut twice = false;
        for m in &self.plan.misfortunes {
            match *m {
                Misfortune::Loss(p) if self.rng.chance(p) => return None,
                Misfortune::Duplicates(p) => twice |= self.rng.chance(p),
                Misfortune::Partition { from: start, to: end, side }
                    if (start..end).contains(&self.now) && side >> from & 1 != side >> to & 1 =>
                {
                    return None;
                }
                Misfortune::Slow { who, from: start, to: end, delay: more }
                    if (start..end).contains(&self.now) && (who == from || who == to) =>
                {
                    delay += more;
                }
                _ => {}
            }
        }
        Some((delay, twice))
    }
}
