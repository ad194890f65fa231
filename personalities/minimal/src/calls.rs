//! The system calls: what a static program makes that computes and prints.

use crate::Machine;
use crate::kernel::{Ended, Kernel};
use abi::layout::{TASK_SIZE, random_bytes};
use abi::linux::nr;
use abi::turn::{FDS_MAX, TTY_SLICE};
use abi::vote::EffectKind;
use alloc::vec;
use alloc::vec::Vec;

pub(crate) const EBADF: u64 = -9i64 as u64;
pub(crate) const ENOMEM: u64 = -12i64 as u64;
const EFAULT: u64 = -14i64 as u64;
pub(crate) const EINVAL: u64 = -22i64 as u64;
const ENOTTY: u64 = -25i64 as u64;
const ERANGE: u64 = -34i64 as u64;
const ENOSYS: u64 = -38i64 as u64;

const SIGNALS: u64 = 64;
/// SIGKILL and SIGSTOP cannot be blocked.
const UNBLOCKABLE: u64 = 1 << 8 | 1 << 18;
const VECTOR_MAX: u64 = 1024;
const EXE: &[u8; 15] = b"/proc/self/exe\0";

impl<M: Machine> Kernel<M> {
    /// A call that takes effect at once.
    pub(crate) fn private(&mut self, number: u64, a: &[u64; 6]) -> u64 {
        match number {
            nr::getpid | nr::gettid | nr::set_tid_address => 1,
            nr::getuid | nr::geteuid | nr::getgid | nr::getegid | nr::getgroups => 0,
            nr::set_robust_list => {
                if a[1] == 24 {
                    0
                } else {
                    EINVAL
                }
            }
            nr::sigaltstack => self.sigaltstack(a[0], a[1]),
            nr::getrandom => self.getrandom(a[0], a[1]),
            nr::uname => self.uname(a[0]),
            nr::munmap => self.munmap(a[0], a[1]),
            nr::madvise => self.madvise(a[0], a[1], a[2]),
            _ => self.not_offered(number),
        }
    }

    pub(crate) fn not_offered(&mut self, number: u64) -> u64 {
        self.unknown(number);
        ENOSYS
    }

    /// The call whose turn it is.
    pub(crate) fn perform(&mut self) -> Ended {
        let (number, a) = self.arguments();
        Ended::Done(match number {
            nr::write => return self.write(a[0], &[(a[1], a[2])]),
            nr::writev => {
                return match self.vector(a[1], a[2]) {
                    Ok(parts) => self.write(a[0], &parts),
                    Err(e) => Ended::Done(e),
                };
            }
            nr::exit | nr::exit_group => return Ended::Exit((a[0] as i32 & 0xff) << 8),
            nr::brk | nr::mmap | nr::mprotect => self.memory(number, &a, true).unwrap_or(ENOMEM),
            nr::close => {
                if self.process.descriptors.remove(&a[0]) {
                    0
                } else {
                    EBADF
                }
            }
            nr::getppid => 0,
            nr::getcwd => self.getcwd(a[0], a[1]),
            nr::readlinkat => self.readlinkat(a[1], a[2], a[3]),
            nr::ioctl => self.ioctl(a[0], a[1], a[2]),
            nr::prlimit64 => self.prlimit(a[1], a[2], a[3]),
            nr::rt_sigaction => self.sigaction(&a),
            nr::rt_sigprocmask => self.sigprocmask(&a),
            nr::prctl => self.prctl(a[0], a[1]),
            nr::clock_gettime => self.clock_gettime(a[0], a[1]),
            _ => self.not_offered(number),
        })
    }

    /// A fault at its turn: process 1 dies of it.
    pub(crate) fn fault(&mut self, signal: u8) -> Ended {
        if self.process.actions.get(&signal.into()).is_some_and(|action| action[0] > 1) {
            self.m.say(format_args!("minimal: signal {signal} has a handler, which this kernel cannot call"));
        }
        Ended::Exit(signal.into())
    }

    fn give(&mut self, address: u64, bytes: &[u8]) -> u64 {
        self.space.write(address, bytes, &mut self.m).map_or(EFAULT, |()| 0)
    }

    fn words<const N: usize>(&mut self, address: u64) -> Option<[u64; N]> {
        let mut bytes = vec![0; N * 8];
        (self.space.read(address, &mut bytes, &mut self.m) == bytes.len()).then_some(())?;
        let mut words = bytes.chunks_exact(8).map(|c| c.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b)));
        Some(core::array::from_fn(|_| words.next().unwrap_or(0)))
    }

    fn vector(&mut self, address: u64, count: u64) -> Result<Vec<(u64, u64)>, u64> {
        if count > VECTOR_MAX {
            return Err(EINVAL);
        }
        let mut parts = Vec::new();
        for i in 0..count {
            let [start, length] = self.words(address.wrapping_add(i * 16)).ok_or(EFAULT)?;
            if length > i64::MAX as u64 {
                return Err(EINVAL);
            }
            parts.push((start, length));
        }
        Ok(parts)
    }

    /// A write to the terminal, a slice a call.
    fn write(&mut self, fd: u64, parts: &[(u64, u64)]) -> Ended {
        if !self.process.descriptors.contains(&fd) {
            return Ended::Done(EBADF);
        }
        let total = parts.iter().fold(0u64, |t, p| t.saturating_add(p.1));
        if parts.iter().any(|p| p.0.checked_add(p.1).is_none_or(|end| end > TASK_SIZE)) {
            return Ended::Done(EFAULT);
        }
        let done = self.process.written;
        let (mut slice, mut skip) = (Vec::new(), done);
        for &(start, length) in parts {
            let from = skip.min(length);
            skip -= from;
            let want = ((length - from) as usize).min(TTY_SLICE - slice.len());
            let mut bytes = vec![0; want];
            let got = self.space.read(start + from, &mut bytes, &mut self.m);
            slice.extend_from_slice(&bytes[..got]);
            if got < want {
                break;
            }
        }
        if slice.is_empty() {
            self.process.written = 0;
            return Ended::Done(if done > 0 || total == 0 { done } else { EFAULT });
        }
        self.effect(EffectKind::TtyOutput, &slice);
        self.process.written = done + slice.len() as u64;
        if slice.len() == TTY_SLICE && self.process.written < total {
            return Ended::Again;
        }
        Ended::Done(core::mem::take(&mut self.process.written))
    }

    fn getrandom(&mut self, address: u64, count: u64) -> u64 {
        let mut done = 0u64;
        while done < count {
            let mut bytes = [0; 256];
            let part = &mut bytes[..(count - done).min(256) as usize];
            random_bytes(&self.seed, 1, self.process.random, part);
            let length = part.len() as u64;
            if self.give(address.wrapping_add(done), part) != 0 {
                return if done > 0 { done } else { EFAULT };
            }
            (done, self.process.random) = (done + length, self.process.random + length);
        }
        done
    }

    fn uname(&mut self, address: u64) -> u64 {
        let mut out = [0; 6 * 65];
        let fields = ["Linux", "tetrarch", "6.1.0", "#1 SMP Tetrarch", "aarch64", "(none)"];
        for (field, text) in out.chunks_exact_mut(65).zip(fields) {
            field[..text.len()].copy_from_slice(text.as_bytes());
        }
        self.give(address, &out)
    }

    fn sigaltstack(&mut self, new: u64, old: u64) -> u64 {
        let before = self.process.alternate_stack;
        if new != 0 {
            let Some([sp, flags, size]) = self.words::<3>(new) else { return EFAULT };
            match flags as u32 {
                0 | 1 if size < 5120 => return ENOMEM,
                0 | 1 => self.process.alternate_stack = [sp, 0, size],
                2 => self.process.alternate_stack = [0, 2, 0],
                _ => return EINVAL,
            }
        }
        if old == 0 { 0 } else { self.give(old, &bytes(&before)) }
    }

    fn getcwd(&mut self, address: u64, size: u64) -> u64 {
        if size < 2 {
            return ERANGE;
        }
        if self.give(address, b"/\0") == 0 { 2 } else { EFAULT }
    }

    /// Of all files only the program is known.
    fn readlinkat(&mut self, path: u64, address: u64, size: u64) -> u64 {
        let mut name = [0; EXE.len()];
        if self.space.read(path, &mut name, &mut self.m) < name.len() || name != *EXE {
            return self.not_offered(nr::readlinkat);
        }
        if size as i32 <= 0 {
            return EINVAL;
        }
        let length = self.program.len().min(size as usize);
        let text = self.program[..length].to_vec();
        if self.give(address, &text) == 0 { length as u64 } else { EFAULT }
    }

    fn ioctl(&mut self, fd: u64, request: u64, address: u64) -> u64 {
        if !self.process.descriptors.contains(&fd) {
            return EBADF;
        }
        match request {
            0x5401 => {
                let modes = self.modes.clone();
                self.give(address, &modes)
            }
            0x5413 => {
                let [rows, columns] = self.size.map(u16::to_le_bytes);
                self.give(address, &[rows[0], rows[1], columns[0], columns[1], 0, 0, 0, 0])
            }
            0x540f => self.give(address, &1u32.to_le_bytes()),
            _ => ENOTTY,
        }
    }

    fn prlimit(&mut self, resource: u64, new: u64, old: u64) -> u64 {
        let limit = match resource {
            3 => [8 << 20, u64::MAX],
            4 => [0, u64::MAX],
            6 => [128, 128],
            7 => [FDS_MAX as u64; 2],
            0..16 => [u64::MAX; 2],
            _ => return EINVAL,
        };
        if new != 0 {
            return self.not_offered(nr::prlimit64);
        }
        if old == 0 { 0 } else { self.give(old, &bytes(&limit)) }
    }

    fn sigaction(&mut self, a: &[u64; 6]) -> u64 {
        let [signal, new, old, size, ..] = *a;
        if size != 8 || signal == 0 || signal > SIGNALS || new != 0 && UNBLOCKABLE >> (signal - 1) & 1 == 1 {
            return EINVAL;
        }
        let before = self.process.actions.get(&signal).copied().unwrap_or_default();
        if new != 0 {
            let Some([handler, flags, restorer, mask]) = self.words::<4>(new) else { return EFAULT };
            self.process.actions.insert(signal, [handler, flags, restorer, mask & !UNBLOCKABLE]);
        }
        if old == 0 { 0 } else { self.give(old, &bytes(&before)) }
    }

    fn sigprocmask(&mut self, a: &[u64; 6]) -> u64 {
        let [how, new, old, size, ..] = *a;
        if size != 8 {
            return EINVAL;
        }
        let before = self.process.mask;
        if new != 0 {
            let Some([set]) = self.words::<1>(new) else { return EFAULT };
            self.process.mask = !UNBLOCKABLE
                & match how {
                    0 => before | set,
                    1 => before & !set,
                    2 => set,
                    _ => return EINVAL,
                };
        }
        if old == 0 { 0 } else { self.give(old, &before.to_le_bytes()) }
    }

    fn prctl(&mut self, option: u64, argument: u64) -> u64 {
        const NAME: usize = 16;
        match option {
            // PR_SET_NAME: what is longer is cut.
            15 => {
                let mut name = [0; NAME];
                let read = self.space.read(argument, &mut name[..NAME - 1], &mut self.m);
                let end = name.iter().position(|&b| b == 0).unwrap_or(NAME);
                if end == read && read < NAME - 1 {
                    return EFAULT;
                }
                name[end.min(NAME)..].fill(0);
                self.process.name = name;
                0
            }
            // PR_GET_NAME.
            16 => {
                let name = self.process.name;
                self.give(argument, &name)
            }
            // PR_GET_DUMPABLE, PR_CAPBSET_READ.
            3 | 23 => 1,
            _ => self.not_offered(nr::prctl),
        }
    }

    fn clock_gettime(&mut self, clock: u64, address: u64) -> u64 {
        if clock != 0 {
            return self.not_offered(nr::clock_gettime);
        }
        let now = self.clock();
        self.give(address, &bytes(&[now / 1_000_000, now % 1_000_000 * 1000]))
    }
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}
