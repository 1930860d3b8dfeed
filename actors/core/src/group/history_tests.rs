//! Random histories of a group: consumers that follow the eager protocol, a network that loses, delays, repeats and
//! reorders, a log that is slow or refuses, time that jumps, restarts. What must hold is said from outside.
//!
//! ```text
//!   client ──> requests in flight ──> machine ──> Store ──> writes in flight ──> Stored (ok: into the log)
//!     ^───── answers in flight <──────────┘
//! ```
//!
//! Held after every step: a partition has one owner in a generation, by what SyncGroup answered; each ticket is answered
//! once; what a fetch shows is the fold of the log; who was fenced or is of an old generation changes nothing. At the
//! end the network heals: the group becomes stable with exactly those who live, and owns everything.

use super::harness::{START, config, subscription};
use super::messages::{Answer, CommitPartition, Effect, GroupState, Input, Join, Joined, MemberRef, Sync};
use super::record::{GroupRecord, GroupValue, OffsetValue};
use super::{GroupConfig, GroupMachine};
use crate::ids::Ticket;
use crate::time::{Millis, Now, UnixMillis};
use crate::{ErrorCode, Machine};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PARTITIONS: u8 = 5;
const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 20_000;

#[derive(Clone, Debug)]
enum Op {
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

fn op() -> impl Strategy<Value = Op> {
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
enum Phase {
    Out,
    Joined,
    Stable,
    /// Fenced, left or killed.
    Over,
}

#[derive(Clone, Debug)]
struct Client {
    name: usize,
    instance: Option<String>,
    id: String,
    generation: i32,
    phase: Phase,
    /// The request it waits for, and since when.
    waits: Option<(u64, Millis)>,
    leads: Option<Vec<String>>,
    skip: bool,
    owned: Vec<u8>,
}

impl Client {
    fn new(name: usize) -> Client {
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

    fn who(&self) -> MemberRef {
        MemberRef {
            member_id: self.id.clone(),
            instance_id: self.instance.clone(),
            generation: self.generation,
        }
    }

    /// What it would send next.
    fn next(&mut self) -> Request {
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

    fn refused(&mut self, code: ErrorCode) {
        match code {
            ErrorCode::FencedInstanceId => self.phase = Phase::Over,
            ErrorCode::UnknownMemberId | ErrorCode::GroupMaxSizeReached => {
                self.id.clear();
                self.phase = Phase::Out;
            }
            _ => self.phase = Phase::Out,
        }
    }

    fn answered(&mut self, answer: Answer) {
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
enum Request {
    Join(Join),
    Sync(Sync),
    Heartbeat(MemberRef),
    Commit(MemberRef, Vec<CommitPartition>),
    Leave(String, Option<String>),
}

impl Request {
    /// Member id, instance id and generation, where it says them.
    fn who(&self) -> (String, Option<String>, Option<i32>) {
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
struct Open {
    request: Request,
    client: Option<(usize, u64)>,
    /// Who asked was fenced, or of an old generation, before the machine was told.
    must_fail: bool,
}

struct World {
    machine: GroupMachine,
    config: GroupConfig,
    now: Now,
    clients: Vec<Client>,
    requests: Vec<(Request, Option<(usize, u64)>)>,
    answers: Vec<(usize, u64, Answer)>,
    open: BTreeMap<Ticket, Open>,
    admin: BTreeSet<Ticket>,
    rewrites: BTreeMap<Ticket, u64>,
    /// By number: not stored yet.
    writes: BTreeMap<u64, Vec<GroupRecord>>,
    /// By number: stored. Numbers go on after a restart.
    log: BTreeMap<u64, Vec<GroupRecord>>,
    base: u64,
    rewritten: u64,
    owners: BTreeMap<(i32, u8), String>,
    /// Of each instance: the id that was let in last.
    instances: BTreeMap<String, String>,
    told: i32,
    last: u64,
    clock: u64,
}

impl World {
    fn new() -> World {
        let config = GroupConfig { initial_rebalance_delay_ms: 500, ..config() };
        World {
            machine: GroupMachine::new("g".into(), config),
            config,
            now: Now { mono: Millis(0), wall: UnixMillis(START) },
            clients: (0..5).map(Client::new).collect(),
            requests: Vec::new(),
            answers: Vec::new(),
            open: BTreeMap::new(),
            admin: BTreeSet::new(),
            rewrites: BTreeMap::new(),
            writes: BTreeMap::new(),
            log: BTreeMap::new(),
            base: 0,
            rewritten: 0,
            owners: BTreeMap::new(),
            instances: BTreeMap::new(),
            told: 0,
            last: 0,
            clock: 0,
        }
    }

    fn fresh(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.machine.step(self.now, input, &mut out);
        self.machine.check();
        for effect in out {
            match effect {
                Effect::Store(number, records) => {
                    assert!(self.writes.insert(self.base + number, records).is_none());
                }
                Effect::Answer(ticket, answer) => self.answered(ticket, answer),
                Effect::Show(_) => {}
                Effect::Gone => {
                    assert!(self.machine.is_gone());
                    // Generations may begin anew only if the log has none that someone was assigned in.
                    assert!(self.owners.is_empty(), "forgotten: {:?}", self.owners);
                    self.told = 0;
                }
            }
        }
    }

    fn answered(&mut self, ticket: Ticket, answer: Answer) {
        if self.admin.remove(&ticket) {
            if let (Some(number), Answer::Done(ErrorCode::None)) = (self.rewrites.remove(&ticket), &answer) {
                self.rewritten = self.rewritten.max(number);
            }
            return;
        }
        let open = self.open.remove(&ticket).unwrap_or_else(|| panic!("{ticket:?} is not open: {answer:?}"));
        let accepted = match &answer {
            Answer::Joined(joined) => joined.error == ErrorCode::None,
            Answer::Synced(synced) => synced.error == ErrorCode::None,
            Answer::Done(code) => *code == ErrorCode::None,
            Answer::Committed(each) => each.iter().any(|(_, _, code)| *code == ErrorCode::None),
            Answer::Left(_, each) => each.iter().any(|(_, _, code)| *code == ErrorCode::None),
            _ => false,
        };
        assert!(
            !(accepted && open.must_fail),
            "accepted, though fenced or old: {:?} {answer:?}",
            open.request
        );
        match &answer {
            Answer::Joined(joined) if accepted => {
                self.told = self.told.max(joined.generation);
                if let Request::Join(Join { instance_id: Some(instance), .. }) = &open.request {
                    self.instances.insert(instance.clone(), joined.member_id.clone());
                }
            }
            Answer::Synced(synced) if accepted => self.owns(&open.request, &synced.assignment),
            _ => {}
        }
        let Some((client, number)) = open.client else { return };
        self.answers.push((client, number, answer));
    }

    /// A static member keeps what it had under its earlier id: that one is fenced.
    fn owns(&mut self, request: &Request, assignment: &[u8]) {
        let (id, instance, generation) = request.who();
        let owner = instance.unwrap_or(id);
        for partition in assignment {
            let key = (generation.unwrap_or(-1), *partition);
            let before = self.owners.insert(key, owner.clone());
            assert!(before.is_none_or(|before| before == owner), "{key:?} has two owners");
        }
    }

    fn deliver(&mut self, request: Request, client: Option<(usize, u64)>) {
        let ticket = Ticket(self.fresh());
        let (id, instance, generation) = request.who();
        let fenced = instance
            .as_ref()
            .and_then(|instance| self.instances.get(instance))
            .is_some_and(|current| !id.is_empty() && *current != id);
        let old = generation.is_some_and(|generation| generation < self.told);
        self.open.insert(ticket, Open { request: request.clone(), client, must_fail: fenced || old });
        let input = match request {
            Request::Join(join) => {
                let fresh_member_id = format!("{}-{}", join.client_id, self.fresh());
                Input::Join(ticket, Join { fresh_member_id, ..join })
            }
            Request::Sync(sync) => Input::Sync(ticket, sync),
            Request::Heartbeat(who) => Input::Heartbeat(ticket, who),
            Request::Commit(who, partitions) => Input::Commit(ticket, who, -1, partitions),
            Request::Leave(id, instance) => Input::Leave(ticket, vec![(id, instance)]),
        };
        self.step(input);
    }

    fn send(&mut self, client: usize, request: Request, waits: bool) {
        let number = self.fresh();
        if waits {
            self.clients[client].waits = Some((number, self.now.mono));
        }
        self.requests.push((request, waits.then_some((client, number))));
    }

    fn commit(&mut self, client: usize) {
        let who = self.clients[client].who();
        let partition = self.clients[client].owned.first().copied().unwrap_or(0);
        self.clock += 1;
        let one = CommitPartition {
            topic: "t".into(),
            partition: i32::from(partition),
            offset: self.clock as i64,
            leader_epoch: 0,
            metadata: String::new(),
        };
        self.send(client, Request::Commit(who, vec![one]), true);
    }

    fn admin(&mut self, input: impl FnOnce(Ticket) -> Input) -> Ticket {
        let ticket = Ticket(self.fresh());
        self.admin.insert(ticket);
        self.step(input(ticket));
        ticket
    }

    fn stored(&mut self, at: usize, result: Result<(), ErrorCode>) {
        let Some(number) = self.writes.keys().nth(at % self.writes.len().max(1)).copied() else { return };
        let Some(records) = self.writes.remove(&number) else { return };
        if result.is_ok() {
            let gone = records.iter().any(|r| matches!(r, GroupRecord::Group { value: None, .. }));
            self.log.insert(number, records);
            if gone {
                // Generations may begin anew: nobody is a member of a deleted group.
                self.owners.clear();
                self.told = 0;
            }
        }
        self.step(Input::Stored(number - self.base, result));
        self.compare();
    }

    /// What the log says: the last of each key counts.
    fn fold(&self, from: u64) -> (BTreeMap<(String, i32), OffsetValue>, Option<GroupValue>) {
        let (mut offsets, mut group) = (BTreeMap::new(), None);
        for record in self.log.range(from..).flat_map(|(_, records)| records) {
            match record {
                GroupRecord::Offset { topic, partition, value: Some(value), .. } => {
                    offsets.insert((topic.clone(), *partition), value.clone());
                }
                GroupRecord::Offset { topic, partition, value: None, .. } => {
                    offsets.remove(&(topic.clone(), *partition));
                }
                GroupRecord::Group { value, .. } => group.clone_from(value),
            }
        }
        (offsets, group)
    }

    /// A fetch shows what is stored, no more and no less.
    fn compare(&mut self) {
        let mut out = Vec::new();
        self.machine.step(self.now, Input::FetchOffsets(Ticket(0), None, None), &mut out);
        let Some(Effect::Answer(_, Answer::Offsets(ErrorCode::None, topics))) = out.first() else {
            panic!("{out:?}")
        };
        let mut shown = BTreeMap::new();
        for (topic, partitions) in topics {
            for (partition, value) in partitions {
                shown.insert((topic.clone(), *partition), value.clone().expect("only what is there"));
            }
        }
        let (offsets, group) = self.fold(0);
        assert_eq!(shown, offsets, "a fetch and the log");
        self.machine.offsets.check();
        assert_eq!(self.machine.record.stored(), group.as_ref(), "the group and the log");
        assert_eq!(self.fold(self.rewritten), (offsets, group), "the log since it was written again");
    }

    fn restart(&mut self, made_it: usize) {
        for number in self.writes.keys().copied().take(made_it).collect::<Vec<_>>() {
            let records = self.writes.remove(&number).unwrap_or_default();
            if records.iter().any(|r| matches!(r, GroupRecord::Group { value: None, .. })) {
                self.owners.clear();
            }
            self.log.insert(number, records);
        }
        self.base = self.log.keys().chain(self.writes.keys()).max().copied().unwrap_or(0).max(self.base);
        self.writes.clear();
        self.open.clear();
        self.admin.clear();
        self.rewrites.clear();
        self.instances.clear();
        let mut machine = GroupMachine::new("g".into(), self.config);
        for record in self.log.range(self.rewritten..).flat_map(|(_, records)| records) {
            machine.replay(record.clone());
        }
        self.machine = machine;
        self.step(Input::Loaded);
        let (_, group) = self.fold(0);
        self.told = group.map_or(0, |group| group.generation);
        // Answers on their way arrive or not; the machine knows nothing of them.
        self.compare();
    }

    fn pass(&mut self, ms: u64) {
        // A jump: what came due meanwhile is due now.
        self.now.mono = self.now.mono.plus(ms);
        self.now.wall.0 += ms as i64;
        self.step(Input::Tick);
    }

    fn take_answer(&mut self, at: usize) {
        if self.answers.is_empty() {
            return;
        }
        let (client, number, answer) = self.answers.remove(at % self.answers.len());
        let client = &mut self.clients[client];
        if client.waits.is_some_and(|(waits, _)| waits == number) && client.phase != Phase::Over {
            client.waits = None;
            client.answered(answer);
        }
    }

    fn act(&mut self, client: usize) {
        let busy = self.clients[client].waits.is_some() || self.clients[client].phase == Phase::Over;
        if !busy {
            let request = self.clients[client].next();
            self.send(client, request, true);
        }
    }

    fn apply(&mut self, op: Op) {
        let requests = self.requests.len();
        match op {
            Op::Act(client) => self.act(client),
            Op::Commit(client)
                if self.clients[client].waits.is_none() && self.clients[client].phase == Phase::Stable =>
            {
                self.commit(client);
            }
            Op::Commit(_) => {}
            Op::Leave(client) => {
                let (id, instance) = (self.clients[client].id.clone(), self.clients[client].instance.clone());
                if !id.is_empty() && self.clients[client].phase != Phase::Over {
                    self.send(client, Request::Leave(id, instance), false);
                    self.clients[client].phase = Phase::Over;
                }
            }
            Op::Vanish(client) => self.clients[client].phase = Phase::Over,
            Op::Return(client) if self.clients[client].phase == Phase::Over => {
                self.clients[client] = Client::new(client);
            }
            Op::Return(_) => {}
            Op::Deliver(at) if requests > 0 => {
                let (request, client) = self.requests.remove(at % requests);
                self.deliver(request, client);
            }
            Op::Repeat(at) if requests > 0 => {
                let (request, _) = self.requests[at % requests].clone();
                self.deliver(request, None);
            }
            Op::LoseRequest(at) if requests > 0 => {
                let (_, client) = self.requests.remove(at % requests);
                self.give_up(client);
            }
            Op::GiveUp(client) => self.clients[client].waits = None,
            Op::Answer(at) => self.take_answer(at),
            Op::LoseAnswer(at) if !self.answers.is_empty() => {
                let (client, number, _) = self.answers.remove(at % self.answers.len());
                self.give_up(Some((client, number)));
            }
            Op::Store(at) => self.stored(at, Ok(())),
            Op::Refuse(at) => {
                let code = [ErrorCode::NotEnoughReplicas, ErrorCode::NotLeaderOrFollower][at % 2];
                self.stored(at, Err(code));
            }
            Op::Pass(ms) => self.pass(ms),
            Op::DeleteOffsets => {
                self.admin(|ticket| Input::DeleteOffsets(ticket, vec![("t".into(), vec![0, 1])]));
            }
            Op::DeleteTopic => self.step(Input::TopicDeleted("t".into())),
            Op::DeleteGroup => {
                self.admin(Input::DeleteGroup);
            }
            Op::Rewrite => {
                let before = self.writes.keys().next_back().copied();
                let ticket = self.admin(Input::Rewrite);
                let number = self.writes.keys().next_back().copied().filter(|number| Some(*number) != before);
                if let Some(number) = number {
                    self.rewrites.insert(ticket, number);
                }
            }
            Op::Restart(made_it) => self.restart(made_it),
            _ => {}
        }
        self.compare();
    }

    fn give_up(&mut self, client: Option<(usize, u64)>) {
        if let Some((client, number)) = client
            && self.clients[client].waits.is_some_and(|(waits, _)| waits == number)
        {
            self.clients[client].waits = None;
        }
    }

    /// Everything on its way arrives.
    fn drain(&mut self) {
        while !(self.requests.is_empty() && self.answers.is_empty() && self.writes.is_empty()) {
            if !self.requests.is_empty() {
                let (request, client) = self.requests.remove(0);
                self.deliver(request, client);
            }
            self.stored(0, Ok(()));
            self.take_answer(0);
        }
    }

    /// The network heals: who lives does what it must, and in time the group is whole.
    fn heal(&mut self) {
        let live: Vec<usize> = (0..5).filter(|n| self.clients[*n].phase != Phase::Over).collect();
        let mut whole = 0;
        // New members that nobody waits for any more go after five minutes; sessions and rebalances are shorter.
        for _ in 0..900 {
            self.drain();
            self.pass(1_000);
            self.drain();
            whole = if self.is_whole() { whole + 1 } else { 0 };
            if whole > 3 {
                return;
            }
            for client in &live {
                // As clients do: a request that is not answered in time is sent again.
                if let Some((number, since)) = self.clients[*client].waits
                    && self.now.mono.0 - since.0 > REBALANCE_MS as u64 + 5_000
                {
                    self.give_up(Some((*client, number)));
                }
                self.act(*client);
            }
        }
        panic!("not whole: {:?} {:?}", self.machine, self.clients);
    }

    fn is_whole(&self) -> bool {
        let live: Vec<_> = self.clients.iter().filter(|client| client.phase != Phase::Over).collect();
        if live.is_empty() {
            return self.machine.state == GroupState::Empty;
        }
        let mut owned: Vec<u8> = live.iter().flat_map(|client| client.owned.clone()).collect();
        owned.sort_unstable();
        let settled = live.iter().all(|client| {
            client.phase == Phase::Stable
                && client.generation == self.machine.generation
                && self.machine.members.contains(&client.id)
        });
        self.machine.state == GroupState::Stable
            && self.machine.members.len() == live.len()
            && settled
            && owned == (0..PARTITIONS).collect::<Vec<_>>()
    }

    /// A stable group is what its log says, and goes on from there.
    fn replayed(&mut self) {
        if self.machine.state != GroupState::Stable {
            return;
        }
        let before = self.machine.clone();
        self.restart(0);
        assert_eq!(self.machine.state, GroupState::Stable);
        assert_eq!(self.machine.generation, before.generation);
        assert_eq!(self.machine.leader, before.leader);
        assert_eq!(self.machine.protocol_name, before.protocol_name);
        assert_eq!(self.machine.subscribed, before.subscribed);
        let members = |machine: &GroupMachine| -> Vec<_> {
            let told =
                |m: &super::members::Member| (m.id.clone(), m.instance_id.clone(), m.assignment.clone());
            machine.members.iter().map(told).collect()
        };
        assert_eq!(members(&self.machine), members(&before));
    }

    /// Everyone is gone: what was asked is answered, and nothing is left but offsets.
    fn end(&mut self) {
        for client in &mut self.clients {
            client.phase = Phase::Over;
        }
        for _ in 0..80 {
            self.drain();
            self.pass(10_000);
        }
        self.drain();
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
        assert!(self.admin.is_empty(), "never answered: {:?}", self.admin);
        assert_eq!(self.machine.state, GroupState::Empty);
        self.pass(self.config.offsets_retention_ms as u64);
        self.drain();
        self.pass(self.config.offsets_retention_check_ms);
        self.drain();
        assert!(self.machine.is_gone(), "{:?}", self.machine);
        assert_eq!(self.fold(0), (BTreeMap::new(), None));
    }
}

fn run(history: &[Op]) {
    let mut world = World::new();
    for op in history {
        world.apply(op.clone());
    }
    world.heal();
    world.replayed();
    world.heal();
    world.end();
}

fn histories() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 0..250)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 4, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_group_keeps_its_word(history in histories()) {
        run(&history);
    }
}

/// The same histories catch each planted bug.
#[cfg(feature = "mutants")]
mod mutants {
    use super::*;
    use crate::mutant::{Mutant, plant};
    use proptest::test_runner::TestRunner;

    fn caught(mutant: Mutant) {
        let config = ProptestConfig {
            cases: 3_000,
            max_shrink_iters: 0,
            failure_persistence: None,
            ..Default::default()
        };
        let mut runner = TestRunner::new(config);
        plant(Some(mutant));
        let result = runner.run(&histories(), |history| {
            run(&history);
            Ok(())
        });
        plant(None);
        assert!(result.is_err(), "{mutant:?} was not caught");
    }

    #[test]
    fn a_commit_that_shows_too_early_is_caught() {
        caught(Mutant::CommitShownBeforeStored);
    }

    #[test]
    fn a_member_that_never_expires_is_caught() {
        caught(Mutant::ExpiredMemberStays);
    }

    #[test]
    fn a_fenced_member_that_goes_on_is_caught() {
        caught(Mutant::FencedMemberAccepted);
    }

    #[test]
    fn an_assignment_that_is_told_too_early_is_caught() {
        caught(Mutant::AssignmentBeforeStored);
    }
}
