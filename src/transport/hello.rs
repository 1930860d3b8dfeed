//! The hello: the first stream of each connection, on which both sides prove the secret and say who they are.
//!
//! ```text
//!   dialler  ── u32 length | JSON { words, kind, mac } ──>  acceptor: secret first, then the gate, then its own words
//!   dialler  <── u32 length | JSON { welcome: words, mac } or { refused: reason, words } ──  acceptor
//! ```
//! The mac proves the secret on this one connection (`proof.rs`). A peer with a wrong secret is told only that it is wrong.
//! Here stands no judgement about clusters and directories: the gate has it.

use super::gate::Gate;
use super::hex;
use super::message::{Broken, Inbox, Outbox};
use super::proof::{Proof, Role};
use super::refusal::{Reason, Refusal};
use super::secret::Secret;
use super::tls;
use bytes::Bytes;
use callboard_core::bootstrap::ClusterId;
use callboard_core::bootstrap::hello::{Hello, HelloRefusal};
use callboard_core::{BrokerEpoch, NodeUuid, ProcessId};
use quinn::{Connection, ConnectionError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Time for handshake and hello together.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// Abilities of this build beyond the protocol's version.
pub(super) const FEATURES: u16 = 1;
const LARGEST: usize = 64 << 10;
const OTHER_SECRET: &str = "the cluster secrets differ; give every node the same secret file";

/// The use of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Control,
    /// Replication for one shard of the follower that dials. The number rises in its process (R37).
    Data {
        shard: u16,
        number: u64,
    },
}

/// A peer that proved the secret and that the gate let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Met {
    pub hello: Hello,
    pub key_hash: String,
    pub epoch: Option<BrokerEpoch>,
    pub kind: Kind,
}

/// Why two nodes do not talk.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("refused here: {0}")]
    Refused(Refusal),
    #[error("refused there: {0}")]
    Told(Refusal),
    /// The connection did not last.
    #[error("{0}")]
    Lost(String),
}

impl Failed {
    pub(super) fn of(error: &ConnectionError) -> Failed {
        Refusal::told(error).map_or_else(|| Failed::Lost(error.to_string()), Failed::Told)
    }
}

impl From<Broken> for Failed {
    fn from(broken: Broken) -> Failed {
        match broken {
            Broken::Connection(error) => Failed::of(&error),
            other => malformed(&other.to_string()),
        }
    }
}

fn malformed(why: &str) -> Failed {
    Failed::Refused(Refusal::new(Reason::Malformed, &format!("the hello cannot be read: {why}")))
}

/// A side's words, as they travel. Unknown fields are passed over, for newer releases.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Words {
    version: u16,
    cluster: Option<ClusterId>,
    cluster_epoch: u64,
    uuid: NodeUuid,
    incarnation: u64,
    processes: Vec<ProcessId>,
    granted: BrokerEpoch,
    kind: Kind,
    epoch: Option<BrokerEpoch>,
    features: u16,
    mac: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Welcome(Words),
    Refused { reason: String, words: String },
}

impl Words {
    fn of(gate: &dyn Gate, kind: Kind, prove: impl FnOnce(&Hello) -> Vec<u8>) -> Words {
        let hello = gate.hello();
        let mac = hex::write(&prove(&hello));
        let Hello { version, cluster, cluster_epoch, uuid, incarnation, processes, granted } = hello;
        let epoch = gate.epoch();
        let features = FEATURES;
        Words {
            version,
            cluster,
            cluster_epoch,
            uuid,
            incarnation,
            processes,
            granted,
            kind,
            epoch,
            features,
            mac,
        }
    }

    fn hello(self) -> Hello {
        let Words { version, cluster, cluster_epoch, uuid, incarnation, processes, granted, .. } = self;
        Hello { version, cluster, cluster_epoch, uuid, incarnation, processes, granted }
    }
}

/// One side of hellos: its gate and its secret.
#[derive(Clone, Copy)]
pub(super) struct Greeter<'a> {
    pub gate: &'a dyn Gate,
    pub secret: &'a Secret,
}

impl<'a> Greeter<'a> {
    /// Says hello on a connection that this node dialled. A refusal of this side closes it with the words.
    pub(super) async fn dialled(
        self,
        connection: &Connection,
        kind: Kind,
        expected: Option<NodeUuid>,
    ) -> Result<Met, Failed> {
        let met = self.ask(connection, kind, expected).await;
        match &met {
            Ok(met) => self.gate.met(&met.hello),
            Err(Failed::Refused(refusal)) => refusal.close(connection),
            Err(_) => {}
        }
        met
    }

    async fn ask(
        self,
        connection: &Connection,
        kind: Kind,
        expected: Option<NodeUuid>,
    ) -> Result<Met, Failed> {
        let proof = self.proof(connection)?;
        let (send, recv) = connection.open_bi().await.map_err(|error| Failed::of(&error))?;
        let (mut outbox, mut inbox) = (Outbox::new(send), Inbox::new(recv));
        let own =
            Words::of(self.gate, kind, |hello| proof.make(Role::Dialler, hello.uuid, hello.cluster.as_ref()));
        write(&mut outbox, &own).await?;
        let answer: Answer = read(&mut inbox).await?;
        outbox.settle();
        match answer {
            Answer::Refused { reason, words } => Err(Failed::Told(Refusal::new(Reason::of(&reason), &words))),
            Answer::Welcome(words) => {
                proved(&proof, Role::Acceptor, &words)?;
                self.judge(connection, words, expected)
            }
        }
    }

    /// Hears the hello of a connection that this node accepted. `admit` is asked last, before the welcome leaves.
    ///
    /// A refusal is answered and closes the connection. The caller sets the time limit.
    pub(super) async fn accepted(
        self,
        connection: &Connection,
        admit: impl FnOnce(&Met) -> Result<(), Refusal>,
    ) -> Result<Met, Failed> {
        let (send, recv) = connection.accept_bi().await.map_err(|error| Failed::of(&error))?;
        let (mut outbox, mut inbox) = (Outbox::new(send), Inbox::new(recv));
        match self.hear(connection, &mut inbox, admit).await {
            Ok((met, welcome)) => {
                write(&mut outbox, &Answer::Welcome(welcome)).await?;
                outbox.settle();
                self.gate.met(&met.hello);
                Ok(met)
            }
            Err(Failed::Refused(refusal)) => {
                inbox.stop();
                let reason = refusal.reason.name().to_owned();
                let answer = Answer::Refused { reason, words: refusal.words.clone() };
                if write(&mut outbox, &answer).await.is_ok() {
                    // A close drops what has not arrived, so the words go first.
                    let _ = tokio::time::timeout(Duration::from_secs(1), outbox.arrived()).await;
                }
                refusal.close(connection);
                Err(Failed::Refused(refusal))
            }
            Err(failed) => Err(failed),
        }
    }

    async fn hear(
        self,
        connection: &Connection,
        inbox: &mut Inbox,
        admit: impl FnOnce(&Met) -> Result<(), Refusal>,
    ) -> Result<(Met, Words), Failed> {
        let proof = self.proof(connection)?;
        let words: Words = read(inbox).await?;
        proved(&proof, Role::Dialler, &words)?;
        let met = self.judge(connection, words, None)?;
        admit(&met).map_err(Failed::Refused)?;
        let own = Words::of(self.gate, met.kind, |hello| {
            proof.make(Role::Acceptor, hello.uuid, hello.cluster.as_ref())
        });
        Ok((met, own))
    }

    fn proof(self, connection: &Connection) -> Result<Proof<'a>, Failed> {
        Proof::new(self.secret, connection)
            .ok_or_else(|| Failed::Lost("TLS exports no key for the proof".to_owned()))
    }

    fn judge(self, connection: &Connection, words: Words, expected: Option<NodeUuid>) -> Result<Met, Failed> {
        let key_hash =
            tls::peer_hash(connection).ok_or_else(|| malformed("the peer shows no certificate"))?;
        let (kind, epoch) = (words.kind, words.epoch);
        let hello = words.hello();
        let refused = |refusal: HelloRefusal| Failed::Refused(refusal.into());
        self.gate.judge(&hello, &key_hash, expected).map_err(refused)?;
        match expected {
            Some(dialled) if dialled != hello.uuid => {
                Err(refused(HelloRefusal::OtherNode { dialled, found: hello.uuid }))
            }
            _ => Ok(Met { hello, key_hash, epoch, kind }),
        }
    }
}

fn proved(proof: &Proof<'_>, role: Role, words: &Words) -> Result<(), Failed> {
    let mac = hex::read(&words.mac).unwrap_or_default();
    match proof.check(role, words.uuid, words.cluster.as_ref(), &mac) {
        true => Ok(()),
        false => Err(Failed::Refused(Refusal::new(Reason::Secret, OTHER_SECRET))),
    }
}

async fn write(outbox: &mut Outbox, words: &impl Serialize) -> Result<(), Failed> {
    let json = serde_json::to_vec(words).map_err(|error| Failed::Lost(error.to_string()))?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length as usize <= LARGEST);
    let length = length.ok_or_else(|| malformed("this node's own hello is too long"))?;
    Ok(outbox.send(Bytes::copy_from_slice(&length.to_le_bytes()), json.into()).await?)
}

async fn read<T: DeserializeOwned>(inbox: &mut Inbox) -> Result<T, Failed> {
    let length = u32::from_le_bytes(inbox.exactly().await?) as usize;
    if length > LARGEST {
        return Err(malformed(&format!("it announces {length} bytes, and {LARGEST} is the most")));
    }
    let json = inbox.body(length).await?;
    serde_json::from_slice(&json).map_err(|error| malformed(&error.to_string()))
}
