//! Data links between transport and replication: the one dials and accepts them, the other runs on them.

use super::replicator::{Dial, Replicator};
use crate::transport::{DataAccepts, DataLink, Transport};
use callboard_core::BrokerId;
use futures_util::future::BoxFuture;
use quinn::Connection;
use std::sync::{Arc, Weak};

/// The way to data connections. It holds the transport weakly, because the transport holds replication.
pub struct Dialling(Weak<Transport>);

impl Dialling {
    /// The way that this transport dials.
    #[must_use]
    pub fn over(transport: &Arc<Transport>) -> Arc<Dialling> {
        Arc::new(Dialling(Arc::downgrade(transport)))
    }
}

impl Dial for Dialling {
    fn dial(
        &self,
        node: BrokerId,
        shard: u16,
        number: u64,
    ) -> BoxFuture<'static, Result<Connection, String>> {
        let transport = self.0.upgrade();
        Box::pin(async move {
            let transport = transport.ok_or("this node ends")?;
            transport.dial_data(node, shard, number).await.map_err(|error| error.to_string())
        })
    }
}

impl DataAccepts for Replicator {
    fn accepted(&self, link: DataLink) {
        let DataLink { from, shard, number, connection } = link;
        Replicator::accepted(self, from, shard, number, connection);
    }
}
