//! Snapshots from outside (`docs/snapshot.md`): a recorded log that asks for one, and snapshots as text.

use crate::session::push_record;
use abi::log::{Entry, Event, Sync};
use abi::snapshot::{Record, records};
use anyhow::{Context, Result, anyhow, bail};
use std::fmt::Write;

/// The recorded log, with [`Event::Snapshot`] at the end of the entry of sync point `s`.
pub fn asking(log: &[u8], s: u64) -> Result<Vec<u8>> {
    let (mut out, mut rest, mut found) = (Vec::new(), log, false);
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (record, tail) =
            tail.split_at_checked(u32::from_le_bytes(*length) as usize).context("the log is cut off")?;
        rest = tail;
        match postcard::from_bytes(record)? {
            Entry::Sync(sync) if sync.s == s => {
                let events = [sync.events, &postcard::to_stdvec(&Event::Snapshot)?].concat();
                push_record(&mut out, &postcard::to_stdvec(&Entry::Sync(Sync { events: &events, ..sync }))?);
                found = true;
            }
            _ => push_record(&mut out, record),
        }
    }
    if found { Ok(out) } else { bail!("the log has no sync point {s}") }
}

/// One snapshot of those in `bytes`, one behind the other: the last that is whole.
pub fn last(bytes: &[u8]) -> Result<Vec<u8>> {
    let (mut current, mut whole) = (Vec::new(), None);
    for record in records(bytes) {
        let record = record.map_err(|e| anyhow!("no record at byte {}", e.0))?;
        let decoded: Record<'_> = postcard::from_bytes(record).context("no record")?;
        if matches!(decoded, Record::Head(_)) {
            current.clear();
        }
        push_record(&mut current, record);
        if matches!(decoded, Record::End(_)) {
            whole = Some(current.clone());
        }
    }
    whole.context("no whole snapshot was written")
}

/// A snapshot as text, a record a line.
pub fn lines(bytes: &[u8]) -> Vec<String> {
    let line = |(i, record): (usize, Result<&[u8], abi::snapshot::Damaged>)| match record {
        Err(e) => format!("{i}: no record at byte {}", e.0),
        Ok(bytes) => match postcard::take_from_bytes::<Record<'_>>(bytes) {
            Ok((record, [])) => format!("{i}: {}", shortened(&format!("{record:?}"))),
            _ => format!("{i}: no record: {bytes:02x?}"),
        },
    };
    records(bytes).enumerate().map(line).collect()
}

/// Byte strings of pages are long: of each line so much that its fields can be seen, and a digest of the whole.
fn shortened(text: &str) -> String {
    const MOST: usize = 3000;
    if text.len() <= MOST {
        return text.to_owned();
    }
    let digest = blake3::hash(text.as_bytes()).to_hex();
    format!("{}... ({} characters, {})", &text[..MOST], text.len(), &digest[..16])
}

/// Where two snapshots differ; empty: nowhere.
pub fn difference(a: &[u8], b: &[u8]) -> String {
    let (one, other) = (lines(a), lines(b));
    let mut out = String::new();
    let end = String::from("(end)");
    let mut shown = 0;
    for i in 0..one.len().max(other.len()) {
        let (x, y) = (one.get(i).unwrap_or(&end), other.get(i).unwrap_or(&end));
        if x != y && shown < 5 {
            let _ = writeln!(out, "first:  {x}\nsecond: {y}");
            shown += 1;
        }
    }
    if out.is_empty() && a != b {
        out.push_str("they differ in bytes that do not show in their records\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut log = Vec::new();
        entries.iter().for_each(|entry| push_record(&mut log, &postcard::to_stdvec(entry).unwrap()));
        log
    }

    #[test]
    fn the_event_stands_behind_what_the_entry_held() {
        let input = postcard::to_stdvec(&Event::TtyData(b"x")).unwrap();
        let sync = |s, events| Entry::Sync(Sync { s, time_us: 9, events });
        let log = recorded(&[sync(1, &[]), sync(2, &input), Entry::Go { call: 3 }]);
        let with = [&input[..], &postcard::to_stdvec(&Event::Snapshot).unwrap()].concat();
        assert_eq!(
            asking(&log, 2).unwrap(),
            recorded(&[sync(1, &[]), sync(2, &with), Entry::Go { call: 3 }])
        );
        assert!(asking(&log, 3).is_err());
    }

    #[test]
    fn the_last_whole_one_is_taken_and_differences_are_shown() {
        let record = |r: &Record<'_>| {
            let mut bytes = Vec::new();
            push_record(&mut bytes, &postcard::to_stdvec(r).unwrap());
            bytes
        };
        let (round, end) = (record(&Record::Round(&[1; 8])), record(&Record::End(1)));
        let one = [round.clone(), end.clone()].concat();
        assert_eq!(last(&[one.clone(), round.clone()].concat()).unwrap(), one);
        assert!(last(&round).is_err());
        assert_eq!(difference(&one, &one), "");
        assert!(difference(&one, &round).contains("second: (end)"));
    }
}
