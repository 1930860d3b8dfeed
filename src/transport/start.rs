//! The transport of one node: started once, asked by all, closed last.
//!
//! ```text
//!   start: key, TLS, port, accept loop ──> serve(desk), accept_data(replication) ──> call, call_at, dial_data ──> close
//! ```
//! It answers hellos from the start, because seeds probe a node that does not serve yet. The gate judges
//! who may talk; the users of a link know the meaning of what is said.

use super::accept;
use super::data::DataAccepts;
use super::dial;
use super::endpoint::{self, EndpointError};
use super::gate::Gate;
use super::hello::Kind;
use super::keys::{KeyError, NodeKey};
use super::links::Links;
use super::refusal::{DONE, Refusals};
use super::registry::Registry;
use super::sample;
use super::secret::Secret;
use super::serve::Desk;
use super::shared::Shared;
use super::tls;
use bytes::Bytes;
use callboard_actors::ports::{CallError, Caller, Calls, Serves, Service};
use callboard_actors::samples::Samples;
use callboard_core::{BrokerId, NodeUuid};
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use quinn::VarInt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Peers are given this time to hear that the node ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where a node listens and what proves it.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// A name or an address with the UDP port.
    pub listen: String,
    pub secret: Secret,
    /// The data directory, which keeps the node's key.
    pub dir: PathBuf,
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Connections with other nodes.
pub struct Transport {
    shared: Arc<Shared>,
    links: Arc<Links>,
}

impl Transport {
    /// Takes the port and accepts from then on. It belongs into a runtime of tokio, and blocks for the key's file.
    pub fn start(config: TransportConfig, gate: Arc<dyn Gate>) -> Result<Arc<Transport>, TransportError> {
        let key = NodeKey::open(&config.dir)?;
        let tls = Arc::new(tls::client(&key).map_err(EndpointError::from)?);
        let endpoint = endpoint::bind(&config.listen, &key)?;
        let desk = Arc::new(Desk::new(Arc::clone(&gate)));
        let shared = Arc::new(Shared {
            endpoint,
            tls,
            gate,
            secret: config.secret,
            key_hash: key.hash().to_owned(),
            refusals: Refusals::default(),
            registry: Registry::default(),
            desk,
            data: RwLock::new(None),
        });
        tokio::spawn(accept::run(Arc::clone(&shared)));
        let links = Arc::new(Links::new(Arc::clone(&shared)));
        Ok(Arc::new(Transport { shared, links }))
    }

    /// The address that was taken.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.shared.endpoint.local_addr()
    }

    /// The hash of this node's certificate, in hex.
    #[must_use]
    pub fn key_hash(&self) -> &str {
        &self.shared.key_hash
    }

    /// Begins to answer questions. Before that they are refused as `starting`.
    pub fn serve(&self, serves: Arc<dyn Serves>) {
        self.shared.desk.open(serves);
    }

    /// Begins to take data connections. Before that they are refused.
    pub fn accept_data(&self, accepts: Arc<dyn DataAccepts>) {
        *self.shared.data.write() = Some(accepts);
    }

    /// Asks whoever is at an address, or the node that has to be there. The answer comes with the node that gave it.
    pub async fn call_at(
        &self,
        address: &str,
        expected: Option<NodeUuid>,
        service: Service,
        question: Bytes,
        within: Duration,
    ) -> Result<(Caller, Bytes), CallError> {
        self.links.call_at(address, expected, service, question, within).await
    }

    /// Dials a data connection for one of this node's shards. The last drop of the handle closes it.
    pub async fn dial_data(
        &self,
        node: BrokerId,
        shard: u16,
        number: u64,
    ) -> Result<quinn::Connection, CallError> {
        if self.shared.gate.epoch().is_none() {
            return Err(CallError::NotSent("this node has no broker epoch yet".to_owned()));
        }
        let target = self.links.target(node)?;
        let reached = dial::reach(&self.shared, &target, Kind::Data { shard, number }).await;
        reached.map(|reached| reached.connection).map_err(CallError::NotSent)
    }

    /// Adds what is read at a scrape.
    pub fn sample(&self, out: &mut Samples) {
        let label = |uuid| match self.shared.gate.broker_of(uuid) {
            Some(broker) => broker.to_string(),
            None => uuid.to_string(),
        };
        let links = self.shared.registry.all();
        let peers: Vec<_> = links.into_iter().map(|link| (label(link.uuid()), link)).collect();
        sample::write(&self.shared.refusals, self.shared.endpoint.open_connections(), &peers, out);
    }

    /// The last refusal of a connection, by this node or a peer, unless it was over a minute ago.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.shared.refusals.last(Instant::now())
    }

    /// Ends all connections and tells the peers.
    pub async fn close(&self) {
        self.end();
        let _ = tokio::time::timeout(FAREWELL, self.shared.endpoint.wait_idle()).await;
    }

    fn end(&self) {
        self.shared.endpoint.close(VarInt::from_u32(DONE), b"the node ends");
    }
}

impl Calls for Transport {
    fn call(
        &self,
        to: BrokerId,
        service: Service,
        question: Bytes,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let links = Arc::clone(&self.links);
        Box::pin(async move { links.call(to, service, question, within).await })
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.end();
    }
}
