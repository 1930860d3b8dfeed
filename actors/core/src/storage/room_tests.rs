//! The marks, what happens at them, and that everything ends by itself when there is room again.

use super::room::{Room, RoomEffect, RoomInput, RoomMachine, free_in_store, reserve_bytes};
use crate::UnixMillis;
use crate::machine::Machine;
use crate::time::{Millis, Now};

struct Case {
    room: RoomMachine,
    now: u64,
}

impl Case {
    fn new() -> Case {
        Case { room: RoomMachine::new(100, 50), now: 0 }
    }

    fn step(&mut self, input: RoomInput) -> Vec<RoomEffect> {
        let mut out = Vec::new();
        self.room.step(Now { mono: Millis(self.now), wall: UnixMillis(0) }, input, &mut out);
        self.room.check();
        out
    }

    fn seen(&mut self, usable: u64, reusable: u64) -> Vec<RoomEffect> {
        self.step(RoomInput::Seen { usable, reusable, reserve: true })
    }
}

#[test]
fn the_less_there_is_the_slower_and_below_the_mark_nothing_goes() {
    let mut case = Case::new();
    assert_eq!(case.room.room(), Room::Ample);
    assert_eq!(case.seen(200, 0), []);
    assert_eq!(case.seen(199, 0), [RoomEffect::Say(Room::Low, 199)]);
    let first = case.room.slow_by();
    case.seen(101, 0);
    assert!(first < 10 && case.room.slow_by() > 190, "{first}, {}", case.room.slow_by());
    assert_eq!(case.seen(99, 0), [RoomEffect::Say(Room::Full, 99)]);
    assert!(case.room.room().refuses() && case.room.slow_by() == 0);
}

#[test]
fn a_mark_is_left_higher_than_it_was_met() {
    let mut case = Case::new();
    case.seen(99, 0);
    assert_eq!(case.seen(124, 0), []);
    assert_eq!(case.seen(125, 0), [RoomEffect::Say(Room::Low, 125)]);
    assert_eq!(case.seen(249, 0), []);
    assert_eq!(case.seen(250, 0), [RoomEffect::Say(Room::Ample, 250)]);
}

#[test]
fn what_can_be_used_again_is_room() {
    let mut case = Case::new();
    case.seen(10, 0);
    assert_eq!(case.room.room(), Room::Full);
    assert_eq!(case.seen(10, 300), [RoomEffect::Say(Room::Ample, 310)]);
}

#[test]
fn a_segment_that_settling_will_free_holds_producers_and_refuses_nobody() {
    let mut case = Case::new();
    case.seen(1000, 0);
    let held = case.step(RoomInput::NoSegment { can_settle: true });
    assert_eq!(held, [RoomEffect::Say(Room::Held, 1000)]);
    assert!(case.room.room().short() && !case.room.room().refuses());
    assert_eq!(case.step(RoomInput::SegmentMade), [RoomEffect::Say(Room::Ample, 1000)]);
}

#[test]
fn nobody_waits_for_a_segment_for_ever() {
    let mut case = Case::new();
    case.seen(1000, 0);
    case.now = 100;
    case.step(RoomInput::NoSegment { can_settle: true });
    case.now = 5099;
    assert_eq!(case.step(RoomInput::NoSegment { can_settle: true }), []);
    case.now = 5100;
    let out = case.step(RoomInput::NoSegment { can_settle: true });
    assert_eq!(out, [RoomEffect::ReleaseReserve, RoomEffect::Say(Room::Spent, 1000)]);
}

#[test]
fn where_nothing_frees_a_segment_the_reserve_goes() {
    let mut case = Case::new();
    case.seen(1000, 0);
    let out = case.step(RoomInput::NoSegment { can_settle: false });
    assert_eq!(out, [RoomEffect::ReleaseReserve, RoomEffect::Say(Room::Spent, 1000)]);
    assert_eq!(case.step(RoomInput::NoSegment { can_settle: false }), []);
    assert_eq!(case.step(RoomInput::SegmentMade), [RoomEffect::Say(Room::Ample, 1000)]);
}

#[test]
fn redb_without_space_spends_the_reserve_once_and_is_asked_again_after_a_second() {
    let mut case = Case::new();
    case.seen(10, 0);
    case.now = 5000;
    let out = case.step(RoomInput::SettleRanOut);
    assert_eq!(out, [RoomEffect::ReleaseReserve, RoomEffect::Say(Room::Spent, 10)]);
    assert!(!case.room.may_settle(Millis(5999)) && case.room.may_settle(Millis(6000)));
    assert_eq!(case.step(RoomInput::SettleRanOut), []);
    // It went through, on the reserve: clients are refused until there is room.
    assert_eq!(case.step(RoomInput::Settled), [RoomEffect::Say(Room::Full, 10)]);
    let gone = |usable| RoomInput::Seen { usable, reusable: 0, reserve: false };
    assert_eq!(case.step(gone(174)), [RoomEffect::Say(Room::Low, 174)]);
    // Its share, and what leaves the mark behind.
    assert_eq!(case.step(gone(175)), [RoomEffect::MakeReserve]);
    assert_eq!(case.seen(125, 0), []);
    assert_eq!(case.seen(1000, 0), [RoomEffect::Say(Room::Ample, 1000)]);
}

#[test]
fn without_a_reserve_there_are_no_marks_and_a_failure_still_refuses() {
    let mut case = Case { room: RoomMachine::new(0, 0), now: 0 };
    assert_eq!(case.step(RoomInput::Seen { usable: 0, reusable: 0, reserve: false }), []);
    assert_eq!(case.step(RoomInput::SettleRanOut), [RoomEffect::Say(Room::Spent, 0)]);
    assert_eq!(case.step(RoomInput::Settled), [RoomEffect::Say(Room::Ample, 0)]);
}

#[test]
fn how_much_is_held_back() {
    assert_eq!(reserve_bytes(7, 1 << 40), 7);
    assert_eq!(reserve_bytes(0, 1 << 40), 1 << 30);
    assert_eq!(reserve_bytes(0, 10 << 30), 512 << 20);
    assert_eq!((free_in_store(100, 60), free_in_store(100, 84), free_in_store(100, 0)), (25, 0, 100));
}
