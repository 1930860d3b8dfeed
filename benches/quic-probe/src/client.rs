//! The client: a few connections over TCP, each with its own partitions and a bounded number of batches in flight.

use crate::leader::PRODUCE_HEAD;
use anyhow::Context;
use bytes::{Buf, Bytes};
use callboard_core::records::{self, BatchBuilder, NewRecord};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Semaphore;

/// The shape of the load.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub connections: usize,
    pub partitions: usize,
    pub in_flight: usize,
}

/// The answers that the client has seen.
#[derive(Default)]
pub struct Seen {
    pub acked: AtomicU64,
    /// Whether latencies are kept.
    pub recording: AtomicBool,
    /// Seconds from the first byte of a batch to its ack.
    pub latencies: Mutex<Vec<f64>>,
    stopped: AtomicBool,
}

impl Seen {
    /// Ends the load.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Loads the leader until it is stopped, then waits for all acks.
pub async fn load(leader: SocketAddr, shape: Shape, batch: Bytes, seen: Arc<Seen>) -> anyhow::Result<()> {
    let each = (shape.in_flight / shape.connections).max(1);
    let mut connections = tokio::task::JoinSet::new();
    for first in 0..shape.connections {
        let partitions: Vec<usize> = (first..shape.partitions).step_by(shape.connections).collect();
        let (batch, seen) = (batch.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            let socket = TcpStream::connect(leader).await?;
            socket.set_nodelay(true)?;
            connection(socket, &partitions, each, batch, seen).await
        });
    }
    while let Some(ended) = connections.join_next().await {
        ended??;
    }
    Ok(())
}

async fn connection(
    socket: TcpStream,
    partitions: &[usize],
    in_flight: usize,
    batch: Bytes,
    seen: Arc<Seen>,
) -> anyhow::Result<()> {
    let (from, mut to) = socket.into_split();
    let room = Arc::new(Semaphore::new(in_flight));
    // The begin of each batch under way, at its number modulo a bound that `in_flight` keeps.
    let begun: Arc<Mutex<Vec<Option<Instant>>>> = Arc::new(Mutex::new(vec![None; 4096.max(in_flight * 64)]));
    let acks = tokio::spawn(acks(from, Arc::clone(&room), Arc::clone(&begun), Arc::clone(&seen)));
    let mut partitions = partitions.iter().cycle();
    let mut number: u64 = 0;
    while !seen.stopped.load(Ordering::Relaxed) {
        room.acquire().await?.forget();
        let n = *partitions.next().context("a connection without partitions")?;
        let mut head = [0; PRODUCE_HEAD];
        head[..4].copy_from_slice(&(batch.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&(n as u32).to_le_bytes());
        head[8..].copy_from_slice(&number.to_le_bytes());
        {
            let mut begun = begun.lock();
            let at = number as usize % begun.len();
            begun[at] = Some(Instant::now());
        }
        to.write_all_buf(&mut Buf::chain(head.as_slice(), batch.clone())).await?;
        number += 1;
    }
    let all = room.acquire_many(in_flight as u32).await?;
    drop((all, to));
    acks.await?
}

async fn acks(
    mut from: OwnedReadHalf,
    room: Arc<Semaphore>,
    begun: Arc<Mutex<Vec<Option<Instant>>>>,
    seen: Arc<Seen>,
) -> anyhow::Result<()> {
    let mut bytes = bytes::BytesMut::new();
    loop {
        if from.read_buf(&mut bytes).await? == 0 {
            // After the last ack this side has closed, and the leader closes in turn.
            if seen.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            eprintln!("the leader closed a connection");
            std::process::exit(1);
        }
        let now = Instant::now();
        let (mut begun, mut took) = (begun.lock(), Vec::new());
        while bytes.len() >= 8 {
            let number = bytes.get_u64_le();
            let at = number as usize % begun.len();
            took.extend(begun[at].take().map(|at| (now - at).as_secs_f64()));
        }
        room.add_permits(took.len());
        seen.acked.fetch_add(took.len() as u64, Ordering::Relaxed);
        if seen.recording.load(Ordering::Relaxed) {
            seen.latencies.lock().append(&mut took);
        }
    }
}

/// A valid batch of about these bytes, filled with noise.
pub fn batch(bytes: usize, records: usize) -> anyhow::Result<Bytes> {
    let value = (bytes - 61) / records - 11;
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let mut builder = BatchBuilder::new(0);
    for _ in 0..records {
        let bytes = (0..value)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise as u8
            })
            .collect();
        let timestamp = 1_700_000_000_000;
        builder = builder.record(NewRecord { timestamp, value: Some(bytes), ..NewRecord::default() });
    }
    let batch = builder.build()?;
    records::verify(&batch)?;
    Ok(batch.into())
}
