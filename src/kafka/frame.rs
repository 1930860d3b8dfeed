//! Reads one request frame off a socket, and charges it as its bytes arrive, never for the length it announces.
//!
//! Produce has a pool of its own; the API key in the first bytes tells it. A frame gets room for as much again as
//! has arrived, and begins with little room while its pool is half taken.
//!
//! Of the frames that wait for a dry pool, the one that waited longest goes on out of a reserve, which fits the
//! largest request; so one always completes. Frames that miss little have a second reserve, so that large stalled
//! frames do not hold them up. A frame that trickles while others wait is ended. This module does not decode a
//! request.

use super::context::Context;
use super::pace::{Paced, Stop};
use super::pools::Pools;
use super::wire::api::ApiKey;
use bytes::BytesMut;
use callboard_actors::permit::{Permit, Pool};
use callboard_core::limits;
use callboard_core::pace::Ended;
use std::io;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

/// How TLS begins: a handshake, of any version.
const TLS: [u8; 2] = [0x16, 0x03];

/// Why a connection gives no further frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameEnd {
    /// The client closed the connection between two frames.
    #[error("closed by the client")]
    Closed,
    /// Nothing came for `connections.max.idle.ms`.
    #[error("idle for too long")]
    Idle,
    /// The announced length cannot be.
    #[error("a frame of {length} bytes: at least 8 and at most socket.request.max.bytes = {max} are allowed")]
    Length { length: i64, max: usize },
    /// The client began with TLS.
    #[error("the client speaks TLS, which this build does not: set security.protocol=PLAINTEXT")]
    Tls,
    /// The client went away inside a frame.
    #[error("a frame cut short: {have} of {whole} bytes came")]
    Cut { have: usize, whole: usize },
    /// The frame trickled while others waited for its memory.
    #[error("a frame that came slower than 64 KiB/s while others waited for memory")]
    Slow,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl FrameEnd {
    /// The word that the counter of closed connections shows.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            FrameEnd::Closed => "client",
            FrameEnd::Idle => "idle",
            FrameEnd::Length { .. } => "length",
            FrameEnd::Tls => "tls",
            FrameEnd::Cut { .. } => "cut",
            FrameEnd::Slow => "slow",
            FrameEnd::Io(_) => "io",
        }
    }
}

impl From<Stop> for FrameEnd {
    fn from(stop: Stop) -> FrameEnd {
        match stop {
            Stop::Ended(Ended::Idle) => FrameEnd::Idle,
            Stop::Ended(Ended::Slow) => FrameEnd::Slow,
            Stop::Io(error) => FrameEnd::Io(error),
        }
    }
}

/// A frame without its length, and the permit for its bytes.
pub struct Frame {
    pub bytes: BytesMut,
    pub permit: Permit,
    /// Time that it waited for the gate of the journal and for memory.
    pub waited: Duration,
    /// The part of that time that it waited for memory.
    pub throttled: Duration,
}

/// Reads the next frame, or tells why the connection ends; `first` says whether it is the connection's first.
pub async fn read_frame(
    socket: &mut OwnedReadHalf,
    context: &Context,
    first: bool,
) -> Result<Frame, FrameEnd> {
    let idle = context.settings.connections_max_idle;
    let Head { head, whole, at_once } =
        read_head(socket, idle, context.settings.socket_request_max_bytes, first).await?;
    if at_once {
        // Tasks that got the last frame run first, because more frames may wait behind it.
        tokio::task::yield_now().await;
    }
    let produce = ApiKey::of(i16::from_be_bytes([head[4], head[5]])) == Some(ApiKey::Produce);
    let pools = &context.pools;
    let pool = if produce { &pools.produce } else { &pools.requests };
    let began = Instant::now();
    if produce {
        context.admitted().await;
        drop(pools.tickets.acquire(limits::TICKET_BYTES).await);
    }
    let waited = began.elapsed();
    // With half of the pool taken, a stalled frame shall hold little more than it sent.
    let half_taken = pool.used() > pool.capacity() / 2;
    let first = if half_taken { limits::FRAME_FIRST_LEAN } else { limits::FRAME_FIRST };
    let (bytes, permit, throttled) = (BytesMut::new(), Permit::free(), Duration::ZERO);
    let mut body = Body { bytes, permit, throttled, whole, first, pool, pools };
    body.make_room(whole.min(first)).await;
    body.bytes.extend_from_slice(&head[4..]);
    body.read(socket, context, idle).await?;
    let Body { bytes, permit, throttled, .. } = body;
    Ok(Frame { bytes, permit, waited: waited + throttled, throttled })
}

struct Head {
    /// The length of the frame, and the eight bytes behind it.
    head: [u8; 12],
    whole: usize,
    /// Whether the bytes were there without waiting.
    at_once: bool,
}

/// Reads the beginning of a frame; an impossible length ends it at once.
async fn read_head(
    socket: &mut OwnedReadHalf,
    idle: Duration,
    max: usize,
    first: bool,
) -> Result<Head, FrameEnd> {
    let (mut head, mut have, mut whole, mut at_once) = ([0u8; 12], 0, 0, true);
    while have < head.len() {
        let read = match socket.try_read(&mut head[have..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                at_once = false;
                timeout(idle, socket.read(&mut head[have..])).await.map_err(|_| FrameEnd::Idle)??
            }
            read => read?,
        };
        match (read, have) {
            (0, 0) => return Err(FrameEnd::Closed),
            (0, _) => return Err(FrameEnd::Cut { have: have.saturating_sub(4), whole }),
            _ => have += read,
        }
        // As a length these bytes would announce 352 MiB, with which no client begins.
        if first && have >= TLS.len() && head.starts_with(&TLS) {
            return Err(FrameEnd::Tls);
        }
        if have >= 4 {
            let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let allowed = usize::try_from(length).ok().filter(|n| (8..=max).contains(n));
            whole = allowed.ok_or(FrameEnd::Length { length: length.into(), max })?;
        }
    }
    Ok(Head { head, whole, at_once })
}

struct Body<'a> {
    bytes: BytesMut,
    permit: Permit,
    throttled: Duration,
    whole: usize,
    first: usize,
    pool: &'a Pool,
    pools: &'a Pools,
}

impl Body<'_> {
    async fn read(
        &mut self,
        socket: &mut OwnedReadHalf,
        context: &Context,
        idle: Duration,
    ) -> Result<(), FrameEnd> {
        let pool = self.pool;
        let mut paced = Paced::new(&context.clock, idle, self.bytes.len(), || pool.waiters() > 0);
        while self.bytes.len() < self.whole {
            let (have, left) = (self.bytes.len(), self.whole - self.bytes.len());
            if have == self.bytes.capacity() {
                // Waiting for bytes takes no memory.
                paced.wait(have, socket.readable()).await?;
                // The room doubles with the bytes that arrived.
                paced.excuse(self.make_room(left.min(have.max(self.first))).await);
            }
            let room = (self.bytes.capacity() - have).min(left);
            let mut limited = (&mut *socket).take(room as u64);
            if paced.wait(have, limited.read_buf(&mut self.bytes)).await? == 0 {
                return Err(FrameEnd::Cut { have, whole: self.whole });
            }
            paced.at(self.bytes.len())?;
        }
        Ok(())
    }

    /// Grows the buffer by exactly so many bytes, because `reserve` would double it and the permit covers what is
    /// held.
    fn grow(&mut self, bytes: usize) {
        let mut grown = BytesMut::with_capacity(self.bytes.len() + bytes);
        grown.extend_from_slice(&self.bytes);
        self.bytes = grown;
    }

    /// Takes permits for so many bytes, then the memory. A dry pool gives all that the frame misses out of a
    /// reserve. Returns how long that took.
    async fn make_room(&mut self, bytes: usize) -> Duration {
        if let Some(permit) = self.pool.try_acquire(bytes) {
            self.permit.merge(permit);
            self.grow(bytes);
            return Duration::ZERO;
        }
        let (began, left) = (Instant::now(), self.whole - self.bytes.len());
        let reserve = if left <= limits::FRAME_SMALL { &self.pools.small } else { &self.pools.reserve };
        tokio::select! {
            permit = self.pool.acquire(bytes) => {
                self.permit.merge(permit);
                self.grow(bytes);
            }
            reserved = reserve.acquire(left) => {
                self.permit.keep(reserved);
                self.grow(left);
            }
        }
        let waited = began.elapsed();
        self.throttled += waited;
        waited
    }
}
