//! Tests of placement: leaders and followers spread, racks are used, and what cannot be placed is refused.

use super::cluster_rig::{Cluster, id, node};
use super::configs::Statics;
use super::controller::{Ask, NewTopic, Reply};
use super::{MorePartitions, Partition, Registration, Verdict};
use crate::error::ErrorCode;
use crate::ids::TopicId;
use std::collections::BTreeMap;

fn wanted(n: u8, partitions: i32, replication_factor: i16) -> NewTopic {
    NewTopic { partitions, replication_factor, ..NewTopic::new(&format!("t{n}"), TopicId([n; 16])) }
}

fn create(cluster: &mut Cluster, topic: NewTopic) -> Result<usize, ErrorCode> {
    let asked = Ask::CreateTopics { topics: vec![topic], validate_only: false };
    let Reply::Created(mut outcomes, _) = cluster.done(asked) else { panic!() };
    outcomes.remove(0).map(|made| made.replication_factor).map_err(|refusal| refusal.code)
}

fn partitions(cluster: &Cluster, n: u8) -> &[Partition] {
    &cluster.image.topics[&TopicId([n; 16])].partitions
}

/// The largest and the smallest count of a node, as `of` counts.
fn span(cluster: &Cluster, n: u8, of: impl Fn(&Partition) -> Vec<i32>) -> usize {
    let mut counts: BTreeMap<i32, usize> = cluster.image.brokers.keys().map(|id| (*id, 0)).collect();
    for id in partitions(cluster, n).iter().flat_map(of) {
        *counts.entry(id).or_default() += 1;
    }
    let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
    most - least
}

fn more(n: u8, count: i32, assignments: Option<Vec<Vec<i32>>>) -> MorePartitions {
    MorePartitions { name: format!("t{n}"), id: TopicId([n; 16]), count, assignments }
}

#[test]
fn leaders_followers_and_their_successors_spread() {
    for nodes in [3, 4, 5, 7] {
        let mut cluster = Cluster::of(nodes);
        for (n, factor) in [(1u8, 1), (2, 2), (3, 3)] {
            assert_eq!(create(&mut cluster, wanted(n, 4 * i32::from(nodes), factor)), Ok(factor as usize));
            let grown = more(n, 60, None);
            cluster.done(Ask::CreatePartitions { topics: vec![grown], validate_only: false });
            assert_eq!(partitions(&cluster, n).len(), 60);
            let case = format!("{nodes} nodes, factor {factor}");
            assert!(span(&cluster, n, |p| vec![p.leader]) <= 1, "{case}");
            assert!(span(&cluster, n, |p| p.replicas.clone()) <= 2, "{case}");
            // Where a node dies, its leaderships go to the second replicas, and those are not all one node.
            for dead in 1..=i32::from(nodes) {
                let led = partitions(&cluster, n).iter().filter(|p| p.leader == dead && factor > 1);
                let heirs: std::collections::BTreeSet<i32> = led.map(|p| p.replicas[1]).collect();
                assert!(factor == 1 || heirs.len() > 1, "{case}: {heirs:?}");
            }
            for p in partitions(&cluster, n) {
                assert_eq!((p.leader, &p.isr), (p.replicas[0], &p.replicas));
            }
        }
    }
}

#[test]
fn the_first_partitions_of_many_topics_are_led_by_all_nodes() {
    let mut cluster = Cluster::of(3);
    let mut leads: BTreeMap<i32, usize> = BTreeMap::new();
    for n in 1..=90 {
        create(&mut cluster, wanted(n, 1, 2)).unwrap();
        *leads.entry(partitions(&cluster, n)[0].leader).or_default() += 1;
    }
    assert!(leads.len() == 3 && leads.values().all(|n| (18..=42).contains(n)), "{leads:?}");
}

#[test]
fn each_rack_gets_a_replica_and_racks_of_different_size_still_share() {
    let racks = [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "c")];
    let mut cluster = Cluster::of(0);
    for (id, rack) in racks {
        cluster.join(Registration { rack: Some(rack.into()), ..node(id, id as u8) });
    }
    create(&mut cluster, wanted(1, 60, 3)).unwrap();
    for p in partitions(&cluster, 1) {
        let of = |id: &i32| racks[*id as usize - 1].1;
        let mut used: Vec<&str> = p.replicas.iter().map(of).collect();
        used.sort_unstable();
        assert_eq!(used, ["a", "b", "c"], "{:?}", p.replicas);
    }
    assert!(span(&cluster, 1, |p| vec![p.leader]) <= 1);
}

#[test]
fn the_default_factor_is_three_or_as_many_nodes_as_there_are_fenced_or_not() {
    for (nodes, factor) in [(1, 1), (2, 2), (3, 3), (5, 3)] {
        let mut cluster = Cluster::of(nodes);
        cluster.judge(vec![cluster.fence(i32::from(nodes))]);
        cluster.commit();
        let made = create(&mut cluster, wanted(1, 4, -1));
        if nodes == 1 {
            assert_eq!(made, Err(ErrorCode::InvalidReplicationFactor), "its only node is fenced (R43)");
            continue;
        }
        assert_eq!(made, Ok(factor));
        assert!(cluster.image.topics[&TopicId([1; 16])].default_factor);
        let fenced = i32::from(nodes);
        for p in partitions(&cluster, 1) {
            assert!(!p.isr.contains(&fenced) && p.leader != fenced && p.isr.contains(&p.leader), "{p:?}");
        }
        assert_eq!(
            create(&mut cluster, wanted(2, 1, i16::from(nodes) + 1)),
            Err(ErrorCode::InvalidReplicationFactor)
        );
    }
}

#[test]
fn a_number_of_replicas_in_the_file_holds_for_users_topics_and_is_not_raised() {
    const FEW: Result<usize, ErrorCode> = Err(ErrorCode::InvalidReplicationFactor);
    for (nodes, said, made, internal) in
        [(1, "1", Ok(1), 1), (1, "3", FEW, 1), (2, "3", FEW, 2), (3, "1", Ok(1), 3), (5, "4", Ok(4), 3)]
    {
        let statics = Statics::new([("default.replication.factor", said.to_owned())]);
        let mut cluster = Cluster::of_with(nodes, statics);
        assert_eq!(create(&mut cluster, wanted(1, 1, -1)), made, "{nodes} nodes, {said}");
        let default = |n| cluster.image.topics.get(&TopicId([n; 16])).map(|topic| topic.default_factor);
        assert_eq!(default(1), made.is_ok().then_some(false), "the file chose it, not the cluster");
        let offsets = NewTopic { name: "__consumer_offsets".into(), ..wanted(2, 1, -1) };
        assert_eq!(create(&mut cluster, offsets), Ok(internal));
        assert!(cluster.image.topics[&TopicId([2; 16])].default_factor);
        assert_eq!(create(&mut cluster, wanted(3, 1, i16::from(nodes) + 1)), FEW);
    }
}

#[test]
fn replicas_that_a_client_chose_need_one_that_lives() {
    let mut cluster = Cluster::of(3);
    cluster.judge(vec![cluster.fence(1), Verdict::ShuttingDown(cluster.peer(2))]);
    cluster.commit();
    let chosen = |n, replicas: &[i32]| NewTopic {
        assignments: vec![(0, replicas.to_vec())],
        ..NewTopic::new(&format!("t{n}"), TopicId([n; 16]))
    };
    assert_eq!(create(&mut cluster, chosen(1, &[1, 2])), Err(ErrorCode::InvalidReplicaAssignment));
    assert_eq!(create(&mut cluster, chosen(2, &[1, 2, 3])), Ok(3));
    assert_eq!(cluster.led(id(2, 0)), (3, 0, vec![3]));
    let grow = |assignments: &[&[i32]]| {
        let assignments = Some(assignments.iter().map(|one| one.to_vec()).collect());
        let topics = vec![more(2, 2, assignments)];
        Ask::CreatePartitions { topics, validate_only: false }
    };
    let three = cluster.fence(3);
    let Reply::Altered(outcomes, _) = cluster.done(grow(&[&[3, 1, 2]])) else { panic!() };
    assert!(outcomes[0].is_ok());
    assert_eq!(cluster.led(id(2, 1)), (3, 0, vec![3]));
    cluster.judge(vec![three]);
    cluster.commit();
    let topics = vec![more(2, 3, Some(vec![vec![3, 1, 2]]))];
    let Reply::Altered(outcomes, _) = cluster.done(Ask::CreatePartitions { topics, validate_only: false })
    else {
        panic!()
    };
    let refusal = outcomes[0].as_ref().unwrap_err();
    assert!(refusal.message.contains("partition 2 "), "counted from the topic's first: {refusal:?}");
    assert_eq!(create(&mut cluster, wanted(3, 1, 1)), Err(ErrorCode::InvalidReplicationFactor));
}

#[test]
fn a_creation_that_is_asked_again_is_a_success() {
    let mut cluster = Cluster::of(1);
    let ask = || Ask::CreateTopics { topics: vec![wanted(1, 2, 1)], validate_only: false };
    // The second attempt comes while the first is on its way, the third when it is committed.
    let (first, second) = (cluster.ask(ask()), cluster.ask(ask()));
    let waits = !cluster.answers.contains_key(&first) && !cluster.answers.contains_key(&second);
    assert!(waits && cluster.proposed.len() == 1, "the second waits for the first");
    cluster.commit();
    let third = cluster.ask(ask());
    assert_eq!(cluster.answers[&first], cluster.answers[&second]);
    assert_eq!(cluster.answers[&second], cluster.answers[&third]);
    assert!(matches!(&cluster.answers[&third], Reply::Created(outcomes, _) if outcomes[0].is_ok()));
    let other = NewTopic { id: TopicId([2; 16]), ..wanted(1, 2, 1) };
    assert_eq!(create(&mut cluster, other), Err(ErrorCode::TopicAlreadyExists));
    let renamed = NewTopic { name: "other".into(), ..wanted(1, 2, 1) };
    assert_eq!(create(&mut cluster, renamed), Err(ErrorCode::InvalidRequest), "ids are never reused");
    // An attempt that waits for one that the log refuses makes the topic itself.
    let ask = || Ask::CreateTopics { topics: vec![wanted(3, 2, 1)], validate_only: false };
    let (first, second) = (cluster.ask(ask()), cluster.ask(ask()));
    cluster.refuse_one();
    cluster.commit();
    assert!(matches!(&cluster.answers[&first], Reply::Failed(_)));
    assert!(matches!(&cluster.answers[&second], Reply::Created(outcomes, _) if outcomes[0].is_ok()));
    // A late repetition does not make a deleted topic again.
    let gone = vec![super::TopicRef::Id(TopicId([3; 16]))];
    cluster.done(Ask::DeleteTopics(gone));
    assert_eq!(create(&mut cluster, wanted(3, 2, 1)), Err(ErrorCode::UnknownTopicOrPartition));
}

#[test]
fn a_request_for_too_many_partitions_is_refused_as_a_whole() {
    let mut cluster = Cluster::of(1);
    let chosen = |n, partitions: i32| NewTopic {
        assignments: (0..partitions).map(|partition| (partition, vec![1])).collect(),
        ..wanted(n, -1, -1)
    };
    // Each row: the topics of a request, and whether they are judged at all. A topic without a number has one partition.
    let metadata = NewTopic { name: "__cluster_metadata".into(), ..wanted(9, 9_000, 1) };
    let rows = [
        (vec![wanted(1, 9_999, 1), wanted(2, -1, 1)], true),
        (vec![wanted(1, 10_000, 1), wanted(2, -1, 1)], false),
        (vec![wanted(1, 5_000, 1), wanted(2, 5_000, 1), wanted(3, 1, 1)], false),
        (vec![wanted(1, 9_999, 1), chosen(2, 2)], false),
        (vec![wanted(1, 9_999, 1), wanted(2, -7, 1)], true),
        (vec![wanted(1, 9_000, 1), wanted(2, 9_000, 1), wanted(2, 9_000, 1), metadata], true),
    ];
    for (n, (topics, judged)) in rows.into_iter().enumerate() {
        let said = cluster.done(Ask::CreateTopics { topics, validate_only: true });
        match said {
            Reply::Created(..) => assert!(judged, "{n}"),
            Reply::Failed(refusal) => {
                assert!(!judged, "{n}");
                assert_eq!(refusal.code, ErrorCode::PolicyViolation);
                assert_eq!(refusal.message, "Excessively large number of partitions per request.");
            }
            other => panic!("{other:?}"),
        }
    }
    for n in 1..=2 {
        create(&mut cluster, wanted(n, 1, 1)).unwrap();
    }
    for (one, two, judged) in [(5_001, 5_001, true), (5_001, 5_002, false), (i32::MAX, 1, false)] {
        let topics = vec![more(1, one, None), more(2, two, None)];
        let said = cluster.done(Ask::CreatePartitions { topics, validate_only: true });
        assert_eq!(matches!(said, Reply::Altered(..)), judged, "{one} {two}");
    }
}
