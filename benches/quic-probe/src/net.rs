//! The two endpoints of QUIC: one identity for all, both sides prove it, and the settings that are measured.

use anyhow::Context;
use clap::Args;
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AckFrequencyConfig, ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig};
use quinn::{ServerConfig, TransportConfig, VarInt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The name in the certificate.
pub const NAME: &str = "probe.internal";
/// Largest MTU that is sent from the start; a larger one is searched for.
const FIXED_MTU: u16 = 1452;

/// Settings of QUIC.
#[derive(Args, Clone, Debug)]
pub struct Quic {
    /// UDP payload in bytes: up to 1,452 it is fixed, above it is the upper bound of MTU discovery.
    #[arg(long, default_value_t = FIXED_MTU)]
    pub mtu: u16,
    /// Bytes that a connection sends without an acknowledgement.
    #[arg(long, default_value_t = 1 << 20)]
    pub send_window: u64,
    /// Bytes of each UDP socket buffer; 0 leaves the system's.
    #[arg(long, default_value_t = 4 << 20)]
    pub socket_bytes: usize,
    /// Send one datagram a call.
    #[arg(long)]
    pub no_gso: bool,
    /// Acknowledge every so many packets instead of every other one; 0 does not ask for it.
    #[arg(long, default_value_t = 0)]
    pub ack_every: u32,
}

impl Quic {
    /// The same settings, as arguments of another process.
    pub fn arguments(&self) -> Vec<String> {
        let mut out: Vec<String> = [
            ("--mtu", u64::from(self.mtu)),
            ("--send-window", self.send_window),
            ("--socket-bytes", self.socket_bytes as u64),
            ("--ack-every", u64::from(self.ack_every)),
        ]
        .iter()
        .flat_map(|(name, value)| [(*name).to_owned(), value.to_string()])
        .collect();
        out.extend(self.no_gso.then(|| "--no-gso".to_owned()));
        out
    }

    fn transport(&self) -> anyhow::Result<TransportConfig> {
        let mut t = TransportConfig::default();
        t.max_idle_timeout(Some(IdleTimeout::try_from(Duration::from_secs(3))?))
            .keep_alive_interval(Some(Duration::from_millis(500)))
            .stream_receive_window(VarInt::from_u32(4 << 20))
            .receive_window(VarInt::from_u32(8 << 20))
            .send_window(self.send_window)
            .initial_rtt(Duration::from_millis(10))
            .initial_mtu(self.mtu.min(FIXED_MTU))
            .enable_segmentation_offload(!self.no_gso)
            .congestion_controller_factory(Arc::new(CubicConfig::default()))
            .mtu_discovery_config((self.mtu > FIXED_MTU).then(|| {
                let mut search = MtuDiscoveryConfig::default();
                search.upper_bound(self.mtu);
                search
            }));
        if self.ack_every > 0 {
            let mut acks = AckFrequencyConfig::default();
            acks.ack_eliciting_threshold(VarInt::from_u32(self.ack_every - 1));
            acks.max_ack_delay(Some(Duration::from_millis(5)));
            t.ack_frequency_config(Some(acks));
        }
        Ok(t)
    }

    /// An endpoint that dials, and answers if `address` has a port or is asked for one.
    pub fn endpoint(&self, address: SocketAddr, identity: &Path) -> anyhow::Result<Endpoint> {
        let transport = Arc::new(self.transport()?);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from(read(identity, "cert.der")?);
        let key = || -> anyhow::Result<_> {
            PrivateKeyDer::try_from(read(identity, "key.der")?).map_err(|e| anyhow::anyhow!("key.der: {e}"))
        };
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone())?;
        let roots = Arc::new(roots);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build()?;
        let tls13 = &[&rustls::version::TLS13];
        let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(tls13)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.clone()], key()?)?;
        server.alpn_protocols = vec![b"probe/1".to_vec()];
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(tls13)?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key()?)?;
        client.alpn_protocols.clone_from(&server.alpn_protocols);
        let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?));
        server.transport_config(Arc::clone(&transport)).migration(false);
        let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?));
        client.transport_config(transport);
        let mut config = EndpointConfig::default();
        config.max_udp_payload_size(self.mtu.max(FIXED_MTU))?;
        let socket = self.socket(address)?;
        let mut endpoint = Endpoint::new(config, Some(server), socket, Arc::new(quinn::TokioRuntime))?;
        endpoint.set_default_client_config(client);
        Ok(endpoint)
    }

    fn socket(&self, address: SocketAddr) -> anyhow::Result<std::net::UdpSocket> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        if self.socket_bytes > 0 {
            socket.set_send_buffer_size(self.socket_bytes)?;
            socket.set_recv_buffer_size(self.socket_bytes)?;
        }
        socket.bind(&address.into())?;
        Ok(socket.into())
    }
}

fn read(dir: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    std::fs::read(dir.join(name)).with_context(|| name.to_owned())
}

/// Writes a new identity, which all processes of a run share.
pub fn make_identity(dir: &Path) -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    std::fs::write(dir.join("cert.der"), made.cert.der())?;
    std::fs::write(dir.join("key.der"), made.signing_key.serialize_der())?;
    Ok(())
}
