//! Members of a group: one rule of Kafka's a test.

use super::harness::{Harness, again, fixed, fresh, nobody, who};
use super::messages::{GroupState, Input, Join};
use crate::ErrorCode;

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
    let old = h.send_join(fresh("c"));
    h.pass(0);
    assert!(h.answer(old).is_none());
}
