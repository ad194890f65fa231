//! For each line that it reads it puts out one in a single write: its first argument, then the text at the beginning of its lowest page, where
//! `inject diverge` inverts a byte.

use std::io::{BufRead, Write};

/// The lowest address that a program may map.
const LOWEST: usize = 0x1_0000;
const TEXT: &[u8] = b"what stands in memory";

fn main() {
    let before = std::env::args().nth(1).unwrap_or_default();
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
    // SAFETY: (1) nothing is mapped there: programs and their stacks lie higher.
    let page = unsafe { libc::mmap(LOWEST as *mut _, 4096, access, kind, -1, 0) };
    assert_eq!(page as usize, LOWEST, "{}", std::io::Error::last_os_error());
    // SAFETY: (1) the page was mapped above, (2) is written here only, and (3) is not unmapped.
    let page = unsafe { std::slice::from_raw_parts_mut(page.cast::<u8>(), 4096) };
    page[..TEXT.len()].copy_from_slice(TEXT);
    for _ in std::io::stdin().lock().lines() {
        let now = std::hint::black_box(&*page);
        let line = [before.as_bytes(), &now[..TEXT.len()], b"\n"].concat();
        std::io::stdout().write_all(&line).and_then(|()| std::io::stdout().flush()).expect("a terminal");
    }
}
