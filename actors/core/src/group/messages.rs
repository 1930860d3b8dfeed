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
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.max.size`.
    pub max_size: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_ms: u64,
    /// `offset.metadata.max.bytes`.
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

/// JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Join {
    /// The client's id.
    pub client_id: String,
    /// The client's address, as Kafka shows it: `/127.0.0.1`.
    pub client_host: String,
    /// Empty: a new member.
    pub member_id: String,
    /// What a new member is called: client id, dash, a fresh UUID.
    pub fresh_member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `max.poll.interval.ms`; before JoinGroup v1 the session timeout.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect`, …
    pub protocol_type: String,
    /// Assignors and what the member says to each, in order of preference.
    pub protocols: Vec<(String, Arc<[u8]>)>,
    /// JoinGroup v4+: a dynamic member must know its id first (KIP-394).
    pub id_required: bool,
    /// JoinGroup v9: a rejoining static leader may be told to skip the assignment.
    pub can_skip_assignment: bool,
}

/// SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sync {
    /// Who.
    pub member_id: String,
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// In which generation.
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
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// −1 in a commit of a consumer that is no member.
    pub generation: i32,
}

/// One partition of an OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CommitPartition {
    /// Topic, by name.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The offset.
    pub offset: Offset,
    /// Leader epoch of the last record consumed; −1: not known.
    pub leader_epoch: i32,
    /// The client's own words.
    pub metadata: String,
}

/// What a group can be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// JoinGroup.
    Join(Ticket, Join),
    /// SyncGroup.
    Sync(Ticket, Sync),
    /// Heartbeat.
    Heartbeat(Ticket, MemberRef),
    /// LeaveGroup: member id (may be empty) and instance id of each.
    Leave(Ticket, Vec<(String, Option<String>)>),
    /// OffsetCommit. `retention_ms` of v2–4 (−1: the broker's) becomes the record's expiry.
    Commit(Ticket, MemberRef, i64, Vec<CommitPartition>),
    /// OffsetFetch; none: all topics. A member id is checked where it is given (v9+).
    FetchOffsets(Ticket, Option<MemberRef>, Option<Vec<(String, Vec<i32>)>>),
    /// OffsetDelete.
    DeleteOffsets(Ticket, Vec<(String, Vec<i32>)>),
    /// DescribeGroups.
    Describe(Ticket),
    /// DeleteGroups.
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
    /// Answer this ticket.
    Answer(Ticket, Answer),
    /// Show this to lists and metrics; only when it changed.
    Show(Summary),
    /// Nothing is left of the group: its actor may go, if nothing else was sent to it meanwhile.
    Gone,
}

/// A group's state, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum GroupState {
    /// No members.
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
    /// As in DescribeGroups and ListGroups.
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

/// What ListGroups and metrics show.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Summary {
    /// Its state.
    pub state: GroupState,
    /// Its protocol type, empty if it never had one.
    pub protocol_type: String,
    /// Members.
    pub members: usize,
    /// Partitions with a committed offset.
    pub offsets: usize,
}

/// A topic's offsets: partition, and what is committed.
pub type FetchedTopic = (String, Vec<(i32, Option<OffsetValue>)>);

/// What a group answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To `Join`.
    Joined(Joined),
    /// To `Sync`.
    Synced(Synced),
    /// To `Heartbeat`, `DeleteGroup`, `Rewrite`.
    Done(ErrorCode),
    /// To `Leave`: of the request, then member id, instance id and code of each.
    Left(ErrorCode, Vec<(String, Option<String>, ErrorCode)>),
    /// To `Commit`, in the request's order.
    Committed(Vec<(String, i32, ErrorCode)>),
    /// To `FetchOffsets`.
    Offsets(ErrorCode, Vec<FetchedTopic>),
    /// To `DeleteOffsets`: of the request, then of each.
    OffsetsDeleted(ErrorCode, Vec<(String, i32, ErrorCode)>),
    /// To `Describe`; a group that is not there is `Dead`.
    Described(Described),
}

/// JoinGroup's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its code; `MemberIdRequired` comes with the new member id.
    pub error: ErrorCode,
    /// The generation, −1 on errors.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The assignor that all members know.
    pub protocol_name: Option<String>,
    /// The leader's member id.
    pub leader: String,
    /// The leader keeps the assignment as it is (v9).
    pub skip_assignment: bool,
    /// This member's id.
    pub member_id: String,
    /// For the leader: member id, instance id and what it said to the chosen assignor.
    pub members: Vec<(String, Option<String>, Arc<[u8]>)>,
}

/// SyncGroup's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Its code.
    pub error: ErrorCode,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The assignor.
    pub protocol_name: Option<String>,
    /// This member's assignment.
    pub assignment: Arc<[u8]>,
}

/// DescribeGroups' answer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Described {
    /// Its state.
    pub state: GroupState,
    /// Its protocol type.
    pub protocol_type: String,
    /// The assignor, in a stable group.
    pub protocol_name: String,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: String,
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
    /// What it said to the chosen assignor; empty unless the group is stable.
    pub metadata: Arc<[u8]>,
    /// Its assignment; during a rebalance the last one, as in Kafka.
    pub assignment: Arc<[u8]>,
}
