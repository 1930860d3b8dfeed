//! How far a change has spread over the cluster: this node asks each unfenced node whether it serves the change yet.
//!
//! ```text
//!   an admin call is committed ──> this node serves it ──> Served(index) to each other ──> their answers, or the time is up
//! ```
//! A node that does not answer is asked again until the image shows it fenced. So the death of a node delays an admin call
//! by a session at most. Each node gets one question at a time and says how far it is, however many calls wait for it: Raft
//! and heartbeats need the same connection.

use bytes::Bytes;
use callboard_actors::images::Images;
use callboard_actors::ports::{Calls, Service, Spread};
use callboard_core::BrokerId;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, sleep, timeout};

/// Time for which a node keeps one question; the asker repeats it.
const KEPT: Duration = Duration::from_secs(1);
/// Time until a node that did not answer is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// The nodes of a cluster, as one of them sees them.
pub(super) struct Everywhere {
    pub me: BrokerId,
    pub images: Arc<Images>,
    pub calls: Arc<dyn Calls>,
    /// The index that each node is known to serve. Its lock is the turn to ask that node.
    pub known: Mutex<BTreeMap<BrokerId, Arc<Turn<u64>>>>,
}

impl Everywhere {
    fn others(&self) -> Vec<BrokerId> {
        let image = self.images.current();
        image.brokers.values().filter(|b| b.id != self.me && !b.fenced).map(|b| b.id).collect()
    }

    /// Asks one node until it serves the index or is fenced.
    async fn ask(&self, node: BrokerId, index: u64) {
        let turn = Arc::clone(self.known.lock().entry(node).or_default());
        let question = Bytes::copy_from_slice(&index.to_le_bytes());
        // The answer of a live node travels for a while after its wait.
        let within = KEPT * 2;
        while self.others().contains(&node) {
            let mut known = turn.lock().await;
            if *known < index
                && let Ok(answer) = self.calls.call(node, Service::Served, question.clone(), within).await
            {
                *known = index_of(&answer).unwrap_or(0).max(*known);
            }
            if *known >= index {
                return;
            }
            drop(known);
            sleep(AGAIN).await;
        }
    }
}

impl Spread for Everywhere {
    fn served(&self, index: u64, within: Duration) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let until = Instant::now() + within;
            if timeout(within, self.images.served(index)).await.is_err() {
                return false;
            }
            let all = join_all(self.others().into_iter().map(|node| self.ask(node, index)));
            tokio::time::timeout_at(until, all).await.is_ok()
        })
    }
}

/// An index as it travels.
fn index_of(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// Answers another node how far this one is, once it serves the index that the question names.
pub(super) async fn answer(images: Arc<Images>, question: Bytes) -> Result<Bytes, String> {
    let index = index_of(&question).ok_or("an index has eight bytes")?;
    match timeout(KEPT, images.served(index)).await {
        Ok(served) => Ok(Bytes::copy_from_slice(&served.to_le_bytes())),
        Err(_) => Err("this node does not serve the change yet".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_actors::ports::CallError;
    use callboard_core::metadata::{Broker, Image};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Two other nodes: one answers as its own images say, the other is dead. The number is that of the questions.
    #[derive(Default)]
    struct Two(Arc<Images>, AtomicU32);

    impl Calls for Two {
        fn call(
            &self,
            to: BrokerId,
            service: Service,
            question: Bytes,
            _within: Duration,
        ) -> BoxFuture<'static, Result<Bytes, CallError>> {
            assert_eq!(service, Service::Served);
            self.1.fetch_add(1, Ordering::Relaxed);
            let images = Arc::clone(&self.0);
            Box::pin(async move {
                match to {
                    2 => answer(images, question).await.map_err(CallError::Refused),
                    _ => Err(CallError::NotSent("no way to it".to_owned())),
                }
            })
        }
    }

    fn image(fenced: bool) -> Arc<Image> {
        let broker = |id, fenced| (id, Broker { id, fenced, ..Broker::default() });
        let brokers = [broker(1, false), broker(2, false), broker(3, fenced)].into_iter().collect();
        Arc::new(Image { brokers, ..Image::default() })
    }

    #[tokio::test]
    async fn a_change_has_spread_when_each_unfenced_node_serves_it() {
        let two = Arc::new(Two::default());
        let all = everywhere(&two);
        let (here, there) = (&all.images, &two.0);
        let (soon, at_last) = (Duration::from_millis(50), Duration::from_secs(30));
        here.publish(image(true));
        assert!(!all.served(7, soon).await, "not even this node serves it");
        here.set_served(7);
        assert!(!all.served(7, soon).await, "node 2 does not");
        let (late, _) = tokio::join!(all.served(7, at_last), async {
            sleep(soon).await;
            there.set_served(8);
        });
        assert!(late, "it is asked again");
        here.publish(image(false));
        assert!(!all.served(7, soon).await, "node 3 is dead and not fenced yet");
        let (fenced, _) = tokio::join!(all.served(7, at_last), async {
            sleep(soon).await;
            here.publish(image(true));
        });
        assert!(fenced, "nobody waits for a fenced node");
    }

    fn everywhere(two: &Arc<Two>) -> Everywhere {
        let (images, calls) = (Arc::new(Images::default()), Arc::clone(two) as Arc<_>);
        Everywhere { me: 1, images, calls, known: Mutex::default() }
    }

    #[tokio::test]
    async fn a_hundred_calls_ask_a_node_once() {
        let two = Arc::new(Two::default());
        let all = everywhere(&two);
        all.images.publish(image(true));
        all.images.set_served(107);
        let calls = join_all((7..107).map(|index| all.served(index, Duration::from_secs(30))));
        let (spread, ()) = tokio::join!(calls, async {
            sleep(Duration::from_millis(50)).await;
            two.0.set_served(107);
        });
        assert!(spread.into_iter().all(|served| served));
        assert_eq!(two.1.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_question_of_another_length_is_refused() {
        let refused = answer(Arc::default(), Bytes::from_static(b"1234567")).await;
        assert!(refused.is_err_and(|why| why.contains("eight bytes")));
    }
}
