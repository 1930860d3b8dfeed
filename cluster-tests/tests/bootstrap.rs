//! The forming of a cluster, searched (I21): no order of events within the bounds makes two clusters, and from every
//! state one forms or the operator is told what to do. Planted bugs show that the search can see two clusters.
//!
//! The larger bounds run with `cargo test --test bootstrap -- --ignored --nocapture`, the largest alone:
//! `CALLBOARD_BOOTSTRAP="3 2 1" cargo test --test bootstrap -- --ignored --nocapture bounds_as_told`.

use callboard_cluster_tests::bootstrap::{Bounds, Probes, Report, Violation, search};
use callboard_core::mutant::{Mutant, plant};

/// The orders of the uuids over the places, of those that differ: the place that is asked first has any rank, and the
/// other places are alike.
fn orders(seeds: u16) -> Vec<Vec<u16>> {
    let order =
        |first: u16| std::iter::once(first).chain((1..=seeds).filter(|rank| *rank != first)).collect();
    (1..=seeds).map(order).collect()
}

fn bounds(seeds: u16, wipes: u8, probes: Probes) -> Bounds {
    let ranks = orders(seeds);
    let (seeds, foreign, idle_crashes, crashes, calm) = (usize::from(seeds), false, true, None, true);
    Bounds { seeds, wipes, probes, foreign, ranks, idle_crashes, probing: seeds, crashes, calm }
}

fn say(name: &str, report: &Report) {
    let Report { states, steps, depth, nodes, took, formed, advised, .. } = report;
    println!(
        "{name}: {states} states, {steps} steps, depth {depth}, {nodes} nodes, {formed} form, {advised} advise, {:.1} s",
        took.as_secs_f64()
    );
    if let Some((violation, trace)) = &report.found {
        println!("  {violation:?} after {} steps:\n    {}", trace.len() - 1, trace.join("\n    "));
    }
}

#[track_caller]
fn holds(name: &str, bounds: Bounds) {
    plant(None);
    let calm = bounds.calm;
    let report = search(bounds, |_| true);
    say(name, &report);
    assert!(report.found.is_none(), "{name}: {:?}", report.found);
    assert!(report.formed > 0 || !calm, "{name}: no cluster ever forms");
}

/// A planted bug, and the violation that it must lead to.
#[track_caller]
fn caught(name: &str, mutant: Mutant, bounds: Bounds, violation: Violation) {
    plant(Some(mutant));
    let report = search(Bounds { calm: false, ..bounds }, |found| found == violation);
    plant(None);
    say(name, &report);
    assert!(report.found.is_some(), "{name}: {mutant:?} was planted and not caught");
}

#[test]
fn one_seed() {
    holds("1 seed, 2 wipes, each answer by itself", bounds(1, 2, Probes::Each));
}

#[test]
fn two_seeds() {
    holds("2 seeds, each answer by itself", bounds(2, 0, Probes::Each));
    holds("2 seeds, 1 wipe", bounds(2, 1, Probes::Round));
}

#[test]
fn three_seeds() {
    holds("3 seeds, two rounds at once", bounds(3, 0, Probes::Twice));
}

/// Five seeds, of which the second founds, and the first two probe. A death where nothing is being written loses only
/// answers, and is left out.
fn five(crashes: Option<u8>) -> Bounds {
    let ranks = vec![vec![2, 1, 3, 4, 5]];
    Bounds { ranks, idle_crashes: false, probing: 2, crashes, ..bounds(5, 0, Probes::Twice) }
}

#[test]
fn five_seeds() {
    holds("5 seeds, two rounds at once", five(Some(0)));
}

#[test]
fn grantless_founding() {
    let planted = |name, bounds, found| caught(name, Mutant::GrantlessFounding, bounds, found);
    planted("no grants, 2 seeds, 1 wipe", bounds(2, 1, Probes::Round), Violation::TwoClusters);
    planted("no grants, 3 seeds, 1 wipe", bounds(3, 1, Probes::Twice), Violation::TwoFounded);
}

#[test]
fn late_grant_replaces() {
    let planted = |name, bounds, found| caught(name, Mutant::LateGrantReplaces, bounds, found);
    planted("late grant, 2 seeds, 1 wipe", bounds(2, 1, Probes::Round), Violation::TwoClusters);
}

#[test]
fn granted_seed_joins() {
    let bounds = Bounds { foreign: true, ranks: vec![vec![1, 2, 3]], ..bounds(3, 0, Probes::Twice) };
    caught("granted seed joins, 3 seeds", Mutant::GrantedSeedJoins, bounds, Violation::SharedSeed);
}

#[test]
fn granted_before_stored() {
    let bounds = bounds(2, 0, Probes::Round);
    caught("unstored grant, 2 seeds", Mutant::GrantedBeforeStored, bounds, Violation::PromiseLost);
}

#[test]
fn a_foreign_cluster_dials() {
    let bounds = Bounds { foreign: true, calm: false, ..bounds(2, 0, Probes::Round) };
    holds("2 seeds, a foreign cluster dials", bounds);
}

#[test]
#[ignore = "larger bounds"]
fn larger_two_seeds() {
    holds("2 seeds, 1 wipe, each answer by itself", bounds(2, 1, Probes::Each));
    holds("2 seeds, 2 wipes", bounds(2, 2, Probes::Round));
}

#[test]
#[ignore = "larger bounds"]
fn larger_three_seeds() {
    holds("3 seeds", bounds(3, 0, Probes::Round));
}

#[test]
#[ignore = "larger bounds"]
fn larger_five_seeds() {
    holds("5 seeds, two rounds at once, 1 death", five(Some(1)));
}

/// Bounds from the environment: `CALLBOARD_BOOTSTRAP="seeds wipes first-place's-rank [calm] [idle] [foreign]"`.
#[test]
#[ignore = "bounds from CALLBOARD_BOOTSTRAP"]
fn bounds_as_told() {
    let told = std::env::var("CALLBOARD_BOOTSTRAP").unwrap_or_else(|_| "3 1 1".to_owned());
    let words: Vec<&str> = told.split_whitespace().collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u16>().ok()).unwrap_or(1);
    let (seeds, wipes, first) = (number(0), number(1) as u8, number(2));
    let ranks = orders(seeds).into_iter().filter(|order| order[0] == first).collect();
    let bounds = Bounds {
        ranks,
        calm: words.contains(&"calm"),
        idle_crashes: words.contains(&"idle"),
        foreign: words.contains(&"foreign"),
        ..bounds(seeds, wipes, Probes::Twice)
    };
    holds(&told, bounds);
}

#[test]
#[ignore = "larger bounds"]
fn larger_foreign() {
    let bounds = Bounds { foreign: true, calm: false, ..bounds(3, 0, Probes::Twice) };
    holds("3 seeds, a foreign cluster dials, two rounds at once", bounds);
}

#[test]
#[ignore = "larger bounds"]
fn larger_mutants() {
    let grantless = bounds(3, 2, Probes::Twice);
    caught("no grants, 3 seeds, 2 wipes", Mutant::GrantlessFounding, grantless, Violation::TwoClusters);
    let late = bounds(3, 1, Probes::Twice);
    caught("late grant, 3 seeds, 1 wipe", Mutant::LateGrantReplaces, late, Violation::PromiseLost);
}
