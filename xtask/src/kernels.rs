//! Which kernels there are, what each offers, and which of them a run takes.

use crate::machine::Options;
use abi::log::{Entry, Program};
use abi::tier;
use anyhow::{Context, Result, bail, ensure};

/// The kernels that are built, and the tier of calls (`abi::tier`) that each offers.
const OFFERS: [(&str, u8); 5] = [("classic", 3), ("lazy", 3), ("actor", 2), ("journal", 2), ("minimal", 1)];

/// The names of the four that are whole.
pub const KERNELS: [&str; 4] = [OFFERS[0].0, OFFERS[1].0, OFFERS[2].0, OFFERS[3].0];

/// All that are built.
pub fn built() -> impl Iterator<Item = &'static str> {
    OFFERS.iter().map(|(name, _)| *name)
}

/// The tier of `kernel`.
pub fn tier_of(kernel: &str) -> Result<u8> {
    match OFFERS.iter().find(|(name, _)| *name == kernel) {
        Some((_, tier)) => Ok(*tier),
        None => bail!("no kernel is named {kernel}; there are: {}", OFFERS.map(|o| o.0).join(", ")),
    }
}

/// The tier of a recorded run: its first entry says it.
fn tier_recorded(log: &[u8]) -> Result<u8> {
    let (length, rest) = log.split_first_chunk::<4>().context("the log is empty")?;
    let record = rest.get(..u32::from_le_bytes(*length) as usize).context("the log is cut off")?;
    let Ok(Entry::Boot(boot)) = postcard::from_bytes(record) else {
        bail!("the log does not begin with Boot")
    };
    Ok(postcard::from_bytes::<Program<'_>>(boot.program).context("the log's Boot has no program")?.tier)
}

/// The kernels in the slots k1 to k4 (none: the manifest's) and the tier of a run. A tier that is asked for chooses kernels that offer it, unless some are named: then
/// all of them must. A recorded log asks for what it was recorded with. Else it is the highest that all offer.
pub fn choose(options: &Options) -> Result<(Vec<String>, u8)> {
    ensure!(
        matches!(options.kernels.len(), 0 | 4) && (options.kernels.is_empty() || options.kernel.is_none()),
        "--kernels names four kernels, one a slot, and stands instead of --kernel"
    );
    let named: Vec<&String> = options.kernels.iter().chain(&options.kernel).collect();
    let recorded = options.replay.as_deref().map(tier_recorded).transpose()?;
    let Some(asked) = recorded.or(options.tier) else {
        let manifest = KERNELS.map(str::to_owned);
        let run = if named.is_empty() { manifest.iter().collect() } else { named };
        let tiers = run.iter().map(|k| tier_of(k)).collect::<Result<Vec<_>>>()?;
        return Ok((options.kernels.clone(), tiers.into_iter().min().unwrap_or(tier::LEAST)));
    };
    ensure!(
        (tier::SMALLEST..=tier::MOST).contains(&asked),
        "tier {asked}: there are {} to {}",
        tier::SMALLEST,
        tier::MOST
    );
    for kernel in &named {
        let has = tier_of(kernel)?;
        if has < asked {
            let missing: Vec<_> = tier::missing(asked, has).collect();
            bail!("tier {asked} is more than {kernel} offers; it has not: {}", missing.join(", "));
        }
    }
    if !named.is_empty() {
        return Ok((options.kernels.clone(), asked));
    }
    let able: Vec<&str> =
        OFFERS[..KERNELS.len()].iter().filter(|(_, t)| *t >= asked).map(|(name, _)| *name).collect();
    ensure!(!able.is_empty(), "no kernel offers tier {asked} yet");
    let four: Vec<String> = able.iter().cycle().take(4).map(|&k| k.to_owned()).collect();
    eprintln!("xtask: tier {asked} is offered by {}: the slots run {}", able.join(", "), four.join(", "));
    Ok((four, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(kernels: &[&str], tier: Option<u8>) -> Options {
        Options { kernels: kernels.iter().map(|&k| k.to_owned()).collect(), tier, ..Options::default() }
    }

    #[test]
    fn a_run_has_what_all_its_kernels_offer() {
        let four = choose(&options(&KERNELS, None)).unwrap();
        assert_eq!(four.0, KERNELS);
        assert_eq!(choose(&options(&[], None)).unwrap(), (vec![], four.1));
        let mixed = choose(&options(&["classic", "lazy", "minimal", "journal"], None)).unwrap();
        assert_eq!(mixed.1, tier_of("minimal").unwrap());
    }

    #[test]
    fn more_than_a_kernel_offers_is_refused_by_name() {
        let least = OFFERS.iter().min_by_key(|o| o.1).unwrap();
        if least.1 < tier::MOST {
            let why = choose(&options(&[least.0; 4], Some(tier::MOST))).unwrap_err().to_string();
            assert!(why.contains(least.0) && why.contains("clone (CLONE_THREAD)"), "{why}");
        }
        assert!(choose(&options(&[], Some(9))).unwrap_err().to_string().contains("tier 9: there are 1 to 3"));
        assert!(choose(&options(&["classic", "minix", "lazy", "actor"], None)).is_err());
    }

    #[test]
    fn a_recorded_run_is_not_given_to_a_kernel_that_offers_less() {
        let program = Program { path: "/bin/true", argv: b"true\0", env: b"", tier: 3 };
        let program = postcard::to_stdvec(&program).unwrap();
        let version = abi::log::VERSION;
        let (seed, time_us, digest_interval, rows, columns) = ([0; 32], 0, 0, 24, 80);
        let boot =
            abi::log::Boot { version, seed, time_us, digest_interval, rows, columns, program: &program };
        let mut log = vec![];
        crate::session::push_record(&mut log, &postcard::to_stdvec(&Entry::Boot(boot)).unwrap());
        let asked = |kernel: &str, log: &[u8]| {
            let kernel = Some(kernel.to_owned());
            choose(&Options { kernel, replay: Some(log.to_vec()), ..Options::default() })
        };
        assert_eq!(asked("lazy", &log).unwrap().1, 3);
        let why = asked("journal", &log).unwrap_err().to_string();
        assert!(why.starts_with("tier 3 is more than journal offers"), "{why}");
        let why = [&log[..9], &[], &[1, 0, 0, 0, 9]].map(|log| asked("lazy", log).unwrap_err().to_string());
        assert_eq!(why, ["the log is cut off", "the log is empty", "the log does not begin with Boot"]);
    }
}
