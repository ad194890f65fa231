//! A kernel that says nothing wrong but one thing: its report of the first sync point is not what happened. It puts nothing out, and goes on living.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use ipc::{BroadcastWriter, Send};
    use runtime::Channel;
    use runtime::abi::bootinfo::{BootInfo, ROLE_WRITER, name_str};
    use runtime::abi::vote::{NO_DEADLINE, Vote};

    /// More calls than anybody makes before the first sync point.
    const CALLS: u64 = 1 << 20;

    #[unsafe(no_mangle)]
    extern "C" fn kernel_main(boot: &'static BootInfo) -> ! {
        let mut own = boot.channels.iter().filter(|c| c.role == ROLE_WRITER).map(|c| name_str(&c.name));
        let effects = own.find(|name| name.starts_with("effects-"));
        let Some(channel) = effects.and_then(|name| Channel::find(boot, name)) else {
            panic!("this kernel has no channel for its effects")
        };
        let Some(mut ring) = BroadcastWriter::new(channel.words()) else { panic!("its ring is too small") };
        let report = Vote::Passed {
            s: 0,
            call: CALLS,
            effects: 0,
            runnable: true,
            deadline_us: NO_DEADLINE,
            state: None,
        };
        if ring.send(&report, &mut [0; 128]).is_err() {
            panic!("a report does not fit its ring")
        }
        channel.ring();
        loop {
            runtime::wait(u64::MAX);
        }
    }
}
