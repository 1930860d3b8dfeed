//! Frames off a stream of QUIC: lengths, then a permit, then one buffer. The copy into it is the only one of the receiver.

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use callboard_actors::permit::{Permit, Pool};
use callboard::transport::frame::{HEADER, Lengths};
use quinn::{ReadExactError, RecvStream};
use tokio::io::AsyncReadExt;

/// A frame whose archive is not validated yet.
pub struct Received {
    pub lengths: Lengths,
    pub body: Bytes,
    pub permit: Permit,
}

/// Reads one frame; none if the stream ended in good order. It is not cancel-safe.
pub async fn read_frame(stream: &mut RecvStream, pool: &Pool) -> anyhow::Result<Option<Received>> {
    let mut header = [0; HEADER];
    match stream.read_exact(&mut header).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(error).context("the head of a frame"),
    }
    let lengths = Lengths::read(header)?;
    let permit = pool.acquire(lengths.body()).await;
    // Room that is not set to zero first: the stream writes into it.
    let mut body = BytesMut::with_capacity(lengths.body());
    while body.len() < lengths.body() {
        let left = lengths.body() - body.len();
        if (&mut *stream).take(left as u64).read_buf(&mut body).await? == 0 {
            bail!("a frame cut short: {} of {} bytes came", body.len(), lengths.body());
        }
    }
    Ok(Some(Received { lengths, body: body.freeze(), permit }))
}
