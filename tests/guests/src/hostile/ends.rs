//! Attempts that EL2 answers with the end of the kernel: another one in each life.

use core::arch::asm;
use runtime::abi::bootinfo::{
    BOOTINFO_IPA, BootInfo, DEVICE_IPA, MEMORY_IPA, MODULE_IPA, ROLE_NONE, ROLE_READER, STATUS_IPA,
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

/// The first channel that it reads.
fn read(boot: &BootInfo) -> u64 {
    boot.channels.iter().find(|c| c.role == ROLE_READER).map_or(0, |c| c.ipa)
}

/// The first channel that is none of its own behind one that is: they lie in a row.
fn others(boot: &BootInfo) -> u64 {
    let mut pairs = boot.channels.iter().zip(boot.channels.iter().skip(1));
    let found = pairs.find(|(own, other)| own.role != ROLE_NONE && other.role == ROLE_NONE);
    found.map_or(0, |(own, _)| own.ipa + own.size)
}

type End = (&'static str, fn(&BootInfo));

const ENDS: [End; 12] = [
    ("vectors where nothing is", |_| {
        // SAFETY: what comes after is the end of this kernel.
        unsafe { asm!("msr vbar_el1, {}", "isb", "udf #1", in(reg) 0x3_0000_0000u64, options(nostack)) }
    }),
    ("a store into a replica's ring", |b| store(read(b) + 600 * 8)),
    ("a load where another kernel's memory lies", |_| load(0x6000_0000)),
    ("a load behind its memory", |b| load(MEMORY_IPA + b.memory_size)),
    ("a store into the table of states", |_| store(STATUS_IPA)),
    ("a store into the root image", |_| store(MODULE_IPA)),
    ("a store into its boot page", |_| store(BOOTINFO_IPA)),
    ("a load from a ring that it does not read", |b| load(others(b))),
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
