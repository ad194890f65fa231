//! What EL2's calls cost, in instructions, and that they do what they should: six domains, of which five share a core.
//!
//! `client` is the root task: it makes the objects, hands them out, and measures. `server` answers; `faulter` faults, and later is
//! woken by signals; `kernel` and `second` (`bench_el1.rs`) call from EL1; `far` is on another core.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod measure;

#[cfg(target_os = "none")]
mod guest {
    use crate::measure::{TURNS, empty, tell, time, until};
    use core::arch::asm;
    use core::sync::atomic::Ordering;
    use runtime::abi::bootinfo::{BootInfo, name_str};
    use runtime::abi::capability::{FAULT_SKIP, WIDE, kind, label, root};
    use runtime::capability::{Registers, ask, call, invoke, reply_recv};
    use runtime::{Channel, calls, say};

    /// What everybody finds in its CSpace: endpoint, reply, notification.
    const E: u64 = 1;
    const R: u64 = 2;
    const N: u64 = 3;
    /// Bits of those CSpaces.
    const RADIX: u64 = 4;
    /// Slots of the root task.
    const ENDPOINT: u64 = root::FREE;
    const REPLY: u64 = root::FREE + 1;
    const NOTIFICATION: u64 = root::FREE + 2;
    const FAULTS: u64 = root::FREE + 3;
    const FAULT_REPLY: u64 = root::FREE + 4;
    const IDLE: u64 = root::FREE + 5;
    const TABLE: u64 = root::FREE + 6;
    const FRAME: u64 = root::FREE + 7;
    const SPACE_FOR: u64 = root::FREE + 8;
    const PEER: u64 = root::FREE + 16;
    const PEER_REPLY: u64 = root::FREE + 17;
    const MANY: u64 = root::FREE + 24;
    /// What the faulter's last call says.
    const LAST: u64 = 0x1a57;
    /// Where a page is mapped: nothing of the boot's is there.
    const WINDOW: u64 = 0x6000_0000;

    fn done(address: u64, label: u64, arguments: &[u64]) -> u64 {
        match ask(address, label, arguments) {
            Ok(word) => word,
            Err(e) => panic!("capability {address}, label {label}, {arguments:x?}: {e}"),
        }
    }

    fn make(kind: u64, parameter: u64, slot: u64, count: u64) {
        done(root::UNTYPED, label::RETYPE, &[kind, parameter, root::CNODE, 0, 0, slot, count]);
    }

    /// A CSpace with endpoint, reply and notification for domain `index`.
    fn equip(index: u64, reply: u64) {
        let (plain, whole) = (SPACE_FOR + 2 * (index - 1), SPACE_FOR + 2 * (index - 1) + 1);
        make(kind::CNODE, RADIX, plain, 1);
        for (slot, source) in [(E, ENDPOINT), (R, reply), (N, NOTIFICATION)] {
            done(plain, label::COPY, &[slot, RADIX, root::CNODE, source, 64, 15]);
        }
        done(root::CNODE, label::MINT, &[whole, 64, root::CNODE, plain, 64, 15, (64 - RADIX) << 58]);
        done(root::DOMAINS + index, label::CONFIGURE, &[whole, 0, 0]);
    }

    fn messages(hz: u64, empty: u64) {
        for n in 0..20 {
            assert!(
                call(ENDPOINT, [n, 2, 3, 4]) == Ok([n + 1, 2, 3, 4]),
                "an answer is the question plus one"
            );
        }
        let round = time(hz, || _ = call(ENDPOINT, [1, 2, 3, 4])) - empty;
        say!("ipc_round_trip_service {round}");
        let mut wide = Registers { x: [ENDPOINT, WIDE, 1, 2, 3, 4, 5, 6], y: [7, 8, 9, 10, 0, 0, 0, 0] };
        let before = wide;
        invoke(label::CALL, &mut wide);
        assert!(
            wide.status() == 0 && wide.x[2..7] == before.x[2..7] && wide.y[..4] == before.y[..4],
            "{wide:?}"
        );
        assert!(wide.x[7] == 3, "the server writes this word");
        let mut narrow = Registers { x: [ENDPOINT, 0, 1, 2, 3, 4, 5, 777], y: [0; 8] };
        invoke(label::CALL, &mut narrow);
        assert!(narrow.x[7] == 777, "WRONG: a register that is no part of the message came along");
        let round = time(hz, || {
            wide = before;
            invoke(label::CALL, &mut wide);
        }) - empty;
        say!("ipc_one_way_10_words {}", round / 2);
    }

    fn simple(hz: u64, empty: u64) {
        let null = time(hz, || {
            // SAFETY: the call that does nothing.
            unsafe { asm!("svc #0", in("x8") 0, inout("x0") 0u64 => _, options(nostack)) };
        });
        say!("call_null {}", null - empty);
        let signal = time(hz, || _ = lean(label::SIGNAL, IDLE, [0; 4]));
        say!("signal_no_waiter {}", signal - empty);
        assert!(done(IDLE, label::POLL, &[]) == 0, "an unbadged signal has no bits");
    }

    /// An invocation with up to four arguments, without the moves of `capability::invoke`.
    #[inline(always)]
    fn lean(label: u64, address: u64, [a, b, c, d]: [u64; 4]) -> i64 {
        let status;
        // SAFETY: as `capability::raw`.
        unsafe {
            asm!(
                "svc #0", in("x8") runtime::abi::capability::INVOKE + label, inout("x0") address => status,
                in("x1") a, in("x2") b, in("x3") c, in("x4") d, out("x13") _, out("x14") _, options(nostack)
            )
        };
        status
    }

    /// As [`lean`], of seven.
    #[inline(always)]
    fn lean7(label: u64, address: u64, a: [u64; 7]) -> i64 {
        let status;
        // SAFETY: as above.
        unsafe {
            asm!(
                "svc #0", in("x8") runtime::abi::capability::INVOKE + label, inout("x0") address => status,
                in("x1") a[0], in("x2") a[1], in("x3") a[2], in("x4") a[3], in("x5") a[4], in("x6") a[5], in("x7") a[6],
                out("x13") _, out("x14") _, options(nostack)
            )
        };
        status
    }

    /// The mean of `turn` over the slots from [`MANY`] on, once.
    fn over_slots(hz: u64, mut turn: impl FnMut(u64) -> i64) -> u64 {
        calls::wait(calls::now() + hz / 50);
        let start = calls::now();
        for n in 0..TURNS {
            let status = turn(MANY + n);
            assert!(status == 0, "slot {n}: {status}");
        }
        (calls::now() - start) * (1_000_000_000 / hz) / TURNS
    }

    fn slots(hz: u64, empty: u64) {
        let copy = |to| lean7(label::COPY, root::CNODE, [to, 64, root::CNODE, IDLE, 64, 15, 0]);
        say!("cap_copy {}", over_slots(hz, copy) - empty);
        say!("cap_delete {}", over_slots(hz, |n| lean(label::DELETE, root::CNODE, [n, 64, 0, 0])) - empty);
        over_slots(hz, copy);
        calls::wait(calls::now() + hz / 50);
        let start = calls::now();
        done(root::CNODE, label::REVOKE, &[IDLE, 64]);
        say!("revoke_per_child {}", (calls::now() - start) * (1_000_000_000 / hz) / TURNS);
        let retype = |to| lean7(label::RETYPE, root::UNTYPED, [kind::FRAME, 0, root::CNODE, 0, 0, to, 1]);
        say!("retype_frame_fresh {}", over_slots(hz, retype) - empty);
        over_slots(hz, |n| lean(label::DELETE, root::CNODE, [n, 64, 0, 0]));
    }

    fn mappings(hz: u64, empty: u64) {
        let space = root::SPACES;
        make(kind::PAGE_TABLE, 3, TABLE, 1);
        done(TABLE, label::MAP, &[space, WINDOW, 0]);
        make(kind::FRAME, 0, FRAME, 1);
        let map = || lean(label::MAP, FRAME, [space, WINDOW + 0x3000, 3, 0]);
        assert!(map() == 0);
        let word = (WINDOW + 0x3008) as *mut u64;
        // SAFETY: the page was just mapped there, and is nobody else's.
        let (zero, kept) = unsafe {
            let zero = word.read_volatile();
            word.write_volatile(77);
            (zero, word.read_volatile())
        };
        assert!(zero == 0 && kept == 77, "the page is fresh, and keeps what is written");
        done(FRAME, label::UNMAP, &[]);
        let (mut mapping, mut unmapping) = (0, 0);
        calls::wait(calls::now() + hz / 50);
        for _ in 0..TURNS {
            let start = calls::now();
            map();
            let middle = calls::now();
            lean(label::UNMAP, FRAME, [0; 4]);
            mapping += middle - start;
            unmapping += calls::now() - middle;
        }
        // Reading the counter is in each as it is in the empty loop, nearly.
        let of = |ticks: u64| ticks * (1_000_000_000 / hz) / TURNS;
        say!("map {}", of(mapping).saturating_sub(empty));
        say!("unmap {}", of(unmapping).saturating_sub(empty));
    }

    /// A domain that did not exist at boot: memory, space, CSpace and time by invocations. It calls, and says so.
    fn newcomer() {
        const CODE: [u32; 7] = [
            0xd2800020, // mov x0, #1
            0xd28021c8, // mov x8, #0x10e
            0xd2800001, // mov x1, #0
            0xd2800242, // mov x2, #18
            0xd280000d, // mov x13, #0
            0xd4000001, // svc #0
            0x14000000, // b .
        ];
        let [space, upper, lower, code, domain, context, endpoint, reply, plain, whole] =
            core::array::from_fn(|i| MANY + i as u64);
        for (kind, parameter, slot) in [
            (kind::SPACE, 0, space),
            (kind::PAGE_TABLE, 2, upper),
            (kind::PAGE_TABLE, 3, lower),
            (kind::FRAME, 0, code),
            (kind::DOMAIN, 0, domain),
            (kind::ENDPOINT, 0, endpoint),
            (kind::REPLY, 0, reply),
            (kind::CNODE, RADIX, plain),
        ] {
            make(kind, parameter, slot, 1);
        }
        // Its first instruction is at address 0: so a domain begins whose registers nobody has set.
        done(code, label::MAP, &[root::SPACES, WINDOW + 0x5000, 3]);
        for (at, word) in (WINDOW + 0x5000..).step_by(4).zip(CODE) {
            // SAFETY: the page was just mapped there.
            unsafe { (at as *mut u32).write_volatile(word) };
        }
        // SAFETY: cache maintenance by address is a service's own.
        unsafe {
            asm!("dc cvau, {a}", "dsb ish", "ic ivau, {a}", "dsb ish", "isb", a = in(reg) WINDOW + 0x5000, options(nostack))
        };
        done(code, label::UNMAP, &[]);
        done(upper, label::MAP, &[space, 0, 0]);
        done(lower, label::MAP, &[space, 0, 0]);
        done(code, label::MAP, &[space, 0, 1]);
        done(plain, label::COPY, &[1, RADIX, root::CNODE, endpoint, 64, 15]);
        done(root::CNODE, label::MINT, &[whole, 64, root::CNODE, plain, 64, 15, (64 - RADIX) << 58]);
        done(domain, label::CONFIGURE, &[whole, space, 0]);
        done(root::CORE, label::CARVE, &[100, 10_000, root::CNODE, context, 64]);
        done(context, label::BIND, &[domain]);
        done(domain, label::RESUME, &[]);
        let mut message = Registers::new(endpoint, &[]);
        message.y[4] = reply;
        invoke(label::RECV, &mut message);
        assert!(message.status() == 0 && message.x[2] == 18, "{message:?}");
        // It goes with its memory, though it waits for an answer.
        for slot in [domain, space, upper, lower, code, context, endpoint, reply, whole, plain] {
            done(root::CNODE, label::DELETE, &[slot, 64]);
        }
        say!("a domain came and went");
    }

    fn faults(channels: &Channels) {
        done(root::DOMAINS + 2, label::CONFIGURE, &[0, 0, FAULTS]);
        tell(&channels.own, 2);
        let mut registers = Registers::new(FAULTS, &[]);
        registers.y[4] = FAULT_REPLY;
        invoke(label::RECV, &mut registers);
        let class = registers.x[2] >> 26;
        assert!(registers.status() == 0 && class == 0, "an undefined instruction, not class {class:#x}");
        loop {
            let mut next = Registers { x: [FAULTS, 0, FAULT_SKIP, 0, 0, 0, 0, 0], y: [0; 8] };
            next.y[4] = FAULT_REPLY;
            // The last message is a call of the faulter's, which is no fault.
            if registers.x[3] == LAST {
                break;
            }
            invoke(label::REPLY_RECV, &mut next);
            registers = next;
        }
        say!("fault_round_trip {}", registers.x[2]);
        let mut answer = Registers::new(FAULT_REPLY, &[]);
        invoke(label::SEND, &mut answer);
    }

    struct Channels {
        own: Channel,
        server: Channel,
        faulter: Channel,
        kernel: Channel,
        /// Not on a machine with one core.
        far: Option<Channel>,
    }

    fn client(boot: &'static BootInfo) -> ! {
        let find = |name| Channel::find(boot, name).expect("channel");
        let hz = boot.counter_hz;
        let channels = Channels {
            own: find("client"),
            server: find("server"),
            faulter: find("faulter"),
            kernel: find("kernel"),
            far: Channel::find(boot, "far"),
        };
        assert!(boot.untyped[0].size >= 2 << 20, "free memory {:x?}", boot.untyped[0]);
        for (kind, slots) in
            [(kind::ENDPOINT, [ENDPOINT, FAULTS, PEER]), (kind::REPLY, [REPLY, FAULT_REPLY, PEER_REPLY])]
        {
            slots.iter().for_each(|slot| make(kind, 0, *slot, 1));
        }
        [NOTIFICATION, IDLE].iter().for_each(|slot| make(kind::NOTIFICATION, 0, *slot, 1));
        for (index, reply) in (1..).zip([REPLY, FAULT_REPLY, REPLY, PEER_REPLY]) {
            equip(index, reply);
        }
        for (index, endpoint) in [(2, FAULTS), (3, PEER), (4, PEER)] {
            done(SPACE_FOR + 2 * (index - 1), label::COPY, &[4, RADIX, root::CNODE, endpoint, 64, 15]);
        }
        tell(&channels.own, 1);
        until(&channels.server, 1);
        let empty = empty(hz);
        messages(hz, empty);
        simple(hz, empty);
        slots(hz, empty);
        mappings(hz, empty);
        newcomer();
        faults(&channels);
        until(&channels.faulter, 2);
        tell(&channels.own, 3);
        until(&channels.kernel, 3);
        tell(&channels.own, 4);
        if let Some(far) = channels.far {
            until(&far, 4);
            // A channel that nobody else reads: others' doorbells are no part of it.
            let (pair, mut step) = (find("pair"), 4);
            let round = time(hz, || {
                step += 1;
                tell(&pair, step);
                until(&far, step);
            });
            say!("signal_cross_core_round_trip {round}");
        }
        let _ = calls::power_off();
        loop {
            calls::wait(u64::MAX);
        }
    }

    fn server(client: &Channel, own: &Channel) -> ! {
        until(client, 1);
        tell(own, 1);
        let mut first = Registers::new(E, &[]);
        first.y[4] = R;
        invoke(label::RECV, &mut first);
        let mut words = [first.x[2], first.x[3], first.x[4], first.x[5]];
        for _ in 0..20 {
            words[0] += 1;
            let Ok((_, next)) = reply_recv(E, R, words) else { panic!("reply_recv") };
            words = next;
        }
        // SAFETY: as `capability::reply_recv`, with all ten words as they came.
        unsafe {
            asm!(
                "2: svc #0", "mov x0, #1", "mov x13, #2", "mov x7, #3", "b 2b",
                in("x8") runtime::abi::capability::INVOKE + label::REPLY_RECV, in("x0") E, in("x1") 0, in("x2") words[0],
                in("x3") words[1], in("x4") words[2], in("x5") words[3], in("x13") R, in("x14") 0, in("x16") 0,
                options(noreturn, nostack)
            )
        }
    }

    fn faulter(hz: u64, client: &Channel, own: &Channel, kernel: &Channel) -> ! {
        until(client, 2);
        let empty = empty(hz);
        let round = time(hz, || {
            // SAFETY: the handler lets it go on behind.
            unsafe { asm!("udf #0", options(nostack)) };
        }) - empty;
        assert!(call(4, [round, LAST, 0, 0]).is_ok(), "the handler answers");
        tell(own, 2);
        // How long after the kernel's stamp this one runs.
        let (mut sum, mut count) = (0, 0);
        loop {
            let status = lean(label::WAIT, N, [0; 4]);
            let now = calls::now();
            assert!(status == 0, "{status}");
            sum += now - kernel.words()[601].load(Ordering::Relaxed);
            count += 1;
            if count == TURNS {
                say!("signal_switch {}", sum * (1_000_000_000 / hz) / TURNS);
            }
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        let find = |name| Channel::find(boot, name).expect("channel");
        let hz = boot.counter_hz;
        match name_str(&boot.name) {
            "client" => client(boot),
            "server" => server(&find("client"), &find("server")),
            "faulter" => faulter(hz, &find("client"), &find("faulter"), &find("kernel")),
            _ => {
                let (client, pair, own) = (find("client"), find("pair"), find("far"));
                until(&client, 4);
                tell(&own, 4);
                for step in 5.. {
                    until(&pair, step);
                    tell(&own, step);
                }
                panic!("no end")
            }
        }
    }
}
