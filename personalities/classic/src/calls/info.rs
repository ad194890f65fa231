//! What the system says of itself, and chance.

use super::Call;
use crate::errno::{EFAULT, EINVAL, ESRCH, Errno};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::user::UserMemory;
use abi::layout::random_bytes;
use abi::turn::MEMORY_PAGES;

/// Calls whose answer is always 0.
pub(super) fn zero<M: Machine>(_: &mut Kernel<M>, _: &Call) -> Result<i64, Errno> {
    Ok(0)
}

pub(super) fn uname<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    const FIELD: usize = 65;
    let texts: [&[u8]; 6] = [b"Linux", b"tetrarch", b"6.1.0", b"#1 SMP Tetrarch", b"aarch64", b"(none)"];
    let mut b = [0; FIELD * 6];
    for (field, text) in b.chunks_exact_mut(FIELD).zip(texts) {
        field[..text.len()].copy_from_slice(text);
    }
    k.write_user(c.serial, c.args[0], &b)?;
    Ok(0)
}

pub(super) fn sysinfo<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let mut b = [0; 112];
    let uptime = (k.turns.clock_us() - k.turns.boot_us()) / 1_000_000;
    let processes = k.procs.len() as u16;
    b[..8].copy_from_slice(&uptime.to_le_bytes());
    b[32..40].copy_from_slice(&MEMORY_PAGES.to_le_bytes());
    b[40..48].copy_from_slice(&(MEMORY_PAGES - k.budget.charged).to_le_bytes());
    b[80..82].copy_from_slice(&processes.to_le_bytes());
    b[104..108].copy_from_slice(&4096u32.to_le_bytes());
    k.write_user(c.serial, c.args[0], &b)?;
    Ok(0)
}

const GRND_RANDOM: u64 = 2;
const GRND_INSECURE: u64 = 4;

pub(super) fn getrandom<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let [at, len, flags, ..] = c.args;
    let both = GRND_RANDOM | GRND_INSECURE;
    if flags & !7 != 0 || flags & both == both {
        return Err(EINVAL);
    }
    let most = if flags & GRND_RANDOM != 0 { 256 } else { i32::MAX as u64 };
    let len = len.min(most) as usize;
    let seed = k.start.seed;
    let mut offset = k.procs.get(&c.process).ok_or(ESRCH)?.random_offset;
    let mut view = k.view(c.serial).ok_or(EFAULT)?;
    let room = view.writable(at, len);
    if room == 0 && len > 0 {
        return Err(EFAULT);
    }
    let mut done = 0;
    let mut chunk = [0; 256];
    while done < room {
        let n = chunk.len().min(room - done);
        random_bytes(&seed, c.process, offset, &mut chunk[..n]);
        view.write(at + done as u64, &chunk[..n])?;
        done += n;
        offset += n as u64;
    }
    // A step outside a turn that met the end of its chunk is made again: nothing of it may remain.
    if !k.budget.wants_turn
        && let Some(p) = k.procs.get_mut(&c.process)
    {
        p.random_offset = offset;
    }
    Ok(done as i64)
}

pub(super) fn sched_getaffinity<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let [_, len, at, ..] = c.args;
    let len = len as u32;
    if len < 8 || !len.is_multiple_of(8) {
        return Err(EINVAL);
    }
    if c.int(0) != 0 && k.serial_of(c.int(0)).is_none() {
        return Err(ESRCH);
    }
    k.write_user(c.serial, at, &1u64.to_le_bytes())?;
    Ok(8)
}

pub(super) fn sched_priority_bound<M: Machine>(_: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let is_max = c.number == abi::linux::nr::sched_get_priority_max;
    match c.int(0) {
        0 | 3 | 5 => Ok(0),
        1 | 2 if is_max => Ok(99),
        1 | 2 => Ok(1),
        _ => Err(EINVAL),
    }
}
