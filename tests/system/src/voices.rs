//! Random sequences of calls (`apps/src/bin/sequences`) on each kernel alone and on Debian's Linux: the same seeds, the same answers.

use crate::{Options, run};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;
use xtask::build::Tools;
use xtask::linux::{self, Linux};

/// Sequences of one boot: few enough that it ends within [`crate::LIMIT`] on a busy host.
const BOOT: u64 = 250;

/// A sequence to which a kernel answers otherwise than Linux.
pub struct Difference {
    /// The kernel.
    pub kernel: String,
    /// The sequence's number.
    pub seed: u64,
    /// Calls in it.
    pub calls: u64,
}

impl Difference {
    /// The first lines of the traces that differ, Linux' and the kernel's; or what hinders it.
    pub fn told(&self) -> String {
        let Difference { kernel, seed, calls } = self;
        let traces = trace(linux::NAME, *seed, *calls).and_then(|t| Ok([t, trace(kernel, *seed, *calls)?]));
        let lines = traces.map(|[theirs, ours]| {
            let at = theirs.iter().zip(&ours).take_while(|(a, b)| a == b).count();
            [theirs, ours].map(|t| t.get(at).cloned().unwrap_or_default())
        });
        match lines {
            Ok([theirs, ours]) => format!("{kernel}, sequence {seed}\n  linux: {theirs}\n  own:   {ours}\n"),
            Err(e) => format!("{kernel}, sequence {seed}: {e:#}\n"),
        }
    }
}

/// Runs a command on a voice; what its console showed, without carriage returns.
pub fn said(voice: &str, command: &str) -> Result<String> {
    let options = Options { command: Some(command.into()), ..Options::default() };
    let console = if voice == linux::NAME {
        static LINUX: OnceLock<Linux> = OnceLock::new();
        let linux = match LINUX.get() {
            Some(l) => l,
            None => {
                let found = Linux::find(&Tools::find()?)?;
                LINUX.get_or_init(|| found)
            }
        };
        let ended = linux.run(&options, Duration::from_secs(600))?;
        ensure!(ended.status == Some(0), "linux: {command}: {:?}", ended.status);
        String::from_utf8_lossy(&ended.console).into_owned()
    } else {
        let f = run(command, Options { kernel: Some(voice.into()), ..options })
            .with_context(|| format!("{voice}: {command}"))?;
        ensure!(f.status == Some(0), "{voice}: {command}: {:?}\n{}", f.operator, f.console);
        f.console
    };
    Ok(console.replace('\r', ""))
}

/// The line of each sequence, by number.
fn sums(voice: &str, seeds: Range<u64>, calls: u64) -> Result<BTreeMap<u64, String>> {
    let mut found = BTreeMap::new();
    let mut at = seeds.start;
    while at < seeds.end {
        let count = BOOT.min(seeds.end - at);
        let text = said(voice, &format!("sequences {at} {count} {calls}"))?;
        for line in text.lines() {
            if let Some((seed, sum)) = line.split_once(' ').and_then(|(n, s)| Some((n.parse().ok()?, s))) {
                found.insert(seed, sum.to_owned());
            }
        }
        let missing = (at..at + count).find(|seed| !found.contains_key(seed));
        ensure!(missing.is_none(), "{voice}: nothing of sequence {missing:?}\n{text}");
        at += count;
    }
    Ok(found)
}

/// A sequence's trace, without the running sums.
fn trace(voice: &str, seed: u64, calls: u64) -> Result<Vec<String>> {
    let text = said(voice, &format!("sequences {seed} 1 {calls} -v 2>&1"))?;
    Ok(text.lines().map(|l| l.rsplit_once(' ').map_or(l, |(before, _)| before).to_owned()).collect())
}

/// All differences between each of `kernels` and Linux.
pub fn differences(kernels: &[&str], seeds: Range<u64>, calls: u64) -> Result<Vec<Difference>> {
    let linux = sums(linux::NAME, seeds.clone(), calls)?;
    let mut found = Vec::new();
    for kernel in kernels {
        let own = sums(kernel, seeds.clone(), calls)?;
        let differing = linux.iter().filter(|(seed, sum)| own.get(seed) != Some(sum));
        found.extend(differing.map(|(seed, _)| Difference {
            kernel: kernel.to_string(),
            seed: *seed,
            calls,
        }));
    }
    Ok(found)
}
