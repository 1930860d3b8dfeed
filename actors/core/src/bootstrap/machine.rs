//! [`BootstrapMachine`]: how nodes that know only a list of addresses become one cluster, and never two (I21).
//!
//! ```text
//!   probes ──> all seeds virgin, same list, twice ──> one asks ──> every seed grants, durably, once ──> it founds
//!      └────> a seed has a cluster ──> join it                           └──> Raft commits `Cluster` ──> Member
//! ```
//! Safety rests on the grants alone: two founders would each need a yes from every seed, and a seed that keeps its disk
//! says yes to one. Probes, rounds and the smallest uuid only decide who tries. Everything is synced before an answer
//! that rests on it leaves, so `self.identity` is always what the disk holds.
//!
//! The machine knows neither Raft nor the network. It has no timer that takes a promise back.

use super::identity::{ClusterId, Grant, Identity, Promises, Seat, Stage, Standing};
use super::messages::{Effect, Fresh, GrantAnswer, Input, JoinOutcome, ProbeReply};
use super::seeds::SeedList;
use super::view::{Round, View};
use super::words::Word;
use crate::ids::{BrokerId, NodeUuid, Ticket};
use crate::machine::{Effects, Machine};
use crate::mutant::{Mutant, planted};
use crate::time::{Millis, Now};
use std::collections::BTreeSet;

/// Milliseconds between two rounds of probes, without the jitter.
const PROBE_EVERY: u64 = 500;

/// The operator's settings, and the version of this build.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Settings {
    pub seeds: SeedList,
    /// Hash of this node's public key.
    pub key_hash: String,
    pub version: u16,
}

/// The step that follows once a write is synced.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum After {
    Begin,
    Ask,
    /// Yes to a founder; without a ticket it is this node.
    Yes(Option<Ticket>),
    Found,
    Join(Vec<String>),
    Learn,
    Serve,
    End(Word),
}

/// Forms or joins a cluster; see the head of this file.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BootstrapMachine {
    pub(super) settings: Settings,
    /// As it is on disk.
    pub(super) identity: Identity,
    pub(super) fresh: Fresh,
    /// The write in flight.
    pub(super) writing: Option<(Identity, After)>,
    pub(super) view: View,
    /// Places that said yes to the draft.
    pub(super) yes: BTreeSet<BrokerId>,
    /// The Raft log is not empty.
    raft_holds: bool,
    /// The cluster whose record `Cluster` was applied here.
    committed: Option<ClusterId>,
    unfenced: bool,
    serving: bool,
    /// The start is on disk: from here on packets may leave.
    begun: bool,
    ended: bool,
    deadline: Option<Millis>,
}

impl BootstrapMachine {
    /// A machine over the identity that was loaded; without one the directory is empty. `raft_holds` says that the Raft
    /// log is not empty.
    #[must_use]
    pub fn new(settings: Settings, loaded: Option<Identity>, fresh: Fresh, raft_holds: bool) -> Self {
        Self {
            view: View::new(&settings.seeds),
            settings,
            identity: loaded.unwrap_or_else(|| Identity::new(fresh.uuid)),
            fresh,
            writing: None,
            yes: BTreeSet::new(),
            raft_holds,
            committed: None,
            unfenced: false,
            serving: false,
            begun: false,
            ended: false,
            deadline: None,
        }
    }

    /// The identity as it is on disk.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether a write is in flight. A founder's question gets no answer meanwhile.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether the machine said `Stop`.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether a Raft connection with this node is taken, in either direction. A granted seed runs Raft with the nodes
    /// of its grant only; after that the committed membership decides.
    #[must_use]
    pub fn admits(&self, cluster: &ClusterId, peer: NodeUuid) -> bool {
        if !self.begun || self.ended {
            return false;
        }
        let grantless = matches!(self.identity.standing, Standing::Virgin(Promises { grant: None, .. }));
        self.identity.admits(cluster, peer) || (grantless && planted(Mutant::GrantlessFounding))
    }

    pub(super) fn uuid(&self) -> NodeUuid {
        self.identity.uuid
    }

    pub(super) fn promises(&self) -> Option<&Promises> {
        match &self.identity.standing {
            Standing::Virgin(promises) => Some(promises),
            _ => None,
        }
    }

    /// Writes another standing. The callers see to it that no write is in flight.
    pub(super) fn store(&mut self, standing: Standing, after: After, out: &mut Effects<Effect>) {
        let identity = Identity { standing, ..self.identity.clone() };
        out.push(Effect::Store(identity.clone()));
        self.writing = Some((identity, after));
    }

    pub(super) fn stop(&mut self, word: Word, out: &mut Effects<Effect>) {
        self.ended = true;
        self.deadline = None;
        out.push(Effect::Stop(word));
    }

    fn started(&mut self, out: &mut Effects<Effect>) {
        let mut identity = self.identity.clone();
        identity.start(self.fresh.process);
        out.push(Effect::Store(identity.clone()));
        self.writing = Some((identity, After::Begin));
    }

    fn stored(&mut self, now: Now, out: &mut Effects<Effect>) {
        let Some((identity, after)) = self.writing.take() else { return };
        self.identity = identity;
        match after {
            After::Begin => self.begin(now, out),
            After::Ask => {
                self.yes.clear();
                self.ask_on(out);
            }
            After::Yes(ticket) => self.granted(ticket, out),
            After::Found => self.initialise(out),
            After::Join(seeds) => self.send_join(seeds, out),
            After::Learn => self.run_raft(out),
            After::Serve => self.serve(out),
            After::End(word) => self.stop(word, out),
        }
        self.applied(out);
    }

    /// The start is on disk, so the first packets may leave (R16).
    fn begin(&mut self, now: Now, out: &mut Effects<Effect>) {
        self.begun = true;
        if let Standing::Removed { cluster } = &self.identity.standing {
            let word = Word::Removed { cluster: cluster.clone() };
            return self.stop(word, out);
        }
        self.run_raft(out);
        let promises = self.promises().cloned();
        if promises.as_ref().is_some_and(|promises| promises.founding) {
            self.initialise(out);
        } else if promises == Some(Promises::default()) && self.settings.seeds.is_empty() {
            self.found_alone(out);
        }
        self.probe(now, out);
    }

    fn probe(&mut self, now: Now, out: &mut Effects<Effect>) {
        out.extend(self.settings.seeds.entries().iter().cloned().map(Effect::Probe));
        self.deadline = Some(now.mono.plus(PROBE_EVERY.saturating_add(self.fresh.jitter)));
    }

    /// Opens Raft as the promise, or the cluster's word, allows. A promise alone makes no log.
    pub(super) fn run_raft(&self, out: &mut Effects<Effect>) {
        let run = match &self.identity.standing {
            Standing::Virgin(Promises { grant: Some(grant), .. }) => {
                grant.seat(self.uuid()).map(|seat| (grant.cluster.clone(), seat.place))
            }
            Standing::Joining { cluster, node: Some(node) } | Standing::Member { cluster, node } => {
                Some((cluster.clone(), *node))
            }
            _ => None,
        };
        out.extend(run.map(|(cluster, node)| Effect::RunRaft { cluster, node }));
    }

    fn tick(&mut self, now: Now, out: &mut Effects<Effect>) {
        // A write in flight has no end yet, so the round stays open.
        if self.writing.is_none() {
            let round = self.view.close(&self.settings.seeds, self.settings.version);
            match &self.identity.standing {
                Standing::Virgin(_) => self.look(&round, out),
                Standing::Joining { cluster, node } => {
                    let (cluster, joins) = (cluster.clone(), node.is_none());
                    self.alarm(round.clusters().into_keys(), out);
                    out.push(Effect::Say(Word::WaitsToJoin { cluster: cluster.clone() }));
                    out.extend(round.advice().into_iter().map(Effect::Say));
                    if joins {
                        self.send_join(round.clusters().remove(&cluster).unwrap_or_default(), out);
                    }
                }
                Standing::Member { .. } => self.alarm(round.clusters().into_keys(), out),
                Standing::Removed { .. } => {}
            }
        }
        if !self.ended {
            self.probe(now, out);
        }
    }

    /// Says which foreign clusters were met. A Member refuses them and goes on.
    fn alarm(&self, met: impl IntoIterator<Item = ClusterId>, out: &mut Effects<Effect>) {
        let Some(own) = self.identity.standing.cluster() else { return };
        let foreign = met.into_iter().filter(|met| met != own);
        out.extend(foreign.map(|met| Effect::Alarm(Word::ForeignCluster { own: own.clone(), met })));
    }

    /// A virgin's round: a cluster that exists is joined, else this node may found one.
    fn look(&mut self, round: &Round, out: &mut Effects<Effect>) {
        let mut clusters = round.clusters().into_iter();
        match (clusters.next(), clusters.next()) {
            (Some((one, _)), Some((other, _))) => self.stop(Word::TwoClusters { one, other }, out),
            (Some((cluster, seeds)), None) => {
                self.view.forget();
                self.meet(cluster, seeds, out);
                out.extend(round.advice().into_iter().map(Effect::Say));
            }
            (None, _) => self.alone(round, out),
        }
    }

    fn alone(&mut self, round: &Round, out: &mut Effects<Effect>) {
        if self.settings.seeds.is_empty() {
            let promised = self.promises().is_some_and(|p| !p.founding && *p != Promises::default());
            out.extend(promised.then_some(Effect::Say(Word::PromisedWithSeeds)));
            return;
        }
        out.extend(round.problems.iter().cloned().chain(round.advice()).map(Effect::Say));
        if round.find(self.uuid()).is_none() {
            return out.push(Effect::Say(Word::NotASeed));
        }
        if !round.problems.is_empty() {
            return;
        }
        if let Some(asker) = self.waits_for(round) {
            self.view.forget();
            out.push(Effect::Say(Word::WaitsForFounder { asker }));
        } else if round.stable {
            self.ask(round, out);
        }
    }

    /// A cluster exists. A virgin joins it, but a granted seed's vote belongs to its grant: it waits to be replicated
    /// to, and a grant of another cluster is a fault that only the operator can judge.
    fn meet(&mut self, cluster: ClusterId, seeds: Vec<String>, out: &mut Effects<Effect>) {
        let Some(promises) = self.promises() else { return };
        match &promises.grant {
            Some(_) if planted(Mutant::GrantedSeedJoins) && !promises.founding => {}
            Some(grant) if grant.cluster == cluster => {
                return out.push(Effect::Say(Word::WaitsForRaft { cluster }));
            }
            Some(grant) => {
                let word = Word::PromisedElsewhere { promised: grant.cluster.clone(), met: cluster };
                return self.stop(word, out);
            }
            None => {}
        }
        self.store(Standing::Joining { cluster, node: None }, After::Join(seeds), out);
    }

    fn send_join(&self, seeds: Vec<String>, out: &mut Effects<Effect>) {
        if let Some(cluster) = self.identity.standing.cluster() {
            out.push(Effect::Join { cluster: cluster.clone(), seeds });
        }
    }

    fn joined(&mut self, cluster: ClusterId, outcome: JoinOutcome, out: &mut Effects<Effect>) {
        let Standing::Joining { cluster: own, node: None } = &self.identity.standing else { return };
        if *own != cluster || self.writing.is_some() {
            return;
        }
        match outcome {
            JoinOutcome::Joined(node) => {
                self.store(Standing::Joining { cluster, node: Some(node) }, After::Learn, out);
            }
            JoinOutcome::Removed => self.dismissed(cluster, out),
            JoinOutcome::Later => {}
        }
    }

    fn contacted(&mut self, cluster: ClusterId, out: &mut Effects<Effect>) {
        self.alarm([cluster.clone()], out);
        if self.writing.is_none() {
            self.meet(cluster, Vec::new(), out);
        }
    }

    fn dismissed(&mut self, cluster: ClusterId, out: &mut Effects<Effect>) {
        let ours = self.identity.standing.cluster() == Some(&cluster);
        if ours && self.writing.is_none() {
            let word = Word::Removed { cluster: cluster.clone() };
            self.store(Standing::Removed { cluster }, After::End(word), out);
        }
    }

    /// `Cluster` is applied here: whoever was promised to it, or joined it, becomes a Member.
    fn applied(&mut self, out: &mut Effects<Effect>) {
        let Some(cluster) = self.committed.clone().filter(|_| self.writing.is_none() && !self.ended) else {
            return;
        };
        let node = match &self.identity.standing {
            Standing::Virgin(Promises { grant: Some(grant), .. }) if grant.cluster == cluster => {
                grant.seat(self.uuid()).map(|seat| seat.place)
            }
            Standing::Joining { cluster: own, node } if *own == cluster => *node,
            _ => None,
        };
        if let Some(node) = node {
            self.store(Standing::Member { cluster, node }, After::Serve, out);
        }
    }

    fn serve(&mut self, out: &mut Effects<Effect>) {
        let member = matches!(self.identity.standing, Standing::Member { .. });
        if member && self.unfenced && !self.serving {
            self.serving = true;
            out.push(Effect::OpenListeners);
        }
    }

    fn reply(&self) -> ProbeReply {
        let promises = self.promises();
        let grant = promises.and_then(|promises| promises.grant.clone());
        let promised = grant.as_ref().map(|grant| &grant.cluster);
        let cluster = self.identity.standing.cluster().or(promised).cloned();
        let stage = self.identity.standing.stage();
        ProbeReply {
            uuid: self.uuid(),
            key_hash: self.settings.key_hash.clone(),
            version: self.settings.version,
            stage,
            cluster: cluster.filter(|_| self.raft_holds && stage != Stage::Removed),
            bound: self.identity.standing.cluster().cloned(),
            seeds: self.settings.seeds.clone(),
            grant,
            founding: promises.is_some_and(|promises| promises.founding),
        }
    }

    /// A node without seeds is its own cluster at once.
    fn found_alone(&mut self, out: &mut Effects<Effect>) {
        let seat = Seat { place: 1, uuid: self.uuid(), key_hash: self.settings.key_hash.clone() };
        let grant = self.plan(vec![seat]);
        self.found(grant, out);
    }

    /// A new plan of this node, of a higher round than any before. The cluster's name stays.
    pub(super) fn plan(&self, seats: Vec<Seat>) -> Grant {
        let before = self.promises().and_then(|promises| promises.draft.as_ref());
        Grant {
            asker: self.uuid(),
            round: before.map_or(1, |draft| draft.round.saturating_add(1)),
            cluster: before.map_or(&self.fresh.cluster, |draft| &draft.cluster).clone(),
            seeds: self.settings.seeds.hash(),
            seats,
        }
    }
}

impl Machine for BootstrapMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        if self.ended {
            return;
        }
        match input {
            Input::Started if !self.begun && self.writing.is_none() => self.started(out),
            Input::Stored => self.stored(now, out),
            _ if !self.begun => {}
            Input::Started => {}
            Input::ProbeAnswered { seed, reply } => self.view.answer(&self.settings.seeds, &seed, *reply),
            Input::Probed(ticket) => out.push(Effect::AnswerProbe(ticket, Box::new(self.reply()))),
            Input::GrantAsked { ticket, from, grant } => self.asked(ticket, from, grant, out),
            Input::GrantAnswered { from, round, answer: GrantAnswer::Yes } => self.said_yes(from, round, out),
            Input::GrantAnswered { from, round, answer: GrantAnswer::No(why) } => {
                self.said_no(from, round, why, out);
            }
            Input::Contacted(cluster) => self.contacted(cluster, out),
            Input::RaftHolds => self.raft_holds = true,
            Input::Committed(cluster) => {
                self.alarm([cluster.clone()], out);
                self.committed = Some(cluster);
                self.applied(out);
            }
            Input::JoinAnswered { cluster, outcome } => self.joined(cluster, outcome, out),
            Input::Dismissed(cluster) => self.dismissed(cluster, out),
            Input::Unfenced => {
                self.unfenced = true;
                self.serve(out);
            }
            Input::Tick => self.tick(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.deadline
    }

    fn check(&self) {
        let Some(promises) = self.promises() else { return };
        if let Some(draft) = &promises.draft {
            assert_eq!(draft.asker, self.uuid(), "a draft of another node");
            assert!(self.yes.len() <= draft.seats.len(), "more answers than seats");
        }
        if let Some(grant) = &promises.grant {
            assert!(grant.seat(self.uuid()).is_some(), "a grant without this node");
        }
        if promises.founding {
            assert!(promises.draft.is_some(), "it founds without a plan");
            assert!(
                promises.grant == promises.draft || planted(Mutant::LateGrantReplaces),
                "it founds what it did not grant"
            );
        }
    }
}
