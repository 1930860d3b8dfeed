//! One request frame off a socket, charged as its bytes arrive and never for what it announces.
//!
//! Produce has a pool of its own, told by the API key in the frame's first bytes. When a pool is dry, the frame goes on
//! out of the reserve, which one frame at a time fits: so one always completes. A frame that trickles while others wait
//! is ended.

use super::context::Context;
use super::wire::api::ApiKey;
use bytes::BytesMut;
use callboard_actors::permit::{Permit, Pool};
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// First piece that is made room for.
const FIRST: usize = 64 * 1024;
/// A slower frame is ended while others wait.
const LEAST_BYTES_A_SECOND: usize = 64 * 1024;
/// After this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no frame.
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
    Length {
        /// As announced.
        length: i64,
        /// The limit.
        max: usize,
    },
    /// The client went away inside a frame.
    #[error("a frame cut short: {have} of {whole} bytes came")]
    Cut {
        /// Bytes that came.
        have: usize,
        /// Bytes announced.
        whole: usize,
    },
    /// It trickled while others waited.
    #[error("a frame that came slower than 64 KiB/s while others waited for memory")]
    Slow,
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl FrameEnd {
    /// A word for the counter.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            FrameEnd::Closed => "client",
            FrameEnd::Idle => "idle",
            FrameEnd::Length { .. } => "length",
            FrameEnd::Cut { .. } => "cut",
            FrameEnd::Slow => "slow",
            FrameEnd::Io(_) => "io",
        }
    }
}

/// A frame without its length, and the permit for its bytes.
pub struct Frame {
    /// The bytes.
    pub bytes: BytesMut,
    /// Their permit.
    pub permit: Permit,
    /// How long it was kept waiting while it came in: for the gate, for memory.
    pub waited: Duration,
}

/// Reads the next frame.
pub async fn read_frame(socket: &mut (impl AsyncRead + Unpin), context: &Context) -> Result<Frame, FrameEnd> {
    let idle = context.settings.connections_max_idle;
    let (head, whole) = read_head(socket, idle, context.settings.socket_request_max_bytes).await?;
    let produce = ApiKey::of(i16::from_be_bytes([head[4], head[5]])) == Some(ApiKey::Produce);
    let pool = if produce { &context.pools.produce } else { &context.pools.requests };
    let mut waited = Duration::ZERO;
    if produce {
        let began = Instant::now();
        context.admitted().await;
        waited = began.elapsed();
    }
    let reserve = &context.pools.reserve;
    let mut body = Body { bytes: BytesMut::new(), permit: Permit::free(), waited, pool, reserve };
    body.make_room(whole.min(FIRST), whole).await;
    body.bytes.extend_from_slice(&head[4..]);
    body.read(socket, whole, idle).await?;
    Ok(Frame { bytes: body.bytes, permit: body.permit, waited: body.waited })
}

/// A frame's length and the eight bytes behind it. A length that cannot be ends it at once, whatever else comes.
async fn read_head(
    socket: &mut (impl AsyncRead + Unpin),
    idle: Duration,
    max: usize,
) -> Result<([u8; 12], usize), FrameEnd> {
    let (mut head, mut have, mut whole) = ([0u8; 12], 0, 0);
    while have < head.len() {
        let read = timeout(idle, socket.read(&mut head[have..])).await.map_err(|_| FrameEnd::Idle)??;
        match (read, have) {
            (0, 0) => return Err(FrameEnd::Closed),
            (0, _) => return Err(FrameEnd::Cut { have: have.saturating_sub(4), whole }),
            _ => have += read,
        }
        if have >= 4 {
            let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let allowed = usize::try_from(length).ok().filter(|n| (8..=max).contains(n));
            whole = allowed.ok_or(FrameEnd::Length { length: length.into(), max })?;
        }
    }
    Ok((head, whole))
}

struct Body<'a> {
    bytes: BytesMut,
    permit: Permit,
    waited: Duration,
    pool: &'a Pool,
    reserve: &'a Pool,
}

impl Body<'_> {
    async fn read(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        whole: usize,
        idle: Duration,
    ) -> Result<(), FrameEnd> {
        let (mut since, mut mark) = (Instant::now(), self.bytes.len());
        while self.bytes.len() < whole {
            if self.bytes.len() == self.bytes.capacity() {
                // Doubles with what has arrived.
                let more = (whole - self.bytes.len()).min(self.bytes.len().max(FIRST));
                self.make_room(more, whole - self.bytes.len()).await;
            }
            let room = (self.bytes.capacity() - self.bytes.len()).min(whole - self.bytes.len());
            let mut limited = (&mut *socket).take(room as u64);
            match timeout(PATIENCE.min(idle), limited.read_buf(&mut self.bytes)).await {
                Ok(Ok(0)) => return Err(FrameEnd::Cut { have: self.bytes.len(), whole }),
                Ok(read) => {
                    read?;
                }
                Err(_) if since.elapsed() >= idle => return Err(FrameEnd::Idle),
                Err(_) => {}
            }
            if since.elapsed() >= PATIENCE {
                let least = LEAST_BYTES_A_SECOND * since.elapsed().as_secs() as usize;
                let others_wait = self.pool.used() + FIRST > self.pool.capacity();
                if others_wait && self.bytes.len() - mark < least {
                    return Err(FrameEnd::Slow);
                }
                if self.bytes.len() > mark {
                    (since, mark) = (Instant::now(), self.bytes.len());
                }
            }
        }
        Ok(())
    }

    /// Takes permits for so many bytes, then memory. A dry pool: all that is left of the frame, out of the reserve.
    async fn make_room(&mut self, bytes: usize, left: usize) {
        if let Some(permit) = self.pool.try_acquire(bytes) {
            self.permit.merge(permit);
            self.bytes.reserve(bytes);
            return;
        }
        let began = Instant::now();
        tokio::select! {
            permit = self.pool.acquire(bytes) => {
                self.permit.merge(permit);
                self.bytes.reserve(bytes);
            }
            reserved = self.reserve.acquire(left) => {
                self.permit.keep(reserved);
                self.bytes.reserve(left);
            }
        }
        self.waited += began.elapsed();
    }
}
