//! What the root task does first: builds the memory of all partitions on all cores, and gives them their time, by capability invocations
//! (`abi::capability::root` says with what it begins).
//!
//! A partition's Untyped, which lies in the store of its core, becomes frames ([`crate::partition`]); tables and CNodes are made of free RAM that is
//! lent to that core. Then Restart has EL2 copy the image, and the partition runs. What else a partition sees (boot page, channels, devices) EL2
//! has mapped already: docs/limits.md. On other cores this is done in the name of their agents, on all at the same time: one request is out at a
//! time for each.
//!
//! While it builds, a core's CSpace (the agent's, and the root task's own) is one level deeper, so that what partitions' CNodes hold has addresses:
//!
//! ```text
//! address   5 bits           rest
//!           0                as before: the CSpace that it had
//!           1 + partition    slot of the CNode that keeps what that partition's memory became
//! ```

use crate::capability::{Registers, ask, invoke};
use crate::partition::{KEPT, Layout, PAGE, ROOM_RADIX, Step, TABLES, retype, step};
use abi::bootinfo::{BootInfo, DOMAINS_MAX, name_str};
use abi::bundle::Bundle;
use abi::capability::{ERROR_BASE, IN_PROGRESS, kind, label, root};
use core::fmt;

/// Microseconds in which each partition gets its share of its core.
const PERIOD_US: u64 = 10_000;
/// The CNode above a core's CSpace, while it is there.
const ROOM: u64 = root::FREE + 17;
/// Plus a core: what is lent to it.
const LENT: u64 = root::FREE + 24;
const CORES: usize = 8;
/// Bytes of a slot; a CNode has one more than it shows.
const SLOT: u64 = 64;
/// Tries until what was lent to another core must be there.
const TRIES: u32 = 1000;
/// FailedLookup.
pub(crate) const NOT_THERE: i64 = ERROR_BASE - 5;

const _: () = assert!(LENT + CORES as u64 <= root::FREE + 32, "from there on slots are those of `seal`");

/// Why a partition was not built.
#[derive(Clone, Copy, Debug)]
pub enum BuildError {
    /// The bundle is damaged, or has not this partition's image.
    NoImage,
    /// No piece of free RAM is large enough for tables.
    NoMemory,
    /// An invocation failed: capability, label, error.
    Refused(u64, u64, i64),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoImage => f.write_str("the bundle has not its image"),
            Self::NoMemory => f.write_str("no free RAM for tables"),
            Self::Refused(address, label, error) => {
                write!(f, "EL2 refuses label {label} of capability {address}: {error}")
            }
        }
    }
}

pub(crate) fn done(address: u64, label: u64, arguments: &[u64]) -> Result<u64, BuildError> {
    ask(address, label, arguments).map_err(|error| BuildError::Refused(address, label, error))
}

/// Has an invocation begun on another core, by its agent.
fn request(core: u64, address: u64, label: u64, arguments: &[u64]) -> Result<(), BuildError> {
    let mut words = [0; 10];
    words[..2].copy_from_slice(&[address, label]);
    words.iter_mut().skip(2).zip(arguments).for_each(|(word, argument)| *word = *argument);
    done(root::OTHER_CORES + core, label::REMOTE, &words).map(|_| ())
}

/// How the last request to a core ended: its error; `None` while it is under way.
fn answer(core: u64) -> Option<Result<(), i64>> {
    let mut answer = Registers::new(root::OTHER_CORES + core, &[]);
    invoke(label::INSPECT, &mut answer);
    match answer.status() {
        IN_PROGRESS => None,
        0.. => Some(Ok(())),
        error => Some(Err(error)),
    }
}

/// Lets others run for `1 / part` of a second.
pub(crate) fn pause(boot: &BootInfo, part: u64) {
    crate::wait(crate::calls::now() + boot.counter_hz / part);
}

/// An invocation on another core, by its agent.
pub(crate) fn there(
    boot: &BootInfo,
    core: u64,
    address: u64,
    label: u64,
    arguments: &[u64],
) -> Result<(), BuildError> {
    request(core, address, label, arguments)?;
    loop {
        if let Some(answer) = answer(core) {
            return answer.map_err(|error| BuildError::Refused(address, label, error));
        }
        pause(boot, 20_000);
    }
}

pub(crate) fn core_of(boot: &BootInfo, index: u64) -> u64 {
    boot.partitions.get(index as usize).map_or(0, |p| p.core.into())
}

/// A step, and the partition that it is for.
type Task = (u64, Step);

#[derive(Clone, Copy)]
struct Builder<'a> {
    boot: &'a BootInfo,
    /// By index; `None`: EL2 has built it.
    layouts: &'a [Option<Layout<'a>>],
    own: u64,
    here: u64,
}

impl<'a> Builder<'a> {
    /// The partitions of core `core` but the one that builds.
    fn on(self, core: u64) -> impl Iterator<Item = u64> + use<'a> {
        let builder = self;
        let all = (0..u64::from(builder.boot.domains)).filter(move |&n| n != builder.own);
        all.filter(move |&n| core_of(builder.boot, n) == core)
    }

    fn layout(self, index: u64) -> Option<&'a Layout<'a>> {
        self.layouts.get(index as usize)?.as_ref()
    }

    /// Pages that core `core` needs for CNodes and tables.
    fn pages(&self, core: u64) -> u64 {
        let cnode = |radix: u64| ((1 << radix) + 1) * SLOT;
        let layouts = || self.on(core).filter_map(|n| self.layout(n));
        let cnodes = cnode(ROOM_RADIX) + layouts().map(|l| cnode(l.radix())).sum::<u64>();
        cnodes.div_ceil(PAGE) + layouts().map(|l| l.tables()).sum::<u64>()
    }

    /// Lends core `core` memory for CNodes and tables, out of `free`.
    fn lend(&self, core: u64, free: u64) -> Result<(), BuildError> {
        let lent = LENT + core;
        let pages = self.pages(core);
        done(free, label::RETYPE, &[kind::UNTYPED, pages, root::CNODE, 0, 0, lent, 1])?;
        if core == self.here {
            done(root::CNODE, label::MOVE, &[TABLES, 64, root::CNODE, lent, 64]).map(|_| ())
        } else {
            done(lent, label::LEASE, &[core, TABLES, 64]).map(|_| ())
        }
    }

    /// The domain in whose name core `core`'s part is done.
    fn agent(&self, core: u64) -> u64 {
        if core == self.here { root::DOMAINS + self.own } else { root::AGENT }
    }

    /// Makes room above the core's CSpace.
    fn begin(self, core: u64) -> impl Iterator<Item = Task> + use<'a> {
        let own = self.own;
        let enter = move |place: u64, cnode: u64, radix: u64| {
            let guard = (64 - ROOM_RADIX - radix) << 58;
            step(ROOM, label::MINT, [place, ROOM_RADIX, root::CNODE, cnode, 64, 15, guard])
        };
        let room = [
            (own, retype(TABLES, kind::CNODE, ROOM_RADIX, root::CNODE, ROOM, 1)),
            (own, enter(0, root::CNODE, root::RADIX)),
        ];
        let partition = move |n: u64| {
            let radix = self.layout(n)?.radix();
            let cnode = retype(TABLES, kind::CNODE, radix, root::CNODE, KEPT + n, 1);
            Some([(n, cnode), (n, enter(n + 1, KEPT + n, radix))])
        };
        let configured = step(self.agent(core), label::CONFIGURE, [ROOM, 0, 0]);
        room.into_iter().chain(self.on(core).filter_map(partition).flatten()).chain([(own, configured)])
    }

    /// Gives partition `n` an equal share of its core, and lets it begin, unless it is cold.
    fn start(self, n: u64) -> impl Iterator<Item = Task> + use<'a> {
        let core = core_of(self.boot, n);
        let all = (0..u64::from(self.boot.domains)).filter(|&d| core_of(self.boot, d) == core).count() as u64;
        let (domain, context) = (root::DOMAINS + n, root::CONTEXTS + n);
        let begins = if self.layout(n).is_some() { label::RESTART } else { label::RESUME };
        let steps = [
            step(domain, label::CONFIGURE, [0, root::SPACES + n, 0]),
            step(root::CORE, label::CARVE, [PERIOD_US / (all + 1), PERIOD_US, root::CNODE, context, 64]),
            step(context, label::BIND, [domain]),
            step(domain, begins, []),
        ];
        let cold = self.boot.run.cold >> n & 1 == 1;
        steps.into_iter().take(if cold { 3 } else { 4 }).map(move |step| (n, step))
    }

    /// All that is to be done on core `core`.
    fn script(self, core: u64) -> impl Iterator<Item = Task> + use<'a> {
        let memory = move |n: u64| {
            let steps = self.layout(n).into_iter().flat_map(|layout| layout.steps());
            steps.map(move |step| (n, step)).chain(self.start(n))
        };
        let back = [
            (self.own, step(self.agent(core), label::CONFIGURE, [root::CNODE, 0, 0])),
            (self.own, step(root::CNODE, label::DELETE, [ROOM, 64])),
        ];
        self.begin(core).chain(self.on(core).flat_map(memory)).chain(back)
    }

    /// Does what is to be done on `cores`, a bit each: everywhere at once.
    fn run(self, cores: u64) -> Result<(), (u64, BuildError)> {
        let is_in = |core: u64| cores >> core & 1 == 1;
        let mut scripts: [_; CORES] = core::array::from_fn(|core| self.script(core as u64));
        let mut asked: [Option<Task>; CORES] = [None; CORES];
        let mut tries = TRIES;
        loop {
            let (mut all, mut still) = (true, true);
            for ((core, script), asked) in
                (0..).zip(&mut scripts).zip(&mut asked).filter(|((c, _), _)| is_in(*c))
            {
                let refused =
                    |(n, (address, label, _)): Task, error| (n, BuildError::Refused(address, label, error));
                let next = match (*asked, asked.and_then(|_| answer(core))) {
                    (Some(_), None) => {
                        all = false;
                        continue;
                    }
                    // What was lent may still be on its way.
                    (Some(task), Some(Err(NOT_THERE))) if tries > 0 => {
                        tries -= 1;
                        Some(task)
                    }
                    (Some(task), Some(Err(error))) => return Err(refused(task, error)),
                    _ => script.next(),
                };
                *asked = next.filter(|_| core != self.here);
                let Some((n, (address, label, arguments))) = next else { continue };
                (all, still) = (false, false);
                let begun = if core == self.here {
                    done(address, label, &arguments).map(|_| ())
                } else {
                    request(core, address, label, &arguments)
                };
                begun.map_err(|e| (n, e))?;
            }
            if all {
                return Ok(());
            }
            if still {
                pause(self.boot, 20_000);
            }
        }
    }
}

/// Builds and starts all partitions, if the manifest says that this domain `builds`: only then it has the bundle. On an error the
/// partition that it is about.
pub fn build(boot: &'static BootInfo) -> Result<(), (u64, BuildError)> {
    let own = u64::from(boot.domain);
    let Some(bytes) = crate::channel::module(boot, "bundle") else { return Ok(()) };
    let bundle = Bundle::trusted(bytes).map_err(|_| (own, BuildError::NoImage))?;
    let parts = (0..).zip(&boot.partitions).take(boot.domains as usize);
    let mut layouts = [None; DOMAINS_MAX];
    for (layout, (index, part)) in
        layouts.iter_mut().zip(parts.clone()).filter(|(_, (_, p))| p.memory.size > 0)
    {
        let image = bundle.find(name_str(&part.image)).ok_or((index, BuildError::NoImage))?;
        *layout = Some(Layout { index, size: part.memory.size, image });
    }
    let builder = Builder { boot, layouts: &layouts, own, here: core_of(boot, own) };
    let largest = (root::UNTYPED..).zip(&boot.untyped).max_by_key(|(_, m)| m.size);
    let (free, _) = largest.ok_or((own, BuildError::NoMemory))?;
    let cores = parts.filter(|(n, _)| *n != own).fold(0u64, |cores, (_, part)| cores | 1 << (part.core & 7));
    for core in (0..CORES as u64).filter(|core| cores >> core & 1 == 1) {
        builder.lend(core, free).map_err(|e| (own, e))?;
    }
    builder.run(cores)
}
