//! The store of a voter, cut at every write and sync, failed at each, and rotten anywhere (`crash/raft/mod.rs` draws it).
//!
//! Clean runs print their figures; then each planted bug by its name, which has to be caught.
//! `CALLBOARD_CRASH_FULL=N` runs longer scripts over N seeds and flips many more bits.

use callboard_cluster_tests::crash::raft::{Failing, Plan, Report, fail_each, flip, run};
use callboard_cluster_tests::process::say;
use callboard_core::mutant::Mutant;

/// Seeds of a full run, if one is asked for.
fn full() -> Option<u64> {
    std::env::var("CALLBOARD_CRASH_FULL")
        .ok()
        .map(|n| n.parse().expect("CALLBOARD_CRASH_FULL takes a number of seeds"))
}

fn plan(seed: u64) -> Plan {
    let (steps, nested_every) = if full().is_some() { (120, 8) } else { (40, 24) };
    Plan { seed, steps, nested_every, mutant: None }
}

#[test]
fn a_voters_store_cut_everywhere() {
    for seed in 1..=full().unwrap_or(1) {
        let report = run(plan(seed)).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let Report { cuts, openings, nested, counts } = report;
        say(&format!(
            "Raft's store, seed {seed}: {cuts} cut points, {openings} openings, {nested} of them after a cut inside an \
             opening; {counts:?}"
        ));
        assert!(counts.votes > 0 && counts.appends > 9 && counts.truncations > 0, "too tame: {counts:?}");
        assert!(counts.purges > 0 && counts.built > 0 && counts.installed > 0, "too tame: {counts:?}");
        assert!(
            counts.noted > 0 && counts.reopened > 0 && counts.held > 0 && nested > 0,
            "too tame: {counts:?}"
        );
    }
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_answered_with_ok() {
    let seeds = full().unwrap_or(1);
    for (what, count) in [(Failing::Write, 120), (Failing::Sync, 40)] {
        for seed in 1..=seeds {
            let failures = fail_each(what, seed, count).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
            say(&format!("Raft's store, seed {seed}, each of {count} failed once: {what:?}, {failures:?}"));
            assert!(failures.stopped > 0 && failures.not_opened > 0, "{failures:?}");
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_in_words_or_harmless() {
    let per_page = if full().is_some() { 2000 } else { 12 };
    for (seed, clean) in [(1, true), (2, false)] {
        let flips = flip(seed, clean, per_page, None)
            .unwrap_or_else(|why| panic!("seed {seed}, clean {clean}: {why}"));
        say(&format!("Raft's store, bits flipped after a clean end: {clean}: {flips:?}"));
        assert!(flips.refused > 50 && flips.harmless > 50, "{flips:?}");
    }
}

#[test]
fn damage_unnoticed_is_caught() {
    let caught = (1..9).find_map(|seed| flip(seed, true, 12, Some(Mutant::RaftDamageUnnoticed)).err());
    say(&format!(
        "planted RaftDamageUnnoticed: caught: {}",
        caught.expect("it was planted and not caught by 8 seeds")
    ));
}

/// Runs with the bug planted until it is caught.
fn caught(mutant: Mutant) {
    for seed in 1..9 {
        if let Err(why) = run(Plan { mutant: Some(mutant), ..plan(seed) }) {
            return say(&format!("planted {mutant:?}: caught with seed {seed}: {why}"));
        }
    }
    panic!("{mutant:?} was planted and not caught by 8 seeds");
}

macro_rules! planted {
    ($($name:ident: $mutant:ident;)*) => {$(
        #[test]
        fn $name() {
            caught(Mutant::$mutant);
        }
    )*};
}

planted! {
    m13_a_vote_that_is_not_durable_is_caught: RaftVoteNotDurable;
    an_entry_acknowledged_before_the_sync_is_caught: RaftEntryAckedBeforeSync;
    a_truncation_in_two_transactions_is_caught: RaftTruncatedInTwo;
    a_purge_marker_apart_from_the_purge_is_caught: RaftPurgeMarkerApart;
    a_snapshot_installed_in_two_transactions_is_caught: RaftInstalledInTwo;
}
