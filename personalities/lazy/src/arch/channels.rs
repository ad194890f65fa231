//! This kernel's channels, by name.

use abi::bootinfo::{BootInfo, name_str};
use core::sync::atomic::AtomicU64;
use runtime::Channel;

/// The channel `name`, if there is one.
fn find(boot: &'static BootInfo, name: &str, offset: u64) -> Option<Channel> {
    let info = boot.channels.iter().find(|c| c.role != 0 && name_str(&c.name) == name);
    // SAFETY: (1) boot mapped all channels of this domain at `offset`, for ever; (2) no stream is among those asked for.
    info.and_then(|c| unsafe { Channel::at(boot, name, c.ipa + offset) })
}

/// The channel `name`, which this kernel cannot do without.
pub fn channel(boot: &'static BootInfo, name: &str, offset: u64) -> Channel {
    match find(boot, name, offset) {
        Some(c) => c,
        None => panic!("the manifest gives this kernel no channel `{name}`"),
    }
}

/// The words of a channel of this kernel's own that it can do without.
pub fn own(boot: &'static BootInfo, prefix: &str, offset: u64) -> Option<&'static [AtomicU64]> {
    own_channel(boot, prefix, offset).map(|c| c.words())
}

/// That channel.
pub fn own_channel(boot: &'static BootInfo, prefix: &str, offset: u64) -> Option<Channel> {
    find(boot, OwnName::new(prefix, boot).text(), offset).filter(Channel::writes)
}

/// `PREFIX-NAME` without a heap.
pub struct OwnName([u8; 32], usize);

impl OwnName {
    /// Of this domain.
    pub fn new(prefix: &str, boot: &BootInfo) -> OwnName {
        let mut n = OwnName([0; 32], 0);
        for b in prefix.bytes().chain(name_str(&boot.name).bytes()) {
            if let Some(slot) = n.0.get_mut(n.1) {
                *slot = b;
                n.1 += 1;
            }
        }
        n
    }

    /// As text.
    pub fn text(&self) -> &str {
        core::str::from_utf8(self.0.get(..self.1).unwrap_or(&[])).unwrap_or("")
    }
}
