//! How offsets and groups end: by expiry, with their topic, by DeleteGroups. And how a group writes its state again.
//!
//! An offset of a consumer that is gone for good would stay for ever, so offsets expire. Tombstones take them away.
//!
//! ```text
//!   group                                    an offset expires after offsets.retention.minutes since
//!   empty                                    the later of its commit and the last member's leaving
//!   no group ever (offsets only)             its commit
//!   stable, consumers, topic not subscribed  its commit
//!   any other                                never
//! ```
//!
//! An offset with an expiry of its own (OffsetCommit v2–4) goes then. No offset goes while a write of its key is on its way.

use super::messages::{Answer, Effect, GroupState};
use super::record::{GroupRecord, OffsetValue};
use super::state::GroupMachine;
use super::write::{Then, Write};
use crate::ids::Ticket;
use crate::time::Now;
use crate::{Effects, ErrorCode};

impl GroupMachine {
    /// Takes expired offsets away; called every `offsets.retention.check.interval.ms`.
    pub(super) fn expire(&mut self, now: Now, out: &mut Effects<Effect>) {
        let empty = self.state == GroupState::Empty;
        let readable = self.state == GroupState::Stable && self.uses_consumer_protocol();
        let known = readable && self.subscribed.is_some();
        if !empty && !known {
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
        let written = self.offsets.partitions(topic).filter(|(_, slot)| slot.written().is_some());
        let keys: Vec<_> = written.map(|(partition, _)| (topic.to_owned(), *partition)).collect();
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

    /// Writes everything as it was written last. Writes on their way are repeated too, tombstones included, because the
    /// first of two may fail and the second not.
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
