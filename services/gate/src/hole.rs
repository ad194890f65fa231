//! Holes for the campaigns to find, as EL2 has them (`microkernel/src/hole.rs`): builds of their own in which one check is left out. In any other
//! build the question is constant.

/// The names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// One vote releases.
    Quorum,
    /// A ring is believed to hold votes.
    Trust,
}

/// Whether this build has that hole.
#[cfg(feature = "holes")]
pub fn hole(hole: Hole) -> bool {
    let name = match hole {
        Hole::Quorum => "quorum",
        Hole::Trust => "trust",
    };
    option_env!("TETRARCH_HOLE") == Some(name)
}

/// Whether this build has that hole: it has none.
#[cfg(not(feature = "holes"))]
pub const fn hole(_: Hole) -> bool {
    false
}
