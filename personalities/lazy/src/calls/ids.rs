//! User and group ids. Everybody is 0 and stays 0: "Threads" in `docs/linux-abi.md`.

use super::*;

/// Leaves an id as it is.
const SAME: u32 = u32::MAX;

impl<H: Hardware> Kernel<H> {
    /// setresuid and setresgid: `ids` as asked for; only 0 can be had.
    pub(super) fn sys_set_ids(&mut self, ids: &[u64]) -> CallResult {
        if ids.iter().all(|id| matches!(*id as u32, 0 | SAME)) { done(0) } else { Err(EPERM) }
    }

    /// Nobody has further groups.
    pub(super) fn sys_getgroups(&self, size: u64) -> CallResult {
        if (size as i32) < 0 { Err(EINVAL) } else { done(0) }
    }

    /// getresuid and getresgid.
    pub(super) fn sys_get_ids(&mut self, serial: u64, addresses: &[u64]) -> CallResult {
        for address in addresses {
            self.put(serial, *address, &0u32.to_le_bytes())?;
        }
        done(0)
    }
}
