//! One replica of PBFT: (state, event) gives (state, actions), the actions through [`Output`].
//!
//! Events: [`Replica::on_message`] for what a peer's ring holds, [`Replica::poll`] when all that arrived was handed in and when
//! [`Replica::wake_at`] has come. Input goes to the [`Application`], which also says what is acceptable and executes what is agreed.
//!
//! | file | what |
//! |---|---|
//! | `slot.rs` | what is known of one sequence number |
//! | `normal.rs` | pre-prepare, prepare, commit, execution |
//! | `checkpoint.rs` | checkpoints, the window, the end of an epoch |
//! | `change.rs`, `select.rs`, `view.rs` | view changes: encoding, decision, protocol |
//! | `transfer.rs` | states for who is behind |
//! | `status.rs` | who lacks what, and gets it again; timers |

mod change;
mod checkpoint;
mod normal;
mod note;
mod select;
mod slot;
mod status;
mod transfer;
mod view;

pub use change::{Change, StateId};
pub use note::Note;
pub use select::{Changes, Chosen, Selection, select};
pub use slot::Vote;

use crate::auth::{Authenticator, Identity, Members};
use crate::batch::{Batch, BatchWriter};
use crate::seeded::{self, Bug};
use crate::wire::{BODY, HEADER, Header, Kind, Message, Trailer};
use crate::{Digest, REPLICAS, ReplicaId, Ticks};
use change::index;
use checkpoint::{Claims, EpochEnd, Snapshot};
use slot::Slot;
use transfer::Target;
use view::Beginning;

/// Where a replica's actions go.
pub trait Output {
    /// Puts a message into the ring that all others read.
    fn broadcast(&mut self, record: &[u8]);
    /// A message that `to` needs; a shell with rings broadcasts it, the others drop it.
    fn send(&mut self, to: ReplicaId, record: &[u8]);
    /// Agreed bytes of number `sequence` for `channel`, in order, each once.
    fn deliver(&mut self, sequence: u64, channel: Channel, record: &[u8]);
    /// What a person may want to know.
    fn note(&mut self, note: Note);
}

/// Who reads what is agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The personalities: one [`abi::log::Entry`] a record.
    Log,
    /// Gate and manager: one [`crate::line::Voters`] a record.
    Voters,
}

/// What a backup thinks of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It is acceptable.
    Valid,
    /// Not as far as this replica knows; perhaps soon. It asks again.
    Later,
    /// No correct primary proposes this.
    Invalid,
}

/// A replica was restarted with new keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rekey {
    /// Which.
    pub replica: ReplicaId,
    /// Its new public keys.
    pub identity: Identity,
}

/// What is replicated. Everything that `execute` does follows from the batches alone; `propose` and `check` use local knowledge.
pub trait Application {
    /// Puts what waits into the next batch; nothing, when nothing waits.
    fn propose(&mut self, now: Ticks, batch: &mut BatchWriter<'_>);
    /// Whether this replica accepts a primary's proposal.
    fn check(&self, now: Ticks, batch: Batch<'_>) -> Check;
    /// Executes number `sequence`. A re-key ends the epoch.
    fn execute(&mut self, sequence: u64, batch: Batch<'_>, out: &mut impl Output) -> Option<Rekey>;
    /// A view began: nothing counts as proposed any more but `batch`es that are told afterwards, in order.
    fn begin_view(&mut self);
    /// See [`Application::begin_view`].
    fn proposed(&mut self, batch: Batch<'_>);
    /// Arrival of the oldest input that was not executed.
    fn oldest(&self) -> Option<Ticks>;
    /// Writes the agreed state. `None`: no room, which is an error of the configuration.
    fn snapshot(&self, out: &mut [u8]) -> Option<usize>;
    /// Takes over an agreed state. `false`: it is none; nothing was changed.
    fn restore(&mut self, state: &[u8]) -> bool;
}

/// Parameters of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Its number.
    pub me: ReplicaId,
    /// Old input must be executed after so long, or the view changes; doubled with each view change that brings nothing.
    pub timeout: Ticks,
    /// How often it says how far it is.
    pub status_every: Ticks,
    /// Proposals on their way at a time.
    pub pipeline: u64,
    /// Items in a batch at most.
    pub items_max: usize,
    /// Primary of view v: entry v modulo 8. Round robin unless a test wants otherwise.
    pub leaders: [ReplicaId; 8],
}

impl Config {
    /// Replica `me`, for rings on one board: timeout 20 ms, status each 2 ms.
    pub const fn new(me: ReplicaId) -> Self {
        let leaders = [0, 1, 2, 3, 0, 1, 2, 3];
        Config { me, timeout: 20_000, status_every: 2_000, pipeline: 8, items_max: 64, leaders }
    }
}

/// One replica. `W`: sequence numbers in the window, even; `M`: bytes of the longest message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica<A, P, const W: usize, const M: usize> {
    config: Config,
    keys: A,
    application: P,
    identity: Identity,
    members: Members,
    /// It has lost its past: it says nothing in the protocol until an epoch begins that knows its new keys.
    recovering: bool,
    epoch: u64,
    view: u64,
    /// In `view`; otherwise it has left all views below and waits for `view` to begin.
    normal: bool,
    /// The last view whose beginning it knows.
    installed: u64,
    /// Low watermark.
    stable: StateId,
    executed: u64,
    /// Hash over all batches up to `history_at`.
    history: Digest,
    history_at: u64,
    /// The highest number proposed in this view, as far as known; the primary's next is one more.
    proposed: u64,
    /// Some proposals wait for a check.
    unchecked: bool,
    slots: [Slot<M>; W],
    snapshots: [Snapshot<M>; change::CHECKPOINTS],
    claims: [Claims; REPLICAS],
    /// The epoch ends with this sequence number.
    ending: Option<(u64, Rekey)>,
    epoch_end: Option<EpochEnd>,
    /// The state there, for as long as the epoch lasts: whoever comes late begins with it.
    end_state: Snapshot<M>,
    target: Option<Target>,
    changes: Changes<W>,
    /// New views that lack some of their view changes, by primary.
    pending: [Option<Beginning<W>>; REPLICAS],
    /// How `installed` began.
    beginning: Option<Beginning<W>>,
    /// That and the other beginnings of the same view that are known, if its primary equivocates.
    begun: heapless::Vec<view::Tag, REPLICAS>,
    view_began: Ticks,
    progress_at: Ticks,
    new_view_due: Option<Ticks>,
    status_due: Ticks,
    executed_at_status: u64,
    idle_statuses: u8,
    /// View changes since something was executed.
    attempts: u32,
}

impl<A: Authenticator, P: Application, const W: usize, const M: usize> Replica<A, P, W, M> {
    /// Distance of checkpoints.
    pub const INTERVAL: u64 = W as u64 / 2;

    /// A replica at the beginning of everything, all members being known. `keys` are those of epoch 0.
    pub fn new(config: Config, keys: A, members: &Members, application: P) -> Self {
        const { assert!(W >= 2 && W.is_multiple_of(2) && W <= 128) };
        Replica {
            identity: members.get(usize::from(config.me)).copied().unwrap_or(Identity([0; 64])),
            config,
            keys,
            application,
            members: *members,
            recovering: false,
            epoch: 0,
            view: 0,
            normal: true,
            installed: 0,
            stable: StateId::default(),
            executed: 0,
            history: [0; 32],
            history_at: 0,
            proposed: 0,
            unchecked: false,
            slots: [const { Slot::EMPTY }; W],
            snapshots: [const { Snapshot::EMPTY }; change::CHECKPOINTS],
            claims: [Claims::default(); REPLICAS],
            ending: None,
            epoch_end: None,
            end_state: Snapshot::EMPTY,
            target: None,
            changes: [const { None }; REPLICAS],
            pending: [const { None }; REPLICAS],
            beginning: None,
            begun: heapless::Vec::new(),
            view_began: 0,
            progress_at: 0,
            new_view_due: None,
            status_due: 0,
            executed_at_status: 0,
            idle_statuses: 0,
            attempts: 0,
        }
    }

    /// A replica that was restarted with new keys and nothing else: mute until an epoch begins that knows it. `members` are the identities
    /// of now, its own new one among them, as the platform tells them; `application` is the initial state.
    pub fn restarted(config: Config, keys: A, members: &Members, application: P) -> Self {
        let mut replica = Self::new(config, keys, members, application);
        replica.recovering = true;
        replica
    }

    /// The application, to hand it input.
    pub fn application(&mut self) -> &mut P {
        &mut self.application
    }

    /// The application, to look at.
    pub fn state(&self) -> &P {
        &self.application
    }

    /// Its authenticator, with the keys of this epoch.
    pub fn keys(&self) -> &A {
        &self.keys
    }

    /// The public keys that count as `replica`'s.
    pub fn member(&self, replica: ReplicaId) -> Option<Identity> {
        self.members.get(usize::from(replica)).copied()
    }

    /// Its number.
    pub fn me(&self) -> ReplicaId {
        self.config.me
    }

    /// Its epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The view it is in or waits for, and whether it is in it.
    pub fn view(&self) -> (u64, bool) {
        (self.view, self.normal)
    }

    /// The last sequence number executed.
    pub fn executed(&self) -> u64 {
        self.executed
    }

    /// The low watermark and the digest of the state there.
    pub fn stable(&self) -> StateId {
        self.stable
    }

    /// Digest of the state after `sequence`, while this replica holds it.
    pub fn digest_at(&self, sequence: u64) -> Option<Digest> {
        self.snapshot(sequence).map(|s| s.id.digest)
    }

    /// The state after `sequence`, while this replica holds it: for whoever keeps states elsewhere.
    pub fn state_at(&self, sequence: u64) -> Option<&[u8]> {
        self.snapshot(sequence).map(|s| s.bytes())
    }

    /// Digest of the batch held as number `sequence`, while it is in the window.
    pub fn batch_digest(&self, sequence: u64) -> Option<Digest> {
        self.slot(sequence).held.map(|held| held.0).filter(|_| self.in_window(sequence))
    }

    /// It waits for an epoch that knows its new keys.
    pub fn is_recovering(&self) -> bool {
        self.recovering
    }

    /// The primary of `view`.
    pub fn primary(&self, view: u64) -> ReplicaId {
        self.config.leaders[(view % 8) as usize]
    }

    /// Whether this replica proposes.
    pub fn is_primary(&self) -> bool {
        self.primary(self.view) == self.config.me
    }

    /// Inside the window.
    #[inline]
    fn in_window(&self, n: u64) -> bool {
        n > self.stable.sequence && n - self.stable.sequence <= W as u64
    }

    #[inline]
    fn slot(&self, n: u64) -> &Slot<M> {
        &self.slots[index::<W>(n)]
    }

    #[inline]
    fn slot_mut(&mut self, n: u64) -> &mut Slot<M> {
        &mut self.slots[index::<W>(n)]
    }

    fn header(&self, kind: Kind, view: u64, sequence: u64, digest: Digest) -> Header {
        Header { kind, sender: self.config.me, length: 0, epoch: self.epoch, view, sequence, digest }
    }

    /// A message without a body, authenticated to all.
    #[inline]
    fn sealed(&self, kind: Kind, view: u64, sequence: u64, digest: Digest) -> [u8; BODY] {
        let header = self.header(kind, view, sequence, digest).encode();
        small(&header, &self.keys.seal(&header))
    }

    /// Takes a message that stood in the ring of `from`.
    pub fn on_message(&mut self, from: ReplicaId, record: &[u8], now: Ticks, out: &mut impl Output) {
        let m = match Message::parse(record) {
            Ok(m) => m,
            Err(error) => return out.note(Note::Malformed { from, error }),
        };
        let h = &m.header;
        // Its own words come back only as a batch that it proposed once and has lost since.
        if from == self.config.me || h.sender == self.config.me && h.kind != Kind::PrePrepare {
            return;
        }
        match h.kind {
            Kind::FetchState => self.on_fetch_state(from, &m, out),
            Kind::State => self.on_state(&m, now, out),
            Kind::Certificate => self.on_certificate(&m, now, out),
            Kind::Status if h.epoch < self.epoch => self.send_epoch_end(from, out),
            _ if self.recovering || !self.of_this_epoch(h) => {}
            Kind::ViewChange => self.on_view_change(&m, now, out),
            Kind::NewView => self.on_new_view(&m, now, out),
            Kind::PrePrepare => self.on_pre_prepare(from, &m, now, out),
            _ if h.sender != from && !seeded::has(Bug::SenderNotTheRings) => {
                out.note(Note::Spoofed { from, as_: h.sender })
            }
            Kind::Prepare => self.on_prepare(&m, now, out),
            Kind::Commit => self.on_commit(&m, now, out),
            Kind::Committed => self.on_committed(&m, now, out),
            Kind::Checkpoint => self.on_checkpoint(&m, now, out),
            Kind::Status => self.on_status(&m, out),
            Kind::Certified => {}
        }
    }

    fn of_this_epoch(&self, h: &Header) -> bool {
        h.epoch == self.epoch || seeded::has(Bug::EpochUnchecked)
    }

    /// Whether the authenticator holds, over the header's bytes as received.
    #[inline]
    fn authentic(&self, m: &Message<'_>, out: &mut impl Output) -> bool {
        let good =
            self.keys.check(m.header.sender, m.bytes, m.trailer) || seeded::has(Bug::AuthenticatorUnchecked);
        if !good {
            out.note(Note::BadAuthenticator { sender: m.header.sender, kind: m.header.kind });
        }
        good
    }

    /// Whether the signature holds, and the digest of the body.
    fn signed(&self, m: &Message<'_>, out: &mut impl Output) -> bool {
        let good = (self.keys.verify(m.header.sender, m.bytes, m.trailer)
            || seeded::has(Bug::SignatureUnchecked))
            && A::digest(m.body) == m.header.digest;
        if !good {
            out.note(Note::BadAuthenticator { sender: m.header.sender, kind: m.header.kind });
        }
        good
    }
}

/// A message without a body.
#[inline]
fn small(header: &[u8; HEADER], trailer: &Trailer) -> [u8; BODY] {
    let mut record = [0; BODY];
    record[..HEADER].copy_from_slice(header);
    record[HEADER..].copy_from_slice(trailer);
    record
}
