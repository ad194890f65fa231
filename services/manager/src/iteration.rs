//! What becomes of a kernel that was lost: by policy or by order it is begun anew, with the same or another design, until it votes again.
//!
//! Nothing here decides who votes, nor who begins anew. The gate accuses, the replicas agree on the voters; in between stands the order to begin a
//! kernel anew, which they endorse or not.

use crate::causes::Loss;
use crate::spare::Whom;
use crate::{Board, Manager, Out};
use abi::bootinfo::{DOMAINS_MAX, DomainState, DomainStatus, Iteration, Name, name_str};
use abi::vote::Control;
use core::fmt;

/// Designs known at most.
pub const DESIGNS: usize = 8;
/// So often a kernel is begun anew before it votes; then somebody must look.
pub(crate) const ATTEMPTS: u32 = 3;

/// A kernel's image in the bundle.
#[derive(Clone, Copy, Debug)]
pub struct Design {
    /// Its name there.
    pub name: Name,
    /// Its number among the kernels there.
    pub place: usize,
}

/// How far a kernel has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It votes, or nobody has said otherwise.
    #[default]
    Votes,
    /// It votes no more, and its place becomes the spare.
    Leaves,
    /// It is accused, and to leave the voters.
    Lost,
    /// EL2 takes its memory back.
    Begins,
    /// It follows the log.
    Follows,
}

/// Why a kernel is begun anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Why {
    #[default]
    Order,
    Accused(Out),
    /// That was told to another manager, and so was its design.
    Forgotten,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Order => "replaced by order",
            Why::Forgotten => "before this manager began",
            Why::Accused(Out::WrongOutput(_)) => "wrong output",
            Why::Accused(Out::WrongState(_)) => "wrong state",
            Why::Accused(Out::Malformed) => "malformed",
            Why::Accused(Out::Crashed) => "crashed",
            Why::Accused(Out::Silent) => "silent",
            Why::Accused(Out::Contradicts(_)) => "contradicts the others",
            Why::Accused(Out::FalseSnapshot(_)) => "false snapshot",
        })
    }
}

/// One kernel on its way back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Return {
    pub(crate) stage: Stage,
    pub(crate) why: Why,
    /// When it was lost, when its successor began to run.
    pub(crate) since: [u64; 2],
    pub(crate) attempts: u32,
    /// What it was lost in, until the cause is told.
    pub(crate) loss: Option<Loss>,
    /// Its design, as a place in [`crate::Config::designs`]; and the one that an order names.
    pub(crate) design: Option<usize>,
    pub(crate) wish: Option<usize>,
}

impl Return {
    /// Of one that was begun anew already.
    pub fn newcomer() -> Return {
        Return { stage: Stage::Follows, why: Why::Forgotten, ..Return::default() }
    }

    /// Nobody has said that it is lost.
    pub fn votes(&self) -> bool {
        self.stage == Stage::Votes
    }

    /// It has begun anew, and is to vote.
    pub fn follows(&self) -> bool {
        self.stage == Stage::Follows
    }

    /// It votes no more; if nobody has said why, that was told to another manager.
    pub fn was_lost(&mut self) {
        if self.votes() {
            (self.stage, self.why) = (Stage::Lost, Why::Forgotten);
        }
    }

    /// Whether a successor is on its way.
    pub fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Begins | Stage::Follows)
    }
}

impl Manager {
    /// `voter` is accused. One that was to return failed: it may try once more.
    pub(crate) fn lost(&mut self, voter: u32, why: Out, board: &mut impl Board) {
        let now = board.now_us();
        let (loss, tries) = (self.loss(voter, why), self.is_trying(voter));
        let Some(r) = self.returns.get_mut(voter as usize) else { return };
        if matches!(r.stage, Stage::Lost | Stage::Begins | Stage::Leaves) {
            // That is the one of which all is said already: EL2's table, which is looked at first, knows no other yet.
            return;
        }
        if r.stage == Stage::Votes {
            (r.since, r.why, r.loss) = ([now, now], Why::Accused(why), Some(loss));
        } else {
            r.loss = r.loss.filter(|_| tries).or(Some(loss));
            self.conclude(voter, Some(loss).filter(|_| tries), board);
        }
        let Some(r) = self.returns.get_mut(voter as usize) else { return };
        let Some(row) = self.rows.get_mut(voter as usize) else { return };
        row.out.get_or_insert(why);
        r.stage = Stage::Lost;
        if self.set.is_some_and(|set| set >> voter & 1 == 0) {
            self.iterate(voter, board);
        }
    }

    /// An agreed entry: these vote.
    pub(crate) fn on_voters(&mut self, set: u64, board: &mut impl Board) {
        self.set = Some(set);
        for voter in 0..self.config.domains {
            let votes = set >> voter & 1 == 1;
            match self.returns.get(voter as usize).map(|r| r.stage) {
                Some(Stage::Lost) if !votes => self.iterate(voter, board),
                Some(Stage::Follows) if votes => self.is_back(voter, set.count_ones(), board),
                _ => {}
            }
        }
        self.settle(set, board);
    }

    /// The policy's answer to a lost kernel that votes no more.
    fn iterate(&mut self, voter: u32, board: &mut impl Board) {
        if self.is_succeeded(voter) {
            return self.conclude(voter, None, board);
        }
        let Some(r) = self.returns.get(voter as usize).copied() else { return };
        let to_spare = self.has_successor(voter, r.attempts);
        if !to_spare && r.wish.is_none() && self.tries_again(voter) {
            return self.begin(voter, self.design(voter), true, board);
        }
        self.conclude(voter, None, board);
        let name = self.name(voter);
        if self.config.iteration == Iteration::None {
            return self.say(
                board,
                format_args!("return: {name} stays out (iteration is none); `replace {name}` brings it back"),
            );
        }
        let count = self.config.designs.len();
        let next = self.design(voter).map(|d| (d + 1) % count.max(1));
        let rotates = matches!(self.config.iteration, Iteration::Rotate | Iteration::ReExecute);
        let design = r.wish.or(if rotates { next } else { self.design(voter) });
        if to_spare && self.stand_in(voter, design, board) {
            return;
        }
        if r.attempts >= ATTEMPTS {
            self.say(
                board,
                format_args!(
                    "return: {} stays out: begun anew {ATTEMPTS} times, and lost again before it voted",
                    self.name(voter)
                ),
            );
            return self.fails(voter, board);
        }
        self.begin(voter, design, false, board);
    }

    /// Begins `voter` anew with design `design` (`None`: as it was), before the place where it was lost if it is to execute that again.
    pub(crate) fn begin(&mut self, voter: u32, design: Option<usize>, again: bool, board: &mut impl Board) {
        let name = self.name(voter);
        let image = self.image_of(design);
        board.control(Control::Restart { domain: self.incarnation(voter), image, again });
        let (old, new) = (self.design_name(self.design(voter)), self.design_name(design));
        let why = self.returns.get(voter as usize).map_or(Why::Order, |r| r.why);
        let how = if again { ", to execute its last turns again" } else { "" };
        self.say(board, format_args!("return: {name} ({old}, {why}) is begun anew as {new}{how}"));
        if let Some(r) = self.returns.get_mut(voter as usize) {
            (r.stage, r.design, r.wish) = (Stage::Begins, design, None);
            r.attempts += u32::from(!again);
        }
        if let Some(row) = self.rows.get_mut(voter as usize) {
            row.forget();
        }
    }

    /// How an order names `design`: counted from 1; 0: as it was.
    pub(crate) fn image_of(&self, design: Option<usize>) -> u32 {
        design.and_then(|d| self.config.designs.get(d)).map_or(0, |d| d.place as u32 + 1)
    }

    /// What EL2's table says of a kernel.
    pub(crate) fn watch(&mut self, voter: u32, status: DomainStatus, board: &mut impl Board) {
        self.watch_place(voter, status, board);
        let now = board.now_us();
        let known = self.rows.get(voter as usize).and_then(|r| r.status).map_or(0, |s| s.restarts);
        let Some(r) = self.returns.get_mut(voter as usize) else { return };
        let crashed = status.state == DomainState::Crashed as u16;
        // One that crashes at once is not seen running.
        let runs = crashed || status.state == DomainState::Running as u16;
        if r.stage == Stage::Begins && runs && status.restarts != known {
            let [lost, begun] = &mut r.since;
            *begun = now;
            let ms = now.saturating_sub(*lost) / 1000;
            r.stage = Stage::Follows;
            let name = self.name(voter);
            let whom = Whom(self, voter);
            self.say(
                board,
                format_args!("return: {name} runs on scrubbed memory {ms} ms after {whom} was lost"),
            );
        } else if r.stage == Stage::Follows && crashed && self.crashed_unheard(voter, now) {
            // The gate says nothing of one that it had accused before it voted.
            self.lost(voter, Out::Crashed, board);
        }
    }

    fn is_back(&mut self, voter: u32, count: u32, board: &mut impl Board) {
        let now = board.now_us();
        self.conclude(voter, None, board);
        let Some(r) = self.returns.get_mut(voter as usize) else { return };
        let ([lost, begun], why, design) = (r.since, r.why, r.design);
        *r = Return { design, ..Return::default() };
        let place = self.places.takes(voter);
        let (name, new) = (self.name(voter), self.design_name(design));
        let (all, followed) = (now.saturating_sub(lost) / 1000, now.saturating_sub(begun) / 1000);
        let count = ["no", "one", "two", "three", "four"].get(count as usize).copied().unwrap_or("more");
        if let Some(lost) = place {
            let lost = self.name(lost);
            return self.say(
                board,
                format_args!("return: {name} votes as {new} in place of {lost}, {all} ms after that was lost ({why}), {followed} ms of them following the log: {count} vote again"),
            );
        }
        if why == Why::Forgotten {
            return self.say(board, format_args!("return: {name} votes, lost {why}: {count} vote again"));
        }
        self.say(
            board,
            format_args!("return: {name} votes as {new}, {all} ms after it was lost ({why}), {followed} ms of them following the log: {count} vote again"),
        );
    }

    /// The kernel that an order names; `None`: there is none, and that was said.
    pub(crate) fn kernel(&self, target: &str, board: &mut impl Board) -> Option<u32> {
        let found = self.domain(target).filter(|d| self.voter(*d));
        if found.is_none() {
            self.say(
                board,
                format_args!("no kernel `{target}`: give a name of `status`, or its number from 1"),
            );
        }
        found
    }

    /// `replace K [design]`.
    pub(crate) fn replace(&mut self, target: &str, design: Option<&str>, board: &mut impl Board) {
        let Some(voter) = self.kernel(target, board) else { return };
        let Some(wish) = self.wish(voter, design, board) else { return };
        if self.is_cold(voter) {
            return self.begin_spare(voter, wish, board);
        }
        let votes = self.set.is_none_or(|set| set >> voter & 1 == 1);
        if votes && self.set.is_none_or(|set| set.count_ones() < 3) {
            return self.say(board, format_args!("{} is needed: fewer than three vote", self.name(voter)));
        }
        let now = board.now_us();
        let Some(r) = self.returns.get_mut(voter as usize) else { return };
        if r.stage == Stage::Votes {
            (r.since, r.why) = ([now, now], Why::Order);
        }
        r.attempts = 0;
        if r.stage == Stage::Lost && votes {
            // The voters are to agree that it leaves first.
            r.wish = wish;
            return;
        }
        self.conclude(voter, None, board);
        self.begin(voter, wish, false, board);
    }

    /// The design that an order on `voter` names, or else its own, which may be unknown; `None`: there is none of that name, and that was said.
    pub(crate) fn wish(
        &self,
        voter: u32,
        design: Option<&str>,
        board: &mut impl Board,
    ) -> Option<Option<usize>> {
        let Some(name) = design else { return Some(self.design(voter)) };
        let found = self.config.designs.iter().position(|d| name_str(&d.name) == name);
        if found.is_none() {
            self.say(board, format_args!("no design `{name}`: there are{}", Designs(self)));
        }
        found.map(Some)
    }

    /// Whether `voter` is on its way back, in a word for the table.
    pub(crate) fn returning(&self, voter: u32) -> Option<&'static str> {
        match self.returns.get(voter as usize)?.stage {
            Stage::Votes | Stage::Lost => None,
            Stage::Begins => Some("begins anew"),
            Stage::Follows => Some("follows the log"),
            Stage::Leaves => Some("becomes the spare"),
        }
    }

    /// The design of `voter`, as a place in the list.
    pub(crate) fn design(&self, voter: u32) -> Option<usize> {
        let image = self.config.images.get(voter as usize)?;
        let first = || self.config.designs.iter().position(|d| d.name == *image);
        self.returns.get(voter as usize)?.design.or_else(first)
    }

    /// The image that `domain` runs.
    pub(crate) fn image(&self, domain: u32) -> &str {
        match self.design(domain) {
            Some(design) => self.design_name(Some(design)),
            None => self.config.images.get(domain as usize).map_or("", name_str),
        }
    }

    pub(crate) fn design_name(&self, design: Option<usize>) -> &str {
        design.and_then(|d| self.config.designs.get(d)).map_or("the same", |d| name_str(&d.name))
    }
}

/// The names of all designs.
struct Designs<'a>(&'a Manager);

impl fmt::Display for Designs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.config.designs.iter().try_for_each(|d| write!(f, " {}", name_str(&d.name)))
    }
}

const _: () = assert!(DOMAINS_MAX <= 64);
