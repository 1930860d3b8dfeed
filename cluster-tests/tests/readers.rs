//! What readers ask for besides records, against the built binary: leader epochs, fetch sessions, and the descriptions of
//! cluster, topics and producers. Answers and refusals are those of Apache Kafka 4.3, as it gave them to these requests.
//!
//! ```text
//!   sessions   a script of fetches in every version that has sessions, with what each answer may hold
//!   describe   one request a row, with the answer
//! ```
//! Which partitions a session leaves out is proved in core; here it is that the wire says the same.

#[path = "readers/describe.rs"]
mod describe;
#[path = "readers/sessions.rs"]
mod sessions;

use anyhow::{Result, bail};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, Options};
use callboard_core::records::{BatchBuilder, NewRecord};
use std::sync::LazyLock;
use std::time::SystemTime;

/// When the records of these tests were made: now, since a producer is forgotten a day after its last record.
static TIMESTAMP: LazyLock<i64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as i64
});

/// A broker and a client.
fn start(options: Options) -> Result<(Broker, Wire)> {
    let broker = Broker::start(options)?;
    let wire = Wire::connect(broker.addr())?;
    Ok((broker, wire))
}

/// One record, of a producer if one is given: its id and sequence.
fn batch(producer: Option<(i64, i32)>) -> Bytes {
    let value = Some(b"library".to_vec());
    let record = NewRecord { timestamp: *TIMESTAMP, value, ..NewRecord::default() };
    let plain = BatchBuilder::new(0).record(record);
    let built = match producer {
        Some((id, sequence)) => plain.producer(id, 0, sequence),
        None => plain,
    };
    Bytes::from(built.build().expect("a batch"))
}

/// Writes a record.
fn write(wire: &mut Wire, topic: &str, partition: i32) -> Result<()> {
    wire.send_batch(topic, partition, -1, batch(None))?;
    match wire.receive_batch()? {
        (0, _) => Ok(()),
        said => bail!("{topic}-{partition} answered {said:?}"),
    }
}
