//! What the thin I/O shells of the services share. Their logic is elsewhere, without I/O; here is what they touch.
//!
//! A service that misses something of its manifest cannot go on: it stops with one line that names what is missing.
#![no_std]

mod aux_uart;
mod clock;
pub mod pl011;
mod registers;
mod replicas;
pub mod serial;

use abi::bootinfo::{BootInfo, DOMAINS_MAX, DomainState, name_str};
pub use clock::Clock;
use ipc::{BroadcastReader, BroadcastWriter, Send, StreamReader, StreamWriter};
pub use replicas::{Replicas, Voters};
use runtime::Channel;
use serde::Serialize;

/// From now on `defmt` logs into this service's own ring, if the manifest gives it one.
#[cfg(target_os = "none")]
pub fn start_log(boot: &'static BootInfo) {
    let mut name = heapless::String::<{ abi::bootinfo::NAME_MAX }>::new();
    let fits = name.push_str("log-").and_then(|()| name.push_str(name_str(&boot.name)));
    if let (Ok(()), Some(channel)) = (fits, Channel::find(boot, &name)) {
        runtime::log::start(channel.words());
    }
}

/// Channel `name`.
pub fn channel(boot: &'static BootInfo, name: &str) -> Channel {
    match Channel::find(boot, name) {
        Some(channel) => channel,
        None => panic!("the manifest gives this service no channel `{name}`"),
    }
}

/// The reading end of broadcast channel `name`.
pub fn reader(boot: &'static BootInfo, name: &str) -> BroadcastReader<'static> {
    BroadcastReader::new(channel(boot, name).words()).expect("a channel is larger than a ring's header")
}

/// A broadcast channel that this service writes.
pub struct Broadcast {
    channel: Channel,
    writer: BroadcastWriter<'static>,
    written: bool,
}

impl Broadcast {
    /// Channel `name`.
    pub fn new(boot: &'static BootInfo, name: &str) -> Self {
        let channel = channel(boot, name);
        let writer = BroadcastWriter::new(channel.words()).expect("a channel is larger than a ring's header");
        Broadcast { channel, writer, written: false }
    }

    /// Appends one value, in postcard's encoding, put together in `scratch`; the bell waits for [`Broadcast::ring`]. `false`: it does not fit there, or not into the ring.
    pub fn send<T: Serialize>(&mut self, value: &T, scratch: &mut [u8]) -> bool {
        let sent = self.writer.send(value, scratch).is_ok();
        self.written |= sent;
        sent
    }

    /// Appends one record as it is; the bell waits for [`Broadcast::ring`]. `false`: it does not fit into the ring.
    pub fn write(&mut self, record: &[u8]) -> bool {
        let sent = self.writer.write(record).is_ok();
        self.written |= sent;
        sent
    }

    /// Where the next record will stand.
    pub fn position(&self) -> u64 {
        self.writer.position()
    }

    /// Rings the readers if something was written since the last time: one bell for all of it.
    pub fn ring(&mut self) {
        if core::mem::take(&mut self.written) {
            self.channel.ring();
        }
    }
}

/// The writing end of stream `name`, and the channel to ring.
pub fn stream_writer(boot: &'static BootInfo, name: &str) -> (Channel, StreamWriter<'static>) {
    let channel = channel(boot, name);
    let writer = channel.position().and_then(|position| StreamWriter::new(channel.words(), position));
    (channel, writer.expect("a stream of the manifest"))
}

/// The reading end of stream `name`, and the channel to ring.
pub fn stream_reader(boot: &'static BootInfo, name: &str) -> (Channel, StreamReader<'static>) {
    let channel = channel(boot, name);
    let reader = channel.position().and_then(|position| StreamReader::new(channel.words(), position));
    (channel, reader.expect("a stream of the manifest"))
}

/// The domains that are kernels, those too that are cold at first, with the channel on which each speaks.
pub fn kernels(boot: &'static BootInfo) -> impl Iterator<Item = (u32, BroadcastReader<'static>)> {
    let kernels = boot.run.kernels();
    (0..DOMAINS_MAX as u32).filter(move |d| kernels >> d & 1 == 1).map(move |domain| {
        match boot.read_channels("effects-").find(|c| c.writer == domain) {
            Some(info) => (domain, reader(boot, name_str(&info.name))),
            None => panic!("the manifest gives this service no channel `effects-` of domain {domain}"),
        }
    })
}

/// How often EL2 has begun `domain` anew, or is about to.
pub fn restarts(domain: u32) -> u64 {
    runtime::channel::status(domain as usize)
        .map_or(0, |s| u64::from(s.restarts) + u64::from(s.state == DomainState::Restarting as u16))
}

/// Whether EL2 says that `domain` crashed.
pub fn crashed(domain: u32) -> bool {
    runtime::channel::status(domain as usize).is_some_and(|s| s.state == DomainState::Crashed as u16)
}
