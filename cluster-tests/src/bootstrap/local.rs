//! One node of the search: the real machine, the directory below it, and what a step of it sends.
//!
//! Machines are numbered as they turn up, and each (machine, event) is stepped once. So the search shuffles numbers,
//! and what it searches is still the code that runs.

use callboard_core::bootstrap::{
    BootstrapMachine, ClusterId, Effect, Fresh, Grant, GrantAnswer, Identity, Input, JoinOutcome, ProbeReply,
    Promises, SeedList, Settings, Standing, Word,
};
use callboard_core::{Machine, NodeUuid, Now, ProcessId, Ticket};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

/// The most seeds of a search.
pub const MOST: usize = 5;
/// No answer from a seed, or no promise.
pub const NONE: u32 = u32::MAX;
/// The grant that stands for a cluster which formed elsewhere.
pub const FOREIGN: u32 = 0;

/// A node: its process and its directory.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Local {
    pub machine: BootstrapMachine,
    place: usize,
    /// A write that may or may not reach the disk before a crash.
    writing: Option<Identity>,
    /// `raft.initialize` was called and has not yet reached the disk.
    initialising: bool,
    /// The number of the grant whose Raft log this directory holds, or `NONE`.
    log: u32,
}

/// An event of one node. Numbers refer to the tables of [`Kit`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// Every answer of a round, and the tick that closes it; so many times.
    Round([u32; MOST], u8),
    /// One answer by itself: the seed's index and the reply.
    Heard(usize, u32),
    Tick,
    Asked(u32),
    /// From this life, for this round.
    Yes(u32, u64),
    Written,
    Initialised,
    /// The process dies and starts again; the write in flight is kept or lost.
    Crashed(bool),
    Grew(u32),
    Applied(u32),
    Joined(u32),
    Contacted(u32),
}

/// A message between two lives. It can be delivered at any time, any number of times, while its receiver lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Message {
    Ask { to: u32, grant: u32 },
    Yes { to: u32, from: u32, round: u64 },
}

impl Message {
    /// The life it is sent to.
    #[must_use]
    pub fn to(self) -> u32 {
        match self {
            Message::Ask { to, .. } | Message::Yes { to, .. } => to,
        }
    }
}

/// The result of a step.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub local: u32,
    pub sent: Rc<[u32]>,
    /// The operator was told to empty a directory.
    pub advice: bool,
}

/// The part of a node that the checks read, taken once.
#[derive(Clone, Debug)]
pub struct Facts {
    pub life: u32,
    pub reply: u32,
    pub ended: bool,
    pub writing: bool,
    pub initialising: bool,
    pub founding: bool,
    pub drafted: bool,
    pub joins: bool,
    pub learns: bool,
    pub member: bool,
    /// Numbers of grants, or `NONE`.
    pub grant: u32,
    pub log: u32,
    /// The cluster of a Joining or a Member, or `NONE`.
    pub cluster: u32,
}

/// The part of a grant that the checks read.
#[derive(Clone, Debug)]
pub struct Plan {
    pub cluster: u32,
    pub seats: Vec<u32>,
    pub voters: Vec<u32>,
}

/// A fast hasher of good spread: the finaliser of splitmix64 after each word.
#[derive(Clone, Copy, Default)]
pub struct Mix(pub u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_u64(&mut self, word: u64) {
        let mut mixed = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ (mixed >> 31);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Things that are numbered as they turn up.
struct Table<T> {
    items: Vec<Rc<T>>,
    numbers: HashMap<Rc<T>, u32>,
}

impl<T: Eq + Hash> Table<T> {
    fn new() -> Self {
        Self { items: Vec::new(), numbers: HashMap::new() }
    }

    fn number(&mut self, item: T) -> u32 {
        if let Some(number) = self.numbers.get(&item) {
            return *number;
        }
        let (number, item) = (self.items.len() as u32, Rc::new(item));
        self.items.push(Rc::clone(&item));
        self.numbers.insert(item, number);
        number
    }

    fn get(&self, number: u32) -> Rc<T> {
        Rc::clone(&self.items[number as usize])
    }
}

/// All tables of a search.
pub struct Kit {
    seeds: SeedList,
    locals: Table<Local>,
    facts: Vec<Facts>,
    grants: Table<Grant>,
    plans: Vec<Plan>,
    lives: Table<NodeUuid>,
    clusters: Table<ClusterId>,
    replies: Table<ProbeReply>,
    messages: Table<Message>,
    memo: HashMap<(u32, Event), Outcome, BuildHasherDefault<Mix>>,
}

impl Kit {
    /// Empty tables for so many seeds.
    #[must_use]
    pub fn new(seeds: usize) -> Self {
        let mut kit = Self {
            seeds: SeedList::new((0..seeds).map(|seed| format!("s{seed}:7946"))),
            locals: Table::new(),
            facts: Vec::new(),
            grants: Table::new(),
            plans: Vec::new(),
            lives: Table::new(),
            clusters: Table::new(),
            replies: Table::new(),
            messages: Table::new(),
            memo: HashMap::default(),
        };
        let cluster = ClusterId("foreign".to_owned());
        let foreign = Grant { asker: NodeUuid([0; 16]), round: 0, cluster, seeds: 0, seats: Vec::new() };
        kit.grant(&foreign);
        kit
    }

    /// How many different nodes turned up.
    #[must_use]
    pub fn locals(&self) -> usize {
        self.locals.items.len()
    }

    /// The facts of a node.
    #[must_use]
    pub fn facts(&self, local: u32) -> &Facts {
        &self.facts[local as usize]
    }

    /// The facts of a grant.
    #[must_use]
    pub fn plan(&self, grant: u32) -> &Plan {
        &self.plans[grant as usize]
    }

    /// A message by its number.
    #[must_use]
    pub fn message(&self, number: u32) -> Message {
        *self.messages.items[number as usize]
    }

    /// Whether a node takes Raft connections of this cluster from this life.
    #[must_use]
    pub fn admits(&self, local: u32, cluster: u32, life: u32) -> bool {
        let machine = &self.locals.items[local as usize].machine;
        machine.admits(&self.clusters.items[cluster as usize], *self.lives.items[life as usize])
    }

    /// The uuid of a life, in short.
    #[must_use]
    pub fn name(&self, life: u32) -> String {
        let uuid = self.lives.items[life as usize].0;
        format!("n{}", u16::from_be_bytes([uuid[14], uuid[15]]))
    }

    fn grant(&mut self, grant: &Grant) -> u32 {
        let number = self.grants.number(grant.clone());
        if number as usize == self.plans.len() {
            let seats = grant.seats.iter().map(|seat| self.lives.number(seat.uuid)).collect();
            let voters = grant.voters().into_iter().map(|seat| self.lives.number(seat.uuid)).collect();
            let cluster = self.clusters.number(grant.cluster.clone());
            self.plans.push(Plan { cluster, seats, voters });
        }
        number
    }

    /// An empty directory whose process started; `rank` orders the uuids.
    pub fn fresh(&mut self, place: usize, rank: u16) -> u32 {
        let mut uuid = [0; 16];
        uuid[14..].copy_from_slice(&rank.to_be_bytes());
        let identity = Identity::new(NodeUuid(uuid));
        self.boot(place, identity, NONE).local
    }

    /// A start of the process. Its write is done at once: before it is, the machine says nothing, and a crash in it
    /// leads to another start.
    fn boot(&mut self, place: usize, mut identity: Identity, log: u32) -> Outcome {
        (identity.incarnation, identity.processes) = (0, Vec::new());
        let uuid = identity.uuid;
        let fresh = Fresh {
            uuid,
            process: ProcessId([1; 16]),
            cluster: ClusterId(format!("c{}", u16::from_be_bytes([uuid.0[14], uuid.0[15]]))),
            jitter: 0,
        };
        let settings = Settings { seeds: self.seeds.clone(), key_hash: format!("key of {uuid}"), version: 1 };
        let machine = BootstrapMachine::new(settings, Some(identity), fresh, log != NONE);
        let mut local = Local { machine, place, writing: None, initialising: false, log };
        let begun = step(&mut local.machine, Input::Started);
        assert!(matches!(begun[..], [Effect::Store(_)]), "a start stores, and says nothing: {begun:?}");
        let mut effects = step(&mut local.machine, Input::Probed(Ticket(0)));
        assert!(effects.is_empty(), "no packet before the start is on disk: {effects:?}");
        effects = step(&mut local.machine, Input::Stored);
        self.finish(local, effects)
    }

    /// Steps a node once; the same step is never made twice.
    pub fn step(&mut self, number: u32, event: Event) -> Outcome {
        if let Some(outcome) = self.memo.get(&(number, event)) {
            return outcome.clone();
        }
        let mut local = (*self.locals.get(number)).clone();
        let outcome = match event {
            Event::Crashed(kept) => {
                let written = local.writing.take().filter(|_| kept);
                let identity = written.unwrap_or_else(|| local.machine.identity().clone());
                self.boot(local.place, identity, local.log)
            }
            event => {
                let mut effects = Vec::new();
                for input in self.inputs(&mut local, event) {
                    effects.extend(step(&mut local.machine, input));
                }
                self.finish(local, effects)
            }
        };
        self.memo.insert((number, event), outcome.clone());
        outcome
    }

    /// The inputs that an event is to the machine; the directory changes with it.
    fn inputs(&mut self, local: &mut Local, event: Event) -> Vec<Input> {
        let answer = |kit: &Kit, seed: usize, reply: u32| Input::ProbeAnswered {
            seed: kit.seeds.entries()[seed].clone(),
            reply: Box::new((*kit.replies.get(reply)).clone()),
        };
        match event {
            Event::Round(replies, times) => {
                let answers = (0..self.seeds.len()).filter(|seed| replies[*seed] != NONE);
                let mut round: Vec<Input> = answers.map(|seed| answer(self, seed, replies[seed])).collect();
                round.push(Input::Tick);
                let all = round.len() * usize::from(times);
                round.into_iter().cycle().take(all).collect()
            }
            Event::Heard(seed, reply) => vec![answer(self, seed, reply)],
            Event::Tick => vec![Input::Tick],
            Event::Asked(grant) => {
                let grant = (*self.grants.get(grant)).clone();
                let (from, ticket) = (grant.asker, self.lives.number(grant.asker));
                vec![Input::GrantAsked { ticket: Ticket(ticket.into()), from, grant }]
            }
            Event::Yes(from, round) => {
                let from = *self.lives.get(from);
                vec![Input::GrantAnswered { from, round, answer: GrantAnswer::Yes }]
            }
            Event::Written => {
                local.writing = None;
                vec![Input::Stored]
            }
            Event::Initialised => {
                local.initialising = false;
                if let Standing::Virgin(Promises { draft: Some(draft), .. }) =
                    local.machine.identity().standing.clone()
                {
                    local.log = self.grant(&draft);
                }
                vec![Input::RaftHolds]
            }
            Event::Grew(grant) => {
                local.log = grant;
                vec![Input::RaftHolds]
            }
            Event::Applied(grant) => {
                let cluster = self.grants.get(grant).cluster.clone();
                local.log = grant;
                vec![Input::RaftHolds, Input::Committed(cluster)]
            }
            Event::Joined(grant) => {
                // Node ids of joiners do not matter here; those of seats stay.
                let cluster = self.grants.get(grant).cluster.clone();
                let uuid = local.machine.identity().uuid;
                let node = self.grants.get(grant).seat(uuid).map_or(99, |seat| seat.place);
                vec![Input::JoinAnswered { cluster, outcome: JoinOutcome::Joined(node) }]
            }
            Event::Contacted(grant) => vec![Input::Contacted(self.grants.get(grant).cluster.clone())],
            Event::Crashed(_) => Vec::new(),
        }
    }

    /// Takes the effects in list order, and numbers the node.
    fn finish(&mut self, mut local: Local, effects: Vec<Effect>) -> Outcome {
        let life = self.lives.number(local.machine.identity().uuid);
        let (mut sent, mut advice) = (Vec::new(), false);
        for effect in effects {
            match effect {
                Effect::Store(identity) => {
                    assert!(local.writing.is_none(), "two writes in flight");
                    local.writing = Some(identity);
                }
                Effect::AskGrant { uuid, grant, .. } => {
                    let (to, grant) = (self.lives.number(uuid), self.grant(&grant));
                    sent.push(self.messages.number(Message::Ask { to, grant }));
                }
                Effect::AnswerGrant { ticket, round, answer: GrantAnswer::Yes } => {
                    let to = ticket.0 as u32;
                    sent.push(self.messages.number(Message::Yes { to, from: life, round }));
                }
                Effect::InitialiseRaft { .. } if local.log == NONE => local.initialising = true,
                Effect::Say(Word::Empty { .. } | Word::JoinsNothing { .. }) => advice = true,
                // A No changes nothing at the founder; its words are in the table tests.
                _ => {}
            }
        }
        sent.sort_unstable();
        sent.dedup();
        let local = self.number(local, life);
        Outcome { local, sent: sent.into(), advice }
    }

    fn number(&mut self, local: Local, life: u32) -> u32 {
        let number = self.locals.number(local);
        if number as usize == self.facts.len() {
            let local = self.locals.get(number);
            let facts = self.look(&local, life);
            self.facts.push(facts);
        }
        number
    }

    fn look(&mut self, local: &Local, life: u32) -> Facts {
        let reply = step(&mut local.machine.clone(), Input::Probed(Ticket(0))).into_iter().next();
        let reply = match reply {
            Some(Effect::AnswerProbe(_, reply)) => self.replies.number(*reply),
            _ => NONE,
        };
        let standing = &local.machine.identity().standing;
        let promises = match standing {
            Standing::Virgin(promises) => promises.clone(),
            _ => Promises::default(),
        };
        Facts {
            life,
            reply,
            ended: local.machine.ended(),
            writing: local.writing.is_some(),
            initialising: local.initialising,
            founding: promises.founding,
            drafted: promises.draft.is_some(),
            joins: matches!(standing, Standing::Joining { node: None, .. }),
            learns: matches!(standing, Standing::Joining { node: Some(_), .. }),
            member: matches!(standing, Standing::Member { .. }),
            grant: promises.grant.map_or(NONE, |grant| self.grant(&grant)),
            log: local.log,
            cluster: standing.cluster().map_or(NONE, |cluster| self.clusters.number(cluster.clone())),
        }
    }
}

fn step(machine: &mut BootstrapMachine, input: Input) -> Vec<Effect> {
    let mut effects = Vec::new();
    machine.step(Now::default(), input, &mut effects);
    machine.check();
    effects
}
