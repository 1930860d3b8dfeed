//! How far a committed change has spread over the nodes, as a port: a client that is told of it may ask any node next.
//!
//! Kafka answers an admin call when the change is committed, and another broker learns of it a little later. Callers here
//! wait for the other nodes too, for a bounded time.

use crate::images::Images;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// The nodes that serve the metadata log.
pub trait Spread: Send + Sync + 'static {
    /// Waits until every unfenced node serves everything up to this index. False: some node did not in time.
    fn served(&self, index: u64, within: Duration) -> BoxFuture<'_, bool>;
}

/// A node that is alone.
impl Spread for Images {
    fn served(&self, index: u64, within: Duration) -> BoxFuture<'_, bool> {
        Box::pin(async move { tokio::time::timeout(within, Images::served(self, index)).await.is_ok() })
    }
}
