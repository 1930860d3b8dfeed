//! The part of an image that a client is told: the nodes that it can reach, and the leaders.
//!
//! ```text
//!   node       unfenced, and with a listener of the name that the client came by    ─> listed with that address
//!   partition  its leader is such a node ─> the leader    is fenced or unknown      ─> LEADER_NOT_AVAILABLE
//!                                                         has no such listener      ─> LISTENER_NOT_FOUND
//! ```
//! This is Kafka's `KRaftMetadataCache`. A leader that the image has not replaced yet may be fenced here; a client that
//! was sent there would only wait. This file knows names of listeners, and no address of its own node.

use super::broker::Broker;
use super::image::Image;
use super::partition::Partition;
use crate::error::ErrorCode;
use crate::ids::BrokerId;

/// An image, as a client sees it that came to node `me` by the listener of this name.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    pub image: &'a Image,
    pub listener: &'a str,
    pub me: BrokerId,
}

impl<'a> Told<'a> {
    /// Whether a node has a listener of that name. The client has reached this one by it.
    fn has_listener(&self, broker: &Broker) -> bool {
        broker.id == self.me || broker.listeners.iter().any(|listener| listener.name == self.listener)
    }

    /// The nodes with such a listener, fenced ones too.
    pub fn registered(self) -> impl Iterator<Item = &'a Broker> {
        self.image.brokers.values().filter(move |broker| self.has_listener(broker))
    }

    /// The nodes that the client can reach and use.
    pub fn live(self) -> impl Iterator<Item = &'a Broker> {
        self.registered().filter(|broker| !broker.fenced)
    }

    /// A node by its id, if the client can reach and use it.
    #[must_use]
    pub fn node(self, id: BrokerId) -> Option<&'a Broker> {
        self.image.brokers.get(&id).filter(|broker| !broker.fenced && self.has_listener(broker))
    }

    /// The node that takes questions to the controller: this one, because it forwards them; while it is fenced, any
    /// live one. −1 if there is none.
    #[must_use]
    pub fn controller(self) -> BrokerId {
        let live = || self.live().next();
        self.node(self.me).or_else(live).map_or(-1, |broker| broker.id)
    }

    /// The leader of a partition, or why the client is told none.
    pub fn leader(self, p: &Partition) -> Result<&'a Broker, ErrorCode> {
        match self.image.brokers.get(&p.leader) {
            Some(broker) if broker.fenced => Err(ErrorCode::LeaderNotAvailable),
            Some(broker) if self.has_listener(broker) => Ok(broker),
            Some(_) => Err(ErrorCode::ListenerNotFound),
            None => Err(ErrorCode::LeaderNotAvailable),
        }
    }

    /// The replicas of a partition that the client cannot reach.
    #[must_use]
    pub fn offline(self, p: &Partition) -> Vec<BrokerId> {
        p.replicas.iter().copied().filter(|id| self.node(*id).is_none()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::broker::Listener;
    use super::*;

    fn broker(id: BrokerId, fenced: bool, names: &[&str]) -> (BrokerId, Broker) {
        let listener = |name: &&str| Listener { name: (*name).to_owned(), ..Listener::plaintext("h", 1) };
        let listeners = names.iter().map(listener).collect();
        (id, Broker { id, fenced, listeners, ..Broker::default() })
    }

    /// Node 1 is this one, 2 has both listeners, 3 is fenced, 4 has only the other listener, 5 is not registered.
    fn image() -> Image {
        let brokers = [broker(1, false, &["IN"]), broker(2, false, &["IN", "OUT"]), broker(3, true, &["IN"])];
        let fourth = broker(4, false, &["OUT"]);
        Image { brokers: brokers.into_iter().chain([fourth]).collect(), ..Image::default() }
    }

    #[test]
    fn nodes_are_those_that_live_and_have_the_listener() {
        let image = image();
        let told = |listener, me| Told { image: &image, listener, me };
        let ids = |told: Told<'_>| told.live().map(|broker| broker.id).collect::<Vec<_>>();
        assert_eq!(ids(told("IN", 1)), [1, 2]);
        assert_eq!(ids(told("OUT", 1)), [1, 2, 4], "the client came to node 1 by it");
        assert_eq!(ids(told("IN", 3)), [1, 2]);
        assert_eq!(told("IN", 1).registered().map(|broker| broker.id).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(told("IN", 2).controller(), 2);
        assert_eq!(told("IN", 3).controller(), 1, "a fenced node names another");
        assert_eq!(Told { image: &Image::default(), listener: "IN", me: 1 }.controller(), -1);
    }

    #[test]
    fn a_leader_is_told_if_the_client_can_use_it() {
        let image = image();
        let told = Told { image: &image, listener: "IN", me: 1 };
        let led = |leader| {
            let p = Partition { leader, ..Partition::new(vec![1, 3, 4, 5], vec![1]) };
            told.leader(&p).map(|broker| broker.id)
        };
        assert_eq!((led(1), led(2)), (Ok(1), Ok(2)));
        for none in [-1, 3, 5] {
            assert_eq!(led(none), Err(ErrorCode::LeaderNotAvailable), "{none}");
        }
        assert_eq!(led(4), Err(ErrorCode::ListenerNotFound));
        assert_eq!(told.offline(&Partition::new(vec![1, 3, 4, 5, 2], vec![])), [3, 4, 5]);
    }
}
