//! One dial: candidates one after the other, until one proves to be the node that was meant.
//!
//! ```text
//!   HOST:PORT … ── resolved, both families ──> last good one first ──> handshake ≤ 1 s ──> hello ──> the node, or the next
//! ```
//! An address that leads to another node is no failure of the dial: addresses are swapped and reused. The words of all
//! candidates come back if none does. Pauses between dials are made in `slot.rs`.

use super::hello::{self, Failed, Kind, Met};
use super::keys::NAME;
use super::metrics;
use super::refusal::By;
use super::settings;
use super::shared::Shared;
use callboard_core::NodeUuid;
use quinn::{ClientConfig, Connection};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// Time for the handshake with one address.
const HANDSHAKE: Duration = Duration::from_secs(1);
/// Time for the resolver.
const RESOLVING: Duration = Duration::from_secs(2);
/// Addresses that one dial tries at most.
const MOST: usize = 16;

/// The candidates of a dial, and the node that one of them has to be.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub addresses: Vec<String>,
    /// The node that has to be there, if one is meant.
    pub expected: Option<NodeUuid>,
    /// The address that proved the node last.
    pub first: Option<SocketAddr>,
}

/// A connection whose hello is over.
pub(super) struct Reached {
    pub connection: Connection,
    pub met: Met,
    pub address: SocketAddr,
}

/// Dials until one candidate is the node.
pub(super) async fn reach(shared: &Shared, target: &Target, kind: Kind) -> Result<Reached, String> {
    let (candidates, mut failures) = resolve(target).await;
    for address in candidates {
        match attempt(shared, address, kind, target.expected).await {
            Ok((connection, met)) => {
                metrics::dialled(name(kind), "ok");
                return Ok(Reached { connection, met, address });
            }
            Err(failed) => {
                let result = match &failed {
                    Failed::Refused(refusal) => {
                        shared.refusals.note(By::Us, address, refusal);
                        "refused"
                    }
                    Failed::Told(refusal) => {
                        shared.refusals.note(By::Peer, address, refusal);
                        "refused"
                    }
                    Failed::Lost(_) => "failed",
                };
                metrics::dialled(name(kind), result);
                failures.push(format!("{address}: {failed}"));
            }
        }
    }
    Err(match failures.is_empty() {
        true => "no address of the node is known".to_owned(),
        false => failures.join("; "),
    })
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Control => "control",
        Kind::Data { .. } => "data",
    }
}

async fn attempt(
    shared: &Shared,
    address: SocketAddr,
    kind: Kind,
    expected: Option<NodeUuid>,
) -> Result<(Connection, Met), Failed> {
    let mut config = ClientConfig::new(shared.tls.clone());
    config.transport_config(settings::dialled(kind));
    let lost = |error: &dyn std::fmt::Display| Failed::Lost(error.to_string());
    let connecting = shared.endpoint.connect_with(config, address, NAME).map_err(|error| lost(&error))?;
    let connection = match timeout(HANDSHAKE, connecting).await {
        Ok(connected) => connected.map_err(|error| Failed::of(&error))?,
        Err(_) => return Err(Failed::Lost("no answer within a second".to_owned())),
    };
    let greeting = shared.greeter().dialled(&connection, kind, expected);
    let met = match timeout(hello::LIMIT, greeting).await {
        Ok(met) => met?,
        Err(_) => return Err(Failed::Lost("no hello in time".to_owned())),
    };
    settings::trust(&connection, kind);
    Ok((connection, met))
}

/// Addresses in the order to try, and the words about names without any.
async fn resolve(target: &Target) -> (Vec<SocketAddr>, Vec<String>) {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in &target.addresses {
        match timeout(RESOLVING, tokio::net::lookup_host(name.as_str())).await {
            Ok(Ok(addresses)) => found.extend(addresses),
            Ok(Err(error)) => failures.push(format!("{name}: {error}")),
            Err(_) => failures.push(format!("{name}: the resolver does not answer")),
        }
    }
    (ordered(found, target.first), failures)
}

/// The last good address first, if the names still lead to it; none twice.
fn ordered(found: Vec<SocketAddr>, first: Option<SocketAddr>) -> Vec<SocketAddr> {
    let mut candidates: Vec<SocketAddr> = first.into_iter().filter(|first| found.contains(first)).collect();
    for address in found {
        if candidates.len() < MOST && !candidates.contains(&address) {
            candidates.push(address);
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_good_address_is_tried_first_and_none_twice() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(ordered(vec![at(1), at(2), at(1)], Some(at(2))), [at(2), at(1)]);
        assert_eq!(ordered(vec![at(1)], Some(at(9))), [at(1)], "the name leads elsewhere now");
        assert_eq!(ordered((0..100).map(at).collect(), None).len(), MOST);
    }
}
