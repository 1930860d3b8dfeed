//! A node of a cluster as the console sees it before it takes clients: for whom it waits, and who refuses it.
//!
//! The reasons of the forming stand first. The last refused connection follows, because a node with another secret or an old
//! directory is told no more than that.

use crate::console::Observed;
use crate::transport::Transport;
use arc_swap::ArcSwap;
use callboard_actors::cluster::FormingView;
use callboard_actors::samples::Samples;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// The parts of a node that waits.
pub(super) struct Waits {
    pub view: Arc<ArcSwap<FormingView>>,
    pub transport: Arc<Transport>,
}

impl Observed for Waits {
    fn ready(&self) -> Result<(), String> {
        let mut words: Vec<String> = self.view.load().words.iter().map(ToString::to_string).collect();
        if words.is_empty() {
            words.push("the node waits until the cluster has taken it".to_owned());
        }
        words.extend(self.transport.refusal());
        Err(format!("starting: {}", words.join("; ")))
    }

    fn safe_to_restart(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(self.ready()))
    }

    fn refresh(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn sample(&self, out: &mut Samples) {
        self.transport.sample(out);
    }
}
