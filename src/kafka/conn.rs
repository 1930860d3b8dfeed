//! One connection: a reader that turns frames into pending answers, a writer that sends those in order.
//!
//! ```text
//!   reader: frame ─> header ─> api::dispatch ─> pending answer ─> queue (≤ 64) ─> writer: await, one vectored write
//! ```
//!
//! A produce request is handed to its leaders by the reader, in the order of arrival; the rest of an answer is awaited by the
//! writer when its turn comes. At 64 answers in flight the socket is not read.

use super::api::{self, Client, Outcome, Pending};
use super::context::Context;
use super::frame::{FrameEnd, read_frame};
use super::listener::stopped;
use super::metrics;
use bytes::{Buf, Bytes};
use callboard_core::limits;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// A client that takes nothing for this long loses its connection.
const STALLED: Duration = Duration::from_secs(60);
/// Pieces of one vectored write.
const PIECES: usize = 256;

/// Serves one connection until either side ends it.
pub async fn serve(socket: TcpStream, peer: SocketAddr, context: Arc<Context>, stop: watch::Receiver<bool>) {
    metrics::connected(1.0);
    let local = socket.local_addr().ok();
    let (reading, writing) = socket.into_split();
    let (answers, queue) = mpsc::channel(limits::REPLIES_IN_FLIGHT);
    let client = Client { peer, local };
    let writer = tokio::spawn(write(writing, queue));
    let end = read(reading, &client, &context, answers, stop).await;
    let why = match end {
        Ok(()) => "shutdown",
        Err(end) => {
            match &end {
                End::Frame(FrameEnd::Closed | FrameEnd::Idle) => tracing::debug!(client = %peer, "{end}"),
                _ => tracing::info!(client = %peer, "connection closed: {end}"),
            }
            end.word()
        }
    };
    metrics::closed(why);
    // What is pending is still answered, unless the client is gone.
    let _ = writer.await;
    metrics::connected(-1.0);
}

#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Frame(#[from] FrameEnd),
    #[error("{0}")]
    Request(String),
    #[error("the client takes no answers")]
    Writer,
}

impl End {
    fn word(&self) -> &'static str {
        match self {
            End::Frame(end) => end.word(),
            End::Request(_) => "request",
            End::Writer => "writer",
        }
    }
}

async fn read(
    mut socket: OwnedReadHalf,
    client: &Client,
    context: &Arc<Context>,
    answers: mpsc::Sender<Pending>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), End> {
    loop {
        let frame = tokio::select! {
            frame = read_frame(&mut socket, context) => frame?,
            () = stopped(&mut stop) => return Ok(()),
            () = answers.closed() => return Err(End::Writer),
        };
        let pending = api::dispatch(context, client, frame).map_err(End::Request)?;
        answers.send(pending).await.map_err(|_| End::Writer)?;
    }
}

async fn write(mut socket: OwnedWriteHalf, mut queue: mpsc::Receiver<Pending>) {
    while let Some(pending) = queue.recv().await {
        let Pending { api, received, answer } = pending;
        match answer.await {
            Outcome::Reply(pieces, charged) => {
                let written = timeout(STALLED, write_all(&mut socket, pieces)).await;
                drop(charged);
                match written {
                    Ok(Ok(())) => metrics::answered(api, received.elapsed()),
                    Ok(Err(error)) => {
                        tracing::debug!("an answer could not be sent: {error}");
                        return;
                    }
                    Err(_) => {
                        tracing::info!("a client took nothing for {STALLED:?}: its connection is closed");
                        metrics::closed("stalled");
                        return;
                    }
                }
            }
            Outcome::Nothing => metrics::answered(api, received.elapsed()),
            Outcome::Close(why) => {
                tracing::info!("connection closed: {why}");
                return;
            }
        }
    }
    let _ = socket.shutdown().await;
}

async fn write_all(socket: &mut (impl AsyncWrite + Unpin), pieces: Vec<Bytes>) -> std::io::Result<()> {
    let mut pieces: std::collections::VecDeque<Bytes> = pieces.into();
    while !pieces.is_empty() {
        let slices: Vec<IoSlice<'_>> = pieces.iter().take(PIECES).map(|p| IoSlice::new(p)).collect();
        let mut written = socket.write_vectored(&slices).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        while let Some(first) = pieces.front_mut() {
            if written < first.len() {
                first.advance(written);
                break;
            }
            written -= first.len();
            pieces.pop_front();
        }
    }
    Ok(())
}
