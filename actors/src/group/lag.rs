//! How far groups are behind: in records, and in seconds since the oldest record that is not read yet was written.
//!
//! A look asks each group for its committed offsets and compares them with the high watermarks. For the age it reads the
//! head of one batch a partition that is behind; the batch's own first timestamp stands for the record's. Bounded: groups
//! beyond `GROUPS_MAX` are not looked at, and ages beyond `AGES_MAX` not read.

use super::table::Coordinators;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::images::Images;
use crate::lag::{GroupLags, Lag};
use crate::partition::PartitionHandle;
use callboard_core::group::{Answer, GroupState, Input};
use callboard_core::records::head;
use callboard_core::{Offset, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often.
const EVERY: Duration = Duration::from_secs(5);
/// Groups looked at, at most.
const GROUPS_MAX: usize = 10_000;
/// Ages read in one look, at most.
const AGES_MAX: usize = 1_000;
const STATES: [&str; 4] = ["empty", "preparing_rebalance", "completing_rebalance", "stable"];

fn label(state: GroupState) -> &'static str {
    match state {
        GroupState::Empty | GroupState::Dead => STATES[0],
        GroupState::PreparingRebalance => STATES[1],
        GroupState::CompletingRebalance => STATES[2],
        GroupState::Stable => STATES[3],
    }
}

/// What a look needs.
pub struct LagReader {
    /// Groups.
    pub coordinators: Arc<Coordinators>,
    /// Partitions.
    pub directory: Arc<Directory>,
    /// Topics by name.
    pub images: Arc<Images>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl LagReader {
    /// Looks now and then, for ever.
    pub async fn run(self, lags: Arc<GroupLags>) {
        loop {
            self.look(&lags).await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Looks at every group.
    async fn look(&self, lags: &GroupLags) {
        // While some are being loaded, what was known stays.
        let Ok(listed) = self.coordinators.list() else { return };
        let mut states: BTreeMap<&'static str, usize> = STATES.iter().map(|s| (*s, 0)).collect();
        let mut groups = BTreeMap::new();
        let mut ages = 0;
        for (n, (group, summary)) in listed.into_iter().enumerate() {
            *states.entry(label(summary.state)).or_default() += 1;
            if n < GROUPS_MAX {
                let topics = self.of_group(&group, &mut ages).await;
                groups.insert(group, topics);
            }
        }
        lags.replace(groups, states);
    }

    async fn of_group(&self, group: &str, ages: &mut usize) -> BTreeMap<String, Lag> {
        let answer = self.coordinators.ask(group, |t| Input::FetchOffsets(t, None, None)).await;
        let Ok(Answer::Offsets(_, topics)) = answer else { return BTreeMap::new() };
        let image = self.images.current();
        let mut out = BTreeMap::new();
        for (topic, partitions) in topics {
            let Some(known) = image.topic(&topic) else { continue };
            let mut lag = Lag::default();
            for (partition, value) in partitions {
                let id = TopicPartition { topic: known.id, partition };
                let Some((value, handle)) = value.zip(self.directory.get(id)) else { continue };
                let view = handle.view();
                let from = value.offset.max(view.log_start);
                let Ok(behind @ 1..) = u64::try_from(view.high_watermark.saturating_sub(from)) else {
                    continue;
                };
                lag.records += behind;
                if *ages < AGES_MAX {
                    *ages += 1;
                    lag.seconds = lag.seconds.max(self.age(&handle, from, view.high_watermark).await);
                }
            }
            out.insert(topic, lag);
        }
        out
    }

    /// Seconds since the record at this offset was written.
    async fn age(&self, handle: &PartitionHandle, from: Offset, until: Offset) -> f64 {
        let Ok(slices) = handle.read(from, until, 1).await else { return 0.0 };
        let Some(Ok(head)) = slices.parts.first().map(|part| head(part)) else { return 0.0 };
        let written = if head.is_log_append_time() { head.max_timestamp } else { head.base_timestamp };
        match self.clock.now().wall.0.saturating_sub(written) {
            age if written >= 0 && age > 0 => age as f64 / 1000.0,
            _ => 0.0,
        }
    }
}
