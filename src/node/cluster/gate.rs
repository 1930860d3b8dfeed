//! This node towards others: its hello, its judgement of theirs, and where it finds them.
//!
//! ```text
//!   own words     the forming's view (identity on disk), the granted epoch
//!   who is who    the image's brokers, and before they have registered the seats of the grant
//!   addresses     the address that a node registered, and its seed: the uuid that it proves decides
//! ```
//! `core/bootstrap/hello.rs` says whom to refuse. Nothing here is stored.

use crate::transport::{Gate, Member};
use arc_swap::ArcSwap;
use callboard_actors::cluster::{FormingMsg, FormingView};
use callboard_actors::images::Images;
use callboard_core::bootstrap::hello::{Hello, HelloRefusal, Here, Known, refuses};
use callboard_core::bootstrap::{Seat, SeedList, Stage};
use callboard_core::{BrokerEpoch, BrokerId, NodeUuid};
use ractor::ActorRef;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Version of the words between nodes.
pub(super) const PROTOCOL: u16 = 1;

/// The judgement that connections ask for, about this node and its peers.
pub(super) struct NodeGate {
    pub view: Arc<ArcSwap<FormingView>>,
    pub images: Arc<Images>,
    /// The nodes of the grant that this node gave.
    pub seats: Arc<ArcSwap<Vec<Seat>>>,
    pub seeds: SeedList,
    /// The cluster epoch that the directory knew at the start. The image says it too, once the log is open: a hello before
    /// that must not pass for one of a former epoch.
    pub cluster_epoch: u32,
    /// The granted broker epoch; 0 before there is one.
    pub epoch: Arc<AtomicU64>,
    /// The last broker epoch that this directory was granted, also in a former process.
    pub granted: Arc<AtomicU64>,
    pub forming: OnceLock<ActorRef<FormingMsg>>,
}

impl NodeGate {
    /// The nodes that founded the cluster: by its record, else by the grant.
    fn seat(&self, is: impl Fn(&Seat) -> bool) -> Option<Seat> {
        let (image, granted) = (self.images.current(), self.seats.load());
        image.seats.iter().chain(granted.iter()).find(|seat| is(seat)).cloned()
    }

    /// The last committed word about a node, and its key.
    fn known(&self, uuid: NodeUuid) -> (Option<Known>, Option<String>) {
        let image = self.images.current();
        let key = self.seat(|seat| seat.uuid == uuid).map(|seat| seat.key_hash);
        let Some(broker) = image.brokers.values().find(|broker| broker.uuid == Some(uuid)) else {
            return (None, key);
        };
        let incarnation = broker.incarnation;
        let epoch = broker.epoch;
        let known = broker.process.map(|process| Known::Registered { process, incarnation, epoch });
        (known, broker.key_hash.clone().or(key))
    }
}

impl Gate for NodeGate {
    fn hello(&self) -> Hello {
        let view = self.view.load();
        let identity = &view.identity;
        Hello {
            version: PROTOCOL,
            cluster: identity.standing.cluster().cloned(),
            cluster_epoch: u64::from(self.images.current().cluster_epoch.max(self.cluster_epoch)),
            uuid: identity.uuid,
            incarnation: identity.incarnation,
            processes: identity.processes.clone(),
            granted: self.granted.load(Ordering::Acquire),
        }
    }

    fn epoch(&self) -> Option<BrokerEpoch> {
        Some(self.epoch.load(Ordering::Acquire)).filter(|epoch| *epoch > 0)
    }

    fn judge(&self, hello: &Hello, key_hash: &str, dialled: Option<NodeUuid>) -> Result<(), HelloRefusal> {
        let own = self.hello();
        let here = Here { version: PROTOCOL, cluster: own.cluster, cluster_epoch: own.cluster_epoch };
        let (known, key) = self.known(hello.uuid);
        if let Some(refusal) = refuses(&here, hello, dialled, known) {
            return Err(refusal);
        }
        match key {
            Some(key) if key != key_hash => Err(HelloRefusal::OtherKey),
            _ => Ok(()),
        }
    }

    fn met(&self, hello: &Hello) {
        let virgin = self.view.load().identity.standing.stage() == Stage::Virgin;
        if let (true, Some(cluster), Some(forming)) = (virgin, &hello.cluster, self.forming.get()) {
            let _ = forming.cast(FormingMsg::Contacted(cluster.clone()));
        }
    }

    fn broker_of(&self, uuid: NodeUuid) -> Option<BrokerId> {
        let image = self.images.current();
        let registered = image.brokers.values().find(|broker| broker.uuid == Some(uuid));
        registered.map(|broker| broker.id).or_else(|| Some(self.seat(|seat| seat.uuid == uuid)?.place))
    }

    fn member(&self, node: BrokerId) -> Option<Member> {
        let image = self.images.current();
        let broker = image.brokers.get(&node);
        let seat = || Some(self.seat(|seat| seat.place == node)?.uuid);
        let uuid = broker.and_then(|broker| broker.uuid).or_else(seat)?;
        let mut addresses: Vec<String> = broker.and_then(|b| b.cluster_address.clone()).into_iter().collect();
        // A seed of the founding has the place of its id. Names are looked up at each dial.
        if let Some(seed) = self.seeds.at(node).filter(|seed| !addresses.contains(seed)) {
            addresses.push(seed.clone());
        }
        Some(Member { uuid, addresses })
    }
}
