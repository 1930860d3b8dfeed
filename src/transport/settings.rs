//! The settings of QUIC, as measured (`benches/quic-probe`), and what a peer may use before it has proved itself.
//!
//! ```text
//!   before the hello       128 KiB unread, 1 stream of the dialler, none of the acceptor
//!   control, afterwards    8 MiB unread, 64 streams, each of 256 KiB (4 MiB where this node accepted)
//!   data, afterwards       8 MiB unread, 4 streams, each of 4 MiB
//! ```
//! An acceptor gives the window of a stream before it knows the kind of the connection. Therefore a control connection
//! leaves no stream unread: a question that is too many is refused at once, and its bytes count no longer (`serve.rs`).

use super::hello::Kind;
use quinn::congestion::CubicConfig;
use quinn::{Connection, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;

/// Largest UDP payload that is tried. Ten of them have to fit into the 64 KiB of one segmented send.
pub(super) const MTU: u16 = 6500;
/// Wanted bytes of each socket buffer.
pub(super) const SOCKET_BYTES: usize = 4 << 20;
/// A silent connection ends after this time.
const IDLE: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_millis(500);
/// Bytes without acknowledgement. Above 1 MiB latency grows and throughput does not.
const SEND_WINDOW: u64 = 1 << 20;
const CONTROL_STREAM: u32 = 256 << 10;
const DATA_STREAM: u32 = 4 << 20;
/// Unread bytes of a connection whose peer has proved itself.
const CONNECTION: u32 = 8 << 20;
/// Unread bytes before that. The largest hello fits.
const STRANGER: u32 = 128 << 10;
/// Questions at once on a control connection, each way.
const CONTROL_STREAMS: u32 = 64;
const DATA_STREAMS: u32 = 4;
/// Handshakes of strangers that wait to be looked at.
pub(super) const INCOMING: usize = 256;

/// For connections that this node accepts. It has to hold for both kinds.
pub(super) fn accepted() -> Arc<TransportConfig> {
    Arc::new(settings(DATA_STREAM, 1))
}

/// For connections that this node dials.
pub(super) fn dialled(kind: Kind) -> Arc<TransportConfig> {
    let stream = match kind {
        Kind::Control => CONTROL_STREAM,
        Kind::Data { .. } => DATA_STREAM,
    };
    Arc::new(settings(stream, 0))
}

/// Gives a peer that has proved itself its whole share.
pub(super) fn trust(connection: &Connection, kind: Kind) {
    let streams = match kind {
        Kind::Control => CONTROL_STREAMS,
        Kind::Data { .. } => DATA_STREAMS,
    };
    connection.set_receive_window(VarInt::from_u32(CONNECTION));
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(streams));
}

fn settings(stream: u32, streams: u32) -> TransportConfig {
    let mut search = MtuDiscoveryConfig::default();
    search.upper_bound(MTU);
    let mut settings = TransportConfig::default();
    settings
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .stream_receive_window(VarInt::from_u32(stream))
        .receive_window(VarInt::from_u32(STRANGER))
        .send_window(SEND_WINDOW)
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .initial_rtt(Duration::from_millis(10))
        .enable_segmentation_offload(true)
        .congestion_controller_factory(Arc::new(CubicConfig::default()))
        .mtu_discovery_config(Some(search));
    settings
}
