//! Tests of the controller of a cluster: registrations, fencing, elections and ISR changes, step by step.

use super::cluster_rig::{Cluster, id, node, register};
use super::controller::{Ask, Input, Reply};
use super::{
    Committed, FencedFor, IsrOutcome, IsrWish, Judgement, Leadership, LevelRange, MetadataRecord,
    Registration, SyncedPositions, Verdict,
};
use crate::error::ErrorCode;
use crate::ids::{DirectoryId, NodeUuid, Peer, TopicId, TopicPartition};
use std::collections::BTreeSet;

pub(super) fn code(reply: &Reply) -> Option<ErrorCode> {
    match reply {
        Reply::Failed(refusal) => Some(refusal.code),
        _ => None,
    }
}

pub(super) fn wish(cluster: &Cluster, id: TopicPartition, isr: &[i32]) -> IsrWish {
    let p = cluster.partition(id);
    let isr = isr.iter().map(|broker| cluster.peer(*broker)).collect();
    let (leader_epoch, partition_epoch) = (p.leader_epoch, p.partition_epoch);
    IsrWish { id, leader_epoch, partition_epoch, isr, recovering: false }
}

pub(super) fn alter(cluster: &Cluster, from: Peer, number: u64, wishes: Vec<IsrWish>) -> Ask {
    Ask::AlterIsr { from, number, leadership: cluster.leadership, wishes }
}

#[test]
fn a_node_starts_fenced_and_a_retry_gets_its_epoch_again() {
    let mut cluster = Cluster::of(0);
    let first = cluster.done(register(node(1, 1)));
    let Reply::Done(epoch) = first else { panic!("{first:?}") };
    assert_eq!((cluster.peer(1).epoch, cluster.image.brokers[&1].fenced), (epoch, true), "R20");
    assert_eq!(cluster.done(register(node(1, 1))), Reply::Done(epoch), "the same process");
    let Reply::Done(next) = cluster.done(register(node(1, 2))) else { panic!() };
    assert!(next > epoch, "a fenced life gives way");
    // A retry while the first attempt is on its way waits for it, because nobody knows its index yet.
    let (one, two) = (cluster.ask(register(node(2, 3))), cluster.ask(register(node(2, 3))));
    assert_eq!(cluster.proposed.len(), 1);
    cluster.commit();
    assert_eq!(cluster.answers[&one], cluster.answers[&two]);
}

#[test]
fn a_process_that_lives_keeps_its_place() {
    let duplicate = Some(ErrorCode::DuplicateBrokerRegistration);
    let mut cluster = Cluster::of(2);
    assert_eq!(code(&cluster.done(register(node(1, 9)))), duplicate);
    let silent: BTreeSet<Peer> = [cluster.peer(1)].into();
    cluster.judge_with(Vec::new(), silent);
    assert_eq!(code(&cluster.done(register(node(1, 9)))), None, "its session is over");
    assert_eq!(code(&cluster.done(register(node(2, 9)))), duplicate);
    cluster.judge(vec![cluster.fence(2)]);
    assert_eq!(code(&cluster.done(register(node(2, 9)))), None, "it is fenced");
    let uuid = |n| Registration { uuid: Some(NodeUuid([n; 16])), ..node(3, n) };
    assert_eq!(code(&cluster.done(register(uuid(1)))), None);
    assert_eq!(code(&cluster.done(register(uuid(2)))), duplicate, "the id is another node's");
}

#[test]
fn a_node_that_starts_alone_on_metadata_of_a_cluster_is_refused() {
    let alone = |registration| Ask::Register {
        node: Box::new(registration),
        alone: Some("c".into()),
        log_epochs: Vec::new(),
    };
    let uuid = |n| Registration { uuid: Some(NodeUuid([n; 16])), ..node(1, n) };
    let refused = |cluster: &mut Cluster, registration| {
        let before = cluster.image.applied;
        let said = code(&cluster.done(alone(registration)));
        assert_eq!(said.is_some(), cluster.image.applied == before);
        said
    };
    let mut two = Cluster::of(2);
    assert_eq!(refused(&mut two, node(1, 9)), Some(ErrorCode::InvalidRequest), "another broker");
    let mut one = Cluster::of(0);
    one.join(uuid(1));
    assert_eq!(refused(&mut one, uuid(2)), Some(ErrorCode::DuplicateBrokerRegistration), "another node");
    one.create(1, &[1]);
    assert_eq!(refused(&mut one, uuid(1)), None);
    // A partition that other nodes hold too, and these metadata know none of them.
    let (name, isr, configs) = ("shared".to_owned(), vec![vec![1]], Default::default());
    let (id, replicas, default_factor) = (TopicId([2; 16]), vec![vec![1, 2]], false);
    let records = vec![MetadataRecord::Topic { id, name, replicas, isr, default_factor, configs }].into();
    let index = one.image.applied + 1;
    one.step(Input::Log(Committed::Batch { index, proposal: None, records }));
    assert_eq!(refused(&mut one, uuid(1)), Some(ErrorCode::InvalidRequest), "a shared partition");
}

#[test]
fn a_build_that_cannot_run_at_the_clusters_level_is_refused_in_words() {
    let mut cluster = Cluster::of(0);
    let newer = Registration { levels: LevelRange { min: 7, max: 9 }, ..node(1, 1) };
    let Reply::Failed(refusal) = cluster.done(register(newer)) else { panic!() };
    assert_eq!(refusal.code, ErrorCode::UnsupportedVersion);
    assert!(refusal.message.contains("feature level 1") && refusal.message.contains("7 to 9"), "{refusal:?}");
}

#[test]
fn a_new_life_ends_the_old_one_in_the_same_batch() {
    let mut cluster = Cluster::of(3);
    let (led, followed) = (cluster.create(1, &[1, 2, 3]), cluster.create(2, &[2, 1, 3]));
    let old = cluster.peer(1);
    cluster.judge_with(Vec::new(), [old].into());
    let before = cluster.image.applied;
    cluster.done(register(node(1, 9)));
    assert_eq!(cluster.image.applied, before + 1, "R12: one batch");
    assert_eq!(cluster.led(led), (2, 1, vec![2, 3]));
    assert_eq!(cluster.led(followed), (2, 0, vec![2, 3]));
    assert!(cluster.image.brokers[&1].fenced && cluster.peer(1) != old);
}

#[test]
fn an_election_takes_the_first_unfenced_member() {
    let mut cluster = Cluster::of(3);
    let id = cluster.create(1, &[1, 2, 3]);
    cluster.judge(vec![cluster.fence(2)]);
    cluster.commit();
    assert_eq!(cluster.led(id), (1, 0, vec![1, 3]), "no new leader, no new epoch");
    let both = vec![cluster.fence(1), cluster.fence(3)];
    let before = cluster.image.applied;
    cluster.judge(both);
    cluster.commit();
    assert_eq!(cluster.image.applied, before + 1);
    assert_eq!(cluster.led(id), (-1, 1, vec![]));
    assert_eq!(cluster.partition(id).elr, [1, 3], "R9: they ended together and are both eligible");
    cluster.judge(vec![Verdict::Unfence(cluster.peer(2))]);
    cluster.commit();
    assert_eq!(cluster.led(id), (-1, 1, vec![]), "it may lack records");
    cluster.judge(vec![Verdict::Unfence(cluster.peer(3))]);
    cluster.commit();
    assert_eq!(cluster.led(id), (3, 2, vec![3]), "R10: the ISR is empty, so an eligible one leads");
}

#[test]
fn a_node_that_ends_or_stalls_or_cannot_serve_gives_its_leaderships_away() {
    let news: [fn(Peer, TopicPartition) -> Verdict; 3] = [
        |peer, _| Verdict::ShuttingDown(peer),
        |peer, _| Verdict::Stalled { peer, stalled: true },
        |peer, id| Verdict::Unable { peer, replicas: [id].into() },
    ];
    for (case, news) in news.into_iter().enumerate() {
        let mut cluster = Cluster::of(3);
        let (shared, alone) = (cluster.create(1, &[1, 2, 3]), cluster.create(2, &[1]));
        cluster.judge(vec![news(cluster.peer(1), shared)]);
        cluster.commit();
        let leaves = case < 2;
        let isr = if leaves { vec![2, 3] } else { vec![1, 2, 3] };
        assert_eq!(
            cluster.led(shared),
            (2, 1, isr),
            "{case}: it stays in the ISR, unless it would hold it up"
        );
        assert_eq!(cluster.led(alone), (1, 0, vec![1]), "{case}: nobody else could lead");
        // It is not elected either.
        cluster.judge(vec![cluster.fence(2), cluster.fence(3)]);
        cluster.commit();
        let isr = if leaves { vec![] } else { vec![1] };
        assert_eq!(cluster.led(shared), (-1, 2, isr), "{case}");
        if case == 2 {
            let replicas = BTreeSet::new();
            cluster.judge(vec![Verdict::Unable { peer: cluster.peer(1), replicas }]);
            cluster.commit();
            assert_eq!(cluster.led(shared), (1, 3, vec![1]), "it can serve again");
        }
    }
}

#[test]
fn a_verdict_about_a_former_life_or_a_known_state_changes_nothing() {
    let mut cluster = Cluster::of(1);
    let old = cluster.peer(1);
    cluster.judge(vec![cluster.fence(1)]);
    cluster.commit();
    cluster.done(register(node(1, 9)));
    let synced = Default::default();
    let verdicts =
        vec![Verdict::Unfence(old), Verdict::Fence { peer: cluster.peer(1), why: FencedFor::Disk, synced }];
    cluster.judge(verdicts);
    assert!(cluster.proposed.is_empty());
}

#[test]
fn fencing_records_the_synced_positions_and_they_never_fall() {
    let mut cluster = Cluster::of(1);
    let at = |position| [(DirectoryId([4; 16]), [(0u16, position)].into())].into();
    for (position, kept) in [(70, 70), (50, 70), (90, 90)] {
        let (peer, why) = (cluster.peer(1), FencedFor::Silent);
        cluster.judge(vec![Verdict::Fence { peer, why, synced: at(position) }]);
        cluster.commit();
        assert_eq!(cluster.image.brokers[&1].synced, at(kept));
        cluster.done(register(node(1, position as u8)));
        assert_eq!(cluster.image.brokers[&1].synced, at(kept), "a new life does not lower it");
        cluster.judge(vec![Verdict::Unfence(cluster.peer(1))]);
        cluster.commit();
    }
}

#[test]
fn a_registration_that_ends_a_silent_life_records_what_that_life_had_synced() {
    for waits in [false, true] {
        let mut cluster = Cluster::of(2);
        let at: SyncedPositions = [(DirectoryId([4; 16]), [(0, 70)].into())].into();
        if waits {
            cluster.lead_anew();
        }
        let leadership = cluster.leadership;
        let silent = [(cluster.peer(1), at.clone())].into();
        let judged = Input::Judged(Judgement { leadership, verdicts: Vec::new(), silent });
        let asked = register(node(1, 9));
        if waits {
            cluster.ask(asked);
            cluster.step(judged);
            cluster.commit();
        } else {
            cluster.step(judged);
            cluster.done(asked);
        }
        assert_eq!(cluster.image.brokers[&1].synced, at, "R46");
    }
}

#[test]
fn a_new_controller_waits_with_registrations_and_then_makes_one_batch() {
    let mut cluster = Cluster::of(3);
    let id = cluster.create(1, &[1, 2, 3]);
    cluster.lead_anew();
    let asked: Vec<u64> = (1..=3).map(|n| cluster.ask(register(node(n, 10 + n as u8)))).collect();
    assert!(cluster.proposed.is_empty(), "nothing is known yet of the old lives");
    let silent = (1..=3).map(|n| cluster.peer(n)).collect();
    cluster.judge_with(Vec::new(), silent);
    let before = cluster.image.applied;
    cluster.commit();
    assert_eq!(cluster.image.applied, before + 1, "R45");
    assert!(asked.iter().all(|ticket| cluster.answers[ticket] == Reply::Done(before + 1)));
    assert_eq!(cluster.led(id), (-1, 1, vec![]));
    assert_eq!(cluster.partition(id).elr, [1, 2, 3], "all ended together");
    cluster.judge(vec![Verdict::Unfence(cluster.peer(2)), Verdict::Unfence(cluster.peer(3))]);
    cluster.commit();
    assert_eq!(cluster.led(id), (2, 2, vec![2]));
    assert_eq!(cluster.partition(id).elr, [0; 0], "one in-sync replica is enough here");
}

#[test]
fn two_processes_of_one_node_never_share_an_epoch() {
    let mut cluster = Cluster::waiting();
    let (one, two) = (cluster.ask(register(node(1, 1))), cluster.ask(register(node(1, 2))));
    cluster.judge(Vec::new());
    cluster.commit();
    assert_ne!(cluster.answers[&one], cluster.answers[&two], "I13");
}

#[test]
fn a_judgement_for_another_leadership_is_none() {
    let mut cluster = Cluster::of(1);
    let verdict = cluster.fence(1);
    cluster.lead_anew();
    let current = std::mem::replace(&mut cluster.leadership, Leadership { term: 5, node: 1 });
    cluster.judge(vec![verdict]);
    cluster.leadership = current;
    assert!(cluster.proposed.is_empty());
}

/// Changes a good wish into the one that a row tests.
type Spoil = fn(&Cluster, &mut IsrWish);

#[test]
fn a_wish_is_judged_in_the_order_of_r8() {
    use IsrOutcome::{Behind, Ended, Ineligible, Outdated};
    let ineligible = || Ineligible(String::new());
    let rows: [(&str, i32, Spoil, IsrOutcome); 15] = [
        ("good", 1, |_, _| (), IsrOutcome::Committed),
        ("unknown", 1, |_, w| w.id = id(9, 0), Ended(ErrorCode::UnknownTopicOrPartition)),
        ("later epoch", 1, |_, w| w.leader_epoch += 1, Behind),
        ("later state", 1, |_, w| w.partition_epoch += 1, Behind),
        ("old epoch", 1, |_, w| w.leader_epoch -= 1, Ended(ErrorCode::FencedLeaderEpoch)),
        (
            "old epoch first",
            2,
            |_, w| (w.leader_epoch, w.partition_epoch) = (w.leader_epoch - 1, w.partition_epoch - 1),
            Ended(ErrorCode::FencedLeaderEpoch),
        ),
        ("not the leader", 2, |_, _| (), Ended(ErrorCode::InvalidRequest)),
        ("not the leader first", 2, |_, w| w.partition_epoch -= 1, Ended(ErrorCode::InvalidRequest)),
        ("old state", 1, |_, w| w.partition_epoch -= 1, Outdated),
        ("a stranger", 1, |c, w| w.isr.push(c.peer(4)), ineligible()),
        ("without the leader", 1, |_, w| w.isr.retain(|member| member.broker != 1), ineligible()),
        ("twice", 1, |_, w| w.isr.push(w.isr[1]), ineligible()),
        ("a former life", 1, |_, w| w.isr[1].epoch -= 1, ineligible()),
        ("a fenced one", 1, |c, w| w.isr.push(c.peer(3)), ineligible()),
        ("unregistered", 1, |_, w| w.isr[1].broker = 5, ineligible()),
    ];
    for (case, from, spoil, expected) in rows {
        let mut cluster = Cluster::of(4);
        let at = cluster.create(1, &[1, 2, 3]);
        cluster.judge(vec![cluster.fence(3)]);
        cluster.commit();
        let (mut good, from) = (wish(&cluster, at, &[1, 2]), cluster.peer(from));
        spoil(&cluster, &mut good);
        let said = cluster.done(alter(&cluster, from, 1, vec![good]));
        let Reply::IsrAltered(outcomes, _) = said else { panic!("{case}: {said:?}") };
        let same = match (&outcomes[0], &expected) {
            (Ineligible(why), Ineligible(_)) => !why.is_empty(),
            (said, expected) => said == expected,
        };
        assert!(same, "{case}: {outcomes:?}");
        let grown = i32::from(expected == IsrOutcome::Committed);
        assert_eq!(cluster.partition(at).partition_epoch, 1 + grown, "{case}");
    }
}

#[test]
fn one_ask_judges_each_wish_by_itself_on_what_is_on_its_way() {
    let mut cluster = Cluster::of(2);
    let (one, two) = (cluster.create(1, &[1, 2]), cluster.create(2, &[2, 1]));
    let wishes = vec![wish(&cluster, one, &[1]), wish(&cluster, two, &[1]), wish(&cluster, one, &[1, 2])];
    let me = cluster.peer(1);
    let ticket = cluster.ask(alter(&cluster, me, 1, wishes.clone()));
    // A second ask meets the first one, which is not committed yet.
    let again = cluster.ask(alter(&cluster, me, 2, wishes));
    assert_eq!(cluster.proposed.len(), 1);
    cluster.commit();
    let ended = IsrOutcome::Ended(ErrorCode::InvalidRequest);
    let Reply::IsrAltered(outcomes, _) = &cluster.answers[&ticket] else { panic!() };
    assert_eq!(outcomes[..], [IsrOutcome::Committed, ended.clone(), IsrOutcome::Outdated]);
    let Reply::IsrAltered(outcomes, _) = &cluster.answers[&again] else { panic!() };
    assert_eq!(outcomes[..], [IsrOutcome::Outdated, ended, IsrOutcome::Outdated]);
    assert_eq!(cluster.led(one), (1, 0, vec![1]));
}

#[test]
fn an_old_number_another_leadership_and_a_former_life_are_refused() {
    let mut cluster = Cluster::of(2);
    let at = cluster.create(1, &[1, 2]);
    let me = cluster.peer(1);
    let asked = |cluster: &Cluster, number| alter(cluster, me, number, vec![wish(cluster, at, &[1])]);
    let elsewhere = Leadership { term: 4, node: 1 };
    let wishes = vec![wish(&cluster, at, &[1])];
    let late = Ask::AlterIsr { from: me, number: 9, leadership: elsewhere, wishes: wishes.clone() };
    assert_eq!(code(&cluster.done(late)), Some(ErrorCode::NotController));
    let former = Peer { epoch: me.epoch - 1, ..me };
    assert_eq!(code(&cluster.done(alter(&cluster, former, 9, wishes))), Some(ErrorCode::StaleBrokerEpoch));
    assert_eq!(code(&cluster.done(asked(&cluster, 3))), None);
    for number in [2, 3] {
        assert_eq!(code(&cluster.done(asked(&cluster, number))), Some(ErrorCode::InvalidRequest), "R40");
    }
    assert_eq!(code(&cluster.done(asked(&cluster, 4))), None);
}

#[test]
fn a_rebuilt_leader_gets_a_higher_epoch_once() {
    let mut cluster = Cluster::of(2);
    let at = cluster.create(1, &[1, 2]);
    let renew = |cluster: &Cluster, broker, epoch| Ask::RenewEpochs {
        from: cluster.peer(broker),
        partitions: vec![(at, epoch), (id(9, 0), 0), (at, epoch)],
    };
    for (broker, asked, now) in [(2, 0, 0), (1, 0, 1), (1, 0, 1), (1, 1, 2)] {
        assert!(matches!(cluster.done(renew(&cluster, broker, asked)), Reply::Done(_)));
        assert_eq!(cluster.led(at), (1, now, vec![1, 2]), "{broker} asks above {asked}");
    }
}

#[test]
fn logs_of_a_registering_node_lift_the_epochs_of_what_only_it_has() {
    let mut cluster = Cluster::of(2);
    let (alone, shared) = (cluster.create(1, &[1]), cluster.create(2, &[1, 2]));
    cluster.judge(vec![cluster.fence(1)]);
    cluster.commit();
    let log_epochs = vec![(alone, 40), (shared, 40), (id(9, 0), 7)];
    cluster.done(Ask::Register { node: Box::new(node(1, 9)), alone: None, log_epochs });
    cluster.judge(vec![Verdict::Unfence(cluster.peer(1))]);
    cluster.commit();
    assert_eq!(cluster.led(alone), (1, 42, vec![1]));
    assert_eq!(cluster.led(shared), (2, 1, vec![2]));
}

#[test]
fn what_rested_on_a_refused_batch_is_mended() {
    let mut cluster = Cluster::of(2);
    let at = cluster.create(1, &[1, 2]);
    cluster.judge(vec![cluster.fence(2)]);
    cluster.commit();
    cluster.judge(vec![Verdict::Unfence(cluster.peer(2))]);
    let me = cluster.peer(1);
    cluster.ask(alter(&cluster, me, 1, vec![wish(&cluster, at, &[1, 2])]));
    cluster.refuse_one();
    cluster.commit();
    assert_eq!(cluster.led(at), (1, 0, vec![1, 2]), "a fenced member, decided on the refused batch");
    cluster.ms += 500;
    cluster.step(Input::Tick);
    cluster.commit();
    assert_eq!(cluster.led(at), (1, 0, vec![1]));
    assert_eq!(cluster.dropped, 0);
}

#[test]
fn a_proposal_of_unknown_end_is_over_when_a_later_one_is_committed() {
    use super::ProposeResult;
    let mut cluster = Cluster::of(3);
    let at = cluster.create(1, &[1, 2, 3]);
    let me = cluster.peer(1);
    cluster.ask(alter(&cluster, me, 1, vec![wish(&cluster, at, &[1, 2])]));
    let (lost, _) = cluster.proposed.pop_front().unwrap();
    cluster.step(Input::Proposed(lost, ProposeResult::Unknown("lost".into())));
    cluster.judge(vec![cluster.fence(1)]);
    cluster.commit();
    assert_eq!(cluster.dropped, 1, "the election was decided on the change that is not in the log");
    assert_eq!(cluster.led(at), (2, 1, vec![2, 3]), "and is made again without it");
}

#[cfg(feature = "mutants")]
#[test]
fn planted_bugs_of_the_judgement_are_caught() {
    use crate::mutant::{Mutant, plant};
    let rows: [(Mutant, fn()); 2] = [
        (Mutant::BrokerEpochUnchecked, a_wish_is_judged_in_the_order_of_r8),
        (Mutant::LateProposalAccepted, an_old_number_another_leadership_and_a_former_life_are_refused),
    ];
    for (mutant, test) in rows {
        plant(Some(mutant));
        let caught = std::panic::catch_unwind(test);
        plant(None);
        assert!(caught.is_err(), "{mutant:?} was not caught");
    }
}
