//! A link: one control connection whose hello is over, and the questions that this node asks on it.
//!
//! ```text
//!   ask ── a stream: head, question, end ──>     <── head, answer, end ──
//!   dropped or late: the stream is reset, both ways
//! ```
//! A failure before any byte was handed to the stream is `NotSent`; each later one is `Lost`, since the question may have
//! been obeyed. Bulk questions wait for each other, because a peer takes only so many. A link redials nothing.

use super::hello::Met;
use super::message::{Broken, Inbox, Outbox};
use super::metrics;
use super::question::{self, ANSWERED, BULK, BULKS, HEAD};
use super::refusal::{DONE, plain};
use bytes::Bytes;
use callboard_actors::ports::{CallError, Service};
use callboard_core::NodeUuid;
use quinn::{Connection, VarInt};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// The side that opened a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Dialled,
    Accepted,
}

/// One proved control connection.
pub(super) struct Link {
    pub met: Met,
    pub side: Side,
    pub connection: Connection,
    bulks: Semaphore,
}

impl Link {
    pub(super) fn new(met: Met, side: Side, connection: Connection) -> Link {
        Link { met, side, connection, bulks: Semaphore::new(BULKS) }
    }

    pub(super) fn uuid(&self) -> NodeUuid {
        self.met.hello.uuid
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    pub(super) fn is_up(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    pub(super) fn close(&self, words: &str) {
        self.connection.close(VarInt::from_u32(DONE), words.as_bytes());
    }

    /// Asks one question. Dropping the future resets its stream.
    pub(super) async fn ask(
        &self,
        service: Service,
        question: Bytes,
        until: Instant,
    ) -> Result<Bytes, CallError> {
        let handed = AtomicBool::new(false);
        let words = match timeout_at(until, self.exchange(service, question, &handed)).await {
            Ok(Ok((ANSWERED, answer))) => return Ok(answer),
            Ok(Ok((_, words))) => return Err(CallError::Refused(plain(&String::from_utf8_lossy(&words)))),
            Ok(Err(words)) => words,
            Err(_) => "the time for it is over".to_owned(),
        };
        let words = format!("{} at {}: {words}", self.uuid(), self.address());
        Err(match handed.load(Ordering::Relaxed) {
            true => CallError::Lost(words),
            false => CallError::NotSent(words),
        })
    }

    async fn exchange(
        &self,
        service: Service,
        question: Bytes,
        handed: &AtomicBool,
    ) -> Result<(u8, Bytes), String> {
        let said = |broken: Broken| broken.to_string();
        let _turn = match question.len() > BULK {
            true => Some(self.bulks.acquire().await.map_err(|error| error.to_string())?),
            false => None,
        };
        let (send, recv) = self.connection.open_bi().await.map_err(|error| error.to_string())?;
        let _open = metrics::question_open();
        let (mut outbox, mut inbox) = (Outbox::new(send), Inbox::new(recv));
        if service == Service::Heartbeat {
            outbox.first();
        }
        handed.store(true, Ordering::Relaxed);
        let head = question::head(service as u8, &question);
        // A peer that refuses a long question stops reading it; its answer says why.
        let sent = outbox.send(head, question).await;
        if !matches!(sent, Ok(()) | Err(Broken::Stream(_))) {
            return sent.map(|()| (ANSWERED, Bytes::new())).map_err(said);
        }
        let (status, length) = question::of(inbox.exactly::<HEAD>().await.map_err(said)?);
        if let Some(words) = question::too_long("the answer", service, length) {
            inbox.stop();
            return Err(words);
        }
        let answer = inbox.body(length).await.map_err(said)?;
        if sent.is_ok() {
            outbox.settle();
        }
        Ok((status, answer))
    }
}
