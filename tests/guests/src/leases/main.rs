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
#[path = "../agents.rs"]
mod agents;
#[cfg(target_os = "none")]
mod borrower;
#[cfg(target_os = "none")]
mod lender;

/// What both sides agree on.
#[cfg(target_os = "none")]
mod terms {
    pub use crate::agents::*;

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
    /// Word of a channel: what the borrowers found that they must not. Of a keeper the step is how many faults it has seen.
    pub const FOUND: usize = 601;
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
