//! The byte pools of the front-end, told apart by API key so that nothing waits behind stuck producers, and the room that
//! an answer takes.
//!
//! ```text
//!   frame   produce | requests   dry: small (no more than 1 MiB is missing) | reserve (the largest request)
//!   answer  responses            dry: response_reserve        up to 8 KiB: none, the connection's own share
//!   batch   tickets              dry: the socket is not read; what is in the frame all the same is refused
//! ```
//!
//! Of each pair the second goes to whoever has waited longest. An answer that the request does not bound (all topics, all
//! groups) is not made before there is room at all, and charged what it takes once that is known.

use super::wire::api::ApiKey;
use callboard_actors::permit::{Permit, Pool};
use callboard_core::limits::{self, Budgets};
use std::time::{Duration, Instant};

/// The pools.
pub struct Pools {
    /// Bodies of produce requests that are not written yet.
    pub produce: Pool,
    /// All other bodies.
    pub requests: Pool,
    /// Out of which the oldest frame goes on that needs little more, when its pool is dry.
    pub small: Pool,
    /// Out of which the oldest of the others goes on.
    pub reserve: Pool,
    /// Answers that are not sent yet.
    pub responses: Pool,
    /// Out of which the oldest answer goes on when those are dry.
    pub response_reserve: Pool,
    /// Produce answers that wait.
    pub tickets: Pool,
}

impl Pools {
    /// By these budgets.
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

    /// All of them, by name.
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

    /// Room for so many bytes of an answer, and how long that took.
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

    /// Before an answer is made that its request does not bound: waits until there is room at all.
    pub async fn some_room(&self, api: ApiKey) {
        if unbounded(api) {
            drop(self.room(1).await);
        }
    }

    /// What an answer of so many bytes that was charged nothing yet has to take.
    pub async fn charge(&self, charged: Permit, bytes: usize) -> Permit {
        if bytes <= limits::ANSWER_SMALL || !charged.is_free() {
            return charged;
        }
        self.room(bytes).await.0
    }

    /// Whether somebody waits for what an answer holds while it is sent.
    #[must_use]
    pub fn answers_awaited(&self) -> bool {
        self.responses.waiters() > 0 || self.tickets.waiters() > 0
    }
}

/// Whether an answer may be much larger than its request. (Fetch charges its own before it reads.)
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
