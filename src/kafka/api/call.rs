//! One request as its API sees it: who asks, what it can reach, and how it answers or refuses.

use crate::kafka::context::Context;
use crate::kafka::metrics::{self, Apart, Request};
use crate::kafka::wire::api::ApiKey;
use crate::kafka::wire::{Message, RequestHeader, frame_response};
use callboard_actors::permit::Permit;
use callboard_actors::ports::Part;
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{Broker, Refusal};
use callboard_core::{ErrorCode, limits};
use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub peer: SocketAddr,
    /// The address it reached us at.
    pub local: Option<SocketAddr>,
    /// The log has a line of its asking for transactions.
    pub transactions_refused: Arc<AtomicBool>,
}

/// What becomes of a request.
pub enum Outcome {
    /// These pieces are sent; the permit is for their bytes.
    Reply(Vec<Part>, Permit),
    /// Nothing is sent (acks = 0).
    Nothing,
    /// The connection is closed: the refusal, already logged, has no other answer (acks = 0).
    HangUp,
    /// The connection is closed.
    Close(String),
}

/// An answer to come.
pub struct Pending {
    /// The request, for the meters.
    pub request: Request,
    /// The answer.
    pub answer: BoxFuture<'static, Outcome>,
    /// It may come only when other clients do something: it is not awaited when the node ends.
    pub waits_for_others: bool,
}

/// One request's facts.
pub(super) struct Call {
    pub context: Arc<Context>,
    pub client: Client,
    pub api: ApiKey,
    pub header: RequestHeader,
    /// Time that is not its own work.
    pub apart: Apart,
}

impl Call {
    pub(super) fn version(&self) -> i16 {
        self.header.api_version
    }

    /// Frames a response.
    pub(super) fn reply(&self, body: &impl Message, charged: Permit) -> Outcome {
        match frame_response(self.api, self.version(), self.header.correlation_id, body) {
            Ok(pieces) => Outcome::Reply(pieces, charged),
            Err(error) => Outcome::Close(format!("an answer could not be written: {error}")),
        }
    }

    /// What the controller answered to a change of `n` things, each by itself.
    pub(super) fn altered(&self, said: Said, n: usize) -> Vec<Result<(), Refusal>> {
        match said {
            Said::Altered(outcomes, _) => outcomes,
            Said::Failed(refusal) => vec![Err(refusal); n],
            _ => {
                let message = "the controller gave no answer: ask again".to_owned();
                vec![Err(Refusal { code: ErrorCode::UnknownServerError, message }); n]
            }
        }
    }

    /// How long a change may take. Like Kafka: one whose time is over before it begins is not made.
    pub(super) fn time_for(timeout_ms: i32) -> Result<Duration, Refusal> {
        match u64::try_from(timeout_ms) {
            Ok(ms @ 1..) => Ok(Duration::from_millis(ms)),
            _ => {
                let message = "nothing was changed in no time: ask with a timeout above 0".to_owned();
                Err(Refusal { code: ErrorCode::RequestTimedOut, message })
            }
        }
    }

    /// Where the client reaches a broker: this node by what it is advertised as, or by the address the client came to;
    /// the others by what they registered.
    pub(super) fn address_of(&self, broker: &Broker) -> (String, u16) {
        let settings = &self.context.settings;
        match (&settings.advertised, self.client.local) {
            (None, Some(local)) if broker.id == settings.broker_id => (local.ip().to_string(), local.port()),
            _ => (broker.host.clone(), broker.port),
        }
    }

    /// Counts and logs a refusal.
    pub(super) fn refused(&self, code: ErrorCode, what: &str, why: &str) {
        let client = format!("{} {}", self.client.peer, self.header.client_id.as_deref().unwrap_or("-"));
        self.context.refusals.note(self.api.name(), code, &client, what, why);
    }

    /// The same of a transactional id. librdkafka asks twice: the log gets one line a connection.
    pub(super) fn refused_transactions(&self, id: &str) {
        let (code, why) = NO_TRANSACTIONS;
        match self.client.transactions_refused.swap(true, Ordering::Relaxed) {
            true => metrics::refused(self.api.name(), code.code()),
            false => self.refused(code, id, why),
        }
    }
}

/// The refusal that ends a transactional producer at once, in words that it shows. Java, librdkafka and franz-go ask again on any
/// code that Kafka calls retriable, librdkafka on all but two: this one and `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`,
/// with which Java does not show the words.
pub(super) const NO_TRANSACTIONS: (ErrorCode, &str) = (
    ErrorCode::ClusterAuthorizationFailed,
    "transactions are not served by this broker yet: leave transactional.id out",
);

/// `throttle_time_ms`: how long the request or its answer was kept waiting for memory.
pub(super) fn throttle_ms(api: ApiKey, waited: Duration) -> i32 {
    let ms = waited.as_millis().min(u128::from(limits::THROTTLE_MS_MAX)) as i32;
    if ms > 0 {
        metrics::throttled(api.name());
    }
    ms
}
