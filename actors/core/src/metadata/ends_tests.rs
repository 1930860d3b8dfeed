//! Tests of what rests on proposals whose end is not known yet, or that came to nothing.

use super::IsrOutcome;
use super::cluster_rig::Cluster;
use super::cluster_tests::{alter, code, wish};
use super::controller::Reply;
use crate::error::ErrorCode;

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
