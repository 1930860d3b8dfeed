//! Settings of the console: where metrics and health are served, and how many series there are.

use serde::Deserialize;

/// The HTTP listener, and the metrics behind it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Console {
    /// Where metrics and health are served: HOST:PORT; empty serves them nowhere, port 0 takes a free one.
    #[serde(rename = "http")]
    pub listen: String,
    /// Whether the first 1,000 partitions have series of their own.
    pub metrics_partitions: bool,
}

impl Default for Console {
    fn default() -> Console {
        Console { listen: "127.0.0.1:9644".to_owned(), metrics_partitions: false }
    }
}
