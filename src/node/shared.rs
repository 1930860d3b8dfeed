//! What the actors and the front-end share. The actors write it; a request reads it without asking an actor.

use super::machine::Fitted;
use crate::config::Config;
use callboard_actors::clock::{Clock, SystemClock};
use callboard_actors::cluster::ClusterArgs;
use callboard_actors::controller::ControllerHandle;
use callboard_actors::directory::Directory;
use callboard_actors::group::{Coordinators, CoordinatorsArgs};
use callboard_actors::images::Images;
use callboard_actors::node::{NodeArgs, NodeIdentity};
use callboard_actors::partition::TailBudget;
use callboard_actors::ports::{OpenLog, Shard};
use callboard_core::coordinator::CoordinatorConfig;
use callboard_core::metadata::TopicDefaults;
use callboard_core::metadata::configs::Statics;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Handles of what the actors publish, and of what every part reads.
pub(super) struct Shared {
    pub directory: Arc<Directory>,
    pub images: Arc<Images>,
    pub tails: Arc<TailBudget>,
    pub coordinators: Arc<Coordinators>,
    pub clock: Arc<dyn Clock>,
    pub statics: Arc<Statics>,
}

impl Shared {
    pub fn new(fitted: &Fitted, node_id: i32, ports: &[u16]) -> Shared {
        Shared {
            statics: Arc::new(fitted.config.statics(node_id, ports)),
            directory: Arc::default(),
            images: Arc::default(),
            tails: Arc::new(TailBudget::new(fitted.budgets.tail)),
            coordinators: Arc::default(),
            clock: Arc::new(SystemClock::default()),
        }
    }

    /// Takes the id that the node got in its cluster, after the start.
    pub fn of_node(&mut self, fitted: &Fitted, node_id: i32, ports: &[u16]) {
        self.statics = Arc::new(fitted.config.statics(node_id, ports));
    }

    /// What the root actor starts with. It sends on `ready` when everything recovered is served.
    pub fn args(
        &self,
        config: &Config,
        identity: NodeIdentity,
        shards: Vec<Result<Arc<dyn Shard>, String>>,
        log: OpenLog,
        cluster: Option<ClusterArgs>,
        ready: oneshot::Sender<(ControllerHandle, u64)>,
    ) -> NodeArgs {
        let coordinators = CoordinatorsArgs {
            directory: Arc::clone(&self.directory),
            images: Arc::clone(&self.images),
            clock: Arc::clone(&self.clock),
            coordinators: Arc::clone(&self.coordinators),
            groups: config.groups.machine(),
            config: CoordinatorConfig {
                rewrite_bytes: config.groups.offsets_rewrite_bytes,
                ..CoordinatorConfig::default()
            },
        };
        NodeArgs {
            identity,
            shards,
            log,
            clock: Arc::clone(&self.clock),
            directory: Arc::clone(&self.directory),
            images: Arc::clone(&self.images),
            tails: Arc::clone(&self.tails),
            defaults: TopicDefaults {
                partitions: config.topics.num_partitions,
                statics: Arc::clone(&self.statics),
            },
            coordinators,
            cluster,
            ready,
        }
    }
}
