//! Fetch: offsets, epochs, sizes and sessions that are not there or make no sense.

use anyhow::Result;
use callboard_cluster_tests::process::wire::name;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use uuid::Uuid;

use super::{ALL, Asked, Case, Names, called, versions};

const IDS: i16 = 13;

fn topic(version: i16, named: &str, id: Uuid, partition: i32) -> FetchTopic {
    let asked = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(1)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_partitions(vec![asked]);
    if version < IDS { topic.with_topic(name(named)) } else { topic.with_topic_id(id) }
}

fn good(version: i16, names: &Names) -> FetchRequest {
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(8 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic(version, &names.of("t"), names.id, 0)])
}

fn line(answer: &FetchResponse, names: &Names) -> String {
    let session = if answer.session_id == 0 { "no session" } else { "a session" };
    let mut all = vec![format!("{} {session}", answer.error_code)];
    for topic in &answer.responses {
        let of = match topic.topic_id {
            id if id == names.id => "t".to_owned(),
            id if id.is_nil() => names.plain(&topic.topic),
            _ => "an id".to_owned(),
        };
        for p in &topic.partitions {
            let aborted = p.aborted_transactions.as_ref().map(Vec::len);
            let bytes = p.records.as_ref().map(bytes::Bytes::len);
            all.push(format!(
                "{of}-{} {} hw {} stable {} start {} diverging {}/{} leader {}/{} aborted {aborted:?} replica {} bytes {bytes:?}",
                p.partition_index, p.error_code, p.high_watermark, p.last_stable_offset, p.log_start_offset,
                p.diverging_epoch.epoch, p.diverging_epoch.end_offset, p.current_leader.leader_id.0,
                p.current_leader.leader_epoch, p.preferred_read_replica.0,
            ));
        }
    }
    all.join(", ")
}

fn part(r: &mut FetchRequest) -> &mut FetchPartition {
    &mut r.topics[0].partitions[0]
}

const CASES: &[Case<FetchRequest>] = &[
    ("good", ALL, |_, _| {}),
    ("unknown topic", 0..=12, |r, n| r.topics[0].topic = name(&n.of("none"))),
    ("topic a b", 0..=12, |r, _| r.topics[0].topic = name("a b")),
    ("topic of no letters", 0..=12, |r, _| r.topics[0].topic = name("")),
    ("unknown id", IDS..=99, |r, n| r.topics[0].topic_id = n.no_id),
    ("id zero", IDS..=99, |r, _| r.topics[0].topic_id = Uuid::nil()),
    ("partition 7", ALL, |r, _| part(r).partition = 7),
    ("partition -1", ALL, |r, _| part(r).partition = -1),
    ("no partitions", ALL, |r, _| r.topics[0].partitions.clear()),
    ("no topics", ALL, |r, _| r.topics.clear()),
    ("one partition twice", ALL, |r, _| {
        let again = part(r).clone();
        r.topics[0].partitions.push(again);
    }),
    ("offset at the end", ALL, |r, _| part(r).fetch_offset = 3),
    ("offset beyond the end", ALL, |r, _| part(r).fetch_offset = 4),
    ("offset 2^63-1", ALL, |r, _| part(r).fetch_offset = i64::MAX),
    ("offset -1", ALL, |r, _| part(r).fetch_offset = -1),
    ("offset -5", ALL, |r, _| part(r).fetch_offset = -5),
    ("partition max bytes 0", ALL, |r, _| part(r).partition_max_bytes = 0),
    ("partition max bytes -1", ALL, |r, _| part(r).partition_max_bytes = -1),
    ("partition max bytes 2^31-1", ALL, |r, _| part(r).partition_max_bytes = i32::MAX),
    ("max bytes 0", ALL, |r, _| r.max_bytes = 0),
    ("max bytes -1", ALL, |r, _| r.max_bytes = -1),
    ("max bytes 2^31-1", ALL, |r, _| r.max_bytes = i32::MAX),
    ("min bytes 2^31-1", ALL, |r, _| r.min_bytes = i32::MAX),
    ("min bytes -1", ALL, |r, _| r.min_bytes = -1),
    ("max wait -1", ALL, |r, _| r.max_wait_ms = -1),
    ("isolation 1", ALL, |r, _| r.isolation_level = 1),
    ("isolation 7", ALL, |r, _| r.isolation_level = 7),
    ("isolation -1", ALL, |r, _| r.isolation_level = -1),
    ("leader epoch of now", 9..=99, |r, _| part(r).current_leader_epoch = 0),
    ("leader epoch 9", 9..=99, |r, _| part(r).current_leader_epoch = 9),
    ("leader epoch -2", 9..=99, |r, _| part(r).current_leader_epoch = -2),
    ("leader epoch 9, partition 7", 9..=99, |r, _| {
        part(r).current_leader_epoch = 9;
        part(r).partition = 7;
    }),
    ("last epoch 0", 12..=99, |r, _| part(r).last_fetched_epoch = 0),
    ("last epoch 0, offset beyond the end", 12..=99, |r, _| {
        part(r).last_fetched_epoch = 0;
        part(r).fetch_offset = 4;
    }),
    ("last epoch 9", 12..=99, |r, _| part(r).last_fetched_epoch = 9),
    ("last epoch 9, offset beyond the end", 12..=99, |r, _| {
        part(r).last_fetched_epoch = 9;
        part(r).fetch_offset = 4;
    }),
    ("last epoch -2", 12..=99, |r, _| part(r).last_fetched_epoch = -2),
    ("last epoch 9, leader epoch 9", 12..=99, |r, _| {
        part(r).last_fetched_epoch = 9;
        part(r).current_leader_epoch = 9;
    }),
    ("session 12345, epoch -1", 7..=99, |r, _| r.session_id = 12_345),
    ("session 12345, epoch 5", 7..=99, |r, _| (r.session_id, r.session_epoch) = (12_345, 5)),
    ("session -1, epoch 5", 7..=99, |r, _| (r.session_id, r.session_epoch) = (-1, 5)),
    ("session 0, epoch 5", 7..=99, |r, _| (r.session_id, r.session_epoch) = (0, 5)),
    ("session 0, epoch -5", 7..=99, |r, _| (r.session_id, r.session_epoch) = (0, -5)),
    ("forgotten without a session", 7..=12, |r, n| {
        let topic = ForgottenTopic::default().with_topic(name(&n.of("none"))).with_partitions(vec![7]);
        r.forgotten_topics_data = vec![topic];
    }),
];

impl Asked {
    pub(super) fn fetches(&mut self) -> Result<()> {
        self.each(good, CASES, line)
    }

    /// A session, and what is said to it that does not follow.
    pub(super) fn sessions(&mut self) -> Result<()> {
        for version in versions::<FetchRequest>()?.filter(|version| *version >= 7) {
            let mut request = good(version, &self.names);
            request.session_epoch = 0;
            let none = self.names.of("none");
            request.topics.push(topic(version, &none, self.names.no_id, 0));
            let made = self.told(&called::<FetchRequest>("a session is made")?, version, &request, line)?;
            let id = made.map_or(0, |answer| answer.session_id);
            request.topics.clear();
            let next = |asked: &mut Asked, case: &str, epoch: i32, edit: fn(&mut FetchRequest, &Names)| {
                let mut request = request.clone().with_session_id(id).with_session_epoch(epoch);
                edit(&mut request, &asked.names);
                asked.told(&called::<FetchRequest>(case)?, version, &request, line).map(drop)
            };
            next(self, "session, epoch 9", 9, |_, _| {})?;
            next(self, "session, epoch -5", -5, |_, _| {})?;
            next(self, "session, epoch 1", 1, |_, _| {})?;
            next(self, "session, epoch 1 again", 1, |_, _| {})?;
            if version < IDS {
                next(self, "session, unknown forgotten", 2, |r, n| {
                    let topic = ForgottenTopic::default().with_topic(name(&n.of("nobody")));
                    r.forgotten_topics_data = vec![topic.with_partitions(vec![7])];
                })?;
            } else {
                next(self, "session, unknown forgotten", 2, |r, _| {
                    let topic = ForgottenTopic::default().with_topic_id(Uuid::new_v4());
                    r.forgotten_topics_data = vec![topic.with_partitions(vec![7])];
                })?;
            }
            next(self, "session, closed", -1, |_, _| {})?;
            next(self, "session, after its end", 3, |_, _| {})?;
        }
        Ok(())
    }
}
