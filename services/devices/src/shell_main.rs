//! UART 0, typed input, released output.

use abi::bootinfo::BootInfo;
use abi::vote::{Control, Input, Output, PAYLOAD_MAX};
use devices::{Console, EVENT_MAX, Uart, Window};
use ipc::{BroadcastReader, ReadError, Receive, ReceiveError, StreamReader};
use runtime::Channel;
use shell::pl011::Pl011;
use shell::{Broadcast, Replicas};

/// Bytes received while output is under way.
const RECEIVED_MAX: usize = 4096;

/// The port, with room for what arrives while it sends.
struct Serial {
    port: Pl011,
    received: heapless::Deque<u8, RECEIVED_MAX>,
    lost: u64,
}

impl Serial {
    /// Empties the receive FIFO. Bounded, so that a sender without end does not keep us here.
    fn drain(&mut self) {
        for _ in 0..RECEIVED_MAX {
            let Some(byte) = self.port.receive() else { break };
            self.lost += u64::from(self.received.push_back(byte).is_err());
        }
    }
}

impl Uart for Serial {
    /// Also keeps the receive FIFO from running over: it is 16 bytes deep, and output may go on for long.
    fn put(&mut self, byte: u8) {
        self.drain();
        while !self.port.send(byte) {
            self.drain();
        }
    }
}

struct Devices {
    console: Console,
    serial: Serial,
    input: Broadcast,
    control: BroadcastReader<'static>,
    replicas: Replicas,
    window: Window,
    output: (Channel, StreamReader<'static>),
    record: [u8; PAYLOAD_MAX + 64],
}

impl Devices {
    /// Typed bytes through the line discipline and, as far as there is room, on to the replicas. `true`: they may have said more.
    fn typed(&mut self) -> bool {
        self.serial.drain();
        while let Some(byte) = self.serial.received.pop_front() {
            self.console.input(byte, &mut self.serial);
        }
        self.console.end_of_burst();
        let more = self.ordered() | self.replicas.take(|_, _| {});
        self.window.ordered(self.replicas.ordered());
        while let Some(event) = self.console.event() {
            // Full: the replicas ring when they have ordered something.
            let Some(n) = self.window.next(event.len()) else { break };
            self.input.send(&Input { n, event }, &mut [0; EVENT_MAX + 16]);
            defmt::debug!("typed bytes went to be ordered as record {=u64}", n);
            self.window.sent(event.len());
            self.console.sent();
        }
        self.input.ring();
        more
    }

    /// What the operator orders. `true`: there may be more.
    fn ordered(&mut self) -> bool {
        match self.control.receive::<Control>(&mut [0; 16]) {
            Ok(None) => return false,
            Ok(Some(order)) => self.console.order(&order),
            Err(ReceiveError::Malformed) => {}
            Err(ReceiveError::Ring(_)) => self.control.skip_to_head(),
        }
        true
    }

    /// One released effect, if there is one and output is not stopped.
    fn put_out(&mut self) -> bool {
        if self.console.stopped() {
            return false;
        }
        match self.output.1.peek(&mut self.record) {
            Ok(None) => return false,
            Ok(Some(length)) => {
                let record = self.record.get(..length).unwrap_or(&[]);
                if let Ok(Output { kind, payload, .. }) = postcard::from_bytes(record) {
                    self.console.effect(kind, payload, &mut self.serial);
                }
            }
            Err(ReadError::Overrun | ReadError::Fault) => self.output.1.skip_to_head(),
            Err(ReadError::TooLong(_) | ReadError::NewEpoch) => {}
        }
        // Only now has it left the machine; the gate waits for that before it reports the end.
        self.output.1.take();
        self.output.0.ring();
        true
    }
}

/// Entry.
#[unsafe(no_mangle)]
extern "C" fn service_main(boot: &'static BootInfo) -> ! {
    shell::start_log(boot);
    defmt::info!("starts: the program's console");
    let port =
        Pl011::find(boot).unwrap_or_else(|| panic!("the manifest gives this service no device `pl011`"));
    port.enable();
    port.listen();
    let mut devices = Devices {
        console: Console::default(),
        serial: Serial { port, received: heapless::Deque::new(), lost: 0 },
        input: Broadcast::new(boot, "input"),
        control: shell::reader(boot, "control"),
        replicas: Replicas::open(boot),
        window: Window::default(),
        output: shell::stream_reader(boot, "output"),
        record: [0; PAYLOAD_MAX + 64],
    };
    let mut lost = 0;
    loop {
        let more = devices.typed() | devices.put_out();
        let all_lost = devices.console.lost() + devices.serial.lost;
        if all_lost / 1024 != lost / 1024 || (lost == 0 && all_lost > 0) {
            runtime::say!("{all_lost} typed bytes were lost so far: nobody takes them");
        }
        lost = all_lost;
        let word = if more { runtime::poll() } else { runtime::wait(u64::MAX) };
        if word >> abi::hypercall::NOTIFY_IRQ & 1 == 1 {
            devices.serial.drain();
            devices.serial.port.acknowledge();
        }
    }
}
