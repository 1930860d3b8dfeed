//! The answers of this node's openraft to the questions of other voters.
//!
//! A question is checked before openraft sees it (`wire.rs`). An error is told to the asker in words.

use super::machine::Raft;
use super::types::Snapshot;
use super::wire::{Answer, Question, encode};
use bytes::Bytes;
use callboard_core::BrokerId;

/// Answers one question of a node, whose connection has proved its id.
pub async fn answer(raft: &Raft, from: BrokerId, question: &[u8]) -> Result<Bytes, String> {
    let answer = match Question::read(from, question)? {
        Question::Append(rpc) => Answer::Append(raft.append_entries(rpc).await.map_err(|e| e.to_string())?),
        Question::Vote(rpc) => Answer::Vote(raft.vote(rpc).await.map_err(|e| e.to_string())?),
        Question::PreVote(rpc) => Answer::Vote(raft.pre_vote(rpc).await.map_err(|e| e.to_string())?),
        Question::Snapshot(vote, meta, image) => {
            let snapshot = Snapshot { meta, snapshot: image };
            let installed = raft.install_full_snapshot(vote, snapshot).await;
            Answer::Snapshot(installed.map_err(|e| e.to_string())?)
        }
    };
    encode(&answer)
}
