//! Reads the root image: a cpio archive in `newc` format (cpio(5)). A header is 6 bytes of magic and 13 numbers of 8 hexadecimal digits; name
//! and data follow, each padded to 4 bytes. The image is the operator's, yet nothing in it can lead outside of it.

const HEADER: usize = 110;
const MAGIC: &[u8] = b"070701";
const TRAILER: &[u8] = b"TRAILER!!!";

/// One member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub path: &'static [u8],
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Device number of a device node, as Linux encodes it in st_rdev.
    pub rdev: u64,
    pub data: &'static [u8],
}

/// Field number `i` of a header.
fn field(header: &[u8], i: usize) -> Option<u32> {
    let digits = header.get(6 + 8 * i..14 + 8 * i)?;
    let text = core::str::from_utf8(digits).ok().filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(text, 16).ok()
}

/// The members of an image in order, up to the trailer or to what is no member.
pub fn members(image: &'static [u8]) -> impl Iterator<Item = Member> {
    let mut at = 0usize;
    core::iter::from_fn(move || {
        let header = image.get(at..at.checked_add(HEADER)?)?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        let name_size = field(header, 11)? as usize;
        let size = field(header, 6)? as usize;
        let name = image.get(at + HEADER..(at + HEADER).checked_add(name_size)?)?;
        let data_at = (at + HEADER + name_size).checked_next_multiple_of(4)?;
        let data = image.get(data_at..data_at.checked_add(size)?)?;
        at = (data_at + size).checked_next_multiple_of(4)?;
        let path = name.split(|b| *b == 0).next()?;
        if path == TRAILER {
            return None;
        }
        let (major, minor) = (field(header, 9)?, field(header, 10)?);
        Some(Member {
            path,
            mode: field(header, 1)?,
            uid: field(header, 2)?,
            gid: field(header, 3)?,
            mtime: field(header, 5)?,
            rdev: u64::from(major & 0xfff) << 8 | u64::from(minor & 0xff) | u64::from(minor & !0xff) << 12,
            data,
        })
    })
}
