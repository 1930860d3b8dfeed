//! The decisions of the store: which entry may follow, what recovery keeps, what to settle, what to recycle.
//!
//! All of it is arithmetic on values that the caller read. `src/storage` does the I/O, and the simulator runs the same
//! code. No file here reads a byte from a disk or looks at a clock.

mod entry;
mod fold;
mod frame;
mod plan;
mod residence;
mod retention;
mod room;
mod rules;
mod scan;
mod verdict;

#[cfg(test)]
mod fold_tests;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod scan_tests;

pub use entry::{Durability, Entry};
pub use fold::{Folded, ReplicaFold};
pub use frame::{
    ALIGN, ENTRY_HEADER, EntryHeader, FORMAT, FrameError, GROUP_HEADER, GroupHeader, SEGMENT_HEADER,
    SegmentCut, SegmentHeader, aligned, check_payload, decode_group, encode_group, peek_group,
};
pub use plan::{Block, Boot, Restart, Trust, blocks, may_recycle, needs_sync, settle_due, trust};
pub use residence::{
    Filled, Fresh, LARGE_RUN, Residence, SettledSegment, ZEROS_BELOW, fresh, journal_budget, spares, to_empty,
};
pub use retention::{Retention, Span, expired_to};
pub use room::{Room, RoomEffect, RoomInput, RoomMachine, free_in_store, reserve_bytes};
pub use rules::{Change, Outline, Refusal, Ruling, judge};
pub use scan::{Candidate, Gap, ScanError, SegmentInfo, Stream, walk};
pub use verdict::Verdict;
