//! What follows once a write is stored, or cannot be.
//!
//! A request that changes durable state is answered from here, after its records are in the log. A refused write leaves
//! the group as it was, and the client gets Kafka's code for the refusal.
//!
//! ```text
//!   Store(n, records) ──> writes[n] = keys + what then ──> Stored(n, Ok)  ──> keys show it, then: answer
//!                                                     └──> Stored(n, Err) ──> keys forget it, then: answer the error
//! ```

use super::answers::not_joined;
use super::members::Member;
use super::messages::{Answer, Effect, GroupState, Joined};
use super::state::GroupMachine;
use super::write::{Returned, Then};
use crate::time::Now;
use crate::{Effects, ErrorCode, Reject};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The code of a request whose records the log refused. Kafka has one table for all: SyncGroup and JoinGroup in
/// `appendGroupMetadataErrorToResponseError`, the others in `CoordinatorOperationExceptionHelper`.
fn told(refused: &Reject) -> ErrorCode {
    match refused.code() {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge => ErrorCode::UnknownServerError,
        code => code,
    }
}

impl GroupMachine {
    pub(super) fn stored(
        &mut self,
        now: Now,
        number: u64,
        result: Result<(), Reject>,
        out: &mut Effects<Effect>,
    ) {
        let Some(write) = self.writes.remove(&number) else { return };
        let result = result.map_err(|refused| told(&refused));
        let (ok, code) = (result.is_ok(), result.err().unwrap_or(ErrorCode::None));
        if write.group {
            self.record.settle(number, ok);
            if ok && self.record.is_empty() && self.state == GroupState::Empty && !self.members.has_pending()
            {
                // Deleted; offsets may have been committed since, by consumers that are no members.
                self.forget();
            }
        }
        for (topic, partition) in &write.keys {
            self.offsets.settle(number, topic, *partition, ok);
        }
        match write.then {
            Then::Nothing => {}
            Then::Committed(ticket, mut each) => {
                for (topic, partition, each) in
                    each.iter_mut().filter(|(_, _, each)| *each == ErrorCode::None)
                {
                    self.offsets.settle(number, topic, *partition, ok);
                    *each = code;
                }
                out.push(Effect::Answer(ticket, Answer::Committed(each)));
            }
            Then::Deleted(ticket, each) => {
                let each = if ok { each } else { Vec::new() };
                out.push(Effect::Answer(ticket, Answer::OffsetsDeleted(code, each)));
            }
            Then::Done(ticket) => out.push(Effect::Answer(ticket, Answer::Done(code))),
            Then::Left(ticket, each) => {
                let each = if ok { each } else { Vec::new() };
                out.push(Effect::Answer(ticket, Answer::Left(code, each)));
            }
            Then::Assigned(assignments) => self.assigned(now, number, assignments, result, out),
            Then::Returned(returned) => self.returned(now, *returned, result, out),
        }
    }

    /// Gives each member its share, unless another rebalance began meanwhile.
    pub(super) fn assigned(
        &mut self,
        now: Now,
        number: u64,
        assignments: BTreeMap<String, Arc<[u8]>>,
        result: Result<(), ErrorCode>,
        out: &mut Effects<Effect>,
    ) {
        if self.assigning != Some(number) {
            return;
        }
        self.assigning = None;
        if let Err(code) = result {
            self.cancel_assignment(now, code, out);
            self.prepare(now, out);
            return;
        }
        self.enter(now, GroupState::Stable);
        for id in self.members.ids() {
            let assignment = assignments.get(&*id).cloned().unwrap_or_else(|| Arc::from([]));
            self.members.set_assignment(&id, assignment.clone());
            if let Some(ticket) = self.members.set_sync(&id, None) {
                out.push(Effect::Answer(ticket, Answer::Synced(self.synced_with(assignment))));
                self.touch(now, &id);
            }
        }
    }

    fn returned(
        &mut self,
        now: Now,
        returned: Returned,
        result: Result<(), ErrorCode>,
        out: &mut Effects<Effect>,
    ) {
        let waits = self.members.get(&returned.id).and_then(Member::join) == Some(returned.ticket);
        if !waits || self.state != GroupState::Stable || self.generation != returned.generation {
            // It was replaced, or a rebalance began that answers it.
            return;
        }
        self.members.set_join(&returned.id, None);
        let Err(code) = result else {
            self.touch(now, &returned.id);
            let told = self.welcome_back(&returned);
            out.push(Effect::Answer(returned.ticket, Answer::Joined(told)));
            return;
        };
        // The log knows only the old id, and so must the group.
        let old = returned.before.id.clone();
        self.swap(&returned.id, returned.before, out);
        self.touch(now, &old);
        self.read_subscriptions();
        let Answer::Joined(refused) = not_joined(code, "") else { return };
        let told = Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: returned.leader_before,
            ..refused
        };
        out.push(Effect::Answer(returned.ticket, Answer::Joined(told)));
    }
}
