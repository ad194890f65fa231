//! The command line behind `make`.

use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use xtask::build::Tools;
use xtask::linux::{self, Linux};
use xtask::look::look;
use xtask::machine::{Images, Machine, Options};
use xtask::operator::{self, Relay};
use xtask::sdcard::{Card, advice};
use xtask::session::Record;
use xtask::terminal::{End, attach};

const USAGE: &str = "usage: xtask build
       xtask run [--kernel NAME | --kernels NAME,NAME,NAME,NAME] [--tier 1|2|3] [--run COMMAND]
                 [--packages 'NAME...'] [--files 'FILE...'] [--seed TEXT] [--log FILE] [--set KEY=NUMBER]...
                 [--verbose] [--timeout SECONDS] [--qemu ARGUMENTS]
       xtask run --kernel linux [--run COMMAND] [--packages 'NAME...'] [--files 'FILE...'] [--qemu ARGUMENTS]
       xtask run --card IMAGE [--verbose] [--timeout SECONDS]
       xtask sdcard [--firmware DIRECTORY] [--armstub FILE]
       xtask replay [--kernel NAME] [--snapshot-at SYNC-POINT --take FILE] [--from FILE] LOG
       xtask snapshot FILE [FILE]
       xtask demo
       xtask operator
       xtask debug [as for run] [GDB-COMMANDS]
       xtask logs [--follow]
       xtask look domains | capabilities | threads KERNEL | turns KERNEL | counters KERNEL
       xtask header";

fn main() -> ExitCode {
    match command(std::env::args().skip(1).collect()) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::from(2)
        }
    }
}

fn command(args: Vec<String>) -> Result<u8> {
    let Some((verb, rest)) = args.split_first() else { bail!("{USAGE}") };
    let tools = Tools::find()?;
    match verb.as_str() {
        "sdcard" => sdcard(&tools, rest),
        "build" => Images::build(&tools).map(|_| 0),
        "run" => run(&tools, Arguments::parse(rest)?),
        "debug" => debug(&tools, Arguments::parse(rest)?),
        "logs" => match rest {
            [] => xtask::logs::show(&tools, false, &mut std::io::stdout().lock()).map(|()| 0),
            [f] if f == "--follow" => {
                xtask::logs::show(&tools, true, &mut std::io::stdout().lock()).map(|()| 0)
            }
            _ => bail!("{USAGE}"),
        },
        "header" => {
            print!("{}", xtask::header::header());
            Ok(0)
        }
        "look" => look(&tools, rest).map(|text| {
            print!("{text}");
            0
        }),
        "operator" => operator::operate(&tools).map(|()| 0),
        "demo" => xtask::demo::demo(&Images::build(&tools)?).map(|status| status as u8),
        "replay" => replay(&tools, Arguments::parse(rest)?),
        "snapshot" => snapshot(rest),
        _ => bail!("{USAGE}"),
    }
}

#[derive(Default)]
struct Arguments {
    options: Options,
    log: Option<PathBuf>,
    verbose: bool,
    timeout: Option<Duration>,
    file: Option<PathBuf>,
    snapshot_at: Option<u64>,
    take: Option<PathBuf>,
}

impl Arguments {
    fn parse(args: &[String]) -> Result<Arguments> {
        let mut a = Arguments::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().cloned().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--kernel" => a.options.kernel = Some(value()?),
                "--card" => a.options.card = Some(value()?.into()),
                "--kernels" => a.options.kernels = value()?.split(',').map(str::to_owned).collect(),
                "--tier" => a.options.tier = Some(value()?.parse().context("--tier: expected 1, 2 or 3")?),
                "--run" => a.options.command = Some(value()?),
                "--packages" => a.options.packages.extend(value()?.split_whitespace().map(str::to_owned)),
                "--files" => a.options.files.extend(value()?.split_whitespace().map(PathBuf::from)),
                "--seed" => a.options.seed = Some(*seed(&value()?)),
                "--log" => a.log = Some(value()?.into()),
                "--timeout" => a.timeout = Some(Duration::from_secs(value()?.parse()?)),
                "--qemu" => a.options.qemu.extend(value()?.split_whitespace().map(str::to_owned)),
                "--snapshot-at" => a.snapshot_at = Some(value()?.parse()?),
                "--take" => a.take = Some(value()?.into()),
                "--from" => {
                    let path = value()?;
                    a.options.snapshot = Some(std::fs::read(&path).with_context(|| path)?);
                }
                "--verbose" => a.verbose = true,
                "--set" => {
                    let v = value()?;
                    let (k, n) =
                        v.split_once('=').with_context(|| format!("--set {v}: expected KEY=NUMBER"))?;
                    a.options.run.push((k.into(), n.parse().with_context(|| format!("--set {v}"))?));
                }
                f if !f.starts_with('-') && a.file.is_none() => a.file = Some(f.into()),
                other => bail!("unknown argument {other}\n{USAGE}"),
            }
        }
        Ok(a)
    }
}

/// A seed from any text.
fn seed(text: &str) -> Box<[u8; 32]> {
    eprintln!("xtask: seed from SEED={text}: this run's random numbers repeat, its secrets are none");
    Box::new(abi::digest::Encoder::new("seed").raw(text.as_bytes()).finish())
}

fn run(tools: &Tools, a: Arguments) -> Result<u8> {
    if a.options.kernel.as_deref() == Some(linux::NAME) {
        return Ok(Linux::find(tools)?.attach(&a.options)? as u8);
    }
    eprintln!("xtask: building");
    let images = Images::build(tools)?;
    let mut machine = Machine::boot(&images, &a.options)?;
    let interactive = a.options.command.is_none();
    let relay = Relay::open(&operator::socket(tools), &machine.operator)?;
    let end = attach(&mut machine, interactive, a.verbose, a.timeout, &relay)?;
    let record = machine.finish()?;
    let path = a.log.unwrap_or_else(|| tools.target.join("session.log"));
    record.save(&path)?;
    eprintln!("xtask: log of {} entries recorded in {}", record.entries, path.display());
    match end {
        End::Program(status) => {
            eprintln!("xtask: exit status {status}");
            Ok(status as u8)
        }
        End::Quit => Ok(0),
        End::Timeout => bail!("time is up"),
        End::Machine => {
            bail!("the machine stopped before the program ended; the operator's lines above say why")
        }
    }
}

/// The image of an SD card.
fn sdcard(tools: &Tools, args: &[String]) -> Result<u8> {
    let mut card = Card::default();
    for pair in args.chunks(2) {
        match pair {
            [k, v] if k == "--firmware" => card.firmware = Some(v.into()),
            [k, v] if k == "--armstub" => card.armstub = Some(v.into()),
            _ => bail!("{USAGE}"),
        }
    }
    print!("{}", advice(&xtask::sdcard::make(tools, &card)?));
    Ok(0)
}

/// One debugger over all of a machine.
fn debug(tools: &Tools, a: Arguments) -> Result<u8> {
    let images = Images::build(tools)?;
    xtask::debug::debug(tools, &images, &a.options, a.file.as_deref())?;
    Ok(0)
}

/// The line of `text` in which byte `at` stands.
fn line_at(text: &[u8], at: usize) -> String {
    let start = text[..at].iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    let line = text[start..].split(|&b| b == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

/// Prints a snapshot, or where two differ.
fn snapshot(files: &[String]) -> Result<u8> {
    let read = |path: &String| std::fs::read(path).with_context(|| path.clone());
    match files {
        [one] => xtask::snapshot::lines(&read(one)?).iter().for_each(|line| println!("{line}")),
        [one, other] => {
            let text = xtask::snapshot::difference(&read(one)?, &read(other)?);
            print!("{text}");
            return Ok(u8::from(!text.is_empty()));
        }
        _ => bail!("{USAGE}"),
    }
    Ok(0)
}

/// Runs a recorded log on one kernel and compares what comes out.
fn replay(tools: &Tools, a: Arguments) -> Result<u8> {
    let path = a.file.with_context(|| format!("which log?\n{USAGE}"))?;
    let recorded = Record::load(&path)?;
    let images = Images::build(tools)?;
    let kernel = a.options.kernel.clone().unwrap_or_else(|| "classic".into());
    eprintln!("xtask: running {} entries again on {kernel}", recorded.entries);
    let log = match a.snapshot_at {
        Some(s) => xtask::snapshot::asking(&recorded.log, s)?,
        None => recorded.log,
    };
    let options = Options { kernel: Some(kernel.clone()), replay: Some(log), ..a.options };
    let began = options.snapshot.clone();
    let again = xtask::session::replay(&images, &options, recorded.output.len(), Duration::from_secs(600))?;
    if let Some(to) = &a.take {
        std::fs::write(to, xtask::snapshot::last(&again.snapshot)?)?;
    }
    if let Some(began) = began {
        let difference = xtask::snapshot::difference(&began, &xtask::snapshot::last(&again.snapshot)?);
        if !difference.is_empty() {
            println!("replay: {kernel} did not begin with the snapshot it was given\n{difference}");
            return Ok(1);
        }
        ensure!(!again.output.is_empty(), "nothing came out behind the snapshot");
        return compare(rest_of(&recorded.output, again.output.len()), &again.output);
    }
    compare(&recorded.output, &again.output)
}

/// The last `length` bytes.
fn rest_of(output: &[u8], length: usize) -> &[u8] {
    &output[output.len().saturating_sub(length)..]
}

fn compare(recorded: &[u8], again: &[u8]) -> Result<u8> {
    match recorded.iter().zip(again).position(|(a, b)| a != b) {
        None if recorded.len() == again.len() => {
            println!("replay: the same {} bytes", again.len());
            Ok(0)
        }
        at => {
            let at = at.unwrap_or(recorded.len().min(again.len()));
            println!(
                "replay: differs at byte {at} (recorded {} bytes, again {})",
                recorded.len(),
                again.len()
            );
            println!("recorded: {}\nagain:    {}", line_at(recorded, at), line_at(again, at));
            Ok(1)
        }
    }
}
