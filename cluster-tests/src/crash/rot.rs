//! Bits that flip on the disk, in journal groups that a later group names as synced. Recovery has to notice them.

use callboard_core::Lsn;
use callboard_core::storage::{ALIGN, SEGMENT_HEADER, SegmentHeader, aligned, decode_group};

use super::image::Image;
use crate::process::load::Rng;

/// A group found in a segment file.
#[derive(Clone, Copy)]
struct Found {
    shard: [u8; 16],
    inode: u64,
    /// Offset of the group in the file.
    at: u64,
    lsn: Lsn,
    length: u64,
    synced: Lsn,
}

fn groups(image: &Image) -> Vec<Found> {
    let mut out = Vec::new();
    for (_, inode, pages) in image.files(".seg") {
        let mut bytes = vec![0; pages.len() as usize];
        if !pages.read(0, &mut bytes) {
            continue;
        }
        let Ok(header) = SegmentHeader::decode(&bytes) else { continue };
        let mut at = SEGMENT_HEADER as u64;
        while at < bytes.len() as u64 {
            let lsn = Lsn(header.first.0 + at);
            at += match decode_group(&bytes[at as usize..], &header.shard, lsn) {
                Ok((group, _)) => {
                    let (shard, length) = (header.shard, u64::from(group.length));
                    out.push(Found { shard, inode, at, lsn, length, synced: group.synced });
                    aligned(length)
                }
                Err(_) => ALIGN,
            };
        }
    }
    out
}

/// Flips a bit in one of the newest groups that are proved synced; false if there is none.
pub fn rot(image: &mut Image, rng: &mut Rng) -> bool {
    let all = groups(image);
    let proved = |g: &Found| {
        all.iter().any(|later| later.shard == g.shard && later.synced.0 >= g.lsn.0 + aligned(g.length))
    };
    let mut targets: Vec<Found> = all.iter().copied().filter(proved).collect();
    targets.sort_by_key(|g| g.lsn);
    let newest = targets.len().saturating_sub(12);
    let Some(target) = targets[newest..].get(rng.below((targets.len() - newest) as u64) as usize) else {
        return false;
    };
    image.rot(target.inode, target.at + rng.below(target.length));
    true
}
