//! Why voters disagree, judged from evidence: re-execution, other voters, the input.
//!
//! | what is seen | cause |
//! |---|---|
//! | it vanishes when the same turns are executed again | a transient fault |
//! | it repeats, on one kernel only | a bug or an implant in that kernel |
//! | it repeats on two kernels or more, alike | common mode |
//! | divergences follow input of one kind far more often than by chance | an attack, scored |
//! | anything else, or not executed again yet | undetermined, counted apart |

use core::fmt;

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It did not happen again.
    Transient,
    /// One kernel does it each time.
    OneKernel,
    /// Several kernels do it, alike.
    CommonMode,
    /// It follows an input; the score is per mille of divergences that did.
    Attack {
        /// 0 to 1000.
        score: u16,
    },
    /// It cannot be said.
    Undetermined,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Transient => f.write_str("transient fault, it did not happen again"),
            Cause::OneKernel => f.write_str("a bug or an implant in that kernel, it repeats there alone"),
            Cause::CommonMode => f.write_str("common mode, unlike kernels err alike"),
            Cause::Attack { score } => write!(f, "attack, {score} of 1000 divergences follow this input"),
            Cause::Undetermined => f.write_str("undetermined"),
        }
    }
}

/// What is known about a divergence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Executions of the same turns after the first.
    pub again: u32,
    /// In how many of them the voter differed again.
    pub repeated: u32,
    /// Kernels of another kind that said the same wrong thing, at the first time or later.
    pub alike: u32,
    /// Divergences since the voters' set began.
    pub divergences: u32,
    /// How many of them came within a sync point of input from the same source.
    pub after_input: u32,
    /// Sync points with such input, per mille of all: what chance alone would give.
    pub input_rate: u16,
}

/// So many divergences at least, before their company says anything.
const ENOUGH: u32 = 4;

impl History {
    /// The cause, as far as this tells it.
    pub fn cause(&self) -> Cause {
        let score =
            (u64::from(self.after_input) * 1000).checked_div(u64::from(self.divergences)).unwrap_or(0) as u16;
        if self.alike > 0 {
            Cause::CommonMode
        } else if self.divergences >= ENOUGH && score > 500 && score > self.input_rate.saturating_mul(2) {
            Cause::Attack { score: score.min(1000) }
        } else if self.again == 0 {
            Cause::Undetermined
        } else if self.repeated == 0 {
            Cause::Transient
        } else if self.repeated == self.again {
            Cause::OneKernel
        } else {
            Cause::Undetermined
        }
    }
}

/// How often each cause was found; the undetermined apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    /// Transient faults.
    pub transient: u64,
    /// Bugs or implants of one kernel.
    pub one_kernel: u64,
    /// Common modes.
    pub common_mode: u64,
    /// Attacks.
    pub attack: u64,
    /// Undetermined.
    pub undetermined: u64,
}

impl Causes {
    /// One more.
    pub fn count(&mut self, cause: Cause) {
        let counter = match cause {
            Cause::Transient => &mut self.transient,
            Cause::OneKernel => &mut self.one_kernel,
            Cause::CommonMode => &mut self.common_mode,
            Cause::Attack { .. } => &mut self.attack,
            Cause::Undetermined => &mut self.undetermined,
        };
        *counter = counter.saturating_add(1);
    }
}
