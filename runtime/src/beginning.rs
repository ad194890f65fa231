//! Where a kernel that is begun anew begins: with the newest snapshot that f + 1 replicas vouch for (channels `begin-NAME`), or with the log's first entry.
//!
//! The bytes are taken from the rings `snapshot-NAME` of the other kernels, of whom none is believed: they count when their digest is the root that the
//! replicas name, and nothing looks into them before. So a kernel or a replica that lies here costs its reader some time.
//!
//! One that is to execute again what its predecessor was lost in begins not after the sync point that the replicas name (decision 11), or, if it cannot, like all.

use crate::agreed::AgreedLog;
use crate::channel::{Channel, module_at};
use abi::bootinfo::{BootInfo, KERNELS_MAX, name_str};
use abi::log::{ENTRY_MAX, NUMBER_SIZE, REPLICAS, VOUCHERS};
use abi::ring;
use abi::snapshot::{Beginning, LENGTH_SIZE, Root};
use core::sync::atomic::AtomicU64;
use ipc::BroadcastReader;

/// So many of the last words of each replica are looked at.
const WORDS: usize = 16;
/// So many sync points are executed again at most where that begins with the log's first entry.
const FAR: u64 = 16_384;
/// So long, milliseconds, is a snapshot waited for where the log could be followed from its beginning too.
const PATIENCE_MS: u64 = 1000;
/// Between two looks, milliseconds.
const LOOK_MS: u64 = 5;

type Region<'a> = &'a [AtomicU64];

/// How a kernel begins.
pub struct Start {
    /// The snapshot to begin with, as a module; `None`: the log begins with Boot.
    pub snapshot: Option<&'static [u8]>,
    /// The log, from there on.
    pub log: AgreedLog<'static>,
}

/// What a newcomer reads.
struct Rings<'a> {
    /// `agreed-` and `begin-` of each replica.
    replicas: [Option<(Region<'a>, Region<'a>)>; REPLICAS],
    /// `snapshot-` of each kernel, in the order of their domains; not its own.
    written: [Option<Region<'a>>; KERNELS_MAX],
}

/// Finds out how this kernel begins. Waits, if it is begun anew and can neither follow the log from its beginning nor begin with a snapshot. `room` gives
/// memory of at least so many bytes, once or twice. `None`: there are too few channels `agreed-`, or too many.
///
/// # Safety
/// As of [`Channel::at`] and [`module_at`]: (1) all channels and modules are mapped at `virtual = ipa + offset`, normal memory, write-back, for ever.
pub unsafe fn start(
    boot: &'static BootInfo,
    offset: u64,
    mut room: impl FnMut(usize) -> &'static mut [u8],
) -> Option<Start> {
    // SAFETY: (1) the caller mapped them so.
    let (snapshot, log) = unsafe { (module_at(boot, "snapshot", offset), AgreedLog::open(boot, offset)) };
    if boot.restarts == 0 || snapshot.is_some() {
        return Some(Start { snapshot, log: log? });
    }
    // SAFETY: (1) the caller mapped them so; no stream is among them.
    let rings = Rings::open(boot, |name, ipa| unsafe {
        Channel::at(boot, name, ipa.wrapping_add(offset)).map(|c| c.words())
    });
    let per_ms = boot.counter_hz.max(1000) / 1000;
    let patient_until = crate::calls::now().saturating_add(PATIENCE_MS * per_ms);
    let (mut memory, mut told): (&'static mut [u8], bool) = (&mut [], false);
    let mut bound = rings.bound(boot.incarnation());
    loop {
        let mut below = bound;
        while let Some(beginning) = rings.newest(below) {
            let need = rings.need(&beginning)?;
            if memory.len() < need {
                memory = room(need);
            }
            if rings.fetch(&beginning, memory) {
                let snapshot = memory.get(..beginning.bytes as usize)?;
                return Some(Start { snapshot: Some(snapshot), log: rings.log(&beginning)? });
            }
            let Some(older) = beginning.s.checked_sub(1) else { break };
            below = Some(older);
        }
        if let Some(s) = bound.take() {
            if s <= FAR && rings.hold_the_beginning() {
                return Some(Start { snapshot: None, log: log? });
            }
            continue;
        }
        let now = crate::calls::now();
        if now >= patient_until && rings.hold_the_beginning() {
            return Some(Start { snapshot: None, log: log? });
        }
        if now >= patient_until && !core::mem::replace(&mut told, true) {
            crate::say!(
                "{}: the log's beginning is gone and there is no snapshot: waits for one",
                name_str(&boot.name)
            );
        }
        crate::calls::wait(now.saturating_add(LOOK_MS * per_ms));
    }
}

impl<'a> Rings<'a> {
    fn open(boot: &BootInfo, mut map: impl FnMut(&str, u64) -> Option<Region<'a>>) -> Self {
        let mut rings = Rings { replicas: [None; REPLICAS], written: [None; KERNELS_MAX] };
        for (slot, agreed) in rings.replicas.iter_mut().zip(boot.read_channels("agreed-")) {
            let begin = boot.read_channels("begin-").find(|c| c.writer == agreed.writer);
            *slot = begin.and_then(|begin| {
                Some((map(name_str(&agreed.name), agreed.ipa)?, map(name_str(&begin.name), begin.ipa)?))
            });
        }
        let kernels = (0..u64::BITS).filter(|d| boot.run.kernels() >> d & 1 == 1);
        for (slot, domain) in rings.written.iter_mut().zip(kernels) {
            let own = boot.read_channels("snapshot-").find(|c| c.writer == domain);
            *slot = own.and_then(|c| map(name_str(&c.name), c.ipa));
        }
        rings
    }

    /// The last words of replica `i`, the newest first.
    fn words(&self, i: usize) -> impl Iterator<Item = Beginning> {
        let begin = self.replicas.get(i).copied().flatten().map(|(_, begin)| begin);
        let head = begin.and_then(BroadcastReader::new).map(|mut reader| {
            reader.skip_to_head();
            reader.position()
        });
        (1..=WORDS).filter_map(move |back| {
            let at = head?.checked_sub((back * ring::record_size(Beginning::SIZE)) as u64)?;
            let mut record = [0; Beginning::SIZE];
            let length = BroadcastReader::starting_at(begin?, at)?.read(&mut record).ok()??;
            Beginning::decode(record.get(..length)?)
        })
    }

    /// The word of replica `i` on `beginning`.
    fn word(&self, i: usize, beginning: &Beginning) -> Option<Beginning> {
        self.words(i).find(|own| own.agrees(beginning))
    }

    /// The newest snapshot, not after sync point `bound`, that enough replicas vouch for.
    fn newest(&self, bound: Option<u64>) -> Option<Beginning> {
        let vouched =
            |b: &Beginning| (0..REPLICAS).filter(|i| self.word(*i, b).is_some()).count() >= VOUCHERS;
        let all = (0..REPLICAS).flat_map(|i| self.words(i));
        let older = all.filter(|b| b.records > 0 && bound.is_none_or(|bound| b.s <= bound));
        older.fold(None, |newest: Option<Beginning>, b| match newest {
            Some(newest) if newest.s >= b.s => Some(newest),
            _ if vouched(&b) => Some(b),
            _ => newest,
        })
    }

    /// The sync point after which `incarnation` is not to begin: not earlier than a correct replica names it. `None`: too few name any.
    fn bound(&self, incarnation: u32) -> Option<u64> {
        let word = |i| self.words(i).find_map(|word: Beginning| word.bound_of(incarnation));
        let mut named: [u64; REPLICAS] = core::array::from_fn(|i| word(i).unwrap_or(u64::MAX));
        named.sort_unstable();
        named.get(VOUCHERS - 1).copied().filter(|s| *s != u64::MAX)
    }

    /// Bytes to read it in, an entry of the log too; `None`: no ring can hold it.
    fn need(&self, beginning: &Beginning) -> Option<usize> {
        let largest = self.written.iter().flatten().map(|words| size_of_val(*words)).max()?;
        let bytes = usize::try_from(beginning.bytes).ok().filter(|n| *n <= largest)?;
        Some(bytes.max(NUMBER_SIZE + ENTRY_MAX))
    }

    /// Copies the snapshot into `memory` (of [`Rings::need`] bytes), if the log behind it is there, and some ring has bytes with its root.
    fn fetch(&self, beginning: &Beginning, memory: &mut [u8]) -> bool {
        let logged = (0..REPLICAS).filter(|i| self.has_entry(*i, beginning, memory)).count();
        if logged < VOUCHERS {
            return false;
        }
        let told = (0..REPLICAS).filter_map(|i| self.word(i, beginning));
        let mut places = told.flat_map(|word| word.places.into_iter().zip(&self.written));
        places.any(|(at, words)| words.is_some_and(|words| copy(words, at, beginning, memory).is_some()))
    }

    /// Whether the ring of replica `i` still holds the snapshot's entry.
    fn has_entry(&self, i: usize, beginning: &Beginning, memory: &mut [u8]) -> bool {
        let (Some((agreed, _)), Some(word)) =
            (self.replicas.get(i).copied().flatten(), self.word(i, beginning))
        else {
            return false;
        };
        number_at(agreed, word.log, memory) == Some(beginning.entry)
    }

    fn hold_the_beginning(&self) -> bool {
        let rings = self.replicas.iter().flatten();
        rings.filter(|(agreed, _)| number_at(agreed, 0, &mut [0; NUMBER_SIZE]) == Some(0)).count() >= VOUCHERS
    }

    /// The log from the snapshot's entry on.
    fn log(&self, beginning: &Beginning) -> Option<AgreedLog<'a>> {
        let sources = (0..REPLICAS).filter_map(|i| {
            let (agreed, _) = self.replicas.get(i).copied().flatten()?;
            Some((agreed, self.word(i, beginning).map(|word| word.log)))
        });
        AgreedLog::starting(sources, beginning.entry)
    }
}

/// The number of the entry at `position`; of one that is longer than `out` too.
fn number_at(agreed: Region<'_>, position: u64, out: &mut [u8]) -> Option<u64> {
    match BroadcastReader::starting_at(agreed, position)?.read(out) {
        Ok(Some(_)) | Err(ipc::ReadError::TooLong(_)) => {}
        _ => return None,
    }
    out.first_chunk().map(|number| u64::from_le_bytes(*number))
}

/// Copies the records that begin at `position` into `memory`, as a module; `None`: they have not the root.
fn copy(words: Region<'_>, position: u64, beginning: &Beginning, memory: &mut [u8]) -> Option<()> {
    let mut reader = BroadcastReader::starting_at(words, position)?;
    let (mut root, mut rest) = (Root::default(), memory.get_mut(..beginning.bytes as usize)?);
    while root.records() < beginning.records {
        let (length, to) = rest.split_first_chunk_mut::<LENGTH_SIZE>()?;
        let read = reader.read(to).ok()??;
        *length = u32::try_from(read).ok()?.to_le_bytes();
        let (record, behind) = to.split_at_mut_checked(read)?;
        root.push(record);
        rest = behind;
    }
    (rest.is_empty() && root.digest() == beginning.root).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::BroadcastWriter;

    fn region(bytes: usize) -> Vec<AtomicU64> {
        (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
    }

    /// Four replicas whose rings hold 16 entries, three kernels that wrote the same snapshot, and what the replicas say of it.
    struct World {
        agreed: [Vec<AtomicU64>; 4],
        begin: [Vec<AtomicU64>; 4],
        written: [Vec<AtomicU64>; 4],
        beginning: Beginning,
    }

    const RECORDS: [&[u8]; 3] = [b"head", &[7; 5000], b"end"];
    const ENTRY: u64 = 9;

    fn entry(n: u64) -> Vec<u8> {
        [&n.to_le_bytes()[..], b"entry"].concat()
    }

    fn world() -> World {
        let (mut root, places) = (Root::default(), [u64::MAX; KERNELS_MAX]);
        RECORDS.iter().for_each(|record| root.push(record));
        let (records, bytes, root) = (root.records(), root.bytes(), root.digest());
        let mut w = World {
            agreed: core::array::from_fn(|_| region(8192)),
            begin: core::array::from_fn(|_| region(8192)),
            written: core::array::from_fn(|_| region(4096 + 16384)),
            beginning: Beginning { s: 8, entry: ENTRY, records, bytes, root, log: 0, places },
        };
        for agreed in &w.agreed {
            let mut writer = BroadcastWriter::new(agreed).unwrap();
            for n in 0..16 {
                if n == ENTRY {
                    w.beginning.log = writer.position();
                }
                writer.write(&entry(n)).unwrap();
            }
        }
        for (written, place) in w.written.iter().zip(&mut w.beginning.places).take(3) {
            let mut writer = BroadcastWriter::new(written).unwrap();
            writer.write(b"an older one").unwrap();
            *place = writer.position();
            RECORDS.iter().for_each(|record| writer.write(record).unwrap());
        }
        w
    }

    impl World {
        /// Replica `i` says that.
        fn say(&self, i: usize, beginning: &Beginning) {
            BroadcastWriter::new(&self.begin[i]).unwrap().write(&beginning.encode()).unwrap();
        }

        /// What kernel `k` wrote is not what the others wrote.
        fn spoil(&self, k: usize) {
            let word = &self.written[k][4096 / 8 + 40];
            word.fetch_xor(1, core::sync::atomic::Ordering::Relaxed);
        }

        fn rings(&self) -> Rings<'_> {
            Rings {
                replicas: core::array::from_fn(|i| Some((&self.agreed[i][..], &self.begin[i][..]))),
                written: core::array::from_fn(|k| self.written.get(k).map(|words| &words[..])),
            }
        }

        /// The snapshot, and the first entry read behind it.
        fn begin(&self) -> Option<(Vec<u8>, Vec<u8>)> {
            self.begin_below(None)
        }

        fn begin_below(&self, mut below: Option<u64>) -> Option<(Vec<u8>, Vec<u8>)> {
            let rings = self.rings();
            while let Some(beginning) = rings.newest(below) {
                let mut memory = vec![0; rings.need(&beginning).unwrap()];
                if rings.fetch(&beginning, &mut memory) {
                    memory.truncate(beginning.bytes as usize);
                    let mut out = [0; 64];
                    let length = rings.log(&beginning).unwrap().read(&mut out).unwrap().unwrap();
                    return Some((memory, out[..length].to_vec()));
                }
                below = Some(beginning.s.checked_sub(1)?);
            }
            None
        }
    }

    fn expected() -> (Vec<u8>, Vec<u8>) {
        let module = RECORDS.iter().flat_map(|r| [&(r.len() as u32).to_le_bytes()[..], *r].concat());
        (module.collect(), b"entry".to_vec())
    }

    #[test]
    fn two_replicas_are_believed_and_one_is_not() {
        let w = world();
        w.say(0, &w.beginning);
        assert_eq!(w.begin(), None);
        w.say(2, &Beginning { s: 12, ..w.beginning });
        assert_eq!(w.begin(), None);
        w.say(3, &w.beginning);
        assert_eq!(w.begin(), Some(expected()));
    }

    #[test]
    fn a_kernel_with_a_wrong_byte_is_passed_over() {
        let w = world();
        (0..3).for_each(|i| w.say(i, &w.beginning));
        w.spoil(0);
        w.spoil(2);
        assert_eq!(w.begin(), Some(expected()));
        w.spoil(1);
        assert_eq!(w.begin(), None);
    }

    #[test]
    fn wrong_places_lead_nowhere_and_the_others_places_are_tried() {
        let w = world();
        w.say(0, &Beginning { log: 7, places: [3, u64::MAX, 1 << 40, 8, 9, 0, 0, 0], ..w.beginning });
        w.say(1, &w.beginning);
        assert_eq!(w.begin(), None, "one ring alone holds the entry");
        w.say(2, &w.beginning);
        assert_eq!(w.begin(), Some(expected()));
    }

    #[test]
    fn an_older_one_will_do_when_the_newest_cannot_be_had() {
        let w = world();
        for i in 0..4 {
            w.say(i, &w.beginning);
            w.say(i, &Beginning { s: 20, root: [0; 32], ..w.beginning });
        }
        assert_eq!(w.begin(), Some(expected()));
    }

    #[test]
    fn one_that_executes_again_begins_before_the_place_that_a_correct_replica_names() {
        let w = world();
        for i in 0..4 {
            w.say(i, &w.beginning);
            w.say(i, &Beginning { s: 20, ..w.beginning });
        }
        assert_eq!(w.rings().newest(None).map(|b| b.s), Some(20));
        assert_eq!([19, 7].map(|s| w.begin_below(Some(s))), [Some(expected()), None]);
        let (me, other) = (0x105, 0x205);
        w.say(2, &Beginning::not_after(me, 12));
        assert_eq!(w.rings().bound(me), None, "one replica alone names nothing");
        // One liar makes it not earlier; and not later, if two others name one.
        for (liar, bound) in [(0, 12), (15, 15), (u64::MAX - 1, u64::MAX - 1)] {
            w.say(3, &Beginning::not_after(me, liar));
            assert_eq!(w.rings().bound(me), Some(bound));
        }
        w.say(1, &Beginning::not_after(me, 12));
        assert_eq!((w.rings().bound(me), w.rings().bound(other)), (Some(12), None));
        // Two who lie name no snapshot by that.
        assert_eq!(w.rings().newest(Some(15)).map(|b| b.s), Some(8));
    }

    #[test]
    fn a_log_that_has_gone_beyond_is_no_log() {
        let w = world();
        (0..4).for_each(|i| w.say(i, &w.beginning));
        assert!(w.rings().hold_the_beginning());
        for agreed in &w.agreed {
            let mut writer = BroadcastWriter::new(agreed).unwrap();
            (16..400).for_each(|n| writer.write(&entry(n)).unwrap());
        }
        assert_eq!(w.begin(), None);
        assert!(!w.rings().hold_the_beginning());
    }
}
