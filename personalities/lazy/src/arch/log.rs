//! Logs: `docs/logs.md`. A text's number is the low 16 bits of an address; the virtual base is a multiple of 2 MiB (`boot.rs`), so it stays what it is.

use lazy::hw::Event;

/// One record.
pub fn note(event: Event<'_>) {
    match event {
        Event::Forked(pid, parent) => defmt::info!("pid {=u32} begins, child of serial {=u64}", pid, parent),
        Event::Executes(pid, path) => {
            defmt::info!("pid {=u32} executes {=str}", pid, core::str::from_utf8(path).unwrap_or("?"))
        }
        Event::Ended(pid, status) => defmt::info!("pid {=u32} ended, status {=i32:#x}", pid, status),
        Event::Handles(pid, signal) => defmt::info!("pid {=u32} handles signal {=u32}", pid, signal),
        Event::Stops(pid, signal) => defmt::info!("pid {=u32} stops by signal {=u32}", pid, signal),
        Event::Stuck(thread, call) => defmt::warn!("thread {=u64} is stuck before call {=u64}", thread, call),
        Event::Skipped(thread, call) => defmt::warn!("thread {=u64} skipped at call {=u64}", thread, call),
        Event::WantsBack(thread) => defmt::info!("thread {=u64} asks to rejoin", thread),
        Event::Rejoins(thread) => defmt::info!("thread {=u64} rejoins", thread),
        Event::Passed(s, call) => defmt::debug!("sync point {=u64} passed before call {=u64}", s, call),
    }
}
