//! What a ppoll leaves in its list when a signal ends it.

use super::signal_test::{HANDLER, SIGUSR1, with_pending};
use super::test::{DATA, Fake, kernel, root};
use super::*;
use crate::process::{bit, sig};
use abi::linux::nr;

const EINTR: i64 = -4;
const EFAULT: i64 = -14;
const NO_TIME: Option<u64> = None;
/// Where the arguments stand.
const TIME: u64 = DATA + 0x100;
const MASK: u64 = DATA + 0x110;
const LIST: u64 = DATA + 0x200;
/// A border of pages.
const PAGE_2: u64 = DATA + 0x1000;
/// The terminal, nothing, and the terminal; what stands in revents is nothing that a poll would say.
const ENTRIES: [(u32, u16, u16); 3] = [(0, 1, 0x7777), (u32::MAX, 1, 0x1234), (0, 1, 0xffff)];

fn raw(entries: [(u32, u16, u16); 3]) -> Vec<u8> {
    let one = |(fd, events, revents): (u32, u16, u16)| {
        [&fd.to_le_bytes()[..], &events.to_le_bytes(), &revents.to_le_bytes()].concat()
    };
    entries.into_iter().flat_map(one).collect()
}

/// What stands in the list, as it was put there, when the revents of the first `n` are 0.
fn cleared(n: usize) -> Vec<u8> {
    let mut entries = ENTRIES;
    entries.iter_mut().take(n).for_each(|e| e.2 = 0);
    raw(entries)
}

fn list(k: &mut Kernel<Fake>, me: Serial, at: u64) -> Vec<u8> {
    k.bytes_in(me, at, 24).unwrap()
}

/// A ppoll with the list at `at`; `mask`: its own.
fn polls(k: &mut Kernel<Fake>, me: Serial, at: u64, time_us: Option<u64>, mask: Option<u64>) {
    let seconds = time_us.map_or(0, |us| us / 1_000_000);
    let values = [(TIME, seconds), (TIME + 8, 0), (MASK, mask.unwrap_or(0))];
    for (at, value) in values {
        k.bytes_out(me, at, &value.to_le_bytes()).unwrap();
    }
    let (time, mask) = (time_us.map_or(0, |_| TIME), mask.map_or(0, |_| MASK));
    k.makes(me, nr::ppoll, &[at, 3, time, mask, 8]);
}

/// A child with a handler for SIGUSR1, and the list in its memory at `at`.
fn child(at: u64) -> (Kernel<Fake>, Serial) {
    let mut k = kernel();
    let me = k.child();
    k.acts(me, SIGUSR1, HANDLER);
    k.bytes_out(me, at, &raw(ENTRIES)).unwrap();
    (k, me)
}

fn hits(k: &mut Kernel<Fake>, me: Serial, signal: u8) {
    assert!(k.waits(me));
    k.makes(1, nr::kill, &[me, signal.into()]);
    k.step(me, false);
}

/// What the call gave, behind its handler.
fn result(k: &mut Kernel<Fake>, me: Serial) -> i64 {
    assert!(k.is_in_handler(me));
    k.makes(me, nr::rt_sigreturn, &[])
}

#[test]
fn a_signal_that_ends_a_ppoll_leaves_all_revents_0_whatever_its_timeout() {
    for time in [NO_TIME, Some(2_000_000)] {
        let (mut k, me) = child(LIST);
        polls(&mut k, me, LIST, time, None);
        assert_eq!(list(&mut k, me, LIST), raw(ENTRIES));
        hits(&mut k, me, SIGUSR1);
        assert_eq!((list(&mut k, me, LIST), result(&mut k, me)), (cleared(3), EINTR), "{time:?}");
    }
    // Pending before, and let through by the call's mask: there is no wait.
    for time in [NO_TIME, Some(2_000_000), Some(0)] {
        let (mut k, me) = with_pending(&[SIGUSR1], HANDLER);
        k.bytes_out(me, LIST, &raw(ENTRIES)).unwrap();
        polls(&mut k, me, LIST, time, Some(0));
        assert_eq!((list(&mut k, me, LIST), result(&mut k, me)), (cleared(3), EINTR), "{time:?}");
    }
}

#[test]
fn a_ppoll_that_went_on_from_a_snapshot_leaves_all_revents_0_too() {
    let (mut k, me) = child(LIST);
    polls(&mut k, me, LIST, NO_TIME, None);
    k.take_snapshot(1);
    k.makes(1, nr::getpid, &[]);
    let mut k = Kernel::resume(Fake::default(), &k.machine.snapshot, root(), 50_000).unwrap();
    assert_eq!(list(&mut k, me, LIST), raw(ENTRIES));
    hits(&mut k, me, SIGUSR1);
    assert_eq!((list(&mut k, me, LIST), result(&mut k, me)), (cleared(3), EINTR));
}

#[test]
fn a_signal_that_ends_a_pselect6_leaves_its_sets() {
    let (mut k, me) = child(LIST);
    k.bytes_out(me, LIST, &1u64.to_le_bytes()).unwrap();
    k.makes(me, nr::pselect6, &[1, LIST, 0, 0, 0, 0]);
    hits(&mut k, me, SIGUSR1);
    assert_eq!(k.bytes_in(me, LIST, 8).unwrap(), 1u64.to_le_bytes());
    assert_eq!(result(&mut k, me), EINTR);
}

#[test]
fn revents_that_cannot_be_written_are_efault_behind_those_that_can() {
    let at = PAGE_2 - 8;
    let (mut k, me) = child(at);
    assert_eq!(k.makes(me, nr::mprotect, &[PAGE_2, 0x1000, 1]), 0);
    polls(&mut k, me, at, NO_TIME, None);
    hits(&mut k, me, SIGUSR1);
    assert_eq!((list(&mut k, me, at), result(&mut k, me)), (cleared(1), EFAULT));
}

#[test]
fn with_efault_the_mask_is_back_before_signals_are_looked_at() {
    let (mut k, me) = with_pending(&[SIGUSR1], HANDLER);
    k.bytes_out(me, PAGE_2, &raw(ENTRIES)).unwrap();
    assert_eq!(k.makes(me, nr::mprotect, &[PAGE_2, 0x1000, 1]), 0);
    for time in [NO_TIME, Some(0)] {
        polls(&mut k, me, PAGE_2, time, Some(0));
        assert_eq!((k.is_in_handler(me), k.waits(me)), (false, false), "{time:?}");
        let held = k.processes.get(me).unwrap();
        assert_eq!((held.signals.mask, held.signals.pending_set()), (bit(SIGUSR1), bit(SIGUSR1)), "{time:?}");
        assert_eq!(k.threads[&me].user.x[0] as i64, EFAULT, "{time:?}");
    }
    // What the old mask lets through comes all the same, and finds that mask and that result.
    k.acts(me, sig::SIGALRM, HANDLER);
    polls(&mut k, me, PAGE_2, NO_TIME, Some(bit(SIGUSR1)));
    hits(&mut k, me, sig::SIGALRM);
    assert_eq!(result(&mut k, me), EFAULT);
    assert_eq!(k.processes.get(me).unwrap().signals.mask, bit(SIGUSR1));
}

#[test]
fn a_ppoll_with_which_its_process_ends_has_written_revents_that_its_vfork_parent_sees() {
    let (mut k, me) = child(LIST);
    k.makes(me, nr::clone, &[0x4111]);
    let guest = k.processes.last_serial();
    assert_ne!(guest, me);
    polls(&mut k, guest, LIST, NO_TIME, None);
    hits(&mut k, guest, sig::SIGKILL);
    assert_eq!(list(&mut k, me, LIST), cleared(3));
}
