//! One debugger over EL2, the services, the kernels and the program: gdb on QEMU's stub, with the symbols of all of them. QEMU stops all cores at
//! once, and virtual time with them; to look at one kernel while the others go on there is `tetrarch operator pause K`.

use crate::build::Tools;
use crate::machine::{Images, Machine, Options};
use crate::terminal::OperatorLog;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const GDB: &str = "gdb-multiarch";

/// The commands of ours inside gdb. `@LOOK@` is xtask, `@SOCKET@` where it listens.
const COMMANDS: &str = r#"
python
import gdb, socket, subprocess

class Tetrarch(gdb.Command):
    """tetrarch domains            every domain: core, level, image, exits, state
tetrarch threads K          the threads of kernel K; > holds the turn
tetrarch turns K            the last calls that K made in turns
tetrarch counters K         what K counts of itself
tetrarch operator COMMAND   as on the operator's console, e.g. pause k2, resume k2, status
tetrarch type TEXT          keys for the program; \\r is Return"""
    def __init__(self):
        super().__init__("tetrarch", gdb.COMMAND_USER)
    def invoke(self, text, from_tty):
        verb, _, rest = text.partition(" ")
        if verb in ("operator", "type"):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect("@SOCKET@")
                s.sendall((verb + " " + rest.replace("\\r", "\r") + "\n").encode())
        elif verb in ("domains", "threads", "turns", "counters"):
            done = subprocess.run(["@LOOK@", "look"] + text.split(), capture_output=True, text=True)
            gdb.write(done.stdout + done.stderr)
        else:
            gdb.write(self.__doc__ + "\n")
Tetrarch()
end
"#;

/// The script that gdb starts with.
fn script(tools: &Tools, images: &Images, options: &Options, dir: &Path) -> Result<String> {
    let me = std::env::current_exe()?;
    let mut text = String::from(
        "set pagination off\nset confirm off\nset auto-load python-scripts off\nset architecture aarch64\n",
    );
    text += &format!("file {}\n", tools.elf("microkernel").display());
    for elf in images.elves().chain(program(tools, options)) {
        text += &format!("add-symbol-file {}\n", elf.display());
    }
    // Breakpoints in memory would be found by the other copies of an image, and by digests.
    text += &format!("target remote {}\nset breakpoint auto-hw on\n", dir.join("gdb.sock").display());
    text += &COMMANDS
        .replace("@SOCKET@", &dir.join("control.sock").display().to_string())
        .replace("@LOOK@", &me.display().to_string());
    Ok(text)
}

/// The file with symbols of the program that the command line starts with, if it is one of the project's.
fn program(tools: &Tools, options: &Options) -> Option<PathBuf> {
    let first = options.command.as_deref()?.split_whitespace().next()?;
    let file = crate::build::app(tools, first);
    file.exists().then_some(file)
}

/// Boots a machine that stands still until gdb says `continue`, and runs gdb on it: for a person, or with the `batch` of commands.
pub fn debug(tools: &Tools, images: &Images, options: &Options, batch: Option<&Path>) -> Result<()> {
    let found = Command::new(GDB).arg("--version").stdout(Stdio::null()).status();
    ensure!(found.is_ok_and(|s| s.success()), "{GDB} is missing; `make setup` installs it");
    let mut options = options.clone();
    options.debug = true;
    let mut machine = Machine::boot(images, &options)?;
    let control = UnixListener::bind(machine.dir().join("control.sock"))?;
    control.set_nonblocking(true)?;
    let start = machine.dir().join("gdb.script");
    std::fs::write(&start, script(tools, images, &options, machine.dir())?)?;
    let mut gdb = Command::new(GDB);
    gdb.arg("-q").arg("-nx").arg("-x").arg(&start);
    if let Some(batch) = batch {
        gdb.arg("-batch").arg("-x").arg(batch).stdin(Stdio::null());
    } else {
        eprintln!(
            "xtask: the machine stands still; `continue` starts it, `help tetrarch` lists what is ours, `quit` ends all"
        );
        // Ctrl-C is gdb's.
        // SAFETY: (1) ignoring a signal runs no handler; (2) nobody else in this process sets SIGINT's action.
        unsafe {
            nix::sys::signal::signal(nix::sys::signal::Signal::SIGINT, nix::sys::signal::SigHandler::SigIgn)
        }?;
    }
    let mut child = gdb.spawn().with_context(|| format!("cannot run {GDB}"))?;
    let mut operator = OperatorLog::default();
    while child.try_wait()?.is_none() {
        pump(&mut machine, &mut operator)?;
        serve(&control, &mut machine)?;
    }
    Ok(())
}

/// Shows what the consoles say.
fn pump(machine: &mut Machine, operator: &mut OperatorLog) -> Result<()> {
    let mut buffer = [0; 4096];
    let wait = Some(Duration::from_millis(10));
    machine.console.set_read_timeout(wait)?;
    machine.operator.set_read_timeout(wait)?;
    if let Ok(n) = machine.console.read(&mut buffer) {
        std::io::stdout().write_all(&buffer[..n])?;
        std::io::stdout().flush()?;
    }
    if let Ok(n) = machine.operator.read(&mut buffer) {
        let new = operator.push(&buffer[..n]);
        operator.lines[operator.lines.len() - new..].iter().for_each(|l| eprintln!("| {l}"));
    }
    Ok(())
}

/// Takes what gdb's commands ask for.
fn serve(control: &UnixListener, machine: &mut Machine) -> Result<()> {
    let Ok((stream, _)) = control.accept() else { return Ok(()) };
    stream.set_nonblocking(false)?;
    for line in BufReader::new(stream).split(b'\n') {
        let line = line?;
        if let Some(keys) = line.strip_prefix(b"type ") {
            machine.console.write_all(keys)?;
        } else if let Some(command) = line.strip_prefix(b"operator ") {
            machine.operator.write_all(&[command, b"\r"].concat())?;
        }
    }
    Ok(())
}
