//! The image's own `memcpy` and `memset`, at all lengths and places that take another way.

#[path = "../src/arch/bytes.rs"]
mod bytes;

/// Lengths: around each width, and more blocks.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=200).chain([255, 256, 257, 4095, 4096, 4097])
}

#[test]
fn copies_are_exact_and_touch_nothing_beside() {
    let source: Vec<u8> = (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 | 1).collect();
    for n in lengths() {
        for (from, to) in (0..17).flat_map(|f| (0..17).map(move |t| (f, t))) {
            let mut target = vec![0; 5000];
            let at = &raw mut target[to];
            // SAFETY: both have more than 17 + 4097 bytes and are apart.
            let back = unsafe { bytes::memcpy(at, &raw const source[from], n) };
            assert_eq!(back, at);
            assert_eq!(target[to..to + n], source[from..from + n], "{n} bytes from {from} to {to}");
            assert!(
                target[..to].iter().chain(&target[to + n..]).all(|b| *b == 0),
                "{n} bytes to {to}: beside"
            );
        }
    }
}

#[test]
fn fills_are_exact_and_touch_nothing_beside() {
    for n in lengths() {
        for (to, byte) in (0..17).flat_map(|t| [0x1a5, -1, 0x100].map(|b| (t, b))) {
            let mut target = vec![0x77; 5000];
            let at = &raw mut target[to];
            // SAFETY: there are more than 17 + 4097 bytes.
            let back = unsafe { bytes::memset(at, byte, n) };
            assert_eq!(back, at);
            assert!(target[to..to + n].iter().all(|b| *b == byte as u8), "{n} bytes of {byte} to {to}");
            assert!(
                target[..to].iter().chain(&target[to + n..]).all(|b| *b == 0x77),
                "{n} bytes to {to}: beside"
            );
        }
    }
}
