//! Who may begin anew: what this replica endorses at the gates (`runtime::seal`). Nobody begins a healthy kernel anew alone: it takes f + 1
//! replicas that look for themselves.
//!
//! The manager orders; the order names the domain as it was, so it counts once. Whether it is endorsed follows from what is agreed and from EL2's table:
//!
//! - a kernel that does not vote: yes; to be made cold only then; one that votes: if three vote, the others of them run, and none was begun anew or given up since they are the
//!   voters. That the others run as they did EL2's table shows to all replicas alike: one that comes late finds the order for a kernel carried
//!   out already, and would take the next one for the first;
//! - a replica: if it crashed; else if all others run, and the one before has been taken in again by all, with its new keys;
//! - the manager: if it crashed. Nobody has to order that.
//!
//! An order on a kernel that votes holds until other voters are agreed on: they may be agreed elsewhere already. One that is to execute again holds until it is known where it was lost. All others are endorsed at once or never.

use abi::bootinfo::{COLD_IMAGE, DOMAINS_MAX, DomainState, DomainStatus, incarnation};
use consensus::line::Voters;

/// So often the manager begins anew; one that crashes each time is no help.
pub const MANAGERS: u16 = 16;

/// What the domains are, a bit each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Roles {
    /// The kernels.
    pub kernels: u64,
    /// The replicas.
    pub replicas: u64,
    /// The manager.
    pub manager: u64,
}

/// What is to be said at the gate of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endorsement {
    /// Whose gate.
    pub domain: u32,
    /// Its sequence number: each restart has used one up.
    pub sequence: u64,
    /// See [`abi::vote::Control::Restart`].
    pub image: u32,
    /// Likewise.
    pub again: bool,
}

/// What is agreed.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// Who votes.
    pub voters: Voters,
    /// Epoch of the replicas' keys.
    pub keys: u64,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    /// The incarnation that it names.
    named: u32,
    image: u32,
    again: bool,
    /// Epoch of the voters when it came.
    epoch: u64,
}

/// The orders that wait.
#[derive(Debug)]
pub struct Restarts {
    roles: Roles,
    /// By domain.
    ordered: [Option<Order>; DOMAINS_MAX],
    /// How often each had begun anew when it became a voter, and the voters of then.
    voted: ([u16; DOMAINS_MAX], Voters),
    /// A kernel that voted, and the epoch of the voters in which its restart was endorsed.
    given_up: Option<(u64, u32)>,
    /// A replica that ran, and the epoch of keys likewise.
    renewed: Option<(u64, u32)>,
    /// The restart of the manager that was endorsed last.
    manager: Option<u16>,
}

impl Restarts {
    /// Nothing was ordered.
    pub fn new(roles: Roles) -> Self {
        Restarts {
            roles,
            ordered: [None; DOMAINS_MAX],
            voted: ([0; DOMAINS_MAX], Voters::default()),
            given_up: None,
            renewed: None,
            manager: None,
        }
    }

    /// Takes an order of the manager's.
    pub fn order(&mut self, named: u32, image: u32, again: bool, agreed: &Agreed) {
        if let Some(place) = self.ordered.get_mut((named & 0xff) as usize) {
            *place = Some(Order { named, image, again, epoch: agreed.voters.epoch });
        }
    }

    /// What is to be endorsed next, if anything. Once each. `placed`: it is known where such a kernel was lost. Who is to execute again is not endorsed before, since it
    /// must find in two endorsers' rings where to begin; the manager knows it from who tells replicas, too, but they may read its order first.
    pub fn next(
        &mut self,
        agreed: &Agreed,
        status: impl Fn(u32) -> Option<DomainStatus>,
        placed: impl Fn(u32) -> bool,
    ) -> Option<Endorsement> {
        self.follow(&agreed.voters, &status);
        for domain in 0..DOMAINS_MAX as u32 {
            let Some(now) = status(domain) else { continue };
            let restarts = now.restarts;
            let yes = |image, again| Some(Endorsement { domain, sequence: restarts.into(), image, again });
            let crashed = now.state == DomainState::Crashed as u16;
            if self.roles.manager >> domain & 1 == 1
                && crashed
                && restarts < MANAGERS
                && self.manager.replace(restarts) != Some(restarts)
            {
                return yes(0, false);
            }
            let Some(order) = self.ordered.get(domain as usize).copied().flatten() else { continue };
            let votes = agreed.voters.set >> domain & 1 == 1;
            let current = order.named == incarnation(domain, restarts.into())
                && (!votes || order.epoch == agreed.voters.epoch);
            let unplaced = order.again && order.image != COLD_IMAGE && !placed(domain);
            let may = current && !unplaced && now.state != DomainState::Restarting as u16 && {
                let bit = 1u64 << domain;
                match () {
                    _ if self.roles.kernels & bit != 0 => {
                        self.may_leave(domain, order.image, &agreed.voters, &status)
                    }
                    _ if self.roles.replicas & bit != 0 && order.image == 0 => {
                        crashed || self.may_renew(domain, agreed.keys, &status)
                    }
                    // Of nobody else.
                    _ => false,
                }
            };
            if !may && current && (votes || unplaced) {
                continue;
            }
            self.ordered.iter_mut().skip(domain as usize).take(1).for_each(|place| *place = None);
            if may {
                return yes(order.image, order.again);
            }
        }
        None
    }

    /// Notes how often each voter had begun anew when it became one. Who stays a voter in the next epoch has been one since then: if it was begun anew
    /// meanwhile, it is about to leave, and no other can be spared.
    fn follow(&mut self, now: &Voters, status: &impl Fn(u32) -> Option<DomainStatus>) {
        let (restarts, before) = &mut self.voted;
        if before.epoch == now.epoch {
            return;
        }
        let next = before.epoch.checked_add(1) == Some(now.epoch);
        let stayed = if next { before.set & now.set } else { 0 };
        for (d, restarts) in (0..).zip(restarts).filter(|(d, _)| stayed >> d & 1 == 0) {
            *restarts = status(d).map_or(0, |s| s.restarts);
        }
        *before = *now;
    }

    /// Whether kernel `domain` votes no more, or can be spared; then it is the one that is. Nobody who votes is made cold.
    fn may_leave(
        &mut self,
        domain: u32,
        image: u32,
        voters: &Voters,
        status: &impl Fn(u32) -> Option<DomainStatus>,
    ) -> bool {
        if voters.set >> domain & 1 == 0 {
            return true;
        }
        if image == COLD_IMAGE {
            return false;
        }
        let other_left = self.given_up.is_some_and(|(epoch, who)| epoch == voters.epoch && who != domain);
        let as_it_was = |(d, restarts): (u32, &u16)| {
            status(d).is_some_and(|s| s.state == DomainState::Running as u16 && s.restarts == *restarts)
        };
        let others = (0..).zip(&self.voted.0).filter(|(d, _)| *d != domain && voters.set >> d & 1 == 1);
        let may = voters.set.count_ones() >= 3 && !other_left && others.into_iter().all(as_it_was);
        if may {
            self.given_up = Some((voters.epoch, domain));
        }
        may
    }

    /// Whether replica `domain`, which runs, can be spared; then it is the one that is.
    fn may_renew(&mut self, domain: u32, keys: u64, status: &impl Fn(u32) -> Option<DomainStatus>) -> bool {
        let runs = |d: &u32| status(*d).is_some_and(|s| s.state == DomainState::Running as u16);
        let others = self.roles.replicas & !(1 << domain);
        let all_run = (0..DOMAINS_MAX as u32).filter(|d| others >> d & 1 == 1).all(|d| runs(&d));
        let may = all_run && self.renewed.is_none_or(|(epoch, who)| epoch < keys || who == domain);
        if may {
            self.renewed = Some((keys, domain));
        }
        may
    }
}
