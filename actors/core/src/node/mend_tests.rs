//! Tests of replicas that cannot serve what they acknowledged: when each begins anew, and when its bytes stay (R41).

use super::messages::{Effect, Found, Input, Life, Origin};
use super::tests::{Node, id, image};
use crate::ids::{ReplicaId, Seq};
use crate::metadata::{Opened, Partition, Topic};
use crate::storage::Verdict;
use std::sync::Arc;

const ME: i32 = 1;
const OTHER: i32 = 2;

/// A topic of one partition with these lists and this leader, opened by this node.
fn topic(leader: i32, leader_epoch: i32, isr: &[i32], elr: &[i32]) -> Arc<Topic> {
    let opened = [Opened { broker: ME, directory: None, shard: None }].into();
    let elr = elr.to_vec();
    let partition = Partition {
        leader,
        leader_epoch,
        partition_epoch: leader_epoch,
        opened,
        elr,
        ..Partition::new(vec![OTHER, ME], isr.to_vec())
    };
    Arc::new(Topic { id: id(1).topic, name: "t".into(), partitions: vec![partition], ..Topic::default() })
}

fn corrupt() -> Found {
    let verdict = Verdict::Corrupt("rot at 7".into());
    Found { id: id(1), shard: 0, replica: ReplicaId(1), seq: Seq(7), stray: None, verdict }
}

fn life(number: u64) -> Life {
    Life { id: id(1), number }
}

/// Whether the effects let the replica begin anew, and what they drop before.
fn anew(out: &[Effect]) -> Option<&Effect> {
    let fresh = |effect: &&Effect| matches!(effect, Effect::Start { origin: Origin::New, .. });
    let start = out.iter().position(|effect| fresh(&effect))?;
    assert!(out[..start].contains(&Effect::Withdraw(vec![id(1)])), "{out:?}");
    out[..start].iter().find(|effect| matches!(effect, Effect::Drop { .. } | Effect::Stray { at: None, .. }))
}

#[test]
fn a_replica_that_recovery_found_corrupt_begins_anew_once_nobody_counts_on_it() {
    let rows = [
        ("a member", topic(OTHER, 5, &[OTHER, ME], &[]), false),
        ("eligible", topic(OTHER, 5, &[OTHER], &[ME]), false),
        ("without a leader", topic(-1, 5, &[], &[]), false),
        ("its own leader", topic(ME, 5, &[ME], &[]), false),
        ("out of both lists", topic(OTHER, 5, &[OTHER], &[]), true),
    ];
    for (case, at_first, begins) in rows {
        let mut node = Node::one(vec![corrupt()]);
        let out = node.step(Input::Image(image(10, &[at_first])));
        let told = |effect: &Effect| matches!(effect, Effect::Damaged { life: of, .. } if *of == life(1));
        assert!(out.iter().any(told), "{case}: heartbeats say so");
        let found = Effect::Stray { found: corrupt(), at: None };
        assert_eq!(anew(&out), begins.then_some(&found), "{case}");
        if !begins {
            let out = node.step(Input::Image(image(11, &[topic(OTHER, 6, &[OTHER], &[])])));
            assert_eq!(anew(&out), Some(&found), "{case}: later");
        }
        let out = node.step(Input::Image(image(12, &[topic(OTHER, 7, &[OTHER], &[])])));
        assert_eq!(anew(&out), None, "{case}: once");
    }
}

#[test]
fn a_replica_that_the_store_does_not_know_any_more_begins_anew_in_a_shard_that_works() {
    let mut node = Node::new(vec![Err("gone".into()), Ok(())], vec![]);
    let out = node.step(Input::Image(image(10, &[topic(OTHER, 5, &[OTHER], &[])])));
    let started = |effect: &Effect| matches!(effect, Effect::Start { shard: 1, origin: Origin::New, .. });
    assert!(out.iter().any(started), "{out:?}");
}

#[test]
fn a_running_replica_says_that_it_is_damaged_and_begins_anew_when_it_has_left() {
    let mut node = Node::one(vec![Found { verdict: Verdict::Clean, ..corrupt() }]);
    node.step(Input::Image(image(10, &[topic(OTHER, 5, &[OTHER, ME], &[])])));
    let rot = || Input::Damaged { life: life(1), why: "rot".into(), mendable: true };
    assert_eq!(node.step(rot()), vec![Effect::Damaged { life: life(1), epoch: 5 }]);
    assert_eq!(node.step(rot()), vec![], "told once");
    let out = node.step(Input::Image(image(11, &[topic(OTHER, 5, &[OTHER], &[])])));
    assert_eq!(anew(&out), None, "a wish of this leader epoch may still bring it back");
    let out = node.step(Input::Image(image(12, &[topic(OTHER, 6, &[OTHER, ME], &[])])));
    assert!(out.contains(&Effect::Damaged { life: life(1), epoch: 6 }), "it is counted on: {out:?}");
    node.step(Input::Image(image(13, &[topic(-1, 7, &[], &[])])));
    assert_eq!(
        node.step(rot()),
        vec![Effect::Damaged { life: life(1), epoch: 7 }],
        "it may have served until then"
    );
    let out = node.step(Input::Image(image(14, &[topic(OTHER, 7, &[OTHER], &[])])));
    assert_eq!(anew(&out), None, "in that epoch it still counts");
    let out = node.step(Input::Image(image(15, &[topic(OTHER, 8, &[OTHER], &[])])));
    assert_eq!(anew(&out), Some(&Effect::Drop { id: id(1), shard: 0 }));
    assert_eq!(node.step(rot()), vec![], "a word of the former life");
}

#[test]
fn the_last_replica_begins_anew_when_an_operator_gives_its_bytes_up_and_they_are_kept_as_a_stray() {
    for found in [corrupt(), Found { verdict: Verdict::Clean, ..corrupt() }] {
        let runs = found.verdict == Verdict::Clean;
        let mut node = Node::one(vec![found.clone()]);
        node.step(Input::Image(image(10, &[topic(ME, 5, &[ME], &[])])));
        if runs {
            node.step(Input::Damaged { life: life(1), why: "rot".into(), mendable: true });
        }
        let mut given_up = Topic::clone(&topic(ME, 6, &[ME], &[]));
        (given_up.partitions[0].recovering, given_up.partitions[0].unclean_epoch) = (true, Some(6));
        let out = node.step(Input::Image(image(11, &[Arc::new(given_up)])));
        let leaves = out.contains(&Effect::Leave { id: id(1), shard: 0 });
        let strays = |effect: &Effect| matches!(effect, Effect::Stray { at: Some(_), .. });
        assert_eq!((leaves, out.iter().any(strays)), (runs, !runs), "{out:?}");
        let fresh = |effect: &Effect| matches!(effect, Effect::Start { origin: Origin::New, .. });
        assert!(out.iter().any(fresh), "{out:?}");
    }
}

#[test]
fn a_shard_that_has_stopped_takes_no_new_replica() {
    let mut node = Node::one(vec![Found { verdict: Verdict::Clean, ..corrupt() }]);
    node.step(Input::Image(image(10, &[topic(OTHER, 5, &[OTHER, ME], &[])])));
    let stopped = Input::Damaged { life: life(1), why: "a sync failed".into(), mendable: false };
    assert_eq!(node.step(stopped), vec![Effect::Damaged { life: life(1), epoch: 5 }]);
    let out = node.step(Input::Image(image(11, &[topic(OTHER, 6, &[OTHER], &[])])));
    assert_eq!(anew(&out), None, "its bytes stay until the node starts again");
}

#[cfg(feature = "mutants")]
#[test]
fn a_replica_that_begins_anew_too_soon_is_caught() {
    use crate::mutant::{Mutant, plant};
    plant(Some(Mutant::RefetchedBeforeLeaving));
    let caught =
        std::panic::catch_unwind(a_replica_that_recovery_found_corrupt_begins_anew_once_nobody_counts_on_it);
    plant(None);
    assert!(caught.is_err());
}
