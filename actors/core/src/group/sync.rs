//! SyncGroup, Heartbeat, LeaveGroup.
//!
//! After a join phase the leader sends the assignment and the others wait for their share. No share is told before the
//! assignment is in the log, because the next coordinator must know the same one.
//!
//! ```text
//!   followers' SyncGroup ──> wait ─────────────────────────────────────┐
//!   leader's SyncGroup   ──> Store(group, all members, assignments) ───┴──> Stored: Stable, all are answered
//! ```

use super::answers::not_synced;
use super::messages::{Answer, Effect, GroupState, MemberRef, Sync};
use super::state::GroupMachine;
use super::write::{Then, Write};
use crate::ids::Ticket;
use crate::mutant::{Mutant, planted};
use crate::time::Now;
use crate::{Effects, ErrorCode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether both are there and differ.
fn contradicts(given: Option<&str>, known: Option<&str>) -> bool {
    given.zip(known).is_some_and(|(given, known)| given != known)
}

impl GroupMachine {
    pub(super) fn sync(&mut self, now: Now, ticket: Ticket, sync: Sync, out: &mut Effects<Effect>) {
        if let Err(code) = self.may_sync(&sync) {
            out.push(Effect::Answer(ticket, not_synced(code)));
            return;
        }
        let id = sync.member_id.as_str();
        self.synced(id);
        if self.state == GroupState::CompletingRebalance {
            self.wait_sync(id, ticket, out);
            // The leader's first assignment counts, and it is on its way to the log.
            if self.is_leader(id) && self.assigning.is_none() {
                self.assign(now, sync.assignments, out);
            }
        } else {
            let assignment = self.members.get(id).map_or_else(|| Arc::from([]), |m| m.assignment.clone());
            self.touch(now, id);
            out.push(Effect::Answer(ticket, Answer::Synced(self.synced_with(assignment))));
        }
    }

    fn may_sync(&self, sync: &Sync) -> Result<(), ErrorCode> {
        self.validate(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if contradicts(sync.protocol_type.as_deref(), self.protocol_type.as_deref())
            || contradicts(sync.protocol_name.as_deref(), self.protocol_name.as_deref())
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
            GroupState::Empty | GroupState::Dead => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// Writes the leader's assignment; members are told once it is stored.
    fn assign(&mut self, now: Now, assignments: Vec<(String, Arc<[u8]>)>, out: &mut Effects<Effect>) {
        let mut assignments: BTreeMap<String, Arc<[u8]>> = assignments.into_iter().collect();
        assignments.retain(|id, _| self.members.contains(id));
        let record = self.group_record(Some(&assignments));
        let told_early = planted(Mutant::AssignmentBeforeStored).then(|| assignments.clone());
        let number = self.store(vec![record], Write::of_group(Then::Assigned(assignments)), out);
        self.assigning = Some(number);
        if let Some(assignments) = told_early {
            self.assigned(now, number, assignments, Ok(()), out);
        }
    }

    /// Begins a member's session anew, and tells it of a rebalance.
    pub(super) fn heartbeat(&mut self, now: Now, who: &MemberRef) -> Result<(), ErrorCode> {
        self.validate(&who.member_id, who.instance_id.as_deref())?;
        if who.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.touch(now, &who.member_id);
        match self.state {
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    pub(super) fn leave(
        &mut self,
        now: Now,
        ticket: Ticket,
        who: Vec<(String, Option<String>)>,
        out: &mut Effects<Effect>,
    ) {
        let mut each = Vec::new();
        let mut left = false;
        for (member_id, instance_id) in who {
            let code = match self.leaving(&member_id, instance_id.as_deref()) {
                Ok(id) => {
                    self.remove(&id, out);
                    left = true;
                    ErrorCode::None
                }
                Err(code) => code,
            };
            each.push((member_id, instance_id, code));
        }
        let write = match self.state {
            GroupState::Stable | GroupState::CompletingRebalance if left => self.prepare(now, out),
            GroupState::PreparingRebalance if left => self.maybe_complete(now, out),
            _ => None,
        };
        match write.and_then(|number| self.writes.get_mut(&number)) {
            Some(write) => write.then = Then::Left(ticket, each),
            None => out.push(Effect::Answer(ticket, Answer::Left(ErrorCode::None, each))),
        }
    }

    /// The member that is meant. An operator may name a static one by its instance id alone.
    fn leaving(&self, member_id: &str, instance_id: Option<&str>) -> Result<Arc<str>, ErrorCode> {
        if member_id.is_empty() {
            let owner = instance_id.and_then(|instance| self.members.by_instance(instance));
            return owner.cloned().ok_or(ErrorCode::UnknownMemberId);
        }
        if !self.members.is_pending(member_id) {
            self.validate(member_id, instance_id)?;
        }
        Ok(Arc::from(member_id))
    }
}
