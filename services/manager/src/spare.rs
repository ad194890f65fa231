//! The spare: a kernel that is held cold (`abi::bootinfo::DomainState::Cold`), and takes another's place, by order or by policy.
//!
//! There are as many seats as there were first voters. Whoever has none when all are taken, and is not to take one of them, is superfluous: its place is
//! taken back and is the spare. So whatever was ordered and whoever came first, one is held cold in the end.

use crate::iteration::{ATTEMPTS, Return, Stage, Why};
use crate::{Board, Manager};
use abi::bootinfo::{
    COLD_IMAGE, DOMAINS_MAX, DomainState, DomainStatus, Iteration, SparePolicy, incarnation,
};
use abi::vote::Control;
use core::fmt;

/// Who stands in for whom, and whose place is taken back.
#[derive(Default)]
pub(crate) struct Places {
    /// By domain: for whom it was begun, until it votes.
    stands_for: [Option<u32>; DOMAINS_MAX],
    /// By domain: how it was named when its place was ordered to be taken back.
    taken_back: [Option<u32>; DOMAINS_MAX],
}

impl Places {
    /// `spare` votes: for whom.
    pub(crate) fn takes(&mut self, spare: u32) -> Option<u32> {
        self.stands_for.get_mut(spare as usize)?.take()
    }
}

/// The one whose loss the return of a kernel makes good.
pub(crate) struct Whom<'a>(pub &'a Manager, pub u32);

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.stands_for(self.1).map_or("it", |lost| self.0.name(lost)))
    }
}

impl Manager {
    /// Whether EL2 holds `domain` cold.
    pub(crate) fn is_cold(&self, domain: u32) -> bool {
        let status = self.rows.get(domain as usize).and_then(|r| r.status);
        status.is_some_and(|s| s.state == DomainState::Cold as u16)
    }

    /// The kernels that are held cold, a bit a domain.
    pub(crate) fn cold(&self) -> u64 {
        let kernels = (0..self.config.domains).filter(|d| self.voter(*d) && self.is_cold(*d));
        kernels.fold(0, |mask, d| mask | 1u64.checked_shl(d).unwrap_or(0))
    }

    /// One that is held cold, and not asked to begin yet.
    pub(crate) fn spare(&self) -> Option<u32> {
        let cold = self.cold();
        let idle = |d: &u32| self.returns.get(*d as usize).is_some_and(Return::votes);
        (0..self.config.domains).filter(|d| cold >> d & 1 == 1).find(idle)
    }

    fn stands_for(&self, domain: u32) -> Option<u32> {
        self.places.stands_for.get(domain as usize).copied().flatten()
    }

    fn is_full(&self) -> bool {
        self.set.is_some_and(|set| set.count_ones() >= self.config.seats)
    }

    /// Whether another has the seat of `voter`, or is to have it.
    pub(crate) fn is_succeeded(&self, voter: u32) -> bool {
        let begun_for = self.stands_for(voter);
        self.is_full() && begun_for.is_none() || self.places.stands_for.contains(&Some(voter))
    }

    /// Whether the policy gives `voter`, which was begun anew `attempts` times, a successor on the spare. One that is a successor itself has none, and
    /// the spare must be ready.
    pub(crate) fn has_successor(&self, voter: u32, attempts: u32) -> bool {
        let due = match self.config.spare {
            SparePolicy::First => true,
            SparePolicy::AfterAttempts => attempts >= ATTEMPTS,
            SparePolicy::Manual => false,
        };
        let none = self.config.iteration == Iteration::None || self.stands_for(voter).is_some();
        due && !none && self.spare().is_some()
    }

    /// The spare begins, to vote in place of `lost`. `false`: there is none.
    pub(crate) fn stand_in(&mut self, lost: u32, design: Option<usize>, board: &mut impl Board) -> bool {
        let Some(spare) = self.spare() else { return false };
        self.conclude(lost, None, board);
        let Some(r) = self.returns.get(lost as usize).copied() else { return false };
        let (domain, by) = (self.incarnation(lost), self.incarnation(spare));
        board.control(Control::Replace { domain, by, image: self.image_of(design) });
        let (name, new) = (self.name(lost), self.name(spare));
        let (old, design_name) = (self.design_name(self.design(lost)), self.design_name(design));
        let why = r.why;
        self.say(
            board,
            format_args!(
                "return: {name} ({old}, {why}) is replaced by the spare: {new} begins as {design_name}"
            ),
        );
        if let Some(place) = self.places.stands_for.get_mut(spare as usize) {
            *place = Some(lost);
        }
        self.begins(spare, Return { design, ..r });
        true
    }

    fn begins(&mut self, spare: u32, r: Return) {
        if let Some(place) = self.returns.get_mut(spare as usize) {
            *place = Return { stage: Stage::Begins, wish: None, loss: None, attempts: 1, ..r };
        }
        if let Some(row) = self.rows.get_mut(spare as usize) {
            row.forget();
        }
    }

    /// `spare`, which is cold, is named in a `replace` itself: it can have a seat that is empty.
    pub(crate) fn begin_spare(&mut self, spare: u32, design: Option<usize>, board: &mut impl Board) {
        if self.is_full() || self.spare().is_none() {
            let name = self.name(spare);
            return self
                .say(board, format_args!("{name} is the spare: `replace K spare` gives it the place of K"));
        }
        let now = board.now_us();
        if let Some(r) = self.returns.get_mut(spare as usize) {
            *r = Return { since: [now, now], ..Return::default() };
        }
        self.begin(spare, design, false, board);
    }

    /// `replace K spare [design]`.
    pub(crate) fn replace_by_spare(&mut self, target: &str, design: Option<&str>, board: &mut impl Board) {
        let Some(voter) = self.kernel(target, board) else { return };
        let Some(wish) = self.wish(voter, design, board) else { return };
        let name = self.name(voter);
        if self.config.kernels.count_ones() <= self.config.seats {
            return self.say(board, format_args!("this machine has no spare core: all of its kernels vote"));
        }
        if self.is_cold(voter) {
            return self.say(board, format_args!("{name} is the spare itself"));
        }
        if self.places.stands_for.contains(&Some(voter)) {
            return self.say(board, format_args!("{name} is being replaced already"));
        }
        if self.spare().is_none() {
            return self
                .say(board, format_args!("the spare is not ready: `status` shows what becomes of it"));
        }
        let votes = self.set.is_none_or(|set| set >> voter & 1 == 1);
        if votes && !self.is_full() {
            return self.say(
                board,
                format_args!("{name} votes, and another's seat is empty: `replace` that one by the spare"),
            );
        }
        let now = board.now_us();
        let Some(r) = self.returns.get_mut(voter as usize) else { return };
        if r.stage == Stage::Votes {
            (r.since, r.why) = ([now, now], Why::Order);
        }
        let _there_is_one = self.stand_in(voter, wish, board);
    }

    /// `voter` was begun anew as often as is tried.
    pub(crate) fn fails(&mut self, voter: u32, board: &mut impl Board) {
        let stood_in = self.places.takes(voter).is_some();
        if stood_in && self.is_full() {
            self.take_back(voter, board);
        }
    }

    /// These vote: who is superfluous becomes the spare.
    pub(crate) fn settle(&mut self, set: u64, board: &mut impl Board) {
        if !self.is_full() {
            return;
        }
        for domain in 0..self.config.domains {
            let out = self.voter(domain) && set >> domain & 1 == 0;
            let known = self.rows.get(domain as usize).is_some_and(|r| r.status.is_some());
            let to_come = self.stands_for(domain).is_some_and(|lost| set >> lost & 1 == 1);
            if out && known && !to_come && !self.is_cold(domain) {
                self.take_back(domain, board);
            }
        }
    }

    /// The place of `domain`, which does not vote, is to be scrubbed, and left cold.
    fn take_back(&mut self, domain: u32, board: &mut impl Board) {
        let named = self.incarnation(domain);
        let _nobody = self.places.takes(domain);
        self.conclude(domain, None, board);
        let (Some(taken), Some(r)) =
            (self.places.taken_back.get_mut(domain as usize), self.returns.get_mut(domain as usize))
        else {
            return;
        };
        if taken.replace(named) == Some(named) {
            return;
        }
        *r = Return { stage: Stage::Leaves, design: r.design, ..Return::default() };
        board.control(Control::Restart { domain: named, image: COLD_IMAGE, again: false });
        let name = self.name(domain);
        self.say(board, format_args!("return: the place of {name} is taken back, to be the spare"));
    }

    /// What EL2's table says of a kernel whose place is taken back: it is cold, or was begun anew before the order came, which is given again.
    pub(crate) fn watch_place(&mut self, domain: u32, status: DomainStatus, board: &mut impl Board) {
        let at = domain as usize;
        let Some(named) = self.places.taken_back.get(at).copied().flatten() else { return };
        let is = |state: DomainState| status.state == state as u16;
        let votes = self.set.is_none_or(|set| set >> domain & 1 == 1);
        if is(DomainState::Cold) || votes {
            if let (Some(taken), Some(r)) = (self.places.taken_back.get_mut(at), self.returns.get_mut(at)) {
                *taken = None;
                *r = Return { design: r.design, ..Return::default() };
            }
            if let Some(row) = self.rows.get_mut(at) {
                row.forget();
            }
            if !votes {
                let name = self.name(domain);
                self.say(board, format_args!("return: {name} is the spare"));
            }
        } else if !is(DomainState::Restarting) && incarnation(domain, status.restarts.into()) != named {
            if let Some(taken) = self.places.taken_back.get_mut(at) {
                *taken = None;
            }
            if let Some(row) = self.rows.get_mut(at) {
                row.status = Some(status);
            }
            self.take_back(domain, board);
        }
    }
}
