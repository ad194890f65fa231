//! A core and 64 MiB that are lent to a running domain, used by it on its own core and on the lent one, taken back, and lent to the next,
//! under load.
//!
//! `lender` is the root task on core 0, `first` and `second` borrow by turns on their cores, a keeper beside each gets their faults.
//!
//! ```text
//! lender             borrower                         the lent core
//! lends core, 64 MiB
//!                    maps 2 MiB, lends 62 on -------> worker: looks for canaries, leaves its own, goes on writing
//! takes memory back                                   worker faults, watcher is told
//!                    faults, its keeper is told
//! takes core back
//! ```
//! A host that looks at the machine's memory can have the lender stop at two points of each round (`look`), and can change the number of rounds.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod borrower;
#[cfg(target_os = "none")]
mod lender;

/// What both sides agree on.
#[cfg(target_os = "none")]
mod terms {
    use core::sync::atomic::Ordering;
    use runtime::abi::capability::{IN_PROGRESS, label};
    use runtime::capability::{Registers, ask, invoke};
    use runtime::{Channel, calls};

    pub const BLOCK: u64 = 2 << 20;
    /// What is lent, in blocks: one for the borrower, the rest for its worker on the lent core.
    pub const BLOCKS: u64 = 32;
    /// The core that is lent.
    pub const LENT_CORE: u64 = 5;
    /// Bits of the CSpaces of borrowers and of their agents on the lent core; what is in them at first.
    pub const RADIX: u64 = 6;
    pub const PLAIN: u64 = 1;
    pub const SPACE: u64 = 2;
    pub const CORE: u64 = 3;
    pub const MEMORY: u64 = 4;
    /// Of the agent: the worker's code, time for the worker and its watcher, memory for what is not taken back at once.
    pub const CODE: u64 = 2;
    pub const TIME: u64 = 3;
    pub const TOOLS: u64 = 5;
    /// Of a keeper and a watcher: where faults come, and a reply.
    pub const FAULTS: u64 = 1;
    pub const REPLY: u64 = 2;
    /// Words of a channel: how far its writer is (of a keeper: faults seen), what the borrowers found that they must not.
    pub const STEP: usize = 600;
    pub const FOUND: usize = 601;

    pub fn told(channel: &Channel) -> u64 {
        channel.words()[STEP].load(Ordering::Acquire)
    }

    pub fn tell(own: &Channel, step: u64) {
        own.words()[STEP].store(step, Ordering::Release);
        own.ring();
    }

    pub fn pause() {
        calls::wait(calls::now() + 1000);
    }

    /// An invocation, made again while another core works on it.
    #[track_caller]
    pub fn done(address: u64, label: u64, arguments: &[u64]) {
        loop {
            let mut registers = Registers::new(address, arguments);
            invoke(label, &mut registers);
            match registers.status() {
                0 => return,
                IN_PROGRESS => pause(),
                e => panic!("capability {address}, label {label}: {e}"),
            }
        }
    }

    /// An invocation on the core whose capability is at `core`: the word of the answer.
    pub fn there(core: u64, address: u64, label: u64, arguments: &[u64]) -> Result<u64, i64> {
        let mut words = [0; 10];
        words[..2].copy_from_slice(&[address, label]);
        words[2..2 + arguments.len()].copy_from_slice(arguments);
        ask(core, label::REMOTE, &words)?;
        loop {
            let mut answer = Registers::new(core, &[]);
            invoke(label::INSPECT, &mut answer);
            match answer.status() {
                0 => return Ok(answer.word()),
                IN_PROGRESS => pause(),
                e => return Err(e),
            }
        }
    }

    /// The same while what it is about is still on its way: a thousand times at most.
    #[track_caller]
    pub fn arrives(core: u64, address: u64, label: u64, arguments: &[u64]) {
        let tried = (0..1000).any(|_| there(core, address, label, arguments).is_ok());
        assert!(tried, "core {core}: capability {address}, label {label} refused");
    }

    /// The same of what must take effect.
    #[track_caller]
    pub fn does(core: u64, address: u64, label: u64, arguments: &[u64]) {
        if let Err(e) = there(core, address, label, arguments) {
            panic!("core {core}: capability {address}, label {label}: {e}");
        }
    }
}

#[cfg(target_os = "none")]
mod guest {
    use crate::{borrower, lender};
    use runtime::Channel;
    use runtime::abi::bootinfo::{BootInfo, name_str};

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        let find = |name| Channel::find(boot, name).expect("channel");
        match name_str(&boot.name) {
            "lender" => lender::run(boot, &find),
            "first" => borrower::run(&find("first"), &find("lender"), 0),
            "second" => borrower::run(&find("second"), &find("lender"), 1),
            name => borrower::keep(&find(name)),
        }
    }
}
