//! Tests of the judge of sessions, by a clock in hand.

use super::*;
use crate::ids::{BrokerId, DirectoryId, Peer, TopicId, TopicPartition};
use crate::machine::Machine;
use crate::metadata::{Broker, FencedFor, Image, Judgement, Leadership, SyncedPositions, Verdict};
use crate::time::{Millis, Now};
use std::collections::BTreeSet;
use std::sync::Arc;

const ME: BrokerId = 1;
const LEAD: Leadership = Leadership { term: 3, node: ME };

fn peer(broker: BrokerId) -> Peer {
    Peer { broker, epoch: 10 + broker as u64 }
}

fn beat(broker: BrokerId, number: u64, applied: u64) -> Heartbeat {
    Heartbeat {
        from: peer(broker),
        number,
        applied,
        recovered: true,
        ending: false,
        ended: false,
        sync_age_ms: 0,
        synced: Default::default(),
        full: false,
        unable: BTreeSet::new(),
        damaged: BTreeSet::new(),
    }
}

struct Rig {
    judge: Sessions,
    image: Image,
    ms: u64,
    number: u64,
}

impl Rig {
    /// A judge that begins to lead in a cluster of so many unfenced nodes.
    fn of(nodes: BrokerId) -> Rig {
        let mut image = Image { applied: 100, ..Image::default() };
        for id in 1..=nodes {
            image.brokers.insert(id, Broker { id, epoch: peer(id).epoch, ..Broker::default() });
        }
        let mut rig = Rig { judge: Sessions::new(ME), image, ms: 1_000_000, number: 0 };
        rig.show();
        assert_eq!(rig.step(Input::Lead(Some(LEAD))), []);
        rig
    }

    /// The same, with every node heard and the first judgement given.
    fn settled(nodes: BrokerId) -> Rig {
        let mut rig = Rig::of(nodes);
        let said: Vec<Judgement> = (1..=nodes).flat_map(|id| rig.hear(id)).collect();
        assert_eq!(said, [judgement(&[], &[])], "all were heard");
        rig
    }

    fn step(&mut self, input: Input) -> Vec<Judgement> {
        let mut out = Vec::new();
        self.judge.step(Now { mono: Millis(self.ms), ..Now::default() }, input, &mut out);
        self.judge.check();
        out.into_iter().map(|Effect::Judge(judgement)| judgement).collect()
    }

    fn show(&mut self) {
        let image = Arc::new(self.image.clone());
        assert_eq!(self.step(Input::Image(image)), []);
    }

    fn hear(&mut self, broker: BrokerId) -> Vec<Judgement> {
        self.number += 1;
        self.step(Input::Heartbeat(beat(broker, self.number, self.image.applied)))
    }

    /// Lets time pass, with looks at their moments and a heartbeat of each of these nodes twice a second.
    fn pass(&mut self, ms: u64, alive: &[BrokerId]) -> Vec<Judgement> {
        let (until, mut said) = (self.ms + ms, Vec::new());
        while self.ms < until {
            self.ms += 50;
            if self.ms.is_multiple_of(HEARTBEAT_MS) {
                alive.iter().for_each(|id| said.extend(self.hear(*id)));
            }
            if self.judge.next_deadline().is_some_and(|at| at.0 <= self.ms) {
                said.extend(self.step(Input::Tick));
            }
        }
        said
    }

    fn fence_committed(&mut self, broker: BrokerId) {
        self.image.brokers.get_mut(&broker).unwrap().fenced = true;
        self.image.applied += 1;
        self.show();
    }
}

fn judgement(verdicts: &[Verdict], silent: &[BrokerId]) -> Judgement {
    let silent = silent.iter().map(|id| (peer(*id), SyncedPositions::new())).collect();
    Judgement { leadership: LEAD, verdicts: verdicts.to_vec(), silent }
}

fn fenced(said: &[Judgement]) -> Vec<(BrokerId, FencedFor)> {
    let verdicts = said.iter().flat_map(|judgement| &judgement.verdicts);
    let fence = |verdict: &Verdict| match verdict {
        Verdict::Fence { peer, why, .. } => Some((peer.broker, *why)),
        _ => None,
    };
    verdicts.filter_map(fence).collect()
}

#[test]
fn silence_for_a_session_fences_and_no_earlier() {
    let mut rig = Rig::settled(3);
    assert_eq!(rig.pass(SESSION_MS - 100, &[1, 2]), []);
    let said = rig.pass(HEARTBEAT_MS + 100, &[1, 2]);
    assert_eq!(fenced(&said)[0], (3, FencedFor::Silent));
    assert_eq!(said[0].silent, [(peer(3), SyncedPositions::new())].into());
    // It is told until the image shows it, and then no more.
    assert!(!rig.pass(HEARTBEAT_MS, &[1, 2]).is_empty());
    rig.fence_committed(3);
    rig.pass(HEARTBEAT_MS, &[1, 2]);
    assert_eq!(rig.pass(10_000, &[1, 2]), []);
}

#[test]
fn a_judge_that_slept_gives_everybody_the_time() {
    for asleep in [400, 2_000, 60_000] {
        let mut rig = Rig::settled(3);
        rig.pass(1_000, &[1, 2]);
        rig.ms += asleep;
        // The look comes before the heartbeats that have queued up, or behind one of them.
        let mut said = if asleep == 2_000 { rig.hear(1) } else { Vec::new() };
        said.extend(rig.step(Input::Tick));
        said.extend((1..=2).flat_map(|id| rig.hear(id)));
        said.extend(rig.pass(1_000, &[1, 2]));
        assert_eq!(said, [], "asleep for {asleep}");
        // Node 3 was silent for 2 s of waking time; the third second fences it.
        assert_eq!(fenced(&rig.pass(1_600, &[1, 2]))[0], (3, FencedFor::Silent), "asleep for {asleep}");
    }
}

#[test]
fn a_judge_that_always_comes_late_still_judges() {
    let mut rig = Rig::settled(2);
    let mut said = Vec::new();
    for _ in 0..200 {
        rig.ms += 900;
        said.extend(rig.hear(1));
        said.extend(rig.step(Input::Tick));
    }
    assert_eq!(fenced(&said)[0], (2, FencedFor::Silent));
}

#[test]
fn a_pause_while_a_new_judge_listens_ends_nobodys_patience() {
    let mut rig = Rig::of(2);
    rig.ms += 5_000;
    assert_eq!(rig.hear(1), [], "node 2 may be in the queue");
    assert_eq!(rig.step(Input::Tick), []);
    assert_eq!(rig.hear(2), [judgement(&[], &[])]);
}

#[test]
fn a_node_that_hears_and_does_not_apply_is_fenced_until_it_has_caught_up() {
    let mut rig = Rig::settled(2);
    rig.image.applied = 101;
    rig.show();
    let lagging = |rig: &mut Rig| {
        rig.number += 1;
        let number = rig.number;
        rig.step(Input::Heartbeat(beat(2, number, 100)))
    };
    let mut said = Vec::new();
    for _ in 0..5 {
        said.extend(lagging(&mut rig));
        said.extend(rig.pass(HEARTBEAT_MS, &[1]));
    }
    assert_eq!(said, [], "it may lag by a session");
    said.extend(rig.pass(HEARTBEAT_MS, &[1]));
    said.extend(lagging(&mut rig));
    said.extend(rig.pass(HEARTBEAT_MS, &[1]));
    assert_eq!(fenced(&said)[0], (2, FencedFor::Behind));
    rig.fence_committed(2);
    assert_eq!(lagging(&mut rig), [], "it still lags");
    rig.number += 1;
    let caught_up = Input::Heartbeat(beat(2, rig.number, 101));
    assert_eq!(rig.step(caught_up), [judgement(&[Verdict::Unfence(peer(2))], &[])]);
}

#[test]
fn an_idle_log_fences_nobody() {
    let mut rig = Rig::settled(2);
    assert_eq!(rig.pass(60_000, &[1, 2]), []);
}

#[test]
fn an_overtaken_heartbeat_counts_only_as_contact() {
    let mut rig = Rig::settled(1);
    rig.fence_committed(1);
    let unrecovered = Heartbeat { recovered: false, ..beat(1, 50, 101) };
    assert_eq!(rig.step(Input::Heartbeat(unrecovered)), []);
    assert_eq!(rig.step(Input::Heartbeat(beat(1, 49, 101))), [], "what it said before is old");
    assert_eq!(rig.step(Input::Heartbeat(beat(1, 51, 101))).len(), 1);
    let former = Heartbeat { from: Peer { epoch: 3, ..peer(1) }, ..beat(1, 99, 101) };
    assert_eq!(rig.step(Input::Heartbeat(former)), [], "a former life");
}

#[test]
fn a_node_is_unfenced_when_it_has_recovered_and_knows_its_registration() {
    type Change = fn(&mut Heartbeat);
    let rows: [(&str, Change, bool); 6] = [
        ("all well", |_| (), true),
        ("at its own registration", |b| b.applied = b.from.epoch, true),
        ("not recovered", |b| b.recovered = false, false),
        ("before its registration", |b| b.applied = b.from.epoch - 1, false),
        ("ending", |b| b.ending = true, false),
        ("a slow disk", |b| b.sync_age_ms = STALLED_MS, false),
    ];
    for (case, change, unfenced) in rows {
        let mut rig = Rig::of(2);
        rig.image.brokers.get_mut(&2).unwrap().fenced = true;
        rig.show();
        rig.hear(1);
        let mut heartbeat = beat(2, 1, 100);
        change(&mut heartbeat);
        let said = rig.step(Input::Heartbeat(heartbeat));
        let told = said.iter().any(|judgement| judgement.verdicts.contains(&Verdict::Unfence(peer(2))));
        assert_eq!(told, unfenced, "{case}: {said:?}");
    }
}

#[test]
fn what_a_node_says_of_its_disk_and_its_replicas_is_told_once() {
    let mut rig = Rig::settled(1);
    let id = TopicPartition { topic: TopicId([1; 16]), partition: 0 };
    let stalled = |stalled| Verdict::Stalled { peer: peer(1), stalled };
    let unable = |replicas: &[TopicPartition]| Verdict::Unable {
        peer: peer(1),
        replicas: replicas.iter().copied().collect(),
    };
    let damaged = |replicas: &[(TopicPartition, i32)]| Verdict::Damaged {
        peer: peer(1),
        replicas: replicas.iter().copied().collect(),
    };
    for (n, full) in [(80, true), (81, false)] {
        let said = rig.step(Input::Heartbeat(Heartbeat { full, ..beat(1, n, 100) }));
        assert_eq!(said[0].verdicts, [Verdict::Full { peer: peer(1), full }]);
    }
    for (n, replicas) in [(90, vec![(id, 4)]), (91, vec![(id, 5)]), (92, vec![])] {
        let beat = Heartbeat { damaged: replicas.iter().copied().collect(), ..beat(1, n, 100) };
        let said = rig.step(Input::Heartbeat(beat));
        assert_eq!(said[0].verdicts, [damaged(&replicas)], "R41");
    }
    let rows = [
        (STALLED_MS - 1, vec![], vec![]),
        (STALLED_MS, vec![], vec![stalled(true)]),
        (STALLED_MS + 500, vec![id], vec![unable(&[id])]),
        (STALLED_MS + 900, vec![id], vec![]),
        (0, vec![], vec![stalled(false), unable(&[])]),
    ];
    for (n, (sync_age_ms, replicas, told)) in (100..).zip(rows) {
        let unable = replicas.into_iter().collect();
        let said = rig.step(Input::Heartbeat(Heartbeat { sync_age_ms, unable, ..beat(1, n, 100) }));
        let verdicts: Vec<Verdict> = said.into_iter().flat_map(|judgement| judgement.verdicts).collect();
        assert_eq!(verdicts, told, "{n}");
    }
    let hung = Heartbeat { sync_age_ms: HUNG_MS, ..beat(1, 200, 100) };
    assert_eq!(fenced(&rig.step(Input::Heartbeat(hung))), [(1, FencedFor::Disk)]);
    let ending = Heartbeat { ending: true, ..beat(1, 201, 100) };
    let said = rig.step(Input::Heartbeat(ending));
    assert!(said[0].verdicts.contains(&Verdict::ShuttingDown(peer(1))), "{said:?}");
}

#[test]
fn a_new_judge_waits_for_each_node_and_then_judges_once() {
    let mut rig = Rig::of(3);
    assert_eq!((rig.hear(1), rig.hear(2)), (vec![], vec![]));
    assert_eq!(rig.pass(PATIENCE_MS - 100, &[1, 2]), []);
    let said = rig.pass(600, &[1, 2]);
    assert_eq!(fenced(&said)[..1], [(3, FencedFor::Silent)]);
    // A refused canary is an answer too.
    let mut rig = Rig::of(3);
    rig.hear(1);
    rig.hear(2);
    let said = rig.step(Input::Refused(peer(3)));
    assert_eq!(fenced(&said), [(3, FencedFor::Gone)]);
    // A fenced node has nothing to lose, and nobody waits for it.
    let mut rig = Rig::of(2);
    rig.image.brokers.get_mut(&2).unwrap().fenced = true;
    rig.show();
    assert_eq!(rig.hear(1), [judgement(&[], &[])]);
}

#[test]
fn a_new_judge_that_hears_few_fences_nobody_for_silence() {
    // Each row: nodes, those that are heard, and whether the others are fenced within three sessions.
    for (nodes, heard, fences) in [(3, 2, true), (3, 1, false), (4, 2, true), (5, 2, false), (3, 0, false)] {
        let mut rig = Rig::of(nodes);
        let alive: Vec<BrokerId> = (1..=heard).collect();
        let said = rig.pass(GUARD_MS - 500, &alive);
        assert_eq!(!fenced(&said).is_empty(), fences, "{heard} of {nodes}");
        let silent: BTreeSet<Peer> = (heard + 1..=nodes).map(peer).collect();
        let told: BTreeSet<Peer> = said.last().unwrap().silent.keys().copied().collect();
        assert_eq!(told, silent, "others may take their place (R17)");
        assert_eq!(said.iter().any(|judgement| judgement.verdicts.is_empty()), !fences);
        let said = rig.pass(1_000, &alive);
        assert!(!fenced(&said).is_empty(), "{heard} of {nodes}: the guard ends");
    }
}

#[test]
fn what_a_node_was_last_heard_to_have_synced_is_told_with_its_end() {
    let synced: SyncedPositions = [(DirectoryId([4; 16]), [(0, 70)].into())].into();
    let heard = |number| Input::Heartbeat(Heartbeat { synced: synced.clone(), ..beat(3, number, 100) });
    let told = |said: &[Judgement]| match &said[0].verdicts[..] {
        [Verdict::Fence { peer: of, synced, .. }] if *of == peer(3) => synced.clone(),
        other => panic!("{other:?}"),
    };
    // The kernel says that the process is gone, and it was heard before.
    let mut rig = Rig::of(3);
    rig.step(heard(1));
    rig.hear(1);
    rig.step(Input::Refused(peer(3)));
    assert_eq!(told(&rig.hear(2)), synced, "R46");
    // It is silent, and whoever takes its place ends its life.
    let mut rig = Rig::of(3);
    rig.step(heard(1));
    rig.hear(1);
    rig.hear(2);
    let said = rig.pass(SESSION_MS + HEARTBEAT_MS, &[1, 2]);
    assert_eq!((told(&said), &said[0].silent), (synced.clone(), &[(peer(3), synced)].into()));
}

#[test]
fn a_node_that_does_not_lead_says_nothing() {
    let mut rig = Rig::settled(2);
    assert_eq!(rig.step(Input::Lead(Some(Leadership { term: 4, node: 2 }))), []);
    assert_eq!(rig.judge.next_deadline(), None);
    assert_eq!(rig.pass(20_000, &[1]), []);
    // A new leadership of this node begins to listen anew.
    let again = Leadership { term: 5, node: ME };
    assert_eq!(rig.step(Input::Lead(Some(again))), []);
    assert_eq!(rig.hear(1), []);
    let said = rig.hear(2);
    assert_eq!(said, [Judgement { leadership: again, ..judgement(&[], &[]) }]);
}

#[cfg(feature = "mutants")]
#[test]
fn a_judge_that_ignores_the_applied_index_is_caught() {
    use crate::mutant::{Mutant, plant};
    plant(Some(Mutant::AppliedIndexIgnored));
    let caught =
        std::panic::catch_unwind(a_node_that_hears_and_does_not_apply_is_fenced_until_it_has_caught_up);
    plant(None);
    assert!(caught.is_err());
}

#[test]
fn a_node_that_has_ended_is_fenced_at_once() {
    let mut rig = Rig::settled(2);
    let last = Heartbeat { ending: true, ended: true, ..beat(1, u64::MAX, 100) };
    let said = rig.step(Input::Heartbeat(last));
    let [Verdict::ShuttingDown(ends), Verdict::Fence { peer: fenced, why: FencedFor::Ended, .. }] =
        &said[0].verdicts[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!((*ends, *fenced), (peer(1), peer(1)), "R30");
    // A heartbeat that was on its way says nothing new.
    rig.image.brokers.entry(1).and_modify(|broker| (broker.fenced, broker.shutting_down) = (true, true));
    rig.show();
    assert_eq!(rig.step(Input::Heartbeat(beat(1, 7, 100))), []);
}
