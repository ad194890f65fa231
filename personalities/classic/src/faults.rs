//! Provisional: faults on demand that need this kernel's help (`abi::vote::Control`), so that campaigns can make it lie.

use abi::vote::Control;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use ipc::{BroadcastReader, ReadError};

/// Longest control record, bytes.
const CONTROL_MAX: usize = 64;

/// The hooks.
pub struct Faults {
    reader: Option<BroadcastReader<'static>>,
    domain: u32,
    buffer: Vec<u8>,
    /// Invert a byte of the process that next makes a call.
    pub diverge: bool,
}

impl Faults {
    /// Listens to the control channel, if there is one, for `domain`.
    pub fn new(region: Option<&'static [AtomicU64]>, domain: u32) -> Faults {
        let reader = region.and_then(BroadcastReader::new);
        Faults { reader, domain, buffer: vec![0; CONTROL_MAX], diverge: false }
    }

    /// Takes all commands there are; says whether to lie from now on.
    pub fn poll(&mut self) -> bool {
        let mut lie = false;
        let Some(reader) = &mut self.reader else { return false };
        loop {
            match reader.read(&mut self.buffer) {
                Ok(Some(n)) => match self.buffer.get(..n).map(postcard::from_bytes::<Control>) {
                    Some(Ok(Control::Lie { domain })) => lie |= domain == self.domain,
                    Some(Ok(Control::Diverge { domain })) => self.diverge |= domain == self.domain,
                    _ => {}
                },
                Ok(None) => return lie,
                Err(ReadError::NewEpoch | ReadError::TooLong(_)) => {}
                Err(ReadError::Overrun | ReadError::Fault) => {
                    reader.skip_to_head();
                    return lie;
                }
            }
        }
    }
}
