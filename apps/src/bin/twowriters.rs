//! Two children append to one file without any lock; the parent prints what came out. The order is the turn rule's.
use std::fs::OpenOptions;
use std::io::Write;

fn main() {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/tmp/twowriters".into());
    let _ = std::fs::remove_file(&path);
    let mut children = Vec::new();
    for who in ["a", "b"] {
        // SAFETY: (1) the program has one thread.
        match unsafe { libc::fork() } {
            0 => {
                let mut f = OpenOptions::new().create(true).append(true).open(&path).unwrap();
                for i in 0..200u32 {
                    // Unequal work between the writes: the kernels' schedulers see different moments.
                    let mut x = i;
                    for _ in 0..(i % 7) * 1000 {
                        x = std::hint::black_box(x.wrapping_mul(1664525).wrapping_add(1013904223));
                    }
                    writeln!(f, "{who} {i} {x}").unwrap();
                }
                std::process::exit(0);
            }
            pid => children.push(pid),
        }
    }
    for pid in children {
        // SAFETY: (1) a null status is allowed.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
    print!("{}", std::fs::read_to_string(&path).unwrap());
}
