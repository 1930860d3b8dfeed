//! Breadth first over every state, with the shortest way to whatever breaks.

use super::check::{self, Violation};
use super::local::{Facts, Mix, NONE};
use super::world::{Bounds, State, Step, World};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::{Duration, Instant};

/// The end of a search.
pub struct Report {
    pub states: usize,
    pub steps: usize,
    /// Steps from the start to the farthest state.
    pub depth: usize,
    /// Different nodes that turned up.
    pub nodes: usize,
    pub took: Duration,
    pub found: Option<(Violation, Vec<String>)>,
    /// States that end in a cluster, and those where the operator has to act.
    pub formed: usize,
    pub advised: usize,
}

/// How a state without further faults ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Formed,
    Advised,
    Broken(Violation),
}

/// Searches every state within the bounds, for the violations that are wanted.
pub fn search(bounds: Bounds, wanted: impl Fn(Violation) -> bool) -> Report {
    let began = Instant::now();
    let mut search = Search {
        world: World::new(bounds),
        seen: HashSet::default(),
        came: Vec::new(),
        ends: HashMap::default(),
        report: Report {
            states: 0,
            steps: 0,
            depth: 0,
            nodes: 0,
            took: Duration::ZERO,
            found: None,
            formed: 0,
            advised: 0,
        },
    };
    search.run(&wanted);
    let Search { world, mut report, .. } = search;
    (report.nodes, report.took) = (world.kit.locals(), began.elapsed());
    report
}

struct Search {
    world: World,
    /// A state is kept as 128 bits of hash: among 10⁸ states two meet with a chance of 10⁻²³.
    seen: HashSet<u128, BuildHasherDefault<Mix>>,
    /// For each state the number of the one before it, and the step from there.
    came: Vec<(u32, Step)>,
    ends: HashMap<u128, End, BuildHasherDefault<Mix>>,
    report: Report,
}

impl Search {
    fn run(&mut self, wanted: &dyn Fn(Violation) -> bool) {
        let mut layer = Vec::new();
        for state in self.world.starts() {
            self.visit(state, (u32::MAX, Step::Start), &mut layer, wanted);
        }
        while !layer.is_empty() && self.report.found.is_none() {
            let mut next = Vec::new();
            for (number, state) in layer {
                for step in self.world.steps(&state) {
                    let (after, _) = self.world.take(&state, step);
                    self.report.steps += 1;
                    let Some(after) = after else { continue };
                    if let Some(violation) = check::step(&self.world, &state, &after).filter(|v| wanted(*v)) {
                        self.found(violation, (number, step));
                    }
                    self.visit(after, (number, step), &mut next, wanted);
                    if self.report.found.is_some() {
                        return;
                    }
                }
            }
            self.report.depth += usize::from(!next.is_empty());
            if self.report.depth.is_multiple_of(4) && self.report.states > 1_000_000 {
                let (states, wide) = (self.report.states, next.len());
                eprintln!("  depth {}: {states} states, {wide} of them new", self.report.depth);
            }
            layer = next;
        }
    }

    fn visit(
        &mut self,
        state: State,
        came: (u32, Step),
        layer: &mut Vec<(u32, State)>,
        wanted: &dyn Fn(Violation) -> bool,
    ) {
        if self.report.found.is_some() || !self.seen.insert(print(&state)) {
            return;
        }
        self.report.states += 1;
        self.came.push(came);
        if let Some(violation) = check::state(&self.world, &state, wanted) {
            return self.found(violation, came);
        }
        if self.world.bounds.calm {
            match self.end(&state) {
                End::Formed => self.report.formed += 1,
                End::Advised => self.report.advised += 1,
                End::Broken(violation) if wanted(violation) => return self.found(violation, came),
                End::Broken(_) => {}
            }
        }
        layer.push((self.came.len() as u32 - 1, state));
    }

    /// Goes on without faults, always by the first step that changes something, until nothing does.
    fn end(&mut self, state: &State) -> End {
        let (mut way, mut at) = (Vec::new(), state.clone());
        let end = loop {
            let print = print(&at);
            if let Some(end) = self.ends.get(&print) {
                break *end;
            }
            way.push(print);
            let mut advised = false;
            let mut next = None;
            for step in self.world.calm_steps(&at) {
                let (after, advice) = self.world.take(&at, step);
                advised |= advice;
                next = after;
                if next.is_some() {
                    break;
                }
            }
            match next {
                Some(next) => at = next,
                None => break self.judge(&at, advised),
            }
            assert!(way.len() < 10_000, "no end without faults");
        };
        self.ends.extend(way.into_iter().map(|print| (print, end)));
        end
    }

    fn judge(&self, state: &State, advised: bool) -> End {
        let all = || (0..state.nodes.len()).map(|place| self.world.facts(state, place));
        let cluster = all().find(|facts| facts.member).map(|facts| facts.cluster);
        let led = (0..state.nodes.len()).any(|place| self.world.leads(state, place));
        let of_it = |facts: &Facts| facts.member && Some(facts.cluster) == cluster;
        let formed = all().all(|facts| of_it(facts) || (state.broken && facts.ended)) && cluster.is_some();
        let foreign = self.world.bounds.foreign;
        let stopped = all().any(|facts| facts.ended);
        // A cluster that lost its quorum when it had members or learners is for `recover`, not for this machine.
        let quorum_lost = !led && all().any(|facts| facts.member || (facts.learns && facts.log != NONE));
        match formed {
            true => End::Formed,
            false if !state.broken && !foreign => End::Broken(Violation::Stuck),
            false if led && !stopped => End::Broken(Violation::Stuck),
            false if advised || stopped || quorum_lost => End::Advised,
            false => End::Broken(Violation::Silent),
        }
    }

    fn found(&mut self, violation: Violation, came: (u32, Step)) {
        let (mut at, mut steps) = (came.0, vec![came.1]);
        while let Some((before, step)) = self.came.get(at as usize) {
            steps.push(*step);
            at = *before;
        }
        steps.reverse();
        self.report.found = Some((violation, steps.iter().map(|step| self.say(*step)).collect()));
    }

    fn say(&self, step: Step) -> String {
        let kit = &self.world.kit;
        match step {
            Step::Start => "all seeds start".to_owned(),
            Step::Deliver(message, place) => format!("seed {place} gets {:?}", kit.message(message)),
            Step::Wipe(place, low) => {
                format!(
                    "seed {place} is emptied, its new uuid is {}",
                    if low { "smallest" } else { "largest" }
                )
            }
            Step::Node(place, event) => format!("seed {place}: {event:?}"),
        }
    }
}

fn print(state: &State) -> u128 {
    let half = |salt: u64| {
        let mut hasher = Mix(salt);
        state.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
