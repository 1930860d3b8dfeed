//! The rules that hold in every state (I21), and after every step.

use super::local::{FOREIGN, NONE};
use super::world::{State, World};

/// A broken promise. The first two are what a user would see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// Two nodes live that are members of two clusters which formed from this list.
    TwoClusters,
    /// A cluster that can still elect, or has members, counts on a directory that belongs to another.
    SharedSeed,
    /// Two plans live that were founded, committed or not.
    TwoFounded,
    /// A founder counts on a seed's yes that the seed does not hold any more.
    PromiseLost,
    /// A directory left its cluster for another, or for none.
    ChangedCluster,
    /// All seeds are up and nothing was lost, yet no cluster forms.
    Stuck,
    /// No cluster forms, and no node says what to do.
    Silent,
}

/// The first violation that `wanted` asks for.
pub fn state(world: &World, state: &State, wanted: &dyn Fn(Violation) -> bool) -> Option<Violation> {
    let all = [
        (Violation::TwoClusters, two_clusters(world, state)),
        (Violation::SharedSeed, shared_seed(world, state)),
        (Violation::TwoFounded, two_founded(world, state)),
        (Violation::PromiseLost, promise_lost(world, state)),
    ];
    all.into_iter().find(|(violation, found)| *found && wanted(*violation)).map(|(violation, _)| violation)
}

/// Compares a directory with itself one step before.
#[must_use]
pub fn step(world: &World, before: &State, after: &State) -> Option<Violation> {
    let moved = |(old, new): (&u32, &u32)| {
        let (old, new) = (world.kit.facts(*old), world.kit.facts(*new));
        let same = |before: u32, after: u32| before == NONE || before == after;
        old.life == new.life && !(same(old.cluster, new.cluster) && same(old.log, new.log))
    };
    let changed = before.nodes.iter().zip(&after.nodes).any(moved);
    changed.then_some(Violation::ChangedCluster)
}

/// A cluster is there if it has a member, or if a quorum holds its log so that its leader can commit `Cluster`.
fn two_clusters(world: &World, state: &State) -> bool {
    let foreign = world.kit.plan(FOREIGN).cluster;
    let there = (0..state.nodes.len()).filter_map(|place| {
        let facts = world.facts(state, place);
        if facts.member {
            return Some(facts.cluster);
        }
        let commits = facts.log != FOREIGN && world.commits(state, facts.log) && world.leads(state, place);
        commits.then(|| world.kit.plan(facts.log).cluster)
    });
    let mut there = there.filter(|cluster| *cluster != foreign);
    there.next().is_some_and(|first| there.any(|other| other != first))
}

/// The founded plans that a living directory holds or is about to begin.
fn founded(world: &World, state: &State) -> impl Iterator<Item = u32> {
    let facts = state.nodes.iter().map(|node| world.kit.facts(*node));
    let plans = facts.flat_map(|facts| [facts.log, if facts.founding { facts.grant } else { NONE }]);
    plans.filter(|plan| *plan != NONE && *plan != FOREIGN)
}

fn two_founded(world: &World, state: &State) -> bool {
    let mut plans = founded(world, state);
    plans.next().is_some_and(|first| plans.any(|other| other != first))
}

fn shared_seed(world: &World, state: &State) -> bool {
    let strays = |plan: u32| {
        let plan = world.kit.plan(plan);
        let facts = state.nodes.iter().map(|node| world.kit.facts(*node));
        facts.filter(|f| plan.seats.contains(&f.life)).any(|f| f.cluster != NONE && f.cluster != plan.cluster)
    };
    (0..state.nodes.len()).any(|place| {
        let facts = world.facts(state, place);
        let own = facts.log != NONE && facts.log != FOREIGN;
        own && (facts.member || world.leads(state, place)) && strays(facts.log)
    })
}

fn promise_lost(world: &World, state: &State) -> bool {
    founded(world, state).any(|founded| {
        let plan = world.kit.plan(founded);
        let facts = state.nodes.iter().map(|node| world.kit.facts(*node));
        facts.filter(|facts| plan.seats.contains(&facts.life)).any(|facts| {
            let promised = facts.cluster == NONE && facts.grant == founded;
            !(promised || (facts.member && facts.cluster == plan.cluster))
        })
    })
}
