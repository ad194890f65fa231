//! A C header made from `abi/`, for kernels and services in other languages: numbers, addresses, the boot page and the stub of a call.
//! The structs are checked against the offsets that Rust has, by the C compiler.

use abi::bootinfo::{self, *};
use abi::capability::{self, kind, label, map, root};
use abi::hypercall::{self, Call, Error, Inject};
use core::mem::{offset_of, size_of};
use std::fmt::Write;

const TOP: &str = "\
/* Made by `cargo xtask header` from abi/. What it means: docs/interfaces.md, docs/capabilities.md. */
#ifndef TETRARCH_H
#define TETRARCH_H
#include <stddef.h>
#include <stdint.h>

";

const STRUCTS: &str = "
struct tetrarch_run { uint64_t voters, cold; uint32_t quorum, grace_ms, stuck_ms, digest_interval; uint64_t start_time_us; uint32_t iteration, snapshot_interval, hang_ms, spare; };
struct tetrarch_channel { char name[16]; uint64_t ipa, size; uint32_t role, stream, writer, reserved; };
struct tetrarch_module { char name[16]; uint64_t ipa, size; };
struct tetrarch_device { char name[16]; uint64_t ipa, size; uint32_t intid, reserved; };
struct tetrarch_memory { uint64_t base, size; };

/* The boot page; x0 is its address at the start. Names are padded with zeros, and not ended by one if they are 16 long. */
struct tetrarch_boot {
\tuint64_t magic;
\tuint32_t domain, domains;
\tchar name[16];
\tuint64_t memory_size, image_end, counter_hz;
";

const STUB: &str = "
/* x0 to x7 and x9 to x16 of a call. */
struct tetrarch_registers { uint64_t x[8], y[8]; };

/* A call: HVC from a kernel, SVC from a service. EL2 keeps all other registers. */
#define TETRARCH_CALL(instruction, number, r) do { \\
\tregister uint64_t x8 __asm__(\"x8\") = (number); \\
\tregister struct tetrarch_registers *x17 __asm__(\"x17\") = (r); \\
\t__asm__ volatile( \\
\t\t\"ldp x0, x1, [x17, #0]\\n\" \\
\t\t\"ldp x2, x3, [x17, #16]\\n\" \\
\t\t\"ldp x4, x5, [x17, #32]\\n\" \\
\t\t\"ldp x6, x7, [x17, #48]\\n\" \\
\t\t\"ldp x9, x10, [x17, #64]\\n\" \\
\t\t\"ldp x11, x12, [x17, #80]\\n\" \\
\t\t\"ldp x13, x14, [x17, #96]\\n\" \\
\t\t\"ldp x15, x16, [x17, #112]\\n\" \\
\t\tinstruction \" #0\\n\" \\
\t\t\"stp x0, x1, [x17, #0]\\n\" \\
\t\t\"stp x2, x3, [x17, #16]\\n\" \\
\t\t\"stp x4, x5, [x17, #32]\\n\" \\
\t\t\"stp x6, x7, [x17, #48]\\n\" \\
\t\t\"stp x9, x10, [x17, #64]\\n\" \\
\t\t\"stp x11, x12, [x17, #80]\\n\" \\
\t\t\"stp x13, x14, [x17, #96]\\n\" \\
\t\t\"stp x15, x16, [x17, #112]\\n\" \\
\t\t: : \"r\"(x8), \"r\"(x17) : \"x0\", \"x1\", \"x2\", \"x3\", \"x4\", \"x5\", \"x6\", \"x7\", \"x9\", \"x10\", \"x11\", \"x12\", \"x13\", \"x14\", \"x15\", \"x16\", \"memory\"); \\
} while (0)

#endif
";

fn number(out: &mut String, name: &str, value: u64) {
    let _ = writeln!(out, "#define TETRARCH_{name} {value:#x}ull");
}

fn signed(out: &mut String, name: &str, value: i64) {
    let _ = writeln!(out, "#define TETRARCH_{name} ({value})");
}

/// `THIS` from `This`.
fn capitals(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if i > 0 && c.is_uppercase() {
            out.push('_');
        }
        out.extend(c.to_uppercase());
    }
    out
}

/// Names and values of constants of a module.
macro_rules! constants {
    ($out:expr, $prefix:literal, $module:ident, $($name:ident)*) => {
        $( number($out, concat!($prefix, stringify!($name)), u64::from($module::$name)); )*
    };
}

/// The header.
pub fn header() -> String {
    let mut out = String::from(TOP);
    let o = &mut out;
    (0..64)
        .filter_map(Call::from_number)
        .for_each(|c| number(o, &format!("CALL_{}", capitals(&format!("{c:?}"))), c as u64));
    use Error::*;
    for e in [UnknownCall, BadArgument, BadAddress, Denied, Exhausted] {
        signed(o, &format!("ERROR_{}", capitals(&format!("{e:?}"))), e as i64);
    }
    Inject::ALL
        .into_iter()
        .for_each(|i| number(o, &format!("INJECT_{}", capitals(&format!("{i:?}"))), i as u64));
    constants!(o, "", hypercall, TEXT_MAX NOTIFY_IRQ NOTIFY_DOMAIN DOORBELL_INTID TIMER_INTID);
    constants!(o, "", bootinfo, CPU_INTERFACE_IPA BOOTINFO_IPA STATUS_IPA POSITION_IPA PEER_POSITION_IPA CHANNEL_IPA
        CHANNELS_SIZE MEMORY_IPA MODULE_IPA BOOTINFO_MAGIC ROLE_NONE ROLE_WRITER ROLE_READER);
    constants!(o, "", capability, INVOKE MESSAGE MESSAGE_WITH_CAPABILITY SIGNAL WIDE BUFFER_WORDS FAULT_RETRY FAULT_SKIP);
    [
        ("DONE", capability::DONE),
        ("IN_PROGRESS", capability::IN_PROGRESS),
        ("ERROR_BASE", capability::ERROR_BASE),
        ("ABORTED", capability::ABORTED),
    ]
    .into_iter()
    .for_each(|(name, value)| signed(o, name, value));
    constants!(o, "LABEL_", label, COPY MINT MOVE MUTATE ROTATE DELETE REVOKE CANCEL_BADGED_SENDS RETYPE MAP UNMAP SEND NB_SEND CALL
        RECV NB_RECV REPLY_RECV SIGNAL WAIT POLL BIND UNBIND CONFIGURE RESUME SUSPEND ACKNOWLEDGE CARVE LEASE SEAT SEAL ENDORSE
        INSPECT REMOTE SERVE WRITE_REGISTERS RESTART);
    constants!(o, "KIND_", kind, UNTYPED CNODE ENDPOINT NOTIFICATION REPLY FRAME PAGE_TABLE SPACE DOMAIN GATE);
    constants!(o, "MAP_", map, READ WRITE NO_EXECUTE);
    constants!(o, "ROOT_", root, RADIX CNODE CORE OTHER_CORES DOMAINS SPACES CONTEXTS UNTYPED MEMORY FREE IRQS);
    out.push_str(STRUCTS);
    boot_page(&mut out);
    out.push_str(STUB);
    out
}

fn boot_page(out: &mut String) {
    let gap = |out: &mut String, name: &str, from: usize, to: usize| {
        if to > from {
            let _ = writeln!(out, "\tuint8_t {name}[{}];", to - from);
        }
    };
    let run = offset_of!(BootInfo, run);
    gap(out, "reserved_before_run", offset_of!(BootInfo, counter_hz) + 8, run);
    let _ = writeln!(out, "\tstruct tetrarch_run run;");
    let entropy = offset_of!(BootInfo, entropy);
    gap(out, "reserved_before_entropy", run + size_of::<RunParameters>(), entropy);
    let _ = writeln!(out, "\tuint8_t entropy[32];");
    let names = offset_of!(BootInfo, domain_names);
    gap(out, "reserved_before_names", entropy + 32, names);
    let _ = writeln!(out, "\tchar domain_names[{DOMAINS_MAX}][16];");
    let rows = [
        (
            "struct tetrarch_channel channels",
            CHANNELS_MAX,
            offset_of!(BootInfo, channels),
            size_of::<ChannelInfo>(),
        ),
        (
            "struct tetrarch_module modules",
            MODULES_MAX,
            offset_of!(BootInfo, modules),
            size_of::<ModuleInfo>(),
        ),
        (
            "struct tetrarch_device devices",
            DEVICES_MAX,
            offset_of!(BootInfo, devices),
            size_of::<DeviceInfo>(),
        ),
        (
            "struct tetrarch_memory untyped",
            UNTYPED_MAX,
            offset_of!(BootInfo, untyped),
            size_of::<MemoryInfo>(),
        ),
    ];
    let mut end = names + DOMAINS_MAX * NAME_MAX;
    for (n, (row, count, at, size)) in rows.into_iter().enumerate() {
        gap(out, &format!("reserved_{n}"), end, at);
        let _ = writeln!(out, "\t{row}[{count}];");
        end = at + count * size;
    }
    let _ = writeln!(out, "}};");
    for (name, at) in [
        ("domain", offset_of!(BootInfo, domain)),
        ("memory_size", offset_of!(BootInfo, memory_size)),
        ("run", run),
        ("entropy", entropy),
        ("domain_names", names),
        ("channels", offset_of!(BootInfo, channels)),
        ("devices", offset_of!(BootInfo, devices)),
        ("untyped", offset_of!(BootInfo, untyped)),
    ] {
        let _ = writeln!(out, "_Static_assert(offsetof(struct tetrarch_boot, {name}) == {at}, \"{name}\");");
    }
}
