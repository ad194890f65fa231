//! One side correct, the other writes anything anywhere in its own frames at any time.
//!
//! *Forged*, when the writer itself is hostile: it may say what it likes, so a copy is only its claim. But the claim must be whole and its
//! own. An accepted record (1) is 1..=`RECORD_MAX` bytes and fits the caller's buffer; (2) is, word for word and in order, what stood in
//! this ring when each word was read, each read once, after a first word that names this length and this position; (3) ends at or
//! before the head that this call read; (4) had not been overwritten by what `reserve` said after the copy. (2) also means that a third
//! party, which has no frame of this ring, can put nothing into it: no word outside the region is ever read.

use super::*;
use abi::ring;
use ipc::{BroadcastReader, BroadcastWriter, ReadError, StreamReader, StreamWriter, WriteError};
use std::rc::Rc;

const OUT: usize = 100;
/// Version twice, magic, capacity, head, reserve twice; the record's first word, its payload.
const LOADS_MAX: usize = 7 + 1 + OUT.div_ceil(8);

/// A call of a reader.
type Call<'a> = dyn FnMut(&mut [u8]) -> Result<Option<usize>, ReadError> + 'a;

/// Stores of somebody who knows the format.
fn scribble(words: &[Watched], chance: &mut Chance, near: u64) {
    if chance.one_in(24) {
        // A record at the reader's own position, in a header that fits: what comes next spoils it, or not.
        let length = if chance.one_in(2) { OUT as u64 } else { chance.below(130) };
        let head = near.wrapping_add(chance.below(20) * 8);
        let record = HEADER_WORDS + (near / 8) as usize % DATA_WORDS;
        for (place, value) in
            [(0, ring::MAGIC), (2, CAPACITY), (8, head), (16, head), (record, length | near << 32)]
        {
            words[place].poke(value);
        }
        return;
    }
    let position = near.wrapping_add(chance.below(40) * 8).wrapping_sub(64);
    let wild = match chance.below(6) {
        0 => chance.word(),
        1 => u64::MAX - chance.below(16),
        2 => (1 << 63) - chance.below(3) * 8,
        3 => chance.below(4096),
        _ => position,
    };
    let (place, value) = match chance.below(16) {
        0 => (0, if chance.one_in(8) { wild } else { ring::MAGIC }),
        1 => (1, if chance.one_in(4) { wild } else { 1 | chance.below(3) << 32 }),
        2 => (2, if chance.one_in(4) { wild } else { CAPACITY }),
        3..6 => (8, if chance.one_in(4) { wild } else { position }),
        6..9 => (16, if chance.one_in(4) { wild } else { position }),
        9 => (chance.below(WORDS as u64) as usize, wild),
        _ => {
            let length = match chance.below(8) {
                0 => chance.word() as u32 as u64,
                1 => 0,
                2 => ring::RECORD_MAX as u64 + chance.below(2),
                // The buffer's own length, which readers take a shorter way for.
                3 | 4 => OUT as u64,
                _ => chance.below(130),
            };
            let p = if chance.one_in(3) { position } else { near };
            (HEADER_WORDS + (p / 8) as usize % DATA_WORDS, length | p << 32)
        }
    };
    words[place].poke(value);
}

fn check_read(
    words: &[Watched],
    p: u64,
    result: Result<Option<usize>, ReadError>,
    out: &[u8],
    trace: &[Access],
) -> Result<(), Violation> {
    if trace.len() > LOADS_MAX {
        return Err(Violation::Unbounded);
    }
    let mut copied = ([0; OUT / 8 + 2], 0);
    let (mut head, mut reserve) = (None, 0);
    for access in trace {
        match place(words, access).ok_or(Violation::Outside)? {
            16 => {
                if head.replace(access.value).is_some() {
                    return Err(Violation::ReadTwice);
                }
            }
            8 => reserve = access.value,
            0..HEADER_WORDS => {}
            index => {
                let expected = (p / 8) as usize + copied.1;
                if index != HEADER_WORDS + expected % DATA_WORDS {
                    return Err(Violation::Forged);
                }
                copied.0[copied.1] = access.value;
                copied.1 += 1;
            }
        }
    }
    let length = match result {
        Ok(Some(length)) | Err(ReadError::TooLong(length)) => length,
        _ => return Ok(()),
    };
    if length == 0 || length > ring::RECORD_MAX {
        return Err(Violation::Unclamped);
    }
    let size = ring::record_size(length) as u64;
    if p.checked_add(size).is_none_or(|end| end > head.unwrap_or(0)) || reserve.saturating_sub(CAPACITY) > p {
        return Err(Violation::BeyondHead);
    }
    if result.is_ok() {
        let payload = copied.0[1..].iter().flat_map(|w| w.to_le_bytes()).take(length);
        let first = length as u64 | p << 32;
        if length > out.len() || copied.0[0] != first || !payload.eq(out[..length].iter().copied()) {
            return Err(Violation::Forged);
        }
    }
    Ok(())
}

/// Broadcast and stream readers against a hostile writer.
pub fn reader(words: &'static [Watched; WORDS], seed: u64, operations: u64) -> Found {
    let position: &'static Watched = {
        static OWN: Watched = Watched::new();
        &OWN
    };
    let mut report = Report::default();
    let mut chance = Chance::new(seed);
    let (stores, near) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut hook: Option<Hook> = Some({
        let (stores, near, mut chance) = (stores.clone(), near.clone(), Chance::new(!seed));
        Box::new(move || {
            if chance.one_in(6) {
                scribble(words, &mut chance, near.get());
                stores.set(stores.get() + 1);
            }
        })
    });
    let mut broadcast = BroadcastReader::new(words).unwrap();
    while report.operations + stores.get() < operations {
        for _ in 0..chance.below(8) {
            scribble(words, &mut chance, near.get());
            report.operations += 1;
        }
        if chance.one_in(64) {
            resume(words, &mut broadcast, &mut chance)?;
            report.operations += 3;
        }
        let mut out = [0; OUT];
        let mut watched = |p, call: &mut Call<'_>| {
            let result = watch(&mut hook, || call(&mut out));
            report.operations += 1;
            report.accepted += u64::from(matches!(result, Ok(Some(_))));
            report.refused += u64::from(result.is_err());
            trace(|trace| {
                // A stream reader's position word is its own, stored last, and not of the region.
                let own = trace.last().is_some_and(|a| a.address == position.address());
                let trace = &trace[..trace.len() - usize::from(own)];
                report.most = report.most.max(trace.len());
                check_read(words, p, result, &out, trace)
            })
        };
        if chance.one_in(4) {
            // A stream's reader goes on at its own word, which is as good a place as any.
            position.poke(if chance.one_in(8) { chance.word() } else { near.get() });
            let mut stream = StreamReader::new(words, position).unwrap();
            watched(position.peek(), &mut |out| stream.read(out))?;
        } else {
            watched(broadcast.position(), &mut |out| broadcast.read(out))?;
            if chance.one_in(3) {
                broadcast.skip_to_head();
            }
        }
        near.set(broadcast.position());
    }
    report.operations += stores.get();
    Ok(report)
}

/// A correct writer takes the ring over from a hostile one: the reader finds its first record.
fn resume(
    words: &'static [Watched; WORDS],
    reader: &mut BroadcastReader<'static, Watched>,
    chance: &mut Chance,
) -> Result<(), Violation> {
    if chance.one_in(2) {
        // Nonsense of every kind in the header.
        words[chance.below(20) as usize].poke(chance.word());
    }
    let mut writer = BroadcastWriter::new(words).unwrap();
    let _ = reader.read(&mut [0; OUT]);
    reader.skip_to_head();
    let record = [chance.word() as u8; 11];
    let mut out = [0; OUT];
    let written = writer.write(&record);
    if written.is_err() || reader.read(&mut out) != Ok(Some(11)) || out[..11] != record {
        return Err(Violation::Lost);
    }
    Ok(())
}

/// A stream's writer against a reader that publishes anything, also while it writes.
pub fn writer(words: &'static [Watched; WORDS], seed: u64, operations: u64) -> Found {
    static PEER: Watched = Watched::new();
    let mut report = Report::default();
    let mut chance = Chance::new(seed);
    let (stores, head) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let publish = |chance: &mut Chance, head: u64| {
        let near = head.wrapping_sub(chance.below(40) * 8).wrapping_add(32);
        PEER.poke(if chance.one_in(4) { chance.word() >> chance.below(64) } else { near });
    };
    let mut hook: Option<Hook> = Some({
        let (stores, head, mut chance) = (stores.clone(), head.clone(), Chance::new(!seed));
        Box::new(move || {
            if chance.one_in(4) {
                publish(&mut chance, head.get());
                stores.set(stores.get() + 1);
            }
        })
    });
    words.iter().for_each(|w| w.poke(0));
    let mut writer = StreamWriter::new(words, &PEER).unwrap();
    let mut own = 0u64;
    while report.operations + stores.get() < operations {
        publish(&mut chance, own);
        let length = chance.below(200) as usize + 1;
        let size = ring::record_size(length) as u64;
        let result = watch(&mut hook, || writer.write(&[7; 200][..length]));
        report.operations += 2;
        trace(|trace| {
            report.most = report.most.max(trace.len());
            let mut loads = trace.iter().filter(|a| a.address == PEER.address());
            let seen = loads.next().map(|a| a.value);
            let unread = seen.and_then(|p| own.checked_sub(p)).filter(|u| *u <= CAPACITY);
            let expected = match unread {
                None => Err(WriteError::PeerFault),
                Some(unread) if unread + size > CAPACITY => Err(WriteError::Full),
                Some(_) => Ok(()),
            };
            let mut others = trace.iter().filter(|a| a.address != PEER.address());
            if loads.next().is_some() {
                Err(Violation::ReadTwice)
            } else if result != expected {
                Err(Violation::Believed)
            } else if others.clone().count() > 3 + length.div_ceil(8) {
                Err(Violation::Unbounded)
            } else if others.any(|a| place(words, a).is_none()) {
                Err(Violation::Outside)
            } else {
                Ok(())
            }
        })?;
        if result.is_ok() {
            own += size;
            report.accepted += 1;
        } else {
            report.refused += 1;
        }
        head.set(own);
    }
    report.operations += stores.get();
    Ok(report)
}
