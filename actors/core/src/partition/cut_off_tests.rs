//! A leader whose node is cut off: what it ends, what it goes on with, and what it never acknowledges.

use super::*;
use crate::machine::Machine;
use crate::records::BatchHead;
use crate::storage::Durability;
use crate::time::{Millis, Now, UnixMillis};
use crate::{Peer, Reject, Seq, Ticket};

const ME: i32 = 1;
const DEADLINE: u64 = 90_000;

fn peer(broker: i32) -> Peer {
    Peer { broker, epoch: 10 + broker as u64 }
}

/// A partition with these members of the ISR.
fn group(min_isr: usize, isr: &[i32]) -> Group {
    let member = |broker: i32| Member { peer: peer(broker), live: true, in_sync: isr.contains(&broker) };
    Group { partition_epoch: 7, min_isr, members: (1..=3).map(member).collect() }
}

fn assigned(epoch: i32, role: AssignedRole) -> Input {
    Input::Assign(Assigned { role, leader_epoch: epoch, unclean_epoch: None })
}

/// A leader in epoch 4 over 100 records, at a time.
struct Bench {
    replica: ReplicaMachine,
    entries: u64,
    tickets: u64,
}

impl Bench {
    fn new(group: Group) -> Bench {
        let config = ReplicaConfig { durability: Durability::Fsync, ..ReplicaConfig::default() };
        let epochs = vec![(3, 0)];
        let start = LogStart { seq: Seq(9), next: 100, high_watermark: 60, epochs, ..LogStart::default() };
        let log = LocalLog::recovered(start, config.durability);
        let replica = ReplicaMachine::new(ME, log, config, Beginning { first_n: 0, rebuilt: false });
        let mut bench = Bench { replica, entries: 9, tickets: 0 };
        let isr: Vec<i32> = group.members.iter().filter(|m| m.in_sync).map(|m| m.peer.broker).collect();
        bench.at(0, assigned(4, AssignedRole::Leader(group)));
        for broker in isr.into_iter().filter(|broker| *broker != ME) {
            let position = Position {
                leader_epoch: 4,
                n: 1,
                end: 100,
                last_epoch: Some(3),
                written: 100,
                synced: 100,
                log_start: 0,
            };
            bench.at(0, Input::Position { from: peer(broker), position });
        }
        bench
    }

    fn at(&mut self, ms: u64, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        let now = Now { mono: Millis(ms), wall: UnixMillis(1_000_000 + ms as i64) };
        self.replica.step(now, input, &mut out);
        self.replica.check();
        out
    }

    /// Appends ten records. The answers carry the ticket.
    fn append(&mut self, ms: u64, acks: Acks) -> Vec<(u64, Result<i64, Reject>)> {
        self.tickets += 1;
        let head = BatchHead {
            size: 100,
            records: 10,
            last_offset_delta: 9,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            ..BatchHead::default()
        };
        let (ticket, deadline) = (Ticket(self.tickets), Millis(DEADLINE));
        let out = self.at(ms, Input::Append { ticket, leader_epoch: None, head, acks, deadline });
        self.entries += out.iter().filter(|effect| matches!(effect, Effect::Journal { .. })).count() as u64;
        answers(&out)
    }

    /// The leader's own log is durable to its end.
    fn synced(&mut self, ms: u64) -> Vec<(u64, Result<i64, Reject>)> {
        let (written, synced) = (Seq(self.entries), Seq(self.entries));
        answers(&self.at(ms, Input::Persisted { written, synced }))
    }

    fn acked(&mut self, ms: u64, broker: i32, end: i64) -> Vec<(u64, Result<i64, Reject>)> {
        let ack = Ack { leader_epoch: 4, n: 1, written: end, synced: end, log_start: 0 };
        answers(&self.at(ms, Input::Acked { from: peer(broker), ack }))
    }

    fn cut_off(&mut self, ms: u64, cut_off: bool) -> Vec<(u64, Result<i64, Reject>)> {
        answers(&self.at(ms, Input::CutOff(cut_off)))
    }

    fn tick(&mut self, ms: u64) -> Vec<(u64, Result<i64, Reject>)> {
        answers(&self.at(ms, Input::Tick))
    }
}

fn answers(effects: &[Effect]) -> Vec<(u64, Result<i64, Reject>)> {
    let said = |effect: &Effect| match effect {
        Effect::Answer { ticket, result } => Some((ticket.0, result.clone().map(|a| a.base_offset))),
        _ => None,
    };
    effects.iter().filter_map(said).collect()
}

fn ends(tickets: &[u64]) -> Vec<(u64, Result<i64, Reject>)> {
    tickets.iter().map(|ticket| (*ticket, Err(Reject::CutOff))).collect()
}

#[test]
fn requests_that_wait_for_a_member_that_does_not_answer_end_when_contact_is_lost() {
    let mut bench = Bench::new(group(2, &[1, 2, 3]));
    assert_eq!(bench.append(1_000, Acks::All), []);
    assert_eq!(bench.append(1_000, Acks::All), []);
    assert_eq!((bench.synced(1_010), bench.acked(1_020, 2, 120)), (vec![], vec![]));
    // In contact it waits for 3 until the requests' own deadline.
    assert_eq!(bench.tick(3_900), []);
    let out = bench.at(4_000, Input::CutOff(true));
    assert_eq!(answers(&out), ends(&[1, 2]));
    assert_eq!(out.iter().filter(|e| **e == Effect::Note(Event::CutOff)).count(), 2, "they are counted");
    assert_eq!(Reject::CutOff.code(), crate::ErrorCode::NotLeaderOrFollower);
    assert_eq!(bench.replica.view().role, Role::Leader, "only an image ends the role");
    for acks in [Acks::All, Acks::Leader, Acks::None] {
        let ticket = bench.tickets + 1;
        assert_eq!(bench.append(4_100, acks), ends(&[ticket]), "{acks:?}");
    }
    assert_eq!(bench.replica.view().end, 120, "nothing was appended that nobody can commit");
    // The member speaks again, and the partition with it.
    assert_eq!(bench.acked(4_200, 3, 110), []);
    assert_eq!(bench.append(4_210, Acks::All), []);
    bench.synced(4_220);
    assert_eq!(bench.acked(4_230, 3, 130), []);
    assert_eq!(bench.acked(4_240, 2, 130), [(6, Ok(120))]);
}

#[test]
fn a_partition_whose_members_all_answer_goes_on_without_contact() {
    let mut bench = Bench::new(group(2, &[1, 2, 3]));
    assert_eq!(bench.cut_off(1_000, true), []);
    let mut end = 100;
    for round in 0..20 {
        let ms = 2_000 + round * 1_900;
        let first = bench.tickets + 1;
        assert_eq!((bench.append(ms, Acks::All), bench.append(ms, Acks::Leader)), (vec![], vec![]));
        assert_eq!((bench.synced(ms + 10), bench.acked(ms + 20, 2, end + 20)), (vec![], vec![]));
        // 3 is slow, and says so.
        assert_eq!(bench.tick(ms + 1_000), []);
        assert_eq!(bench.acked(ms + 1_500, 3, end + 20), [(first + 1, Ok(end + 10)), (first, Ok(end))]);
        end += 20;
    }
    assert_eq!(bench.replica.view().high_watermark, end);
}

#[test]
fn an_idle_partition_finds_out_with_its_first_batch() {
    let mut bench = Bench::new(group(2, &[1, 2, 3]));
    bench.cut_off(4_000, true);
    assert_eq!(bench.append(20_000, Acks::All), [], "every member has everything so far");
    bench.synced(20_010);
    bench.acked(20_020, 2, 110);
    let due = bench.replica.next_deadline();
    assert_eq!(due, Some(Millis(20_000 + progress::SILENT_MS)));
    assert_eq!(bench.tick(21_999), []);
    assert_eq!(bench.tick(22_000), ends(&[1]));
    assert_eq!(bench.append(22_010, Acks::All), ends(&[2]));
    assert!(
        bench.replica.next_deadline().is_none_or(|due| due > Millis(22_010)),
        "it does not wake for nothing"
    );
}

#[test]
fn without_contact_acks_1_is_answered_when_every_member_has_the_batch() {
    let mut bench = Bench::new(group(2, &[1, 2, 3]));
    assert_eq!(bench.append(1_000, Acks::Leader), []);
    bench.cut_off(1_005, true);
    assert_eq!(bench.synced(1_010), [], "its own end may be cut by a leader that it does not know");
    assert_eq!(bench.acked(1_020, 2, 110), []);
    assert_eq!(bench.acked(1_030, 3, 110), [(1, Ok(100))]);
    bench.append(1_040, Acks::Leader);
    bench.synced(1_050);
    assert_eq!(bench.cut_off(1_060, false), [(2, Ok(110))], "in contact its own end is enough");
    bench.append(1_070, Acks::Leader);
    bench.cut_off(1_075, true);
    assert_eq!(bench.synced(1_080), []);
    assert_eq!(bench.tick(1_040 + progress::SILENT_MS), ends(&[3]));
}

#[test]
fn a_leader_that_is_the_whole_isr_goes_on_if_that_is_enough() {
    let mut bench = Bench::new(group(1, &[1]));
    bench.cut_off(5_000, true);
    for acks in [Acks::All, Acks::Leader] {
        let (ticket, end) = (bench.tickets + 1, bench.replica.view().end);
        assert_eq!(bench.append(6_000, acks), []);
        assert_eq!(bench.synced(6_010), [(ticket, Ok(end))], "{acks:?}");
    }
    // Below the minimum another replica may be elected, and lacks what this one alone has.
    let mut bench = Bench::new(group(2, &[1]));
    bench.append(5_000, Acks::Leader);
    assert_eq!(bench.cut_off(5_000, true), ends(&[1]));
    assert_eq!(bench.append(5_010, Acks::Leader), ends(&[2]));
    assert_eq!(bench.append(5_010, Acks::All), [(3, Err(Reject::NotEnoughReplicas))]);
}

#[test]
fn a_leader_whose_own_disk_hangs_does_not_hold_its_producers() {
    let mut bench = Bench::new(group(2, &[1, 2, 3]));
    bench.append(1_000, Acks::All);
    assert_eq!((bench.acked(1_020, 2, 110), bench.acked(1_020, 3, 110)), (vec![], vec![]));
    assert_eq!(bench.cut_off(2_500, true), []);
    assert_eq!(bench.tick(1_000 + progress::SILENT_MS), ends(&[1]));
    assert_eq!(bench.append(4_000, Acks::All), ends(&[2]));
    assert_eq!(bench.synced(6_000), []);
    assert_eq!(bench.append(6_010, Acks::All), [], "the disk has come back");
}

#[test]
fn a_leader_that_slept_ends_what_waited_before_an_acknowledgement_that_came_meanwhile_counts() {
    let mut bench = Bench::new(group(2, &[1, 2, 3]));
    bench.append(1_000, Acks::All);
    bench.append(1_000, Acks::Leader);
    // Awake at 31 s: the shell tells of the lost contact before anything that has queued up.
    assert_eq!(bench.cut_off(31_000, true), ends(&[2, 1]));
    assert_eq!(bench.synced(31_001), []);
    assert_eq!((bench.acked(31_001, 2, 120), bench.acked(31_001, 3, 120)), (vec![], vec![]));
    assert_eq!(bench.replica.view().high_watermark, 120, "the records may be committed all the same");
}

#[test]
fn the_word_of_the_node_outlives_roles() {
    let mut bench = Bench::new(group(2, &[1, 2, 3]));
    bench.cut_off(1_000, true);
    bench.at(1_100, assigned(5, AssignedRole::Follower { leader: 2 }));
    bench.at(1_200, assigned(6, AssignedRole::Leader(group(2, &[1, 2, 3]))));
    assert_eq!(bench.append(1_300, Acks::Leader), []);
    assert_eq!(bench.synced(1_310), [], "still without contact");
    assert_eq!(bench.tick(1_200 + progress::SILENT_MS), ends(&[1]), "and no member has spoken in this epoch");
}

/// Whatever the order of events: without contact nothing is acknowledged that a member of the ISR lacks, and no request
/// waits for longer than a silent member is waited for.
#[test]
fn in_every_short_history_nothing_is_acknowledged_that_a_member_lacks_and_nobody_waits_long() {
    const EVENTS: u32 = 7;
    const LENGTH: u32 = 6;
    for history in 0..EVENTS.pow(LENGTH) {
        let mut bench = Bench::new(group(2, &[1, 2, 3]));
        let (mut ms, mut cut, mut has, mut said) = (1_000, false, [100, 100], [0, 0]);
        for at in 0..LENGTH {
            ms += 700;
            let end = bench.replica.view().end;
            let told = match history / EVENTS.pow(at) % EVENTS {
                0 => bench.append(ms, Acks::All),
                1 => bench.append(ms, Acks::Leader),
                2 => bench.synced(ms),
                event @ (3 | 4) => {
                    let follower = event as usize - 3;
                    (has[follower], said[follower]) = (end, ms);
                    bench.acked(ms, follower as i32 + 2, end)
                }
                5 => {
                    cut = true;
                    bench.cut_off(ms, true)
                }
                _ => {
                    cut = false;
                    bench.cut_off(ms, false)
                }
            };
            let acknowledged = told.iter().filter_map(|(_, result)| result.as_ref().ok());
            for base in acknowledged.filter(|_| cut) {
                assert!(has.iter().all(|end| base + 10 <= *end), "history {history}: {base} of {has:?}");
            }
            if bench.replica.next_deadline().is_some_and(|due| due <= Millis(ms)) {
                bench.tick(ms);
            }
        }
        if cut && bench.replica.waiting() > 0 {
            let due = bench.replica.next_deadline().expect("a deadline for those that wait");
            assert!(due <= Millis(ms + progress::SILENT_MS), "history {history}: {due:?} at {ms}, {said:?}");
            bench.tick(due.0);
            assert_eq!(bench.replica.waiting(), 0, "history {history}");
        }
    }
}
