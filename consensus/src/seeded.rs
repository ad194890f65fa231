//! Known faults, one at a time, for the simulator that must find them. Without the feature `seeded-bugs` each question is a constant `false`.

macro_rules! bugs {
    ($($name:ident: $what:literal,)*) => {
        /// A fault that the protocol could have; [`Bug::what`] says what is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "`what` is the documentation")]
        pub enum Bug { Nothing, $($name,)* }

        impl Bug {
            /// All of them.
            pub const ALL: &[Bug] = &[$(Bug::$name,)*];

            /// What is wrong.
            pub fn what(self) -> &'static str {
                match self {
                    Bug::Nothing => "nothing",
                    $(Bug::$name => $what,)*
                }
            }
        }
    };
}

bugs! {
    NewViewFromTooFew: "a new view is made of f+1 view changes",
    BaseFromOneClaim: "a new view's base state is believed on one claim",
    BaseBelowWatermarks: "a new view's base ignores the others' low watermarks",
    BaseLowest: "a new view begins at the lowest state vouched for",
    PreparedDroppedInNewView: "prepared batches are dropped in a view change",
    OldestPreparedChosen: "of two prepared claims the older view's wins",
    NoA1: "A1 ignores conflicting claims",
    NoA2: "A2 is not asked: one claim of a prepared batch suffices",
    A2IgnoresView: "A2 accepts a batch pre-prepared in an older view",
    NullFromTooFew: "a null request is chosen on f+1 silent view changes",
    SecondVoteReplaces: "a second vote in the same view replaces the first",
    SenderNotTheRings: "a message may come from another's ring",
    EpochUnchecked: "the epoch of a message is not looked at",
    AuthenticatorUnchecked: "authenticators are not looked at",
    SignatureUnchecked: "signatures of view changes and new views are not looked at",
    WatermarkSkipped: "a pre-prepare outside the window is accepted",
    AnyoneProposes: "a pre-prepare of any replica is accepted",
    OldViewAccepted: "a pre-prepare of an earlier view is accepted",
    PreparesDuringChange: "a replica goes on preparing in a view that it has left",
    SecondProposalReplaces: "a second pre-prepare for a number replaces the first",
    OneReportBelieved: "one replica's word that a batch is committed suffices",
    CommittedReplaced: "a pre-prepare takes the place of a committed batch",
    BatchDigestUnchecked: "a batch need not have its digest",
    SupplyUnchecked: "a batch sent again need not have its digest",
    ProposalUnchecked: "backups accept whatever the primary proposes",
    PrimaryPrepares: "the primary's prepare counts beside its pre-prepare",
    PrimaryMutePrepared: "a new view counts as a prepare of its primary, which may not hold the batches",
    PreparedByTooFew: "prepared with one prepare too few",
    CommittedByTooFew: "committed by 2f replicas",
    CommittedWhenPrepared: "executed as soon as it is prepared",
    CommitsOtherDigest: "a quorum for one batch executes another that is held",
    ExecutesOutOfOrder: "a committed batch overtakes the one before it",
    TimeoutNeverReset: "the timeout stays doubled after progress",
    TimeoutNotDoubled: "the timeout is not doubled",
    OldInputIgnored: "old input does not change the view",
    PrimaryStarves: "a primary proposes no input",
    SecondClaimReplaces: "a second checkpoint claim for a number replaces the first",
    StableByTooFew: "a checkpoint is stable on one claim",
    StableWithOtherDigest: "a replica calls a checkpoint stable that is not its own",
    StableWithoutState: "a checkpoint is stable where its state is not held",
    ForgetsTooMuch: "garbage collection forgets one number too many",
    EpochKeepsLog: "the log survives the end of an epoch",
    StateFromOneClaim: "a state is fetched on one claim",
    StateUnchecked: "a fetched state need not have its digest",
    CertificateUnchecked: "the signatures of an epoch's end are not looked at",
    CertificateByTooFew: "one signature ends an epoch",
    PreparedNotClaimed: "view changes claim nothing prepared",
    EndorsedNotClaimed: "view changes claim nothing pre-prepared",
    JoinsOne: "one view change draws all others along",
    NeverJoins: "f+1 view changes draw nobody along",
    AnyoneBegins: "a new view of any replica is accepted",
    OldNewViewAccepted: "a new view of the past is entered again",
    ClaimsNotRefuted: "claims survive a new view that did not choose them",
    InputUnseen: "input that nobody read is accepted",
    GapExecuted: "input is executed over a gap",
    DuplicateExecuted: "input that was ordered twice is executed twice",
    PermitIgnored: "entries are accepted without a reason of one's own",
    TimeUnchecked: "any time is accepted",
    TimeMayFall: "the time of entries may fall",
    SyncNumberUnchecked: "sync points may be left out or repeated",
    CallDecidedTwice: "a call may be both skipped and gone",
    VotersUnchecked: "any change of voters is executed",
    VoteOfOldEpoch: "a vote of another voters' epoch counts",
    LaterVoteCounts: "a voter's second vote replaces its first",
    PolicyOneShort: "a policy decides one vote early",
    StrangersVote: "who is no member may vote",
    SeedUnchecked: "any seed is accepted",
}

#[cfg(feature = "seeded-bugs")]
static CHOSEN: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// From now on the replicas of this process have this fault, or none.
#[cfg(feature = "seeded-bugs")]
pub fn choose(bug: Option<Bug>) {
    CHOSEN.store(bug.unwrap_or(Bug::Nothing) as u8, core::sync::atomic::Ordering::SeqCst);
}

#[cfg(feature = "seeded-bugs")]
#[inline]
pub(crate) fn has(bug: Bug) -> bool {
    CHOSEN.load(core::sync::atomic::Ordering::Relaxed) == bug as u8
}

#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub(crate) const fn has(_: Bug) -> bool {
    false
}
