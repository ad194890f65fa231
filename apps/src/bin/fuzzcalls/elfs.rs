//! Programs that are none.

use crate::{End, clean, fork, wait};
use apps::{Random, raw};

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x41_0000;
const HEADERS: usize = 5;
const SIZE: usize = 0x1000 + 64;

/// A small program that ends with status 0 once it has written to its data and its zeroes.
fn small() -> Vec<u8> {
    let mut file = vec![0u8; SIZE];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &[2, 0, 183, 0, 1, 0, 0, 0]);
    let entry = CODE + 64 + 56 * HEADERS as u64;
    put(24, &entry.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &[64, 0, 56, 0, HEADERS as u8, 0]);
    // type, flags, offset, address, size in the file, in memory, alignment
    let headers: [[u64; 7]; HEADERS] = [
        [1, 5, 0, CODE, 0x1000, 0x1000, 0x1000],
        [1, 6, 0x1000, DATA, 64, 0x3000, 0x1000],
        [0x6474_e551, 6, 0, 0, 0, 0, 16],
        [4, 4, 64, CODE + 64, 32, 32, 4],
        [0, 0, 0, 0, 0, 0, 0],
    ];
    for (i, [kind, flags, offset, address, in_file, in_memory, align]) in headers.into_iter().enumerate() {
        let at = 64 + 56 * i;
        put(at, &(kind | flags << 32).to_le_bytes());
        for (j, value) in [offset, address, address, in_file, in_memory, align].into_iter().enumerate() {
            put(at + 8 + 8 * j, &value.to_le_bytes());
        }
    }
    // movz x1, #0x41, lsl #16; str x1, [x1]; str x1, [x1, #0x2000]; mov x0, #0; mov x8, #94; svc #0
    let code: [u32; 6] = [0xd2a0_0821, 0xf900_0021, 0xf910_0021, 0xd280_0000, 0xd280_0bc8, 0xd400_0001];
    for (i, word) in code.into_iter().enumerate() {
        put(64 + 56 * HEADERS + 4 * i, &word.to_le_bytes());
    }
    file
}

fn mutate(random: &Random, file: &mut Vec<u8>) {
    const ODD: [u64; 12] =
        [0, 1, 2, 3, 7, 0x1000, 0xfff, 1 << 31, 1 << 39, (1 << 39) - 0x1000, u64::MAX, 1 << 63];
    for _ in 0..1 + random.below(4) {
        let headers = 64 + 56 * HEADERS as u64;
        match random.below(8) {
            0 => file[random.below(headers) as usize] ^= 1 << random.below(8),
            1..5 => {
                // A field of a program header.
                let at = 64 + 56 * random.below(HEADERS as u64) + 8 * random.below(7);
                let value =
                    if random.below(2) == 0 { random.of(&ODD) } else { random.next() << random.below(24) };
                file[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
            }
            5 => {
                // The type of a program header.
                let at = 64 + 56 * random.below(HEADERS as u64) as usize;
                file[at..at + 4]
                    .copy_from_slice(&(random.of(&[0, 1, 1, 2, 3, 6, 7, 0x6474_e551]) as u32).to_le_bytes());
            }
            6 => {
                // A half of the file's own header.
                let at = 16 + 2 * random.below(24) as usize;
                file[at..at + 2].copy_from_slice(&(random.of(&ODD) as u16).to_le_bytes());
            }
            _ => {
                let at = random.below(headers) as usize;
                (at..at + 8).for_each(|i| file[i] = random.next() as u8);
            }
        }
    }
    if random.below(12) == 0 {
        file.truncate(random.below(SIZE as u64) as usize);
    }
}

pub fn run(seed: u64, count: u64, verbose: bool) {
    let (mut refused, mut ran, mut killed, mut hung) = (0u64, 0u64, 0u64, 0u64);
    let original = small();
    for n in 0..count {
        let random = Random::new((seed << 32 | n) + 1);
        let mut file = original.clone();
        if n > 0 {
            mutate(&random, &mut file);
        }
        if n % 64 == 0 {
            clean();
        }
        let path = format!("/tmp/fz/e{n}\0");
        let written = std::fs::write(&path[..path.len() - 1], &file);
        let pid = fork(|| {
            let arguments = [path.as_ptr() as u64, 0];
            // SAFETY: (1) strings and lists outlive the call.
            unsafe {
                raw(libc::SYS_fchmodat, [-100i64 as u64, path.as_ptr() as u64, 0o755, 0, 0, 0]);
                raw(
                    libc::SYS_execve,
                    [
                        path.as_ptr() as u64,
                        arguments.as_ptr() as u64,
                        arguments[1..].as_ptr() as u64,
                        0,
                        0,
                        0,
                    ],
                );
                libc::_exit(111)
            }
        });
        let (Ok(()), Some(pid)) = (written, pid) else {
            println!("fuzzcalls: {n}: no file or no child any more");
            std::process::exit(1);
        };
        let mut left = 30;
        let end = wait(pid, || {
            left -= 1;
            left > 0
        });
        if verbose {
            println!("program {n}: {end:?}");
        }
        match end {
            End::Exited(111) => refused += 1,
            End::Exited(_) => ran += 1,
            End::Killed(_) => killed += 1,
            End::Hung => hung += 1,
        }
        if n == 0 && end != End::Exited(0) {
            println!("fuzzcalls: the program itself ended with {end:?}");
            std::process::exit(1);
        }
    }
    println!(
        "fuzzcalls: {count} programs, {refused} refused, {ran} ran to an end, {killed} killed by what they did, {hung} stopped from outside"
    );
}
