//! One consumer group: its state, what it was told, what is on its way to the log.
//!
//! ```text
//!            join                all joined │ time out          leader's assignment stored
//!   Empty ─────────> Preparing ─────────────────────> Completing ───────────────────────> Stable
//!     ^                │  ^  no member left      join │ leave │ session │ no sync │ not stored  │ join │ leave │ session
//!     └────────────────┘  └───────────────────────────┴───────────────────────────────────────┘
//! ```
//!
//! `join.rs` and `rebalance.rs` walk through these states, `sync.rs` has what members say in between, `commits.rs` and
//! `expiry.rs` the offsets, `stored.rs` what follows once a write is stored. A group is not told about time by a clock:
//! sessions end at `Tick`. It does not know which group ids are allowed, nor that there are versions of requests.

use super::members::Members;
use super::messages::{
    Answer, Described, DescribedMember, Effect, GroupConfig, GroupState, Input, Joined, Summary, Synced,
};
use super::offsets::{Offsets, Slot};
use super::record::{GroupRecord, GroupValue};
use super::stored::{Then, Write};
use super::subscription::{self, CONSUMER};
use crate::ids::Ticket;
use crate::mutant::{Mutant, planted};
use crate::time::{Millis, Now};
use crate::{Effects, ErrorCode, Machine};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the end of the join phase waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinTimer {
    /// The first members of an empty group: others may follow.
    Initial {
        /// How long this wait is.
        delay_ms: u64,
        /// How much longer it may become.
        remaining_ms: u64,
    },
    /// Members have this long to join again.
    Rebalance,
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct GroupMachine {
    pub(super) group: String,
    pub(super) config: GroupConfig,
    pub(super) state: GroupState,
    /// Since when it is in its state, by the wall clock.
    pub(super) since: i64,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol_name: Option<String>,
    pub(super) leader: Option<Arc<str>>,
    pub(super) members: Members,
    /// Topics that members subscribe, as far as that is known.
    pub(super) subscribed: Option<BTreeSet<String>>,
    /// Members of this generation that have not sent SyncGroup.
    pub(super) unsynced: BTreeSet<Arc<str>>,
    /// The rebalance began in an empty group.
    pub(super) initial: bool,
    /// A member came since the initial wait began.
    pub(super) newcomer: bool,
    pub(super) join_timer: Option<(Millis, JoinTimer)>,
    pub(super) sync_timer: Option<Millis>,
    pub(super) check_timer: Option<Millis>,
    /// The write that carries the assignment of this generation.
    pub(super) assigning: Option<u64>,
    pub(super) offsets: Offsets,
    /// The record of the group itself.
    pub(super) record: Slot<GroupValue>,
    pub(super) writes: BTreeMap<u64, Write>,
    pub(super) last_write: u64,
    /// It was read from the log; sessions have not begun.
    pub(super) replayed: bool,
    shown: Option<Summary>,
}

impl GroupMachine {
    /// A group that nothing is known of.
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

    /// Nothing is worth keeping: no members, no offsets, nothing in the log, nothing on its way.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        !self.exists() && self.writes.is_empty()
    }

    /// Something is there, or on its way.
    fn exists(&self) -> bool {
        self.state != GroupState::Empty
            || self.members.has_pending()
            || !self.offsets.is_empty()
            || !self.record.is_empty()
    }

    /// Something will be there once all that is on its way is stored.
    pub(super) fn lives(&self) -> bool {
        self.state != GroupState::Empty
            || self.members.has_pending()
            || self.record.written().is_some()
            || self.offsets.slots().any(|(_, _, slot)| slot.written().is_some())
    }

    /// As it was before anything happened to it.
    pub(super) fn forget(&mut self) {
        self.generation = 0;
        self.since = -1;
        self.protocol_type = None;
        self.protocol_name = None;
        self.subscribed = None;
    }

    pub(super) fn enter(&mut self, now: Now, state: GroupState) {
        self.state = state;
        self.since = now.wall.0;
    }

    /// Whether this is a member, and the one of its instance id.
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

    /// A member showed that it lives.
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

    /// Reads from what the members said which topics they subscribe.
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

    /// Whether a member reads this topic, as far as is known.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    fn describe(&self) -> Described {
        if !self.exists() {
            return Described { state: GroupState::Dead, ..Described::default() };
        }
        let stable = self.state == GroupState::Stable;
        let protocol = self.protocol_name.as_deref().filter(|_| stable);
        let members = self.members.iter().map(|member| DescribedMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if stable { member.metadata(protocol) } else { Arc::from([]) },
            assignment: member.assignment.clone(),
        });
        Described {
            state: self.state,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_name: protocol.unwrap_or_default().to_owned(),
            members: members.collect(),
        }
    }

    fn loaded(&mut self, now: Now, out: &mut Effects<Effect>) {
        for id in self.members.ids() {
            self.touch(now, &id);
        }
        if self.members.len() > self.config.max_size {
            // The bound was lowered: those who join again first stay.
            self.prepare(now, out);
        }
    }

    /// The moment that comes first, and what it is for.
    fn first_deadline(&self) -> Option<(Millis, Due)> {
        let session = self.members.next_deadline().map(|(at, id)| (at, Due::Session(id.clone())));
        let join = self.join_timer.map(|(at, timer)| (at, Due::Join(timer)));
        let sync = self.sync_timer.map(|at| (at, Due::Sync));
        let check = self.check_timer.map(|at| (at, Due::Check));
        [session, join, sync, check].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn tick(&mut self, now: Now, out: &mut Effects<Effect>) {
        while let Some((_, due)) = self.first_deadline().filter(|(at, _)| *at <= now.mono) {
            match due {
                Due::Session(id) => self.session_over(now, &id, out),
                Due::Join(timer) => self.join_time_out(now, timer, out),
                Due::Sync => self.sync_time_out(now, out),
                Due::Check => {
                    self.check_timer = Some(now.mono.plus(self.config.offsets_retention_check_ms.max(1)));
                    self.expire(now, out);
                }
            }
        }
    }

    /// What holds after every step: lists and metrics know, expiry is due while there is something to expire.
    fn settle(&mut self, now: Now, out: &mut Effects<Effect>) {
        let gone = self.is_gone();
        if gone {
            self.forget();
            self.check_timer = None;
        } else if self.check_timer.is_none() {
            self.check_timer = Some(now.mono.plus(self.config.offsets_retention_check_ms.max(1)));
        }
        self.show(out);
        if gone {
            out.push(Effect::Gone);
        }
    }

    fn show(&mut self, out: &mut Effects<Effect>) {
        let state = if self.exists() { self.state } else { GroupState::Dead };
        let protocol_type = self.protocol_type.as_deref().unwrap_or_default();
        let (members, offsets) = (self.members.len(), self.offsets.shown());
        let same = match &self.shown {
            Some(shown) => {
                shown.state == state
                    && shown.protocol_type == protocol_type
                    && shown.members == members
                    && shown.offsets == offsets
            }
            // Nobody was told of it, so nobody need be told that it is not there.
            None => state == GroupState::Dead,
        };
        if !same {
            let summary = Summary { state, protocol_type: protocol_type.to_owned(), members, offsets };
            self.shown = (state != GroupState::Dead).then(|| summary.clone());
            out.push(Effect::Show(summary));
        }
    }
}

/// What a deadline is for.
enum Due {
    Session(Arc<str>),
    Join(JoinTimer),
    Sync,
    Check,
}

impl Machine for GroupMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        if std::mem::take(&mut self.replayed) {
            self.loaded(now, out);
        }
        match input {
            Input::Join(ticket, join) => self.join(now, ticket, join, out),
            Input::Sync(ticket, sync) => self.sync(now, ticket, sync, out),
            Input::Heartbeat(ticket, who) => {
                let code = self.heartbeat(now, &who).err().unwrap_or(ErrorCode::None);
                out.push(Effect::Answer(ticket, Answer::Done(code)));
            }
            Input::Leave(ticket, who) => self.leave(now, ticket, who, out),
            Input::Commit(ticket, who, retention_ms, partitions) => {
                self.commit(now, ticket, &who, retention_ms, partitions, out);
            }
            Input::FetchOffsets(ticket, _, topics) => {
                // As in Kafka, offsets of a classic group are for everyone to see.
                out.push(Effect::Answer(ticket, self.fetch(topics)));
            }
            Input::DeleteOffsets(ticket, topics) => self.delete_offsets(ticket, topics, out),
            Input::Describe(ticket) => out.push(Effect::Answer(ticket, Answer::Described(self.describe()))),
            Input::DeleteGroup(ticket) => self.delete_group(ticket, out),
            Input::TopicDeleted(topic) => self.topic_deleted(&topic, out),
            Input::Stored(write, result) => self.stored(now, write, result, out),
            // Whatever comes first begins the sessions.
            Input::Loaded => {}
            Input::Rewrite(ticket) => self.rewrite(ticket, out),
            Input::Tick => self.tick(now, out),
        }
        self.settle(now, out);
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.first_deadline().map(|(at, _)| at)
    }

    fn check(&self) {
        self.members.check();
        let (state, empty) = (self.state, self.members.is_empty());
        assert_eq!(self.leader.is_none(), empty, "a leader if and only if there are members");
        assert!(self.leader.as_ref().is_none_or(|id| self.members.contains(id)), "the leader is no member");
        assert!(self.unsynced.iter().all(|id| self.members.contains(id)), "who has not synced is no member");
        assert_eq!(
            self.join_timer.is_some(),
            state == GroupState::PreparingRebalance,
            "join timer in {state:?}"
        );
        assert_eq!(self.sync_timer.is_some(), !self.unsynced.is_empty(), "sync timer");
        match state {
            GroupState::Empty => assert!(empty, "members in an empty group"),
            GroupState::PreparingRebalance => assert!(self.unsynced.is_empty() && self.assigning.is_none()),
            GroupState::CompletingRebalance => {
                assert!(!empty && self.protocol_name.is_some() && self.members.joining() == 0);
            }
            GroupState::Stable => assert!(!empty && self.protocol_name.is_some() && self.assigning.is_none()),
            GroupState::Dead => panic!("a group here is never dead"),
        }
        let syncing = self.members.iter().any(|member| member.sync.is_some());
        assert!(!syncing || state == GroupState::CompletingRebalance, "a SyncGroup waits in {state:?}");
        let joining = self.members.joining() > 0;
        // In a stable group: static members that came back, until that is stored.
        assert!(!joining || state == GroupState::PreparingRebalance || !self.writes.is_empty());
        for member in self.members.iter() {
            assert!(member.waits() || self.members.is_believed(&member.id), "{} can never expire", member.id);
        }
    }
}

/// A refused JoinGroup.
pub(super) fn not_joined(error: ErrorCode, member_id: &str) -> Answer {
    Answer::Joined(Joined {
        error,
        generation: -1,
        protocol_type: None,
        protocol_name: None,
        leader: String::new(),
        skip_assignment: false,
        member_id: member_id.to_owned(),
        members: Vec::new(),
    })
}

/// A refused SyncGroup.
pub(super) fn not_synced(error: ErrorCode) -> Answer {
    Answer::Synced(Synced { error, protocol_type: None, protocol_name: None, assignment: Arc::from([]) })
}

impl GroupMachine {
    /// An accepted JoinGroup; the leader is told who there is.
    pub(super) fn joined(&self, member_id: &str) -> Joined {
        let protocol = self.protocol_name.as_deref();
        let told =
            |m: &super::members::Member| (m.id.to_string(), m.instance_id.clone(), m.metadata(protocol));
        let leader = self.is_leader(member_id);
        Joined {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members: if leader { self.members.iter().map(told).collect() } else { Vec::new() },
        }
    }

    /// A member's JoinGroup waits; one that waited before was sent twice.
    pub(super) fn wait_join(&mut self, member_id: &str, ticket: Ticket, out: &mut Effects<Effect>) {
        if let Some(before) = self.members.set_join(member_id, Some(ticket)) {
            out.push(Effect::Answer(before, not_joined(ErrorCode::RebalanceInProgress, member_id)));
        }
    }

    /// Appends records as one write.
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

    /// A record of one of the group's offsets.
    pub(super) fn offset_record(
        &self,
        (topic, partition): (String, i32),
        value: Option<super::record::OffsetValue>,
    ) -> GroupRecord {
        GroupRecord::Offset { group: self.group.clone(), topic, partition, value }
    }

    /// The record of the group as it is.
    pub(super) fn group_record(&self, assignments: Option<&BTreeMap<String, Arc<[u8]>>>) -> GroupRecord {
        let protocol = self.protocol_name.as_deref();
        let members = self.members.iter().map(|member| super::record::MemberValue {
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
