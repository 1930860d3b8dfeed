//! One connection: a reader that turns frames into pending answers, a writer that sends those in order.
//!
//! ```text
//!   reader: frame ─> header ─> api::dispatch ─> pending answer ─> queue (≤ 64) ─> writer: await, one vectored write
//! ```
//!
//! A produce request is handed to its leaders by the reader, in the order of arrival; the rest of an answer is awaited by the
//! writer when its turn comes. At 64 answers in flight the socket is not read. Records that lie in a file are sent by the
//! kernel, from the page cache: they do not pass through this process.

use super::api::{self, Client, Outcome, Pending};
use super::context::Context;
use super::frame::{FrameEnd, read_frame};
use super::listener::stopped;
use super::metrics;
use bytes::Buf;
use callboard_actors::ports::{FileRange, Part};
use callboard_core::limits;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt, Interest};
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
    metrics::opened();
    let local = socket.local_addr().ok();
    let (reading, writing) = socket.into_split();
    let (answers, queue) = mpsc::channel(limits::REPLIES_IN_FLIGHT);
    let client = Client { peer, local };
    let writer = tokio::spawn(write(writing, queue));
    let why = match read(reading, &client, &context, answers, stop).await {
        Ok(()) => "shutdown",
        // The writer has ended already: it knows why.
        Err(End::Writer) => {
            say_end(peer, &writer.await.unwrap_or(Err(End::Writer)).err().unwrap_or(End::Writer))
        }
        Err(end) => {
            let why = say_end(peer, &end);
            // What is pending is still answered, unless the client is gone.
            let _ = writer.await;
            why
        }
    };
    metrics::closed(why);
}

/// The one line that a connection's end leaves, and the word for the counter.
fn say_end(client: SocketAddr, end: &End) -> &'static str {
    let why = end.word();
    match end {
        End::Frame(FrameEnd::Closed | FrameEnd::Idle) | End::Io(_) | End::Refused => {
            tracing::debug!(%client, why, "connection closed: {end}")
        }
        _ => tracing::info!(%client, why, "connection closed: {end}"),
    }
    why
}

#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Frame(#[from] FrameEnd),
    #[error("{0}")]
    Request(String),
    #[error("the client took nothing for {STALLED:?}")]
    Stalled,
    #[error("an answer could not be sent: {0}")]
    Io(std::io::Error),
    /// acks=0: the refusal has its own line.
    #[error("a request without acknowledgement was refused")]
    Refused,
    #[error("its answers were ended")]
    Writer,
}

impl End {
    fn word(&self) -> &'static str {
        match self {
            End::Frame(end) => end.word(),
            End::Request(_) => "request",
            End::Stalled => "stalled",
            End::Io(_) => "io",
            End::Refused => "refused",
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

async fn write(mut socket: OwnedWriteHalf, mut queue: mpsc::Receiver<Pending>) -> Result<(), End> {
    let mut answered = metrics::Answered::default();
    while let Some(pending) = queue.recv().await {
        let Pending { request, answer } = pending;
        let began = Instant::now();
        let outcome = answer.await;
        let ready = Instant::now();
        match outcome {
            Outcome::Reply(pieces, charged) => {
                let sent = pieces.iter().map(Part::len).sum();
                write_all(&mut socket, pieces).await?;
                drop(charged);
                answered.note(&request, &metrics::Turn { began, ready, sent });
            }
            Outcome::Nothing => answered.note(&request, &metrics::Turn { began, ready, sent: 0 }),
            Outcome::HangUp => return Err(End::Refused),
            Outcome::Close(why) => return Err(End::Request(why)),
        }
    }
    let _ = socket.shutdown().await;
    Ok(())
}

/// All of it, however slow the client is, as long as it goes on taking some.
async fn write_all(socket: &mut OwnedWriteHalf, pieces: Vec<Part>) -> Result<(), End> {
    let mut pieces: VecDeque<Part> = pieces.into();
    while let Some(first) = pieces.front_mut() {
        let written = match first {
            Part::File(range) => timeout(STALLED, send_file(socket.as_ref(), range)).await,
            Part::Bytes(_) => {
                let slices: Vec<IoSlice<'_>> = pieces.iter().map_while(in_memory).take(PIECES).collect();
                timeout(STALLED, socket.write_vectored(&slices)).await
            }
        };
        let written = written.map_err(|_| End::Stalled)?.map_err(End::Io)?;
        if written == 0 {
            return Err(End::Io(std::io::ErrorKind::WriteZero.into()));
        }
        advance(&mut pieces, written);
    }
    Ok(())
}

fn in_memory(piece: &Part) -> Option<IoSlice<'_>> {
    match piece {
        Part::Bytes(bytes) => Some(IoSlice::new(bytes)),
        Part::File(_) => None,
    }
}

/// As much as the socket takes, from the page cache, uncopied.
async fn send_file(socket: &TcpStream, range: &mut FileRange) -> std::io::Result<usize> {
    socket.async_io(Interest::WRITABLE, || range.send(socket.as_fd())).await
}

/// Takes off what was sent; a file has taken it off itself.
fn advance(pieces: &mut VecDeque<Part>, mut written: usize) {
    while let Some(first) = pieces.front_mut() {
        match first {
            Part::File(range) => {
                if range.len == 0 {
                    pieces.pop_front();
                }
                return;
            }
            Part::Bytes(bytes) if written < bytes.len() => return bytes.advance(written),
            Part::Bytes(bytes) => {
                written -= bytes.len();
                pieces.pop_front();
                if written == 0 {
                    return;
                }
            }
        }
    }
}
