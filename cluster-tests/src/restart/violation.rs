//! The names of broken promises. `check.rs` says when one is broken.

/// A broken promise. The first three are what a user would see.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Violation {
    /// A high watermark covered other records than the acknowledged ones (I1).
    Lost,
    /// A leader of the newest epoch lacks an acknowledged record, or has another one in its place (I1, I2).
    LeaderLacks,
    /// No leader comes though nothing was lost, or a sound member of ISR ∪ ELR is there, or its ISR does not fill (L1, L2).
    Stuck,
    /// A directory is refused that nobody had put back or emptied.
    Refused,
    /// A running member of ISR ∪ ELR does not have an acknowledged record as durably as it counts (I3).
    MemberLacks,
    /// Two processes lead in one epoch (I6).
    TwoLeaders,
    /// The leader's ISR was below its minimum when something was acknowledged (I8).
    BelowMinimum,
    /// A replica that came back unclean is a member or leads, and has not caught up (I10).
    UncleanMember,
    /// A fenced node leads (R10).
    FencedLeads,
    /// A member of ISR ∪ ELR is outside of the sets that the current leader counts with (I4).
    NotCounted,
}
