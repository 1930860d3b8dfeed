//! The answers of the seeds. A tick closes a round of probes, and only a whole round says anything about founding.
//!
//! Views may be stale in any way: a wrong one costs time, and never a second cluster, because grants alone decide.

use super::identity::{ClusterId, Grant, Seat, Stage};
use super::messages::ProbeReply;
use super::seeds::SeedList;
use super::words::Word;
use crate::ids::NodeUuid;
use std::collections::{BTreeMap, BTreeSet};

/// Rounds that must agree before anyone founds.
const STABLE: u8 = 2;

/// The round that is open, and how long the seeds have been the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct View {
    /// By place, as many as there are seeds.
    replies: Vec<Option<ProbeReply>>,
    /// The nodes of the last whole round.
    last: Vec<NodeUuid>,
    /// Rounds in a row with these nodes, at most `STABLE`.
    rounds: u8,
}

impl View {
    pub(super) fn new(seeds: &SeedList) -> Self {
        Self { replies: vec![None; seeds.len()], last: Vec::new(), rounds: 0 }
    }

    /// Counts the rounds anew. Only a node whose turn it is to ask needs a count.
    pub(super) fn forget(&mut self) {
        (self.rounds, self.last) = (0, Vec::new());
    }

    /// Takes an answer into the open round; the newest of a seed counts.
    pub(super) fn answer(&mut self, seeds: &SeedList, seed: &str, reply: ProbeReply) {
        let at = seeds.entries().iter().position(|entry| entry == seed);
        if let Some(slot) = at.and_then(|at| self.replies.get_mut(at)) {
            *slot = Some(reply);
        }
    }

    /// Ends the round and begins the next.
    pub(super) fn close(&mut self, seeds: &SeedList, version: u16) -> Round {
        let replies = std::mem::replace(&mut self.replies, vec![None; seeds.len()]);
        let mut round = Round { replies, seeds: seeds.clone(), problems: Vec::new(), stable: false };
        round.problems = round.look(version);
        let nodes: Vec<NodeUuid> = round.answers().map(|(_, reply)| reply.uuid).collect();
        if !round.problems.is_empty() {
            self.forget();
        } else if nodes == self.last {
            self.rounds = STABLE.min(self.rounds + 1);
        } else {
            (self.rounds, self.last) = (1, nodes);
        }
        round.stable = self.rounds >= STABLE;
        round
    }
}

/// One closed round of probes.
pub(super) struct Round {
    replies: Vec<Option<ProbeReply>>,
    seeds: SeedList,
    /// Everything that speaks against founding now.
    pub(super) problems: Vec<Word>,
    /// All seeds are virgins with the same list, and the round before had the same nodes.
    pub(super) stable: bool,
}

impl Round {
    /// Each seed that answered, with its answer, by place.
    pub(super) fn answers(&self) -> impl Iterator<Item = (&str, &ProbeReply)> {
        let pairs = self.seeds.entries().iter().zip(&self.replies);
        pairs.filter_map(|(seed, reply)| reply.as_ref().map(|reply| (seed.as_str(), reply)))
    }

    fn look(&self, version: u16) -> Vec<Word> {
        let mut words = Vec::new();
        let mut nodes: BTreeMap<NodeUuid, String> = BTreeMap::new();
        for (seed, reply) in self.seeds.entries().iter().zip(&self.replies) {
            let seed = seed.clone();
            let Some(reply) = reply else {
                words.push(Word::NotAnswering { seed });
                continue;
            };
            if reply.version != version {
                words.push(Word::VersionDiffers { seed: seed.clone(), here: version, there: reply.version });
            }
            if reply.seeds.hash() != self.seeds.hash() {
                let (only_here, only_there) = self.seeds.differences(&reply.seeds);
                words.push(Word::ListDiffers { seed: seed.clone(), only_here, only_there });
            }
            if reply.stage != Stage::Virgin {
                words.push(Word::NotVirgin { seed: seed.clone(), stage: reply.stage });
            }
            if let Some(first) = nodes.insert(reply.uuid, seed.clone()) {
                words.push(Word::OneNodeTwice { first, second: seed });
            }
        }
        words
    }

    /// The clusters that seeds belong to, each with its seeds.
    pub(super) fn clusters(&self) -> BTreeMap<ClusterId, Vec<String>> {
        let mut clusters: BTreeMap<ClusterId, Vec<String>> = BTreeMap::new();
        for (seed, reply) in self.answers() {
            if let Some(cluster) = &reply.cluster {
                clusters.entry(cluster.clone()).or_default().push(seed.to_owned());
            }
        }
        clusters
    }

    /// The smallest uuid founds, unless a grant names another. This decides who asks, and nothing else.
    pub(super) fn smallest(&self) -> Option<NodeUuid> {
        self.answers().map(|(_, reply)| reply.uuid).min()
    }

    /// Whom the grants name.
    pub(super) fn askers(&self) -> BTreeSet<NodeUuid> {
        self.grants().map(|(_, grant)| grant.asker).collect()
    }

    fn grants(&self) -> impl Iterator<Item = (&str, &Grant)> {
        self.answers().filter_map(|(seed, reply)| reply.grant.as_ref().map(|grant| (seed, grant)))
    }

    pub(super) fn find(&self, uuid: NodeUuid) -> Option<&ProbeReply> {
        self.answers().map(|(_, reply)| reply).find(|reply| reply.uuid == uuid)
    }

    /// A founder's list of the nodes that answered.
    pub(super) fn seats(&self) -> Vec<Seat> {
        let seat = |(place, (_, reply)): (i32, (&str, &ProbeReply))| Seat {
            place,
            uuid: reply.uuid,
            key_hash: reply.key_hash.clone(),
        };
        (1..).zip(self.answers()).map(seat).collect()
    }

    /// Says which promises cannot be kept. It advises emptying a directory only if every seed answered, none is a
    /// Member, and the promised cluster can win no quorum: before that, a directory without data may hold a vote that
    /// a quorum needs.
    pub(super) fn advice(&self) -> Vec<Word> {
        let whole = self.replies.iter().all(Option::is_some);
        if !whole || self.answers().any(|(_, reply)| reply.stage == Stage::Member) {
            return Vec::new();
        }
        let mut words = Vec::new();
        for (seed, grant) in self.grants() {
            let (seed, cluster) = (seed.to_owned(), grant.cluster.clone());
            if self.find(grant.asker).is_none() {
                let asker = grant.asker;
                words.push(Word::FounderGone { seed: seed.clone(), asker, cluster: cluster.clone() });
            }
            if !self.can_form(grant) {
                words.push(Word::Empty { seed, cluster });
            }
        }
        for (seed, reply) in self.answers().filter(|(_, reply)| reply.stage == Stage::Joining) {
            let Some(cluster) = reply.bound.clone() else { continue };
            let seed = seed.to_owned();
            let promised = self.grants().find(|(_, grant)| grant.cluster == cluster);
            let begun = self.answers().any(|(_, reply)| reply.cluster.as_ref() == Some(&cluster));
            match promised {
                Some((_, grant)) if !self.can_form(grant) => words.push(Word::Empty { seed, cluster }),
                None if !begun => words.push(Word::JoinsNothing { seed, cluster }),
                _ => {}
            }
        }
        words.extend(self.two_founders());
        words
    }

    /// Whether the cluster of a grant can still be founded, or win a quorum.
    fn can_form(&self, grant: &Grant) -> bool {
        let founder = self.find(grant.asker);
        if founder.is_some_and(|founder| !founder.founding) {
            // A founder that did not found yet can ask anew, with the nodes of today.
            return self.first_founder().is_none_or(|first| first == grant.asker);
        }
        let voters = grant.voters();
        let alive = voters.iter().filter(|seat| self.find(seat.uuid).is_some()).count();
        // No node can be elected without a log, and only its founder can begin one.
        let begun = self.answers().any(|(_, reply)| reply.cluster.as_ref() == Some(&grant.cluster));
        alive > voters.len() / 2 && (begun || founder.is_some())
    }

    /// The founder that keeps its grants if several could ask anew.
    fn first_founder(&self) -> Option<NodeUuid> {
        self.askers().into_iter().find(|asker| self.find(*asker).is_some_and(|reply| !reply.founding))
    }

    fn two_founders(&self) -> Option<Word> {
        let mut live = self.askers().into_iter().filter(|asker| self.find(*asker).is_some());
        let (one, other) = (live.next()?, live.next()?);
        Some(Word::TwoFounders { one, other })
    }
}
