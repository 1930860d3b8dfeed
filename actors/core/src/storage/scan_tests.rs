//! Table of what recovery keeps: torn tails, holes that matter, holes that do not, cuts that stay cut.

use super::*;
use crate::ids::Lsn;

const CAP: u64 = 8192;

fn segment(first: u64) -> SegmentInfo {
    SegmentInfo { first: Lsn(first), capacity: CAP, cut: None }
}

/// A group of 512 bytes at `lsn`, which knew `synced`; its checksum is its position, so chains are easy to read.
fn group(lsn: u64, synced: u64, prev: u64) -> Candidate {
    Candidate {
        lsn: Lsn(lsn),
        length: 500,
        synced: Lsn(synced),
        prev_crc: prev as u32,
        crc: lsn as u32,
        whole: true,
    }
}

fn kept(stream: &Stream, candidates: &[Candidate]) -> Vec<u64> {
    stream.kept.iter().map(|i| candidates[*i].lsn.0).collect()
}

#[test]
fn a_torn_tail_is_cut_whatever_follows() {
    let c = [group(512, 0, 0), group(1024, 512, 512), group(2048, 1024, 1536)];
    let s = walk(Lsn(0), 0, &[segment(0)], &c).unwrap();
    assert_eq!(kept(&s, &c), [512, 1024]);
    assert_eq!((s.end, s.proved, s.gaps.len(), s.cut_bytes), (Lsn(1536), Lsn(1024), 0, 500));
}

#[test]
fn a_hole_below_what_was_known_synced_is_corruption() {
    let c = [group(512, 0, 0), group(2048, 1536, 1536)];
    let s = walk(Lsn(0), 0, &[segment(0)], &c).unwrap();
    assert_eq!(kept(&s, &c), [512, 2048]);
    assert_eq!(s.gaps, [Gap { from: Lsn(1024), to: Lsn(2048) }]);
}

#[test]
fn a_group_with_a_bad_payload_is_the_torn_tail_or_corruption() {
    let mut c = [group(512, 0, 0), group(1024, 512, 512), group(1536, 512, 1024)];
    c[1].whole = false;
    assert_eq!(walk(Lsn(0), 0, &[segment(0)], &c).unwrap().end, Lsn(1024));
    c[2].synced = Lsn(1536);
    let s = walk(Lsn(0), 0, &[segment(0)], &c).unwrap();
    assert_eq!(kept(&s, &c), [512, 1024, 1536]);
    assert!(s.gaps.is_empty(), "only its bad payloads are corrupt");
}

#[test]
fn the_stream_goes_on_in_the_next_segment_only_if_that_names_the_last_group() {
    let two = [segment(0), segment(CAP)];
    let c = [group(512, 0, 0), group(CAP + 512, 512, 512)];
    assert_eq!(kept(&walk(Lsn(0), 0, &two, &c).unwrap(), &c), [512, CAP + 512]);
    let c = [group(512, 0, 0), group(CAP + 512, 512, 1024)];
    let s = walk(Lsn(0), 0, &two, &c).unwrap();
    assert_eq!((kept(&s, &c), s.gaps.len()), (vec![512], 0), "the group between was torn");
    let c = [group(512, 0, 0), group(CAP + 512, 1536, 1024)];
    assert_eq!(walk(Lsn(0), 0, &two, &c).unwrap().gaps.len(), 1, "the group between was known synced");
}

#[test]
fn what_lies_behind_a_cut_never_comes_back() {
    let cut = SegmentCut { at: Lsn(1024), sealed: Lsn(CAP + 1024), prev_crc: 512 };
    let two = [segment(0), SegmentInfo { cut: Some(cut), ..segment(CAP) }];
    let c = [group(512, 0, 0), group(1024, 512, 512), group(CAP + 512, 1024, 512)];
    let s = walk(Lsn(0), 0, &two, &c).unwrap();
    assert_eq!(kept(&s, &c), [512, CAP + 512]);
    assert_eq!((s.proved, s.proved_crc), (Lsn(CAP + 1024), (CAP + 512) as u32));
    // A sealed group that is gone is corruption, though nothing follows it.
    let s = walk(Lsn(0), 0, &two, &c[..2]).unwrap();
    assert_eq!(s.gaps, [Gap { from: Lsn(CAP + 512), to: Lsn(CAP + 1024) }]);
}

#[test]
fn a_hole_before_a_cut_is_corruption() {
    let cut = SegmentCut { at: Lsn(2048), sealed: Lsn(0), prev_crc: 1536 };
    let two = [segment(0), SegmentInfo { cut: Some(cut), ..segment(CAP) }];
    let c = [group(512, 0, 0), group(CAP + 512, 2048, 1536)];
    let s = walk(Lsn(0), 0, &two, &c).unwrap();
    assert_eq!((s.gaps.len(), kept(&s, &c)), (1, vec![512, CAP + 512]));
}

#[test]
fn a_position_outside_the_segments_is_refused() {
    assert_eq!(walk(Lsn(3 * CAP), 0, &[segment(0)], &[]), Err(ScanError::Outside(3 * CAP)));
    assert_eq!(walk(Lsn(0), 0, &[segment(CAP)], &[]), Err(ScanError::Outside(0)));
}

#[test]
fn a_segment_made_ahead_is_passed_over_by_a_cut() {
    let cut = SegmentCut { at: Lsn(1024), sealed: Lsn(2 * CAP + 1024), prev_crc: 512 };
    let three = [segment(0), segment(CAP), SegmentInfo { cut: Some(cut), ..segment(2 * CAP) }];
    let c = [group(512, 0, 0), group(2 * CAP + 512, 1024, 512)];
    let s = walk(Lsn(0), 0, &three, &c).unwrap();
    assert_eq!((kept(&s, &c), s.gaps.len()), (vec![512, 2 * CAP + 512], 0));
}
