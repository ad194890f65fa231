//! Names in the working directory while it is there, and when it was removed: overlong ones, slashes behind them, dots.

use crate::ask::{Asker, Value};
use crate::places::{CWD, HOME, OUT, ZERO, renew, texts};
use std::ffi::{CStr, CString};

/// A byte more than a name may have, and the longest.
const LONG: usize = 256;

/// The working directory, beside the usual files.
fn there() {
    renew();
    let made = std::fs::create_dir("r").and_then(|()| std::env::set_current_dir("r"));
    made.unwrap_or_else(|e| panic!("{HOME}/r: {e}"));
}

/// The same, removed.
fn removed() {
    there();
    std::fs::remove_dir("../r").unwrap_or_else(|e| panic!("{HOME}/r: {e}"));
}

/// A string that lives as long as the program.
fn kept(text: String) -> &'static CStr {
    CString::new(text).map_or(c"", |text| Box::leak(text.into_boxed_c_str()))
}

pub fn ask(asker: &mut Asker) {
    let n = "n".repeat(LONG);
    let long = |name, text| (name, kept(text).as_ptr() as u64);
    let mut names = vec![
        long("n256", n.clone()),
        long("n256/", format!("{n}/")),
        long("n256/x", format!("{n}/x")),
        long("n255", n[1..].to_owned()),
        long("n255/", format!("{}/", &n[1..])),
    ];
    names.extend(texts(&[c"s", c"s/", c"s/x", c".", c"./", c"./s", c"..", c"../r", c"../r/s", c""]));
    for (state, undo) in [("there", there as fn()), ("removed", removed)] {
        looks(asker, state, undo, &names);
        makes(asker, state, undo, &names);
        moves(asker, state, undo, &names);
    }
}

/// A table's row: the call, its number, and its arguments; the names stand where there are none.
type Row<'a> = (&'a str, i64, &'a [&'a [Value]]);

fn each(asker: &mut Asker, state: &str, undo: fn(), names: &[Value], rows: &[Row]) {
    for (call, number, arguments) in rows {
        let over: Vec<&[Value]> = arguments.iter().map(|a| if a.is_empty() { names } else { a }).collect();
        asker.call(&format!("{state} {call}"), *number).result().undone_by(undo).from(undo).over(&over);
    }
}

fn looks(asker: &mut Asker, state: &str, undo: fn(), names: &[Value]) {
    let (cwd, out, none) = ([CWD], [("buf", OUT)], [ZERO]);
    let mode = [("755", 0o755)];
    let rows: [Row; 10] = [
        ("newfstatat", libc::SYS_newfstatat, &[&cwd, &[], &out, &none]),
        ("newfstatat", libc::SYS_newfstatat, &[&cwd, &[], &out, &[("100", 0x100)]]),
        ("statx", libc::SYS_statx, &[&cwd, &[], &none, &[("7ff", 0x7ff)], &out]),
        ("statfs", libc::SYS_statfs, &[&[], &out]),
        ("faccessat", libc::SYS_faccessat, &[&cwd, &[], &none]),
        ("readlinkat", libc::SYS_readlinkat, &[&cwd, &[], &out, &[("8", 8)]]),
        ("chdir", libc::SYS_chdir, &[&[]]),
        ("fchmodat", libc::SYS_fchmodat, &[&cwd, &[], &mode]),
        ("truncate", libc::SYS_truncate, &[&[], &none]),
        // Nothing of it is a program, so it never succeeds.
        ("execve", libc::SYS_execve, &[&[], &none, &none]),
    ];
    each(asker, state, undo, names, &rows);
}

fn makes(asker: &mut Asker, state: &str, undo: fn(), names: &[Value]) {
    let (cwd, none, mode) = ([CWD], [ZERO], [("644", 0o644)]);
    let link = texts(&[c"x"]);
    let opened = |flags| [("", flags)];
    let (read, create, exclusive) = (opened(0), opened(0o102), opened(0o302));
    let (truncate, directory, path) = (opened(0o1002), opened(0o40000), opened(0o10000000));
    let rows: [Row; 10] = [
        ("openat", libc::SYS_openat, &[&cwd, &[], &read, &mode]),
        ("openat create", libc::SYS_openat, &[&cwd, &[], &create, &mode]),
        ("openat exclusive", libc::SYS_openat, &[&cwd, &[], &exclusive, &mode]),
        ("openat truncate", libc::SYS_openat, &[&cwd, &[], &truncate, &mode]),
        ("openat directory", libc::SYS_openat, &[&cwd, &[], &directory, &mode]),
        ("openat path", libc::SYS_openat, &[&cwd, &[], &path, &mode]),
        ("mkdirat", libc::SYS_mkdirat, &[&cwd, &[], &mode]),
        ("symlinkat", libc::SYS_symlinkat, &[&link, &cwd, &[]]),
        ("mknodat", libc::SYS_mknodat, &[&cwd, &[], &[("10644", 0o10644)], &none]),
        ("mknodat device", libc::SYS_mknodat, &[&cwd, &[], &[("20644", 0o20644)], &[("103", 0x103)]]),
    ];
    each(asker, state, undo, names, &rows);
}

fn moves(asker: &mut Asker, state: &str, undo: fn(), names: &[Value]) {
    let (cwd, none) = ([CWD], [ZERO]);
    let (file, directory, fifo) = (texts(&[c"/tmp/c/f"]), texts(&[c"/tmp/c/d"]), texts(&[c"/tmp/c/ff"]));
    let new = texts(&[c"/tmp/c/zz"]);
    let rows: [Row; 9] = [
        ("linkat to", libc::SYS_linkat, &[&cwd, &file, &cwd, &[], &none]),
        ("linkat directory to", libc::SYS_linkat, &[&cwd, &directory, &cwd, &[], &none]),
        ("linkat from", libc::SYS_linkat, &[&cwd, &[], &cwd, &new, &none]),
        ("renameat2 to", libc::SYS_renameat2, &[&cwd, &fifo, &cwd, &[], &none]),
        ("renameat2 directory to", libc::SYS_renameat2, &[&cwd, &directory, &cwd, &[], &none]),
        ("renameat2 from", libc::SYS_renameat2, &[&cwd, &[], &cwd, &new, &none]),
        ("renameat2 from to", libc::SYS_renameat2, &[&cwd, &[], &cwd, &[], &none]),
        ("unlinkat", libc::SYS_unlinkat, &[&cwd, &[], &none]),
        ("unlinkat directory", libc::SYS_unlinkat, &[&cwd, &[], &[("200", 0x200)]]),
    ];
    each(asker, state, undo, names, &rows);
}
