//! The changes of one voter, chosen by a seed: what openraft asks of its storage, in orders that openraft may choose.
//!
//! ```text
//!   burst:  some appends ─> the disk stands still ─> more appends, a committed position, one change that is waited for
//!             └─ look: which answers came while it stood?  ─> the disk goes on ─> all answers, in the order of the queue
//! ```
//! The script keeps to openraft's contract: it truncates nothing committed, purges nothing that the snapshot does not
//! cover, and installs only a newer snapshot. It judges that the store takes each change; `mod.rs` judges the content.

use std::sync::Arc;

use callboard::controller::raft::bare::{Batch, Entry, Lead, LogId, SnapshotMeta, TypeConfig, Vote, next};
use callboard_core::metadata::{Image, MetadataRecord, ProposalId};
use futures_util::FutureExt;
use openraft::EntryPayload;
use openraft::testing::blank_ent;
use parking_lot::Mutex;

use super::super::disk::CrashDisk;
use super::gate::Gate;
use super::model::{Ledger, Op, Shared, State};
use super::voter::{Answer, ME, Voter};
use crate::process::load::Rng;

/// Changes by kind, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub votes: u32,
    pub appends: u32,
    pub truncations: u32,
    pub purges: u32,
    pub built: u32,
    pub installed: u32,
    pub noted: u32,
    pub reopened: u32,
    /// Bursts in which the disk stood still.
    pub held: u32,
}

/// Called at each moment that a cut may be worth.
pub type Moment = Box<dyn Fn(&CrashDisk)>;

/// A change whose answer has not come.
struct Waiting {
    number: usize,
    answer: Answer,
    /// Whether an answer comes only after the commit.
    promises: bool,
}

/// A voter and its ledger.
pub struct World {
    disk: CrashDisk,
    voter: Option<Voter>,
    ledger: Shared,
    gate: Arc<Gate>,
    moment: Option<Moment>,
    rng: Rng,
    term: u64,
    /// Position and image of the machine.
    applied: (Option<LogId>, Image),
    proposals: u64,
    /// An answer that no circumstance excuses.
    pub violation: Option<String>,
    pub counts: Counts,
}

type Done = Result<(), String>;

impl World {
    /// A store on this disk, not open yet. It must show `base`.
    #[must_use]
    pub fn new(disk: CrashDisk, base: State, seed: u64) -> World {
        let voted = base.vote.map_or(0, |vote| vote.leader_id.term);
        let term = 1 + voted.max(base.last().map_or(0, |id| id.leader_id.term));
        World {
            voter: None,
            disk,
            ledger: Arc::new(Mutex::new(Ledger::new(base))),
            gate: Arc::default(),
            moment: None,
            rng: Rng::new(seed),
            term,
            applied: (None, Image::default()),
            proposals: seed << 32,
            violation: None,
            counts: Counts::default(),
        }
    }

    /// All that was queued and answered.
    #[must_use]
    pub fn ledger(&self) -> &Shared {
        &self.ledger
    }

    /// The gate that the disk's watcher passes.
    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Calls this at every moment when an answer has come or the disk stands still.
    pub fn look(&mut self, moment: Moment) {
        self.moment = Some(moment);
    }

    fn looked(&self) {
        self.moment.iter().for_each(|moment| moment(&self.disk));
    }

    fn voter(&self) -> Result<&Voter, String> {
        self.voter.as_ref().ok_or_else(|| "the store is closed".to_owned())
    }

    /// Closes the store as a clean end does, and opens it again. Everything that was queued must be there.
    pub fn reopen(&mut self) -> Done {
        self.close();
        self.counts.reopened += 1;
        self.open()
    }

    /// Closes the store as a clean end does. What was queued is written first.
    pub fn close(&mut self) {
        self.gate.open();
        self.voter = None;
    }

    /// Opens the store, and compares what it shows. Everything that was queued must be there.
    pub fn open(&mut self) -> Done {
        let voter = Voter::open(&self.disk)?;
        let shown = voter.shown()?;
        let mut ledger = self.ledger.lock();
        ledger.settle();
        ledger.compare(&shown).map_err(|why| format!("reopened: {why}"))?;
        self.applied = match &shown.snapshot {
            Some((meta, image)) => (meta.last_log_id, Image::clone(image)),
            None => (None, Image::default()),
        };
        *ledger = Ledger::new(shown);
        drop(ledger);
        self.voter = Some(voter);
        Ok(())
    }

    /// One burst of changes.
    pub fn step(&mut self) -> Done {
        let held = self.rng.below(4) > 0;
        if held {
            let after = if self.rng.below(2) == 0 { 0 } else { self.rng.below(9) };
            self.gate.hold_after(after);
        }
        let done = self.burst(held);
        self.gate.open();
        done
    }

    fn burst(&mut self, held: bool) -> Done {
        let mut waiting = Vec::new();
        if self.rng.below(3) > 0 {
            let append = self.append();
            self.begin(append, &mut waiting)?;
            self.stand(held, &mut waiting)?;
        }
        for _ in 0..self.rng.below(3) {
            let append = self.append();
            self.begin(append, &mut waiting)?;
        }
        if self.rng.below(2) == 0 {
            self.commit()?;
        }
        if let Some(op) = self.choose() {
            let on_machine = matches!(op, Op::Built(..) | Op::Install(..));
            self.begin(op, &mut waiting)?;
            self.stand(held, &mut waiting)?;
            // A snapshot queues itself when its row is made, so nothing is queued behind it before.
            if !on_machine && self.rng.below(3) == 0 {
                let append = self.append();
                self.begin(append, &mut waiting)?;
            }
        }
        self.answered(&mut waiting)?;
        self.counts.held += u32::from(self.gate.holds());
        self.looked();
        self.gate.open();
        let mut failed = None;
        for Waiting { number, answer, promises } in waiting {
            match self.voter()?.wait(answer)? {
                Err(why) => drop(failed.get_or_insert(why)),
                Ok(()) if !promises => {}
                Ok(()) if failed.is_some() => return self.violates("Ok followed a failed answer"),
                Ok(()) => self.ledger.lock().answer(number),
            }
        }
        self.looked();
        failed.map_or(Ok(()), Err)
    }

    fn violates(&mut self, why: &str) -> Done {
        self.violation = Some(why.to_owned());
        Err(why.to_owned())
    }

    /// Enters a change and queues it, as far as one poll does.
    fn begin(&mut self, op: Op, waiting: &mut Vec<Waiting>) -> Done {
        let number = self.ledger.lock().queue(&op);
        let promises = !matches!(op, Op::Purge(_)) && !self.ledger.lock().idle(number);
        let answer = self.voter()?.begin(op)?;
        waiting.push(Waiting { number, answer, promises });
        self.answered(waiting)
    }

    /// Waits until the disk stands still, or the newest change is answered before.
    fn stand(&mut self, held: bool, waiting: &mut Vec<Waiting>) -> Done {
        if let (true, Some(newest)) = (held, waiting.last_mut()) {
            let voter = self.voter.as_ref().ok_or("the store is closed")?;
            let gate = &self.gate;
            let first = voter.wait(async {
                tokio::select! {
                    biased;
                    answer = &mut newest.answer => Some(answer),
                    () = gate.held() => None,
                }
            })?;
            if let Some(answer) = first {
                newest.answer = std::future::ready(answer).boxed();
            }
        }
        self.answered(waiting)
    }

    /// Takes the answers that are there. They come in the order of the queue.
    fn answered(&mut self, waiting: &mut Vec<Waiting>) -> Done {
        let mut early: Option<usize> = None;
        let mut open = Vec::new();
        // From the newest to the oldest, because answers may go on to come while this looks.
        for Waiting { number, mut answer, promises } in waiting.drain(..).rev() {
            // A task that makes a row goes on beside this thread, so one look must not wait for it.
            match self.voter()?.wait(async { (&mut answer).now_or_never() })? {
                None | Some(Err(_)) if early.is_some() && promises => {
                    let why = format!("change {early:?} was answered with Ok before change {number}");
                    return self.violates(&why);
                }
                None => open.push(Waiting { number, answer, promises }),
                Some(Ok(())) if !promises => {}
                Some(Ok(())) => {
                    early = early.or(Some(number));
                    self.ledger.lock().answer(number);
                }
                Some(Err(why)) => {
                    let answer = std::future::ready(Err(why)).boxed();
                    open.push(Waiting { number, answer, promises });
                }
            }
        }
        open.reverse();
        *waiting = open;
        Ok(())
    }

    fn append(&mut self) -> Op {
        self.counts.appends += 1;
        let last = self.ledger.lock().now().last();
        let count = 1 + self.rng.below(3);
        let entries = (next(last)..next(last) + count).map(|index| self.entry(index));
        Op::Append(entries.collect())
    }

    fn entry(&mut self, index: u64) -> Entry {
        let empty = blank_ent::<TypeConfig>(self.term, 1, index);
        if self.rng.below(6) == 0 {
            return empty;
        }
        self.proposals += 1;
        let size = if self.rng.below(10) == 0 { 5000 } else { 120 };
        let record = MetadataRecord::Broker {
            broker_id: self.rng.below(4) as i32,
            host: "h".repeat(1 + self.rng.below(size) as usize),
            port: 9092,
            rack: None,
        };
        let id = ProposalId { node: ME, number: self.proposals };
        let batch = Batch { id, records: Arc::new(vec![record]) };
        Entry { payload: EntryPayload::Normal(batch), ..empty }
    }

    /// Notes a committed position, and lets the machine apply up to it now and then.
    fn commit(&mut self) -> Done {
        let (now, committed) = {
            let ledger = self.ledger.lock();
            (ledger.now(), ledger.committed())
        };
        let least = next(committed).max(next(now.covered()));
        let new: Vec<&Entry> = now.entries.range(least..).map(|(_, entry)| entry).collect();
        let Some(entry) = new.get(self.rng.below(new.len() as u64) as usize) else { return Ok(()) };
        let position = Some(entry.log_id);
        self.counts.noted += 1;
        // The writer may take it at once, so the ledger has it before.
        self.ledger.lock().note(position);
        self.voter()?.note(position)?;
        if self.rng.below(3) > 0 {
            self.apply(&now, position)?;
        }
        Ok(())
    }

    fn apply(&mut self, now: &State, upto: Option<LogId>) -> Done {
        let range = next(self.applied.0)..next(upto);
        if range.is_empty() {
            return Ok(());
        }
        let entries: Vec<Entry> = now.entries.range(range).map(|(_, entry)| entry.clone()).collect();
        for entry in &entries {
            if let EntryPayload::Normal(batch) = &entry.payload {
                self.applied.1.apply_batch(entry.log_id.index, &batch.records);
            }
        }
        self.applied.0 = upto;
        self.voter()?.apply(entries)
    }

    /// The change of this burst that is waited for.
    fn choose(&mut self) -> Option<Op> {
        let (now, committed) = {
            let ledger = self.ledger.lock();
            (ledger.now(), ledger.committed())
        };
        match self.rng.below(12) {
            0..=2 => Some(self.vote()),
            3..=4 => self.truncate(&now, committed),
            5..=7 => self.purge(&now).or_else(|| self.build()),
            8..=9 => self.build(),
            10 => Some(self.install(&now, committed)),
            _ => None,
        }
    }

    fn vote(&mut self) -> Op {
        self.counts.votes += 1;
        self.term += 1;
        let node = 1 + self.rng.below(3);
        let won = self.rng.below(3) == 0;
        Op::Vote(if won { Vote::new_committed(self.term, node) } else { Vote::new(self.term, node) })
    }

    fn truncate(&mut self, now: &State, committed: Option<LogId>) -> Option<Op> {
        let floor = [now.purged, now.covered(), committed, self.applied.0].into_iter().max()?;
        let beyond = next(now.last()).checked_sub(next(floor)).filter(|n| *n > 0)?;
        let keep = next(floor) + self.rng.below(beyond);
        let keep =
            keep.checked_sub(1).and_then(|index| now.entries.get(&index)).map(|e| e.log_id).or(now.purged);
        self.counts.truncations += 1;
        self.term += 1;
        Some(Op::Truncate(keep))
    }

    fn purge(&mut self, now: &State) -> Option<Op> {
        let covered: Vec<LogId> =
            now.entries.range(..next(now.covered())).map(|(_, entry)| entry.log_id).collect();
        let upto = covered.get(self.rng.below(covered.len() as u64) as usize)?;
        self.counts.purges += 1;
        Some(Op::Purge(*upto))
    }

    fn build(&mut self) -> Option<Op> {
        let (applied, image) = &self.applied;
        applied.as_ref()?;
        self.counts.built += 1;
        Some(Op::Built(meta(*applied), Arc::new(image.clone())))
    }

    /// A leader's snapshot: within this log, or behind its end.
    fn install(&mut self, now: &State, committed: Option<LogId>) -> Op {
        self.counts.installed += 1;
        let newest = [now.covered(), committed, self.applied.0].into_iter().max().flatten();
        let within: Vec<LogId> = now.entries.range(next(newest)..).map(|(_, entry)| entry.log_id).collect();
        let behind = LogId::new(Lead { term: self.term, node_id: 1 }, next(now.last()) + self.rng.below(4));
        let at = within.get(self.rng.below(2 * within.len() as u64) as usize).copied().unwrap_or(behind);
        let image =
            Image { next_producer_id: self.rng.any() as i64, applied: at.index, ..self.applied.1.clone() };
        self.applied = (Some(at), image.clone());
        Op::Install(meta(Some(at)), Arc::new(image))
    }

    /// Tries every kind of change on a store that has failed once. One that is answered with Ok is an error.
    pub fn refused(&mut self) -> Result<(), String> {
        let now = self.ledger.lock().now();
        let (append, vote, install) = (self.append(), self.vote(), self.install(&now, None));
        for (name, op) in [
            ("an append", append),
            ("a vote", vote),
            ("a truncation", Op::Truncate(now.last())),
            ("a snapshot", install),
        ] {
            let voter = self.voter()?;
            if matches!(voter.begin(op).map(|answer| voter.wait(answer)), Ok(Ok(Ok(())))) {
                return Err(format!("after a failed write or sync {name} was answered with Ok"));
            }
        }
        Ok(())
    }
}

fn meta(at: Option<LogId>) -> SnapshotMeta {
    SnapshotMeta { last_log_id: at, ..SnapshotMeta::default() }
}
