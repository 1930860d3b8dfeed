//! The damage of a replica: it cannot serve what it acknowledged (R41).
//!
//! It says so in each heartbeat, with the last leader epoch in which anybody may count on it. The controller ends that
//! epoch. The file holds the facts; `mend.rs` acts on them.

use crate::ids::LeaderEpoch;

/// A replica cannot serve what it acknowledged.
#[derive(Debug)]
pub(super) struct Damage {
    pub why: String,
    /// Whether it may begin anew in this process.
    pub mendable: bool,
    /// The last leader epoch in which it may have acknowledged what it cannot serve, or was listed as if it could.
    pub epoch: LeaderEpoch,
}

impl Damage {
    /// Damage that a start finds. The replica has sent nothing in this life of the node, so no leader counts on it.
    pub fn at_start(why: String) -> Damage {
        Damage { why, mendable: true, epoch: LeaderEpoch::MIN }
    }
}
