//! Random sequences of calls (`apps/src/bin/sequences`) on each kernel alone and on Debian's Linux: the same seeds, the same answers.

use crate::kept::Kept;
use crate::{LIMIT, Options, Session, images, turn};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use xtask::build::Tools;
use xtask::linux::{self, Linux};

/// Groups of sequences in one boot: many, since a boot costs as much as a dozen, and few enough that all cores have work to the end.
const BOOT: u64 = 64;
/// What a sequence takes at most, on a busy host.
const BEHIND: Duration = Duration::from_millis(500);
/// All vCPUs take turns in one thread: most of them sleep, and threads that wake each other for each message cost a fifth more of the host's time.
const ONE_THREAD: &str = "tcg,thread=single";

/// The spare core, which nobody else is on when a kernel runs alone: beside a replica each message makes them take turns, QEMU forgets all
/// translations at each, and the boot costs 1.4 times as much of the host's time.
const OWN_CORE: u32 = 5;

/// How sequences are run.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Calls of a sequence.
    pub calls: u64,
    /// Sequences that follow each other in one process.
    pub together: u64,
}

/// A sequence to which a kernel answers otherwise than Linux.
pub struct Difference {
    /// The kernel.
    pub kernel: String,
    /// The sequence's number.
    pub seed: u64,
    /// That of the first of its group.
    pub first: u64,
    manner: Manner,
}

impl Difference {
    /// The first lines of the traces that differ, Linux' and the kernel's; or what hinders it.
    pub fn told(&self) -> String {
        let Difference { kernel, seed, .. } = self;
        let _turn = turn();
        let traces = self.trace(linux::NAME).and_then(|t| Ok([t, self.trace(kernel)?]));
        let lines = traces.map(|[theirs, ours]| {
            let at = theirs.iter().zip(&ours).take_while(|(a, b)| a == b).count();
            [theirs, ours].map(|t| t.get(at).cloned().unwrap_or_default())
        });
        match lines {
            Ok([theirs, ours]) => format!("{kernel}, sequence {seed}\n  linux: {theirs}\n  own:   {ours}\n"),
            Err(e) => format!("{kernel}, sequence {seed}: {e:#}\n"),
        }
    }

    /// What a voice answers to the group as far as this sequence, without the running sums.
    fn trace(&self, voice: &str) -> Result<Vec<String>> {
        let Manner { calls, together } = self.manner;
        let count = self.seed + 1 - self.first;
        let command = format!("sequences {} {count} {calls} {together} -v 2>&1", self.first);
        let text = shown(voice, &command, LIMIT)?;
        Ok(text.lines().map(|l| l.rsplit_once(' ').map_or(l, |(before, _)| before).to_owned()).collect())
    }
}

/// Debian's kernel, looked for once.
pub(crate) fn linux() -> Result<&'static Linux> {
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
        let qemu = vec!["-accel".into(), ONE_THREAD.into()];
        let cores = vec![("k1".into(), OWN_CORE)];
        let options = Options { kernel: Some(voice.into()), qemu, cores, ..options };
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

/// What a sequence came to: the sum of its answers, and how its process ended with it (0: it did not).
type Outcome = (u64, u32);

/// The outcome of each sequence in what a boot showed.
fn outcomes(text: &str) -> BTreeMap<u64, Outcome> {
    let outcome = |line: &str| {
        let mut words = line.split(' ');
        let seed = words.next()?.parse().ok()?;
        let sum = u64::from_str_radix(words.next()?, 16).ok()?;
        Some((seed, (sum, u32::from_str_radix(words.next()?, 16).ok()?)))
    };
    text.lines().filter_map(outcome).collect()
}

/// The outcomes of one boot, or of one that was kept.
fn sums(
    voice: &str,
    seeds: Range<u64>,
    manner: Manner,
    kept: Option<&Kept>,
) -> Result<BTreeMap<u64, Outcome>> {
    if let Some(found) =
        kept.and_then(|k| k.get(&seeds)).map(|text| outcomes(&text)).filter(|f| all(f, &seeds))
    {
        return Ok(found);
    }
    let count = seeds.end - seeds.start;
    let limit = LIMIT + BEHIND * u32::try_from(count)?;
    let Manner { calls, together } = manner;
    let text = shown(voice, &format!("sequences {} {count} {calls} {together}", seeds.start), limit)?;
    let found = outcomes(&text);
    ensure!(all(&found, &seeds), "{voice}: sequences of {seeds:?} are missing\n{text}");
    kept.map_or(Ok(()), |k| k.put(&seeds, &text))?;
    Ok(found)
}

fn all(found: &BTreeMap<u64, Outcome>, seeds: &Range<u64>) -> bool {
    seeds.clone().all(|seed| found.contains_key(&seed))
}

/// Does `work` for each of `boots`, one for each core of the host at a time.
fn side_by_side<B, T: Send>(
    boots: impl Iterator<Item = B> + Send,
    work: impl Fn(B) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (boots, found) = (Mutex::new(boots), Mutex::new(Vec::new()));
    let next = || boots.lock().unwrap_or_else(|e| e.into_inner()).next();
    let works = || {
        while let Some(boot) = next() {
            let own = work(boot)?;
            found.lock().unwrap_or_else(|e| e.into_inner()).push(own);
        }
        Ok(())
    };
    images();
    linux()?;
    let _turn = turn();
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(works)).collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(|_| bail!("a boot's thread panicked")))
    })?;
    Ok(found.into_inner().unwrap_or_else(|e| e.into_inner()))
}

/// What the console of each of `voices` showed of a command, each for at most `limit`.
pub fn said_by_all(voices: &[&str], command: &str, limit: Duration) -> Result<BTreeMap<String, String>> {
    let said = |voice: &str| Ok((voice.to_owned(), shown(voice, command, limit)?));
    Ok(side_by_side(voices.iter().copied(), said)?.into_iter().collect())
}

/// The outcomes of all `voices`, in as many boots as it takes.
fn all_sums(
    voices: &[&str],
    seeds: Range<u64>,
    manner: Manner,
    keeps: bool,
) -> Result<BTreeMap<String, BTreeMap<u64, Outcome>>> {
    let kept =
        voices.iter().map(|voice| Ok((*voice, if keeps { Some(Kept::of(voice, manner)?) } else { None })));
    let kept: Vec<(&str, Option<Kept>)> = kept.collect::<Result<_>>()?;
    let size = BOOT * manner.together.max(16);
    // All voices of the first numbers come first: a run that is ended has compared what it has.
    let boots = seeds.clone().step_by(size as usize).map(|at| at..(at + size).min(seeds.end));
    let boots =
        boots.flat_map(|seeds| kept.iter().map(move |(voice, kept)| (*voice, kept.as_ref(), seeds.clone())));
    let outcomes =
        side_by_side(boots, |(voice, kept, seeds)| Ok((voice, sums(voice, seeds, manner, kept)?)))?;
    let mut found = BTreeMap::<_, BTreeMap<_, _>>::new();
    for (voice, own) in outcomes {
        found.entry(voice.to_owned()).or_default().extend(own);
    }
    Ok(found)
}

/// The differences between each of `kernels` and Linux; of a group the first, which may make those behind it differ. `keeps`: what each boot showed
/// is kept, and taken from there if the same images were to show it again.
pub fn differences(
    kernels: &[&str],
    seeds: Range<u64>,
    manner: Manner,
    keeps: bool,
) -> Result<Vec<Difference>> {
    // Linux is the fastest, so it comes last: then no core waits for long at the end.
    let voices: Vec<&str> = kernels.iter().copied().chain([linux::NAME]).collect();
    let mut sums = all_sums(&voices, seeds.clone(), manner, keeps)?;
    let linux = sums.remove(linux::NAME).unwrap_or_default();
    let mut found: Vec<Difference> = Vec::new();
    for (kernel, own) in sums {
        for seed in linux.iter().filter(|(seed, sum)| own.get(seed) != Some(sum)).map(|(seed, _)| *seed) {
            let first = seed - (seed - seeds.start) % manner.together;
            if found.last().is_none_or(|d| d.kernel != kernel || d.first != first) {
                found.push(Difference { kernel: kernel.clone(), seed, first, manner });
            }
        }
    }
    Ok(found)
}
