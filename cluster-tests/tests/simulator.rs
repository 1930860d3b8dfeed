//! The machines of a whole cluster under faults, seed by seed (`sim/mod.rs` draws it).
//!
//! A thousand seeds have to keep every invariant, and to come to rest after the heal. Each planted bug has to be caught by
//! the seeds that are known to catch it, through something that a client could see or through I1–I3.
//!
//! `benches/simulate.sh` runs many seeds, one seed with its trace, or a planted bug until it is caught.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use callboard_cluster_tests::process::say;
use callboard_cluster_tests::sim::oracle::Strictness;
use callboard_cluster_tests::sim::run::{Case, Outcome};
use callboard_cluster_tests::sim::shrink::shrink;
use callboard_core::mutant::Mutant;
use parking_lot::Mutex;

/// Seeds of a run in CI.
const SEEDS: u64 = 1_000;
const THREADS: u64 = 2;

/// Bugs that the simulator found, each with a seed that caught it.
const REGRESSIONS: [(u64, &str); 15] = [
    (1, "an append was not shown to the feeds, so followers waited for the next one"),
    (
        20,
        "a log start inside a batch kept a follower from that batch, and a reset was acknowledged too early",
    ),
    (650, "a registration of an older process replaced that of a newer one"),
    (2_528, "a Position whose answer was lost was never sent again"),
    (2_002, "a registration left the end of the old life to a proposal that was lost"),
    (453, "a proposal of unknown end kept every later decision waiting"),
    (3_813, "a leader ended for an election that was never committed"),
    (
        42,
        "a shard was lost, and the new controller had never heard how far it was synced: its replicas stayed in the ISR",
    ),
    (4_340, "a shard was lost in a node's second directory, and the first one's places hid it"),
    (
        1_096,
        "a damaged replica emptied itself while a proposal that brought it back into the ISR was on its way",
    ),
    (
        2_261,
        "a damaged leader gave way to a new member and stayed in its ISR, in the same epoch in which it left",
    ),
    (
        36_498,
        "an eligible replica stood beside a large ISR: the change of min.insync.replicas before it was lost",
    ),
    (49_528, "a journal was lost before anybody heard that it held anything"),
    (66_967, "all replicas had lost their logs, and an unclean election found nobody"),
    (
        69_980,
        "a replica was damaged again between two heartbeats, and its second damage was taken for the first",
    ),
];

/// A failing case, shortened, in words that repeat it.
fn story(case: &Case) -> String {
    let Some((case, outcome)) = shrink(case) else { return "it failed, and did not fail again".to_owned() };
    let faults: Vec<String> = case.plan.iter().map(|planned| format!("  {planned}")).collect();
    let violation = outcome.violation.map(|violation| violation.to_string()).unwrap_or_default();
    let seed = case.options.seed;
    format!("seed {seed}: {violation}\n{:?}\nfaults left:\n{}", case.options, faults.join("\n"))
}

/// Runs each seed in one of two threads, and gives the first one that fails. Where they are counted, the others run too.
fn run_all(seeds: std::ops::RangeInclusive<u64>, case: impl Fn(u64) -> Case + Sync) -> (Totals, Option<u64>) {
    let next = AtomicU64::new(*seeds.start());
    let counts = asked("COUNT").is_some();
    let (totals, failed) = (Mutex::new(Totals::default()), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > *seeds.end() || (!counts && failed.lock().is_some()) {
                        return;
                    }
                    let outcome = case(seed).run();
                    if let Some(violation) = &outcome.violation {
                        if counts {
                            say(&format!("seed {seed}: {violation}"));
                        }
                        failed.lock().get_or_insert(seed);
                    }
                    totals.lock().add(&outcome);
                }
            });
        }
    });
    (totals.into_inner(), failed.into_inner())
}

/// Sums over many runs: what they went through.
#[derive(Debug, Default)]
struct Totals {
    runs: u64,
    steps: u64,
    produced: u64,
    acked: u64,
    consumed: u64,
    truncations: u64,
    resets: u64,
    elections: u64,
    dropped: u64,
    unclean: u64,
    copies: u64,
    repaired: u64,
    refilled: u64,
    elected: u64,
    reported: u64,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        let figures = &outcome.figures;
        self.runs += 1;
        self.steps += figures.steps;
        self.produced += figures.produced;
        self.acked += figures.acked;
        self.consumed += figures.consumed;
        self.truncations += figures.truncations;
        self.resets += figures.resets;
        self.elections += figures.elections;
        self.dropped += figures.dropped;
        self.unclean += figures.unclean;
        self.copies += figures.copies;
        self.repaired += figures.repaired;
        self.refilled += figures.refilled;
        self.elected += figures.elected;
        self.reported += figures.reported;
    }
}

#[test]
fn no_seed_breaks_a_rule_and_each_comes_to_rest() {
    let (totals, failed) = run_all(1..=SEEDS, Case::of);
    say(&format!("simulator: {totals:?}"));
    if let Some(seed) = failed {
        panic!("{}", story(&Case::of(seed)));
    }
    let each = totals.acked / totals.runs;
    assert!(
        each >= 10 && totals.truncations > 100 && totals.resets > 100,
        "the load is too tame: {totals:?}"
    );
}

#[test]
fn seeds_that_failed_once_pass() {
    for (seed, why) in REGRESSIONS {
        if Case::of(seed).run().violation.is_some() {
            panic!("{why}: {}", story(&Case::of(seed)));
        }
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let hash = |seed| Case::of(seed).run().hash;
    let (mut first, mut second) = (BTreeMap::new(), BTreeMap::new());
    for seed in (1..=SEEDS).step_by(25) {
        first.insert(seed, hash(seed));
    }
    // In another order, so that nothing is carried over from one run to the next.
    for seed in (1..=SEEDS).step_by(25).collect::<Vec<_>>().into_iter().rev() {
        second.insert(seed, hash(seed));
    }
    assert_eq!(first, second);
    let distinct: std::collections::BTreeSet<u64> = first.values().copied().collect();
    assert_eq!(distinct.len(), first.len(), "each seed is a run of its own");
}

/// Runs a planted bug on the first seed that is known to catch it.
fn caught(mutant: Mutant, seed: u64, strictness: Strictness) {
    let outcome = Case { strictness, ..Case::planted(seed, mutant) }.run();
    let Some(violation) = outcome.violation else {
        panic!("{mutant:?} was planted and not caught by seed {seed}; look for another: benches/simulate.sh");
    };
    say(&format!("planted {mutant:?}: caught by seed {seed}: {violation}"));
    assert_ne!(violation.rule, "panic", "a machine's own check is no proof that the simulator sees it");
}

/// By which rules a planted bug has to be caught: by those that a client could see and I1–I3, or by any.
macro_rules! strictness {
    () => {
        Strictness::Visible
    };
    ($strictness:ident) => {
        Strictness::$strictness
    };
}

macro_rules! planted {
    ($($name:ident: $mutant:ident, $seed:literal $(, $strictness:ident)?;)*) => {
        mod planted {
            use super::*;
            $(
                #[test]
                fn $name() {
                    caught(Mutant::$mutant, $seed, strictness!($($strictness)?));
                }
            )*
        }

        /// All planted bugs that the simulator has to catch, by their names.
        const MUTANTS: &[(&str, Mutant)] = &[$((stringify!($mutant), Mutant::$mutant)),*];
    };
}

// The numbers are seeds-to-detect: the first seed, from 1 on, that catches the bug. A client is covered by other fences
// where broker epochs are not compared, so I9 alone sees that.
planted! {
    ack_before_sync: AckBeforeSync, 2;
    follower_acks_end: FollowerAcksEnd, 1;
    truncates_to_high_watermark: TruncatesToHighWatermark, 480;
    joins_below_epoch_start: JoinsBelowEpochStart, 132;
    joins_by_earlier_epoch: JoinsByEarlierEpoch, 488;
    broker_epoch_unchecked: BrokerEpochUnchecked, 18, All;
    proposed_isr_ignored: ProposedIsrIgnored, 25;
    commits_below_min_isr: CommitsBelowMinIsr, 1;
    leadership_overtakes_commits: LeadershipOvertakesCommits, 1892;
    high_watermark_at_end: HighWatermarkAtEnd, 2;
    old_persisted_counts: OldPersistedCounts, 716;
    ack_by_followers_durability: AckByFollowersDurability, 88;
    tickets_survive: TicketsSurvive, 15;
    followers_stray: FollowersStray, 2;
    old_diverge_obeyed: OldDivergeObeyed, 300;
    old_part_obeyed: OldPartObeyed, 1659;
    position_is_no_ack: PositionIsNoAck, 2;
    position_per_mismatch: PositionPerMismatch, 378;
    part_high_watermark_unclamped: PartHighWatermarkUnclamped, 20;
    truncation_keeps_ends: TruncationKeepsEnds, 22;
    role_during_rebuild: RoleDuringRebuild, 3021;
    reset_keeps_epochs: ResetKeepsEpochs, 20;
    producers_by_wall_clock: ProducersByWallClock, 88;
    decided_on_image_alone: DecidedOnImageAlone, 2;
    applied_without_epoch_check: AppliedWithoutEpochCheck, 1618;
    isr_from_answer: IsrFromAnswer, 1;
    late_proposal_accepted: LateProposalAccepted, 1661;
    unknown_never_asked_again: UnknownNeverAskedAgain, 44;
    applied_index_ignored: AppliedIndexIgnored, 39;
    unclean_stays_in_elr: UncleanStaysInElr, 6;
    fenced_elected: FencedElected, 6, All;
    elr_kept_at_min_isr: ElrKeptAtMinIsr, 1;
    unclean_keeps_epoch: UncleanKeepsEpoch, 6;
    restored_copy_accepted: RestoredCopyAccepted, 37;
    copy_within_life_accepted: CopyWithinLifeAccepted, 2432;
    earlier_start_forgotten: EarlierStartForgotten, 47;
    clean_marker_kept: CleanMarkerKept, 1025;
    orphan_dropped: OrphanDropped, 24;
    wiped_voter_votes: WipedVoterVotes, 24;
    refetched_before_leaving: RefetchedBeforeLeaving, 382;
    verdict_forgotten: VerdictForgotten, 912;
}

/// The environment of `benches/simulate.sh`.
fn asked(name: &str) -> Option<String> {
    std::env::var(format!("CALLBOARD_SIM_{name}")).ok().filter(|value| !value.is_empty())
}

/// The runs that `benches/simulate.sh` starts: seeds from one to another, on the machines as they are or with a planted bug.
#[test]
#[ignore = "a long run: benches/simulate.sh starts it"]
fn long_run() {
    let number = |name: &str, or: u64| asked(name).map_or(or, |n| n.parse().expect("a number of a seed"));
    let from = number("FROM", 1);
    let to = number("TO", from);
    let planted = asked("MUTANT").map(|name| {
        let known = MUTANTS.iter().find(|(known, _)| *known == name);
        known.unwrap_or_else(|| panic!("no planted bug is called {name}: {MUTANTS:?}")).1
    });
    let case = |seed| {
        let case = planted.map_or_else(|| Case::of(seed), |mutant| Case::planted(seed, mutant));
        let strictness = if asked("ALL").is_some() { Strictness::All } else { case.strictness };
        Case { strictness, ..case }
    };
    let traced = asked("TRACE").is_some();
    let (totals, failed) = run_all(from..=to, case);
    say(&format!("simulator: {totals:?}"));
    if traced {
        let shorter =
            failed.and_then(|seed| shrink(&case(seed))).map_or_else(|| case(from), |(case, _)| case);
        let _ = Case { trace: true, ..shorter }.run();
    }
    match (failed, planted) {
        (None, None) => {}
        (Some(seed), Some(mutant)) => say(&format!("{mutant:?} is caught by {}", story(&case(seed)))),
        (Some(seed), None) => panic!("{}", story(&case(seed))),
        (None, Some(mutant)) => panic!("{mutant:?} is not caught by seeds {from} to {to}"),
    }
}
