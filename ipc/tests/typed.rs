//! Values through rings: what is sent arrives, and what no sender of the type writes is called malformed, once.

use abi::vote::{NO_DEADLINE, Verdict, Vote};
use ipc::{BroadcastReader, BroadcastWriter, ReadError, Receive, ReceiveError, Send, WriteError};
use ipc::{StreamReader, StreamWriter};
use proptest::prelude::*;
use std::sync::atomic::AtomicU64;
use zerocopy::{FromBytes, Immutable, IntoBytes};

fn region() -> Vec<AtomicU64> {
    (0..1024).map(|_| AtomicU64::new(0)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Sample {
    at: u64,
    number: u32,
    kind: u16,
    rest: [u8; 2],
}

const SAMPLE: Sample = Sample { at: 1 << 60, number: 7, kind: 9, rest: *b"ab" };

#[test]
fn borrowed_and_owned_values_arrive() {
    let words = region();
    let mut w = BroadcastWriter::new(&words).unwrap();
    let mut r = BroadcastReader::new(&words).unwrap();
    let (mut scratch, mut buffer) = ([0; 256], [0; 256]);
    let deadline_us = NO_DEADLINE;
    let passed = Vote::Passed { s: 3, call: 1000, effects: 2, runnable: true, deadline_us, state: None };
    w.send(&passed, &mut scratch).unwrap();
    w.send(&"text", &mut scratch).unwrap();
    w.send(&Verdict::Released { effects: 4 }, &mut scratch).unwrap();
    assert_eq!(r.receive(&mut buffer), Ok(Some(passed)));
    assert_eq!(r.receive(&mut buffer), Ok(Some("text")));
    assert_eq!(r.receive(&mut buffer), Ok(Some(Verdict::Released { effects: 4 })));
    assert_eq!(r.receive::<Verdict>(&mut buffer), Ok(None));
    assert_eq!(w.send(&"longer than four", &mut scratch[..4]), Err(WriteError::BadLength));
}

#[test]
fn what_is_no_value_is_passed_over() {
    let (words, position) = (region(), AtomicU64::new(0));
    let mut w = StreamWriter::new(&words, &position).unwrap();
    let mut r = StreamReader::new(&words, &position).unwrap();
    let mut buffer = [0; 16];
    let malformed = Err(ReceiveError::Malformed);
    for record in [&[99u8][..], &[0, 5, 0], &[0xff; 12]] {
        w.write(record).unwrap();
        assert_eq!(r.receive::<Verdict>(&mut buffer), malformed);
    }
    w.write(&[0; 17]).unwrap();
    let long = ReceiveError::Ring(ReadError::TooLong(17));
    assert_eq!(r.receive::<Verdict>(&mut buffer), Err(long));
    w.send(&Verdict::Released { effects: 5 }, &mut [0; 16]).unwrap();
    assert_eq!(r.receive(&mut buffer), Ok(Some(Verdict::Released { effects: 5 })));
    assert_eq!(w.unread(), Ok(0));
}

#[test]
fn a_fixed_layout_is_its_bytes_and_its_length() {
    let words = region();
    let mut w = BroadcastWriter::new(&words).unwrap();
    let mut r = BroadcastReader::new(&words).unwrap();
    for length in [15, 17] {
        w.write(&[1; 17][..length]).unwrap();
    }
    w.send_fixed(&SAMPLE).unwrap();
    for _ in 0..2 {
        assert_eq!(r.receive_fixed::<Sample>(), Err(ReceiveError::Malformed));
    }
    assert_eq!(r.receive_fixed(), Ok(Some(SAMPLE)));
    assert_eq!(r.receive_fixed::<Sample>(), Ok(None));
    w.write(SAMPLE.as_bytes()).unwrap();
    assert_eq!(r.receive_fixed(), Ok(Some(SAMPLE)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 10 } else { 2000 }))]

    /// Any bytes: a value that encodes to these very bytes, or malformed.
    #[test]
    fn any_record_is_a_value_or_malformed(record in prop::collection::vec(any::<u8>(), 1..80), kind in 0u8..6) {
        let words = region();
        let mut w = BroadcastWriter::new(&words).unwrap();
        let mut r = BroadcastReader::new(&words).unwrap();
        let mut record = record;
        record[0] = kind;
        w.write(&record).unwrap();
        let (mut buffer, mut again) = ([0; 80], [0; 160]);
        match r.receive::<Vote>(&mut buffer) {
            Ok(Some(vote)) => prop_assert!(postcard::to_slice(&vote, &mut again).unwrap().len() <= record.len()),
            other => prop_assert_eq!(other, Err(ReceiveError::Malformed)),
        }
        prop_assert_eq!(r.receive::<Vote>(&mut buffer), Ok(None));
    }
}
