//! Settings of the Kafka front-end: where clients connect, which address they are told, what connections may take.

use super::error::{ConfigError, range};
use callboard_core::limits;
use serde::Deserialize;
use std::net::SocketAddr;

/// The Kafka listener, and the bounds of its connections.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Kafka {
    /// Where Kafka clients connect: HOST:PORT; port 0 takes a free one.
    #[serde(rename = "kafka")]
    pub listen: String,
    /// The address that clients are told: HOST:PORT; empty tells them the address they reached.
    pub advertised: String,
    /// The rack of this node, as Metadata names it; empty is none.
    pub rack: String,
    /// A connection that sends nothing for so long is closed (Kafka: `connections.max.idle.ms`).
    pub connections_max_idle_ms: u64,
    /// Connections at most; 0 takes 10,000, or what descriptors and memory allow (Kafka: `max.connections`).
    pub max_connections: usize,
    /// Largest request (Kafka: `socket.request.max.bytes`).
    pub socket_request_max_bytes: usize,
    /// Send buffer per connection; -1 leaves it to the system (Kafka: `socket.send.buffer.bytes`).
    pub socket_send_buffer_bytes: i32,
}

impl Default for Kafka {
    fn default() -> Kafka {
        Kafka {
            listen: "localhost:9092".to_owned(),
            advertised: String::new(),
            rack: String::new(),
            connections_max_idle_ms: 600_000,
            max_connections: 0,
            socket_request_max_bytes: limits::SOCKET_REQUEST_MAX_BYTES,
            socket_send_buffer_bytes: limits::SOCKET_SEND_BUFFER_BYTES,
        }
    }
}

impl Kafka {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        range("connections_max_idle_ms", self.connections_max_idle_ms, 1000, u64::from(u32::MAX))?;
        range("max_connections", self.max_connections, 0, i32::MAX as usize)?;
        range("socket_request_max_bytes", self.socket_request_max_bytes, 64 * 1024, 1 << 30)?;
        let buffer = self.socket_send_buffer_bytes;
        if buffer != -1 && !(4096..=1 << 30).contains(&buffer) {
            let wants = "it takes -1, or 4096 to 1073741824";
            return Err(ConfigError::value("socket_send_buffer_bytes", buffer, wants));
        }
        self.advertised_parts().map(|_| ())
    }

    /// Host and port that clients are told, if they are set.
    pub fn advertised_parts(&self) -> Result<Option<(String, u16)>, ConfigError> {
        if self.advertised.is_empty() {
            return Ok(None);
        }
        let parts = self.advertised.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
        });
        parts
            .map(Some)
            .ok_or_else(|| ConfigError::value("advertised", &self.advertised, "it takes HOST:PORT"))
    }

    /// These settings under Kafka's names. `address` is the one that the listener got.
    pub(super) fn statics(&self, address: SocketAddr) -> Vec<(&'static str, String)> {
        let host = self.listen.rsplit_once(':').map_or("", |(host, _)| host);
        let mut out = vec![
            ("connections.max.idle.ms", self.connections_max_idle_ms.to_string()),
            ("listeners", format!("PLAINTEXT://{host}:{}", address.port())),
            ("max.connections", self.max_connections.to_string()),
            ("socket.request.max.bytes", self.socket_request_max_bytes.to_string()),
            ("socket.send.buffer.bytes", self.socket_send_buffer_bytes.to_string()),
        ];
        if !self.advertised.is_empty() {
            out.push(("advertised.listeners", format!("PLAINTEXT://{}", self.advertised)));
        }
        if !self.rack.is_empty() {
            out.push(("broker.rack", self.rack.clone()));
        }
        out
    }
}
