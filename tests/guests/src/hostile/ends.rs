//! Attempts that EL2 answers with the end of the kernel: another one in each life.

use core::arch::asm;
use runtime::abi::bootinfo::{
    BOOTINFO_IPA, BootInfo, CHANNEL_IPA, CHANNEL_STRIDE, DEVICE_IPA, MEMORY_IPA, MODULE_IPA, ROLE_NONE,
    ROLE_READER, STATUS_IPA,
};
use runtime::say;

fn load(address: u64) {
    let got: u64;
    // SAFETY: nothing is mapped there; what is would be the finding.
    unsafe { asm!("ldr {got}, [{at}]", at = in(reg) address, got = out(reg) got, options(nostack)) };
    say!("hostile: WRONG load: {address:#x} holds {got:#x}");
}

fn store(address: u64) {
    // SAFETY: nothing is mapped there, or nothing that this kernel may change; a store that comes to pass is the finding.
    unsafe { asm!("str xzr, [{at}]", at = in(reg) address, options(nostack)) };
    say!("hostile: WRONG store: {address:#x} could be written");
}

/// The first channel of that role.
fn channel(boot: &BootInfo, role: u32) -> u64 {
    let place = boot.channels.iter().position(|c| c.role == role);
    CHANNEL_IPA + place.unwrap_or(0) as u64 * CHANNEL_STRIDE
}

type End = (&'static str, fn(&BootInfo));

const ENDS: [End; 12] = [
    ("vectors where nothing is", |_| {
        // SAFETY: what comes after is the end of this kernel.
        unsafe { asm!("msr vbar_el1, {}", "isb", "udf #1", in(reg) 0x3_0000_0000u64, options(nostack)) }
    }),
    ("a store into a replica's ring", |b| store(channel(b, ROLE_READER) + 600 * 8)),
    ("a load where another kernel's memory lies", |_| load(0x6000_0000)),
    ("a load behind its memory", |b| load(MEMORY_IPA + b.memory_size)),
    ("a store into the table of states", |_| store(STATUS_IPA)),
    ("a store into the root image", |_| store(MODULE_IPA)),
    ("a store into its boot page", |_| store(BOOTINFO_IPA)),
    ("a load from a ring that it does not read", |b| load(channel(b, ROLE_NONE))),
    ("the UART", |_| store(0x0900_0000)),
    ("the distributor", |_| store(0x0800_0000)),
    ("a device frame", |_| load(DEVICE_IPA)),
    ("EL2's memory", |_| load(0x1_0000_0000)),
];

/// This life's end; returns if there was none.
pub fn end(boot: &BootInfo, life: u64) {
    let (name, attempt) = ENDS[life.div_ceil(2) as usize % ENDS.len()];
    say!("hostile: life {life} ends with {name}");
    attempt(boot);
}
