//! Which elections had a reason.

use std::collections::BTreeMap;

use super::{Blow, cluster::Event, load::Book};
use crate::machine::State;

/// The clocks of a blow and of a node's line are read at different places.
const SLACK_MS: u64 = 300;

/// Prints the terms, and answers how many of them no kill of a leader explains.
///
/// A term is explained if a node first shows it between the kill of a leader and the
/// first write behind that kill.
pub fn report(events: &[Event], blows: &[Blow], book: &Book, state: &State, first: u64) -> usize {
    // A restarted node shows term 0 before it has read its vote, and then terms it knew before.
    let term_of = |event: &Event| field(&event.words, "term=");
    let start =
        events.iter().filter(|event| event.at * 1_000 <= first).filter_map(term_of).max().unwrap_or(0);
    let mut terms: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut roles: BTreeMap<&str, u64> = BTreeMap::new();
    for event in events.iter().filter(|event| event.at * 1_000 > first) {
        if let Some(term) = term_of(event).filter(|term| *term > start) {
            let seen = terms.entry(term).or_insert((event.at, event.node));
            *seen = (*seen).min((event.at, event.node));
        }
        if let Some((_, role)) = event.words.split_once("role=") {
            *roles.entry(role.split(' ').next().unwrap_or_default()).or_default() += 1;
        }
    }
    let explained = |at: u64| {
        blows.iter().filter(|blow| blow.leader && blow.over > 0).any(|blow| {
            let from = blow.at / 1_000;
            let to = from + book.gap_after(blow).unwrap_or(0) / 1_000 + SLACK_MS;
            (from..=to).contains(&at)
        })
    };
    let unforced: Vec<_> = terms.iter().filter(|(_, (at, _))| !explained(*at)).collect();
    println!(
        "terms: {start} at first, {} new, {} leaderships in the log, {} without a kill; roles entered {roles:?}",
        terms.len(),
        state.leads.len(),
        unforced.len(),
    );
    for (term, (at, node)) in &unforced {
        println!("  term {term} first on node {node} at {} s", at.saturating_sub(first / 1_000) as f64 / 1e3);
    }
    let received = events.iter().filter(|event| event.words.starts_with("snapshot received")).count();
    println!("snapshots received by a node: {received}");
    unforced.len()
}

fn field(words: &str, name: &str) -> Option<u64> {
    let (_, rest) = words.split_once(name)?;
    rest.split(' ').next()?.parse().ok()
}
