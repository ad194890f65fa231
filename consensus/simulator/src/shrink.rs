//! A failing run made small: what it does not need is taken away, and what is left is told.

use crate::plan::Plan;
use crate::world::{Outcome, World};

/// Runs `plan`.
pub fn run(plan: &Plan) -> Outcome {
    World::new(plan).run().0
}

fn kind(outcome: &Outcome) -> Option<&str> {
    outcome.failure.as_deref().and_then(|f| f.split(':').next())
}

/// A plan that fails in the same way, from which nothing more can be taken.
pub fn shrink(plan: &Plan) -> Plan {
    let found = run(plan);
    let wanted = kind(&found);
    let mut best = plan.clone();
    loop {
        let mut smaller = Vec::new();
        for i in 0..best.misfortunes.len() {
            let mut p = best.clone();
            p.misfortunes.remove(i);
            smaller.push(p);
        }
        for (inputs, syncs) in [(best.inputs / 2, best.syncs), (best.inputs, best.syncs / 2)] {
            smaller.push(Plan { inputs: inputs.max(1), syncs: syncs.max(1), ..best.clone() });
        }
        smaller.retain(|p| {
            p.misfortunes.len() < best.misfortunes.len() || p.inputs + p.syncs < best.inputs + best.syncs
        });
        match smaller.into_iter().find(|p| kind(&run(p)) == wanted) {
            Some(p) => best = p,
            None => return best,
        }
    }
}

/// The last `lines` of what happened, after what went wrong.
pub fn story(plan: &Plan, lines: usize) -> String {
    let mut world = World::new(plan);
    world.story = Some(Vec::new());
    let (_, story) = world.run();
    let mut text =
        format!("seed {}: {} inputs of each origin, {} sync points\n", plan.seed, plan.inputs, plan.syncs);
    for m in &plan.misfortunes {
        text += &format!("  - {m}\n");
    }
    let skipped = story.len().saturating_sub(lines);
    if skipped > 0 {
        text += &format!("  ... {skipped} lines\n");
    }
    for line in &story[skipped..] {
        text += &format!("  {line}\n");
    }
    text
}
