//! Fetch sessions, case by case: what Kafka 4.3 answers.

use super::messages::next_epoch;
use super::*;
use crate::error::ErrorCode;
use crate::ids::TopicId;
use crate::time::Millis;

fn key(partition: i32) -> Key {
    Key { topic: TopicKey::Name("library".into()), partition }
}

fn wanted(fetch_offset: i64) -> Wanted {
    Wanted { current_leader_epoch: -1, fetch_offset, last_fetched_epoch: -1, max_bytes: 1 << 20 }
}

fn request(session_id: i32, epoch: i32, parts: &[(i32, i64)]) -> Request {
    let parts = parts.iter().map(|(n, at)| (key(*n), wanted(*at))).collect();
    Request { session_id, epoch, parts, ..Request::default() }
}

fn quiet(high_watermark: i64) -> Said {
    Said { known: Known { high_watermark, log_start: 0 }, ..Said::default() }
}

const MINUTE: u64 = 60_000;

fn at(minutes: u64) -> Millis {
    Millis(minutes * MINUTE)
}

/// One round: every partition says the same.
fn round(sessions: &mut FetchSessions, now: Millis, request: Request, said: Said) -> Verdict {
    let (kind, parts) = match sessions.begin(now, request) {
        Ok(begun) => begun,
        Err(code) => return Verdict { session_id: 0, result: Err(code) },
    };
    sessions.check();
    let answers: Vec<_> = parts.into_iter().map(|part| (part, said)).collect();
    let verdict = sessions.finish(now, kind, 7, &answers);
    sessions.check();
    verdict
}

/// Makes a session over so many partitions; its id, or 0.
fn make(sessions: &mut FetchSessions, now: Millis, partitions: i32) -> i32 {
    let parts: Vec<_> = (0..partitions).map(|n| (n, 0)).collect();
    round(sessions, now, request(0, 0, &parts), quiet(0)).session_id
}

fn error(verdict: Verdict) -> ErrorCode {
    verdict.result.expect_err("an error")
}

#[test]
fn a_session_leaves_out_what_has_not_changed() {
    let mut sessions = FetchSessions::new(Limits::default());
    let full = round(&mut sessions, at(0), request(0, 0, &[(0, 0), (1, 0)]), quiet(5));
    assert_eq!(full, Verdict { session_id: 7, result: Ok(vec![true, true]) }, "a full answer is whole");
    let again = |epoch| request(7, epoch, &[]);
    assert_eq!(round(&mut sessions, at(0), again(1), quiet(5)).result, Ok(vec![false, false]));
    assert_eq!(round(&mut sessions, at(0), again(2), quiet(6)).result, Ok(vec![true, true]), "watermark");
    assert_eq!(round(&mut sessions, at(0), again(3), quiet(6)).result, Ok(vec![false, false]));
    let trimmed = Said { known: Known { high_watermark: 6, log_start: 2 }, ..quiet(6) };
    assert_eq!(round(&mut sessions, at(0), again(4), trimmed).result, Ok(vec![true, true]), "log start");
    let diverges = Said { diverges: true, ..trimmed };
    assert_eq!(round(&mut sessions, at(0), again(5), diverges).result, Ok(vec![true, true]));
    let failed = Said { failed: true, ..trimmed };
    assert_eq!(round(&mut sessions, at(0), again(6), failed).result, Ok(vec![true, true]));
    assert_eq!(round(&mut sessions, at(0), again(7), failed).result, Ok(vec![true, true]), "every time");
    assert_eq!(
        round(&mut sessions, at(0), again(8), trimmed).result,
        Ok(vec![true, true]),
        "that it is over"
    );
    assert_eq!(round(&mut sessions, at(0), again(9), trimmed).result, Ok(vec![false, false]));
    let records = Said { bytes: 1, ..trimmed };
    assert_eq!(round(&mut sessions, at(0), again(10), records).result, Ok(vec![true, true]));
}

#[test]
fn an_id_that_nobody_has_or_a_wrong_epoch_is_told_and_changes_nothing() {
    let mut sessions = FetchSessions::new(Limits::default());
    assert_eq!(make(&mut sessions, at(0), 2), 7);
    let ask = |sessions: &mut FetchSessions, id, epoch| {
        error(round(sessions, at(0), request(id, epoch, &[]), quiet(0)))
    };
    for (id, epoch) in [(8, 1), (0, 1), (-5, 1), (0, -2), (i32::MIN, i32::MIN)] {
        assert_eq!(ask(&mut sessions, id, epoch), ErrorCode::FetchSessionIdNotFound, "{id} {epoch}");
    }
    for epoch in [2, -2, i32::MAX, i32::MIN] {
        assert_eq!(ask(&mut sessions, 7, epoch), ErrorCode::InvalidFetchSessionEpoch, "{epoch}");
    }
    let by_id = Request { by_id: true, ..request(7, 1, &[]) };
    assert_eq!(error(round(&mut sessions, at(0), by_id, quiet(0))), ErrorCode::FetchSessionTopicIdError);
    assert_eq!(round(&mut sessions, at(0), request(7, 1, &[]), quiet(0)).result, Ok(vec![false, false]));
    assert_eq!(ask(&mut sessions, 7, 1), ErrorCode::InvalidFetchSessionEpoch, "a repeated request");
}

#[test]
fn a_full_request_ends_the_session_it_names() {
    let mut sessions = FetchSessions::new(Limits::default());
    assert_eq!(make(&mut sessions, at(0), 1), 7);
    let ended = round(&mut sessions, at(0), request(7, -1, &[(3, 0)]), quiet(0));
    assert_eq!(ended, Verdict { session_id: 0, result: Ok(vec![true]) });
    assert!(sessions.is_empty());
    assert_eq!(make(&mut sessions, at(0), 1), 7);
    let anew = round(&mut sessions, at(0), request(7, 0, &[(3, 0)]), quiet(0));
    assert_eq!(
        (anew.session_id, sessions.len()),
        (7, 1),
        "the old one is gone, the new one takes its number"
    );
    assert_eq!(make(&mut sessions, at(0), 0), 8, "one of nothing, as Kafka makes it");
}

#[test]
fn partitions_are_added_asked_otherwise_and_forgotten() {
    let mut sessions = FetchSessions::new(Limits::default());
    assert_eq!(make(&mut sessions, at(0), 2), 7);
    let (_, parts) = sessions.begin(at(0), request(7, 1, &[(5, 9), (0, 4)])).expect("a step");
    let seen: Vec<_> = parts.iter().map(|p| (p.key.partition, p.wanted.fetch_offset)).collect();
    assert_eq!(seen, [(0, 4), (1, 0), (5, 9)]);
    assert_eq!((parts[0].known, parts[2].known), (quiet(0).known, Known::default()));
    let forget = Request { forgotten: vec![key(0), key(5), key(99)], ..request(7, 2, &[]) };
    let (_, parts) = sessions.begin(at(0), forget).expect("a step");
    assert_eq!(parts.len(), 1);
    // Without partitions it is no session any more, and the answer is one without a session.
    let forget = Request { forgotten: vec![key(1)], ..request(7, 3, &[]) };
    let (kind, parts) = sessions.begin(at(0), forget).expect("a step");
    assert_eq!((kind, parts.len(), sessions.len()), (Kind::Sessionless, 0, 0));
}

#[test]
fn a_partition_named_twice_is_fetched_once_as_it_was_named_last() {
    let mut sessions = FetchSessions::new(Limits::default());
    let twice = request(0, 0, &[(1, 5), (0, 0), (1, 6)]);
    let (_, parts) = sessions.begin(at(0), twice).expect("a full request");
    let seen: Vec<_> = parts.iter().map(|p| (p.key.partition, p.wanted.fetch_offset)).collect();
    assert_eq!(seen, [(1, 6), (0, 0)]);
}

#[test]
fn what_brought_records_goes_behind_what_did_not() {
    let mut sessions = FetchSessions::new(Limits::default());
    assert_eq!(make(&mut sessions, at(0), 3), 7);
    let mut firsts = Vec::new();
    for epoch in 1..=6 {
        let (kind, parts) = sessions.begin(at(0), request(7, epoch, &[])).expect("a step");
        firsts.push(parts[0].key.partition);
        // The limit lets only the first one answer.
        let said = |n| Said { bytes: if n == 0 { 100 } else { 0 }, ..quiet(0) };
        let answers: Vec<_> = parts.into_iter().enumerate().map(|(n, part)| (part, said(n))).collect();
        let verdict = sessions.finish(at(0), kind, 0, &answers);
        assert_eq!(verdict.result, Ok(vec![true, false, false]));
        sessions.check();
    }
    assert_eq!(firsts, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_full_cache_gives_way_only_to_what_is_larger_or_to_anyone_when_unused() {
    let mut sessions = FetchSessions::new(Limits { slots: 2, ..Limits::default() });
    let (small, large) = (make(&mut sessions, at(0), 2), make(&mut sessions, at(0), 10));
    assert_eq!(make(&mut sessions, at(0), 50), 0, "young sessions are safe");
    // Both are used, and old enough from then on.
    for epoch in 1..=3 {
        for id in [small, large] {
            let step = round(&mut sessions, at(epoch as u64), request(id, epoch, &[]), quiet(0));
            assert!(step.result.is_ok());
        }
    }
    assert_eq!(make(&mut sessions, at(3), 2), 0, "not larger");
    let larger = make(&mut sessions, at(3), 3);
    assert_eq!((larger, sessions.len()), (small, 2), "the smallest gave way, and its number is free");
    assert_eq!(make(&mut sessions, at(5), 1), 0, "after exactly two minutes none is unused yet");
    assert_ne!(make(&mut sessions, Millis(5 * MINUTE + 1), 1), 0);
    assert_eq!(make(&mut FetchSessions::new(Limits { slots: 0, ..Limits::default() }), at(0), 1), 0);
}

#[test]
fn bytes_are_bounded_and_a_session_that_would_grow_beyond_them_ends() {
    let one = super::session::cost(&key(0));
    let mut sessions = FetchSessions::new(Limits { slots: 10, bytes: 10 * one });
    assert_eq!(make(&mut sessions, at(0), 11), 0, "more than there may be");
    let id = make(&mut sessions, at(0), 6);
    assert_eq!(make(&mut sessions, at(0), 5), 0);
    let four = make(&mut sessions, at(0), 4);
    assert_ne!(four, 0);
    let same = round(&mut sessions, at(0), request(id, 1, &[(0, 1), (5, 1)]), quiet(0));
    assert!(same.result.is_ok(), "what it has is not counted again");
    let grown = round(&mut sessions, at(0), request(id, 2, &[(6, 0)]), quiet(0));
    assert_eq!(error(grown), ErrorCode::FetchSessionIdNotFound);
    assert_eq!(sessions.len(), 1, "the other one stays");
    assert_ne!(make(&mut sessions, at(0), 6), 0);
    let later = Millis(2 * MINUTE + 1);
    assert_ne!(make(&mut sessions, later, 10), 0, "unused ones make room for bytes, too");
    assert_eq!(sessions.len(), 1);
}

#[test]
fn an_answer_whose_session_moved_on_is_an_error_and_one_whose_session_is_gone_is_still_right() {
    let mut sessions = FetchSessions::new(Limits::default());
    assert_eq!(make(&mut sessions, at(0), 1), 7);
    let (first, parts) = sessions.begin(at(0), request(7, 1, &[])).expect("a step");
    let (second, _) = sessions.begin(at(0), request(7, 2, &[])).expect("the next step, sent too early");
    let answers = [(parts[0].clone(), quiet(0))];
    let late = sessions.finish(at(0), first, 0, &answers);
    assert_eq!(late, Verdict { session_id: 7, result: Err(ErrorCode::InvalidFetchSessionEpoch) });
    assert!(sessions.begin(at(0), request(7, -1, &[])).is_ok(), "ended");
    let gone = sessions.finish(at(0), second, 0, &answers);
    assert_eq!(gone, Verdict { session_id: 7, result: Ok(vec![false]) });
}

#[test]
fn the_last_epoch_is_followed_by_1_and_any_number_gives_an_id_from_1_on() {
    assert_eq!((next_epoch(1), next_epoch(i32::MAX)), (2, 1));
    let mut sessions = FetchSessions::new(Limits::default());
    let ids: Vec<i32> = [i32::MAX, i32::MIN, -9, 0, i32::MAX, 9]
        .into_iter()
        .map(|number| {
            let by_id = Request { by_id: true, ..Request::default() };
            let (kind, _) = sessions.begin(at(0), by_id).expect("a full request");
            sessions.finish(at(0), kind, number, &[]).session_id
        })
        .collect();
    assert_eq!(ids, [i32::MAX, 1, 9, 2, 3, 10]);
    let id = Key { topic: TopicKey::Id(TopicId([1; 16])), partition: 0 };
    assert_ne!(id, key(0));
}
