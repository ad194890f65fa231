//! From `Boot` to process 1.

use super::Kernel;
use crate::Map;
use crate::exec::Arguments;
use crate::fs::Files;
use crate::fs::node::Node;
use crate::fs::opened::Name;
use crate::machine::{Machine, User};
use crate::process::{Place, Process, Wanted};
use crate::signals::Signals;
use crate::space::Space;
use crate::state::{Birth, State};
use crate::tty::Tty;
use abi::log::{Boot, Program, strings};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

pub(crate) fn first_process(clock: u64) -> Process {
    Process {
        serial: 1,
        pid: 1,
        parent: 0,
        group: 1,
        session: 1,
        name: Vec::new(),
        place: Place::Round,
        wanted: Wanted::Nothing,
        user: Box::new(User::new()),
        space: 0,
        fds: Map::new(),
        cwd: Node::File(crate::fs::ROOT),
        cwd_name: Name::fixed(b"/"),
        umask: 0o022,
        signals: Signals::default(),
        calls: 0,
        child_calls: 0,
        nice: 0,
        status: 0,
        news: None,
        random: 0,
        started: clock,
        exe: crate::process::Program { inode: 0, name: Name::fixed(b"") },
        arguments: Rc::from(&[][..]),
        vfork: false,
        execed: false,
        limits: Map::new(),
        timer: (0, 0),
        controls: [0, 1, 0],
        clear_tid: 0,
        robust: 0,
        unagreed: false,
        search: None,
        digest_due: None,
    }
}

impl<M: Machine> Kernel<M> {
    /// The beginning; a reason if there can be none.
    pub(super) fn boot(&mut self, boot: &Boot<'_>) -> Result<(), &'static str> {
        if boot.version != abi::log::VERSION {
            return Err("the log has another version");
        }
        let program: Program<'_> = postcard::from_bytes(boot.program).map_err(|_| "Boot names no program")?;
        if program.tier > crate::calls::TIER {
            return Err("the program asks for more calls than this kernel offers (its tier)");
        }
        let boot_ns = boot.time_us as i64 * 1000;
        let mut files = Files::new(self.pool.clone(), self.image.0, self.image.1, boot_ns)
            .map_err(|_| "the root image is no archive")?;
        files.hold(crate::fs::ROOT);
        let mut state = State {
            birth: Birth {
                seed: boot.seed,
                time_us: boot.time_us,
                digest_interval: boot.digest_interval.into(),
                tier: program.tier,
            },
            processes: Map::new(),
            spaces: Map::new(),
            next_space: 2,
            opens: Map::new(),
            next_open: 1,
            files,
            pipes: Map::new(),
            next_pipe: 1,
            pipe_inodes: 0,
            tty: Tty::new(boot.rows, boot.columns),
            round: VecDeque::from([1]),
            queues: Map::new(),
            call: 0,
            since: 0,
            in_turn: 0,
            base: boot.time_us,
            sync: 1,
            sync_due: false,
            execs: 0,
            last_serial: 1,
            last_pid: 1,
            wakes: Vec::new(),
            records: Vec::new(),
            snapshot_due: false,
            halted: false,
            pool: self.pool.clone(),
        };
        let mut first = first_process(boot.time_us);
        first.space = 1;
        state.processes.insert_mut(1, first);
        state.spaces.insert_mut(1, Space::new(self.pool.clone()));
        state.open_console(1).map_err(|_| "no console")?;
        let list = |bytes| strings(bytes).map(<[u8]>::to_vec).collect();
        let arguments = Arguments { argv: list(program.argv), env: list(program.env) };
        state.execute(1, program.path.as_bytes(), arguments).map_err(|_| "process 1 cannot be started")?;
        self.state = Some(state);
        self.drain();
        self.passed(0);
        Ok(())
    }
}
