//! The join phase: how it begins, how it ends, which members fall out on the way.
//!
//! Partitions can be shared out only among members that are known to be there. So each rebalance asks all members to join
//! again, waits until they did or time is up, and goes on with those that came.
//!
//! ```text
//!   prepare ──> all joined? ──────────────────────────> complete ──> generation + 1, leader, assignor, answers
//!      │                                                   ^
//!      └─ else: rebalance timeout (the largest) ───────────┘         dynamic members that did not come are removed
//!         first in an empty group: group.initial.rebalance.delay.ms, again while newcomers come
//! ```

use super::answers::{not_joined, not_synced};
use super::members::Member;
use super::messages::{Answer, Effect, GroupState};
use super::state::{GroupMachine, JoinTimer};
use super::write::{Then, Write};
use crate::mutant::{Mutant, planted};
use crate::time::{Millis, Now};
use crate::{Effects, ErrorCode};
use std::sync::Arc;

impl GroupMachine {
    /// Follows a member that came, changed or went. Like the functions below it returns the write that it led to.
    pub(super) fn rebalance_or_complete(&mut self, now: Now, out: &mut Effects<Effect>) -> Option<u64> {
        match self.state {
            GroupState::PreparingRebalance => self.maybe_complete(now, out),
            _ => self.prepare(now, out),
        }
    }

    /// Asks all members to join again.
    pub(super) fn prepare(&mut self, now: Now, out: &mut Effects<Effect>) -> Option<u64> {
        if self.state == GroupState::CompletingRebalance {
            self.cancel_assignment(now, ErrorCode::RebalanceInProgress, out);
        }
        self.assigning = None;
        self.unsynced.clear();
        self.sync_timer = None;
        self.initial = self.state == GroupState::Empty;
        self.newcomer = false;
        self.enter(now, GroupState::PreparingRebalance);
        let timeout_ms = self.members.rebalance_timeout_ms();
        if self.initial {
            let delay_ms = self.config.initial_rebalance_delay_ms;
            let remaining_ms = timeout_ms.saturating_sub(delay_ms);
            self.join_timer = Some((now.mono.plus(delay_ms), JoinTimer::Initial { delay_ms, remaining_ms }));
            return None;
        }
        self.wait_for_members(now);
        if self.members.all_joined() { self.complete(now, out) } else { None }
    }

    fn wait_for_members(&mut self, now: Now) {
        // At least a moment, because a timer that is due at once would be due for ever.
        let timeout_ms = self.members.rebalance_timeout_ms().max(1);
        self.join_timer = Some((now.mono.plus(timeout_ms), JoinTimer::Rebalance));
    }

    /// Ends the join phase if all members have joined. The initial one ends only when its time is up.
    pub(super) fn maybe_complete(&mut self, now: Now, out: &mut Effects<Effect>) -> Option<u64> {
        let ends = self.state == GroupState::PreparingRebalance && !self.initial && self.members.all_joined();
        if ends { self.complete(now, out) } else { None }
    }

    fn complete(&mut self, now: Now, out: &mut Effects<Effect>) -> Option<u64> {
        for id in self.members.ids() {
            let missing =
                self.members.get(&id).is_some_and(|m| m.join().is_none() && m.instance_id.is_none());
            if missing {
                self.remove(&id, out);
            }
        }
        if !self.members.is_empty() && !self.elect() {
            // Only static members are left and none of them came, so their sessions will end.
            self.wait_for_members(now);
            return None;
        }
        self.join_timer = None;
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.protocol_name = self.members.choose();
        self.read_subscriptions();
        if self.members.is_empty() {
            self.enter(now, GroupState::Empty);
            let record = self.group_record(None);
            return Some(self.store(vec![record], Write::of_group(Then::Nothing), out));
        }
        self.enter(now, GroupState::CompletingRebalance);
        for id in self.members.ids() {
            if let Some(ticket) = self.members.set_join(&id, None) {
                out.push(Effect::Answer(ticket, Answer::Joined(self.joined(&id))));
            }
            self.touch(now, &id);
            self.members.set_known(&id);
            self.unsynced.insert(id);
        }
        self.sync_timer = Some(now.mono.plus(self.members.rebalance_timeout_ms()));
        None
    }

    /// Keeps the leader if it came, else takes the first member that did; false if none came.
    fn elect(&mut self) -> bool {
        let came = |id: &Arc<str>| self.members.get(id).is_some_and(|member| member.join().is_some());
        if self.leader.as_ref().is_some_and(came) {
            return true;
        }
        let first =
            self.members.iter().find(|member| member.join().is_some()).map(|member| member.id.clone());
        let found = first.is_some();
        self.leader = first.or(self.leader.take());
        found
    }

    /// Takes all assignments away and refuses the members that wait for theirs.
    pub(super) fn cancel_assignment(&mut self, now: Now, error: ErrorCode, out: &mut Effects<Effect>) {
        for id in self.members.ids() {
            self.members.set_assignment(&id, Arc::from([]));
            if let Some(ticket) = self.members.set_sync(&id, None) {
                out.push(Effect::Answer(ticket, not_synced(error)));
                self.touch(now, &id);
            }
        }
    }

    /// Takes a member out. The answer to its waiting request tells it to come back as a new one.
    pub(super) fn remove(&mut self, id: &str, out: &mut Effects<Effect>) {
        self.members.remove_pending(id);
        let Some(mut member) = self.members.remove(id) else { return };
        let (join, sync) = member.take_waiting();
        if let Some(ticket) = join {
            out.push(Effect::Answer(ticket, not_joined(ErrorCode::UnknownMemberId, "")));
        }
        if let Some(ticket) = sync {
            out.push(Effect::Answer(ticket, not_synced(ErrorCode::UnknownMemberId)));
        }
        if self.is_leader(id) {
            self.leader = self.members.iter().next().map(|member| member.id.clone());
        }
        self.synced(id);
    }

    /// Waits for this member's SyncGroup no longer.
    pub(super) fn synced(&mut self, id: &str) {
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.sync_timer = None;
        }
    }

    /// A session ended: its member is gone, unless it waits for an answer.
    pub(super) fn session_over(&mut self, now: Now, id: &Arc<str>, out: &mut Effects<Effect>) {
        if self.members.get(id).is_some_and(Member::waits) {
            self.members.believe(id, None);
            return;
        }
        if planted(Mutant::ExpiredMemberStays) && self.members.contains(id) {
            self.members.believe(id, Some(Millis(u64::MAX)));
            return;
        }
        let pending = self.members.is_pending(id);
        self.remove(id, out);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance if !pending => {
                self.prepare(now, out);
            }
            GroupState::PreparingRebalance if self.members.all_joined() => {
                self.complete(now, out);
            }
            _ => {}
        }
    }

    /// The time to join is up. An initial phase goes on while new members come.
    pub(super) fn join_time_out(&mut self, now: Now, timer: JoinTimer, out: &mut Effects<Effect>) {
        match timer {
            JoinTimer::Initial { delay_ms, remaining_ms } if self.newcomer && remaining_ms > 0 => {
                self.newcomer = false;
                let next_ms = self.config.initial_rebalance_delay_ms.min(remaining_ms);
                let timer = JoinTimer::Initial {
                    delay_ms: next_ms,
                    remaining_ms: remaining_ms.saturating_sub(delay_ms),
                };
                self.join_timer = Some((now.mono.plus(next_ms), timer));
            }
            _ => {
                self.complete(now, out);
            }
        }
    }

    /// The time to sync is up: members that have not sent SyncGroup are gone.
    pub(super) fn sync_time_out(&mut self, now: Now, out: &mut Effects<Effect>) {
        for id in std::mem::take(&mut self.unsynced) {
            self.remove(&id, out);
        }
        self.sync_timer = None;
        self.prepare(now, out);
    }
}
