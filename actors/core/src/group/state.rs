//! The state of one group: its members, its offsets, its writes on their way to the log.
//!
//! A few rules are needed by every request: whether a member is known, whether anything is left of the group, which topics
//! it reads. They stand here, beside the state, and so does the one way to write records. What a request does to the
//! state stands in the files that `machine.rs` names.

use super::members::Members;
use super::messages::{Effect, GroupConfig, GroupState, Summary};
use super::offsets::{Offsets, Slot};
use super::record::{GroupRecord, GroupValue, MemberValue, OffsetValue};
use super::subscription::{self, CONSUMER};
use super::write::{Then, Write};
use crate::mutant::{Mutant, planted};
use crate::time::{Millis, Now};
use crate::{Effects, ErrorCode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The two waits of a join phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinTimer {
    /// An empty group got its first members, and others may follow.
    Initial {
        delay_ms: u64,
        /// By so much the wait may still grow.
        remaining_ms: u64,
    },
    /// Members have to join again.
    Rebalance,
}

/// A consumer group, and its machine.
#[derive(Clone, Debug)]
pub struct GroupMachine {
    pub(super) group: String,
    pub(super) config: GroupConfig,
    pub(super) state: GroupState,
    /// When it came into its state, in milliseconds since the Unix epoch; −1: not known.
    pub(super) since: i64,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol_name: Option<String>,
    pub(super) leader: Option<Arc<str>>,
    pub(super) members: Members,
    /// Topics that members subscribe; none if their metadata cannot be read.
    pub(super) subscribed: Option<BTreeSet<String>>,
    /// Members of this generation whose SyncGroup is missing.
    pub(super) unsynced: BTreeSet<Arc<str>>,
    /// The rebalance began in an empty group.
    pub(super) initial: bool,
    /// A member came since the initial wait began.
    pub(super) newcomer: bool,
    pub(super) join_timer: Option<(Millis, JoinTimer)>,
    pub(super) sync_timer: Option<Millis>,
    pub(super) check_timer: Option<Millis>,
    /// The write on its way that carries the assignment of this generation.
    pub(super) assigning: Option<u64>,
    pub(super) offsets: Offsets,
    /// The record of the group itself.
    pub(super) record: Slot<GroupValue>,
    pub(super) writes: BTreeMap<u64, Write>,
    pub(super) last_write: u64,
    /// Records were replayed, and sessions have not begun.
    pub(super) replayed: bool,
    pub(super) shown: Option<Summary>,
}

impl GroupMachine {
    /// A group without members, offsets and records.
    #[must_use]
    pub fn new(group: String, config: GroupConfig) -> GroupMachine {
        GroupMachine {
            group,
            config,
            state: GroupState::Empty,
            since: -1,
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: Members::default(),
            subscribed: None,
            unsynced: BTreeSet::new(),
            initial: false,
            newcomer: false,
            join_timer: None,
            sync_timer: None,
            check_timer: None,
            assigning: None,
            offsets: Offsets::default(),
            record: Slot::default(),
            writes: BTreeMap::new(),
            last_write: 0,
            replayed: false,
            shown: None,
        }
    }

    /// Whether nothing is worth keeping: no members, no offsets, nothing in the log, nothing on its way.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        !self.exists() && self.writes.is_empty()
    }

    /// Whether anything is there, or on its way.
    pub(super) fn exists(&self) -> bool {
        self.state != GroupState::Empty
            || self.members.has_pending()
            || !self.offsets.is_empty()
            || !self.record.is_empty()
    }

    /// Whether anything will be there once every write is stored.
    pub(super) fn lives(&self) -> bool {
        self.state != GroupState::Empty
            || self.members.has_pending()
            || self.record.written().is_some()
            || self.offsets.slots().any(|(_, _, slot)| slot.written().is_some())
    }

    /// Forgets generation, protocol and topics, as if the group were new.
    pub(super) fn forget(&mut self) {
        self.generation = 0;
        self.since = -1;
        self.protocol_type = None;
        self.protocol_name = None;
        self.subscribed = None;
    }

    /// Comes into a state, now.
    pub(super) fn enter(&mut self, now: Now, state: GroupState) {
        self.state = state;
        self.since = now.wall.0;
    }

    /// Refuses a member that is not known, or that another one replaced under its instance id.
    pub(super) fn validate(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if instance_id.is_some() && planted(Mutant::FencedMemberAccepted) {
            return Ok(());
        }
        if let Some(instance) = instance_id {
            match self.members.by_instance(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(owner) if **owner != *member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Begins a member's session anew, because it showed that it lives.
    pub(super) fn touch(&mut self, now: Now, member_id: &str) {
        let session = self.members.get(member_id).map(|m| u64::try_from(m.session_timeout_ms).unwrap_or(0));
        if let Some(session) = session {
            self.members.believe(member_id, Some(now.mono.plus(session)));
        }
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Reads from the members' metadata which topics they subscribe.
    pub(super) fn read_subscriptions(&mut self) {
        let mut topics = BTreeSet::new();
        let protocol = self.protocol_name.as_deref();
        let readable = self.uses_consumer_protocol()
            && self
                .members
                .iter()
                .all(|m| subscription::add_topics(&m.metadata(protocol), &mut topics).is_some());
        self.subscribed = readable.then_some(topics);
    }

    /// Whether a member may read this topic. If the metadata cannot be read, a consumer may.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Writes records as one write and returns its number.
    pub(super) fn store(
        &mut self,
        records: Vec<GroupRecord>,
        write: Write,
        out: &mut Effects<Effect>,
    ) -> u64 {
        self.last_write += 1;
        let number = self.last_write;
        for record in &records {
            match record {
                GroupRecord::Offset { topic, partition, value, .. } => {
                    self.offsets.write(number, topic, *partition, value.clone());
                }
                GroupRecord::Group { value, .. } => self.record.write(number, value.clone()),
            }
        }
        if planted(Mutant::CommitShownBeforeStored)
            && let Then::Committed(_, each) = &write.then
        {
            each.iter().for_each(|(topic, p, _)| self.offsets.settle(number, topic, *p, true));
        }
        self.writes.insert(number, write);
        out.push(Effect::Store(number, records));
        number
    }

    /// The record of one of the group's offsets; without a value, its tombstone.
    pub(super) fn offset_record(
        &self,
        (topic, partition): (String, i32),
        value: Option<OffsetValue>,
    ) -> GroupRecord {
        GroupRecord::Offset { group: self.group.clone(), topic, partition, value }
    }

    /// The record of the group as it is, with these assignments if there are new ones.
    pub(super) fn group_record(&self, assignments: Option<&BTreeMap<String, Arc<[u8]>>>) -> GroupRecord {
        let protocol = self.protocol_name.as_deref();
        let members = self.members.iter().map(|member| MemberValue {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: match assignments {
                Some(new) => new.get(&*member.id).cloned().unwrap_or_else(|| Arc::from([])),
                None => member.assignment.clone(),
            },
        });
        let value = GroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.as_deref().map(str::to_owned),
            state_timestamp: self.since,
            members: members.collect(),
        };
        GroupRecord::Group { group: self.group.clone(), value: Some(value) }
    }
}
