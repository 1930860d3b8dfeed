//! The words of voters to each other: one question and one answer as JSON, in a call of the port `Calls`.
//!
//! openraft trusts what it is told, and panics on some of what cannot be true. So both sides check what comes in before
//! openraft sees it. The transport has proved who the asker is and bounded the bytes; nothing larger is built from them.

use super::types::{Entry, Lead, LogId, SnapshotMeta, TypeConfig, Vote};
use bytes::Bytes;
use callboard_core::BrokerId;
use callboard_core::metadata::Image;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One call of openraft.
#[derive(Serialize, Deserialize)]
pub enum Question {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    Snapshot(Vote, SnapshotMeta, Arc<Image>),
}

/// The answer to one call.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Append(AppendEntriesResponse<TypeConfig>),
    Vote(VoteResponse<TypeConfig>),
    Snapshot(SnapshotResponse<TypeConfig>),
}

/// The bytes of a question or an answer.
pub fn encode<T: Serialize>(value: &T) -> Result<Bytes, String> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|e| e.to_string())
}

impl Question {
    /// Reads a question, and refuses it unless the asker speaks for itself and says what a node can say.
    pub fn read(from: BrokerId, bytes: &[u8]) -> Result<Question, String> {
        let question: Question = serde_json::from_slice(bytes).map_err(|e| {
            format!("the question does not parse: {e}: do all nodes run builds that fit together?")
        })?;
        question.fits(from).map(|()| question)
    }

    fn fits(&self, from: BrokerId) -> Result<(), String> {
        let (vote, as_leader) = match self {
            Question::Append(rpc) => (rpc.vote, true),
            Question::Snapshot(vote, ..) => (*vote, true),
            Question::Vote(rpc) | Question::PreVote(rpc) => (rpc.vote, false),
        };
        if u64::try_from(from).ok() != Some(vote.leader_id.node_id) {
            return Err(format!("node {from} speaks as node {}", vote.leader_id.node_id));
        }
        if vote.committed != as_leader {
            return Err("the vote does not fit the question".to_owned());
        }
        match self {
            Question::Append(rpc) => consecutive(rpc.prev_log_id, &rpc.entries, vote.leader_id),
            Question::Snapshot(_, meta, _) => match meta.last_log_id {
                Some(last) if last.leader_id <= vote.leader_id && is_node(last) => Ok(()),
                _ => Err("the snapshot does not fit its leader".to_owned()),
            },
            Question::Vote(rpc) | Question::PreVote(rpc) if rpc.last_log_id.is_none_or(is_node) => Ok(()),
            Question::Vote(_) | Question::PreVote(_) => Err("the last entry is of no node".to_owned()),
        }
    }
}

fn is_node(id: LogId) -> bool {
    BrokerId::try_from(id.leader_id.node_id).is_ok()
}

/// Entries follow each other without a gap, and none is of a later leadership than its leader's.
fn consecutive(previous: Option<LogId>, entries: &[Entry], leader: Lead) -> Result<(), String> {
    let mut last = previous;
    for id in previous.into_iter().chain(entries.iter().map(|entry| entry.log_id)) {
        let follows = match last {
            _ if Some(id) == previous => true,
            Some(last) => Some(id.index) == last.index.checked_add(1) && id > last,
            None => id.index == 0,
        };
        if !follows || id.leader_id > leader || !is_node(id) {
            return Err(format!("entry {id} does not follow"));
        }
        last = Some(id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::testing::blank_ent;

    fn lead(term: u64, node_id: u64) -> Lead {
        Lead { term, node_id }
    }

    fn append(vote: Vote, previous: Option<(u64, u64)>, entries: &[(u64, u64)]) -> Question {
        Question::Append(AppendEntriesRequest {
            vote,
            prev_log_id: previous.map(|(term, index)| LogId::new(lead(term, 1), index)),
            entries: entries.iter().map(|(term, index)| blank_ent::<TypeConfig>(*term, 1, *index)).collect(),
            leader_commit: None,
        })
    }

    fn refused(from: BrokerId, question: &Question) -> bool {
        Question::read(from, &encode(question).unwrap()).is_err()
    }

    #[test]
    fn a_node_speaks_for_itself_only() {
        let question = append(Vote::new_committed(3, 2), None, &[]);
        assert!(!refused(2, &question));
        assert!(refused(1, &question));
        assert!(refused(-1, &append(Vote::new_committed(3, u64::MAX), None, &[])));
        let vote = Question::Vote(VoteRequest::new(Vote::new(3, 2), None));
        assert!(!refused(2, &vote) && refused(3, &vote));
    }

    #[test]
    fn what_would_make_openraft_panic_is_refused() {
        let leader = Vote::new_committed(3, 2);
        assert!(!refused(2, &append(leader, Some((1, 4)), &[(1, 5), (3, 6)])));
        assert!(!refused(2, &append(leader, None, &[(0, 0), (1, 1)])));
        for (previous, entries) in [
            (Some((1, 4)), vec![(1, 6)]),
            (Some((1, 4)), vec![(1, 5), (1, 5)]),
            (Some((2, 4)), vec![(1, 5)]),
            (Some((1, 4)), vec![(4, 5)]),
            (Some((4, 4)), vec![]),
            (None, vec![(1, 1)]),
            (Some((1, u64::MAX)), vec![(1, 0)]),
        ] {
            assert!(refused(2, &append(leader, previous, &entries)), "{previous:?} {entries:?}");
        }
        assert!(refused(2, &append(Vote::new(3, 2), None, &[])), "an uncommitted vote leads nobody");
        let snapshot = |term: Option<u64>| {
            let id = term.map(|term| LogId::new(lead(term, 1), 4));
            let meta = SnapshotMeta { last_log_id: id, ..SnapshotMeta::default() };
            Question::Snapshot(leader, meta, Arc::default())
        };
        assert!(!refused(2, &snapshot(Some(3))));
        assert!(refused(2, &snapshot(Some(4))) && refused(2, &snapshot(None)));
        for bytes in [&b""[..], b"{}", b"[[[[", b"{\"Append\":{}}", b"\xff"] {
            assert!(Question::read(2, bytes).is_err());
        }
    }
}
