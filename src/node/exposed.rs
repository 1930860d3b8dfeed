//! Listeners that others than this machine can reach, said aloud: no listener asks who a client is or hides what it says.
//!
//! ```text
//!   bound addresses ─> beyond loopback ─> one WARN at the start, and a gauge for whoever watches many nodes
//! ```
//! It refuses nothing, because a private network is a fine place for such a node.

use super::metrics::UNPROTECTED_LISTENERS;
use callboard_actors::samples::Samples;
use std::net::SocketAddr;

/// The listeners of a node that others can reach.
#[derive(Debug)]
pub(super) struct Exposed {
    kafka: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
}

impl Exposed {
    pub fn of(kafka: impl Iterator<Item = SocketAddr>, http: Option<SocketAddr>) -> Exposed {
        let beyond = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        Exposed { kafka: kafka.filter(beyond).collect(), http: http.into_iter().filter(beyond).collect() }
    }

    /// Logs the warning, if there is something to warn of.
    pub fn say(self) -> Exposed {
        if let Some(warning) = self.warning() {
            tracing::warn!("{warning}");
        }
        self
    }

    fn warning(&self) -> Option<String> {
        let each = |what: &'static str, all: &[SocketAddr]| -> Vec<String> {
            all.iter().map(|address| format!("{what} on {address}")).collect()
        };
        let all = [each("kafka", &self.kafka), each("http", &self.http)].concat();
        (!all.is_empty()).then(|| {
            format!(
                "no authentication, no encryption: whoever reaches {} can read and change what is there; let only a \
                 network that you trust reach it",
                all.join(", ")
            )
        })
    }

    pub fn sample(&self, out: &mut Samples) {
        let mut series = out.family(&UNPROTECTED_LISTENERS);
        for (listener, all) in [("kafka", &self.kafka), ("http", &self.http)] {
            series.add(&[("listener", listener)], all.len() as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_reach_is_said() {
        let exposed = |kafka: &[&str], http: Option<&str>| {
            let kafka = kafka.iter().map(|address| address.parse().unwrap());
            Exposed::of(kafka, http.map(|address| address.parse().unwrap())).warning()
        };
        let within = ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"];
        assert_eq!(exposed(&within, Some("127.0.0.1:2")), None);
        assert_eq!(exposed(&within, None), None);
        let said = exposed(&["127.0.0.1:1", "0.0.0.0:9092", "[::]:9093"], Some("10.0.0.1:9644")).unwrap();
        assert!(
            said.contains("kafka on 0.0.0.0:9092, kafka on [::]:9093, http on 10.0.0.1:9644 can"),
            "{said}"
        );
        assert!(!said.contains("127.0.0.1"), "{said}");
    }
}
