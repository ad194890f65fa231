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

use crate::error::{Error, ErrorKind, Status};
use crate::faults::Fault;
use crate::invoke::{Label, Short, WORDS};
use crate::layout::{CORES_MAX, asked, served};
use crate::lease::{About, Message};
use crate::memory::{Memory, Slot};
use crate::plan::Plan;
use crate::rights::Rights;
use crate::store::Store;
use crate::words::kind;

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
        Err(error) => [3, error.word()],
    }
}

fn unpacked([code, word]: [u64; 2]) -> Result<Status, Error> {
    match code {
        0 => Ok(Status::Done),
        1 => Ok(Status::Word(word)),
        2 => Ok(Status::InProgress),
        _ => Err(Error::from_word(word)),
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

    /// Invocations of a Core capability but Carve. Remote: the words of an invocation on that core; its answer comes later. Inspect: how the last
    /// request ended. Bind: the notification that is signalled when an answer came. Serve is for one's own core, the others are for other cores.
    pub(crate) fn decode_core(
        &self,
        caller: u64,
        number: u8,
        label: Label,
        a: u64,
        b: u64,
    ) -> Result<Plan, Error> {
        let foreign = number != self.core && number < CORES_MAX;
        match label {
            Label::Inspect => self.decode_remote_answer(number),
            Label::Serve if number == self.core => self.decode_serve(caller, a, b),
            Label::Remote if foreign && !self.awaits(number) => {
                if allowed(b) {
                    Ok(Plan::Ask { peer: number })
                } else {
                    Err(ErrorKind::InvalidArgument.of(2))
                }
            }
            Label::Bind if foreign => self.plan_keeping(caller, a, self.answer_slot(number)),
            Label::Unbind if foreign => Ok(Plan::UnbindCore(self.answer_slot(number))),
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    fn decode_remote_answer(&self, number: u8) -> Result<Plan, Error> {
        let record = self.tables.asked(number);
        match self.word(record, asked::PHASE) {
            ASKED => Ok(Plan::Remotely(Status::InProgress)),
            ANSWERED => {
                let answer = [self.word(record, asked::ANSWER), self.word(record, asked::ANSWER + 1)];
                unpacked(answer).map(Plan::Remotely)
            }
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    fn answer_slot(&self, peer: u8) -> Slot {
        Slot(self.tables.asked(peer) + asked::NOTIFICATION)
    }

    /// Serve: what `peer` asks is carried out in the name of the domain at this address.
    fn decode_serve(&self, caller: u64, peer: u64, address: u64) -> Result<Plan, Error> {
        if peer >= CORES_MAX as u64 || peer == self.core as u64 {
            return Err(ErrorKind::InvalidArgument.of(1));
        }
        let agent = self.lookup_kind(caller, address, 2, kind::DOMAIN, Rights::NONE)?;
        Ok(Plan::Serve { peer: peer as u8, at: self.object(agent) })
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
        self.set_words(record, asked::WORDS, &words);
        self.requests_due |= 1 << (peer % CORES_MAX);
        Status::InProgress
    }

    /// The request or the answer that is to be sent to a peer.
    pub(crate) fn take_mail(&mut self, peer: u8) -> Option<Message> {
        let bit = 1u8.checked_shl(peer.into()).unwrap_or(0);
        if self.requests_due & bit != 0 {
            self.requests_due &= !bit;
            let record = self.tables.asked(peer);
            let sequence = self.word(record, asked::SEQUENCE);
            let at = record + asked::WORDS * 8;
            return Some(self.message(About::Request, 0, sequence, at, REQUEST_WORDS));
        }
        if self.answers_due & bit == 0 {
            return None;
        }
        self.answers_due &= !bit;
        let record = self.tables.served(peer);
        let sequence = self.word(record, served::SEQUENCE);
        Some(self.message(About::Answer, 0, sequence, record + served::ANSWER * 8, 2))
    }

    pub(crate) fn take_request(&mut self, peer: u8, sequence: u64, words: &[u64; REQUEST_WORDS]) {
        let (record, bit) = (self.tables.served(peer), 1 << (peer % CORES_MAX));
        if self.requests_busy & bit != 0 {
            // The one before is not answered: no correct asker sends another.
            return;
        }
        if sequence <= self.word(record, served::SEQUENCE) && !self.seeded(Fault::RemoteRunsTwice) {
            return;
        }
        self.set_word(record, served::SEQUENCE, sequence);
        self.set_words(record, served::WORDS, words);
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
        self.set_words(record, asked::ANSWER, &answer);
        self.signal_kept(self.answer_slot(peer));
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
            [address, label, ..] => {
                match self.invoke_at(agent, label, address, record + (served::WORDS + 2) * 8) {
                    Short::Long => self.invoke_long(agent, &words).map(|outcome| outcome.status),
                    Short::Done => Ok(Status::Done),
                    Short::Again => Ok(Status::Again),
                    Short::Refused(error) => Err(error),
                }
            }
        };
        if answer == Ok(Status::Again) {
            return true;
        }
        let bit = 1 << (peer % CORES_MAX);
        self.requests_busy &= !bit;
        self.answers_due |= bit;
        self.set_words(record, served::ANSWER, &packed(answer));
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
