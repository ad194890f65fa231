//! Pipes: what a write without readers brings, and what is opened by the link of an end.

use super::program::Step;
use super::program::check::*;
use super::program::run::{HERE, call, text, words};
use abi::linux::nr;
use lazy::process::Info;

const SIGPIPE: u32 = 13;
/// /etc/a is open as 3, a pipe has its ends at 4 and 5.
fn pipe() -> Vec<Step> {
    vec![
        text(AREA + 0x200, "/etc/a"),
        call(nr::openat, &[HERE, AREA + 0x200, 0, 0]),
        call(nr::pipe2, &[AREA, 0]),
    ]
}

/// Linux' `send_sig(SIGPIPE, current, 0)`: SI_USER.
#[test]
fn a_write_without_readers_is_a_signal_from_the_writer() {
    let vector = AREA + 0x300;
    let writes = [
        call(nr::write, &[5, AREA, 7]),
        call(nr::writev, &[5, vector, 1]),
        call(nr::sendfile, &[5, 3, 0, 4]),
    ];
    for write in writes {
        let blocked = words(AREA + 0x400, &[1 << (SIGPIPE - 1)]);
        let child = vec![blocked, call(nr::rt_sigprocmask, &[0, AREA + 0x400, 0, 8]), write];
        let rest = call(nr::ppoll, &[0, 0, 0, 0, 8]);
        let child = [child, vec![rest]].concat();
        let setup = [pipe(), vec![words(vector, &[AREA, 7]), call(nr::close, &[4])]].concat();
        let run = check_all(setup, vec![(Step::Fork(17, 1), 2)], child);
        assert_eq!(run.outside.borrow().results.last(), Some(&(1, -32)), "EPIPE");
        let found = run.kernel.processes[&2].infos.get(&SIGPIPE);
        assert_eq!(found, Some(&Info { code: 0, fields: [2, 0, 0], address: None }));
    }
}
