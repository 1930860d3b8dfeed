//! The rules that hold once nothing disturbs the machines any more, and no load comes.
//!
//! Every partition has a leader; the high watermark is at the end and at the start of the leader epoch or above, on every
//! replica; in-sync sets hold every live replica; every request that reached a process was answered; logs, log starts and
//! producer tables agree (L1–L3).

use callboard_core::Offset;
use callboard_core::partition::{Role, View};

use crate::sim::batch::between;
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::oracle::difference;
use crate::sim::world::{Local, World};

impl World {
    /// The first thing that is not at rest yet, in words.
    #[must_use]
    pub fn unrest(&self) -> Option<String> {
        if !self.controller().is_some_and(|node| self.has_majority(node)) {
            return Some("the metadata log has no leader".to_owned());
        }
        if self.meta.committed() < self.meta.len() {
            return Some("the metadata log has something to commit".to_owned());
        }
        for node in self.live() {
            let Some(process) = &self.nodes[node].process else {
                return Some(format!("n{} is down", node + 1));
            };
            if process.cursor < self.meta.committed() {
                return Some(format!(
                    "n{} has applied {} of {}",
                    node + 1,
                    process.cursor,
                    self.meta.committed()
                ));
            }
            if let Some(why) = self.unregistered(node) {
                return Some(why);
            }
        }
        let parts = (0..self.parts.len()).find_map(|part| self.unrest_of(part));
        parts.or_else(|| self.unanswered())
    }

    fn live(&self) -> impl Iterator<Item = NodeIx> + '_ {
        (0..self.nodes.len()).filter(|node| !self.nodes[*node].left_dead)
    }

    fn view(&self, node: NodeIx, part: PartIx) -> Option<&View> {
        match &self.nodes[node].process.as_ref()?.locals[part] {
            Local::Up(replica) => Some(&replica.view),
            Local::None | Local::Rebuilding { .. } => None,
        }
    }

    /// A leader's knowledge of its followers, in words.
    fn heard(&self, leader: NodeIx, part: PartIx) -> String {
        let Some(process) = &self.nodes[leader].process else { return "nothing".to_owned() };
        let Local::Up(replica) = &process.locals[part] else { return "nothing".to_owned() };
        let known: Vec<_> = replica.machine.followers().into_iter().flat_map(|f| f.accepted()).collect();
        format!("{known:?}, its view {:?}", replica.view)
    }

    fn unrest_of(&self, part: PartIx) -> Option<String> {
        let Some(p) = self.committed(part) else { return Some(format!("p{part} was not created")) };
        let Some(leader) = self.node_of(p.leader) else {
            // The last member of the ISR stayed dead: nobody else is known to have everything (R9).
            let mut members = p.isr.iter().chain(&p.elr).filter_map(|broker| self.node_of(*broker));
            let known = !p.isr.is_empty() || !p.elr.is_empty();
            if known && members.all(|node| self.nodes[node].left_dead) {
                return None;
            }
            return Some(format!("p{part} has no leader: isr {:?}, elr {:?}", p.isr, p.elr));
        };
        let Some(view) = self.view(leader, part) else {
            return Some(format!("p{part}: its leader is not up"));
        };
        if view.role != Role::Leader || view.leader_epoch != p.leader_epoch {
            return Some(format!(
                "p{part}: n{} is {:?} in epoch {}",
                leader + 1,
                view.role,
                view.leader_epoch
            ));
        }
        let full = p.replicas.iter().filter_map(|broker| self.node_of(*broker));
        for node in full.filter(|node| !self.nodes[*node].left_dead) {
            if !p.isr.contains(&self.nodes[node].id) {
                let heard = self.heard(leader, part);
                return Some(format!(
                    "p{part}: n{} is not in the ISR {:?}; n{} heard {heard}",
                    node + 1,
                    p.isr,
                    leader + 1
                ));
            }
            let Some(theirs) = self.view(node, part) else {
                return Some(format!("p{part}: n{} has no replica that runs", node + 1));
            };
            if node != leader && !matches!(theirs.role, Role::Follower { .. }) {
                return Some(format!("p{part}: n{} is {:?}", node + 1, theirs.role));
            }
            let high_watermark: Offset = theirs.high_watermark;
            let least = self.min_isr(part).min(p.replicas.len());
            let commits = p.isr.len() >= least;
            let apart = theirs.end != view.end || (commits && high_watermark != view.end);
            if apart || (commits && high_watermark < view.epoch_start) {
                return Some(format!(
                    "p{part}: n{} has high watermark {high_watermark} and end {}; the leader ends at {}, its epoch \
                     began at {}",
                    node + 1,
                    theirs.end,
                    view.end,
                    view.epoch_start
                ));
            }
            // A former leader may have deleted more than this one was asked to.
            if theirs.log_start < view.log_start {
                return Some(format!(
                    "p{part}: n{} starts at {} and the leader at {}",
                    node + 1,
                    theirs.log_start,
                    view.log_start
                ));
            }
        }
        None
    }

    /// The least size of the ISR, as the topic says.
    #[must_use]
    pub fn min_isr(&self, part: PartIx) -> usize {
        let topic = self.image.topics.get(&self.parts[part].id.topic);
        let said = topic.and_then(|topic| topic.configs.get("min.insync.replicas")?.parse().ok());
        said.unwrap_or(1)
    }

    fn unanswered(&self) -> Option<String> {
        let waiting = |request: &&crate::sim::messages::Request| {
            let process =
                self.nodes[request.node].process.is_some() && self.nodes[request.node].life == request.life;
            process && request.arrived && !request.answered
        };
        let request = self.clients.requests.iter().find(waiting)?;
        Some(format!("a request to p{} at n{} has no answer", request.part, request.node + 1))
    }

    /// All logs hold the same bytes, the committed ones, and the same producers.
    pub fn check_rest(&mut self) {
        for part in 0..self.parts.len() {
            let Some(p) = self.committed(part) else { continue };
            let replicas: Vec<NodeIx> =
                p.replicas.iter().filter_map(|broker| self.node_of(*broker)).collect();
            let live: Vec<NodeIx> =
                replicas.into_iter().filter(|node| !self.nodes[*node].left_dead).collect();
            let truth = self.truths[part].high_watermark;
            if p.leader < 0 {
                continue;
            }
            let commits = p.isr.len() >= self.min_isr(part).min(p.replicas.len());
            let until = if commits { Offset::MAX } else { truth };
            for node in &live {
                let start = self.view(*node, part).map_or(0, |view| view.log_start);
                let (ours, theirs) = (self.truths[part].committed(), self.content(*node, part));
                let (ours, theirs) = (between(ours, start, truth), between(theirs, start, until));
                if ours.len() != theirs.len() || !ours.iter().zip(theirs).all(|(a, b)| a.same(b)) {
                    let why = difference(ours, theirs);
                    self.broken("I1", || {
                        format!("after all, n{} p{part} differs from what was committed: {why}", node + 1)
                    });
                }
            }
            self.check_producers(part, &live);
        }
        self.check_bytes_sent();
    }

    fn check_producers(&mut self, part: PartIx, nodes: &[NodeIx]) {
        let mut tables = Vec::new();
        let start = nodes
            .iter()
            .filter_map(|node| self.view(*node, part))
            .map(|view| view.log_start)
            .max()
            .unwrap_or(0);
        for node in nodes {
            let Some(replica) = self.replica(*node, part) else { continue };
            let mut table = replica.machine.log().producers().clone();
            // Producers of records that are deleted may be unknown to a replica that began behind them.
            table.forget_below(start);
            tables.push((*node, table.active()));
        }
        let ends: Vec<Offset> =
            nodes.iter().filter_map(|node| self.view(*node, part)).map(|view| view.end).collect();
        if ends.windows(2).any(|pair| pair[0] != pair[1]) {
            return;
        }
        let Some((first, ours)) = tables.first().cloned() else { return };
        for (node, theirs) in &tables[1..] {
            if *theirs != ours {
                self.broken("I17", || {
                    let brief = |table: &[callboard_core::partition::ActiveProducer]| {
                        table.iter().map(|p| (p.id, p.last_sequence)).collect::<Vec<_>>()
                    };
                    let (ours, theirs) = (brief(&ours), brief(theirs));
                    format!("p{part}: n{} knows producers {ours:?} and n{} {theirs:?}", first + 1, node + 1)
                });
            }
        }
    }

    /// Followers are not sent everything again and again.
    fn check_bytes_sent(&mut self) {
        let figures = self.figures;
        let allowed = 3 * figures.taken_bytes + 2 * figures.lost_bytes + 300_000;
        if figures.sent_bytes > allowed {
            self.broken("bytes", || format!("more was sent than was taken: {figures:?}"));
        }
    }
}
