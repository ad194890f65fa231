//! Invocations on another core: whoever holds the Core capability of a core may have invocations carried out there.
//!
//! ```text
//! asker    Remote --> asked ------------------------------------------> answered --Inspect--> status, or the error
//!                       | Request(n)                        ^ Answer(n)      `- Remote again: n + 1
//! server                +--> being carried out, in steps ---+
//! ```
//! The server acts in the name of an *agent*: a domain of that core, given at boot, whose CSpace is all that requests can reach. One
//! request is out at a time for each pair of cores, and each has a number that grows: so a request that comes doubled or late is never carried
//! out again, and an answer that comes late is not taken for another's. What could block is refused: an agent never waits.

use crate::cap::Cap;
use crate::error::{Error, ErrorKind, Status};
use crate::faults::Fault;
use crate::invoke::{Label, WORDS};
use crate::layout::{CORES_MAX, asked, served};
use crate::lease::Message;
use crate::memory::{Memory, Slot};
use crate::plan::Plan;
use crate::rights::Rights;
use crate::store::Store;

/// Words of a request: address, label, eight arguments.
pub const REQUEST_WORDS: usize = 10;

const ASKED: u64 = 1;
const ANSWERED: u64 = 2;

/// What an agent may be told to do: all that ends by itself and fits.
fn allowed(label: u64) -> bool {
    let blocks = |label| {
        use Label::*;
        matches!(label, Send | NBSend | Call | Recv | NBRecv | ReplyRecv | Wait | Rotate | Remote)
    };
    Label::from_number(label).is_some_and(|label| !blocks(label))
}

/// How an invocation ended, as two words.
fn packed(answer: Result<Status, Error>) -> [u64; 2] {
    match answer {
        Ok(Status::Word(word)) => [1, word],
        Ok(Status::InProgress) => [2, 0],
        Ok(_) => [0, 0],
        Err(Error { kind, argument }) => [3, kind as u64 | (argument as u64) << 8],
    }
}

fn unpacked([code, word]: [u64; 2]) -> Result<Status, Error> {
    match code {
        0 => Ok(Status::Done),
        1 => Ok(Status::Word(word)),
        2 => Ok(Status::InProgress),
        _ => Err(ErrorKind::from_number(word as u8).of((word >> 8) as u8)),
    }
}

impl<M: Memory> Store<M> {
    /// Requests of `peer` are carried out in the name of domain `agent`, 0 for nobody.
    pub fn serve(&mut self, peer: u8, agent: u64) {
        self.set_word(self.tables.served(peer), served::AGENT, agent);
    }

    /// Whether a request to `peer` has not been answered yet.
    pub fn awaits(&self, peer: u8) -> bool {
        self.word(self.tables.asked(peer), asked::PHASE) == ASKED
    }

    /// Remote: the words of an invocation on that core. Its answer comes later: Inspect, or the notification that was bound.
    pub(crate) fn decode_remote(&self, number: u8, label: u64) -> Result<Plan, Error> {
        if number == self.core || number >= CORES_MAX || self.awaits(number) {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        if !allowed(label) {
            return Err(ErrorKind::InvalidArgument.of(2));
        }
        Ok(Plan::Ask { peer: number })
    }

    /// Inspect of another core: how the last request ended.
    pub(crate) fn decode_remote_answer(&self, number: u8) -> Result<Plan, Error> {
        let record = self.tables.asked(number);
        match self.word(record, asked::PHASE) {
            ASKED => Ok(Plan::Remotely(Status::InProgress)),
            ANSWERED => unpacked([0, 1].map(|i| self.word(record, asked::ANSWER + i))).map(Plan::Remotely),
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    /// Bind of another core: the notification that is signalled when an answer came.
    pub(crate) fn decode_bind_core(&self, caller: u64, number: u8, address: u64) -> Result<Plan, Error> {
        if number == self.core || number >= CORES_MAX {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        let slot = self.answer_slot(number);
        match self.lookup_cap(caller, address, 1)? {
            (source, Cap::Notification { rights, .. }) if rights.has(Rights::WRITE) => {
                self.plan_keeping(source, slot)
            }
            _ => Err(ErrorKind::InvalidCapability.of(1)),
        }
    }

    /// Unbind of another core.
    pub(crate) fn decode_unbind_core(&self, number: u8) -> Result<Plan, Error> {
        if number == self.core || number >= CORES_MAX {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        Ok(Plan::UnbindCore(self.answer_slot(number)))
    }

    fn answer_slot(&self, peer: u8) -> Slot {
        Slot(self.tables.asked(peer) + asked::NOTIFICATION)
    }

    /// Serve, of one's own core: what `peer` asks is carried out in the name of the domain at this address.
    pub(crate) fn decode_serve(&self, caller: u64, core: u8, peer: u64, address: u64) -> Result<Plan, Error> {
        if core != self.core {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        if peer >= CORES_MAX as u64 || peer == core as u64 {
            return Err(ErrorKind::InvalidArgument.of(1));
        }
        match self.lookup_cap(caller, address, 2)?.1 {
            Cap::Domain { at } => Ok(Plan::Serve { peer: peer as u8, at }),
            _ => Err(ErrorKind::InvalidCapability.of(2)),
        }
    }

    /// Nobody here may ask `peer` any more: what it answered goes. False while its answer is still to come.
    pub(crate) fn forget_answers(&mut self, peer: u8) -> bool {
        let done = !self.awaits(peer) || self.seeded(Fault::CoreReturnsEarly);
        if done {
            self.set_word(self.tables.asked(peer), asked::PHASE, 0);
            self.empty_slot(self.answer_slot(peer));
        }
        done
    }

    pub(crate) fn ask(&mut self, peer: u8, words: [u64; REQUEST_WORDS]) -> Status {
        let record = self.tables.asked(peer);
        let sequence = self.word(record, asked::SEQUENCE) + 1;
        self.set_word(record, asked::PHASE, ASKED);
        self.set_word(record, asked::SEQUENCE, sequence);
        for (i, word) in (asked::WORDS..).zip(words) {
            self.set_word(record, i, word);
        }
        self.requests_due |= 1 << (peer % CORES_MAX);
        Status::InProgress
    }

    /// The request or the answer that is to be sent to a peer.
    pub(crate) fn take_mail(&mut self, peer: u8) -> Option<Message> {
        let bit = 1u8.checked_shl(peer.into()).unwrap_or(0);
        if self.requests_due & bit != 0 {
            self.requests_due &= !bit;
            let record = self.tables.asked(peer);
            let mut words = [0; REQUEST_WORDS];
            for (i, word) in (asked::WORDS..).zip(&mut words) {
                *word = self.word(record, i);
            }
            return Some(Message::Request { sequence: self.word(record, asked::SEQUENCE), words });
        }
        if self.answers_due & bit == 0 {
            return None;
        }
        self.answers_due &= !bit;
        let record = self.tables.served(peer);
        let answer = [0, 1].map(|i| self.word(record, served::ANSWER + i));
        Some(Message::Answer { sequence: self.word(record, served::SEQUENCE), answer })
    }

    pub(crate) fn take_request(&mut self, peer: u8, sequence: u64, words: [u64; REQUEST_WORDS]) {
        let (record, bit) = (self.tables.served(peer), 1 << (peer % CORES_MAX));
        if self.requests_busy & bit != 0 {
            // The one before is not answered: no correct asker sends another.
            return;
        }
        if sequence <= self.word(record, served::SEQUENCE) && !self.seeded(Fault::RemoteRunsTwice) {
            return;
        }
        self.set_word(record, served::SEQUENCE, sequence);
        for (i, word) in (served::WORDS..).zip(words) {
            self.set_word(record, i, word);
        }
        self.requests_busy |= bit;
    }

    pub(crate) fn take_answer(&mut self, peer: u8, sequence: u64, answer: [u64; 2]) {
        let record = self.tables.asked(peer);
        let current =
            self.word(record, asked::SEQUENCE) == sequence || self.seeded(Fault::RemoteTakesAnyAnswer);
        if !self.awaits(peer) || !current {
            return;
        }
        self.set_word(record, asked::PHASE, ANSWERED);
        for (i, word) in (asked::ANSWER..).zip(answer) {
            self.set_word(record, i, word);
        }
        if let Cap::Notification { at, badge, .. } = self.cap(self.answer_slot(peer)) {
            self.signal(at, badge);
        }
        self.wake_imports();
    }

    /// A bounded part of a request. False if there is none.
    pub(crate) fn request_work(&mut self) -> bool {
        if self.requests_busy == 0 {
            return false;
        }
        let peer = self.requests_busy.trailing_zeros() as u8;
        let record = self.tables.served(peer);
        let mut words = [0; WORDS];
        for (i, word) in (served::WORDS..).zip(words.iter_mut().take(REQUEST_WORDS)) {
            *word = self.word(record, i);
        }
        let agent = self.word(record, served::AGENT);
        let answer = match words {
            _ if agent == 0 => Err(ErrorKind::InvalidCapability.of(0)),
            // The asker's instance has looked, too; but what is carried out here is decided here.
            [_, label, ..] if !allowed(label) => Err(ErrorKind::InvalidArgument.of(2)),
            words => self.invoke(agent, words).map(|outcome| outcome.status),
        };
        if answer == Ok(Status::Again) {
            return true;
        }
        let bit = 1 << (peer % CORES_MAX);
        self.requests_busy &= !bit;
        self.answers_due |= bit;
        for (i, word) in (served::ANSWER..).zip(packed(answer)) {
            self.set_word(record, i, word);
        }
        true
    }

    /// A domain goes, and with it what was done in its name.
    pub(crate) fn end_agent(&mut self, at: u64) {
        for peer in 0..CORES_MAX {
            let record = self.tables.served(peer);
            if self.word(record, served::AGENT) == at {
                self.set_word(record, served::AGENT, 0);
            }
        }
    }
}
