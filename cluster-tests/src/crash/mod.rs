//! The crash backend: the real store on a disk that can be cut at every write and sync.
//!
//! ```text
//!   script ─> Store on CrashDisk ─ before each change ─> image + ledger of what was announced ─> a worker:
//!     for each outcome: kill · power cut, nothing / everything / any part of what was unsynced came through
//!        recover ─> compare ─> cut the power again: what recovery reported is still there
//!           └─ cut inside the recovery, at each of its changes ─> recover ─> compare
//!           └─ now and then: go on writing, cut, recover, compare         · flip a bit, recover: said, or harmless
//! ```
//!
//! An image shares its pages with those before it, so one run of the script serves every cut. `image.rs` is the disk,
//! `model.rs` the state that must be there, `check.rs` the comparison, `script.rs` the actions. A voter's
//! `meta.redb` has a script and a model of its own, in `raft/`. Nothing here drives the metadata of a single node and the
//! threads of a shard: kill -9 of real processes does that.

pub mod check;
pub mod disk;
pub mod full;
pub mod image;
pub mod model;
pub mod raft;
pub mod rot;
pub mod script;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use callboard_core::mutant::{Mutant, plant};
use parking_lot::Mutex;

use self::check::{Allow, Lengths, compare, positions, reach, start};
use self::disk::CrashDisk;
use self::image::{Image, Outcome};
use self::model::Replica;
use self::script::{Counts, Ledger, World};
use crate::process::load::Rng;

/// Parameters of one run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub shards: usize,
    /// All choices of a run follow from it.
    pub seed: u64,
    /// Steps of the script.
    pub steps: u32,
    /// The recovery from every n-th cut is cut at all its changes, that from each other at one.
    pub nested_every: u64,
    /// A bug that is planted in the store.
    pub mutant: Option<Mutant>,
}

/// Counts of one run.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Changes of the disk, each a cut.
    pub cuts: u64,
    pub recoveries: u64,
    /// Recoveries after a cut inside a recovery.
    pub nested: u64,
    /// Recoveries with a bit flipped.
    pub rotten: u64,
    /// Actions of the script.
    pub counts: Counts,
}

/// One moment to cut at.
struct Cut {
    number: u64,
    image: Image,
    ledger: Vec<Replica>,
    /// The journal position that each shard had told the outside.
    told: Vec<u64>,
}

#[derive(Default)]
struct Tally {
    recoveries: AtomicU64,
    nested: AtomicU64,
    rotten: AtomicU64,
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Tally {
    fn fail(&self, why: String) {
        self.failure.lock().get_or_insert(why);
        self.failed.store(true, Ordering::Release);
    }
}

/// Runs the script once and cuts it everywhere. The error names the rule that did not hold, and the cut.
pub fn run(plan: Plan) -> Result<Report, String> {
    let tally = Tally::default();
    let (cuts, queue) = sync_channel::<Cut>(64);
    let queue = Mutex::new(queue);
    let done = std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| work(plan, &queue, &tally));
        }
        plant(plan.mutant);
        let number = std::sync::Arc::new(AtomicU64::new(0));
        let ends = (number.clone(), cuts);
        let done = act(plan, &tally, move |disk: &CrashDisk, ledger: &Ledger| {
            let (number, cuts, ledger) = (ends.0.clone(), ends.1.clone(), ledger.clone());
            let told = disk.told.clone();
            disk.watch(Box::new(move |image, _| {
                let number = number.fetch_add(1, Ordering::AcqRel);
                let ledger = ledger.lock().iter().map(Replica::now).collect();
                let told = told.lock().clone();
                let _ = cuts.send(Cut { number, image: image.clone(), ledger, told });
            }));
        });
        plant(None);
        done.map(|counts| (counts, number.load(Ordering::Acquire)))
    });
    if let Some(why) = tally.failure.lock().take() {
        return Err(why);
    }
    let (counts, cuts) = done.map_err(|why| format!("the script: {why}"))?;
    let count = |n: &AtomicU64| n.load(Ordering::Acquire);
    let (recoveries, nested, rotten) = (count(&tally.recoveries), count(&tally.nested), count(&tally.rotten));
    Ok(Report { cuts, recoveries, nested, rotten, counts })
}

/// Runs the script, with restarts on its way: one clean, the next as a kill leaves the disk.
fn act(plan: Plan, tally: &Tally, watch: impl Fn(&CrashDisk, &Ledger)) -> Result<Counts, String> {
    let mut world = World::new(plan.shards, plan.seed)?;
    watch(world.disk(), world.ledger());
    for step in 0..plan.steps {
        if tally.failed.load(Ordering::Acquire) {
            break;
        }
        if step > 0 && step % (plan.steps / 3).max(1) == 0 {
            let clean = world.counts.restarts % 2 == 0;
            let ledger = world.ledger().clone();
            world = world.restart(clean, |disk| watch(disk, &ledger))?;
        }
        world.step()?;
    }
    world.disk().unwatch();
    Ok(world.counts)
}

fn work(plan: Plan, queue: &Mutex<Receiver<Cut>>, tally: &Tally) {
    plant(plan.mutant);
    loop {
        let next = queue.lock().recv();
        let Ok(cut) = next else { break };
        if tally.failed.load(Ordering::Acquire) {
            continue;
        }
        let number = cut.number;
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(plan, &cut, tally)));
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tally.fail(format!("cut {number}: {why}")),
            Err(_) => tally.fail(format!("cut {number}: a panic")),
        }
    }
    plant(None);
}

/// Counts over the runs in which one sync failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// Runs whose shard stopped.
    pub stopped: u32,
    /// Runs that went on: the sync was redb's, and the store opened the file again.
    pub went_on: u32,
}

/// Lets the n-th sync of a script fail, for each n below `syncs`. Changes pending then never reach the disk, though readers
/// go on seeing them. No entry announced as synced may be missing, even after a power cut.
pub fn fail_syncs(shards: usize, seed: u64, syncs: u64) -> Result<Failures, String> {
    let mut failures = Failures::default();
    for n in 0..syncs {
        fail_sync(shards, seed, n, &mut failures).map_err(|why| format!("sync {n} failed: {why}"))?;
    }
    Ok(failures)
}

fn fail_sync(shards: usize, seed: u64, n: u64, failures: &mut Failures) -> Result<(), String> {
    let mut world = World::new(shards, seed)?;
    world.disk().fail_sync(n);
    let (mut after, mut stopped) = (0, None);
    while after < 8 && stopped.is_none() {
        stopped = world.step().err();
        after += u32::from(world.disk().has_failed());
    }
    match &stopped {
        Some(why) if !world.disk().has_failed() => return Err(format!("it stopped before: {why}")),
        Some(why) => {
            failures.stopped += 1;
            world.record_failure(why);
        }
        None => failures.went_on += 1,
    }
    let ledger: Vec<Replica> = world.ledger().lock().iter().map(Replica::now).collect();
    let allow = Allow { unsynced_lost: true, sync_failed: stopped.is_some(), ..Allow::default() };
    let killed = CrashDisk::new(world.disk().image().after(Outcome::Kill));
    let lengths = compare(&start(&killed, shards, "boot 0")?, &ledger, &Lengths::new(), allow)?;
    let cut = CrashDisk::new(killed.image().after(Outcome::PowerDrop));
    compare(&start(&cut, shards, "boot 1")?, &ledger, &lengths, allow)
        .map(|_| ())
        .map_err(|why| format!("and then the power: {why}"))
}

/// Judges every outcome of one cut.
fn judge(plan: Plan, cut: &Cut, tally: &Tally) -> Result<(), String> {
    let n = cut.number;
    let outcomes = [
        Outcome::Kill,
        Outcome::PowerDrop,
        Outcome::PowerTear(plan.seed ^ (2 * n + 1)),
        Outcome::PowerTear(plan.seed ^ (2 * n + 2)),
        Outcome::PowerKeep,
    ];
    for (i, outcome) in outcomes.into_iter().enumerate() {
        let whole = n % plan.nested_every == i as u64 % plan.nested_every;
        after(plan, cut, outcome, whole, tally).map_err(|why| format!("{outcome:?}: {why}"))?;
    }
    if n % 4 == 3 {
        rotten(plan, cut, tally).map_err(|why| format!("a bit flipped: {why}"))?;
    }
    Ok(())
}

fn boot(outcome: Outcome, before: u32) -> u32 {
    if outcome.same_boot() { before } else { before + 1 }
}

fn up(plan: Plan, disk: &CrashDisk, boot: u32, tally: &Tally) -> Result<check::Up, String> {
    tally.recoveries.fetch_add(1, Ordering::AcqRel);
    start(disk, plan.shards, &format!("boot {boot}"))
}

/// Judges one outcome of a cut: recovery, recovery after another power cut, cuts inside the recovery.
fn after(plan: Plan, cut: &Cut, outcome: Outcome, whole: bool, tally: &Tally) -> Result<(), String> {
    let disk = CrashDisk::new(cut.image.after(outcome));
    let inside = std::sync::Arc::new(Mutex::new(Vec::new()));
    let seen = inside.clone();
    disk.watch(Box::new(move |image, _| seen.lock().push(image.clone())));
    let first = boot(outcome, 0);
    let recovered = up(plan, &disk, first, tally)?;
    disk.unwatch();
    reach(&recovered, &cut.told)?;
    let told = positions(&recovered);
    let allow =
        Allow { unsynced_lost: !outcome.same_boot() && outcome != Outcome::PowerKeep, ..Allow::default() };
    let lengths = compare(&recovered, &cut.ledger, &Lengths::new(), allow)?;
    let again = CrashDisk::new(disk.image().after(Outcome::PowerDrop));
    let lost = Allow { unsynced_lost: true, ..Allow::default() };
    let twice = up(plan, &again, first + 1, tally)?;
    reach(&twice, &told)
        .and_then(|()| compare(&twice, &cut.ledger, &lengths, lost).map(|_| ()))
        .map_err(|why| format!("the power cut after its recovery: {why}"))?;
    let inside = std::mem::take(&mut *inside.lock());
    for (at, image) in inside.iter().enumerate() {
        if whole || at as u64 == cut.number % inside.len() as u64 {
            nested(plan, cut, outcome, image, at as u64, tally)?;
        }
    }
    if cut.number % 16 == 5 {
        go_on(plan, cut, recovered, &lengths, tally).map_err(|why| format!("gone on: {why}"))?;
    }
    Ok(())
}

/// Judges a cut inside a recovery.
fn nested(
    plan: Plan,
    cut: &Cut,
    outcome: Outcome,
    image: &Image,
    at: u64,
    tally: &Tally,
) -> Result<(), String> {
    tally.nested.fetch_add(1, Ordering::AcqRel);
    let seed = plan.seed ^ (cut.number << 8) ^ at;
    let then = match (cut.number + at) % 3 {
        0 => Outcome::Kill,
        1 => Outcome::PowerDrop,
        _ => Outcome::PowerTear(seed),
    };
    let disk = CrashDisk::new(image.after(then));
    let boot = boot(then, boot(outcome, 0));
    let allow = Allow { unsynced_lost: boot > 0, ..Allow::default() };
    up(plan, &disk, boot, tally)
        .and_then(|recovered| reach(&recovered, &cut.told).map(|()| recovered))
        .and_then(|recovered| compare(&recovered, &cut.ledger, &Lengths::new(), allow))
        .map(|_| ())
        .map_err(|why| format!("then {then:?} at change {at} of its recovery: {why}"))
}

/// Lets a recovered store take more entries, and cuts it again.
fn go_on(
    plan: Plan,
    cut: &Cut,
    recovered: check::Up,
    lengths: &Lengths,
    tally: &Tally,
) -> Result<(), String> {
    let mut world = World::resume(recovered, &cut.ledger, lengths, plan.seed ^ (cut.number << 20))?;
    for _ in 0..12 {
        world.step()?;
    }
    let ledger: Vec<Replica> = world.ledger().lock().iter().map(Replica::now).collect();
    let image = world.disk().image().after(Outcome::PowerTear(cut.number));
    let lost = Allow { unsynced_lost: true, ..Allow::default() };
    compare(&up(plan, &CrashDisk::new(image), 7, tally)?, &ledger, &Lengths::new(), lost).map(|_| ())
}

fn rotten(plan: Plan, cut: &Cut, tally: &Tally) -> Result<(), String> {
    let mut image = cut.image.after(Outcome::Kill);
    if !rot::rot(&mut image, &mut Rng::new(plan.seed ^ cut.number)) {
        return Ok(());
    }
    tally.rotten.fetch_add(1, Ordering::AcqRel);
    let allow = Allow { rot: true, ..Allow::default() };
    let recovered = up(plan, &CrashDisk::new(image), 0, tally)?;
    compare(&recovered, &cut.ledger, &Lengths::new(), allow).map(|_| ())
}
