//! The one place where a device frame becomes registers.

use abi::bootinfo::{BootInfo, DeviceInfo, name_str};

/// The registers of this domain's device `name`, and what the boot page says about it.
///
/// # Safety
/// 1. `T` is laid out as the registers of that kind of device, and fits in a page. 2. Access through `&T` is volatile and cannot
///    harm memory (a device without DMA).
pub unsafe fn of<T>(boot: &'static BootInfo, name: &str) -> Option<(&'static T, &'static DeviceInfo)> {
    const { assert!(core::mem::size_of::<T>() <= 4096) };
    let info = boot.devices.iter().find(|d| d.size != 0 && name_str(&d.name) == name)?;
    // SAFETY: (1) EL2 mapped the frame at this address, page-aligned, for as long as the domain lives; (2) the caller vouches for `T`.
    Some((unsafe { &*(info.ipa as *const T) }, info))
}
