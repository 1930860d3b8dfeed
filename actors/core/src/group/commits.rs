//! OffsetCommit, OffsetFetch, OffsetDelete.
//!
//! A committed offset is a promise, so the client is answered after the offset is stored, and a fetch shows it no earlier.
//!
//! ```text
//!   commit ──> who, generation ──> each partition ──> Store ──> Stored: fetches see it, the client is answered
//! ```
//!
//! A commit costs as much as it commits, however many offsets the group has. When offsets expire is in `expiry.rs`.

use super::messages::{Answer, CommitPartition, Effect, FetchedTopic, GroupState, MemberRef};
use super::offsets::Offsets;
use super::record::{GroupRecord, OffsetValue};
use super::state::GroupMachine;
use super::write::{Then, Write};
use crate::ids::Ticket;
use crate::mutant::{Mutant, planted};
use crate::time::Now;
use crate::{Effects, ErrorCode};

impl GroupMachine {
    pub(super) fn commit(
        &mut self,
        now: Now,
        ticket: Ticket,
        who: &MemberRef,
        retention_ms: i64,
        partitions: Vec<CommitPartition>,
        out: &mut Effects<Effect>,
    ) {
        if let Err(code) = self.may_commit(who) {
            let each = partitions.into_iter().map(|p| (p.topic, p.partition, code)).collect();
            out.push(Effect::Answer(ticket, Answer::Committed(each)));
            return;
        }
        if matches!(self.state, GroupState::Stable | GroupState::PreparingRebalance) {
            self.touch(now, &who.member_id);
        }
        let expire_timestamp = (retention_ms >= 0).then(|| now.wall.0.saturating_add(retention_ms));
        let (mut each, mut records) = (Vec::new(), Vec::new());
        for p in partitions {
            if self.is_too_long(&p.metadata) {
                each.push((p.topic, p.partition, ErrorCode::OffsetMetadataTooLarge));
                continue;
            }
            let value = OffsetValue {
                offset: p.offset,
                leader_epoch: p.leader_epoch,
                metadata: p.metadata,
                commit_timestamp: now.wall.0,
                expire_timestamp,
            };
            records.push(self.offset_record((p.topic.clone(), p.partition), Some(value)));
            each.push((p.topic, p.partition, ErrorCode::None));
        }
        if records.is_empty() {
            out.push(Effect::Answer(ticket, Answer::Committed(each)));
        } else {
            self.store(records, Write::of_offsets(Vec::new(), Then::Committed(ticket, each)), out);
        }
    }

    /// Kafka counts units of UTF-16 here, as Java does, although the option's name says bytes.
    fn is_too_long(&self, metadata: &str) -> bool {
        let most = self.config.offset_metadata_max_bytes;
        metadata.len() > most && metadata.encode_utf16().count() > most
    }

    fn may_commit(&self, who: &MemberRef) -> Result<(), ErrorCode> {
        if who.generation < 0 && self.state == GroupState::Empty {
            // A consumer that is no member, or an operator.
            return Ok(());
        }
        if !self.lives() {
            return Err(ErrorCode::GroupIdNotFound);
        }
        if who.generation < 0 && who.member_id.is_empty() && who.instance_id.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.validate(&who.member_id, who.instance_id.as_deref())?;
        if who.generation != self.generation && !planted(Mutant::OldGenerationCommits) {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            GroupState::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    pub(super) fn fetch(&self, topics: Option<Vec<(String, Vec<i32>)>>) -> Answer {
        let offsets = &self.offsets;
        let found = match topics {
            Some(topics) => topics
                .into_iter()
                .map(|(topic, partitions)| {
                    let each = partitions.into_iter().map(|p| (p, offsets.get(&topic, p).cloned())).collect();
                    (topic, each)
                })
                .collect(),
            None => all(offsets),
        };
        Answer::Offsets(ErrorCode::None, found)
    }

    pub(super) fn delete_offsets(
        &mut self,
        ticket: Ticket,
        topics: Vec<(String, Vec<i32>)>,
        out: &mut Effects<Effect>,
    ) {
        let code = match self.state {
            _ if !self.lives() => ErrorCode::GroupIdNotFound,
            GroupState::Empty => ErrorCode::None,
            _ if self.uses_consumer_protocol() => ErrorCode::None,
            _ => ErrorCode::NonEmptyGroup,
        };
        if code != ErrorCode::None {
            out.push(Effect::Answer(ticket, Answer::OffsetsDeleted(code, Vec::new())));
            return;
        }
        let (mut each, mut keys) = (Vec::new(), Vec::new());
        for (topic, partitions) in topics {
            let subscribed = self.is_subscribed(&topic);
            for partition in partitions {
                let written =
                    self.offsets.slot(&topic, partition).is_some_and(|slot| slot.written().is_some());
                if written && !subscribed {
                    keys.push((topic.clone(), partition));
                }
                let code = if subscribed { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
                each.push((topic.clone(), partition, code));
            }
        }
        if keys.is_empty() {
            out.push(Effect::Answer(ticket, Answer::OffsetsDeleted(ErrorCode::None, each)));
        } else {
            let records = self.tombstones(&keys);
            self.store(records, Write::of_offsets(keys, Then::Deleted(ticket, each)), out);
        }
    }

    pub(super) fn tombstones(&self, keys: &[(String, i32)]) -> Vec<GroupRecord> {
        keys.iter().map(|key| self.offset_record(key.clone(), None)).collect()
    }
}

fn all(offsets: &Offsets) -> Vec<FetchedTopic> {
    let mut found = Vec::new();
    for (topic, partitions) in offsets.topics() {
        let stored = partitions
            .iter()
            .filter_map(|(partition, slot)| slot.stored().map(|value| (*partition, Some(value.clone()))));
        let stored: Vec<_> = stored.collect();
        if !stored.is_empty() {
            found.push((topic.clone(), stored));
        }
    }
    found
}
