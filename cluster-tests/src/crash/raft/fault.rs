//! A disk that fails once, and one that rots.
//!
//! After a failed write or sync no answer says Ok any more, so openraft ends and the process with it. A start on the
//! mended disk then shows what the answers allow. A full disk is no failure: the store waits for room, and its own tests
//! cover that.
//!
//! A flipped bit makes a start refuse, in words that say what to do, or changes nothing of what it shows. A start that
//! refused does not change its mind: the next one refuses too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use callboard_core::mutant::{Mutant, plant};
use parking_lot::Mutex;

use super::super::disk::CrashDisk;
use super::super::image::{Image, Outcome};
use super::model::State;
use super::script::World;
use super::voter::Voter;
use crate::process::load::Rng;

/// The kind of call that fails, once, as a worn disk does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failing {
    Write,
    Sync,
}

/// Counts over all runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// Runs whose store did not open, and said so.
    pub not_opened: u32,
    /// Runs whose store stopped.
    pub stopped: u32,
    /// Runs in which the failure hurt nothing: no answer depended on it.
    pub went_on: u32,
}

/// Lets the n-th write or sync of a script fail, for each n below `count`.
pub fn fail_each(what: Failing, seed: u64, count: u64) -> Result<Failures, String> {
    let mut failures = Failures::default();
    for n in 0..count {
        fail(what, seed, n, &mut failures).map_err(|why| format!("{what:?} {n} failed: {why}"))?;
    }
    Ok(failures)
}

fn fail(what: Failing, seed: u64, n: u64, failures: &mut Failures) -> Result<(), String> {
    let disk = CrashDisk::new(Image::default());
    match what {
        Failing::Write => disk.fail_write(n),
        Failing::Sync => disk.fail_sync(n),
    }
    let mut world = World::new(disk.clone(), State::default(), seed);
    let opened = world.open();
    let (mut after, mut stopped) = (0, opened.clone().err());
    while after < 4 && stopped.is_none() {
        stopped = world.step().err();
        after += u32::from(disk.has_failed());
    }
    if let Some(violation) = &world.violation {
        return Err(violation.clone());
    }
    match &stopped {
        Some(why) if !disk.has_failed() => return Err(format!("it stopped before: {why}")),
        Some(_) if opened.is_err() => failures.not_opened += 1,
        Some(_) => {
            failures.stopped += 1;
            world.refused()?;
        }
        None => failures.went_on += 1,
    }
    let ledger = world.ledger().lock().clone();
    let running = disk.image();
    for outcome in [Outcome::Kill, Outcome::PowerDrop, Outcome::PowerTear(n)] {
        let disk = CrashDisk::new(running.after(outcome));
        Voter::open(&disk)
            .and_then(|voter| ledger.compare(&voter.shown()?))
            .map_err(|why| format!("{outcome:?}: {why}"))?;
        let again = CrashDisk::new(disk.image().after(Outcome::PowerDrop));
        Voter::open(&again)
            .and_then(|voter| ledger.compare(&voter.shown()?))
            .map_err(|why| format!("{outcome:?}, and then the power: {why}"))?;
    }
    Ok(())
}

/// Counts over all flipped bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flips {
    pub refused: u64,
    /// Bits that nothing depended on.
    pub harmless: u64,
}

/// The byte of redb's header whose first bit names the newer of its two commits.
const GOD_BYTE: u64 = 9;
/// The bytes of redb's header with both commits.
const HEADER: u64 = 320;

/// Flips bits of a file with changes in it, one at a time: all bits of redb's header, and `per_page` bits of each page.
///
/// After a kill one bit is left out: the one that names the newer commit. A flip there leaves the very file of a kill
/// just before that commit, and a clean end leaves two commits with the same rows.
pub fn flip(seed: u64, clean: bool, per_page: u64, mutant: Option<Mutant>) -> Result<Flips, String> {
    let disk = CrashDisk::new(Image::default());
    let mut world = World::new(disk.clone(), State::default(), seed);
    world.open()?;
    for _ in 0..24 {
        world.step()?;
    }
    let killed = disk.image().after(Outcome::Kill);
    world.close();
    let image = if clean { disk.image() } else { killed };
    let expected = Voter::open(&CrashDisk::new(image.clone()))?.shown()?;
    let (_, inode, pages) =
        image.files("meta.redb").into_iter().next().ok_or_else(|| "there is no file".to_owned())?;
    let mut rng = Rng::new(seed);
    let mut bits: Vec<(u64, u8)> = (0..HEADER).flat_map(|at| (0..8).map(move |bit| (at, bit))).collect();
    bits.retain(|bit| clean || *bit != (GOD_BYTE, 0));
    for page in 0..pages.len() / 4096 {
        bits.extend((0..per_page).map(|_| (page * 4096 + rng.below(4096), rng.below(8) as u8)));
    }
    let (refused, harmless, next) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                plant(mutant);
                while failure.lock().is_none() {
                    let taken = next.fetch_add(1, Ordering::AcqRel) as usize;
                    let Some((at, bit)) = bits.get(taken).copied() else { break };
                    let mut rotten = image.clone();
                    rotten.flip(inode, at, bit);
                    let seen = catch_unwind(AssertUnwindSafe(|| judge(rotten, &expected)));
                    match seen.unwrap_or_else(|_| Err("a panic".to_owned())) {
                        Ok(true) => refused.fetch_add(1, Ordering::AcqRel),
                        Ok(false) => harmless.fetch_add(1, Ordering::AcqRel),
                        Err(why) => {
                            failure.lock().get_or_insert(format!("bit {bit} of byte {at}: {why}"));
                            break;
                        }
                    };
                }
            });
        }
    });
    match failure.into_inner() {
        Some(why) => Err(why),
        None => Ok(Flips { refused: refused.into_inner(), harmless: harmless.into_inner() }),
    }
}

/// Opens a rotten file twice. Returns whether it is refused.
fn judge(image: Image, expected: &State) -> Result<bool, String> {
    let disk = CrashDisk::new(image);
    let mut refused = None;
    for start in 1..=2 {
        let now = match Voter::open(&disk) {
            Ok(voter) => {
                let shown =
                    voter.shown().map_err(|why| format!("start {start} opens, and cannot be read: {why}"))?;
                if shown != *expected {
                    return Err(format!("start {start} shows {shown}; {expected} was acknowledged"));
                }
                false
            }
            Err(why)
                if ["restore", "empty the directory", "run the"].iter().any(|what| why.contains(what)) =>
            {
                true
            }
            Err(why) => return Err(format!("the refusal does not say what to do: {why}")),
        };
        if *refused.get_or_insert(now) != now {
            return Err("one start refused it, and the other did not".to_owned());
        }
    }
    Ok(refused.unwrap_or_default())
}
