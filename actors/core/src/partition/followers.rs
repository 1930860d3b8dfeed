//! The leader's side of replication: which followers have what, how far the partition is committed, and who is in sync.
//!
//! ```text
//!   Position ──> judge ─┬─ Accept   ──> a feed begins at the follower's end
//!                       ├─ Restart  ──> the feed begins with the log start (R39)
//!                       └─ Diverge  ──> the follower truncates and comes again (R13)
//!   Ack ──> higher ends ──> committed end = the smallest counted end over maxISR, if the ISR has its minimum (R3)
//!   time, acks ──> wish: members that lag leave, followers that have everything join (R6, R7)
//! ```
//!
//! All of it lasts one leader epoch. The feeds themselves read bytes elsewhere (`feed.rs`).

use super::epochs::end_of_epoch;
use super::feed::Cursor;
use super::isr::Isr;
use super::log::LocalLog;
use super::messages::Effect;
use super::progress::{Accepted, Progress};
use super::replication::{Ack, Answer, Group, Member, Position, RefusedFor};
use crate::ids::{BrokerId, LeaderEpoch, Offset, Peer};
use crate::machine::Effects;
use crate::metadata::IsrOutcome;
use crate::mutant::{Mutant, planted};
use crate::time::Millis;

/// A tick that comes later than this, in milliseconds, finds the leader held up. Timers and mailboxes cost less.
const HELD_UP_MS: u64 = 100;
/// More time for the members, in milliseconds, of a leader that was held up. Acknowledgements may wait in sockets that it
/// has not read yet.
const GRACE_MS: u64 = 500;

/// All other replicas of the partition, as the leader of one epoch knows them.
#[derive(Clone, Debug)]
pub struct Followers {
    me: BrokerId,
    epoch: LeaderEpoch,
    /// The log end at which this leader epoch began (LESO).
    start: Offset,
    isr: Isr,
    list: Vec<Progress>,
    /// When the next tick was wanted, to judge the first member that may be late.
    armed: Option<Millis>,
}

/// The judgement on a Position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Judged {
    Accept,
    Restart,
    Diverge { epoch: Option<LeaderEpoch>, end: Offset },
}

impl Followers {
    /// The followers of a leadership that begins now.
    #[must_use]
    pub fn new(me: BrokerId, epoch: LeaderEpoch, group: Group, log: &LocalLog, now: Millis) -> Followers {
        let others = group.members.iter().filter(|member| member.peer.broker != me);
        let list = others.map(|member| Progress::new(*member, now)).collect();
        Followers { me, epoch, start: log.end(), isr: Isr::new(group), list, armed: None }
    }

    /// The log end at which this leader epoch began.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The in-sync sets, committed and proposed.
    #[must_use]
    pub fn isr(&self) -> &Isr {
        &self.isr
    }

    /// Whether the partition has other replicas.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.list.is_empty()
    }

    /// What each broker's follower has acknowledged under an accepted Position.
    pub fn accepted(&self) -> impl Iterator<Item = Accepted> + '_ {
        self.list.iter().filter_map(|progress| progress.accepted)
    }

    /// Takes the group of a newer image, and forgets what other processes of its nodes said (R6).
    pub fn regroup(&mut self, now: Millis, group: Group, out: &mut Effects<Effect>) {
        if group.partition_epoch < self.isr.group().partition_epoch {
            return;
        }
        let former = std::mem::take(&mut self.list);
        for member in group.members.iter().filter(|member| member.peer.broker != self.me) {
            let known = former.iter().find(|progress| progress.member.peer.broker == member.peer.broker);
            let mut progress = known.cloned().unwrap_or_else(|| Progress::new(*member, now));
            let same = progress.member.peer == member.peer || planted(Mutant::BrokerEpochUnchecked);
            let joins = member.in_sync && !progress.member.in_sync;
            progress.member = *member;
            if joins {
                progress.joined(now);
            }
            // A follower that has left the ISR may come back by what it acknowledges from now on (R41).
            progress.broken &= member.in_sync;
            if !same {
                progress.forget(now);
                out.push(Effect::Unfeed(member.peer.broker));
            }
            self.list.push(progress);
        }
        for progress in former {
            let broker = progress.member.peer.broker;
            if !self.list.iter().any(|progress| progress.member.peer.broker == broker) {
                out.push(Effect::Unfeed(broker));
                out.extend(progress.accepted.map(|accepted| self.drops(accepted)));
            }
        }
        self.isr.regroup(group);
    }

    /// Tells a follower that its Position counts no more. It would wait for a part otherwise, should it come back.
    fn drops(&self, accepted: Accepted) -> Effect {
        let (leader_epoch, n) = (self.epoch, accepted.n);
        let answer = Answer::Refused { leader_epoch, n, why: RefusedFor::Behind };
        Effect::Reply { to: accepted.peer, answer }
    }

    /// A mutant's leadership goes on with what was said in an earlier leader epoch.
    pub fn keep(&mut self, former: &Followers) {
        for progress in &mut self.list {
            let peer = progress.member.peer;
            let said = former.accepted().find(|accepted| accepted.peer == peer);
            progress.accepted = progress.accepted.or(said);
        }
    }

    /// Judges a Position of this leader epoch and answers it (R36).
    pub fn position(
        &mut self,
        now: Millis,
        from: Peer,
        position: &Position,
        log: &LocalLog,
        out: &mut Effects<Effect>,
    ) {
        let refused = |why| Effect::Reply {
            to: from,
            answer: Answer::Refused { leader_epoch: position.leader_epoch, n: position.n, why },
        };
        let Some(at) = self.list.iter().position(|p| p.member.peer.broker == from.broker) else {
            return out.push(refused(RefusedFor::Behind));
        };
        let progress = &mut self.list[at];
        if from.epoch != progress.member.peer.epoch && !planted(Mutant::BrokerEpochUnchecked) {
            return out.push(refused(RefusedFor::Behind));
        }
        if !progress.is_newer(from, position.n) {
            return;
        }
        if progress.member.in_sync && position.end < log.high_watermark() {
            progress.broken = true;
            out.push(Effect::Alarm(format!(
                "{from} is in sync and its log ends at {}, below the high watermark {}: it lost records that it had \
                 acknowledged, and is taken out of the in-sync replicas",
                position.end,
                log.high_watermark()
            )));
        }
        let (judged, n) = (judge(position, self.epoch, log), position.n);
        match judged {
            Judged::Diverge { epoch, end } => {
                if progress.accepted.take().is_some() {
                    out.push(Effect::Unfeed(from.broker));
                }
                let answer = Answer::Diverge { leader_epoch: self.epoch, n, epoch, end };
                out.push(Effect::Reply { to: from, answer });
            }
            Judged::Accept | Judged::Restart => {
                let restart = judged == Judged::Restart;
                progress.accept(from, position, !restart && !planted(Mutant::PositionIsNoAck));
                let acked = counted(progress, log).unwrap_or(0);
                progress.reached(now, acked, log.end());
                out.push(Effect::Feed(Cursor::new(from, self.epoch, n, position.end, restart, log.log_id())));
            }
        }
    }

    /// Takes an acknowledgement, and says whether it counts (I9).
    pub fn acked(&mut self, now: Millis, from: Peer, ack: &Ack, log: &LocalLog) -> bool {
        let Some(progress) = self.list.iter_mut().find(|p| p.member.peer.broker == from.broker) else {
            return false;
        };
        if ack.leader_epoch != self.epoch || !progress.acked(from, ack, log.end()) {
            return false;
        }
        let acked = counted(progress, log).unwrap_or(0);
        progress.reached(now, acked, log.end());
        true
    }

    /// The leader has appended; its log ended at `end_before`.
    pub fn appended(&mut self, now: Millis, end_before: Offset, log: &LocalLog) {
        for progress in &mut self.list {
            let acked = counted(progress, log).unwrap_or(0);
            progress.appended(now, acked, end_before);
        }
    }

    /// The end of the committed records; none while the in-sync set is too small, or a member has said nothing (R3).
    #[must_use]
    pub fn committed_end(&self, log: &LocalLog) -> Option<Offset> {
        if !self.isr.is_enough() {
            return None;
        }
        let members = self.list.iter().filter(|progress| self.isr.counts(&progress.member));
        members.map(|progress| counted(progress, log)).try_fold(log.durable_end(), |least, end| {
            let end = end?;
            Some(least.min(end))
        })
    }

    /// The moment from which on a member of maxISR that lacks something does not answer; none if all have everything.
    #[must_use]
    pub fn silent_at(&self, log: &LocalLog) -> Option<Millis> {
        let members = self.list.iter().filter(|p| self.isr.counts(&p.member) && Self::is_behind(p, log));
        members.map(Progress::silent_at).min()
    }

    /// Whether every live member of the committed ISR has this log start durably.
    #[must_use]
    pub fn have_log_start(&self, to: Offset) -> bool {
        let live = self.list.iter().filter(|p| p.member.in_sync && p.member.live);
        live.map(|progress| progress.accepted).all(|a| a.is_some_and(|accepted| accepted.log_start >= to))
    }

    /// The in-sync set that this leader wants, if it wants another one and may propose it (R6, R7). The caller sends it;
    /// it counts from here on. With `late` given, members that lag for longer than these milliseconds leave.
    pub fn wish(&mut self, now: Millis, log: &LocalLog, late: Option<u64>) -> Option<Vec<Peer>> {
        if self.list.is_empty() || !self.isr.may_propose(now) {
            return None;
        }
        let group = self.isr.group();
        let mut isr: Vec<Peer> = group.member(self.me).map(|me| me.peer).into_iter().collect();
        let mut changed = false;
        for progress in &self.list {
            let Member { peer, in_sync, .. } = progress.member;
            let late =
                late.is_some_and(|max_ms| progress.late_at(max_ms) <= now && Self::is_behind(progress, log));
            let leaves = in_sync && (late || progress.broken);
            let joins = if in_sync { None } else { self.joins(progress, log) };
            changed |= leaves || joins.is_some();
            // The controller takes no set with a node that is shutting down, so it goes with the next change (R8).
            let stays = in_sync && !leaves && progress.member.live;
            // A member that has said nothing yet has the epoch under which the image holds it in the ISR.
            let epoch = progress.accepted.map_or(peer, |accepted| accepted.peer);
            isr.extend(stays.then_some(epoch).or(joins));
        }
        if !changed {
            return None;
        }
        self.isr.propose(isr.clone());
        Some(isr)
    }

    /// The life under which a follower may join the ISR, if it may.
    fn joins(&self, progress: &Progress, log: &LocalLog) -> Option<Peer> {
        let accepted = progress.accepted.filter(|_| progress.member.live && !progress.broken)?;
        let end = counted(progress, log)?;
        let start = if planted(Mutant::JoinsBelowEpochStart) { 0 } else { self.start };
        (end >= log.high_watermark() && end >= start).then_some(accepted.peer)
    }

    fn is_behind(progress: &Progress, log: &LocalLog) -> bool {
        counted(progress, log).is_none_or(|end| end < log.end())
    }

    /// Notes when the first member will be late. While a tick is due, it keeps the moment, because the tick has to find
    /// out whether the leader was held up (R7).
    pub fn arm(&mut self, now: Millis, log: &LocalLog, lag_max_ms: u64) {
        if self.armed.is_some_and(|due| due < now) {
            return;
        }
        // While a proposal is on its way, no member is judged.
        let judges = !self.list.is_empty() && self.isr.may_propose(Millis(u64::MAX));
        let from = self.isr.next_deadline().map_or(now, |again| again.max(now));
        let members = self.list.iter().filter(|p| judges && p.member.in_sync && Self::is_behind(p, log));
        self.armed = members.map(|progress| progress.late_at(lag_max_ms).max(from)).min();
    }

    /// When the first member of the ISR will be late, or a failed proposal may be made again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.armed.into_iter().chain(self.isr.next_deadline()).min()
    }

    /// Takes a tick. Where it comes late, the members get as much more time, because the leader was held up (R7).
    pub fn tick(&mut self, now: Millis) {
        self.isr.tick(now);
        let late = self.armed.take().map_or(0, |due| now.0.saturating_sub(due.0));
        if late > HELD_UP_MS {
            self.list.iter_mut().for_each(|progress| progress.grant(late + GRACE_MS));
        }
    }

    /// Takes the end of a proposal. False if the leadership is over.
    pub fn said(&mut self, now: Millis, partition_epoch: i32, outcome: &IsrOutcome) -> bool {
        self.isr.said(now, partition_epoch, outcome)
    }
}

/// The end up to which a follower's records count; none before its first accepted Position.
fn counted(progress: &Progress, log: &LocalLog) -> Option<Offset> {
    let accepted = progress.accepted?;
    if planted(Mutant::AckByFollowersDurability) {
        return Some(accepted.written);
    }
    Some(log.counted_end(accepted.written, accepted.synced))
}

/// Compares a follower's end with the leader's log (R13, R39).
fn judge(position: &Position, current: LeaderEpoch, log: &LocalLog) -> Judged {
    let (start, end) = (log.log_start(), log.end());
    let apart = Judged::Diverge { epoch: None, end: start };
    let Some(last) = position.last_epoch else {
        return match position.end {
            at if at < start => Judged::Restart,
            at if at <= end => Judged::Accept,
            _ => apart,
        };
    };
    let first = log.epochs().first().map_or(current, |(first, _)| *first);
    let older = last < first;
    if position.end < start || (older && position.end == start) {
        return Judged::Restart;
    }
    if older {
        return apart;
    }
    match end_of_epoch(log.epochs(), last, end) {
        Some((epoch, ended)) if epoch == last && ended >= position.end => Judged::Accept,
        Some((epoch, end)) => Judged::Diverge { epoch: Some(epoch), end },
        None if position.end == start => Judged::Accept,
        None => apart,
    }
}
