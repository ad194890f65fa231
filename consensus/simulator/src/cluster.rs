//! The same replicas under a model checker: every order in which their rings can be read, and everything one equivocator may say.
//!
//! Three correct replicas, and replica 0, which is no replica but a list of signed lies: each reader may find each of them in 0's ring, or not, at any
//! time. Rings are first in, first out, as the real ones; a message that is never read is a lost one. Time stands still: any replica may give up
//! its view at any moment, so often as the topic allows.

use consensus::auth::{Authenticator, Null};
use consensus::batch::BatchWriter;
use consensus::replica::{Change, Channel, Config, Note, Output, Replica, StateId, Vote};
use consensus::requests::Requests;
use consensus::wire::{BODY, HEADER, Header, Kind};
use consensus::{Digest, ReplicaId};
use stateright::{Model, Property};
use std::sync::Arc;

/// Sequence numbers in the window.
pub const W: usize = 2;
const M: usize = 512;
type Node = Replica<Null, Requests<2, 2, 8>, W, M>;
type Bytes = Arc<[u8]>;

/// Where exploration begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Nothing was said yet; replica 0, the primary, equivocates.
    Proposals,
    /// Replica 1 has executed one of the two proposals, with 0's help; then all leave the view.
    ViewChange,
    /// As before, and the new view has begun at replica 1, but nobody has heard of it; all leave that too.
    SecondViewChange,
}

/// One replica, what it has executed, and how far it has read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Correct {
    node: Node,
    executed: Vec<u8>,
    /// Of each correct replica's ring.
    read: [usize; 3],
    /// Lies found in 0's ring, a bit each.
    lies: u64,
    left: u8,
}

/// A state of the whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Whole {
    replicas: [Arc<Correct>; 3],
    /// What each correct replica has said.
    rings: [Arc<Vec<Bytes>>; 3],
}

/// What happens next. Replicas are named by index: 0 is replica 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// `reader` reads the next message of `writer`.
    Read {
        /// Who reads.
        reader: u8,
        /// Whose ring.
        writer: u8,
    },
    /// `reader` finds this lie in 0's ring.
    Lie {
        /// Who.
        reader: u8,
        /// Which.
        lie: u8,
    },
    /// A replica gives up its view.
    Leave(u8),
}

#[derive(Default)]
struct Actions {
    said: Vec<Bytes>,
    delivered: Vec<u8>,
}

impl Output for Actions {
    fn broadcast(&mut self, record: &[u8]) {
        // Status, claims of states and requests for them only repeat what was said, or serve who is behind.
        if !matches!(record[1], 7..=9) {
            self.said.push(record.into());
        }
    }
    fn send(&mut self, _: ReplicaId, record: &[u8]) {
        self.broadcast(record);
    }
    fn deliver(&mut self, _: u64, _: Channel, record: &[u8]) {
        self.delivered.extend_from_slice(record);
    }
    fn note(&mut self, _: Note) {}
}

/// The model.
pub struct Cluster {
    topic: Topic,
    lies: Vec<Bytes>,
    start: Whole,
    leaves: u8,
}

fn batch(origin: u8) -> Vec<u8> {
    let mut space = [0; 32];
    let mut writer = BatchWriter::new(&mut space, 64);
    writer.push(origin, 1, (&[b'a' + origin], &[]));
    let length = writer.length();
    space[..length].to_vec()
}

fn message(kind: Kind, view: u64, sequence: u64, digest: Digest, body: &[u8]) -> Bytes {
    let keys = Null::new(Null::identity(0, 0), &Null::members());
    let header =
        Header { kind, sender: 0, length: body.len() as u32, epoch: 0, view, sequence, digest }.encode();
    let signed = matches!(kind, Kind::ViewChange | Kind::NewView);
    let trailer = if signed { keys.sign(&header) } else { keys.seal(&header) };
    let mut record = vec![0; BODY];
    record[..HEADER].copy_from_slice(&header);
    record[HEADER..].copy_from_slice(&trailer);
    record.extend_from_slice(body);
    record.into()
}

/// A signed change to `view` that claims `vote` prepared and pre-prepared as number 1, or nothing.
fn change(view: u64, vote: Option<Vote>) -> Bytes {
    let mut c = Change::<W> {
        sender: 0,
        epoch: 0,
        view,
        stable: 0,
        installed: 0,
        checkpoints: [Some(StateId::default()), None, None],
        prepared: [None, vote],
        endorsed: [None, vote],
        digest: [0; 32],
        signature: [0; 64],
    };
    let mut body = [0; M];
    let length = c.encode(&mut body).expect("fits");
    c.digest = Null::digest(&body[..length]);
    message(Kind::ViewChange, view, 0, c.digest, &body[..length])
}

/// Everything that replica 0 may say in views below `views`.
fn lies(views: u64) -> Vec<Bytes> {
    let batches = [batch(0), batch(1)];
    let digests = [Null::digest(&batches[0]), Null::digest(&batches[1])];
    let mut lies = Vec::new();
    for (body, digest) in batches.iter().zip(digests) {
        lies.push(message(Kind::PrePrepare, 0, 1, digest, body));
        lies.push(message(Kind::Commit, 0, 1, digest, &[]));
    }
    for view in 1..views {
        lies.push(change(view, None));
        for digest in digests {
            lies.push(change(view, Some(Vote { view: view - 1, digest })));
            lies.push(message(Kind::Prepare, view, 1, digest, &[]));
            lies.push(message(Kind::Commit, view, 1, digest, &[]));
        }
        lies.push(message(Kind::Prepare, view, 1, Null::digest(&[]), &[]));
        lies.push(message(Kind::Commit, view, 1, Null::digest(&[]), &[]));
    }
    lies
}

impl Cluster {
    /// The model of `topic`.
    pub fn new(topic: Topic) -> Self {
        let (views, leaves) = match topic {
            Topic::Proposals | Topic::ViewChange => (2, 1),
            Topic::SecondViewChange => (3, 2),
        };
        let replicas = [1, 2, 3].map(|id| {
            let config = Config { timeout: u64::MAX / 4096, status_every: u64::MAX / 4, ..Config::new(id) };
            let keys = Null::new(Null::identity(id, 0), &Null::members());
            let mut node = Node::new(config, keys, &Null::members(), Requests::default());
            for origin in 0..2 {
                node.application().push(origin, 1, &[b'a' + origin], 0).expect("room");
            }
            Arc::new(Correct { node, executed: Vec::new(), read: [0; 3], lies: 0, left: 0 })
        });
        let start = Whole { replicas, rings: core::array::from_fn(|_| Arc::default()) };
        let mut cluster = Cluster { topic, lies: lies(views), start, leaves };
        cluster.prepare();
        cluster
    }

    /// Plays to where the topic begins.
    fn prepare(&mut self) {
        let mut whole = self.start.clone();
        let play = |whole: &mut Whole, steps: &[Step]| {
            for step in steps {
                *whole = self.step(whole, *step).expect("possible");
            }
        };
        let read = |reader, writer| Step::Read { reader, writer };
        if self.topic != Topic::Proposals {
            // Replicas 1 and 2 prepare the first proposal; 1 has all the commits, 0's among them; 3 has the other proposal.
            let lie = |reader, lie| Step::Lie { reader, lie };
            play(
                &mut whole,
                &[lie(0, 0), lie(1, 0), lie(2, 2), read(0, 1), read(1, 0), read(0, 1), lie(0, 1)],
            );
            assert_eq!(whole.replicas[0].executed, b"a");
        }
        if self.topic == Topic::SecondViewChange {
            // Replica 1 begins view 1 with its own, 2's and 3's view changes.
            play(&mut whole, &[Step::Leave(0), Step::Leave(1), Step::Leave(2)]);
            for (reader, writer) in [(0, 1), (0, 2), (0, 2)] {
                if let Some(next) = self.step(&whole, read(reader, writer)) {
                    whole = next;
                }
            }
            assert_eq!(whole.replicas[0].node.view(), (1, true));
        }
        self.start = whole;
    }

    fn step(&self, whole: &Whole, step: Step) -> Option<Whole> {
        let mut next = whole.clone();
        let mut out = Actions::default();
        let who = match step {
            Step::Read { reader, .. } | Step::Lie { reader, .. } | Step::Leave(reader) => usize::from(reader),
        };
        let correct = Arc::make_mut(&mut next.replicas[who]);
        match step {
            Step::Read { writer, .. } => {
                let record = whole.rings[usize::from(writer)].get(correct.read[usize::from(writer)])?;
                correct.read[usize::from(writer)] += 1;
                correct.node.on_message(writer + 1, record, 0, &mut out);
            }
            Step::Lie { lie, .. } => {
                correct.lies |= 1 << lie;
                correct.node.on_message(0, &self.lies[usize::from(lie)], 0, &mut out);
            }
            Step::Leave(_) => {
                correct.left += 1;
                let view = correct.node.view().0 + 1;
                correct.node.start_view_change(view, 0, &mut out);
            }
        }
        // Time stands at 1, and statuses were sent; a primary proposes what waits.
        correct.node.poll(1, &mut out);
        correct.executed.extend(out.delivered);
        Arc::make_mut(&mut next.rings[who]).extend(out.said);
        Some(next)
    }
}

/// Each input at most once at each replica, and the same order at all.
pub fn agree(whole: &Whole) -> bool {
    let logs = whole.replicas.each_ref().map(|r| &r.executed);
    let twice = |log: &[u8]| log.iter().enumerate().any(|(i, b)| log[..i].contains(b));
    let prefix = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    logs.iter().all(|l| !twice(l))
        && prefix(logs[0], logs[1])
        && prefix(logs[1], logs[2])
        && prefix(logs[0], logs[2])
}

/// Replicas that hold a state after the same number hold the same.
pub fn states_agree(whole: &Whole) -> bool {
    (1..=4).all(|n| {
        let mut digests = whole.replicas.iter().filter_map(|r| r.node.digest_at(n));
        digests.next().is_none_or(|first| digests.all(|d| d == first))
    })
}

impl Model for Cluster {
    type State = Whole;
    type Action = Step;

    fn init_states(&self) -> Vec<Whole> {
        vec![self.start.clone()]
    }

    fn actions(&self, whole: &Whole, actions: &mut Vec<Step>) {
        for (i, correct) in whole.replicas.iter().enumerate() {
            let reader = i as u8;
            for writer in (0..3u8).filter(|w| *w != reader) {
                if correct.read[usize::from(writer)] < whole.rings[usize::from(writer)].len() {
                    actions.push(Step::Read { reader, writer });
                }
            }
            let told = (0..self.lies.len()).filter(|l| correct.lies >> l & 1 == 0);
            actions.extend(told.map(|lie| Step::Lie { reader, lie: lie as u8 }));
            if correct.left < self.leaves {
                actions.push(Step::Leave(reader));
            }
        }
    }

    fn next_state(&self, whole: &Whole, step: Step) -> Option<Whole> {
        self.step(whole, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("all execute the same, each input once", |_, s| agree(s)),
            Property::always("equal numbers, equal states", |_, s| states_agree(s)),
            Property::sometimes("all three execute something", |_, s: &Whole| {
                s.replicas.iter().all(|r| !r.executed.is_empty())
            }),
        ]
    }
}
