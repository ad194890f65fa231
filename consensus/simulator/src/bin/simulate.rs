//! `make simulate SEEDS=10000`: that many runs; `FIRST=` another first seed. A failure is shrunk, told, and ends the search.

use consensus_simulator::plan::Plan;
use consensus_simulator::shrink::{run, shrink, story};
use std::process::ExitCode;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.replace('_', "").parse().ok()).unwrap_or(default)
}

fn main() -> ExitCode {
    let (first, seeds) = (number("FIRST", 0), number("SEEDS", 10_000));
    let start = std::time::Instant::now();
    let mut total = [0; 5];
    for seed in first..first + seeds {
        let plan = Plan::new(seed);
        let o = run(&plan);
        for (sum, n) in total.iter_mut().zip([o.decisions, o.messages, o.views, o.epochs, o.restored]) {
            *sum += n;
        }
        if let Some(failure) = o.failure {
            let small = if number("SHRINK", 1) == 1 { shrink(&plan) } else { plan };
            println!("seed {seed}: {failure}\n{}", story(&small, number("LINES", 60) as usize));
            return ExitCode::FAILURE;
        }
    }
    let [decisions, messages, views, epochs, restored] = total;
    println!(
        "| Seeds | Decisions | Messages | Views begun | Epochs begun | States taken over | Time | Result |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| {first}..{} | {decisions} | {messages} | {views} | {epochs} | {restored} | {:.0} s | safe, and live after the calm |",
        first + seeds,
        start.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}
