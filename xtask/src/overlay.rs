//! What a run changes of the board's manifest.

use crate::build;
use crate::kernels::choose;
use crate::machine::Options;
use anyhow::Result;

/// Slot `k` runs `kernel`.
fn slot(k: usize, kernel: &str) -> String {
    format!(" k{k} {{ image = \"{kernel}\"; }};")
}

/// The overlay that makes the manifest this run's.
pub fn of(options: &Options) -> Result<String> {
    // QEMU fills `rng-seed` afresh at each start, wherever it finds one; a chosen seed has a name of its own.
    let (name, seed) = match options.seed {
        Some(s) => ("tetrarch,fixed-seed", s),
        None => ("rng-seed", build::fresh_seed()?),
    };
    // The wall clock when the machine's counter is zero: all replicas must know the same.
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros() as u64;
    let mut run = format!("start-time-us = <{:#x} {:#x}>; ", start >> 32, start as u32);
    run.extend(options.run.iter().map(|(k, v)| format!("{k} = <{v}>; ")));
    run.extend(options.iteration.map(|word| format!("iteration = \"{word}\"; ")));
    let mut partitions = String::new();
    if let Some(kernel) = &options.kernel {
        run.push_str("quorum = <1>; ");
        partitions = slot(1, kernel);
        if options.snapshot.is_some() {
            partitions.push_str(" k1 { modules = \"root\", \"snapshot\"; };");
        }
        (2..=5).for_each(|k| partitions.push_str(&format!(" k{k} {{ status = \"disabled\"; }};")));
    }
    for (i, kernel) in choose(options)?.0.iter().enumerate() {
        partitions.push_str(&slot(i + 1, kernel));
    }
    let sizes = options.channels.iter().map(|(name, size)| format!(" {name} {{ size = <{size}>; }};"));
    let channels: String = sizes.collect();
    for (partition, image) in &options.images {
        partitions.push_str(&format!(" {partition} {{ image = \"{image}\"; }};"));
    }
    for (partition, core) in &options.cores {
        partitions.push_str(&format!(" {partition} {{ core = <{core}>; }};"));
    }
    Ok(format!(
        "/ {{ chosen {{ {name} = {}; }};\n  tetrarch {{ run {{ {run}}}; partitions {{ {partitions} }}; channels {{ {channels} }}; }}; }};\n",
        build::tree_bytes(&seed)
    ))
}
