//! A write on its way to the log, and what follows once it is stored.
//!
//! A group goes on while its records are being stored, so each write carries what is left to do: keys to settle, and a
//! request to answer.
//!
//! ```text
//!   Store(n, records) ──> writes[n] = keys + what then ──> Stored(n, …): stored.rs
//! ```

use super::members::Member;
use super::offsets::Key;
use crate::ErrorCode;
use crate::ids::Ticket;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The keys of a write on its way, and what follows it.
#[derive(Clone, Debug)]
pub(super) struct Write {
    /// Keys of its offsets. Those of a commit are in its answer.
    pub keys: Vec<Key>,
    /// Whether it carries the record of the group itself.
    pub group: bool,
    pub then: Then,
}

/// What follows once a write is stored or refused.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// No request waits for it.
    Nothing,
    /// OffsetCommit is answered: the code of each partition.
    Committed(Ticket, Vec<(String, i32, ErrorCode)>),
    /// OffsetDelete is answered: the code of each partition.
    Deleted(Ticket, Vec<(String, i32, ErrorCode)>),
    /// DeleteGroups or a rewrite is answered.
    Done(Ticket),
    /// LeaveGroup is answered, after the last member left.
    Left(Ticket, Vec<(String, Option<String>, ErrorCode)>),
    /// Members get the shares that the leader gave them.
    Assigned(BTreeMap<String, Arc<[u8]>>),
    /// A static member is told its new id.
    Returned(Box<Returned>),
}

/// A static member that came back.
#[derive(Clone, Debug)]
pub(super) struct Returned {
    pub ticket: Ticket,
    /// The id that it has from now on.
    pub id: Arc<str>,
    /// The member whose place it took.
    pub before: Member,
    /// The generation in which it came.
    pub generation: i32,
    /// The leader when it came.
    pub leader_before: String,
    /// Whether it knows KIP-814.
    pub can_skip: bool,
}

impl Write {
    /// A write of the record of the group itself and nothing else.
    pub fn of_group(then: Then) -> Write {
        Write { keys: Vec::new(), group: true, then }
    }

    /// A write of offsets, or of their tombstones.
    pub fn of_offsets(keys: Vec<Key>, then: Then) -> Write {
        Write { keys, group: false, then }
    }
}
