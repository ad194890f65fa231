//! What invocations cost on the host, in nanoseconds: medians of several runs of the workload that `guest-caps` runs. `make bench`.

#[path = "../src/workload.rs"]
mod workload;

use capability_model::memory::{Memory, PAGE};
use std::collections::BTreeMap;
use std::time::Instant;
use workload::{MEMORY, run};

const RUNS: usize = 31;
const BASE: u64 = 0x4000_0000;

struct Words(Vec<u64>);

impl Memory for Words {
    fn read(&self, address: u64) -> u64 {
        self.0[((address - BASE) / 8) as usize]
    }

    fn write(&mut self, address: u64, word: u64) {
        self.0[((address - BASE) / 8) as usize] = word;
    }

    fn scrub(&mut self, page: u64) {
        let first = ((page - BASE) / 8) as usize;
        self.0[first..first + PAGE as usize / 8].fill(0);
    }

    fn forget(&mut self, _: u16, _: Option<u64>) {}

    fn unmask(&mut self, _: u16) {}
}

fn main() {
    let mut times = BTreeMap::<String, Vec<u64>>::new();
    for _ in 0..RUNS {
        let memory = Words(vec![0; (MEMORY / 8) as usize]);
        let start = Instant::now();
        let now = || start.elapsed().as_nanos() as u64;
        run(memory, BASE, now, |name, thousand| times.entry(name.into()).or_default().push(thousand));
    }
    for (name, mut all) in times {
        all.sort_unstable();
        println!("{name}_host_ns {:.1}", all[RUNS / 2] as f64 / 1000.0);
    }
}
