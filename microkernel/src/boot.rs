//! EL2 begins, from top to bottom. The loader has read everything and says what it found ([`abi::handover`]). `early` runs with the MMU off;
//! `primary` builds the plan, then starts the other cores; from then on each core is alone with its `Core`.

use crate::arch::sync::Once;
use crate::arch::{entry, log, percpu, registers};
use crate::console::Part;
use crate::core_local::Core;
use crate::plan::Plan;
use crate::{console, crash, gic, memory, say, shared, stage1, tables};

static PLAN: Once<Plan> = Once::new();

/// Says why there is no system, and stops.
fn refuse(why: &[Part<'_>]) -> ! {
    say!("el2: cannot start: ", Part::Parts(why));
    crash::stop()
}

/// MMU off: the first map. Returns its root.
pub fn early() -> u64 {
    let given = entry::given();
    if !given.is_ours() {
        // A loader of another build: not even a console is known.
        crash::stop()
    }
    console::start(given.board.ports);
    stage1::build(&given.board.memory).unwrap_or_else(|| refuse(&["no pages for EL2's own tables".into()]))
}

/// The boot core, MMU on.
#[unsafe(link_section = ".start")]
#[allow(unsafe_code)] // Where it stands, and nothing else.
pub fn primary() -> ! {
    let plan = Plan::build(entry::given()).unwrap_or_else(|why| refuse(&[why.into()]));
    let (used, pages) = tables::usage();
    say!("el2: ", plan.given.channels.len(), " channels, ", used, " of ", pages, " pages of tables");
    registers::publish_code();

    gic::reset_distributor(&plan.given.board.gic);
    let Some(plan) = PLAN.set(plan) else { crash::stop() };
    let me = registers::core_number();
    start_others(plan, me);
    console::leave_boot_port();
    run(me, plan)
}

#[unsafe(link_section = ".start")]
#[allow(unsafe_code)] // Where it stands, and nothing else.
fn start_others(plan: &Plan, me: usize) {
    let board = &plan.given.board;
    for &id in board.cores.iter().filter(|&&id| id != me as u64) {
        match (board.release.get(id as usize).copied().unwrap_or(0), board.psci.cpu_on) {
            (0, 0) => {
                say!("el2: core ", id, " not started: the tree has neither psci (smc) nor a spin table");
            }
            (0, cpu_on) => match registers::smc(cpu_on, id, entry::secondary_address(), 0) {
                0 => {}
                e => say!("el2: core ", id, " not started: PSCI answers -", e.unsigned_abs()),
            },
            (word, _) => {
                memory::publish(word, entry::secondary_address());
                registers::wake_others();
            }
        }
    }
}

/// The plan, once there is one.
pub fn plan() -> Option<&'static Plan> {
    PLAN.get()
}

/// Another core, MMU on.
pub fn secondary(id: usize) -> ! {
    match PLAN.get() {
        Some(plan) => run(id, plan),
        None => crash::stop(),
    }
}

/// This core's own instance begins.
#[unsafe(link_section = ".start")]
#[allow(unsafe_code)] // Where it stands, and nothing else.
fn run(id: usize, plan: &'static Plan) -> ! {
    log::start();
    defmt::info!("core {=usize} begins, {=usize} domains", id, plan.on_core(id).count());
    let core = percpu::install(Core::new(id, plan));
    shared::set_store(id, &raw const core.store as u64);
    entry::enter(core)
}
