//! Queues of objects, linked through the objects: O(1) to join, to leave from anywhere, to take the first.

use crate::layout::{HEAD, NEXT, PREVIOUS, TAIL};
use crate::memory::Memory;
use crate::store::Store;

impl<M: Memory> Store<M> {
    /// `item` joins at the end.
    pub(crate) fn enqueue(&mut self, queue: u64, item: u64) {
        let last = self.word(queue, TAIL);
        self.set_word(item, PREVIOUS, last);
        self.set_word(item, NEXT, 0);
        match last {
            0 => self.set_word(queue, HEAD, item),
            last => self.set_word(last, NEXT, item),
        }
        self.set_word(queue, TAIL, item);
    }

    /// `item` leaves.
    pub(crate) fn dequeue(&mut self, queue: u64, item: u64) {
        let (previous, next) = (self.word(item, PREVIOUS), self.word(item, NEXT));
        match previous {
            0 => self.set_word(queue, HEAD, next),
            previous => self.set_word(previous, NEXT, next),
        }
        match next {
            0 => self.set_word(queue, TAIL, previous),
            next => self.set_word(next, PREVIOUS, previous),
        }
        self.set_word(item, PREVIOUS, 0);
        self.set_word(item, NEXT, 0);
    }
}
