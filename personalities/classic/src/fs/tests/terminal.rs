//! The terminal's modes, queue and job control.

use crate::fs::linux::*;
use crate::fs::testing::*;
use crate::fs::*;
use abi::linux::nr;
use abi::log::Event;

fn modes(w: &mut World, request: u64, change: impl FnOnce(&mut [u8])) -> i64 {
    assert_eq!(w.call(nr::ioctl, &[0, 0x5401, OUT]), 0);
    let mut modes = w.out(36);
    change(&mut modes);
    w.memory.write(OUT, &modes).unwrap();
    w.call(nr::ioctl, &[0, request, OUT])
}

fn raw(w: &mut World, vmin: u8, vtime: u8) {
    let change = |m: &mut [u8]| {
        m[12] &= !2;
        (m[17 + 6], m[17 + 5]) = (vmin, vtime);
    };
    assert_eq!(modes(w, 0x5402, change), 0);
}

#[test]
fn modes_are_linux_default_and_each_setting_is_an_effect() {
    let mut w = World::new();
    let mut seen = Vec::new();
    assert_eq!(modes(&mut w, 0x5402, |m| seen = m.to_vec()), 0);
    assert_eq!(seen[..17], [0, 5, 0, 0, 5, 0, 0, 0, 0xbd, 0xc, 0, 0, 0x3b, 0x8a, 0, 0, 0]);
    assert_eq!(seen[17..28], [3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a]);
    w.fs.tty_event(Event::TtyLine(b"lost\n"));
    assert_eq!(modes(&mut w, 0x5404, |_| ()), 0);
    let kinds: Vec<EffectKind> = w.drain().0.iter().map(|e| e.0).collect();
    assert_eq!(kinds, [EffectKind::TtyModes, EffectKind::TtyModes, EffectKind::TtyFlush]);
    assert!(matches!(w.outcome(nr::read, &[0, OUT, 1]), Outcome::Block { .. }));
}

#[test]
fn data_before_a_line_is_part_of_it() {
    let mut w = World::new();
    w.fs.tty_event(Event::TtyData(b"a"));
    assert!(matches!(w.outcome(nr::read, &[0, OUT, 9]), Outcome::Block { .. }));
    w.fs.tty_event(Event::TtyLine(b"b\n"));
    w.fs.tty_event(Event::TtyData(b"c\nd"));
    w.fs.tty_event(Event::TtyLine(b""));
    w.fs.tty_event(Event::TtyLine(b""));
    for line in [&b"ab\n"[..], b"c\n", b"d", b""] {
        assert_eq!(w.read(0, 9).unwrap(), line);
    }
}

#[test]
fn raw_reads_take_what_is_there() {
    let mut w = World::new();
    w.fs.tty_event(Event::TtyLine(b"a\n"));
    w.fs.tty_event(Event::TtyLine(b""));
    raw(&mut w, 1, 0);
    assert_eq!(w.read(0, 9).unwrap(), b"a\n");
    assert!(matches!(w.outcome(nr::read, &[0, OUT, 1]), Outcome::Block { deadline_us: None, .. }));
    w.p.progress = Progress::default();
    raw(&mut w, 0, 0);
    assert_eq!(w.read(0, 9).unwrap(), b"");
    raw(&mut w, 0, 2);
    let until = w.now_us + 200_000;
    assert!(
        matches!(w.outcome(nr::read, &[0, OUT, 1]), Outcome::Block { deadline_us: Some(u), .. } if u == until)
    );
    w.now_us = until;
    assert_eq!(w.read(0, 9).unwrap(), b"");
}

#[test]
fn the_background_is_stopped() {
    let mut w = World::new();
    w.p.pgid = 2;
    w.system.rows.push(ProcessRow { pid: 2, pgid: 2, sid: 1, ..ProcessRow::default() });
    assert_eq!(w.outcome(nr::read, &[0, OUT, 1]), Outcome::Restart);
    assert_eq!(w.drain().1, [(SignalTarget::Group(2), SIGTTIN)]);
    assert_eq!(w.write(1, b"x"), 1);
    w.memory.write(OUT, &2u32.to_le_bytes()).unwrap();
    assert_eq!(w.outcome(nr::ioctl, &[0, 0x5410, OUT]), Outcome::Restart);
    w.system.orphaned = true;
    assert_eq!(w.call(nr::read, &[0, OUT, 1]), -5);
    assert_eq!(w.call(nr::ioctl, &[0, 0x5410, OUT]), -25);
    w.system.ignores = true;
    assert_eq!(w.call(nr::read, &[0, OUT, 1]), -5);
    w.memory.write(OUT, &2u32.to_le_bytes()).unwrap();
    assert_eq!(w.call(nr::ioctl, &[0, 0x5410, OUT]), 0);
    assert_eq!(w.call(nr::ioctl, &[0, 0x540f, OUT]), 0);
    assert_eq!(w.out(4), [2, 0, 0, 0]);
    w.memory.write(OUT, &9u32.to_le_bytes()).unwrap();
    assert_eq!(w.call(nr::ioctl, &[0, 0x5410, OUT]), -3);
}

#[test]
fn typed_signals_and_sizes_reach_the_foreground() {
    let mut w = World::new();
    w.fs.tty_event(Event::TtyData(b"abc"));
    w.fs.tty_event(Event::TtySignal(2));
    w.fs.tty_event(Event::WindowSize { rows: 30, columns: 100 });
    let (_, signals, wakeups) = w.drain();
    assert_eq!(signals, [(SignalTarget::Group(1), 2), (SignalTarget::Group(1), SIGWINCH)]);
    assert_eq!(wakeups, [WaitKey::TtyRead]);
    assert_eq!(w.call(nr::ioctl, &[0, 0x5413, OUT]), 0);
    assert_eq!(w.out(8), [30, 0, 100, 0, 0, 0, 0, 0]);
    assert_eq!(w.call(nr::ioctl, &[0, 0x541b, OUT]), 0);
    assert_eq!(w.out(4), [0; 4]);
}

#[test]
fn output_is_never_pending_and_discipline_and_exclusion_are_none() {
    const NOWHERE: u64 = 8;
    const ENOTTY: i64 = -25;
    let mut w = World::new();
    let file = w.open("/etc/passwd", 0) as u64;
    let tty = w.open("/dev/tty", O_RDWR) as u64;
    w.write(1, b"text");
    w.drain();
    // TIOCOUTQ, TIOCGETD, TIOCGEXCL: also from the background, as they change nothing.
    for group in [1, 2] {
        w.p.pgid = group;
        for request in [0x5411, 0x5424, 0x8004_5440] {
            for fd in [0, tty] {
                w.memory.write(OUT, &[0xff; 5]).unwrap();
                assert_eq!(w.call(nr::ioctl, &[fd, request, OUT]), 0, "{request:#x}");
                assert_eq!(w.out(5), [0, 0, 0, 0, 0xff], "{request:#x}");
                assert_eq!(w.call(nr::ioctl, &[fd, request, NOWHERE]), -14, "{request:#x}");
            }
            assert_eq!(w.call(nr::ioctl, &[file, request, OUT]), ENOTTY, "{request:#x}");
        }
    }
    assert!(w.drain().1.is_empty());
}

#[test]
fn a_full_queue_loses_the_rest() {
    let mut w = World::new();
    w.fs.tty_event(Event::TtyLine(&[b'x'; 5000]));
    for _ in 0..5000 {
        w.fs.tty_event(Event::TtyLine(b""));
    }
    assert_eq!(w.read(0, 5000).unwrap().len(), 4096);
    assert!(matches!(w.outcome(nr::read, &[0, OUT, 9]), Outcome::Block { .. }));
}

#[test]
fn dev_tty_wants_a_controlling_terminal() {
    let mut w = World::new();
    assert_eq!(w.open("/dev/tty", O_RDWR), 3);
    (w.p.pid, w.p.pgid, w.p.sid) = (5, 5, 5);
    assert_eq!(w.open("/dev/tty", O_RDWR), -6);
    assert_eq!(w.call(nr::ioctl, &[0, 0x540f, OUT]), -25);
    w.fs.session_ended(1);
    assert_eq!(w.drain().1, [(SignalTarget::Group(1), SIGHUP)]);
    assert_eq!(w.open("/dev/console", O_RDWR), 4);
    assert_eq!(w.open("/dev/tty", O_RDWR), -6);
    assert_eq!(w.open("/dev/ttyAMA0", O_RDWR), 5);
    assert_eq!(w.open("/dev/tty", O_RDWR), 6);
}
