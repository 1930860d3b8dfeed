//! Each anomaly outside transactions, planted into a good history; and what must not be taken for one.

use super::super::op::{Ends, Kind, Outcome, UNTOLD};
use super::super::{Anomaly, Limits, check, read, write};
use super::tale::{A, B, Tale, finds, tell};

#[test]
fn the_good_history_passes() {
    let verdict = finds(&[], |_| vec![]);
    assert!(verdict.good());
    assert_eq!((verdict.figures.sent_ok, verdict.figures.sent_fail, verdict.figures.transactions), (9, 1, 2));
    assert_eq!((verdict.figures.unseen_last, verdict.figures.commits_ok, verdict.figures.finally), (1, 1, 9));
}

#[test]
fn a_lost_write() {
    finds(&[Anomaly::LostWrite], |t| {
        let last = t.ends[A];
        t.ends[A] += 1;
        vec![t.told(1, 0, A, 105, last)]
    });
    finds(&[Anomaly::LostWrite, Anomaly::IntPollSkip], |t| {
        let lost = t.send(1, 0, B, 204);
        t.send(1, 0, B, 205);
        t.logs[B].retain(|record| record.1 != 204);
        vec![lost]
    });
    // Acknowledged as a duplicate, without an offset.
    finds(&[Anomaly::LostWrite], |t| vec![t.sent(1, A, 105, Outcome::Ok)]);
    finds(&[], |t| {
        let offset = t.append(A, 105);
        vec![t.sent(1, A, 105, Outcome::Ok), offset as u32]
    });
}

#[test]
fn sends_of_unknown_outcome_may_be_there_or_not() {
    let verdict = finds(&[], |t| {
        t.sent(1, A, 105, Outcome::Info);
        t.append(A, 106);
        t.sent(1, A, 106, Outcome::Info);
        t.sent(1, A, 107, Outcome::Fail);
        vec![]
    });
    assert_eq!((verdict.figures.sent_info, verdict.figures.info_there), (2, 1));
}

#[test]
fn a_partition_that_nobody_has_read_to_its_end() {
    finds(&[Anomaly::NotRead], |t| {
        t.whole = false;
        vec![]
    });
}

#[test]
fn two_values_at_one_offset() {
    finds(&[Anomaly::InconsistentOffsets, Anomaly::LostWrite], |t| {
        let offset = t.append(A, 402);
        vec![t.told(4, 0, A, 401, offset), t.sent(5, A, 402, Outcome::Ok) + 2]
    });
}

#[test]
fn one_value_at_two_offsets() {
    finds(&[Anomaly::Duplicate], |t| {
        t.append(A, 104);
        vec![]
    });
}

#[test]
fn values_that_were_never_sent_or_not_to_this_partition() {
    finds(&[Anomaly::NeverSent], |t| {
        t.append(A, 999);
        vec![]
    });
    finds(&[Anomaly::NeverSent], |t| {
        t.append(B, 105);
        vec![t.sent(1, A, 105, Outcome::Info)]
    });
}

#[test]
fn a_failed_send_that_was_read() {
    finds(&[Anomaly::G1a], |t| {
        t.append(A, 105);
        vec![t.sent(1, A, 105, Outcome::Fail)]
    });
}

#[test]
fn polls_that_go_back_or_skip() {
    finds(&[Anomaly::NonmonotonicPoll], |t| vec![t.poll(11, 0, A, &[(0, 101)])]);
    finds(&[Anomaly::NonmonotonicPoll], |t| vec![t.poll(11, 0, A, &[(4, 301)])]);
    finds(&[Anomaly::PollSkip], |t| {
        t.send(1, 0, A, 105);
        t.send(1, 0, A, 106);
        vec![t.poll(11, 0, A, &[(9, 106)])]
    });
    // Assigning again keeps the position of a partition that stays.
    finds(&[Anomaly::NonmonotonicPoll], |t| {
        t.assign(11, &[A]);
        vec![t.poll(11, 0, A, &[(0, 101)])]
    });
    finds(&[], |t| {
        t.assign(11, &[B]);
        t.assign(11, &[A]);
        vec![t.poll(11, 0, A, &[(0, 101)])]
    });
    finds(&[], |t| {
        t.op(11, 0, Outcome::Ok, Kind::Seek { part: Tale::part(A), to: 1 });
        vec![t.poll(11, 0, A, &[(1, 102)])]
    });
}

#[test]
fn polls_of_a_subscribed_process_may_jump_at_a_rebalance_only() {
    finds(&[Anomaly::NonmonotonicPoll], |t| vec![t.poll(12, 0, A, &[(2, 103)])]);
    finds(&[Anomaly::RebalanceRewind], |t| {
        t.rebalance(12, &[A]);
        vec![t.poll(12, 0, A, &[(2, 103)])]
    });
    finds(&[Anomaly::RebalanceSkip], |t| {
        t.send(1, 0, A, 105);
        t.rebalance(12, &[A]);
        vec![t.poll(12, 0, A, &[(8, 105)])]
    });
    // The next poll of the same generation is bound again.
    finds(&[Anomaly::PollSkip, Anomaly::RebalanceRewind], |t| {
        t.rebalance(12, &[A]);
        t.poll(12, 0, A, &[(0, 101)]);
        vec![t.poll(12, 0, A, &[(2, 103)])]
    });
}

#[test]
fn one_poll_that_goes_back_or_skips() {
    finds(&[Anomaly::IntNonmonotonicPoll], |t| vec![t.poll(13, 0, A, &[(1, 102), (0, 101)])]);
    finds(&[Anomaly::IntNonmonotonicPoll], |t| vec![t.poll(13, 0, A, &[(1, 102), (1, 102)])]);
    finds(&[Anomaly::IntPollSkip], |t| vec![t.poll(13, 0, A, &[(0, 101), (2, 103)])]);
    // A control record and an aborted value leave no hole.
    finds(&[], |t| {
        t.send(1, 0, A, 105);
        vec![t.poll(13, 0, A, &[(4, 301), (8, 105)])]
    });
}

#[test]
fn sends_that_stand_in_the_other_order() {
    finds(&[Anomaly::NonmonotonicSend], |t| {
        t.append(A, 106);
        t.append(A, 105);
        vec![t.sent(1, A, 105, Outcome::Ok), t.sent(1, A, 106, Outcome::Info)]
    });
}

#[test]
fn a_record_that_was_seen_and_is_gone() {
    finds(&[Anomaly::Truncation, Anomaly::EndRegress], |t| {
        t.sent(1, A, 105, Outcome::Info);
        vec![t.poll(13, 0, A, &[(8, 105)])]
    });
    // A control record may stand there now, so that the end does not tell.
    finds(&[Anomaly::Truncation], |t| {
        t.sent(1, A, 105, Outcome::Info);
        t.ends[A] += 1;
        vec![t.poll(13, 0, A, &[(8, 105)])]
    });
    finds(&[Anomaly::Truncation, Anomaly::InconsistentOffsets], |t| {
        t.sent(1, A, 105, Outcome::Info);
        let saw = t.poll(13, 0, A, &[(8, 105)]);
        t.send(2, 0, A, 106);
        vec![saw, t.poll(14, 0, A, &[(8, 106)])]
    });
}

#[test]
fn an_end_that_goes_back() {
    finds(&[Anomaly::EndRegress], |t| vec![t.end(13, A, 8), t.end(13, A, 7)]);
    // What it read counts as well as what it was told.
    finds(&[Anomaly::EndRegress], |t| vec![t.end(11, B, 2)]);
    finds(&[Anomaly::EndRegress], |t| vec![t.end(13, A, 9)]);
    finds(&[], |t| vec![t.end(13, A, 8), t.end(14, A, 7)]);
    finds(&[Anomaly::WatermarkBehind], |t| {
        vec![t.poll_with(11, 0, B, &[], Ends { start: 0, stable: 2, high: 2 })]
    });
}

#[test]
fn two_leaders_and_a_foreign_cluster() {
    let leader = |t: &mut Tale, epoch, leader| {
        t.op(13, 0, Outcome::Ok, Kind::Leader { part: Tale::part(A), epoch, leader })
    };
    finds(&[Anomaly::TwoLeaders], |t| vec![leader(t, 0, 2)]);
    finds(&[], |t| vec![leader(t, 1, 2), leader(t, 1, -1), leader(t, 2, 1)]);
    finds(&[Anomaly::ForeignCluster], |t| {
        let id = t.history.word("theirs");
        vec![t.op(13, 0, Outcome::Ok, Kind::Cluster { id })]
    });
}

#[test]
fn a_groups_place_that_goes_back() {
    finds(&[Anomaly::GroupOffsetRegress], |t| vec![t.commit(6, Outcome::Ok), t.committed(4)]);
    finds(&[Anomaly::GroupOffsetRegress], |t| vec![t.committed(-1)]);
    finds(&[Anomaly::GroupOffsetRegress], |t| vec![t.committed(7)]);
    finds(&[Anomaly::GroupOffsetRegress], |t| {
        t.commit(7, Outcome::Fail);
        vec![t.committed(7)]
    });
    // A commit of unknown outcome may show late, and then it stays.
    finds(&[], |t| vec![t.commit(6, Outcome::Info), t.committed(4), t.committed(6)]);
    finds(&[Anomaly::GroupOffsetRegress], |t| {
        t.commit(6, Outcome::Info);
        vec![t.committed(6), t.committed(4)]
    });
    // A member may commit a lower place, and then that one is right.
    finds(&[], |t| vec![t.commit(6, Outcome::Ok), t.commit(2, Outcome::Ok), t.committed(2)]);
    finds(&[Anomaly::GroupOffsetRegress], |t| {
        t.commit(6, Outcome::Ok);
        vec![t.commit(2, Outcome::Ok), t.committed(6)]
    });
}

#[test]
fn a_commit_that_overlaps_the_read_may_show_or_not() {
    for offset in [4, 6] {
        finds(&[], |t| {
            let commit = t.commit(6, Outcome::Ok);
            t.history.ops[commit as usize].end += 100;
            vec![t.committed(offset)]
        });
    }
}

#[test]
fn a_stable_offset_that_is_stuck() {
    let at = |t: &mut Tale, stable| t.poll_with(13, 0, A, &[], Ends { start: 0, stable, high: 8 });
    finds(&[Anomaly::StuckStable], |t| {
        let first = at(t, 4);
        t.now += 200_000_000;
        vec![first, at(t, 4)]
    });
    finds(&[], |t| {
        at(t, 4);
        t.now += 100_000_000;
        at(t, 4);
        at(t, 5);
        t.now += 100_000_000;
        vec![at(t, 5)]
    });
    finds(&[Anomaly::StuckStable], |t| {
        t.behind = 1;
        vec![]
    });
}

#[test]
fn records_below_the_start() {
    let trim = |t: &mut Tale, to, outcome| {
        t.starts[A] = to;
        t.op(1, 0, outcome, Kind::Trim { part: Tale::part(A), to })
    };
    finds(&[], |t| vec![trim(t, 4, Outcome::Ok)]);
    finds(&[], |t| vec![trim(t, 4, Outcome::Info)]);
    finds(&[Anomaly::BelowStart], |t| vec![trim(t, 4, Outcome::Ok), t.poll(13, 0, A, &[(3, 104), (4, 301)])]);
    // A start that moves without a request is a loss.
    finds(&[Anomaly::LostWrite, Anomaly::Truncation], |t| {
        t.starts[A] = 2;
        vec![]
    });
}

#[test]
fn values_sent_twice_make_no_history() {
    // Only the later one counts as found.
    finds(&[Anomaly::BadHistory, Anomaly::Duplicate, Anomaly::LostWrite], |t| vec![t.send(1, 0, A, 101)]);
}

#[test]
fn figures_over_their_limits() {
    let (tale, late) = tell(|t| {
        let sent = t.send(1, 0, B, 204);
        t.now += 5_000_000;
        (sent, t.poll(11, 0, B, &[(3, 302)]))
    });
    let limits = Limits { unseen: Some(1), lag: Some(1_000_000), ..Limits::default() };
    let verdict = check(&tale.history, &limits);
    assert_eq!((verdict.count(Anomaly::Unseen), verdict.count(Anomaly::RealtimeLag)), (1, 1), "{verdict}");
    assert_eq!((verdict.figures.lag_op, verdict.figures.lag / 1_000_000), (late.1, 5));
    assert!(check(&tale.history, &Limits::default()).good());
}

#[test]
fn a_history_survives_its_text() {
    let (tale, _) = tell(|t| {
        t.op(1, 0, Outcome::Info, Kind::Trim { part: Tale::part(A), to: 1 });
        t.op(1, 0, Outcome::Ok, Kind::Seek { part: Tale::part(A), to: 1 });
        t.sent(1, A, u64::MAX, Outcome::Fail);
        t.told(1, 0, B, 77, UNTOLD)
    });
    let mut text = Vec::new();
    write(&tale.history, &mut text).unwrap();
    let again = read(&mut &text[..]).unwrap();
    assert_eq!(again.ops.len(), tale.history.ops.len());
    for at in 0..again.ops.len() as u32 {
        assert_eq!(again.say(at), tale.history.say(at));
    }
    let verdicts = [&again, &tale.history].map(|history| check(history, &Limits::default()).to_string());
    assert_eq!(verdicts[0], verdicts[1]);
    for bad in ["", "{}\n", "[1]", "{\"history\":2}\n", "{\"history\":1}\n{\"f\":\"send\"}\n", "\u{0}"] {
        assert!(read(&mut bad.as_bytes()).is_err(), "{bad}");
    }
    let cut = String::from_utf8(text).unwrap().replace("\"rec\":[[", "\"rec\":[[null,");
    assert!(format!("{:#}", read(&mut cut.as_bytes()).unwrap_err()).contains("line "));
}
