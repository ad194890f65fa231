//! What a ring costs, in instructions: under `-icount shift=0` one instruction of any core is one nanosecond of the counter.
//!
//! Two services on two cores, one image; domain 0 writes `there`, the other answers on `back`. Only one of them ever runs, the other
//! sleeps, so that what the counter shows of a turn is the sum over both cores.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::hint::black_box;
    use ipc::{BroadcastReader, BroadcastWriter};
    use runtime::abi::bootinfo::BootInfo;
    use runtime::{Channel, calls, say};
    use zerocopy::IntoBytes;

    const TURNS: u64 = 1000;
    type Reader = BroadcastReader<'static>;
    type Writer = BroadcastWriter<'static>;

    #[repr(align(8))]
    struct Record([u8; 64]);

    /// Nanoseconds of one of [`TURNS`] turns.
    fn time(hz: u64, mut turn: impl FnMut()) -> u64 {
        let start = calls::now();
        for _ in 0..TURNS {
            turn();
        }
        (calls::now() - start) * (1_000_000_000 / hz) / TURNS
    }

    #[inline]
    fn send(writer: &mut Writer, record: &Record) {
        assert!(writer.write(&record.0).is_ok());
    }

    #[inline]
    fn receive(reader: &mut Reader, record: &mut Record) -> bool {
        reader.read(&mut record.0) == Ok(Some(64))
    }

    fn await_record(reader: &mut Reader, record: &mut Record) {
        // Look, then wait: a bell between the two has set the word, and the wait ends at once.
        while !receive(reader, record) {
            calls::wait(u64::MAX);
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        let (there, back) =
            (Channel::find(boot, "there").expect("there"), Channel::find(boot, "back").expect("back"));
        let mut record = Record([5; 64]);
        if boot.domain != 0 {
            let (mut reader, mut writer) =
                (Reader::new(there.words()).expect("ring"), Writer::new(back.words()).expect("ring"));
            loop {
                await_record(&mut reader, &mut record);
                send(&mut writer, &record);
                back.ring();
            }
        }
        let (mut reader, mut writer) =
            (Reader::new(back.words()).expect("ring"), Writer::new(there.words()).expect("ring"));
        let mut turn = || {
            send(&mut writer, &record);
            there.ring();
            await_record(&mut reader, &mut record);
        };
        turn();
        let round_trip = time(boot.counter_hz, turn);
        // The same two calls on a ring that nobody else looks at.
        let mut own = Reader::starting_at(there.words(), writer.position()).expect("ring");
        let mut copy = Record([0; 64]);
        let both = time(boot.counter_hz, || {
            send(&mut writer, black_box(&record));
            assert!(receive(&mut own, black_box(&mut copy)));
        });
        // A buffer that the record does not fill: its length is the writer's word alone.
        let mut wide = [0u64; 16];
        let any = time(boot.counter_hz, || {
            send(&mut writer, black_box(&record));
            assert!(own.read(black_box(&mut wide).as_mut_bytes()) == Ok(Some(64)));
        });
        let empty = time(boot.counter_hz, || {
            black_box(&mut copy);
        });
        let send_only = time(boot.counter_hz, || send(&mut writer, black_box(&record)));
        // A part of a doorbell: the way into EL2 and back.
        let enter = time(boot.counter_hz, || {
            black_box(calls::any(0, 0, 0));
        });
        say!("a call of EL2 that does nothing {}", enter - empty);
        say!("ring_send_receive_64 {}", both - empty);
        say!("into a longer buffer {}", any - empty);
        say!("of these send {}", send_only - empty);
        say!("ring_doorbell_64 {}", round_trip / 2);
        let _ = calls::power_off();
        loop {
            calls::wait(u64::MAX);
        }
    }
}
