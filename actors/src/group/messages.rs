//! What the actors of this directory tell each other.
//!
//! Messages stand apart from the actors, because a coordinator and its groups each name the other's.
//!
//! ```text
//!   Coordinators ── Ask ──> coordinator ── Ask, Tell, Stored ──> group
//!                                       <── Store, Gone ───────
//! ```

use crate::reply::{Reply, Unavailable};
use callboard_core::coordinator::load::Replay;
use callboard_core::group::{Answer, GroupRecord, Input, Summary};
use callboard_core::{ErrorCode, Offset, Reject, Ticket};
use parking_lot::Mutex;
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a group answers, or Kafka's code where none could be asked.
pub type GroupAnswer = Result<Answer, ErrorCode>;

impl Unavailable for GroupAnswer {
    fn unavailable() -> GroupAnswer {
        Err(ErrorCode::NotCoordinator)
    }
}

/// What lists show of the groups of one partition, by group.
pub(super) type Summaries = Arc<Mutex<BTreeMap<String, Summary>>>;

/// Makes a group's input out of the ticket that its answer will name.
pub(super) type MakeInput = Box<dyn FnOnce(Ticket) -> Input + Send>;

/// What the supervisor of this node's coordinators is told.
#[derive(Debug)]
pub enum CoordinatorsMsg {
    /// Directory or image changed, or a restart is due.
    Look,
}

/// Why a log was not read.
pub(super) enum Unloaded {
    /// No failure: the partition is not led here now, and its next tenure gets a coordinator of its own.
    NotLed(Reject),
    /// The store failed, or the log cannot be understood.
    Failed(String),
}

/// What a coordinator is told.
pub(super) enum CoordinatorMsg {
    /// The replica has told its log end and its high watermark.
    Marked(Offset, Offset),
    /// The high watermark has moved, and the mark is not reached yet.
    Advanced(Offset),
    Loaded(Result<Box<Replay<GroupRecord>>, Unloaded>),
    Ask {
        group: String,
        make: MakeInput,
        reply: Reply<GroupAnswer>,
    },
    Store {
        from: ActorRef<GroupMsg>,
        write: u64,
        records: Vec<GroupRecord>,
    },
    Appended {
        batch: u64,
        bytes: u64,
        result: Result<Offset, Reject>,
    },
    /// Whether every group has written its live state again.
    Rewritten(bool),
    /// Whether the log start has moved.
    Trimmed(bool),
    /// Nothing is left of a group. By then it had handled this many messages of its coordinator.
    Gone {
        group: String,
        handled: u64,
    },
    TopicDeleted(String),
    Close,
    Tick,
}

/// What a group is told.
pub(super) enum GroupMsg {
    Ask(MakeInput, Reply<GroupAnswer>),
    /// An input that is not answered.
    Tell(Input),
    /// A write is committed, or was refused.
    Stored(u64, Result<(), Reject>),
    Tick,
}
