//! Recovery's walk: which groups of a journal count, where its stream ends, what is torn and what is corrupt.
//!
//! ```text
//!   X ──> group ──> group ──> ?            ? = nothing valid where the next group should be
//!                             │
//!        the next segment goes on from here (its first group names this one's checksum, or its header says "cut here")
//!        something later was written when bytes beyond ? were known synced  ──> corruption: a gap, go on behind it
//!        else                                                               ──> the torn tail: cut, whatever follows
//! ```
//!
//! The caller has looked at 512-byte steps for every header whose checksum holds (`Candidate`s). A torn group loses no
//! acknowledged bytes: acknowledgements waited for a sync, and a later group names that sync. Entries are not looked at
//! here; `fold.rs` takes them.

use super::frame::{SEGMENT_HEADER, SegmentCut, aligned};
use crate::ids::Lsn;
use crate::mutant::{Mutant, planted};

/// A segment, as recovery sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentInfo {
    /// Position of its first byte.
    pub first: Lsn,
    /// Bytes of the file.
    pub capacity: u64,
    /// Set in the first segment of a run of the process.
    pub cut: Option<SegmentCut>,
}

/// A group whose header is valid where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    pub lsn: Lsn,
    /// Bytes of the group without padding.
    pub length: u32,
    /// The position known to be synced when the group was written.
    pub synced: Lsn,
    /// Checksum of the group before it.
    pub prev_crc: u32,
    pub crc: u32,
    /// Whether all its payloads are valid, too.
    pub whole: bool,
}

/// A stretch that was known synced and is not valid any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The first position that is lost.
    pub from: Lsn,
    /// The position where the stream goes on.
    pub to: Lsn,
}

/// The stream that recovery keeps.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stream {
    /// Indices of the candidates that count, in order. Those that are not `whole` were known to be synced, so their bad
    /// payloads are corruption.
    pub kept: Vec<usize>,
    /// Everything below was synced before the crash.
    pub proved: Lsn,
    /// Where the stream ends.
    pub end: Lsn,
    /// Checksum of the last group below `proved`, for the group that follows there.
    pub proved_crc: u32,
    /// Checksum of the last group kept.
    pub last_crc: u32,
    pub gaps: Vec<Gap>,
    /// Bytes of valid groups behind the end that do not count.
    pub cut_bytes: u64,
}

/// Why a journal cannot be walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScanError {
    /// The position up to which redb has everything is not in the journal.
    #[error("position {0} of the store lies outside the journal's segments: a segment is missing or foreign")]
    Outside(u64),
}

/// Walks the stream from `x`, whose group before had the checksum `x_crc`. Both lists are sorted by position.
pub fn walk(
    x: Lsn,
    x_crc: u32,
    segments: &[SegmentInfo],
    candidates: &[Candidate],
) -> Result<Stream, ScanError> {
    let inside = |s: &SegmentInfo| s.first <= x && x.0 <= s.first.0 + s.capacity;
    let start = segments.iter().rposition(inside).ok_or(ScanError::Outside(x.0))?;
    let mut walker = Walker::new(segments, candidates, x, x_crc, start);
    while walker.step() {}
    Ok(walker.finish())
}

struct Walker<'a> {
    segments: &'a [SegmentInfo],
    candidates: &'a [Candidate],
    /// For each candidate: not taken back by a cut.
    valid: Vec<bool>,
    /// Largest position known synced by candidate i or a later one, or by a later segment's cut.
    limit: Vec<Lsn>,
    cuts: Vec<(Lsn, SegmentCut)>,
    segment: usize,
    pos: Lsn,
    last: Option<u32>,
    out: Stream,
}

impl<'a> Walker<'a> {
    fn new(
        segments: &'a [SegmentInfo],
        candidates: &'a [Candidate],
        x: Lsn,
        x_crc: u32,
        start: usize,
    ) -> Self {
        let cuts: Vec<(Lsn, SegmentCut)> = segments.iter().filter_map(|s| Some((s.first, s.cut?))).collect();
        let valid: Vec<bool> = candidates
            .iter()
            .map(|c| c.lsn >= x && !cuts.iter().any(|(first, cut)| c.lsn >= cut.at && c.lsn < *first))
            .collect();
        let mut limit = vec![Lsn(0); candidates.len() + 1];
        for i in (0..candidates.len()).rev() {
            let own = if valid[i] { candidates[i].synced } else { Lsn(0) };
            limit[i] = limit[i + 1].max(own);
        }
        let mut pos = x;
        if x.0 < segments[start].first.0 + SEGMENT_HEADER as u64 {
            pos = Lsn(segments[start].first.0 + SEGMENT_HEADER as u64);
        }
        let sealed = cuts.iter().map(|(_, cut)| cut.sealed).max().unwrap_or_default();
        let out = Stream {
            proved: x.max(limit[0]).max(sealed),
            proved_crc: x_crc,
            last_crc: x_crc,
            ..Stream::default()
        };
        Walker { segments, candidates, valid, limit, cuts, segment: start, pos, last: Some(x_crc), out }
    }

    /// Index of the first valid candidate at or after a position.
    fn from(&self, pos: Lsn) -> Option<usize> {
        let at = self.candidates.partition_point(|c| c.lsn < pos);
        (at..self.candidates.len()).find(|i| self.valid[*i])
    }

    /// The largest position that something written later than `pos` knew to be synced.
    fn limit_after(&self, pos: Lsn) -> Lsn {
        let at = self.candidates.partition_point(|c| c.lsn <= pos);
        let cuts = self.cuts.iter().filter(|(first, _)| *first > pos).map(|(_, cut)| cut.at.max(cut.sealed));
        // A segment's own cut speaks for what it sealed.
        let own = self.cuts.iter().filter(|(first, _)| *first <= pos).map(|(_, cut)| cut.sealed);
        self.limit[at].max(cuts.max().unwrap_or_default()).max(own.max().unwrap_or_default())
    }

    fn follows(&self, c: &Candidate) -> bool {
        self.last.is_none_or(|last| last == c.prev_crc) || planted(Mutant::StaleGroupAccepted)
    }

    fn enter(&mut self, segment: usize) {
        self.segment = segment;
        self.pos = Lsn(self.segments[segment].first.0 + SEGMENT_HEADER as u64);
    }

    fn step(&mut self) -> bool {
        let here = self.from(self.pos).filter(|i| self.candidates[*i].lsn == self.pos);
        if let Some(i) = here {
            let c = self.candidates[i];
            let known_synced = self.limit_after(self.pos) > self.pos && !planted(Mutant::BadCrcIsEnd);
            if self.follows(&c) && (c.whole || known_synced) {
                self.keep(i, &c);
                return true;
            }
        }
        if here.is_none() && self.next_segment() {
            return true;
        }
        self.bad()
    }

    fn keep(&mut self, i: usize, c: &Candidate) {
        self.out.kept.push(i);
        self.out.last_crc = c.crc;
        self.last = Some(c.crc);
        self.pos = Lsn(self.pos.0 + aligned(u64::from(c.length)));
        if self.pos <= self.out.proved {
            self.out.proved_crc = c.crc;
        }
    }

    /// Goes on in a later segment, if the stream does: in the next one, or in one that says "cut here". Segments
    /// between (one made ahead, never used) are superseded by the cut.
    fn next_segment(&mut self) -> bool {
        let rest = self.segment + 1..self.segments.len();
        let cut_here = |i: &usize| self.segments[*i].cut.is_some_and(|cut| cut.at <= self.pos);
        if let Some(i) = rest.clone().find(cut_here) {
            self.last = self.segments[i].cut.map(|cut| cut.prev_crc);
            self.enter(i);
            return true;
        }
        let Some(next) = self.segments.get(self.segment + 1).filter(|s| s.cut.is_none()) else {
            return false;
        };
        let first = Lsn(next.first.0 + SEGMENT_HEADER as u64);
        let candidate = self.from(first).map(|i| &self.candidates[i]);
        if candidate.is_some_and(|c| c.lsn == first && self.follows(c)) {
            self.enter(self.segment + 1);
            return true;
        }
        false
    }

    /// Nothing valid where the next group should be.
    fn bad(&mut self) -> bool {
        let later = self.from(Lsn(self.pos.0 + 1));
        if self.limit_after(self.pos) <= self.pos || planted(Mutant::BadCrcIsEnd) {
            return false;
        }
        let to = match later {
            Some(i) => self.candidates[i].lsn,
            None => self.limit_after(self.pos),
        };
        self.out.gaps.push(Gap { from: self.pos, to });
        self.pos = to;
        self.last = None;
        if let Some(s) = self.segments.iter().rposition(|s| s.first <= to) {
            self.segment = s;
        }
        later.is_some()
    }

    fn finish(mut self) -> Stream {
        self.out.end = self.pos;
        self.out.proved = self.out.proved.min(self.pos);
        let behind = self.candidates.iter().filter(|c| c.lsn >= self.pos);
        self.out.cut_bytes = behind.map(|c| u64::from(c.length)).sum();
        self.out
    }
}
