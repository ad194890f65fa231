//! `make operator`: the operator's console of a session that runs, from another terminal. Whoever runs the machine holds its port; it hands on what
//! the console says, and takes lines from any number of others.

use crate::build::Tools;
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// Who does not read for so long is let go.
const PATIENCE: Duration = Duration::from_millis(200);
/// When standard input has ended: so long after the last line there is nothing more to come.
const QUIET: Duration = Duration::from_secs(1);

/// Where sessions of this target directory are found.
pub fn socket(tools: &Tools) -> PathBuf {
    tools.target.join("machine").join("operator.sock")
}

/// The session's side.
pub struct Relay {
    others: Arc<Mutex<Vec<UnixStream>>>,
    path: PathBuf,
}

impl Relay {
    /// Listens at `path`; lines that come go to `console`.
    pub fn open(path: &Path, console: &UnixStream) -> Result<Relay> {
        // What an earlier session left.
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
        let others: Arc<Mutex<Vec<UnixStream>>> = Arc::default();
        let (all, console) = (others.clone(), console.try_clone()?);
        std::thread::spawn(move || {
            for other in listener.incoming().flatten() {
                let copies = (other.try_clone(), console.try_clone());
                if let (Ok(from), Ok(to)) = copies
                    && other.set_write_timeout(Some(PATIENCE)).is_ok()
                {
                    all.lock().unwrap_or_else(|e| e.into_inner()).push(other);
                    std::thread::spawn(move || hand_on(from, to));
                }
            }
        });
        Ok(Relay { others, path: path.to_owned() })
    }

    /// What the console said goes to everybody.
    pub fn tell(&self, bytes: &[u8]) {
        let mut others = self.others.lock().unwrap_or_else(|e| e.into_inner());
        others.retain_mut(|other| other.write_all(bytes).is_ok());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whole lines, so that two operators do not type into each other's.
fn hand_on(from: UnixStream, mut to: UnixStream) {
    for line in BufReader::new(from).lines() {
        let Ok(line) = line else { return };
        if to.write_all(format!("{}\r", line.trim_end()).as_bytes()).is_err() {
            return;
        }
    }
}

/// The other side: lines from standard input to the console, what it says to standard output, until either ends.
pub fn operate(tools: &Tools) -> Result<()> {
    let session = UnixStream::connect(socket(tools));
    let session = session.context("no session runs here; begin one with `make run-qemu-aarch64`")?;
    talk(session, std::io::stdin(), std::io::stdout())
}

fn talk(session: UnixStream, input: impl Read + Send + 'static, mut output: impl Write) -> Result<()> {
    let (heard, lines) = mpsc::channel();
    let (mut to, typed) = (session.try_clone()?, Arc::new(Mutex::new(VecDeque::new())));
    let (sent, ended) = (typed.clone(), heard.clone());
    std::thread::spawn(move || {
        for line in BufReader::new(input).lines().map_while(Result::ok) {
            sent.lock().unwrap_or_else(|e| e.into_inner()).push_back(line.trim().to_owned());
            if to.write_all(format!("{line}\n").as_bytes()).is_err() {
                break;
            }
        }
        let _ = ended.send(None);
    });
    std::thread::spawn(move || {
        for line in BufReader::new(session).lines().map_while(Result::ok) {
            if heard.send(Some(line)).is_err() {
                return;
            }
        }
        let _ = heard.send(None);
        let _ = heard.send(None);
    });
    let mut ends = 0;
    while ends < 2 {
        let wait = if ends == 0 { Duration::MAX } else { QUIET };
        match lines.recv_timeout(wait) {
            Ok(None) => ends += 1,
            Ok(Some(line)) => {
                let mut typed = typed.lock().unwrap_or_else(|e| e.into_inner());
                // The console echoes what is typed; a person has seen that.
                if typed.front().is_some_and(|first| *first == line.trim()) {
                    typed.pop_front();
                } else {
                    writeln!(output, "{}", line.trim_end())?;
                    output.flush()?;
                }
            }
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_to_the_console_and_back_to_everybody() {
        let (console, mut machine) = UnixStream::pair().unwrap();
        let path = std::env::temp_dir().join(format!("tetrarch-operator-{}.sock", std::process::id()));
        let relay = Relay::open(&path, &console).unwrap();
        let (first, second) = (UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap());
        let typing = std::thread::spawn(move || {
            let mut shown = Vec::new();
            talk(first, &b"status\nlog\n"[..], &mut shown).unwrap();
            String::from_utf8(shown).unwrap()
        });
        while relay.others.lock().unwrap().len() < 2 {
            std::thread::yield_now();
        }
        let mut typed = [0; 11];
        machine.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"status\rlog\r");
        relay.tell(b"status\r\nk1 voting\r\nlog\r\nnothing\r\n");
        assert_eq!(typing.join().unwrap(), "k1 voting\nnothing\n");
        let mut other = [0; 6];
        (&second).read_exact(&mut other).unwrap();
        assert_eq!(&other, b"status");
        drop(relay);
        assert!(!path.exists());
    }
}
