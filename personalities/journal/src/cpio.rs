//! The root image: a `newc` archive (cpio(5)), as the build tool writes it or another one does.

use alloc::vec::Vec;

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Path without leading slash or `./`; empty for `.`.
    pub path: Vec<u8>,
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Of a device.
    pub rdev: u64,
    /// Where its data begins.
    pub at: u64,
    /// Its bytes.
    pub size: u64,
}

/// What is wrong with an archive, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub u64);

const HEADER: u64 = 110;

fn number(header: &[u8; HEADER as usize], field: usize) -> Option<u64> {
    let digits = header.get(6 + field * 8..14 + field * 8)?;
    u64::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}

/// The members of an archive of `size` bytes that `read` copies out of; `read` is never asked for bytes beyond `size`.
pub fn members(size: u64, read: &dyn Fn(u64, &mut [u8])) -> Result<Vec<Member>, Broken> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let broken = Broken(at);
        if at + HEADER > size {
            return Err(broken);
        }
        let mut header = [0; HEADER as usize];
        read(at, &mut header);
        if !header.starts_with(b"070701") {
            return Err(broken);
        }
        let field = |i| number(&header, i).ok_or(broken);
        let (length, name_length) = (field(6)?, field(11)?);
        let data = (at + HEADER + name_length).next_multiple_of(4);
        let next = (data + length).next_multiple_of(4);
        if data + length > size || name_length == 0 {
            return Err(broken);
        }
        let mut name = alloc::vec![0; name_length.min(4096) as usize];
        read(at + HEADER, &mut name);
        // Padding behind the name is part of its length.
        let end = name.iter().position(|&b| b == 0).ok_or(broken)?;
        name.truncate(end);
        if name == b"TRAILER!!!" {
            return Ok(out);
        }
        let path = name.strip_prefix(b"./").unwrap_or(&name);
        let path = if path == b"." { &[][..] } else { path };
        out.push(Member {
            path: path.to_vec(),
            mode: field(1)? as u32,
            uid: field(2)? as u32,
            gid: field(3)? as u32,
            mtime: field(5)?,
            rdev: field(9)? << 8 | field(10)?,
            at: data,
            size: length,
        });
        at = next;
    }
}
