//! Planted bugs, by which one build proves that the suites catch them. Without the feature `mutants` none can be
//! switched on.
//!
//! Each thread has its own mutant, so that tests of one process do not disturb each other.

/// A bug that can be planted at run time, with the name of the test that must catch it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// An acknowledgement goes out before the sync.
    AckBeforeSync,
    /// Recovery does not make the journal beyond the last proved sync durable before it counts.
    RecoveredTailNotSynced,
    /// A second recovery does not see the verdict of one that was killed.
    VerdictForgotten,
    /// A new segment's directory entry is not synced.
    DirectoryNotSynced,
    /// X moves before the data it covers is in redb.
    XBeforeData,
    /// A segment is recycled before X is durably past it.
    RecycleBeforeX,
    /// A truncation is applied but not journaled.
    TruncationNotJournaled,
    /// A segment is recycled though rows refer to runs in it.
    RecycleWhileReferred,
    /// A segment that a socket may still send from is overwritten.
    SentSegmentOverwritten,
    /// A truncation clips a run that stays in the journal one batch too late.
    ClippedTooLate,
    /// A run that left the journal still counts as being there.
    GoneStillCounted,
    /// A run is settled again though the replica's number covers it.
    SettledTwice,
    /// A stale group of a recycled segment is taken for a new one.
    StaleGroupAccepted,
    /// Producer state survives the truncation of the batches it came from.
    ProducersNotTruncated,
    /// A snapshot is without a producer that wrote again before its replica forgot it.
    ForgottenTooSoon,
    /// A bad checksum is taken for the end of the log.
    BadCrcIsEnd,
    /// A committed offset shows before it is stored.
    CommitShownBeforeStored,
    /// A member of an earlier generation can commit.
    OldGenerationCommits,
    /// A group member whose session is over keeps its assignment.
    ExpiredMemberStays,
    /// A static member that was replaced goes on.
    FencedMemberAccepted,
    /// Members are told their assignment before it is stored.
    AssignmentBeforeStored,
}

#[cfg(feature = "mutants")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in this thread, or takes it out again.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    ACTIVE.with(|a| a.set(mutant));
}

/// Whether this bug is planted in this thread. Always false without the feature `mutants`.
#[must_use]
#[inline]
pub fn planted(mutant: Mutant) -> bool {
    #[cfg(feature = "mutants")]
    return ACTIVE.with(std::cell::Cell::get) == Some(mutant);
    #[cfg(not(feature = "mutants"))]
    {
        let _ = mutant;
        false
    }
}
