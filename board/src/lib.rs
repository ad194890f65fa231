//! What a board has and where: one plain struct, filled from the device tree before anything is touched.
//!
//! No register is accessed here except through references that the caller made, so the crate needs no `unsafe` and its parser
//! runs on the host. A constant table per board was rejected: the same image boots where firmware moved or removed things.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod aux_uart;
pub mod bus;
pub mod gpio;
pub mod pl011;
pub mod power;
pub mod rng200;
pub mod tree;

pub use abi::handover::{CORES_MAX, Gic, MEMORIES_MAX, Psci, Timer};
use abi::manifest::Range;
use core::fmt;
use fdt::{Fdt, node::FdtNode};
use heapless::Vec;

/// A serial port on which lines can be printed, by the address of its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// A PL011.
    Pl011(u64),
    /// A mini UART of the BCM2835 family.
    Aux(u64),
}

/// Where EL2 prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// The operator's console.
    pub operator: Port,
    /// Here too until the domains run: the port that a person is likely to look at when the operator's is not easily reached.
    pub at_boot: Option<Port>,
    /// The PL011 must first be set up: on a Raspberry Pi, where firmware leaves it to the radio.
    pub set_up: Option<SetUp>,
}

/// What a Raspberry Pi's PL011 needs on its way to the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetUp {
    /// Registers of the PL011.
    pub pl011: u64,
    /// Registers of the GPIO block.
    pub gpio: u64,
}

impl SetUp {
    /// The clock that `init_uart_clock` in config.txt gives it, Hz. (The tree names it by an index of the clock manager only.)
    pub const CLOCK_HZ: u32 = 48_000_000;
    /// As on every Raspberry Pi's serial line.
    pub const BAUD: u32 = 115_200;
}

/// A board.
#[derive(Clone, Debug)]
pub struct Board {
    /// RAM.
    pub memory: Vec<Range, MEMORIES_MAX>,
    /// `reg` of every core, which is its number and its MPIDR affinity.
    pub cores: Vec<u64, CORES_MAX>,
    /// Interrupt controller.
    pub gic: Gic,
    /// Timer interrupts.
    pub timer: Timer,
    /// Where EL2 and domains print lines.
    pub console: Console,
    /// `None`: firmware has no PSCI, and an SMC would be undefined.
    pub psci: Option<Psci>,
    /// Registers of the BCM2835's power manager, which can turn the machine off where there is no PSCI.
    pub power_manager: Option<u64>,
    /// Registers of a random number generator (RNG200).
    pub random: Option<u64>,
    /// By core: the word where it waits for an address to go to; 0: it is started by PSCI, or not at all.
    pub release: [u64; CORES_MAX],
    /// The initial ramdisk, which is the bundle.
    pub initrd: Range,
    /// RAM is zero at power-on, but for what firmware loaded: QEMU's is, a board's is not.
    pub zeroed: bool,
}

/// What the tree lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardError(pub &'static str);

impl fmt::Display for BoardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device tree: {}", self.0)
    }
}

fn cell(bytes: &[u8], index: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(index * 4..index * 4 + 4)?.try_into().ok()?))
}

fn number(bytes: &[u8]) -> Option<u64> {
    match bytes.len() {
        4 => cell(bytes, 0).map(u64::from),
        8 => Some(u64::from(cell(bytes, 0)?) << 32 | u64::from(cell(bytes, 1)?)),
        _ => None,
    }
}

/// INTID of the interrupt number `index` of `node` (GICv2 binding: type, number, flags).
fn intid(node: FdtNode<'_, '_>, index: usize) -> Option<u32> {
    let value = node.property("interrupts")?.value;
    let base = if cell(value, index * 3)? == 0 { 32 } else { 16 };
    cell(value, index * 3 + 1)?.checked_add(base)
}

/// The console that EL2 prints on: the second PL011 if there is one (the first is the program's), else a mini UART beside the first, whose
/// pins a Raspberry Pi does not bring out while the PL011 has them; else the only PL011.
pub fn console(tree: &Fdt<'_>) -> Option<Console> {
    let (mut first, mut aux, mut gpio) = (None, None, None);
    let second = bus::find(tree, |node, blocks| {
        let here = blocks.first()?.base;
        if bus::is(node, &["brcm,bcm2835-aux-uart"]) {
            aux = Some(here);
        }
        if bus::is(node, &["brcm,bcm2711-gpio"]) {
            gpio = Some(here);
        }
        bus::is(node, &["arm,pl011"]).then(|| first.replace(here).map(|_| here))?
    });
    let pl011 = first?;
    let (operator, at_boot) = match (second, aux) {
        (Some(operator), _) => (Port::Pl011(operator), None),
        (None, Some(operator)) => (Port::Aux(operator), Some(Port::Pl011(pl011))),
        (None, None) => (Port::Pl011(pl011), None),
    };
    Some(Console { operator, at_boot, set_up: gpio.map(|gpio| SetUp { pl011, gpio }) })
}

/// Where to complain about a missing tree, for an image at `image`: QEMU virt has no RAM in the first GiB, where a Raspberry Pi 4 loads
/// its kernel. (Two boards are known; a third needs another mark.)
pub fn console_without_tree(image: u64) -> Console {
    let address = if image < 0x4000_0000 { 0xfe20_1000 } else { 0x0900_0000 };
    Console { operator: Port::Pl011(address), at_boot: None, set_up: None }
}

impl Board {
    /// Reads `tree`.
    pub fn from_tree(tree: &Fdt<'_>) -> Result<Board, BoardError> {
        let mut board = Board {
            memory: Vec::new(),
            cores: Vec::new(),
            gic: gic(tree).ok_or(BoardError("no GICv2 with four reg entries and a maintenance interrupt"))?,
            timer: timer(tree).ok_or(BoardError("no arm,armv8-timer with four interrupts"))?,
            console: console(tree).ok_or(BoardError("no arm,pl011 to print on"))?,
            psci: psci(tree),
            power_manager: first_block(tree, "brcm,bcm2835-pm-wdt"),
            random: first_block(tree, "brcm,bcm2711-rng200"),
            release: [0; CORES_MAX],
            initrd: initrd(tree)
                .ok_or(BoardError("no /chosen/linux,initrd-start and -end: give a bundle as initrd"))?,
            zeroed: tree
                .find_node("/")
                .and_then(|n| n.compatible())
                .is_some_and(|c| c.all().any(|s| s == "linux,dummy-virt")),
        };
        let root = tree.find_node("/").ok_or(BoardError("no root node"))?;
        for node in root.children().filter(|n| n.name == "memory" || n.name.starts_with("memory@")) {
            for r in node.reg().into_iter().flatten() {
                let range = Range { base: r.starting_address as u64, size: r.size.unwrap_or(0) as u64 };
                board.memory.push(range).map_err(|_| BoardError("more than 4 ranges of memory"))?;
            }
        }
        for cpu in tree.cpus() {
            let id = cpu.ids().first() as u64;
            if id >= CORES_MAX as u64 {
                return Err(BoardError("a core's reg is above 7"));
            }
            board.cores.push(id).map_err(|_| BoardError("more than 8 cores"))?;
            board.release[id as usize] = release(cpu).unwrap_or(0);
        }
        Ok(board)
    }
}

/// Where a core that waits in a spin table looks for its address.
fn release(cpu: fdt::standard_nodes::Cpu<'_, '_>) -> Option<u64> {
    let mut properties = cpu.properties();
    let waits = properties.any(|p| p.name == "enable-method" && p.as_str() == Some("spin-table"));
    let word = cpu.properties().find(|p| p.name == "cpu-release-addr").filter(|_| waits)?;
    number(word.value)
}

fn gic(tree: &Fdt<'_>) -> Option<Gic> {
    bus::find(tree, |node, blocks| {
        let &[distributor, cpu, hypervisor, virtual_cpu] = blocks else { return None };
        bus::is(node, &["arm,cortex-a15-gic", "arm,gic-400"]).then_some(())?;
        Some(Gic {
            distributor: distributor.base,
            cpu: cpu.base,
            hypervisor: hypervisor.base,
            virtual_cpu: virtual_cpu.base,
            maintenance: intid(node, 0)?,
        })
    })
}

fn timer(tree: &Fdt<'_>) -> Option<Timer> {
    let node = tree.find_compatible(&["arm,armv8-timer"])?;
    // The binding's order: secure, physical, virtual, hypervisor.
    Some(Timer { virtual_intid: intid(node, 2)?, hypervisor_intid: intid(node, 3)? })
}

fn psci(tree: &Fdt<'_>) -> Option<Psci> {
    let node = tree.find_node("/psci")?;
    if node.property("method")?.as_str()? != "smc" {
        return None;
    }
    let cpu_on = node.property("cpu_on").and_then(|p| number(p.value)).unwrap_or(0xc400_0003);
    Some(Psci { cpu_on, system_off: 0x8400_0008 })
}

/// Where the first register block of the device that is `kind` lies.
fn first_block(tree: &Fdt<'_>, kind: &str) -> Option<u64> {
    bus::find(tree, |node, blocks| bus::is(node, &[kind]).then(|| blocks.first().map(|b| b.base))?)
}

fn initrd(tree: &Fdt<'_>) -> Option<Range> {
    let chosen = tree.find_node("/chosen")?;
    let base = number(chosen.property("linux,initrd-start")?.value)?;
    let end = number(chosen.property("linux,initrd-end")?.value)?;
    Some(Range { base, size: end.checked_sub(base)? })
}
