//! Words that travel: each comes back as it left, and numbers that no node can mean are refused.

use super::*;
use crate::transport::frame::{Items, Lengths, Opened, Packer, encode, open};
use bytes::Bytes;
use proptest::prelude::*;

const ID: TopicPartition = TopicPartition { topic: TopicId([9; 16]), partition: 4 };

fn epochs() -> impl Strategy<Value = Option<LeaderEpoch>> {
    proptest::option::of(0..=i32::MAX)
}

fn ends() -> impl Strategy<Value = (Offset, Offset, Offset, Offset)> {
    (0..=i64::MAX, 0..=i64::MAX, 0..=i64::MAX, 0..=i64::MAX)
}

fn places() -> impl Strategy<Value = Continuity> {
    prop_oneof![
        Just(Continuity::Nothing),
        Just(Continuity::Restart),
        (epochs(), 0..=i64::MAX).prop_map(|(epoch, end)| Continuity::After { epoch, end }),
    ]
}

fn answers() -> impl Strategy<Value = Answer> {
    let refusals =
        prop_oneof![Just(RefusedFor::Behind), Just(RefusedFor::OldEpoch), Just(RefusedFor::NotLeading)];
    prop_oneof![
        (epochs(), 0..=i64::MAX, any::<u64>()).prop_map(|(epoch, end, n)| Answer::Diverge {
            leader_epoch: 7,
            n,
            epoch,
            end
        }),
        (refusals, any::<u64>()).prop_map(|(why, n)| Answer::Refused { leader_epoch: 7, n, why }),
    ]
}

/// Sends a frame through its bytes, and reads its first item there.
fn through<T>(bytes: &[u8], read: impl Fn(Opened<'_>) -> T) -> T {
    let header = *bytes.first_chunk().unwrap();
    let body = Bytes::copy_from_slice(&bytes[header.len()..]);
    read(open(Lengths::read(header).unwrap(), &body).unwrap())
}

fn part_through(item: frame::Part) -> Word<Part> {
    let mut packer = Packer::default();
    packer.part(item).unwrap();
    through(&packer.finish().unwrap().concat(), |opened| match opened {
        Opened::Parts(mut parts) => read_part(parts.next().unwrap().0),
        _ => panic!("other items"),
    })
}

fn position_through(item: frame::Position) -> Word<Position> {
    through(&encode(Items::Positions(vec![item])).unwrap(), |opened| match opened {
        Opened::Positions(all) => read_position(&all[0]),
        _ => panic!("other items"),
    })
}

proptest! {
    #[test]
    fn parts_come_back(place in places(), ends in ends(), leader_epoch in 0..=i32::MAX, n in any::<u64>()) {
        let (high_watermark, log_start, ..) = ends;
        let sent = Part { leader_epoch, n, place, high_watermark, log_start };
        prop_assert_eq!(part_through(part(ID, &sent)), Ok((ID, sent)));
    }

    #[test]
    fn positions_and_acks_come_back(last_epoch in epochs(), ends in ends(), n in any::<u64>()) {
        let (end, written, synced, log_start) = ends;
        let sent = Position { leader_epoch: 7, n, end, last_epoch, written, synced, log_start };
        prop_assert_eq!(position_through(position(ID, &sent)), Ok((ID, sent)));
        let sent = Ack { leader_epoch: 7, n, written, synced, log_start };
        let back = through(&encode(Items::Acks(vec![ack(ID, &sent)])).unwrap(), |opened| match opened {
            Opened::Acks(all) => read_ack(&all[0]),
            _ => panic!("other items"),
        });
        prop_assert_eq!(back, Ok((ID, sent)));
    }

    #[test]
    fn answers_come_back(sent in answers()) {
        let items = match answer(ID, &sent) {
            Answered::Diverge(item) => Items::Diverge(vec![item]),
            Answered::Refused(item) => Items::Refused(vec![item]),
        };
        let back = through(&encode(items).unwrap(), |opened| match opened {
            Opened::Diverge(all) => read_diverge(&all[0]),
            Opened::Refused(all) => read_refused(&all[0]),
            _ => panic!("other items"),
        });
        prop_assert_eq!(back, Ok((ID, sent)));
    }
}

#[test]
fn numbers_that_no_node_can_mean_are_refused() {
    let place = Continuity::After { epoch: Some(1), end: 5 };
    let sound = part(ID, &Part { leader_epoch: 7, n: 1, place, high_watermark: 3, log_start: 2 });
    let with = |change: &dyn Fn(&mut frame::Part)| {
        let mut item = sound;
        change(&mut item);
        part_through(item).map_err(|error| (error.what, error.value)).err()
    };
    assert_eq!(with(&|_| ()), None);
    assert_eq!(with(&|item| item.subject.partition = -1), Some(("a partition", -1)));
    assert_eq!(with(&|item| item.subject.leader_epoch = i32::MIN), Some(("a leader epoch", i32::MIN.into())));
    assert_eq!(with(&|item| item.previous.epoch = -2), Some(("a previous epoch", -2)));
    assert_eq!(with(&|item| item.previous.offset = -1), Some(("a previous end", -1)));
    assert_eq!(with(&|item| item.high_watermark = -1), Some(("a high watermark", -1)));
    assert_eq!(with(&|item| item.log_start = i64::MIN), Some(("a log start", i64::MIN)));
    let (leader_epoch, n, end, written, synced, log_start) = (7, 1, 5, 5, 5, 0);
    let sound =
        position(ID, &Position { leader_epoch, n, end, last_epoch: Some(1), written, synced, log_start });
    let with = |change: &dyn Fn(&mut frame::Position)| {
        let mut item = sound;
        change(&mut item);
        position_through(item).map_err(|error| error.what).err()
    };
    assert_eq!(with(&|_| ()), None);
    assert_eq!(with(&|item| item.end.epoch = -3), Some("a last epoch"));
    assert_eq!(with(&|item| item.end.offset = -1), Some("an end"));
    assert_eq!(with(&|item| item.written = -1), Some("a written end"));
    assert_eq!(with(&|item| item.synced = -1), Some("a synced end"));
    assert_eq!(with(&|item| item.log_start = -1), Some("a log start"));
}

#[test]
fn a_reason_of_a_later_version_makes_the_follower_ask_again() {
    let item = frame::Refused { subject: subject(ID, 7, 1), why: 515 };
    let back = through(&encode(Items::Refused(vec![item])).unwrap(), |opened| match opened {
        Opened::Refused(all) => read_refused(&all[0]),
        _ => panic!("other items"),
    });
    let refused = Answer::Refused { leader_epoch: 7, n: 1, why: RefusedFor::Behind };
    assert_eq!(back, Ok((ID, refused)));
}
