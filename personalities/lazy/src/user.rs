//! User code of one thread, until something happens.

use crate::hw::{Hardware, Trap};
use crate::kernel::Kernel;
use crate::memory::space::Resolved;
use crate::process::{Fault, Stand};
use crate::sched;
use abi::linux::nr;
use abi::turn::{Class, class};

impl<H: Hardware> Kernel<H> {
    /// Runs user code of one thread until something happens.
    pub fn run_user(&mut self, serial: u64, now: u64, others: bool) {
        let head = self.turn.round.front() == Some(&serial);
        // Once it is stuck there is nothing to watch for: a timer that is over already would let it make no progress.
        let watch = head && self.turn.promised != Some(self.turn.call) && self.turn.ran_us < self.stuck_us;
        let mut until = others.then_some(now + sched::SLICE_US);
        let mut at_latest = |t: u64| until = Some(until.map_or(t, |u| u.min(t)));
        if watch {
            at_latest(now + self.stuck_us.saturating_sub(self.turn.ran_us));
        }
        if self.turn.said < self.turn.call {
            at_latest(self.turn.unsaid_since + self.stuck_us / 2 + 1);
        }
        let space = self.process_of(serial).and_then(|p| p.space);
        let Some(tables) = space.and_then(|s| self.memory.tables(s)) else {
            return self.out_of_memory(serial);
        };
        self.load_fp(serial);
        self.tally.run(serial);
        let Some(t) = self.threads.get_mut(&serial) else { return };
        let hw = &mut self.memory.physical.hw;
        let trap = hw.run(&mut t.registers, tables.root, tables.asid, until);
        let ran = hw.now_us().saturating_sub(now);
        t.entity.charge(ran, head);
        if head && !self.turn.sync_due {
            self.turn.ran_us += ran;
        }
        match trap {
            Trap::Interrupt | Trap::Step => {
                self.tally.interrupts += 1;
                self.tell();
            }
            Trap::Call => self.trapped_call(serial),
            Trap::Access { address, access } => self.page_fault(serial, address, access),
            Trap::Exception(e) => self.stand(serial, Stand::Fault(Fault::Exception(e))),
        }
    }

    /// A thread's place in its own program.
    pub fn stand(&mut self, serial: u64, stand: Stand) {
        if let Some(t) = self.threads.get_mut(&serial) {
            t.stand = stand;
        }
    }

    fn page_fault(&mut self, serial: u64, address: u64, access: crate::hw::Access) {
        let Some(space) = self.process_of(serial).and_then(|p| p.space) else { return };
        match self.memory.resolve(space, address, access, false) {
            Resolved::Frame(_) => self.tally.repaired += 1,
            Resolved::NoMemory => self.out_of_memory(serial),
            _ => self.stand(serial, Stand::Fault(Fault::Access(address, access))),
        }
    }

    /// A private call is made at once, a turn's call when its turn comes.
    pub fn trapped_call(&mut self, serial: u64) {
        let Some(t) = self.threads.get(&serial) else { return };
        let number = t.registers.x[8];
        let args = crate::calls::arguments(&t.registers);
        let unagreed = self.process_of(serial).is_some_and(|p| p.unagreed);
        let private = match class(number, &args) {
            // A memory call stops by itself, before it changes anything, when it needs a further chunk.
            Class::Private if number == nr::sched_yield => self.sharers(serial).is_empty(),
            Class::Private | Class::Memory => true,
            Class::Turn => unagreed && number == nr::rt_sigreturn,
        };
        self.stand(serial, Stand::Call);
        if private {
            self.tally.private += 1;
            self.memory.wants_turn = false;
            let result = self.private_call(serial, number, &args);
            if core::mem::take(&mut self.memory.wants_turn) {
                return;
            }
            if let Some(t) = self.threads.get_mut(&serial) {
                if let Some(value) = result {
                    t.registers.x[0] = value;
                }
                t.stand = Stand::User;
            }
        }
    }

    /// This kernel has no page left for the process: its own limit, see `docs/limits.md`.
    pub fn out_of_memory(&mut self, serial: u64) {
        self.memory.physical.hw.say(format_args!("lazy: out of frames, process {serial} ends"));
        self.generate_kernel(serial, crate::signal::SIGKILL);
        self.stand(serial, Stand::Call);
    }
}
