//! Rings in, released output and verdicts out.

use abi::bootinfo::{BootInfo, DOMAINS_MAX};
use abi::hypercall::NOTIFY_DOMAIN;
use abi::vote::{Output, PAYLOAD_MAX, Progress, Verdict};
use consensus::verdict::Evidence;
use gate::{Config, Gate, Sink};
use ipc::{BroadcastReader, ReadError, Send, StreamWriter};
use runtime::Channel;
use shell::{Broadcast, Clock, Replicas, Voters};

/// So many records are taken of one ring before the others have their turn.
const BUDGET: usize = 64;

struct Out {
    verdicts: Broadcast,
    evidence: Broadcast,
    channel: Channel,
    stream: StreamWriter<'static>,
    buffer: [u8; PAYLOAD_MAX + 64],
    written: bool,
}

/// The beginning of a digest, as the operator's console shows it.
fn short(digest: &[u8; 32]) -> u32 {
    let [a, b, c, d, ..] = *digest;
    u32::from_be_bytes([a, b, c, d])
}

fn tell(verdict: &Verdict) {
    match *verdict {
        Verdict::Released { .. } => {}
        Verdict::WrongOutput { voter, n, call, ref own, ref quorum, agreed } => defmt::warn!(
            "domain {=u32}: wrong output, effect {=u64} call {=u64}: own {=u32:08x}.., quorum {=u32:08x}.. by {=u64:#b}",
            voter,
            n,
            call,
            short(own),
            short(quorum),
            agreed
        ),
        Verdict::WrongState { voter, s, process, ref own, ref quorum } => defmt::warn!(
            "domain {=u32}: wrong state, sync point {=u64} process {=u32}: own {=u32:08x}.., quorum {=u32:08x}..",
            voter,
            s,
            process,
            short(own),
            short(quorum)
        ),
        Verdict::Contradicts { voter, s } => {
            defmt::warn!(
                "domain {=u32}: contradicts the others at sync point {=u64}, by f + 1 replicas' word",
                voter,
                s
            )
        }
        Verdict::Late { voter, n } => defmt::info!("domain {=u32}: late with effect {=u64}", voter, n),
        _ => defmt::info!("another verdict; the operator's console has its words"),
    }
}

impl Sink for Out {
    fn output(&mut self, output: &Output<'_>) -> bool {
        let written = self.stream.send(output, &mut self.buffer).is_ok();
        defmt::debug!("effect {=u64} released, {=usize} bytes", output.n, output.payload.len());
        self.written |= written;
        written
    }

    fn drained(&mut self) -> bool {
        self.stream.unread() == Ok(0)
    }

    fn verdict(&mut self, verdict: Verdict) {
        tell(&verdict);
        self.verdicts.send(&verdict, &mut [0; 128]);
    }

    fn evidence(&mut self, evidence: &Evidence) {
        self.evidence.write(&evidence.encode());
    }
}

impl Out {
    fn ring(&mut self) {
        if core::mem::take(&mut self.written) {
            self.channel.ring();
        }
        self.verdicts.ring();
        self.evidence.ring();
    }
}

/// One voter's ring.
struct Ring {
    voter: u32,
    reader: BroadcastReader<'static>,
    /// EL2 had begun it anew so often when we looked last.
    restarts: u64,
    /// Since then it has said nothing: what is no ring, or a new epoch, is what its predecessor left, or its own beginning.
    renewed: bool,
}

fn fault(e: ReadError) -> &'static str {
    match e {
        ReadError::Overrun => "was written faster than it was read",
        ReadError::Fault => "is no ring",
        ReadError::TooLong(_) => "has a record longer than votes are",
        ReadError::NewEpoch => "has begun anew, and nobody else has",
    }
}

/// Takes what the gate wants of one voter's ring. `true`: it took something.
fn take(ring: &mut Ring, gate: &mut Gate, out: &mut Out) -> bool {
    let mut taken = false;
    let Ring { voter, reader: ring, restarts, renewed } = ring;
    let voter = *voter;
    if core::mem::replace(restarts, shell::restarts(voter)) != *restarts {
        // What is left of its predecessor is not its own.
        ring.skip_to_head();
        *renewed = true;
        gate.on_restarted(voter, out);
    }
    for _ in 0..BUDGET {
        let position = ring.position();
        let Some(record) = gate.wants(voter) else { break };
        match ring.read(record) {
            Ok(Some(length)) => {
                *renewed = false;
                gate.on_record(voter, length, position, out);
            }
            Ok(None) => break,
            Err(ReadError::NewEpoch) if *renewed => {}
            Err(ReadError::Fault) if *renewed => break,
            // A newcomer goes on in its predecessor's ring; what it said faster than we could read is passed over.
            Err(ReadError::Overrun) if gate.is_returning(voter) => ring.skip_to_head(),
            // Whatever it is, no correct kernel does it.
            Err(e) => {
                defmt::warn!("domain {=u32}: its ring at byte {=u64}: {=str}", voter, position, fault(e));
                gate.on_malformed(voter, position, out);
            }
        }
        taken = true;
    }
    taken
}

/// Who votes: the replicas agree on it before anything runs.
fn first_voters(replicas: &mut Replicas) -> Voters {
    loop {
        let more = replicas.take(|_, _| {});
        if let Some(voters) = replicas.voters() {
            return voters;
        }
        if !more {
            runtime::wait(u64::MAX);
        }
    }
}

/// Entry.
#[unsafe(no_mangle)]
extern "C" fn service_main(boot: &'static BootInfo) -> ! {
    shell::start_log(boot);
    let clock = Clock::new(boot);
    let mut voters = first_voters(&mut Replicas::open(boot));
    // Read from the start once more: before this gate knew who votes, one of them may have contradicted the others.
    let mut replicas = Replicas::open(boot);
    defmt::info!("starts: voters {=u64:#b}, quorum {=u32}", voters.set, voters.quorum);
    let grace_us = u64::from(boot.run.grace_ms) * 1000;
    let Voters { epoch, set, quorum } = voters;
    let config = Config { epoch, kernels: boot.run.kernels(), voters: set, quorum, grace_us };
    let Some(mut gate) = Gate::new(config) else {
        panic!("the agreed quorum does not fit the agreed voters")
    };
    let (channel, stream) = shell::stream_writer(boot, "output");
    let verdicts = Broadcast::new(boot, "verdicts");
    let evidence = Broadcast::new(boot, "evidence");
    let mut out = Out { verdicts, evidence, channel, stream, buffer: [0; PAYLOAD_MAX + 64], written: false };
    let mut rings: [Option<Ring>; DOMAINS_MAX] = [const { None }; _];
    for (slot, (voter, reader)) in rings.iter_mut().zip(shell::kernels(boot)) {
        *slot = Some(Ring { voter, reader, restarts: 0, renewed: false });
    }
    let mut word = 1 << NOTIFY_DOMAIN;
    loop {
        let mut more = replicas.take(|replica, word| {
            if let Progress::Contradicts { voter, s } = *word {
                gate.on_contradicts(voter, replica, s, &mut out);
            }
        });
        if let Some(new) = replicas.voters().filter(|new| new.epoch > voters.epoch) {
            defmt::info!("voters {=u64:#b}, quorum {=u32}", new.set, new.quorum);
            gate.set_voters(new.epoch, new.set, new.quorum, clock.now_us());
            voters = new;
        }
        for ring in rings.iter_mut().flatten() {
            more |= take(ring, &mut gate, &mut out);
            if word >> NOTIFY_DOMAIN & 1 == 1 && shell::crashed(ring.voter) {
                gate.on_crashed(ring.voter, &mut out);
            }
        }
        let now_us = clock.now_us();
        more |= gate.poll(now_us, &mut out);
        out.ring();
        word = if more { runtime::poll() } else { runtime::wait(clock.deadline(gate.wake_at(now_us))) };
    }
}
