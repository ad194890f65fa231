//! Faults of each kind in each kernel and each replica, drawn by a seed, while one of several programs runs: the output is what it is without faults, the culprit
//! is named and nobody else, and four vote again.

use crate::seeded::images_with_bugs;
use crate::{Options, PROMPT, Session, accused, clock, images, strict};
use std::collections::BTreeMap;
use std::path::Path;

/// Programs each of which puts out the same whenever it runs (`tests/system/workloads`), and who runs them. `step N` marks their moments.
pub struct Workloads {
    /// Each an argument of `programs.sh`.
    pub names: &'static [&'static str],
    /// Debian's packages that they take.
    pub packages: &'static [&'static str],
    /// Who is in the slots.
    pub kernels: [&'static str; 4],
}

/// One of each.
const EACH: [&str; 4] = ["classic", "lazy", "actor", "journal"];
/// Whose image has a bug, where it is one of the four: it shows what `/proc/cpuinfo` does not say.
const BUGGY: &str = "actor";

/// Pipes and subshells; a table in a file, grown row by row, then sorted and summed up; jobs in the background that are waited for. On four designs.
pub const ASH: Workloads = Workloads { names: &["pipes", "table", "jobs"], packages: &[], kernels: EACH };
/// A script of bash's, with jobs. On four designs.
pub const BASH: Workloads = Workloads { names: &["bash"], packages: &["bash-static"], kernels: EACH };
/// A thousand inserts of sqlite3's shell, each a transaction. Debian's is dynamic and asks for tier 3, which two designs offer: they run twice each, and a bug of one of them
/// would not be out-voted.
pub const SQLITE: Workloads =
    Workloads { names: &["sqlite"], packages: &["sqlite3"], kernels: ["classic", "lazy", "classic", "lazy"] };
const STEPS: u64 = 6;
/// What runs until something is told, or while nothing is: short, and it puts something out.
const PROBE: &str = "pipes";

/// What is injected, and what may be told of it; the first is what one expects. Of a bit that flips anywhere nobody knows what it breaks.
const FAULTS: [(&str, &[&str]); 7] = [
    ("crash", &["crashed"]),
    ("hang", &["silent"]),
    ("lie", &["wrong output"]),
    // What a wrong byte in a program's memory shows first is chance: itself, in a digest of memory; in what the program puts out; or in the calls that it makes.
    // In a process that ends before anybody looks it shows nothing.
    ("diverge", &["wrong state", "wrong output", "contradicts", "nothing"]),
    ("corrupt", &["crashed", "silent", "wrong output", "wrong state", "malformed", "contradicts", "nothing"]),
    // Who is late is not accused; but in a long program a tenth of a core can be so little that nothing comes for ten graces.
    ("slow", &["nothing", "silent"]),
    (BUG, &["wrong state", "wrong output", "contradicts"]),
];
/// No order, but a program that comes to what is wrong in one design.
const BUG: &str = "bug";
const REPLICA_FAULTS: [&str; 3] = ["crash", "hang", "equivocate"];

/// How often what was told of what was injected.
pub type Matrix = BTreeMap<(String, String), u32>;

/// What was told of faults, and what of their causes.
#[derive(Default)]
pub struct Told {
    /// What was found.
    pub kinds: Matrix,
    /// Why it happened, of those of which anything was found. The true cause stands behind the fault's name.
    pub causes: Matrix,
}

impl Told {
    /// And those.
    pub fn add(&mut self, other: Told) {
        for (to, from) in [(&mut self.kinds, other.kinds), (&mut self.causes, other.causes)] {
            from.into_iter().for_each(|(cell, count)| *to.entry(cell).or_default() += count);
        }
    }

    /// Of how many faults a cause was told, of how many of them the true one, and of how many none could be determined.
    pub fn judged(&self) -> [u32; 3] {
        let sum = |holds: &dyn Fn(&str, &str) -> bool| {
            self.causes.iter().filter(|((fault, cause), _)| holds(fault, cause)).map(|(_, n)| n).sum()
        };
        [
            sum(&|_, _| true),
            sum(&|fault, cause| fault.ends_with(cause)),
            sum(&|_, cause| cause == UNDETERMINED),
        ]
    }
}

const TRANSIENT: &str = "transient fault";
const ONE_KERNEL: &str = "one kernel";
const UNDETERMINED: &str = "undetermined";
/// How each begins in the operator's words.
const CAUSES: [(&str, &str); 4] = [
    (TRANSIENT, ": transient fault, it did not happen again"),
    (ONE_KERNEL, ": a bug or an implant in that kernel"),
    ("common mode", ": common mode"),
    (UNDETERMINED, ": undetermined"),
];

/// Chance that repeats (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    /// Of 0 to n - 1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }
}

/// One machine and the faults that it has seen.
pub struct Campaign {
    /// The machine.
    pub s: Session,
    workloads: &'static Workloads,
    right: BTreeMap<&'static str, String>,
    /// What was told so far.
    pub matrix: Told,
    /// Operator's lines that tell of a kernel as late or lagging that was not the victim of a fault then.
    pub late: Vec<String>,
}

impl Campaign {
    /// Boots, and runs each program once without a fault.
    pub fn boot(workloads: &'static Workloads) -> Campaign {
        let files = ["programs.sh", "jobs.bash"];
        let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
        let own = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect();
        let options = Options {
            files: files.map(|f| at.join(f)).into(),
            packages: own(workloads.packages),
            kernels: own(&workloads.kernels),
            preload: Some(clock::fair(images().tools())),
            ..strict()
        };
        let buggy = if workloads.kernels.contains(&BUGGY) { &[BUGGY][..] } else { &[] };
        let s = Session::shell_of(&images_with_bugs(buggy), &options).unwrap();
        let mut c = Campaign { s, workloads, right: BTreeMap::new(), matrix: Told::default(), late: vec![] };
        c.s.command("cd /root").unwrap();
        let probe = (!workloads.names.contains(&PROBE)).then_some(&PROBE);
        for name in workloads.names.iter().chain(probe) {
            let shown = c.s.command(&format!("ash programs.sh {name}")).unwrap();
            assert!(shown.contains(&format!("step {STEPS}\r\n")), "{name}: {shown}");
            c.right.insert(name, shown);
        }
        c
    }

    /// Runs a program; at its step `at` the operator types `order`, if it is not empty.
    fn run(&mut self, program: &str, at: u64, order: &str) {
        self.s.send(&format!("ash programs.sh {program}\r")).unwrap();
        self.s.expect("\r\n").unwrap();
        let step = format!("step {}\r\n", at + 1);
        let before = self.s.expect(&step).unwrap();
        if !order.is_empty() {
            self.s.operate(order).unwrap();
        }
        let rest = self.s.expect(PROMPT).unwrap();
        let shown = format!("{before}{step}{rest}");
        assert_eq!(shown, self.right[program], "{order}: {:#?}", self.tail());
    }

    /// Runs one of the programs, with the order at one of its moments.
    fn run_any(&mut self, order: &str, chance: &mut Chance) {
        let names = self.workloads.names;
        self.run(names[chance.below(names.len() as u64) as usize], chance.below(STEPS), order);
    }

    /// The last that the operator was told.
    fn tail(&self) -> &[String] {
        let lines = &self.s.operator.lines;
        &lines[lines.len().saturating_sub(60)..]
    }

    /// What was told of `victim` first, since line `from`; nobody else may be accused.
    fn told(&self, from: usize, victim: &str) -> Option<String> {
        let mut told = None;
        for line in &self.s.operator.lines[from..] {
            let Some((who, what)) = accused(line) else { continue };
            assert_eq!(who, victim, "another is accused: {line}: {:#?}", self.tail());
            let words: Vec<&str> = what.split([' ', ':']).collect();
            let kind = if words[0] == "wrong" { words[..2].join(" ") } else { words[0].to_owned() };
            told.get_or_insert(kind);
        }
        told
    }

    fn note_late(&mut self, from: usize, victim: &str) {
        let late = |l: &&String| {
            let told = l.strip_prefix("verdict: ").or(l.strip_prefix("progress: "));
            told.and_then(|t| t.split_once(' ')).is_some_and(|(who, what)| {
                who != victim && (what.starts_with("late: ") || what.starts_with("lagging: "))
            })
        };
        self.late.extend(self.s.operator.lines[from..].iter().filter(late).cloned());
    }

    /// Waits until `victim` votes again; as which design.
    fn is_back(&mut self, from: usize, victim: &str) -> String {
        let back = format!("return: {victim} votes as ");
        match self.s.operator_says_since(from, &[&back, "four vote again"]) {
            Ok(line) => line[back.len()..].split(',').next().unwrap_or_default().to_owned(),
            Err(e) => {
                let looked =
                    ["threads", "counters"].map(|what| self.s.look(what, victim).unwrap_or_default());
                panic!("{e}\n{}", looked.join("\n"));
            }
        }
    }

    /// In slot `k` stands who stood there at first, also after another took its place: of the design with the bug there is one.
    fn restore(&mut self, k: usize, now: &str) {
        let (victim, design) = (format!("k{}", k + 1), self.workloads.kernels[k]);
        if now != design {
            let from = self.s.operator.lines.len();
            self.s.operate(&format!("replace {victim} {design}")).unwrap();
            self.is_back(from, &victim);
        }
    }

    /// The cause that was told of `victim` since line `from`; it is told before it votes again.
    fn cause(&self, from: usize, victim: &str) -> Option<&'static str> {
        let told = format!("cause: {victim} ");
        let line = self.s.operator.lines[from..].iter().find(|l| l.starts_with(&told))?;
        CAUSES.iter().find(|(_, words)| line.contains(words)).map(|(cause, _)| *cause)
    }

    /// Fault number `fault` of [`FAULTS`] in voter `k`, at a moment of a program.
    pub fn kernel(&mut self, fault: usize, k: u64, chance: &mut Chance) {
        let buggy = self.workloads.kernels.iter().position(|design| *design == BUGGY);
        // Where there is none with a bug another fault takes its place.
        let fault = if FAULTS[fault].0 == BUG && buggy.is_none() { 0 } else { fault };
        let (fault, causes) = FAULTS[fault];
        let k = buggy.filter(|_| fault == BUG).unwrap_or(k as usize);
        let victim = format!("k{}", k + 1);
        let from = self.s.operator.lines.len();
        if fault == BUG {
            let shown = self.s.command("cat /proc/cpuinfo").unwrap();
            assert!(shown.contains("fp asimd\r\n"), "{shown}: {:#?}", self.tail());
        } else {
            self.run_any(&format!("inject {fault} {victim}"), chance);
        }
        // A kernel that hangs is found out when the others say something.
        let patience = if causes.contains(&"nothing") { 4 } else { 40 };
        for _ in 0..patience {
            if self.told(from, &victim).is_some() {
                break;
            }
            self.run(PROBE, 0, "");
        }
        let told = self.told(from, &victim).unwrap_or_else(|| "nothing".into());
        if fault == "slow" {
            self.s.operate(&format!("resume {victim}")).unwrap();
        }
        let sleeps = told == "nothing" && fault != "slow";
        if sleeps {
            // What sleeps in it is not to be the next one's fault.
            self.s.operate(&format!("replace {victim}")).unwrap();
        }
        let mut why = None;
        if told != "nothing" || sleeps {
            let design = self.is_back(from, &victim);
            why = self.cause(from, &victim);
            assert!(why.is_some() || told == "nothing", "no cause is told: {:#?}", self.tail());
            self.restore(k, &design);
        }
        self.told(from, &victim);
        self.note_late(from, &victim);
        println!("{fault} in {victim}: {told}; cause: {}", why.unwrap_or("none told"));
        assert!(
            causes.contains(&told.as_str()),
            "{fault} in {victim} was told as {told}: {:#?}",
            self.tail()
        );
        if let Some(why) = why {
            let truth = if fault == BUG { ONE_KERNEL } else { TRANSIENT };
            *self.matrix.causes.entry((format!("{fault}: {truth}"), why.to_owned())).or_default() += 1;
        }
        *self.matrix.kinds.entry((fault.to_owned(), told)).or_default() += 1;
    }

    /// Fault number `fault` of [`REPLICA_FAULTS`] in replica `r`, at a moment of a program; at one of another it is restarted.
    pub fn replica(&mut self, fault: usize, r: u64, chance: &mut Chance) {
        let (fault, victim) = (REPLICA_FAULTS[fault], format!("r{}", r + 1));
        let from = self.s.operator.lines.len();
        self.run_any(&format!("inject {fault} {victim}"), chance);
        self.run_any(&format!("restart {victim}"), chance);
        let again = [&format!("[{victim}] "), "goes on from the state after"];
        self.s.operator_says_since(from, &again).unwrap();
        assert_eq!(self.told(from, "no kernel"), None);
        self.note_late(from, "no kernel");
        println!("{fault} in {victim}: nobody accused, it goes on from the others' state");
        let cell = (format!("replica: {fault}"), "nothing".into());
        *self.matrix.kinds.entry(cell).or_default() += 1;
    }

    /// Case number `n`: faults, kernels and replicas in turn, so that all pairs come; programs and moments by chance.
    pub fn case(&mut self, n: u64, chance: &mut Chance) {
        let kinds = FAULTS.len() as u64;
        if n % 8 == 7 {
            return self.replica((n / 8 % 3) as usize, n / 8 % 4, chance);
        }
        let m = n / 8 * 7 + n % 8;
        self.kernel((m % kinds) as usize, (m + 2 * (m / kinds)) % 4, chance);
    }

    /// Any fault anywhere.
    pub fn any(&mut self, chance: &mut Chance) {
        match chance.below((FAULTS.len() + REPLICA_FAULTS.len()) as u64) as usize {
            fault if fault < FAULTS.len() => self.kernel(fault, chance.below(4), chance),
            fault => self.replica(fault - FAULTS.len(), chance.below(4), chance),
        }
    }

    /// Ends the shell; what was told.
    pub fn end(mut self) -> Told {
        self.s.send("exit\r").unwrap();
        let f = self.s.finish().unwrap();
        assert_eq!(f.status, Some(0));
        self.matrix
    }
}

fn table(head: &str, matrix: &Matrix) {
    let told: std::collections::BTreeSet<&String> = matrix.keys().map(|(_, told)| told).collect();
    println!("| {head} | {} |", told.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---|".repeat(told.len()));
    let faults: std::collections::BTreeSet<&String> = matrix.keys().map(|(fault, _)| fault).collect();
    for fault in faults {
        let count =
            |t: &&String| matrix.get(&(fault.clone(), (*t).clone())).copied().unwrap_or(0).to_string();
        println!("| {fault} | {} |", told.iter().map(count).collect::<Vec<_>>().join(" | "));
    }
}

/// Prints what was told as two tables, of how many faults that could have an effect on a voter nothing was told, and of how many the cause was.
pub fn print(told: &Told) {
    let Told { kinds: matrix, causes } = told;
    table("injected", matrix);
    table("injected: its cause", causes);
    let [all, right, open] = told.judged();
    println!("causes: {right} of {all} as they are, {open} undetermined");
    let harmful = matrix.iter().filter(|((fault, _), _)| fault != "slow" && !fault.starts_with("replica: "));
    let (mut all, mut open) = (0, 0);
    for ((_, told), count) in harmful {
        all += count;
        open += if told == "nothing" { *count } else { 0 };
    }
    println!("not noticed: {open} of {all}");
}
