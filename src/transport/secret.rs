//! The cluster's secret: whoever knows it is a node of the cluster, or may become one.
//!
//! It comes from a file and never leaves the process. A peer sees an HMAC over the exporter of one TLS connection, which
//! proves the secret on that connection only. The gate decides which node may join.

use ring::hmac;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A shorter secret could be guessed from one recorded proof.
const SHORTEST: usize = 16;
const LONGEST: usize = 64 << 10;

/// Why a file gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret file {path} cannot be read: {error}")]
    File { path: String, error: std::io::Error },
    /// Its length is out of bounds.
    #[error(
        "the cluster secret has {0} bytes; it needs {SHORTEST} to {LONGEST}, for example from: openssl rand -hex 32"
    )]
    Length(usize),
}

/// The cluster's secret, ready to prove and to verify.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A secret of these bytes.
    pub fn new(bytes: &[u8]) -> Result<Secret, SecretError> {
        match bytes.len() {
            SHORTEST..=LONGEST => Ok(Secret(hmac::Key::new(hmac::HMAC_SHA256, bytes))),
            length => Err(SecretError::Length(length)),
        }
    }

    /// Reads a file. Line ends behind the secret are not part of it, because editors add them.
    pub fn read(path: &Path) -> Result<Secret, SecretError> {
        let failed = |error| SecretError::File { path: path.display().to_string(), error };
        let file = std::fs::File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.permissions().mode() & 0o004 != 0 {
            tracing::warn!(
                "everybody may read the cluster secret in {}: run chmod 600 on it",
                path.display()
            );
        }
        let mut bytes = Vec::new();
        file.take(LONGEST as u64 + 2).read_to_end(&mut bytes).map_err(failed)?;
        Secret::new(without_line_end(&bytes))
    }

    pub(super) fn sign(&self, words: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, words).as_ref().to_vec()
    }

    /// Compares in constant time.
    pub(super) fn verifies(&self, words: &[u8], proof: &[u8]) -> bool {
        hmac::verify(&self.0, words, proof).is_ok()
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_is_not_part_of_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let plain = Secret::new(b"0123456789abcdef").unwrap();
        for text in ["0123456789abcdef", "0123456789abcdef\n", "0123456789abcdef\r\n"] {
            std::fs::write(&path, text).unwrap();
            let read = Secret::read(&path).unwrap();
            assert!(plain.verifies(b"words", &read.sign(b"words")), "{text:?}");
        }
        std::fs::write(&path, "0123456789abcdef \n").unwrap();
        assert!(!plain.verifies(b"words", &Secret::read(&path).unwrap().sign(b"words")));
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_ever_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "0123456789abcde\n").unwrap();
        let words = Secret::read(&path).unwrap_err().to_string();
        assert!(words.contains("15 bytes"), "{words}");
        assert!(Secret::read(&dir.path().join("none")).is_err());
        assert!(Secret::new(&vec![b'x'; LONGEST + 1]).is_err());
        assert_eq!(format!("{:?}", Secret::new(b"0123456789abcdef").unwrap()), "Secret(…)");
    }
}
