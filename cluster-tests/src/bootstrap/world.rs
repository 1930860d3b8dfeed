//! A state of all nodes, and every step that can come next.

use super::local::{Event, FOREIGN, Facts, Kit, MOST, Message, NONE, Outcome};

/// How the seeds probe each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probes {
    /// Each answer comes by itself, at any time before the tick.
    Each,
    /// All answers of a round come at one moment.
    Round,
    /// As `Round`, and two rounds at once.
    Twice,
}

/// The bounds of a search.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub seeds: usize,
    /// Directories that are emptied, at any point of the run.
    pub wipes: u8,
    pub probes: Probes,
    /// A member of a cluster that formed elsewhere may dial anyone at any time.
    pub foreign: bool,
    /// For each start, the rank of the uuid at each place.
    pub ranks: Vec<Vec<u16>>,
    /// Processes also die while no write is in flight. Only answers and rounds that were counted are lost then, which
    /// is as if they had not come yet.
    pub idle_crashes: bool,
    /// The first so many places probe. The others answer, promise and vote: with five seeds all that each may have heard
    /// makes too many states.
    pub probing: usize,
    /// Processes that die in one run; none for any number.
    pub crashes: Option<u8>,
    /// From every state a cluster forms, or the operator is told what to do.
    pub calm: bool,
}

/// The nodes by place, as numbers of the tables.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub nodes: Vec<u32>,
    /// Messages that may come, sorted.
    pub messages: Vec<u32>,
    pub wipes: u8,
    /// Counted where the bounds limit them.
    pub crashes: u8,
    /// A directory was emptied that had promised, or asked for, something.
    pub broken: bool,
}

/// One step, for the trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Start,
    Node(usize, Event),
    /// A message by its number, and the place that gets it.
    Deliver(u32, usize),
    /// The new uuid is below all others, or above.
    Wipe(usize, bool),
}

/// The tables and bounds of one search.
pub struct World {
    pub kit: Kit,
    pub bounds: Bounds,
}

impl World {
    /// A world with nothing in it.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { kit: Kit::new(bounds.seeds), bounds }
    }

    /// The states in which every seed has just started with an empty directory.
    pub fn starts(&mut self) -> Vec<State> {
        let ranks = self.bounds.ranks.clone();
        let start = |ranks: Vec<u16>| State {
            nodes: ranks
                .into_iter()
                .enumerate()
                .map(|(place, rank)| self.kit.fresh(place, 1000 + rank))
                .collect(),
            messages: Vec::new(),
            wipes: 0,
            crashes: 0,
            broken: false,
        };
        ranks.into_iter().map(start).collect()
    }

    /// The facts of the node at a place.
    #[must_use]
    pub fn facts(&self, state: &State, place: usize) -> &Facts {
        self.kit.facts(state.nodes[place])
    }

    /// All steps without a fault, those first that lead on.
    #[must_use]
    pub fn calm_steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        for place in 0..state.nodes.len() {
            let facts = self.facts(state, place);
            if facts.writing {
                steps.push(Step::Node(place, Event::Written));
            }
            if facts.initialising {
                steps.push(Step::Node(place, Event::Initialised));
            }
        }
        for message in &state.messages {
            let to = self.kit.message(*message).to();
            let receiver = (0..state.nodes.len()).find(|place| self.facts(state, *place).life == to);
            steps.extend(receiver.map(|place| Step::Deliver(*message, place)));
        }
        for from in 0..state.nodes.len() {
            for to in 0..state.nodes.len() {
                steps.extend(self.raft(state, from, to).map(|event| Step::Node(to, event)));
            }
        }
        self.foreign_joins(state, &mut steps);
        let rounds = if self.bounds.probes == Probes::Each { Probes::Round } else { self.bounds.probes };
        for place in 0..state.nodes.len() {
            self.probes(state, place, rounds, &mut steps);
        }
        steps
    }

    /// All steps, faults included.
    #[must_use]
    pub fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = self.calm_steps(state);
        for place in 0..state.nodes.len() {
            if self.bounds.probes == Probes::Each {
                self.probes(state, place, Probes::Each, &mut steps);
            }
            let facts = self.facts(state, place);
            let dies = self.bounds.crashes.is_none_or(|most| state.crashes < most);
            if dies && (facts.writing || facts.initialising || self.bounds.idle_crashes) {
                steps.push(Step::Node(place, Event::Crashed(false)));
            }
            if dies && facts.writing {
                steps.push(Step::Node(place, Event::Crashed(true)));
            }
            if self.bounds.foreign && !facts.ended {
                steps.push(Step::Node(place, Event::Contacted(FOREIGN)));
            }
            if state.wipes < self.bounds.wipes {
                steps.extend([Step::Wipe(place, true), Step::Wipe(place, false)]);
            }
        }
        steps
    }

    /// Whether this node can lead the cluster whose log it holds: a quorum of living voters would elect it.
    #[must_use]
    pub fn leads(&self, state: &State, place: usize) -> bool {
        let facts = self.facts(state, place);
        if facts.log == NONE || facts.log == FOREIGN || facts.ended {
            return false;
        }
        let plan = self.kit.plan(facts.log);
        let linked = |other: usize| {
            let (mine, theirs) = (state.nodes[place], state.nodes[other]);
            let life = self.facts(state, other).life;
            other == place
                || (self.kit.admits(mine, plan.cluster, life)
                    && self.kit.admits(theirs, plan.cluster, facts.life))
        };
        let votes = (0..state.nodes.len()).filter(|other| {
            let voter = self.facts(state, *other);
            let free = voter.log == NONE || voter.log == facts.log;
            plan.voters.contains(&voter.life) && free && linked(*other)
        });
        plan.voters.contains(&facts.life) && votes.count() > plan.voters.len() / 2
    }

    /// Whether a quorum of the voters holds the log of this plan.
    #[must_use]
    pub fn commits(&self, state: &State, grant: u32) -> bool {
        if grant == NONE {
            return false;
        }
        let voters = &self.kit.plan(grant).voters;
        let nodes = state.nodes.iter().map(|node| self.kit.facts(*node));
        nodes.filter(|node| node.log == grant && voters.contains(&node.life)).count() > voters.len() / 2
    }

    /// The leader `from` does this for `to`: its log grows, `Cluster` is applied, a JOIN is answered, or it is dialled.
    fn raft(&self, state: &State, from: usize, to: usize) -> Option<Event> {
        let leader = self.facts(state, from);
        let node = self.facts(state, to);
        if !self.leads(state, from) || node.ended {
            return None;
        }
        let plan = self.kit.plan(leader.log);
        let voter = plan.voters.contains(&node.life);
        if node.log == leader.log && !node.member {
            return self.commits(state, leader.log).then_some(Event::Applied(leader.log));
        }
        if node.joins && node.cluster == plan.cluster {
            return leader.member.then_some(Event::Joined(leader.log));
        }
        let linked = self.kit.admits(state.nodes[from], plan.cluster, node.life)
            && self.kit.admits(state.nodes[to], plan.cluster, leader.life);
        if node.log == NONE && linked && (voter || leader.member) {
            return Some(Event::Grew(leader.log));
        }
        let stranger = node.cluster == NONE && node.log == NONE;
        (leader.member && stranger).then_some(Event::Contacted(leader.log))
    }

    /// The cluster elsewhere answers every JOIN.
    fn foreign_joins(&self, state: &State, steps: &mut Vec<Step>) {
        let foreign = self.kit.plan(FOREIGN).cluster;
        for place in 0..state.nodes.len() {
            let facts = self.facts(state, place);
            if facts.cluster == foreign && facts.joins {
                steps.push(Step::Node(place, Event::Joined(FOREIGN)));
            }
            if facts.cluster == foreign && facts.learns {
                steps.push(Step::Node(place, Event::Applied(FOREIGN)));
            }
        }
    }

    fn probes(&self, state: &State, place: usize, probes: Probes, steps: &mut Vec<Step>) {
        if self.facts(state, place).ended || place >= self.bounds.probing {
            return;
        }
        let mut replies = [NONE; MOST];
        for (other, reply) in replies.iter_mut().enumerate().take(state.nodes.len()) {
            *reply = self.facts(state, other).reply;
        }
        match probes {
            Probes::Round => steps.push(Step::Node(place, Event::Round(replies, 1))),
            Probes::Twice => steps.push(Step::Node(place, Event::Round(replies, 2))),
            Probes::Each => {
                let heard = replies.into_iter().enumerate().filter(|(_, reply)| *reply != NONE);
                steps.extend(heard.map(|(seed, reply)| Step::Node(place, Event::Heard(seed, reply))));
                steps.push(Step::Node(place, Event::Tick));
            }
        }
    }

    /// Makes a step; `None` if nothing changes. The second value says that the operator was advised.
    pub fn take(&mut self, state: &State, step: Step) -> (Option<State>, bool) {
        let (place, event) = match step {
            Step::Start => return (None, false),
            Step::Node(place, event) => (place, event),
            Step::Deliver(message, place) => match self.kit.message(message) {
                Message::Ask { grant, .. } => (place, Event::Asked(grant)),
                Message::Yes { from, round, .. } => (place, Event::Yes(from, round)),
            },
            Step::Wipe(place, low) => return (Some(self.wipe(state.clone(), place, low)), false),
        };
        let Outcome { local, sent, advice } = self.kit.step(state.nodes[place], event);
        // A message to a life that is over reaches nobody, because connections prove the uuid.
        let lives = |life: u32| state.nodes.iter().any(|node| self.kit.facts(*node).life == life);
        let new =
            |message: &&u32| !state.messages.contains(message) && lives(self.kit.message(**message).to());
        let new: Vec<u32> = sent.iter().filter(new).copied().collect();
        if local == state.nodes[place] && new.is_empty() {
            return (None, advice);
        }
        let mut next = state.clone();
        next.nodes[place] = local;
        next.crashes += u8::from(matches!(event, Event::Crashed(_)) && self.bounds.crashes.is_some());
        next.messages.extend(new);
        next.messages.sort_unstable();
        (Some(next), advice)
    }

    fn wipe(&mut self, mut next: State, place: usize, low: bool) -> State {
        let facts = self.facts(&next, place);
        next.broken |= facts.drafted || facts.grant != NONE || facts.log != NONE || facts.cluster != NONE;
        let (wipes, life) = (u16::from(next.wipes), facts.life);
        next.nodes[place] = self.kit.fresh(place, if low { 500 - wipes } else { 2000 + wipes });
        next.wipes += 1;
        next.messages.retain(|message| self.kit.message(*message).to() != life);
        next
    }
}
