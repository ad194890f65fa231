//! Capability invocations (`abi::capability`) as one call: registers in, registers out.

use abi::capability::INVOKE;
#[cfg(target_os = "none")]
use abi::capability::label;

/// The registers of an invocation that mean something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// x0 to x7.
    pub x: [u64; 8],
    /// x9 to x16.
    pub y: [u64; 8],
}

impl Registers {
    /// For the capability at `address`, with arguments (at most ten).
    pub fn new(address: u64, arguments: &[u64]) -> Registers {
        let mut registers = Registers::default();
        registers.x[0] = address;
        for (i, &argument) in arguments.iter().enumerate().take(10) {
            match registers.x.get_mut(i + 1) {
                Some(x) => *x = argument,
                None => registers.y[i - 7] = argument,
            }
        }
        registers
    }

    /// x0: 0, or an error.
    pub fn status(&self) -> i64 {
        self.x[0] as i64
    }

    /// x13: badge, signalled bits, argument to blame.
    pub fn word(&self) -> u64 {
        self.y[4]
    }
}

/// Invokes with `label`.
#[inline]
pub fn invoke(label: u64, registers: &mut Registers) {
    raw(INVOKE + label, registers);
}

/// Invokes the capability at `address` with arguments; the word of the answer, or the error.
pub fn ask(address: u64, label: u64, arguments: &[u64]) -> Result<u64, i64> {
    let mut registers = Registers::new(address, arguments);
    invoke(label, &mut registers);
    if registers.status() < 0 { Err(registers.status()) } else { Ok(registers.word()) }
}

/// A message of four words to whoever receives at `endpoint`, and his answer. Nothing but these words goes along.
#[cfg(target_os = "none")]
#[inline(always)]
pub fn call(endpoint: u64, words: [u64; 4]) -> Result<[u64; 4], i64> {
    let (status, _, words) = message(INVOKE + label::CALL, endpoint, 0, words);
    if status == 0 { Ok(words) } else { Err(status) }
}

/// Answers the one who waits at `reply`, and waits for the next at `endpoint`: his badge and words.
#[cfg(target_os = "none")]
#[inline(always)]
pub fn reply_recv(endpoint: u64, reply: u64, words: [u64; 4]) -> Result<(u64, [u64; 4]), i64> {
    let (status, badge, words) = message(INVOKE + label::REPLY_RECV, endpoint, reply, words);
    if status == 0 { Ok((badge, words)) } else { Err(status) }
}

/// Signals at `notification`.
#[cfg(target_os = "none")]
#[inline(always)]
pub fn signal(notification: u64) -> i64 {
    use core::arch::asm;
    let mut status = notification;
    macro_rules! by {
        ($instruction:literal) => {
            // SAFETY: as in `raw`; a signal has no arguments.
            unsafe {
                asm!($instruction, in("x8") INVOKE + label::SIGNAL, inout("x0") status, out("x13") _, out("x14") _, options(nostack))
            }
        };
    }
    if crate::calls::kernel() {
        by!("hvc #0")
    } else {
        by!("svc #0")
    }
    status as i64
}

#[cfg(target_os = "none")]
#[inline(always)]
fn message(number: u64, endpoint: u64, reply: u64, words: [u64; 4]) -> (i64, u64, [u64; 4]) {
    use core::arch::asm;
    let [mut a, mut b, mut c, mut d] = words;
    let (mut status, mut badge) = (endpoint, reply);
    macro_rules! by {
        ($instruction:literal) => {
            // SAFETY: as in `raw`; a wide message changes x6 to x12, too.
            unsafe {
                asm!(
                    $instruction, in("x8") number,
                    inout("x0") status, inout("x1") 0u64 => _, inout("x2") a, inout("x3") b, inout("x4") c, inout("x5") d,
                    inout("x13") badge, inout("x14") 0u64 => _, in("x16") 0u64,
                    out("x6") _, out("x7") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _,
                    options(nostack)
                )
            }
        };
    }
    if crate::calls::kernel() {
        by!("hvc #0")
    } else {
        by!("svc #0")
    }
    (status as i64, badge, [a, b, c, d])
}

#[cfg(target_os = "none")]
#[inline]
pub(crate) fn raw(number: u64, registers: &mut Registers) {
    use core::arch::asm;
    let Registers { x, y } = registers;
    /// One call by the given instruction.
    macro_rules! by {
        ($instruction:literal) => {
            // SAFETY: (1) EL2 changes these registers only (abi::capability); (2) of memory it writes none but the message buffer, which is
            // reached by atomics or volatile.
            unsafe {
                asm!(
                    $instruction, in("x8") number,
                    inout("x0") x[0], inout("x1") x[1], inout("x2") x[2], inout("x3") x[3],
                    inout("x4") x[4], inout("x5") x[5], inout("x6") x[6], inout("x7") x[7],
                    inout("x9") y[0], inout("x10") y[1], inout("x11") y[2], inout("x12") y[3],
                    inout("x13") y[4], inout("x14") y[5], inout("x15") y[6], inout("x16") y[7],
                    options(nostack)
                )
            }
        };
    }
    if crate::calls::kernel() { by!("hvc #0") } else { by!("svc #0") }
}

/// The host has no EL2.
#[cfg(not(target_os = "none"))]
pub(crate) fn raw(_: u64, registers: &mut Registers) {
    registers.x[0] = abi::hypercall::Error::UnknownCall as i64 as u64;
}
