//! JoinGroup: which members may come in, under which id.
//!
//! A client that is lost comes back as another member, so ids decide what a group remembers of it. A dynamic member gets
//! a fresh id; a static one (with an instance id) takes the place of its former self. Most joins begin a rebalance.
//!
//! ```text
//!   no id, dynamic ──> 79 and an id to come back with (KIP-394) ──> added ─┐
//!   no id, static  ──> added, or takes the place of its instance (KIP-345) ┼─> rebalance, or the end of one
//!   an id          ──> joins again: changed, or the leader ────────────────┘
//!                      otherwise its generation at once
//! ```

use super::answers::{not_joined, not_synced};
use super::members::Member;
use super::messages::{Answer, Effect, GroupState, Join, Joined};
use super::state::GroupMachine;
use super::write::{Returned, Then, Write};
use crate::ids::Ticket;
use crate::time::Now;
use crate::{Effects, ErrorCode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A new member cannot send heartbeats while its JoinGroup waits, so its session lasts this long.
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 300_000;

fn refuse(ticket: Ticket, error: ErrorCode, member_id: &str, out: &mut Effects<Effect>) {
    out.push(Effect::Answer(ticket, not_joined(error, member_id)));
}

impl GroupMachine {
    pub(super) fn join(&mut self, now: Now, ticket: Ticket, mut join: Join, out: &mut Effects<Effect>) {
        let id = join.member_id.clone();
        let bounds = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        if !bounds.contains(&join.session_timeout_ms) {
            return refuse(ticket, ErrorCode::InvalidSessionTimeout, &id, out);
        }
        if !id.is_empty() && !self.lives() {
            return refuse(ticket, ErrorCode::UnknownMemberId, &id, out);
        }
        // A name that comes twice would count twice.
        let mut names = BTreeSet::new();
        join.protocols.retain(|(name, _)| names.insert(name.clone()));
        if !self.has_room_for(&id, join.instance_id.as_deref()) {
            refuse(ticket, ErrorCode::GroupMaxSizeReached, "", out);
            self.remove(&id, out);
            if self.state == GroupState::PreparingRebalance {
                // Members that wait need not wait for this one.
                self.maybe_complete(now, out);
            }
            return;
        }
        if !self.supports(&join) {
            return refuse(ticket, ErrorCode::InconsistentGroupProtocol, &id, out);
        }
        if id.is_empty() {
            self.join_new(now, ticket, join, out)
        } else {
            self.join_known(now, ticket, join, out)
        }
    }

    /// Whether `group.max.size` lets this member in. A member that comes back for its instance takes no new place.
    fn has_room_for(&self, id: &str, instance: Option<&str>) -> bool {
        let replaced = instance.filter(|_| id.is_empty()).and_then(|name| self.members.by_instance(name));
        let member = self.members.get(replaced.map_or(id, |old| old));
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            // In a group that was made smaller, the members that join again first stay.
            GroupState::PreparingRebalance => {
                member.is_some_and(|m| m.join().is_some()) || self.members.joining() < self.config.max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                member.is_some() || self.members.len() < self.config.max_size
            }
        }
    }

    fn supports(&self, join: &Join) -> bool {
        if self.state == GroupState::Empty {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(&*join.protocol_type)
            && self.members.know_one_of(&join.protocols)
    }

    fn join_new(&mut self, now: Now, ticket: Ticket, join: Join, out: &mut Effects<Effect>) {
        let id: Arc<str> = Arc::from(&*join.fresh_member_id);
        if id.is_empty() || self.members.contains(&id) || self.members.is_pending(&id) {
            // An id that is taken is not fresh: the client tries again and gets another.
            return refuse(ticket, ErrorCode::UnknownMemberId, "", out);
        }
        let replaced = join.instance_id.as_deref().and_then(|name| self.members.by_instance(name)).cloned();
        if let Some(old) = replaced {
            return self.replace_static(now, ticket, &old, id, join, out);
        }
        if join.instance_id.is_none() && join.id_required {
            let session = u64::try_from(join.session_timeout_ms).unwrap_or(0);
            self.members.add_pending(id.clone(), now.mono.plus(session));
            return refuse(ticket, ErrorCode::MemberIdRequired, &id, out);
        }
        self.add_member(now, ticket, id, join, out);
    }

    fn join_known(&mut self, now: Now, ticket: Ticket, join: Join, out: &mut Effects<Effect>) {
        let id = join.member_id.clone();
        if self.members.is_pending(&id) {
            if join.instance_id.is_some() {
                return refuse(ticket, ErrorCode::UnknownMemberId, &id, out);
            }
            return self.add_member(now, ticket, Arc::from(id), join, out);
        }
        if let Err(code) = self.validate(&id, join.instance_id.as_deref()) {
            return refuse(ticket, code, &id, out);
        }
        let same = self.members.get(&id).is_some_and(|member| member.protocols == join.protocols);
        let leader = self.is_leader(&id);
        // The answer to an earlier JoinGroup may be lost; the leader of a stable group wants a new assignment.
        let current = match self.state {
            GroupState::CompletingRebalance => same,
            GroupState::Stable => same && !leader,
            _ => false,
        };
        if current {
            out.push(Effect::Answer(ticket, Answer::Joined(self.joined(&id))));
        } else {
            self.members.update(&id, join);
            self.wait_join(&id, ticket, out);
            self.rebalance_or_complete(now, out);
        }
    }

    fn add_member(&mut self, now: Now, ticket: Ticket, id: Arc<str>, join: Join, out: &mut Effects<Effect>) {
        if self.state == GroupState::PreparingRebalance && self.initial {
            self.newcomer = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        let mut member = Member::new(id.clone(), join);
        member.is_new = true;
        self.members.insert(member);
        self.wait_join(&id, ticket, out);
        self.members.believe(&id, Some(now.mono.plus(NEW_MEMBER_JOIN_TIMEOUT_MS)));
        self.rebalance_or_complete(now, out);
    }

    /// Lets a static member that came back without its id go on in its former place, under a new id.
    fn replace_static(
        &mut self,
        now: Now,
        ticket: Ticket,
        old: &str,
        id: Arc<str>,
        join: Join,
        out: &mut Effects<Effect>,
    ) {
        let leader_before = self.leader.as_deref().unwrap_or_default().to_owned();
        let can_skip = join.can_skip_assignment;
        let Some(before) = self.swap(old, Member::new(id.clone(), join), out) else { return };
        self.touch(now, &id);
        self.wait_join(&id, ticket, out);
        match self.state {
            GroupState::Stable if self.members.choose() == self.protocol_name => {
                self.read_subscriptions();
                let then = Then::Returned(Box::new(Returned {
                    ticket,
                    id,
                    before,
                    generation: self.generation,
                    leader_before,
                    can_skip,
                }));
                let record = self.group_record(None);
                self.store(vec![record], Write::of_group(then), out);
            }
            GroupState::PreparingRebalance => self.maybe_complete(now, out).map_or((), drop),
            // The leader may be assigning to the old id right now.
            _ => self.prepare(now, out).map_or((), drop),
        }
    }

    /// Puts a static member in another's place and returns that other one. Its waiting requests are fenced.
    pub(super) fn swap(&mut self, old: &str, mut new: Member, out: &mut Effects<Effect>) -> Option<Member> {
        let mut before = self.members.remove(old)?;
        let (join, sync) = before.take_waiting();
        if let Some(ticket) = join {
            refuse(ticket, ErrorCode::FencedInstanceId, old, out);
        }
        if let Some(ticket) = sync {
            out.push(Effect::Answer(ticket, not_synced(ErrorCode::FencedInstanceId)));
        }
        let id = new.id.clone();
        new.assignment = before.assignment.clone();
        self.members.insert(new);
        if self.is_leader(old) {
            self.leader = Some(id.clone());
        }
        if self.unsynced.remove(old) {
            self.unsynced.insert(id);
        }
        Some(before)
    }

    /// The answer to a static member that came back, once its new id is stored.
    pub(super) fn welcome_back(&self, returned: &Returned) -> Joined {
        let told = self.joined(&returned.id);
        if returned.can_skip {
            let skip_assignment = self.is_leader(&returned.id);
            return Joined { skip_assignment, ..told };
        }
        // It must not take itself for the leader: it would assign anew, without a rebalance.
        Joined { leader: returned.leader_before.clone(), members: Vec::new(), ..told }
    }
}
