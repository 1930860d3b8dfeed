//! Tests of the controller: leadership and the fate of proposals, for each answer that the log can give.

use super::controller::{Ask, ControllerMachine, Effect, Input, Refusal, Reply};
use super::controller_tests::{FIRST, LEAD, Rig, machine, register, snapshot, topic};
use super::{Committed, Image, LEVELS, Leadership, MetadataRecord, ProposalId, ProposeResult, Registration};
use crate::error::ErrorCode;
use crate::ids::{ProcessId, Ticket, TopicId};
use crate::machine::Machine;
use crate::time::Now;
use std::sync::Arc;

fn step(machine: &mut ControllerMachine, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    machine.step(Now::default(), input, &mut out);
    machine.check();
    out
}

fn lead(term: u64, node: i32) -> Input {
    Input::Log(Committed::Lead(Leadership { term, node }))
}

fn ids(ticket: u64) -> Input {
    Input::Ask { ticket: Ticket(ticket), ask: Ask::ProducerIds }
}

fn create(ticket: u64, name: &str) -> Input {
    let topics = vec![topic(name, ticket as u8)];
    Input::Ask { ticket: Ticket(ticket), ask: Ask::CreateTopics { topics, validate_only: false } }
}

fn batch(index: u64, proposal: Option<ProposalId>, records: Vec<MetadataRecord>) -> Input {
    Input::Log(Committed::Batch { index, proposal, records: Arc::new(records) })
}

/// The only proposal among these effects.
fn proposed(effects: &[Effect]) -> (Leadership, ProposalId, Vec<MetadataRecord>) {
    let mut all = effects.iter().filter_map(|effect| match effect {
        Effect::Propose { leadership, id, records } => Some((*leadership, *id, records.clone())),
        _ => None,
    });
    let one = all.next().expect("a proposal");
    assert!(all.next().is_none());
    one
}

fn answers(effects: &[Effect]) -> Vec<(u64, Reply)> {
    let answer = |effect: &Effect| match effect {
        Effect::Answer(ticket, reply) => Some((ticket.0, reply.clone())),
        _ => None,
    };
    effects.iter().filter_map(answer).collect()
}

fn failed_with(reply: &Reply, code: ErrorCode) -> bool {
    matches!(reply, Reply::Failed(refusal) if refusal.code == code)
}

/// A machine that leads and has one broker.
fn leading() -> ControllerMachine {
    let mut machine = machine();
    step(&mut machine, snapshot(&Rig::new().image));
    step(&mut machine, lead(LEAD.term, LEAD.node));
    machine
}

#[test]
fn only_the_leader_proposes_and_a_leadership_is_term_and_node() {
    for (term, node, leads) in [(1, 1, true), (9, 1, true), (1, 2, false), (9, 2, false)] {
        let mut machine = leading();
        step(&mut machine, lead(term, node));
        let effects = step(&mut machine, ids(1));
        if leads {
            assert_eq!(proposed(&effects).0, Leadership { term, node });
            assert!(answers(&effects).is_empty());
        } else {
            let told = answers(&effects);
            assert!(matches!(&told[..], [(1, reply)] if failed_with(reply, ErrorCode::NotController)));
        }
    }
}

#[test]
fn nothing_is_decided_before_the_stream_says_who_leads() {
    let mut before = Rig::new();
    before.create(vec![topic("t", 1)]);
    let mut machine = machine();
    assert!(step(&mut machine, Input::Ask { ticket: Ticket(1), ask: register("another") }).is_empty());
    let effects = step(&mut machine, snapshot(&before.image));
    assert!(matches!(&effects[..], [Effect::Publish(_)]), "{effects:?}");
    let (_, _, records) = proposed(&step(&mut machine, lead(1, 1)));
    assert!(!records.iter().any(|r| matches!(r, MetadataRecord::Cluster { .. })), "{records:?}");
    let raised =
        |r: &MetadataRecord| matches!(r, MetadataRecord::PartitionChange(change) if change.leader_epoch == 1);
    assert!(records.iter().any(raised), "{records:?}");
}

#[test]
fn what_waits_for_a_leader_is_bounded() {
    let mut machine = machine();
    let most = crate::limits::CONTROLLER_KEPT as u64;
    for n in 0..most {
        assert_eq!(step(&mut machine, ids(n)), []);
    }
    let told = answers(&step(&mut machine, ids(most)));
    assert!(failed_with(&told[0].1, ErrorCode::NotController), "{told:?}");
    // A newer registration takes the place of the older one of its process.
    let mut machine = self::machine();
    let ask = |ticket| {
        let node = Registration { broker: 1, process: Some(ProcessId([7; 16])), ..Registration::default() };
        let (node, log_epochs) = (Box::new(node), Vec::new());
        Input::Ask { ticket: Ticket(ticket), ask: Ask::Register { node, alone: None, log_epochs } }
    };
    assert_eq!(step(&mut machine, ask(1)), []);
    let told = answers(&step(&mut machine, ask(2)));
    assert!(matches!(&told[..], [(1, reply)] if failed_with(reply, ErrorCode::NotController)), "{told:?}");
}

#[test]
fn proposals_are_known_by_their_ids_and_never_by_their_records() {
    let mut machine = leading();
    let (_, first, records) = proposed(&step(&mut machine, ids(1)));
    let (_, second, _) = proposed(&step(&mut machine, create(2, "a")));
    assert_eq!((first, second), (FIRST, ProposalId { number: FIRST.number + 1, ..FIRST }));
    let others =
        [None, Some(ProposalId { node: 2, ..first }), Some(ProposalId { number: first.number - 1, ..first })];
    for (index, other) in (2..).zip(others) {
        let effects = step(&mut machine, batch(index, other, records.clone()));
        assert!(matches!(&effects[..], [Effect::Publish(_)]), "{other:?}: {effects:?}");
    }
    // The id ends the proposal, whatever the batch holds.
    let effects = step(&mut machine, batch(5, Some(first), records));
    assert_eq!(answers(&effects), [(1, Reply::ProducerIds(0))]);
}

#[test]
fn a_lost_leadership_answers_each_asker_by_what_is_known() {
    let refusal = |code, message: &str| Reply::Failed(Refusal { code, message: message.into() });
    let not_leader = "this node is not the controller any more";
    // Each row: the log's answer, the asker's answer, and whether the topic's name is free again.
    let rows = [
        (ProposeResult::NotLeader, Some(refusal(ErrorCode::NotController, not_leader)), true),
        (ProposeResult::Refused("full".into()), Some(refusal(ErrorCode::UnknownServerError, "full")), true),
        (ProposeResult::Unknown("lost".into()), Some(Reply::Unknown("lost".into())), false),
        (ProposeResult::Committed(2), None, false),
    ];
    for (result, told, free) in rows {
        let mut machine = leading();
        let (_, id, _) = proposed(&step(&mut machine, create(1, "a")));
        let effects = step(&mut machine, Input::Proposed(id, result.clone()));
        assert_eq!(answers(&effects).pop().map(|(_, reply)| reply), told, "{result:?}");
        let again = step(&mut machine, create(2, "a"));
        assert_eq!(answers(&again).is_empty(), free, "{result:?}");
    }
}

#[test]
fn an_answer_that_rests_on_an_unknown_proposal_gives_the_logs_reason() {
    let mut machine = leading();
    let (_, id, _) = proposed(&step(&mut machine, create(1, "a")));
    step(&mut machine, Input::Proposed(id, ProposeResult::Unknown("the disk is broken".into())));
    let told = answers(&step(&mut machine, create(2, "a"))).pop().map(|(_, reply)| reply);
    let why = Refusal { code: ErrorCode::NotController, message: "the disk is broken".into() };
    assert_eq!(
        told,
        Some(Reply::Failed(why)),
        "R44: it was never proposed, and not that the topic exists: that is not known"
    );
    proposed(&step(&mut machine, create(3, "b")));
    proposed(&step(&mut machine, ids(4)));
}

#[test]
fn metadata_that_are_older_than_a_log_give_it_an_epoch_above_its_last() {
    let mut rig = Rig::new();
    rig.create(vec![topic("t", 1)]);
    let id = crate::TopicPartition { topic: rig.image.topic("t").unwrap().id, partition: 0 };
    // Each row: the last epoch of the log that the node found, and the epoch it is given.
    for (found, given) in [(None, 1), (Some(0), 1), (Some(40), 41)] {
        let mut machine = machine();
        step(&mut machine, snapshot(&rig.image));
        step(&mut machine, lead(1, 1));
        let Ask::Register { node, alone, .. } = register("c") else { panic!() };
        let log_epochs = found.map(|epoch| (id, epoch)).into_iter().collect();
        let ask = Ask::Register { node, alone, log_epochs };
        let (_, _, records) = proposed(&step(&mut machine, Input::Ask { ticket: Ticket(9), ask }));
        let raised = records.iter().find_map(|record| match record {
            MetadataRecord::PartitionChange(change) if change.partition == 0 => Some(change.leader_epoch),
            _ => None,
        });
        assert_eq!(raised, Some(given), "{found:?}");
    }
}

#[test]
fn an_unknown_proposal_counts_until_the_stream_shows_its_end() {
    // Each row: the event that ends the proposal, and whether the topic exists then.
    type End = fn(ProposalId, Vec<MetadataRecord>) -> Input;
    let rows: [(End, bool); 3] = [
        (|id, records| batch(2, Some(id), records), true),
        (|_, _| lead(2, 1), false),
        (|_, _| lead(2, 2), false),
    ];
    for (end, there) in rows {
        let mut machine = leading();
        let (_, id, records) = proposed(&step(&mut machine, create(1, "a")));
        step(&mut machine, Input::Proposed(id, ProposeResult::Unknown("lost".into())));
        let effects = step(&mut machine, end(id, records));
        assert_eq!(answers(&effects), [], "the asker was told already");
        step(&mut machine, lead(3, 1));
        let taken = answers(&step(&mut machine, create(2, "a")));
        assert_eq!(!taken.is_empty(), there);
    }
}

#[test]
fn another_leadership_and_a_skip_end_all_that_is_on_its_way() {
    let skip = || snapshot(&Arc::new(Image { applied: 9, ..Image::default() }));
    let rows = [(lead(1, 1), 0), (lead(2, 1), 2), (lead(1, 2), 2), (skip(), 2)];
    for (event, ended) in rows {
        let mut machine = leading();
        let (_, late, records) = proposed(&step(&mut machine, create(1, "a")));
        step(&mut machine, create(2, "b"));
        let told = answers(&step(&mut machine, event.clone()));
        assert_eq!(told.len(), ended, "{event:?}");
        assert!(told.iter().all(|(_, reply)| matches!(reply, Reply::Unknown(_))), "{told:?}");
        if ended > 0 {
            // A batch counts even after its asker was told that its fate is unknown.
            let effects = step(&mut machine, batch(10, Some(late), records));
            assert!(matches!(&effects[..], [Effect::Publish(image)] if image.topic("a").is_some()));
        }
    }
    let mut machine = leading();
    step(&mut machine, skip());
    let told = answers(&step(&mut machine, ids(3)));
    assert!(failed_with(&told[0].1, ErrorCode::NotController), "after a skip a leader is named anew");
}

#[test]
fn decisions_of_one_moment_know_each_other() {
    let mut machine = leading();
    step(&mut machine, create(1, "a"));
    let delete = Ask::DeleteTopics(vec![super::TopicRef::Named("a".into(), TopicId([1; 16]))]);
    let (_, _, records) =
        proposed(&step(&mut machine, Input::Ask { ticket: Ticket(2), ask: delete.clone() }));
    assert!(matches!(&records[..], [MetadataRecord::TopicDeleted { .. }]));
    let twice = answers(&step(&mut machine, Input::Ask { ticket: Ticket(3), ask: delete }));
    let [(3, Reply::Deleted(outcomes, _))] = &twice[..] else { panic!("{twice:?}") };
    assert_eq!(outcomes[0].2.as_ref().unwrap_err().code, ErrorCode::UnknownTopicOrPartition);
    // The name is free for a new topic.
    proposed(&step(&mut machine, create(4, "a")));
}

#[test]
fn a_cluster_is_founded_once() {
    let mut machine = machine();
    step(&mut machine, snapshot(&Arc::default()));
    step(&mut machine, lead(1, 1));
    let found = |ticket, id: &str| {
        let ask = Ask::Found { cluster_id: id.into(), seats: Vec::new() };
        Input::Ask { ticket: Ticket(ticket), ask }
    };
    let (_, first, records) = proposed(&step(&mut machine, found(1, "one")));
    // Whoever asks meanwhile is told when the founding is committed, and founds nothing.
    assert!(step(&mut machine, found(2, "two")).is_empty());
    let effects = step(&mut machine, batch(1, Some(first), records));
    assert_eq!(answers(&effects), [(1, Reply::Done(1)), (2, Reply::Done(1))]);
    let Some(Effect::Publish(image)) = effects.first() else { panic!("{effects:?}") };
    assert_eq!((image.cluster_id.as_deref(), image.feature_level), (Some("one"), Some(LEVELS.max)));
    assert_eq!(image.cluster_configs["min.insync.replicas"], "2");
    assert_eq!(answers(&step(&mut machine, found(3, "three"))), [(3, Reply::Done(1))]);
}

#[test]
fn two_registrations_of_one_moment_raise_two_epochs() {
    let mut before = Rig::new();
    before.create(vec![topic("t", 1)]);
    let mut machine = machine();
    step(&mut machine, snapshot(&before.image));
    step(&mut machine, lead(1, 1));
    let ask = |ticket| Input::Ask { ticket: Ticket(ticket), ask: register("c") };
    let (_, first, one) = proposed(&step(&mut machine, ask(1)));
    let (_, second, two) = proposed(&step(&mut machine, ask(2)));
    let at = before.image.applied;
    step(&mut machine, batch(at + 1, Some(first), one));
    let effects = step(&mut machine, batch(at + 2, Some(second), two));
    let [Effect::Publish(image), Effect::Answer(Ticket(2), Reply::Done(epoch))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((*epoch, image.brokers[&1].epoch), (at + 2, at + 2));
    let partitions = &image.topic("t").unwrap().partitions;
    assert!(partitions.iter().all(|p| (p.leader_epoch, p.partition_epoch) == (2, 2)), "{partitions:?}");
}
