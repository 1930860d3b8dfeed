//! A start, up to its first packet: the marker goes, the journal is recovered and judged, the verdict is stored, and last
//! the identity with this start in it (R16, R18, R19).
//!
//! `callboard_core::storage::trust` and `Boot` judge, as in the store. The steps touch one directory and nobody sees
//! them. So they are one step of the search, and a death between two of them is a choice of that step.

use super::disk::Disk;
use super::rule::Planted;
use callboard_core::storage::{Boot, Restart, Trust, trust};

/// How far a start comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upto {
    /// It dies behind the deleted marker; the power went too, or not.
    Marker { power: bool },
    /// It dies behind the stored verdict.
    Verdict { power: bool },
    /// It dies behind the stored identity, before it has asked.
    Identity { power: bool },
    /// It asks for its registration.
    Asked,
}

/// The start of a directory on a machine.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub os: bool,
    /// `/proc` is hidden, so each boot is unknown.
    pub hidden: bool,
    /// The boot of the machine now.
    pub boot: u8,
    /// The number of this start.
    pub number: u8,
    pub planted: Option<Planted>,
}

impl Start {
    /// Starts, and says whether the replica is unclean.
    pub fn run(self, disk: &mut Disk, upto: Upto) -> bool {
        let restart = Restart {
            clean_marker: disk.marker,
            same_boot: self.same_boot(disk.boot),
            sync_failed: disk.sync_failed,
        };
        let since = if self.os { i64::MAX } else { 0 };
        let unclean = disk.unclean || trust(restart, since, disk.synced_end() as i64) != Trust::Clean;
        disk.marker &= self.planted == Some(Planted::MarkerKept);
        disk.sync();
        if matches!(upto, Upto::Marker { .. }) {
            return unclean;
        }
        disk.unclean = unclean && self.planted != Some(Planted::VerdictForgotten);
        if matches!(upto, Upto::Verdict { .. }) && self.planted != Some(Planted::VerdictForgotten) {
            return unclean;
        }
        (disk.boot, disk.sync_failed) = (self.boot, false);
        if matches!(upto, Upto::Identity { .. } | Upto::Asked) {
            disk.incarnation += 1;
            disk.starts |= 1 << self.number;
        }
        unclean
    }

    fn same_boot(self, stored: u8) -> bool {
        if self.hidden {
            return self.planted == Some(Planted::UnknownBootIsKnown)
                || Boot::UNKNOWN.is_same(&Boot::UNKNOWN);
        }
        Boot::from(stored.to_string()).is_same(&Boot::from(self.boot.to_string()))
    }
}
