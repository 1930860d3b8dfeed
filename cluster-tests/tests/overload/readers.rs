//! Clients that ask for much and take little of it.

use std::io::Read;
use std::net::TcpStream;

use anyhow::{Result, ensure};
use callboard_cluster_tests::process::wire::{Wire, name};
use callboard_core::records::{BatchBuilder, NewRecord};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, RequestHeader};
use kafka_protocol::protocol::Encodable;

use crate::site::Site;

const MUCH: &str = "much";
const PARTITIONS: i32 = 4;
/// Batches in each partition, together almost 4 MiB.
const BATCHES: usize = 130;
/// Of a record. Below 32 KiB a batch is settled into redb and read from there into memory: an answer of larger ones is sent
/// out of the journal's files, holds no memory that others could wait for, and its reader is let be.
const VALUE_BYTES: usize = 30_000;
const FETCH: i16 = 12;

/// A topic with enough to fill any socket.
fn fill(site: &Site) -> Result<()> {
    let mut wire = Wire::connect(site.addr())?;
    wire.create_topic(MUCH, PARTITIONS)?;
    // Not to be compressed by anything: it is only long.
    let record = NewRecord { value: Some(vec![7; VALUE_BYTES]), ..NewRecord::default() };
    let batch = bytes::Bytes::from(BatchBuilder::new(0).record(record).build()?);
    for _ in 0..BATCHES {
        for partition in 0..PARTITIONS {
            wire.send_batch(MUCH, partition, -1, batch.clone())?;
            ensure!(wire.receive_batch()?.0 == 0);
        }
    }
    Ok(())
}

/// A fetch of all of it, as a frame.
fn greedy() -> Result<Vec<u8>> {
    let parts = (0..PARTITIONS).map(|partition| {
        FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(i32::MAX)
    });
    let topic = FetchTopic::default().with_topic(name(MUCH)).with_partitions(parts.collect());
    let request = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(1_000)
        .with_max_bytes(i32::MAX)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let header = RequestHeader::default().with_request_api_key(1).with_request_api_version(FETCH);
    let mut body = bytes::BytesMut::new();
    header.encode(&mut body, 2)?;
    request.encode(&mut body, FETCH)?;
    Ok([&(body.len() as i32).to_be_bytes()[..], &body].concat())
}

/// So many clients, each of which asks for more than its socket holds and reads nothing.
fn ask(site: &Site, clients: usize) -> Result<Vec<TcpStream>> {
    use std::io::Write;
    let frames = greedy()?.repeat(60);
    (0..clients)
        .map(|_| {
            let mut stream = TcpStream::connect(site.addr())?;
            stream.write_all(&frames)?;
            Ok(stream)
        })
        .collect()
}

#[test]
fn who_reads_nothing_is_closed_once_others_wait() -> Result<()> {
    let mut site = Site::start("response_memory_bytes = 4194304\n")?;
    fill(&site)?;
    // Pool and reserve hold 36 answers of a reader's job.
    let greedy = ask(&site, 60)?;
    let closed = "callboard_kafka_connections_closed_total{why=\"slow_answer\"}";
    site.until(closed, |closed| closed >= 10.0)?;
    site.goes_on()?;
    ensure!(
        site.metric("callboard_kafka_throttled_total{api=\"Fetch\"}")? >= 1.0,
        "nobody was told to hold back"
    );
    drop(greedy);
    site.recovers("60 clients that read nothing")
}

#[test]
fn who_reads_1_kb_a_second_does_not_hold_up_the_others() -> Result<()> {
    let mut site = Site::start("response_memory_bytes = 4194304\n")?;
    fill(&site)?;
    let mut greedy = ask(&site, 60)?;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        // The attackers' own pace: nothing of the test waits for it.
        while stopped.recv_timeout(std::time::Duration::from_secs(1)).is_err() {
            // Whoever was closed is let go of.
            greedy.retain_mut(|stream| stream.read(&mut [0; 1_024]).is_ok_and(|read| read > 0));
        }
    });
    let closed = "callboard_kafka_connections_closed_total{why=\"slow_answer\"}";
    site.until(closed, |closed| closed >= 10.0)?;
    site.goes_on()?;
    stop.send(())?;
    reader.join().map_err(|_| anyhow::anyhow!("the readers panicked"))?;
    site.recovers("60 clients that read 1 KB/s")
}

/// What the broker has written to a client's socket and the client's system has not taken; each stands in
/// `/proc/net/tcp` as its own port, the other's, and the queue behind the state.
fn queued(broker: u16, client: u16) -> Result<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let (own, other) = (format!(":{broker:04X}"), format!(":{client:04X}"));
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [_, from, to, _, queues, ..] = words[..]
            && from.ends_with(&own)
            && to.ends_with(&other)
        {
            let (sent, _) = queues.split_once(':').unwrap_or_default();
            return Ok(usize::from_str_radix(sent, 16)?);
        }
    }
    anyhow::bail!("{broker} has no connection with {client}")
}

#[test]
fn no_more_waits_in_a_socket_than_it_may_hold() -> Result<()> {
    const HOLDS: usize = 65_536;
    let mut site = Site::start(&format!("socket_send_buffer_bytes = {HOLDS}\n"))?;
    fill(&site)?;
    let greedy = ask(&site, 1)?;
    let (broker, client) = (site.addr().port(), greedy[0].local_addr()?.port());
    // It is full when it takes no more while the good client is served.
    let (mut full, mut before) = (0, 0);
    while full < 5 {
        site.goes_on()?;
        let now = queued(broker, client)?;
        full = if now == before && now > 0 { full + 1 } else { 0 };
        before = now;
        // The system counts its own share too and doubles what it is told; left alone it takes over a megabyte.
        ensure!(now <= 4 * HOLDS, "{now} bytes wait in a socket that holds {HOLDS}");
    }
    drop(greedy);
    site.recovers("a small socket")
}
