//! Replication between two processes: what a leader counts (R3, R7), and what a follower cuts and takes (R13).

use super::disk::{Log, NODES, RECORDS};
use super::rule::bit;
use super::violation::Violation;
use super::world::{Bounds, Process, Role, SILENT, Stage, State};
use callboard_core::partition::end_of_epoch;

/// A log as runs of leader epochs, each with its start.
fn runs(epochs: &[u8; RECORDS], log: &Log) -> Vec<(i32, i64)> {
    let mut runs: Vec<(i32, i64)> = Vec::new();
    for (offset, id) in (0i64..).zip(log.ids()) {
        let epoch = i32::from(epochs[usize::from(*id) - 1]);
        if runs.last().is_none_or(|(last, _)| *last != epoch) {
            runs.push((epoch, offset));
        }
    }
    runs
}

/// Where a follower's log parts from its leader's, by epochs alone.
pub fn parts_at(epochs: &[u8; RECORDS], leader: &Log, follower: &Log) -> usize {
    let (ours, mut at) = (runs(epochs, leader), *follower);
    let end = leader.len() as i64;
    loop {
        let theirs = runs(epochs, &at);
        let Some((last, _)) = theirs.last().copied() else { return 0 };
        let (epoch, ended) = end_of_epoch(&ours, last, end).unwrap_or((-1, 0));
        if epoch == last && ended >= at.len() as i64 {
            return at.len();
        }
        let own = end_of_epoch(&theirs, epoch, at.len() as i64).map_or(0, |(_, end)| end);
        at.truncate(ended.min(own) as usize);
    }
}

/// The leader that a follower is connected with: both know the same epoch, and the leader knows the follower's life
/// (R36, R37).
pub fn linked(state: &State, n: u8) -> Option<u8> {
    let follower = state.nodes[usize::from(n)].process.filter(serves)?;
    let leader = state.nodes.get(usize::from(follower.view.leader))?.process.filter(serves)?;
    let ok = matches!(follower.role, Role::Follower { .. })
        && matches!(leader.role, Role::Leader { .. })
        && leader.view.leader_epoch == follower.view.leader_epoch
        && leader.view.starts[usize::from(n)] == follower.start;
    ok.then_some(follower.view.leader)
}

fn serves(process: &Process) -> bool {
    process.stage == Stage::Serves
}

/// A follower whose log is a prefix of its leader's is accepted.
pub fn matches_at_once(state: &mut State, n: u8) -> Option<()> {
    let leader = linked(state, n)?;
    let ours = state.nodes[usize::from(leader)].disk.log();
    let node = &mut state.nodes[usize::from(n)];
    let (process, log) = (node.process.as_mut()?, node.disk.log());
    let accepted = process.role == (Role::Follower { matched: false })
        && parts_at(&state.epochs, &ours, &log) == log.len();
    accepted.then(|| process.role = Role::Follower { matched: true })
}

/// A follower cuts its log where it parts from the leader's, or takes the next record.
pub fn pull(state: &mut State, n: u8) -> Option<()> {
    let leader = linked(state, n)?;
    let ours = state.nodes[usize::from(leader)].disk.log();
    let node = &mut state.nodes[usize::from(n)];
    let (process, log) = (node.process.as_mut()?, node.disk.log());
    node.disk.has_room().then_some(())?;
    if process.role == (Role::Follower { matched: false }) {
        let to = parts_at(&state.epochs, &ours, &log);
        return (to < log.len()).then(|| node.disk.cut(to));
    }
    let id = *ours.ids().get(log.len())?;
    node.disk.append(id);
    Some(())
}

/// A leader hears how far a follower is.
pub fn ack(bounds: &Bounds, state: &mut State, n: u8) -> Option<()> {
    let leader = linked(state, n)?;
    let node = &state.nodes[usize::from(n)];
    if node.process?.role != (Role::Follower { matched: true }) {
        return None;
    }
    let end = node.disk.counted_end(bounds.os) as u8;
    let Role::Leader { acks, .. } = &mut state.nodes[usize::from(leader)].process.as_mut()?.role else {
        return None;
    };
    if acks[usize::from(n)] == end {
        return None;
    }
    acks[usize::from(n)] = end;
    advance(bounds, state, leader);
    Some(())
}

/// A leader counts anew (R3): the least end over maxISR, if the committed ISR of its image has its minimum.
pub fn advance(bounds: &Bounds, state: &mut State, n: u8) {
    let node = &mut state.nodes[usize::from(n)];
    let log = node.disk.log();
    let own = node.disk.counted_end(bounds.os) as u8;
    let Some(Process { view, role: Role::Leader { acks, also, high_watermark, .. }, .. }) =
        node.process.as_mut()
    else {
        return;
    };
    if view.isr.count_ones() < u32::from(view.min).min(bounds.nodes as u32) {
        return;
    }
    let mut end = own;
    for other in (0..NODES as u8).filter(|other| *other != n && (view.isr | *also) & bit(*other) != 0) {
        let ack = acks[usize::from(other)];
        end = end.min(if ack == SILENT { 0 } else { ack });
    }
    if end <= *high_watermark {
        return;
    }
    *high_watermark = end;
    let shown = log.first(usize::from(end));
    if shown.begins_with(&state.committed) {
        state.committed = shown;
    } else if !state.committed.begins_with(&shown) {
        state.broken = Some(Violation::Lost);
    }
}
