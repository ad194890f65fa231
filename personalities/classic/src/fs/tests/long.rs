//! Paths longer than any that a call takes: links and getcwd do not tell them, and links lead there all the same.

use crate::fs::ProcessRow;
use crate::fs::linux::*;
use crate::fs::testing::*;
use abi::linux::nr;

const ENOENT: i64 = -2;
const EINVAL: i64 = -22;
const EFAULT: i64 = -14;
const ERANGE: i64 = -34;
const ENAMETOOLONG: i64 = -36;

/// Directories below /tmp, each entered from the one above, so that the last one's path has so many bytes.
fn stands_at(len: usize) -> World {
    let mut w = World::new();
    let mut at = "/tmp".len();
    let down = |w: &mut World, name: &str| {
        assert_eq!(w.at(nr::mkdirat, name, &[0o755]), 0);
        let path = w.text(0, name.as_bytes());
        assert_eq!(w.call(nr::chdir, &[path]), 0);
    };
    let path = w.text(0, b"/tmp");
    assert_eq!(w.call(nr::chdir, &[path]), 0);
    while len - at > 400 {
        down(&mut w, &"n".repeat(199));
        at += 200;
    }
    let (first, second) = ((len - at) / 2, len - at - (len - at) / 2);
    down(&mut w, &"f".repeat(first - 1));
    down(&mut w, &"s".repeat(second - 1));
    w
}

impl World {
    /// How long the text of a link is, or why it is not told.
    fn told(&mut self, link: &str) -> i64 {
        self.at(nr::readlinkat, link, &[OUT, 0x8000])
    }
    fn getcwd(&mut self, at: u64, size: u64) -> i64 {
        self.call(nr::getcwd, &[at, size])
    }
    fn remove_here(&mut self) {
        let name = self.name_here();
        assert_eq!(self.at(nr::unlinkat, &format!("../{name}"), &[0x200]), 0);
    }
    /// The last name of the working directory.
    fn name_here(&self) -> String {
        let path = String::from_utf8(self.fs.path_of(self.p.cwd)).unwrap();
        path.rsplit('/').next().unwrap().to_owned()
    }
}

/// What a link tells of a text that is so long.
fn told(len: usize) -> i64 {
    if len < PATH_MAX { len as i64 } else { ENAMETOOLONG }
}

#[test]
fn links_tell_4095_bytes_and_lead_on_beyond() {
    for len in [4085, 4086, 4095, 4096, 5000] {
        let mut w = stands_at(len);
        let dir = w.open(".", 0);
        assert_eq!([w.told("/proc/self/cwd"), w.told(&format!("/proc/self/fd/{dir}"))], [told(len); 2]);
        assert_eq!(w.at(nr::readlinkat, "/proc/self/cwd", &[OUT, 0]), EINVAL);
        w.remove_here();
        assert_eq!(w.told("/proc/self/cwd"), told(len + " (deleted)".len()));
        let mut w = stands_at(len - "/f".len());
        let fd = w.open("f", O_CREAT | O_RDWR);
        w.write(fd, b"bytes");
        let link = format!("/proc/self/fd/{fd}");
        assert_eq!(w.told(&link), told(len));
        // A place that is such a link is read by an empty path.
        let place = w.open(&link, O_PATH | O_NOFOLLOW);
        let empty = w.text(0, b"");
        assert_eq!(w.call(nr::readlinkat, &[place as u64, empty, OUT, 0x8000]), told(len));
        assert_eq!([w.cat(&link), w.cat("/proc/self/cwd/f")], [b"bytes"; 2]);
        assert_eq!(w.at(nr::unlinkat, "f", &[0]), 0);
        assert_eq!(w.told(&link), told(len + " (deleted)".len()));
        assert_eq!(w.cat(&link), b"bytes");
    }
}

#[test]
fn exe_and_the_links_of_others_likewise() {
    for len in [4095, 4096] {
        let mut w = stands_at(len - "/p".len());
        let fd = w.open("p", O_CREAT | O_RDWR);
        w.write(fd, b"program");
        let file = w.fs.mmap_file(&w.p.fds, fd as i32).unwrap();
        w.system.exe = Some((file.ino, file.entry.unwrap()));
        assert_eq!(w.told("/proc/self/exe"), told(len));
        assert_eq!(w.cat("/proc/self/exe"), b"program");
        let text = w.fs.show_fds(&w.p.fds, |_| true).pop().unwrap().1;
        let cwd = w.fs.path_of(w.p.cwd);
        w.system.rows.push(ProcessRow { pid: 9, fds: vec![(4, text)], cwd, ..Default::default() });
        assert_eq!([w.told("/proc/9/fd/4"), w.told("/proc/9/cwd")], [told(len), told(len - 2)]);
        assert_eq!([w.cat("/proc/9/fd/4"), w.cat("/proc/9/cwd/p")], [b"program"; 2]);
    }
}

#[test]
fn getcwd_looks_at_the_directory_then_its_length_then_the_buffer() {
    let nowhere = 8;
    let mut w = stands_at(4095);
    assert_eq!([w.getcwd(OUT, 4096), w.getcwd(OUT, 4095), w.getcwd(nowhere, 4095)], [4096, ERANGE, ERANGE]);
    assert_eq!(w.getcwd(nowhere, 4096), EFAULT);
    w.remove_here();
    assert_eq!([w.getcwd(OUT, 4096), w.getcwd(nowhere, 1)], [ENOENT; 2]);
    let mut w = stands_at(4096);
    for (at, size) in [(OUT, 0x8000), (OUT, 1), (nowhere, 0x8000), (nowhere, 1)] {
        assert_eq!(w.getcwd(at, size), ENAMETOOLONG);
    }
    w.remove_here();
    assert_eq!([w.getcwd(OUT, 0x8000), w.getcwd(nowhere, 1)], [ENOENT; 2]);
}
