//! The store at the moment of a scrape: a number for each gauge of `metrics.rs`.
//!
//! Gauges are read when somebody asks and are recorded nowhere, so an idle store spends nothing on them.

use crate::storage::metrics::{BY_SHARD, QUEUE_MAX, QUEUED, SHARD_UP};
use crate::storage::readers::Readers;
use crate::storage::shard::handle::ShardHandle;
use callboard_actors::ports::Admission;
use callboard_actors::samples::Samples;
use callboard_core::limits;
use std::sync::Arc;

/// Samples every shard that was opened, those that are lost by their number, and the readers.
pub fn sample(shards: &[Arc<ShardHandle>], lost: &[u16], readers: &Readers, out: &mut Samples) {
    let name = |shard: &Arc<ShardHandle>| shard.index().to_string();
    let mut up = out.family(&SHARD_UP);
    for shard in shards {
        up.add(&[("shard", &name(shard))], if shard.fault().is_none() { 1.0 } else { 0.0 });
    }
    for shard in lost {
        up.add(&[("shard", &shard.to_string())], 0.0);
    }
    let samples: Vec<_> = shards.iter().map(|shard| (name(shard), shard.sample())).collect();
    for (family, of) in &BY_SHARD {
        let mut series = out.family(family);
        for (shard, sample) in &samples {
            series.add(&[("shard", shard)], of(sample));
        }
    }
    out.one(&QUEUED, readers.queued() as f64);
    out.one(&QUEUE_MAX, limits::READ_QUEUE as f64);
}
