//! Fetch sessions against what they are for: whatever is left out of the answers, a client that follows the protocol
//! knows of each of its partitions exactly what the broker knows; and a partition that has records gets its turn.

use super::messages::next_epoch;
use super::*;
use crate::time::Millis;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What a client does, or what happens to it.
#[derive(Clone, Debug)]
enum Step {
    /// A partition of the broker gets new boundaries.
    Moves {
        partition: i32,
        by: i64,
        trims: bool,
    },
    /// A partition fails, or works again.
    Breaks {
        partition: i32,
    },
    /// A client fetches; so many partitions fit into the answer with records.
    Fetches {
        client: usize,
        fit: usize,
    },
    /// A client wants other partitions from now on.
    Subscribes {
        client: usize,
        from: i32,
        count: i32,
    },
    /// A client's answer is lost: it begins anew, by the epoch that its request has.
    Loses {
        client: usize,
    },
    Waits {
        minutes: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let partition = 0..6i32;
    let client = 0..3usize;
    let step = prop_oneof![
        4 => (partition.clone(), 0..3i64, any::<bool>())
            .prop_map(|(partition, by, trims)| Step::Moves { partition, by, trims }),
        1 => partition.clone().prop_map(|partition| Step::Breaks { partition }),
        8 => (client.clone(), 0..3usize).prop_map(|(client, fit)| Step::Fetches { client, fit }),
        2 => (client.clone(), partition, 1..6i32)
            .prop_map(|(client, from, count)| Step::Subscribes { client, from, count }),
        1 => client.prop_map(|client| Step::Loses { client }),
        1 => (1..3u64).prop_map(|minutes| Step::Waits { minutes }),
    ];
    prop::collection::vec(step, 1..120)
}

#[derive(Clone, Copy, Debug, Default)]
struct Broker {
    high_watermark: i64,
    log_start: i64,
    broken: bool,
}

#[derive(Clone, Debug, Default)]
struct Client {
    session: i32,
    epoch: i32,
    /// Its partitions, and its position in each.
    has: BTreeMap<i32, i64>,
    /// The partitions of its session, as it told them.
    sent: BTreeMap<i32, i64>,
    /// What it was told of those; of one that failed, nothing.
    told: BTreeMap<i32, Option<Known>>,
}

fn key(partition: i32) -> Key {
    Key { topic: TopicKey::Name("model".into()), partition }
}

impl Client {
    fn request(&mut self) -> Request {
        let begins = self.epoch == 0;
        let changed = |(n, at): &(&i32, &i64)| begins || self.sent.get(*n) != Some(*at);
        let wanted = |at| Wanted { fetch_offset: at, ..Wanted::default() };
        let parts = self.has.iter().filter(changed).map(|(n, at)| (key(*n), wanted(*at))).collect();
        let gone = self.sent.keys().filter(|n| !begins && !self.has.contains_key(n));
        let forgotten = gone.map(|n| key(*n)).collect();
        self.sent = self.has.clone();
        self.told.retain(|n, _| self.sent.contains_key(n));
        Request { session_id: self.session, epoch: self.epoch, by_id: false, parts, forgotten }
    }

    fn begins_anew(&mut self) {
        (self.session, self.epoch) = (0, 0);
        self.told.clear();
    }
}

/// One fetch, and what the client makes of it. Returns which partitions brought records.
fn fetch(
    sessions: &mut FetchSessions,
    now: Millis,
    broker: &[Broker],
    client: &mut Client,
    fit: usize,
    number: i32,
) -> Vec<i32> {
    let request = client.request();
    let Ok((kind, parts)) = sessions.begin(now, request) else {
        client.begins_anew();
        return Vec::new();
    };
    assert_eq!(parts.len(), client.has.len(), "the broker fetches what the client has");
    let mut left = fit;
    let answers: Vec<(Part, Said)> = parts
        .into_iter()
        .map(|part| {
            let at = broker[part.key.partition as usize];
            assert_eq!(part.wanted.fetch_offset, client.has[&part.key.partition], "from where the client is");
            let known = Known { high_watermark: at.high_watermark, log_start: at.log_start };
            if at.broken {
                return (part, Said { failed: true, ..Said::default() });
            }
            let there = left > 0 && part.wanted.fetch_offset < at.high_watermark;
            left -= usize::from(there);
            (part, Said { known, bytes: usize::from(there), ..Said::default() })
        })
        .collect();
    let verdict = sessions.finish(now, kind, number, &answers);
    let told = verdict.result.expect("one request at a time");
    let mut brought = Vec::new();
    for ((part, said), told) in answers.iter().zip(told) {
        let n = part.key.partition;
        let truth = (!said.failed).then_some(said.known);
        if told {
            client.told.insert(n, truth);
        }
        if told && said.bytes > 0 {
            client.has.insert(n, said.known.high_watermark);
            brought.push(n);
        }
        assert_eq!(client.told.get(&n), Some(&truth), "partition {n}: told {told} of {said:?}");
    }
    client.session = verdict.session_id;
    client.epoch = if verdict.session_id == 0 { 0 } else { next_epoch(client.epoch) };
    if verdict.session_id == 0 {
        client.begins_anew();
    }
    brought
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_client_knows_what_the_broker_knows(steps in steps(), slots in 0..4usize, room in 0..14usize) {
        let bytes = room * super::session::cost(&key(0));
        let mut sessions = FetchSessions::new(Limits { slots, bytes });
        let (mut broker, mut now) = ([Broker::default(); 12], Millis(0));
        let mut clients = vec![Client { has: [(0, 0)].into(), ..Client::default() }; 3];
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Moves { partition, by, trims } => {
                    let at = &mut broker[partition as usize];
                    at.high_watermark += by;
                    at.log_start = if trims { at.high_watermark } else { at.log_start };
                }
                Step::Breaks { partition } => broker[partition as usize].broken ^= true,
                Step::Fetches { client, fit } => {
                    fetch(&mut sessions, now, &broker, &mut clients[client], fit, number);
                }
                Step::Subscribes { client, from, count } => {
                    let has = &mut clients[client].has;
                    has.retain(|n, _| (from..from + count).contains(n));
                    (from..from + count).for_each(|n| { has.entry(n).or_insert(0); });
                }
                Step::Loses { client } => {
                    // The broker took the request; the client knows nothing of it, and names its session at the end.
                    let session = clients[client].session;
                    let request = clients[client].request();
                    let _ = sessions.begin(now, request);
                    clients[client].begins_anew();
                    clients[client].session = session;
                }
                Step::Waits { minutes } => now = now.plus(minutes * 60_000),
            }
            sessions.check();
        }
    }

    #[test]
    fn a_partition_with_records_gets_its_turn(count in 2..6i32, fit in 1..3usize) {
        let mut sessions = FetchSessions::new(Limits::default());
        let broker = [Broker { high_watermark: 1_000_000, ..Broker::default() }; 12];
        let has = (0..count).map(|n| (n, 0)).collect();
        let mut client = Client { has, ..Client::default() };
        let mut turns = BTreeMap::new();
        for _ in 0..=count {
            for n in fetch(&mut sessions, Millis(0), &broker, &mut client, fit, 1) {
                *turns.entry(n).or_insert(0) += 1;
            }
            // Nobody is ever at the end.
            client.has.values_mut().for_each(|at| *at = 0);
        }
        prop_assert_eq!(turns.len() as i32, count, "{:?}", turns);
    }
}
