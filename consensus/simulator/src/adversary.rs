//! A faulty replica: the correct code, and something that changes what it says before others hear it. It owns its keys, nobody else's.

use crate::plan::Will;
use crate::rng::Rng;
use crate::{Node, W};
use abi::log::Event;
use consensus::auth::{Authenticator, Null};
use consensus::batch::{Batch, BatchWriter};
use consensus::line::{PROPOSALS, Proposal, Voters};
use consensus::replica::{Change, Vote};
use consensus::wire::{BODY, HEADER, Header, Kind, Message};
use std::collections::VecDeque;

/// What one replica would say, to whom (a bit each).
pub struct Said {
    /// The message.
    pub record: Vec<u8>,
    /// Who hears it.
    pub to: u8,
}

/// A liar's will, memory and keys.
pub struct Adversary {
    wills: Vec<Will>,
    rng: Rng,
    keys: Null,
    me: u8,
    /// What it has heard and said.
    heard: VecDeque<Vec<u8>>,
    mute: Vec<Kind>,
}

fn put(record: &mut [u8], header: &Header) {
    record[..HEADER].copy_from_slice(&header.encode());
}

impl Adversary {
    /// Replica `me`.
    pub fn new(seed: u64, me: u8, wills: Vec<Will>, keys: Null) -> Self {
        let mut rng = Rng::new(seed, 77);
        let kinds = [
            Kind::PrePrepare,
            Kind::Prepare,
            Kind::Commit,
            Kind::Checkpoint,
            Kind::ViewChange,
            Kind::NewView,
            Kind::Status,
        ];
        let mute = kinds.into_iter().filter(|_| rng.chance(350)).collect();
        Adversary { wills, rng, keys, me, heard: VecDeque::new(), mute }
    }

    /// It has this will.
    pub fn has(&self, will: Will) -> bool {
        self.wills.contains(&will)
    }

    /// It remembers what it hears.
    pub fn hears(&mut self, record: &[u8]) {
        if self.heard.len() > 60 {
            let at = self.rng.below(60) as usize;
            self.heard.remove(at);
        }
        self.heard.push_back(record.to_vec());
    }

    fn seal(&self, record: &mut [u8]) {
        let Some(header) = record.first_chunk::<HEADER>().copied() else { return };
        let signed = matches!(header[1], 5 | 6);
        let trailer = if signed { self.keys.sign(&header) } else { self.keys.seal(&header) };
        record[HEADER..BODY].copy_from_slice(&trailer);
    }

    /// What becomes of a message to `to`.
    pub fn change(&mut self, record: &[u8], to: u8) -> Vec<Said> {
        self.hears(record);
        let mut said = vec![Said { record: record.to_vec(), to }];
        let Ok(m) = Message::parse(record) else { return said };
        for will in self.wills.clone() {
            self.apply(will, &m, to, &mut said);
        }
        said
    }

    fn apply(&mut self, will: Will, m: &Message<'_>, to: u8, said: &mut Vec<Said>) {
        let h = m.header;
        match will {
            Will::Equivocate => {}
            Will::Withhold if self.mute.contains(&h.kind) => said.clear(),
            Will::Select if self.rng.chance(300) => {
                let side = self.rng.below(16) as u8;
                said.iter_mut().for_each(|s| s.to &= side);
            }
            Will::FalseDigest if self.rng.chance(250) => {
                let mut header = h;
                header.digest[0] ^= 1;
                self.replace(said, m, header, m.body);
            }
            Will::FalseNumbers if self.rng.chance(250) => {
                let header = self.false_numbers(h);
                self.replace(said, m, header, m.body);
            }
            Will::Forge if self.rng.chance(300) => {
                let record = self.forged(m.record);
                said.push(Said { record, to });
            }
            Will::Replay if self.rng.chance(300) && !self.heard.is_empty() => {
                let at = self.rng.below(self.heard.len() as u64) as usize;
                let mut old = self.heard[at].clone();
                if self.rng.chance(300) && old[2] == self.me {
                    // The old words with the numbers of now.
                    old[8..24].copy_from_slice(&m.bytes[8..24]);
                    self.seal(&mut old);
                }
                said.push(Said { record: old, to });
            }
            Will::LieInViewChange if h.kind == Kind::ViewChange => self.lie_in_change(m, to, said),
            Will::LieInCheckpoint if matches!(h.kind, Kind::Checkpoint | Kind::State | Kind::Certificate) => {
                self.lie_in_checkpoint(m, said);
            }
            Will::ProposeNonsense if h.kind == Kind::PrePrepare && self.rng.chance(400) => {
                let body = self.nonsense(m.body);
                let mut header = h;
                header.length = body.len() as u32;
                header.digest = Null::digest(&body);
                self.replace(said, m, header, &body);
            }
            Will::CorruptRing if self.rng.chance(200) => {
                for s in said {
                    let at = self.rng.below(s.record.len() as u64) as usize;
                    s.record[at] ^= 1 << self.rng.below(8);
                    let length = s.record.len() - self.rng.below(3) as usize;
                    s.record.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// Some hear this instead, the others what was meant.
    fn replace(&mut self, said: &mut Vec<Said>, m: &Message<'_>, header: Header, body: &[u8]) {
        let mut record = m.record[..BODY].to_vec();
        record.extend_from_slice(body);
        put(&mut record, &header);
        self.seal(&mut record);
        let side = if self.rng.chance(500) { 15 } else { self.rng.below(16) as u8 };
        let first = self.rng.chance(300);
        let lie = Said { record, to: side };
        if first {
            said.iter_mut().for_each(|s| s.to &= !side);
        }
        if self.rng.chance(500) { said.insert(0, lie) } else { said.push(lie) }
    }

    fn forged(&mut self, record: &[u8]) -> Vec<u8> {
        let mut forged = record.to_vec();
        match self.rng.below(3) {
            0 => forged[2] = self.rng.below(4) as u8,
            1 => forged[HEADER] ^= 1,
            _ => {
                // In another's name, sealed with its own key.
                forged[2] = self.rng.below(4) as u8;
                self.seal(&mut forged);
            }
        }
        forged
    }

    fn false_numbers(&mut self, mut h: Header) -> Header {
        match self.rng.below(5) {
            0 => h.view = h.view.saturating_sub(1),
            1 => h.view += 1 + self.rng.below(3),
            2 => h.sequence = (h.sequence + 1 + self.rng.below(2 * W as u64)).saturating_sub(3),
            3 => h.epoch = h.epoch.wrapping_add(1),
            _ => h.sequence += W as u64,
        }
        h
    }

    fn lie_in_checkpoint(&mut self, m: &Message<'_>, said: &mut Vec<Said>) {
        let mut header = m.header;
        let mut body = m.body.to_vec();
        match self.rng.below(3) {
            0 => header.digest[1] ^= 1,
            1 => header.sequence += self.rng.below(12),
            _ => {
                if let Some(b) = body.last_mut() {
                    *b ^= 1;
                }
            }
        }
        self.replace(said, m, header, &body);
    }

    fn lie_in_change(&mut self, m: &Message<'_>, to: u8, said: &mut Vec<Said>) {
        let Some(mut change) = Change::<W>::decode(m) else { return };
        let lie = self.rng.below(5);
        let digest = self.some_digest();
        for i in 0..W {
            match lie {
                0 => change.prepared[i] = None,
                1 => (change.prepared[i], change.endorsed[i]) = (None, None),
                2 => {
                    let vote = Vote { view: change.view - 1, digest };
                    (change.prepared[i], change.endorsed[i]) = (Some(vote), Some(vote));
                }
                3 => {
                    if let Some(q) = change.endorsed[i] {
                        change.prepared[i] = Some(Vote { view: change.view - 1, ..q });
                    }
                }
                _ => {
                    if let Some(s) = change.checkpoints[0].as_mut() {
                        s.digest[0] ^= 1;
                    }
                }
            }
        }
        if self.rng.chance(200) {
            change.view += self.rng.below(3);
        }
        self.signed(&mut change, to, said);
    }

    fn signed(&mut self, change: &mut Change<W>, to: u8, said: &mut Vec<Said>) {
        let mut body = vec![0; 4096];
        let Some(length) = change.encode(&mut body) else { return };
        change.digest = Null::digest(&body[..length]);
        change.signature = self.keys.sign(&change.header(length).encode());
        let mut record = vec![0; 8192];
        if let Some(length) = change.record(&mut record) {
            record.truncate(length);
            let side = if self.rng.chance(500) { to } else { self.rng.below(16) as u8 };
            if self.rng.chance(700) {
                said.iter_mut().for_each(|s| s.to &= !side);
            }
            said.push(Said { record, to: side });
        }
    }

    fn some_digest(&mut self) -> [u8; 32] {
        let proposals: Vec<_> = self.heard.iter().filter(|r| r[1] == 1).collect();
        if proposals.is_empty() {
            [9; 32]
        } else {
            self.rng.pick(&proposals)[32..64].try_into().expect("32 bytes")
        }
    }

    /// A batch with something in it that should not be.
    fn nonsense(&mut self, body: &[u8]) -> Vec<u8> {
        let mut space = [0; 3000];
        let mut batch = BatchWriter::new(&mut space, 64);
        let mut bytes = [0; 128];
        let far = 1 << 40;
        match self.rng.below(9) {
            0 => drop(batch.push(0, 1 + self.rng.below(40), (&crate::oracle::input(0, 900), &[]))),
            1 => {
                let payload =
                    postcard::to_slice(&Event::Rejoin { thread: 1, call: 1 }, &mut bytes).expect("fits");
                batch.push(1, 1 + self.rng.below(5), (payload, &[]));
            }
            k => {
                let what = match k {
                    2 => Proposal::Sync { s: self.rng.below(40), time_us: far },
                    3 => Proposal::Sync { s: self.rng.below(40), time_us: 0 },
                    4 => Proposal::Skip { call: 5000 },
                    5 => Proposal::Voters(Voters { epoch: 2 + self.rng.below(3), set: 1, quorum: 1 }),
                    6 => Proposal::Boot { seed: [8; 32], time_us: 0 },
                    7 => Proposal::Go { call: 1000 + self.rng.below(4) },
                    _ => Proposal::Boot { seed: [8; 32], time_us: far },
                };
                let payload = postcard::to_slice(&what, &mut bytes).expect("fits");
                batch.push(PROPOSALS, 0, (payload, &[]));
            }
        }
        // Sometimes what was meant is in it too, its times and order changed.
        if let Some(meant) = Batch::parse(body).filter(|_| self.rng.chance(600)) {
            let mut items: Vec<_> = meant.items().collect();
            if self.rng.chance(300) {
                items.reverse();
            }
            for item in items {
                batch.push(item.origin, item.number, (item.payload, &[]));
            }
        }
        let length = batch.length();
        space[..length].to_vec()
    }

    /// Messages that it makes up, at its own time.
    pub fn invent(&mut self, node: &Node) -> Vec<Said> {
        let mut said = Vec::new();
        let (view, _) = node.view();
        let me = self.me;
        let header = |kind, view, sequence, digest| Header {
            kind,
            sender: me,
            length: 0,
            epoch: node.epoch(),
            view,
            sequence,
            digest,
        };
        let digest = self.heard.back().map_or([9; 32], |r| r[32..64].try_into().expect("32 bytes"));
        let next = node.executed() + 1;
        let mut headers = Vec::new();
        if self.has(Will::LieInViewChange) {
            headers.push(header(Kind::NewView, view + 1, 0, digest));
        }
        if self.has(Will::FalseNumbers) || self.has(Will::Forge) {
            let n = next + self.rng.below(3);
            headers.push(header(Kind::Prepare, view, n, digest));
            headers.push(header(Kind::Commit, view, n, digest));
            headers.push(header(Kind::Committed, 0, n, digest));
        }
        if self.has(Will::LieInCheckpoint) {
            let n = next.next_multiple_of(W as u64 / 2) + self.rng.below(3) * (W as u64 / 2);
            headers.push(header(Kind::Checkpoint, 0, n, [3; 32]));
            headers.push(header(Kind::Certificate, 0, n, [3; 32]));
        }
        for header in headers {
            let mut record = vec![0; BODY];
            put(&mut record, &header);
            self.seal(&mut record);
            said.push(Said { record, to: 15 });
        }
        if self.has(Will::FalseNumbers) || self.has(Will::ProposeNonsense) {
            let body = self.nonsense(&[]);
            let mut h = header(Kind::PrePrepare, view, next + self.rng.below(2), Null::digest(&body));
            h.length = body.len() as u32;
            said.push(self.whole(h, &body));
        }
        if self.has(Will::LieInCheckpoint) {
            said.push(self.false_state(node));
        }
        if self.has(Will::LieInViewChange) && self.rng.chance(300) {
            self.lonely_change(node, &mut said);
        }
        said
    }

    fn whole(&self, header: Header, body: &[u8]) -> Said {
        let mut record = vec![0; BODY];
        record.extend_from_slice(body);
        put(&mut record, &header);
        self.seal(&mut record);
        Said { record, to: 15 }
    }

    /// A state nobody has, under the name of one that somebody may want.
    fn false_state(&mut self, node: &Node) -> Said {
        let asked: Vec<Header> = self
            .heard
            .iter()
            .filter_map(|r| Some(Message::parse(r).ok()?.header))
            .filter(|h| matches!(h.kind, Kind::Checkpoint | Kind::FetchState))
            .collect();
        let mut body = vec![0; 400];
        let id = asked.last().map_or((node.executed(), [3; 32]), |h| (h.sequence, h.digest));
        body[..8].copy_from_slice(&node.epoch().to_le_bytes());
        body[8..16].copy_from_slice(&id.0.to_le_bytes());
        for i in 0..4 {
            body[48 + 64 * i..50 + 64 * i].copy_from_slice(&[i as u8 + 1, 0]);
        }
        let header = Header {
            kind: Kind::State,
            sender: self.me,
            length: body.len() as u32,
            epoch: node.epoch(),
            view: 0,
            sequence: id.0,
            digest: id.1,
        };
        self.whole(header, &body)
    }

    /// A change to the next view, though nothing is wrong with this one.
    fn lonely_change(&mut self, node: &Node, said: &mut Vec<Said>) {
        let mut change = Change {
            sender: self.me,
            epoch: node.epoch(),
            view: node.view().0 + 1 + self.rng.below(2),
            stable: node.stable().sequence,
            installed: 0,
            checkpoints: [Some(node.stable()), None, None],
            prepared: [None; W],
            endorsed: [None; W],
            digest: [0; 32],
            signature: [0; 64],
        };
        self.signed(&mut change, 15, said);
    }
}
