//! Tests of the replicas that may lead without being in the ISR (KIP-966), of nodes that come back with less than they had,
//! and of elections that lose records. Numbers in brackets are rules and mutants of the reliability plan.

use super::cluster_rig::{Cluster, id, node, register};
use super::cluster_tests::{alter, wish};
use super::controller::{Alteration, Ask, ConfigOp, Election, Input, Refusal, Reply, ResourceKind};
use super::{Committed, IsrOutcome, MetadataRecord, Opened, Registration, SyncedPositions, Verdict};
use crate::error::ErrorCode;
use crate::ids::{BrokerId, DirectoryId, ProcessId, TopicPartition};

const HERE: DirectoryId = DirectoryId([4; 16]);
const OTHER: DirectoryId = DirectoryId([5; 16]);
/// The process of node n after a restart.
fn again(n: BrokerId) -> u8 {
    n as u8 + 100
}

fn set(cluster: &mut Cluster, topic: &str, name: &str, value: &str) {
    let changes = vec![(name.to_owned(), ConfigOp::Set, Some(value.to_owned()))];
    let (kind, name) = (ResourceKind::Topic, topic.to_owned());
    let alterations = vec![Alteration { kind, name, replace: false, changes }];
    let said = cluster.done(Ask::AlterConfigs { broker_id: 1, alterations, validate_only: false });
    assert!(matches!(&said, Reply::Altered(outcomes, _) if outcomes[0].is_ok()), "{said:?}");
}

/// Three nodes, and the partition t1-0 on all of them, which commits nothing below two in-sync replicas.
fn three() -> (Cluster, TopicPartition) {
    let mut cluster = Cluster::of(3);
    let at = cluster.create(1, &[1, 2, 3]);
    set(&mut cluster, "t1", "min.insync.replicas", "2");
    (cluster, at)
}

fn fence(cluster: &mut Cluster, nodes: &[BrokerId]) {
    let verdicts = nodes.iter().map(|n| cluster.fence(*n)).collect();
    cluster.judge(verdicts);
    cluster.commit();
}

fn unfence(cluster: &mut Cluster, n: BrokerId) {
    cluster.judge(vec![Verdict::Unfence(cluster.peer(n))]);
    cluster.commit();
}

/// Leader, ISR, ELR and the last known ELR.
fn lists(cluster: &Cluster, at: TopicPartition) -> (BrokerId, &[BrokerId], &[BrokerId], &[BrokerId]) {
    let p = cluster.partition(at);
    (p.leader, &p.isr, &p.elr, &p.last_known_elr)
}

#[test]
fn who_leaves_an_isr_that_is_too_small_is_eligible_until_it_is_large_enough() {
    let (mut cluster, at) = three();
    fence(&mut cluster, &[3]);
    assert_eq!(lists(&cluster, at), (1, &[1, 2][..], &[][..], &[][..]), "two are enough");
    fence(&mut cluster, &[2]);
    assert_eq!(lists(&cluster, at), (1, &[1][..], &[2][..], &[][..]), "R9");
    fence(&mut cluster, &[1]);
    assert_eq!(lists(&cluster, at), (-1, &[][..], &[1, 2][..], &[][..]));
    unfence(&mut cluster, 3);
    assert_eq!(lists(&cluster, at), (-1, &[][..], &[1, 2][..], &[][..]), "3 left while two were enough");
    unfence(&mut cluster, 2);
    assert_eq!(lists(&cluster, at), (2, &[2][..], &[1][..], &[][..]), "R10");
    let wishes = vec![wish(&cluster, at, &[2, 3])];
    let ask = alter(&cluster, cluster.peer(2), 1, wishes);
    cluster.done(ask);
    assert_eq!(lists(&cluster, at), (2, &[2, 3][..], &[][..], &[][..]), "now more may be committed (M11)");
    // A leader's own wish leaves eligible replicas behind, too.
    let wishes = vec![wish(&cluster, at, &[2])];
    let ask = alter(&cluster, cluster.peer(2), 2, wishes);
    cluster.done(ask);
    assert_eq!(lists(&cluster, at), (2, &[2][..], &[3][..], &[][..]));
}

#[test]
fn who_came_back_unclean_is_in_no_list_and_an_operator_may_elect_it() {
    let (mut cluster, at) = three();
    for n in [3, 2, 1] {
        fence(&mut cluster, &[n]);
    }
    cluster.join(Registration { unclean: vec![at], ..node(2, again(2)) });
    assert_eq!(lists(&cluster, at), (-1, &[][..], &[1][..], &[2][..]), "M9");
    cluster.done(register(Registration { unclean: vec![at], ..node(1, again(1)) }));
    assert_eq!(lists(&cluster, at), (-1, &[][..], &[][..], &[1, 2][..]), "I12");
    unfence(&mut cluster, 3);
    assert_eq!(cluster.led(at).0, -1, "nobody is sure to have all records");
    let epoch = cluster.partition(at).leader_epoch;
    let ask = |election| Ask::ElectLeaders { election, partitions: Some(vec![at, id(9, 0)]) };
    let Reply::Elected(outcomes, _) = cluster.done(ask(Election::Unclean)) else { panic!() };
    assert_eq!(outcomes[0], (at, Ok(())));
    let codes = |outcomes: &[(TopicPartition, Result<(), Refusal>)]| -> Vec<ErrorCode> {
        outcomes.iter().map(|(_, said)| said.as_ref().err().map_or(ErrorCode::None, |e| e.code)).collect()
    };
    assert_eq!(codes(&outcomes), [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
    assert_eq!(lists(&cluster, at), (2, &[2][..], &[][..], &[][..]), "it was in the lists last and is alive");
    let p = cluster.partition(at);
    assert_eq!((p.unclean_epoch, p.recovering), (Some(epoch + 1), true), "R10");
    let Reply::Elected(outcomes, _) = cluster.done(ask(Election::Unclean)) else { panic!() };
    assert_eq!(codes(&outcomes)[0], ErrorCode::ElectionNotNeeded);
    let Reply::Elected(outcomes, _) = cluster.done(ask(Election::Preferred)) else { panic!() };
    assert_eq!(codes(&outcomes)[0], ErrorCode::PreferredLeaderNotAvailable);
    let all = Ask::ElectLeaders { election: Election::Unclean, partitions: None };
    assert!(matches!(cluster.done(all), Reply::Elected(outcomes, _) if outcomes.is_empty()));
}

#[test]
fn an_unclean_leader_is_alone_until_it_has_recovered() {
    let (mut cluster, at) = three();
    set(&mut cluster, "t1", "unclean.leader.election.enable", "true");
    for n in [3, 2, 1] {
        fence(&mut cluster, &[n]);
    }
    unfence(&mut cluster, 3);
    assert_eq!(lists(&cluster, at), (3, &[3][..], &[][..], &[][..]), "the topic allows it");
    unfence(&mut cluster, 2);
    let mut early = wish(&cluster, at, &[2, 3]);
    early.recovering = true;
    let from = cluster.peer(3);
    let ask = alter(&cluster, from, 1, vec![early.clone()]);
    let Reply::IsrAltered(outcomes, _) = cluster.done(ask) else { panic!() };
    assert!(matches!(outcomes[0], IsrOutcome::Ineligible(_)), "R8: {outcomes:?}");
    early.recovering = false;
    let ask = alter(&cluster, from, 2, vec![early]);
    cluster.done(ask);
    assert_eq!((cluster.led(at).2, cluster.partition(at).recovering), (vec![2, 3], false));
    // An eligible replica that comes later than an unclean election is elected by nobody.
    assert_eq!(lists(&cluster, at).2, [0; 0]);
}

#[test]
fn a_partition_that_waits_has_a_leader_once_its_settings_allow_an_unclean_one() {
    let leaderless = || {
        let (mut cluster, at) = three();
        for n in [3, 2, 1] {
            fence(&mut cluster, &[n]);
        }
        unfence(&mut cluster, 3);
        assert_eq!(cluster.led(at).0, -1);
        (cluster, at)
    };
    let alter = |kind, name: &str, value: &str| Ask::AlterConfigs {
        broker_id: 3,
        alterations: vec![Alteration {
            kind,
            name: name.into(),
            replace: false,
            changes: vec![("unclean.leader.election.enable".into(), ConfigOp::Set, Some(value.into()))],
        }],
        validate_only: false,
    };
    for (kind, name) in [(ResourceKind::Topic, "t1"), (ResourceKind::Broker, "")] {
        let (mut cluster, at) = leaderless();
        cluster.done(alter(kind, name, "false"));
        assert_eq!(cluster.led(at).0, -1);
        cluster.done(alter(kind, name, "true"));
        assert_eq!(lists(&cluster, at), (3, &[3][..], &[][..], &[][..]), "{kind:?}");
        assert!(cluster.partition(at).recovering, "{kind:?}");
    }
}

#[test]
fn a_preferred_leader_is_elected_only_in_sync() {
    let (mut cluster, at) = three();
    fence(&mut cluster, &[1]);
    unfence(&mut cluster, 1);
    assert_eq!(lists(&cluster, at).0, 2);
    let ask = || Ask::ElectLeaders { election: Election::Preferred, partitions: None };
    let Reply::Elected(outcomes, _) = cluster.done(ask()) else { panic!() };
    let code = outcomes[0].1.as_ref().map_err(|refusal| refusal.code);
    assert_eq!(code, Err(ErrorCode::PreferredLeaderNotAvailable));
    let wishes = vec![wish(&cluster, at, &[1, 2, 3])];
    let ask_isr = alter(&cluster, cluster.peer(2), 1, wishes);
    cluster.done(ask_isr);
    assert!(matches!(cluster.done(ask()), Reply::Elected(outcomes, _) if outcomes == [(at, Ok(()))]));
    assert_eq!(cluster.led(at).0, 1);
}

#[test]
fn a_smaller_min_insync_ends_eligibility_in_the_same_batch() {
    let (mut cluster, at) = three();
    fence(&mut cluster, &[3]);
    fence(&mut cluster, &[2]);
    assert_eq!(lists(&cluster, at).2, [2]);
    let before = cluster.image.applied;
    set(&mut cluster, "t1", "min.insync.replicas", "1");
    assert_eq!((cluster.image.applied, lists(&cluster, at).2), (before + 1, &[][..]), "R11");
    set(&mut cluster, "t1", "min.insync.replicas", "2");
    assert_eq!(lists(&cluster, at).2, [0; 0], "it may lack what was committed meanwhile");
    fence(&mut cluster, &[1]);
    set(&mut cluster, "t1", "min.insync.replicas", "3");
    assert_eq!(lists(&cluster, at).2, [1], "nothing was committed in between");
}

/// Registers node 2 anew, after it was fenced, and gives the partition's ELR.
fn returns(cluster: &mut Cluster, at: TopicPartition, how: Registration) -> Vec<BrokerId> {
    fence(cluster, &[3]);
    fence(cluster, &[1, 2]);
    assert_eq!(lists(cluster, at).2, [1, 2]);
    let said = cluster.done(register(how));
    assert!(matches!(said, Reply::Done(_)), "{said:?}");
    cluster.partition(at).elr.clone()
}

#[test]
fn a_directory_that_has_less_than_its_node_had_is_judged_by_the_controller() {
    let at_position = |position| SyncedPositions::from([(HERE, [(0, position), (1, 9)].into())]);
    let lives = |directory, position| Registration {
        directories: vec![directory],
        synced: at_position(position),
        ..node(2, again(2))
    };
    let rows: [(&str, Registration, bool); 6] = [
        ("as it was", lives(HERE, 70), false),
        ("more than was heard of", lives(HERE, 90), false),
        ("an old copy", lives(HERE, 69), true),
        (
            "a lost shard",
            Registration { synced: SyncedPositions::from([(HERE, [(1, 9)].into())]), ..lives(HERE, 0) },
            true,
        ),
        (
            "another shard lost",
            Registration { synced: SyncedPositions::from([(HERE, [(0, 70)].into())]), ..lives(HERE, 0) },
            false,
        ),
        ("another directory", lives(OTHER, 70), true),
    ];
    for (case, how, unclean) in rows {
        let mut cluster = Cluster::of(1);
        for n in [2, 3] {
            cluster.join(Registration { directories: vec![HERE], ..node(n, n as u8) });
        }
        let at = cluster.create(1, &[1, 2, 3]);
        set(&mut cluster, "t1", "min.insync.replicas", "2");
        let place = Opened { broker: 2, directory: Some(HERE), shard: Some(0) };
        cluster.done(Ask::Opened(vec![(at, place)]));
        let heard = super::FencedFor::Silent;
        cluster.judge(vec![Verdict::Fence { peer: cluster.peer(2), why: heard, synced: at_position(70) }]);
        cluster.commit();
        let wishes = vec![wish(&cluster, at, &[1, 3])];
        let ask = alter(&cluster, cluster.peer(1), 1, wishes);
        cluster.done(ask);
        // Back in sync, so that it is a member again when it ends.
        cluster.join(Registration { directories: vec![HERE], synced: at_position(70), ..node(2, 60) });
        let wishes = vec![wish(&cluster, at, &[1, 2, 3])];
        let ask = alter(&cluster, cluster.peer(1), 2, wishes);
        cluster.done(ask);
        let elr = returns(&mut cluster, at, how);
        assert_eq!(elr, if unclean { vec![1] } else { vec![1, 2] }, "{case}");
        assert!(cluster.image.brokers[&2].unclean.is_empty(), "{case}: it left in the same batch");
    }
}

#[test]
fn the_only_replica_serves_what_it_has() {
    let mut cluster = Cluster::of(2);
    let at = cluster.create(1, &[2]);
    fence(&mut cluster, &[2]);
    assert_eq!(lists(&cluster, at), (-1, &[][..], &[2][..], &[][..]));
    cluster.join(Registration { unclean: vec![at], ..node(2, again(2)) });
    assert_eq!(lists(&cluster, at), (2, &[2][..], &[][..], &[][..]), "R19");
}

#[test]
fn a_damaged_replica_leaves_unless_it_is_the_last() {
    let (mut cluster, at) = three();
    let damaged = |cluster: &Cluster, n, replicas: &[TopicPartition]| Verdict::Damaged {
        peer: cluster.peer(n),
        replicas: replicas.iter().map(|id| (*id, 0)).collect(),
    };
    let epoch = cluster.partition(at).leader_epoch;
    cluster.judge(vec![damaged(&cluster, 3, &[at])]);
    cluster.commit();
    assert_eq!(cluster.led(at), (1, epoch + 1, vec![1, 2]), "R41: its acks of the old epoch end");
    cluster.judge(vec![damaged(&cluster, 1, &[at])]);
    cluster.commit();
    assert_eq!(cluster.led(at), (2, epoch + 2, vec![2]), "the leader leaves as well");
    assert_eq!((lists(&cluster, at).2, lists(&cluster, at).3), (&[][..], &[1][..]), "not eligible");
    cluster.judge(vec![damaged(&cluster, 2, &[at])]);
    cluster.commit();
    assert_eq!(cluster.led(at), (2, epoch + 2, vec![2]), "the last one keeps its place and its bytes");
    fence(&mut cluster, &[2]);
    unfence(&mut cluster, 2);
    assert_eq!(cluster.led(at).0, -1, "a damaged replica is not elected");
    cluster.judge(vec![damaged(&cluster, 2, &[])]);
    cluster.commit();
    assert_eq!(cluster.led(at).0, 2);
}

#[test]
fn a_node_with_a_full_disk_leads_nothing_and_holds_up_no_isr() {
    slow_disks(|cluster, n, full| Verdict::Full { peer: cluster.peer(n), full });
}

#[test]
fn a_node_with_a_disk_that_does_not_answer_leads_nothing_and_holds_up_no_isr() {
    slow_disks(|cluster, n, stalled| Verdict::Stalled { peer: cluster.peer(n), stalled });
}

fn slow_disks(full: impl Fn(&Cluster, BrokerId, bool) -> Verdict) {
    let (mut cluster, at) = three();
    cluster.judge(vec![full(&cluster, 1, true)]);
    cluster.commit();
    assert_eq!(lists(&cluster, at), (2, &[2, 3][..], &[][..], &[][..]), "two are enough");
    let wishes = vec![wish(&cluster, at, &[1, 2, 3])];
    let ask = alter(&cluster, cluster.peer(2), 1, wishes);
    let Reply::IsrAltered(outcomes, _) = cluster.done(ask) else { panic!() };
    assert!(matches!(outcomes[0], IsrOutcome::Ineligible(_)), "it would go and come for ever");
    cluster.judge(vec![full(&cluster, 2, true)]);
    cluster.commit();
    assert_eq!(lists(&cluster, at), (3, &[2, 3][..], &[][..], &[][..]), "it cannot be spared");
    cluster.judge(vec![full(&cluster, 3, true)]);
    cluster.commit();
    assert_eq!(lists(&cluster, at).0, 3, "nobody leads better");
    cluster.judge(vec![full(&cluster, 1, false)]);
    cluster.commit();
    let wishes = vec![wish(&cluster, at, &[1, 2, 3])];
    let ask = alter(&cluster, cluster.peer(3), 2, wishes);
    cluster.done(ask);
    assert_eq!(lists(&cluster, at), (1, &[1, 2, 3][..], &[][..], &[][..]), "it is well again and leads");
}

#[test]
fn a_return_that_met_another_state_is_judged_again() {
    let (mut cluster, at) = three();
    for n in [3, 2, 1] {
        fence(&mut cluster, &[n]);
    }
    // Somebody else's change comes in between, so the registration's own does not fit.
    let ask = register(Registration { unclean: vec![at], ..node(2, again(2)) });
    cluster.ask(ask);
    let p = cluster.partition(at);
    let change = super::PartitionChange {
        topic: at.topic,
        partition: at.partition,
        leader: -1,
        leader_epoch: p.leader_epoch,
        isr: Vec::new(),
        partition_epoch: p.partition_epoch + 1,
        ..Default::default()
    };
    let index = cluster.image.applied + 1;
    let records = vec![MetadataRecord::PartitionChange(change)].into();
    cluster.step(Input::Log(Committed::Batch { index, proposal: None, records }));
    cluster.commit();
    assert_eq!((cluster.dropped, lists(&cluster, at).2), (1, &[1, 2][..]), "the registration counts");
    assert!(cluster.image.brokers[&2].unclean.contains(&at), "and the image knows what is still to be done");
    cluster.ms += 500;
    cluster.step(Input::Tick);
    cluster.commit();
    assert_eq!(lists(&cluster, at).2, [1]);
}

#[test]
fn a_copy_of_an_older_start_is_refused() {
    let mut cluster = Cluster::of(1);
    let uuid = Some(crate::ids::NodeUuid([2; 16]));
    let start = |process: u8, incarnation, processes: &[u8]| Registration {
        uuid,
        incarnation,
        processes: processes.iter().map(|p| ProcessId([*p; 16])).collect(),
        ..node(2, process)
    };
    cluster.join(start(10, 1, &[10]));
    fence(&mut cluster, &[2]);
    cluster.join(start(11, 2, &[10, 11]));
    fence(&mut cluster, &[2]);
    for (case, copy) in
        [("its start came later", start(12, 3, &[10, 12])), ("fewer starts", start(12, 1, &[11, 12]))]
    {
        let said = cluster.done(register(copy));
        assert!(matches!(said, Reply::Failed(_)), "R47, {case}: {said:?}");
    }
    assert!(matches!(cluster.done(register(start(12, 3, &[10, 11, 12]))), Reply::Done(_)));
}

#[cfg(feature = "mutants")]
#[test]
fn planted_bugs_of_eligibility_are_caught() {
    use crate::mutant::{Mutant, plant};
    let rows: [(Mutant, fn()); 5] = [
        (Mutant::UncleanStaysInElr, who_came_back_unclean_is_in_no_list_and_an_operator_may_elect_it),
        (Mutant::FencedElected, who_leaves_an_isr_that_is_too_small_is_eligible_until_it_is_large_enough),
        (Mutant::ElrKeptAtMinIsr, who_leaves_an_isr_that_is_too_small_is_eligible_until_it_is_large_enough),
        (Mutant::UncleanKeepsEpoch, who_came_back_unclean_is_in_no_list_and_an_operator_may_elect_it),
        (Mutant::RestoredCopyAccepted, a_copy_of_an_older_start_is_refused),
    ];
    for (mutant, test) in rows {
        plant(Some(mutant));
        let caught = std::panic::catch_unwind(test);
        plant(None);
        assert!(caught.is_err(), "{mutant:?} was not caught");
    }
}

#[test]
fn a_lost_shard_is_seen_though_nobody_heard_how_far_it_was() {
    let mut cluster = Cluster::of(1);
    for n in [2, 3] {
        cluster.join(Registration { directories: vec![HERE], ..node(n, n as u8) });
    }
    let at = cluster.create(1, &[1, 2, 3]);
    set(&mut cluster, "t1", "min.insync.replicas", "2");
    // An earlier directory of the node is no place any more.
    for directory in [OTHER, HERE] {
        let place = Opened { broker: 2, directory: Some(directory), shard: Some(0) };
        cluster.done(Ask::Opened(vec![(at, place)]));
    }
    let synced = SyncedPositions::from([(HERE, [(1, 0)].into())]);
    let how = Registration { directories: vec![HERE], synced, ..node(2, again(2)) };
    assert_eq!(returns(&mut cluster, at, how), [1], "the controller is a new one");
}

#[test]
fn acks_of_a_damaged_replica_end_though_it_is_in_no_list() {
    let (mut cluster, at) = three();
    fence(&mut cluster, &[3]);
    unfence(&mut cluster, 3);
    let epoch = cluster.partition(at).leader_epoch;
    let damaged = Verdict::Damaged { peer: cluster.peer(3), replicas: [(at, epoch)].into() };
    for _ in 0..2 {
        cluster.judge(vec![damaged.clone()]);
        cluster.commit();
        assert_eq!(
            cluster.led(at),
            (1, epoch + 1, vec![1, 2]),
            "a wish that counts them may be on its way, once"
        );
    }
}

#[test]
fn a_node_that_ends_hands_over_and_leaves_isrs_that_commit_without_it() {
    let (mut cluster, at) = three();
    let epoch = cluster.partition(at).leader_epoch;
    let mut ends = |n| {
        let peer = cluster.peer(n);
        cluster.judge(vec![Verdict::ShuttingDown(peer)]);
        cluster.commit();
        cluster.led(at)
    };
    assert_eq!(ends(1), (2, epoch + 1, vec![2, 3]), "R30");
    assert_eq!(ends(2), (3, epoch + 2, vec![2, 3]), "two have to stay in sync, so it goes when it is gone");
    assert_eq!(ends(3), (3, epoch + 2, vec![2, 3]), "no other node could lead");
}
