//! A serial port of whichever kind the board has.

use crate::aux_uart::AuxUart;
use crate::pl011::Pl011;
use abi::bootinfo::BootInfo;

/// A serial port.
pub enum Serial {
    /// A PL011.
    Pl011(Pl011),
    /// A mini UART.
    Aux(AuxUart),
}

impl Serial {
    /// This service's port.
    pub fn new(boot: &'static BootInfo) -> Self {
        match (Pl011::find(boot), AuxUart::find(boot)) {
            (Some(port), _) => Serial::Pl011(port),
            (None, Some(port)) => Serial::Aux(port),
            (None, None) => panic!("the manifest gives this service no device `pl011` or `aux-uart`"),
        }
    }

    /// From now on a received byte interrupts.
    pub fn listen(&self) {
        match self {
            Serial::Pl011(p) => p.listen(),
            Serial::Aux(p) => p.listen(),
        }
    }

    /// The next received byte, with its error flags dropped: a damaged byte is as good as any for a person to correct.
    pub fn receive(&self) -> Option<u8> {
        match self {
            Serial::Pl011(p) => p.receive(),
            Serial::Aux(p) => p.receive(),
        }
    }

    /// Sends `byte`, or answers `false` when there is no room now.
    pub fn send(&self, byte: u8) -> bool {
        match self {
            Serial::Pl011(p) => p.send(byte),
            Serial::Aux(p) => p.send(byte),
        }
    }

    /// The interrupt was served; the next may come. Call it after the FIFO was emptied.
    pub fn acknowledge(&self) {
        match self {
            Serial::Pl011(p) => p.acknowledge(),
            Serial::Aux(p) => p.acknowledge(),
        }
    }
}
