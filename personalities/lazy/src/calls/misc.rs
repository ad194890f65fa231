//! What is left: limits, names, numbers.

use super::*;
use abi::turn::MEMORY_PAGES;

/// Bytes of `struct robust_list_head`.
pub(super) const ROBUST_LIST_SIZE: u64 = 24;

impl<H: Hardware> Kernel<H> {
    pub(super) fn sys_umask(&mut self, serial: u64, mask: u64) -> CallResult {
        let p = self.process_mut(serial)?;
        done(core::mem::replace(&mut p.umask, mask as u32 & 0o777).into())
    }

    pub(super) fn sys_set_tid_address(&mut self, serial: u64, address: u64) -> CallResult {
        let t = self.threads.get_mut(&serial).ok_or(ESRCH)?;
        t.clear_child_tid = address;
        done(t.tid.into())
    }

    pub(super) fn sys_set_robust_list(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[1] != ROBUST_LIST_SIZE {
            return Err(EINVAL);
        }
        self.threads.get_mut(&serial).ok_or(ESRCH)?.robust_list = a[0];
        done(0)
    }

    pub(super) fn sys_uname(&mut self, serial: u64, address: u64) -> CallResult {
        let mut out = [0; 65 * 6];
        let fields: [&[u8]; 6] = [b"Linux", b"tetrarch", b"6.1.0", b"#1 SMP Tetrarch", b"aarch64", b"(none)"];
        for (i, f) in fields.iter().enumerate() {
            out[i * 65..i * 65 + f.len()].copy_from_slice(f);
        }
        self.put(serial, address, &out)?;
        done(0)
    }

    pub(super) fn sys_sysinfo(&mut self, serial: u64, address: u64) -> CallResult {
        let mut out = [0; 112];
        let mut put = |at: usize, v: u64| out[at..at + 8].copy_from_slice(&v.to_le_bytes());
        put(0, self.clock().saturating_sub(self.boot_us) / 1_000_000);
        put(32, MEMORY_PAGES);
        put(40, MEMORY_PAGES - self.memory.charged);
        put(80, self.processes.len() as u64 & 0xffff);
        out[104..108].copy_from_slice(&4096u32.to_le_bytes());
        self.put(serial, address, &out)?;
        done(0)
    }

    pub(super) fn sys_getrandom(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        const RANDOM: u64 = 2;
        const INSECURE: u64 = 4;
        let [address, count, flags, ..] = *a;
        if flags & !7 != 0 || flags & (RANDOM | INSECURE) == RANDOM | INSECURE {
            return Err(EINVAL);
        }
        let count = count.min(if flags & RANDOM != 0 { 256 } else { 0x7fff_f000 });
        let space = self.space(serial)?;
        let n = self.memory.accessible(space, address, count, true);
        if n == 0 && count > 0 || self.memory.wants_turn {
            return Err(EFAULT);
        }
        let mut left = n;
        while left > 0 {
            let mut chunk = alloc::vec![0; left.min(4096) as usize];
            self.random(serial, &mut chunk);
            self.memory.write(space, address + (n - left), &chunk)?;
            left -= chunk.len() as u64;
        }
        done(n)
    }

    pub(super) fn sys_sched_getaffinity(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[1] < 8 || !a[1].is_multiple_of(8) {
            return Err(EINVAL);
        }
        self.named(serial, a[0])?;
        self.put(serial, a[2], &1u64.to_le_bytes())?;
        done(8)
    }

    /// The processes that getpriority and setpriority mean.
    fn meant(&self, serial: u64, which: u64, who: u64) -> Result<Vec<u64>> {
        let me = self.process(serial)?;
        let all = self.processes.values().filter(|p| !p.zombie);
        let found: Vec<u64> = match which as i32 {
            0 if who as i32 == 0 => alloc::vec![me.serial],
            0 => {
                let named = self.by_tid(who as u32).map(|t| t.process);
                all.filter(|p| Some(p.serial) == named).map(|p| p.serial).collect()
            }
            1 => {
                let group = if who as i32 == 0 { me.group } else { who as u32 };
                all.filter(|p| p.group == group).map(|p| p.serial).collect()
            }
            2 if who as i32 == 0 => all.map(|p| p.serial).collect(),
            2 => Vec::new(),
            _ => return Err(EINVAL),
        };
        if found.is_empty() { Err(ESRCH) } else { Ok(found) }
    }

    pub(super) fn sys_getpriority(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let all = self.meant(serial, a[0], a[1])?;
        let nice = all.iter().filter_map(|s| self.processes.get(s)).map(|p| p.nice).min().unwrap_or(0);
        done((20 - nice) as u64)
    }

    pub(super) fn sys_setpriority(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let nice = (a[2] as i32).clamp(-20, 19);
        for s in self.meant(serial, a[0], a[1])? {
            self.process_mut(s)?.nice = nice;
        }
        done(0)
    }

    pub(super) fn sys_prlimit64(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let [pid, resource, new, old, ..] = *a;
        let space = self.space(serial)?;
        let mut set = None;
        if new != 0 {
            set =
                Some((self.memory.read_u64(space, new)?, self.memory.read_u64(space, new.wrapping_add(8))?));
        }
        let target = self.named(serial, pid)?.serial;
        let resource = u64::from(resource as u32);
        if resource >= 16 {
            return Err(EINVAL);
        }
        let set_before = self.process(target)?.limits.get(&resource).copied();
        let before = set_before.unwrap_or_else(|| crate::process::limit_at_start(resource));
        if let Some((soft, hard)) = set {
            if soft > hard {
                return Err(EINVAL);
            }
            if hard > before.1 {
                return Err(EPERM);
            }
            self.process_mut(target)?.limits.insert(resource, (soft, hard));
        }
        if old != 0 {
            let bytes = [before.0.to_le_bytes(), before.1.to_le_bytes()].concat();
            self.put(serial, old, &bytes)?;
        }
        done(0)
    }

    pub(super) fn sys_prctl(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let space = self.space(serial)?;
        match a[0] as i32 {
            1 => {
                if a[1] > 64 {
                    return Err(EINVAL);
                }
                self.process_mut(serial)?.prctl[0] = a[1];
                done(0)
            }
            2 => {
                let signal = self.process(serial)?.prctl[0] as u32;
                self.put(serial, a[1], &signal.to_le_bytes())?;
                done(0)
            }
            3 => done(self.process(serial)?.prctl[1]),
            4 => {
                if a[1] > 1 {
                    return Err(EINVAL);
                }
                self.process_mut(serial)?.prctl[1] = a[1];
                done(0)
            }
            15 => {
                let name = self.read_name(space, a[1])?;
                self.threads.get_mut(&serial).ok_or(ESRCH)?.comm = name;
                done(0)
            }
            16 => {
                let mut name = self.threads.get(&serial).ok_or(ESRCH)?.comm.clone();
                name.resize(16, 0);
                self.put(serial, a[1], &name)?;
                done(0)
            }
            23 => {
                if a[1] <= 40 {
                    done(1)
                } else {
                    Err(EINVAL)
                }
            }
            38 => {
                if a[1] != 1 || a[2] != 0 || a[3] != 0 || a[4] != 0 {
                    return Err(EINVAL);
                }
                self.process_mut(serial)?.prctl[2] = 1;
                done(0)
            }
            39 => {
                if a[1] != 0 || a[2] != 0 || a[3] != 0 || a[4] != 0 {
                    return Err(EINVAL);
                }
                done(self.process(serial)?.prctl[2])
            }
            _ => Err(EINVAL),
        }
    }

    /// A name of at most 15 bytes; what follows is not looked at.
    fn read_name(&mut self, space: u32, address: u64) -> Result<Vec<u8>> {
        let mut name = Vec::new();
        while name.len() < 15 {
            let mut b = [0];
            self.memory.read(space, address.wrapping_add(name.len() as u64), &mut b)?;
            if b[0] == 0 {
                break;
            }
            name.push(b[0]);
        }
        Ok(name)
    }
}
