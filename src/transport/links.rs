//! Questions to other nodes: by broker id to members, by address to nodes that are no members yet.
//!
//! ```text
//!   call(3, …)            member 3 = uuid, addresses ──> slot of 3, or a link by address with that uuid ──> ask
//!   call(3, Heartbeat)    the same, and at once over each link that 3 dialled; the first answer counts (R45)
//!   call_at(a:7946, …)    slot of the address ──> ask; the answer comes with the one who gave it
//!   call(self, …)         the desk of this node, no socket
//! ```
//! Nothing here retries: who asks knows whether asking twice can matter.

use super::dial::Target;
use super::gate::Member;
use super::link::Link;
use super::metrics;
use super::question;
use super::shared::Shared;
use super::slot::Slot;
use bytes::Bytes;
use callboard_actors::ports::{CallError, Caller, Service};
use callboard_core::{BrokerId, NodeUuid};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Slots of addresses at most. Seeds and joining nodes are asked by address, and those are few.
const ADDRESSES: usize = 64;

/// The links that this node dials.
pub(super) struct Links {
    shared: Arc<Shared>,
    members: Mutex<HashMap<BrokerId, Arc<Slot>>>,
    addresses: Mutex<HashMap<String, Arc<Slot>>>,
}

impl Links {
    pub(super) fn new(shared: Arc<Shared>) -> Links {
        Links { shared, members: Mutex::default(), addresses: Mutex::default() }
    }

    /// Asks a member; with a heartbeat, over each link that there is.
    pub(super) async fn call(
        &self,
        to: BrokerId,
        service: Service,
        question: Bytes,
        within: Duration,
    ) -> Result<Bytes, CallError> {
        let until = Instant::now() + within;
        let answer = self.ask(to, service, question, until).await;
        metrics::called(service, &answer);
        answer
    }

    async fn ask(
        &self,
        to: BrokerId,
        service: Service,
        question: Bytes,
        until: Instant,
    ) -> Result<Bytes, CallError> {
        check(service, &question)?;
        let own = self.shared.gate.hello().uuid;
        if self.shared.gate.broker_of(own) == Some(to) {
            return self.ask_self(own, to, service, question, until).await;
        }
        let member = self.member(to)?;
        let links = match service {
            Service::Heartbeat => self.shared.registry.accepted_of(member.uuid),
            _ => Vec::new(),
        };
        if links.is_empty() {
            return self.ask_dialled(to, &member, service, question, until).await;
        }
        let mut asked: FuturesUnordered<_> =
            links.iter().map(|link| boxed(link.ask(service, question.clone(), until))).collect();
        asked.push(boxed(self.ask_dialled(to, &member, service, question, until)));
        let mut failure = None;
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => failure = Some(graver(failure, error)),
            }
        }
        Err(failure.unwrap_or_else(|| CallError::NotSent("no link".to_owned())))
    }

    async fn ask_dialled(
        &self,
        to: BrokerId,
        member: &Member,
        service: Service,
        question: Bytes,
        until: Instant,
    ) -> Result<Bytes, CallError> {
        let target = Target { addresses: member.addresses.clone(), expected: Some(member.uuid), first: None };
        let slot = slot(&self.members, to);
        let known = slot.up(Some(member.uuid)).or_else(|| self.by_uuid(member.uuid));
        let link = match known {
            Some(link) => link,
            None => self.dialled(&slot, target, until).await?,
        };
        link.ask(service, question, until).await
    }

    /// Asks whoever is at an address, or the node that is expected there.
    pub(super) async fn call_at(
        &self,
        address: &str,
        expected: Option<NodeUuid>,
        service: Service,
        question: Bytes,
        within: Duration,
    ) -> Result<(Caller, Bytes), CallError> {
        let until = Instant::now() + within;
        let answer = self.ask_at(address, expected, service, question, until).await;
        metrics::called(service, &answer);
        answer
    }

    async fn ask_at(
        &self,
        address: &str,
        expected: Option<NodeUuid>,
        service: Service,
        question: Bytes,
        until: Instant,
    ) -> Result<(Caller, Bytes), CallError> {
        check(service, &question)?;
        let target = Target { addresses: vec![address.to_owned()], expected, first: None };
        let slot = self.at(address);
        let link = self.dialled(&slot, target, until).await?;
        let answer = link.ask(service, question, until).await?;
        let caller = Caller {
            uuid: link.uuid(),
            key_hash: link.met.key_hash.clone(),
            broker: self.shared.gate.broker_of(link.uuid()),
            epoch: link.met.epoch,
        };
        Ok((caller, answer))
    }

    /// Where a data connection to a member is dialled.
    pub(super) fn target(&self, to: BrokerId) -> Result<Target, CallError> {
        let Member { uuid, addresses } = self.member(to)?;
        let first = slot(&self.members, to).last();
        Ok(Target { addresses, expected: Some(uuid), first })
    }

    fn member(&self, to: BrokerId) -> Result<Member, CallError> {
        self.shared.gate.member(to).ok_or_else(|| {
            self.members.lock().remove(&to);
            CallError::NotSent(format!("node {to} is not known here"))
        })
    }

    fn by_uuid(&self, uuid: NodeUuid) -> Option<Arc<Link>> {
        self.addresses.lock().values().find_map(|slot| slot.up(Some(uuid)))
    }

    fn at(&self, address: &str) -> Arc<Slot> {
        let mut addresses = self.addresses.lock();
        if addresses.len() >= ADDRESSES && !addresses.contains_key(address) {
            addresses.retain(|_, slot| !slot.is_idle());
        }
        Arc::clone(addresses.entry(address.to_owned()).or_default())
    }

    async fn dialled(
        &self,
        slot: &Arc<Slot>,
        target: Target,
        until: Instant,
    ) -> Result<Arc<Link>, CallError> {
        match timeout_at(until, slot.link(&self.shared, target)).await {
            Ok(link) => link.map_err(CallError::NotSent),
            Err(_) => Err(CallError::NotSent("the dial takes longer than the question may".to_owned())),
        }
    }

    async fn ask_self(
        &self,
        uuid: NodeUuid,
        broker: BrokerId,
        service: Service,
        question: Bytes,
        until: Instant,
    ) -> Result<Bytes, CallError> {
        let key_hash = self.shared.key_hash.clone();
        let caller = Caller { uuid, key_hash, broker: Some(broker), epoch: self.shared.gate.epoch() };
        match timeout_at(until, self.shared.desk.serve(caller, service, question)).await {
            Ok(answer) => answer.map_err(CallError::Refused),
            Err(_) => Err(CallError::Lost("this node did not answer itself in time".to_owned())),
        }
    }
}

fn slot<K: Eq + Hash>(slots: &Mutex<HashMap<K, Arc<Slot>>>, key: K) -> Arc<Slot> {
    Arc::clone(slots.lock().entry(key).or_default())
}

/// One type for futures of several kinds.
fn boxed<'a>(
    asking: impl Future<Output = Result<Bytes, CallError>> + Send + 'a,
) -> futures_util::future::BoxFuture<'a, Result<Bytes, CallError>> {
    Box::pin(asking)
}

fn check(service: Service, question: &Bytes) -> Result<(), CallError> {
    question::too_long("the question", service, question.len())
        .map_or(Ok(()), |words| Err(CallError::NotSent(words)))
}

/// Of two failures the one after which more may have happened.
fn graver(first: Option<CallError>, second: CallError) -> CallError {
    match (first, second) {
        (Some(lost @ CallError::Lost(_)), _) => lost,
        (_, lost @ CallError::Lost(_)) => lost,
        (Some(refused @ CallError::Refused(_)), _) => refused,
        (_, second) => second,
    }
}
