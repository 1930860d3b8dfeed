//! TLS 1.3 of the connections between nodes: both sides show a certificate and prove that they own its key.
//!
//! No authority signs these certificates, so any is accepted here. The signature over the handshake is verified like
//! everywhere else, so nobody shows a certificate of another. Whether the peer belongs to the cluster is proved by the
//! hello, with an HMAC over this connection's exporter. Sessions are not resumed, and no data travels before the
//! handshake is over.

use super::keys::NodeKey;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};
use std::sync::Arc;

/// The protocol's name in the handshake.
pub(super) const PROTOCOL: &[u8] = b"callboard/1";

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The key or the settings were refused.
    #[error("the node's key does not do for TLS: {0}; restore node.key")]
    Rustls(#[from] Error),
    /// A cipher that QUIC needs is missing.
    #[error("this build lacks the cipher that QUIC begins with: {0}")]
    Cipher(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// The side that accepts.
pub(super) fn server(key: &NodeKey) -> Result<QuicServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(AnyOwner::new(&provider));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![key.certificate()], key.private())?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    Ok(QuicServerConfig::try_from(config)?)
}

/// The side that dials.
pub(super) fn client(key: &NodeKey) -> Result<QuicClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(AnyOwner::new(&provider));
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(vec![key.certificate()], key.private())?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    Ok(QuicClientConfig::try_from(config)?)
}

/// The hash of the certificate that the peer owns.
pub(super) fn peer_hash(connection: &quinn::Connection) -> Option<String> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    chain.first().map(|certificate| super::keys::hash_of(certificate))
}

/// Accepts any certificate whose owner signed the handshake.
#[derive(Debug)]
struct AnyOwner(WebPkiSupportedAlgorithms);

impl AnyOwner {
    fn new(provider: &CryptoProvider) -> AnyOwner {
        AnyOwner(provider.signature_verification_algorithms)
    }

    fn signed(
        &self,
        words: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(words, certificate, signature, &self.0)
    }
}

fn too_old() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
}

impl ServerCertVerifier for AnyOwner {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _words: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        too_old()
    }

    fn verify_tls13_signature(
        &self,
        words: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(words, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl ClientCertVerifier for AnyOwner {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _words: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        too_old()
    }

    fn verify_tls13_signature(
        &self,
        words: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(words, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_for_both_sides_and_a_foreign_certificate_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let key = NodeKey::open(dir.path()).unwrap();
        assert!(server(&key).is_ok());
        assert!(client(&key).is_ok());
        let other = tempfile::tempdir().unwrap();
        NodeKey::open(other.path()).unwrap();
        let text = |dir: &std::path::Path| std::fs::read_to_string(dir.join("node.key")).unwrap();
        let part = |text: &str, name: &str| {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            value[name].as_str().unwrap().to_owned()
        };
        let (own, foreign) = (text(dir.path()), text(other.path()));
        let mixed = own.replace(&part(&own, "certificate"), &part(&foreign, "certificate"));
        std::fs::write(dir.path().join("node.key"), mixed).unwrap();
        let mixed = NodeKey::open(dir.path()).unwrap();
        assert!(matches!(server(&mixed), Err(TlsError::Rustls(_))));
    }
}
