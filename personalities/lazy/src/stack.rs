//! The stack of a program at its entry: "execve" in `docs/linux-abi.md`.

use crate::exec::Request;
use abi::layout::Layout;
use alloc::vec;
use alloc::vec::Vec;

/// What lies on the stack from `sp` up.
pub struct Image {
    /// The stack pointer.
    pub sp: u64,
    /// Bytes from there to the stack's top.
    pub bytes: Vec<u8>,
}

/// `program`: AT_PHDR, AT_PHNUM, AT_BASE, AT_ENTRY. `path`: as given to execve.
pub fn image(program: [u64; 4], path: &[u8], request: &Request, layout: &Layout) -> Image {
    let strings = |list: &[Vec<u8>]| list.iter().map(|s| s.len() as u64 + 1).sum::<u64>();
    let top = layout.stack_top;
    let path_at = top - 8 - (path.len() as u64 + 1);
    let env_at = path_at - strings(&request.env);
    let argv_at = env_at - strings(&request.argv);
    let random_at = argv_at - 16;
    let platform_at = random_at - 8;
    let words = auxv(program, random_at, path_at, platform_at);
    let count = 1 + request.argv.len() + 1 + request.env.len() + 1 + words.len();
    let sp = ((platform_at & !15) - count as u64 * 8) & !15;
    let mut bytes = vec![0; (top - sp) as usize];
    let mut put = |at: u64, b: &[u8]| {
        let at = (at - sp) as usize;
        if let Some(to) = bytes.get_mut(at..at + b.len()) {
            to.copy_from_slice(b);
        }
    };
    put(path_at, path);
    put(random_at, &layout.at_random);
    put(platform_at, b"aarch64\0");
    let mut at = sp;
    let mut word = |v: u64, put: &mut dyn FnMut(u64, &[u8])| {
        put(at, &v.to_le_bytes());
        at += 8;
    };
    word(request.argv.len() as u64, &mut put);
    for (list, start) in [(&request.argv, argv_at), (&request.env, env_at)] {
        let mut string_at = start;
        for s in list {
            word(string_at, &mut put);
            put(string_at, s);
            string_at += s.len() as u64 + 1;
        }
        word(0, &mut put);
    }
    words.iter().for_each(|w| word(*w, &mut put));
    Image { sp, bytes }
}

fn auxv(program: [u64; 4], random: u64, path: u64, platform: u64) -> Vec<u64> {
    let [headers, count, base, entry] = program;
    [
        (16, 0x3),
        (6, 4096),
        (17, 100),
        (3, headers),
        (4, 56),
        (5, count),
        (7, base),
        (8, 0),
        (9, entry),
        (11, 0),
        (12, 0),
        (13, 0),
        (14, 0),
        (23, 0),
        (25, random),
        (26, 0),
        (31, path),
        (15, platform),
        (0, 0),
    ]
    .into_iter()
    .flat_map(|(k, v)| [k, v])
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::layout::layout;

    #[test]
    fn the_stack_is_aligned_and_begins_with_the_arguments() {
        for n in 0..5 {
            let request = Request {
                path: b"/x".to_vec(),
                argv: (0..n).map(|i| vec![b'a'; i * 3]).collect(),
                env: vec![b"A=1".to_vec()],
            };
            let l = layout(&[1; 32], 0);
            let i = image([1, 2, 3, 4], b"/x", &request, &l);
            assert_eq!((i.sp % 16, i.sp + i.bytes.len() as u64), (0, l.stack_top));
            assert_eq!(i.bytes[..8], (n as u64).to_le_bytes());
            assert_eq!(i.bytes[i.bytes.len() - 11..], *b"/x\0\0\0\0\0\0\0\0\0");
        }
    }
}
