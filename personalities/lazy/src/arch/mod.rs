//! The board: everything of this kernel that is unsafe. Boot, the map of the kernel's own memory, traps, rings, time.

mod boot;
mod channels;
mod copy;
mod heap;
mod log;
mod machine;
