//! Calls between the processes: one JSON document behind its length, one answer a call.
//!
//! A connection is dialled on the first call and again after any failure; a call that is dropped half-way
//! takes its connection with it, since the answer could otherwise meet the next call.

use std::{future::Future, io, time::Duration};

use openraft::{
    BasicNode, OptionalSend, RPCTypes,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{RPCOption, RaftNetworkFactory, v2::RaftNetworkV2},
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    machine::State,
    types::{Cmd, Snapshot, SnapshotMeta, TypeConfig, Vote},
};

/// Longer than any connection attempt on one machine needs.
const CONNECT: Duration = Duration::from_millis(500);
/// How long a follower's disk may take before its leader gives up an attempt.
const DISK: Duration = Duration::from_secs(3);
const FRAME_MAX: u32 = 256 << 20;

#[derive(Serialize, Deserialize)]
pub enum Request {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    Snapshot(Vote, SnapshotMeta, String),
    Write(Cmd),
    Status,
    Dump,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Append(AppendEntriesResponse<TypeConfig>),
    Vote(VoteResponse<TypeConfig>),
    Snapshot(SnapshotResponse<TypeConfig>),
    /// The index, and the leadership that wrote it.
    Written {
        index: u64,
        term: u64,
        node: u64,
        process: u32,
    },
    /// Never proposed; perhaps this node knows who leads.
    Refused {
        leader: Option<u64>,
        reason: String,
    },
    /// Proposed, and perhaps committed.
    Unknown,
    Status(Status),
    Dump(State),
    Failed(String),
}

/// A node's words about itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    pub term: u64,
    pub leader: Option<u64>,
    /// The applied index, 0 if none.
    pub applied: u64,
    pub committed: u64,
    pub snapshot: u64,
    pub purged: u64,
    /// The longest silences of one leader in this process's life, in milliseconds, longest first.
    pub silences: Vec<u64>,
    /// How many silences were longer than a heartbeat interval and a half.
    pub late: u64,
}

pub async fn send<T: Serialize>(stream: &mut TcpStream, value: &T) -> io::Result<()> {
    let body = serde_json::to_vec(value)?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame).await
}

pub async fn receive<T: DeserializeOwned>(stream: &mut TcpStream) -> io::Result<T> {
    let len = stream.read_u32().await?;
    if len > FRAME_MAX {
        return Err(io::Error::other("frame too long"));
    }
    let mut body = vec![0; len as usize];
    stream.read_exact(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum CallError {
    /// The request did not leave.
    Connect(io::Error),
    /// The request may have arrived.
    Lost(io::Error),
    Late,
}

/// One peer, one connection, one call at a time.
pub struct Peer {
    addr: String,
    stream: Option<TcpStream>,
}

impl Peer {
    pub fn new(addr: String) -> Self {
        Self { addr, stream: None }
    }

    pub async fn call(&mut self, request: &Request, within: Duration) -> Result<Answer, CallError> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let dial = timeout(CONNECT.min(within), TcpStream::connect(&self.addr)).await;
                let late = || io::Error::from(io::ErrorKind::TimedOut);
                let stream = dial.map_err(|_| CallError::Connect(late()))?.map_err(CallError::Connect)?;
                stream.set_nodelay(true).map_err(CallError::Connect)?;
                stream
            }
        };
        let exchange = async {
            send(&mut stream, request).await?;
            receive::<Answer>(&mut stream).await
        };
        match timeout(within, exchange).await {
            Ok(Ok(answer)) => {
                self.stream = Some(stream);
                Ok(answer)
            }
            Ok(Err(error)) => Err(CallError::Lost(error)),
            Err(_) => Err(CallError::Late),
        }
    }
}

/// Gives every replication, heartbeat and vote client a connection of its own.
pub struct Network {
    pub me: u64,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Client {
        Client { me: self.me, target, peer: Peer::new(node.addr.clone()) }
    }
}

pub struct Client {
    me: u64,
    target: u64,
    peer: Peer,
}

impl Client {
    async fn rpc(
        &mut self,
        action: RPCTypes,
        request: Request,
        within: Duration,
    ) -> Result<Answer, RPCError<TypeConfig>> {
        match self.peer.call(&request, within).await {
            Ok(Answer::Failed(why)) => Err(NetworkError::from_string(why).into()),
            Ok(answer) => Ok(answer),
            Err(CallError::Connect(error)) => Err(Unreachable::new(&error).into()),
            Err(CallError::Lost(error)) => Err(NetworkError::new(&error).into()),
            Err(CallError::Late) => {
                Err(Timeout { action, id: self.me, target: self.target, timeout: within }.into())
            }
        }
    }
}

fn unexpected<E: From<NetworkError<TypeConfig>>>(answer: &Answer) -> E {
    NetworkError::from_string(format!("unexpected answer: {answer:?}")).into()
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = String;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        // openraft allows three quarters of a heartbeat interval, which suits a heartbeat. Entries wait for a
        // disk; an attempt given up too early is sent again behind a back-off.
        let within = if rpc.entries.is_empty() { option.soft_ttl() } else { DISK };
        match self.rpc(RPCTypes::AppendEntries, Request::Append(rpc), within).await? {
            Answer::Append(response) => Ok(response),
            answer => Err(unexpected(&answer)),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.rpc(RPCTypes::Vote, Request::Vote(rpc), option.soft_ttl()).await? {
            Answer::Vote(response) => Ok(response),
            answer => Err(unexpected(&answer)),
        }
    }

    /// The default of openraft grants without asking.
    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.rpc(RPCTypes::Vote, Request::PreVote(rpc), option.soft_ttl()).await? {
            Answer::Vote(response) => Ok(response),
            answer => Err(unexpected(&answer)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let request = Request::Snapshot(vote, snapshot.meta, snapshot.snapshot);
        let answer = tokio::select! {
            answer = self.rpc(RPCTypes::InstallSnapshot, request, option.soft_ttl()) => answer?,
            closed = cancel => return Err(closed.into()),
        };
        match answer {
            Answer::Snapshot(response) => Ok(response),
            answer => Err(unexpected(&answer)),
        }
    }
}
