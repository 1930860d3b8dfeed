//! For tests: a group with a clock in hand, its answers collected, its writes stored when the test says so.

use crate::group::GroupMachine;
use crate::group::messages::{
    Answer, CommitPartition, Described, Effect, GroupConfig, GroupState, Input, Join, Joined, MemberRef,
    Summary, Sync, Synced,
};
use crate::group::record::{GroupRecord, OffsetValue};
use crate::ids::Ticket;
use crate::time::{Millis, Now, UnixMillis};
use crate::{ErrorCode, Machine, Reject};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub const START: i64 = 1_700_000_000_000;

pub struct Harness {
    pub machine: GroupMachine,
    pub now: Now,
    pub answers: BTreeMap<Ticket, Answer>,
    pub writes: VecDeque<(u64, Vec<GroupRecord>)>,
    pub log: Vec<GroupRecord>,
    pub shown: Vec<Summary>,
    pub gone: usize,
    /// Store at once.
    pub storing: bool,
    last: u64,
}

pub fn config() -> GroupConfig {
    GroupConfig { initial_rebalance_delay_ms: 3_000, ..GroupConfig::default() }
}

impl Harness {
    pub fn new() -> Harness {
        Harness::with(config())
    }

    pub fn with(config: GroupConfig) -> Harness {
        Harness {
            machine: GroupMachine::new("g".into(), config),
            now: Now { mono: Millis(1_000), wall: UnixMillis(START) },
            answers: BTreeMap::new(),
            writes: VecDeque::new(),
            log: Vec::new(),
            shown: Vec::new(),
            gone: 0,
            storing: true,
            last: 0,
        }
    }

    pub fn ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }

    pub fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.machine.step(self.now, input, &mut out);
        self.machine.check();
        for effect in out {
            match effect {
                Effect::Answer(ticket, answer) => {
                    assert!(self.answers.insert(ticket, answer).is_none(), "{ticket:?} is answered twice");
                }
                Effect::Store(number, records) => self.writes.push_back((number, records)),
                Effect::Show(summary) => self.shown.push(summary),
                Effect::Gone => {
                    assert!(self.machine.is_gone());
                    self.gone += 1;
                }
            }
        }
        if self.storing {
            self.store();
        }
    }

    /// All that is on its way is stored.
    pub fn store(&mut self) {
        while let Some((number, records)) = self.writes.pop_front() {
            self.log.extend(records);
            self.step(Input::Stored(number, Ok(())));
        }
    }

    /// The first write on its way is stored.
    pub fn store_one(&mut self) {
        let (number, records) = self.writes.pop_front().expect("a write");
        self.log.extend(records);
        self.step(Input::Stored(number, Ok(())));
    }

    /// The first write on its way fails.
    pub fn fail(&mut self, refused: Reject) {
        let (number, _) = self.writes.pop_front().expect("a write");
        self.step(Input::Stored(number, Err(refused)));
    }

    /// Time passes, deadline by deadline.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.mono.plus(ms);
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= until) {
            let at = at.max(self.now.mono);
            self.now.wall.0 += (at.0 - self.now.mono.0) as i64;
            self.now.mono = at;
            self.step(Input::Tick);
        }
        self.now.wall.0 += (until.0 - self.now.mono.0) as i64;
        self.now.mono = until;
    }

    pub fn answer(&mut self, ticket: Ticket) -> Option<Answer> {
        self.answers.remove(&ticket)
    }

    pub fn send_join(&mut self, join: Join) -> Ticket {
        let ticket = self.ticket();
        self.step(Input::Join(ticket, join));
        ticket
    }

    #[track_caller]
    pub fn joined(&mut self, ticket: Ticket) -> Joined {
        match self.answer(ticket) {
            Some(Answer::Joined(joined)) => joined,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn synced(&mut self, ticket: Ticket) -> Synced {
        match self.answer(ticket) {
            Some(Answer::Synced(synced)) => synced,
            other => panic!("{other:?}"),
        }
    }

    pub fn send_sync(&mut self, id: &str, generation: i32, assignments: &[(&str, &[u8])]) -> Ticket {
        let ticket = self.ticket();
        let assignments = assignments.iter().map(|(id, a)| ((*id).to_owned(), Arc::from(*a))).collect();
        let sync = Sync { member_id: id.into(), generation, assignments, ..Sync::default() };
        self.step(Input::Sync(ticket, sync));
        ticket
    }

    #[track_caller]
    pub fn code(&mut self, input: impl FnOnce(Ticket) -> Input) -> ErrorCode {
        let ticket = self.ticket();
        self.step(input(ticket));
        match self.answer(ticket) {
            Some(Answer::Done(code)) => code,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn heartbeat(&mut self, id: &str, generation: i32) -> ErrorCode {
        self.code(|ticket| Input::Heartbeat(ticket, who(id, generation)))
    }

    pub fn send_commit(&mut self, who: MemberRef, topic: &str, partition: i32, offset: i64) -> Ticket {
        let ticket = self.ticket();
        let one =
            CommitPartition { topic: topic.into(), partition, offset, leader_epoch: -1, metadata: "".into() };
        self.step(Input::Commit(ticket, who, -1, vec![one]));
        ticket
    }

    #[track_caller]
    pub fn commit(&mut self, who: MemberRef, topic: &str, partition: i32, offset: i64) -> ErrorCode {
        let ticket = self.send_commit(who, topic, partition, offset);
        self.committed(ticket)
    }

    #[track_caller]
    pub fn committed(&mut self, ticket: Ticket) -> ErrorCode {
        match self.answer(ticket) {
            Some(Answer::Committed(each)) => each[0].2,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn fetch(&mut self, topic: &str, partition: i32) -> Option<i64> {
        let ticket = self.ticket();
        self.step(Input::FetchOffsets(ticket, None, Some(vec![(topic.to_owned(), vec![partition])])));
        match self.answer(ticket) {
            Some(Answer::Offsets(ErrorCode::None, found)) => {
                found[0].1[0].1.as_ref().map(|value| value.offset)
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn fetch_all(&mut self) -> BTreeMap<(String, i32), OffsetValue> {
        let ticket = self.ticket();
        self.step(Input::FetchOffsets(ticket, None, None));
        let Some(Answer::Offsets(ErrorCode::None, found)) = self.answer(ticket) else { panic!("no offsets") };
        let mut all = BTreeMap::new();
        for (topic, partitions) in found {
            for (partition, value) in partitions {
                all.insert((topic.clone(), partition), value.expect("only what is there"));
            }
        }
        all
    }

    #[track_caller]
    pub fn describe(&mut self) -> Described {
        let ticket = self.ticket();
        self.step(Input::Describe(ticket));
        match self.answer(ticket) {
            Some(Answer::Described(described)) => described,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn state(&mut self) -> GroupState {
        self.describe().state
    }

    #[track_caller]
    pub fn leave(&mut self, who: &[(&str, Option<&str>)]) -> Vec<ErrorCode> {
        let ticket = self.ticket();
        let who = who.iter().map(|(id, instance)| ((*id).to_owned(), instance.map(str::to_owned))).collect();
        self.step(Input::Leave(ticket, who));
        match self.answer(ticket) {
            Some(Answer::Left(ErrorCode::None, each)) => each.into_iter().map(|(_, _, code)| code).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// A stable group of these dynamic members, the first one leads; each is assigned its name's bytes.
    pub fn stable(&mut self, ids: &[&str]) -> i32 {
        let tickets: Vec<_> = ids.iter().map(|id| self.send_join(fresh(id))).collect();
        self.pass(60_000.min(3_000 * (ids.len() as u64 + 1)));
        let generation = self.joined(tickets[0]).generation;
        for ticket in &tickets[1..] {
            assert_eq!(self.joined(*ticket).generation, generation);
        }
        let assignments: Vec<_> = ids.iter().map(|id| (*id, id.as_bytes())).collect();
        for id in ids.iter().rev() {
            self.send_sync(id, generation, &assignments);
        }
        self.store();
        assert_eq!(self.state(), GroupState::Stable);
        self.answers.clear();
        generation
    }
}

/// What a consumer says to its assignor.
pub fn subscription(topics: &[&str]) -> Arc<[u8]> {
    let mut bytes = vec![0, 1];
    bytes.extend_from_slice(&(topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend_from_slice(&(topic.len() as i16).to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
    bytes.extend_from_slice(&[0xff; 4]);
    Arc::from(bytes)
}

/// A new dynamic member of an old client: it is let in at once, under this id.
pub fn fresh(id: &str) -> Join {
    Join {
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        fresh_member_id: id.into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription(&["t"]))],
        ..Join::default()
    }
}

/// A member that joins again.
pub fn again(id: &str) -> Join {
    Join { member_id: id.into(), fresh_member_id: String::new(), ..fresh(id) }
}

/// A static member that starts.
pub fn fixed(instance: &str, id: &str) -> Join {
    Join { instance_id: Some(instance.into()), ..fresh(id) }
}

pub fn who(id: &str, generation: i32) -> MemberRef {
    MemberRef { member_id: id.into(), instance_id: None, generation }
}

/// A consumer that is no member.
pub fn nobody() -> MemberRef {
    who("", -1)
}
