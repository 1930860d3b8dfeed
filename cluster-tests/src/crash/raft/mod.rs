//! The store of a voter, cut at every write and sync: what it answered is there, and no more than was asked.
//!
//! ```text
//!   script.rs ─> voter.rs: the real store on CrashDisk ─ before each change ─> image + ledger ─> a worker
//!      │             └─ gate.rs: the disk stands still while more is queued       (also at each answer)
//!      v                                                                                     │
//!   model.rs: the states that the answers allow <── compare ── reopen ── each outcome of the cut ┘
//!                                                                 └─ cut again, inside the opening and behind it
//!   fault.rs: each write, each sync fails once; a bit flips anywhere
//! ```
//! A worker reopens the store after a kill, and after a power cut with nothing, everything or any part of what was not
//! synced. What the reopened store shows is a first part of the queue with every answered change. A second power cut
//! takes none of it back, because openraft acts on what a start shows.
//!
//! The store writes one file from one thread, and waits for each sync before its next write. So two syncs are never
//! under way together; the gate shows that queued changes and answers do not overtake one that takes long, and torn
//! power cuts let unsynced sectors arrive in any order.
//!
//! A script follows from its seed, except for how the writer groups what is queued while the disk moves. openraft itself
//! is not driven: its own suite runs beside the store (`raft/store/tests.rs`).

mod fault;
mod gate;
mod model;
mod script;
mod voter;

pub use fault::{Failing, Failures, Flips, fail_each, flip};
pub use script::Counts;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use callboard_core::mutant::{Mutant, plant};
use parking_lot::Mutex;

use self::model::{Ledger, State};
use self::script::World;
use self::voter::Voter;
use super::disk::CrashDisk;
use super::image::{Image, Outcome};

/// Parameters of one run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// All choices of a run follow from it.
    pub seed: u64,
    /// Bursts of changes; a clean reopening follows every fifth.
    pub steps: u32,
    /// The opening after every n-th cut is cut at all its changes, that after each other at one.
    pub nested_every: u64,
    /// A bug that is planted in the store.
    pub mutant: Option<Mutant>,
}

/// Counts of one run.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Moments that were cut at: changes of the disk, and answers.
    pub cuts: u64,
    pub openings: u64,
    /// Openings after a cut inside an opening.
    pub nested: u64,
    pub counts: Counts,
}

struct Cut {
    number: u64,
    image: Image,
    ledger: Ledger,
}

#[derive(Default)]
struct Tally {
    openings: AtomicU64,
    nested: AtomicU64,
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Tally {
    fn fail(&self, why: String) {
        self.failure.lock().get_or_insert(why);
        self.failed.store(true, Ordering::Release);
    }

    fn open(&self, disk: &CrashDisk) -> Result<Voter, String> {
        self.openings.fetch_add(1, Ordering::AcqRel);
        Voter::open(disk).map_err(|why| format!("the store does not open: {why}"))
    }
}

/// Runs the script once and cuts it everywhere. The error names the rule that did not hold, and the cut.
pub fn run(plan: Plan) -> Result<Report, String> {
    let tally = Tally::default();
    let number = Arc::new(AtomicU64::new(0));
    let (cuts, queue) = sync_channel::<Cut>(64);
    let queue = Mutex::new(queue);
    let done = std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| work(plan, &queue, &tally));
        }
        plant(plan.mutant);
        let done = act(plan, &tally, &number, cuts);
        plant(None);
        done
    });
    if let Some(why) = tally.failure.lock().take() {
        return Err(why);
    }
    let counts = done.map_err(|why| format!("the script: {why}"))?;
    let count = |n: &AtomicU64| n.load(Ordering::Acquire);
    Ok(Report {
        cuts: count(&number),
        openings: count(&tally.openings),
        nested: count(&tally.nested),
        counts,
    })
}

/// Runs the script on a new disk, with a cut before each change of the disk and at each answer.
fn act(plan: Plan, tally: &Tally, number: &Arc<AtomicU64>, cuts: SyncSender<Cut>) -> Result<Counts, String> {
    let disk = CrashDisk::new(Image::default());
    let mut world = World::new(disk.clone(), State::default(), plan.seed);
    let (gate, ledger, number) = (Arc::clone(world.gate()), Arc::clone(world.ledger()), Arc::clone(number));
    let cut = Arc::new(move |image: Image| {
        let number = number.fetch_add(1, Ordering::AcqRel);
        let ledger = ledger.lock().clone();
        // No worker is left at the end of a run that failed.
        let _ = cuts.send(Cut { number, image, ledger });
    });
    let at_answer = Arc::clone(&cut);
    world.look(Box::new(move |disk| at_answer(disk.image())));
    disk.watch(Box::new(move |image, _| {
        cut(image.clone());
        gate.pass();
    }));
    let done = world.open().and_then(|()| {
        for step in 1..=plan.steps {
            if tally.failed.load(Ordering::Acquire) {
                break;
            }
            world.step()?;
            if step % 5 == 0 {
                world.reopen()?;
            }
        }
        Ok(())
    });
    world.close();
    disk.unwatch();
    done.map(|()| world.counts)
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
        match catch_unwind(AssertUnwindSafe(|| judge(plan, &cut, tally))) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tally.fail(format!("cut {number}: {why}")),
            Err(_) => tally.fail(format!("cut {number}: a panic")),
        }
    }
    plant(None);
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
    Ok(())
}

fn after(plan: Plan, cut: &Cut, outcome: Outcome, whole: bool, tally: &Tally) -> Result<(), String> {
    let disk = CrashDisk::new(cut.image.after(outcome));
    let inside = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&inside);
    disk.watch(Box::new(move |image, _| seen.lock().push(image.clone())));
    let voter = tally.open(&disk)?;
    disk.unwatch();
    let shown = voter.shown()?;
    cut.ledger.compare(&shown)?;
    stays(&disk.image(), &shown, tally)?;
    let inside = std::mem::take(&mut *inside.lock());
    for (at, image) in inside.iter().enumerate() {
        if whole || at as u64 == cut.number % inside.len() as u64 {
            nested(plan, cut, image, at as u64, tally)?;
        }
    }
    drop(voter);
    if cut.number % 16 == 5 {
        go_on(plan, cut, &disk, shown, tally).map_err(|why| format!("gone on: {why}"))?;
    }
    Ok(())
}

/// What a start has shown is still there after a power cut: openraft acts on it.
fn stays(image: &Image, shown: &State, tally: &Tally) -> Result<(), String> {
    let again = tally.open(&CrashDisk::new(image.after(Outcome::PowerDrop)))?.shown()?;
    if again == *shown {
        return Ok(());
    }
    Err(format!("a start had shown {shown}; after the next power cut it is {again}"))
}

/// Judges a cut inside an opening.
fn nested(plan: Plan, cut: &Cut, image: &Image, at: u64, tally: &Tally) -> Result<(), String> {
    tally.nested.fetch_add(1, Ordering::AcqRel);
    let then = match (cut.number + at) % 3 {
        0 => Outcome::Kill,
        1 => Outcome::PowerDrop,
        _ => Outcome::PowerTear(plan.seed ^ (cut.number << 8) ^ at),
    };
    tally
        .open(&CrashDisk::new(image.after(then)))
        .and_then(|voter| cut.ledger.compare(&voter.shown()?))
        .map_err(|why| format!("then {then:?} at change {at} of its opening: {why}"))
}

/// Lets a reopened store take more changes, and cuts it again.
fn go_on(plan: Plan, cut: &Cut, disk: &CrashDisk, shown: State, tally: &Tally) -> Result<(), String> {
    let mut world = World::new(disk.clone(), shown, plan.seed ^ (cut.number << 20));
    world.open()?;
    for _ in 0..4 {
        world.step()?;
    }
    let ledger = world.ledger().lock().clone();
    let image = disk.image().after(Outcome::PowerTear(cut.number));
    ledger.compare(&tally.open(&CrashDisk::new(image))?.shown()?)
}
