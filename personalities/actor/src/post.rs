//! Who talks to whom, with which messages. No server holds another's state.
//!
//! | message | from | to | kind |
//! |---|---|---|---|
//! | a system call, a fault | a program, by the trap front end (`front`) | the front end's handler of that call | request |
//! | regions, copies, faults | front | memory server (`memory`) | request |
//! | names, handles, descriptors | front | file server (`files`) | request |
//! | bytes in and out | front | pipe server (`pipes`), terminal server (`terminal`) | request |
//! | ids, actions, masks, waiting for children | front | process server (`process`) | request |
//! | what a text of /proc says | front | proc server (`proc`), which asks the others | request |
//! | whose turn it is, what time it is, who waits | kernel loop (`kernel`) | turn server (`turns`) | request |
//! | entries of the agreed log | log client (`log`) | turn server, terminal, process server | request |
//! | [`Note::Wake`] | pipe, terminal, process server | turn server | note |
//! | [`Note::Rouse`], [`Note::Enter`], [`Note::Outside`] | process server | turn server, kernel loop | note |
//! | [`Note::Group`] | terminal server, front | process server | note |
//! | what the translation tables must forget | memory server | machine (`machine`) | collected before a program runs |
//!
//! A *request* is a function of the server: typed values go in, a value comes out, and the handler runs to its end without asking for anything
//! else; so all servers share one stack, and what lies between two requests of a call lies in the caller's message, never on a stack. A *note* has no
//! answer: it waits in the mailbox ([`Post`]) until the handler that wrote it has ended, and notes are delivered in the order they were written.
//! That is the turn rule's "wake-ups are carried out at the end of the call, in the order in which it caused them".

use crate::process::Info;
use crate::turns::{Serial, Thing};
use alloc::collections::VecDeque;

/// A message without an answer.
#[derive(Clone, Debug)]
pub enum Note {
    /// To the turn server: what these threads wait for has come.
    Wake(Thing),
    /// To the turn server: a signal ends this thread's waiting.
    Rouse(Serial),
    /// To the turn server: a stopped thread goes on, at the end of the round.
    Enter(Serial),
    /// To the kernel loop: a thread outside the round has a signal that takes effect now.
    Outside(Serial),
    /// To the process server: a signal for a process group.
    Group(u32, Info),
}

/// The mailbox.
#[derive(Default)]
pub struct Post(VecDeque<Note>);

impl Post {
    /// Puts a note behind those that wait.
    pub fn send(&mut self, note: Note) {
        self.0.push_back(note);
    }

    /// The oldest note.
    pub fn take(&mut self) -> Option<Note> {
        self.0.pop_front()
    }
}
