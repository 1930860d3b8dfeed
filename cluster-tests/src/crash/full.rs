//! A disk that gets full: each growth of a file in turn is the first that finds no space.
//!
//! ```text
//!   script ─ n growths ─> no space, for a while ─> space ─> goes on ─> everything settles ─> kill, power cut: compare
//! ```
//!
//! No shard may stop for it. Recovery still reads all that was written before; a group that finds no room waits.

use super::check::{Allow, Lengths, compare, start};
use super::disk::CrashDisk;
use super::image::Outcome;
use super::model::Replica;
use super::script::World;

/// Steps that the script does without space.
const WITHOUT: u32 = 24;
/// Steps that the script does when there is space again.
const BEHIND: u32 = 8;

/// Counts over all runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Growths that found no space.
    pub refused: u64,
    /// Groups that had to wait for space.
    pub waited: u32,
    /// Runs in which no group had to wait.
    pub went_on: u32,
}

/// Lets the disk be full from the n-th growth on, for each n below `growths`.
pub fn no_space(shards: usize, seed: u64, growths: u32) -> Result<Found, String> {
    let mut found = Found::default();
    for n in 0..growths {
        from(shards, seed, u64::from(n), &mut found)
            .map_err(|why| format!("no space from growth {n} on: {why}"))?;
    }
    Ok(found)
}

fn from(shards: usize, seed: u64, n: u64, found: &mut Found) -> Result<(), String> {
    let mut world = World::new(shards, seed)?;
    world.disk().full_after(n);
    let mut without = 0;
    for _ in 0..400 {
        world.step()?;
        without += u32::from(world.disk().refused() > 0);
        if without >= WITHOUT || world.counts.waited > 0 {
            break;
        }
    }
    found.refused += world.disk().refused();
    found.waited += world.counts.waited;
    found.went_on += u32::from(world.counts.waited == 0);
    // A store that is killed on the full disk comes up on one with space.
    let full = world.disk().image();
    recovered(&world, full, shards)?;
    world.disk().give_space();
    for _ in 0..BEHIND {
        world.step()?;
    }
    world.settle_all()?;
    recovered(&world, world.disk().image(), shards)
}

fn recovered(world: &World, image: super::image::Image, shards: usize) -> Result<(), String> {
    let ledger: Vec<Replica> = world.ledger().lock().iter().map(Replica::now).collect();
    let killed = CrashDisk::new(image.after(Outcome::Kill));
    let lengths = compare(&start(&killed, shards, "boot 0")?, &ledger, &Lengths::new(), Allow::default())?;
    let cut = CrashDisk::new(killed.image().after(Outcome::PowerDrop));
    let allow = Allow { unsynced_lost: true, ..Allow::default() };
    compare(&start(&cut, shards, "boot 1")?, &ledger, &lengths, allow)
        .map(|_| ())
        .map_err(|why| format!("and then the power: {why}"))
}
