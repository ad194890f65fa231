//! A kernel replaced by hostile code that knows this design (`tests/guests/src/hostile`): whatever it tries in whatever life, it reaches no memory,
//! device, channel or vote of another. Builds with one hole each, in which it must get through, show that it tries.

use anyhow::{bail, ensure};
use std::time::{Duration, Instant};
use system_tests::{PROMPT, Session, accuses, strict};
use xtask::build::{Tools, guest};
use xtask::machine::{Images, Options};

const NAME: &str = "guest-hostile";
/// Attempts of a short run, and of the recorded one.
const SHORT: u64 = 150_000;
const LONG: u64 = 1_000_000;
/// What is left out, and what shows it.
const HOLES: [(&str, &str); 10] = [
    // It reads where it should not: from nowhere, and EL2 ends, or from another's memory.
    ("text", "CRASH on core 2"),
    ("channel", "WRONG store"),
    ("interrupt", "WRONG call 0x5 got through"),
    ("inject", "WRONG call 0x7 got through"),
    ("power-off", "el2: power off"),
    ("smc", "WRONG SMC"),
    ("scrub", "WRONG memory"),
    ("float", "WRONG registers"),
    ("quorum", "FORGED"),
    ("trust", "el2: gate crashed"),
];
/// A campaign ends after so long, found or not.
const LIMIT: Duration = Duration::from_secs(600);

/// The images with the hostile one among them, and one check left out of them.
fn images(hole: Option<&str>) -> Images {
    let mut tools = Tools::find().unwrap();
    if let Some(hole) = hole {
        // Nobody else may come to boot these.
        tools.target = tools.target.join("holes");
        tools.hole = Some(hole.into());
        std::fs::create_dir_all(&tools.target).unwrap();
    }
    let images = Images::build(&tools).unwrap();
    images.with_kernel(NAME, guest(&tools, NAME).unwrap())
}

fn options() -> Options {
    Options { images: vec![("k2".into(), NAME.into())], iteration: Some("refresh"), ..strict() }
}

/// What has been tried in all lives: the highest count that each told.
fn attempts(lines: &[String]) -> u64 {
    let mut lives = std::collections::BTreeMap::new();
    for line in lines {
        let Some((life, rest)) = line.split_once("hostile: life ").and_then(|(_, l)| l.split_once(": "))
        else {
            continue;
        };
        let count = rest.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        let most = lives.entry(life.to_owned()).or_insert(0);
        *most = count.max(*most);
    }
    lives.values().sum()
}

/// A line of the operator's console that must not be there: something got through, or another than k2 is accused, or lost.
fn finding(line: &str) -> bool {
    let lost = line.contains(" crashed") || line.contains("panicked");
    line.contains("WRONG") || (accuses(line) || lost) && !line.contains("k2 ")
}

/// Commands at a prompt that three others share with it, until so much was tried. `Err`: the first thing that should not have been, and all lines.
fn besiege(images: &Images, goal: u64) -> Result<Vec<String>, String> {
    let mut s = Session::boot_images(images, &options()).map_err(|e| format!("{e:#}"))?;
    if let Err(e) = commands(&mut s, goal) {
        s.run_for(Duration::from_secs(1));
        return Err(format!("{e:#}\n--- operator\n{}", s.operator.lines.join("\n")));
    }
    let state = s.state().unwrap_or_else(|e| format!("{e:#}"));
    let lines = s.stop().map_err(|e| format!("{e:#}"))?.operator;
    if state.contains("agree") {
        Ok(lines)
    } else {
        Err(format!("{state}\n--- operator\n{}", lines.join("\n")))
    }
}

fn commands(s: &mut Session, goal: u64) -> anyhow::Result<()> {
    s.expect(PROMPT)?;
    // It is to have its place again and again.
    s.operate("policy spare manual")?;
    let begun = Instant::now();
    let (mut n, mut gone) = (0, 0);
    while attempts(&s.operator.lines) < goal {
        n += 1;
        let shown = s.command(&format!("seq {n} $(({n} + 3)) | tac | tr '\\n' ' '; echo"))?;
        let wanted = format!("{} {} {} {n} \r\n/ ", n + 3, n + 2, n + 1);
        ensure!(shown.ends_with(&wanted), "the console shows {shown:?} instead of {wanted:?}");
        if let Some(line) = s.operator.lines.iter().find(|l| finding(l)) {
            bail!("{line}");
        }
        ensure!(begun.elapsed() < LIMIT, "time is up after {} attempts", attempts(&s.operator.lines));
        // It is begun anew by itself so often; then somebody has to ask for it.
        let lines = s.operator.lines.iter();
        let now = lines.filter(|l| l.starts_with("return: k2 ") && l.contains("stays out")).count();
        if now > gone {
            gone = now;
            s.operate("replace k2")?;
        }
    }
    Ok(())
}

#[test]
fn a_hostile_kernel_reaches_nobody() {
    let lines = besiege(&images(None), SHORT).unwrap();
    let lives = lines.iter().filter(|l| l.contains("hostile: life") && l.contains(" begins")).count();
    println!("{} attempts in {lives} lives", attempts(&lines));
    for line in lines.iter().filter(|l| l.starts_with("verdict:")) {
        println!("{line}");
    }
    assert!(lives > 1, "{lines:#?}");
}

#[test]
#[ignore = "long; make campaign"]
fn a_hostile_kernel_reaches_nobody_in_a_million_attempts() {
    let lines = besiege(&images(None), LONG).unwrap();
    let tells = |what: &str| lines.iter().filter(|l| l.contains("hostile: life") && l.contains(what)).count();
    println!(
        "{} attempts in {} lives, of which {} came to their end",
        attempts(&lines),
        tells(" begins"),
        tells(" ends with ")
    );
}

#[test]
#[ignore = "a build for each hole; make campaign"]
fn each_hole_is_found() {
    // HOLE=name tries one.
    let only = std::env::var("HOLE").ok();
    for (hole, sign) in HOLES.iter().filter(|(hole, _)| only.as_ref().is_none_or(|only| hole == only)) {
        match besiege(&images(Some(hole)), LONG) {
            Err(found) if found.contains(sign) => println!("hole {hole}: {sign}"),
            Err(other) => panic!("hole {hole} was not found: {other}"),
            Ok(lines) => panic!("hole {hole} was not found: {lines:#?}"),
        }
    }
    if only.is_none() {
        besiege(&images(Some("none")), SHORT).unwrap();
    }
}
