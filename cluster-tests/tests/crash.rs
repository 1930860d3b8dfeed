//! The store, cut at every write and sync, and inside the recovery that follows (`crash/mod.rs` draws it).
//!
//! One clean run a number of shards, whose figures are printed; then each planted bug by its name, which has to be
//! caught. `CALLBOARD_CRASH_FULL=N` cuts inside every recovery at all of its changes, over N seeds.

use callboard_cluster_tests::crash::full::no_space;
use callboard_cluster_tests::crash::{Plan, Report, fail_syncs, run};
use callboard_cluster_tests::process::say;
use callboard_core::mutant::{Mutant, plant};

/// Seeds of a full run, if one is asked for.
fn full() -> Option<u64> {
    std::env::var("CALLBOARD_CRASH_FULL")
        .ok()
        .map(|n| n.parse().expect("CALLBOARD_CRASH_FULL takes a number of seeds"))
}

fn plan(shards: usize, seed: u64) -> Plan {
    let (steps, nested_every) = if full().is_some() { (1000, 1) } else { (360, 24) };
    Plan { shards, seed, steps, nested_every, mutant: None }
}

fn clean(shards: usize, seed: u64) {
    let report = run(plan(shards, seed)).unwrap_or_else(|why| panic!("S={shards}, seed {seed}: {why}"));
    let Report { cuts, recoveries, nested, rotten, counts } = report;
    say(&format!(
        "crash backend, S={shards}, seed {seed}: {cuts} cut points, {recoveries} recoveries, {nested} of them after a \
         cut inside a recovery, {rotten} with a flipped bit; {counts:?}"
    ));
    assert!(
        counts.rolls >= 3 && counts.settles >= 3 && counts.recycled >= 1 && counts.promised >= 1,
        "the script is too tame: {counts:?}"
    );
    assert!(counts.truncations > 0 && counts.log_starts > 0 && counts.drops > 0 && counts.restarts > 0);
    assert!(counts.forgotten > 0 && counts.resets > 0 && counts.told > 0 && nested > 0 && rotten > 0);
}

#[test]
fn one_shard_cut_everywhere() {
    (1..=full().unwrap_or(1)).for_each(|seed| clean(1, seed));
}

#[test]
fn two_shards_cut_everywhere() {
    (101..=100 + full().unwrap_or(1)).for_each(|seed| clean(2, seed));
}

#[test]
fn a_failed_sync_is_final_and_loses_nothing_that_was_announced() {
    let syncs = if full().is_some() { 400 } else { 120 };
    let failures = fail_syncs(2, 7, syncs).unwrap_or_else(|why| panic!("{why}"));
    say(&format!("each of {syncs} syncs failed once: {failures:?}"));
    assert!(failures.stopped > 0 && failures.went_on > 0, "{failures:?}");
}

/// A settle whose commit failed, or seemed to, is done again: what its first half had covered is not taken once more.
#[test]
fn settled_twice_is_caught() {
    plant(Some(Mutant::SettledTwice));
    let caught = (1..9).find_map(|seed| fail_syncs(1, seed, 120).err());
    plant(None);
    say(&format!(
        "planted SettledTwice: caught: {}",
        caught.expect("it was planted and not caught by 8 seeds")
    ));
}

#[test]
fn a_full_disk_stops_no_shard_and_loses_nothing() {
    let growths = if full().is_some() { 300 } else { 80 };
    let found = no_space(2, 11, growths).unwrap_or_else(|why| panic!("{why}"));
    say(&format!("no space from each of {growths} growths on: {found:?}"));
    assert!(found.refused > u64::from(growths) / 2 && found.waited > 0 && found.went_on > 0, "{found:?}");
}

/// Runs with the bug planted until it is caught.
fn caught(mutant: Mutant) {
    for seed in 1..9 {
        if let Err(why) = run(Plan { mutant: Some(mutant), ..plan(1, seed) }) {
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
    ack_before_sync_is_caught: AckBeforeSync;
    recovered_tail_not_synced_is_caught: RecoveredTailNotSynced;
    verdict_of_a_killed_recovery_forgotten_is_caught: VerdictForgotten;
    directory_not_synced_is_caught: DirectoryNotSynced;
    x_before_data_is_caught: XBeforeData;
    recycle_before_x_is_durable_is_caught: RecycleBeforeX;
    recycle_while_a_row_refers_is_caught: RecycleWhileReferred;
    clipped_at_the_wrong_batch_is_caught: ClippedTooLate;
    gone_and_still_counted_is_caught: GoneStillCounted;
    truncation_not_journaled_is_caught: TruncationNotJournaled;
    stale_group_of_a_recycled_segment_accepted_is_caught: StaleGroupAccepted;
    producer_state_not_truncated_is_caught: ProducersNotTruncated;
    producer_forgotten_too_soon_is_caught: ForgottenTooSoon;
    an_emptied_replica_keeps_its_epochs_is_caught: ResetKeepsEpochs;
    bad_crc_taken_for_the_end_of_the_log_is_caught: BadCrcIsEnd;
}
