//! The console: metrics and health over HTTP, for an operator and their tools.
//!
//! ```text
//!   http.rs   the listener ── stream.rs   a socket that a slow reader cannot hold
//!      └─> Console   /live · /ready · /safe-to-restart · /metrics = recorder (what happened) + samples (what there is now)
//!                                                 └ recorder.rs            └ Observed, the node · process.rs
//! ```
//!
//! It serves from the first moment of a start to the last of an end, and says which of them it is. No endpoint
//! writes.

mod ask;
mod http;
pub mod metrics;
mod process;
mod recorder;
mod stream;

pub use ask::ask;
pub use http::HttpListener;
pub use recorder::recorder;

use callboard_actors::samples::Samples;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two sorts of histogram samples into buckets, scraped or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// Longest time that a scrape waits for actors.
const REFRESH: Duration = Duration::from_secs(1);

/// The node as the console sees it.
pub trait Observed: Send + Sync + 'static {
    /// Whether the node serves, or the reason why it does not.
    fn ready(&self) -> Result<(), String>;
    /// Whether the node may be restarted without anything standing still, or the reasons against it.
    fn safe_to_restart(&self) -> BoxFuture<'_, Result<(), String>>;
    /// Asks actors for values that only they know, before each sample. The console gives up when this takes too
    /// long, and shows the values of before.
    fn refresh(&self) -> BoxFuture<'_, ()>;
    /// Adds the values of this moment. It may take locks and look at files, so no worker of tokio calls it.
    fn sample(&self, out: &mut Samples);
}

/// The life of a node, as `/ready` tells it.
enum Stage {
    Starting,
    /// It serves, or waits for other nodes.
    Running(Arc<dyn Observed>),
    Ending,
}

/// The state behind the endpoints.
pub struct Console {
    recorder: PrometheusHandle,
    process: process::Process,
    stage: RwLock<Stage>,
}

impl Console {
    /// Begins with a node that starts.
    #[must_use]
    pub fn new(recorder: PrometheusHandle) -> Console {
        Console { recorder, process: process::Process::new(), stage: RwLock::new(Stage::Starting) }
    }

    /// Shows this node from now on. It says whether it serves.
    pub fn shows(&self, node: Arc<dyn Observed>) {
        *self.stage.write() = Stage::Running(node);
    }

    /// Shows an end from now on, and lets go of the node.
    pub fn ending(&self) {
        *self.stage.write() = Stage::Ending;
    }

    fn node(&self) -> Option<Arc<dyn Observed>> {
        match &*self.stage.read() {
            Stage::Running(node) => Some(Arc::clone(node)),
            Stage::Starting | Stage::Ending => None,
        }
    }

    fn ready(&self) -> Result<(), String> {
        match &*self.stage.read() {
            Stage::Starting => Err("starting: the data directory is being recovered".to_owned()),
            Stage::Running(node) => node.ready(),
            Stage::Ending => Err("ending: no new requests are taken".to_owned()),
        }
    }

    /// Whether the node may be restarted now. A node that starts or ends has to get through with that first.
    async fn safe_to_restart(&self) -> Result<(), String> {
        let Some(node) = self.node() else { return self.ready() };
        let said = tokio::time::timeout(REFRESH * 5, node.safe_to_restart()).await;
        said.unwrap_or_else(|_| Err("nobody could be asked in time: try again".to_owned()))
    }

    /// Asks the node to refresh, with a bound on the time.
    async fn refresh(&self) {
        if let Some(node) = self.node() {
            let _ = tokio::time::timeout(REFRESH, node.refresh()).await;
        }
    }

    /// Makes the text of one scrape. It blocks, so no worker of tokio calls it.
    fn scrape(&self) -> String {
        let began = Instant::now();
        let mut samples = Samples::default();
        if let Some(node) = self.node() {
            node.sample(&mut samples);
        }
        self.process.sample(&mut samples);
        let mut text = self.recorder.render();
        text.push_str(&samples.into_text());
        metrics::scraped(began.elapsed());
        text
    }

    /// Keeps the recorder small as long as it is polled.
    pub async fn upkeep(self: Arc<Self>) {
        let mut beat = tokio::time::interval(UPKEEP);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let recorder = self.recorder.clone();
            // A panic stays in its thread, and the next beat tries again.
            let _ = tokio::task::spawn_blocking(move || recorder.run_upkeep()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_actors::samples::Family;
    use metrics_exporter_prometheus::PrometheusBuilder;

    struct Node(Result<(), String>);

    impl Observed for Node {
        fn ready(&self) -> Result<(), String> {
            self.0.clone()
        }

        fn safe_to_restart(&self) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(std::future::ready(self.0.clone()))
        }

        fn refresh(&self) -> BoxFuture<'_, ()> {
            Box::pin(std::future::pending())
        }

        fn sample(&self, out: &mut Samples) {
            out.one(&Family::gauge("callboard_seen", "a sample of the node"), 1.0);
        }
    }

    #[test]
    fn it_says_how_far_the_node_is() {
        let console = Console::new(PrometheusBuilder::new().build_recorder().handle());
        assert!(console.ready().unwrap_err().starts_with("starting: "));
        assert!(!console.scrape().contains("callboard_seen"));
        console.shows(Arc::new(Node(Err("no shard works any more".into()))));
        assert_eq!(console.ready().unwrap_err(), "no shard works any more");
        let node = Arc::new(Node(Ok(())));
        console.shows(Arc::clone(&node) as Arc<dyn Observed>);
        assert_eq!(console.ready(), Ok(()));
        assert!(console.scrape().contains("callboard_seen 1\n"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(console.refresh());
        console.ending();
        assert!(console.ready().unwrap_err().starts_with("ending: "));
        assert_eq!(Arc::strong_count(&node), 1, "it is let go of");
    }
}
