//! The node as the console sees it: whether it serves, and the values of every component at this moment.

use super::exposed::Exposed;
use crate::console::Observed;
use crate::kafka::Context;
use crate::storage::{Readers, ShardHandle};
use crate::transport::Transport;
use crate::transport::replication::Replicator;
use crate::{kafka, storage};
use callboard_actors::group::LagReader;
use callboard_actors::lag::GroupLags;
use callboard_actors::partition::TailBudget;
use callboard_actors::ports::Admission;
use callboard_actors::samples::Samples;
use callboard_core::metadata::stops_without;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Groups whose offsets a scrape asks for at most.
const GROUPS_LOOKED_AT: usize = 2000;
/// Partitions whose oldest unread record is looked up at most.
const AGES_READ: usize = 500;

/// The parts of a running node that a scrape reads.
pub(super) struct Parts {
    pub context: Arc<Context>,
    pub shards: Vec<Arc<ShardHandle>>,
    /// Numbers of the shards that did not open.
    pub lost: Vec<u16>,
    pub readers: Arc<Readers>,
    pub tails: Arc<TailBudget>,
    pub lags: GroupLags,
    /// The connections with other nodes; none for a node that is alone.
    pub links: Option<(Arc<Transport>, Arc<Replicator>)>,
    pub each_partition: bool,
    pub exposed: Exposed,
}

/// A disk hangs if one of its syncs runs for so long.
const HUNG: Duration = Duration::from_secs(10);

impl Observed for Parts {
    fn ready(&self) -> Result<(), String> {
        for shard in &self.shards {
            let age = shard.sync_age();
            if age >= HUNG {
                let n = shard.index();
                let seconds = age.as_secs();
                return Err(format!(
                    "shard {n}: a sync has been running for {seconds} s: its disk does not answer"
                ));
            }
        }
        match self.shards.iter().find_map(|shard| shard.fault().map(|fault| (shard, fault))) {
            Some((_, fault)) if self.shards.iter().all(|shard| shard.fault().is_some()) => {
                Err(format!("no shard works any more: {fault}"))
            }
            _ => Ok(()),
        }
    }

    fn safe_to_restart(&self) -> BoxFuture<'_, Result<(), String>> {
        let context = &self.context;
        Box::pin(async move {
            let state =
                context.quorum.state().await.ok_or("the metadata log has no leader now: wait for one")?;
            let voters: Vec<_> = state.voters.iter().map(|voter| voter.id).collect();
            let (image, settings) = (context.images.current(), &context.settings);
            let reasons = stops_without(&image, settings.broker_id, &voters, &settings.statics);
            if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
        })
    }

    fn refresh(&self) -> BoxFuture<'_, ()> {
        let context = &self.context;
        Box::pin(async move {
            let reader = LagReader {
                coordinators: Arc::clone(&context.coordinators),
                directory: Arc::clone(&context.directory),
                images: Arc::clone(&context.images),
                clock: Arc::clone(&context.clock),
                groups_max: GROUPS_LOOKED_AT,
                ages_max: AGES_READ,
            };
            self.lags.replace(reader.look().await);
        })
    }

    fn sample(&self, out: &mut Samples) {
        let Parts { context, shards, lost, readers, tails, lags, links, each_partition, exposed } = self;
        kafka::sample(context, out);
        storage::scrape::sample(shards, lost, readers, out);
        let image = context.images.current();
        callboard_actors::metrics::sample(&image, &context.directory, tails, *each_partition, out);
        callboard_actors::metrics::sample_leaderless(&image, context.quorum.leads(), out);
        lags.sample(&context.coordinators, out);
        if let Some((transport, replicator)) = links {
            transport.sample(out);
            replicator.sample(out);
        }
        exposed.sample(out);
    }
}
