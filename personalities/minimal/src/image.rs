//! The root image, a cpio archive in `newc` format (`xtask/src/cpio.rs`): found by path, counted for inode numbers.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

const HEADER: usize = 110;

/// Members but `.` and the trailer, and the data of a regular, executable file at `path`.
pub struct Found<'a> {
    /// Members.
    pub members: u64,
    /// Data.
    pub data: Option<&'a [u8]>,
}

/// Links followed at most, as everywhere (ELOOP).
const LINKS_MAX: usize = 40;
const TYPE: usize = 0o170000;
const LINK: usize = 0o120000;
const REGULAR: usize = 0o100000;

/// A member: its mode, its data.
type Members<'a> = BTreeMap<&'a [u8], (usize, &'a [u8])>;

/// Finds the program at `path`; `None`: the image is no archive.
pub fn find<'a>(image: &'a [u8], path: &str) -> Option<Found<'a>> {
    let members = members(image)?;
    let data =
        resolve(&members, path.as_bytes()).filter(|(mode, _)| mode & TYPE == REGULAR && mode & 0o111 != 0);
    Some(Found { members: members.len() as u64, data: data.map(|(_, data)| data) })
}

/// Follows `path`, links too.
fn resolve<'a>(members: &Members<'a>, path: &[u8]) -> Option<(usize, &'a [u8])> {
    let parts = |path: &[u8]| path.split(|&b| b == b'/').map(<[u8]>::to_vec).rev().collect::<Vec<_>>();
    let (mut rest, mut place, mut links) = (parts(path), Vec::<u8>::new(), 0);
    let mut last = None;
    while let Some(part) = rest.pop() {
        let parent = place.iter().rposition(|&b| b == b'/').unwrap_or(0);
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                place.truncate(parent);
                continue;
            }
            _ => {}
        }
        let before = place.len();
        if before > 0 {
            place.push(b'/');
        }
        place.extend_from_slice(&part);
        let &(mode, data) = members.get(place.as_slice())?;
        last = Some((mode, data));
        if mode & TYPE == LINK {
            links += 1;
            (links <= LINKS_MAX).then_some(())?;
            place.truncate(if data.starts_with(b"/") { 0 } else { before });
            rest.extend(parts(data));
        }
    }
    last
}

/// All members but `.` and the trailer; `None`: it is no archive.
fn members(image: &[u8]) -> Option<Members<'_>> {
    let mut found = Members::new();
    let mut at = 0usize;
    loop {
        let header = image.get(at..at.checked_add(HEADER)?)?;
        let number = |i: usize| -> Option<usize> {
            let digits = core::str::from_utf8(header.get(6 + i * 8..14 + i * 8)?).ok()?;
            usize::from_str_radix(digits, 16).ok()
        };
        if !header.starts_with(b"070701") {
            return None;
        }
        let (mode, size, name_size) = (number(1)?, number(6)?, number(11)?);
        let name_end = at.checked_add(HEADER)?.checked_add(name_size)?;
        let name = image.get(at + HEADER..name_end)?.split(|&b| b == 0).next()?;
        let start = name_end.next_multiple_of(4);
        let data = image.get(start..start.checked_add(size)?)?;
        match name {
            b"TRAILER!!!" => return Some(found),
            b"." => {}
            _ => {
                found.insert(name, (mode, data));
            }
        }
        at = start.checked_add(size)?.next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn member(out: &mut Vec<u8>, mode: u32, name: &str, data: &[u8]) {
        let fields = [1, mode, 0, 0, 1, 0, data.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        out.extend_from_slice(b"070701");
        fields.iter().for_each(|f| out.extend_from_slice(format!("{f:08x}").as_bytes()));
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }

    #[test]
    fn finds_a_program_and_counts_members() {
        let mut image = Vec::new();
        member(&mut image, 0o040755, ".", b"");
        member(&mut image, 0o040755, "bin", b"");
        member(&mut image, 0o100755, "bin/first", b"\x7fELF");
        member(&mut image, 0o100644, "bin/text", b"no program");
        member(&mut image, 0o120777, "sbin", b"/usr/../lib");
        member(&mut image, 0o120777, "lib", b"bin");
        member(&mut image, 0o120777, "round", b"round");
        member(&mut image, 0o040755, "usr", b"");
        member(&mut image, 0, "TRAILER!!!", b"");
        let found = find(&image, "/bin/first").unwrap();
        assert_eq!((found.members, found.data), (7, Some(&b"\x7fELF"[..])));
        assert_eq!(find(&image, "/sbin/./first").unwrap().data, found.data);
        assert!(find(&image, "/round/first").unwrap().data.is_none());
        assert!(find(&image, "/bin/text").unwrap().data.is_none());
        for end in 0..image.len() - 8 {
            assert!(find(&image[..end], "/bin/first").is_none(), "cut at {end}");
        }
    }
}
