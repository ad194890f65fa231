//! /dev: a fixed, read-only directory.

use super::Ino;
use super::linux::*;

/// The inode of /dev; its entries follow in order.
pub const DEV: Ino = 1 << 32;

/// What a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Reads nothing, takes everything.
    Null,
    /// Reads zero bytes.
    Zero,
    /// Reads zero bytes, takes nothing.
    Full,
    /// Reads the process' random stream.
    Random,
    /// The terminal, by the name of the controlling terminal.
    ControllingTty,
    /// The terminal, by a name that never makes it the controlling terminal.
    Console,
    /// The terminal.
    Tty,
}

/// What stands in /dev.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// A device: its number and permissions.
    Node(u64, u32),
    /// A symbolic link.
    Link(&'static [u8]),
}

/// The entries, in the order of getdents64.
pub const ENTRIES: [(&[u8], Entry); 12] = [
    (b"null", Entry::Node(rdev(1, 3), 0o666)),
    (b"zero", Entry::Node(rdev(1, 5), 0o666)),
    (b"full", Entry::Node(rdev(1, 7), 0o666)),
    (b"random", Entry::Node(rdev(1, 8), 0o666)),
    (b"urandom", Entry::Node(rdev(1, 9), 0o666)),
    (b"tty", Entry::Node(rdev(5, 0), 0o666)),
    (b"console", Entry::Node(rdev(5, 1), 0o600)),
    (b"ttyAMA0", Entry::Node(rdev(204, 64), 0o600)),
    (b"fd", Entry::Link(b"/proc/self/fd")),
    (b"stdin", Entry::Link(b"/proc/self/fd/0")),
    (b"stdout", Entry::Link(b"/proc/self/fd/1")),
    (b"stderr", Entry::Link(b"/proc/self/fd/2")),
];

/// The inode of /dev/console.
pub const CONSOLE: Ino = DEV + 7;

/// The entry with inode `ino`.
pub fn entry(ino: Ino) -> Option<&'static (&'static [u8], Entry)> {
    ENTRIES.get(ino.checked_sub(DEV + 1)? as usize)
}

/// The inode of `name`.
pub fn lookup(name: &[u8]) -> Option<Ino> {
    ENTRIES.iter().position(|(n, _)| *n == name).map(|i| DEV + 1 + i as u64)
}

/// The character device with this number.
pub fn device(number: u64) -> Option<Device> {
    Some(match number {
        n if n == rdev(1, 3) => Device::Null,
        n if n == rdev(1, 5) => Device::Zero,
        n if n == rdev(1, 7) => Device::Full,
        n if n == rdev(1, 8) || n == rdev(1, 9) => Device::Random,
        n if n == rdev(5, 0) => Device::ControllingTty,
        n if n == rdev(5, 1) => Device::Console,
        n if n == rdev(204, 64) => Device::Tty,
        _ => return None,
    })
}
