//! How far groups are behind: in records, and in seconds since the oldest record that is not read yet was written.
//!
//! A look asks each group for its committed offsets and compares them with the high watermarks. For the age it reads one
//! batch of each partition that is behind, and takes the time of the batch's first record. Two bounds keep a look short:
//! groups beyond `groups_max` are not asked, and ages beyond `ages_max` are not read. How lags are shown is in `src/lag.rs`.

use super::table::Coordinators;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::images::Images;
use crate::partition::PartitionHandle;
use callboard_core::group::{Answer, Input};
use callboard_core::records::Times;
use callboard_core::{Offset, TopicPartition};
use std::sync::Arc;

/// How far one group is behind on one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupLag {
    pub group: String,
    pub topic: String,
    /// Records not read yet, of all its partitions.
    pub records: i64,
    /// Age of the oldest of them; 0 if there is none.
    pub seconds: f64,
}

/// Reads how far groups are behind.
pub struct LagReader {
    pub coordinators: Arc<Coordinators>,
    pub directory: Arc<Directory>,
    pub images: Arc<Images>,
    pub clock: Arc<dyn Clock>,
    /// A look asks no more groups than these.
    pub groups_max: usize,
    /// A look reads no more ages than these.
    pub ages_max: usize,
}

impl LagReader {
    /// Looks at every group, up to the bound.
    pub async fn look(&self) -> Vec<GroupLag> {
        let mut out: Vec<GroupLag> = Vec::new();
        let mut ages = 0;
        let groups = self.coordinators.list().unwrap_or_default();
        for (group, _) in groups.into_iter().take(self.groups_max) {
            let answer = self.coordinators.ask(&group, |t| Input::FetchOffsets(t, None, None)).await;
            let Ok(Answer::Offsets(_, topics)) = answer else { continue };
            let image = self.images.current();
            for (topic, partitions) in topics {
                let Some(known) = image.topic(&topic) else { continue };
                let (mut records, mut seconds) = (0, 0f64);
                for (partition, value) in partitions {
                    let id = TopicPartition { topic: known.id, partition };
                    let Some((value, handle)) = value.zip(self.directory.get(id)) else { continue };
                    let view = handle.view();
                    let from = value.offset.max(view.log_start);
                    let behind = view.high_watermark.saturating_sub(from);
                    if behind <= 0 {
                        continue;
                    }
                    records += behind;
                    if ages < self.ages_max {
                        ages += 1;
                        seconds = seconds.max(self.age(&handle, from, view.high_watermark).await);
                    }
                }
                out.push(GroupLag { group: group.clone(), topic, records, seconds });
            }
        }
        out
    }

    /// Seconds since the record at this offset was written.
    async fn age(&self, handle: &PartitionHandle, from: Offset, until: Offset) -> f64 {
        let Ok(slices) = handle.read(from, until, 1).await else { return 0.0 };
        let Some(written) = slices.in_memory().next().and_then(|batch| first_time(batch)) else { return 0.0 };
        match self.clock.now().wall.0.saturating_sub(written) {
            age if written >= 0 && age > 0 => age as f64 / 1000.0,
            _ => 0.0,
        }
    }
}

/// A batch is unpacked so far at most, to find its first record.
const LOOK_BYTES: usize = 64 * 1024;

/// The first record's own time. A head's base timestamp says nothing: it is any number that deltas are relative to.
fn first_time(batch: &[u8]) -> Option<i64> {
    let (_, timestamp) = Times::open(batch, LOOK_BYTES).ok()?.next()?.ok()?;
    Some(timestamp)
}
