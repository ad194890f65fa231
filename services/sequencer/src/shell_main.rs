//! Rings in, log out.

use abi::bootinfo::BootInfo;
use abi::hypercall::NOTIFY_DOMAIN;
use abi::log::{ENTRY_MAX, Entry};
use abi::vote::{Input, PAYLOAD_MAX, Progress, Verdict, Vote};
use ipc::{BroadcastReader, ReadError, Receive, ReceiveError, StreamReader};
use runtime::{Channel, say};
use sequencer::{Config, Sequencer, Sink};
use shell::{Broadcast, Clock};

/// So many records are taken of one ring before the others have their turn: a flood of one delays nobody for long.
const BUDGET: usize = 256;
const RECORD_MAX: usize = PAYLOAD_MAX + 128;

struct Out {
    log: Broadcast,
    progress: Broadcast,
    buffer: [u8; ENTRY_MAX],
}

impl Sink for Out {
    fn log(&mut self, entry: &Entry<'_>) {
        if !self.log.send(entry, &mut self.buffer) {
            // The program's arguments are the only part without a bound of its own.
            panic!("a log entry is longer than {ENTRY_MAX} bytes: the program's arguments are too long")
        }
    }

    fn progress(&mut self, progress: Progress) {
        self.progress.send(&progress, &mut [0; 64]);
    }
}

/// Input from the devices; a record that found no room waits in `record`.
struct Typed {
    channel: Channel,
    reader: StreamReader<'static>,
    record: [u8; RECORD_MAX],
    waiting: Option<usize>,
}

impl Typed {
    /// Hands over what there is room for. `true`: something was taken.
    fn take(&mut self, sequencer: &mut Sequencer<'_>) -> bool {
        let mut taken = false;
        for _ in 0..BUDGET {
            let length = match self.waiting.take() {
                Some(length) => length,
                None => match self.reader.peek(&mut self.record) {
                    Ok(Some(length)) => length,
                    Ok(None) => break,
                    Err(ReadError::Overrun | ReadError::Fault) => {
                        self.reader.skip_to_head();
                        break;
                    }
                    Err(ReadError::TooLong(_) | ReadError::NewEpoch) => continue,
                },
            };
            let record = self.record.get(..length).unwrap_or(&[]);
            if let Ok(Input::Event(event)) = postcard::from_bytes(record)
                && !sequencer.on_input(event)
            {
                self.waiting = Some(length);
                break;
            }
            taken = true;
            self.reader.take();
        }
        if taken {
            self.channel.ring();
        }
        taken
    }
}

fn take_votes(
    voter: u32,
    reader: &mut BroadcastReader<'static>,
    record: &mut [u8],
    clock: &Clock,
    sequencer: &mut Sequencer<'_>,
    out: &mut Out,
) -> bool {
    for _ in 0..BUDGET {
        match reader.receive::<Vote>(record) {
            Ok(Some(vote)) => sequencer.on_vote(voter, &vote, clock.now_us(), out),
            Ok(None) => return false,
            Err(ReceiveError::Malformed) => {
                defmt::warn!("domain {=u32} posts what is no vote", voter);
                sequencer.on_out(voter);
            }
            Err(ReceiveError::Ring(ReadError::Overrun)) => {
                defmt::warn!("votes of domain {=u32} were lost: its ring was not read in time", voter);
                sequencer.on_lost(voter);
                reader.skip_to_head();
            }
            Err(ReceiveError::Ring(ReadError::Fault | ReadError::TooLong(_) | ReadError::NewEpoch)) => {
                sequencer.on_out(voter);
                return false;
            }
        }
    }
    true
}

fn take_verdicts(reader: &mut BroadcastReader<'static>, sequencer: &mut Sequencer<'_>) {
    let mut record = [0; 256];
    for _ in 0..BUDGET {
        match reader.receive::<Verdict>(&mut record) {
            Ok(Some(verdict)) => sequencer.on_verdict(&verdict),
            Ok(None) => return,
            Err(ReceiveError::Malformed) => {}
            // The newest Released says all.
            Err(ReceiveError::Ring(_)) => reader.skip_to_head(),
        }
    }
}

fn config(boot: &'static BootInfo) -> Config<'static> {
    Config {
        voters: boot.run.voters,
        quorum: boot.run.quorum,
        grace_us: u64::from(boot.run.grace_ms) * 1000,
        start_time_us: shell::wall_clock_us(boot),
        digest_interval: boot.run.digest_interval,
        seed: boot.entropy,
        program: runtime::channel::module(boot, "program").unwrap_or(&[]),
        replay: runtime::channel::module(boot, "replay"),
    }
}

/// Entry.
#[unsafe(no_mangle)]
extern "C" fn service_main(boot: &'static BootInfo) -> ! {
    shell::start_log(boot);
    let clock = Clock::new(boot);
    let config = config(boot);
    defmt::info!("starts: quorum {=u32}, grace {=u64} us", config.quorum, config.grace_us);
    let mut sequencer = match Sequencer::new(config) {
        Ok(sequencer) => sequencer,
        Err(e) => panic!("{e}"),
    };
    let mut out = Out {
        log: Broadcast::new(boot, "log"),
        progress: Broadcast::new(boot, "progress"),
        buffer: [0; ENTRY_MAX],
    };
    let (channel, reader) = shell::stream_reader(boot, "input");
    let mut typed = Typed { channel, reader, record: [0; RECORD_MAX], waiting: None };
    let mut verdicts = shell::reader(boot, "verdicts");
    let mut rings: [Option<(u32, BroadcastReader)>; abi::bootinfo::DOMAINS_MAX] = [const { None }; _];
    for (slot, ring) in rings.iter_mut().zip(shell::voters(boot)) {
        *slot = Some(ring);
    }
    let mut record = [0; RECORD_MAX];
    let mut word = 1 << NOTIFY_DOMAIN;
    loop {
        let mut more = false;
        take_verdicts(&mut verdicts, &mut sequencer);
        for (voter, ring) in rings.iter_mut().flatten() {
            more |= take_votes(*voter, ring, &mut record, &clock, &mut sequencer, &mut out);
            if word >> NOTIFY_DOMAIN & 1 == 1 && shell::crashed(*voter) {
                sequencer.on_out(*voter);
            }
        }
        typed.take(&mut sequencer);
        let (before, ended) = (sequencer.issued(), sequencer.ended());
        let now_us = clock.now_us();
        sequencer.poll(now_us, &mut out);
        if sequencer.ended() && !ended {
            say!("the recorded log ends after sync point {}", before.unwrap_or(0));
        }
        if sequencer.issued() != before {
            defmt::debug!("sync point {=u64} is agreed", sequencer.issued().unwrap_or(0));
        }
        out.log.ring();
        out.progress.ring();
        // An entry made room for input that waits.
        more |= typed.waiting.is_some() && sequencer.issued() != before;
        word = if more { runtime::poll() } else { runtime::wait(clock.deadline(sequencer.wake_at(now_us))) };
    }
}
