//! Addresses of EL2 as functions and lines: what its crash leaves on the operator's console.

use addr2line::Loader;
use std::path::Path;

/// How such a line begins.
const CALLS: &str = "el2: return addresses:";

/// For a line with return addresses: each with its function and place, by the symbols of the image `elf`. Linked where QEMU virt loads it.
pub fn explain(line: &str, elf: &Path) -> Vec<String> {
    let Some(list) = line.strip_prefix(CALLS) else { return vec![] };
    let Ok(loader) = Loader::new(elf) else { return vec![format!("el2:   no symbols: {}", elf.display())] };
    let addresses =
        list.split_whitespace().filter_map(|a| u64::from_str_radix(a.strip_prefix("0x")?, 16).ok());
    addresses.flat_map(|a| frames(&loader, a)).collect()
}

fn frames(loader: &Loader, address: u64) -> Vec<String> {
    let mut lines = vec![];
    // Behind a call that never returns another function may begin: the call itself is meant.
    let Ok(mut frames) = loader.find_frames(address.saturating_sub(1)) else { return lines };
    while let Ok(Some(frame)) = frames.next() {
        let known = frame.function.and_then(|f| Some(f.demangle().ok()?.into_owned()));
        let symbol = || loader.find_symbol(address.saturating_sub(1)).unwrap_or("?").to_owned();
        let name = known.unwrap_or_else(symbol);
        let place = frame.location.and_then(|l| Some(format!("{}:{}", l.file?, l.line?))).unwrap_or_default();
        lines.push(format!("el2:   {address:#x} {name} {place}"));
    }
    if lines.is_empty() {
        lines.push(format!(
            "el2:   {address:#x} {}",
            loader.find_symbol(address.saturating_sub(1)).unwrap_or("?")
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That real addresses get their names is seen where EL2 crashes: tests/guests.
    #[test]
    fn other_lines_and_nonsense_are_left_alone() {
        let me = std::env::current_exe().expect("a path");
        assert_eq!(explain("anything else", &me), Vec::<String>::new());
        // Far from all code: about low addresses even dead functions have something to say.
        assert_eq!(explain("el2: return addresses: 0xfffffffffff0 nonsense", &me).len(), 1);
        assert_eq!(explain("el2: return addresses: 0x10", Path::new("nowhere")).len(), 1);
    }
}
