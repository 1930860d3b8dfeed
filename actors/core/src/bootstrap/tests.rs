//! Each sentence of the forming (RELIABILITY §7) as one test. `cluster-tests/src/bootstrap` searches all orders of them.

use super::hello::{Hello, HelloRefusal, Here, Known, refuses};
use super::*;
use crate::ids::{NodeUuid, ProcessId, Ticket};
use crate::machine::Machine;
use crate::time::{Millis, Now};

fn uuid(number: u8) -> NodeUuid {
    NodeUuid([number; 16])
}

fn cluster(name: &str) -> ClusterId {
    ClusterId(name.to_owned())
}

fn seeds(count: usize) -> SeedList {
    SeedList::new((0..count).map(|seed| format!("s{seed}:7946")))
}

/// One machine, whose writes are done at once unless a test holds them.
struct Node {
    machine: BootstrapMachine,
    seeds: SeedList,
}

impl Node {
    fn loaded(number: u8, seeds: SeedList, identity: Option<Identity>, raft_holds: bool) -> Node {
        let process = ProcessId([number; 16]);
        let fresh = Fresh { uuid: uuid(number), process, cluster: cluster(&format!("c{number}")), jitter: 7 };
        let settings = Settings { seeds: seeds.clone(), key_hash: format!("key {number}"), version: 1 };
        Node { machine: BootstrapMachine::new(settings, identity, fresh, raft_holds), seeds }
    }

    /// A virgin of `count` seeds, started.
    fn virgin(number: u8, count: usize) -> Node {
        let mut node = Node::loaded(number, seeds(count), None, false);
        node.all(Input::Started);
        node
    }

    /// A node that starts with this standing.
    fn with(standing: Standing, count: usize, raft_holds: bool) -> (Node, Vec<Effect>) {
        let identity = Identity { standing, ..Identity::new(uuid(1)) };
        let mut node = Node::loaded(1, seeds(count), Some(identity), raft_holds);
        let effects = node.all(Input::Started);
        (node, effects)
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.step(Now::default(), input, &mut effects);
        self.machine.check();
        effects
    }

    /// A step and every write that follows from it.
    fn all(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = self.step(input);
        let mut at = 0;
        while at < effects.len() {
            if matches!(effects[at], Effect::Store(_)) {
                effects.extend(self.step(Input::Stored));
            }
            at += 1;
        }
        effects
    }

    fn reply(&mut self) -> ProbeReply {
        match self.step(Input::Probed(Ticket(0))).pop() {
            Some(Effect::AnswerProbe(_, reply)) => *reply,
            other => panic!("no reply: {other:?}"),
        }
    }

    /// A round in which these replies came, by place; `None` stands for a seed that does not answer.
    fn round(&mut self, replies: &[Option<ProbeReply>]) -> Vec<Effect> {
        for (seed, reply) in self.seeds.entries().to_vec().into_iter().zip(replies) {
            if let Some(reply) = reply {
                self.step(Input::ProbeAnswered { seed, reply: Box::new(reply.clone()) });
            }
        }
        self.all(Input::Tick)
    }

    fn grant(&self) -> Option<&Grant> {
        self.machine.promises().and_then(|promises| promises.grant.as_ref())
    }

    fn standing(&self) -> &Standing {
        &self.machine.identity().standing
    }
}

/// The words of a virgin of `count` seeds about itself.
fn reply(number: u8, count: usize) -> ProbeReply {
    Node::virgin(number, count).reply()
}

fn replies(numbers: &[u8]) -> Vec<Option<ProbeReply>> {
    numbers.iter().map(|number| Some(reply(*number, numbers.len()))).collect()
}

/// The plan of `asker` over the nodes at the places.
fn plan(asker: u8, round: u64, nodes: &[u8]) -> Grant {
    let seat =
        |(place, number): (i32, &u8)| Seat { place, uuid: uuid(*number), key_hash: format!("key {number}") };
    Grant {
        asker: uuid(asker),
        round,
        cluster: cluster(&format!("c{asker}")),
        seeds: seeds(nodes.len()).hash(),
        seats: (1..).zip(nodes).map(seat).collect(),
    }
}

fn asked(grant: &Grant) -> Input {
    Input::GrantAsked { ticket: Ticket(9), from: grant.asker, grant: grant.clone() }
}

fn answer(effects: &[Effect]) -> Option<GrantAnswer> {
    effects.iter().find_map(|effect| match effect {
        Effect::AnswerGrant { answer, .. } => Some(answer.clone()),
        _ => None,
    })
}

fn yes(from: u8, round: u64) -> Input {
    Input::GrantAnswered { from: uuid(from), round, answer: GrantAnswer::Yes }
}

fn asks(effects: &[Effect]) -> Vec<NodeUuid> {
    let asked = |effect: &Effect| match effect {
        Effect::AskGrant { uuid, .. } => Some(*uuid),
        _ => None,
    };
    effects.iter().filter_map(asked).collect()
}

fn words(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Say(word) | Effect::Alarm(word) | Effect::Stop(word) => Some(word.to_string()),
        _ => None,
    };
    effects.iter().filter_map(word).collect()
}

fn initialised(effects: &[Effect]) -> Option<(Vec<i32>, Vec<i32>)> {
    let places = |seats: &[Seat]| seats.iter().map(|seat| seat.place).collect::<Vec<_>>();
    effects.iter().find_map(|effect| match effect {
        Effect::InitialiseRaft { voters, learners, .. } => Some((places(voters), places(learners))),
        _ => None,
    })
}

// Starting.

#[test]
fn no_packet_leaves_before_the_start_is_on_disk() {
    let mut node = Node::loaded(1, seeds(3), None, false);
    let effects = node.step(Input::Started);
    let [Effect::Store(identity)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((identity.incarnation, &identity.processes[..]), (1, &[ProcessId([1; 16])][..]));
    assert_eq!(node.step(Input::Probed(Ticket(1))), []);
    assert_eq!(node.step(asked(&plan(2, 1, &[1, 2, 3]))), []);
    assert_eq!(node.step(Input::Tick), []);
    assert_eq!(node.machine.next_deadline(), None);
    let probes: Vec<Effect> = seeds(3).entries().iter().cloned().map(Effect::Probe).collect();
    assert_eq!(node.step(Input::Stored), probes);
    assert_eq!(node.machine.next_deadline(), Some(Millis(507)));
}

#[test]
fn a_restart_keeps_the_uuid_and_counts() {
    let loaded = Identity { incarnation: 4, processes: vec![ProcessId([8; 16])], ..Identity::new(uuid(3)) };
    let mut node = Node::loaded(9, seeds(3), Some(loaded), false);
    node.all(Input::Started);
    let identity = node.machine.identity();
    assert_eq!((identity.uuid, identity.incarnation), (uuid(3), 5));
    assert_eq!(identity.processes, [ProcessId([8; 16]), ProcessId([9; 16])]);
}

#[test]
fn a_node_without_seeds_founds_at_once() {
    let mut node = Node::loaded(1, seeds(0), None, false);
    let effects = node.all(Input::Started);
    assert_eq!(initialised(&effects), Some((vec![1], vec![])));
    assert!(effects.contains(&Effect::RunRaft { cluster: cluster("c1"), node: 1 }));
    node.step(Input::RaftHolds);
    node.all(Input::Committed(cluster("c1")));
    assert_eq!(node.standing(), &Standing::Member { cluster: cluster("c1"), node: 1 });
}

#[test]
fn a_promise_made_with_seeds_is_not_forgotten_without_them() {
    let promises = Promises { grant: Some(plan(2, 1, &[1, 2, 3])), ..Promises::default() };
    let (mut node, effects) = Node::with(Standing::Virgin(promises), 0, false);
    assert_eq!(initialised(&effects), None);
    assert_eq!(
        words(&node.all(Input::Tick)),
        ["this directory took part in a forming with --seeds; start it with them"]
    );
}

// Founding.

#[test]
fn the_smallest_asks_after_two_equal_rounds() {
    let mut node = Node::virgin(1, 3);
    assert_eq!(asks(&node.round(&replies(&[2, 1, 3]))), []);
    // The draft is on disk before the first question, which goes to place 1.
    let effects = node.round(&replies(&[2, 1, 3]));
    let stored = effects.iter().position(|effect| matches!(effect, Effect::Store(_)));
    let question = effects.iter().position(|effect| matches!(effect, Effect::AskGrant { .. }));
    assert!(stored.is_some() && stored < question, "{effects:?}");
    assert_eq!(asks(&effects), [uuid(2)]);
    assert_eq!(node.grant(), None);
    // Place 1 said yes: all others are asked, itself too.
    let effects = node.all(yes(2, 1));
    assert_eq!(asks(&effects), [uuid(3)]);
    assert_eq!(node.grant(), Some(&plan(1, 1, &[2, 1, 3])));
    // The last yes founds with all, once.
    let effects = node.all(yes(3, 1));
    assert_eq!(initialised(&effects), Some((vec![1, 2, 3], vec![])));
    assert_eq!(initialised(&node.all(yes(3, 1))), None);
    assert_eq!(asks(&node.round(&replies(&[2, 1, 3]))), []);
}

#[test]
fn others_wait_for_the_smallest() {
    let mut node = Node::virgin(2, 3);
    node.round(&replies(&[2, 1, 3]));
    let effects = node.round(&replies(&[2, 1, 3]));
    assert_eq!(asks(&effects), []);
    assert_eq!(words(&effects), [format!("waits for node {} to found the cluster", uuid(1))]);
}

#[test]
fn a_changed_round_counts_anew() {
    let mut node = Node::virgin(1, 3);
    node.round(&replies(&[1, 2, 3]));
    assert_eq!(asks(&node.round(&replies(&[1, 2, 4]))), []);
    let mut missing = replies(&[1, 2, 4]);
    missing[2] = None;
    assert_eq!(asks(&node.round(&missing)), []);
    assert_eq!(asks(&node.round(&replies(&[1, 2, 4]))), []);
    assert_eq!(asks(&node.round(&replies(&[1, 2, 4]))), [uuid(2), uuid(4)]);
}

#[test]
fn a_grant_names_who_founds_before_the_smallest_does() {
    let granted = |number: u8, grant: &Grant| {
        let mut node = Node::virgin(number, 3);
        node.all(asked(grant));
        Some(node.reply())
    };
    // 1 is a seed that was emptied while 2 was asking.
    let grant = plan(2, 1, &[3, 2, 9]);
    let round = [granted(3, &grant), Some(reply(2, 3)), Some(reply(1, 3))];
    let mut smallest = Node::virgin(1, 3);
    smallest.round(&round);
    assert_eq!(asks(&smallest.round(&round)), []);
    let mut named = Node::virgin(2, 3);
    named.round(&round);
    assert_eq!(asks(&named.round(&round)), [uuid(3)]);
}

#[test]
fn a_seed_that_was_emptied_needs_a_new_round_with_all_answers_anew() {
    let mut node = Node::virgin(1, 3);
    node.round(&replies(&[1, 2, 3]));
    node.round(&replies(&[1, 2, 3]));
    node.all(yes(2, 1));
    // 3 said yes too, but was emptied and is 4 now; its answer is late.
    let granted = |number: u8| {
        let mut seed = Node::virgin(number, 3);
        seed.all(asked(&plan(1, 1, &[1, 2, 3])));
        seed.reply()
    };
    let own = node.reply();
    let round = [Some(own), Some(granted(2)), Some(reply(4, 3))];
    node.round(&round);
    let effects = node.round(&round);
    assert_eq!(asks(&effects), [uuid(2), uuid(4)]);
    assert_eq!(node.grant(), Some(&plan(1, 2, &[1, 2, 4])));
    assert_eq!(initialised(&node.all(yes(3, 1))), None);
    assert_eq!(initialised(&node.all(yes(2, 1))), None);
    assert_eq!(initialised(&node.all(yes(2, 2))), None);
    assert_eq!(initialised(&node.all(yes(4, 2))), Some((vec![1, 2, 3], vec![])));
}

#[test]
fn a_founder_that_dies_founds_with_the_list_it_stored() {
    let grant = plan(1, 3, &[1, 2, 3]);
    let founding = Promises { draft: Some(grant.clone()), grant: Some(grant), founding: true };
    let (mut node, effects) = Node::with(Standing::Virgin(founding), 3, false);
    assert_eq!(initialised(&effects), Some((vec![1, 2, 3], vec![])));
    // Another seed was emptied meanwhile: a founder asks no more.
    let own = node.reply();
    let round = [Some(own), Some(reply(2, 3)), Some(reply(9, 3))];
    node.round(&round);
    assert_eq!(asks(&node.round(&round)), []);
}

#[test]
fn a_founder_that_dies_while_it_asks_goes_on_with_its_round() {
    let promises = Promises { draft: Some(plan(1, 3, &[2, 1, 3])), ..Promises::default() };
    let (mut node, _) = Node::with(Standing::Virgin(promises), 3, false);
    node.round(&replies(&[2, 1, 3]));
    let effects = node.round(&replies(&[2, 1, 3]));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Store(_))), "{effects:?}");
    assert_eq!(asks(&effects), [uuid(2)]);
}

#[test]
fn with_two_seeds_the_founder_is_the_only_voter() {
    let mut node = Node::virgin(1, 2);
    node.round(&replies(&[2, 1]));
    node.round(&replies(&[2, 1]));
    let effects = node.all(yes(2, 1));
    assert_eq!(initialised(&effects), Some((vec![2], vec![1])));
}

#[test]
fn a_node_outside_the_list_never_founds() {
    let mut node = Node::virgin(0, 3);
    node.round(&replies(&[1, 2, 3]));
    let effects = node.round(&replies(&[1, 2, 3]));
    assert_eq!(asks(&effects), []);
    assert_eq!(words(&effects), ["no seed is this node, so it waits for a cluster to join"]);
}

// Granting.

#[test]
fn a_yes_leaves_when_the_grant_is_on_disk() {
    let (mut node, grant) = (Node::virgin(2, 3), plan(1, 1, &[1, 2, 3]));
    let effects = node.step(asked(&grant));
    assert!(matches!(effects[..], [Effect::Store(_)]), "{effects:?}");
    assert!(!node.machine.admits(&cluster("c1"), uuid(1)));
    // No answer is given meanwhile, and none shows what is not stored.
    assert_eq!(node.step(asked(&grant)), []);
    assert_eq!(node.reply().grant, None);
    let effects = node.step(Input::Stored);
    assert_eq!(effects[0], Effect::RunRaft { cluster: cluster("c1"), node: 2 });
    assert_eq!(answer(&effects), Some(GrantAnswer::Yes));
    assert_eq!(node.reply().grant, Some(grant));
}

#[test]
fn a_granted_seed_runs_raft_with_the_nodes_of_its_grant_only() {
    let mut node = Node::virgin(2, 3);
    assert!(!node.machine.admits(&cluster("c1"), uuid(1)));
    node.all(asked(&plan(1, 1, &[1, 2, 3])));
    assert!(node.machine.admits(&cluster("c1"), uuid(3)));
    assert!(!node.machine.admits(&cluster("c1"), uuid(4)));
    assert!(!node.machine.admits(&cluster("c2"), uuid(3)));
    // A higher round of the same asker brings other nodes.
    node.all(asked(&plan(1, 2, &[1, 2, 4])));
    assert!(!node.machine.admits(&cluster("c1"), uuid(3)));
    assert!(node.machine.admits(&cluster("c1"), uuid(4)));
}

#[test]
fn a_grant_is_given_once_and_only_its_asker_raises_it() {
    let held = plan(1, 2, &[1, 2, 3]);
    let other_key = {
        let mut grant = plan(1, 3, &[1, 2, 3]);
        grant.seats[1].key_hash = "another".to_owned();
        grant
    };
    let other_list = Grant { seeds: 7, ..plan(1, 3, &[1, 2, 3]) };
    let moved = {
        let mut grant = plan(1, 3, &[1, 2, 3]);
        grant.seats.swap(0, 1);
        grant
    };
    let no = |why| Some(GrantAnswer::No(why));
    let table = [
        ("the same again", held.clone(), Some(GrantAnswer::Yes), 2),
        ("a higher round", plan(1, 3, &[1, 2, 4]), Some(GrantAnswer::Yes), 3),
        ("a late one of a lower round", plan(1, 1, &[1, 2, 5]), no(Refusal::OldRound(2)), 2),
        ("the same round with another list", plan(1, 2, &[1, 2, 5]), no(Refusal::OldRound(2)), 2),
        ("another asker", plan(3, 9, &[1, 2, 3]), no(Refusal::Granted(uuid(1))), 2),
        ("a list without this node", plan(1, 3, &[1, 8, 3]), no(Refusal::NotListed), 2),
        ("a list without the asker", plan(1, 3, &[7, 2, 3]), no(Refusal::NotListed), 2),
        ("a node at two places", plan(1, 3, &[1, 2, 1]), no(Refusal::NotListed), 2),
        ("another key of this node", other_key, no(Refusal::NotListed), 2),
        ("places out of order", moved, no(Refusal::NotListed), 2),
        ("another seed list", other_list, no(Refusal::OtherList), 2),
        ("fewer seats", plan(1, 3, &[1, 2]), no(Refusal::OtherList), 2),
    ];
    for (name, ask, expected, round) in table {
        let mut node = Node::virgin(2, 3);
        node.all(asked(&held));
        assert_eq!(answer(&node.all(asked(&ask))), expected, "{name}");
        assert_eq!(node.grant().map(|grant| grant.round), Some(round), "{name}");
    }
}

#[test]
fn only_the_asker_itself_asks() {
    let mut node = Node::virgin(2, 3);
    let grant = plan(1, 1, &[1, 2, 3]);
    let effects = node.all(Input::GrantAsked { ticket: Ticket(1), from: uuid(3), grant });
    assert_eq!(answer(&effects), Some(GrantAnswer::No(Refusal::NotListed)));
    assert_eq!(node.grant(), None);
}

#[test]
fn whoever_belongs_to_a_cluster_says_no() {
    let (own, node) = (cluster("c1"), 1);
    let table = [
        (Standing::Joining { cluster: own.clone(), node: None }, Stage::Joining),
        (Standing::Member { cluster: own, node }, Stage::Member),
    ];
    for (standing, stage) in table {
        let (mut node, _) = Node::with(standing.clone(), 3, true);
        let effects = node.all(asked(&plan(2, 1, &[1, 2, 3])));
        assert_eq!(answer(&effects), Some(GrantAnswer::No(Refusal::NotVirgin(stage))));
        assert_eq!(node.standing(), &standing);
    }
}

#[test]
fn a_refusal_is_said_and_changes_nothing() {
    let mut node = Node::virgin(1, 3);
    node.round(&replies(&[2, 1, 3]));
    node.round(&replies(&[2, 1, 3]));
    let before = node.machine.clone();
    let no = GrantAnswer::No(Refusal::Granted(uuid(3)));
    let effects = node.all(Input::GrantAnswered { from: uuid(2), round: 1, answer: no });
    assert_eq!(words(&effects), [format!("seed s0:7946 refuses: it promised itself to node {}", uuid(3))]);
    assert_eq!(node.machine, before);
}

// Meeting a cluster.

fn of_cluster(number: u8, stage: Stage, name: &str) -> Option<ProbeReply> {
    let cluster = Some(cluster(name));
    Some(ProbeReply { stage, bound: cluster.clone(), cluster, ..reply(number, 3) })
}

#[test]
fn a_virgin_joins_the_cluster_that_it_meets() {
    let mut node = Node::virgin(1, 3);
    let round = [Some(reply(1, 3)), of_cluster(2, Stage::Member, "c"), None];
    let effects = node.round(&round);
    let stored = effects.iter().position(|effect| matches!(effect, Effect::Store(_)));
    let join = Effect::Join { cluster: cluster("c"), seeds: vec!["s1:7946".to_owned()] };
    let joins = effects.iter().position(|effect| *effect == join);
    assert!(stored.is_some() && stored < joins, "{effects:?}");
    assert_eq!(node.standing(), &Standing::Joining { cluster: cluster("c"), node: None });
    // It asks again until it is answered, and takes no answer of another cluster.
    let effects = node.round(&round);
    assert!(effects.contains(&join));
    assert_eq!(words(&effects), ["waits until cluster c takes this node; it needs a quorum of its voters"]);
    let outcome = JoinOutcome::Joined(4);
    assert_eq!(node.all(Input::JoinAnswered { cluster: cluster("x"), outcome: outcome.clone() }), []);
    assert_eq!(node.all(Input::JoinAnswered { cluster: cluster("c"), outcome: JoinOutcome::Later }), []);
    let effects = node.all(Input::JoinAnswered { cluster: cluster("c"), outcome });
    assert!(effects.contains(&Effect::RunRaft { cluster: cluster("c"), node: 4 }));
    assert!(node.machine.admits(&cluster("c"), uuid(77)));
    node.all(Input::Committed(cluster("c")));
    assert_eq!(node.standing(), &Standing::Member { cluster: cluster("c"), node: 4 });
}

#[test]
fn a_virgin_that_a_member_dials_joins() {
    let mut node = Node::virgin(1, 3);
    node.all(Input::Contacted(cluster("c")));
    assert_eq!(node.standing(), &Standing::Joining { cluster: cluster("c"), node: None });
}

#[test]
fn a_granted_seed_waits_to_be_replicated_to() {
    let mut node = Node::virgin(2, 3);
    node.all(asked(&plan(1, 1, &[1, 2, 3])));
    let before = node.standing().clone();
    let effects = node.round(&[of_cluster(1, Stage::Member, "c1"), None, None]);
    assert_eq!(words(&effects), ["waits until a quorum of the seeds commits cluster c1"]);
    node.all(Input::Contacted(cluster("c1")));
    assert_eq!(node.standing(), &before);
    node.step(Input::RaftHolds);
    assert_eq!(node.reply().cluster, Some(cluster("c1")));
    node.all(Input::Committed(cluster("c1")));
    assert_eq!(node.standing(), &Standing::Member { cluster: cluster("c1"), node: 2 });
}

#[test]
fn a_granted_seed_that_meets_another_cluster_stops() {
    let met = "this directory is promised to cluster c1 and met cluster x; \
               mend --seeds, or empty the directory if the met cluster is the right one";
    for contacted in [true, false] {
        let mut node = Node::virgin(2, 3);
        node.all(asked(&plan(1, 1, &[1, 2, 3])));
        let before = node.standing().clone();
        let effects = match contacted {
            true => node.all(Input::Contacted(cluster("x"))),
            false => node.round(&[of_cluster(1, Stage::Member, "x"), None, None]),
        };
        assert_eq!(words(&effects), [met]);
        assert!(node.machine.ended());
        assert_eq!(node.standing(), &before);
        assert_eq!(node.all(Input::Tick), []);
    }
}

#[test]
fn two_clusters_among_the_seeds_stop_a_virgin() {
    let mut node = Node::virgin(1, 3);
    let round = [None, of_cluster(2, Stage::Member, "x"), of_cluster(3, Stage::Member, "y")];
    assert_eq!(words(&node.round(&round)), ["the seeds belong to two clusters, x and y; mend --seeds"]);
    assert!(node.machine.ended());
}

#[test]
fn a_member_refuses_other_clusters_and_never_founds() {
    let own = Standing::Member { cluster: cluster("c"), node: 1 };
    let (mut node, effects) = Node::with(own.clone(), 3, true);
    assert!(effects.contains(&Effect::RunRaft { cluster: cluster("c"), node: 1 }));
    let alarm = ["INCONSISTENT_CLUSTER_ID: this node is of cluster c and met cluster x"];
    assert_eq!(words(&node.round(&[None, of_cluster(2, Stage::Member, "x"), None])), alarm);
    assert_eq!(words(&node.all(Input::Contacted(cluster("x")))), alarm);
    assert_eq!(words(&node.all(Input::Committed(cluster("x")))), alarm);
    // All other seeds are virgins now: it stays what it is.
    for _ in 0..3 {
        let reply = node.reply();
        let effects = node.round(&[Some(reply), Some(self::reply(2, 3)), Some(self::reply(3, 3))]);
        assert_eq!(asks(&effects), []);
    }
    assert_eq!(node.standing(), &own);
}

#[test]
fn listeners_open_once_for_a_member_that_is_unfenced() {
    let mut node = Node::virgin(2, 3);
    node.all(asked(&plan(1, 1, &[1, 2, 3])));
    assert_eq!(node.all(Input::Unfenced), []);
    let effects = node.all(Input::Committed(cluster("c1")));
    assert!(matches!(effects[..], [Effect::Store(_), Effect::OpenListeners]), "{effects:?}");
    assert_eq!(node.all(Input::Unfenced), []);
    let (mut node, effects) = Node::with(Standing::Member { cluster: cluster("c"), node: 1 }, 3, true);
    assert!(!effects.contains(&Effect::OpenListeners));
    assert_eq!(node.all(Input::Unfenced), [Effect::OpenListeners]);
}

#[test]
fn a_removed_node_stops_now_and_at_each_start() {
    let words_of = ["NODE_REMOVED: cluster c removed this node; empty its directory to come back"];
    let (mut node, _) = Node::with(Standing::Member { cluster: cluster("c"), node: 1 }, 3, true);
    assert_eq!(node.all(Input::Dismissed(cluster("x"))), []);
    assert_eq!(words(&node.all(Input::Dismissed(cluster("c")))), words_of);
    assert_eq!(node.standing(), &Standing::Removed { cluster: cluster("c") });
    let (node, effects) = Node::with(Standing::Removed { cluster: cluster("c") }, 3, true);
    assert_eq!(words(&effects), words_of);
    assert!(node.machine.ended());
    let (mut node, _) = Node::with(Standing::Joining { cluster: cluster("c"), node: None }, 3, false);
    let outcome = JoinOutcome::Removed;
    assert_eq!(words(&node.all(Input::JoinAnswered { cluster: cluster("c"), outcome })), words_of);
}

#[test]
fn a_commit_that_comes_during_a_write_is_kept() {
    let mut node = Node::virgin(2, 3);
    node.step(asked(&plan(1, 1, &[1, 2, 3])));
    assert_eq!(node.step(Input::Committed(cluster("c1"))), []);
    let effects = node.step(Input::Stored);
    assert!(matches!(effects.last(), Some(Effect::Store(_))), "{effects:?}");
    node.step(Input::Stored);
    assert_eq!(node.standing(), &Standing::Member { cluster: cluster("c1"), node: 2 });
}

// Words.

#[test]
fn a_stuck_virgin_names_the_seed_to_mend() {
    let mut node = Node::virgin(1, 3);
    let listed = SeedList::new(["s0:7946", "s1:7946", "localhost:7946"]);
    let other = ProbeReply { seeds: listed, ..reply(2, 3) };
    let joining = ProbeReply { stage: Stage::Joining, version: 2, ..reply(3, 3) };
    assert_eq!(
        words(&node.round(&[Some(reply(1, 3)), Some(other), None])),
        [
            "seed s1:7946 has another seed list; only here: s2:7946; only there: localhost:7946; \
             give every node the same --seeds",
            "seed s2:7946 does not answer",
        ]
    );
    assert_eq!(
        words(&node.round(&[Some(reply(1, 3)), Some(reply(1, 3)), Some(joining)])),
        [
            "seeds s0:7946 and s1:7946 are one node; name each node once",
            "seed s2:7946 speaks protocol version 2, this node 1; run one release",
            "seed s2:7946 is joining a cluster",
        ]
    );
}

/// A virgin that promised itself to this plan; `holds` says that its Raft log is not empty.
fn promised(number: u8, grant: &Grant, holds: bool) -> Option<ProbeReply> {
    let mut node = Node::virgin(number, 3);
    node.all(asked(grant));
    if holds {
        node.step(Input::RaftHolds);
    }
    Some(node.reply())
}

#[test]
fn a_promise_to_a_founder_that_is_gone_is_named_and_emptied() {
    let grant = plan(1, 1, &[1, 2, 3]);
    let gone = |seed: u8| {
        format!(
            "seed s{seed}:7946 promised itself to node {} for cluster c1, and no seed is that node any more",
            uuid(1)
        )
    };
    let empty = |seed: u8| {
        format!(
            "cluster c1 can form no more; empty the data directory of seed s{seed}:7946 and start it again"
        )
    };
    let waits = format!("waits for node {} to found the cluster", uuid(1));
    // Seed 0 was node 1 and is node 4. No log exists, so nobody can be elected.
    let round = [Some(reply(4, 3)), promised(2, &grant, false), promised(3, &grant, false)];
    let mut node = Node::virgin(4, 3);
    assert_eq!(words(&node.round(&round)), [gone(1), empty(1), gone(2), empty(2), waits]);
    // One seed does not answer: its directory may hold a vote.
    let mut missing = round.clone();
    missing[1] = None;
    assert_eq!(words(&node.round(&missing)), ["seed s1:7946 does not answer"]);
    // A log exists and two of three live: they form the cluster, and nothing is emptied.
    let mut granted = Node::virgin(3, 3);
    granted.all(asked(&grant));
    let alive = [Some(reply(4, 3)), promised(2, &grant, true), promised(3, &grant, false)];
    let wait = "waits until a quorum of the seeds commits cluster c1".to_owned();
    assert_eq!(words(&granted.round(&alive)), [wait.clone(), gone(1), gone(2)]);
    // The log exists, but one of three is no quorum.
    let lost = [Some(reply(4, 3)), Some(reply(5, 3)), promised(3, &grant, true)];
    assert_eq!(words(&granted.round(&lost)), [wait.clone(), gone(2), empty(2)]);
    // A Member answers: it is for the cluster to judge.
    let member = [Some(reply(4, 3)), of_cluster(5, Stage::Member, "c1"), promised(3, &grant, true)];
    assert_eq!(words(&granted.round(&member)), [wait]);
}

#[test]
fn a_joiner_of_a_cluster_that_can_form_no_more_is_emptied_too() {
    let grant = plan(1, 1, &[1, 2, 3]);
    let (mut node, _) = Node::with(Standing::Joining { cluster: cluster("c1"), node: None }, 3, false);
    let joining = of_cluster(4, Stage::Joining, "c1");
    let said = words(&node.round(&[joining, Some(reply(5, 3)), promised(3, &grant, true)]));
    let empty = |seed: u8| format!("empty the data directory of seed s{seed}:7946");
    assert!(said.iter().any(|word| word.contains(&empty(0))), "{said:?}");
    assert!(said.iter().any(|word| word.contains(&empty(2))), "{said:?}");
}

#[test]
fn a_joiner_of_a_cluster_that_no_seed_has_is_named() {
    let mut node = Node::virgin(1, 3);
    let joining = ProbeReply { cluster: None, ..of_cluster(2, Stage::Joining, "c").unwrap() };
    assert_eq!(
        words(&node.round(&[Some(reply(1, 3)), Some(joining), Some(reply(3, 3))])),
        [
            "seed s1:7946 is joining a cluster",
            "seed s1:7946 joins cluster c, which no seed belongs to; if none of its nodes lives, \
             empty the data directory of seed s1:7946 and start it again",
        ]
    );
}

#[test]
fn two_founders_that_share_the_seeds_are_named() {
    // Seed 0 promised itself to 1, was emptied, and is 4 now, which founds too.
    let (one, other) = (plan(1, 1, &[9, 1, 3]), plan(4, 1, &[4, 1, 3]));
    let mut founder = Node::virgin(4, 3);
    let own = ProbeReply { grant: Some(other), ..founder.reply() };
    let round = [Some(own), Some(reply(1, 3)), promised(3, &one, false)];
    let said = words(&founder.round(&round));
    let (one, other) = (uuid(1), uuid(4));
    let both = format!("nodes {one} and {other} both found, and each has only some of the seeds");
    assert!(said.contains(&both), "{said:?}");
    let empty = "cluster c4 can form no more; empty the data directory of seed s0:7946 and start it again";
    assert_eq!(said.iter().filter(|word| word.contains("empty")).collect::<Vec<_>>(), [empty]);
}

// The hello.

/// A hello of cluster c, of a node that was granted broker epoch 3 as its first process.
fn hello_of(processes: Vec<ProcessId>) -> Hello {
    Hello {
        version: 1,
        cluster: Some(cluster("c")),
        cluster_epoch: 2,
        uuid: uuid(1),
        incarnation: 5,
        processes,
        granted: 3,
    }
}

#[test]
fn a_hello_is_judged_row_by_row() {
    let here = Here { version: 1, cluster: Some(cluster("c")), cluster_epoch: 2 };
    let (old, new) = (ProcessId([1; 16]), ProcessId([2; 16]));
    let hello = hello_of(vec![old, new]);
    let known = |process, incarnation| Some(Known::Registered { process, incarnation, epoch: 3 });
    let before = Some(Known::Registered { process: ProcessId([3; 16]), incarnation: 5, epoch: 2 });
    let virgin = Hello { cluster: None, cluster_epoch: 0, ..hello.clone() };
    let foreign = Hello { cluster: Some(cluster("x")), ..hello.clone() };
    let table = [
        ("as it should be", hello.clone(), Some(uuid(1)), known(old, 4), None),
        ("never registered", hello.clone(), None, None, None),
        ("a virgin", virgin.clone(), None, None, None),
        ("its newest start registered", hello.clone(), None, known(new, 5), None),
        (
            "another release",
            Hello { version: 2, ..hello.clone() },
            None,
            None,
            Some(HelloRefusal::Version { here: 1, there: 2 }),
        ),
        (
            "another node at the address",
            hello.clone(),
            Some(uuid(7)),
            None,
            Some(HelloRefusal::OtherNode { dialled: uuid(7), found: uuid(1) }),
        ),
        (
            "another cluster",
            foreign,
            None,
            None,
            Some(HelloRefusal::Cluster { here: cluster("c"), there: cluster("x") }),
        ),
        (
            "from before a recover",
            Hello { cluster_epoch: 1, ..hello.clone() },
            None,
            None,
            Some(HelloRefusal::ClusterEpoch { here: 2, there: 1 }),
        ),
        (
            "a copy from before the last registration",
            hello.clone(),
            None,
            known(ProcessId([3; 16]), 5),
            Some(HelloRefusal::OldDirectory),
        ),
        ("this node slept through two starts of the other", hello.clone(), None, before, None),
        ("a copy with fewer starts", hello.clone(), None, known(old, 6), Some(HelloRefusal::OldDirectory)),
        (
            "a virgin copy of a registered directory",
            virgin,
            None,
            known(ProcessId([3; 16]), 9),
            Some(HelloRefusal::OldDirectory),
        ),
        ("removed", hello, None, Some(Known::Removed), Some(HelloRefusal::Removed)),
    ];
    for (name, hello, dialled, known, expected) in table {
        assert_eq!(refuses(&here, &hello, dialled, known), expected, "{name}");
    }
    let words = HelloRefusal::OldDirectory.to_string();
    assert_eq!(words, "this directory is older than the cluster knows; empty it");
}
