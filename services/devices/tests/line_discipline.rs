//! The line discipline against cases: what is typed, what is shown, what the program gets.

use abi::log::Event;
use abi::vote::EffectKind;
use devices::{Console, TERMIOS_SIZE, Uart};
use proptest::prelude::*;

#[derive(Default)]
struct Screen(Vec<u8>);

impl Uart for Screen {
    fn put(&mut self, byte: u8) {
        self.0.push(byte);
    }
}

const STANDARD: (u32, u32, u32) = (0o2400, 0o5, 0o105073);
const CONTROLS: [u8; 19] = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0];

fn termios((input, output, local): (u32, u32, u32)) -> [u8; TERMIOS_SIZE] {
    let mut t = [0; TERMIOS_SIZE];
    for (at, word) in [(0, input), (4, output), (8, 0o277), (12, local)] {
        t[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    t[17..].copy_from_slice(&CONTROLS);
    t
}

fn events(console: &mut Console) -> String {
    console.end_of_burst();
    let mut all = Vec::new();
    while let Some(event) = console.event() {
        let text = |b: &[u8]| b.escape_ascii().to_string();
        all.push(match postcard::from_bytes(event).unwrap() {
            Event::TtyData(b) => format!("data {}", text(b)),
            Event::TtyLine(b) => format!("line {}", text(b)),
            Event::TtySignal(n) => format!("signal {n}"),
            other => panic!("{other:?}"),
        });
        console.sent();
    }
    all.join("|")
}

fn run(modes: (u32, u32, u32), prompt: &[u8], typed: &[u8]) -> (String, String) {
    let (mut console, mut screen) = (Console::default(), Screen::default());
    console.effect(EffectKind::TtyModes, &termios(modes), &mut screen);
    console.effect(EffectKind::TtyOutput, prompt, &mut screen);
    screen.0.clear();
    for &byte in typed {
        console.input(byte, &mut screen);
    }
    (screen.0.escape_ascii().to_string(), events(&mut console))
}

fn check(modes: (u32, u32, u32), typed: &[u8], shown: &str, got: &str) {
    let typed_text = typed.escape_ascii().to_string();
    assert_eq!(run(modes, b"", typed), (shown.to_string(), got.to_string()), "typed {typed_text}");
}

#[test]
fn the_default_modes_are_linux_own() {
    let modes = devices::Modes::parse(&termios(STANDARD)).unwrap();
    assert_eq!(modes, devices::Modes::standard());
    assert!(devices::Modes::parse(&[0; 35]).is_none());
}

#[test]
fn canonical_editing() {
    let s = STANDARD;
    check(s, b"ls\r", "ls\\r\\n", "line ls\\n");
    check(s, b"lx\x7fs\n", "lx\\x08 \\x08s\\r\\n", "line ls\\n");
    check(s, b"\x7f\x7f\r", "\\r\\n", "line \\n");
    check(s, b"ab\x15c\r", "ab\\x08 \\x08\\x08 \\x08c\\r\\n", "line c\\n");
    check(s, b"a bc\x17\r", "a bc\\x08 \\x08\\x08 \\x08\\r\\n", "line a \\n");
    check(s, b"a b  \x17\r", &format!("a b  {}\\r\\n", "\\x08 \\x08".repeat(3)), "line a \\n");
    check(s, b"\x04", "", "line ");
    check(s, b"ab\x04cd\r", "abcd\\r\\n", "line ab|line cd\\n");
    check(s, b"a\x16\x03\r", "a^\\x08^C\\r\\n", "line a\\x03\\n");
    check(s, b"\x01\x7f\r", "^A\\x08 \\x08\\x08 \\x08\\r\\n", "line \\n");
    check(s, b"ab\x12c\r", "ab^R\\r\\nabc\\r\\n", "line abc\\n");
    check(s, b"no end", "no end", "");
}

#[test]
fn a_tab_is_erased_as_wide_as_it_was() {
    check(STANDARD, b"ab\t\x7f\r", &format!("ab\\t{}\\r\\n", "\\x08".repeat(6)), "line ab\\n");
    let (shown, _) = run(STANDARD, b"prompt", b"\t\x7f");
    assert_eq!(shown, format!("\\t{}", "\\x08".repeat(2)));
}

#[test]
fn signals_flush_the_line_and_say_so() {
    let s = STANDARD;
    check(s, b"abc\x03", "abc^C", "signal 2");
    check(s, b"abc\x1c", "abc^\\\\", "signal 3");
    check(s, b"abc\x1ad\r", "abc^Zd\\r\\n", "signal 20|line d\\n");
    let noflush = (s.0, s.1, s.2 | 0o200);
    check(noflush, b"abc\x03d\r", "abc^Cd\\r\\n", "signal 2|line abcd\\n");
    check((s.0, s.1, s.2 & !1), b"\x03\r", "^C\\r\\n", "line \\x03\\n");
}

#[test]
fn no_echo_and_echo_of_newline_alone() {
    let (input, output, local) = STANDARD;
    check((input, output, local & !0o10), b"se\x7fcret\r", "", "line scret\\n");
    check((input, output, local & !0o10 | 0o100), b"secret\r", "\\r\\n", "line secret\\n");
    check((input, output, local & !0o20), b"ab\x7f\r", "ab^?\\r\\n", "line a\\n");
    check((input, output, local & !0o4000), b"ab\x15c\r", "ab^U\\r\\nc\\r\\n", "line c\\n");
}

#[test]
fn raw_mode_delivers_every_byte_and_bursts_make_one_event() {
    check((0, 0, 0), b"a\r\x03\x7f\x04", "", "data a\\r\\x03\\x7f\\x04");
    check((0, 0, 0o10), b"a\n", "a\\n", "data a\\n");
    check((0o400, 5, 0o10), b"a\r", "a\\r\\n", "data a\\n");
    check((0o200, 0, 0), b"a\rb", "", "data ab");
    check((0o100, 0, 0), b"\n", "", "data \\r");
    check((0, 0, 1), b"ab\x03c", "", "signal 2|data c");
    let (_, got) = run((0, 0, 0), b"", &[b'x'; 2500]);
    assert_eq!(got.split('|').map(str::len).collect::<Vec<_>>(), [1029, 1029, 457]);
}

#[test]
fn a_line_under_way_becomes_data_when_the_mode_turns_raw() {
    let (mut console, mut screen) = (Console::default(), Screen::default());
    for &byte in b"abc" {
        console.input(byte, &mut screen);
    }
    console.effect(EffectKind::TtyModes, &termios((0, 0, 0)), &mut screen);
    assert_eq!(events(&mut console), "data abc");
}

#[test]
fn a_flush_drops_what_is_not_handed_over() {
    let (mut console, mut screen) = (Console::default(), Screen::default());
    for &byte in b"done\nunder way" {
        console.input(byte, &mut screen);
    }
    console.effect(EffectKind::TtyFlush, &[], &mut screen);
    console.input(b'\n', &mut screen);
    assert_eq!(events(&mut console), "line \\n");
}

#[test]
fn stop_and_start_hold_output() {
    let (mut console, mut screen) = (Console::default(), Screen::default());
    console.input(0x13, &mut screen);
    assert!(console.stopped());
    console.input(b'a', &mut screen);
    assert!(console.stopped());
    console.input(0x11, &mut screen);
    assert!(!console.stopped());
    assert_eq!(screen.0, b"a");
}

#[test]
fn output_is_processed_as_the_modes_say() {
    let show = |output: u32, bytes: &[u8]| {
        let (mut console, mut screen) = (Console::default(), Screen::default());
        console.effect(EffectKind::TtyModes, &termios((0, output, 0)), &mut screen);
        console.effect(EffectKind::TtyOutput, bytes, &mut screen);
        screen.0.escape_ascii().to_string()
    };
    assert_eq!(show(5, b"a\nb"), "a\\r\\nb");
    assert_eq!(show(0, b"a\nb"), "a\\nb");
    assert_eq!(show(1, b"a\nb"), "a\\nb");
    assert_eq!(show(0o14001, b"ab\tc"), "ab      c");
    assert_eq!(show(0o11, b"a\r"), "a\\n");
    assert_eq!(show(0o21, b"\ra\r"), "a\\r");
    assert_eq!(show(3, b"az"), "AZ");
}

#[test]
fn what_nobody_takes_is_lost_and_counted() {
    let (mut console, mut screen) = (Console::default(), Screen::default());
    for _ in 0..20_000 {
        console.input(b'x', &mut screen);
        console.input(b'\n', &mut screen);
    }
    assert!(console.lost() > 0);
    let lines = events(&mut console).split('|').count() as u64;
    assert_eq!(lines * 2 + console.lost(), 40_000);
}

proptest! {
    #[test]
    fn any_bytes_in_any_modes_are_survived(
        modes in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 1..6),
        typed in prop::collection::vec(any::<u8>(), 0..3000), output in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut console, mut screen) = (Console::default(), Screen::default());
        for mode in modes {
            console.effect(EffectKind::TtyModes, &termios(mode), &mut screen);
            console.effect(EffectKind::TtyOutput, &output, &mut screen);
            for &byte in &typed {
                console.input(byte, &mut screen);
            }
            while let Some(event) = console.event() {
                prop_assert!(event.len() <= devices::EVENT_MAX);
                prop_assert!(postcard::from_bytes::<Event>(event).is_ok());
                console.sent();
            }
        }
    }
}
