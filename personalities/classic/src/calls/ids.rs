//! User and group ids. There is one of each, 0, as in a user namespace that maps nothing else: others are EINVAL.

use super::Call;
use crate::errno::{EINVAL, Errno};
use crate::kernel::Kernel;
use crate::machine::Machine;

/// All of `ids` are 0, or -1 ("as it is").
fn known(ids: &[u64]) -> Result<i64, Errno> {
    if ids.iter().all(|&id| matches!(id as u32, 0 | u32::MAX)) { Ok(0) } else { Err(EINVAL) }
}

/// setuid, setgid: -1 is no id here.
pub(super) fn set_one<M: Machine>(_: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    if c.args[0] as u32 == 0 { Ok(0) } else { Err(EINVAL) }
}

/// setreuid, setregid.
pub(super) fn set_two<M: Machine>(_: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    known(&c.args[..2])
}

/// setresuid, setresgid.
pub(super) fn set_three<M: Machine>(_: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    known(&c.args[..3])
}

/// getresuid, getresgid: the first address that cannot be written ends it.
pub(super) fn get_three<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    c.args[..3].iter().try_for_each(|&at| k.write_user(c.serial, at, &[0; 4]))?;
    Ok(0)
}
