//! Producer ids for this node's producers, a block at a time from the controller.
//!
//! ```text
//!   a producer ─> an id of the block          no id left ─> one question to the controller, in a task of its own
//!                                                             └ every producer waits for it, each no longer than WAIT
//! ```
//!
//! No lock is held while the controller is asked, because a cluster without a controller may take long to answer. A
//! question that was answered "unknown" is asked again, and one that hangs is given up: a block that is lost costs
//! nothing. A producer whose wait is over is told COORDINATOR_LOAD_IN_PROGRESS, because older clients of Kafka end at any
//! other code.

use callboard_actors::controller::{Ask, ControllerHandle};
use callboard_core::ErrorCode;
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{ProducerIdBlock, Refusal};
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Longest wait of a producer. Clients give up after 30 s.
const WAIT: Duration = Duration::from_secs(10);
/// Time after which the controller is asked anew, by the next producer.
const ASK: Duration = Duration::from_secs(10);
/// Pause before an unanswered question is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// Asks the controller for a block once.
type Asks = dyn Fn() -> BoxFuture<'static, Said> + Send + Sync;

/// The ids that this node gives to its producers.
pub struct ProducerIds(Arc<Inner>);

struct Inner {
    wait: Duration,
    ask: Duration,
    state: Mutex<State>,
    /// Changes when a question has ended; it holds the refusal if there is one.
    ended: watch::Sender<Option<Refusal>>,
}

#[derive(Default)]
struct State {
    block: ProducerIdBlock,
    /// Whether a question is under way.
    asking: bool,
}

impl Default for ProducerIds {
    fn default() -> ProducerIds {
        ProducerIds::patient(WAIT, ASK)
    }
}

impl ProducerIds {
    /// No ids yet. A producer waits so long, and one question to the controller may take so long.
    fn patient(wait: Duration, ask: Duration) -> ProducerIds {
        let (state, ended) = (Mutex::default(), watch::Sender::new(None));
        ProducerIds(Arc::new(Inner { wait, ask, state, ended }))
    }

    /// The next id. A producer without one waits for a block, at most `WAIT`.
    pub async fn next(&self, controller: &ControllerHandle) -> Result<i64, Refusal> {
        let controller = controller.clone();
        let asks = move || controller.ask(Ask::ProducerIds).get().boxed();
        self.next_of(Arc::new(asks)).await
    }

    async fn next_of(&self, asks: Arc<Asks>) -> Result<i64, Refusal> {
        let deadline = Instant::now() + self.0.wait;
        loop {
            // An end that comes behind this line is seen.
            let mut ended = self.0.ended.subscribe();
            if let Some(id) = self.take_or_ask(&asks) {
                return Ok(id);
            }
            match timeout_at(deadline, ended.changed()).await {
                Ok(Ok(())) => match ended.borrow_and_update().clone() {
                    Some(refusal) => return Err(refusal),
                    None => continue,
                },
                _ => return Err(later("the controller has given no producer ids yet")),
            }
        }
    }

    /// An id of the block; without one a question is under way afterwards.
    fn take_or_ask(&self, asks: &Arc<Asks>) -> Option<i64> {
        let mut state = self.0.state.lock();
        let id = state.block.take();
        if id.is_none() && !state.asking {
            state.asking = true;
            // A task of its own goes on when the client that caused it is gone.
            tokio::spawn(refill(Asking(Arc::clone(&self.0)), Arc::clone(asks)));
        }
        id
    }
}

/// A question under way. However its task ends, another may be asked then.
struct Asking(Arc<Inner>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.state.lock().asking = false;
    }
}

async fn refill(asking: Asking, asks: Arc<Asks>) {
    let inner = Arc::clone(&asking.0);
    let said = timeout(inner.ask, answered(&*asks)).await;
    let refusal = match said {
        Ok(said) => inner.state.lock().block.refill(said).err(),
        Err(_) => Some(later("the controller does not answer")),
    };
    drop(asking);
    inner.ended.send_replace(refusal);
}

/// The controller's word on a block. It is asked again where it may have answered another time, or not at all.
async fn answered(asks: &Asks) -> Said {
    loop {
        match asks().await {
            Said::Unknown(_) => {}
            Said::Failed(refusal) if refusal.code == ErrorCode::NotController => {}
            said => return said,
        }
        sleep(AGAIN).await;
    }
}

fn later(why: &str) -> Refusal {
    Refusal { code: ErrorCode::CoordinatorLoadInProgress, message: format!("{why}: try again") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// A controller that gives blocks, counts its questions, and first answers these.
    fn controller(first: Vec<Said>) -> (Arc<Asks>, Arc<AtomicI64>) {
        let (asked, first) = (Arc::new(AtomicI64::new(0)), Mutex::new(first));
        let count = Arc::clone(&asked);
        let asks = move || {
            let n = count.fetch_add(1, Ordering::SeqCst);
            let mut first = first.lock();
            let said = if first.is_empty() { Said::ProducerIds(n * 1000) } else { first.remove(0) };
            std::future::ready(said).boxed()
        };
        (Arc::new(asks), asked)
    }

    #[tokio::test]
    async fn producers_share_one_question_and_no_id() {
        let (ids, (asks, asked)) = (Arc::new(ProducerIds::default()), controller(Vec::new()));
        let each = (0..1500).map(|_| {
            let (ids, asks) = (Arc::clone(&ids), Arc::clone(&asks));
            tokio::spawn(async move { ids.next_of(asks).await.unwrap() })
        });
        let mut given = Vec::new();
        for one in each.collect::<Vec<_>>() {
            given.push(one.await.unwrap());
        }
        given.sort_unstable();
        assert_eq!(given, (0..1500).collect::<Vec<_>>());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_unknown_end_is_asked_again_and_a_refusal_is_told() {
        let elsewhere = Refusal { code: ErrorCode::NotController, message: "elsewhere".into() };
        let (asks, asked) = controller(vec![Said::Unknown("lost".into()), Said::Failed(elsewhere)]);
        assert_eq!(ProducerIds::default().next_of(asks).await, Ok(2000));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        let full = Refusal { code: ErrorCode::UnknownServerError, message: "the disk is full".into() };
        let (asks, _) = controller(vec![Said::Failed(full.clone())]);
        let ids = ProducerIds::default();
        assert_eq!(ids.next_of(Arc::clone(&asks)).await, Err(full));
        assert_eq!(ids.next_of(asks).await, Ok(1000), "the next producer asks anew");
    }

    #[tokio::test]
    async fn a_question_that_hangs_holds_nobody_for_ever() {
        let hangs: Arc<Asks> = Arc::new(|| std::future::pending().boxed());
        let short = Duration::from_millis(20);
        let (ids, (asks, _)) = (Arc::new(ProducerIds::patient(10 * short, short)), controller(Vec::new()));
        let waiting = (0..3).map(|_| {
            let (ids, hangs) = (Arc::clone(&ids), Arc::clone(&hangs));
            tokio::spawn(async move { ids.next_of(hangs).await })
        });
        for one in waiting.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap().unwrap_err().code, ErrorCode::CoordinatorLoadInProgress);
        }
        assert_eq!(ids.next_of(asks).await, Ok(0), "the question was given up");
    }
}
