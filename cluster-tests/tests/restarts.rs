//! Restarts, searched (T0): no order of deaths, lost and old directories, registrations, elections and ISR changes within
//! the bounds loses an acknowledged record, or makes a replica a member or a leader that lacks one.
//!
//! Planted bugs and other rules show that the search can see each of these. Three limits of the rules are searched too:
//! a test says of each that it is still there.
//!
//! The larger bounds run with `cargo test --test restarts -- --ignored --nocapture`, and any others with
//! `CALLBOARD_RESTARTS="nodes=3 faults=2 kinds=Kill,Wipe" cargo test --test restarts -- --ignored --nocapture bounds_as_told`.

use callboard_cluster_tests::restart::{Bounds, Copies, Fault, Planted, Report, Rule, Violation, search};
use callboard_core::mutant::{Mutant, plant};

const ALL: [Fault; 10] = [
    Fault::Kill,
    Fault::Power,
    Fault::PowerAll,
    Fault::SyncFails,
    Fault::Wipe,
    Fault::Restore,
    Fault::End,
    Fault::MidStart,
    Fault::Rot,
    Fault::RotOutside,
];
const PLANTED: [Planted; 16] = [
    Planted::UncleanStays,
    Planted::FencedElected,
    Planted::ElrKept,
    Planted::NoEpochBump,
    Planted::MarkerKept,
    Planted::RestoredAccepted,
    Planted::UnknownBootIsKnown,
    Planted::PositionsIgnored,
    Planted::VerdictForgotten,
    Planted::DirectoryIgnored,
    Planted::ElrCleared,
    Planted::UncleanBumps,
    Planted::LastStays,
    Planted::LeavesQuietly,
    Planted::RecordedAlways,
    Planted::WrittenCompared,
];
/// States after which a search gives up. No search of the suite comes near.
const LIMIT: usize = 30_000_000;
/// The breaks that lose an acknowledged record, or are one step from it.
const LOSES: [Violation; 3] = [Violation::Lost, Violation::LeaderLacks, Violation::MemberLacks];

/// Bounds in the words of the environment: `nodes=3 faults=2 kinds=Kill,Wipe os`. A word without a value is a switch.
fn bounds(words: &str) -> Bounds {
    let mut bounds = Bounds {
        rule: Rule::Paper,
        planted: None,
        nodes: 2,
        records: 1,
        os: false,
        min: 2,
        faults: 2,
        kinds: ALL.to_vec(),
        fenced: 0,
        min_changes: 0,
        epoch: 4,
        copies: Copies::Never,
        heard_late: false,
        asks_late: false,
        hidden: false,
        shrinks: false,
        prompt: true,
        calm: false,
    };
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, "1"));
        let number: u8 = value.parse().unwrap_or(0);
        match key {
            "nodes" => bounds.nodes = number.into(),
            "records" => bounds.records = number.into(),
            "min" => bounds.min = number,
            "faults" => bounds.faults = number,
            "fenced" => bounds.fenced = number,
            "changes" => bounds.min_changes = number,
            "epoch" => bounds.epoch = number,
            "os" => bounds.os = true,
            "cold" => bounds.copies = Copies::Cold,
            "hot" => bounds.copies = Copies::Hot,
            "heard-late" => bounds.heard_late = true,
            "asks-late" => bounds.asks_late = true,
            "hidden" => bounds.hidden = true,
            "shrinks" => bounds.shrinks = true,
            "acks-late" => bounds.prompt = false,
            "calm" => bounds.calm = true,
            "real" => bounds.rule = Rule::Real,
            "kinds" => {
                let named = |kind: &Fault| value.split(',').any(|word| format!("{kind:?}") == word);
                bounds.kinds = ALL.into_iter().filter(named).collect();
            }
            "planted" => bounds.planted = PLANTED.into_iter().find(|known| format!("{known:?}") == value),
            other => panic!("no bound is called {other}"),
        }
    }
    bounds
}

fn say(name: &str, report: &Report) {
    let Report { states, steps, depth, took, led, offline, cut, .. } = report;
    let (took, cut) = (took.as_secs_f64(), if *cut { ", given up" } else { "" });
    println!(
        "{name}: {states} states, {steps} steps, depth {depth}, {led} end led, offline by losses {offline:?}, {took:.1} s{cut}"
    );
    if let Some((violation, trace)) = &report.found {
        println!("  {violation:?} after {} steps: {}", trace.len() - 1, trace.join(" "));
    }
    if let Some(trace) = &report.first_offline {
        println!("  offline after one loss: {}", trace.join(" "));
    }
}

#[track_caller]
fn holds(words: &str) -> Report {
    let report = search(bounds(words), LIMIT, |_| true);
    say(words, &report);
    assert!(report.found.is_none() && !report.cut, "{words}: {:?}", report.found);
    report
}

/// As `holds`, and a partition that needs two in-sync replicas outlives the loss of one directory.
#[track_caller]
fn outlives_one_loss(words: &str) {
    let report = holds(words);
    assert!(report.led > 0, "{words}: no state ends with a leader");
    assert!(report.first_offline.is_none(), "{words}: {:?}", report.first_offline);
}

/// Something planted, and what it must lead to.
#[track_caller]
fn caught(words: &str, violations: &[Violation]) {
    let report = search(bounds(words), LIMIT, |found| violations.contains(&found));
    say(words, &report);
    assert!(report.found.is_some(), "{words}: not caught");
}

#[test]
fn two_replicas_and_two_faults() {
    outlives_one_loss("calm kinds=Kill,Power,PowerAll,SyncFails,Wipe,End,MidStart,Rot");
    holds("min=1 calm kinds=Kill,Power,Wipe,MidStart");
}

#[test]
fn three_replicas_and_one_fault() {
    outlives_one_loss("nodes=3 faults=1 epoch=2 calm");
}

#[test]
fn durability_os() {
    holds("os calm kinds=Kill,Power,SyncFails,Wipe,End,MidStart");
    holds("os min=1 calm kinds=Kill,Power,SyncFails,Wipe,End,MidStart");
}

#[test]
fn fencing_and_another_minimum() {
    holds("faults=1 fenced=1 changes=1 shrinks epoch=3 calm kinds=Kill,Wipe");
}

#[test]
fn old_directories() {
    outlives_one_loss("cold heard-late calm kinds=Kill,Restore,Power");
    outlives_one_loss("hot calm kinds=Kill,Restore");
}

#[test]
fn late_questions() {
    holds("asks-late calm kinds=Kill,Wipe,MidStart");
}

/// The short cut of all other searches changes nothing.
#[test]
fn late_acknowledgements() {
    holds("acks-late calm kinds=Kill,Power,Wipe");
}

/// A copy that was made within a process's life shows only by the journal positions that were heard after it.
#[test]
fn copies_within_a_life_that_are_not_seen() {
    let not_yet_heard = "hot heard-late kinds=Kill,Restore";
    let heard_behind_the_fence = "hot fenced=1 kinds=Kill,Restore epoch=3";
    let not_synced = "hot os kinds=Kill,Restore";
    for words in [not_yet_heard, heard_behind_the_fence, not_synced] {
        caught(words, &LOSES);
    }
    caught(not_synced, &[Violation::LeaderLacks]);
    holds("hot os kinds=Kill,Restore planted=WrittenCompared");
}

#[test]
fn planted_bugs() {
    let rows = [
        ("planted=UncleanStays fenced=1 kinds=Wipe", Violation::LeaderLacks),
        ("planted=UncleanStays kinds=Wipe", Violation::UncleanMember),
        ("planted=DirectoryIgnored fenced=1 kinds=Wipe", Violation::LeaderLacks),
        ("planted=FencedElected kinds=Kill", Violation::FencedLeads),
        ("planted=ElrKept fenced=2 changes=1 shrinks faults=0", Violation::LeaderLacks),
        ("planted=NoEpochBump kinds=Kill", Violation::TwoLeaders),
        ("planted=NoEpochBump records=2 epoch=3 fenced=1 faults=1 kinds=Kill", Violation::MemberLacks),
        ("planted=MarkerKept os kinds=Power,End", Violation::MemberLacks),
        ("planted=RestoredAccepted cold heard-late kinds=Kill,Restore", Violation::MemberLacks),
        ("planted=PositionsIgnored hot kinds=Kill,Restore", Violation::LeaderLacks),
        ("planted=UnknownBootIsKnown os hidden kinds=Power", Violation::MemberLacks),
        ("planted=VerdictForgotten os kinds=Power,MidStart", Violation::MemberLacks),
    ];
    for (words, violation) in rows {
        caught(words, &[violation]);
    }
}

/// Rules that a design could choose instead, and what is wrong with them.
#[test]
fn other_rules() {
    // Nobody can lead any more, though nothing is lost: the ISR was empty and the ELR is gone.
    caught("planted=ElrCleared fenced=1 changes=1 faults=1 kinds=Kill calm", &[Violation::Stuck]);
    caught("planted=LastStays fenced=1 changes=1 kinds=Wipe", &[Violation::LeaderLacks]);
    // The leader's acknowledgement of the dropped bytes still counts, and takes the replica in again.
    caught("planted=LeavesQuietly faults=1 kinds=Rot", &LOSES);
}

#[test]
#[ignore = "larger bounds"]
fn larger_two_replicas() {
    holds("records=2 calm kinds=Kill,Power,Wipe,Rot");
    holds("min=1 records=2 kinds=Kill,Power,Wipe,Rot");
    holds("faults=3 epoch=3 kinds=Kill,Wipe,Power");
    holds("faults=1 fenced=1 changes=2 shrinks epoch=3 calm kinds=Kill,Wipe");
    holds("hot planted=RecordedAlways fenced=1 epoch=3 kinds=Kill,Restore");
    holds("os hot planted=WrittenCompared kinds=Kill,Restore,Power");
}

#[test]
#[ignore = "larger bounds"]
fn larger_three_replicas() {
    holds("nodes=3 epoch=2 kinds=Kill,Wipe");
    outlives_one_loss("nodes=3 epoch=3 calm kinds=Kill,Wipe");
    holds("nodes=3 epoch=2 fenced=1 changes=1 shrinks kinds=Kill,Wipe");
    holds("nodes=3 min=1 epoch=2 fenced=1 shrinks kinds=Kill,Wipe");
}

/// The rules as the controller's code has them.
#[test]
fn the_code() {
    outlives_one_loss("real calm kinds=Kill,Wipe,MidStart");
    holds("real os calm kinds=Kill,Power,Wipe,End,SyncFails");
    holds("real faults=1 fenced=1 changes=1 shrinks epoch=3 calm kinds=Kill,Wipe");
    outlives_one_loss("real cold heard-late calm kinds=Kill,Restore");
    holds("real asks-late kinds=Kill,Wipe,MidStart");
}

#[test]
fn the_code_with_three_replicas() {
    outlives_one_loss("real nodes=3 faults=1 epoch=2 calm kinds=Kill,Power,Wipe");
}

/// A new controller does not know yet who is damaged. The leader that counts with an acknowledgement of dropped bytes
/// then takes the replica in, unless the record of its leaving has raised the leader epoch (R41).
#[test]
fn the_code_when_replicas_are_damaged() {
    outlives_one_loss("real calm kinds=Kill,Rot");
    outlives_one_loss("real calm kinds=Kill,Rot,RotOutside");
}

#[test]
fn planted_bugs_of_the_code() {
    let rows: [(Mutant, &str, &[Violation]); 5] = [
        (Mutant::UncleanStaysInElr, "real kinds=Kill,Wipe", &[Violation::UncleanMember]),
        (Mutant::FencedElected, "real kinds=Kill", &[Violation::FencedLeads]),
        (Mutant::ElrKeptAtMinIsr, "real fenced=2 changes=1 shrinks faults=0", &LOSES),
        (Mutant::UncleanKeepsEpoch, "real kinds=Wipe", &LOSES),
        (Mutant::RestoredCopyAccepted, "real cold heard-late kinds=Kill,Restore", &LOSES),
    ];
    for (mutant, words, violations) in rows {
        plant(Some(mutant));
        println!("{mutant:?}");
        caught(words, violations);
        plant(None);
    }
}

#[test]
#[ignore = "larger bounds"]
fn larger_code() {
    outlives_one_loss("real calm kinds=Kill,Power,PowerAll,SyncFails,Wipe,End,MidStart");
    outlives_one_loss("real hot calm kinds=Kill,Restore");
    holds("real min=1 calm kinds=Kill,Power,Wipe,MidStart");
    holds("real faults=1 fenced=1 changes=2 shrinks epoch=3 calm kinds=Kill,Wipe");
    holds("real nodes=3 epoch=2 kinds=Kill,Wipe");
    holds("real nodes=3 faults=1 fenced=1 changes=1 shrinks epoch=2 kinds=Kill,Wipe");
    holds("real records=2 calm kinds=Kill,Power,Wipe");
}

/// Bounds from the environment, several of them parted by semicolons.
#[test]
#[ignore = "bounds from CALLBOARD_RESTARTS"]
fn bounds_as_told() {
    let told = std::env::var("CALLBOARD_RESTARTS").unwrap_or_else(|_| "calm".to_owned());
    let found: Vec<bool> = told
        .split(';')
        .map(|words| {
            let report = search(bounds(words), LIMIT, |_| true);
            say(words, &report);
            report.found.is_some()
        })
        .collect();
    assert!(!found.contains(&true), "a rule is broken");
}
