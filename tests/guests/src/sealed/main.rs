//! A manager that has sealed what a personality is made of, and turns hostile: it does whatever its capabilities let it, here and by mail, and
//! the personality does not notice. Seats on other cores decide, and only enough of them, about the present.
//!
//! `manager` is the root task, `victim` the personality on core 1, `pair` (two seats in one hand), `third` and `fourth` have the seats of a gate
//! on core 1 that needs three of four. The memory that all this is made of, and what was lent of it, is sealed on core 0.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
#[path = "../agents.rs"]
mod agents;
#[cfg(target_os = "none")]
mod hostile;
#[cfg(target_os = "none")]
#[path = "../random.rs"]
mod random;

#[cfg(target_os = "none")]
mod guest {
    use crate::agents::*;
    use crate::hostile;
    use runtime::abi::bootinfo::{BootInfo, name_str};
    use runtime::abi::capability::{kind, label, root};
    use runtime::capability::ask;
    use runtime::{Channel, calls, say};

    /// Slots of a holder's CSpace: his seats of the gate on core 1, and of the one on core 0.
    const SEATS: [u64; 2] = [1, 2];
    const SEAT_HERE: u64 = 3;
    const RADIX: u64 = 3;
    /// Slots of the manager and of its agents: gate, seats, CNodes; from `HELD` on what is sealed.
    const GATE: u64 = root::FREE;
    const SEAT: u64 = root::FREE + 1;
    const PLAIN: u64 = root::FREE + 5;
    const WHOLE: u64 = root::FREE + 6;
    const ARRIVED: u64 = root::FREE + 8;
    const HELD: u64 = root::FREE + 16;
    const VICTIM: u64 = 1;
    /// Acts: the time of core 1, which is held 0, is taken back; a new epoch.
    const REVOKE: [u64; 5] = [1, 0, 0, 0, 0];
    const EPOCH: [u64; 5] = [5, 0, 0, 0, 0];

    const fn core(n: u64) -> u64 {
        root::OTHER_CORES + n
    }

    /// The holder on core `n` gets a CSpace, of memory that arrives in `ARRIVED`, with his seats from `ARRIVED + 1` on.
    fn seat_holder(n: u64, seats: &[u64]) {
        cspace(core(n), ARRIVED, PLAIN, RADIX);
        for (from, &to) in (ARRIVED + 1..).zip(seats) {
            arrives(core(n), PLAIN, label::MOVE, &[to, RADIX, root::CNODE, from, 64]);
        }
        does(core(n), root::DOMAINS + n, label::CONFIGURE, &[WHOLE, 0, 0]);
        // Who has the CNode has the seats.
        for slot in [PLAIN, WHOLE, ARRIVED] {
            does(core(n), root::CNODE, label::DELETE, &[slot, 64]);
        }
    }

    /// On core 1: a gate that holds the core's time, the victim, its own memory, and what its seats are.
    fn seal_there() {
        let one = core(1);
        arrives(one, ARRIVED, label::RETYPE, &[kind::GATE, 0, root::CNODE, 0, 0, GATE, 1]);
        does(one, ARRIVED, label::RETYPE, &[kind::CNODE, RADIX, root::CNODE, 0, 0, HELD + 1, 1]);
        for (n, from) in (0..).zip([root::DOMAINS, root::SPACES, root::CONTEXTS]) {
            does(one, HELD + 1, label::MOVE, &[n, RADIX, root::CNODE, from + VICTIM, 64]);
        }
        for (seat, [holder, to]) in (0..).zip([[2, 1], [2, 2], [3, 1], [4, 1]]) {
            does(one, GATE, label::SEAT, &[seat, root::CNODE, SEAT + seat, 64]);
            let lease = [holder, ARRIVED + to, 64, root::CNODE, HELD + 2 + seat, 64];
            does(one, SEAT + seat, label::LEASE, &lease);
            does(one, root::CNODE, label::DELETE, &[SEAT + seat, 64]);
        }
        does(one, root::CNODE, label::MOVE, &[HELD, 64, root::CNODE, root::CORE, 64]);
        does(one, root::CNODE, label::MOVE, &[HELD + 6, 64, root::CNODE, ARRIVED, 64]);
        does(one, GATE, label::SEAL, &[3, 4, root::CNODE, 0, 0, HELD, 7]);
        does(one, root::CNODE, label::DELETE, &[GATE, 64]);
    }

    fn seal(boot: &BootInfo) {
        let largest = (root::UNTYPED..).zip(&boot.untyped).max_by_key(|(_, m)| m.size).map_or(0, |(n, _)| n);
        done(root::CNODE, label::MOVE, &[HELD, 64, root::CNODE, largest, 64]);
        done(HELD, label::RETYPE, &[kind::GATE, 0, root::CNODE, 0, 0, GATE, 1]);
        done(HELD, label::RETYPE, &[kind::UNTYPED, 16, root::CNODE, 0, 0, HELD + 1, 4]);
        for n in 1..=4 {
            done(HELD + n, label::LEASE, &[n, ARRIVED, 64]);
        }
        seal_there();
        for (seat, holder) in [(0, 3), (1, 4)] {
            done(GATE, label::SEAT, &[seat, root::CNODE, SEAT, 64]);
            done(SEAT, label::LEASE, &[holder, ARRIVED + 2, 64, root::CNODE, HELD + 5 + seat, 64]);
            done(root::CNODE, label::DELETE, &[SEAT, 64]);
        }
        seat_holder(2, &SEATS);
        seat_holder(3, &[SEATS[0], SEAT_HERE]);
        seat_holder(4, &[SEATS[0], SEAT_HERE]);
        done(GATE, label::SEAL, &[2, 2, root::CNODE, 0, 0, HELD, 7]);
        done(root::CNODE, label::DELETE, &[GATE, 64]);
    }

    /// Who endorses, epoch, sequence, act.
    type Said = (&'static str, u64, u64, [u64; 5]);

    /// What the holders say at each step.
    const SCRIPT: &[&[Said]] = &[
        // One hand with two seats says it twice.
        &[("pair", 0, 0, REVOKE), ("pair", 0, 0, REVOKE)],
        // Two others say something else: nothing has three voices.
        &[("pair", 0, 0, REVOKE), ("third", 0, 0, EPOCH), ("fourth", 0, 0, EPOCH)],
        &[("pair", 0, 0, EPOCH)],
        // All say it, about the epoch before, then about the sequence number before.
        &[("pair", 0, 0, REVOKE), ("third", 0, 0, REVOKE), ("fourth", 0, 0, REVOKE)],
        &[("pair", 0, 1, REVOKE), ("third", 0, 1, REVOKE), ("fourth", 0, 1, REVOKE)],
        &[("pair", 1, 0, REVOKE), ("third", 1, 0, REVOKE), ("fourth", 1, 0, REVOKE)],
        // One voice is missing; the manager does what it can before it comes.
        &[("pair", 1, 1, REVOKE)],
        &[("third", 1, 1, REVOKE)],
    ];

    fn holder(boot: &BootInfo, own: &Channel, manager: &Channel) -> ! {
        let name = name_str(&boot.name);
        loop {
            let step = told(manager);
            if step <= told(own) {
                calls::wait(u64::MAX);
                continue;
            }
            let said = SCRIPT.get(step as usize - 1).into_iter().flat_map(|said| said.iter());
            for (_, epoch, sequence, [a, b, c, d, e]) in said.filter(|(who, ..)| *who == name) {
                for seat in SEATS {
                    // Who has one seat has nothing in the second slot.
                    let _ = ask(seat, label::ENDORSE, &[*epoch, *sequence, *a, *b, *c, *d, *e]);
                    pause();
                }
            }
            tell(own, step);
        }
    }

    /// Counts, and looks after its memory.
    fn victim(own: &Channel) -> ! {
        let mut memory = [0u64; 1024];
        for round in 1.. {
            let mark = |i: usize, round: u64| round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i as u64;
            for (i, word) in memory.iter_mut().enumerate() {
                assert!(round == 1 || *word == mark(i, round - 1), "my memory changed");
                *word = mark(i, round);
            }
            core::hint::black_box(&mut memory);
            tell(own, round);
            pause();
        }
        unreachable!("rounds have no end")
    }

    /// Whether the victim goes on.
    fn lives(victim: &Channel, hz: u64) -> bool {
        let (before, until) = (told(victim), calls::now() + hz / 2);
        while calls::now() < until {
            if told(victim) > before + 10 {
                return true;
            }
            pause();
        }
        false
    }

    fn manager(boot: &'static BootInfo, find: &dyn Fn(&'static str) -> Channel) -> ! {
        let (own, victim, hz) = (find("manager"), find("victim"), boot.counter_hz);
        let holders = [find("pair"), find("third"), find("fourth")];
        seal(boot);
        say!("sealed");
        for step in 1..=SCRIPT.len() as u64 {
            let last = step == SCRIPT.len() as u64;
            if last {
                hostile::everything(&mut || assert!(lives(&victim, hz), "WRONG: the victim suffers"));
            }
            tell(&own, step);
            // By then the one on core 4 may be suspended.
            while holders.iter().take(if last { 2 } else { 3 }).any(|h| told(h) < step) {
                calls::wait(u64::MAX);
            }
            // What they say is on its way for a moment.
            calls::wait(calls::now() + hz / 100);
            assert!(lives(&victim, hz) != last, "WRONG: step {step}");
            say!("step {step}: the victim {}", if last { "has no time any more" } else { "goes on" });
        }
        say!("sealed to the end");
        loop {
            calls::wait(u64::MAX);
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        let find = |name| Channel::find(boot, name).expect("channel");
        match name_str(&boot.name) {
            "manager" => manager(boot, &find),
            "victim" => victim(&find("victim")),
            name => holder(boot, &find(name), &find("manager")),
        }
    }
}
