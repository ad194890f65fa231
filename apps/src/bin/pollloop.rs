//! `pollloop N`: N polls with a timeout of 1 ms, then the clock's advance in whole milliseconds at least.
use std::time::Instant;

fn main() {
    let n: u32 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(100);
    let start = Instant::now();
    for i in 1..=n {
        // SAFETY: (1) a null set of no descriptors is allowed by poll(2).
        let r = unsafe { libc::poll(std::ptr::null_mut(), 0, 1) };
        assert_eq!(r, 0, "poll {i}");
        if i % 10 == 0 {
            println!("poll {i}: {} us", start.elapsed().as_micros());
        }
    }
    assert!(start.elapsed().as_millis() >= u128::from(n));
}
