//! One request as its API sees it: the client, what it can reach, and how it answers or refuses.
//!
//! `Call` goes into the handler of each API, which gives an `Outcome`. It decides nothing about topics or records.

use crate::kafka::context::Context;
use crate::kafka::metrics::{self, Apart, Request};
use crate::kafka::wire::api::ApiKey;
use crate::kafka::wire::{Message, RequestHeader, frame_response};
use callboard_actors::permit::Permit;
use callboard_actors::ports::Part;
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{Broker, Image, Listener, Refusal, Told};
use callboard_core::{ErrorCode, limits};
use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The client of a connection.
#[derive(Clone, Debug)]
pub struct Client {
    pub peer: SocketAddr,
    /// The address of this node that it connected to.
    pub local: Option<SocketAddr>,
    /// The name of the listener that it came by.
    pub listener: Arc<str>,
    /// Whether the log has a line of its first request for transactions.
    pub transactions_refused: Arc<AtomicBool>,
}

/// How a request ends.
pub enum Outcome {
    /// The pieces of the answer, with the permit for their bytes.
    Reply(Vec<Part>, Permit),
    /// The client asked for no answer (acks = 0).
    Nothing,
    /// The connection closes, because the client asked for no answer (acks = 0) and the request was refused.
    HangUp,
    /// The connection closes, for this reason.
    Close(String),
}

/// A request that was dispatched, and the future of its answer.
pub struct Pending {
    pub request: Request,
    pub answer: BoxFuture<'static, Outcome>,
    /// Whether the answer depends on other clients; a node that ends does not await it.
    pub waits_for_others: bool,
}

pub(super) struct Call {
    pub context: Arc<Context>,
    pub client: Client,
    pub api: ApiKey,
    pub header: RequestHeader,
    pub apart: Apart,
}

impl Call {
    pub(super) fn version(&self) -> i16 {
        self.header.api_version
    }

    pub(super) fn reply(&self, body: &impl Message, charged: Permit) -> Outcome {
        match frame_response(self.api, self.version(), self.header.correlation_id, body) {
            Ok(pieces) => Outcome::Reply(pieces, charged),
            Err(error) => Outcome::Close(format!("an answer could not be written: {error}")),
        }
    }

    /// The outcomes of a change of `n` things, one for each.
    pub(super) fn altered(&self, said: Said, n: usize) -> Vec<Result<(), Refusal>> {
        match said {
            Said::Altered(outcomes, _) => outcomes,
            other => vec![Err(other.refusal()); n],
        }
    }

    /// The time that the client gives a change. Like Kafka, a change without time is refused.
    pub(super) fn time_for(timeout_ms: i32) -> Result<Duration, Refusal> {
        match u64::try_from(timeout_ms) {
            Ok(ms @ 1..) => Ok(Duration::from_millis(ms)),
            _ => {
                let message = "nothing was changed in no time: ask with a timeout above 0".to_owned();
                Err(Refusal { code: ErrorCode::RequestTimedOut, message })
            }
        }
    }

    /// An image as this client is told of it.
    pub(super) fn told<'a>(&'a self, image: &'a Image) -> Told<'a> {
        Told { image, listener: &self.client.listener, me: self.context.settings.broker_id }
    }

    /// The address of a broker for this client, under the name of the listener that it came by. Another broker
    /// without such a listener has none, as in Kafka, because its other addresses belong to other networks. This
    /// node's own address is the advertised one, or the one that the client reached.
    pub(super) fn address_of(&self, broker: &Broker) -> Option<(String, u16)> {
        let (settings, name) = (&self.context.settings, &*self.client.listener);
        let under = |listeners: &[Listener]| {
            let found = listeners.iter().find(|listener| listener.name == name);
            found.map(|listener| (listener.host.clone(), listener.port))
        };
        if broker.id != settings.broker_id {
            return under(&broker.listeners);
        }
        let reached = self.client.local.map(|local| (local.ip().to_canonical().to_string(), local.port()));
        under(&settings.advertised).or(reached).or_else(|| under(&broker.listeners))
    }

    /// Counts a refusal and logs it, with client and reason.
    pub(super) fn refused(&self, code: ErrorCode, what: &str, why: &str) {
        let client = format!("{} {}", self.client.peer, self.header.client_id.as_deref().unwrap_or("-"));
        self.context.refusals.note(self.api.name(), code, &client, what, why);
    }

    /// Refuses a transactional id. librdkafka asks twice, so the log gets one line for each connection.
    pub(super) fn refused_transactions(&self, id: &str) {
        let (code, why) = NO_TRANSACTIONS;
        match self.client.transactions_refused.swap(true, Ordering::Relaxed) {
            true => metrics::refused(self.api.name(), code.code()),
            false => self.refused(code, id, why),
        }
    }
}

/// Ends a transactional producer at once, in words that it shows. Java, librdkafka and franz-go repeat a request on
/// any code that Kafka calls retriable. librdkafka repeats it on all codes but this one and
/// `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`, with which Java does not show the words.
pub(super) const NO_TRANSACTIONS: (ErrorCode, &str) = (
    ErrorCode::ClusterAuthorizationFailed,
    "transactions are not served by this broker yet: leave transactional.id out",
);

/// `throttle_time_ms`: the time that the request or its answer waited for memory.
pub(super) fn throttle_ms(api: ApiKey, waited: Duration) -> i32 {
    let ms = waited.as_millis().min(u128::from(limits::THROTTLE_MS_MAX)) as i32;
    if ms > 0 {
        metrics::throttled(api.name());
    }
    ms
}
