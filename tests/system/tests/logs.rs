//! `make logs`: how one lie went from demand to verdict and to the kernel that took the liar's place, in one stream by time; and nothing that a ring holds ends the decoder.

use std::time::Duration;
use system_tests::{Options, Session};
use xtask::build::Tools;
use xtask::logs;

/// Holds that these records stand in this order behind the first `from` lines of `text`; gives how many lines the last of them ends.
#[track_caller]
fn follow(text: &str, mut from: usize, records: &[(&str, &str)]) -> usize {
    for (source, words) in records {
        let at =
            text.lines().skip(from).position(|l| l.contains(&format!(" {source} ")) && l.contains(words));
        from += at.unwrap_or_else(|| panic!("after line {from} no {source}: {words}\n{text}")) + 1;
    }
    from
}

#[test]
fn a_lie_is_followed_from_demand_to_verdict_and_return() {
    let options = Options { iteration: Some("rotate"), ..Options::default() };
    let mut s = Session::shell(&options).unwrap();
    // Of the designs journal logs nothing this way; actor comes after lazy, and classic by order. What they say in their new places is told as their own.
    s.operate("inject lie k2").unwrap();
    s.run_for(Duration::from_millis(300));
    s.command("echo one").unwrap();
    s.operator_says(&["return: k2 votes as "]).unwrap();
    s.operate("replace k4 classic").unwrap();
    s.operator_says(&["return: k4 votes as classic"]).unwrap();
    s.command("echo two").unwrap();
    s.send("exit\r").unwrap();
    let f = s.finish().unwrap();
    assert_eq!(f.status, Some(0));

    let tools = Tools::find().unwrap();
    let mut shown = vec![];
    logs::show(&tools, false, &mut shown).unwrap();
    let text = String::from_utf8(shown).unwrap();
    // Cause before effect. What two sources do side by side (the gate tells of the voters, while the manager begins the liar anew) may stand in either order.
    let lie = follow(
        &text,
        0,
        &[
            ("el2/1", "core 1 begins, 2 domains"),
            ("k1", "pid 1 runs /bin/busybox"),
            ("gate", "effect 0 released"),
            ("manager", "on demand in domain 4: lie"),
            ("gate", "domain 4: wrong output"),
        ],
    );
    follow(&text, lie, &[("gate", "voters 0b1101000, quorum 2"), ("gate", "voters 0b1111000, quorum 3")]);
    follow(
        &text,
        lie,
        &[
            ("manager", "domain 4 is to begin anew"),
            // Of a replica, whichever is first.
            ("INFO", "endorses: domain 4 begins anew: 0"),
            ("k2", "the kernel has its channels"),
            ("manager", "return: k2 votes as "),
            ("manager", "domain 6 is to begin anew"),
            ("k4", "starts: "),
        ],
    );
    assert!(!text.contains(" ? "), "{text}");

    // The same records, spoilt in many ways: told as such, or as something else, never a panic.
    let whole = std::fs::read(logs::file(&tools)).unwrap();
    let spoilt = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("spoilt.logs");
    let mut x = 1u64;
    for round in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..=round {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (x >> 20) as usize % bytes.len();
            bytes[at] = (x >> 8) as u8;
        }
        std::fs::write(&spoilt, &bytes).unwrap();
        // An error (it ends within a record) is an answer too.
        let _ = logs::show_file(&tools, &spoilt, false, &mut vec![]);
    }
}
