//! User and group ids: there is one user and one group, 0.

use super::Call;
use crate::errno::{EINVAL, EPERM, Errno};
use crate::kernel::Kernel;
use crate::machine::Machine;

/// setresuid, setresgid: 0, and -1 ("as it is"), change nothing.
pub(super) fn set_three<M: Machine>(_: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let known = c.args[..3].iter().all(|&id| matches!(id as u32, 0 | u32::MAX));
    if known { Ok(0) } else { Err(EPERM) }
}

/// getresuid, getresgid: the first address that cannot be written ends it.
pub(super) fn get_three<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    c.args[..3].iter().try_for_each(|&at| k.write_user(c.serial, at, &[0; 4]))?;
    Ok(0)
}

/// There are none besides group 0, so that no size is too small; a negative one is EINVAL.
pub(super) fn getgroups<M: Machine>(_: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    if c.int(0) < 0 { Err(EINVAL) } else { Ok(0) }
}
