//! A core and 64 MiB lent to a running domain, used, taken back and lent to the next, under load; the stores are looked at in each round.

mod harness;

use harness::look::{Ram, boot_and_look};
use std::time::{Duration, Instant};

/// The lender's channel, and the words in it that `tests/guests/src/leases` names.
const CHANNEL: u64 = 0xa000_0000;
const FOUND: u64 = CHANNEL + 601 * 8;
const WANTED: u64 = CHANNEL + 700 * 8;
const LOOKS: u64 = CHANNEL + 701 * 8;
const ASKED: u64 = CHANNEL + 702 * 8;
const LOOKED: u64 = CHANNEL + 703 * 8;
/// Rounds that are not looked at before the host is there, at most.
const EARLY: u64 = 5;

/// Has so many rounds done; how many of their two points each (lent and used, all back) were looked at.
fn lend(rounds: u64, limit: u64) -> u64 {
    let images = [("guest-leases", "guest-leases", 2), ("guest-spinner", "guest-spinner", 2)];
    let mut looks = 0;
    let text = boot_and_look("leases", limit, &images, &["leases: set up"], |ram, look| {
        let (ram, start) = (Ram::open(ram), Instant::now());
        ram.write(WANTED, rounds);
        ram.write(LOOKS, 1);
        while ram.word(FOUND) == 0 {
            assert!(start.elapsed() < Duration::from_secs(limit), "{looks} looks in {limit} s");
            let asked = ram.word(ASKED);
            if asked <= looks {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let text = look().unwrap_or_else(|e| panic!("after {looks} looks: {e}"));
            let lent = text.lines().filter(|line| line.starts_with("  lease ")).count();
            // For good: memory for three CSpaces' worth of set-up, and a page of instructions. In use also memory, core, tools, and what is lent on.
            assert!(lent == if asked % 2 == 1 { 7 } else { 3 }, "{asked}: {text}");
            looks = asked;
            ram.write(LOOKED, asked);
        }
        assert_eq!(ram.word(FOUND), rounds);
        println!("{rounds} rounds, {looks} looks, {:.0} s", start.elapsed().as_secs_f64());
        println!("{}", look().expect("stores and tables agree at the end"));
    });
    assert!(!text.contains("CRASH") && !text.contains("WRONG"), "{text}");
    looks
}

#[test]
fn what_is_lent_comes_back_clean() {
    let rounds = 20;
    assert!(lend(rounds, 300) >= 2 * (rounds - EARLY));
}

#[test]
#[ignore = "a quarter of an hour; make campaign"]
fn what_is_lent_comes_back_clean_a_thousand_times() {
    let rounds = 1000;
    assert!(lend(rounds, 3600) >= 2 * (rounds - EARLY));
}
