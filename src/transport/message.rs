//! One message on a stream: a few bytes of head, a length, a body; read and written without trust in the other side.
//!
//! ```text
//!   Outbox ── head, body ──> reset if dropped early      Inbox ── head: exactly N; body: memory as bytes arrive; then the end
//! ```
//! A side that moves no byte for ten seconds loses the stream. Memory grows with what has arrived, never with what a
//! length announces. Bounds of lengths belong to the reader of the head (`question.rs`, `hello.rs`).

use bytes::{Bytes, BytesMut};
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};
use std::time::Duration;
use tokio::time::timeout;

/// A stream ends if the other side moves no byte for this time.
pub(super) const STALL: Duration = Duration::from_secs(10);
/// A stream ends with this code when its message is no longer wanted, or cannot be read.
pub(super) const GIVEN_UP: u32 = 2;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Why a message did not pass.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the connection is gone: {0}")]
    Connection(ConnectionError),
    #[error("the other side gave the stream up (code {0})")]
    Stream(VarInt),
    #[error("the message ends too early")]
    Short,
    #[error("the message goes on behind its end")]
    Long,
    #[error("no byte moved for ten seconds")]
    Stalled,
    #[error("the stream is closed")]
    Closed,
}

impl From<ReadError> for Broken {
    fn from(error: ReadError) -> Broken {
        match error {
            ReadError::Reset(code) => Broken::Stream(code),
            ReadError::ConnectionLost(error) => Broken::Connection(error),
            _ => Broken::Closed,
        }
    }
}

impl From<WriteError> for Broken {
    fn from(error: WriteError) -> Broken {
        match error {
            WriteError::Stopped(code) => Broken::Stream(code),
            WriteError::ConnectionLost(error) => Broken::Connection(error),
            _ => Broken::Closed,
        }
    }
}

/// The reading half of a stream.
pub(super) struct Inbox(RecvStream);

impl Inbox {
    pub(super) fn new(stream: RecvStream) -> Inbox {
        Inbox(stream)
    }

    async fn piece(&mut self, most: usize) -> Result<Option<Bytes>, Broken> {
        let read = timeout(STALL, self.0.read_chunk(most, true)).await.map_err(|_| Broken::Stalled)?;
        Ok(read?.map(|chunk| chunk.bytes))
    }

    pub(super) async fn exactly<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut head = [0; N];
        let mut rest = head.as_mut_slice();
        while !rest.is_empty() {
            let piece = self.piece(rest.len()).await?.ok_or(Broken::Short)?;
            let (filled, open) = rest.split_at_mut(piece.len());
            filled.copy_from_slice(&piece);
            rest = open;
        }
        Ok(head)
    }

    /// Reads a body whose length was checked, and the end of the stream behind it.
    pub(super) async fn body(&mut self, length: usize) -> Result<Bytes, Broken> {
        let mut body = BytesMut::new();
        while body.len() < length {
            let piece = self.piece(PIECE.min(length - body.len())).await?.ok_or(Broken::Short)?;
            body.extend_from_slice(&piece);
        }
        match self.piece(1).await? {
            None => Ok(body.freeze()),
            Some(_) => Err(Broken::Long),
        }
    }

    /// Reads no more: what arrives is dropped, and counts no longer as unread.
    pub(super) fn stop(&mut self) {
        let _ = self.0.stop(VarInt::from_u32(GIVEN_UP));
    }
}

/// The writing half of a stream. It resets the stream if it is dropped before `settle`.
pub(super) struct Outbox {
    stream: SendStream,
    settled: bool,
}

impl Outbox {
    pub(super) fn new(stream: SendStream) -> Outbox {
        Outbox { stream, settled: false }
    }

    /// Lets this stream's bytes leave before those of others.
    pub(super) fn first(&self) {
        let _ = self.stream.set_priority(i32::MAX);
    }

    /// Writes a whole message and its end.
    pub(super) async fn send(&mut self, head: Bytes, body: Bytes) -> Result<(), Broken> {
        let mut parts = [head, body];
        for part in parts.iter_mut().filter(|part| !part.is_empty()) {
            let mut rest = std::slice::from_mut(part);
            while !rest.is_empty() {
                let wrote = timeout(STALL, self.stream.write_chunks(rest)).await;
                let wrote = wrote.map_err(|_| Broken::Stalled)??;
                rest = rest.get_mut(wrote.chunks..).unwrap_or_default();
            }
        }
        self.stream.finish().map_err(|_| Broken::Closed)
    }

    /// Waits until the other side has every byte, or wants no more.
    pub(super) async fn arrived(&mut self) {
        let _ = self.stream.stopped().await;
    }

    /// The message is done with: dropping it resets nothing.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if !self.settled {
            let _ = self.stream.reset(VarInt::from_u32(GIVEN_UP));
        }
    }
}
