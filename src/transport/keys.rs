//! A node's own key, made at its first start and kept for the life of its data directory.
//!
//! ```text
//!   node.key ── private key ──┬── TLS: proves the same node at each connection; the cluster commits the certificate's hash
//!                             ├── HMAC "reset"  ──> key of the endpoint's stateless resets
//!                             └── HMAC "id"     ──> seed of its connection ids
//! ```
//! Both derived keys outlive a crash, so a peer's packet to the former process is answered with a reset at once. With
//! random keys a peer would learn of the restart only from its idle timeout.
//!
//! The file holds the certificate too, because a certificate that is made anew has another hash. No authority signs it:
//! the hello proves the cluster's secret (`hello.rs`).

use super::hex;
use rcgen::{CertificateParams, DnType, KeyPair, KeyUsagePurpose};
use ring::{digest, hmac};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The file's name in the data directory.
pub const FILE: &str = "node.key";
/// The name in every certificate. A connection is proved by key, secret and uuid, never by a name.
pub const NAME: &str = "callboard.internal";
const FORMAT: u16 = 1;
/// Largest file that is read.
const LARGEST: u64 = 64 << 10;

/// Why a node has no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system failed.
    #[error("{FILE} in {dir}: {error}; check the directory's owner, its rights and free space")]
    File { dir: String, error: io::Error },
    /// The file is there and holds no key.
    #[error(
        "{FILE} in {dir} is damaged ({why}); restore it, or empty the whole directory and let the node join anew"
    )]
    Damaged { dir: String, why: String },
    /// The library made no key.
    #[error("no key could be made: {0}")]
    Made(rcgen::Error),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u16,
    key: String,
    certificate: String,
}

/// The key, its certificate and the hash that the cluster knows it by.
pub struct NodeKey {
    key: PrivatePkcs8KeyDer<'static>,
    certificate: CertificateDer<'static>,
    hash: String,
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeKey").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// The hash that names a certificate: SHA-256 of its DER, in hex.
#[must_use]
pub fn hash_of(certificate: &[u8]) -> String {
    hex::write(digest::digest(&digest::SHA256, certificate).as_ref())
}

impl NodeKey {
    /// Reads the key of a data directory, or makes it. It blocks for a file and, once, for two syncs.
    pub fn open(dir: &Path) -> Result<NodeKey, KeyError> {
        match read(dir) {
            Ok(Some(text)) => parse(&text).map_err(|why| KeyError::Damaged { dir: shown(dir), why }),
            Ok(None) => make(dir),
            Err(error) => Err(KeyError::File { dir: shown(dir), error }),
        }
    }

    /// The certificate's hash, in hex.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    pub(super) fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }

    /// The key of stateless resets.
    pub(super) fn reset_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.derive(b"callboard stateless reset 1"))
    }

    /// The seed of connection ids.
    pub(super) fn id_seed(&self) -> u64 {
        let bytes = self.derive(b"callboard connection id 1");
        bytes.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
    }

    fn derive(&self, label: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.secret_pkcs8_der());
        hmac::sign(&key, label).as_ref().to_vec()
    }
}

fn shown(dir: &Path) -> String {
    dir.display().to_string()
}

fn read(dir: &Path) -> io::Result<Option<String>> {
    let path = dir.join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        tracing::warn!("others may read {}: run chmod 600 on it", path.display());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn parse(text: &str) -> Result<NodeKey, String> {
    let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if stored.format != FORMAT {
        return Err(format!("format {} is not {FORMAT}: a newer release wrote it", stored.format));
    }
    let key = hex::read(&stored.key).ok_or("the key is not hex")?;
    let certificate = hex::read(&stored.certificate).ok_or("the certificate is not hex")?;
    KeyPair::try_from(key.as_slice()).map_err(|error| error.to_string())?;
    Ok(node_key(key, certificate))
}

fn node_key(key: Vec<u8>, certificate: Vec<u8>) -> NodeKey {
    let hash = hash_of(&certificate);
    NodeKey { key: key.into(), certificate: certificate.into(), hash }
}

fn make(dir: &Path) -> Result<NodeKey, KeyError> {
    let pair = KeyPair::generate().map_err(KeyError::Made)?;
    let mut params = CertificateParams::new([NAME.to_owned()]).map_err(KeyError::Made)?;
    params.distinguished_name.push(DnType::CommonName, "callboard node");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    // RFC 5280's date for a certificate that does not expire.
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    let certificate = params.self_signed(&pair).map_err(KeyError::Made)?;
    let made = node_key(pair.serialize_der(), certificate.der().to_vec());
    let stored = Stored {
        format: FORMAT,
        key: hex::write(made.key.secret_pkcs8_der()),
        certificate: hex::write(&made.certificate),
    };
    let text = serde_json::to_string_pretty(&stored).map_err(io::Error::other);
    text.and_then(|text| write(dir, &text)).map_err(|error| KeyError::File { dir: shown(dir), error })?;
    Ok(made)
}

/// Writes the whole file or none of it.
fn write(dir: &Path, text: &str) -> io::Result<()> {
    let aside = dir.join("node.key.tmp");
    // A former attempt may have left it, with other rights.
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&aside, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = NodeKey::open(dir.path()).unwrap();
        let again = NodeKey::open(dir.path()).unwrap();
        assert_eq!(first.hash(), again.hash());
        assert_eq!(first.id_seed(), again.id_seed());
        assert_eq!(first.hash(), hash_of(&again.certificate));
        assert_eq!(first.hash().len(), 64);
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no file is left aside");
        let other = tempfile::tempdir().unwrap();
        let other = NodeKey::open(other.path()).unwrap();
        assert_ne!(first.hash(), other.hash());
        assert_ne!(first.id_seed(), other.id_seed());
    }

    #[test]
    fn a_damaged_file_is_refused_in_words_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        NodeKey::open(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        let whole = std::fs::read_to_string(&path).unwrap();
        for damaged in [
            String::new(),
            whole[..whole.len() / 2].to_owned(),
            whole.replace("\"format\": 1", "\"format\": 2"),
            whole.replacen("\"key\": \"30", "\"key\": \"31", 1),
        ] {
            std::fs::write(&path, &damaged).unwrap();
            let words = NodeKey::open(dir.path()).unwrap_err().to_string();
            assert!(words.contains("damaged"), "{words}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn what_a_killed_start_left_aside_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("node.key.tmp"), "half").unwrap();
        NodeKey::open(dir.path()).unwrap();
        assert!(!dir.path().join("node.key.tmp").exists());
    }
}
