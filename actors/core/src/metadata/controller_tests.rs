//! Tests of the controller: topics, registration and producer ids, step by step.

use super::MorePartitions;
use super::controller::{Ask, ControllerMachine, Effect, Input, NewTopic, Reply, TopicDefaults, TopicRef};
use super::{Committed, Image, LEVELS, Leadership, Listener, ProposalId, Registration};
use crate::error::ErrorCode;
use crate::ids::{Ticket, TopicId};
use crate::machine::Machine;
use crate::node::Effect as Done;
use crate::node::tests::between;
use crate::partition::{Assigned, AssignedRole};
use crate::time::Now;
use std::sync::Arc;

pub(super) const FIRST: ProposalId = ProposalId { node: 1, number: 100 };
pub(super) const LEAD: Leadership = Leadership { term: 1, node: 1 };

pub(super) fn machine() -> ControllerMachine {
    ControllerMachine::new(FIRST, TopicDefaults { partitions: 3, statics: Arc::default() })
}

pub(super) fn register(cluster_id: &str) -> Ask {
    let listeners = vec![Listener::plaintext("h", 9)];
    let node = Box::new(Registration { broker: 1, listeners, levels: LEVELS, ..Registration::default() });
    Ask::Register { node, alone: Some(cluster_id.to_owned()), log_epochs: Vec::new() }
}

pub(super) fn snapshot(image: &Arc<Image>) -> Input {
    Input::Log(Committed::Snapshot { image: Arc::clone(image), index: image.applied })
}

/// A controller and a log that commits at once.
pub(super) struct Rig {
    machine: ControllerMachine,
    index: u64,
    pub(super) image: Arc<Image>,
    next: u64,
}

impl Rig {
    pub(super) fn new() -> Rig {
        let mut rig = Rig { machine: machine(), index: 0, image: Arc::default(), next: 0 };
        rig.step(snapshot(&Arc::default()));
        rig.step(Input::Log(Committed::Lead(LEAD)));
        rig.register();
        rig
    }

    fn register(&mut self) {
        let done = self.ask(register("c"));
        assert!(matches!(done, Reply::Done(_)));
    }

    pub(super) fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        self.machine.step(Now::default(), input, &mut out);
        self.machine.check();
        out
    }

    pub(super) fn ask(&mut self, ask: Ask) -> Reply {
        self.next += 1;
        let ticket = Ticket(self.next);
        let mut effects = self.step(Input::Ask { ticket, ask });
        while !effects.is_empty() {
            match effects.remove(0) {
                Effect::Propose { id, records, .. } => {
                    self.index += 1;
                    let (index, proposal, records) = (self.index, Some(id), records.into());
                    effects.extend(self.step(Input::Log(Committed::Batch { index, proposal, records })));
                }
                Effect::Publish(image) => self.image = image,
                Effect::Dropped(n) => panic!("{n} records did not fit"),
                Effect::Answer(to, reply) => {
                    assert_eq!(to, ticket);
                    return reply;
                }
            }
        }
        panic!("no answer")
    }

    pub(super) fn create(&mut self, topics: Vec<NewTopic>) -> Vec<Result<usize, ErrorCode>> {
        match self.ask(Ask::CreateTopics { topics, validate_only: false }) {
            Reply::Created(outcomes, _) => {
                outcomes.into_iter().map(|o| o.map(|t| t.partitions).map_err(|r| r.code)).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn topic(name: &str, n: u8) -> NewTopic {
    NewTopic::new(name, TopicId([n; 16]))
}

#[test]
fn topics_are_created_deleted_and_created_again_with_a_new_id() {
    let mut rig = Rig::new();
    assert_eq!(rig.create(vec![topic("a", 1)]), [Ok(3)]);
    assert_eq!(rig.create(vec![topic("a", 2)]), [Err(ErrorCode::TopicAlreadyExists)]);
    let gone = |name: &str| TopicRef::named(&rig.image, name.into());
    let gone = vec![gone("a"), gone("b"), TopicRef::Id(TopicId([9; 16]))];
    let Reply::Deleted(outcomes, _) = rig.ask(Ask::DeleteTopics(gone)) else { panic!() };
    assert!(outcomes[0].2.is_ok());
    assert_eq!(outcomes[1].2.as_ref().unwrap_err().code, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(outcomes[2].2.as_ref().unwrap_err().code, ErrorCode::UnknownTopicId);
    assert_eq!(rig.create(vec![topic("a", 3)]), [Ok(3)]);
    assert_eq!(rig.image.topic("a").unwrap().id, TopicId([3; 16]));
}

#[test]
fn a_late_question_by_name_never_means_the_next_topic_of_that_name() {
    let mut rig = Rig::new();
    assert_eq!(rig.create(vec![topic("a", 1)]), [Ok(3)]);
    let late = TopicRef::named(&rig.image, "a".into());
    let more = MorePartitions::named(&rig.image, "a".into(), 9, None);
    let unknown = TopicRef::named(&rig.image, "b".into());
    let code = |rig: &mut Rig, topic: TopicRef| match rig.ask(Ask::DeleteTopics(vec![topic])) {
        Reply::Deleted(told, _) => told[0].2.clone().map_err(|refusal| refusal.code),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(&mut rig, late.clone()), Ok(()));
    assert_eq!(rig.create(vec![topic("a", 2), topic("b", 3)]), [Ok(3), Ok(3)]);
    for late in [late, unknown] {
        assert_eq!(code(&mut rig, late.clone()), Err(ErrorCode::UnknownTopicOrPartition), "{late:?}");
    }
    let grown = rig.ask(Ask::CreatePartitions { topics: vec![more], validate_only: false });
    let Reply::Altered(told, _) = grown else { panic!("{grown:?}") };
    assert_eq!(told[0].as_ref().unwrap_err().code, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(rig.image.topic("a").map(|topic| topic.partitions.len()), Some(3));
}

#[test]
fn who_names_a_topic_twice_deletes_nothing() {
    let mut rig = Rig::new();
    assert_eq!(rig.create(vec![topic("a", 1)]), [Ok(3)]);
    let (name, id) = (TopicRef::named(&rig.image, "a".into()), TopicRef::Id(TopicId([1; 16])));
    let asked = [
        vec![name.clone(), name.clone()],
        vec![id.clone(), id.clone()],
        vec![name, id],
        vec![TopicRef::Both("a".into(), TopicId([1; 16]))],
        vec![TopicRef::Id(TopicId::ZERO)],
    ];
    for topics in asked {
        let Reply::Deleted(told, _) = rig.ask(Ask::DeleteTopics(topics.clone())) else { panic!() };
        let codes: Vec<_> = told.iter().map(|(_, _, one)| one.as_ref().map_err(|r| r.code)).collect();
        assert_eq!(codes, [Err(ErrorCode::InvalidRequest)], "{topics:?}");
        assert!(rig.image.topic("a").is_some(), "{topics:?}");
    }
}

#[test]
fn what_cannot_be_created_is_refused_with_kafkas_code() {
    let mut rig = Rig::new();
    let with = |change: fn(&mut NewTopic)| {
        let mut t = topic("t.x", 1);
        change(&mut t);
        vec![t]
    };
    let refused = [
        (with(|t| t.name = "a/b".into()), ErrorCode::InvalidTopicException),
        (with(|t| t.partitions = 0), ErrorCode::InvalidPartitions),
        (with(|t| t.replication_factor = 2), ErrorCode::InvalidReplicationFactor),
        (
            with(|t| t.configs = vec![("cleanup.policy".into(), Some("compact".into()))]),
            ErrorCode::InvalidConfig,
        ),
        (with(|t| t.assignments = vec![(0, vec![7])]), ErrorCode::InvalidReplicaAssignment),
        (with(|t| t.assignments = vec![(1, vec![1])]), ErrorCode::InvalidReplicaAssignment),
    ];
    for (topics, code) in refused {
        assert_eq!(rig.create(topics), [Err(code)]);
    }
    let twice = with(|t| t.assignments = vec![(0, vec![1]), (0, vec![1])]);
    assert_eq!(rig.create(twice), [Err(ErrorCode::InvalidReplicaAssignment)]);
    assert_eq!(rig.create(with(|t| t.assignments = vec![(1, vec![1]), (0, vec![1])])), [Ok(2)]);
    assert_eq!(
        rig.create(vec![topic("t_x", 4)]),
        [Err(ErrorCode::InvalidTopicException)],
        "t.x and t_x collide"
    );
    let twice = vec![topic("b", 5), topic("b", 6), topic("c", 7)];
    assert_eq!(rig.create(twice), [Err(ErrorCode::InvalidRequest), Err(ErrorCode::InvalidRequest), Ok(3)]);
}

#[test]
fn two_creations_of_one_name_in_one_moment_do_not_both_pass() {
    let mut rig = Rig::new();
    let ask = |n| Input::Ask {
        ticket: Ticket(n),
        ask: Ask::CreateTopics { topics: vec![topic("a", n as u8)], validate_only: false },
    };
    let first = rig.step(ask(50));
    assert!(matches!(&first[..], [Effect::Propose { .. }]));
    let second = rig.step(ask(51));
    let [Effect::Answer(_, Reply::Created(outcomes, _))] = &second[..] else { panic!("{second:?}") };
    assert_eq!(outcomes[0].as_ref().unwrap_err().code, ErrorCode::TopicAlreadyExists);
}

#[test]
fn producer_ids_never_repeat_and_a_restart_gives_new_leader_epochs() {
    let mut rig = Rig::new();
    let mut ids = || match rig.ask(Ask::ProducerIds) {
        Reply::ProducerIds(first) => first,
        other => panic!("{other:?}"),
    };
    assert_eq!([ids(), ids(), ids()], [0, 1000, 2000]);
    rig.create(vec![topic("a", 1)]);
    let before = Arc::clone(&rig.image);
    rig.register();
    let changes = between(&before, &rig.image, 1);
    let leads =
        |assigned: &Assigned| matches!(assigned.role, AssignedRole::Leader(_)) && assigned.leader_epoch == 1;
    let told = |done: &&Done| matches!(done, Done::Assign { assigned, .. } if leads(assigned));
    assert_eq!(changes.iter().filter(told).count(), 3);
}
