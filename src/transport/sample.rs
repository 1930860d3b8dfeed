//! The state of the transport at the moment of a scrape: refusals so far, connections, and the way to each peer.
//!
//! `metrics.rs` names every metric. Packet size and round trip are those of a control link, since data takes the same way.

use super::link::{Link, Side};
use super::metrics::{LINKS, MTU_BYTES, REFUSALS, RTT_SECONDS};
use super::refusal::Refusals;
use callboard_actors::samples::Samples;
use std::sync::Arc;

/// Writes what is read at a scrape. `peers` are labels with links; one label may have several.
pub(super) fn write(
    refusals: &Refusals,
    connections: usize,
    peers: &[(String, Arc<Link>)],
    out: &mut Samples,
) {
    let mut series = out.family(&REFUSALS);
    for (reason, n) in refusals.counts() {
        series.add(&[("reason", reason.name())], n as f64);
    }
    let mut series = out.family(&LINKS);
    series.add(&[("kind", "control")], peers.len() as f64);
    series.add(&[("kind", "data")], connections.saturating_sub(peers.len()) as f64);
    // One link speaks for each peer: the one that this node dialled, if there is one.
    let mut one: Vec<&(String, Arc<Link>)> = peers.iter().collect();
    one.sort_by_key(|(peer, link)| (peer.as_str(), link.side == Side::Accepted));
    one.dedup_by_key(|(peer, _)| peer.as_str());
    let mut series = out.family(&MTU_BYTES);
    for (peer, link) in &one {
        let mtu = link.connection.stats().path.current_mtu;
        series.add(&[("peer", peer)], f64::from(mtu));
    }
    let mut series = out.family(&RTT_SECONDS);
    for (peer, link) in &one {
        series.add(&[("peer", peer)], link.connection.rtt().as_secs_f64());
    }
}
