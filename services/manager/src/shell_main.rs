//! UART 1, verdicts and progress.

use abi::bootinfo::{BootInfo, DOMAINS_MAX, NAME_MAX, name_from, name_str};
use abi::bundle::{Bundle, Kind};
use abi::hypercall::{Error, Inject, NOTIFY_IRQ};
use abi::monitor::Monitor;
use abi::ring::OFFSET_DATA;
use abi::vote::Control;
use consensus::verdict::EVIDENCE;
use core::fmt::Write;
use ipc::{BroadcastReader, Receive, ReceiveError};
use manager::{Board, Config, DESIGNS, Design, Manager};
use runtime::channel::Channel;
use serde::de::DeserializeOwned;
use shell::serial::Serial;
use shell::{Broadcast, Clock, Replicas};

/// So many records are taken of one ring before the others have their turn.
const BUDGET: usize = 256;

struct Desk {
    boot: &'static BootInfo,
    clock: Clock,
    port: Serial,
    control: Broadcast,
}

impl Board for Desk {
    fn text(&mut self, line: &[u8]) {
        // The manager's texts have no budget, and a line is never too long.
        let _ = runtime::calls::print(line);
    }

    fn happened(&mut self, line: &[u8]) {
        defmt::info!("{=str}", core::str::from_utf8(line).unwrap_or("a line that is no text"));
    }

    fn echo(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            while !self.port.send(byte) {
                core::hint::spin_loop();
            }
        }
    }

    fn inject(&mut self, domain: u32, inject: Inject) -> Result<(), Error> {
        defmt::warn!(
            "on demand in domain {=u32}: {=u64} (1 crash, 2 hang, 3 pause, 4 resume, 5 corrupt)",
            domain,
            inject as u64
        );
        runtime::inject(domain as usize, inject)
    }

    fn pace(&mut self, domain: u32, inject: Inject) -> Result<(), Error> {
        runtime::inject(domain as usize, inject)
    }

    fn monitor(&self, domain: u32) -> Option<Monitor<'static>> {
        let mut name = heapless::String::<NAME_MAX>::new();
        write!(name, "monitor-{}", name_str(self.boot.domain_names.get(domain as usize)?)).ok()?;
        let words = Channel::find(self.boot, &name)?.words().get((OFFSET_DATA / 8)..)?;
        Monitor::read(words).filter(Monitor::is_there)
    }

    fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Lie { domain } => defmt::warn!("on demand in domain {=u32}: lie", domain),
            Control::Diverge { domain } => defmt::warn!("on demand in domain {=u32}: diverge", domain),
            Control::Equivocate { domain } => defmt::warn!("on demand in domain {=u32}: equivocate", domain),
            Control::Restart { domain, image, again } => {
                defmt::warn!(
                    "domain {=u32} is to begin anew, image {=u32}, to execute again: {=bool}",
                    domain,
                    image,
                    again
                );
            }
            Control::Replace { domain, by, image } => {
                defmt::warn!("domain {=u32} is to be replaced by {=u32}, image {=u32}", domain, by, image);
            }
            Control::Resize { rows, columns } => {
                defmt::info!("to be agreed: terminal {=u16} by {=u16}", rows, columns)
            }
            Control::Signal { signal } => defmt::info!("to be agreed: signal {=u8}", signal),
        }
        self.control.send(&control, &mut [0; 16]);
        self.control.ring();
    }

    fn usurp(&mut self) -> [u64; 2] {
        crate::usurper::everything(self.now_us())
    }

    fn power_off(&mut self) {
        if let Err(e) = runtime::power_off() {
            panic!("EL2 refuses to turn the machine off: {e:?}");
        }
    }
}

/// Takes one record of a channel. `true`: there may be more.
fn take<T: DeserializeOwned>(
    name: &str,
    ring: &mut BroadcastReader<'static>,
    manager: &mut Manager,
    desk: &mut Desk,
    hand_over: fn(&mut Manager, &T, &mut Desk),
) -> bool {
    match ring.receive(&mut [0; 256]) {
        Ok(None) => return false,
        Ok(Some(value)) => hand_over(manager, &value, desk),
        Err(ReceiveError::Malformed) => {}
        Err(ReceiveError::Ring(_)) => {
            ring.skip_to_head();
            manager.on_lost(name, desk);
        }
    }
    true
}

fn domains(boot: &BootInfo, manager: &mut Manager, desk: &mut Desk) {
    for domain in 0..boot.domains {
        if let Some(status) = runtime::channel::status(domain as usize) {
            manager.on_domain(domain, status, desk);
        }
    }
}

/// Takes one piece of evidence. `true`: there may be more.
fn take_evidence(ring: &mut BroadcastReader<'static>, manager: &mut Manager, desk: &mut Desk) -> bool {
    let mut record = [0; EVIDENCE];
    match ring.read(&mut record) {
        Ok(None) => return false,
        Ok(Some(length)) => manager.on_evidence(record.get(..length).unwrap_or(&[]), desk),
        Err(_) => ring.skip_to_head(),
    }
    true
}

/// The domains that write a channel `peer-`, a bit a domain.
fn replicas(boot: &BootInfo) -> u64 {
    let peers = boot.channels.iter().filter(|c| name_str(&c.name).starts_with("peer-"));
    peers.fold(0, |mask, c| mask | 1u64.checked_shl(c.writer).unwrap_or(0))
}

/// The kernels in the bundle, if the manifest gives it to this domain.
fn designs(boot: &'static BootInfo) -> heapless::Vec<Design, DESIGNS> {
    let bundle = runtime::channel::module(boot, "bundle").and_then(|bytes| Bundle::trusted(bytes).ok());
    let kernels = bundle.iter().flat_map(|b| b.entries()).filter(|e| e.kind == Kind::Kernel);
    kernels
        .enumerate()
        .filter_map(|(place, e)| Some(Design { name: name_from(e.name)?, place }))
        .take(DESIGNS)
        .collect()
}

/// The first manager builds the machine, and gives up what that takes. Its successors have nothing to give.
fn begin(boot: &'static BootInfo) {
    if let Err((index, e)) = runtime::root::build(boot) {
        panic!("partition {index}: {e}");
    }
    let replicas = replicas(boot);
    let gated = boot.run.kernels() | replicas | 1 << boot.domain;
    let all: heapless::Vec<u32, DOMAINS_MAX> = (0..boot.domains).filter(|d| replicas >> d & 1 == 1).collect();
    if let Err(e) = runtime::seal::seal(boot, gated, &all) {
        panic!("cannot seal: {e}");
    }
    defmt::info!("sealed: {=u64:#b}", gated);
}

/// What there is of the predecessor's time.
fn recall(
    manager: &mut Manager,
    replicas: &mut Replicas,
    verdicts: &mut BroadcastReader<'static>,
    desk: &mut Desk,
) {
    while replicas.take(|from, word| manager.recall_progress(from, word, desk.now_us())) {}
    loop {
        match verdicts.receive(&mut [0; 256]) {
            Ok(None) => break,
            Ok(Some(verdict)) => manager.recall_verdict(&verdict, desk.now_us()),
            Err(ReceiveError::Malformed) => {}
            Err(ReceiveError::Ring(_)) => verdicts.skip_to_head(),
        }
    }
    manager.recalled(desk);
}

/// Entry.
#[unsafe(no_mangle)]
extern "C" fn service_main(boot: &'static BootInfo) -> ! {
    shell::start_log(boot);
    if boot.restarts == 0 {
        begin(boot);
    }
    defmt::info!("starts: {=u32} domains, voters {=u64:#b}", boot.domains, boot.run.voters);
    let mut manager = Manager::new(Config {
        names: boot.domain_names,
        domains: boot.domains,
        own: boot.domain,
        kernels: boot.run.kernels(),
        seats: boot.run.voters.count_ones(),
        spare: boot.run.spare(),
        replicas: replicas(boot),
        grace_ms: boot.run.grace_ms,
        hang_ms: boot.run.hang_ms,
        iteration: boot.run.iteration(),
        designs: designs(boot),
        cores: core::array::from_fn(|d| boot.partitions.get(d).map_or(0, |p| p.core)),
        mib: core::array::from_fn(|d| boot.partitions.get(d).map_or(0, |p| p.mib)),
        images: core::array::from_fn(|d| boot.partitions.get(d).map_or([0; NAME_MAX], |p| p.image)),
    });
    let mut desk = Desk {
        boot,
        clock: Clock::since_power_on(boot),
        port: Serial::new(boot),
        control: Broadcast::new(boot, "control"),
    };
    let mut verdicts = shell::reader(boot, "verdicts");
    let mut replicas = Replicas::open(boot);
    let mut evidence = shell::reader(boot, "evidence");
    if boot.restarts > 0 {
        domains(boot, &mut manager, &mut desk);
        recall(&mut manager, &mut replicas, &mut verdicts, &mut desk);
        evidence.skip_to_head();
        // The predecessor may have died before it let the port interrupt again.
        desk.port.acknowledge();
    }
    desk.port.listen();
    loop {
        // First the states: the text of a crash verdict takes its cause from there.
        domains(boot, &mut manager, &mut desk);
        let mut more = false;
        for _ in 0..BUDGET {
            more = take("verdicts", &mut verdicts, &mut manager, &mut desk, Manager::on_verdict)
                | replicas.take(|from, word| manager.on_progress(from, word, &mut desk));
            more |= take_evidence(&mut evidence, &mut manager, &mut desk);
            if !more {
                break;
            }
        }
        while let Some(byte) = desk.port.receive() {
            manager.on_byte(byte, &mut desk);
        }
        manager.on_time(&mut desk);
        let deadline = desk.clock.deadline(manager.wakes_at());
        let word = if more { runtime::poll() } else { runtime::wait(deadline) };
        if word >> NOTIFY_IRQ & 1 == 1 {
            while let Some(byte) = desk.port.receive() {
                manager.on_byte(byte, &mut desk);
            }
            desk.port.acknowledge();
        }
    }
}
