//! Frames on and off a stream of QUIC, under a watch for standstill.
//!
//! ```text
//!   lengths ──> (the caller's permit) ──> one buffer, filled as bytes come     the only copy of the receiver
//!   chunks  ──> write_chunks, again and again, each within ten seconds         a whole write has no time limit
//! ```
//!
//! A wait for the first byte of a frame has no limit, because an idle stream stays open. Once a frame has begun, ten
//! seconds without a byte end it. The words of an end are for the log and for the other side. The meaning of
//! frames is not known here.

use super::metrics;
use crate::transport::frame::{FrameError, HEADER, Lengths};
use crate::transport::words::WordError;
use bytes::{Bytes, BytesMut};
use callboard_core::records::RecordsError;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// A stream that has bytes to move and moved none for so long is ended.
pub const STALL: Duration = Duration::from_secs(10);

/// Code of a connection that ends in good order.
pub const CODE_DONE: VarInt = VarInt::from_u32(0);
/// Code of a connection that ends because of what it carried, or because it stood still.
pub const CODE_BROKEN: VarInt = VarInt::from_u32(1);
/// Code of a connection that gives way to one with a higher number (R37).
pub const CODE_SUPERSEDED: VarInt = VarInt::from_u32(2);

/// Why a data connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("the stream ended")]
    Finished,
    /// No replica needs it, or the node ends.
    #[error("it is not needed any more")]
    Unused,
    #[error("{0}")]
    Lost(String),
    #[error("no byte moved for {} s: the other side does not read or does not send", STALL.as_secs())]
    Stalled,
    #[error("it carried no sound frame: {0}")]
    Frame(#[from] FrameError),
    #[error("it carried no sound word: {0}")]
    Word(#[from] WordError),
    #[error("partition {id}: it carried no sound batch: {error}")]
    Batch { id: callboard_core::TopicPartition, error: RecordsError },
    #[error("it carried {0}, which this side never takes")]
    Kind(&'static str),
}

impl Ended {
    /// Closes the connection with these words, counts the end, and logs one that should not be.
    pub fn close(&self, connection: &Connection, who: &dyn std::fmt::Display) {
        let why = match self {
            Ended::Frame(_) => Some("frame"),
            Ended::Word(_) => Some("word"),
            Ended::Batch { .. } => Some("batch"),
            Ended::Kind(_) => Some("kind"),
            _ => None,
        };
        match (why, self) {
            (Some(why), _) => metrics::refused(why),
            (None, Ended::Stalled) => metrics::stalled(),
            (None, _) => {
                connection.close(CODE_DONE, self.to_string().as_bytes());
                return tracing::info!("the data connection with {who} ended: {self}");
            }
        }
        connection.close(CODE_BROKEN, self.to_string().as_bytes());
        tracing::warn!("the data connection with {who} is closed: {self}");
    }
}

/// Reads the lengths of the next frame. It is not cancel-safe.
pub async fn read_lengths(from: &mut RecvStream) -> Result<Lengths, Ended> {
    let mut header = [0; HEADER];
    let first = from.read(&mut header).await.map_err(|error| Ended::Lost(error.to_string()))?;
    let mut have = first.ok_or(Ended::Finished)?;
    while have < HEADER {
        let read = timeout(STALL, from.read(&mut header[have..])).await.map_err(|_| Ended::Stalled)?;
        let read = read.map_err(|error| Ended::Lost(error.to_string()))?;
        have += read.ok_or_else(|| cut(HEADER, have))?;
    }
    Ok(Lengths::read(header)?)
}

/// Reads what follows these lengths into one buffer. It is not cancel-safe.
pub async fn read_body(from: &mut RecvStream, lengths: Lengths) -> Result<Bytes, Ended> {
    let need = lengths.body();
    // Room that is not set to zero first: the stream writes into it.
    let mut body = BytesMut::with_capacity(need);
    while body.len() < need {
        let mut rest = (&mut *from).take((need - body.len()) as u64);
        let read = timeout(STALL, rest.read_buf(&mut body)).await.map_err(|_| Ended::Stalled)?;
        if read.map_err(|error| Ended::Lost(error.to_string()))? == 0 {
            return Err(cut(need, body.len()));
        }
    }
    Ok(body.freeze())
}

fn cut(need: usize, have: usize) -> Ended {
    FrameError::Cut { need, have }.into()
}

/// Writes a frame of so many items. A write that fails or is given up resets the stream, with the frame half sent.
pub async fn write(to: &mut SendStream, mut chunks: &mut [Bytes], items: usize) -> Result<(), Ended> {
    let bytes = chunks.iter().map(Bytes::len).sum();
    let ended = loop {
        let whole = chunks.iter().take_while(|chunk| chunk.is_empty()).count();
        chunks = &mut chunks[whole..];
        if chunks.is_empty() {
            metrics::sent(items, bytes);
            return Ok(());
        }
        match timeout(STALL, to.write_chunks(chunks)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => break Ended::Lost(error.to_string()),
            Err(_) => break Ended::Stalled,
        }
    };
    let _ = to.reset(CODE_BROKEN);
    Err(ended)
}
