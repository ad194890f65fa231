//! Rings in, rings out: the replica on a board.

use crate::outlets::Outlets;
use crate::peers::{self, Peers};
use crate::readers::Readers;
use abi::bootinfo::{BootInfo, incarnation, name_str};
use abi::capability::{act, label, seats};
use abi::hypercall::NOTIFY_DOMAIN;
use consensus::auth::{Secret, Vector};
use consensus::line::{Recording, Rules, Voters};
use consensus::replica as pbft;
use replica::Board;
use replica::clerk::{Clerk, Config};
use replica::hello::{self, Hello};
use replica::liar::Liar;
use replica::restarts::{Agreed, Endorsement, Restarts, Roles};
use replica::start;
use runtime::capability::ask;
use shell::Clock;
use zeroize::Zeroize;

/// Sequence numbers in the window.
const W: usize = 64;
/// Bytes of the longest message: a state with a full next Sync, a batch with the longest line typed, a view change.
pub const M: usize = 16 * 1024;
/// One microsecond of a proposal's time may be rounding.
const AHEAD_US: u64 = 1;
/// A proposal may be under way for so many timeouts.
const BEHIND: u64 = 8;

/// The replica of a board.
pub type Node = pbft::Replica<Vector, Board<'static>, W, M>;

/// The agreed parameters of a run, and this replica's clerk.
fn line(boot: &'static BootInfo, seed: [u8; 32]) -> (Board<'static>, Clerk) {
    let recording = runtime::channel::module(boot, "replay").map(|bytes| match Recording::new(bytes) {
        Some(recording) => recording,
        None => panic!("module `replay` does not begin with a Boot entry"),
    });
    let program = runtime::channel::module(boot, "program").unwrap_or(&[]);
    if recording.is_none() && postcard::from_bytes::<abi::log::Program<'_>>(program).is_err() {
        panic!("module `program` is missing or damaged");
    }
    if boot.run.start_time_us == 0 {
        panic!("the manifest's `run` has no start-time-us");
    }
    let grace_us = u64::from(boot.run.grace_ms) * 1000;
    let rules = Rules {
        start_time_us: boot.run.start_time_us,
        ahead_us: AHEAD_US,
        behind_us: BEHIND * 2 * grace_us,
        digest_interval: boot.run.digest_interval,
        snapshot_interval: boot.run.snapshot_interval,
        program,
    };
    let clerk = Clerk::new(Config {
        voters: boot.run.voters,
        quorum: boot.run.quorum,
        grace_us,
        hang_us: u64::from(boot.run.hang_ms) * 1000,
        start_time_us: boot.run.start_time_us,
        seed,
        recorded: recording.map(|r| r.last()),
    });
    let Some(clerk) = clerk else { panic!("the manifest's quorum does not fit its personalities") };
    let line = Board::new(rules, Voters::default());
    (recording.into_iter().fold(line, |line, r| line.replaying(r)), clerk)
}

/// A timeout of twice the grace: emulated cores stall now and then, and a view change heals nothing then.
fn config(boot: &BootInfo, me: u8) -> pbft::Config {
    let grace_us = u64::from(boot.run.grace_ms) * 1000;
    let (timeout, status_every) = (2 * grace_us, (grace_us / 10).max(2_000));
    pbft::Config { timeout, status_every, ..pbft::Config::new(me) }
}

struct Service {
    clock: Clock,
    peers: Peers,
    readers: Readers,
    out: Outlets,
    /// When it said hello last.
    hello_us: u64,
}

impl Service {
    /// What the other replicas say. `true`: there may be more.
    fn take_messages(&mut self, node: &mut Node) -> bool {
        let mut more = false;
        for from in 0..consensus::REPLICAS as u8 {
            let mut taken = 0;
            while taken < peers::BUDGET
                && let Some(record) = self.peers.next(from)
            {
                let now = self.clock.now_us();
                match Hello::decode(record) {
                    Some(hello) => self.peers.on_hello(from, &hello, now, node, &mut self.out),
                    // Of who began later than this one.
                    None if start::is_of_start(record) => {}
                    None => node.on_message(from, record, now, &mut self.out),
                }
                taken += 1;
            }
            more |= taken == peers::BUDGET;
        }
        more
    }

    /// All that has arrived, and what follows from it and from the time. `true`: there may be more.
    fn step(&mut self, word: u64, node: &mut Node, clerk: &mut Clerk) -> bool {
        let executed = node.executed();
        let mut more = self.take_messages(node);
        let now = self.clock.now_us();
        more |= self.readers.take(word, now, node.application(), clerk, &mut self.out);
        clerk.poll(now, node.application(), &mut self.out);
        node.poll(now, &mut self.out);
        if node.is_recovering() && now >= self.hello_us.saturating_add(peers::REKEY_EVERY_US) {
            self.hello_us = now;
            self.out.hello();
        }
        self.out.tell_agreed(node.state());
        self.out.ring();
        // What was executed may make something due.
        more || node.executed() != executed
    }
}

/// Who begins anew is decided by what this replica sees.
fn restarts(boot: &BootInfo) -> Restarts {
    let writers = |prefix: &str| {
        let named = boot.channels.iter().filter(|c| name_str(&c.name).starts_with(prefix));
        named.fold(0, |mask, c| mask | 1u64.checked_shl(c.writer).unwrap_or(0))
    };
    Restarts::new(Roles {
        kernels: boot.run.kernels(),
        replicas: writers("peer-"),
        manager: writers("control"),
    })
}

fn agreed(node: &Node) -> Agreed {
    Agreed { voters: node.state().voters(), keys: node.epoch() }
}

/// Endorses what is due. Who is to execute again finds in the ring where to begin: that is said before.
fn endorse(restarts: &mut Restarts, agreed: &Agreed, clerk: &Clerk, out: &mut Outlets) {
    while let Some(Endorsement { domain, sequence, image, again }) = restarts.next(
        agreed,
        |d| runtime::channel::status(d as usize),
        |d| clerk.begins_not_after(d).is_some(),
    ) {
        if let Some(s) = clerk.begins_not_after(domain).filter(|_| again) {
            out.name_beginning(incarnation(domain, sequence.saturating_add(1)), s);
        }
        let words = [0, sequence, act::RESTART, 0, image.into(), 0, 0];
        let answer = ask(seats::slot(domain), label::ENDORSE, &words);
        defmt::info!("endorses: domain {=u32} begins anew: {=i64}", domain, answer.err().unwrap_or(0));
    }
}

/// Entry.
#[unsafe(no_mangle)]
extern "C" fn service_main(boot: &'static BootInfo) -> ! {
    shell::start_log(boot);
    let clock = Clock::since_power_on(boot);
    let mut entropy = boot.entropy;
    let secret = Secret::new(&entropy);
    let hello = Hello { identity: secret.identity(), share: hello::share(&entropy) };
    entropy.zeroize();
    let (_, me) = peers::own(boot);
    let restarted = boot.restarts > 0;
    defmt::info!("starts: replica {=u8}, restarted {=u64} times", me, boot.restarts);
    let mut peers = Peers::open(boot);
    let mut out = Outlets::open(boot, &hello);
    let begun = if restarted { None } else { peers.begin(hello, &clock, &mut out) };
    let (members, seed) = match begun {
        Some(begun) => begun,
        // Boot is over: its own share matters no more.
        None => (peers.gather(hello, &clock, &mut out), hello.share),
    };
    let (line, mut clerk) = line(boot, seed);
    let keys = Vector::new(me, secret, 0, &members);
    let mut node = match begun {
        Some(_) => Node::new(config(boot, me), keys, &members, line),
        None => Node::restarted(config(boot, me), keys, &members, line),
    };
    if members.iter().any(|m| m.0 == [0; 64]) {
        runtime::say!("begins without one that said nothing, or not the same to all");
    }
    let readers = Readers::open(boot);
    let mut service = Service { clock, peers, readers, out, hello_us: clock.now_us() };
    let (mut word, mut lies, mut restarts) = (1 << NOTIFY_DOMAIN, false, restarts(boot));
    loop {
        lies |= service.readers.take_control(&mut restarts, &agreed(&node), &mut clerk);
        endorse(&mut restarts, &agreed(&node), &clerk, &mut service.out);
        if lies && service.out.liar.as_ref().is_none_or(|liar| liar.epoch() != node.epoch()) {
            service.out.liar = Some(Liar::new(me, node.epoch(), node.keys().clone()));
        }
        word = if service.step(word, &mut node, &mut clerk) {
            runtime::poll()
        } else {
            let wake = clerk.wake_at(node.state().next(), clock.now_us());
            runtime::wait(clock.deadline(wake.into_iter().chain([node.wake_at()]).min()))
        };
    }
}
