//! Two endpoints in one process, replicas whose actors record what they hear, and frames by hand.

use super::shard::TestShard;
use crate::transport::frame::{self, Items, Lengths, Opened, Packer, encode, open};
use crate::transport::replication::streams::{read_body, read_lengths};
use crate::transport::replication::{Dial, Replicator};
use crate::transport::{NodeKey, tls, words};
use bytes::Bytes;
use callboard_actors::directory::Directory;
use callboard_actors::partition::{Heard, PartitionHandle, ReplicaMsg, TailBudget};
use callboard_core::partition::{Ack, Answer, Cursor, Part, Position, Role, View};
use callboard_core::records::{BatchBuilder, NewRecord};
use callboard_core::{BrokerId, Offset, Peer, TopicId, TopicPartition};
use futures_util::future::BoxFuture;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, ServerConfig};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The leader's node and the follower's, each in its life.
pub const LEADER: BrokerId = 1;
pub const FOLLOWER: Peer = Peer { broker: 2, epoch: 9 };
/// Bytes of a shard's share of the replication pool.
pub const SHARE: usize = 1 << 20;

/// Waits for something that has to come.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.expect("it did not come within 20 s")
}

/// Waits until something is so.
pub async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Two endpoints: one that dials, one that is dialled.
#[derive(Clone)]
pub struct Wire {
    dialler: Endpoint,
    dialled: Endpoint,
}

impl Wire {
    pub fn new() -> Wire {
        let dir = tempfile::tempdir().unwrap();
        let key = NodeKey::open(dir.path()).unwrap();
        let server = ServerConfig::with_crypto(Arc::new(tls::server(&key).unwrap()));
        let client = tls::client(&key).unwrap();
        let at = "127.0.0.1:0".parse().unwrap();
        let mut dialler = Endpoint::client(at).unwrap();
        dialler.set_default_client_config(ClientConfig::new(Arc::new(client)));
        Wire { dialler, dialled: Endpoint::server(server, at).unwrap() }
    }

    /// A new connection, as its dialler and as the other side have it.
    pub async fn connect(&self) -> (Connection, Connection) {
        let dialling = self.dialler.connect(self.dialled.local_addr().unwrap(), "node").unwrap();
        let accepting = async { self.dialled.accept().await.unwrap().await.unwrap() };
        let (dialled, accepted) = tokio::join!(dialling, accepting);
        (dialled.unwrap(), accepted)
    }
}

/// A dialler that hands the other end of each connection to the test, with node and number.
pub struct HandOver {
    wire: Wire,
    to: mpsc::UnboundedSender<(BrokerId, u64, Connection)>,
}

impl Dial for HandOver {
    fn dial(
        &self,
        node: BrokerId,
        _shard: u16,
        number: u64,
    ) -> BoxFuture<'static, Result<Connection, String>> {
        let (wire, to) = (self.wire.clone(), self.to.clone());
        Box::pin(async move {
            let (dialled, accepted) = wire.connect().await;
            to.send((node, number, accepted)).map_err(|_| "nobody is there".to_owned())?;
            Ok(dialled)
        })
    }
}

struct Recorder;

impl Actor for Recorder {
    type Msg = ReplicaMsg;
    type State = (i32, mpsc::UnboundedSender<(i32, Heard)>);
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        _: ActorRef<ReplicaMsg>,
        to: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(to)
    }

    async fn handle(
        &self,
        _: ActorRef<ReplicaMsg>,
        message: ReplicaMsg,
        (partition, to): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let ReplicaMsg::Heard(heard) = message {
            let _ = to.send((*partition, heard));
        }
        Ok(())
    }
}

/// One node: its replication, its replicas, and what their actors heard.
pub struct Node {
    pub replication: Arc<Replicator>,
    pub directory: Arc<Directory>,
    pub tails: TailBudget,
    pub wire: Wire,
    /// Connections that this node dialled, at their other end.
    pub dialled: mpsc::UnboundedReceiver<(BrokerId, u64, Connection)>,
    said: mpsc::UnboundedSender<(i32, Heard)>,
    heard: mpsc::UnboundedReceiver<(i32, Heard)>,
}

pub fn id(partition: i32) -> TopicPartition {
    TopicPartition { topic: TopicId([7; 16]), partition }
}

impl Node {
    pub fn new() -> Node {
        let wire = Wire::new();
        let (to, dialled) = mpsc::unbounded_channel();
        let (said, heard) = mpsc::unbounded_channel();
        let directory = Arc::<Directory>::default();
        let dial = Arc::new(HandOver { wire: wire.clone(), to });
        let replication = Replicator::new(dial, Arc::clone(&directory), 1, SHARE);
        Node { replication, directory, tails: TailBudget::new(64 << 20), wire, dialled, said, heard }
    }

    /// A replica in the directory, with a recorder behind it.
    pub async fn replica(&self, partition: i32, shard: &TestShard) -> Arc<PartitionHandle> {
        let (actor, _) = Actor::spawn(None, Recorder, (partition, self.said.clone())).await.unwrap();
        let shard = Arc::new(shard.clone());
        let handle = Arc::new(PartitionHandle::with_actor(id(partition), Some(shard), actor));
        self.directory.insert(vec![Arc::clone(&handle)]);
        handle
    }

    /// A replica that leads in epoch 3, with an empty log.
    pub async fn leading(&self, partition: i32, shard: &TestShard) -> Arc<PartitionHandle> {
        let handle = self.replica(partition, shard).await;
        handle.publish(View::unknown(Role::Leader, 3));
        handle
    }

    /// The next word that an actor heard.
    pub async fn heard(&mut self) -> (i32, Heard) {
        soon(self.heard.recv()).await.unwrap()
    }

    /// Whether the actors have heard nothing more so far.
    pub fn silent(&mut self) -> bool {
        self.heard.try_recv().is_err()
    }

    /// The other end of the connection that was dialled next, and its number.
    pub async fn dialled(&mut self) -> (u64, Connection) {
        let (node, number, connection) = soon(self.dialled.recv()).await.unwrap();
        assert_eq!(node, LEADER);
        (number, connection)
    }

    /// Appends a batch to a leader's tail, and shows it.
    pub fn append(&self, handle: &Arc<PartitionHandle>, size: usize) -> Bytes {
        let view = handle.view();
        let batch = batch(view.end, size);
        self.tails.push(handle, view.end, view.end + 1, &batch, batch.len());
        handle.publish(View { end: view.end + 1, ..View::clone(&view) });
        batch
    }

    /// A follower by hand. Its connection has this number, and its stream begins with a Position of each partition.
    pub async fn follower(&mut self, number: u64, partitions: &[i32]) -> Hand {
        let (dialled, accepted) = self.wire.connect().await;
        self.replication.accepted(FOLLOWER, 0, number, accepted);
        let (to, from) = dialled.open_bi().await.unwrap();
        let mut hand = Hand { connection: dialled, to, from };
        let positions = partitions.iter().map(|n| words::position(id(*n), &position(number)));
        hand.send(encode(Items::Positions(positions.collect())).unwrap()).await;
        hand
    }
}

/// One end of a subscription, by hand.
pub struct Hand {
    pub connection: Connection,
    pub to: SendStream,
    pub from: RecvStream,
}

/// A frame, read.
#[derive(Debug, Default)]
pub struct Said {
    pub parts: Vec<(i32, Part, Bytes)>,
    pub answers: Vec<(i32, Answer)>,
    pub positions: Vec<(i32, Position)>,
    pub acks: Vec<(i32, Ack)>,
}

pub fn read(lengths: Lengths, body: &Bytes) -> Said {
    let mut said = Said::default();
    match open(lengths, body).unwrap() {
        Opened::Parts(parts) => {
            for (item, bytes) in parts {
                let (id, part) = words::read_part(item).unwrap();
                said.parts.push((id.partition, part, bytes));
            }
        }
        Opened::Diverge(all) => {
            let all = all.iter().map(|item| words::read_diverge(item).unwrap());
            said.answers.extend(all.map(|(id, answer)| (id.partition, answer)));
        }
        Opened::Refused(all) => {
            let all = all.iter().map(|item| words::read_refused(item).unwrap());
            said.answers.extend(all.map(|(id, answer)| (id.partition, answer)));
        }
        Opened::Positions(all) => {
            let all = all.iter().map(|item| words::read_position(item).unwrap());
            said.positions.extend(all.map(|(id, position)| (id.partition, position)));
        }
        Opened::Acks(all) => {
            let all = all.iter().map(|item| words::read_ack(item).unwrap());
            said.acks.extend(all.map(|(id, ack)| (id.partition, ack)));
        }
    }
    said
}

impl Hand {
    /// The leader's end of a connection that a follower's node dialled, once its stream is there.
    pub async fn leader(connection: Connection) -> Hand {
        let (to, from) = soon(connection.accept_bi()).await.unwrap();
        Hand { connection, to, from }
    }

    pub async fn send(&mut self, bytes: Bytes) {
        soon(self.to.write_chunk(bytes)).await.unwrap();
    }

    /// Sends one frame of these parts, each with its batches.
    pub async fn send_parts(&mut self, parts: &[(i32, Part, &[Bytes])]) {
        let mut packer = Packer::default();
        for (partition, part, batches) in parts {
            packer.part(words::part(id(*partition), part)).unwrap();
            batches.iter().for_each(|batch| packer.batch(batch.clone()).unwrap());
        }
        self.send(packer.finish().unwrap().concat().into()).await;
    }

    /// The next frame, and its bytes.
    pub async fn frame(&mut self) -> Said {
        let lengths = soon(read_lengths(&mut self.from)).await.unwrap();
        let body = soon(read_body(&mut self.from, lengths)).await.unwrap();
        assert!(lengths.payload() <= frame::PAYLOAD_MAX);
        read(lengths, &body)
    }

    /// The words with which the other side closed the connection.
    pub async fn closed(&self) -> String {
        match soon(self.connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => String::from_utf8_lossy(&close.reason).into_owned(),
            other => panic!("{other}"),
        }
    }
}

/// A batch of one record, of about this size.
pub fn batch(base: Offset, size: usize) -> Bytes {
    let value = Some(vec![base as u8; size]);
    let record = NewRecord { timestamp: 1, key: None, value, ..NewRecord::default() };
    BatchBuilder::new(base).leader_epoch(3).record(record).build().unwrap().into()
}

/// An empty log's Position in epoch 3.
pub fn position(n: u64) -> Position {
    Position { leader_epoch: 3, n, end: 0, last_epoch: None, written: 0, synced: 0, log_start: 0 }
}

/// The cursor of that Position.
pub fn cursor(n: u64) -> Cursor {
    Cursor::new(FOLLOWER, 3, n, 0, false, 0)
}
