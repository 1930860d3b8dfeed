//! Tests of the controller: topics grow and configs change, step by step.

use super::controller::{Ask, Effect, Input, Reply};
use super::controller_tests::{Rig, topic};
use super::{Alteration, ConfigOp, Image, MetadataRecord, MorePartitions, ResourceKind};
use crate::error::ErrorCode;
use crate::ids::{Ticket, TopicId};
use crate::node::tests::between;
use crate::node::{Effect as Done, Origin};
use std::sync::Arc;

fn more(name: &str, count: i32) -> MorePartitions {
    let id = match name {
        "a" => TopicId([1; 16]),
        "b" => TopicId([2; 16]),
        _ => TopicId::ZERO,
    };
    MorePartitions { name: name.into(), id, count, assignments: None }
}

fn placed(name: &str, count: i32, assignments: &[&[i32]]) -> MorePartitions {
    let assignments = assignments.iter().map(|replicas| replicas.to_vec()).collect();
    MorePartitions { assignments: Some(assignments), ..more(name, count) }
}

fn codes(reply: Reply) -> Vec<Result<(), ErrorCode>> {
    match reply {
        Reply::Altered(outcomes, _) => outcomes.into_iter().map(|o| o.map_err(|r| r.code)).collect(),
        other => panic!("{other:?}"),
    }
}

fn grow(rig: &mut Rig, topics: Vec<MorePartitions>) -> Vec<Result<(), ErrorCode>> {
    codes(rig.ask(Ask::CreatePartitions { topics, validate_only: false }))
}

fn alter(rig: &mut Rig, alterations: Vec<Alteration>) -> Vec<Result<(), ErrorCode>> {
    codes(rig.ask(Ask::AlterConfigs { broker_id: 1, alterations, validate_only: false }))
}

fn change(kind: ResourceKind, name: &str, changes: &[(&str, ConfigOp, Option<&str>)]) -> Alteration {
    let changes = changes.iter().map(|(n, op, v)| ((*n).to_owned(), *op, v.map(str::to_owned))).collect();
    Alteration { kind, name: name.into(), replace: false, changes }
}

fn set(kind: ResourceKind, name: &str, config: &str, value: &str) -> Alteration {
    change(kind, name, &[(config, ConfigOp::Set, Some(value))])
}

fn of<'a>(rig: &'a Rig, topic: &str, config: &str) -> Option<&'a str> {
    rig.image.topic(topic).unwrap().configs.get(config).map(String::as_str)
}

#[test]
fn a_topic_grows_and_its_new_partitions_are_started() {
    let mut rig = Rig::new();
    rig.create(vec![topic("a", 1), topic("b", 2)]);
    let before = Arc::clone(&rig.image);
    assert_eq!(grow(&mut rig, vec![more("a", 5), placed("b", 4, &[&[1]])]), [Ok(()), Ok(())]);
    assert_eq!(rig.image.topic("a").unwrap().partitions.len(), 5);
    let started: Vec<(TopicId, i32)> = between(&before, &rig.image, 1)
        .into_iter()
        .map(|done| match done {
            Done::Start { life, origin: Origin::New, assigned, .. } if assigned.leader_epoch == 0 => {
                (life.id.topic, life.id.partition)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(started, [(TopicId([1; 16]), 3), (TopicId([1; 16]), 4), (TopicId([2; 16]), 3)]);
}

#[test]
fn what_is_no_increase_is_refused_with_kafkas_code() {
    let mut rig = Rig::new();
    rig.create(vec![topic("a", 1)]);
    let refused = [
        (more("a", 3), ErrorCode::InvalidPartitions),
        (more("a", 2), ErrorCode::InvalidPartitions),
        (more("a", -1), ErrorCode::InvalidPartitions),
        (more("a", 10_001), ErrorCode::PolicyViolation),
        (more("none", 5), ErrorCode::UnknownTopicOrPartition),
        (placed("a", 4, &[]), ErrorCode::InvalidReplicaAssignment),
        (placed("a", 4, &[&[1], &[1]]), ErrorCode::InvalidReplicaAssignment),
        (placed("a", 4, &[&[]]), ErrorCode::InvalidReplicaAssignment),
        (placed("a", 4, &[&[7]]), ErrorCode::InvalidReplicaAssignment),
        (placed("a", 4, &[&[1, 1]]), ErrorCode::InvalidReplicaAssignment),
    ];
    for (topic, code) in refused {
        assert_eq!(grow(&mut rig, vec![topic.clone()]), [Err(code)], "{topic:?}");
    }
    let twice = vec![more("a", 4), more("a", 5)];
    assert_eq!(grow(&mut rig, twice), [Err(ErrorCode::InvalidRequest), Err(ErrorCode::InvalidRequest)]);
    let topics = vec![more("a", 4)];
    let checked = codes(rig.ask(Ask::CreatePartitions { topics, validate_only: true }));
    assert_eq!(checked, [Ok(())]);
    assert_eq!(rig.image.topic("a").unwrap().partitions.len(), 3, "only checked");
}

#[test]
fn two_growths_in_one_moment_count_each_other() {
    let mut rig = Rig::new();
    rig.create(vec![topic("a", 1)]);
    let ask = |n| Input::Ask {
        ticket: Ticket(n),
        ask: Ask::CreatePartitions { topics: vec![more("a", 4)], validate_only: false },
    };
    assert!(matches!(&rig.step(ask(50))[..], [Effect::Propose { .. }]));
    let second = rig.step(ask(51));
    let [Effect::Answer(_, Reply::Altered(outcomes, _))] = &second[..] else { panic!("{second:?}") };
    assert_eq!(outcomes[0].as_ref().unwrap_err().message, "Topic already has 4 partition(s).");
}

#[test]
fn some_configs_change_and_the_others_stay() {
    use ConfigOp::{Append, Delete, Set, Subtract};
    let mut rig = Rig::new();
    rig.create(vec![topic("a", 1)]);
    let both = change(
        ResourceKind::Topic,
        "a",
        &[("retention.ms", Set, Some(" 1000 ")), ("max.message.bytes", Set, Some("7"))],
    );
    assert_eq!(alter(&mut rig, vec![both]), [Ok(())]);
    assert_eq!(
        (of(&rig, "a", "retention.ms"), of(&rig, "a", "max.message.bytes")),
        (Some("1000"), Some("7"))
    );
    let before = Arc::clone(&rig.image);
    let gone = change(ResourceKind::Topic, "a", &[("retention.ms", Delete, None), ("no.such", Delete, None)]);
    assert_eq!(alter(&mut rig, vec![gone]), [Ok(())]);
    assert_eq!((of(&rig, "a", "retention.ms"), of(&rig, "a", "max.message.bytes")), (None, Some("7")));
    let told = between(&before, &rig.image, 1);
    assert_eq!(told.iter().filter(|done| matches!(done, Done::Configure { .. })).count(), 3, "{told:?}");
    assert!(matches!(told[3..], [Done::Mark { .. }]), "{told:?}");
    // An append of known words, or a removal of unknown words, changes nothing in a list.
    let same = change(ResourceKind::Topic, "a", &[("cleanup.policy", Append, Some("delete"))]);
    let less = change(ResourceKind::Topic, "a", &[("cleanup.policy", Subtract, Some("compact"))]);
    assert_eq!((alter(&mut rig, vec![same]), alter(&mut rig, vec![less])), (vec![Ok(())], vec![Ok(())]));
    assert_eq!(of(&rig, "a", "cleanup.policy"), Some("delete"));
    const THROTTLED: &str = "leader.replication.throttled.replicas";
    for (op, words, list) in [
        (Append, "0:1", "0:1"),
        (Append, "1:1,0:1,2:1", "0:1,1:1,2:1"),
        (Subtract, "1:1,7:7", "0:1,2:1"),
        (Subtract, "0:1,2:1", ""),
    ] {
        assert_eq!(
            alter(&mut rig, vec![change(ResourceKind::Topic, "a", &[(THROTTLED, op, Some(words))])]),
            [Ok(())]
        );
        assert_eq!(of(&rig, "a", THROTTLED), Some(list));
    }
}

#[test]
fn a_list_that_nobody_could_store_is_not_even_split() {
    let mut rig = Rig::new();
    rig.create(vec![topic("a", 1)]);
    let long = "1:1,".repeat(crate::limits::CONFIG_VALUE_MAX);
    for op in [ConfigOp::Set, ConfigOp::Append, ConfigOp::Subtract] {
        let asked =
            change(ResourceKind::Topic, "a", &[("leader.replication.throttled.replicas", op, Some(&long))]);
        assert_eq!(alter(&mut rig, vec![asked]), [Err(ErrorCode::InvalidConfig)]);
    }
}

#[test]
fn groups_and_subscriptions_have_configs_until_the_last_is_taken_back() {
    let mut rig = Rig::new();
    for (kind, config, value) in [
        (ResourceKind::Group, "consumer.session.timeout.ms", "50000"),
        (ResourceKind::ClientMetrics, "interval.ms", "500"),
    ] {
        assert_eq!(alter(&mut rig, vec![set(kind, "x", config, value)]), [Ok(())]);
        let json = serde_json::to_string(&*rig.image).unwrap();
        assert_eq!(serde_json::from_str::<Image>(&json).unwrap(), *rig.image);
    }
    let listed = |rig: &Rig| (rig.image.group_configs.len(), rig.image.metrics_configs.len());
    assert_eq!(listed(&rig), (1, 1));
    assert_eq!(rig.image.metrics_configs["x"]["interval.ms"], "500");
    for (kind, config) in
        [(ResourceKind::Group, "consumer.session.timeout.ms"), (ResourceKind::ClientMetrics, "interval.ms")]
    {
        assert_eq!(alter(&mut rig, vec![change(kind, "x", &[(config, ConfigOp::Delete, None)])]), [Ok(())]);
        assert_eq!(
            alter(&mut rig, vec![change(kind, "x", &[("no.such", ConfigOp::Delete, None)])]),
            [Ok(())]
        );
    }
    assert_eq!(listed(&rig), (0, 0));
}

#[test]
fn what_cannot_be_altered_is_refused_with_kafkas_code() {
    use ConfigOp::{Append, Set, Subtract, Unknown};
    use ErrorCode::{InvalidConfig, InvalidRequest, InvalidTopicException, UnknownTopicOrPartition};
    use ResourceKind::{Broker, BrokerLogger, ClientMetrics, Group, Topic};
    let mut rig = Rig::new();
    rig.create(vec![topic("a", 1)]);
    let replaced = |kind| Alteration { replace: true, ..set(kind, "1", "x", "INFO") };
    let refused = [
        (set(Topic, "a", "no.such", "1"), InvalidConfig),
        (set(Topic, "a", "retention.ms", "-2"), InvalidConfig),
        (set(Topic, "a", "cleanup.policy", "compact"), InvalidConfig),
        (change(Topic, "a", &[("cleanup.policy", Append, Some("compact"))]), InvalidConfig),
        (change(Topic, "a", &[("no.such", Subtract, Some("delete"))]), InvalidConfig),
        (set(Topic, "a", "remote.storage.enable", "true"), InvalidConfig),
        (set(Topic, "a", "segment.bytes", "1"), InvalidConfig),
        (change(Topic, "a", &[("retention.ms", Append, Some("1"))]), InvalidConfig),
        (change(Topic, "a", &[("retention.ms", Set, None)]), InvalidRequest),
        (change(Topic, "a", &[("retention.ms", Unknown(9), Some("1"))]), InvalidRequest),
        (
            change(Topic, "a", &[("flush.messages", Set, Some("1")), ("flush.messages", Set, Some("1"))]),
            InvalidRequest,
        ),
        (set(Topic, "none", "retention.ms", "1"), UnknownTopicOrPartition),
        (set(Topic, "", "retention.ms", "1"), InvalidRequest),
        (set(Topic, "a/b", "retention.ms", "1"), InvalidTopicException),
        (set(Broker, "7", "log.retention.ms", "1000"), InvalidRequest),
        (set(Broker, "x", "log.retention.ms", "1000"), InvalidRequest),
        (set(Broker, "1", "num.partitions", "3"), InvalidRequest),
        (set(Broker, "", "log.retention.ms", "0"), InvalidRequest),
        (set(Broker, "", "no.such", "1"), InvalidConfig),
        (set(Broker, "", "min.insync.replicas", "0"), InvalidRequest),
        (set(Broker, "1", "min.insync.replicas", "2"), InvalidConfig),
        (change(Broker, "", &[("min.insync.replicas", ConfigOp::Delete, None)]), InvalidConfig),
        (set(Broker, "", "log.local.retention.ms", "-1"), InvalidRequest),
        (set(Broker, "", "log.cleanup.policy", "compact"), InvalidConfig),
        (change(Broker, "", &[("log.retention.ms", Append, Some("1"))]), InvalidConfig),
        (set(BrokerLogger, "1", "kafka", "INFO"), InvalidConfig),
        (set(BrokerLogger, "7", "kafka", "INFO"), InvalidRequest),
        (set(ClientMetrics, "m", "interval.ms", "99"), InvalidRequest),
        (set(ClientMetrics, "m", "interval.ms", "x"), InvalidConfig),
        (set(ClientMetrics, "m", "match", "client_id"), InvalidConfig),
        (set(ClientMetrics, "m", "no.such", "1"), InvalidRequest),
        (change(ClientMetrics, "m", &[("metrics", Append, Some("a"))]), InvalidConfig),
        (set(ClientMetrics, "", "interval.ms", "100"), InvalidRequest),
        (set(Group, "g", "consumer.session.timeout.ms", "44999"), InvalidConfig),
        (set(Group, "g", "no.such", "1"), InvalidConfig),
        (change(Group, "g", &[("consumer.session.timeout.ms", Append, Some("1"))]), InvalidConfig),
        (set(Group, &"g".repeat(40_000), "consumer.session.timeout.ms", "50000"), InvalidRequest),
        (set(Group, "", "consumer.session.timeout.ms", "50000"), InvalidRequest),
        (set(ResourceKind::Unknown(3), "x", "y", "z"), InvalidRequest),
        (replaced(BrokerLogger), InvalidRequest),
    ];
    for (alteration, code) in refused {
        assert_eq!(alter(&mut rig, vec![alteration.clone()]), [Err(code)], "{alteration:?}");
    }
    let twice = vec![
        set(Topic, "a", "retention.ms", "1"),
        set(Topic, "a", "retention.ms", "2"),
        set(Broker, "", "log.retention.bytes", "1"),
    ];
    assert_eq!(alter(&mut rig, twice), [Err(InvalidRequest), Err(InvalidRequest), Ok(())]);
    assert!(rig.image.topic("a").unwrap().configs.is_empty());
}

#[test]
fn all_configs_are_replaced_and_only_checked_if_asked_so() {
    let mut rig = Rig::new();
    rig.create(vec![topic("a", 1)]);
    let all = |configs: &[(&str, &str)]| {
        let changes: Vec<_> = configs.iter().map(|(n, v)| (*n, ConfigOp::Set, Some(*v))).collect();
        vec![Alteration { replace: true, ..change(ResourceKind::Topic, "a", &changes) }]
    };
    assert_eq!(alter(&mut rig, all(&[("retention.ms", "1"), ("retention.bytes", "2")])), [Ok(())]);
    assert_eq!(alter(&mut rig, all(&[("retention.bytes", "3")])), [Ok(())]);
    assert_eq!((of(&rig, "a", "retention.ms"), of(&rig, "a", "retention.bytes")), (None, Some("3")));
    let alterations = all(&[]);
    let only_check = Ask::AlterConfigs { broker_id: 1, alterations, validate_only: true };
    assert_eq!(codes(rig.ask(only_check)), [Ok(())]);
    assert_eq!(of(&rig, "a", "retention.bytes"), Some("3"));
    assert_eq!(alter(&mut rig, all(&[])), [Ok(())]);
    assert!(rig.image.topic("a").unwrap().configs.is_empty());
}

#[test]
fn what_is_set_for_brokers_reaches_every_leader_and_survives_as_json() {
    let mut rig = Rig::new();
    rig.create(vec![topic("a", 1)]);
    for name in ["", "1"] {
        let before = Arc::clone(&rig.image);
        assert_eq!(
            alter(&mut rig, vec![set(ResourceKind::Broker, name, "message.max.bytes", "500")]),
            [Ok(())]
        );
        let told = between(&before, &rig.image, 1);
        assert_eq!(told.iter().filter(|done| matches!(done, Done::Configure { .. })).count(), 3, "{told:?}");
        assert!(matches!(told[3..], [Done::Mark { .. }]), "{told:?}");
    }
    let json = serde_json::to_string(&*rig.image).unwrap();
    assert_eq!(serde_json::from_str::<Image>(&json).unwrap(), *rig.image);
    let back = change(ResourceKind::Broker, "1", &[("message.max.bytes", ConfigOp::Delete, None)]);
    assert_eq!(alter(&mut rig, vec![back]), [Ok(())]);
    assert!(rig.image.broker_configs.is_empty());
    assert_eq!(rig.image.cluster_configs.get("message.max.bytes").map(String::as_str), Some("500"));
}

#[test]
fn a_record_about_what_is_gone_changes_nothing() {
    let mut image = Image::default();
    let id = TopicId([9; 16]);
    let (replicas, isr) = (vec![vec![1]], Vec::new());
    image.apply(&MetadataRecord::Partitions { topic: id, first: 0, replicas, isr }, 1);
    let changes = [("retention.ms".to_owned(), Some("1".to_owned()))].into();
    image.apply(&MetadataRecord::Configs { of: super::ConfigOf::Topic(id), changes }, 2);
    assert_eq!(image, Image::default());
}
