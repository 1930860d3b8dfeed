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
    /// A follower acknowledges the end of its log, not the durable end (M2).
    FollowerAcksEnd,
    /// A follower truncates to its high watermark and not where the logs part (M3).
    TruncatesToHighWatermark,
    /// A follower joins the ISR before it has the leader epoch's start offset (M4).
    JoinsBelowEpochStart,
    /// An acknowledgement of an earlier leader epoch makes a follower join the ISR (M5).
    JoinsByEarlierEpoch,
    /// Broker epochs are not compared (M6).
    BrokerEpochUnchecked,
    /// A leader that proposes an ISR goes on with the committed one (M7).
    ProposedIsrIgnored,
    /// The high watermark advances below `min.insync.replicas` (M8).
    CommitsBelowMinIsr,
    /// The word that a node leads the metadata log overtakes the commits before it (N1).
    LeadershipOvertakesCommits,
    /// A new leader takes its log end for the high watermark (N2).
    HighWatermarkAtEnd,
    /// A notice from before a truncation counts for offsets behind it (N3).
    OldPersistedCounts,
    /// The follower's own durability decides which of its ends counts (N4).
    AckByFollowersDurability,
    /// Waiting requests survive a change of the leader epoch (N5).
    TicketsSurvive,
    /// A restart marks the replicas that it follows with as stray (N6).
    FollowersStray,
    /// A follower obeys the Diverge of an earlier Position.
    OldDivergeObeyed,
    /// A follower takes a part of an earlier Position that says no previous position.
    OldPartObeyed,
    /// An accepted Position does not count as an acknowledgement.
    PositionIsNoAck,
    /// Each part that does not match makes a follower send a Position.
    PositionPerMismatch,
    /// A follower takes the leader's high watermark beyond its own end.
    PartHighWatermarkUnclamped,
    /// A truncation keeps the written and the synced end.
    TruncationKeepsEnds,
    /// A replica takes a role while its log is read again.
    RoleDuringRebuild,
    /// An emptied replica keeps its epochs and producers.
    ResetKeepsEpochs,
    /// Replicas forget producers by the wall clock.
    ProducersByWallClock,
    /// The controller decides on the image alone, without its own proposals.
    DecidedOnImageAlone,
    /// The image takes a partition change without looking at the partition epoch.
    AppliedWithoutEpochCheck,
    /// A leader takes the ISR from the answer to its proposal.
    IsrFromAnswer,
    /// The controller takes an ISR proposal with an old number.
    LateProposalAccepted,
    /// A proposal whose end is unknown is never asked again.
    UnknownNeverAskedAgain,
    /// The judge of sessions does not look at the applied index.
    AppliedIndexIgnored,
    /// A replica that came back unclean stays in the ELR (M9).
    UncleanStaysInElr,
    /// A damaged replica begins anew while ISR or ELR still count on its bytes.
    RefetchedBeforeLeaving,
    /// A fenced replica is elected (M10).
    FencedElected,
    /// The ELR is kept when the ISR is large enough again (M11).
    ElrKeptAtMinIsr,
    /// A node that registers again unclean goes on in its leader epochs (M12).
    UncleanKeepsEpoch,
    /// An old copy of a directory is taken for its node's last state (M23).
    RestoredCopyAccepted,
    /// A copy that was made within a life of its node is taken for that life's end.
    CopyWithinLifeAccepted,
    /// A start that was registered, and ended before its broker epoch was stored, is not remembered.
    EarlierStartForgotten,
    /// The clean marker is not deleted at the start, and stands for whatever comes after (M17).
    CleanMarkerKept,
    /// A replica that no image knows is dropped, not marked as stray (M19).
    OrphanDropped,
    /// A node that lost its disk votes under its old Raft id (M14).
    WipedVoterVotes,
    /// A founder asks nobody (M15).
    GrantlessFounding,
    /// A founder's question that comes late replaces what the seed promised since.
    LateGrantReplaces,
    /// A seed that promised itself to one cluster joins another that it meets.
    GrantedSeedJoins,
    /// A seed says yes before its promise is on disk.
    GrantedBeforeStored,
    /// A voter answers its vote before it is on disk (M13).
    RaftVoteNotDurable,
    /// A voter's entries are acknowledged before the sync.
    RaftEntryAckedBeforeSync,
    /// A voter's log is truncated in two transactions.
    RaftTruncatedInTwo,
    /// The purge marker of a voter's log is stored apart from the purge.
    RaftPurgeMarkerApart,
    /// A leader's snapshot is stored in two transactions.
    RaftInstalledInTwo,
    /// A voter opens its file without a look at the checksums of the pages.
    RaftDamageUnnoticed,
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
