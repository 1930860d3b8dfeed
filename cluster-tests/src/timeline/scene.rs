//! What a timeline shows, worked out from a history, the events and the logs, before anything is drawn.
//!
//! ```text
//!   history ──> tracks: acknowledgements in bins, gaps          events ──> faults, spans in which nodes are down
//!   logs    ──> spans of leaders, of ISR sizes                  all three ──> what each fault caused
//! ```
//! Times here are seconds since the history began. A gap is a time without an acknowledgement between two of one track; it
//! is marked if it lasts at least [`GAP`]. A fault is charged with the longest gap that touches the span from its begin until
//! the full ISR is back.

use std::collections::BTreeMap;

use super::event::{Event, Phase};
use super::told::{Change, Told};
use crate::history::{History, Kind, Outcome};

/// Shorter gaps are the pace of the load.
pub const GAP: f64 = 0.25;

/// All that a timeline is made of.
pub struct Input<'a> {
    pub title: String,
    /// Sentences below the title, such as the verdict.
    pub summary: Vec<String>,
    /// What the checker found, a line each.
    pub findings: Vec<String>,
    pub good: bool,
    pub history: &'a History,
    pub events: &'a [Event],
    pub told: &'a Told,
    pub nodes: Vec<i32>,
    /// Leader and ISR of each partition at the start.
    pub places: BTreeMap<String, (i32, Vec<i32>)>,
}

/// A value that held from one time to another.
#[derive(Clone, PartialEq, Debug)]
pub struct Held<T> {
    pub from: f64,
    pub to: f64,
    pub what: T,
}

/// One partition, or the commits of a group.
pub struct Track {
    pub name: String,
    /// What is counted: `records` or `commits`.
    pub unit: &'static str,
    /// Times of acknowledgements with their counts, in order.
    pub acks: Vec<(f64, u32)>,
    pub gaps: Vec<Held<()>>,
    pub leaders: Vec<Held<i32>>,
    pub isr: Vec<Held<Vec<i32>>>,
    pub elections: Vec<(f64, String)>,
}

/// A fault and what it caused.
pub struct Fault {
    pub name: String,
    pub words: String,
    pub node: i32,
    pub begin: f64,
    /// `None` if it lasts to the end of the run.
    pub end: Option<f64>,
    /// Times and words of the notes in between.
    pub notes: Vec<(f64, String)>,
    pub elections: usize,
    pub first_election: Option<f64>,
    /// The longest gap of a partition, and which.
    pub gap: Option<(f64, String)>,
    pub commit_gap: Option<f64>,
    pub smallest_isr: Option<usize>,
    /// When every partition had its full ISR again.
    pub whole: Option<f64>,
}

/// A timeline before it is drawn.
pub struct Scene<'a> {
    pub input: &'a Input<'a>,
    pub seconds: f64,
    pub tracks: Vec<Track>,
    pub faults: Vec<Fault>,
}

impl<'a> Scene<'a> {
    /// Cuts the history into tracks and charges each fault with what followed from it.
    #[must_use]
    pub fn new(input: &'a Input<'a>) -> Scene<'a> {
        let history = input.history;
        let last = history.ops.iter().filter(|op| op.outcome == Outcome::Ok).map(|op| op.end).max();
        let at = |wall_ms: u64| (wall_ms as f64 - history.wall_ms as f64) / 1e3;
        let events = input.events.iter().map(|event| at(event.wall_ms));
        let seconds = events.fold(last.unwrap_or_default() as f64 / 1e6, f64::max).max(1.0);
        let mut tracks = tracks(history);
        for track in &mut tracks {
            track.gaps = gaps(&track.acks);
            let changes = input.told.changes();
            let own = changes.into_iter().filter(|change| change.partition == track.name);
            let own: Vec<(f64, &Change)> = own.map(|change| (at(change.wall_ms), change)).collect();
            spans(track, input.places.get(&track.name), &own, seconds);
        }
        let mut scene = Scene { input, seconds, tracks, faults: Vec::new() };
        let faults = scene.pairs(&at);
        let begins: Vec<f64> = faults.iter().map(|fault| fault.begin).collect();
        scene.faults = faults.into_iter().map(|fault| scene.charged(fault, &begins)).collect();
        scene
    }

    fn pairs(&self, at: &dyn Fn(u64) -> f64) -> Vec<Fault> {
        let mut faults: Vec<Fault> = Vec::new();
        for event in self.input.events {
            let now = at(event.wall_ms).max(0.0);
            let own = |fault: &&mut Fault| fault.node == event.node && fault.name == event.name;
            let open = faults.iter_mut().rev().filter(|fault| fault.end.is_none()).find(own);
            match (event.phase, open) {
                (Phase::Begins, _) => faults.push(Fault {
                    name: event.name.clone(),
                    words: event.words.clone(),
                    node: event.node,
                    begin: now,
                    end: None,
                    notes: Vec::new(),
                    elections: 0,
                    first_election: None,
                    gap: None,
                    commit_gap: None,
                    smallest_isr: None,
                    whole: None,
                }),
                (Phase::Ends, Some(fault)) => fault.end = Some(now),
                (Phase::Notes, Some(fault)) => fault.notes.push((now, event.words.clone())),
                _ => {}
            }
        }
        faults
    }

    /// Adds what followed from a fault, until the next one begins behind its end.
    fn charged(&self, mut fault: Fault, begins: &[f64]) -> Fault {
        let begin = fault.begin;
        let over = fault.end.unwrap_or(self.seconds);
        let next = begins.iter().copied().filter(|next| *next > over).fold(self.seconds, f64::min);
        let whole = self.tracks.iter().filter_map(|track| whole_again(track, begin, next));
        let whole = whole.fold(begin, f64::max);
        let window = over.max(whole.min(self.seconds));
        fault.whole = (whole > begin && whole < self.seconds).then_some(whole);
        for track in &self.tracks {
            let touches = |gap: &&Held<()>| gap.to > begin && gap.from < window;
            let longest = track.gaps.iter().filter(touches).map(|gap| gap.to - gap.from).fold(0.0, f64::max);
            if track.unit == "commits" {
                fault.commit_gap = (longest > 0.0).then_some(longest);
                continue;
            }
            if longest > fault.gap.as_ref().map_or(0.0, |gap| gap.0) {
                fault.gap = Some((longest, track.name.clone()));
            }
            let elections = track.elections.iter().filter(|(time, _)| (begin..window).contains(time));
            fault.elections += elections.clone().count();
            let first = elections.map(|(time, _)| *time).fold(f64::INFINITY, f64::min);
            fault.first_election = match fault.first_election {
                Some(known) => Some(known.min(first)),
                None => first.is_finite().then_some(first),
            };
            let sizes = track.isr.iter().filter(|held| held.to > begin && held.from < window);
            let least = sizes.map(|held| held.what.len()).min();
            fault.smallest_isr = [fault.smallest_isr, least].into_iter().flatten().min();
        }
        fault
    }
}

/// When the ISR of a track is as large again as it was at most, if it is smaller at some time of the span.
fn whole_again(track: &Track, begin: f64, next: f64) -> Option<f64> {
    let full = track.isr.iter().map(|held| held.what.len()).max()?;
    let later = || track.isr.iter().filter(|held| held.to > begin);
    let shrunk = later().position(|held| held.what.len() < full && held.from < next)?;
    let back = later().skip(shrunk).find(|held| held.what.len() == full);
    Some(back.map_or(f64::INFINITY, |held| held.from))
}

fn tracks(history: &History) -> Vec<Track> {
    let empty = |name: String, unit| Track {
        name,
        unit,
        acks: Vec::new(),
        gaps: Vec::new(),
        leaders: Vec::new(),
        isr: Vec::new(),
        elections: Vec::new(),
    };
    let mut sends: BTreeMap<u32, Track> = BTreeMap::new();
    let mut commits: BTreeMap<u32, Track> = BTreeMap::new();
    for op in history.ops.iter().filter(|op| op.outcome == Outcome::Ok) {
        let track = match op.kind {
            Kind::Send { part, .. } => {
                sends.entry(part.0).or_insert_with(|| empty(history.part_name(part), "records"))
            }
            Kind::Commit { group, .. } => {
                let name = || format!("group {}", history.word_text(group));
                commits.entry(group.0).or_insert_with(|| empty(name(), "commits"))
            }
            _ => continue,
        };
        let time = op.end as f64 / 1e6;
        match track.acks.last_mut() {
            Some((last, count)) if *last == time => *count += 1,
            _ => track.acks.push((time, 1)),
        }
    }
    let mut all: Vec<Track> = sends.into_values().chain(commits.into_values()).collect();
    for track in &mut all {
        // Producers of one partition write down their answers a little out of order.
        track.acks.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    all
}

fn gaps(acks: &[(f64, u32)]) -> Vec<Held<()>> {
    let pairs = acks.windows(2).filter(|pair| pair[1].0 - pair[0].0 >= GAP);
    pairs.map(|pair| Held { from: pair[0].0, to: pair[1].0, what: () }).collect()
}

fn spans(track: &mut Track, place: Option<&(i32, Vec<i32>)>, changes: &[(f64, &Change)], seconds: f64) {
    // Nodes that start tell no change that they replay, so the first one told may begin from a later state.
    let mut leader = place.map(|(leader, _)| *leader);
    let mut isr = place.map(|(_, members)| members.clone());
    let (mut leader_since, mut isr_since) = (0.0, 0.0);
    for (time, change) in changes {
        let time = time.max(0.0);
        if let Some((from, to)) = change.leader {
            track.leaders.push(Held { from: leader_since, to: time, what: leader.unwrap_or(from) });
            (leader, leader_since) = (Some(to), time);
            let say = |id: i32| if id < 0 { "none".to_owned() } else { format!("node {id}") };
            track
                .elections
                .push((time, format!("{} leads instead of {}: {}", say(to), say(from), change.why)));
        }
        if let Some((from, to)) = &change.isr {
            let before = isr.unwrap_or_else(|| from.clone());
            track.isr.push(Held { from: isr_since, to: time, what: before });
            (isr, isr_since) = (Some(to.clone()), time);
        }
    }
    track.leaders.extend(leader.map(|what| Held { from: leader_since, to: seconds, what }));
    track.isr.extend(isr.map(|what| Held { from: isr_since, to: seconds, what }));
}
