//! Topics that are deleted under their clients. A deletion is an orderly end: each API says that the topic is unknown, and
//! none speaks of a broken disk. `CALLBOARD_ORACLE=host:port` asks a running Apache Kafka instead of the built broker.
//!
//! ```text
//!   waiting   a fetch at the end of the log, by name and by id, without a session and in one; then the next fetch
//!   after     every API that names a partition, once DeleteTopics is answered
//!   during    the same, over and over, while the topic goes
//! ```
//! The codes are those of Apache Kafka 4.3. It gives the name's code, 3, to a fetch that waits by id, because it has the
//! name by then, and 100 to the next client that gives the id. Ours gives 100 to both: a client knows no more than the id.

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::{RETRY, Wire, name};
use callboard_cluster_tests::process::{Broker, HANG, Options, Running, find_program, need};
use callboard_core::records::{BatchBuilder, NewRecord};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeLogDirsRequest, DescribeProducersRequest,
    FetchRequest, FetchResponse, ListOffsetsRequest, OffsetForLeaderEpochRequest, ProduceRequest,
    describe_producers_request,
};
use uuid::Uuid;

#[allow(dead_code)]
#[path = "http/web.rs"]
mod web;

/// Longer than a connection waits for an answer: a fetch that nobody wakes fails the test.
const MAX_WAIT: i32 = 300_000;
const UNKNOWN: i16 = 3;
const NOT_LEADER: i16 = 6;
const STORAGE: i16 = 56;
const UNKNOWN_ID: i16 = 100;
/// First version of Fetch and Produce that gives topics by id.
const IDS: i16 = 13;
/// Sessions begin here.
const SESSIONS: i16 = 7;

/// The built broker, or a running Kafka.
struct Site {
    broker: Option<Broker>,
    addr: SocketAddr,
}

impl Site {
    fn start() -> Result<Site> {
        if let Ok(oracle) = std::env::var("CALLBOARD_ORACLE") {
            let addr = oracle.to_socket_addrs()?.next().context("an address")?;
            return Ok(Site { broker: None, addr });
        }
        let broker = Broker::start(Options::default())?;
        Ok(Site { addr: broker.addr(), broker: Some(broker) })
    }

    fn wire(&self) -> Result<Wire> {
        Wire::connect(self.addr)
    }

    /// Until so many fetches wait; what Kafka's do nobody can see.
    fn waiting(&mut self, fetches: f64) -> Result<()> {
        let Some(broker) = &mut self.broker else { return Ok(()) };
        let (http, begun) = (broker.http()?, Instant::now());
        loop {
            // There is no such series before the first one waits.
            let waiting = web::scrape(http)?.value("callboard_kafka_fetches_waiting").unwrap_or(0.0);
            if waiting == fetches {
                return Ok(());
            }
            if begun.elapsed() > HANG {
                return Err(broker.broken(&format!("{waiting} fetches wait, not {fetches}")));
            }
            std::thread::sleep(RETRY);
        }
    }

    /// An orderly end, and a log that speaks of no fault.
    fn finish(self) -> Result<()> {
        let Some(mut broker) = self.broker else { return Ok(()) };
        broker.stop()?;
        let log = broker.lines().tail(usize::MAX);
        let fault = |line: &&str| {
            ["ERROR", "WARN", "KafkaStorageError", "storage"].iter().any(|word| line.contains(word))
        };
        match log.lines().find(fault) {
            Some(line) => bail!("a deletion is told as a fault: {line}"),
            None => Ok(()),
        }
    }
}

/// A topic that is there once in all of the tests.
struct Topic {
    name: String,
    id: Uuid,
    /// The end of its log.
    end: i64,
}

impl Topic {
    /// With one record.
    fn new(wire: &mut Wire) -> Result<Topic> {
        let topic = format!("gone-{}", Uuid::new_v4().simple());
        let id = wire.create_topic(&topic, 1)?;
        let begun = Instant::now();
        loop {
            wire.send_batch(&topic, 0, -1, batch())?;
            match wire.receive_batch()? {
                (0, base) => return Ok(Topic { name: topic, id, end: base + 1 }),
                // Kafka answers CreateTopics before it serves.
                (UNKNOWN | NOT_LEADER, _) if begun.elapsed() < HANG => std::thread::sleep(RETRY),
                said => bail!("{topic}: {said:?}"),
            }
        }
    }

    fn delete(&self, wire: &mut Wire) -> Result<()> {
        let request =
            DeleteTopicsRequest::default().with_topic_names(vec![name(&self.name)]).with_timeout_ms(30_000);
        let answer = wire.call(5, &request)?;
        let result = answer.responses.first().context("DeleteTopics: no topic")?;
        ensure!(result.error_code == 0, "{}: {result:?}", self.name);
        Ok(())
    }

    fn fetch_topic(&self, version: i16, offset: i64) -> FetchTopic {
        let part = FetchPartition::default()
            .with_partition(0)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_partitions(vec![part]);
        if version < IDS { topic.with_topic(name(&self.name)) } else { topic.with_topic_id(self.id) }
    }
}

fn batch() -> Bytes {
    let record = NewRecord { timestamp: 1, value: Some(b"record".to_vec()), ..NewRecord::default() };
    Bytes::from(BatchBuilder::new(0).record(record).build().expect("a batch"))
}

fn fetch(wait: i32, session: (i32, i32), topics: Vec<FetchTopic>) -> FetchRequest {
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(wait)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_id(session.0)
        .with_session_epoch(session.1)
        .with_topics(topics)
}

/// Codes of the partitions in an answer, all with what is told beside an error.
fn codes(answer: &FetchResponse) -> Result<Vec<i16>> {
    ensure!(answer.error_code == 0, "{answer:?}");
    let parts = answer.responses.iter().flat_map(|topic| &topic.partitions);
    parts
        .map(|p| {
            let beside = (p.high_watermark, p.records.as_ref().map_or(0, Bytes::len));
            ensure!(p.error_code == 0 || beside == (-1, 0), "beside an error: {p:?}");
            Ok(p.error_code)
        })
        .collect()
}

#[test]
fn a_fetch_that_waits_is_told_at_once_that_its_topic_is_unknown() -> Result<()> {
    let mut site = Site::start()?;
    let mut wire = site.wire()?;
    // Version, in a session, beside a topic that stays.
    for (version, session, beside) in [
        (4, false, false),
        (12, false, false),
        (12, true, false),
        (12, true, true),
        (13, false, false),
        (17, false, false),
        (17, true, false),
        (17, true, true),
    ] {
        waits(&mut site, &mut wire, version, session, beside)
            .with_context(|| format!("Fetch v{version}, in a session: {session}, beside: {beside}"))?;
    }
    site.finish()
}

fn waits(site: &mut Site, wire: &mut Wire, version: i16, session: bool, beside: bool) -> Result<()> {
    let gone = Topic::new(wire)?;
    let mut topics = vec![gone.fetch_topic(version, gone.end)];
    if beside {
        let stays = Topic::new(wire)?;
        topics.push(stays.fetch_topic(version, stays.end));
    }
    let mut waiting = site.wire()?;
    let mut id = 0;
    let asked = if session {
        id = waiting.call(version, &fetch(0, (0, 0), topics))?.session_id;
        ensure!(id > 0, "no session");
        fetch(MAX_WAIT, (id, 1), Vec::new())
    } else {
        fetch(MAX_WAIT, (0, -1), topics)
    };
    waiting.send(version, &asked)?;
    site.waiting(1.0)?;
    gone.delete(wire)?;
    let told = codes(&waiting.receive::<FetchRequest>(version)?)?;
    let due: &[i16] = match site.broker {
        Some(_) if version < IDS => &[UNKNOWN],
        Some(_) => &[UNKNOWN_ID],
        // Where its replica stops before Kafka's metadata is seen: 6.
        None => &[UNKNOWN, NOT_LEADER],
    };
    // A session leaves out the topic about which there is nothing new, mostly.
    let mut told = told.into_iter().filter(|code| *code != 0);
    let code = told.next().context("nothing is told")?;
    ensure!(due.contains(&code) && told.next().is_none(), "{code} instead of {due:?}");
    if version >= SESSIONS && session {
        let next = waiting.call(version, &fetch(0, (id, 2), Vec::new()))?;
        ensure!(next.session_id == id, "the session is kept: {next:?}");
        let told = codes(&next)?;
        ensure!(told.iter().any(|code| due.contains(code)), "the next answer: {told:?}");
    }
    Ok(())
}

/// One call of an API that names a partition; the code it gives.
type Ask = fn(&mut Wire, &Topic) -> Result<i16>;

/// With what each says of a topic that is gone.
const APIS: [(&str, i16, Ask); 11] = [
    ("Produce by name", UNKNOWN, |wire, topic| produce(wire, topic, 9)),
    ("Produce by id", UNKNOWN_ID, |wire, topic| produce(wire, topic, IDS)),
    ("Fetch by name", UNKNOWN, |wire, topic| fetched(wire, topic, 4)),
    ("Fetch by name, flexible", UNKNOWN, |wire, topic| fetched(wire, topic, 12)),
    ("Fetch by id", UNKNOWN_ID, |wire, topic| fetched(wire, topic, 17)),
    ("ListOffsets, the end", UNKNOWN, |wire, topic| list_offset(wire, topic, -1)),
    ("ListOffsets by time", UNKNOWN, |wire, topic| list_offset(wire, topic, 1)),
    ("ListOffsets, largest time", UNKNOWN, |wire, topic| list_offset(wire, topic, -3)),
    ("OffsetForLeaderEpoch", UNKNOWN, epoch_end),
    ("DeleteRecords", UNKNOWN, delete_records),
    ("DescribeProducers", UNKNOWN, producers),
];

fn produce(wire: &mut Wire, topic: &Topic, version: i16) -> Result<i16> {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch()));
    let data = TopicProduceData::default().with_partition_data(vec![data]);
    let data = if version < IDS { data.with_name(name(&topic.name)) } else { data.with_topic_id(topic.id) };
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data]);
    let answer = wire.call(version, &request)?;
    let topic = answer.responses.first().context("Produce: no topic")?;
    Ok(topic.partition_responses.first().context("Produce: no partition")?.error_code)
}

fn fetched(wire: &mut Wire, topic: &Topic, version: i16) -> Result<i16> {
    let request = fetch(0, (0, -1), vec![topic.fetch_topic(version, 0)]);
    codes(&wire.call(version, &request)?)?.first().copied().context("Fetch: no partition")
}

fn list_offset(wire: &mut Wire, topic: &Topic, timestamp: i64) -> Result<i16> {
    let asked = ListOffsetsPartition::default()
        .with_partition_index(0)
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp);
    let asked = ListOffsetsTopic::default().with_name(name(&topic.name)).with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
    let answer = wire.call(7, &request)?;
    let topic = answer.topics.first().context("ListOffsets: no topic")?;
    Ok(topic.partitions.first().context("ListOffsets: no partition")?.error_code)
}

fn epoch_end(wire: &mut Wire, topic: &Topic) -> Result<i16> {
    let part = OffsetForLeaderPartition::default().with_current_leader_epoch(-1).with_leader_epoch(0);
    let asked = OffsetForLeaderTopic::default().with_topic(name(&topic.name)).with_partitions(vec![part]);
    let request =
        OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
    let answer = wire.call(4, &request)?;
    let topic = answer.topics.first().context("OffsetForLeaderEpoch: no topic")?;
    Ok(topic.partitions.first().context("OffsetForLeaderEpoch: no partition")?.error_code)
}

fn delete_records(wire: &mut Wire, topic: &Topic) -> Result<i16> {
    let part = DeleteRecordsPartition::default().with_partition_index(0).with_offset(0);
    let asked = DeleteRecordsTopic::default().with_name(name(&topic.name)).with_partitions(vec![part]);
    let request = DeleteRecordsRequest::default().with_topics(vec![asked]).with_timeout_ms(30_000);
    let answer = wire.call(2, &request)?;
    let topic = answer.topics.first().context("DeleteRecords: no topic")?;
    Ok(topic.partitions.first().context("DeleteRecords: no partition")?.error_code)
}

fn producers(wire: &mut Wire, topic: &Topic) -> Result<i16> {
    let asked = describe_producers_request::TopicRequest::default()
        .with_name(name(&topic.name))
        .with_partition_indexes(vec![0]);
    let answer = wire.call(0, &DescribeProducersRequest::default().with_topics(vec![asked]))?;
    let topic = answer.topics.first().context("DescribeProducers: no topic")?;
    Ok(topic.partitions.first().context("DescribeProducers: no partition")?.error_code)
}

#[test]
fn after_a_deletion_every_api_says_that_the_topic_is_unknown() -> Result<()> {
    let site = Site::start()?;
    let mut wire = site.wire()?;
    let gone = Topic::new(&mut wire)?;
    for (api, _, ask) in APIS {
        let code = ask(&mut wire, &gone).context(api)?;
        ensure!(code == 0, "{api} before: {code}");
    }
    gone.delete(&mut wire)?;
    for (api, due, ask) in APIS {
        let code = ask(&mut wire, &gone).context(api)?;
        ensure!(code == due, "{api}: {code} instead of {due}");
    }
    let asked = DescribableLogDirTopic::default().with_topic(name(&gone.name)).with_partitions(vec![0]);
    let answer = wire.call(4, &DescribeLogDirsRequest::default().with_topics(Some(vec![asked])))?;
    let dir = answer.results.first().context("no directory")?;
    ensure!(dir.error_code == 0, "the directory: {dir:?}");
    // Kafka may show it until its directory is renamed.
    ensure!(site.broker.is_none() || dir.topics.is_empty(), "still there: {dir:?}");
    site.finish()
}

#[test]
fn while_a_topic_goes_no_api_speaks_of_a_disk() -> Result<()> {
    let site = Site::start()?;
    let mut wire = site.wire()?;
    for _ in 0..5 {
        let gone = Topic::new(&mut wire)?;
        std::thread::scope(|scope| {
            let asking: Vec<_> = APIS
                .into_iter()
                .map(|(api, due, ask)| {
                    let (site, gone) = (&site, &gone);
                    let (first, begun) = std::sync::mpsc::channel();
                    let all = scope.spawn(move || until_gone(site, gone, (due, ask), &first).context(api));
                    (all, begun)
                })
                .collect();
            // Each has asked once when the topic goes.
            let asking: Vec<_> =
                asking.into_iter().map(|(all, begun)| begun.recv().map(|()| all).ok()).collect();
            gone.delete(&mut wire)?;
            for all in asking {
                all.context("it failed before")?.join().expect("no panic")?;
            }
            anyhow::Ok(())
        })?;
    }
    site.finish()
}

/// Asks until the topic is unknown. Until then: served, or not led any more.
fn until_gone(
    site: &Site,
    gone: &Topic,
    (due, ask): (i16, Ask),
    first: &std::sync::mpsc::Sender<()>,
) -> Result<()> {
    let (mut wire, mut seen, begun) = (site.wire()?, BTreeSet::new(), Instant::now());
    loop {
        let code = ask(&mut wire, gone)?;
        // The other side waits for the first one only.
        let _ = first.send(());
        seen.insert(code);
        // By id Kafka says both.
        let unknown = code == due || (site.broker.is_none() && code == UNKNOWN);
        let fine = unknown || matches!(code, 0 | NOT_LEADER);
        ensure!(fine && code != STORAGE, "{code}; before it {seen:?}");
        if unknown {
            return Ok(());
        }
        ensure!(begun.elapsed() < HANG, "never unknown: {seen:?}");
    }
}

#[test]
fn kcat_at_the_end_of_a_topic_that_goes_speaks_of_no_disk() -> Result<()> {
    let Some(kcat) = need("deleted_topics", "kcat", find_program("kcat"))? else { return Ok(()) };
    let site = Site::start()?;
    let mut wire = site.wire()?;
    let gone = Topic::new(&mut wire)?;
    let bootstrap = site.addr.to_string();
    let reader = Running::start(&kcat, &["-C", "-b", &bootstrap, "-t", &gone.name, "-o", "beginning"])?;
    ensure!(reader.err.wait_for("Reached end of topic", 0, HANG).is_some(), "{}", reader.err.tail(20));
    gone.delete(&mut wire)?;
    let told = reader.err.wait_for("ERROR: Topic", 0, HANG);
    let said = reader.err.tail(usize::MAX);
    ensure!(told.is_some() && !said.contains("Disk error"), "kcat said:\n{said}");
    site.finish()
}
