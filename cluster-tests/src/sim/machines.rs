//! The machines of one process that are not replicas: the node, the controller, the judge of sessions, the proposer.

use std::sync::Arc;

use callboard_core::metadata::configs::Statics;
use callboard_core::metadata::{ControllerMachine, ProposalId, TopicDefaults};
use callboard_core::node::proposer::IsrProposer;
use callboard_core::node::{Found, NodeMachine};
use callboard_core::sessions::Sessions;
use callboard_core::{BrokerId, DirectoryId};

use crate::sim::options::Options;

const HOUR_MS: u64 = 3_600_000;

/// The machines of each node beside its replicas.
pub struct Machines {
    pub node: NodeMachine,
    pub controller: ControllerMachine,
    pub sessions: Sessions,
    pub proposer: IsrProposer,
}

impl Machines {
    /// The machines of a process that has just started. `first` is the number of its first proposal to the metadata log.
    #[must_use]
    pub fn new(
        id: BrokerId,
        first: u64,
        (directory, shard): (DirectoryId, u16),
        found: Vec<Found>,
        options: &Options,
    ) -> Machines {
        let lost = (0..shard).map(|_| Err("its journal is gone".to_owned()));
        let shards = lost.chain([Ok(())]).collect();
        let expiration = if options.expire { HOUR_MS } else { 24 * HOUR_MS };
        let values = [
            ("replica.lag.time.max.ms", options.lag_max_ms.to_string()),
            ("producer.id.expiration.ms", expiration.to_string()),
        ];
        let statics = Arc::new(Statics::new(values));
        let defaults = TopicDefaults { partitions: 1, statics: Arc::clone(&statics) };
        Machines {
            node: NodeMachine::new((id, Some(directory)), statics, shards, found),
            controller: ControllerMachine::new(ProposalId { node: id, number: first }, defaults),
            sessions: Sessions::new(id),
            proposer: IsrProposer::new(id),
        }
    }
}
