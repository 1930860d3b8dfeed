//! The feeder of one data connection: it writes one frame after another, and gathers while the stream takes the last one.
//!
//! ```text
//!   inbox ──> orders, answers, rings ─┐
//!   cold reads that ended ────────────┼──> cursors ──> one frame ──> the stream ──> again
//!   moments that have come ───────────┘       │
//!                                             └── nothing to send: sleep until one of the three
//! ```
//!
//! Frames become fuller the slower the stream is, because partitions collect meanwhile. An idle feeder has no timer: the lazy
//! frame's begins with the first partition that has something for it. Which bytes come next is decided in `cursors.rs`, and
//! by the cursors of core.

use super::cursors::Cursors;
use super::inbox::{Inbox, Order, Waiting};
use super::streams::{Ended, write};
use crate::transport::frame::{ITEMS_MAX, Items, Packer, encode};
use crate::transport::words::{self, Answered};
use callboard_core::TopicPartition;
use callboard_core::partition::Answer;
use quinn::SendStream;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Feeds until the stream or the inbox ends.
pub async fn run(inbox: Arc<Inbox>, mut to: SendStream) -> Ended {
    let (done, mut reads) = mpsc::unbounded_channel();
    let mut cursors = Cursors::new(&inbox, done);
    let mut packer = Packer::default();
    loop {
        let Waiting { orders, answers, data, lazy, due, closed } = inbox.take(Instant::now());
        if closed {
            return Ended::Unused;
        }
        for (id, order) in orders {
            match order {
                Order::Feed(replica, cursor) => cursors.begin(replica, cursor),
                Order::Unfeed => cursors.end(id),
            }
        }
        if let Err(ended) = tell(&mut to, answers).await {
            return ended;
        }
        data.into_iter().for_each(|id| cursors.rung(id));
        while let Ok(read) = reads.try_recv() {
            cursors.has_read(read);
        }
        cursors.wake(Instant::now());
        if let Err(error) = cursors.fill(lazy, &mut packer) {
            return error.into();
        }
        if !packer.is_empty() {
            let parts = packer.len();
            let written = match packer.finish() {
                Ok(mut chunks) => write(&mut to, &mut chunks, parts).await,
                Err(error) => Err(error.into()),
            };
            match written {
                Ok(()) => continue,
                Err(ended) => return ended,
            }
        }
        let next = due.into_iter().chain(cursors.next_wake()).min();
        tokio::select! {
            () = inbox.woken() => {}
            Some(read) = reads.recv() => cursors.has_read(read),
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

/// Writes answers to Positions, in frames of one kind each.
async fn tell(to: &mut SendStream, answers: HashMap<TopicPartition, Answer>) -> Result<(), Ended> {
    let (mut diverge, mut refused) = (Vec::new(), Vec::new());
    for (id, answer) in answers {
        match words::answer(id, &answer) {
            Answered::Diverge(item) => diverge.push(item),
            Answered::Refused(item) => refused.push(item),
        }
    }
    let diverge = diverge.chunks(ITEMS_MAX).map(|all| (all.len(), Items::Diverge(all.to_vec())));
    let refused = refused.chunks(ITEMS_MAX).map(|all| (all.len(), Items::Refused(all.to_vec())));
    for (count, items) in diverge.chain(refused) {
        write(to, &mut [encode(items)?], count).await?;
    }
    Ok(())
}
