//! Settings of the Kafka front-end: where clients connect, which address they are told, what connections may take.

use super::error::{ConfigError, range};
use super::listeners::{self, NamedAddress};
use callboard_core::limits;
use serde::Deserialize;

/// The Kafka listeners, and the bounds of their connections.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Kafka {
    /// Where Kafka clients connect: HOST:PORT, or NAME://HOST:PORT of each listener; port 0 takes a free one.
    #[serde(rename = "kafka")]
    pub listen: String,
    /// The addresses that clients are told, by listener; a listener without one tells the address they reached.
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
        listeners::check(&self.listeners()?, &self.advertised()?)
    }

    /// The listeners, in their order.
    pub fn listeners(&self) -> Result<Vec<NamedAddress>, ConfigError> {
        listeners::read("kafka", &self.listen)
    }

    /// The addresses that clients are told, by the names of listeners.
    pub fn advertised(&self) -> Result<Vec<NamedAddress>, ConfigError> {
        if self.advertised.is_empty() {
            return Ok(Vec::new());
        }
        listeners::read("advertised", &self.advertised)
    }

    /// Refuses addresses that a node of a cluster cannot have: clients of other nodes would be told a wildcard.
    pub fn check_for_cluster(&self) -> Result<(), ConfigError> {
        listeners::unreachable(&self.listeners()?, &self.advertised()?)
    }

    /// These settings under Kafka's names. `ports` are those that the listeners got, in their order.
    pub(super) fn statics(&self, ports: &[u16]) -> Vec<(&'static str, String)> {
        let listed = |addresses: &[NamedAddress]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        let mut listeners = self.listeners().unwrap_or_default();
        listeners.iter_mut().zip(ports).for_each(|(listener, port)| listener.port = *port);
        let mut out = vec![
            ("connections.max.idle.ms", self.connections_max_idle_ms.to_string()),
            ("listeners", listed(&listeners)),
            ("max.connections", self.max_connections.to_string()),
            ("socket.request.max.bytes", self.socket_request_max_bytes.to_string()),
            ("socket.send.buffer.bytes", self.socket_send_buffer_bytes.to_string()),
        ];
        if let Some(advertised) = self.advertised().ok().filter(|advertised| !advertised.is_empty()) {
            out.push(("advertised.listeners", listed(&advertised)));
        }
        if !self.rack.is_empty() {
            out.push(("broker.rack", self.rack.clone()));
        }
        out
    }
}
