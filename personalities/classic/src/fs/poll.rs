//! ppoll and pselect6.

use super::file::{Kind, Open};
use super::linux::*;
use super::syscalls::{Answer, Call, Stop};
use super::{Fs, Outcome, WaitKey};
use crate::errno::*;
use crate::user::UserMemory;
use abi::turn::{FDS_MAX, PIPE_BUF};
use alloc::vec;
use alloc::vec::Vec;

impl Fs {
    /// What is ready on an open file description, in poll's bits.
    fn ready(&self, open: &Open) -> u32 {
        const ALWAYS: u32 = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
        match &open.kind {
            Kind::Pipe { pipe, read, write, seen } => {
                let Some(pipe) = self.pipes.get(pipe) else { return POLLERR };
                let mut bits = 0;
                if *read && !pipe.bytes.is_empty() {
                    bits |= POLLIN | POLLRDNORM;
                }
                if *read && pipe.writers == 0 && pipe.writers_ever != *seen {
                    bits |= POLLHUP;
                }
                if *write && pipe.room() >= PIPE_BUF {
                    bits |= POLLOUT | POLLWRNORM;
                }
                if *write && pipe.readers == 0 {
                    bits |= POLLERR;
                }
                bits
            }
            Kind::Tty if self.tty.readable() => ALWAYS,
            Kind::Tty => POLLOUT | POLLWRNORM,
            Kind::Path => POLLNVAL,
            _ => ALWAYS,
        }
    }

    /// What a poller of it waits for, whatever it asks.
    pub(super) fn keys(&self, open: &Open, on: &mut Vec<WaitKey>) {
        let (first, second) = match open.kind {
            Kind::Pipe { pipe, read, write, .. } => {
                (read.then_some(WaitKey::PipeRead(pipe)), write.then_some(WaitKey::PipeWrite(pipe)))
            }
            Kind::Tty => (Some(WaitKey::TtyRead), None),
            _ => (None, None),
        };
        for key in [first, second].into_iter().flatten() {
            if !on.contains(&key) {
                on.push(key);
            }
        }
    }

    pub(super) fn ppoll(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let deadline = deadline(call, call.args[2])?;
        let count = call.args[1] as u32 as usize;
        if count > call.caller.fds.limit {
            return Err(EINVAL.into());
        }
        let mut list = vec![0; count * 8];
        call.user.read(call.args[0], &mut list)?;
        if call.user.writable(call.args[0], list.len()) < list.len() {
            return Err(EFAULT.into());
        }
        let (mut found, mut on) = (0, Vec::new());
        for entry in list.chunks_exact_mut(8) {
            let fd = i32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let events = u32::from(u16::from_le_bytes([entry[4], entry[5]])) | POLLERR | POLLHUP;
            let bits = match self.real_file(call.caller.fds, fd) {
                _ if fd < 0 => 0,
                Err(_) => POLLNVAL,
                Ok((_, open)) => {
                    self.keys(open, &mut on);
                    self.ready(open) & events
                }
            };
            entry[6..8].copy_from_slice(&(bits as u16).to_le_bytes());
            found += i64::from(bits != 0);
        }
        wait(call, found, on, deadline, call.args[3] != 0)?;
        call.put(0, &list)?;
        remaining(call, call.args[2], deadline);
        Ok(found)
    }

    pub(super) fn pselect6(&mut self, call: &mut Call<'_, '_>) -> Answer {
        const IN: u32 = POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR;
        const OUT: u32 = POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR;
        let deadline = deadline(call, call.args[4])?;
        let count = usize::try_from(call.fd(0)).map_err(|_| EINVAL)?.min(FDS_MAX);
        let len = count.div_ceil(64) * 8;
        let mut asked = [[0u8; FDS_MAX / 8]; 3];
        for (set, address) in asked.iter_mut().zip(&call.args[1..4]) {
            if *address != 0 {
                call.user.read(*address, &mut set[..len])?;
                if call.user.writable(*address, len) < len {
                    return Err(EFAULT.into());
                }
            }
        }
        let mut result = [[0u8; FDS_MAX / 8]; 3];
        let (mut found, mut on) = (0, Vec::new());
        for fd in 0..count {
            let bit = 1 << (fd % 8);
            if asked.iter().all(|set| set[fd / 8] & bit == 0) {
                continue;
            }
            let (_, open) = self.real_file(call.caller.fds, fd as i32)?;
            self.keys(open, &mut on);
            let ready = self.ready(open);
            for (i, bits) in [IN, OUT, POLLPRI].into_iter().enumerate() {
                if asked[i][fd / 8] & bit != 0 && ready & bits != 0 {
                    result[i][fd / 8] |= bit;
                    found += 1;
                }
            }
        }
        wait(call, found, on, deadline, call.args[5] != 0)?;
        for (set, i) in result.iter().zip(1..4) {
            if call.args[i] != 0 {
                call.put(i, &set[..len])?;
            }
        }
        remaining(call, call.args[4], deadline);
        Ok(found)
    }
}

/// Until when a call waits, µs.
#[derive(Clone, Copy)]
struct Deadline {
    us: u64,
    /// The call is made for the first time.
    is_new: bool,
}

/// The deadline of a call whose timeout is at `address`; fixed when the call is first made.
fn deadline(call: &mut Call<'_, '_>, address: u64) -> Result<Option<Deadline>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let bytes: [u8; 16] = call.get(address)?;
    let word = |i: usize| bytes[i..i + 8].iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let (sec, nsec) = (word(0), word(8));
    if (sec as i64) < 0 || nsec >= 1_000_000_000 {
        return Err(EINVAL);
    }
    let us = sec.saturating_mul(1_000_000).saturating_add(nsec.div_ceil(1000));
    let until = call.caller.now_us.saturating_add(us);
    let is_new = call.caller.progress.deadline_us.is_none();
    Ok(Some(Deadline { us: *call.caller.progress.deadline_us.get_or_insert(until), is_new }))
}

/// Blocks if nothing was found and there is time left. One that has no time from the start, and may have a mask of its own, has not looked yet at what that
/// lets through.
fn wait(
    call: &Call<'_, '_>,
    found: i64,
    on: Vec<WaitKey>,
    deadline: Option<Deadline>,
    has_mask: bool,
) -> Result<(), Stop> {
    match deadline {
        _ if found > 0 => Ok(()),
        Some(d) if d.us <= call.caller.now_us && !(d.is_new && has_mask) => Ok(()),
        Some(d) if d.us <= call.caller.now_us => Err(Stop::Out(Outcome::Expired)),
        _ => Err(Stop::Out(Outcome::Block { on, deadline_us: deadline.map(|d| d.us) })),
    }
}

/// A signal ends a ppoll that waits: nothing is ready, and its list says so. An error: the list is not there any more.
pub(crate) fn write_no_revents(user: &mut dyn UserMemory, args: &[u64; 6]) -> Result<(), Errno> {
    let count = args[1] as u32 as usize;
    // A snapshot may tell of a ppoll that no kernel lets wait.
    if count > FDS_MAX {
        return Err(EINVAL);
    }
    let mut list = vec![0; count * 8];
    user.read(args[0], &mut list)?;
    for [.., low, high] in list.as_chunks_mut::<8>().0 {
        (*low, *high) = (0, 0);
    }
    user.write(args[0], &list)
}

/// Writes the time that is left over the timeout, where that can be written.
fn remaining(call: &mut Call<'_, '_>, address: u64, deadline: Option<Deadline>) {
    let Some(Deadline { us: until, .. }) = deadline else { return };
    let Ok(old) = call.get::<16>(address) else { return };
    if old == [0; 16] {
        return;
    }
    let left = until.saturating_sub(call.caller.now_us);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(left / 1_000_000).to_le_bytes());
    bytes[8..].copy_from_slice(&(left % 1_000_000 * 1000).to_le_bytes());
    // Linux ignores a timeout in read-only memory, too.
    let _ = call.user.write(address, &bytes);
}
