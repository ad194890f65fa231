//! /dev: a fixed directory.

/// Inode number of /dev.
pub const DEV: u64 = 1 << 32;
/// The terminal's nodes.
pub const TTY: u64 = DEV + 6;
/// The console.
pub const CONSOLE: u64 = DEV + 7;
/// The serial port.
pub const SERIAL: u64 = DEV + 8;

/// An entry of /dev: a device (number, permissions) or a link.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// Linux' number, permissions.
    Device(u64, u32),
    /// A symbolic link.
    Link(&'static [u8]),
}

/// Linux' number of device `major`, `minor`, as `stat` gives it.
pub const fn number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
}

/// null
pub const NULL: u64 = number(1, 3);
/// zero
pub const ZERO: u64 = number(1, 5);
/// full
pub const FULL: u64 = number(1, 7);
/// random
pub const RANDOM: u64 = number(1, 8);
/// urandom
pub const URANDOM: u64 = number(1, 9);
/// tty
pub const TTY_NUMBER: u64 = number(5, 0);
/// console
pub const CONSOLE_NUMBER: u64 = number(5, 1);
/// ttyAMA0
pub const SERIAL_NUMBER: u64 = number(204, 64);

/// The entries, in order; the n-th (from 0) has inode DEV + 1 + n.
pub const ENTRIES: [(&[u8], Entry); 12] = [
    (b"null", Entry::Device(NULL, 0o666)),
    (b"zero", Entry::Device(ZERO, 0o666)),
    (b"full", Entry::Device(FULL, 0o666)),
    (b"random", Entry::Device(RANDOM, 0o666)),
    (b"urandom", Entry::Device(URANDOM, 0o666)),
    (b"tty", Entry::Device(TTY_NUMBER, 0o666)),
    (b"console", Entry::Device(CONSOLE_NUMBER, 0o600)),
    (b"ttyAMA0", Entry::Device(SERIAL_NUMBER, 0o600)),
    (b"fd", Entry::Link(b"/proc/self/fd")),
    (b"stdin", Entry::Link(b"/proc/self/fd/0")),
    (b"stdout", Entry::Link(b"/proc/self/fd/1")),
    (b"stderr", Entry::Link(b"/proc/self/fd/2")),
];

/// The entry with inode number `ino`.
pub fn entry(ino: u64) -> Option<Entry> {
    ENTRIES.get(ino.checked_sub(DEV + 1)? as usize).map(|(_, e)| *e)
}

/// Whether `ino` lies in /dev.
pub fn is_dev(ino: u64) -> bool {
    (DEV..super::procfs::PROC).contains(&ino)
}

/// Whether device `number` is the terminal, by one of its names.
pub fn is_terminal(number: u64) -> bool {
    matches!(number, TTY_NUMBER | CONSOLE_NUMBER | SERIAL_NUMBER)
}

/// Whether device `number` is one that this kernel knows.
pub fn known(number: u64) -> bool {
    ENTRIES.iter().any(|(_, e)| matches!(e, Entry::Device(n, _) if *n == number))
}
