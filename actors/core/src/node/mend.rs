//! Lets replicas that cannot serve what they acknowledged begin anew (R41).
//!
//! ```text
//!   found ─> each heartbeat says so, with a leader epoch ─> out of ISR and ELR, under a higher one ─> begins empty
//!                                                            elected uncleanly, because nobody else is left ─┘
//! ```
//! A replica that begins anew follows, and its leader fills it. The last one of a partition keeps its bytes instead, and
//! the partition is offline until an operator gives them up (ElectLeaders). Its log is then kept for a day as a stray.
//!
//! The file decides when; the controller decides who leaves and who leads.

use super::damage::Damage;
use super::machine::{NodeMachine, Place};
use super::messages::{Effect, Life, Origin};
use crate::ids::{LeaderEpoch, TopicPartition};
use crate::machine::Effects;
use crate::metadata::{Partition, Topic};
use crate::mutant::{Mutant, planted};

/// How a replica may begin anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Anew {
    /// Another one leads, and fills it.
    Follower,
    /// It leads, because it was elected uncleanly.
    Leader,
}

impl NodeMachine {
    /// Lets a damaged replica begin anew, once the image shows that nobody needs its bytes. Says whether it does.
    pub(super) fn mend(
        &mut self,
        id: TopicPartition,
        topic: &Topic,
        p: &Partition,
        since: u64,
        out: &mut Effects<Effect>,
    ) -> bool {
        let Some(how) = self.begins(id, p, out) else { return false };
        let Some((shard, found)) = self.disks.anew(id) else { return false };
        let Some(replica) = self.remove(id) else { return false };
        let why = replica.damage.map_or_else(String::new, |damage| damage.why);
        out.push(Effect::Mended { id, leader: p.leader, why });
        out.push(Effect::Withdraw(vec![id]));
        if let Place::In(shard) = replica.place {
            out.push(match how {
                Anew::Follower => Effect::Drop { id, shard },
                Anew::Leader => Effect::Leave { id, shard },
            });
        }
        let kept = (how == Anew::Leader).then_some(self.wall);
        out.extend(found.map(|found| Effect::Stray { found, at: kept }));
        self.start_in((shard, Origin::New), id, (topic, p), since, out);
        true
    }

    /// Whether a replica is damaged and may begin anew now.
    ///
    /// The leader epoch has to be above that of the find, and of the last state that lists the replica. A wish to take it in
    /// may be under way until then, and a leader may count on it; both rest on acks of the bytes that are lost.
    fn begins(&mut self, id: TopicPartition, p: &Partition, out: &mut Effects<Effect>) -> Option<Anew> {
        let me = self.me;
        let replica = self.replicas.get_mut(&id)?;
        let damage = replica.damage.as_mut()?;
        if !p.replicas.contains(&me) || !damage.mendable {
            return None;
        }
        let given_up = p.leader == me && p.recovering && p.unclean_epoch == Some(p.leader_epoch);
        if given_up && damage.epoch < p.leader_epoch {
            return Some(Anew::Leader);
        }
        let counted = p.is_eligible(me);
        if counted && damage.epoch < p.leader_epoch {
            damage.epoch = p.leader_epoch;
            let life = Life { id, number: replica.life };
            out.push(Effect::Damaged { life, epoch: damage.epoch });
        }
        let needless = !counted && damage.epoch < p.leader_epoch;
        let filled = p.leader >= 0 && p.leader != me;
        (filled && (needless || planted(Mutant::RefetchedBeforeLeaving))).then_some(Anew::Follower)
    }

    /// A replica says that it cannot serve what it acknowledged.
    pub(super) fn damaged(&mut self, life: Life, why: String, mendable: bool, out: &mut Effects<Effect>) {
        let Some(replica) = self.living(life) else { return };
        if replica.damage.as_ref().is_some_and(|damage| !damage.mendable) {
            return;
        }
        let told = replica.damage.as_ref().map(|damage| damage.epoch);
        let epoch = replica.assigned.leader_epoch.max(told.unwrap_or(LeaderEpoch::MIN));
        replica.damage = Some(Damage { why: why.clone(), mendable, epoch });
        if let (Place::In(shard), false) = (&replica.place, mendable) {
            let shard = *shard;
            self.disks.stops(shard, &why);
        }
        if told != Some(epoch) {
            out.push(Effect::Damaged { life, epoch });
        }
    }
}
