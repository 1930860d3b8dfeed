//! A broker and an operator: the admin requests in few words.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::{Wire, name};
use callboard_cluster_tests::process::{Broker, Options};
use callboard_core::records::{BatchBuilder, NewRecord};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
};
use kafka_protocol::protocol::StrBytes;

pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const SET: i8 = 0;
pub const DELETE: i8 = 1;

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub struct Site {
    pub broker: Broker,
    pub wire: Wire,
}

impl Site {
    /// Expired records are looked for every few milliseconds, in segments as small as they may be.
    pub fn start(durability: &'static str) -> Result<Site> {
        let options = Options { durability, ..Options::default() }
            .with_env("CALLBOARD_SEGMENT_BYTES", 64 << 10)
            .with_env("CALLBOARD_UNSETTLED_BYTES_MAX", 128 << 10)
            .with_env("CALLBOARD_LOG_RETENTION_CHECK_INTERVAL_MS", 20);
        let broker = Broker::start(options)?;
        let wire = Wire::connect(broker.addr())?;
        Ok(Site { broker, wire })
    }

    pub fn killed(&mut self) -> Result<()> {
        self.broker.kill9()?;
        self.broker.restart()?;
        self.wire = Wire::connect(self.broker.addr())?;
        Ok(())
    }

    /// What DescribeConfigs says of a resource, errors too.
    pub fn described(&mut self, version: i16, kind: i8, resource: &str) -> Result<DescribeConfigsResult> {
        let asked = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(resource))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![asked])
            .with_include_synonyms(true)
            .with_include_documentation(version >= 3);
        let answer = self.wire.call(version, &request)?;
        answer.results.into_iter().next().context("DescribeConfigs: no result")
    }

    /// The configs of a resource.
    pub fn describe(&mut self, kind: i8, resource: &str) -> Result<Vec<DescribeConfigsResourceResult>> {
        let result = self.described(4, kind, resource)?;
        ensure!(result.error_code == 0, "{resource}: {} {:?}", result.error_code, result.error_message);
        Ok(result.configs)
    }

    /// Changes one config: code and message.
    pub fn alter(
        &mut self,
        (kind, resource): (i8, &str),
        config: &str,
        op: i8,
        value: Option<&str>,
        validate_only: bool,
    ) -> Result<(i16, String)> {
        let config = AlterableConfig::default()
            .with_name(text(config))
            .with_config_operation(op)
            .with_value(value.map(text));
        let resource = AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(resource))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(vec![resource])
            .with_validate_only(validate_only);
        let answer = self.wire.call(1, &request)?;
        let said = answer.responses.into_iter().next().context("IncrementalAlterConfigs: no result")?;
        Ok((said.error_code, said.error_message.map(|m| m.to_string()).unwrap_or_default()))
    }

    pub fn set(&mut self, kind: i8, resource: &str, config: &str, value: &str) -> Result<(i16, String)> {
        self.alter((kind, resource), config, SET, Some(value), false)
    }

    /// Code and message.
    pub fn grow(
        &mut self,
        topic: &str,
        count: i32,
        assignments: Option<&[&[i32]]>,
        validate_only: bool,
    ) -> Result<(i16, String)> {
        let of = |replicas: &&[i32]| {
            let ids = replicas.iter().map(|id| BrokerId(*id)).collect();
            CreatePartitionsAssignment::default().with_broker_ids(ids)
        };
        let topic = CreatePartitionsTopic::default()
            .with_name(name(topic))
            .with_count(count)
            .with_assignments(assignments.map(|all| all.iter().map(of).collect()));
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(30_000)
            .with_validate_only(validate_only);
        let answer = self.wire.call(3, &request)?;
        let said = answer.results.into_iter().next().context("CreatePartitions: no result")?;
        Ok((said.error_code, said.error_message.map(|m| m.to_string()).unwrap_or_default()))
    }

    /// The error code of a batch with acks=all.
    pub fn produce(&mut self, topic: &str, batch: Bytes) -> Result<i16> {
        self.wire.send_batch(topic, 0, -1, batch)?;
        Ok(self.wire.receive_batch()?.0)
    }

    /// Syncs of the journal so far.
    pub fn syncs(&mut self) -> Result<u64> {
        let address = self.broker.http()?;
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")?;
        let mut body = String::new();
        stream.read_to_string(&mut body)?;
        let count = body.lines().find_map(|line| {
            let value = line.strip_prefix("callboard_journal_sync_seconds_count")?;
            value.rsplit(' ').next()?.parse::<f64>().ok()
        });
        Ok(count.unwrap_or(0.0) as u64)
    }
}

pub fn entry<'a>(
    entries: &'a [DescribeConfigsResourceResult],
    name: &str,
) -> Result<&'a DescribeConfigsResourceResult> {
    entries.iter().find(|e| e.name.as_str() == name).with_context(|| format!("{name} is not listed"))
}

/// One record of this time and size.
pub fn batch(timestamp: i64, size: usize) -> Bytes {
    let record = NewRecord { timestamp, value: Some(vec![7; size]), ..NewRecord::default() };
    Bytes::from(BatchBuilder::new(0).record(record).build().unwrap_or_default())
}

pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as i64
}
