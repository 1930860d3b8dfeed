//! A batch that is sent again is recognised by its producer's state, whatever it says of time and however the broker ended.
//!
//! Producers are dated by the broker's own monotonic time: a header without a time, or records of two days ago, make
//! nobody forgotten. Each end is followed by all batches again: same offsets, same end of the log.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, Options};
use callboard_core::records::{BatchBuilder, Compression, NewRecord};

const TOPIC: &str = "resent";
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Three records of a producer, at these times.
fn batch((id, epoch): (i64, i16), times: [i64; 3], compression: Compression) -> Result<Vec<u8>> {
    let batch = BatchBuilder::new(0).producer(id, epoch, 0).compression(compression);
    let records =
        times.map(|timestamp| NewRecord { timestamp, value: Some(b"once".to_vec()), ..NewRecord::default() });
    Ok(records.into_iter().fold(batch, BatchBuilder::record).build()?)
}

/// As some clients send it: the header says no largest timestamp, and its checksum is right.
fn without_time(mut batch: Vec<u8>) -> Vec<u8> {
    batch[35..43].copy_from_slice(&(-1i64).to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

struct Site {
    broker: Broker,
    wire: Wire,
    batches: Vec<Bytes>,
}

impl Site {
    /// Sends every batch; where each stands, and where the log ends.
    fn send_all(&mut self) -> Result<(Vec<i64>, i64)> {
        let mut offsets = Vec::new();
        for batch in &self.batches {
            self.wire.send_batch(TOPIC, 0, -1, batch.clone())?;
            let (code, base) = self.wire.receive_batch()?;
            ensure!(code == 0, "batch {}: error {code}", offsets.len());
            offsets.push(base);
        }
        Ok((offsets, self.wire.list_offset(TOPIC, 0, -1)?))
    }

    fn again(&mut self, wanted: &(Vec<i64>, i64), when: &str) -> Result<()> {
        let found = self.send_all()?;
        ensure!(found == *wanted, "{when}: offsets and end are {found:?}, and should be {wanted:?}");
        Ok(())
    }

    fn started(&mut self) -> Result<()> {
        self.broker.restart()?;
        self.wire = Wire::connect(self.broker.addr())?;
        Ok(())
    }
}

#[test]
fn a_batch_sent_again_is_stored_once_whatever_it_says_of_time() -> Result<()> {
    let broker = Broker::start(Options::default())?;
    let mut wire = Wire::connect(broker.addr())?;
    wire.create_topic(TOPIC, 1)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let (recent, old) =
        ([now - MINUTE, now - MINUTE / 2, now], [now - 2 * DAY, now - 2 * DAY + 1, now - 2 * DAY + 2]);
    let mut batches = Vec::new();
    for compression in [Compression::None, Compression::Lz4] {
        batches.push(without_time(batch(wire.init_producer_id()?, recent, compression)?));
        batches.push(batch(wire.init_producer_id()?, old, compression)?);
        batches.push(without_time(batch(wire.init_producer_id()?, old, compression)?));
    }
    let batches = batches.into_iter().map(Bytes::from).collect();
    let mut site = Site { broker, wire, batches };
    let stored = site.send_all()?;
    ensure!(stored == (vec![0, 3, 6, 9, 12, 15], 18), "stored at first: {stored:?}");
    site.again(&stored, "at once")?;
    // From the journal alone; then from what a clean end settles; then from that and no more.
    site.broker.kill9()?;
    site.started()?;
    site.again(&stored, "after a kill")?;
    for run in 0..2 {
        site.broker.stop()?;
        site.started()?;
        site.again(&stored, &format!("after clean end {run}"))?;
    }
    site.broker.kill9()?;
    site.started()?;
    site.again(&stored, "after a kill behind a clean end")
}
