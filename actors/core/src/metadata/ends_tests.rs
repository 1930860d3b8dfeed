//! Tests of what rests on proposals whose end is not known yet, or that came to nothing.

use super::cluster_rig::{Cluster, node, register};
use super::cluster_tests::{alter, code, wish};
use super::controller::{Alteration, Ask, ConfigOp, Input, NewTopic, Reply, ResourceKind, TopicRef};
use super::{Committed, Image, IsrOutcome, MetadataRecord, Opened, PartitionChange, ProposeResult, Verdict};
use crate::error::ErrorCode;
use crate::ids::{Peer, TopicId, TopicPartition};
use crate::limits::CONTROLLER_KEPT;
use crate::machine::Machine;

#[test]
fn word_that_a_leadership_is_over_waits_for_the_commit() {
    // Each row: whether the log takes the election, and what the leader hears.
    for (commits, told) in
        [(true, IsrOutcome::Ended(ErrorCode::FencedLeaderEpoch)), (false, IsrOutcome::Committed)]
    {
        let mut cluster = Cluster::of(3);
        let at = cluster.create(1, &[1, 2, 3]);
        let me = cluster.peer(1);
        cluster.judge(vec![cluster.fence(1)]);
        let older = cluster.ask(alter(&cluster, me, 1, vec![wish(&cluster, at, &[1])]));
        let newer = cluster.ask(alter(&cluster, me, 2, vec![wish(&cluster, at, &[1, 2])]));
        assert!(!cluster.answers.contains_key(&older) && !cluster.answers.contains_key(&newer));
        if !commits {
            cluster.refuse_one();
        }
        cluster.commit();
        assert_eq!(
            code(&cluster.answers[&older]),
            Some(ErrorCode::InvalidRequest),
            "R40: a newer one was here"
        );
        let Reply::IsrAltered(outcomes, _) = &cluster.answers[&newer] else { panic!() };
        assert_eq!(outcomes[..], [told]);
    }
}

#[test]
fn only_the_word_that_a_leadership_is_over_holds_a_batch_of_wishes() {
    let mut cluster = Cluster::of(2);
    let (one, two) = (cluster.create(1, &[1, 2]), cluster.create(2, &[2, 1]));
    let me = cluster.peer(1);
    cluster.ask(alter(&cluster, me, 1, vec![wish(&cluster, one, &[1])]));
    let both = vec![wish(&cluster, one, &[1]), wish(&cluster, two, &[1])];
    let said = cluster.ask(alter(&cluster, me, 2, both));
    let Reply::IsrAltered(outcomes, _) = &cluster.answers[&said] else { panic!() };
    let ended = IsrOutcome::Ended(ErrorCode::InvalidRequest);
    assert_eq!(outcomes[..], [IsrOutcome::Outdated, ended], "commits alone say that node 2 leads");
}

/// How a proposal that is not in the log ends.
type Lost = fn(&mut Cluster);

fn unknown(cluster: &mut Cluster) {
    let (id, _) = cluster.proposed.pop_front().unwrap();
    cluster.step(Input::Proposed(id, ProposeResult::Unknown("lost".into())));
}

const LOST: [Lost; 2] = [unknown, Cluster::refuse_one];

/// Lets half a second pass, and commits what follows.
fn half_a_second(cluster: &mut Cluster) {
    cluster.ms += 500;
    cluster.step(Input::Tick);
    cluster.commit();
}

/// Commits everything. No image shows the new life of node 1 beside a leadership of the old one (R12).
fn commit_in_one_batch(cluster: &mut Cluster, old: Peer, at: TopicPartition) {
    while cluster.commit_one() {
        let led = cluster.led(at);
        assert!(cluster.peer(1) == old || led.0 == 2, "R12: {led:?}");
    }
}

#[test]
fn a_registration_never_leaves_the_end_of_the_old_life_to_a_proposal_that_is_lost() {
    for lost in LOST {
        let mut cluster = Cluster::of(3);
        let at = cluster.create(1, &[1, 2, 3]);
        let old = cluster.peer(1);
        cluster.judge(vec![cluster.fence(1)]);
        let asked = cluster.ask(register(node(1, 9)));
        lost(&mut cluster);
        commit_in_one_batch(&mut cluster, old, at);
        half_a_second(&mut cluster);
        // The fence is judged again, and the process asks again where it was refused.
        cluster.judge_with(Vec::new(), [old].into());
        if code(&cluster.answers[&asked]).is_some() {
            cluster.done(register(node(1, 9)));
        }
        cluster.commit();
        assert_ne!(cluster.peer(1), old);
        assert_eq!(cluster.led(at), (2, 1, vec![2, 3]), "R12");
        cluster.judge(vec![Verdict::Unfence(cluster.peer(1))]);
        cluster.commit();
        assert_eq!(cluster.led(at), (2, 1, vec![2, 3]), "the new life leads nothing in its old epoch");
    }
}

#[test]
fn a_registration_that_has_waited_for_the_judge_rests_on_no_proposal_either() {
    for lost in LOST {
        let mut cluster = Cluster::of(3);
        let at = cluster.create(1, &[1, 2, 3]);
        cluster.lead_anew();
        let old = cluster.peer(1);
        let asked = cluster.ask(register(node(1, 9)));
        // The leader of another partition of node 1 gets a new epoch meanwhile.
        cluster.ask(Ask::RenewEpochs { from: old, partitions: vec![(at, 0)] });
        cluster.judge_with(Vec::new(), [old].into());
        lost(&mut cluster);
        commit_in_one_batch(&mut cluster, old, at);
        half_a_second(&mut cluster);
        assert!(matches!(cluster.answers[&asked], Reply::Done(_)), "{:?}", cluster.answers[&asked]);
        assert_ne!(cluster.peer(1), old);
    }
}

#[test]
fn what_was_left_to_a_lost_proposal_is_made_when_a_later_one_has_passed_it() {
    let mut cluster = Cluster::of(3);
    let at = cluster.create(1, &[1, 2, 3]);
    let me = cluster.peer(1);
    cluster.judge(vec![Verdict::Stalled { peer: me, stalled: true }]);
    cluster.ask(Ask::ProducerIds);
    unknown(&mut cluster);
    cluster.commit();
    assert_eq!(cluster.led(at), (2, 1, vec![2, 3]), "nothing was dropped, and the leadership still moves");
    assert_eq!(cluster.dropped, 0);
}

#[test]
fn registrations_that_wait_for_a_judge_are_told_when_the_log_skips_ahead() {
    let mut cluster = Cluster::of(1);
    cluster.lead_anew();
    let asked = cluster.ask(register(node(1, 9)));
    assert!(!cluster.answers.contains_key(&asked));
    let image = cluster.image.clone();
    cluster.step(Input::Log(Committed::Snapshot { index: image.applied, image }));
    assert_eq!(code(&cluster.answers[&asked]), Some(ErrorCode::NotController), "R44: it was never proposed");
}

#[test]
fn a_proposal_of_unknown_end_ends_within_half_a_second_even_where_nothing_else_is_asked() {
    let mut cluster = Cluster::of(3);
    let at = cluster.create(1, &[1, 2, 3]);
    cluster.judge(vec![cluster.fence(1)]);
    unknown(&mut cluster);
    // The judge repeats itself, and its word is on its way already.
    cluster.judge(vec![cluster.fence(1)]);
    assert!(cluster.proposed.is_empty());
    let me = cluster.peer(2);
    let refused = cluster.ask(alter(&cluster, me, 1, vec![wish(&cluster, at, &[1, 2])]));
    assert_eq!(code(&cluster.answers[&refused]), Some(ErrorCode::NotController));
    let image = cluster.image.clone();
    half_a_second(&mut cluster);
    let applied = image.applied + 1;
    assert_eq!(*cluster.image, Image { applied, ..Image::clone(&image) }, "a record that changes nothing");
    cluster.judge(vec![cluster.fence(1)]);
    cluster.commit();
    assert_eq!(cluster.led(at), (2, 1, vec![2, 3]));
    assert!(cluster.machine.next_deadline().is_none());
}

#[test]
fn a_log_that_never_says_how_a_proposal_ended_is_asked_in_peace() {
    let mut cluster = Cluster::of(1);
    cluster.judge(vec![cluster.fence(1)]);
    unknown(&mut cluster);
    for _ in 0..50 {
        assert!(cluster.proposed.is_empty());
        cluster.ms += 499;
        cluster.step(Input::Tick);
        assert!(cluster.proposed.is_empty(), "not before its time");
        cluster.ms += 1;
        cluster.step(Input::Tick);
        assert_eq!(cluster.proposed.len(), 1);
        unknown(&mut cluster);
    }
    half_a_second(&mut cluster);
    assert!(cluster.machine.next_deadline().is_none(), "one of them is committed, and ends the doubt");
}

#[test]
fn a_log_may_not_claim_all_leader_epochs() {
    let found = |epoch| {
        let mut cluster = Cluster::of(2);
        let at = cluster.create(1, &[1]);
        cluster.judge(vec![cluster.fence(1)]);
        cluster.commit();
        let node = Box::new(node(1, 9));
        let said = cluster.done(Ask::Register { node, alone: None, log_epochs: vec![(at, epoch)] });
        (code(&said), cluster.partition(at).leader_epoch)
    };
    assert_eq!(found(1 << 30), (None, (1 << 30) + 1));
    for epoch in [(1 << 30) + 1, i32::MAX] {
        assert_eq!(found(epoch), (Some(ErrorCode::InvalidRequest), 1));
    }
}

/// A batch of another process, which comes before what is on its way.
fn foreign(cluster: &mut Cluster, change: PartitionChange) {
    let (index, records) = (cluster.image.applied + 1, vec![MetadataRecord::PartitionChange(change)].into());
    cluster.step(Input::Log(Committed::Batch { index, proposal: None, records }));
}

#[test]
fn a_change_that_did_not_fit_is_made_again_in_peace() {
    let mut cluster = Cluster::of(3);
    let at = cluster.create(1, &[1, 2, 3]);
    let isr = vec![1, 3];
    let change =
        PartitionChange { topic: at.topic, leader: 1, isr, partition_epoch: 1, ..Default::default() };
    cluster.judge(vec![cluster.fence(1)]);
    foreign(&mut cluster, change.clone());
    cluster.commit_one();
    assert_eq!((cluster.dropped, cluster.proposed.len()), (1, 0), "R43: later, and not at once");
    half_a_second(&mut cluster);
    assert_eq!(cluster.led(at), (3, 1, vec![3]));
    // A change that can never fit is not even tried.
    let last = PartitionChange { leader: 3, leader_epoch: i32::MAX, partition_epoch: 3, ..change };
    foreign(&mut cluster, last);
    cluster.judge(vec![cluster.fence(3)]);
    for _ in 0..5 {
        half_a_second(&mut cluster);
    }
    assert_eq!(cluster.dropped, 1);
}

#[test]
fn a_success_that_rested_on_a_lost_proposal_is_not_told() {
    let mut cluster = Cluster::of(1);
    cluster.create(1, &[1]);
    let (gone, again) =
        (TopicRef::Named("t1".into(), TopicId([1; 16])), NewTopic::new("t1", TopicId([2; 16])));
    cluster.ask(Ask::DeleteTopics(vec![gone]));
    let created = cluster.ask(Ask::CreateTopics { topics: vec![again], validate_only: false });
    let alteration = Alteration {
        kind: ResourceKind::Topic,
        name: "t1".into(),
        replace: false,
        changes: vec![("retention.ms".into(), ConfigOp::Set, Some("1000".into()))],
    };
    let alterations = vec![alteration];
    let altered = cluster.ask(Ask::AlterConfigs { broker_id: 1, alterations, validate_only: false });
    // The log refuses the deletion, so the name is taken, and the new topic is not there to be altered.
    cluster.refuse_one();
    cluster.commit();
    assert_eq!(cluster.dropped, 2, "R43");
    for ticket in [created, altered] {
        assert!(matches!(cluster.answers[&ticket], Reply::Unknown(_)), "{:?}", cluster.answers[&ticket]);
    }
    assert!(cluster.image.topics[&TopicId([1; 16])].configs.is_empty());
}

#[test]
fn a_replica_opened_of_a_topic_that_is_deleted_makes_no_record() {
    // Each row: whether the log takes the deletion.
    for commits in [true, false] {
        let mut cluster = Cluster::of(1);
        let at = cluster.create(1, &[1]);
        cluster.ask(Ask::DeleteTopics(vec![TopicRef::Id(at.topic)]));
        let opened = Opened { broker: 1, directory: None, shard: None };
        let told = cluster.ask(Ask::Opened(vec![(at, opened)]));
        assert!(!cluster.answers.contains_key(&told), "the deletion may come to nothing");
        if !commits {
            cluster.refuse_one();
        }
        cluster.commit();
        assert!(matches!(cluster.answers[&told], Reply::Done(_)));
        assert_eq!(cluster.dropped, 0);
        assert!(commits || cluster.partition(at).opened_by(1));
    }
}

fn not_now(cluster: &Cluster, ticket: u64) -> bool {
    cluster.answers.get(&ticket).and_then(code) == Some(ErrorCode::NotController)
}

#[test]
fn a_flood_of_clients_leaves_room_for_nodes_and_is_told_so() {
    let mut cluster = Cluster::of(2);
    let at = cluster.create(1, &[1, 2]);
    let create = |n: usize| {
        let mut id = [9; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let topic = NewTopic { partitions: 1, ..NewTopic::new(&format!("flood{n}"), TopicId(id)) };
        Ask::CreateTopics { topics: vec![topic], validate_only: false }
    };
    let asked: Vec<u64> = (0..CONTROLLER_KEPT / 2 + 5).map(|n| cluster.ask(create(n))).collect();
    assert_eq!(cluster.proposed.len(), CONTROLLER_KEPT / 2);
    assert_eq!(asked.iter().filter(|ticket| not_now(&cluster, **ticket)).count(), 5);
    let me = cluster.peer(1);
    let mine = cluster.ask(alter(&cluster, me, 1, vec![wish(&cluster, at, &[1])]));
    assert!(!cluster.answers.contains_key(&mine), "it is proposed");
    cluster.commit();
    assert_eq!(cluster.led(at), (1, 0, vec![1]));
    assert!(matches!(cluster.done(create(99_999)), Reply::Created(..)));
}

#[test]
fn what_is_kept_is_bounded_in_bytes_too() {
    let mut cluster = Cluster::of(1);
    let create = |n: u8| {
        let topic = NewTopic { partitions: 10_000, ..NewTopic::new(&format!("t{n}"), TopicId([n; 16])) };
        Ask::CreateTopics { topics: vec![topic], validate_only: false }
    };
    let asked: Vec<u64> = (1..=4).map(|n| cluster.ask(create(n))).collect();
    assert_eq!(
        asked.iter().filter(|ticket| not_now(&cluster, **ticket)).count(),
        1,
        "16 MiB hold three of them"
    );
    // Attempts that wait for the first ones count as well.
    let config = |n: u8| (format!("c{n}"), Some("x".repeat(100_000)));
    let again = |n: u8| NewTopic {
        configs: (0..20).map(config).collect(),
        partitions: 10_000,
        ..NewTopic::new(&format!("t{n}"), TopicId([n; 16]))
    };
    let again = || Ask::CreateTopics { topics: vec![again(1)], validate_only: false };
    let held = cluster.ask(again());
    assert!(not_now(&cluster, held), "2 MB beside 15 MiB");
}

#[test]
fn a_registration_that_waits_gives_way_to_a_newer_one_of_its_process() {
    let mut cluster = Cluster::of(1);
    cluster.lead_anew();
    let old = cluster.peer(1);
    let (one, other) = (cluster.ask(register(node(1, 8))), cluster.ask(register(node(2, 9))));
    let again = cluster.ask(register(node(1, 8)));
    assert!(not_now(&cluster, one) && !not_now(&cluster, again) && !not_now(&cluster, other));
    cluster.judge_with(Vec::new(), [old].into());
    cluster.commit();
    for ticket in [again, other] {
        assert!(matches!(cluster.answers[&ticket], Reply::Done(_)));
    }
}
