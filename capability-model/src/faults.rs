//! Seeded faults: known ways to be wrong, so that the checks can be checked. Without the feature `faults` the question is constant.

use crate::store::Store;

/// Defines [`Fault`].
macro_rules! faults {
    ($count:literal: $($name:ident),*) => {
        /// A way to be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // Each is explained where it is seeded and in docs/capabilities.md.
        pub enum Fault { $($name),* }

        impl Fault {
            /// All of them.
            pub const ALL: [Fault; $count] = [$(Fault::$name),*];
        }
    };
}

faults! {
    31:
    RevokeForgetsBadged, MintGrowsRights, MintRebadges, CopyGetsRevocable, MoveLeavesSource, RotateLosesLink,
    DeleteKeepsMapping, DeleteForgetsFinal, RetypeOverlaps, RetypeSkipsScrub, RetypeResetsWithChildren,
    CancelIgnoresBadge, CoreOvercommits, ContextKeepsShare, LeaseReturnsUnscrubbed, LeaseReturnsBeforeRevoke,
    LeaseKeepsSource, LeaseAcceptsStale, LeaseForgetsTombstone, ShareWritable, GateCountsTwice,
    GateAcceptsStaleEpoch, GateMixesActs, GateKeepsEndorsements, GuardIgnored, UnmapForgetsTlb,
    SpaceKeepsGeneration, DomainStaysQueued, RemoteRunsTwice, RemoteTakesAnyAnswer, CoreReturnsEarly
}

impl<M> Store<M> {
    /// Whether this fault was seeded.
    #[cfg(feature = "faults")]
    pub(crate) fn seeded(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    #[cfg(not(feature = "faults"))]
    pub(crate) const fn seeded(&self, _: Fault) -> bool {
        false
    }
}
