//! Devices with their physical addresses. A node's `reg` counts in the addresses of the bus that it is on; `ranges` of each bus on the
//! way up says where they are for a processor (Devicetree Specification, 2.3.8). The `fdt` crate does not follow them.

use abi::manifest::Range;
use fdt::{Fdt, node::FdtNode};
use heapless::Vec;

/// Buses within buses that are followed.
const DEPTH_MAX: usize = 8;
/// Register blocks of a node that are looked at.
pub const BLOCKS_MAX: usize = 4;

/// A bus: how many cells its addresses and sizes have, how they translate, and what it is on itself.
struct Bus<'a, 'p> {
    address_cells: usize,
    size_cells: usize,
    /// Absent: its children have no address that a processor could use.
    ranges: Option<&'a [u8]>,
    parent: Option<&'p Bus<'a, 'p>>,
    depth: usize,
}

/// The number in the `cells` cells at `at`; more than two: the lower two.
fn number(bytes: &[u8], at: usize, cells: usize) -> Option<u64> {
    let words = bytes.get(at * 4..(at + cells) * 4)?;
    Some(words.chunks(4).fold(0, |n, w| n << 32 | w.iter().fold(0, |n, &b| n << 8 | u64::from(b))))
}

impl<'a> Bus<'a, '_> {
    /// The address for a processor of a block on this bus.
    fn translate(&self, block: Range) -> Option<Range> {
        let (Some(parent), Some(ranges)) = (self.parent, self.ranges) else {
            return self.parent.is_none().then_some(block);
        };
        if ranges.is_empty() {
            return parent.translate(block);
        }
        let row = self.address_cells + parent.address_cells + self.size_cells;
        (0..ranges.len() / 4 / row.max(1)).find_map(|i| {
            let from = number(ranges, i * row, self.address_cells)?;
            let to = number(ranges, i * row + self.address_cells, parent.address_cells)?;
            let size = number(ranges, i * row + self.address_cells + parent.address_cells, self.size_cells)?;
            let offset = block.base.checked_sub(from).filter(|o| o + block.size <= size)?;
            parent.translate(Range { base: to.checked_add(offset)?, size: block.size })
        })
    }

    fn blocks(&self, node: FdtNode<'_, 'a>) -> Vec<Range, BLOCKS_MAX> {
        let mut blocks = Vec::new();
        let row = self.address_cells + self.size_cells;
        let reg = node.property("reg").map_or(&[][..], |p| p.value);
        for i in 0..reg.len() / 4 / row.max(1) {
            let base = number(reg, i * row, self.address_cells);
            let size = number(reg, i * row + self.address_cells, self.size_cells);
            let Some(block) = base.zip(size).and_then(|(base, size)| self.translate(Range { base, size }))
            else {
                break;
            };
            if blocks.push(block).is_err() {
                break;
            }
        }
        blocks
    }

    fn walk<'b, T>(
        &self,
        node: FdtNode<'b, 'a>,
        visit: &mut dyn FnMut(FdtNode<'b, 'a>, &[Range]) -> Option<T>,
    ) -> Option<T> {
        for child in node.children() {
            // Devicetree Specification, 2.3.4: anything but "okay" (or "ok", or nothing) is not there.
            let here = child.property("status").is_none_or(|p| p.value.starts_with(b"ok"));
            if !here {
                continue;
            }
            if let Some(found) = visit(child, &self.blocks(child)) {
                return Some(found);
            }
            let cells = child.cell_sizes();
            let bus = Bus {
                address_cells: cells.address_cells,
                size_cells: cells.size_cells,
                ranges: child.property("ranges").map(|p| p.value),
                parent: Some(self),
                depth: self.depth + 1,
            };
            if self.depth < DEPTH_MAX
                && let Some(found) = bus.walk(child, visit)
            {
                return Some(found);
            }
        }
        None
    }
}

/// Shows `visit` every node that is not disabled, with the physical addresses of its register blocks, until it gives an answer.
pub fn find<'b, 'a, T>(
    tree: &'b Fdt<'a>,
    mut visit: impl FnMut(FdtNode<'b, 'a>, &[Range]) -> Option<T>,
) -> Option<T> {
    let root = tree.find_node("/")?;
    let cells = root.cell_sizes();
    let bus = Bus {
        address_cells: cells.address_cells,
        size_cells: cells.size_cells,
        ranges: None,
        parent: None,
        depth: 0,
    };
    bus.walk(root, &mut visit)
}

/// Whether `node` says that it is one of `kinds`.
pub fn is(node: FdtNode<'_, '_>, kinds: &[&str]) -> bool {
    node.compatible().is_some_and(|c| c.all().any(|k| kinds.contains(&k)))
}
