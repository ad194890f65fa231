//! Calls, invocations and instructions that nobody should use, at random: none may do what a kernel must not.

use crate::float;
use crate::random::Random;
use core::arch::asm;
use runtime::abi::bootinfo::{BootInfo, MEMORY_IPA, ROLE_NONE};
use runtime::abi::hypercall::Call;
use runtime::calls;
use runtime::capability::{Registers, invoke};
use runtime::say;

/// It tells how far it is after so many.
const TOLD: u64 = 10_000;
/// Mark of its FP/SIMD registers.
const FLOAT: u64 = 0x1057;
const ODD: [u64; 14] = [
    0,
    1,
    5,
    31,
    63,
    257,
    0x0800_0000,
    0x1000_0000,
    0x4000_0000,
    0x5000_0000,
    0x8000_0000,
    1 << 58,
    1 << 63,
    u64::MAX,
];
/// PSCI's functions (Arm DEN0022), version first, and Arm's others.
const FIRMWARE: [u64; 10] = [
    0x8400_0000,
    0x8400_0002,
    0xc400_0003,
    0xc400_0004,
    0x8400_0009,
    0x8400_0008,
    0xc400_000e,
    0x8000_0000,
    0x8600_ff01,
    0,
];

/// What was tried.
pub struct Attempts {
    random: Random,
    life: u64,
    /// How many.
    tried: u64,
    through: u64,
    /// Its own memory, bytes.
    size: u64,
    /// A bit for each channel that is not its own.
    foreign: u64,
}

impl Attempts {
    pub fn new(boot: &BootInfo, life: u64) -> Attempts {
        if !float::is_zero() {
            say!("hostile: WRONG registers: of FP/SIMD some are another's");
        }
        float::fill(FLOAT);
        let foreign = boot.channels.iter().enumerate().filter(|(_, c)| c.role == ROLE_NONE);
        Attempts {
            random: Random(0x9e37_79b9_7f4a_7c15 ^ (life + 1) << 32),
            life,
            tried: 0,
            through: 0,
            size: boot.memory_size,
            foreign: foreign.fold(0, |bits, (i, _)| bits | 1 << i),
        }
    }

    /// Goes on until so many were made, and tells of them.
    pub fn until(&mut self, count: u64) {
        while self.tried < count {
            match self.random.next() % 8 {
                0..3 => self.call(),
                3..6 => self.invocation(),
                6 => self.firmware(),
                _ => self.registers(),
            }
        }
    }

    /// One attempt was made; what must not have happened is told.
    pub fn count(&mut self, got_through: bool, what: &str, number: u64) {
        self.tried += 1;
        if got_through {
            self.through += 1;
            say!("hostile: WRONG {what} {number:#x} got through");
        }
        if self.tried.is_multiple_of(TOLD) {
            if !float::is_filled(FLOAT) {
                say!("hostile: WRONG registers: of FP/SIMD some are another's");
                float::fill(FLOAT);
            }
            say!("hostile: life {}: {} attempts, {} got through", self.life, self.tried, self.through);
        }
    }

    pub fn word(&mut self) -> u64 {
        let n = self.random.next();
        match n % 8 {
            0 => n,
            1 | 2 => ODD[(n >> 8) as usize % ODD.len()],
            _ => n >> 8 & 63,
        }
    }

    fn call(&mut self) {
        let (number, mut a, b) = (self.word() % 13, self.word(), self.word());
        let known = Call::from_number(number);
        match known {
            // They do what they say, to itself.
            Some(Call::Wait | Call::Crash) => return,
            // What is its own it may print; that would use up what it may say.
            Some(Call::Text) if a.wrapping_sub(MEMORY_IPA) < self.size => a = a.wrapping_add(self.size),
            _ => {}
        }
        let (status, _) = calls::any(number, a, b);
        let forbidden = match known {
            Some(Call::Text) => b > 0,
            Some(Call::Signal) => a >= 64 || self.foreign >> a & 1 == 1,
            Some(Call::IrqAck | Call::Inject | Call::PowerOff) | None => true,
            _ => false,
        };
        self.count(forbidden && status >= 0, "call", number);
    }

    fn invocation(&mut self) {
        let mut registers = Registers::default();
        registers.x.iter_mut().for_each(|x| *x = self.word());
        registers.y.iter_mut().for_each(|y| *y = self.word());
        let label = self.random.next() % 40;
        invoke(label, &mut registers);
        self.count(registers.status() >= 0, "invocation", label);
    }

    fn firmware(&mut self) {
        let n = self.random.next();
        // The version is asked for first: a firmware that answers is found before it turns the machine off.
        let function = match self.tried < 1_000 {
            true => FIRMWARE[0],
            false if n.is_multiple_of(4) => n >> 8,
            false => FIRMWARE[(n >> 8) as usize % FIRMWARE.len()],
        };
        let answer: i64;
        // SAFETY: EL2 answers SMC with NOT_SUPPORTED and changes x0 only; a firmware that is reached may change x0 to x17.
        unsafe {
            asm!("smc #0", inout("x0") function => answer, in("x1") n, in("x2") MEMORY_IPA, in("x3") 0, clobber_abi("C"), options(nostack))
        };
        self.count(answer != -1, "SMC", function);
    }

    /// Registers of other levels: an undefined instruction, which the handler passes over, or zero.
    fn registers(&mut self) {
        macro_rules! read {
            ($($name:literal)*) => {
                $(
                    let got: u64;
                    // SAFETY: reading, or an exception behind which this goes on.
                    unsafe { asm!("mov {got}, #0x1234", concat!("mrs {got}, ", $name), got = out(reg) got, options(nostack)) };
                    self.count(got != 0x1234 && got != 0, $name, got);
                )*
            };
        }
        read!("hcr_el2" "vttbr_el2" "sctlr_el2" "tpidr_el2" "vbar_el2" "elr_el2" "cnthctl_el2" "cntvoff_el2" "ttbr0_el2" "esr_el2"
            "dbgbcr0_el1" "dbgwcr0_el1" "pmcr_el0" "pmccntr_el0" "pmcntenset_el0");
        macro_rules! execute {
            ($($instruction:literal)*) => {
                $(
                    // SAFETY: each does nothing, or is an exception behind which this goes on.
                    unsafe { asm!($instruction, options(nostack)) };
                    self.count(false, $instruction, 0);
                )*
            };
        }
        execute!("msr hcr_el2, xzr" "msr vttbr_el2, xzr" "msr vbar_el2, xzr" "msr sctlr_el2, xzr" "msr cnthctl_el2, xzr"
            "msr dbgbcr0_el1, xzr" "msr pmcr_el0, xzr" "dc isw, xzr" "dc cisw, xzr" "tlbi vmalle1is" "ic ialluis" "tlbi alle2");
    }
}
