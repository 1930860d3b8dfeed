//! The judge: it listens on the node that leads the metadata log, and says which lives of nodes go on.
//!
//! The judge looks twice a second. A look that comes late means that this process slept: sessions, patience and the past of
//! the log move on by that time. It then waits for one more look, so that heartbeats which have queued up count first.
//!
//! The judge passes on a node's words about itself at once, because a node that has caught up shall not wait for the next look.

use super::messages::{Effect, GUARD_MS, HEARTBEAT_MS, Heartbeat, Input, PATIENCE_MS, SESSION_MS};
use super::past::Past;
use super::session::Session;
use crate::ids::{BrokerId, Peer};
use crate::machine::{Effects, Machine};
use crate::metadata::{Broker, FencedFor, Image, Judgement, Leadership, SyncedPositions, Verdict};
use crate::mutant::{Mutant, planted};
use crate::time::{Millis, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Milliseconds by which a look may come late before the judge takes it for a pause.
const LATE_MS: u64 = HEARTBEAT_MS / 2;
/// Milliseconds until the look behind a late one.
const AGAIN_MS: u64 = 50;

/// The judge of sessions on one node.
#[derive(Debug)]
pub struct Sessions {
    me: BrokerId,
    image: Arc<Image>,
    leading: Option<Leading>,
}

/// One leadership of this node.
#[derive(Debug)]
struct Leading {
    leadership: Leadership,
    /// The moment at which it began to listen.
    since: Millis,
    /// The moment of the next look.
    look: Millis,
    /// The last look was late.
    slept: bool,
    /// The first judgement is given.
    settled: bool,
    past: Past,
    /// Nodes that were heard, by the life that was heard.
    sessions: BTreeMap<Peer, Session>,
    /// Lives whose process is gone, by the kernel's word.
    refused: BTreeSet<Peer>,
    /// The nodes that the controller was told last.
    silent: BTreeMap<Peer, SyncedPositions>,
}

impl Sessions {
    /// A judge on this node, which does not lead yet.
    #[must_use]
    pub fn new(me: BrokerId) -> Sessions {
        Sessions { me, image: Arc::default(), leading: None }
    }

    fn lead(&mut self, now: Millis, leadership: Option<Leadership>) {
        let mine = leadership.filter(|leadership| leadership.node == self.me);
        if mine.is_some() && mine == self.leading.as_ref().map(|leading| leading.leadership) {
            return;
        }
        self.leading = mine.map(|leadership| {
            let mut past = Past::default();
            past.note(now, self.image.applied);
            Leading {
                leadership,
                since: now,
                look: now.plus(HEARTBEAT_MS),
                slept: false,
                settled: false,
                past,
                sessions: BTreeMap::new(),
                refused: BTreeSet::new(),
                silent: BTreeMap::new(),
            }
        });
    }

    fn show(&mut self, now: Millis, image: Arc<Image>) {
        self.image = image;
        let image = &self.image;
        if let Some(leading) = &mut self.leading {
            leading.past.note(now, image.applied);
            let lives = |peer: &Peer| image.brokers.get(&peer.broker).is_some_and(|b| b.epoch == peer.epoch);
            leading.sessions.retain(|peer, _| lives(peer));
            leading.refused.retain(lives);
        }
    }

    fn heartbeat(&mut self, now: Millis, heartbeat: Heartbeat, out: &mut Effects<Effect>) {
        let Some(leading) = &mut self.leading else { return };
        let peer = heartbeat.from;
        // Words of a former life are worth nothing. A life that the image does not show yet speaks again soon.
        let Some(broker) = self.image.brokers.get(&peer.broker).filter(|b| b.epoch == peer.epoch) else {
            return;
        };
        leading.refused.remove(&peer);
        match leading.sessions.get_mut(&peer) {
            Some(session) => session.hear(now, heartbeat),
            None => drop(leading.sessions.insert(peer, Session::new(now, heartbeat))),
        }
        if !leading.settled || leading.sleeps(now) {
            return;
        }
        let mut verdicts = Vec::new();
        leading.say(now, broker, &mut verdicts);
        let mut silent = leading.silent.clone();
        silent.remove(&peer);
        leading.tell(verdicts, silent, out);
    }

    /// Looks at every node. `look` says whether time has come for that, and not only news.
    fn look(&mut self, now: Millis, out: &mut Effects<Effect>) {
        let Some(leading) = &mut self.leading else { return };
        let late = now.0.saturating_sub(leading.look.0);
        if now < leading.look {
            return;
        }
        leading.shift(late, now);
        let slept = late > LATE_MS && !leading.slept;
        leading.slept = slept;
        leading.look = now.plus(if slept { AGAIN_MS } else { HEARTBEAT_MS });
        if !slept {
            self.settle(now, out);
            self.judge(now, out);
        }
    }

    /// Ends the wait of a new judge, once each unfenced node was heard, is gone, or was given its time.
    fn settle(&mut self, now: Millis, out: &mut Effects<Effect>) {
        let Some(leading) = self.leading.as_mut().filter(|leading| !leading.settled) else { return };
        let known = |broker: &&Broker| {
            let peer = broker.peer();
            leading.sessions.contains_key(&peer) || leading.refused.contains(&peer)
        };
        let unfenced = self.image.brokers.values().filter(|broker| !broker.fenced);
        if unfenced.clone().all(|broker| known(&broker)) || now >= leading.since.plus(PATIENCE_MS) {
            leading.settled = true;
            let mut verdicts = leading.verdicts(now, &self.image);
            let gone = unfenced.filter(|broker| leading.refused.contains(&broker.peer()));
            verdicts.extend(gone.map(|broker| leading.fence(broker, FencedFor::Gone)));
            let silent = leading.silence(now, &self.image, &mut verdicts);
            leading.silent.clone_from(&silent);
            let leadership = leading.leadership;
            out.push(Effect::Judge(Judgement { leadership, verdicts, silent }));
        }
    }

    fn judge(&mut self, now: Millis, out: &mut Effects<Effect>) {
        let Some(leading) = self.leading.as_mut().filter(|leading| leading.settled) else { return };
        leading.past.forget(Millis(now.0.saturating_sub(2 * SESSION_MS)));
        let mut verdicts = leading.verdicts(now, &self.image);
        let silent = leading.silence(now, &self.image, &mut verdicts);
        leading.tell(verdicts, silent, out);
    }
}

impl Leading {
    /// Gives everybody the time for which this process has slept.
    fn shift(&mut self, by: u64, now: Millis) {
        self.since = self.since.plus(by).min(now);
        self.past.shift(by, now);
        self.sessions.values_mut().for_each(|session| session.shift(by, now));
    }

    /// Whether this process has slept, and the look that will notice is still to come.
    fn sleeps(&self, now: Millis) -> bool {
        now > self.look.plus(LATE_MS)
    }

    /// Adds what follows from the words of one node.
    fn say(&mut self, now: Millis, broker: &Broker, out: &mut Vec<Verdict>) {
        if let Some(session) = self.sessions.get_mut(&broker.peer()) {
            let behind = session.behind(&self.past) && !planted(Mutant::AppliedIndexIgnored);
            session.verdicts(now, broker, behind, out);
        }
    }

    fn verdicts(&mut self, now: Millis, image: &Image) -> Vec<Verdict> {
        let mut out = Vec::new();
        image.brokers.values().for_each(|broker| self.say(now, broker, &mut out));
        out
    }

    /// Whether nothing was heard of an unfenced node for its time.
    fn is_silent(&self, now: Millis, broker: &Broker) -> bool {
        match self.sessions.get(&broker.peer()) {
            Some(session) => session.is_over(now),
            None => now >= self.since.plus(PATIENCE_MS),
        }
    }

    /// All silent nodes. They are fenced, unless a judge that is new hears so few that the fault may be its own.
    fn silence(
        &self,
        now: Millis,
        image: &Image,
        verdicts: &mut Vec<Verdict>,
    ) -> BTreeMap<Peer, SyncedPositions> {
        let unfenced: Vec<&Broker> = image.brokers.values().filter(|broker| !broker.fenced).collect();
        let silent: Vec<&Broker> = unfenced.iter().copied().filter(|b| self.is_silent(now, b)).collect();
        let heard = unfenced.len() - silent.len();
        if 2 * heard >= unfenced.len() || now >= self.since.plus(GUARD_MS) {
            verdicts.extend(silent.iter().map(|broker| self.fence(broker, FencedFor::Silent)));
        }
        let synced = |peer: &Peer| self.sessions.get(peer).map(|session| session.synced().clone());
        let peers = silent.into_iter().map(Broker::peer);
        peers.map(|peer| (peer, synced(&peer).unwrap_or_default())).collect()
    }

    /// Fences a node with what it was heard to have synced, if it was heard at all in this leadership (R46).
    fn fence(&self, broker: &Broker, why: FencedFor) -> Verdict {
        let peer = broker.peer();
        match self.sessions.get(&peer) {
            Some(session) => session.fence(why),
            None => Verdict::Fence { peer, why, synced: SyncedPositions::new() },
        }
    }

    fn tell(
        &mut self,
        verdicts: Vec<Verdict>,
        silent: BTreeMap<Peer, SyncedPositions>,
        out: &mut Effects<Effect>,
    ) {
        if verdicts.is_empty() && silent == self.silent {
            return;
        }
        self.silent.clone_from(&silent);
        out.push(Effect::Judge(Judgement { leadership: self.leadership, verdicts, silent }));
    }
}

impl Machine for Sessions {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        let now = now.mono;
        match input {
            Input::Lead(leadership) => self.lead(now, leadership),
            Input::Image(image) => self.show(now, image),
            Input::Heartbeat(heartbeat) => self.heartbeat(now, heartbeat, out),
            Input::Refused(peer) => {
                if let Some(leading) = self.leading.as_mut().filter(|leading| !leading.settled) {
                    leading.refused.insert(peer);
                }
            }
            Input::Tick => return self.look(now, out),
        }
        // Whoever was missing may just have been heard.
        if self.leading.as_ref().is_some_and(|leading| !leading.settled && !leading.sleeps(now)) {
            self.settle(now, out);
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.leading.as_ref().map(|leading| leading.look)
    }

    fn check(&self) {
        if let Some(leading) = &self.leading {
            assert_eq!(leading.leadership.node, self.me);
            assert!(leading.settled || leading.silent.is_empty());
        }
    }
}
