//! The capability stores and stage-2 tables of a running machine, read from outside: what there is, and whether tables and capabilities agree.
//!
//! The predicates are the model's own (`capability_model::invariants`), over the machine's memory. Tables that EL2's boot filled without
//! capabilities (boot pages, channels, devices, modules, the memory of who builds) are held against the manifest instead. Nothing stops while this looks, so a disagreement counts when it stays.

use crate::look::symbol;
use crate::session::Memory as Ram;
use abi::bootinfo::*;
use abi::capability::root;
use abi::manifest::{Manifest, Range};
use anyhow::{Context, Result, ensure};
use capability_model::invariants::{View, check_across, check_view, dump_with_tables};
use capability_model::memory::Memory;
use capability_model::space::{DESCRIPTOR_ADDRESS, descriptor_rights};
use capability_model::view::first_cnode;
use capability_model::{Cap, Rights, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::Ordering;

/// Looks before a disagreement is believed, and milliseconds between two.
const LOOKS: u32 = 20;
const PAUSE_MS: u64 = 20;
const CORES: u64 = 8;
/// Bit of a descriptor: a table, or a page at the last level.
const TABLE_OR_PAGE: u64 = 2;

/// RAM of the machine as the model sees it; what lies elsewhere is zero.
struct Outside<'a>(&'a Ram);

impl Memory for Outside<'_> {
    fn read(&self, address: u64) -> u64 {
        let words = self.0.words(Range { base: address & !7, size: 8 });
        words.and_then(|w| w.first()).map_or(0, |w| w.load(Ordering::Acquire))
    }
    fn write(&mut self, _: u64, _: u64) {}
    fn scrub(&mut self, _: u64) {}
    fn forget(&mut self, _: u16, _: Option<u64>) {}
    fn unmask(&mut self, _: u16) {}
}

/// A page or block that a domain reaches.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    domain: usize,
    ipa: u64,
    at: Range,
    rights: Rights,
    /// Made by EL2's boot, without a capability.
    fixed: bool,
}

impl Leaf {
    fn writable(&self) -> bool {
        self.rights.has(Rights::WRITE)
    }
}

/// What a machine with this EL2 and manifest holds, as text; an error if tables, capabilities and manifest do not agree.
pub fn state(ram: &Ram, el2: &Path, manifest: &Manifest) -> Result<String> {
    let mut last = Ok(String::new());
    for _ in 0..LOOKS {
        last = look_once(ram, el2, manifest);
        if last.is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(PAUSE_MS));
    }
    last
}

fn look_once(ram: &Ram, el2: &Path, manifest: &Manifest) -> Result<String> {
    let (start, end) = (symbol(el2, "__image_start")?, symbol(el2, "__image_end")?);
    let stores = symbol(el2, "EL2_STORES")?;
    let (mut out, mut leaves, mut views) = (String::new(), Vec::new(), Vec::new());
    let outside = Outside(ram);
    let found = (0..CORES).map(|core| (core, outside.read(stores + core * 8))).filter(|(_, at)| *at != 0);
    let all: Vec<_> = found.map(|(core, at)| (core, Store::read_from(Outside(ram), at))).collect();
    for (core, store) in &all {
        ensure!(
            u64::from(store.core()) == *core,
            "the store of core {core} says it is core {}'s",
            store.core()
        );
        let cnode = first_cnode(store).with_context(|| format!("core {core} has no CSpace"))?;
        let roots: Vec<_> = (0..1 << root::RADIX).map(|n| cnode.plus(n)).collect();
        let mut view = View::of(store, &roots);
        view.fixed = start..end;
        check_view(&view).map_err(|broken| anyhow::anyhow!("core {core}: {broken}"))?;
        let own = domains(&view, manifest.domains.len());
        let found: BTreeSet<_> = own.iter().map(|leaf| leaf.domain).collect();
        write!(out, "core {core}:")?;
        for (n, domain) in found.iter().filter_map(|n| Some((n, manifest.domains.get(*n)?))) {
            ensure!(
                u64::from(domain.core) == *core,
                "domain {n} is on core {core}, where it does not belong"
            );
            write!(out, " {}", domain.name())?;
        }
        writeln!(out)?;
        describe(&mut out, &view, &own, *core)?;
        leaves.extend(own);
        views.push(view);
    }
    check_across(&views).map_err(|broken| anyhow::anyhow!("between cores: {broken}"))?;
    for leaf in leaves.iter().filter(|leaf| leaf.fixed) {
        let name = manifest.domains.get(leaf.domain).map_or("?", |d| d.name());
        ensure!(
            is_planned(leaf, manifest, Range { base: start, size: end - start }),
            "{name} reaches {:#x} at {:#x} ({:?}), which the manifest does not give it",
            leaf.at.base,
            leaf.ipa,
            leaf.rights
        );
    }
    one_writer(&leaves, manifest)?;
    writeln!(out, "tables, capabilities and manifest agree")?;
    Ok(out)
}

/// Whether a frame is mapped there, with these rights at least.
fn has_frame(view: &View<'_, Outside<'_>>, vmid: u64, ipa: u64, at: u64, wanted: Rights) -> bool {
    view.nodes.values().any(|node| match node.cap {
        Cap::Frame { base, rights, mapping: Some(m), .. } => {
            base == at && m.ipa == ipa && u64::from(m.vmid) == vmid && rights.has(wanted)
        }
        _ => false,
    })
}

/// Which of `count` domains of the manifest this is, by the page that it begins with.
fn place(view: &View<'_, Outside<'_>>, root: u64, count: usize) -> Option<usize> {
    let leaves = dump_with_tables(view.store, root);
    let (.., page) = leaves.into_iter().find(|(_, ipa, level, _)| *ipa == BOOTINFO_IPA && *level == 3)?;
    let word = |n: u64| view.store.memory.read((page & DESCRIPTOR_ADDRESS) + n * 8);
    let index = word(1) as u32 as usize;
    (word(0) == BOOTINFO_MAGIC && index < count).then_some(index)
}

/// All that the domains of a store reach, of the `count` that the manifest has. Where their capabilities are is nobody's business: they may be sealed.
fn domains(view: &View<'_, Outside<'_>>, count: usize) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    let objects = view.nodes.values().filter_map(|node| match node.cap {
        Cap::Domain { at } => Some(at),
        _ => None,
    });
    for at in objects.collect::<BTreeSet<_>>() {
        let Some((table, vmid)) = view.store.domain_space(at) else { continue };
        let Some(domain) = place(view, table, count) else { continue };
        for (table, ipa, level, descriptor) in dump_with_tables(view.store, table) {
            let leaf = level == 3 || descriptor & TABLE_OR_PAGE == 0;
            if leaf {
                let at = Range {
                    base: descriptor & DESCRIPTOR_ADDRESS,
                    size: 1 << (12 + 9 * (3 - u32::from(level))),
                };
                let rights = descriptor_rights(descriptor);
                let fixed = view.fixed.contains(&table) && !has_frame(view, vmid, ipa, at.base, rights);
                leaves.push(Leaf { domain, ipa, at, rights, fixed });
            }
        }
    }
    leaves
}

fn describe(out: &mut String, view: &View<'_, Outside<'_>>, leaves: &[Leaf], core: u64) -> Result<()> {
    let mut kinds = BTreeMap::<String, u64>::new();
    for node in view.nodes.values() {
        let text = format!("{:?}", node.cap);
        let kind = text.split([' ', '{']).next().unwrap_or_default().to_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    let fixed = leaves.iter().filter(|leaf| leaf.fixed).count();
    write!(out, "core {core}: {} mappings, {fixed} of them EL2's own;", leaves.len())?;
    let share = view.store.utilisation() * 100 / capability_model::store::UTILISATION_ONE;
    write!(out, " {share} % of its time given out;")?;
    kinds.iter().try_for_each(|(kind, count)| write!(out, " {kind} {count}"))?;
    writeln!(out)?;
    for node in view.nodes.values() {
        if let Cap::Lease { peer, index, what, base, size } = node.cap {
            writeln!(out, "  lease {index} to core {peer}: {what:?} {base:#x}+{size:#x}")?;
        }
    }
    Ok(())
}

/// Whether the manifest gives the domain this, there, with these rights.
fn is_planned(leaf: &Leaf, manifest: &Manifest, el2: Range) -> bool {
    let Some(domain) = manifest.domains.get(leaf.domain) else { return false };
    let placed = |range: &Range, ipa: u64| {
        range.contains(&leaf.at) && leaf.ipa.checked_sub(ipa) == Some(leaf.at.base - range.base)
    };
    // Where somebody builds, EL2's boot has mapped his memory and no other.
    let by_boot = domain.builds || !manifest.domains.iter().any(|d| d.builds);
    let own = by_boot && placed(&domain.memory, MEMORY_IPA);
    if own || domain.devices.iter().any(|d| d.frame.contains(&leaf.at)) {
        return true;
    }
    for channel in &manifest.channels {
        if placed(&channel.frames, manifest.channel_ipa(channel)) {
            return channel.writer == leaf.domain || channel.reads(leaf.domain) && !leaf.writable();
        }
    }
    if el2.overlaps(&leaf.at) {
        // Its own pages for this domain: which of them may be written is the address's business.
        let peers = PEER_POSITION_IPA..PEER_POSITION_IPA + 4096 * CHANNELS_MAX as u64;
        return match leaf.ipa {
            POSITION_IPA => true,
            BOOTINFO_IPA | STATUS_IPA => !leaf.writable(),
            ipa => peers.contains(&ipa) && !leaf.writable(),
        };
    }
    let somebody = manifest.domains.iter().any(|d| d.memory.overlaps(&leaf.at));
    if (CPU_INTERFACE_IPA..CPU_INTERFACE_IPA + 0x2000).contains(&leaf.ipa) {
        return !somebody && domain.kind == abi::manifest::DomainKind::Personality;
    }
    // The bundle: read, and nobody's memory.
    leaf.ipa >= MODULE_IPA && !leaf.writable() && !somebody && !manifest.channel_memory.overlaps(&leaf.at)
}

/// No page can be written by two domains.
fn one_writer(leaves: &[Leaf], manifest: &Manifest) -> Result<()> {
    let mut written: Vec<&Leaf> = leaves.iter().filter(|leaf| leaf.writable()).collect();
    written.sort_by_key(|leaf| leaf.at.base);
    for pair in written.windows(2) {
        let [a, b] = pair else { continue };
        let name = |leaf: &Leaf| manifest.domains.get(leaf.domain).map_or("?", |d| d.name()).to_owned();
        ensure!(
            // The virtual CPU interface is each core's own at one address.
            !a.at.overlaps(&b.at) || a.domain == b.domain || a.ipa & !0x1fff == CPU_INTERFACE_IPA & !0x1fff,
            "{} and {} can both write {:#x}",
            name(a),
            name(b),
            b.at.base
        );
    }
    Ok(())
}
