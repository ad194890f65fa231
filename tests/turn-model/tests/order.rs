//! Whatever the schedulers choose, kernels under the turn rule have one history.

use proptest::prelude::*;
use turn_model::{Event, Fault, Kernel, Op, PIPES, Program, Sequencer, Step};

/// A small generator of choices, so that a failing case is its seed.
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n
    }
}

fn op() -> impl Strategy<Value = Op> {
    let pipe = 0..PIPES;
    prop_oneof![
        4 => Just(Op::Compute),
        1 => Just(Op::Private),
        1 => Just(Op::Spin),
        4 => any::<u8>().prop_map(Op::Emit),
        3 => (pipe.clone(), 1..7u32).prop_map(|(p, n)| Op::Write(p, n)),
        3 => (pipe, 1..7u32).prop_map(|(p, n)| Op::Read(p, n)),
        1 => Just(Op::ReadTty),
        2 => (0..300u64).prop_map(Op::Sleep),
        3 => (0..4usize).prop_map(Op::Fork),
        2 => Just(Op::Wait),
        1 => Just(Op::KillYoungest),
        1 => Just(Op::Exit),
    ]
}

fn program() -> impl Strategy<Value = Program> {
    prop::collection::vec(prop::collection::vec(op(), 0..30), 1..5)
}

/// Runs `n` kernels and a sequencer with random choices of everything; returns them.
fn run(program: &Program, n: usize, seed: u64, steps: usize) -> (Vec<Kernel>, Sequencer) {
    let mut choices = Choices(seed);
    let mut kernels: Vec<Kernel> = (0..n).map(|_| Kernel::new(program.clone())).collect();
    let mut sequencer = Sequencer::new(n);
    let mut received = vec![0; n];
    let mut time = 1;
    for _ in 0..steps {
        match choices.below(20) {
            0 if choices.below(8) == 0 => sequencer.input(Event::Input(choices.below(256) as u8)),
            0 if choices.below(16) == 0 => sequencer.input(Event::Interrupt),
            1 => sequencer.decide(),
            2 | 3 => drop(sequencer.issue(time)),
            4 => time += choices.below(200) as u64,
            _ => {
                let k = choices.below(n);
                let kernel = &mut kernels[k];
                if choices.below(3) == 0 && received[k] < sequencer.log.len() {
                    kernel.receive(sequencer.log[received[k]].clone());
                    received[k] += 1;
                }
                let mut enabled = kernel.enabled();
                // Stuck is for threads that take long: make it rare, or nothing else happens.
                if choices.below(6) != 0 {
                    enabled.retain(|s| *s != Step::Stuck);
                }
                if !enabled.is_empty() {
                    kernel.perform(enabled[choices.below(enabled.len())]);
                }
                kernel.votes.drain(..).for_each(|v| sequencer.hear(k, v));
            }
        }
    }
    (kernels, sequencer)
}

fn assert_prefix(a: &Kernel, b: &Kernel) {
    let n = a.history.len().min(b.history.len());
    assert_eq!(a.history[..n], b.history[..n]);
}

/// Runs a finished log, all of it known from the beginning.
fn again(kernel: &mut Kernel, sequencer: &Sequencer, seed: u64) {
    sequencer.log.iter().for_each(|e| kernel.receive(e.clone()));
    let mut choices = Choices(!seed);
    for _ in 0..4000 {
        let mut enabled = kernel.enabled();
        enabled.retain(|s| *s != Step::Stuck);
        if enabled.is_empty() {
            break;
        }
        kernel.perform(enabled[choices.below(enabled.len())]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Four kernels, any schedulers, any timing of log and votes: one history (the slower one's is a prefix).
    #[test]
    fn any_two_schedulers_give_the_same_effects(program in program(), seed in any::<u64>()) {
        let (kernels, _) = run(&program, 4, seed, 3000);
        kernels.iter().for_each(|k| assert_prefix(&kernels[0], k));
    }

    /// A recorded log, all of it known from the beginning, gives the recorded history on a fifth kernel.
    #[test]
    fn replay_gives_the_same_effects(program in program(), seed in any::<u64>()) {
        let (kernels, sequencer) = run(&program, 2, seed, 2000);
        let mut fifth = Kernel::new(program);
        again(&mut fifth, &sequencer, seed);
        assert_prefix(&kernels[0], &fifth);
    }
}

/// The properties above would hold for a model in which nothing happens: count what does.
#[test]
fn the_runs_are_not_empty() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..300 {
        let program = program().new_tree(&mut runner).unwrap().current();
        let (kernels, _) = run(&program, 4, seed, 3000);
        for (_, _, _, what) in &kernels[0].history {
            let word = what.split([' ', ',']).next().unwrap_or("").to_owned();
            *seen.entry(word).or_insert(0u32) += 1;
        }
    }
    for word in [
        "emit", "wrote", "read", "tty", "slept", "fork", "waited", "kill", "ends", "skipped", "waits",
        "sleeps",
    ] {
        assert!(seen.get(word).copied().unwrap_or(0) >= 20, "{word}: {seen:?}");
    }
}

/// A kernel that breaks the rule in any of these ways is found when it runs a log that correct kernels made.
#[test]
fn a_kernel_that_orders_otherwise_is_found() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    for fault in [
        Fault::WokenFirst,
        Fault::ChildFirst,
        Fault::LongTurn,
        Fault::SkipNotCounted,
        Fault::DeadlinesBySerial,
    ] {
        let mut runner = TestRunner::deterministic();
        let found = (0..300).any(|seed| {
            let program = program().new_tree(&mut runner).unwrap().current();
            let (kernels, sequencer) = run(&program, 2, seed, 3000);
            let mut odd = Kernel::new(program);
            odd.fault = Some(fault);
            again(&mut odd, &sequencer, seed);
            let n = odd.history.len().min(kernels[0].history.len());
            odd.history[..n] != kernels[0].history[..n]
        });
        assert!(found, "{fault:?} makes no difference in 300 runs");
    }
}
