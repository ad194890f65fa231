//! Random sequences of calls (`apps/src/bin/sequences`) on each kernel alone and on Debian's Linux: the same seeds, the same answers.

use crate::{LIMIT, Options, Session, images, turn};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use xtask::build::Tools;
use xtask::linux::{self, Linux};

/// Sequences of one boot: many, since a boot costs as much as a hundred, and few enough that all cores have work to the end.
const BOOT: usize = 1000;
/// What a sequence takes at most, on a busy host.
const BEHIND: Duration = Duration::from_millis(500);

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
        let _turn = turn();
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

/// Debian's kernel, looked for once.
fn linux() -> Result<&'static Linux> {
    static LINUX: OnceLock<Linux> = OnceLock::new();
    match LINUX.get() {
        Some(found) => Ok(found),
        None => {
            let found = Linux::find(&Tools::find()?)?;
            Ok(LINUX.get_or_init(|| found))
        }
    }
}

/// Runs a command on a voice, for at most `limit`; what its console showed, without carriage returns. The caller has the machines' turn.
fn shown(voice: &str, command: &str, limit: Duration) -> Result<String> {
    let options = Options { command: Some(command.into()), ..Options::default() };
    let console = if voice == linux::NAME {
        let ended = linux()?.run(&options, limit)?;
        ensure!(ended.status == Some(0), "linux: {command}: {:?}", ended.status);
        String::from_utf8_lossy(&ended.console).into_owned()
    } else {
        let options = Options { kernel: Some(voice.into()), ..options };
        let f = Session::boot_beside(images(), &options, limit)
            .and_then(Session::finish)
            .with_context(|| format!("{voice}: {command}"))?;
        ensure!(f.status == Some(0), "{voice}: {command}: {:?}\n{}", f.operator, f.console);
        f.console
    };
    Ok(console.replace('\r', ""))
}

/// Runs a command on a voice, for at most `limit`; what its console showed.
pub fn said(voice: &str, command: &str, limit: Duration) -> Result<String> {
    let _turn = turn();
    shown(voice, command, limit)
}

/// The line of each sequence, by number; of one boot.
fn sums(voice: &str, seeds: Range<u64>, calls: u64) -> Result<BTreeMap<u64, String>> {
    let count = seeds.end - seeds.start;
    let limit = LIMIT + BEHIND * u32::try_from(count)?;
    let text = shown(voice, &format!("sequences {} {count} {calls}", seeds.start), limit)?;
    let found: BTreeMap<u64, String> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(seed, sum)| Some((seed.parse().ok()?, sum.to_owned())))
        .collect();
    let missing = seeds.clone().find(|seed| !found.contains_key(seed));
    ensure!(missing.is_none(), "{voice}: nothing of sequence {missing:?}\n{text}");
    Ok(found)
}

/// The same of all `voices`, in as many boots as it takes, one for each core of the host at a time.
fn all_sums(
    voices: &[&str],
    seeds: Range<u64>,
    calls: u64,
) -> Result<BTreeMap<String, BTreeMap<u64, String>>> {
    let boots = voices.iter().flat_map(|voice| {
        seeds.clone().step_by(BOOT).map(|at| (*voice, at..(at + BOOT as u64).min(seeds.end)))
    });
    let (boots, found) = (Mutex::new(boots), Mutex::new(BTreeMap::<_, BTreeMap<_, _>>::new()));
    let next = || boots.lock().unwrap_or_else(|e| e.into_inner()).next();
    let work = || {
        while let Some((voice, seeds)) = next() {
            let own = sums(voice, seeds, calls)?;
            let mut found = found.lock().unwrap_or_else(|e| e.into_inner());
            found.entry(voice.to_owned()).or_default().extend(own);
        }
        Ok(())
    };
    images();
    linux()?;
    let _turn = turn();
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(|_| bail!("a boot's thread panicked")))
    })?;
    Ok(found.into_inner().unwrap_or_else(|e| e.into_inner()))
}

/// A sequence's trace, without the running sums.
fn trace(voice: &str, seed: u64, calls: u64) -> Result<Vec<String>> {
    let text = shown(voice, &format!("sequences {seed} 1 {calls} -v 2>&1"), LIMIT)?;
    Ok(text.lines().map(|l| l.rsplit_once(' ').map_or(l, |(before, _)| before).to_owned()).collect())
}

/// All differences between each of `kernels` and Linux.
pub fn differences(kernels: &[&str], seeds: Range<u64>, calls: u64) -> Result<Vec<Difference>> {
    // Linux is the fastest, so it comes last: then no core waits for long at the end.
    let voices: Vec<&str> = kernels.iter().copied().chain([linux::NAME]).collect();
    let mut sums = all_sums(&voices, seeds, calls)?;
    let linux = sums.remove(linux::NAME).unwrap_or_default();
    let mut found = Vec::new();
    for (kernel, own) in sums {
        let differing = linux.iter().filter(|(seed, sum)| own.get(seed) != Some(sum));
        found.extend(differing.map(|(seed, _)| Difference { kernel: kernel.clone(), seed: *seed, calls }));
    }
    Ok(found)
}
