//! The questions of this node's openraft to other voters, over the port `Calls`.
//!
//! openraft gives every call a limit of one heartbeat interval, and enforces it for heartbeats only. Entries wait for a
//! disk. A call given up too early is sent again behind a pause, so calls with entries get a longer limit.
//!
//! A question that never left, or that is refused, makes openraft pause; one that was lost is asked again at once.

use super::types::{Snapshot, TypeConfig, Vote, broker};
use super::wire::{Answer, Question, encode};
use bytes::Bytes;
use callboard_actors::ports::{CallError, Calls, Service};
use callboard_core::BrokerId;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::impls::EmptyNode;
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long a follower's disk may take before its leader gives up an attempt.
const DISK: Duration = Duration::from_secs(3);

/// Makes a client for each voter.
pub struct Network {
    pub me: u64,
    pub calls: Arc<dyn Calls>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _node: &EmptyNode) -> Client {
        Client { me: self.me, target, to: broker(target), calls: Arc::clone(&self.calls) }
    }
}

/// The way to one voter.
pub struct Client {
    me: u64,
    target: u64,
    to: BrokerId,
    calls: Arc<dyn Calls>,
}

fn failed(why: impl ToString) -> RPCError<TypeConfig> {
    NetworkError::from_string(why).into()
}

impl Client {
    async fn ask(
        &self,
        action: RPCTypes,
        question: Bytes,
        within: Duration,
    ) -> Result<Answer, RPCError<TypeConfig>> {
        let asked = self.calls.call(self.to, Service::Raft, question, within);
        match tokio::time::timeout(within, asked).await {
            Ok(Ok(answer)) => serde_json::from_slice(&answer).map_err(failed),
            Ok(Err(error @ (CallError::NotSent(_) | CallError::Refused(_)))) => {
                Err(Unreachable::new(&error).into())
            }
            Ok(Err(error @ CallError::Lost(_))) => Err(NetworkError::new(&error).into()),
            Err(_) => Err(Timeout { action, id: self.me, target: self.target, timeout: within }.into()),
        }
    }

    async fn ask_vote(
        &self,
        question: &Question,
        within: Duration,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let question = encode(question).map_err(failed)?;
        match self.ask(RPCTypes::Vote, question, within).await? {
            Answer::Vote(response) => Ok(response),
            answer => Err(unexpected(&answer)),
        }
    }
}

fn unexpected(answer: &Answer) -> RPCError<TypeConfig> {
    failed(format!("unexpected answer: {answer:?}"))
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = Arc<callboard_core::metadata::Image>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let within = if rpc.entries.is_empty() { option.soft_ttl() } else { DISK };
        let first = rpc.prev_log_id;
        let last = rpc.entries.last().map(|entry| entry.log_id).or(first);
        let question = encode(&Question::Append(rpc)).map_err(failed)?;
        match self.ask(RPCTypes::AppendEntries, question, within).await? {
            // openraft takes both answers for granted, and would panic.
            answer @ Answer::Append(AppendEntriesResponse::Conflict) if first.is_none() => {
                Err(unexpected(&answer))
            }
            Answer::Append(AppendEntriesResponse::PartialSuccess(upto)) if upto < first || upto > last => {
                Err(failed("more or less was taken than was sent"))
            }
            Answer::Append(response) => Ok(response),
            answer => Err(unexpected(&answer)),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(&Question::Vote(rpc), option.soft_ttl()).await
    }

    /// The default of openraft grants without asking.
    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(&Question::PreVote(rpc), option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let question = Question::Snapshot(vote, snapshot.meta, snapshot.snapshot);
        // An image of many partitions takes longer to write than a heartbeat may.
        let bytes = tokio::task::spawn_blocking(move || encode(&question)).await;
        let bytes = bytes.map_err(failed)?.map_err(failed)?;
        let answer = tokio::select! {
            answer = self.ask(RPCTypes::InstallSnapshot, bytes, option.soft_ttl()) => answer?,
            closed = cancel => return Err(closed.into()),
        };
        match answer {
            Answer::Snapshot(response) => Ok(response),
            answer => Err(unexpected(&answer).into()),
        }
    }
}
