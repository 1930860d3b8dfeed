//! Tests of the replica among others: the leader's and the follower's side, rule by rule.

use super::followers::Followers;
use super::*;
use crate::machine::Machine;
use crate::metadata::IsrOutcome;
use crate::records::BatchHead;
use crate::storage::{Durability, Entry};
use crate::time::{Millis, Now, UnixMillis};
use crate::{ErrorCode, Peer, Reject, Seq, Ticket};

const ME: i32 = 1;

fn peer(broker: i32) -> Peer {
    Peer { broker, epoch: 10 + broker as u64 }
}

/// Broker, whether it is live, whether it is in sync.
fn group(partition_epoch: i32, min_isr: usize, members: &[(i32, bool, bool)]) -> Group {
    let member = |(broker, live, in_sync): &(i32, bool, bool)| Member {
        peer: peer(*broker),
        live: *live,
        in_sync: *in_sync,
    };
    Group { partition_epoch, min_isr, members: members.iter().map(member).collect() }
}

/// Three replicas in sync, two of which are enough.
fn three(partition_epoch: i32) -> Group {
    group(partition_epoch, 2, &[(1, true, true), (2, true, true), (3, true, true)])
}

fn leads(epoch: i32, group: Group) -> Input {
    Input::Assign(Assigned { role: AssignedRole::Leader(group), leader_epoch: epoch, unclean_epoch: None })
}

fn follows(epoch: i32, leader: i32, unclean_epoch: Option<i32>) -> Input {
    Input::Assign(Assigned { role: AssignedRole::Follower { leader }, leader_epoch: epoch, unclean_epoch })
}

/// The log of every test: records 0 to 99, of epoch 1 up to 40 and of epoch 3 behind it, all committed.
fn start() -> LogStart {
    let epochs = vec![(1, 0), (3, 40)];
    LogStart { seq: Seq(9), next: 100, high_watermark: 60, epochs, ..LogStart::default() }
}

fn replica(log: LogStart, config: ReplicaConfig) -> ReplicaMachine {
    let log = LocalLog::recovered(log, config.durability);
    ReplicaMachine::new(ME, log, config, Beginning { first_n: 0, rebuilt: false })
}

fn step(machine: &mut ReplicaMachine, ms: u64, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    let now = Now { mono: Millis(ms), wall: UnixMillis(1_000_000 + ms as i64) };
    machine.step(now, input, &mut out);
    machine.check();
    out
}

fn leader(config: ReplicaConfig) -> ReplicaMachine {
    let mut m = replica(start(), config);
    step(&mut m, 0, leads(4, three(7)));
    m
}

fn batch(base: i64, epoch: i32, records: i32) -> BatchHead {
    BatchHead {
        size: 100,
        base_offset: base,
        leader_epoch: epoch,
        records,
        last_offset_delta: records - 1,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        ..BatchHead::default()
    }
}

fn append(ticket: u64, acks: Acks) -> Input {
    let head = batch(0, 0, 10);
    Input::Append { ticket: Ticket(ticket), leader_epoch: None, head, acks, deadline: Millis(90_000) }
}

fn persisted(written: u64, synced: u64) -> Input {
    Input::Persisted { written: Seq(written), synced: Seq(synced) }
}

/// A Position of epoch 4: number, end and last epoch, all of it synced.
fn at(broker: i32, n: u64, end: i64, last_epoch: Option<i32>) -> Input {
    let (leader_epoch, log_start) = (4, 0);
    let position = Position { leader_epoch, n, end, last_epoch, written: end, synced: end, log_start };
    Input::Position { from: peer(broker), position }
}

fn acked(broker: i32, n: u64, written: i64, synced: i64) -> Input {
    Input::Acked { from: peer(broker), ack: Ack { leader_epoch: 4, n, written, synced, log_start: 0 } }
}

fn answers(effects: &[Effect]) -> Vec<(u64, Result<i64, Reject>)> {
    let said = |effect: &Effect| match effect {
        Effect::Answer { ticket, result } => Some((ticket.0, result.clone().map(|a| a.base_offset))),
        _ => None,
    };
    effects.iter().filter_map(said).collect()
}

fn proposed(effects: &[Effect]) -> Option<Vec<i32>> {
    effects.iter().find_map(|effect| match effect {
        Effect::ProposeIsr { isr, .. } => Some(isr.iter().map(|peer| peer.broker).collect()),
        _ => None,
    })
}

fn replies(effects: &[Effect]) -> Vec<Answer> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Reply { answer, .. } = e { Some(*answer) } else { None })
        .collect()
}

fn feeds(effects: &[Effect]) -> Vec<(i64, bool)> {
    let feed = |effect: &Effect| match effect {
        Effect::Feed(cursor) => {
            let view = View { leader_epoch: 4, log_start: 20, end: 100, ..View::unknown(Role::Leader, 4) };
            let restart =
                matches!(cursor.clone().next(&view), Next::Part(Part { place: Continuity::Restart, .. }));
            Some((cursor.at(), restart))
        }
        _ => None,
    };
    effects.iter().filter_map(feed).collect()
}

#[test]
fn records_are_committed_when_every_member_has_them_as_durable_as_the_leader_wants() {
    // Durability; acknowledged (written, synced) by 2 and by 3; the high watermark that follows.
    let rows = [
        (Durability::Fsync, (110, 100), (110, 110), 100),
        (Durability::Fsync, (110, 110), (110, 110), 110),
        (Durability::Os, (110, 100), (110, 100), 110),
        (Durability::Os, (105, 100), (110, 110), 105),
    ];
    for (durability, two, three, high_watermark) in rows {
        let mut m = leader(ReplicaConfig { durability, ..ReplicaConfig::default() });
        assert_eq!(m.view().high_watermark, 60, "the stored hint, until members have spoken");
        step(&mut m, 0, at(2, 1, 100, Some(3)));
        assert_eq!(m.view().high_watermark, 60);
        step(&mut m, 0, at(3, 1, 100, Some(3)));
        assert_eq!(m.view().high_watermark, 100, "an accepted Position is an acknowledgement");
        step(&mut m, 0, append(1, Acks::All));
        step(&mut m, 0, append(2, Acks::Leader));
        let own = step(&mut m, 0, persisted(11, 11));
        assert_eq!(answers(&own), vec![(2, Ok(110))], "acks=1 waits for the leader alone");
        step(&mut m, 0, acked(2, 1, two.0, two.1));
        let out = step(&mut m, 0, acked(3, 1, three.0, three.1));
        assert_eq!(m.view().high_watermark, high_watermark, "{durability:?} {two:?} {three:?}");
        let all = if high_watermark >= 110 { vec![(1, Ok(100))] } else { vec![] };
        assert_eq!(answers(&out), all);
    }
}

#[test]
fn an_acknowledgement_counts_only_in_its_epoch_and_for_its_position_and_process() {
    let other = |epoch, n| {
        let ack = Ack { leader_epoch: epoch, n, written: 110, synced: 110, log_start: 0 };
        move |from| Input::Acked { from, ack }
    };
    let rows = [
        other(3, 1)(peer(3)),
        other(4, 2)(peer(3)),
        other(4, 0)(peer(3)),
        other(4, 1)(Peer { epoch: 12, ..peer(3) }),
        other(4, 1)(peer(9)),
    ];
    for row in rows {
        let mut m = leader(ReplicaConfig::default());
        for broker in [2, 3] {
            step(&mut m, 0, at(broker, 1, 100, Some(3)));
        }
        step(&mut m, 0, append(1, Acks::All));
        step(&mut m, 0, persisted(10, 10));
        step(&mut m, 0, acked(2, 1, 110, 110));
        step(&mut m, 0, row.clone());
        assert_eq!(m.view().high_watermark, 100, "{row:?}");
        step(&mut m, 0, acked(3, 1, 110, 110));
        assert_eq!(m.view().high_watermark, 110);
    }
}

#[test]
fn a_restarted_node_is_forgotten_until_its_new_process_speaks() {
    let mut m = leader(ReplicaConfig::default());
    for broker in [2, 3] {
        step(&mut m, 0, at(broker, 1, 100, Some(3)));
    }
    let mut members = three(8).members.to_vec();
    members[2] = Member { peer: Peer { broker: 3, epoch: 99 }, in_sync: false, ..members[2] };
    let out = step(&mut m, 0, leads(4, Group { members: members.into(), ..three(8) }));
    assert!(out.contains(&Effect::Unfeed(3)));
    let refused = Answer::Refused { leader_epoch: 4, n: 2, why: RefusedFor::Behind };
    assert_eq!(replies(&step(&mut m, 0, at(3, 2, 100, Some(3)))), vec![refused], "the former process");
    let position = Position {
        leader_epoch: 4,
        n: 1,
        end: 100,
        last_epoch: Some(3),
        written: 0,
        synced: 0,
        log_start: 0,
    };
    let from = Peer { broker: 3, epoch: 99 };
    let out = step(&mut m, 0, Input::Position { from, position });
    assert_eq!((feeds(&out).len(), proposed(&out)), (1, None), "it has nothing durable yet");
    let ack = Ack { leader_epoch: 4, n: 1, written: 100, synced: 100, log_start: 0 };
    let out = step(&mut m, 0, Input::Acked { from, ack });
    let isr = [peer(1), peer(2), from].to_vec();
    assert!(out.contains(&Effect::ProposeIsr { leader_epoch: 4, partition_epoch: 8, isr }));
}

#[test]
fn below_the_minimum_nothing_is_committed_and_acks_all_is_refused() {
    let mut m = leader(ReplicaConfig::default());
    for broker in [2, 3] {
        step(&mut m, 0, at(broker, 1, 100, Some(3)));
    }
    step(&mut m, 0, append(1, Acks::All));
    step(&mut m, 0, append(2, Acks::Leader));
    let alone = group(8, 2, &[(1, true, true), (2, false, false), (3, false, false)]);
    let out = step(&mut m, 0, leads(4, alone));
    assert_eq!(answers(&out), vec![(1, Err(Reject::NotEnoughReplicasAfterAppend))]);
    assert_eq!(answers(&step(&mut m, 0, append(3, Acks::All))), vec![(3, Err(Reject::NotEnoughReplicas))]);
    let out = step(&mut m, 0, persisted(11, 11));
    assert_eq!((answers(&out), m.view().high_watermark), (vec![(2, Ok(110))], 100), "I8");
    // The same ISR is enough where the minimum is lower.
    let enough = group(9, 1, &[(1, true, true), (2, false, false), (3, false, false)]);
    step(&mut m, 0, leads(4, enough));
    assert_eq!(m.view().high_watermark, 120);
}

#[test]
fn a_new_leader_commits_nothing_and_takes_nobody_in_before_its_own_start_is_acknowledged() {
    let mut m = replica(start(), ReplicaConfig::default());
    step(&mut m, 0, leads(4, group(7, 2, &[(1, true, true), (2, true, true), (3, true, false)])));
    assert_eq!((m.view().high_watermark, m.view().epoch_start), (60, 100));
    let out = step(&mut m, 0, at(3, 1, 80, Some(3)));
    assert_eq!(proposed(&out), None, "above the high watermark, below the epoch's start (R6)");
    let out = step(&mut m, 0, acked(3, 1, 100, 100));
    assert_eq!(proposed(&out), Some(vec![1, 2, 3]));
    assert_eq!(m.view().high_watermark, 60, "2 has said nothing");
    step(&mut m, 0, append(1, Acks::All));
    step(&mut m, 0, persisted(10, 10));
    step(&mut m, 0, at(2, 1, 100, Some(3)));
    step(&mut m, 0, acked(2, 1, 110, 110));
    assert_eq!(m.view().high_watermark, 100, "R7: the proposed member counts already");
    let end = Input::IsrSaid { partition_epoch: 7, outcome: IsrOutcome::Ineligible("fenced".into()) };
    step(&mut m, 0, end);
    assert_eq!(m.view().high_watermark, 110);
}

#[test]
fn a_member_that_lags_is_proposed_out_and_not_while_the_leader_was_late_itself() {
    let config = ReplicaConfig { replica_lag_max_ms: 1_000, ..ReplicaConfig::default() };
    let ready = |m: &mut ReplicaMachine| {
        for broker in [2, 3] {
            step(m, 0, at(broker, 1, 100, Some(3)));
        }
        step(m, 50, append(1, Acks::All));
        step(m, 60, acked(2, 1, 110, 110));
    };
    let mut m = leader(config);
    ready(&mut m);
    assert_eq!(m.next_deadline(), Some(Millis(1_050)));
    assert_eq!(proposed(&step(&mut m, 1_049, Input::Tick)), None);
    assert_eq!(proposed(&step(&mut m, 1_050, Input::Tick)), Some(vec![1, 2]));
    let mut m = leader(config);
    ready(&mut m);
    assert_eq!(proposed(&step(&mut m, 9_050, Input::Tick)), None, "R7: the leader's own tick came late");
    assert_eq!(m.next_deadline(), Some(Millis(9_550)));
    assert_eq!(proposed(&step(&mut m, 9_550, Input::Tick)), Some(vec![1, 2]));
    // A member that says nothing lags since the epoch began, even if nothing is appended.
    let mut m = leader(config);
    step(&mut m, 0, at(2, 1, 100, Some(3)));
    assert_eq!(proposed(&step(&mut m, 1_000, Input::Tick)), Some(vec![1, 2]));
}

#[test]
fn the_end_of_a_proposal_ends_the_wait_or_the_leadership() {
    let member = |m: &mut ReplicaMachine| {
        step(m, 0, leads(4, group(7, 2, &[(1, true, true), (2, true, true), (3, true, false)])));
        assert_eq!(proposed(&step(m, 0, at(3, 1, 100, Some(3)))), Some(vec![1, 2, 3]));
    };
    let mut m = replica(start(), ReplicaConfig::default());
    member(&mut m);
    step(&mut m, 5, Input::IsrSaid { partition_epoch: 7, outcome: IsrOutcome::Outdated });
    assert_eq!(m.next_deadline().map(|due| due.0), Some(1_005));
    assert_eq!(proposed(&step(&mut m, 1_005, Input::Tick)), Some(vec![1, 2, 3]), "asked again");
    let mut m = replica(start(), ReplicaConfig::default());
    member(&mut m);
    step(&mut m, 5, append(1, Acks::Leader));
    let outcome = IsrOutcome::Ended(ErrorCode::FencedLeaderEpoch);
    let out = step(&mut m, 5, Input::IsrSaid { partition_epoch: 7, outcome });
    assert_eq!((answers(&out), m.view().role), (vec![(1, Err(Reject::Unavailable))], Role::Idle));
    step(&mut m, 6, leads(4, three(8)));
    assert_eq!(m.view().role, Role::Idle, "R40: not again in this epoch");
    step(&mut m, 7, leads(5, three(9)));
    assert_eq!(m.view().role, Role::Leader);
}

#[test]
fn a_position_is_judged_by_the_last_epoch_and_the_end() {
    // The leader's log starts at 20: epoch 1 from there, epoch 3 from 40, its own (4) from 100 on.
    let diverge = |epoch, end| Err(Answer::Diverge { leader_epoch: 4, n: 1, epoch, end });
    let rows = [
        // (end, last epoch) → the feed's place and whether it restarts, or the answer
        ((100, Some(3)), Ok((100, false))),
        ((70, Some(3)), Ok((70, false))),
        ((110, Some(3)), diverge(Some(3), 100)),
        ((40, Some(1)), Ok((40, false))),
        ((45, Some(1)), diverge(Some(1), 40)),
        ((60, Some(2)), diverge(Some(1), 40)),
        ((20, Some(1)), Ok((20, false))),
        // An empty log counts by its end alone.
        ((20, None), Ok((20, false))),
        ((100, None), Ok((100, false))),
        ((19, None), Ok((19, true))),
        ((101, None), diverge(None, 20)),
        // Below the log start, or at it with an epoch that the leader no longer knows: the follower starts over (R39).
        ((10, Some(1)), Ok((10, true))),
        ((20, Some(0)), Ok((20, true))),
        ((30, Some(0)), diverge(None, 20)),
    ];
    for ((end, last), judged) in rows {
        let mut m = replica(
            LogStart { log_start: 20, epochs: vec![(1, 20), (3, 40)], high_watermark: 20, ..start() },
            ReplicaConfig::default(),
        );
        step(&mut m, 0, leads(4, three(7)));
        let out = step(&mut m, 0, at(2, 1, end, last));
        match judged {
            Ok(feed) => assert_eq!((feeds(&out), replies(&out)), (vec![feed], vec![]), "{end} {last:?}"),
            Err(answer) => assert_eq!((feeds(&out), replies(&out)), (vec![], vec![answer]), "{end} {last:?}"),
        }
    }
}

#[test]
fn a_position_of_another_epoch_waits_or_is_refused_and_an_old_number_is_dropped() {
    let of = |leader_epoch, n| {
        let position =
            Position { leader_epoch, n, end: 100, last_epoch: Some(3), written: 0, synced: 0, log_start: 0 };
        Input::Position { from: peer(2), position }
    };
    let refused = |leader_epoch, n, why| vec![Answer::Refused { leader_epoch, n, why }];
    let mut m = leader(ReplicaConfig::default());
    assert_eq!(replies(&step(&mut m, 0, of(3, 1))), refused(3, 1, RefusedFor::OldEpoch));
    assert_eq!(step(&mut m, 0, of(5, 2)), vec![], "R36: the image may be on its way");
    assert_eq!(m.next_deadline(), Some(Millis(1_000)));
    assert_eq!(replies(&step(&mut m, 1_000, Input::Tick)), refused(5, 2, RefusedFor::Behind));
    step(&mut m, 1_100, of(5, 4));
    assert_eq!(feeds(&step(&mut m, 1_200, leads(5, three(8)))), vec![(100, false)]);
    assert_eq!(step(&mut m, 1_200, of(5, 3)), vec![], "an older number");
    assert_eq!(feeds(&step(&mut m, 1_200, of(5, 5))).len(), 1);
    step(&mut m, 1_300, follows(6, 3, None));
    assert_eq!(replies(&step(&mut m, 1_300, of(6, 6))), refused(6, 6, RefusedFor::NotLeading));
}

#[test]
fn a_member_below_the_high_watermark_raises_the_alarm_and_is_proposed_out() {
    let mut m = leader(ReplicaConfig::default());
    for broker in [2, 3] {
        step(&mut m, 0, at(broker, 1, 100, Some(3)));
    }
    let out = step(&mut m, 0, at(3, 2, 90, Some(3)));
    assert!(matches!(&out[0], Effect::Alarm(_)), "R41");
    assert_eq!(proposed(&out), Some(vec![1, 2]));
}

#[test]
fn delete_records_waits_for_the_log_start_of_every_live_member() {
    let trim = Input::Trim { ticket: Ticket(1), to: TrimTo::Offset(50), own: false, deadline: Millis(500) };
    let started = |broker, log_start| {
        let ack = Ack { leader_epoch: 4, n: 1, written: 100, synced: 100, log_start };
        Input::Acked { from: peer(broker), ack }
    };
    let ready = || {
        let mut m = leader(ReplicaConfig::default());
        for broker in [2, 3] {
            step(&mut m, 0, at(broker, 1, 100, Some(3)));
        }
        step(&mut m, 0, trim.clone());
        step(&mut m, 0, persisted(10, 10));
        step(&mut m, 0, started(2, 50));
        m
    };
    assert_eq!(answers(&step(&mut ready(), 0, started(3, 50))), vec![(1, Ok(50))]);
    assert_eq!(answers(&step(&mut ready(), 500, Input::Tick)), vec![(1, Err(Reject::TimedOut))]);
    let dead = group(7, 2, &[(1, true, true), (2, true, true), (3, false, true)]);
    assert_eq!(
        answers(&step(&mut ready(), 0, leads(4, dead))),
        vec![(1, Ok(50))],
        "a fenced member is not asked"
    );
}

/// A follower of node 2 in epoch 4 that has sent its Position under number 1.
fn follower() -> ReplicaMachine {
    let mut m = replica(start(), ReplicaConfig::default());
    assert!(step(&mut m, 0, follows(4, 2, None)).contains(&Effect::Follow(2)));
    step(&mut m, 0, Input::Linked(2));
    m
}

fn part(n: u64, place: Continuity, high_watermark: i64, log_start: i64) -> Part {
    Part { leader_epoch: 4, n, place, high_watermark, log_start }
}

fn takes(part: Part, batches: &[BatchHead]) -> Input {
    let batches = (1..).map(Ticket).zip(batches.iter().copied()).collect();
    Input::Part { from: 2, part, batches }
}

fn entries(effects: &[Effect]) -> Vec<Entry> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Journal { entry, .. } = e { Some(*entry) } else { None })
        .collect()
}

fn positions(effects: &[Effect]) -> Vec<(u64, i64)> {
    let position = |effect: &Effect| match effect {
        Effect::Position { position, .. } => Some((position.n, position.end)),
        _ => None,
    };
    effects.iter().filter_map(position).collect()
}

fn acks(effects: &[Effect]) -> Vec<(u64, i64, i64)> {
    let ack = |effect: &Effect| match effect {
        Effect::Ack { ack, .. } => Some((ack.n, ack.written, ack.synced)),
        _ => None,
    };
    effects.iter().filter_map(ack).collect()
}

const AFTER: Continuity = Continuity::After { epoch: Some(3), end: 100 };

#[test]
fn a_follower_appends_what_matches_and_acknowledges_what_is_durable() {
    let mut m = follower();
    let out = step(&mut m, 1, takes(part(1, AFTER, 105, 30), &[batch(100, 3, 10), batch(112, 4, 8)]));
    let appended = |base, epoch| Entry::Append { base, epoch };
    assert_eq!(entries(&out), vec![appended(100, 3), appended(112, 4), Entry::LogStart { to: 30 }]);
    let view = m.view();
    assert_eq!((view.high_watermark, view.end, view.log_start), (105, 120, 30));
    assert_eq!(*view.epochs, vec![(1, 30), (3, 40), (4, 112)]);
    assert_eq!(acks(&out), vec![(1, 100, 100)]);
    assert_eq!(acks(&step(&mut m, 2, persisted(11, 10))), vec![(1, 120, 110)]);
    assert_eq!(acks(&step(&mut m, 3, persisted(11, 11))), vec![(1, 120, 120)]);
    assert_eq!(acks(&step(&mut m, 3, persisted(11, 11))), vec![], "nothing is new");
    let out = step(&mut m, 4, takes(part(1, Continuity::Nothing, 400, 30), &[]));
    assert_eq!((entries(&out), m.view().high_watermark), (vec![], 120), "R39: no further than the own end");
}

#[test]
fn only_parts_of_the_current_number_are_taken_and_one_mismatch_asks_once() {
    let mut m = follower();
    for old in [part(0, AFTER, 100, 0), Part { leader_epoch: 3, ..part(1, AFTER, 100, 0) }] {
        assert_eq!(step(&mut m, 1, takes(old, &[batch(100, 3, 1)])), vec![], "{old:?}");
    }
    let from = Input::Part { from: 3, part: part(1, AFTER, 100, 0), batches: vec![] };
    assert_eq!(step(&mut m, 1, from), vec![], "another node");
    let gap = Continuity::After { epoch: Some(3), end: 90 };
    let out = step(&mut m, 1, takes(part(1, gap, 100, 0), &[batch(90, 3, 10)]));
    assert_eq!((positions(&out), entries(&out)), (vec![(2, 100)], vec![]));
    assert_eq!(
        step(&mut m, 1, takes(part(1, gap, 100, 0), &[batch(90, 3, 10)])),
        vec![],
        "an old number by now"
    );
    let other = Continuity::After { epoch: Some(2), end: 100 };
    assert_eq!(
        positions(&step(&mut m, 1, takes(part(2, other, 100, 0), &[batch(100, 3, 1)]))),
        vec![(3, 100)]
    );
    // A new connection needs a new number too.
    step(&mut m, 1, Input::Unlinked(2));
    assert_eq!(positions(&step(&mut m, 1, Input::Linked(2))), vec![(4, 100)]);
}

#[test]
fn the_log_start_of_the_leader_trims_or_empties_the_follower() {
    let at_start = |epoch| Continuity::After { epoch, end: 100 };
    // Place, log start → entries, (log start, end, number of epochs), positions
    let reset = |at| vec![Entry::Reset { at }];
    let rows = [
        (Continuity::Restart, 100, reset(100), (100, 100, 0), vec![]),
        (Continuity::Restart, 170, reset(170), (170, 170, 0), vec![]),
        (Continuity::Restart, 99, vec![], (0, 100, 2), vec![(2, 100)]),
        (Continuity::Nothing, 50, vec![Entry::LogStart { to: 50 }], (50, 100, 1), vec![]),
        (Continuity::Nothing, 100, vec![Entry::LogStart { to: 100 }], (100, 100, 1), vec![]),
        (Continuity::Nothing, 170, vec![Entry::LogStart { to: 100 }], (100, 100, 1), vec![]),
        // At the leader's log start the end alone is compared.
        (at_start(Some(2)), 100, vec![Entry::LogStart { to: 100 }], (100, 100, 1), vec![]),
        (at_start(Some(2)), 50, vec![], (0, 100, 2), vec![(2, 100)]),
    ];
    for (place, log_start, journaled, shape, asked) in rows {
        let mut m = follower();
        let out = step(&mut m, 1, takes(part(1, place, 200, log_start), &[]));
        let view = m.view();
        assert_eq!(entries(&out), journaled, "{place:?} {log_start}");
        assert_eq!((view.log_start, view.end, view.epochs.len()), shape, "{place:?} {log_start}");
        assert_eq!(positions(&out), asked, "{place:?} {log_start}");
    }
    let mut m = follower();
    step(&mut m, 1, takes(part(1, Continuity::Restart, 200, 170), &[]));
    let after = Continuity::After { epoch: None, end: 170 };
    assert_eq!(
        acks(&step(&mut m, 1, persisted(10, 10))),
        vec![(1, 170, 170)],
        "acknowledged once it is durable"
    );
    let out = step(&mut m, 2, takes(part(1, after, 200, 170), &[batch(170, 4, 5)]));
    assert_eq!(entries(&out), vec![Entry::Append { base: 170, epoch: 4 }]);
}

fn told(n: u64, epoch: Option<i32>, end: i64) -> Input {
    Input::Told { from: 2, answer: Answer::Diverge { leader_epoch: 4, n, epoch, end } }
}

#[test]
fn a_follower_truncates_where_the_logs_part_and_never_below_its_high_watermark() {
    // The log: epoch 1 below 40, epoch 3 up to 100; its high watermark is 30.
    let rows = [
        ((Some(3), 70), Some(70)),
        ((Some(3), 200), None),
        ((Some(1), 60), Some(40)),
        ((Some(1), 35), Some(35)),
        ((Some(2), 90), Some(40)),
        ((Some(1), 25), None),
        ((None, 30), Some(30)),
    ];
    for ((epoch, end), to) in rows {
        let mut m = replica(LogStart { high_watermark: 30, ..start() }, ReplicaConfig::default());
        step(&mut m, 0, follows(4, 2, None));
        step(&mut m, 0, Input::Linked(2));
        let out = step(&mut m, 1, told(1, epoch, end));
        let cut: Vec<_> = to.map(|to| Entry::Truncate { to }).into_iter().collect();
        assert_eq!(entries(&out), cut, "{epoch:?} {end}");
        if let Some(to) = to {
            assert!(out.contains(&Effect::Rebuild));
            assert_eq!((m.view().role, m.view().end, m.view().log_id), (Role::Idle, to, 1));
        }
    }
}

#[test]
fn below_the_high_watermark_only_an_unclean_election_cuts() {
    for (unclean, cut) in [(None, false), (Some(3), false), (Some(4), true)] {
        let mut m = replica(start(), ReplicaConfig::default());
        step(&mut m, 0, follows(4, 2, unclean));
        step(&mut m, 0, Input::Linked(2));
        let out = step(&mut m, 1, told(1, Some(3), 50));
        assert!(out.iter().any(|effect| matches!(effect, Effect::Alarm(_))));
        let stopped = matches!(m.view().role, Role::Offline(_));
        assert_eq!((entries(&out).len() == 1, stopped), (cut, !cut), "I11 {unclean:?}");
    }
}

#[test]
fn an_answer_to_an_older_position_is_not_obeyed_and_a_refused_one_is_sent_again() {
    let mut m = follower();
    assert_eq!(step(&mut m, 1, told(0, Some(3), 70)), vec![]);
    let refused = |n| {
        let answer = Answer::Refused { leader_epoch: 4, n, why: RefusedFor::Behind };
        Input::Told { from: 2, answer }
    };
    let mut now = 0;
    for (n, wait) in [(1, 200), (2, 400), (3, 800), (4, 1_600), (5, 2_000), (6, 2_000)] {
        step(&mut m, now, refused(n));
        assert_eq!(step(&mut m, now, refused(n)), vec![], "said twice");
        assert_eq!(positions(&step(&mut m, now + wait - 1, Input::Tick)), vec![]);
        now += wait;
        assert_eq!(positions(&step(&mut m, now, Input::Tick)), vec![(n + 1, 100)]);
    }
    step(&mut m, now, takes(part(7, Continuity::Nothing, 0, 0), &[]));
    step(&mut m, now, refused(7));
    assert_eq!(
        positions(&step(&mut m, now + 200, Input::Tick)).len(),
        1,
        "an accepted Position forgets the waits"
    );
}

#[test]
fn while_the_log_is_read_again_the_replica_is_idle_whatever_the_image_says() {
    let mut m = follower();
    step(&mut m, 0, takes(part(1, AFTER, 0, 0), &[batch(100, 3, 10)]));
    step(&mut m, 1, Input::Unlinked(2));
    step(&mut m, 1, Input::Linked(2));
    step(&mut m, 1, told(2, Some(3), 70));
    // A notice from before the truncation counts nothing behind it (R33).
    step(&mut m, 2, persisted(10, 10));
    assert_eq!((m.log().written_end(), m.log().synced_end()), (70, 70));
    step(&mut m, 2, leads(5, three(8)));
    assert_eq!(m.view().role, Role::Idle, "R38");
    assert_eq!(answers(&step(&mut m, 2, append(1, Acks::All))), vec![(1, Err(Reject::Unavailable))]);
    assert_eq!(step(&mut m, 3, takes(part(2, AFTER, 0, 0), &[batch(70, 3, 10)])), vec![]);
    assert_eq!(step(&mut m, 2_001, Input::Tick), vec![Effect::Unable(true)]);
    let log = LogStart { seq: Seq(12), next: 70, high_watermark: 0, ..start() };
    let out = step(&mut m, 2_002, Input::Rebuilt(Box::new(log)));
    assert_eq!((m.view().role, m.view().high_watermark), (Role::Leader, 60), "its own high watermark stays");
    assert!(out.contains(&Effect::Unable(false)));
    let out = step(&mut m, 2_003, append(2, Acks::Leader));
    assert!(matches!(
        out[0],
        Effect::Journal { seq: Seq(13), entry: Entry::Append { base: 70, epoch: 5 }, .. }
    ));
}

#[test]
fn a_leader_whose_actor_failed_asks_for_another_epoch() {
    let log = LocalLog::recovered(start(), Durability::Fsync);
    let beginning = Beginning { first_n: 0, rebuilt: true };
    let mut m = ReplicaMachine::new(ME, log, ReplicaConfig::default(), beginning);
    let out = step(&mut m, 0, leads(4, three(7)));
    assert!(out.contains(&Effect::AskEpoch { leader_epoch: 4 }));
    assert_eq!(m.view().role, Role::Idle, "R7");
    assert_eq!(step(&mut m, 1_000, Input::Tick), vec![Effect::AskEpoch { leader_epoch: 4 }]);
    step(&mut m, 1_100, leads(5, three(8)));
    assert_eq!(m.view().role, Role::Leader);
    assert_eq!(m.followers().map(Followers::start), Some(100));
}

#[test]
fn a_follower_keeps_producers_twice_as_long_as_a_leader() {
    for (role, days) in [(leads(4, three(7)), 1), (follows(4, 2, None), 2)] {
        let mut m = replica(LogStart { next: 0, ..LogStart::default() }, ReplicaConfig::default());
        step(&mut m, 0, follows(3, 2, None));
        step(&mut m, 0, Input::Linked(2));
        let head = BatchHead { producer_id: 5, producer_epoch: 0, base_sequence: 0, ..batch(0, 3, 1) };
        let empty = Continuity::After { epoch: None, end: 0 };
        let part = Part { leader_epoch: 3, ..part(1, empty, 0, 0) };
        step(&mut m, 0, takes(part, &[head]));
        step(&mut m, 0, role);
        let day = 86_400_000;
        step(&mut m, days * day - 1, Input::Tick);
        assert_eq!(m.log().producers().len(), 1, "R48");
        step(&mut m, days * day + 600_000, Input::Tick);
        assert_eq!(m.log().producers().len(), 0);
    }
}

#[test]
fn a_replica_that_goes_while_its_log_is_read_again_leaves_its_last_entry_to_the_supervisor() {
    for (input, role) in [(Input::Delete, Role::Deleted), (Input::Leave, Role::Idle)] {
        let mut m = follower();
        step(&mut m, 1, told(1, Some(3), 70));
        let out = step(&mut m, 2, input);
        assert_eq!((entries(&out), out.last()), (vec![], Some(&Effect::Abandon)));
        assert_eq!(m.view().role, role);
        assert_eq!(step(&mut m, 3, Input::Rebuilt(Box::new(start()))), vec![]);
    }
}

#[test]
fn a_member_that_is_late_is_not_looked_at_before_the_leader_may_propose_again() {
    let mut m = leader(ReplicaConfig { replica_lag_max_ms: 1_000, ..ReplicaConfig::default() });
    step(&mut m, 0, at(2, 1, 100, Some(3)));
    assert_eq!(proposed(&step(&mut m, 1_000, Input::Tick)), Some(vec![1, 2]));
    let outcome = IsrOutcome::Ineligible("fenced".into());
    step(&mut m, 1_100, Input::IsrSaid { partition_epoch: 7, outcome });
    assert_eq!(m.next_deadline(), Some(Millis(2_100)));
    assert_eq!(proposed(&step(&mut m, 2_100, Input::Tick)), Some(vec![1, 2]));
}

#[test]
fn followers_are_shown_the_end_at_once_and_without_followers_no_view_is_made_for_an_append() {
    let mut m = leader(ReplicaConfig::default());
    assert!(
        step(&mut m, 0, append(1, Acks::All)).iter().any(|e| matches!(e, Effect::Publish(v) if v.end == 110))
    );
    let mut m = replica(start(), ReplicaConfig::default());
    step(&mut m, 0, leads(4, Group::alone(peer(ME), 7)));
    assert!(!step(&mut m, 0, append(1, Acks::All)).iter().any(|e| matches!(e, Effect::Publish(_))));
}

#[test]
fn a_log_start_inside_a_batch_is_followed_from_the_whole_batch() {
    let mut m = follower();
    step(&mut m, 1, takes(part(1, Continuity::Restart, 200, 172), &[]));
    let after = Continuity::After { epoch: None, end: 172 };
    let out = step(&mut m, 2, takes(part(1, after, 180, 172), &[batch(170, 4, 5), batch(175, 4, 5)]));
    let appended = |base| Entry::Append { base, epoch: 4 };
    let journaled = vec![Entry::Reset { at: 170 }, appended(170), appended(175), Entry::LogStart { to: 172 }];
    assert_eq!(entries(&out), journaled);
    assert_eq!((m.view().log_start, m.view().end, m.view().high_watermark), (172, 180, 180));
    assert_eq!(acks(&step(&mut m, 3, persisted(14, 14))), vec![(1, 180, 180)]);
}

#[test]
fn a_follower_that_joins_has_the_full_time_to_reach_the_end() {
    let config = ReplicaConfig { replica_lag_max_ms: 1_000, ..ReplicaConfig::default() };
    let mut m = replica(start(), config);
    let with = |epoch, in_sync| group(epoch, 1, &[(1, true, true), (2, true, in_sync)]);
    step(&mut m, 0, leads(4, with(7, false)));
    step(&mut m, 0, append(1, Acks::Leader));
    assert_eq!(proposed(&step(&mut m, 5_000, at(2, 1, 100, Some(3)))), Some(vec![1, 2]), "not at the end");
    step(&mut m, 5_010, leads(4, with(8, true)));
    assert_eq!(proposed(&step(&mut m, 6_009, Input::Tick)), None);
    assert_eq!(proposed(&step(&mut m, 6_010, Input::Tick)), Some(vec![1]));
}

#[test]
fn a_position_without_an_answer_is_sent_again() {
    let mut m = follower();
    assert_eq!(m.next_deadline().map(|due| due.0), Some(2_000));
    assert_eq!(positions(&step(&mut m, 1_999, Input::Tick)), vec![]);
    let again = positions(&step(&mut m, 2_000, Input::Tick));
    assert_eq!(again, vec![(1, 100)], "under its number, so that a late answer to the first one counts");
    step(&mut m, 2_001, takes(part(1, Continuity::Nothing, 0, 0), &[]));
    assert_eq!(positions(&step(&mut m, 9_000, Input::Tick)), vec![], "it was accepted");
}

#[test]
fn a_member_that_lags_is_found_by_a_tick_that_comes_a_little_late() {
    for late in [1, 2, 5, 100] {
        let mut m = leader(ReplicaConfig { replica_lag_max_ms: 1_000, ..ReplicaConfig::default() });
        step(&mut m, 0, at(2, 1, 100, Some(3)));
        assert_eq!(proposed(&step(&mut m, 1_000 + late, Input::Tick)), Some(vec![1, 2]), "{late} ms");
    }
}

#[test]
fn a_step_before_the_late_tick_does_not_hide_that_the_leader_was_held_up() {
    let mut m = leader(ReplicaConfig { replica_lag_max_ms: 1_000, ..ReplicaConfig::default() });
    step(&mut m, 0, at(2, 1, 100, Some(3)));
    assert_eq!(m.next_deadline(), Some(Millis(1_000)));
    step(&mut m, 9_000, persisted(10, 10));
    assert_eq!(m.next_deadline(), Some(Millis(1_000)));
    assert_eq!(proposed(&step(&mut m, 9_000, Input::Tick)), None, "R7");
    assert_eq!(m.next_deadline(), Some(Millis(9_500)));
}

#[test]
fn a_member_that_lost_records_and_left_the_isr_comes_back() {
    let mut m = leader(ReplicaConfig::default());
    for broker in [2, 3] {
        step(&mut m, 0, at(broker, 1, 100, Some(3)));
    }
    assert_eq!(proposed(&step(&mut m, 0, at(3, 2, 90, Some(3)))), Some(vec![1, 2]));
    step(&mut m, 0, leads(4, group(8, 2, &[(1, true, true), (2, true, true), (3, true, false)])));
    assert_eq!(proposed(&step(&mut m, 0, acked(3, 2, 99, 99))), None);
    assert_eq!(proposed(&step(&mut m, 0, acked(3, 2, 100, 100))), Some(vec![1, 2, 3]));
}

#[test]
fn a_member_that_shuts_down_leaves_with_the_next_change() {
    let mut m = replica(start(), ReplicaConfig::default());
    step(&mut m, 0, leads(4, group(7, 2, &[(1, true, true), (2, false, true), (3, true, false)])));
    assert_eq!(proposed(&step(&mut m, 0, at(2, 1, 100, Some(3)))), None, "it does not leave by itself");
    assert_eq!(proposed(&step(&mut m, 0, at(3, 1, 100, Some(3)))), Some(vec![1, 3]), "R8");
}

#[test]
fn a_follower_that_leaves_the_replicas_hears_that_its_position_counts_no_more() {
    let mut m = leader(ReplicaConfig::default());
    step(&mut m, 0, at(2, 1, 100, Some(3)));
    let out = step(&mut m, 0, leads(4, group(8, 1, &[(1, true, true), (3, true, true)])));
    assert_eq!(replies(&out), vec![Answer::Refused { leader_epoch: 4, n: 1, why: RefusedFor::Behind }]);
    step(&mut m, 0, leads(4, three(9)));
    assert_eq!(feeds(&step(&mut m, 0, at(2, 2, 100, Some(3)))), vec![(100, false)]);
}

#[test]
fn an_epoch_without_a_record_is_cut_off_where_the_logs_part() {
    let epochs = vec![(3, 100)];
    let empty = LogStart { log_start: 100, high_watermark: 100, epochs, ..start() };
    let mut m = replica(empty, ReplicaConfig::default());
    step(&mut m, 0, follows(4, 2, Some(4)));
    step(&mut m, 0, Input::Linked(2));
    let out = step(&mut m, 1, told(1, Some(2), 100));
    assert_eq!(entries(&out), vec![Entry::Truncate { to: 100 }]);
    assert!(m.view().epochs.is_empty());
}

/// The entries and the views of a step, in their order. A view is told by its log id, its high watermark and its end.
fn order(effects: &[Effect]) -> Vec<String> {
    let name = |effect: &Effect| match effect {
        Effect::Journal { entry: Entry::Append { base, .. }, .. } => Some(format!("append {base}")),
        Effect::Journal { entry: Entry::Truncate { to }, .. } => Some(format!("truncate {to}")),
        Effect::Journal { entry: Entry::Reset { at }, .. } => Some(format!("reset {at}")),
        Effect::Journal { entry: Entry::LogStart { to }, .. } => Some(format!("log start {to}")),
        Effect::Publish(view) => Some(format!("view {} {} {}", view.log_id, view.high_watermark, view.end)),
        _ => None,
    };
    effects.iter().filter_map(name).collect()
}

#[test]
fn a_view_is_shown_behind_the_entry_that_made_it_and_before_other_bytes_come() {
    let after = |epoch, end| Continuity::After { epoch, end };
    let restarted = |m: &mut ReplicaMachine| {
        step(m, 1, takes(part(1, Continuity::Restart, 200, 172), &[]));
    };
    let whole = [batch(170, 4, 5), batch(175, 4, 5)];
    type Ready<'a> = &'a dyn Fn(&mut ReplicaMachine);
    let rows: [(Ready<'_>, Input, &[&str]); 9] = [
        (&|_| {}, takes(part(1, Continuity::Restart, 200, 170), &[]), &["reset 170", "view 1 170 170"]),
        (
            &restarted,
            takes(part(1, after(None, 172), 180, 172), &whole),
            &["reset 170", "view 2 170 170", "append 170", "append 175", "log start 172", "view 2 180 180"],
        ),
        (
            &restarted,
            takes(part(1, after(None, 172), 180, 172), &[batch(172, 4, 5)]),
            &["append 172", "view 1 177 177"],
        ),
        (
            &|_| {},
            takes(part(1, AFTER, 105, 30), &[batch(100, 3, 10)]),
            &["append 100", "log start 30", "view 0 105 110"],
        ),
        (&|_| {}, takes(part(1, Continuity::Nothing, 70, 30), &[]), &["log start 30", "view 0 70 100"]),
        (&|_| {}, takes(part(1, Continuity::Nothing, 60, 0), &[]), &[]),
        (&|_| {}, takes(part(1, after(Some(3), 90), 60, 0), &[batch(90, 3, 1)]), &[]),
        (&|_| {}, told(1, Some(3), 70), &["truncate 70", "view 1 60 70"]),
        (&|_| {}, takes(part(0, Continuity::Restart, 200, 170), &[]), &[]),
    ];
    for (ready, input, wanted) in rows {
        let mut m = follower();
        ready(&mut m);
        assert_eq!(order(&step(&mut m, 2, input.clone())), wanted, "{input:?}");
    }
    let mut m = leader(ReplicaConfig::default());
    let (to, deadline) = (TrimTo::Offset(50), Millis(9_000));
    let out = step(&mut m, 2, Input::Trim { ticket: Ticket(1), to, own: false, deadline });
    assert_eq!(order(&out), ["log start 50", "view 0 60 100"]);
}

#[test]
fn a_follower_that_starts_over_at_its_own_end_acknowledges_nothing_before_that_is_durable() {
    let mut m = follower();
    let out = step(&mut m, 1, takes(part(1, Continuity::Restart, 200, 100), &[]));
    assert_eq!((entries(&out), acks(&out)), (vec![Entry::Reset { at: 100 }], vec![(1, 0, 0)]));
    assert_eq!(acks(&step(&mut m, 2, persisted(9, 9))), vec![], "an entry of the former log");
    assert_eq!(acks(&step(&mut m, 2, persisted(10, 9))), vec![(1, 100, 0)]);
    assert_eq!(acks(&step(&mut m, 2, persisted(10, 10))), vec![(1, 100, 100)]);
}

#[test]
fn the_ids_of_a_log_never_come_again_in_a_later_life() {
    let life = |first_n| {
        let log = LocalLog::recovered(start(), Durability::Fsync);
        let mut m =
            ReplicaMachine::new(ME, log, ReplicaConfig::default(), Beginning { first_n, rebuilt: true });
        step(&mut m, 0, follows(4, 2, None));
        step(&mut m, 0, Input::Linked(2));
        let before = m.view().log_id;
        step(&mut m, 1, told(first_n + 1, Some(3), 70));
        step(&mut m, 2, Input::Rebuilt(Box::new(LogStart { next: 70, ..start() })));
        [before, m.view().log_id]
    };
    assert_eq!((life(0), life(1 << 32)), ([0, 1], [1 << 32, (1 << 32) + 1]));
}
