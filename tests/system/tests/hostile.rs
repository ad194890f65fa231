//! A kernel replaced by hostile code that knows this design (`tests/guests/src/hostile`): whatever it tries in whatever life, it reaches no memory,
//! device, channel or vote of another. Builds with one hole each, in which it must get through, show that it tries.

use std::time::{Duration, Instant};
use system_tests::{Session, accuses, strict};
use xtask::build::{Tools, guest};
use xtask::machine::{Images, Options};

const NAME: &str = "guest-hostile";
/// Attempts of a short run, and of the recorded one.
const SHORT: u64 = 150_000;
const LONG: u64 = 1_000_000;
/// A campaign ends after so long, found or not.
const LIMIT: Duration = Duration::from_secs(1200);

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
    images.with(NAME, guest(&tools, NAME).unwrap())
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

/// Commands at a prompt that three others share with it, until so much was tried. `Err`: the first thing that should not have been.
fn besiege(images: &Images, goal: u64) -> Result<Vec<String>, String> {
    let mut s = Session::boot_of(images, &options()).map_err(|e| e.to_string())?;
    s.expect("# ").map_err(|e| e.to_string())?;
    let begun = Instant::now();
    let (mut n, mut ordered) = (0, 0);
    while attempts(&s.operator.lines) < goal {
        if let Some(line) = s.operator.lines.iter().find(|l| finding(l)) {
            let (found, mut s) = (line.clone(), s);
            s.run_for(Duration::from_secs(1));
            return Err(format!("{found}\n{}", s.operator.lines.join("\n")));
        }
        if begun.elapsed() > LIMIT {
            return Err(format!(
                "time is up after {} attempts: {:#?}",
                attempts(&s.operator.lines),
                s.operator.lines
            ));
        }
        n += 1;
        let shown = s
            .command(&format!("seq {n} $(({n} + 3)) | tac | tr '\\n' ' '; echo"))
            .map_err(|e| e.to_string())?;
        let wanted = format!("{} {} {} {n} \r\n/ ", n + 3, n + 2, n + 1);
        if !shown.ends_with(&wanted) || shown.contains("FORGED") {
            return Err(format!("the console shows {shown:?} instead of {wanted:?}"));
        }
        // It is begun anew by itself so often; then somebody has to ask for it.
        let gone = s
            .operator
            .lines
            .iter()
            .filter(|l| l.starts_with("return: k2 ") && l.contains("stays out"))
            .count();
        if gone > ordered {
            ordered = gone;
            s.operate("replace k2").map_err(|e| e.to_string())?;
        }
    }
    let state = s.state().map_err(|e| e.to_string())?;
    let lines = s.stop().map_err(|e| e.to_string())?.operator;
    match lines.iter().find(|l| finding(l)) {
        Some(line) => Err(line.clone()),
        None if !state.contains("agree") => Err(state),
        None => Ok(lines),
    }
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
    let holes = [
        "text",
        "channel",
        "interrupt",
        "inject",
        "power-off",
        "smc",
        "page",
        "scrub",
        "float",
        "quorum",
        "trust",
    ];
    for hole in holes.iter().filter(|h| only.as_ref().is_none_or(|only| *h == only)) {
        match besiege(&images(Some(hole)), LONG) {
            Err(found) if !found.starts_with("time is up") => {
                println!("hole {hole}: {}", found.lines().next().unwrap_or(""));
            }
            other => panic!("hole {hole} was not found: {other:#?}"),
        }
    }
    assert!(only.is_some() || besiege(&images(Some("none")), SHORT).is_ok(), "a build without a hole");
}
