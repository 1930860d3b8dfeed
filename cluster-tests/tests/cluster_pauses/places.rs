//! Commits of a group whose coordinator is one node, sent to that node whatever happens.
//!
//! A commit that it acknowledges must be found at the group's coordinator afterwards, whichever node that is by then.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use callboard_cluster_tests::chaos::Map;
use callboard_cluster_tests::process::HANG;
use callboard_cluster_tests::process::wire::{RETRY, Wire, code, name};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;

const COMMIT: i16 = 8;
const FETCH: i16 = 7;
const PATIENCE: Duration = Duration::from_secs(60);
/// Groups that are tried until one has its coordinator on the node. The offsets topic has few partitions.
const TRIES: u32 = 200;

/// The commits of one group without members.
pub struct Commits {
    group: String,
    wire: Wire,
    /// The offset that was acknowledged last, and those under way.
    acked: i64,
    open: Vec<i64>,
}

impl Commits {
    /// A group that this node coordinates.
    pub fn of_node(map: &Map, node: SocketAddr) -> Result<Commits> {
        let until = Instant::now() + HANG;
        while Instant::now() < until {
            for number in 0..TRIES {
                let group = format!("still-{number}");
                if map.coordinator(&group).is_ok_and(|addr| addr == node) {
                    let wire = Wire::connect(node)?.patience(PATIENCE)?;
                    return Ok(Commits { group, wire, acked: -1, open: Vec::new() });
                }
            }
        }
        bail!("the node at {node} coordinates none of {TRIES} groups")
    }

    /// Commits and waits for the acknowledgement.
    pub fn acknowledged(&mut self, offset: i64) -> Result<()> {
        self.send(offset)?;
        let said = self.answers()?;
        ensure!(said == [Some(code::NONE)], "OffsetCommit in health: {said:?}");
        Ok(())
    }

    /// Sends a commit and does not wait.
    pub fn send(&mut self, offset: i64) -> Result<()> {
        let partition =
            OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default().with_name(name("direct"));
        let request = OffsetCommitRequest::default()
            .with_group_id(StrBytes::from_string(self.group.clone()).into())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic.with_partitions(vec![partition])]);
        self.wire.send(COMMIT, &request)?;
        self.open.push(offset);
        Ok(())
    }

    /// The codes of all open commits, in their order; none where the connection ended first.
    pub fn answers(&mut self) -> Result<Vec<Option<i16>>> {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        let mut said = Vec::new();
        for offset in std::mem::take(&mut self.open) {
            let answer = match self.wire.receive::<OffsetCommitRequest>(COMMIT) {
                Ok(answer) => {
                    let topic = answer.topics.first().context("OffsetCommit: no topic in the answer")?;
                    Some(topic.partitions.first().context("OffsetCommit: no partition")?.error_code)
                }
                Err(error) => match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
                    None | Some(WouldBlock | TimedOut) => return Err(error.context("OffsetCommit")),
                    Some(_) => None,
                },
            };
            if answer == Some(code::NONE) {
                self.acked = offset;
            }
            said.push(answer);
        }
        Ok(said)
    }

    /// The present coordinator must know what was acknowledged last, or a commit behind it that stayed without an answer.
    pub fn judge(&self, map: &Map, said: &[Option<i16>]) -> Result<()> {
        let until = Instant::now() + HANG;
        let topic = OffsetFetchRequestTopic::default().with_name(name("direct"));
        let request = OffsetFetchRequest::default()
            .with_group_id(StrBytes::from_string(self.group.clone()).into())
            .with_topics(Some(vec![topic.with_partition_indexes(vec![0])]));
        loop {
            let found =
                map.coordinator(&self.group).and_then(|addr| Wire::connect(addr)?.call(FETCH, &request));
            match found {
                Ok(answer) if answer.error_code == code::NONE => {
                    let topic = answer.topics.first().context("OffsetFetch: no topic in the answer")?;
                    let place =
                        topic.partitions.first().context("OffsetFetch: no partition")?.committed_offset;
                    let group = &self.group;
                    ensure!(
                        place >= self.acked,
                        "{group}: {} was acknowledged, {place} is found ({said:?})",
                        self.acked
                    );
                    return Ok(());
                }
                found if Instant::now() > until => bail!("{}: {found:?}", self.group),
                _ => std::thread::sleep(RETRY),
            }
        }
    }
}
