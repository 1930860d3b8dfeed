//! Small decisions of the store: how to cut blocks, when to settle, what may be recycled, whom to trust.
//!
//! Each is a function of values that the caller has read. None of them remembers anything.

use super::entry::{Durability, Entry};
use crate::ids::{Lsn, Offset};
use crate::mutant::{Mutant, planted};
use serde::{Deserialize, Serialize};

/// Largest block in redb: a page of a power of two, less what redb and the key take of it.
const BLOCK_PAGES: [usize; 7] = [4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144];
/// redb's own bytes a value, and the block's key.
const BLOCK_OVERHEAD: usize = 8 + 12;

/// A run of batches that becomes one row: indices into the list given to [`blocks`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    pub from: usize,
    /// The index behind the last batch.
    pub to: usize,
}

/// Cuts batches of these sizes into blocks that fill their power-of-two pages; `header` bytes go before each block.
///
/// A rest is taken whole where it fills three quarters of its page, else cut down to the next smaller page.
#[must_use]
pub fn blocks(sizes: &[usize], header: usize) -> Vec<Block> {
    let mut out = Vec::new();
    let mut rest: usize = sizes.iter().sum();
    let mut from = 0;
    while from < sizes.len() {
        let room = |page: usize| page - BLOCK_OVERHEAD - header;
        let fits = BLOCK_PAGES.iter().copied().find(|page| rest <= room(*page));
        let target = match fits {
            Some(page) if page == BLOCK_PAGES[0] || rest >= room(page) / 4 * 3 => room(page),
            Some(page) => room(page / 2),
            None => room(BLOCK_PAGES[BLOCK_PAGES.len() - 1]),
        };
        let (mut to, mut size) = (from, 0);
        while to < sizes.len() && (to == from || size + sizes[to] <= target) {
            size += sizes[to];
            to += 1;
        }
        out.push(Block { from, to });
        rest -= size;
        from = to;
    }
    out
}

/// Whether a settle is due: half of the unsettled bytes or runs are there, or nothing was written for ten seconds.
#[must_use]
pub fn settle_due(unsettled: u64, unsettled_max: u64, runs: usize, runs_max: usize, idle_ms: u64) -> bool {
    unsettled >= unsettled_max / 2 || runs >= runs_max / 2 || (unsettled > 0 && idle_ms >= 10_000)
}

/// Whether a segment that ends at `end` may be overwritten: everything in it is durably in redb.
#[must_use]
pub fn may_recycle(end: Lsn, durable_x: Lsn, synced: Lsn) -> bool {
    if planted(Mutant::RecycleBeforeX) {
        return end <= synced;
    }
    end <= durable_x
}

/// Whether an entry has to be synced before it is announced. `marked` is the durability of the replica's last batch, as
/// the journal is known to say. The first `os` batch is synced too: otherwise nothing tells after a power cut that
/// batches may be missing behind the last `fsync` one.
#[must_use]
pub fn needs_sync(entry: &Entry, durability: Durability, marked: Durability) -> bool {
    match (durability, entry) {
        (Durability::Fsync, _) => true,
        (Durability::Os, Entry::Append { .. }) => marked == Durability::Fsync,
        (Durability::Os, _) => false,
    }
}

/// The stored text of an unknown boot.
const UNKNOWN_BOOT: &str = "unknown";

/// The kernel's boot, by its id. Where `/proc` is hidden the id is unknown, and may be any. So this type has no `==`, and
/// two unknown boots never pass for the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Boot(Option<String>);

impl Boot {
    /// A boot whose id is not known.
    pub const UNKNOWN: Boot = Boot(None);

    /// Whether both are known to be the same boot.
    #[must_use]
    pub fn is_same(&self, other: &Boot) -> bool {
        matches!((&self.0, &other.0), (Some(one), Some(other)) if one == other)
    }

    /// Whether its id is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }
}

impl From<&str> for Boot {
    fn from(id: &str) -> Boot {
        let id = id.trim();
        Boot((!id.is_empty() && id != UNKNOWN_BOOT).then(|| id.to_owned()))
    }
}

impl From<String> for Boot {
    fn from(id: String) -> Boot {
        Boot::from(id.as_str())
    }
}

impl From<Boot> for String {
    fn from(boot: Boot) -> String {
        boot.0.unwrap_or_else(|| UNKNOWN_BOOT.to_owned())
    }
}

/// Facts about the process's last life, as this start finds them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restart {
    /// The last life ended cleanly and said so.
    pub clean_marker: bool,
    /// The kernel's boot is known to be the one of the last start: the page cache survived.
    pub same_boot: bool,
    /// A sync failed in the last life.
    pub sync_failed: bool,
}

/// Whether a replica holds all that was acknowledged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    Clean,
    /// A suffix may be missing.
    Unclean(&'static str),
}

/// Says whether anything acknowledged can be missing of a replica. `synced_end` is its end in the proved part of the journal.
#[must_use]
pub fn trust(restart: Restart, fsync_since: Offset, synced_end: Offset) -> Trust {
    if restart.sync_failed {
        return Trust::Unclean("a sync had failed before the restart: what was written then may be missing");
    }
    if restart.clean_marker || restart.same_boot || fsync_since <= synced_end {
        return Trust::Clean;
    }
    Trust::Unclean("the machine restarted without a clean end, and the topic's durability is os")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_boot_is_no_other_unknown_one() {
        let (one, other) = (Boot::from("one\n"), Boot::from("other"));
        assert!(one.is_same(&Boot::from("one")) && !one.is_same(&other));
        let unknown = ["", "\n", "unknown", "unknown\n"].map(Boot::from);
        for boot in &unknown {
            assert!(!boot.is_known());
            for known in unknown.iter().chain([&Boot::UNKNOWN, &one]) {
                assert!(!boot.is_same(known) && !known.is_same(boot), "{boot:?} {known:?}");
            }
        }
    }

    /// Rows: (clean end, boot before, boot now, failed sync, fsync since, synced to) → clean.
    #[test]
    fn a_replica_is_trusted_if_nothing_acknowledged_can_be_missing() {
        const OS: Offset = Offset::MAX;
        let table = [
            (false, "a", "a", false, OS, 0, true),
            (false, "a", "b", false, OS, 0, false),
            (false, "unknown", "unknown", false, OS, 0, false),
            (false, "", "", false, OS, 0, false),
            (false, "a", "unknown", false, OS, 0, false),
            (false, "unknown", "b", false, OS, 0, false),
            (true, "unknown", "unknown", false, OS, 0, true),
            (true, "a", "b", false, OS, 0, true),
            (false, "unknown", "unknown", false, 0, 0, true),
            (false, "a", "b", false, 10, 10, true),
            (false, "a", "b", false, 11, 10, false),
            (true, "a", "a", true, 0, 10, false),
        ];
        for (clean_marker, before, now, sync_failed, fsync_since, synced_end, clean) in table {
            let same_boot = Boot::from(before).is_same(&Boot::from(now));
            let restart = Restart { clean_marker, same_boot, sync_failed };
            let found = trust(restart, fsync_since, synced_end);
            assert_eq!(found == Trust::Clean, clean, "{restart:?} {before:?} {now:?}: {found:?}");
        }
    }
}
