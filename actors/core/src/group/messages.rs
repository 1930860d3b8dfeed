//! A group's vocabulary: what its machine is told, what it wants done, what it answers.
//!
//! Requests arrive as Kafka's fields, already decoded; `ticket` names who waits. Random parts (a new member's id) come
//! inside the request. What changes durable state is answered only after its records are stored.

use super::record::{GroupRecord, OffsetValue};
use crate::ids::Ticket;
use crate::{ErrorCode, Offset, Reject};
use std::sync::Arc;

/// Bounds and times of all groups, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    pub initial_rebalance_delay_ms: u64,
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    pub max_size: usize,
    pub offsets_retention_ms: i64,
    pub offsets_retention_check_ms: u64,
    pub offset_metadata_max_bytes: usize,
}

impl Default for GroupConfig {
    fn default() -> GroupConfig {
        GroupConfig {
            initial_rebalance_delay_ms: 3_000,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            max_size: i32::MAX as usize,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            offsets_retention_check_ms: 600_000,
            offset_metadata_max_bytes: 4_096,
        }
    }
}

/// A JoinGroup request, with the random part that a new member's id needs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Join {
    pub client_id: String,
    /// The client's address, as Kafka shows it: `/127.0.0.1`.
    pub client_host: String,
    /// Empty: a new member.
    pub member_id: String,
    /// The id of a new member: client id, dash, a fresh UUID.
    pub fresh_member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    pub session_timeout_ms: i32,
    /// `max.poll.interval.ms`; before JoinGroup v1 the session timeout.
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    /// Assignors and the member's metadata for each, in order of preference.
    pub protocols: Vec<(String, Arc<[u8]>)>,
    /// JoinGroup v4+: a dynamic member must know its id first (KIP-394).
    pub id_required: bool,
    /// JoinGroup v9: a rejoining static leader may be told to skip the assignment.
    pub can_skip_assignment: bool,
}

/// A SyncGroup request; only the leader's has assignments.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sync {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
    /// Checked where it is given (v5+).
    pub protocol_type: Option<String>,
    /// Checked where it is given (v5+).
    pub protocol_name: Option<String>,
    /// The leader's decision: member id → assignment.
    pub assignments: Vec<(String, Arc<[u8]>)>,
}

/// A member as heartbeats and commits name it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MemberRef {
    /// Empty in a commit of a consumer that is no member.
    pub member_id: String,
    pub instance_id: Option<String>,
    /// −1 in a commit of a consumer that is no member.
    pub generation: i32,
}

/// One partition of an OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CommitPartition {
    pub topic: String,
    pub partition: i32,
    pub offset: Offset,
    /// Leader epoch of the last record consumed; −1: not known.
    pub leader_epoch: i32,
    /// A text of the client's own.
    pub metadata: String,
}

/// What a group can be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Join(Ticket, Join),
    Sync(Ticket, Sync),
    Heartbeat(Ticket, MemberRef),
    /// LeaveGroup: member id (may be empty) and instance id of each.
    Leave(Ticket, Vec<(String, Option<String>)>),
    /// OffsetCommit. `retention_ms` of v2–4 (−1: the broker's) becomes the record's expiry.
    Commit(Ticket, MemberRef, i64, Vec<CommitPartition>),
    /// OffsetFetch; none: all topics. A member id is checked where it is given (v9+).
    FetchOffsets(Ticket, Option<MemberRef>, Option<Vec<(String, Vec<i32>)>>),
    DeleteOffsets(Ticket, Vec<(String, Vec<i32>)>),
    Describe(Ticket),
    DeleteGroup(Ticket),
    /// This topic was deleted: its offsets go.
    TopicDeleted(String),
    /// The records of this write are committed, or the partition's leader refused them.
    Stored(u64, Result<(), Reject>),
    /// The log up to the high watermark was replayed: sessions begin.
    Loaded,
    /// Write all live state again (the coordinator compacts its partition): one `Store` with everything, as it was last
    /// written, including what is not committed yet. Answered with `Answer::Done` once it is stored.
    Rewrite(Ticket),
    /// A deadline may have passed.
    Tick,
}

/// What a group wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append these records; answered by `Input::Stored` with the same number.
    Store(u64, Vec<GroupRecord>),
    Answer(Ticket, Answer),
    /// Show this to lists and metrics; only when it changed.
    Show(Summary),
    /// Nothing is left of the group: its actor may go, if nothing else was sent to it meanwhile.
    Gone,
}

/// A group's state, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum GroupState {
    #[default]
    Empty,
    /// Members are asked to join again.
    PreparingRebalance,
    /// Members wait for the leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// Deleted, or never there.
    Dead,
}

impl GroupState {
    /// The name that DescribeGroups and ListGroups show.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// One group, as ListGroups and metrics show it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Summary {
    pub state: GroupState,
    /// Its protocol type, empty if it never had one.
    pub protocol_type: String,
    pub members: usize,
    /// Partitions with a committed offset.
    pub offsets: usize,
}

/// A topic's name, and each partition with its committed offset.
pub type FetchedTopic = (String, Vec<(i32, Option<OffsetValue>)>);

/// What a group answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Joined(Joined),
    Synced(Synced),
    /// To `Heartbeat`, `DeleteGroup`, `Rewrite`.
    Done(ErrorCode),
    /// To `Leave`: of the request, then member id, instance id and code of each.
    Left(ErrorCode, Vec<(String, Option<String>, ErrorCode)>),
    /// To `Commit`, in the request's order.
    Committed(Vec<(String, i32, ErrorCode)>),
    Offsets(ErrorCode, Vec<FetchedTopic>),
    /// To `DeleteOffsets`: of the request, then of each.
    OffsetsDeleted(ErrorCode, Vec<(String, i32, ErrorCode)>),
    /// To `Describe`; a group that is not there is `Dead`.
    Described(Described),
}

/// The answer to a JoinGroup request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its code; `MemberIdRequired` comes with the new member id.
    pub error: ErrorCode,
    /// The generation, −1 on errors.
    pub generation: i32,
    pub protocol_type: Option<String>,
    /// The assignor that all members know.
    pub protocol_name: Option<String>,
    pub leader: String,
    /// The leader keeps the assignment as it is (v9).
    pub skip_assignment: bool,
    pub member_id: String,
    /// For the leader: id, instance id and metadata of each member.
    pub members: Vec<(String, Option<String>, Arc<[u8]>)>,
}

/// The answer to a SyncGroup request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    pub error: ErrorCode,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignment: Arc<[u8]>,
}

/// One group in the answer to DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Described {
    pub state: GroupState,
    pub protocol_type: String,
    /// The assignor, in a stable group.
    pub protocol_name: String,
    pub members: Vec<DescribedMember>,
}

/// One member in the answer to DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Its metadata for the chosen assignor; empty unless the group is stable.
    pub metadata: Arc<[u8]>,
    /// Its assignment; during a rebalance the last one, as in Kafka.
    pub assignment: Arc<[u8]>,
}
