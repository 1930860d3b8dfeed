//! A step of the search, done to nodes and to the controller.

use super::data::{ack, advance, matches_at_once, pull};
use super::disk::{Disk, NODES};
use super::rule::{Ask, Event, NOBODY, Planted, Said, Wish, bit, is_unclean};
use super::start::{Start, Upto};
use super::violation::Violation;
use super::world::{Process, Role, SILENT, Stage, State, Step, World, is_registered, life, view};

impl World {
    /// Makes a step; none if it cannot be made or changes nothing.
    pub fn take(&mut self, state: &State, step: Step) -> Option<State> {
        let mut next = *state;
        match step {
            Step::Begin => return None,
            Step::Append(n) => self.append(&mut next, n)?,
            Step::Match(n) => matches_at_once(&mut next, n)?,
            Step::Pull(n) => pull(&mut next, n)?,
            Step::Sync(n) => self.sync(&mut next, n)?,
            Step::Ack(n) => ack(&self.bounds, &mut next, n)?,
            Step::See(n) => self.see(&mut next, n)?,
            Step::Beat(n) => {
                let position = self.position(&next, n);
                beat(&mut next, n, position)?;
            }
            Step::Wish(n, isr) => self.wish(&mut next, n, isr)?,
            Step::Decide(heard) => self.alter(&mut next, heard)?,
            Step::Start(n, upto) => self.start(&mut next, n, upto)?,
            Step::Register(n) => self.register(&mut next, n)?,
            Step::RegisterLate(n) => {
                let ask = next.nodes[usize::from(n)].late.take()?;
                self.registered(&mut next, n, ask);
            }
            Step::Fence(n) => self.fence(&mut next, n)?,
            Step::Unfence(n) => self.unfence(&mut next, n)?,
            Step::MinIsr(min) => {
                next.min_changes += 1;
                self.control(&mut next, Event::MinIsr(min));
            }
            Step::Rot(n) => self.rot(&mut next, n)?,
            Step::Copy(n) => {
                let node = &mut next.nodes[usize::from(n)];
                let mut copy = node.disk;
                copy.sync();
                node.copy = Some(copy);
            }
            Step::Kill(_)
            | Step::Power(..)
            | Step::PowerAll
            | Step::SyncFails(..)
            | Step::End(_)
            | Step::Wipe(_)
            | Step::Restore(_) => self.fault(&mut next, step)?,
        }
        self.hear(&mut next);
        if next.image.leader_epoch != state.image.leader_epoch {
            next.led = 0;
        }
        if self.bounds.prompt {
            for n in self.all() {
                matches_at_once(&mut next, n);
                ack(&self.bounds, &mut next, n);
            }
        }
        (next != *state && usize::from(next.image.leader_epoch) < super::world::EPOCHS).then_some(next)
    }

    fn append(&self, state: &mut State, n: u8) -> Option<()> {
        let node = &mut state.nodes[usize::from(n)];
        let process = node.process.filter(|process| matches!(process.role, Role::Leader { .. }))?;
        node.disk.has_room().then_some(())?;
        state.epochs[usize::from(state.appended)] = process.view.leader_epoch;
        state.appended += 1;
        node.disk.append(state.appended);
        advance(&self.bounds, state, n);
        Some(())
    }

    /// The journal position that a heartbeat names.
    fn position(&self, state: &State, n: u8) -> u8 {
        let disk = &state.nodes[usize::from(n)].disk;
        let written = self.bounds.os && self.bounds.planted == Some(Planted::WrittenCompared);
        disk.at + if written { disk.waiting() as u8 } else { 0 }
    }

    fn sync(&self, state: &mut State, n: u8) -> Option<()> {
        let node = &mut state.nodes[usize::from(n)];
        (node.process.is_some() && node.disk.waiting() > 0).then(|| node.disk.sync())?;
        advance(&self.bounds, state, n);
        Some(())
    }

    /// A process applies the newest image.
    fn see(&mut self, state: &mut State, n: u8) -> Option<()> {
        let image = state.image;
        let at = usize::from(n);
        let mut process = state.nodes[at].process.filter(|_| is_registered(state, n))?;
        let seen = view(&image);
        if process.stage == Stage::Serves && process.view == seen {
            return None;
        }
        let disk = &mut state.nodes[at].disk;
        disk.starts &= !0 << process.start;
        let new = process.stage == Stage::Granted || process.view.leader_epoch != seen.leader_epoch;
        if image.members() & image.isr & bit(n) != 0 {
            // Its return is committed (R19).
            (disk.unclean, process.unclean) = (false, false);
        }
        let log = disk.log();
        process.role = match process.role {
            _ if new || process.view.leader != seen.leader => match seen.leader {
                NOBODY => Role::Idle,
                leader if leader == n => {
                    let acks = [SILENT; NODES];
                    Role::Leader { begins: log.len() as u8, acks, also: 0, high_watermark: 0 }
                }
                _ => Role::Follower { matched: false },
            },
            Role::Leader { begins, mut acks, mut also, high_watermark } => {
                for (ack, (new, old)) in acks.iter_mut().zip(seen.starts.iter().zip(&process.view.starts)) {
                    if new != old {
                        *ack = SILENT;
                    }
                }
                if seen.partition_epoch > process.view.partition_epoch {
                    also = 0;
                }
                Role::Leader { begins, acks, also, high_watermark }
            }
            Role::Idle if seen.leader != NOBODY && seen.leader != n => Role::Follower { matched: false },
            other => other,
        };
        (process.view, process.stage) = (seen, Stage::Serves);
        let directory = disk.directory;
        state.nodes[at].process = Some(process);
        if image.brokers[at].opened & (1 << directory) == 0 {
            self.control(state, Event::Opened(n, directory));
        }
        if matches!(process.role, Role::Leader { .. }) {
            let me = life(n, process.start);
            if state.led != 0 && state.led != me {
                state.broken = Some(Violation::TwoLeaders);
            }
            state.led = me;
        }
        advance(&self.bounds, state, n);
        Some(())
    }

    fn wish(&self, state: &mut State, n: u8, isr: u8) -> Option<()> {
        let image = &state.image;
        let process = state.nodes[usize::from(n)].process.as_mut()?;
        let current = process.view.leader_epoch == image.leader_epoch
            && process.view.partition_epoch == image.partition_epoch;
        let Role::Leader { also, .. } = &mut process.role else { return None };
        (current && state.wish.is_none()).then_some(())?;
        *also |= isr;
        state.wish = Some(Wish {
            from: n,
            leader_epoch: process.view.leader_epoch,
            partition_epoch: process.view.partition_epoch,
            isr,
            starts: process.view.starts,
        });
        Some(())
    }

    fn alter(&mut self, state: &mut State, heard: bool) -> Option<()> {
        let wish = state.wish.take()?;
        let at = usize::from(wish.from);
        let before = state.image.isr;
        let said = self.control(state, Event::Alter(wish));
        if said == Said::Done {
            state.unclean &= !(wish.isr & !before);
        }
        let process = state.nodes[at].process.as_mut();
        if let (Said::Ineligible, true, Some(process)) = (said, heard, process)
            && process.view.partition_epoch == wish.partition_epoch
            && process.view.leader_epoch == wish.leader_epoch
            && let Role::Leader { also, .. } = &mut process.role
        {
            *also = 0;
            advance(&self.bounds, state, wish.from);
        }
        Some(())
    }

    fn start(&mut self, state: &mut State, n: u8, upto: Upto) -> Option<()> {
        let node = &mut state.nodes[usize::from(n)];
        (node.process.is_none() && !node.over && node.starts < 15).then_some(())?;
        let stored = matches!(upto, Upto::Identity { .. } | Upto::Asked);
        let number = node.starts + u8::from(stored);
        let start = Start {
            os: self.bounds.os,
            hidden: self.bounds.hidden,
            boot: node.boot,
            number,
            planted: self.bounds.planted,
        };
        let unclean = start.run(&mut node.disk, upto);
        node.starts = number;
        if let Upto::Marker { power } | Upto::Verdict { power } | Upto::Identity { power } = upto {
            state.faults += 1;
            node.boot += u8::from(power);
            return Some(());
        }
        // It has seen nothing yet.
        let view = super::world::View { leader: NOBODY, ..view(&state.image) };
        node.process = Some(Process { start: number, stage: Stage::Asked, unclean, view, role: Role::Idle });
        if let Some(process) = &mut node.process {
            (process.view.leader_epoch, process.view.partition_epoch, process.view.isr) = (0, 0, 0);
            (process.view.min, process.view.starts) = (0, [0; NODES]);
        }
        // A question that cannot outlive its process may as well be answered at once.
        if self.bounds.asks_late { Some(()) } else { self.register(state, n) }
    }

    fn register(&mut self, state: &mut State, n: u8) -> Option<()> {
        let node = &state.nodes[usize::from(n)];
        let process = node.process.filter(|process| process.stage == Stage::Asked)?;
        let ask = ask(&node.disk, &process);
        let said = self.registered(state, n, ask);
        let node = &mut state.nodes[usize::from(n)];
        match said {
            Said::Done => node.process = Some(Process { stage: Stage::Granted, ..process }),
            _ => (node.process, node.over) = (None, true),
        }
        Some(())
    }

    fn registered(&mut self, state: &mut State, n: u8, ask: Ask) -> Said {
        let at = usize::from(n);
        let old = state.image.brokers[at];
        let heard = state.heard[at];
        let said = self.control(state, Event::Register(n, ask, heard));
        if said == Said::Done && old.start != ask.start {
            // The judgement of the rules, whoever decides.
            let recorded = old.synced[usize::from(ask.directory)];
            let same = old.directory == ask.directory && !old.fenced;
            let recorded = if same { recorded.max(heard) } else { recorded };
            let unclean = is_unclean(&old, &ask, recorded, None);
            state.unclean = (state.unclean & !bit(n)) | if unclean { bit(n) } else { 0 };
            state.heard[at] = ask.at;
        }
        said
    }

    fn fence(&mut self, state: &mut State, n: u8) -> Option<()> {
        (!state.image.brokers[usize::from(n)].fenced).then_some(())?;
        state.fenced += u8::from(is_registered(state, n));
        let heard = state.heard[usize::from(n)];
        self.control(state, Event::Fence(n, heard));
        Some(())
    }

    /// A node is unfenced once it has stored its grant and applied its own registration (R20).
    fn unfence(&mut self, state: &mut State, n: u8) -> Option<()> {
        let broker = &state.image.brokers[usize::from(n)];
        let serves = |process: &Process| process.stage == Stage::Serves && process.start == broker.start;
        let ready = state.nodes[usize::from(n)].process.as_ref().is_some_and(serves);
        (broker.fenced && ready).then_some(())?;
        self.control(state, Event::Unfence(n));
        Some(())
    }

    /// A replica leaves, and drops its bytes once that is committed.
    fn rot(&mut self, state: &mut State, n: u8) -> Option<()> {
        let at = usize::from(n);
        let process = state.nodes[at].process.filter(|process| process.stage == Stage::Serves)?;
        (is_registered(state, n) && state.nodes[at].disk.has_room()).then_some(())?;
        (self.control(state, Event::Leave(n)) == Said::Done).then_some(())?;
        state.faults += 1;
        state.harmed += 1;
        state.unclean |= bit(n);
        let node = &mut state.nodes[at];
        node.disk.cut(0);
        node.disk.sync();
        // It sends no Position and leads nothing until it has applied what it asked for, if that changed anything.
        let follows = matches!(process.role, Role::Follower { .. }) && process.view == view(&state.image);
        let role = if follows { Role::Follower { matched: false } } else { Role::Idle };
        node.process = Some(Process { role, ..process });
        Some(())
    }

    fn control(&mut self, state: &mut State, event: Event) -> Said {
        let (image, said) = self.decide(&state.image, event);
        state.image = image;
        // A proposal of an older state can never be committed.
        state.wish = state.wish.filter(|wish| {
            wish.partition_epoch == image.partition_epoch && wish.leader_epoch == image.leader_epoch
        });
        said
    }

    /// Heartbeats that come at once tell the position as soon as it rises.
    pub fn hear(&self, state: &mut State) {
        if !self.bounds.heard_late {
            for n in self.all() {
                let position = self.position(state, n);
                beat(state, n, position);
            }
        }
    }

    fn fault(&self, state: &mut State, step: Step) -> Option<()> {
        state.faults += 1;
        match step {
            Step::PowerAll => {
                for n in self.all() {
                    self.power(state, n, 0);
                }
            }
            Step::Power(n, kept) => self.power(state, n, kept),
            Step::Kill(n) => self.ends(state, n),
            Step::End(n) => {
                let node = &mut state.nodes[usize::from(n)];
                node.process.filter(|process| process.stage == Stage::Serves)?;
                node.disk.sync();
                node.disk.marker = true;
                self.hear(state);
                self.ends(state, n);
            }
            Step::SyncFails(n, kept, recorded) => {
                self.ends(state, n);
                let disk = &mut state.nodes[usize::from(n)].disk;
                disk.keep(usize::from(kept));
                disk.sync_failed |= recorded;
                state.harmed += 1;
            }
            Step::Wipe(n) => {
                self.ends(state, n);
                let node = &mut state.nodes[usize::from(n)];
                node.directories += 1;
                node.disk = Disk::empty(node.directories, node.disk.starts, node.disk.incarnation);
                // A directory without a journal has lost nothing of its own.
                node.disk.marker = true;
                node.over = false;
                state.harmed += 1;
            }
            Step::Restore(n) => {
                self.ends(state, n);
                let node = &mut state.nodes[usize::from(n)];
                node.disk = node.copy.take()?;
                node.over = false;
                state.harmed += 1;
            }
            _ => return None,
        }
        Some(())
    }

    /// The process ends; its question may be on its way.
    fn ends(&self, state: &mut State, n: u8) {
        let node = &mut state.nodes[usize::from(n)];
        if let Some(process) = node.process.take()
            && process.stage == Stage::Asked
            && self.bounds.asks_late
        {
            node.late = Some(ask(&node.disk, &process));
        }
    }

    fn power(&self, state: &mut State, n: u8, kept: u8) {
        self.ends(state, n);
        let node = &mut state.nodes[usize::from(n)];
        node.disk.keep(usize::from(kept));
        node.boot += 1;
        state.harmed += u8::from(self.bounds.os);
    }
}

fn ask(disk: &Disk, process: &Process) -> Ask {
    Ask {
        start: process.start,
        starts: disk.starts,
        incarnation: disk.incarnation,
        directory: disk.directory,
        at: disk.at,
        unclean: process.unclean,
    }
}

fn beat(state: &mut State, n: u8, position: u8) -> Option<()> {
    is_registered(state, n).then_some(())?;
    let heard = &mut state.heard[usize::from(n)];
    (*heard < position).then(|| *heard = position)
}
