//! The instances of replicas: how they come to be (twins too), take their input, lie at their own time, and are restarted.

use super::{Event, Instance, SLACK_US, START_US, World};
use crate::adversary::Adversary;
use crate::plan::{Misfortune, Will};
use crate::{Log, Node, oracle};
use consensus::Ticks;
use consensus::auth::{Identity, Null};
use consensus::line::{Proposal, Rules, Voters};
use consensus::replica::Config;

fn application() -> Log {
    let rules = Rules {
        start_time_us: START_US,
        ahead_us: SLACK_US,
        behind_us: 100_000,
        digest_interval: 4,
        snapshot_interval: oracle::SNAPSHOT_INTERVAL as u32,
        program: &[],
    };
    Log::new(rules, Voters { epoch: 1, set: 0b1111_0000, quorum: 3 })
}

fn member(who: u8, identity: &Identity) -> Proposal {
    let (sign, exchange) = identity.0.split_at(32);
    let halves = (sign.try_into().expect("32 bytes"), exchange.try_into().expect("32 bytes"));
    Proposal::Member { replica: who, sign: halves.0, exchange: halves.1 }
}

impl World {
    fn wills(&self, id: u8) -> Vec<Will> {
        let of = |m: &Misfortune| match m {
            Misfortune::Evil { who, will } if *who == id => Some(*will),
            _ => None,
        };
        self.plan.misfortunes.iter().filter_map(of).collect()
    }

    fn instance(&self, id: u8, salt: u64) -> Instance {
        let wills = self.wills(id);
        let identity = self.identities[usize::from(id)];
        let keys = || Null::new(identity, &self.identities);
        let evil = !wills.is_empty();
        Instance {
            id,
            node: Box::new(Node::new(Config::new(id), keys(), &self.identities, application())),
            evil: evil.then(|| Adversary::new(self.plan.seed ^ salt, id, wills, keys())),
            incarnation: 0,
            executed: 0,
            syncs: 0,
            backlog: Default::default(),
            read: [0; 2],
            wake: 0,
            gone: false,
        }
    }

    pub(super) fn people(&mut self) {
        for id in 0..4 {
            let instance = self.instance(id, 0);
            self.instances.push(instance);
        }
        if let Some(id) = (0..4).find(|id| self.wills(*id).contains(&Will::Equivocate)) {
            let twin = self.instance(id, 5);
            self.instances.push(twin);
        }
    }

    pub(super) fn input(&mut self, to: usize, origin: u8, number: u64) {
        let now = self.clock(to);
        let instance = &mut self.instances[to];
        instance.read[usize::from(origin)] = number;
        let lapped = self.plan.misfortunes.iter().any(|m| match m {
            Misfortune::Overrun { who, per_mille } => *who == instance.id && self.rng.chance(*per_mille),
            _ => false,
        });
        let starved = instance.evil.as_ref().is_some_and(|e| e.has(Will::Starve) && origin == 1);
        if lapped || starved || instance.gone {
            return;
        }
        instance.backlog[usize::from(origin)].push_back(number);
        Self::offer(instance, now);
    }

    /// Hands over what there is room for; the rest waits in its ring.
    pub(super) fn offer(instance: &mut Instance, now: Ticks) {
        for origin in 0..2 {
            while let Some(number) = instance.backlog[origin].front().copied() {
                let record = oracle::input(origin as u8, number);
                if instance.node.application().push(origin as u8, number, &record, now).is_err() {
                    break;
                }
                instance.backlog[origin].pop_front();
            }
        }
    }

    pub(super) fn invent(&mut self, to: usize) {
        let instance = &mut self.instances[to];
        if instance.gone {
            return;
        }
        if let Some(evil) = &mut instance.evil {
            for said in evil.invent(&instance.node) {
                self.carry(to, said);
            }
            self.at(self.now + 4_000, Event::Invent { to });
        }
        if self.rng.chance(200) {
            self.side = 1 + self.rng.below(14) as u8;
        }
    }

    pub(super) fn restart(&mut self, who: u8) {
        self.tell(|| format!("replica {who} is restarted: it has forgotten everything and has new keys"));
        let incarnation = self.instances[usize::from(who)].incarnation + 1;
        let identity = Null::identity(who, incarnation);
        self.identities[usize::from(who)] = identity;
        for i in self.instances.iter_mut().skip(4).filter(|i| i.id == who) {
            i.gone = true;
        }
        let keys = Null::new(identity, &self.identities);
        let node = Node::restarted(Config::new(who), keys, &self.identities, application());
        let (syncs, wake) = (self.plan.syncs + 1, self.now);
        let syncs = self.instances[usize::from(who)].syncs.min(syncs);
        // It reads the input rings from their beginning; what is done already it drops.
        let read = self.instances[usize::from(who)].read;
        let backlog = read.map(|n| (1..=n).collect());
        let instance = Instance {
            id: who,
            node: Box::new(node),
            evil: None,
            incarnation,
            executed: 0,
            syncs,
            backlog,
            read,
            wake,
            gone: false,
        };
        self.instances[usize::from(who)] = instance;
        let now = self.now;
        self.at(now, Event::Wake { to: usize::from(who) });
        for to in 0..4 {
            let time = now + self.rng.below(5_000);
            self.at(time, Event::Permit { to, what: member(who, &identity) });
        }
    }
}
