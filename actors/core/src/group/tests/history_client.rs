//! The consumers of the histories: what one sends next, and what it makes of an answer. They follow the eager protocol.

use super::harness::subscription;
use crate::ErrorCode;
use crate::group::messages::{Answer, CommitPartition, Join, Joined, MemberRef, Sync};
use crate::time::Millis;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const PARTITIONS: u8 = 5;
pub(super) const SESSION_MS: i32 = 10_000;
pub(super) const REBALANCE_MS: i32 = 20_000;

#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A client does what it would do next.
    Act(usize),
    Commit(usize),
    Leave(usize),
    /// It is killed: nothing is heard of it any more.
    Vanish(usize),
    /// It starts again, with nothing but its instance id.
    Return(usize),
    Deliver(usize),
    Repeat(usize),
    LoseRequest(usize),
    /// It waited long enough; what it asked may still arrive.
    GiveUp(usize),
    Answer(usize),
    LoseAnswer(usize),
    Store(usize),
    Refuse(usize),
    Pass(u64),
    DeleteOffsets,
    DeleteTopic,
    DeleteGroup,
    Rewrite,
    /// The coordinator starts again: so many of the writes in flight made it.
    Restart(usize),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let n = 0..5usize;
    prop_oneof![
        20 => n.clone().prop_map(Op::Act),
        6 => n.clone().prop_map(Op::Commit),
        1 => n.clone().prop_map(Op::Leave),
        1 => n.clone().prop_map(Op::Vanish),
        2 => n.clone().prop_map(Op::Return),
        24 => n.clone().prop_map(Op::Deliver),
        2 => n.clone().prop_map(Op::Repeat),
        1 => n.clone().prop_map(Op::LoseRequest),
        3 => n.clone().prop_map(Op::GiveUp),
        20 => n.clone().prop_map(Op::Answer),
        1 => n.clone().prop_map(Op::LoseAnswer),
        14 => prop_oneof![4 => Just(0usize), 1 => n.clone()].prop_map(Op::Store),
        2 => n.clone().prop_map(Op::Refuse),
        8 => prop_oneof![Just(10), Just(1_000), Just(3_000), Just(11_000), Just(60_000)].prop_map(Op::Pass),
        1 => Just(Op::DeleteOffsets),
        1 => Just(Op::DeleteTopic),
        1 => Just(Op::DeleteGroup),
        2 => Just(Op::Rewrite),
        1 => n.prop_map(Op::Restart),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Out,
    Joined,
    Stable,
    /// Fenced, left or killed.
    Over,
}

#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) name: usize,
    pub(super) instance: Option<String>,
    pub(super) id: String,
    pub(super) generation: i32,
    pub(super) phase: Phase,
    /// The request it waits for, and since when.
    pub(super) waits: Option<(u64, Millis)>,
    pub(super) leads: Option<Vec<String>>,
    pub(super) skip: bool,
    pub(super) owned: Vec<u8>,
}

impl Client {
    pub(super) fn new(name: usize) -> Client {
        let instance = (name >= 3).then(|| format!("i{name}"));
        Client {
            name,
            instance,
            id: String::new(),
            generation: -1,
            phase: Phase::Out,
            waits: None,
            leads: None,
            skip: false,
            owned: Vec::new(),
        }
    }

    pub(super) fn who(&self) -> MemberRef {
        MemberRef {
            member_id: self.id.clone(),
            instance_id: self.instance.clone(),
            generation: self.generation,
        }
    }

    /// What it would send next.
    pub(super) fn next(&mut self) -> Request {
        match self.phase {
            Phase::Joined => {
                let mut assignments: BTreeMap<String, Vec<u8>> = BTreeMap::new();
                let leads = self.leads.clone().filter(|members| !self.skip && !members.is_empty());
                for partition in 0..PARTITIONS {
                    if let Some(members) = &leads {
                        let owner = members[usize::from(partition) % members.len()].clone();
                        assignments.entry(owner).or_default().push(partition);
                    }
                }
                Request::Sync(Sync {
                    member_id: self.id.clone(),
                    instance_id: self.instance.clone(),
                    generation: self.generation,
                    protocol_type: Some("consumer".into()),
                    protocol_name: Some("range".into()),
                    assignments: assignments.into_iter().map(|(id, own)| (id, Arc::from(own))).collect(),
                })
            }
            Phase::Stable => Request::Heartbeat(self.who()),
            Phase::Out | Phase::Over => {
                // Eager: what it has is given up before it joins.
                self.owned.clear();
                Request::Join(Join {
                    client_id: format!("c{}", self.name),
                    client_host: "/127.0.0.1".into(),
                    member_id: self.id.clone(),
                    instance_id: self.instance.clone(),
                    session_timeout_ms: SESSION_MS,
                    rebalance_timeout_ms: REBALANCE_MS,
                    protocol_type: "consumer".into(),
                    protocols: vec![("range".into(), subscription(&["t"])), ("other".into(), Arc::from([1]))],
                    id_required: self.name != 0,
                    can_skip_assignment: self.name == 4,
                    ..Join::default()
                })
            }
        }
    }

    pub(super) fn refused(&mut self, code: ErrorCode) {
        match code {
            ErrorCode::FencedInstanceId => self.phase = Phase::Over,
            ErrorCode::UnknownMemberId | ErrorCode::GroupMaxSizeReached => {
                self.id.clear();
                self.phase = Phase::Out;
            }
            _ => self.phase = Phase::Out,
        }
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Joined(Joined { error: ErrorCode::MemberIdRequired, member_id, .. }) => {
                self.id = member_id
            }
            Answer::Joined(joined) if joined.error == ErrorCode::None => {
                self.leads = (joined.leader == joined.member_id)
                    .then(|| joined.members.iter().map(|(id, _, _)| id.clone()).collect());
                self.skip = joined.skip_assignment;
                self.id = joined.member_id;
                self.generation = joined.generation;
                self.phase = Phase::Joined;
            }
            Answer::Joined(joined) => self.refused(joined.error),
            Answer::Synced(synced) if synced.error == ErrorCode::None => {
                self.owned = synced.assignment.to_vec();
                self.phase = Phase::Stable;
            }
            Answer::Synced(synced) => self.refused(synced.error),
            Answer::Done(ErrorCode::None) => {}
            Answer::Done(code) => self.refused(code),
            Answer::Committed(each) => {
                let code = each[0].2;
                if code != ErrorCode::None && code != ErrorCode::RebalanceInProgress {
                    self.refused(code);
                }
            }
            other => panic!("nobody asked for {other:?}"),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Request {
    Join(Join),
    Sync(Sync),
    Heartbeat(MemberRef),
    Commit(MemberRef, Vec<CommitPartition>),
    Leave(String, Option<String>),
}

impl Request {
    /// Member id, instance id and generation, where it says them.
    pub(super) fn who(&self) -> (String, Option<String>, Option<i32>) {
        match self {
            Request::Join(join) => (join.member_id.clone(), join.instance_id.clone(), None),
            Request::Sync(sync) => (sync.member_id.clone(), sync.instance_id.clone(), Some(sync.generation)),
            Request::Heartbeat(who) | Request::Commit(who, _) => {
                (who.member_id.clone(), who.instance_id.clone(), Some(who.generation))
            }
            Request::Leave(id, instance) => (id.clone(), instance.clone(), None),
        }
    }
}

/// Who is told what once a ticket is answered.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) request: Request,
    pub(super) client: Option<(usize, u64)>,
    /// Who asked was fenced, or of an old generation, before the machine was told.
    pub(super) must_fail: bool,
}
