//! Calls that cannot be right, of every API that is not a group's, in every version: what Apache Kafka 4.3.0 answered.
//!
//! ```text
//!   api_answers/*.rs: tables of requests, each the good one with an edit ──> a line: codes, words, and
//!                     ` => …` where topics, offsets or configs are others than they were before the call
//!   data/api_answers.txt: Kafka's lines       api_answers/meant.rs: where ours are meant to be others, and why
//! ```
//! How the file is written and what is asked instead of the built broker, `process/answers.rs` says. Names carry a random
//! part, so that a broker may be asked again. Versions that the `kafka-protocol` crate cannot write are left out.

#[path = "api_answers/configs.rs"]
mod configs;
#[path = "api_answers/describe.rs"]
mod describe;
#[path = "api_answers/elections.rs"]
mod elections;
#[path = "api_answers/fetch.rs"]
mod fetch;
#[path = "api_answers/meant.rs"]
mod meant;
#[path = "api_answers/offsets.rs"]
mod offsets;
#[path = "api_answers/partitions.rs"]
mod partitions;
#[path = "api_answers/produce.rs"]
mod produce;
#[path = "api_answers/records.rs"]
mod records;
#[path = "api_answers/topics.rs"]
mod topics;
#[path = "api_answers/values.rs"]
mod values;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use callboard::kafka::wire::api::ApiKey;
use callboard_cluster_tests::process::HANG;
use callboard_cluster_tests::process::answers::{Said, answers};
use callboard_cluster_tests::process::wire::{RETRY, Wire};
use callboard_core::records::{BatchBuilder, NewRecord};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{DescribeConfigsRequest, FindCoordinatorRequest, MetadataRequest};
use kafka_protocol::protocol::{Request, StrBytes};
use uuid::Uuid;

/// In all versions.
const ALL: RangeInclusive<i16> = 0..=i16::MAX;
/// Where a request makes Kafka fail, it may go unanswered for ever.
const PATIENCE: Duration = Duration::from_secs(15);
/// What has a config of its own in the end is told in every state.
const TOLD: [&str; 4] =
    ["log.retention.ms", "message.max.bytes", "log.flush.interval.messages", "log.cleaner.threads"];

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn words(text: &Option<StrBytes>) -> String {
    text.as_ref().map_or_else(|| "-".to_owned(), |text| format!("{:?}", text.to_string()))
}

/// What edits need to know of the broker that is asked.
struct Names {
    /// Makes names new.
    salt: String,
    /// The topic that nothing is written to after the beginning: two partitions, three records in the first.
    id: Uuid,
    /// The topic that is written to.
    written: Uuid,
    /// Nobody's.
    no_id: Uuid,
    /// Where the log of the topic that is written to ended before the call.
    end: i64,
    /// When the first record was made; the others are one millisecond later each.
    time: i64,
}

impl Names {
    fn of(&self, topic: &str) -> String {
        format!("{topic}-{}", self.salt)
    }

    /// Without what differs each time.
    fn plain(&self, line: &str) -> String {
        line.replace(&format!("-{}", self.salt), "")
    }
}

/// Of these versions: the request, changed.
type Case<R> = (&'static str, RangeInclusive<i16>, fn(&mut R, &Names));

/// A broker that is asked, and what it said.
struct Asked {
    wire: Wire,
    addr: SocketAddr,
    names: Names,
    said: Said,
    /// What was there after the last call.
    state: String,
    asked: BTreeSet<(i16, i16)>,
}

impl Asked {
    fn new(addr: SocketAddr) -> Result<Asked> {
        let mut wire = Wire::connect(addr)?.patience(PATIENCE)?;
        let salt = Uuid::new_v4().simple().to_string();
        let time = now() - 60_000;
        let id = wire.create_topic(&format!("t-{salt}"), 2)?;
        let written = wire.create_topic(&format!("p-{salt}"), 1)?;
        wire.create_topic(&format!("cut-{salt}"), 1)?;
        wire.create_topic(&format!("same_as-{salt}"), 1)?;
        offsets_topic(&mut wire)?;
        // A broker that has just begun may have no producer ids yet.
        wire.init_producer_id()?;
        let names = Names { salt, id, written, no_id: Uuid::new_v4(), end: 0, time };
        for topic in ["t", "cut"] {
            for n in 0..3 {
                let record = batch(BatchBuilder::new(0), &["record"], time + n);
                let at = written_at(&mut wire, &names.of(topic), &record)?;
                ensure!(at == n, "{topic} begins at {at}");
            }
        }
        let (said, asked) = (Said::default(), BTreeSet::new());
        let mut asked = Asked { wire, addr, names, said, state: String::new(), asked };
        asked.state = asked.state()?;
        asked.names.end = asked.end()?;
        Ok(asked)
    }

    /// The ends of the logs, all our topics, and what is set of configs.
    fn state(&mut self) -> Result<String> {
        let mut state = String::new();
        for (topic, partition) in [("t", 0), ("t", 1), ("cut", 0)] {
            let named = self.names.of(topic);
            let ends = [-2, -1].map(|at| self.wire.list_offset(&named, partition, at));
            let _ = match ends {
                [Ok(start), Ok(end)] => write!(state, "{topic}{partition} {start}..{end} "),
                _ => write!(state, "{topic}{partition} is gone "),
            };
        }
        let request = MetadataRequest::default().with_topics(None);
        let mut topics = BTreeSet::new();
        for topic in self.wire.call(9, &request)?.topics {
            let named = topic.name.map(|name| name.0.to_string()).unwrap_or_default();
            if named.contains(&self.names.salt) {
                topics.insert(format!("{named}:{} ", topic.partitions.len()));
            }
        }
        state.extend(topics);
        let resource = |kind, named: &str| {
            let keys = TOLD.iter().map(|key| text(key)).collect();
            DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(named))
                .with_configuration_keys((kind == 4).then_some(keys))
        };
        let resources = vec![resource(2, &self.names.of("t")), resource(4, "1"), resource(4, "")];
        let request = DescribeConfigsRequest::default().with_resources(resources);
        for result in self.wire.call(1, &request)?.results {
            // Set for the topic itself, or for the broker or all brokers.
            let set = if result.resource_type == 2 { 1..=1 } else { 2..=3 };
            for config in result.configs.iter().filter(|config| set.contains(&config.config_source)) {
                let _ = write!(state, "{}={} ", config.name, words(&config.value));
            }
        }
        Ok(state)
    }

    /// Where the log of the topic that is written to ends; none if it is gone.
    fn end(&mut self) -> Result<i64> {
        let written = self.names.of("p");
        self.wire.list_offset(&written, 0, -1)
    }

    /// Asks, and notes what was answered and whether anything is not as it was.
    fn told<R: Request>(
        &mut self,
        case: &str,
        version: i16,
        request: &R,
        line: impl Fn(&R::Response, &Names) -> String,
    ) -> Result<Option<R::Response>> {
        self.asked.insert((R::KEY, version));
        let answer = match self.wire.call(version, request) {
            Ok(answer) => Some(answer),
            Err(error) if error.chain().any(|cause| cause.is::<std::io::Error>()) => {
                self.wire = Wire::connect(self.addr)?.patience(PATIENCE)?;
                None
            }
            Err(error) => return Err(error.context(format!("{case} v{version}"))),
        };
        let mut line = answer.as_ref().map_or_else(|| "no answer".to_owned(), |a| line(a, &self.names));
        let state = self.state().with_context(|| format!("after {case} v{version}"))?;
        if state != self.state {
            let _ = write!(line, " => {state}");
            self.state = state;
        }
        let end = self.end()?;
        if end != self.names.end {
            let _ = write!(line, " => {} more", end - self.names.end);
            self.names.end = end;
        }
        self.said.note(case, version, self.names.plain(&line));
        Ok(answer)
    }

    /// Every case in every version.
    fn each<R: Request>(
        &mut self,
        good: fn(i16, &Names) -> R,
        cases: &[Case<R>],
        line: fn(&R::Response, &Names) -> String,
    ) -> Result<()> {
        for version in versions::<R>()? {
            for (case, of, edit) in cases.iter().filter(|(_, of, _)| of.contains(&version)) {
                debug_assert!(!of.is_empty());
                let mut request = good(version, &self.names);
                edit(&mut request, &self.names);
                self.told(&called::<R>(case)?, version, &request, line)?;
            }
        }
        Ok(())
    }
}

/// The internal topic is there, once a group's coordinator is.
fn offsets_topic(wire: &mut Wire) -> Result<()> {
    let find = FindCoordinatorRequest::default().with_key(text("anybody"));
    let begun = Instant::now();
    while wire.call(0, &find)?.error_code != 0 {
        ensure!(begun.elapsed() < HANG, "no coordinator");
        std::thread::sleep(RETRY);
    }
    Ok(())
}

/// Where a batch begins. A topic that has just been made may have no leader yet.
fn written_at(wire: &mut Wire, topic: &str, batch: &Bytes) -> Result<i64> {
    let begun = Instant::now();
    loop {
        wire.send_batch(topic, 0, -1, batch.clone())?;
        match wire.receive_batch()? {
            (0, at) => return Ok(at),
            (code, _) => ensure!(begun.elapsed() < HANG, "{topic} takes no records: error {code}"),
        }
        std::thread::sleep(RETRY);
    }
}

fn api<R: Request>() -> Result<ApiKey> {
    ApiKey::of(R::KEY).context("an API that is not ours")
}

fn called<R: Request>(case: &str) -> Result<String> {
    Ok(format!("{}: {case}", api::<R>()?.name()))
}

/// Those that we answer and the crate can write.
fn versions<R: Request>() -> Result<RangeInclusive<i16>> {
    let ours = api::<R>()?.versions();
    Ok(R::VERSIONS.min.max(*ours.start())..=R::VERSIONS.max.min(*ours.end()))
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as i64
}

fn batch(builder: BatchBuilder, values: &[&str], timestamp: i64) -> Bytes {
    let records = values.iter().map(|value| NewRecord {
        timestamp,
        value: Some(value.as_bytes().to_vec()),
        ..NewRecord::default()
    });
    Bytes::from(records.fold(builder, BatchBuilder::record).build().unwrap_or_default())
}

/// Answered by groups' coordinators: `group_answers.rs` asks those.
const OF_GROUPS: [ApiKey; 11] = [
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::DeleteGroups,
    ApiKey::OffsetDelete,
];
/// The crate does not know them.
const NOT_WRITTEN: [(ApiKey, i16); 2] = [(ApiKey::ListOffsets, 11), (ApiKey::DescribeLogDirs, 5)];

fn ask(addr: SocketAddr) -> Result<Said> {
    let mut asked = Asked::new(addr)?;
    asked.fetches().context("fetches")?;
    asked.sessions().context("sessions")?;
    asked.offsets().context("offsets")?;
    asked.produces().context("produces")?;
    asked.producers().context("producers")?;
    asked.poisons().context("poisons")?;
    asked.heads().context("heads")?;
    asked.topics().context("topics")?;
    asked.partitions().context("partitions")?;
    asked.elections().context("elections")?;
    asked.configs().context("configs")?;
    asked.describes().context("describes")?;
    for api in ApiKey::all().filter(|api| !OF_GROUPS.contains(api)) {
        for version in api.versions().filter(|version| !NOT_WRITTEN.contains(&(api, *version))) {
            ensure!(asked.asked.contains(&(api.key(), version)), "{} v{version} was not asked", api.name());
        }
    }
    Ok(asked.said)
}

#[test]
fn calls_that_cannot_be_right_are_answered_as_by_kafka() -> Result<()> {
    answers(ask)?.judge("api_answers.txt", meant::MEANT)
}
