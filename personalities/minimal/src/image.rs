//! The root image, a cpio archive in `newc` format (`xtask/src/cpio.rs`): found by path, counted for inode numbers.

const HEADER: usize = 110;

/// Members but `.` and the trailer, and the data of a regular, executable file at `path`.
pub struct Found<'a> {
    /// Members.
    pub members: u64,
    /// Data.
    pub data: Option<&'a [u8]>,
}

/// Walks the archive; `None`: it is none.
pub fn find<'a>(image: &'a [u8], path: &str) -> Option<Found<'a>> {
    let path = path.trim_start_matches('/').as_bytes();
    let mut found = Found { members: 0, data: None };
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
            _ => found.members += 1,
        }
        if name == path && mode & 0o170111 > 0o100000 {
            found.data = Some(data);
        }
        at = start.checked_add(size)?.next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;

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
        member(&mut image, 0, "TRAILER!!!", b"");
        let found = find(&image, "/bin/first").unwrap();
        assert_eq!((found.members, found.data), (3, Some(&b"\x7fELF"[..])));
        assert!(find(&image, "/bin/text").unwrap().data.is_none());
        for end in 0..image.len() - 8 {
            assert!(find(&image[..end], "/bin/first").is_none(), "cut at {end}");
        }
    }
}
