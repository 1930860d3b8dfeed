//! The line between the two halves of a connection: answers to come, in the order of their requests.
//!
//! ```text
//!   read half ── place, push ──> [ answers to come, ≤ 64 ] ── next, outcome ──> write half
//! ```
//!
//! One task polls both halves, the read half first. So the write half looks at a new frame's answer in the same
//! poll, and no other task is woken for it. A half that waits here for the other needs no waker, because it is
//! polled behind it.

use super::api::{Outcome, Pending};
use callboard_core::limits;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// The answers of one connection that are not sent yet.
#[derive(Default)]
pub(super) struct Answers {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    pending: VecDeque<Pending>,
    closed: bool,
    /// Whether the answer that is awaited now depends on other clients.
    for_others: bool,
}

/// The half that ended first, with its result.
#[derive(Debug, PartialEq)]
pub(super) enum Half<R, W> {
    Read(R),
    Write(W),
}

impl Answers {
    /// Waits for a place in the line.
    pub async fn place(&self) {
        poll_fn(|_| if self.full() { Poll::Pending } else { Poll::Ready(()) }).await
    }

    /// Appends an answer to the line.
    pub fn push(&self, pending: Pending) {
        self.line.lock().pending.push_back(pending);
    }

    /// Closes the line; the write half ends behind its last answer.
    pub fn close(&self) {
        self.line.lock().closed = true;
    }

    /// The next answer, or none once the line is closed and empty.
    pub async fn next(&self) -> Option<Pending> {
        poll_fn(|_| {
            let mut line = self.line.lock();
            match line.pending.pop_front() {
                Some(pending) => Poll::Ready(Some(pending)),
                None if line.closed => Poll::Ready(None),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Awaits an answer and notes meanwhile whether it depends on other clients.
    pub async fn outcome(&self, for_others: bool, answer: BoxFuture<'static, Outcome>) -> Outcome {
        self.line.lock().for_others = for_others;
        let outcome = answer.await;
        self.line.lock().for_others = false;
        outcome
    }

    fn full(&self) -> bool {
        self.line.lock().pending.len() >= limits::REPLIES_IN_FLIGHT
    }

    /// Polls both halves until one of them ends.
    pub async fn halves<R: Future, W: Future>(
        &self,
        mut read: Pin<&mut R>,
        mut write: Pin<&mut W>,
    ) -> Half<R::Output, W::Output> {
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(end) = read.as_mut().poll(cx) {
                    return Poll::Ready(Half::Read(end));
                }
                let full = self.full();
                if let Poll::Ready(end) = write.as_mut().poll(cx) {
                    return Poll::Ready(Half::Write(end));
                }
                // The write half may have freed the place that the read half waited for.
                if !full || self.full() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Polls the write half until it ends, or until it awaits an answer that depends on other clients, such as
    /// records that nobody has sent.
    pub async fn own<W: Future>(&self, mut write: Pin<&mut W>) {
        poll_fn(|cx| match write.as_mut().poll(cx) {
            Poll::Pending if !self.line.lock().for_others => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{Apart, Request};
    use super::*;
    use callboard_actors::permit::Permit;
    use std::pin::pin;
    use std::time::{Duration, Instant};
    use tokio::sync::oneshot;

    /// An answer that its sender completes.
    fn pending(waits_for_others: bool) -> (oneshot::Sender<()>, Pending) {
        let (said, come) = oneshot::channel();
        let request = Request::new("Fetch", 0, Duration::ZERO, Instant::now(), Apart::default());
        let answer = async move {
            let _ = come.await;
            Outcome::Reply(Vec::new(), Permit::free())
        };
        (said, Pending { request, answer: Box::pin(answer), waits_for_others })
    }

    async fn write(answers: &Answers, wanted: usize) {
        for _ in 0..wanted {
            let Some(Pending { answer, waits_for_others, .. }) = answers.next().await else { return };
            answers.outcome(waits_for_others, answer).await;
        }
    }

    #[tokio::test]
    async fn a_read_half_waits_at_the_limit_and_goes_on_in_the_poll_that_frees_a_place() {
        let answers = Answers::default();
        let (said, first) = pending(false);
        let (read, write) = (
            async {
                answers.push(first);
                for _ in 0..2 * limits::REPLIES_IN_FLIGHT {
                    answers.place().await;
                    answers.push(pending(false).1);
                }
            },
            write(&answers, usize::MAX),
        );
        let (mut read, mut write) = (pin!(read), pin!(write));
        {
            let mut both = pin!(answers.halves(read.as_mut(), write.as_mut()));
            assert!(futures_util::poll!(both.as_mut()).is_pending());
            assert_eq!(answers.line.lock().pending.len(), limits::REPLIES_IN_FLIGHT);
            said.send(()).unwrap();
            // The others' senders are gone: they are answered at once.
            assert_eq!(futures_util::poll!(both.as_mut()), Poll::Ready(Half::Read(())));
        }
        answers.close();
        write.await;
    }

    #[tokio::test]
    async fn an_end_of_the_write_half_is_told_though_the_read_half_waits() {
        let answers = Answers::default();
        let (said, first) = pending(false);
        answers.push(first);
        let (read, write) = (std::future::pending::<()>(), write(&answers, 1));
        let (mut read, mut write) = (pin!(read), pin!(write));
        let mut both = pin!(answers.halves(read.as_mut(), write.as_mut()));
        assert!(futures_util::poll!(both.as_mut()).is_pending());
        said.send(()).unwrap();
        assert_eq!(futures_util::poll!(both.as_mut()), Poll::Ready(Half::Write(())));
    }

    #[tokio::test]
    async fn at_the_end_its_own_answers_are_awaited_and_those_of_others_are_not() {
        let answers = Answers::default();
        let (own, first) = pending(false);
        let (_others, second) = pending(true);
        answers.push(first);
        answers.push(second);
        answers.close();
        let mut write = pin!(write(&answers, usize::MAX));
        let mut end = pin!(answers.own(write.as_mut()));
        assert!(futures_util::poll!(end.as_mut()).is_pending(), "an answer of its own is to come");
        own.send(()).unwrap();
        assert!(futures_util::poll!(end.as_mut()).is_ready(), "a fetch waits for records");
    }
}
