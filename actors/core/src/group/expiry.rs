//! What ends: expired offsets, offsets of a deleted topic, the group itself. And what is written again.
//!
//! ```text
//!   group                                    an offset expires after offsets.retention.minutes since
//!   empty                                    the later of its commit and the last member's leaving
//!   no group ever (offsets only)             its commit
//!   stable, consumers, topic not subscribed  its commit
//!   any other                                never
//! ```
//!
//! An expiry of its own (OffsetCommit v2–4) goes before. Nothing goes while a write of the same key is on its way.

use super::machine::GroupMachine;
use super::messages::{Answer, Effect, GroupState};
use super::record::{GroupRecord, OffsetValue};
use super::stored::{Then, Write};
use crate::ids::Ticket;
use crate::time::Now;
use crate::{Effects, ErrorCode};

impl GroupMachine {
    /// Every `offsets.retention.check.interval.ms`.
    pub(super) fn expire(&mut self, now: Now, out: &mut Effects<Effect>) {
        let empty = self.state == GroupState::Empty;
        let readable = self.state == GroupState::Stable && self.uses_consumer_protocol();
        if !empty && !(readable && self.subscribed.is_some()) {
            return;
        }
        let mut all = true;
        let mut keys = Vec::new();
        for (topic, partition, slot) in self.offsets.slots() {
            let over = |value: &OffsetValue| self.is_over(now, value) && !self.is_subscribed(topic);
            if !slot.is_pending() && slot.stored().is_some_and(over) {
                keys.push((topic.to_owned(), partition));
            } else {
                all = false;
            }
        }
        let mut records = self.tombstones(&keys);
        let last = all && empty && !self.members.has_pending() && !self.record.is_pending();
        let group = last && self.record.stored().is_some();
        if group {
            records.push(self.group_tombstone());
        }
        if !records.is_empty() {
            self.store(records, Write { keys, group, then: Then::Nothing }, out);
        }
    }

    fn is_over(&self, now: Now, value: &OffsetValue) -> bool {
        if let Some(at) = value.expire_timestamp {
            return now.wall.0 >= at;
        }
        let grouped = self.state == GroupState::Empty && self.protocol_type.is_some();
        let since = if grouped { value.commit_timestamp.max(self.since) } else { value.commit_timestamp };
        now.wall.0.saturating_sub(since) >= self.config.offsets_retention_ms
    }

    fn group_tombstone(&self) -> GroupRecord {
        GroupRecord::Group { group: self.group.clone(), value: None }
    }

    pub(super) fn topic_deleted(&mut self, topic: &str, out: &mut Effects<Effect>) {
        let mut keys = Vec::new();
        for (key, _) in self.offsets.written() {
            if key.0 == topic {
                keys.push(key);
            }
        }
        if !keys.is_empty() {
            let records = self.tombstones(&keys);
            self.store(records, Write::of_offsets(keys, Then::Nothing), out);
        }
    }

    pub(super) fn delete_group(&mut self, ticket: Ticket, out: &mut Effects<Effect>) {
        let code = match self.state {
            _ if !self.lives() => ErrorCode::GroupIdNotFound,
            GroupState::Empty => ErrorCode::None,
            _ => ErrorCode::NonEmptyGroup,
        };
        if code == ErrorCode::None {
            self.members.clear_pending();
        }
        let keys: Vec<_> = self.offsets.written().map(|(key, _)| key).collect();
        let group = self.record.written().is_some();
        if code != ErrorCode::None || (keys.is_empty() && !group) {
            out.push(Effect::Answer(ticket, Answer::Done(code)));
            return;
        }
        let mut records = self.tombstones(&keys);
        if group {
            records.push(self.group_tombstone());
        }
        self.store(records, Write { keys, group, then: Then::Done(ticket) }, out);
    }

    /// Everything as it was last written. What is on its way is written again too, tombstones included: it may fail
    /// there and not here.
    pub(super) fn rewrite(&mut self, ticket: Ticket, out: &mut Effects<Effect>) {
        let mut records = Vec::new();
        let group = !self.record.is_empty();
        if group {
            let value = self.record.written().cloned();
            records.push(GroupRecord::Group { group: self.group.clone(), value });
        }
        let mut keys = Vec::new();
        for (topic, partition, slot) in self.offsets.slots() {
            let key = (topic.to_owned(), partition);
            records.push(self.offset_record(key.clone(), slot.written().cloned()));
            keys.push(key);
        }
        if records.is_empty() {
            out.push(Effect::Answer(ticket, Answer::Done(ErrorCode::None)));
        } else {
            self.store(records, Write { keys, group, then: Then::Done(ticket) }, out);
        }
    }
}
