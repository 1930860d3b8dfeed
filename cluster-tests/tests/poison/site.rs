//! A broker and a client that sends what it is told and looks at the whole answer.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::{Wire, name};
use callboard_cluster_tests::process::{Broker, HANG, Options};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{CreateTopicsRequest, IncrementalAlterConfigsRequest, ProduceRequest};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

pub const INVALID_TIMESTAMP: i16 = 32;
pub const INVALID_RECORD: i16 = 87;
/// First version that names topics by id.
const IDS: i16 = 13;
const TOPIC: i8 = 2;

pub struct Site {
    pub broker: Broker,
    pub wire: Wire,
    ids: BTreeMap<String, Uuid>,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Site {
    pub fn start(options: Options) -> Result<Site> {
        let broker = Broker::start(options)?;
        let wire = Wire::connect(broker.addr())?;
        Ok(Site { broker, wire, ids: BTreeMap::new() })
    }

    pub fn create(&mut self, topic: &str, configs: &[(&str, &str)]) -> Result<()> {
        let config = |(name, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let creatable = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(30_000);
        let answer = self.wire.call(7, &request)?;
        let made = answer.topics.first().context("CreateTopics: no topic in the answer")?;
        ensure!(made.error_code == 0, "{topic} {configs:?}: {} {:?}", made.error_code, made.error_message);
        self.ids.insert(topic.to_owned(), made.topic_id);
        Ok(())
    }

    pub fn set(&mut self, topic: &str, config: &str, value: &str) -> Result<()> {
        let config = AlterableConfig::default().with_name(text(config)).with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.wire.call(1, &request)?;
        let said = answer.responses.first().context("IncrementalAlterConfigs: no result")?;
        ensure!(said.error_code == 0, "{topic}: {} {:?}", said.error_code, said.error_message);
        Ok(())
    }

    /// The answer to one batch.
    pub fn produce(&mut self, version: i16, topic: &str, batch: &Bytes) -> Result<PartitionProduceResponse> {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(batch.clone()));
        let data = TopicProduceData::default().with_partition_data(vec![data]);
        let data = match version < IDS {
            true => data.with_name(name(topic)),
            false => data.with_topic_id(*self.ids.get(topic).context("a topic that was not created")?),
        };
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data]);
        let answer = self.wire.call(version, &request)?;
        let topic = answer.responses.into_iter().next().context("Produce: no topic in the answer")?;
        topic.partition_responses.into_iter().next().context("Produce: no partition in the answer")
    }

    /// It is stored at this offset.
    pub fn stored(&mut self, topic: &str, batch: &Bytes, at: i64) -> Result<()> {
        let said = self.produce(9, topic, batch)?;
        ensure!((said.error_code, said.base_offset) == (0, at), "at {at} of {topic}: {said:?}");
        Ok(())
    }

    /// It is refused with this code, and the log ends where it ended.
    pub fn refused(&mut self, topic: &str, batch: &Bytes, code: i16) -> Result<PartitionProduceResponse> {
        let end = self.wire.list_offset(topic, 0, -1)?;
        let said = self.produce(9, topic, batch)?;
        ensure!((said.error_code, said.base_offset) == (code, -1), "{code} was due: {said:?}");
        ensure!(self.wire.list_offset(topic, 0, -1)? == end, "it was stored");
        Ok(said)
    }

    pub fn killed(&mut self) -> Result<()> {
        self.broker.kill9()?;
        self.again()
    }

    pub fn restarted(&mut self) -> Result<()> {
        self.broker.stop()?;
        self.again()
    }

    fn again(&mut self) -> Result<()> {
        self.broker.restart()?;
        self.wire = Wire::connect(self.broker.addr())?;
        Ok(())
    }

    /// The broker stops in order, and its log holds no panic.
    pub fn end(mut self) -> Result<()> {
        self.broker.stop()?;
        self.broker.lines().wait_end(HANG);
        let lines = self.broker.lines().since(0);
        let bad = lines.iter().find(|line| line.contains("panicked") || line.contains("ERROR"));
        ensure!(bad.is_none(), "the broker's log says: {bad:?}");
        Ok(())
    }
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as i64
}
