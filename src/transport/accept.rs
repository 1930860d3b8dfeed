//! Accepting: a handshake and a hello in five seconds, 64 of them at once, and then the connection goes to its users.
//!
//! ```text
//!   incoming ── many in progress: prove your address first; too many: refused ──> handshake ──> hello
//!     control ──> the desk serves it        data ──> DataAccepts
//! ```
//! A stranger holds one of 64 places for five seconds and 128 KiB, and no more. `links.rs` decides which node dials.

use super::data::{DataAccepts, DataLink};
use super::hello::{self, Failed, Kind, Met};
use super::link::{Link, Side};
use super::refusal::{By, Reason, Refusal};
use super::settings;
use super::shared::Shared;
use callboard_core::Peer;
use quinn::{Connection, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Hellos in progress at most; each may take five seconds.
const HELLOS: usize = 64;
/// From here on a dialler has to show that its address is its own.
const MANY: usize = HELLOS / 2;

/// Accepts until the endpoint closes.
pub(super) async fn run(shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(HELLOS));
    while let Some(incoming) = shared.endpoint.accept().await {
        if places.available_permits() < MANY && incoming.may_retry() {
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            greet(&shared, incoming).await;
            drop(place);
        });
    }
}

async fn greet(shared: &Arc<Shared>, incoming: Incoming) {
    let address = incoming.remote_address();
    let mut open = None;
    let failed = match timeout(hello::LIMIT, accept(shared, incoming, &mut open)).await {
        Ok(Ok(())) => return,
        Ok(Err(failed)) => failed,
        Err(_) => late(open.as_ref()),
    };
    note(shared, address, &failed);
}

/// A connection without a hello; without a connection the handshake itself was late.
fn late(open: Option<&Connection>) -> Failed {
    let Some(connection) = open else { return Failed::Lost("no handshake in time".to_owned()) };
    let refusal = Refusal::new(Reason::Malformed, "no whole hello came within five seconds");
    refusal.close(connection);
    Failed::Refused(refusal)
}

fn note(shared: &Shared, address: SocketAddr, failed: &Failed) {
    match failed {
        Failed::Refused(refusal) => shared.refusals.note(By::Us, address, refusal),
        Failed::Told(refusal) => shared.refusals.note(By::Peer, address, refusal),
        Failed::Lost(words) => tracing::debug!("a connection from {address} did not come about: {words}"),
    }
}

async fn accept(
    shared: &Arc<Shared>,
    incoming: Incoming,
    open: &mut Option<Connection>,
) -> Result<(), Failed> {
    let connection = incoming.await.map_err(|error| Failed::of(&error))?;
    *open = Some(connection.clone());
    let mut data = None;
    let admit = |met: &Met| {
        data = admit(shared, met)?;
        settings::trust(&connection, met.kind);
        Ok(())
    };
    let met = shared.greeter().accepted(&connection, admit).await?;
    match data {
        Some(Data { accepts, from, shard, number }) => {
            accepts.accepted(DataLink { from, shard, number, connection });
        }
        None => shared.keep(Arc::new(Link::new(met, Side::Accepted, connection))),
    }
    Ok(())
}

struct Data {
    accepts: Arc<dyn DataAccepts>,
    from: Peer,
    shard: u16,
    number: u64,
}

/// The user of a data connection. A control connection has none, and needs no broker epoch.
fn admit(shared: &Shared, met: &Met) -> Result<Option<Data>, Refusal> {
    let Kind::Data { shard, number } = met.kind else { return Ok(None) };
    let refuse = |reason, words: &str| Err(Refusal::new(reason, words));
    let Some(broker) = shared.gate.broker_of(met.hello.uuid) else {
        return refuse(
            Reason::Unregistered,
            "this node does not know the id of the one that dials; dial again",
        );
    };
    let Some(epoch) = met.epoch else {
        return refuse(Reason::Unregistered, "data connections are dialled after registration; dial again");
    };
    let Some(accepts) = shared.data.read().clone() else {
        return refuse(Reason::Starting, "this node is starting; dial again");
    };
    Ok(Some(Data { accepts, from: Peer { broker, epoch }, shard, number }))
}
