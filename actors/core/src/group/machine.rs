//! The machine of one consumer group.
//!
//! Members of a group share the partitions of topics. Whenever a member comes or goes they all join again, one of them
//! assigns the partitions, and each gets its share once the assignment is in the log.
//!
//! ```text
//!            join                all joined │ time out          leader's assignment stored
//!   Empty ─────────> Preparing ─────────────────────> Completing ───────────────────────> Stable
//!     ^                │  ^  no member left      join │ leave │ session │ no sync │ not stored  │ join │ leave │ session
//!     └────────────────┘  └───────────────────────────┴───────────────────────────────────────┘
//! ```
//!
//! The state itself is in `state.rs`. `join.rs` and `rebalance.rs` walk through the states above; `sync.rs` has the requests
//! of members in between. `commits.rs` and `expiry.rs` have the offsets, `stored.rs` what follows a stored write,
//! `answers.rs` the answers. Sessions end at `Tick`. The machine does not know which group ids are allowed, nor that
//! requests have versions.

use super::messages::{Answer, Effect, GroupState, Input};
use super::state::{GroupMachine, JoinTimer};
use crate::time::{Millis, Now};
use crate::{Effects, ErrorCode, Machine};
use std::sync::Arc;

impl GroupMachine {
    fn loaded(&mut self, now: Now, out: &mut Effects<Effect>) {
        for id in self.members.ids() {
            self.touch(now, &id);
        }
        if self.members.len() > self.config.max_size {
            // The bound was lowered: the members that join again first stay.
            self.prepare(now, out);
        }
    }

    /// The earliest of all deadlines, and what is due then.
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

    /// Shows the group to lists and metrics, and keeps expiry due while there is something to expire.
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
}

/// The kinds of deadlines that a group has.
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
            // The first input of any kind begins the sessions.
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
