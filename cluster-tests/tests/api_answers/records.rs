//! Produce with batches that have a sound head and broken records, or a head that lies; and how they are stored.
//!
//! ```text
//!   refused   `87 stored nothing`, where records are named: `[(1, "Timestamp # of …")]` and the words of the answer
//!   stored    `0 stored as sent`, or the changes under the CRC, and whether the CRC is right;
//!             `, found 0 1 2 2, latest 2`: ListOffsets for four times and for the latest
//! ```
//! `now+5` is five milliseconds after the test's own time; `#` stands for a number that a clock gave.

use std::ops::RangeInclusive;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use callboard_cluster_tests::odd::{
    Codec, DELTAS, Odd, broken, lz4, record, records, unreadable, zstd_window,
};
use callboard_cluster_tests::process::HANG;
use callboard_cluster_tests::process::wire::{RETRY, name, whole_batches};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{CreateTopicsRequest, ProduceRequest};
use lz4_flex::frame::{BlockMode, FrameInfo};
use uuid::Uuid;

use super::{Asked, called, now, text};

const IDS: i16 = 13;
const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;
/// Old and new encoding, with and without words, by name and by id.
const SOME: [i16; 5] = [3, 7, 8, 9, 13];
const ONE: [i16; 1] = [9];
/// First version that says more than a code.
const WORDS: i16 = 8;
/// First version that knows zstd.
const ZSTD: i16 = 7;
/// So many records are named in full.
const NAMED: usize = 3;

type Configs = &'static [(&'static str, &'static str)];
const STAMPED: Configs = &[("message.timestamp.type", "LogAppendTime")];
const FRESH: Configs = &[("message.timestamp.before.max.ms", "60000")];
const STAMPED_FRESH: Configs = &[STAMPED[0], FRESH[0]];
const SMALL: Configs = &[("max.message.bytes", "200")];

struct Topic {
    name: String,
    id: Uuid,
}

/// A name, the records' times and the head's latest time, the topic's configs.
type Timed = (&'static str, fn(i64) -> (Vec<i64>, i64), Configs);

const TIMED: &[Timed] = &[
    ("max -1", |n| (vec![n - MINUTE, n - MINUTE / 2, n], -1), &[]),
    ("max 0", |n| (vec![n - MINUTE, n - MINUTE / 2, n], 0), &[]),
    ("max lower", |n| (vec![n - MINUTE, n - MINUTE / 2, n], n - MINUTE / 2), &[]),
    ("max right", |n| (vec![n - MINUTE, n - MINUTE / 2, n], n), &[]),
    ("max a second higher", |n| (vec![n - MINUTE, n - MINUTE / 2, n], n + 1000), &[]),
    ("max ten hours ahead", |n| (vec![n - MINUTE, n - MINUTE / 2, n], n + 10 * HOUR), &[]),
    ("max 2^63-1", |n| (vec![n - MINUTE, n - MINUTE / 2, n], i64::MAX), &[]),
    ("max -2^63", |n| (vec![n - MINUTE, n - MINUTE / 2, n], i64::MIN), &[]),
    ("the latest in the middle, max -1", |n| (vec![n - MINUTE, n, n - MINUTE / 2], -1), &[]),
    ("stamped, max -1", |n| (vec![n - MINUTE, n - MINUTE / 2, n], -1), STAMPED),
    ("stamped, times nobody would take", |n| (vec![n - 2 * MINUTE, n + 10 * HOUR, -5], n), STAMPED_FRESH),
    ("second ten hours ahead", |n| (vec![n, n + 10 * HOUR, n], n), &[]),
    ("last ten hours ahead", |n| (vec![n, n, n + 10 * HOUR], n), &[]),
    ("first and last ten hours ahead", |n| (vec![n + 10 * HOUR, n, n + 10 * HOUR], n), &[]),
    ("all ten hours ahead", |n| (vec![n + 10 * HOUR; 100], n + 10 * HOUR), &[]),
    ("second too old", |n| (vec![n, n - 2 * MINUTE, n], n), FRESH),
    ("first and last too old", |n| (vec![n - 2 * MINUTE, n, n - 2 * MINUTE], n), FRESH),
    ("one too old, one ahead", |n| (vec![n - 2 * MINUTE, n, n + 10 * HOUR], n), FRESH),
    ("sound, max too old", |n| (vec![n, n, n], n - 2 * MINUTE), FRESH),
    ("times -1", |_| (vec![-1; 3], -1), &[]),
    ("times -1, max now", |n| (vec![-1; 3], n), &[]),
    ("times -1 where old ones are refused", |_| (vec![-1; 3], -1), FRESH),
    ("first time -1", |n| (vec![-1, n, n], n), &[]),
    ("second time -1 where old ones are refused", |n| (vec![n, -1, n], n), FRESH),
    ("second time -2", |n| (vec![n, -2, n], n), &[]),
    ("times -5", |_| (vec![-5; 3], -5), &[]),
    ("second time -2^63", |_| (vec![0, i64::MIN, 0], 0), &[]),
    ("second time 2^63-1", |_| (vec![0, i64::MAX, 0], 0), &[]),
];

/// A name, a field that clients need not set, the topic's configs.
type Headed = (&'static str, fn(&mut Odd), Configs);

const HEADED: &[Headed] = &[
    ("leader epoch 7", |b| b.leader_epoch = 7, &[]),
    ("base offset -1", |b| b.base_offset = -1, &[]),
    ("base time a minute lower", |b| later(b, b.base_timestamp - MINUTE), &[]),
    ("base time 0", |b| later(b, 0), &[]),
    ("base time 2^63-1, wrapped to now", |b| later(b, i64::MAX), &[]),
    ("LogAppendTime bit", |b| b.attributes |= 0x08, &[]),
    ("LogAppendTime bit, stamped", |b| b.attributes |= 0x08, STAMPED),
    ("delete horizon bit", |b| b.attributes |= 0x40, &[]),
    ("delete horizon bit, stamped", |b| b.attributes |= 0x40, STAMPED),
    ("bits without a meaning", |b| b.attributes |= i16::MIN | 0x7f80, &[]),
    ("producer -2", |b| b.producer = (-2, 0, 0), &[]),
    ("no producer, epoch 5", |b| b.producer = (-1, 5, -1), &[]),
    ("count -2^31", |b| (b.count, b.last_offset_delta) = (i32::MIN, i32::MAX), &[]),
];

/// The same times from another base; records are written anew, packed as they were.
fn later(batch: &mut Odd, base: i64) {
    let codec = if batch.attributes & 7 == 0 { Codec::Plain } else { Codec::Gzip };
    let delta = batch.max_timestamp.wrapping_sub(base);
    let each: Vec<u8> = (0..3).flat_map(|n| record(n, delta)).collect();
    batch.payload = codec.pack(&each).unwrap_or_default();
    batch.base_timestamp = base;
}

/// A name, a change, whether the checksum is wrong too, the topic's configs.
type Ordered = (&'static str, fn(&mut Odd), bool, Configs);

/// Each batch has two faults; the answer tells one of them. Nine records are too large for `SMALL`.
const ORDERED: &[Ordered] = &[
    ("too large, sound", |_| {}, false, SMALL),
    ("too large, garbage inside", |b| b.payload = vec![b'x'; 300], false, SMALL),
    ("too large, wrong checksum", |_| {}, true, SMALL),
    ("too large, count 0", |b| (b.count, b.last_offset_delta) = (0, -1), false, SMALL),
    ("too large, base offset 9", |b| b.base_offset = 9, false, SMALL),
    ("too large, ten hours ahead", |b| b.base_timestamp += 10 * HOUR, false, SMALL),
    ("wrong checksum, base offset 9", |b| b.base_offset = 9, true, &[]),
    ("wrong checksum, count 0", |b| (b.count, b.last_offset_delta) = (0, -1), true, &[]),
    ("wrong checksum, garbage inside", |b| b.payload = vec![b'x'; 300], true, &[]),
    ("ten hours ahead, count 5 of 3", |b| early(b, 5), false, &[]),
    ("ten hours ahead, count 2 of 3", |b| early(b, 2), false, &[]),
    (
        "ten hours ahead, base offset 9",
        |b| (b.base_offset, b.base_timestamp) = (9, now() + 10 * HOUR),
        false,
        &[],
    ),
];

fn early(batch: &mut Odd, count: i32) {
    batch.base_timestamp += 10 * HOUR;
    (batch.count, batch.last_offset_delta) = (count, count - 1);
}

/// Frames round three sound records: sound ones, and broken ones that some readers take.
fn frames(time: i64) -> Result<Vec<(&'static str, Odd)>> {
    let (all, two) = (records(3), records(2));
    let of = |codec, payload| Odd::holding(codec, payload, 3, time);
    let info = FrameInfo::new;
    let linked = lz4(&all, info().block_mode(BlockMode::Linked))?;
    let mut summed = lz4(&all, info().content_checksum(true))?;
    let mut blocks = lz4(&all, info().block_checksums(true))?;
    let sound = lz4(&all, info())?;
    let mut headless = sound.clone();
    headless[6] ^= 0x55;
    let mut cases = vec![
        ("block checksums, lz4", of(Codec::Lz4, blocks.clone())),
        ("a content checksum, lz4", of(Codec::Lz4, summed.clone())),
        ("linked blocks, lz4", of(Codec::Lz4, linked)),
        ("wrong header checksum, lz4", of(Codec::Lz4, headless)),
    ];
    let last = blocks.len() - 5;
    blocks[last] ^= 0x55;
    cases.push(("wrong block checksum, lz4", of(Codec::Lz4, blocks)));
    let last = summed.len() - 1;
    summed[last] ^= 0x55;
    cases.push(("wrong content checksum, lz4", of(Codec::Lz4, summed.clone())));
    summed.truncate(last - 3);
    cases.push(("no content checksum, lz4", of(Codec::Lz4, summed)));
    cases.push(("no end mark, lz4", of(Codec::Lz4, sound[..sound.len() - 4].to_vec())));
    let zipped = Codec::Gzip.pack(&all)?;
    for (case, at) in [("wrong checksum, gzip", zipped.len() - 5), ("wrong size, gzip", zipped.len() - 1)] {
        let mut bytes = zipped.clone();
        bytes[at] ^= 0x55;
        cases.push((case, of(Codec::Gzip, bytes)));
    }
    cases.push(("window of 128 KiB, zstd", of(Codec::Zstd, zstd_window(&all, 17))));
    cases.push(("window of 128 MiB, zstd", of(Codec::Zstd, zstd_window(&all, 27))));
    cases.push(("window of 2 GiB, zstd", of(Codec::Zstd, zstd_window(&all, 31))));
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let both = [codec.pack(&two)?, codec.pack(&record(2, 0))?].concat();
        let case = match codec {
            Codec::Gzip => "records in two frames, gzip",
            Codec::Snappy => "records in two frames, snappy",
            Codec::Lz4 => "records in two frames, lz4",
            _ => "records in two frames, zstd",
        };
        cases.push((case, of(codec, both)));
    }
    Ok(cases)
}

/// Replaces numbers that come from a clock: they differ from run to run.
fn without_clock(words: &str) -> String {
    let (mut out, mut digits) = (String::new(), String::new());
    for c in words.chars().chain([' ']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        out.push_str(if digits.len() > 11 { "#" } else { &digits });
        digits.clear();
        out.push(c);
    }
    out.truncate(out.len() - 1);
    out
}

/// The records that are named, and the words beside.
fn named(said: &PartitionProduceResponse, topic: &str) -> String {
    let errors = &said.record_errors;
    if errors.is_empty() {
        // Kafka has no words where it names no record; ours say more.
        return String::new();
    }
    let plain = |words: &str| format!("{:?}", without_clock(&words.replace(topic, "topic")));
    let word = |words: &Option<_>| words.as_ref().map_or("-".to_owned(), |w: &super::StrBytes| plain(w));
    let each = errors
        .iter()
        .take(NAMED)
        .map(|error| format!("({}, {})", error.batch_index, word(&error.batch_index_error_message)));
    let more = if errors.len() > NAMED { format!(" of {}", errors.len()) } else { String::new() };
    format!(" {}{more} {}", each.collect::<Vec<_>>().join(" "), word(&said.error_message))
}

/// The broker's changes under the CRC, and whether the CRC is right.
fn kept(sent: &Bytes, stored: &Bytes, time: i64, given: i64) -> String {
    let number =
        |bytes: &Bytes, at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let mut out = Vec::new();
    if stored[21..23] != sent[21..23] {
        out.push(format!("attributes {:#06x}", u16::from_be_bytes([stored[21], stored[22]])));
    }
    let latest = number(stored, 35);
    if latest != number(sent, 35) {
        out.push(match latest {
            -1 => "max -1".to_owned(),
            stamped if stamped == given => "max the time it gave".to_owned(),
            other => format!("max now{:+}", other - time),
        });
    }
    if stored[23..35] != sent[23..35] || stored[43..] != sent[43..] {
        out.push("more than that".to_owned());
    }
    let crc = u32::from_be_bytes([stored[17], stored[18], stored[19], stored[20]]);
    if crc != crc32c::crc32c(&stored[21..]) {
        out.push("a wrong CRC".to_owned());
    }
    if stored[..16] != [&[0; 8], &sent[8..12], &[0; 4]].concat() {
        out.push(format!("begins with {:?}", &stored[..16]));
    }
    if out.is_empty() { "as sent".to_owned() } else { format!("with {}", out.join(", ")) }
}

impl Asked {
    /// A topic of this config that takes records, and is not among those that are looked at after each call.
    fn topic_of(&mut self, configs: Configs) -> Result<Topic> {
        let topic = Uuid::new_v4().simple().to_string();
        let config = |(name, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let creatable = CreatableTopic::default()
            .with_name(name(&topic))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(30_000);
        let answer = self.wire.call(7, &request)?;
        let made = answer.topics.first().context("CreateTopics: no topic in the answer")?;
        ensure!(made.error_code == 0, "CreateTopics {configs:?}: error {}", made.error_code);
        let begun = Instant::now();
        while self.wire.list_offset(&topic, 0, -1).is_err() {
            ensure!(begun.elapsed() < HANG, "{topic} has no leader");
            std::thread::sleep(RETRY);
        }
        Ok(Topic { name: topic, id: made.topic_id })
    }

    /// Sends a batch and notes the answer and the stored bytes.
    fn sent(&mut self, version: i16, topic: &Topic, batch: &Bytes, time: i64) -> Result<(String, bool)> {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(batch.clone()));
        let data = TopicProduceData::default().with_partition_data(vec![data]);
        let data =
            if version < IDS { data.with_name(name(&topic.name)) } else { data.with_topic_id(topic.id) };
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data]);
        let before = self.wire.list_offset(&topic.name, 0, -1)?;
        let answer = self.wire.call(version, &request).context("Produce")?;
        let said = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        let said = said.context("Produce: no partition in the answer")?;
        let stored = self.wire.list_offset(&topic.name, 0, -1)? - before;
        let what = match stored {
            0 => "nothing".to_owned(),
            _ => {
                let bytes = self.wire.fetch(&topic.name, 0, before, 0)?.records;
                let batches = whole_batches(bytes);
                let first = batches.first().context("nothing is served")?;
                // The topic may hold other batches before it: base offsets are not compared.
                let first = Bytes::from([&[0; 8], &first[8..]].concat());
                kept(batch, &first, time, said.log_append_time_ms)
            }
        };
        let words = if version < WORDS { String::new() } else { named(said, &topic.name) };
        Ok((format!("{} stored {what}{words}", said.error_code), stored > 0))
    }

    /// Sends it and notes the same.
    fn becomes(&mut self, case: &str, version: i16, topic: &Topic, batch: &Bytes, time: i64) -> Result<()> {
        let sent = self.sent(version, topic, batch, time);
        let (line, _) = sent.with_context(|| format!("{case} v{version}"))?;
        self.said.note(&called::<ProduceRequest>(case)?, version, line);
        Ok(())
    }

    /// ListOffsets for four times and for the latest.
    fn found(&mut self, topic: &Topic, time: i64, stamped: bool) -> Result<String> {
        let mut found = Vec::new();
        for at in [time - MINUTE, time - MINUTE / 2, time - 1, time] {
            found.push(self.wire.list_offset(&topic.name, 0, at)?.to_string());
        }
        // Under the broker's own time a clock decides which of them are found.
        let found = if stamped { "by the clock".to_owned() } else { found.join(" ") };
        Ok(format!(", found {found}, latest {}", self.wire.list_offset(&topic.name, 0, -3)?))
    }

    /// Batches that consumers cannot read, and some that they can.
    pub(super) fn poisons(&mut self) -> Result<()> {
        let (topic, time) = (self.topic_of(&[])?, now());
        for codec in Codec::ALL {
            for (case, batch) in unreadable(codec, time)? {
                let known = |v: &i16| codec != Codec::Zstd || *v >= ZSTD;
                for version in SOME.into_iter().filter(known) {
                    let case = format!("{case}, {}", codec.name());
                    self.becomes(&case, version, &topic, &batch.bytes(), time)?;
                }
            }
            let of = |inside: &[u8], count| {
                Ok::<_, anyhow::Error>(Odd::holding(codec, codec.pack(inside)?, count, time))
            };
            let mut cases = vec![
                ("sound", of(&records(3), 3)?),
                ("payload that opens to nothing", of(&[], 3)?),
                ("payload that opens to a byte more", of(&[&records(3)[..], &[0]].concat(), 3)?),
            ];
            for (case, third) in broken() {
                cases.push((case, of(&[records(2), third].concat(), 3)?));
            }
            for (case, deltas) in DELTAS {
                let each: Vec<u8> = deltas.iter().flat_map(|delta| record(*delta, 0)).collect();
                cases.push((case, of(&each, 3)?));
            }
            for (case, batch) in cases {
                let case = format!("{case}, {}", codec.name());
                self.becomes(&case, ONE[0], &topic, &batch.bytes(), time)?;
            }
        }
        for (case, batch) in frames(time)? {
            self.becomes(case, ONE[0], &topic, &batch.bytes(), time)?;
        }
        Ok(())
    }

    /// Heads that lie about the records behind them.
    pub(super) fn heads(&mut self) -> Result<()> {
        let time = now();
        for (case, times, configs) in TIMED {
            for codec in [Codec::Plain, Codec::Gzip, Codec::Zstd] {
                let (times, max_timestamp) = times(time);
                let batch = Odd { max_timestamp, ..Odd::of_times(codec, &times)? };
                let topic = self.topic_of(configs)?;
                let case = format!("{case}, {}", codec.name());
                let (mut line, stored) = self.sent(ONE[0], &topic, &batch.bytes(), time)?;
                if stored {
                    line += &self.found(&topic, time, configs.contains(&STAMPED[0]))?;
                }
                self.said.note(&called::<ProduceRequest>(&case)?, ONE[0], line);
            }
        }
        for (case, change, configs) in HEADED {
            for codec in [Codec::Plain, Codec::Gzip] {
                let mut batch = Odd::holding(codec, codec.pack(&records(3))?, 3, time);
                change(&mut batch);
                let topic = self.topic_of(configs)?;
                let case = format!("{case}, {}", codec.name());
                self.becomes(&case, ONE[0], &topic, &batch.bytes(), time)?;
            }
        }
        self.named_in_each_version(time)?;
        self.order(time)
    }

    /// Old versions have no room for the names of records.
    fn named_in_each_version(&mut self, time: i64) -> Result<()> {
        let topic = self.topic_of(&[])?;
        let batch =
            Odd { max_timestamp: time, ..Odd::of_times(Codec::Gzip, &[time, time + 10 * HOUR, time])? };
        let versions: RangeInclusive<i16> = super::versions::<ProduceRequest>()?;
        for version in versions {
            self.becomes("one of three records ahead", version, &topic, &batch.bytes(), time)?;
        }
        Ok(())
    }

    /// Batches with two faults each.
    fn order(&mut self, time: i64) -> Result<()> {
        for (case, change, rotten, configs) in ORDERED {
            let topic = self.topic_of(configs)?;
            let mut batch = Odd::holding(Codec::Plain, records(3), 3, time);
            if *configs == SMALL {
                batch.payload = records(9);
                (batch.count, batch.last_offset_delta) = (9, 8);
            }
            change(&mut batch);
            let mut bytes = batch.bytes().to_vec();
            bytes[20] ^= if *rotten { 0x80 } else { 0 };
            self.becomes(&format!("first told: {case}"), ONE[0], &topic, &bytes.into(), time)?;
        }
        // Kafka looks at a producer's sequence last.
        let (topic, (id, epoch)) = (self.topic_of(&[])?, self.wire.init_producer_id()?);
        let of = |sequence, ahead: i64, payload: Vec<u8>| Odd {
            producer: (id, epoch, sequence),
            ..Odd::holding(Codec::Plain, payload, 3, time + ahead)
        };
        for (case, batch) in [
            ("a producer's first", of(0, 0, records(3))),
            ("a duplicate", of(0, 0, records(3))),
            ("a duplicate, ten hours ahead", of(0, 10 * HOUR, records(3))),
            ("a duplicate, count 3 of 2", of(0, 0, records(2))),
            ("a gap, ten hours ahead", of(9, 10 * HOUR, records(3))),
            ("a gap, count 3 of 2", of(9, 0, records(2))),
        ] {
            self.becomes(&format!("first told: {case}"), ONE[0], &topic, &batch.bytes(), time)?;
        }
        Ok(())
    }
}
