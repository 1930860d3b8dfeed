//! The parts of a transport that dialling, accepting and asking have in common.
//!
//! ```text
//!   dial.rs ─┐                       ┌─> desk: questions of others
//!            ├─> a link ─> keep ─────┼─> registry: all links that are up
//!   accept.rs┘                       └─> words when it ends
//! ```
//! No part here opens a connection.

use super::data::DataAccepts;
use super::gate::Gate;
use super::hello::Greeter;
use super::link::Link;
use super::refusal::{By, Refusal, Refusals};
use super::registry::Registry;
use super::secret::Secret;
use super::serve::Desk;
use parking_lot::RwLock;
use quinn::Endpoint;
use quinn::crypto::rustls::QuicClientConfig;
use std::sync::Arc;

/// One node's transport, inside.
pub(super) struct Shared {
    pub endpoint: Endpoint,
    pub tls: Arc<QuicClientConfig>,
    pub gate: Arc<dyn Gate>,
    pub secret: Secret,
    pub key_hash: String,
    pub refusals: Refusals,
    pub registry: Registry,
    pub desk: Arc<Desk>,
    pub data: RwLock<Option<Arc<dyn DataAccepts>>>,
}

impl Shared {
    pub(super) fn greeter(&self) -> Greeter<'_> {
        Greeter { gate: &*self.gate, secret: &self.secret }
    }

    /// Serves a link until its connection ends.
    pub(super) fn keep(self: &Arc<Shared>, link: Arc<Link>) {
        if let Some(oldest) = self.registry.enter(Arc::clone(&link)) {
            oldest.close("a newer connection replaces this one");
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let end = shared.desk.attend(&link).await;
            shared.registry.leave(&link);
            match Refusal::told(&end) {
                Some(refusal) => shared.refusals.note(By::Peer, link.address(), &refusal),
                None => {
                    tracing::debug!("control connection with {} at {}: {end}", link.uuid(), link.address())
                }
            }
        });
    }
}
