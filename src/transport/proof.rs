//! The proof of the secret, worth something on one connection, from one side, for one node.
//!
//! ```text
//!   mac = HMAC-SHA256(secret, exporter of this connection | role | uuid | cluster or "virgin")
//! ```
//! A relay between two nodes has two connections with two exporters, so a proof is worth nothing on the other one. The
//! role keeps a side from sending a proof back to its maker. When it is sent, and what follows, stands in `hello.rs`.

use super::secret::Secret;
use callboard_core::NodeUuid;
use callboard_core::bootstrap::ClusterId;
use quinn::Connection;

const EXPORTER: &[u8] = b"EXPORTER-callboard-hello-1";

/// The side that speaks, as a proof names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Dialler = 1,
    Acceptor = 2,
}

/// The inputs of the two proofs of one connection.
pub(super) struct Proof<'a> {
    secret: &'a Secret,
    exporter: [u8; 32],
}

impl<'a> Proof<'a> {
    /// `None` if TLS exports no key.
    pub(super) fn new(secret: &'a Secret, connection: &Connection) -> Option<Proof<'a>> {
        let mut exporter = [0; 32];
        connection.export_keying_material(&mut exporter, EXPORTER, b"").ok()?;
        Some(Proof { secret, exporter })
    }

    pub(super) fn make(&self, role: Role, uuid: NodeUuid, cluster: Option<&ClusterId>) -> Vec<u8> {
        self.secret.sign(&self.words(role, uuid, cluster))
    }

    pub(super) fn check(&self, role: Role, uuid: NodeUuid, cluster: Option<&ClusterId>, mac: &[u8]) -> bool {
        self.secret.verifies(&self.words(role, uuid, cluster), mac)
    }

    fn words(&self, role: Role, uuid: NodeUuid, cluster: Option<&ClusterId>) -> Vec<u8> {
        let mut words = self.exporter.to_vec();
        words.push(role as u8);
        words.extend(uuid.0);
        // The leading byte tells a virgin from a cluster of that name.
        match cluster {
            None => words.extend(b"\0virgin"),
            Some(cluster) => {
                words.push(1);
                words.extend(cluster.0.as_bytes());
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_connection_role_uuid_and_cluster() {
        let secret = Secret::new(b"0123456789abcdef").unwrap();
        let other = Secret::new(b"0123456789abcdeg").unwrap();
        let proof = Proof { secret: &secret, exporter: [7; 32] };
        let (one, two) = (NodeUuid([1; 16]), NodeUuid([2; 16]));
        let named = ClusterId("virgin".to_owned());
        let mac = proof.make(Role::Dialler, one, None);
        assert!(proof.check(Role::Dialler, one, None, &mac));
        assert!(!proof.check(Role::Acceptor, one, None, &mac), "sent back to its maker");
        assert!(!proof.check(Role::Dialler, two, None, &mac));
        assert!(!proof.check(Role::Dialler, one, Some(&named), &mac));
        assert!(!Proof { secret: &secret, exporter: [8; 32] }.check(Role::Dialler, one, None, &mac));
        assert!(!Proof { secret: &other, exporter: [7; 32] }.check(Role::Dialler, one, None, &mac));
        for length in 0..mac.len() {
            assert!(!proof.check(Role::Dialler, one, None, &mac[..length]));
        }
    }
}
