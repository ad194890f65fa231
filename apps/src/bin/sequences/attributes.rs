//! What of a file's attributes the contract takes from Linux.

use crate::places::{left, word};

/// A mode without a link's permissions.
pub fn permissions(mode: u64) -> u64 {
    let kind = mode & u64::from(libc::S_IFMT);
    if kind == u64::from(libc::S_IFLNK) { kind } else { mode }
}

/// What of a `struct stat` the contract takes from Linux: not the numbers of inodes and devices, sizes of directories, blocks, and times that
/// nobody set.
pub fn attributes(r: i64, at: u64) -> Vec<u64> {
    let Some(bytes) = left(at, 128).filter(|_| r == 0) else { return vec![] };
    let kind = word(bytes, 4) & u64::from(libc::S_IFMT);
    let mut of = vec![word(bytes, 4), word(bytes, 6), word(bytes, 7)];
    // Second 0 is when Linux makes its root, before it knows what time it is.
    let own = |t: usize| (1..100_000).contains(&word(bytes, t)) && word(bytes, t + 1) == 0;
    match kind as u32 {
        libc::S_IFREG => of.extend([word(bytes, 5), word(bytes, 12)]),
        // A link's permissions say something in /proc alone, where the contract has its own.
        libc::S_IFLNK => of = vec![kind, word(bytes, 5), word(bytes, 6), word(bytes, 7), word(bytes, 12)],
        // Of others the links and owners only where they are the sequence's, which /, /proc and /dev are not.
        libc::S_IFDIR => of = vec![kind],
        libc::S_IFCHR => of = vec![kind, word(bytes, 8)],
        // What goes through a pipe with a name changes its times on Linux.
        libc::S_IFIFO => return of,
        _ => {}
    }
    for t in [18, 22] {
        of.extend(own(t).then(|| word(bytes, t) << 32 | word(bytes, t + 2)));
    }
    of
}
