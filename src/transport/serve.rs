//! The desk: it takes the questions that arrive on control connections, one task a stream, and answers them.
//!
//! ```text
//!   stream ──> head: service, length ──> too long, too many: refused at once, the rest is dropped
//!                                    ──> body ──> Serves ──> answer, or its refusal in words
//! ```
//! A question that may not be read yet is refused and never kept waiting: unread bytes use up the connection's window,
//! and a heartbeat behind them would not arrive. A peer that gives up its question does not stop the one who serves it,
//! because half an obeyed grant is worse than an unheard answer.

use super::gate::Gate;
use super::link::Link;
use super::message::{Broken, Inbox, Outbox};
use super::question::{self, ANSWERED, BULK, BULKS, HEAD, REFUSED, SMALL};
use bytes::Bytes;
use callboard_actors::ports::{Caller, Serves, Service};
use callboard_core::limits;
use parking_lot::RwLock;
use quinn::ConnectionError;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies above 1 MiB that all connections together may bring at once.
pub(super) const LARGE_BYTES: usize = limits::LARGE_QUESTION_BYTES;
/// Permits for them are counted in this unit, because a semaphore hands out `u32` of them.
const UNIT: usize = 1 << 10;

/// Answers the questions of others.
pub(super) struct Desk {
    gate: Arc<dyn Gate>,
    serves: RwLock<Option<Arc<dyn Serves>>>,
    large: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(gate: Arc<dyn Gate>) -> Desk {
        let large = Arc::new(Semaphore::new(LARGE_BYTES / UNIT));
        Desk { gate, serves: RwLock::new(None), large }
    }

    /// Begins to serve. Before that, every question is refused.
    pub(super) fn open(&self, serves: Arc<dyn Serves>) {
        *self.serves.write() = Some(serves);
    }

    /// Serves a link until its connection ends, and says why it did.
    pub(super) async fn attend(self: &Arc<Desk>, link: &Link) -> ConnectionError {
        let bulks = Arc::new(Semaphore::new(BULKS));
        loop {
            let (send, recv) = match link.connection.accept_bi().await {
                Ok(stream) => stream,
                Err(error) => return error,
            };
            let (outbox, inbox) = (Outbox::new(send), Inbox::new(recv));
            let (desk, bulks) = (Arc::clone(self), Arc::clone(&bulks));
            let met = &link.met;
            let caller = Caller {
                uuid: met.hello.uuid,
                key_hash: met.key_hash.clone(),
                broker: self.gate.broker_of(met.hello.uuid),
                epoch: met.epoch,
            };
            tokio::spawn(async move {
                if let Err(broken) = desk.answer(caller.clone(), outbox, inbox, bulks).await {
                    tracing::debug!("a question of node {}: {broken}", caller.uuid);
                }
            });
        }
    }

    /// Answers a question of this node to itself, or of another.
    pub(super) async fn serve(
        &self,
        from: Caller,
        service: Service,
        question: Bytes,
    ) -> Result<Bytes, String> {
        let serves = self.serves.read().clone().ok_or_else(|| "starting".to_owned())?;
        let answer = serves.serve(from, service, question).await?;
        match question::too_long("the answer", service, answer.len()) {
            Some(words) => Err(words),
            None => Ok(answer),
        }
    }

    async fn answer(
        &self,
        from: Caller,
        mut outbox: Outbox,
        mut inbox: Inbox,
        bulks: Arc<Semaphore>,
    ) -> Result<(), Broken> {
        let (number, length) = question::of(inbox.exactly::<HEAD>().await?);
        let answer = match self.admit(number, length, bulks) {
            Ok((service, room)) => {
                let question = inbox.body(length).await?;
                if service == Service::Heartbeat {
                    outbox.first();
                }
                let answer = self.serve(from, service, question).await;
                drop(room);
                answer
            }
            Err(words) => {
                inbox.stop();
                Err(words)
            }
        };
        let (status, body) = match answer {
            Ok(answer) => (ANSWERED, answer),
            Err(words) => (REFUSED, shortened(words)),
        };
        outbox.send(question::head(status, &body), body).await?;
        outbox.settle();
        Ok(())
    }

    /// Finds the service and room for the body.
    fn admit(&self, number: u8, length: usize, bulks: Arc<Semaphore>) -> Result<(Service, Room), String> {
        let service = Service::of(number)
            .ok_or_else(|| format!("service {number} is not known here; run one release on all nodes"))?;
        if let Some(words) = question::too_long("the question", service, length) {
            return Err(words);
        }
        let mut room = Room::new();
        if length > BULK {
            let turn = bulks.try_acquire_owned();
            room.push(turn.map_err(|_| format!("{BULKS} large questions are on their way; ask later"))?);
        }
        if length > SMALL {
            let units = u32::try_from(length.div_ceil(UNIT)).unwrap_or(u32::MAX);
            let share = Arc::clone(&self.large).try_acquire_many_owned(units);
            room.push(share.map_err(|_| "no memory for so large a question now; ask later".to_owned())?);
        }
        Ok((service, room))
    }
}

/// The permits that a body holds until its question is served.
type Room = Vec<OwnedSemaphorePermit>;

fn shortened(words: String) -> Bytes {
    let words = Bytes::from(words);
    let end = words.len().min(BULK);
    words.slice(..end)
}
