//! What kernels count of themselves, as the operator sees it.

mod common;

use abi::monitor::{self, CallRow, Counter, Monitor};
use common::{Desk, manager, type_in};
use std::sync::atomic::AtomicU64;

#[test]
fn what_a_kernel_counts_is_shown_by_kind() {
    let mut m = manager();
    assert!(type_in(&mut m, "counters gate\r").lines[0].starts_with("no kernel `gate`: give a name"));
    assert_eq!(type_in(&mut m, "counters k1\r").lines, ["k1 tells nothing of itself (yet)"]);
    let words: &'static [AtomicU64] = Vec::leak((0..monitor::WORDS).map(|_| AtomicU64::new(7)).collect());
    let monitor = Monitor::new(words).unwrap();
    monitor.begin();
    monitor.set_progress(70, 4, 9);
    use Counter::*;
    (0..)
        .zip([Private, Repaired, Switches, Interrupts, Effects, Frames])
        .for_each(|(n, c)| monitor.count(c, n));
    for (call, number) in [(0, 64), (1, 63), (2, 64), (3, u16::MAX), (4, 600)] {
        monitor.add_call(CallRow { call, serial: 1, number, result: 0 });
    }
    let mut desk = Desk { monitor: Some(monitor), ..Desk::default() };
    "counters 2\rcounters k2 json\r".bytes().for_each(|byte| m.on_byte(byte, &mut desk));
    let lines = [
        "counter  calls in turns               70",
        "counter  sync points                   4",
        "counter  private calls                 0",
        "counter  faults repaired               1",
        "counter  switches                      2",
        "counter  interrupts                    3",
        "counter  effects                       4",
        "counter  frames                        5",
        "call     read                          1",
        "call     write                         2",
        "call     unknown                       1",
        "call     fault or signal               1",
    ];
    assert_eq!(desk.lines[..12], lines);
    assert_eq!(desk.lines[21], r#"{"kind":"call","domain":"k2","name":"write","count":2}"#);
    assert_eq!(desk.lines.len(), 24);
}
