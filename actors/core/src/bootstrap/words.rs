//! The words of a node to its operator while no cluster forms: which seed to mend, and how.

use super::identity::{ClusterId, Stage};
use crate::ids::NodeUuid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One line for the operator.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Word {
    NotAnswering {
        seed: String,
    },
    ListDiffers {
        seed: String,
        only_here: Vec<String>,
        only_there: Vec<String>,
    },
    VersionDiffers {
        seed: String,
        here: u16,
        there: u16,
    },
    /// Two addresses lead to one node.
    OneNodeTwice {
        first: String,
        second: String,
    },
    /// A seed that belongs to a cluster, or left one, cannot found.
    NotVirgin {
        seed: String,
        stage: Stage,
    },
    NotASeed,
    /// Without seeds this directory cannot keep the promise that it gave with them.
    PromisedWithSeeds,
    WaitsForFounder {
        asker: NodeUuid,
    },
    WaitsForRaft {
        cluster: ClusterId,
    },
    WaitsToJoin {
        cluster: ClusterId,
    },
    /// A grant names a founder that no seed is any more.
    FounderGone {
        seed: String,
        asker: NodeUuid,
        cluster: ClusterId,
    },
    /// Two founders have a part of the seeds each, because a seed was emptied meanwhile.
    TwoFounders {
        one: NodeUuid,
        other: NodeUuid,
    },
    /// The one way on: this seed's promise can never be kept.
    Empty {
        seed: String,
        cluster: ClusterId,
    },
    /// No seed has anything of the cluster that this one joins.
    JoinsNothing {
        seed: String,
        cluster: ClusterId,
    },
    Refused {
        seed: String,
        why: Refusal,
    },
    TwoClusters {
        one: ClusterId,
        other: ClusterId,
    },
    /// This directory's promise and the cluster that it met differ.
    PromisedElsewhere {
        promised: ClusterId,
        met: ClusterId,
    },
    ForeignCluster {
        own: ClusterId,
        met: ClusterId,
    },
    Removed {
        cluster: ClusterId,
    },
}

/// The reason of a seed that says no.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Refusal {
    NotVirgin(Stage),
    /// It promised itself to this node.
    Granted(NodeUuid),
    /// It promised this asker a higher round already.
    OldRound(u64),
    /// The list of seeds is another.
    OtherList,
    /// The list of nodes does not have this node at its place.
    NotListed,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::NotAnswering { seed } => write!(f, "seed {seed} does not answer"),
            Word::ListDiffers { seed, only_here, only_there } => {
                write!(f, "seed {seed} has another seed list")?;
                said(f, "only here", only_here)?;
                said(f, "only there", only_there)?;
                f.write_str("; give every node the same --seeds")
            }
            Word::VersionDiffers { seed, here, there } => {
                write!(f, "seed {seed} speaks protocol version {there}, this node {here}; run one release")
            }
            Word::OneNodeTwice { first, second } => {
                write!(f, "seeds {first} and {second} are one node; name each node once")
            }
            Word::NotVirgin { seed, stage } => write!(f, "seed {seed} {}", stage_of(*stage)),
            Word::NotASeed => f.write_str("no seed is this node, so it waits for a cluster to join"),
            Word::PromisedWithSeeds => {
                f.write_str("this directory took part in a forming with --seeds; start it with them")
            }
            Word::WaitsForFounder { asker } => write!(f, "waits for node {asker} to found the cluster"),
            Word::WaitsForRaft { cluster } => {
                write!(f, "waits until a quorum of the seeds commits cluster {cluster}")
            }
            Word::WaitsToJoin { cluster } => {
                write!(f, "waits until cluster {cluster} takes this node; it needs a quorum of its voters")
            }
            Word::FounderGone { seed, asker, cluster } => {
                write!(f, "seed {seed} promised itself to node {asker} for cluster {cluster}, ")?;
                f.write_str("and no seed is that node any more")
            }
            Word::TwoFounders { one, other } => {
                write!(f, "nodes {one} and {other} both found, and each has only some of the seeds")
            }
            Word::Empty { seed, cluster } => {
                write!(f, "cluster {cluster} can form no more; empty the data directory of seed {seed} ")?;
                f.write_str("and start it again")
            }
            Word::JoinsNothing { seed, cluster } => {
                write!(f, "seed {seed} joins cluster {cluster}, which no seed belongs to; if none of its ")?;
                write!(f, "nodes lives, empty the data directory of seed {seed} and start it again")
            }
            Word::Refused { seed, why } => write!(f, "seed {seed} refuses: {why}"),
            Word::TwoClusters { one, other } => {
                write!(f, "the seeds belong to two clusters, {one} and {other}; mend --seeds")
            }
            Word::PromisedElsewhere { promised, met } => {
                write!(f, "this directory is promised to cluster {promised} and met cluster {met}; ")?;
                f.write_str("mend --seeds, or empty the directory if the met cluster is the right one")
            }
            Word::ForeignCluster { own, met } => {
                write!(f, "INCONSISTENT_CLUSTER_ID: this node is of cluster {own} and met cluster {met}")
            }
            Word::Removed { cluster } => {
                write!(
                    f,
                    "NODE_REMOVED: cluster {cluster} removed this node; empty its directory to come back"
                )
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotVirgin(stage) => write!(f, "it {}", stage_of(*stage)),
            Refusal::Granted(asker) => write!(f, "it promised itself to node {asker}"),
            Refusal::OldRound(round) => write!(f, "it answered round {round} already"),
            Refusal::OtherList => f.write_str("its seed list differs"),
            Refusal::NotListed => f.write_str("the founder's list does not have it at its place"),
        }
    }
}

fn stage_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Virgin => "belongs to no cluster",
        Stage::Joining => "is joining a cluster",
        Stage::Member => "is a member of a cluster",
        Stage::Removed => "was removed from its cluster; empty its data directory",
    }
}

fn said(f: &mut fmt::Formatter<'_>, place: &str, entries: &[String]) -> fmt::Result {
    if entries.is_empty() { Ok(()) } else { write!(f, "; {place}: {}", entries.join(", ")) }
}
