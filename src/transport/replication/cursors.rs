//! The cursors of one feed: whose turn it is, and where the bytes come from.
//!
//! ```text
//!   near ring   within 1 MiB of the end, in the tail     first, up to three quarters of a frame while others catch up
//!   far ring    the rest                                 what is left, and first after a frame without any of it
//!   parked      waits for room to read from the store, in order
//!   later       its bytes are not written yet, or a read failed
//!   greets      a new cursor, whose Position is answered in the next frame
//! ```
//!
//! A frame has 256 KiB at most, or one larger batch. Bytes come from the tail at once, or from a cold read, which runs beside
//! the feed; at most 1 MiB of these is asked for or waits. A read counts only if its cursor is still the same and fits the view
//! (R39).
//!
//! Core decides what a cursor sends next; the rings only say whose turn it is.

use super::cold::{self, Cold, Found};
use super::feeding::{Feeding, Turn};
use super::inbox::Inbox;
use crate::transport::frame::{FrameError, PAYLOAD, Packer};
use callboard_actors::partition::{Fed, PartitionHandle};
use callboard_actors::permit::Pool;
use callboard_core::partition::{Continuity, Cursor, Next, Part};
use callboard_core::{TopicPartition, limits};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

/// A replica that lacks no more than this, and finds it in the tail, is near the end.
const NEAR: usize = limits::MIB;
/// Bytes of a frame that are kept for replicas that catch up, while there are any.
const CATCH_UP: usize = PAYLOAD / 4;
/// Pause before bytes that are not written yet are looked for again.
const WRITTEN_SOON: Duration = Duration::from_millis(10);
/// Pause before a failed read is tried again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// The ring in which a partition waits, by what it lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ring {
    Near,
    Far,
}

/// All cursors of one feed.
pub struct Cursors {
    inbox: Arc<Inbox>,
    all: HashMap<TopicPartition, Feeding>,
    near: VecDeque<TopicPartition>,
    far: VecDeque<TopicPartition>,
    parked: VecDeque<TopicPartition>,
    greets: Vec<TopicPartition>,
    later: BTreeSet<(Instant, TopicPartition)>,
    /// Bounds the cold reads that run, or whose bytes wait.
    room: Pool,
    done: mpsc::UnboundedSender<cold::Read>,
    /// The last frame had bytes, and none of the replicas that waited in the far ring.
    owed: bool,
}

impl Cursors {
    /// No cursor yet. Cold reads that end go to `done`.
    pub fn new(inbox: &Arc<Inbox>, done: mpsc::UnboundedSender<cold::Read>) -> Cursors {
        Cursors {
            inbox: Arc::clone(inbox),
            all: HashMap::new(),
            near: VecDeque::new(),
            far: VecDeque::new(),
            parked: VecDeque::new(),
            greets: Vec::new(),
            later: BTreeSet::new(),
            room: Pool::new(limits::FEED_READ_BYTES),
            done,
            owed: false,
        }
    }

    /// Begins at this cursor, in place of any former one of the partition.
    pub fn begin(&mut self, replica: Arc<PartitionHandle>, cursor: Cursor) {
        let id = replica.id;
        self.end(id);
        self.all.insert(id, Feeding::new(&self.inbox, replica, cursor));
        self.greets.push(id);
        self.queue(id);
    }

    /// Ends the partition's feed.
    pub fn end(&mut self, id: TopicPartition) {
        if self.all.remove(&id).is_some() {
            for ring in [&mut self.near, &mut self.far, &mut self.parked] {
                ring.retain(|other| *other != id);
            }
        }
    }

    /// The partition's view has moved.
    pub fn rung(&mut self, id: TopicPartition) {
        if let Some(feeding) = self.all.get(&id) {
            feeding.tap.looks(true);
            self.queue(id);
        }
    }

    /// Gives a turn to those whose moment has come.
    pub fn wake(&mut self, now: Instant) {
        while let Some((_, id)) = self.later.first().copied().filter(|(due, _)| *due <= now) {
            self.later.pop_first();
            self.queue(id);
        }
    }

    /// When the next one has waited long enough.
    pub fn next_wake(&self) -> Option<Instant> {
        self.later.first().map(|(due, _)| *due)
    }

    /// Puts a partition at the end of its ring, if it waits nowhere.
    fn queue(&mut self, id: TopicPartition) {
        let Some(feeding) = self.all.get_mut(&id).filter(|one| !one.queued && !one.reads()) else { return };
        feeding.queued = true;
        let (end, at) = (feeding.replica.view().end, feeding.cursor.at());
        let near = at >= end || feeding.replica.tail_is_within(at, end, NEAR);
        self.ring(if near { Ring::Near } else { Ring::Far }).push_back(id);
    }

    fn ring(&mut self, ring: Ring) -> &mut VecDeque<TopicPartition> {
        match ring {
            Ring::Near => &mut self.near,
            Ring::Far => &mut self.far,
        }
    }

    /// A cold read has ended.
    pub fn has_read(&mut self, read: cold::Read) {
        let cold::Read { id, cursor, found, permit } = read;
        // Otherwise another Position was accepted meanwhile.
        let begun = |one: &&mut Feeding| one.cold.as_ref().is_some_and(|cold| cold.is_of(&cursor));
        let Some(feeding) = self.all.get_mut(&id).filter(begun) else { return };
        feeding.cold = None;
        let same = feeding.cursor == cursor && cursor.fits(&feeding.replica.view());
        let pause = match found {
            Found::Batches(batches) if same => {
                feeding.large = batches.front().is_some_and(|(bytes, _)| bytes.len() > PAYLOAD);
                feeding.cold = Some(Cold::Ready { from: cursor.at(), batches, permit });
                None
            }
            Found::Nothing if same => Some(WRITTEN_SOON),
            Found::Failed(error) if same => {
                let (at, to) = (cursor.at(), cursor.to);
                tracing::warn!(partition = %id, %to, "the follower waits: batches from {at} on cannot be read: {error}");
                feeding.not_before = Some(Instant::now() + READ_AGAIN);
                Some(READ_AGAIN)
            }
            _ => None,
        };
        match pause {
            Some(pause) => drop(self.later.insert((Instant::now() + pause, id))),
            None => self.queue(id),
        }
    }

    /// Fills one frame, and begins cold reads. `lazy` are partitions whose parts without bytes are due.
    pub fn fill(&mut self, lazy: Vec<TopicPartition>, packer: &mut Packer) -> Result<(), FrameError> {
        for id in std::mem::take(&mut self.greets) {
            self.greet(id, packer)?;
        }
        for id in lazy {
            self.lazily(id, packer)?;
        }
        let waiting = !self.far.is_empty();
        let first = if self.owed { self.round(Ring::Far, PAYLOAD, packer)? } else { 0 };
        self.round(Ring::Near, if waiting { PAYLOAD - CATCH_UP } else { PAYLOAD }, packer)?;
        let far = first + self.round(Ring::Far, PAYLOAD, packer)?;
        if packer.payload() > 0 {
            self.owed = waiting && far == 0;
        }
        self.begin_reads();
        Ok(())
    }

    /// One turn for each replica of a ring, until the frame holds `most` bytes. Gives the bytes that were added.
    fn round(&mut self, ring: Ring, most: usize, packer: &mut Packer) -> Result<usize, FrameError> {
        let before = packer.payload();
        for _ in 0..self.ring(ring).len() {
            let room = most.saturating_sub(packer.payload());
            if room == 0 || !packer.takes(0) {
                break;
            }
            let Some(id) = self.ring(ring).pop_front() else { break };
            match self.turn(id, room, packer)? {
                Turn::Parked => {}
                Turn::Full => {
                    self.ring(ring).push_front(id);
                    break;
                }
                turn => {
                    if let Some(feeding) = self.all.get_mut(&id) {
                        feeding.queued = false;
                    }
                    if turn == Turn::More {
                        self.queue(id);
                    }
                }
            }
        }
        Ok(packer.payload() - before)
    }

    /// Adds what one replica has to send.
    fn turn(&mut self, id: TopicPartition, room: usize, packer: &mut Packer) -> Result<Turn, FrameError> {
        loop {
            let Some(feeding) = self.all.get_mut(&id) else { return Ok(Turn::Done) };
            let view = feeding.replica.view();
            let mut probe = feeding.cursor;
            match probe.next(&view) {
                Next::Over => {
                    self.end(id);
                    return Ok(Turn::Done);
                }
                Next::Wait => return Ok(Turn::Done),
                Next::Part(part) if part.place == Continuity::Nothing && feeding.greeted => {
                    feeding.tap.moved(id, false);
                    return Ok(Turn::Done);
                }
                Next::Part(_) if !packer.takes(0) => return Ok(Turn::Full),
                Next::Part(part) => feeding.tell(&part, probe, packer)?,
                Next::Read { part, until, .. } => {
                    if let Some(turn) = feeding.take_cold(&part, until, packer)? {
                        return Ok(turn);
                    }
                    if let Some(turn) = feeding.take_tail((&view, until), &part, room, packer)? {
                        return Ok(turn);
                    }
                    if feeding.not_before.is_some_and(|moment| moment > Instant::now()) {
                        return Ok(Turn::Done); // `later` has it
                    }
                    self.parked.push_back(id);
                    return Ok(Turn::Parked);
                }
            }
        }
    }

    /// Answers a new cursor's Position at once.
    fn greet(&mut self, id: TopicPartition, packer: &mut Packer) -> Result<(), FrameError> {
        let Some(feeding) = self.all.get_mut(&id).filter(|feeding| !feeding.greeted) else { return Ok(()) };
        if !packer.takes(0) {
            self.greets.push(id);
            return Ok(());
        }
        let mut probe = feeding.cursor;
        match probe.next(&feeding.replica.view()) {
            Next::Part(part) => feeding.tell(&part, probe, packer),
            Next::Read { part, .. } => {
                let part = Part { place: Continuity::Nothing, ..part };
                feeding.tell(&part, feeding.cursor, packer)
            }
            Next::Wait | Next::Over => Ok(()),
        }
    }

    /// Sends a part without bytes, if there is nothing else to send.
    fn lazily(&mut self, id: TopicPartition, packer: &mut Packer) -> Result<(), FrameError> {
        let Some(feeding) = self.all.get_mut(&id) else { return Ok(()) };
        feeding.tap.looks(false);
        if !packer.takes(0) {
            feeding.tap.moved(id, false);
            return Ok(());
        }
        let mut probe = feeding.cursor;
        match probe.next(&feeding.replica.view()) {
            Next::Part(part) => feeding.tell(&part, probe, packer),
            _ => Ok(()),
        }
    }

    /// Begins the cold reads that there is room for.
    fn begin_reads(&mut self) {
        while let Some(id) = self.parked.front().copied() {
            let large = self.all.get(&id).is_some_and(|feeding| feeding.large);
            let bytes = if large { limits::FEED_READ_BYTES } else { PAYLOAD };
            let Some(permit) = self.room.try_acquire(bytes) else { break };
            self.parked.pop_front();
            let Some(feeding) = self.all.get_mut(&id) else { continue };
            (feeding.queued, feeding.not_before) = (false, None);
            let (view, cursor) = (feeding.replica.view(), feeding.cursor);
            let mut probe = cursor;
            let Next::Read { from, until, .. } = probe.next(&view) else {
                self.queue(id);
                continue;
            };
            feeding.cold = Some(Cold::Running(cursor));
            let (replica, done) = (Arc::clone(&feeding.replica), self.done.clone());
            tokio::spawn(cold::read(replica, view, cursor, (from, until), permit, done));
        }
    }
}
