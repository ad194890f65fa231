//! Notifications: a word of bits, signalled and taken whole.

use crate::domain::{Ending, State};
use crate::error::{Error, ErrorKind, Status};
use crate::layout::{HEAD, IRQS_MAX, domain, notification};
use crate::memory::{Memory, Slot};
use crate::plan::{Patience, Plan};
use crate::rights::Rights;
use crate::store::Store;
use crate::words::{self, kind};

impl<M: Memory> Store<M> {
    pub(crate) fn decode_wait(&self, slot: Slot, patience: Patience) -> Result<Plan, Error> {
        if !self.head(slot).rights().has(Rights::READ) {
            return Err(ErrorKind::InvalidCapability.of(0));
        }
        Ok(Plan::Wait { at: self.object(slot), patience })
    }

    /// Bits for whoever waits: the first in the queue, else the bound domain if it waits for a message, else they are kept.
    pub(crate) fn signal(&mut self, at: u64, badge: u64) {
        let bound = self.word(at, notification::BOUND);
        let first = self.word(at, HEAD);
        let receiving = bound != 0 && self.word(bound, domain::STATE) == State::Receiving as u64;
        let woken = match first {
            0 if receiving => bound,
            first => first,
        };
        if woken == 0 {
            let word = self.word(at, notification::WORD) | badge;
            self.set_word(at, notification::WORD, word);
            self.set_word(at, notification::ACTIVE, 1);
            return;
        }
        self.leave(woken);
        self.wake(woken, Ending::Fine);
        self.set_word(woken, domain::RESULT_BADGE, badge);
        self.set_word(woken, domain::RESULT_CAP, 0);
    }

    pub(crate) fn wait(&mut self, caller: u64, at: u64, patience: Patience) -> Status {
        if self.word(at, notification::ACTIVE) != 0 || patience == Patience::Try {
            return Status::Word(self.take_word(at));
        }
        self.wait_at(caller, at, State::Waiting);
        Status::Blocked
    }

    /// Takes the bits and leaves none.
    pub(crate) fn take_word(&mut self, at: u64) -> u64 {
        let word = self.word(at, notification::WORD);
        self.set_word(at, notification::WORD, 0);
        self.set_word(at, notification::ACTIVE, 0);
        word
    }

    /// An interrupt came: signals what is bound to it. False if nothing is.
    pub fn interrupt(&mut self, number: u16) -> bool {
        number < IRQS_MAX && self.signal_kept(Slot(self.tables.irq(number)))
    }

    /// Signals the notification in a slot of the store's own. False if there is none.
    pub(crate) fn signal_kept(&mut self, slot: Slot) -> bool {
        let kept = self.head(slot).is(kind::NOTIFICATION);
        if kept {
            self.signal(self.object(slot), self.word(slot.0, words::DATA));
        }
        kept
    }
}
