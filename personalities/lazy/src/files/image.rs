//! Reads the root image: a cpio archive in `newc` format, members sorted by path, parents before children.

use super::content::Content;
use super::names::Entry;
use super::{Body, Directory, Files, Inode, ROOT, S_IFDIR, S_IFMT, Time};
use alloc::vec::Vec;

const HEADER: usize = 110;

/// One member.
struct Member<'a> {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: u32,
    rdev: u64,
    name: &'a [u8],
    data: usize,
    size: usize,
}

fn field(header: &[u8], n: usize) -> Option<u32> {
    let text = core::str::from_utf8(header.get(6 + n * 8..14 + n * 8)?).ok()?;
    u32::from_str_radix(text, 16).ok()
}

/// The member at `at` and where the next one begins.
fn member(image: &[u8], at: usize) -> Option<(Member<'_>, usize)> {
    let header = image.get(at..at + HEADER)?;
    if header.get(..6)? != b"070701" {
        return None;
    }
    let (size, name_size) = (field(header, 6)? as usize, field(header, 11)? as usize);
    let name = image.get(at + HEADER..at.checked_add(HEADER + name_size)?)?;
    let name = name.get(..name.iter().position(|b| *b == 0)?)?;
    let data = (at + HEADER + name_size).next_multiple_of(4);
    image.get(data..data.checked_add(size)?)?;
    let rdev = super::device::number(field(header, 9)?, field(header, 10)?);
    let m = Member {
        mode: field(header, 1)?,
        uid: field(header, 2)?,
        gid: field(header, 3)?,
        mtime: field(header, 5)?,
        rdev,
        name,
        data,
        size,
    };
    Some((m, (data + size).next_multiple_of(4)))
}

impl Files {
    /// The file system of `image`; `boot`: the time of `/` if the image does not describe it. `None`: no such archive.
    pub fn from_image(image: &[u8], boot: Time) -> Option<Files> {
        let mut files = Files { next: 2, ..Files::default() };
        let root = Directory { entry: Entry::alone(b"/"), ..Directory::below(ROOT) };
        files.inodes.insert(ROOT, Inode::new(S_IFDIR | 0o755, [0; 2], [boot; 3], Body::Directory(root)));
        let mut at = 0;
        loop {
            let (m, next) = member(image, at)?;
            if m.name == b"TRAILER!!!" {
                files.first = files.next;
                return Some(files);
            }
            files.add_member(image, &m)?;
            at = next;
        }
    }

    fn add_member(&mut self, image: &[u8], m: &Member<'_>) -> Option<()> {
        let time = Time(m.mtime.into(), 0);
        let parts: Vec<&[u8]> =
            m.name.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").collect();
        let Some((name, above)) = parts.split_last() else {
            let root = self.inodes.get_mut(&ROOT)?;
            (root.mode, root.uid, root.gid, root.times) = (m.mode, m.uid, m.gid, [time; 3]);
            return Some(());
        };
        let mut parent = ROOT;
        for part in above {
            parent = self.directory(parent).ok()?.find(part)?;
        }
        let bytes = image.get(m.data..m.data + m.size)?;
        let body = match m.mode & S_IFMT {
            super::S_IFREG => Body::File(Content::of_image(m.data as u64, m.size as u64)),
            S_IFDIR => Body::Directory(Directory::below(parent)),
            super::S_IFLNK => Body::Link(bytes.to_vec()),
            super::S_IFIFO => Body::Fifo(None),
            _ => Body::Device(m.rdev),
        };
        let ino = self.next;
        self.next += 1;
        let is_directory = m.mode & S_IFMT == S_IFDIR;
        if matches!(body, Body::File(_)) {
            self.members.insert(ino, (m.data as u64, m.size as u64));
        }
        self.inodes.insert(ino, Inode::new(m.mode, [m.uid, m.gid], [time; 3], body));
        let above = self.inodes.get_mut(&parent)?;
        above.nlink += u32::from(is_directory);
        let Body::Directory(d) = &mut above.body else { return None };
        d.add(name, ino);
        self.place_directory(parent, name, ino);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hostile_archives_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600), hex in any::<bool>()) {
            if hex {
                bytes.iter_mut().for_each(|b| *b = b"0123456789abcdef/T!\0"[usize::from(*b) % 20]);
                if bytes.len() > 6 {
                    bytes[..6].copy_from_slice(b"070701");
                }
            }
            let _ = Files::from_image(&bytes, Time::default());
        }
    }
}
