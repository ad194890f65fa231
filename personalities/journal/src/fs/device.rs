//! /dev: a fixed read-only directory.

/// Inode number of the directory; its entries follow.
pub const INODE: u64 = 1 << 32;
/// Position of devices in [`TABLE`].
pub const NULL: usize = 0;
#[allow(missing_docs)]
pub const ZERO: usize = 1;
#[allow(missing_docs)]
pub const FULL: usize = 2;
#[allow(missing_docs)]
pub const RANDOM: usize = 3;
#[allow(missing_docs)]
pub const URANDOM: usize = 4;
#[allow(missing_docs)]
pub const TTY: usize = 5;
#[allow(missing_docs)]
pub const CONSOLE: usize = 6;
#[allow(missing_docs)]
pub const SERIAL: usize = 7;

/// What an entry is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Major and minor number, permissions.
    Device(u64, u64, u32),
    /// A symbolic link.
    Link(&'static str),
}

/// Names and kinds, in order.
pub const TABLE: [(&str, Kind); 12] = [
    ("null", Kind::Device(1, 3, 0o666)),
    ("zero", Kind::Device(1, 5, 0o666)),
    ("full", Kind::Device(1, 7, 0o666)),
    ("random", Kind::Device(1, 8, 0o666)),
    ("urandom", Kind::Device(1, 9, 0o666)),
    ("tty", Kind::Device(5, 0, 0o666)),
    ("console", Kind::Device(5, 1, 0o600)),
    ("ttyAMA0", Kind::Device(204, 64, 0o600)),
    ("fd", Kind::Link("/proc/self/fd")),
    ("stdin", Kind::Link("/proc/self/fd/0")),
    ("stdout", Kind::Link("/proc/self/fd/1")),
    ("stderr", Kind::Link("/proc/self/fd/2")),
];

/// A device number as `st_rdev` has it.
pub fn number(major: u64, minor: u64) -> u64 {
    (major & 0xfff) << 8 | minor & 0xff | (minor & !0xff) << 12
}

/// The device with number `rdev`, wherever its node was made.
pub fn find(rdev: u64) -> Option<usize> {
    TABLE.iter().position(|(_, k)| matches!(k, Kind::Device(a, b, _) if number(*a, *b) == rdev))
}
