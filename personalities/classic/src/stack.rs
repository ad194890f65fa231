//! A new program's stack: strings, auxiliary vector, pointers, as `docs/linux-abi.md` lays them down from the top.

use abi::layout::STACK_MAX;
use alloc::vec::Vec;

/// AT_PHDR.
pub const AT_PHDR: u64 = 3;
/// AT_PHNUM.
pub const AT_PHNUM: u64 = 5;
/// AT_BASE.
pub const AT_BASE: u64 = 7;
/// AT_ENTRY.
pub const AT_ENTRY: u64 = 9;
const AT_RANDOM: u64 = 25;
const AT_EXECFN: u64 = 31;
const AT_PLATFORM: u64 = 15;

/// The vector in its order: kind and value; those that depend on the image or the stack are filled in.
const VECTOR: [(u64, u64); 19] = [
    (16, 3),
    (6, 4096),
    (17, 100),
    (AT_PHDR, 0),
    (4, 56),
    (AT_PHNUM, 0),
    (AT_BASE, 0),
    (8, 0),
    (AT_ENTRY, 0),
    (11, 0),
    (12, 0),
    (13, 0),
    (14, 0),
    (23, 0),
    (AT_RANDOM, 0),
    (26, 0),
    (AT_EXECFN, 0),
    (AT_PLATFORM, 0),
    (0, 0),
];

/// What execve was given.
pub struct Arguments<'a> {
    /// The path as given.
    pub path: &'a [u8],
    /// Arguments.
    pub argv: &'a [Vec<u8>],
    /// Environment.
    pub env: &'a [Vec<u8>],
}

/// The bytes from sp to the top.
pub struct Stack {
    /// Stack pointer at entry.
    pub sp: u64,
    /// Everything from there up.
    pub bytes: Vec<u8>,
}

/// Lays a stack below `top`; `image` gives the values of the vector that depend on the program. `None`: it does not fit.
pub fn build(
    top: u64,
    arguments: &Arguments<'_>,
    random: &[u8; 16],
    image: impl Fn(u64) -> u64,
) -> Option<Stack> {
    let length = |list: &[Vec<u8>]| list.iter().map(|s| s.len() as u64 + 1).sum::<u64>();
    let path_at = top - 8 - (arguments.path.len() as u64 + 1);
    let env_at = path_at.checked_sub(length(arguments.env))?;
    let argv_at = env_at.checked_sub(length(arguments.argv))?;
    let random_at = argv_at - 16;
    let platform_at = random_at - 8;
    let words = 1 + arguments.argv.len() + 1 + arguments.env.len() + 1 + 2 * VECTOR.len();
    let sp = (platform_at & !15).checked_sub(words as u64 * 8)? & !15;
    if top - sp > STACK_MAX / 4 {
        return None;
    }
    let mut bytes = Vec::with_capacity((top - sp) as usize);
    let mut word = |value: u64| bytes.extend_from_slice(&value.to_le_bytes());
    word(arguments.argv.len() as u64);
    for (mut at, list) in [(argv_at, arguments.argv), (env_at, arguments.env)] {
        for string in list {
            word(at);
            at += string.len() as u64 + 1;
        }
        word(0);
    }
    for (kind, value) in VECTOR {
        word(kind);
        word(match kind {
            AT_PHDR | AT_PHNUM | AT_BASE | AT_ENTRY => image(kind),
            AT_RANDOM => random_at,
            AT_EXECFN => path_at,
            AT_PLATFORM => platform_at,
            _ => value,
        });
    }
    bytes.resize((platform_at - sp) as usize, 0);
    bytes.extend_from_slice(b"aarch64\0");
    bytes.extend_from_slice(random);
    for string in arguments.argv.iter().chain(arguments.env).map(Vec::as_slice).chain([arguments.path]) {
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    bytes.extend_from_slice(&[0; 8]);
    Some(Stack { sp, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_is_laid_down_from_the_top() {
        let argv = [b"ash".to_vec(), b"-i".to_vec()];
        let env = [b"A=1".to_vec()];
        let arguments = Arguments { path: b"/bin/busybox", argv: &argv, env: &env };
        let top = 0x7f_f000;
        let s = build(top, &arguments, &[9; 16], |kind| kind * 1000).expect("fits");
        assert_eq!(s.sp % 16, 0);
        assert_eq!(s.bytes.len() as u64, top - s.sp);
        assert_eq!(s.bytes[s.bytes.len() - 8..], [0; 8]);
        let word = |i: usize| u64::from_le_bytes(s.bytes[i * 8..i * 8 + 8].try_into().expect("8"));
        let text = |at: u64, want: &[u8]| assert_eq!(&s.bytes[(at - s.sp) as usize..][..want.len()], want);
        assert_eq!(word(0), 2);
        text(word(1), b"ash\0-i\0A=1\0/bin/busybox\0\0\0\0\0\0\0\0\0");
        text(word(2), b"-i\0");
        assert_eq!((word(3), word(5)), (0, 0));
        text(word(4), b"A=1\0");
        assert_eq!((word(6), word(7)), (16, 3));
        assert_eq!((word(12), word(13)), (AT_PHDR, 3000));
    }
}
