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

use super::harness::{START, config};
use super::history_client::{Client, Op, Open, PARTITIONS, Phase, REBALANCE_MS, Request, op};
use crate::group::messages::{Answer, CommitPartition, Effect, GroupState, Input, Join};
use crate::group::record::{GroupRecord, GroupValue, OffsetValue};
use crate::group::{GroupConfig, GroupMachine};
use crate::ids::Ticket;
use crate::time::{Millis, Now, UnixMillis};
use crate::{ErrorCode, Machine, Reject};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

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

    fn stored(&mut self, at: usize, result: Result<(), Reject>) {
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
                let refused = if at % 2 == 0 { Reject::TimedOut } else { Reject::NotLeader };
                self.stored(at, Err(refused));
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
            let told = |m: &crate::group::members::Member| {
                (m.id.clone(), m.instance_id.clone(), m.assignment.clone())
            };
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

pub(super) fn run(history: &[Op]) {
    let mut world = World::new();
    for op in history {
        world.apply(op.clone());
    }
    world.heal();
    world.replayed();
    world.heal();
    world.end();
}

pub(super) fn histories() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 0..250)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 4, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_group_keeps_its_word(history in histories()) {
        run(&history);
    }
}
