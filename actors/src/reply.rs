//! A reply that is always answered, because dropping it unanswered answers `Unavailable`.
//!
//! So an actor that dies, or a mailbox that is dropped, leaves no request hanging. The reply has no deadline of its
//! own.

use tokio::sync::oneshot;

/// An answer for questions that no actor answered: the actor died, or its mailbox was dropped.
pub trait Unavailable {
    /// The answer of a dropped reply.
    fn unavailable() -> Self;
}

impl<T> Unavailable for Result<T, callboard_core::Reject> {
    fn unavailable() -> Self {
        Err(callboard_core::Reject::Unavailable)
    }
}

/// The right and the duty to answer one question.
#[derive(Debug)]
pub struct Reply<T: Unavailable> {
    to: Option<oneshot::Sender<T>>,
}

impl<T: Unavailable> Reply<T> {
    /// A reply, and the place where its answer arrives.
    #[must_use]
    pub fn new() -> (Reply<T>, Answer<T>) {
        let (tx, rx) = oneshot::channel();
        (Reply { to: Some(tx) }, Answer { from: rx })
    }

    /// Sends the answer. An asker that no longer listens is no error.
    pub fn send(mut self, answer: T) {
        if let Some(to) = self.to.take() {
            let _ = to.send(answer);
        }
    }

    /// Whether the asker no longer listens.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.to.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

impl<T: Unavailable> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            let _ = to.send(T::unavailable());
        }
    }
}

/// The place where an answer arrives.
#[derive(Debug)]
pub struct Answer<T> {
    from: oneshot::Receiver<T>,
}

impl<T: Unavailable> Answer<T> {
    /// Waits for the answer.
    pub async fn get(self) -> T {
        self.from.await.unwrap_or_else(|_| T::unavailable())
    }
}
