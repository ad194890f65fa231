//! Makes a flattened device tree fit for the `fdt` crate, whose searches end at the first NOP between nodes. QEMU leaves such NOPs
//! where it removed nodes of a tree given by `-dtb` (all of /memory, /psci). Squeezing them out is smaller than another parser.

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;
const MAGIC: u32 = 0xd00d_feed;

fn word(b: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_be_bytes(b.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize)
}

/// Removes all NOPs from the structure block of `tree`, in place. `None` when it is no well-formed tree (version 17).
pub fn squeeze(tree: &mut [u8]) -> Option<()> {
    if word(tree, 0)? != MAGIC as usize {
        return None;
    }
    let (start, size) = (word(tree, 8)?, word(tree, 36)?);
    let block = tree.get_mut(start..start.checked_add(size)?)?;
    let (mut from, mut to) = (0, 0);
    loop {
        let token = word(block, from)? as u32;
        let length = match token {
            NOP | END_NODE | END => 4,
            BEGIN_NODE => {
                let name = block.get(from + 4..)?.iter().position(|&b| b == 0)?;
                4 + (name + 1).next_multiple_of(4)
            }
            PROPERTY => 12usize.checked_add(word(block, from + 4)?)?.checked_next_multiple_of(4)?,
            _ => return None,
        };
        let end = from.checked_add(length).filter(|&e| e <= block.len())?;
        if token != NOP {
            block.copy_within(from..end, to);
            to += length;
        }
        from = end;
        if token == END {
            break;
        }
    }
    tree.get_mut(36..40)?.copy_from_slice(&(to as u32).to_be_bytes());
    Some(())
}

#[cfg(test)]
mod test {
    use super::*;

    /// Root with one property `a` = 1, a NOP, and child `c` with a NOP in it.
    fn tree() -> Vec<u8> {
        let structure: [u32; 14] = [
            BEGIN_NODE,
            0,
            PROPERTY,
            4,
            0,
            1,
            NOP,
            BEGIN_NODE,
            u32::from_be_bytes(*b"c\0\0\0"),
            NOP,
            END_NODE,
            NOP,
            END_NODE,
            END,
        ];
        let header: [u32; 10] = [MAGIC, 40 + 16 + 56 + 2, 56, 56 + 56, 40, 17, 16, 0, 2, 56];
        let mut bytes: Vec<u8> =
            header.iter().chain(&[0; 4]).chain(&structure).flat_map(|w| w.to_be_bytes()).collect();
        bytes.extend(b"a\0");
        bytes
    }

    #[test]
    fn nops_go_and_the_rest_stays() {
        let mut bytes = tree();
        squeeze(&mut bytes).expect("well-formed");
        assert_eq!(word(&bytes, 36), Some(56 - 12));
        let fdt = fdt::Fdt::new(&bytes).expect("tree");
        assert_eq!(fdt.find_node("/c").expect("child").name, "c");
        assert_eq!(fdt.find_node("/").expect("root").property("a").expect("property").value, [0, 0, 0, 1]);
    }

    #[test]
    fn damage_is_an_answer_not_a_panic() {
        for length in 0..tree().len() {
            let mut cut = tree();
            cut.truncate(length);
            let _ = squeeze(&mut cut);
        }
        for at in 0..tree().len() {
            let mut bytes = tree();
            bytes[at] ^= 0xff;
            let _ = squeeze(&mut bytes);
        }
    }
}
