//! The node's one UDP socket, and the QUIC endpoint on it that dials and accepts.
//!
//! ```text
//!   HOST:PORT ── resolved ──> socket, 4 MiB each way ──> endpoint { reset key, connection ids, TLS, settings }
//! ```
//! The kernel grants less buffer than asked for without a word; then packets of a burst are lost, so a warning names
//! the setting. IPv6's any-address takes IPv4 too. Nothing here knows a hello.

use super::keys::NodeKey;
use super::settings::{self, MTU, SOCKET_BYTES};
use super::tls::{self, TlsError};
use quinn::{Endpoint, EndpointConfig, ServerConfig};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;

/// Why the node has no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The name has no address.
    #[error("cannot listen on {listen}: {error}; give it as HOST:PORT")]
    Name { listen: String, error: io::Error },
    /// No address could be taken.
    #[error("cannot take UDP port {address}: {error}; is another process using it?")]
    Bind { address: SocketAddr, error: io::Error },
    /// The key does not do.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// QUIC refused its settings.
    #[error("QUIC does not start: {0}")]
    Quic(String),
}

/// Takes the port and starts to drive the endpoint. It belongs into a runtime of tokio.
pub(super) fn bind(listen: &str, key: &NodeKey) -> Result<Endpoint, EndpointError> {
    let quic = |error: &dyn std::fmt::Display| EndpointError::Quic(error.to_string());
    let mut config = EndpointConfig::new(Arc::new(key.reset_key()));
    let seed = key.id_seed();
    config.cid_generator(move || Box::new(quinn_proto::HashedConnectionIdGenerator::from_key(seed)));
    config.max_udp_payload_size(MTU).map_err(|error| quic(&error))?;
    let mut server = ServerConfig::with_crypto(Arc::new(tls::server(key)?));
    server.transport_config(settings::accepted()).migration(false).max_incoming(settings::INCOMING);
    let socket = socket(listen)?;
    Endpoint::new(config, Some(server), socket, Arc::new(quinn::TokioRuntime)).map_err(|error| quic(&error))
}

fn socket(listen: &str) -> Result<UdpSocket, EndpointError> {
    let named = |error| EndpointError::Name { listen: listen.to_owned(), error };
    let mut refused = named(io::Error::other("the name has no address"));
    for address in listen.to_socket_addrs().map_err(named)? {
        match bound(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => refused = EndpointError::Bind { address, error },
        }
    }
    Err(refused)
}

fn bound(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_send_buffer_size(SOCKET_BYTES)?;
    socket.set_recv_buffer_size(SOCKET_BYTES)?;
    // Linux shows twice what it grants.
    let shown = if cfg!(target_os = "linux") { 2 } else { 1 };
    for (granted, setting) in
        [(socket.recv_buffer_size()? / shown, "rmem_max"), (socket.send_buffer_size()? / shown, "wmem_max")]
    {
        if let Some(words) = too_little(granted, setting) {
            tracing::warn!("{words}");
        }
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn too_little(granted: usize, setting: &str) -> Option<String> {
    (granted < SOCKET_BYTES).then(|| {
        format!(
            "the kernel grants {granted} of {SOCKET_BYTES} bytes for a socket buffer, so bursts lose packets; run: \
             sysctl -w net.core.{setting}={SOCKET_BYTES}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_buffer_is_told_with_the_line_to_run() {
        let words = too_little(212_992, "rmem_max").unwrap();
        assert!(words.ends_with("sysctl -w net.core.rmem_max=4194304"), "{words}");
        assert_eq!(too_little(SOCKET_BYTES, "rmem_max"), None);
    }

    #[test]
    fn names_ports_and_taken_ports() {
        let first = socket("localhost:0").unwrap();
        let taken = first.local_addr().unwrap();
        let words = socket(&taken.to_string()).unwrap_err().to_string();
        assert!(words.contains("cannot take UDP port"), "{words}");
        assert!(matches!(socket("no port"), Err(EndpointError::Name { .. })));
    }
}
