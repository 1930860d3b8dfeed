//! Which runs stay in the journal once they are settled, and which segments have to give theirs up.
//!
//! ```text
//!   a run ≥ 32 KiB ── settled ──> redb gets a row that names its place; its bytes stay in their segment
//!   journal over its budget ────> the oldest segment's live runs move into redb, the segment goes
//!   little of a segment live ───> the same, whatever the budget: it pins more than it holds
//! ```
//!
//! A run that expires, is truncated or deleted before that is never written twice. Small runs do not stay, because they lie
//! between those of other replicas and read back several times slower. When a segment may be used again is decided by
//! `plan::may_recycle`.

use crate::ids::Lsn;

/// A shorter run moves into redb when it is settled. Bytes.
pub const LARGE_RUN: u32 = 32 * 1024;
/// A segment gives its live runs up when they are less than one part in so many.
const SPARSE: u64 = 10;

/// Bytes of all journals of a node together, unless more is asked for.
const JOURNAL_MAX: u64 = 64 << 30;

/// The rule for runs that stay in the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Residence {
    /// Bytes of the shortest run that stays.
    pub large_run: u32,
    /// Bytes of all segments of a shard together; 0: nothing stays.
    pub journal_bytes_max: u64,
}

impl Residence {
    /// Whether a run of so many bytes stays where it is.
    #[must_use]
    pub fn stays(&self, run: u32) -> bool {
        self.journal_bytes_max > 0 && run >= self.large_run
    }
}

/// Bytes that a shard's journal may hold. `volume`: bytes of the file system, 0 if unknown. `asked`: for all shards together.
#[must_use]
pub fn journal_budget(asked: Option<u64>, volume: u64, shards: usize) -> u64 {
    let unknown = JOURNAL_MAX / 16;
    let default = if volume == 0 { unknown } else { (volume / 4).min(JOURNAL_MAX) };
    asked.unwrap_or(default) / (shards.max(1) as u64)
}

/// How many dead segments are kept to be overwritten: as many as were `rolled` lately, within an eighth of the journal's
/// budget. Overwriting one is far cheaper than making another, because its pages are there.
#[must_use]
pub fn spares(rolled: usize, segment_bytes: u64, residence: &Residence) -> usize {
    let most = residence.journal_bytes_max / 8 / segment_bytes.max(1);
    rolled.min(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Zeros pay below so many bytes a sync: a byte of them costs about 3 ns, the commit they save a sync about 0.3 ms.
pub const ZEROS_BELOW: u64 = 128 * 1024;

/// The bytes written into one segment, and how often they were synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filled {
    pub bytes: u64,
    pub syncs: u64,
}

/// How a segment is made where there is none to overwrite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fresh {
    /// Zeros are written and synced. A later sync of the segment then writes nothing but data.
    Zeros,
    /// The file system promises the room. Nothing is written twice, but the first sync of each part also commits the file
    /// system's own journal.
    Promised,
}

/// How to make the next segment, after a last one like this, if there was one. `zeros_below`: bytes a sync.
#[must_use]
pub fn fresh(last: Option<Filled>, zeros_below: u64) -> Fresh {
    match last {
        Some(last) if last.bytes / last.syncs.max(1) >= zeros_below => Fresh::Promised,
        _ => Fresh::Zeros,
    }
}

/// A segment that is settled to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SettledSegment {
    pub first: Lsn,
    pub capacity: u64,
    /// Bytes of runs in it that rows refer to.
    pub live: u64,
}

/// The segment whose live runs move into redb next. `settled`: oldest first; `journal`: bytes of all segments.
#[must_use]
pub fn to_empty(
    settled: impl IntoIterator<Item = SettledSegment>,
    journal: u64,
    residence: &Residence,
) -> Option<Lsn> {
    let over = journal > residence.journal_bytes_max;
    let gives = |s: &SettledSegment| s.live > 0 && (over || s.live < s.capacity / SPARSE);
    settled.into_iter().find(gives).map(|s| s.first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESIDENCE: Residence = Residence { large_run: LARGE_RUN, journal_bytes_max: 400 };

    fn segments(live: &[u64]) -> Vec<SettledSegment> {
        (0u64..)
            .zip(live)
            .map(|(n, live)| SettledSegment { first: Lsn(n), capacity: 100, live: *live })
            .collect()
    }

    #[test]
    fn large_runs_stay_unless_nothing_may() {
        assert!(RESIDENCE.stays(LARGE_RUN) && !RESIDENCE.stays(LARGE_RUN - 1));
        assert!(!Residence { journal_bytes_max: 0, ..RESIDENCE }.stays(u32::MAX));
    }

    #[test]
    fn a_quarter_of_the_disk_at_most() {
        assert_eq!(journal_budget(None, 100 << 30, 2), 25 << 29);
        assert_eq!(journal_budget(None, 10 << 40, 1), 64 << 30);
        assert_eq!(journal_budget(Some(10), 10 << 40, 2), 5);
        assert_eq!(journal_budget(None, 0, 1), 4 << 30);
    }

    #[test]
    fn zeros_where_syncs_are_close() {
        let filled = |bytes, syncs| fresh(Some(Filled { bytes, syncs }), ZEROS_BELOW);
        assert_eq!(fresh(None, ZEROS_BELOW), Fresh::Zeros);
        assert_eq!(filled(64 << 20, 1), Fresh::Promised);
        assert_eq!(filled(64 << 20, 0), Fresh::Promised);
        assert_eq!(filled(64 << 20, 512), Fresh::Promised);
        assert_eq!(filled(64 << 20, 513), Fresh::Zeros);
        assert_eq!(filled(0, 0), Fresh::Zeros);
    }

    #[test]
    fn spares_follow_demand_within_an_eighth() {
        let residence = Residence { journal_bytes_max: 6_400, ..RESIDENCE };
        assert_eq!(spares(3, 100, &residence), 3);
        assert_eq!(spares(30, 100, &residence), 8);
        assert_eq!(spares(30, 100, &Residence { journal_bytes_max: 0, ..RESIDENCE }), 0);
    }

    #[test]
    fn the_oldest_gives_its_runs_up_over_the_budget_and_a_sparse_one_at_once() {
        assert_eq!(to_empty(segments(&[0, 100, 10, 50]), 400, &RESIDENCE), None);
        assert_eq!(to_empty(segments(&[0, 100, 10, 50]), 401, &RESIDENCE), Some(Lsn(1)));
        assert_eq!(to_empty(segments(&[0, 100, 9, 50]), 400, &RESIDENCE), Some(Lsn(2)));
        assert_eq!(to_empty(segments(&[0, 0]), 9999, &RESIDENCE), None, "nothing to move");
    }
}
