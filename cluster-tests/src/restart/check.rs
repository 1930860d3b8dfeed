//! The rules that hold in every state (RELIABILITY §3), and how a state without further faults has to end.

use super::disk::Log;
use super::rule::{NOBODY, bit};
use super::violation::Violation;
use super::world::{Role, Stage, State, World, is_registered};

/// The first violation that `wanted` asks for.
pub fn state(world: &World, state: &State, wanted: &dyn Fn(Violation) -> bool) -> Option<Violation> {
    let broken = state.broken.filter(|violation| wanted(*violation));
    let all = [
        (Violation::LeaderLacks, leader_lacks as fn(&World, &State) -> bool),
        (Violation::MemberLacks, member_lacks),
        (Violation::UncleanMember, unclean_member),
        (Violation::FencedLeads, fenced_leads),
        (Violation::NotCounted, not_counted),
        (Violation::Refused, refused),
    ];
    let found = all.into_iter().find(|(violation, check)| wanted(*violation) && check(world, state));
    broken.or(found.map(|(violation, _)| violation))
}

/// Compares a state with the one before it.
#[must_use]
pub fn step(world: &World, before: &State, after: &State) -> Option<Violation> {
    let nodes = world.bounds.nodes as u32;
    let enough = |n: &u8| {
        let process = before.nodes[usize::from(*n)].process;
        let view =
            after.nodes[usize::from(*n)].process.or(process).map(|process| (process.role, process.view));
        matches!(view, Some((Role::Leader { .. }, view))
            if view.isr.count_ones() >= u32::from(view.min).min(nodes))
    };
    let grew = after.committed.len() > before.committed.len();
    (grew && !world.all().any(|n| enough(&n))).then_some(Violation::BelowMinimum)
}

fn holds(log: &Log, state: &State) -> bool {
    log.begins_with(&state.committed)
}

fn leader_lacks(world: &World, state: &State) -> bool {
    world.all().any(|n| {
        let node = &state.nodes[usize::from(n)];
        let leads = node.process.is_some_and(|process| {
            matches!(process.role, Role::Leader { .. })
                && process.view.leader_epoch == state.image.leader_epoch
        });
        leads && !holds(&node.disk.log(), state)
    })
}

fn members(world: &World, state: &State) -> impl Iterator<Item = u8> {
    let members = state.image.members();
    world.all().filter(move |n| members & bit(*n) != 0)
}

fn member_lacks(world: &World, state: &State) -> bool {
    members(world, state).filter(|n| is_registered(state, *n)).any(|n| {
        let disk = &state.nodes[usize::from(n)].disk;
        let durable = disk.log().first(disk.counted_end(world.bounds.os));
        !holds(&durable, state)
    })
}

fn unclean_member(world: &World, state: &State) -> bool {
    let leads = state.image.leader != NOBODY && state.unclean & bit(state.image.leader) != 0;
    leads || members(world, state).any(|n| state.unclean & bit(n) != 0)
}

fn fenced_leads(_: &World, state: &State) -> bool {
    let leader = state.image.brokers.get(usize::from(state.image.leader));
    leader.is_some_and(|broker| broker.fenced)
}

fn refused(world: &World, state: &State) -> bool {
    state.harmed == 0 && world.all().any(|n| state.nodes[usize::from(n)].over)
}

/// I4, for a leader that knows the newest partition epoch or an older one of its own leader epoch.
fn not_counted(world: &World, state: &State) -> bool {
    world.all().any(|n| {
        let process = state.nodes[usize::from(n)].process;
        process.is_some_and(|process| {
            let Role::Leader { also, .. } = process.role else { return false };
            let view = process.view;
            let counts = view.isr.count_ones() >= u32::from(view.min).min(world.bounds.nodes as u32);
            let current = view.leader_epoch == state.image.leader_epoch;
            let outside = state.image.members() & !(view.isr | also) != 0;
            process.stage == Stage::Serves && current && counts && outside
        })
    })
}

/// How a state ends if no more faults come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// A leader with all living replicas in sync.
    Led,
    /// No leader, and no sound member is left to be one.
    Offline,
    Stuck,
}

/// Judges a state in which no step without a fault changes anything.
#[must_use]
pub fn end(world: &World, state: &State) -> End {
    let alive = world.all().filter(|n| is_registered(state, *n)).fold(0, |set, n| set | bit(n));
    if state.image.leader != NOBODY {
        return if state.image.isr & alive == alive { End::Led } else { End::Stuck };
    }
    let sound = state.image.members() & alive & !state.unclean;
    if sound != 0 || state.harmed == 0 { End::Stuck } else { End::Offline }
}
