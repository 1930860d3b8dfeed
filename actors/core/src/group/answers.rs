//! How a group answers: members that wait, operators who ask, and the lists of all groups.
//!
//! The answers to JoinGroup and SyncGroup are made in one place, because several files end the same waits. A member waits
//! with one ticket at a time, so a request that is sent twice ends the wait of the earlier one. When a wait ends is
//! decided in `rebalance.rs` and `stored.rs`.

use super::members::Member;
use super::messages::{Answer, Described, DescribedMember, Effect, GroupState, Joined, Summary, Synced};
use super::state::GroupMachine;
use crate::ids::Ticket;
use crate::{Effects, ErrorCode};
use std::sync::Arc;

/// The answer to a JoinGroup that is refused.
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

/// The answer to a SyncGroup that is refused.
pub(super) fn not_synced(error: ErrorCode) -> Answer {
    Answer::Synced(Synced { error, protocol_type: None, protocol_name: None, assignment: Arc::from([]) })
}

impl GroupMachine {
    /// The answer to an accepted JoinGroup. Only the leader is told the members, because it assigns.
    pub(super) fn joined(&self, member_id: &str) -> Joined {
        let protocol = self.protocol_name.as_deref();
        let told = |m: &Member| (m.id.to_string(), m.instance_id.clone(), m.metadata(protocol));
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

    /// Lets a member's JoinGroup wait. If one waited already, the client sent it twice, and the earlier one is refused.
    pub(super) fn wait_join(&mut self, member_id: &str, ticket: Ticket, out: &mut Effects<Effect>) {
        if let Some(before) = self.members.set_join(member_id, Some(ticket)) {
            out.push(Effect::Answer(before, not_joined(ErrorCode::RebalanceInProgress, member_id)));
        }
    }

    /// Lets a member's SyncGroup wait. If one waited already, the client sent it twice, and the earlier one is refused.
    pub(super) fn wait_sync(&mut self, id: &str, ticket: Ticket, out: &mut Effects<Effect>) {
        if let Some(before) = self.members.set_sync(id, Some(ticket)) {
            out.push(Effect::Answer(before, not_synced(ErrorCode::RebalanceInProgress)));
        }
    }

    pub(super) fn synced_with(&self, assignment: Arc<[u8]>) -> Synced {
        let (protocol_type, protocol_name) = (self.protocol_type.clone(), self.protocol_name.clone());
        Synced { error: ErrorCode::None, protocol_type, protocol_name, assignment }
    }

    pub(super) fn describe(&self) -> Described {
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

    pub(super) fn show(&mut self, out: &mut Effects<Effect>) {
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
            // A group that was never shown need not be shown as dead.
            None => state == GroupState::Dead,
        };
        if !same {
            let summary = Summary { state, protocol_type: protocol_type.to_owned(), members, offsets };
            self.shown = (state != GroupState::Dead).then(|| summary.clone());
            out.push(Effect::Show(summary));
        }
    }
}
