//! What a step of one replica brought out: it is collected, judged by the oracle if the replica is correct, and only then sent.

use super::World;
use crate::oracle::Delivered;
use consensus::ReplicaId;
use consensus::replica::{Channel, Note, Output};
use std::collections::BTreeMap;

/// What a replica's actions are until the step is over.
#[derive(Default)]
pub(super) struct Actions {
    messages: Vec<(Option<ReplicaId>, Vec<u8>)>,
    delivered: BTreeMap<u64, Delivered>,
    notes: Vec<Note>,
}

impl Output for Actions {
    fn broadcast(&mut self, record: &[u8]) {
        self.messages.push((None, record.to_vec()));
    }
    fn send(&mut self, to: ReplicaId, record: &[u8]) {
        self.messages.push((Some(to), record.to_vec()));
    }
    fn deliver(&mut self, sequence: u64, channel: Channel, record: &[u8]) {
        self.delivered.entry(sequence).or_default().push((channel, record.to_vec()));
    }
    fn note(&mut self, note: Note) {
        self.notes.push(note);
    }
}

impl World {
    /// Judges a step and sends what it sent.
    pub(super) fn outcome(&mut self, to: usize, mut out: Actions) -> Result<(), String> {
        let id = self.instances[to].id;
        for note in core::mem::take(&mut out.notes) {
            if !matches!(note, Note::BadAuthenticator { .. } | Note::Malformed { .. }) {
                self.tell(|| format!("replica {id} {note}"));
            }
            match note {
                Note::BeganView { .. } => self.outcome.views += 1,
                Note::BeganEpoch { .. } => self.outcome.epochs += 1,
                Note::Restored { sequence } if self.instances[to].evil.is_none() => {
                    self.outcome.restored += 1;
                    self.instances[to].executed = sequence;
                    if !self.oracle.reached(sequence) {
                        return Err(format!(
                            "STATE: replica {id} took over a state after {sequence} that nobody correct has"
                        ));
                    }
                }
                Note::Diverged { sequence, .. } if self.instances[to].evil.is_none() => {
                    return Err(format!(
                        "STATE: correct replica {id}'s state after {sequence} is not the quorum's"
                    ));
                }
                _ => {}
            }
        }
        if self.instances[to].evil.is_none() {
            self.judge(to, &mut out)?;
        }
        for (only, record) in out.messages {
            self.send(to, only, record);
        }
        Ok(())
    }

    fn judge(&mut self, to: usize, out: &mut Actions) -> Result<(), String> {
        let (id, node) = (self.instances[to].id, &self.instances[to].node);
        let (first, last) = (self.instances[to].executed + 1, node.executed());
        for n in first..=last {
            if let Some(digest) = node.batch_digest(n) {
                self.oracle.batch(id, n, digest)?;
            }
            self.oracle.executed(id, n, out.delivered.remove(&n).unwrap_or_default())?;
        }
        for k in 0..=1 {
            let n = node.stable().sequence + k * crate::W as u64 / 2;
            if let Some(digest) = node.digest_at(n) {
                self.oracle.state(id, n, digest)?;
            }
        }
        if let Some((n, _)) = out.delivered.pop_first() {
            return Err(format!("AGREEMENT: replica {id} executed number {n} out of turn"));
        }
        self.instances[to].executed = last;
        Ok(())
    }
}
