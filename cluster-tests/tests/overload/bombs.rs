//! Batches of some KB that open to gigabytes, and clients that make the broker look into them.
//!
//! A producer's batch is opened before it is stored, up to a bound, so a bomb costs a window there and is refused. Of
//! trusted producers it is stored closed; a client that asks for the latest timestamp, or for a time, makes the broker look
//! at every record then, and heads may lie about what is inside.

use std::io::Write;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::{Wire, name};
use callboard_core::records::{BatchBuilder, Compression, HEAD_BYTES, NewRecord};
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use crate::site::{Site, now};

const BOMBS: &str = "bombs";
const OPENED: &str = "opened";
const INVALID_RECORD: i16 = 87;
const LIST_OFFSETS: i16 = 7;
const MAX_TIMESTAMP: i64 = -3;
/// The error of a broker whose readers are busy.
const OFFSET_NOT_AVAILABLE: i16 = 78;

/// A batch with these records in it, packed; the head says that there are so many, and a time that none of them has.
fn batch(codec: Compression, packed: &[u8], records: i32, latest: i64) -> Result<Bytes> {
    let record = NewRecord { timestamp: latest, value: Some(vec![1]), ..NewRecord::default() };
    let mut out = BatchBuilder::new(0).record(record).build()?[..HEAD_BYTES].to_vec();
    out.extend_from_slice(packed);
    let length = i32::try_from(out.len() - 12)?;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[21..23].copy_from_slice(&codec.bits().to_be_bytes());
    out[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    out[57..61].copy_from_slice(&records.to_be_bytes());
    let crc = crc32c::crc32c(&out[21..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    Ok(out.into())
}

/// `piece`, so many times, by zstd.
fn zstd_of(first: &[u8], piece: &[u8], times: usize) -> Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
    encoder.write_all(first)?;
    for _ in 0..times {
        encoder.write_all(piece)?;
    }
    Ok(encoder.finish()?)
}

/// One record of 2 GB less a little, all zeros.
fn zeros() -> Result<Bytes> {
    // Length, attributes, both deltas, no key, then zeros: varints of the largest numbers.
    let first = [0xf0, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1];
    batch(Compression::Zstd, &zstd_of(&first, &[0; 1 << 20], 2_040)?, 1, now() + 1)
}

/// Records of seven bytes each, a hundred million of them.
fn tiny() -> Result<Bytes> {
    let records = [12, 0, 0, 0, 1, 1, 0].repeat(150_000);
    batch(Compression::Zstd, &zstd_of(&[], &records, 700)?, 105_000_000, now() + 2)
}

/// A bomb by the codec's own means: large zeros.
fn by_builder(codec: Compression, mib: usize) -> Result<Bytes> {
    let value = Some(vec![0; mib << 20]);
    let record = NewRecord { timestamp: now() + 3, value, ..NewRecord::default() };
    Ok(BatchBuilder::new(0).compression(codec).record(record).build()?.into())
}

/// Snappy that announces 4 GB in five bytes.
fn lying_snappy() -> Result<Bytes> {
    batch(Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0], 1, now() + 4)
}

fn look(addr: std::net::SocketAddr, timestamp: i64) -> Result<()> {
    let mut wire = Wire::connect(addr)?;
    let asked = ListOffsetsPartition::default()
        .with_partition_index(0)
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp);
    let asked = ListOffsetsTopic::default().with_name(name(BOMBS)).with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
    let answer = wire.call(LIST_OFFSETS, &request)?;
    let found = answer.topics.first().and_then(|t| t.partitions.first()).context("no partition")?;
    match found.error_code {
        OFFSET_NOT_AVAILABLE => Ok(()),
        // Of a time after all of them there is none.
        0 if found.offset >= 0 || timestamp > 0 => Ok(()),
        error => bail!("look-up at {timestamp}: error {error}, offset {}", found.offset),
    }
}

fn bombs() -> Result<[Bytes; 6]> {
    let bombs = [
        zeros()?,
        tiny()?,
        by_builder(Compression::Gzip, 160)?,
        by_builder(Compression::Lz4, 160)?,
        lying_snappy()?,
        // Snappy has no more in it than a consumer takes.
        by_builder(Compression::Snappy, 16)?,
    ];
    ensure!(bombs.iter().all(|bomb| bomb.len() < 1_000_000), "a bomb is a small batch");
    Ok(bombs)
}

#[test]
fn bombs_of_producers_cost_a_window_each_and_are_refused() -> Result<()> {
    let mut site = Site::start("")?;
    Wire::connect(site.addr())?.create_topic(OPENED, 1)?;
    let (bombs, addr) = (bombs()?, site.addr());
    let before = site.broker.resident_at_most()?;
    let producers: Vec<_> = (0..24)
        .map(|n| {
            let bomb = bombs[n % bombs.len()].clone();
            let code = if n % bombs.len() == 5 { 0 } else { INVALID_RECORD };
            std::thread::spawn(move || -> Result<()> {
                let mut wire = Wire::connect(addr)?;
                wire.send_batch(OPENED, 0, -1, bomb)?;
                let answered = wire.receive_batch()?.0;
                ensure!(answered == code, "bomb {}: error {answered}, not {code}", n % 6);
                Ok(())
            })
        })
        .collect();
    site.goes_on()?;
    for producer in producers {
        producer.join().map_err(|_| anyhow::anyhow!("a producer panicked"))??;
    }
    let grown = site.broker.resident_at_most()?.saturating_sub(before);
    ensure!(grown < 160 << 20, "opening bombs made the process grow by {grown} bytes");
    site.recovers("bombs of producers")
}

#[test]
fn bombs_cost_a_window_and_hold_up_nobody() -> Result<()> {
    let mut site = Site::start("")?;
    let bombs = bombs()?;
    let mut wire = Wire::connect(site.addr())?;
    wire.create_topic_with(BOMBS, 1, &[("callboard.validate.records", "false")])?;
    for bomb in &bombs {
        wire.send_batch(BOMBS, 0, -1, bomb.clone())?;
        ensure!(wire.receive_batch()?.0 == 0, "stored as it came");
    }
    let before = site.broker.resident_at_most()?;
    let addr = site.addr();
    let askers: Vec<_> = (0..24)
        .map(|n| {
            std::thread::spawn(move || {
                // The largest timestamp; times that the heads promise and no record has; all of them.
                let at = [MAX_TIMESTAMP, now(), 0][n % 3];
                look(addr, at)
            })
        })
        .collect();
    site.goes_on()?;
    for asker in askers {
        asker.join().map_err(|_| anyhow::anyhow!("an asker panicked"))??;
    }
    site.goes_on()?;
    // Two windows and what they were read from; once it was every byte, and 16 more a record.
    let grown = site.broker.resident_at_most()?.saturating_sub(before);
    ensure!(grown < 160 << 20, "looking into bombs made the process grow by {grown} bytes");
    site.recovers("bombs")
}
