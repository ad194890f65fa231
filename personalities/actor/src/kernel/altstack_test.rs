//! SS_AUTODISARM: an alternate stack that the entry of a handler turns off and rt_sigreturn brings back. What is expected is what Linux 6.1 showed.

use super::signal_test::{HANDLER, SIGUSR1};
use super::test::{DATA, Fake, kernel};
use super::*;
use crate::process::SA_ONSTACK;
use abi::linux::nr;

const DISABLE: u32 = 2;
const AUTODISARM: u32 = 1 << 31;
const EPERM: i64 = -1;
/// ss_sp, ss_flags, ss_size.
type Stack = (u64, u32, u64);
/// Within the test's memory, behind what calls are given.
const A: u64 = DATA + 0x800;
const SIZE: u64 = 0x1800;
const TOP: u64 = A + SIZE;
/// Stacks that no handler runs on.
const C: u64 = 0x1000;
const OFF: Stack = (0, DISABLE, 0);
/// Where uc_stack stands in a frame.
const UC_STACK: u64 = 128 + 16;

impl Kernel<Fake> {
    fn put_stack(&mut self, at: u64, (sp, flags, size): Stack) {
        self.put(at, &[sp, flags.into(), size].map(u64::to_le_bytes).concat());
    }

    fn stack_at(&mut self, at: u64) -> Stack {
        let raw = self.bytes_in(1, at, 24).unwrap();
        let [sp, flags, size] = [0, 8, 16].map(|i| u64::from_le_bytes(raw[i..i + 8].try_into().unwrap()));
        (sp, flags as u32, size)
    }

    fn sets(&mut self, stack: Stack) -> i64 {
        self.put_stack(DATA, stack);
        self.makes(1, nr::sigaltstack, &[DATA, 0])
    }

    /// What sigaltstack says of the stack.
    fn told(&mut self) -> Stack {
        assert_eq!(self.makes(1, nr::sigaltstack, &[0, DATA]), 0);
        self.stack_at(DATA)
    }

    fn handles(&mut self, flags: u64) {
        let raw = [HANDLER, flags, 0, 0].map(u64::to_le_bytes).concat();
        self.put(DATA, &raw);
        assert_eq!(self.makes(1, nr::rt_sigaction, &[SIGUSR1.into(), DATA, 0, 8]), 0);
    }

    /// Process 1 sends itself a signal; where its handler's frame lies then.
    fn enters(&mut self) -> u64 {
        self.makes(1, nr::kill, &[1, SIGUSR1.into()]);
        assert!(self.is_in_handler(1));
        self.threads[&1].user.sp
    }
}

#[test]
fn a_handler_s_entry_turns_an_autodisarm_stack_off_and_its_frame_holds_what_was_set() {
    for on in [0, SA_ONSTACK] {
        for mode in [0, 1, DISABLE] {
            let mut k = kernel();
            k.handles(on);
            let outside = k.threads[&1].user.sp;
            assert_eq!(k.sets((A, AUTODISARM | mode, SIZE)), 0);
            let set =
                if mode == DISABLE { (0, AUTODISARM | DISABLE, 0) } else { (A, AUTODISARM | mode, SIZE) };
            let at = k.enters();
            assert_eq!((A..TOP).contains(&at), on != 0 && mode != DISABLE, "{on:x} {mode}");
            assert_eq!(k.stack_at(at + UC_STACK), set);
            assert_eq!(k.told(), OFF, "{on:x} {mode}");
            k.makes(1, nr::rt_sigreturn, &[]);
            assert_eq!(k.threads[&1].user.sp, outside);
            // SS_ONSTACK is no state of a thread that does not run on it.
            assert_eq!(k.told(), (set.0, set.1 & !1, set.2));
            assert_eq!(k.processes.get(1).unwrap().signals.stack.flags, set.1);
        }
    }
    // Without it a stack stays what it is.
    let mut k = kernel();
    k.handles(SA_ONSTACK);
    assert_eq!(k.sets((A, 0, SIZE)), 0);
    k.enters();
    assert_eq!((k.told(), k.sets((C, 0, 0x2000))), ((A, 1, SIZE), EPERM));
}

#[test]
fn rt_sigreturn_sets_the_stack_from_the_frame_and_leaves_it_off_where_sigaltstack_would_refuse() {
    let armed = AUTODISARM;
    let cases = [
        ((C, 0, 0x2000), (C, 0, 0x2000)),
        ((A, DISABLE, SIZE), OFF),
        ((C, 77, SIZE), OFF),
        ((C, armed, 10), OFF),
        ((C, armed | DISABLE, 10), (0, armed | DISABLE, 0)),
        ((C, armed | 1, SIZE), (C, armed, SIZE)),
    ];
    for on in [0, SA_ONSTACK] {
        for (changed, after) in cases {
            let mut k = kernel();
            k.handles(on);
            assert_eq!(k.sets((A, armed, SIZE)), 0);
            let at = k.enters();
            k.put_stack(at + UC_STACK, changed);
            // The handler's own stack is gone behind it.
            assert_eq!(k.sets((C + 16, 0, SIZE)), 0);
            assert_eq!(k.sets(OFF), 0);
            k.makes(1, nr::rt_sigreturn, &[]);
            assert_eq!(k.told(), after, "{on:x} {changed:x?}");
        }
        let mut k = kernel();
        k.handles(on);
        assert_eq!(k.sets((A, armed, SIZE)), 0);
        k.enters();
        assert_eq!(k.sets((C, 0, 0x2000)), 0);
        k.makes(1, nr::rt_sigreturn, &[]);
        assert_eq!(k.told(), (A, armed, SIZE));
    }
}

#[test]
fn a_thread_with_an_autodisarm_stack_never_counts_as_on_it() {
    let mut k = kernel();
    k.handles(SA_ONSTACK);
    assert_eq!(k.sets((A, AUTODISARM, SIZE)), 0);
    k.threads.get_mut(&1).unwrap().user.sp = TOP - 64;
    assert_eq!(k.told(), (A, AUTODISARM, SIZE));
    // It may be changed, and a handler begins at its top.
    assert_eq!(k.sets((A, AUTODISARM, SIZE - 16)), 0);
    let lower = k.enters();
    k.makes(1, nr::rt_sigreturn, &[]);
    assert_eq!((k.threads[&1].user.sp, k.told()), (TOP - 64, (A, AUTODISARM, SIZE - 16)));
    assert_eq!(k.sets((A, AUTODISARM, SIZE)), 0);
    let top = k.enters();
    assert_eq!(top - lower, 16);
}
