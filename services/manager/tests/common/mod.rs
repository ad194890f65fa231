//! A manager and a desk that notes what it does, for several tests.
#![allow(dead_code, reason = "each test file uses a part")]

use abi::bootinfo::{DOMAINS_MAX, DomainStatus, Iteration, SparePolicy, name_from};
use abi::hypercall::{Error, Inject};
use abi::monitor::Monitor;
use abi::vote::{Control, Progress};

use manager::{Board, Config, Design, Manager};

/// Where the manager's output goes.
#[derive(Default)]
pub struct Desk {
    pub lines: Vec<String>,
    pub happened: Vec<String>,
    pub echo: Vec<u8>,
    pub acts: Vec<String>,
    pub now_us: u64,
    /// What k2 tells of itself.
    pub monitor: Option<Monitor<'static>>,
}

impl Board for Desk {
    fn text(&mut self, line: &[u8]) {
        assert!(line.len() <= 256);
        self.lines.push(String::from_utf8_lossy(line).into_owned());
    }
    fn happened(&mut self, line: &[u8]) {
        self.happened.push(String::from_utf8_lossy(line).into_owned());
    }
    fn echo(&mut self, bytes: &[u8]) {
        self.echo.extend_from_slice(bytes);
    }
    fn inject(&mut self, domain: u32, inject: Inject) -> Result<(), Error> {
        self.acts.push(format!("{inject:?} {domain}"));
        if domain == 3 { Err(Error::Denied) } else { Ok(()) }
    }
    fn pace(&mut self, domain: u32, inject: Inject) -> Result<(), Error> {
        self.acts.push(format!("{inject:?} {domain} at {}", self.now_us));
        Ok(())
    }
    fn monitor(&self, domain: u32) -> Option<Monitor<'static>> {
        self.monitor.filter(|_| domain == 5)
    }
    fn now_us(&self) -> u64 {
        self.now_us
    }
    fn control(&mut self, control: Control) {
        self.acts.push(format!("{control:?}"));
    }
    fn usurp(&mut self) -> [u64; 2] {
        self.acts.push("usurp".into());
        [9, 0]
    }
    fn power_off(&mut self) {
        self.acts.push("off".into());
    }
}

pub fn manager() -> Manager {
    Manager::new(config())
}

/// One with k5, domain 8, which is held cold.
pub fn with_spare(spare: SparePolicy) -> Manager {
    let mut config = Config { domains: 9, kernels: 0x1f0, spare, ..config() };
    config.names[8] = name_from("k5").unwrap();
    let mut m = Manager::new(config);
    for domain in 4..9 {
        status(&mut m, domain, if domain == 8 { 4 } else { 1 }, 0, &mut Desk::default());
    }
    m
}

/// EL2's table has `domain` in that state.
pub fn status(m: &mut Manager, domain: u32, state: u16, restarts: u16, desk: &mut Desk) {
    m.on_domain(domain, DomainStatus { state, restarts, cause: 0, pc: 0, address: 0, exits: 0 }, desk);
}

fn config() -> Config {
    let mut names = [[0; 16]; DOMAINS_MAX];
    let all = ["manager", "r1", "gate", "devices", "k1", "k2", "k3", "k4"];
    for (slot, name) in names.iter_mut().zip(all) {
        *slot = name_from(name).unwrap();
    }
    let design = |(i, name): (usize, &&str)| Design { name: name_from(name).unwrap(), place: i + 4 };
    let designs = ["classic", "lazy", "actor"].iter().enumerate().map(design).collect();
    let image = |d| name_from(if d < 4 { "service" } else { "classic" }).unwrap();
    let images = core::array::from_fn(image);
    let (iteration, grace_ms) = (Iteration::Rotate, 50);
    Config {
        names,
        domains: 8,
        own: 0,
        kernels: 0xf0,
        seats: 4,
        spare: SparePolicy::AfterAttempts,
        replicas: 2,
        grace_ms,
        hang_ms: 10_000,
        iteration,
        designs,
        cores: core::array::from_fn(|d| d as u32 / 4),
        mib: [16; DOMAINS_MAX],
        images,
    }
}

pub fn type_in(manager: &mut Manager, text: &str) -> Desk {
    let mut desk = Desk::default();
    for byte in text.bytes() {
        manager.on_byte(byte, &mut desk);
    }
    desk
}

/// Two replicas say it.
pub fn agreed(m: &mut Manager, progress: Progress, desk: &mut Desk) {
    for replica in [0, 1] {
        m.on_progress(replica, &progress, desk);
    }
}

pub fn begun(m: &mut Manager, domain: u32, restarts: u16, desk: &mut Desk) {
    for state in [3, 1] {
        let restarts = if state == 1 { restarts } else { restarts - 1 };
        m.on_domain(domain, DomainStatus { state, restarts, cause: 0, pc: 0, address: 0, exits: 0 }, desk);
    }
}
