//! The start: process 1.

use super::*;
use crate::exec::Request;
use crate::files::{Files, ROOT, Time, device};
use crate::open::{Kind, Name, O_RDWR, OpenFile};
use crate::process::{Action, Descriptor, Process, Thread};
use abi::log::{Boot, Program, strings};
use alloc::collections::BTreeMap;

impl<H: Hardware> Kernel<H> {
    /// Sync point 0.
    pub fn start(&mut self, boot: &Boot<'_>) {
        self.take_boot(boot);
        let program = self.take_program(boot);
        self.first_process();
        let request = Request {
            path: program.path.as_bytes().to_vec(),
            argv: strings(program.argv).map(<[u8]>::to_vec).collect(),
            env: strings(program.env).map(<[u8]>::to_vec).collect(),
        };
        if let Err(e) = self.exec(1, request) {
            self.memory.physical.hw.say(format_args!("lazy: error {} from execve of process 1", e.0));
            self.memory.physical.hw.fail("process 1 cannot be executed");
        }
        self.pass(0);
    }

    /// The program of Boot; the calls that it is offered are this kernel's from now on.
    pub fn take_program<'a>(&mut self, boot: &Boot<'a>) -> Program<'a> {
        match postcard::from_bytes::<Program<'_>>(boot.program) {
            Ok(p) if p.tier <= abi::tier::MOST => {
                self.tier = p.tier;
                p
            }
            Ok(_) => self.memory.physical.hw.fail("the log's Boot asks for more calls than this kernel has"),
            Err(_) => self.memory.physical.hw.fail("the log's Boot names no program"),
        }
    }

    /// All of Boot but the program.
    pub fn take_boot(&mut self, boot: &Boot<'_>) {
        self.seed = boot.seed;
        self.boot_us = boot.time_us;
        self.digest_interval = boot.digest_interval.into();
        self.turn.base_us = boot.time_us;
        self.turn.sync = 1;
        (self.terminal.size[0], self.terminal.size[1]) = (boot.rows, boot.columns);
        self.make_trampoline();
        let image = self.memory.physical.hw.image();
        match Files::from_image(image, Time::of_us(boot.time_us)) {
            Some(files) => self.files = files,
            None => self.memory.physical.hw.fail("the root image is no newc archive"),
        }
    }

    fn make_trampoline(&mut self) {
        let Some(frame) = self.memory.physical.allocate() else { return };
        // mov x8, #139; svc #0
        self.memory.physical.write(frame, 0, &0xd280_1168u32.to_le_bytes());
        self.memory.physical.write(frame, 4, &0xd400_0001u32.to_le_bytes());
        self.memory.trampoline = Some(frame);
    }

    fn first_process(&mut self) {
        (self.last_serial, self.last_pid) = (1, 1);
        let console = OpenFile {
            kind: Kind::Terminal,
            inode: device::CONSOLE,
            flags: O_RDWR,
            offset: 0,
            refs: 3,
            name: Name::Mounted(device::DEV, b"console".to_vec()),
            quiet_hangup: None,
        };
        let file = self.open.insert(console);
        let descriptor = Some(Descriptor { file, cloexec: false });
        self.files.hold(ROOT);
        let p = Process {
            serial: 1,
            pid: 1,
            parent: 0,
            group: 1,
            session: 1,
            execed: true,
            space: None,
            borrowed: false,
            vfork_parent: None,
            zombie: false,
            status: 0,
            report: None,
            pending: 0,
            infos: BTreeMap::new(),
            actions: [Action::default(); 65],
            descriptors: alloc::vec![descriptor; 3],
            cwd: ROOT,
            umask: 0o22,
            cmdline: Vec::new(),
            exe: Default::default(),
            gone_calls: 0,
            child_calls: 0,
            random: 0,
            nice: 0,
            limits: BTreeMap::new(),
            prctl: [0, 1, 0],
            timer: None,
            unagreed: false,
            digest_due: None,
            started: self.boot_us,
        };
        self.processes.insert(1, p);
        self.threads.insert(1, Thread::new(1, 1, 1));
        self.turn.round.push_back(1);
        self.terminal.session = 1;
        self.terminal.foreground = 1;
    }
}
