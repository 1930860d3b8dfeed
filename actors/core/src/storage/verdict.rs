//! What recovery says of a replica: whether its bytes may be trusted.

/// How far a replica may be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing acknowledged is missing.
    Clean,
    /// A suffix may be missing: out of leadership, ISR and ELR until it has caught up. The only replica still serves.
    Unclean(String),
    /// Bytes that were known durable are missing or wrong: as the only replica it is offline, and this says where.
    Corrupt(String),
}
