//! What stands between the two halves of a connection: the answers to come, in the order of their requests.
//!
//! ```text
//!   read half ── place, push ──> [ answers to come, ≤ 64 ] ── next, outcome ──> write half
//! ```
//!
//! Both halves are polled by one task, the read half first: what a frame has brought is looked at by the write half in the
//! same poll, and no task is woken for it that may find its answer not there yet. So nothing here keeps a waker: a half
//! that waits here for the other one is polled behind it.

use super::api::{Outcome, Pending};
use callboard_core::limits;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// The line of one connection.
#[derive(Default)]
pub(super) struct Answers {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    pending: VecDeque<Pending>,
    /// No more will come.
    closed: bool,
    /// The one that is awaited comes when others do something.
    for_others: bool,
}

/// Which half has ended first, and how.
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

    /// Puts one behind the others.
    pub fn push(&self, pending: Pending) {
        self.line.lock().pending.push_back(pending);
    }

    /// No more will come: the write half ends behind the last one.
    pub fn close(&self) {
        self.line.lock().closed = true;
    }

    /// The next one, or none when no more will come.
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

    /// Awaits an answer.
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
                // The read half may have waited for the place that has come free behind it.
                if !full || self.full() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Polls the write half until it has ended, or what it awaits is not this node's to give: records that nobody has
    /// sent, members that have not joined.
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

    /// An answer that comes when it is said to.
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
