//! One connection, in one task of two halves: one turns frames into pending answers, one sends those in order.
//!
//! ```text
//!   read:  frame ─> header ─> api::dispatch ─> pending answer ─> answers.rs (≤ 64) ─> write: await, one vectored write
//! ```
//!
//! The read half hands a produce request to its leaders, in the order of arrival. The write half awaits the rest of
//! an answer when its turn comes. At 64 answers in flight the socket is not read. The kernel sends records that lie
//! in a file from the page cache, so they do not pass through this process.
//!
//! A client that closed its side still gets what is under way, for five seconds; then everything is dropped, so
//! that a waiting fetch holds nothing. A client that takes an answer too slowly while others wait for its memory is
//! disconnected. When the node ends, requests that it has read are answered; fetches that wait for records are not.

use super::answers::{Answers, Half};
use super::api::{self, Client, Outcome, Pending, Undispatched};
use super::context::Context;
use super::frame::{FrameEnd, read_frame};
use super::metrics;
use super::pace::{Paced, Stop};
use bytes::Buf;
use callboard_actors::permit::Permit;
use callboard_actors::ports::{FileRange, Part};
use callboard_core::pace::Ended;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::timeout;

/// Time for answers under way when a connection ends.
const LINGER: Duration = Duration::from_secs(5);
/// Time between two looks whether the client is still there, while 64 answers are in flight.
const LOOK: Duration = Duration::from_secs(1);
/// Pieces of one vectored write at most.
const PIECES: usize = 256;

/// Where a connection comes from.
pub(super) struct Came {
    /// The name of the listener that accepted it.
    pub listener: Arc<str>,
    pub peer: SocketAddr,
}

/// Serves one connection until either side ends it; `slot` is its place among `max.connections`.
pub(super) async fn serve(
    socket: TcpStream,
    came: Came,
    context: Arc<Context>,
    stop: watch::Receiver<bool>,
    slot: Permit,
) {
    metrics::opened();
    let local = socket.local_addr().ok();
    let (mut reading, mut writing) = socket.into_split();
    let Came { listener, peer } = came;
    let (client, answers) =
        (Client { peer, local, listener, transactions_refused: Arc::default() }, Answers::default());
    let why = {
        let read = pin!(read(&mut reading, &client, &context, &answers, stop));
        let mut write = pin!(write(&mut writing, &answers, &context));
        let first = answers.halves(read, write.as_mut()).await;
        answers.close();
        match first {
            Half::Read(Ok(())) => {
                let _ = timeout(LINGER, answers.own(write)).await;
                "shutdown"
            }
            Half::Read(Err(end)) => {
                let why = say_end(&context, peer, &end);
                // Pending answers still go out, unless the client is gone.
                let _ = timeout(LINGER, write).await;
                why
            }
            Half::Write(end) => say_end(&context, peer, &end),
        }
    };
    metrics::closed(why);
    drop(slot);
}

/// Resolves when the node ends.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Logs the end of a connection in one line, and returns the word that the counter shows.
fn say_end(context: &Context, client: SocketAddr, end: &End) -> &'static str {
    let why = end.word();
    match end {
        End::Frame(FrameEnd::Closed | FrameEnd::Idle) | End::Io(_) | End::Refused => {
            tracing::debug!(%client, why, "connection closed: {end}")
        }
        _ => match context.closings.one() {
            Some(0) => tracing::info!(%client, why, "connection closed: {end}"),
            Some(left_out) => {
                tracing::info!(%client, why, left_out, "connection closed: {end}; others before it have no line")
            }
            None => {}
        },
    }
    why
}

#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Frame(#[from] FrameEnd),
    #[error("{0}")]
    Request(String),
    #[error(
        "the client wants to log in with SASL, which this build does not have: set security.protocol=PLAINTEXT"
    )]
    Sasl,
    #[error("the client took nothing of an answer for connections.max.idle.ms")]
    Stalled,
    #[error("an answer that was taken slower than 64 KiB/s while others waited for memory")]
    SlowAnswer,
    #[error("an answer could not be sent: {0}")]
    Io(std::io::Error),
    /// A request with acks=0 was refused; the refusal has a log line of its own.
    #[error("a request without acknowledgement was refused")]
    Refused,
    /// The write half sent everything behind `Answers::close`; the read half knows why the connection ends.
    #[error("all was answered")]
    Answered,
}

impl End {
    fn word(&self) -> &'static str {
        match self {
            End::Frame(end) => end.word(),
            End::Request(_) => "request",
            End::Sasl => "sasl",
            End::Stalled => "stalled",
            End::SlowAnswer => "slow_answer",
            End::Io(_) => "io",
            End::Refused => "refused",
            End::Answered => "answered",
        }
    }
}

impl From<Undispatched> for End {
    fn from(why: Undispatched) -> End {
        match why {
            Undispatched::Sasl => End::Sasl,
            Undispatched::Request(why) => End::Request(why),
        }
    }
}

impl From<Stop> for End {
    fn from(stop: Stop) -> End {
        match stop {
            Stop::Ended(Ended::Idle) => End::Stalled,
            Stop::Ended(Ended::Slow) => End::SlowAnswer,
            Stop::Io(error) => End::Io(error),
        }
    }
}

async fn read(
    socket: &mut OwnedReadHalf,
    client: &Client,
    context: &Arc<Context>,
    answers: &Answers,
    mut stop: watch::Receiver<bool>,
) -> Result<(), End> {
    let mut first = true;
    loop {
        let frame = tokio::select! {
            frame = read_frame(socket, context, first) => frame?,
            () = stopped(&mut stop) => return Ok(()),
        };
        first = false;
        let pending = api::dispatch(context, client, frame).await?;
        place(socket, answers).await?;
        answers.push(pending);
    }
}

/// Waits for a place among the answers. The socket is not read meanwhile, so this looks for its end.
async fn place(socket: &OwnedReadHalf, answers: &Answers) -> Result<(), End> {
    while timeout(LOOK, answers.place()).await.is_err() {
        let ready = timeout(Duration::ZERO, socket.ready(Interest::READABLE)).await;
        if matches!(ready, Ok(Ok(ready)) if ready.is_read_closed()) {
            return Err(FrameEnd::Closed.into());
        }
    }
    Ok(())
}

async fn write(socket: &mut OwnedWriteHalf, answers: &Answers, context: &Context) -> End {
    let mut answered = metrics::Answered::default();
    while let Some(pending) = answers.next().await {
        if let Err(end) = send(socket, answers, pending, context, &mut answered).await {
            return end;
        }
    }
    let _ = socket.shutdown().await;
    End::Answered
}

/// Awaits an answer and sends it.
async fn send(
    socket: &mut OwnedWriteHalf,
    answers: &Answers,
    pending: Pending,
    context: &Context,
    answered: &mut metrics::Answered,
) -> Result<(), End> {
    let Pending { request, answer, waits_for_others } = pending;
    let began = Instant::now();
    let outcome = answers.outcome(waits_for_others, answer).await;
    let ready = Instant::now();
    match outcome {
        Outcome::Reply(pieces, charged) => {
            let sent = pieces.iter().map(Part::len).sum();
            write_all(socket, pieces, context).await?;
            drop(charged);
            answered.note(&request, &metrics::Turn { began, ready, sent });
            Ok(())
        }
        Outcome::Nothing => {
            answered.note(&request, &metrics::Turn { began, ready, sent: 0 });
            Ok(())
        }
        Outcome::HangUp => Err(End::Refused),
        Outcome::Close(why) => Err(End::Request(why)),
    }
}

/// Sends all pieces, unless the client falls below the least pace.
async fn write_all(socket: &mut OwnedWriteHalf, pieces: Vec<Part>, context: &Context) -> Result<(), End> {
    let mut pieces: VecDeque<Part> = pieces.into();
    let (mut done, idle) = (0, context.settings.connections_max_idle);
    let mut paced = Paced::new(&context.clock, idle, done, || context.pools.answers_awaited());
    while let Some(first) = pieces.front_mut() {
        let written = match first {
            Part::File(range) => paced.wait(done, send_file(socket.as_ref(), range)).await?,
            Part::Bytes(_) => {
                let slices: Vec<IoSlice<'_>> = pieces.iter().map_while(in_memory).take(PIECES).collect();
                paced.wait(done, socket.write_vectored(&slices)).await?
            }
        };
        if written == 0 {
            return Err(End::Io(std::io::ErrorKind::WriteZero.into()));
        }
        done += written;
        paced.at(done)?;
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

/// Sends as much as the socket takes, from the page cache and uncopied.
async fn send_file(socket: &TcpStream, range: &mut FileRange) -> std::io::Result<usize> {
    socket.async_io(Interest::WRITABLE, || range.send(socket.as_fd())).await
}

/// Takes off the bytes that were sent; a file range counts its own.
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
