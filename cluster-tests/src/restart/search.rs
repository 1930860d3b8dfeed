//! Breadth first over every state, with the shortest way to whatever breaks.

use super::check::{self, End};
use super::violation::Violation;
use super::world::{Bounds, State, Step, World, canonical};
use crate::bootstrap::local::Mix;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::{Duration, Instant};

/// The end of a search.
pub struct Report {
    pub states: usize,
    pub steps: usize,
    /// Steps from the start to the farthest state.
    pub depth: usize,
    pub took: Duration,
    pub found: Option<(Violation, Vec<String>)>,
    /// Whether the search gave up at its limit of states.
    pub cut: bool,
    /// States that end with a leader, and those without one, by the number of directories that lost something.
    pub led: usize,
    pub offline: [usize; 4],
    /// The shortest way to an end without a leader after one loss.
    pub first_offline: Option<Vec<String>>,
}

/// Searches every state within the bounds, for the violations that are wanted.
pub fn search(bounds: Bounds, limit: usize, wanted: impl Fn(Violation) -> bool) -> Report {
    let began = Instant::now();
    let report = Report {
        states: 0,
        steps: 0,
        depth: 0,
        took: Duration::ZERO,
        found: None,
        cut: false,
        led: 0,
        offline: [0; 4],
        first_offline: None,
    };
    let mut search = Search {
        world: World::new(bounds),
        limit,
        seen: HashSet::default(),
        came: Vec::new(),
        ends: HashMap::default(),
        report,
    };
    search.run(&wanted);
    search.report.took = began.elapsed();
    search.report
}

struct Search {
    world: World,
    limit: usize,
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
        let begin = self.world.begin();
        self.visit(begin, (u32::MAX, Step::Begin), &mut layer, wanted);
        while !layer.is_empty() && self.report.found.is_none() {
            let mut next = Vec::new();
            for (number, state) in layer {
                for step in self.world.steps(&state) {
                    let Some(after) = self.world.take(&state, step) else { continue };
                    self.report.steps += 1;
                    if after.image.leader_epoch > self.world.bounds.epoch {
                        continue;
                    }
                    if let Some(violation) = check::step(&self.world, &state, &after).filter(|v| wanted(*v)) {
                        self.found(violation, (number, step));
                    }
                    self.visit(after, (number, step), &mut next, wanted);
                    self.report.cut |= self.report.states >= self.limit;
                    if self.report.found.is_some() || self.report.cut {
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
        if self.report.found.is_some() || !self.seen.insert(print(&self.world.bounds, &state)) {
            return;
        }
        self.report.states += 1;
        self.came.push(came);
        if let Some(violation) = check::state(&self.world, &state, wanted) {
            return self.found(violation, came);
        }
        if self.world.bounds.calm {
            match self.end(&state) {
                End::Led => self.report.led += 1,
                End::Offline => {
                    self.report.offline[usize::from(state.harmed.min(3))] += 1;
                    if state.harmed <= 1 && self.report.first_offline.is_none() {
                        self.report.first_offline = Some(self.way(came));
                    }
                }
                End::Stuck if wanted(Violation::Stuck) => return self.found(Violation::Stuck, came),
                End::Stuck => {}
            }
        }
        layer.push((self.came.len() as u32 - 1, state));
    }

    /// Goes on without faults, always by the first step that changes something, until nothing does.
    fn end(&mut self, state: &State) -> End {
        let (mut way, mut at) = (Vec::new(), *state);
        let end = loop {
            let print = print(&self.world.bounds, &at);
            if let Some(end) = self.ends.get(&print) {
                break *end;
            }
            way.push(print);
            let steps = self.world.calm_steps(&at);
            match steps.into_iter().find_map(|step| self.world.take(&at, step)) {
                Some(next) => at = next,
                None => break check::end(&self.world, &at),
            }
            assert!(way.len() < 1_000, "no end without faults");
        };
        self.ends.extend(way.into_iter().map(|print| (print, end)));
        end
    }

    fn way(&self, came: (u32, Step)) -> Vec<String> {
        let (mut at, mut steps) = (came.0, vec![came.1]);
        while let Some((before, step)) = self.came.get(at as usize) {
            steps.push(*step);
            at = *before;
        }
        steps.iter().rev().map(|step| format!("{step:?}")).collect()
    }

    fn found(&mut self, violation: Violation, came: (u32, Step)) {
        self.report.found = Some((violation, self.way(came)));
    }
}

fn print(bounds: &Bounds, state: &State) -> u128 {
    let state = canonical(bounds, state);
    let half = |salt: u64| {
        let mut hasher = Mix(salt);
        state.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
