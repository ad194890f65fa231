//! The rings that this replica writes.

use crate::peers;
use crate::shell_main::M;
use abi::bootinfo::{BootInfo, DOMAINS_MAX, KERNELS_MAX, name_str};
use abi::log::{Entry, Event};
use abi::snapshot::Beginning;
use abi::vote::Progress;
use consensus::ReplicaId;
use consensus::replica::{Channel, Note, Output};
use replica::Board;
use replica::clerk::Sink;
use replica::hello::{self, Hello};
use replica::liar::Liar;
use replica::snapshots::Decided;
use replica::start;
use shell::Broadcast;

/// Messages to the others, entries to the kernels, progress to gate, devices and manager.
pub struct Outlets {
    peer: Broadcast,
    agreed: Broadcast,
    progress: Broadcast,
    hello: [u8; hello::SIZE],
    /// What it said last at the start; those that come late need it.
    pub last_word: Option<[u8; start::SIZE]>,
    /// It equivocates, on demand.
    pub liar: Option<Liar>,
    fork: [[u8; M]; 2],
    told: (u64, u64),
    /// Where newcomers may begin.
    begin: Broadcast,
    /// The last entries that ask for a snapshot.
    asked: heapless::Deque<Asked, ASKED>,
    /// The kernels' domains, in order.
    kernels: heapless::Vec<usize, KERNELS_MAX>,
}

/// Where an entry that asks for a snapshot stands.
#[derive(Clone, Copy)]
struct Asked {
    s: u64,
    /// Its number in the log, and its position in this replica's ring.
    entry: u64,
    position: u64,
}

/// So many of them are remembered until the snapshot is believed.
const ASKED: usize = 8;

/// The entry asks for a snapshot: its number, and its sync point.
fn asks(record: &[u8]) -> Option<(u64, u64)> {
    let (number, entry) = record.split_first_chunk()?;
    let Ok(Entry::Sync(sync)) = postcard::from_bytes(entry) else { return None };
    let asks = !sync.events.is_empty() && sync.events().any(|event| event == Ok(Event::Snapshot));
    asks.then_some((u64::from_le_bytes(*number), sync.s))
}

impl Outlets {
    /// Looks them up: channels named after this domain.
    pub fn open(boot: &'static BootInfo, hello: &Hello) -> Self {
        let named = |prefix: &str| {
            let mut name = heapless::String::<32>::new();
            let fits = name.push_str(prefix).and_then(|()| name.push_str(name_str(&boot.name)));
            assert!(fits.is_ok(), "a name has at most 16 bytes");
            Broadcast::new(boot, &name)
        };
        Outlets {
            peer: Broadcast::new(boot, peers::own(boot).0),
            agreed: named("agreed-"),
            progress: named("progress-"),
            hello: hello.encode(),
            last_word: None,
            liar: None,
            fork: [[0; M]; 2],
            told: (0, 0),
            begin: named("begin-"),
            asked: heapless::Deque::new(),
            kernels: (0..DOMAINS_MAX)
                .filter(|d| boot.run.kernels() >> d & 1 == 1)
                .take(KERNELS_MAX)
                .collect(),
        }
    }

    /// Names the sync point that the domain of that incarnation is to begin not after.
    pub fn name_beginning(&mut self, incarnation: u32, s: u64) {
        self.begin.write(&Beginning::not_after(incarnation, s).encode());
    }

    /// Says hello, at once; and who began, for who does not know.
    pub fn hello(&mut self) {
        self.peer.write(&self.hello);
        self.repeat_last_word();
        self.peer.ring();
    }

    /// Says `record` to the other replicas, at once.
    pub fn say(&mut self, record: &[u8]) {
        self.peer.write(record);
        self.peer.ring();
    }

    /// Says again who began.
    pub fn repeat_last_word(&mut self) {
        if let Some(word) = &self.last_word {
            self.peer.write(word);
            self.peer.ring();
        }
    }

    /// Tells how far input is ordered and who votes, if that is new. It is agreed: others take it on f + 1 equal words.
    pub fn tell_agreed(&mut self, line: &Board<'_>) {
        let voters = line.voters();
        let (input, epoch) = core::mem::replace(&mut self.told, (line.done(0), voters.epoch));
        if input != line.done(0) {
            self.progress(Progress::Ordered { input: line.done(0) });
        }
        if epoch != voters.epoch {
            let (epoch, set, quorum) = (voters.epoch, voters.set, voters.quorum);
            self.progress(Progress::Voters { epoch, set, quorum });
        }
    }

    /// One bell a ring for all that was written.
    pub fn ring(&mut self) {
        self.agreed.ring();
        self.peer.ring();
        self.progress.ring();
        self.begin.ring();
    }

    fn lie(&mut self, record: &[u8]) -> bool {
        let Some(liar) = &self.liar else { return false };
        let [first, second] = &mut self.fork;
        let Some(first) = first.get_mut(..record.len()) else { return false };
        first.copy_from_slice(record);
        let Some(second) = liar.fork(first, second).and_then(|length| second.get(..length)) else {
            return false;
        };
        self.peer.write(first) && self.peer.write(second)
    }
}

impl Output for Outlets {
    fn broadcast(&mut self, record: &[u8]) {
        if !self.lie(record) {
            self.peer.write(record);
        }
    }

    fn send(&mut self, _: ReplicaId, record: &[u8]) {
        self.broadcast(record);
    }

    /// Voters are told by [`Outlets::tell_agreed`], also when they came with a state.
    fn deliver(&mut self, _: u64, channel: Channel, record: &[u8]) {
        if channel == Channel::Log {
            if let Some((entry, s)) = asks(record) {
                if self.asked.is_full() {
                    self.asked.pop_front();
                }
                let _room = self.asked.push_back(Asked { s, entry, position: self.agreed.position() });
            }
            self.agreed.write(record);
        }
    }

    /// What others do wrong goes into the log, what this replica does about it to the operator too.
    fn note(&mut self, note: Note) {
        match note {
            Note::Stable { sequence } => defmt::debug!("checkpoint {=u64} is stable", sequence),
            Note::Equivocates { sender, view, sequence, .. } => {
                defmt::warn!("replica {=u8} equivocates: view {=u64} number {=u64}", sender, view, sequence);
            }
            Note::BadAuthenticator { sender, .. } => {
                defmt::debug!("a message of replica {=u8} has a wrong authenticator", sender);
            }
            Note::Malformed { from, .. } | Note::Spoofed { from, .. } => {
                defmt::warn!("replica {=u8}'s ring holds nonsense", from);
            }
            _ => runtime::say!("{note}"),
        }
    }
}

impl Sink for Outlets {
    fn progress(&mut self, progress: Progress) {
        self.progress.send(&progress, &mut [0; 64]);
    }

    /// A replica that was restarted since does not know where the entry stands: the others do.
    fn decided(&mut self, snapshot: &Decided) {
        let Some(asked) = self.asked.iter().find(|a| a.s == snapshot.s) else { return };
        let place = |slot: usize| snapshot.places.get(*self.kernels.get(slot)?).copied().flatten();
        let beginning = Beginning {
            s: snapshot.s,
            entry: asked.entry,
            records: snapshot.records,
            bytes: snapshot.bytes,
            root: snapshot.root,
            log: asked.position,
            places: core::array::from_fn(|slot| place(slot).unwrap_or(u64::MAX)),
        };
        self.begin.write(&beginning.encode());
    }
}
