//! How a group takes its state from the log, before it serves.
//!
//! The log has every change of the group; the last record of each key is the state. A stable group comes back stable, and
//! its sessions begin anew, so a coordinator that moves costs no rebalance.
//!
//! ```text
//!   Offset, Offset, Group(generation 3), Offset, Group(none), …  ──> the last of each key counts
//! ```
//!
//! A record that contradicts itself (an id twice, a leader that is no member) is taken as far as it makes sense. Records
//! are read in `record.rs`.

use super::members::Member;
use super::messages::{GroupState, Join};
use super::record::{GroupRecord, GroupValue, MemberValue};
use super::state::GroupMachine;
use std::sync::Arc;

impl GroupMachine {
    /// Takes one record, in log order, before `Input::Loaded`. Records of other groups are passed over.
    pub fn replay(&mut self, record: GroupRecord) {
        if record.group() != self.group {
            return;
        }
        match record {
            GroupRecord::Offset { topic, partition, value, .. } => {
                self.offsets.replay(&topic, partition, value)
            }
            GroupRecord::Group { value, .. } => {
                self.replay_group(value.as_ref());
                self.record.replay(value);
            }
        }
    }

    fn replay_group(&mut self, value: Option<&GroupValue>) {
        for id in self.members.ids() {
            self.members.remove(&id);
        }
        self.forget();
        self.leader = None;
        self.state = GroupState::Empty;
        self.replayed = true;
        let Some(value) = value else { return };
        self.generation = value.generation;
        self.since = value.state_timestamp;
        self.protocol_type = Some(value.protocol_type.clone()).filter(|name| !name.is_empty());
        let protocol = value.protocol_name.clone().unwrap_or_default();
        for member in &value.members {
            let instance = member.instance_id.as_deref();
            let twice = self.members.contains(&member.member_id)
                || instance.is_some_and(|name| self.members.by_instance(name).is_some());
            if !twice && !member.member_id.is_empty() {
                self.replay_member(&protocol, member);
            }
        }
        if !self.members.is_empty() {
            self.state = GroupState::Stable;
            self.protocol_name = Some(protocol);
            let leader = value.leader.as_deref().and_then(|id| self.members.get(id));
            self.leader = leader.or_else(|| self.members.iter().next()).map(|member| member.id.clone());
        }
        self.read_subscriptions();
    }

    fn replay_member(&mut self, protocol: &str, value: &MemberValue) {
        let session_timeout_ms = value.session_timeout_ms;
        let rebalance = value.rebalance_timeout_ms;
        let join = Join {
            client_id: value.client_id.clone(),
            client_host: value.client_host.clone(),
            instance_id: value.instance_id.clone(),
            session_timeout_ms,
            rebalance_timeout_ms: if rebalance < 0 { session_timeout_ms } else { rebalance },
            protocols: vec![(protocol.to_owned(), value.subscription.clone())],
            ..Join::default()
        };
        let mut member = Member::new(Arc::from(&*value.member_id), join);
        member.assignment = value.assignment.clone();
        self.members.insert(member);
    }
}
