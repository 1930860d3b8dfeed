//! The byte pools of the front-end. Each kind of request has its own, so that no request waits behind stuck
//! producers.
//!
//! ```text
//!   frame   produce | requests   dry: small (no more than 1 MiB is missing) | reserve (the largest request)
//!   answer  responses            dry: response_reserve        up to 8 KiB: none, the connection's own share
//!   batch   tickets              dry: the socket is not read; what is in the frame all the same is refused
//! ```
//!
//! The reserve of a pool goes to whichever request has waited longest. An answer that its request does not bound
//! (all topics, all groups) is made only when there is room, and charged once its size is known.

use super::wire::api::ApiKey;
use callboard_actors::permit::{Permit, Pool};
use callboard_core::limits::{self, Budgets};
use std::time::{Duration, Instant};

/// Memory for requests, answers and tickets.
pub struct Pools {
    /// Produce requests that are not written yet.
    pub produce: Pool,
    pub requests: Pool,
    /// Reserve for the oldest frame that misses little.
    pub small: Pool,
    /// Reserve for the oldest of all other frames; the largest request fits.
    pub reserve: Pool,
    pub responses: Pool,
    /// Reserve for the oldest answer when `responses` is dry.
    pub response_reserve: Pool,
    /// Produce answers that wait for the disk.
    pub tickets: Pool,
}

impl Pools {
    /// Makes the pools in the sizes of the budgets.
    #[must_use]
    pub fn new(budgets: &Budgets, socket_request_max_bytes: usize) -> Pools {
        Pools {
            produce: Pool::new(budgets.produce),
            requests: Pool::new(budgets.requests),
            small: Pool::new(budgets.small),
            reserve: Pool::new(socket_request_max_bytes),
            responses: Pool::new(budgets.responses),
            response_reserve: Pool::new(budgets.response_reserve),
            tickets: Pool::new(budgets.tickets * limits::TICKET_BYTES),
        }
    }

    /// All pools with the names that metrics show.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &Pool); 7] {
        let Pools { produce, requests, small, reserve, responses, response_reserve, tickets } = self;
        [
            ("produce", produce),
            ("requests", requests),
            ("small", small),
            ("reserve", reserve),
            ("responses", responses),
            ("response_reserve", response_reserve),
            ("tickets", tickets),
        ]
    }

    /// Waits for room for an answer, and tells how long that took.
    pub async fn room(&self, bytes: usize) -> (Permit, Duration) {
        if let Some(permit) = self.responses.try_acquire(bytes) {
            return (permit, Duration::ZERO);
        }
        let began = Instant::now();
        let permit = tokio::select! {
            permit = self.responses.acquire(bytes) => permit,
            reserved = self.response_reserve.acquire(bytes) => {
                let mut permit = Permit::free();
                permit.keep(reserved);
                permit
            }
        };
        (permit, began.elapsed())
    }

    /// Waits until there is any room, if the request of this API does not bound its answer.
    pub async fn some_room(&self, api: ApiKey) {
        if unbounded(api) {
            drop(self.room(1).await);
        }
    }

    /// Charges an answer for its bytes, unless it was charged before or is small.
    pub async fn charge(&self, charged: Permit, bytes: usize) -> Permit {
        if bytes <= limits::ANSWER_SMALL || !charged.is_free() {
            return charged;
        }
        self.room(bytes).await.0
    }

    /// Whether another answer waits for memory that answers hold while they are sent.
    #[must_use]
    pub fn answers_awaited(&self) -> bool {
        self.responses.waiters() > 0 || self.tickets.waiters() > 0
    }
}

/// Whether an answer may be much larger than its request. Fetch charges its own answer before it reads.
fn unbounded(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::Metadata
            | ApiKey::OffsetFetch
            | ApiKey::JoinGroup
            | ApiKey::SyncGroup
            | ApiKey::DescribeGroups
            | ApiKey::ListGroups
            | ApiKey::DescribeConfigs
            | ApiKey::DescribeLogDirs
            | ApiKey::DescribeProducers
            | ApiKey::DescribeTopicPartitions
            | ApiKey::OffsetForLeaderEpoch
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_answer_goes_on_out_of_the_reserve_and_the_next_waits() {
        let budgets = Budgets { responses: 100, response_reserve: 50, ..Budgets::default() };
        let pools = Pools::new(&budgets, 1);
        let (all, waited) = pools.room(100).await;
        assert_eq!((waited, pools.answers_awaited()), (Duration::ZERO, false));
        let (oldest, _) = pools.room(40).await;
        let mut next = Box::pin(pools.room(40));
        assert!(futures_util::poll!(&mut next).is_pending() && pools.answers_awaited());
        drop(oldest);
        let (next, _) = next.await;
        assert_eq!((pools.responses.used(), pools.response_reserve.used()), (100, 40));
        drop((all, next));
        assert!(pools.all().iter().all(|(_, pool)| pool.used() == 0));
    }

    #[tokio::test]
    async fn only_large_answers_are_charged_and_none_twice() {
        let pools = Pools::new(&Budgets::default(), 1);
        assert!(pools.charge(Permit::free(), limits::ANSWER_SMALL).await.is_free());
        let large = pools.charge(Permit::free(), limits::ANSWER_SMALL + 1).await;
        assert_eq!(large.bytes(), limits::ANSWER_SMALL + 1);
        assert_eq!(pools.charge(large, 1 << 20).await.bytes(), limits::ANSWER_SMALL + 1);
    }
}
