//! Members of a group: one rule of Kafka's a test.

use super::harness::{Harness, again, config, fixed, fresh, nobody, subscription, who};
use crate::group::messages::{Answer, CommitPartition, GroupState, Input, Join, MemberRef, Sync};
use crate::group::record::{GroupRecord, OffsetValue};
use crate::group::{GroupConfig, GroupMachine};
use crate::ids::Ticket;
use crate::{ErrorCode, Machine, Reject};
use std::sync::Arc;

#[test]
fn two_members_join_sync_commit_and_leave() {
    let mut h = Harness::new();
    let generation = h.stable(&["a", "b"]);
    assert_eq!(generation, 1);
    let described = h.describe();
    assert_eq!(described.members.len(), 2);
    assert_eq!(described.protocol_name, "range");
    assert_eq!(&*described.members[1].assignment, b"b");
    assert_eq!(h.heartbeat("a", 1), ErrorCode::None);
    assert_eq!(h.commit(who("a", 1), "t", 0, 7), ErrorCode::None);
    assert_eq!(h.fetch("t", 0), Some(7));
    assert_eq!(h.leave(&[("b", None)]), [ErrorCode::None]);
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    assert_eq!(h.heartbeat("a", 1), ErrorCode::RebalanceInProgress);
    let ticket = h.send_join(again("a"));
    assert_eq!(h.joined(ticket).generation, 2);
    assert_eq!(h.leave(&[("a", None)]), [ErrorCode::None]);
    assert_eq!(h.state(), GroupState::Empty);
    assert_eq!(h.fetch("t", 0), Some(7));
    assert_eq!(h.code(Input::DeleteGroup), ErrorCode::None);
    assert_eq!(h.state(), GroupState::Dead);
    assert!(h.gone > 0);
    assert_eq!(h.fetch("t", 0), None);
    assert_eq!(h.commit(nobody(), "t", 0, 1), ErrorCode::None);
    assert_eq!(h.state(), GroupState::Empty);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut h = Harness::new();
    let a = h.send_join(fixed("i", "a"));
    h.pass(10_000);
    assert_eq!(h.joined(a).leader, "a");
    h.send_sync("a", 1, &[("a", b"x")]);
    let b = h.send_join(Join { can_skip_assignment: true, ..fixed("i", "b") });
    let joined = h.joined(b);
    assert_eq!(
        (joined.error, joined.generation, &*joined.leader, joined.skip_assignment),
        (ErrorCode::None, 1, "b", true)
    );
    let sync = h.send_sync("b", 1, &[]);
    assert_eq!(&*h.synced(sync).assignment, b"x");
    // Without KIP-814 it must not take itself for the leader.
    let c = h.send_join(fixed("i", "c"));
    let joined = h.joined(c);
    assert_eq!((&*joined.leader, joined.members.len(), joined.skip_assignment), ("b", 0, false));
    // Who was replaced is fenced, whatever it asks.
    let fenced = MemberRef { instance_id: Some("i".into()), ..who("b", 1) };
    assert_eq!(h.code(|t| Input::Heartbeat(t, fenced.clone())), ErrorCode::FencedInstanceId);
    assert_eq!(h.commit(fenced, "t", 0, 1), ErrorCode::FencedInstanceId);
    assert_eq!(h.leave(&[("b", Some("i"))]), [ErrorCode::FencedInstanceId]);
    assert_eq!(h.leave(&[("", Some("i")), ("", Some("j"))]), [ErrorCode::None, ErrorCode::UnknownMemberId]);
    assert_eq!(h.state(), GroupState::Empty);
}

#[test]
fn a_static_members_new_id_is_stored_before_it_is_told() {
    let mut h = Harness::new();
    let a = h.send_join(fixed("i", "a"));
    h.pass(10_000);
    h.joined(a);
    h.send_sync("a", 1, &[("a", b"x")]);
    h.storing = false;
    let b = h.send_join(fixed("i", "b"));
    assert!(h.answer(b).is_none());
    // The next one fences it; when the log refuses that, the group is as the log has it.
    let c = h.send_join(fixed("i", "c"));
    assert_eq!(h.joined(b).error, ErrorCode::FencedInstanceId);
    h.store_one();
    assert!(h.answer(c).is_none());
    h.fail(Reject::TimedOut);
    let joined = h.joined(c);
    assert_eq!((joined.error, &*joined.member_id), (ErrorCode::CoordinatorNotAvailable, ""));
    assert_eq!(h.heartbeat("b", 1), ErrorCode::None);
    assert_eq!(h.heartbeat("c", 1), ErrorCode::UnknownMemberId);
}

#[test]
fn a_static_member_with_another_assignor_begins_a_rebalance() {
    let mut h = Harness::new();
    let two = |first: &str, second: &str| {
        vec![(first.to_owned(), subscription(&["t"])), (second.into(), subscription(&["t"]))]
    };
    let a = h.send_join(Join { protocols: two("range", "sticky"), ..fixed("i", "a") });
    h.pass(10_000);
    assert_eq!(h.joined(a).protocol_name.as_deref(), Some("range"));
    h.send_sync("a", 1, &[]);
    let b = h.send_join(Join { protocols: two("sticky", "range"), ..fixed("i", "b") });
    let joined = h.joined(b);
    assert_eq!((joined.generation, joined.protocol_name.as_deref()), (2, Some("sticky")));
}

#[test]
fn joins_are_refused_with_kafkas_codes() {
    let mut h = Harness::with(GroupConfig { max_size: 2, ..config() });
    let mut refused = |join: Join| {
        let ticket = h.send_join(join);
        let joined = h.joined(ticket);
        assert_eq!(joined.generation, -1);
        (joined.error, joined.member_id)
    };
    assert_eq!(refused(Join { session_timeout_ms: 5_999, ..fresh("x") }).0, ErrorCode::InvalidSessionTimeout);
    assert_eq!(
        refused(Join { session_timeout_ms: 1_800_001, ..fresh("x") }).0,
        ErrorCode::InvalidSessionTimeout
    );
    assert_eq!(refused(again("x")), (ErrorCode::UnknownMemberId, "x".into()));
    assert_eq!(refused(Join { protocols: Vec::new(), ..fresh("x") }).0, ErrorCode::InconsistentGroupProtocol);
    assert_eq!(
        refused(Join { protocol_type: "".into(), ..fresh("x") }).0,
        ErrorCode::InconsistentGroupProtocol
    );
    assert_eq!(refused(Join { id_required: true, ..fresh("p") }), (ErrorCode::MemberIdRequired, "p".into()));
    h.stable(&["a", "b"]);
    let mut refused = |join: Join| {
        let ticket = h.send_join(join);
        h.joined(ticket).error
    };
    assert_eq!(refused(fresh("c")), ErrorCode::GroupMaxSizeReached);
    assert_eq!(
        refused(Join { protocol_type: "connect".into(), ..again("a") }),
        ErrorCode::InconsistentGroupProtocol
    );
    let other = vec![("sticky".into(), Arc::from([]))];
    assert_eq!(refused(Join { protocols: other, ..again("a") }), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(refused(Join { instance_id: Some("i".into()), ..again("a") }), ErrorCode::UnknownMemberId);
    // A follower that only lost its answer gets it again; the leader wants a new assignment.
    let b = h.send_join(again("b"));
    assert_eq!(h.joined(b).generation, 1);
    let a = h.send_join(again("a"));
    assert!(h.answer(a).is_none());
    assert_eq!(h.state(), GroupState::PreparingRebalance);
}

#[test]
fn an_id_that_was_given_out_is_good_for_a_session() {
    let mut h = Harness::new();
    for (wait, code) in [(29_000, ErrorCode::None), (31_000, ErrorCode::UnknownMemberId)] {
        let p = h.send_join(Join { id_required: true, ..fresh("p") });
        assert_eq!(h.joined(p).error, ErrorCode::MemberIdRequired);
        h.pass(wait);
        let again = h.send_join(again("p"));
        h.pass(10_000);
        assert_eq!(h.joined(again).error, code);
        assert_eq!(
            h.leave(&[("p", None)])[0],
            if wait < 30_000 { ErrorCode::None } else { ErrorCode::UnknownMemberId }
        );
    }
}

#[test]
fn the_first_members_wait_for_others_up_to_the_rebalance_timeout() {
    let mut h = Harness::new();
    let short = |id: &str| Join { rebalance_timeout_ms: 7_000, ..fresh(id) };
    let a = h.send_join(short("a"));
    h.pass(2_900);
    let b = h.send_join(short("b"));
    h.pass(2_900);
    assert!(h.answer(a).is_none(), "a newcomer: three seconds more");
    let c = h.send_join(short("c"));
    h.pass(1_199);
    assert!(h.answer(a).is_none());
    h.pass(1);
    assert_eq!(h.joined(a).members.len(), 3, "never longer than the rebalance timeout");
    assert_eq!((h.joined(b).generation, h.joined(c).generation), (1, 1));
}

#[test]
fn the_assignor_is_the_one_with_the_most_votes_among_those_all_know() {
    let mut h = Harness::new();
    let with = |id: &str, names: &[&str]| Join {
        protocols: names.iter().map(|name| ((*name).to_owned(), subscription(&[]))).collect(),
        ..fresh(id)
    };
    let a = h.send_join(with("a", &["x", "range", "sticky", "range"]));
    h.send_join(with("b", &["sticky", "range"]));
    h.send_join(with("c", &["sticky", "range", "y"]));
    h.pass(20_000);
    assert_eq!(h.joined(a).protocol_name.as_deref(), Some("sticky"));
}

#[test]
fn syncs_are_refused_with_kafkas_codes() {
    let mut h = Harness::new();
    let a = h.send_join(fresh("a"));
    h.pass(10_000);
    h.joined(a);
    let mut code = |sync: Sync| {
        let ticket = h.ticket();
        h.step(Input::Sync(ticket, sync));
        h.synced(ticket).error
    };
    let good = Sync { member_id: "a".into(), generation: 1, ..Sync::default() };
    assert_eq!(code(Sync { member_id: "x".into(), ..good.clone() }), ErrorCode::UnknownMemberId);
    assert_eq!(code(Sync { generation: 0, ..good.clone() }), ErrorCode::IllegalGeneration);
    let typed = Sync { protocol_type: Some("connect".into()), ..good.clone() };
    assert_eq!(code(typed), ErrorCode::InconsistentGroupProtocol);
    let named = Sync { protocol_name: Some("sticky".into()), ..good.clone() };
    assert_eq!(code(named), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(code(good), ErrorCode::None);
}

#[test]
fn an_assignment_that_cannot_be_stored_begins_a_rebalance() {
    let mut h = Harness::new();
    let (a, b) = (h.send_join(fresh("a")), h.send_join(fresh("b")));
    h.pass(20_000);
    h.joined(a);
    h.joined(b);
    h.storing = false;
    let b = h.send_sync("b", 1, &[]);
    let a = h.send_sync("a", 1, &[("a", b"x")]);
    assert!(h.answer(a).is_none() && h.answer(b).is_none());
    assert_eq!(h.heartbeat("b", 1), ErrorCode::None, "in CompletingRebalance");
    h.fail(Reject::NotLeader);
    assert_eq!(
        (h.synced(a).error, h.synced(b).error),
        (ErrorCode::NotCoordinator, ErrorCode::NotCoordinator)
    );
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    assert_eq!(h.heartbeat("b", 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn who_does_not_sync_is_out() {
    let mut h = Harness::new();
    let (a, b) = (h.send_join(fresh("a")), h.send_join(fresh("b")));
    h.pass(9_000);
    h.joined(a);
    h.joined(b);
    let a = h.send_sync("a", 1, &[("a", b"x"), ("b", b"y")]);
    assert_eq!(&*h.synced(a).assignment, b"x");
    // It says that it lives, and does not take its assignment.
    for _ in 0..6 {
        assert_eq!((h.heartbeat("a", 1), h.heartbeat("b", 1)), (ErrorCode::None, ErrorCode::None));
        h.pass(10_000);
    }
    assert_eq!(h.heartbeat("b", 1), ErrorCode::UnknownMemberId);
    assert_eq!(h.heartbeat("a", 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_session_ends_in_time_and_commits_keep_it() {
    let mut h = Harness::new();
    let generation = h.stable(&["a", "b"]);
    for _ in 0..2 {
        h.pass(20_000);
        assert_eq!(h.commit(who("a", generation), "t", 0, 1), ErrorCode::None);
    }
    assert_eq!(h.heartbeat("a", generation), ErrorCode::RebalanceInProgress);
    assert_eq!(h.heartbeat("b", generation), ErrorCode::UnknownMemberId);
    h.pass(31_000);
    assert_eq!(h.state(), GroupState::Empty);
    assert_eq!(h.machine.generation, generation + 1);
}

#[test]
fn commits_are_refused_with_kafkas_codes() {
    let mut h = Harness::new();
    assert_eq!(h.commit(who("x", 1), "t", 0, 1), ErrorCode::GroupIdNotFound, "an unknown group");
    let a = h.send_join(fresh("a"));
    h.pass(10_000);
    h.joined(a);
    assert_eq!(h.commit(who("a", 1), "t", 0, 1), ErrorCode::RebalanceInProgress, "before SyncGroup");
    assert_eq!(h.commit(nobody(), "t", 0, 1), ErrorCode::UnknownMemberId);
    h.send_sync("a", 1, &[]);
    assert_eq!(h.commit(nobody(), "t", 0, 1), ErrorCode::UnknownMemberId);
    assert_eq!(h.commit(who("x", 1), "t", 0, 1), ErrorCode::UnknownMemberId);
    assert_eq!(h.commit(who("a", 0), "t", 0, 1), ErrorCode::IllegalGeneration);
    assert_eq!(h.commit(who("a", -1), "t", 0, 1), ErrorCode::IllegalGeneration);
    assert_eq!(h.commit(who("a", 1), "t", 0, -7), ErrorCode::None, "a negative offset");
    let ticket = h.ticket();
    let one = |partition, metadata: String| CommitPartition {
        topic: "t".into(),
        partition,
        offset: 1,
        leader_epoch: 3,
        metadata,
    };
    h.step(Input::Commit(
        ticket,
        who("a", 1),
        -1,
        vec![one(1, "x".repeat(4_097)), one(2, "ü".repeat(4_096))],
    ));
    let answer = h.answer(ticket);
    let codes =
        [("t".to_owned(), 1, ErrorCode::OffsetMetadataTooLarge), ("t".to_owned(), 2, ErrorCode::None)];
    assert_eq!(answer, Some(Answer::Committed(codes.to_vec())));
    assert_eq!((h.fetch("t", 1), h.fetch("t", 2)), (None, Some(1)));
}

#[test]
fn a_commit_shows_once_stored_and_the_later_write_wins() {
    let mut h = Harness::new();
    h.storing = false;
    let (a, b, c) = (
        h.send_commit(nobody(), "t", 0, 1),
        h.send_commit(nobody(), "t", 0, 2),
        h.send_commit(nobody(), "t", 0, 3),
    );
    assert_eq!(h.fetch("t", 0), None);
    assert!(h.answer(a).is_none());
    h.writes.swap(0, 1);
    h.store_one();
    assert_eq!((h.committed(b), h.fetch("t", 0)), (ErrorCode::None, Some(2)));
    h.store_one();
    assert_eq!((h.committed(a), h.fetch("t", 0)), (ErrorCode::None, Some(2)));
    h.fail(TOO_LARGE);
    assert_eq!((h.committed(c), h.fetch("t", 0)), (ErrorCode::UnknownServerError, Some(2)));
}

const TOO_LARGE: Reject = Reject::TooLarge { size: 1_048_589, max: 1_048_588 };

/// A stable group whose first write after that is refused: the code of the answer to what `asks`.
fn refused(refused: &Reject, asks: impl FnOnce(&mut Harness) -> Ticket) -> ErrorCode {
    let mut h = Harness::new();
    let a = h.send_join(fixed("i", "a"));
    h.pass(10_000);
    h.joined(a);
    h.send_sync("a", 1, &[("a", b"x")]);
    assert_eq!(h.commit(who("a", 1), "u", 0, 1), ErrorCode::None);
    let ticket = asks(&mut h);
    h.fail(refused.clone());
    match h.answer(ticket) {
        Some(Answer::Joined(joined)) => joined.error,
        Some(Answer::Synced(synced)) => synced.error,
        Some(Answer::Committed(each)) => each[0].2,
        Some(Answer::OffsetsDeleted(code, _) | Answer::Left(code, _) | Answer::Done(code)) => code,
        other => panic!("{other:?}"),
    }
}

/// Kafka 4.3: `GroupMetadataManager.appendGroupMetadataErrorToResponseError` of JoinGroup and SyncGroup,
/// `CoordinatorOperationExceptionHelper.handleOperationException` of the others.
#[test]
fn a_refused_write_is_told_in_the_code_that_kafka_has_for_it() {
    let table = [
        (TOO_LARGE, ErrorCode::UnknownServerError),
        (Reject::TimedOut, ErrorCode::CoordinatorNotAvailable),
        (Reject::Busy, ErrorCode::CoordinatorNotAvailable),
        (Reject::TopicDeleted, ErrorCode::CoordinatorNotAvailable),
        (Reject::NotLeader, ErrorCode::NotCoordinator),
        (Reject::Unavailable, ErrorCode::NotCoordinator),
        (Reject::CutOff, ErrorCode::NotCoordinator),
        (Reject::Storage("its shard has stopped".into()), ErrorCode::NotCoordinator),
        (Reject::BadCrc, ErrorCode::CorruptMessage),
    ];
    let ask = |h: &mut Harness, input: &dyn Fn(Ticket) -> Input| {
        h.storing = false;
        let ticket = h.ticket();
        h.step(input(ticket));
        ticket
    };
    for (why, code) in table {
        let commit = refused(&why, |h| {
            h.storing = false;
            h.send_commit(who("a", 1), "t", 0, 9)
        });
        let offsets = vec![("u".to_owned(), vec![0])];
        let delete = refused(&why, |h| {
            h.leave(&[("", Some("i"))]);
            ask(h, &|ticket| Input::DeleteOffsets(ticket, offsets.clone()))
        });
        let group = refused(&why, |h| {
            h.leave(&[("", Some("i"))]);
            ask(h, &Input::DeleteGroup)
        });
        let leave = refused(&why, |h| ask(h, &|t| Input::Leave(t, vec![(String::new(), Some("i".into()))])));
        let join = refused(&why, |h| {
            h.storing = false;
            h.send_join(fixed("i", "b"))
        });
        let sync = refused(&why, |h| {
            let member = h.send_join(Join { protocols: again("a").protocols, ..fixed("j", "b") });
            let leader = h.send_join(Join { instance_id: Some("i".into()), ..again("a") });
            h.joined(member);
            h.joined(leader);
            h.storing = false;
            h.send_sync("b", 2, &[]);
            h.send_sync("a", 2, &[("a", b"x")])
        });
        assert_eq!([commit, delete, group, leave, join, sync], [code; 6], "{why}");
    }
}

#[test]
fn offsets_are_deleted_unless_somebody_reads_the_topic() {
    let mut h = Harness::new();
    let delete = |h: &mut Harness, topic: &str| {
        let ticket = h.ticket();
        h.step(Input::DeleteOffsets(ticket, vec![(topic.into(), vec![0])]));
        let Some(Answer::OffsetsDeleted(code, each)) = h.answer(ticket) else { panic!("no answer") };
        (code, each.first().map(|(_, _, code)| *code))
    };
    assert_eq!(delete(&mut h, "t"), (ErrorCode::GroupIdNotFound, None));
    h.commit(nobody(), "t", 0, 1);
    h.commit(nobody(), "u", 0, 1);
    h.stable(&["a"]);
    assert_eq!(delete(&mut h, "t"), (ErrorCode::None, Some(ErrorCode::GroupSubscribedToTopic)));
    assert_eq!(delete(&mut h, "u"), (ErrorCode::None, Some(ErrorCode::None)));
    assert_eq!((h.fetch("t", 0), h.fetch("u", 0)), (Some(1), None));
    assert_eq!(h.code(Input::DeleteGroup), ErrorCode::NonEmptyGroup);
    h.leave(&[("a", None)]);
    assert_eq!(delete(&mut h, "t"), (ErrorCode::None, Some(ErrorCode::None)));
    assert_eq!(h.fetch("t", 0), None);
    // Of a group that assigns something else than topics nobody knows.
    let w = h.send_join(Join { protocol_type: "connect".into(), ..fresh("w") });
    h.pass(10_000);
    h.joined(w);
    assert_eq!(delete(&mut h, "t"), (ErrorCode::NonEmptyGroup, None));
}

#[test]
fn offsets_expire_as_in_kafka() {
    let keep = GroupConfig::default().offsets_retention_ms as u64;
    // Offsets only: since their commit.
    let mut h = Harness::new();
    h.commit(nobody(), "t", 0, 1);
    h.pass(keep / 2);
    h.commit(nobody(), "t", 1, 1);
    h.pass(keep / 2 + 600_000);
    assert_eq!((h.fetch("t", 0), h.fetch("t", 1)), (None, Some(1)));
    h.pass(keep);
    assert_eq!(h.state(), GroupState::Dead);
    // A group: since it is empty; then it is gone itself.
    let mut h = Harness::new();
    h.stable(&["a"]);
    h.commit(who("a", 1), "t", 0, 1);
    h.commit(who("a", 1), "u", 0, 1);
    while h.fetch("u", 0).is_some() {
        assert_eq!(h.heartbeat("a", 1), ErrorCode::None);
        h.pass(29_000);
        assert!(h.now.wall.0 < super::harness::START + keep as i64 + 700_000, "not subscribed: it expires");
    }
    assert_eq!(h.fetch("t", 0), Some(1), "subscribed: it does not");
    h.leave(&[("a", None)]);
    h.pass(keep - 60_000);
    assert_eq!(h.fetch("t", 0), Some(1));
    h.pass(700_000);
    assert_eq!((h.state(), h.gone > 0), (GroupState::Dead, true));
    assert!(h.log.iter().any(|record| matches!(record, GroupRecord::Group { value: None, .. })));
    // Its own expiry goes before.
    let mut h = Harness::new();
    let ticket = h.ticket();
    let one = CommitPartition { topic: "t".into(), offset: 1, ..CommitPartition::default() };
    h.step(Input::Commit(ticket, nobody(), 1_000, vec![one]));
    h.pass(600_000);
    assert_eq!(h.fetch("t", 0), None);
}

#[test]
fn what_is_on_its_way_does_not_expire() {
    let keep = GroupConfig::default().offsets_retention_ms as u64;
    let mut h = Harness::new();
    h.commit(nobody(), "t", 0, 1);
    h.storing = false;
    h.pass(keep - 1);
    h.send_commit(nobody(), "t", 0, 2);
    h.pass(700_000);
    h.store();
    assert_eq!(h.fetch("t", 0), Some(2));
}

#[test]
fn a_group_goes_on_from_its_log() {
    let mut h = Harness::new();
    h.stable(&["a", "b"]);
    h.commit(who("a", 1), "t", 0, 5);
    let mut again_ = Harness::new();
    for record in &h.log {
        again_.machine.replay(record.clone());
    }
    again_.machine.replay(GroupRecord::Group { group: "another".into(), value: None });
    assert!(again_.machine.next_deadline().is_none());
    again_.step(Input::Loaded);
    assert_eq!(again_.describe(), h.describe());
    assert_eq!(again_.fetch_all(), h.fetch_all());
    assert_eq!(again_.heartbeat("a", 1), ErrorCode::None);
    again_.pass(31_000);
    assert_eq!(again_.state(), GroupState::Empty, "sessions began when it was loaded");
    // A bound that was lowered: members join again, as many as may.
    let mut small = Harness::with(GroupConfig { max_size: 1, ..config() });
    for record in &h.log {
        small.machine.replay(record.clone());
    }
    small.step(Input::Loaded);
    assert_eq!(small.state(), GroupState::PreparingRebalance);
    let (a, b) = (small.send_join(again("a")), small.send_join(again("b")));
    assert_eq!(small.joined(b).error, ErrorCode::GroupMaxSizeReached);
    assert_eq!(small.joined(a).members.len(), 1);
}

#[test]
fn a_rewrite_holds_everything_and_what_is_on_its_way() {
    let mut h = Harness::new();
    h.stable(&["a"]);
    h.commit(who("a", 1), "t", 0, 5);
    h.storing = false;
    let late = h.send_commit(who("a", 1), "t", 1, 6);
    let before = h.log.len();
    let ticket = h.ticket();
    h.step(Input::Rewrite(ticket));
    h.fail(Reject::TimedOut);
    assert_eq!(h.committed(late), ErrorCode::CoordinatorNotAvailable);
    h.store();
    assert_eq!(h.answer(ticket), Some(Answer::Done(ErrorCode::None)));
    let mut again_ = Harness::new();
    for record in &h.log[before..] {
        again_.machine.replay(record.clone());
    }
    again_.step(Input::Loaded);
    assert_eq!(again_.fetch_all(), h.fetch_all());
    assert_eq!((again_.fetch("t", 1), again_.describe()), (Some(6), h.describe()));
    let ticket = h.ticket();
    h.machine = GroupMachine::new("g".into(), config());
    h.step(Input::Rewrite(ticket));
    assert_eq!(h.answer(ticket), Some(Answer::Done(ErrorCode::None)), "nothing to write");
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let mut h = Harness::new();
    for topic in ["s", "t"] {
        h.commit(nobody(), topic, 0, 1);
    }
    h.step(Input::TopicDeleted("t".into()));
    assert_eq!(h.fetch_all().into_keys().collect::<Vec<_>>(), [("s".to_owned(), 0)]);
    assert_eq!(h.shown.last().map(|shown| shown.offsets), Some(1));
    h.step(Input::TopicDeleted("s".into()));
    assert!(h.machine.is_gone() && h.gone > 0);
    assert_eq!(h.shown.last().map(|shown| shown.state), Some(GroupState::Dead));
}

#[test]
fn a_request_that_is_sent_twice_is_answered_twice() {
    let mut h = Harness::new();
    let (a, b) = (h.send_join(fresh("a")), h.send_join(fresh("b")));
    h.pass(9_000);
    h.joined(a);
    h.joined(b);
    let (first, second) = (h.send_sync("b", 1, &[]), h.send_sync("b", 1, &[]));
    assert_eq!(h.synced(first).error, ErrorCode::RebalanceInProgress);
    h.storing = false;
    h.send_sync("a", 1, &[("b", b"y")]);
    h.send_sync("a", 1, &[("b", b"z")]);
    assert_eq!(h.writes.len(), 1, "the leader's first word counts");
    h.store();
    assert_eq!(&*h.synced(second).assignment, b"y");
}

#[test]
fn records_that_contradict_themselves_are_taken_as_far_as_they_make_sense() {
    let mut h = Harness::new();
    h.stable(&["a", "b"]);
    let Some(GroupRecord::Group { value: Some(mut value), .. }) = h.log.last().cloned() else {
        panic!("no group")
    };
    value.leader = Some("nobody".into());
    value.members.push(value.members[0].clone());
    value.members[1].session_timeout_ms = -5;
    value.members[1].rebalance_timeout_ms = i32::MIN;
    value.generation = i32::MAX;
    value.protocol_name = None;
    let mut again_ = Harness::new();
    again_.machine.replay(GroupRecord::Group { group: "g".into(), value: Some(value) });
    let value = Some(OffsetValue { offset: 1, ..OffsetValue::default() });
    again_.machine.replay(GroupRecord::Offset { group: "g".into(), topic: "t".into(), partition: -1, value });
    again_.step(Input::Heartbeat(crate::Ticket(0), who("a", i32::MAX)));
    again_.pass(120_000);
    assert_eq!(again_.state(), GroupState::Empty);
}

#[cfg(feature = "mutants")]
#[test]
fn a_commit_of_an_old_generation_is_caught() {
    crate::mutant::plant(Some(crate::mutant::Mutant::OldGenerationCommits));
    let caught = std::panic::catch_unwind(commits_are_refused_with_kafkas_codes).is_err();
    crate::mutant::plant(None);
    assert!(caught, "the table of refused commits did not see it");
}
