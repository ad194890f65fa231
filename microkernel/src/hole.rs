//! Holes for the campaigns to find: builds of their own in which one check is left out. In any other build the question is constant.

/// The names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)] // Without the feature none is built.
pub enum Hole {
    /// Memory is given out as the last owner left it.
    Scrub,
    /// A page of EL2's is mapped where nothing should be.
    Page,
    /// A register that EL0 reads is not switched.
    Controls,
    /// A kernel's SMC reaches the firmware.
    Smc,
    /// A text is read wherever the caller says.
    Text,
    /// Readers of a channel may write.
    Channel,
    /// Anybody may unmask any interrupt.
    Interrupt,
    /// Anybody may turn the machine off.
    PowerOff,
    /// Anybody may cause faults.
    Inject,
    /// A message takes all registers along.
    Message,
    /// FP/SIMD registers are handed on as the last domain left them.
    Float,
}

/// Whether this build has that hole.
#[cfg(feature = "holes")]
pub fn hole(hole: Hole) -> bool {
    const NAME: &str = match option_env!("TETRARCH_HOLE") {
        Some(name) => name,
        None => "",
    };
    use Hole::*;
    let all = [
        ("scrub", Scrub),
        ("page", Page),
        ("controls", Controls),
        ("smc", Smc),
        ("text", Text),
        ("channel", Channel),
        ("interrupt", Interrupt),
        ("power-off", PowerOff),
        ("inject", Inject),
        ("message", Message),
        ("float", Float),
    ];
    all.iter().any(|(name, known)| *name == NAME && *known == hole)
}

/// Whether this build has that hole: it has none.
#[cfg(not(feature = "holes"))]
pub const fn hole(_: Hole) -> bool {
    false
}
