//! A kernel over scripts, run from a Boot.

use super::{Outside, Scripted, Step};
use abi::log::{Boot, Entry, Program, VERSION};
use lazy::kernel::Kernel;
use std::cell::RefCell;
use std::rc::Rc;

/// When the log begins.
pub const BOOT_US: u64 = 1_750_000_000_000_000;
/// AT_FDCWD.
pub const HERE: u64 = -100i64 as u64;

/// A system call.
pub fn call(number: u64, a: &[u64]) -> Step {
    let mut all = [0; 6];
    all[..a.len()].copy_from_slice(a);
    Step::Call(number, all)
}

/// Stores words.
pub fn words(at: u64, words: &[u64]) -> Step {
    Step::Store(at, words.iter().flat_map(|w| w.to_le_bytes()).collect())
}

/// Stores a text and a zero byte.
pub fn text(at: u64, text: &str) -> Step {
    Step::Store(at, [text.as_bytes(), &[0]].concat())
}

/// What `postcard` makes of a value.
macro_rules! encoded {
    ($value:expr) => {
        postcard::to_slice($value, &mut [0; 4096]).expect("it fits").to_vec()
    };
}
pub(crate) use encoded;

/// The log's first entry: `/bin/init`.
pub fn boot_entry() -> Vec<u8> {
    let program =
        encoded!(&Program { path: "/bin/init", argv: b"init\0", env: b"A=b\0", tier: abi::tier::MOST });
    let boot = Boot {
        version: VERSION,
        seed: [7; 32],
        time_us: BOOT_US,
        digest_interval: 1,
        rows: 24,
        columns: 80,
        program: &program,
    };
    encoded!(&Entry::Boot(boot))
}

/// A kernel and what it shares with its test.
pub struct Run {
    pub kernel: Kernel<Scripted>,
    pub outside: Rc<RefCell<Outside>>,
}

impl Run {
    /// Nothing has run.
    pub fn new(image: &'static [u8], scripts: Vec<Vec<Step>>) -> Run {
        let outside = Rc::new(RefCell::new(Outside { heap_room: usize::MAX, ..Outside::default() }));
        let machine = Scripted::new(image, Rc::new(scripts), outside.clone());
        Run { kernel: Kernel::new(machine, 1 << 40, 0), outside }
    }

    /// From Boot on with these further entries, until nothing more can be done.
    pub fn from_boot(image: &'static [u8], scripts: Vec<Vec<Step>>, log: Vec<Vec<u8>>) -> Run {
        let mut run = Run::new(image, scripts);
        run.kernel.boot = boot_entry();
        let entry = boot_entry();
        let Ok(Entry::Boot(boot)) = postcard::from_bytes(&entry) else { panic!("Boot") };
        run.outside.borrow_mut().log.extend(log);
        run.kernel.start(&boot);
        run.cycles();
        run
    }

    /// Until the kernel has nothing to do.
    pub fn cycles(&mut self) {
        let before = self.outside.borrow().waits;
        while self.outside.borrow().waits == before {
            self.kernel.cycle();
        }
    }
}
