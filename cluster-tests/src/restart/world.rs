//! A state of all nodes and of the controller, and every step that can come next.

use super::disk::{Disk, Log, NODES, RECORDS};
use super::real::Real;
use super::rule::{Ask, Broker, Event, Image, NOBODY, Paper, Planted, Rule, Said, Wish, bit};
use super::start::Upto;
use super::violation::Violation;

/// The most leader epochs of a run.
pub const EPOCHS: usize = 12;
/// Stands for a follower that the leader has not heard in this epoch.
pub const SILENT: u8 = u8::MAX;

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Kill,
    Power,
    /// The power of all machines goes at once.
    PowerAll,
    /// A sync fails, and the process ends.
    SyncFails,
    /// The directory is emptied; its identity file stays.
    Wipe,
    /// The saved copy of the directory comes back.
    Restore,
    /// The process ends in order, and leaves its marker.
    End,
    /// A death between two steps of a start.
    MidStart,
    /// A member of ISR or ELR finds that it cannot serve its bytes, asks to leave, and then drops them (R41).
    Rot,
    /// A replica outside of both drops its bytes. It says so first, as a member does.
    RotOutside,
}

/// When a directory may be copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copies {
    Never,
    /// While its process is down.
    Cold,
    /// While its process runs, too.
    Hot,
}

/// The bounds of a search.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub rule: Rule,
    pub planted: Option<Planted>,
    pub nodes: usize,
    pub records: usize,
    pub os: bool,
    pub min: u8,
    /// Faults in one run, of these kinds.
    pub faults: u8,
    pub kinds: Vec<Fault>,
    /// Living nodes that are fenced in one run.
    pub fenced: u8,
    /// Changes of `min.insync.replicas` between 1 and 2.
    pub min_changes: u8,
    /// The highest leader epoch.
    pub epoch: u8,
    /// When a copy of one directory may be saved.
    pub copies: Copies,
    /// Heartbeats come late, and the controller forgets what it heard.
    pub heard_late: bool,
    /// A registration may arrive after its process has died.
    pub asks_late: bool,
    /// `/proc` is hidden, so no machine knows its boot.
    pub hidden: bool,
    /// Leaders may propose to drop a living member.
    pub shrinks: bool,
    /// What a follower has is acknowledged at once where the two are connected. An acknowledgement that comes later leads
    /// to states in which less was acknowledged, so this loses none that break a rule.
    pub prompt: bool,
    /// From every state a leader with a full ISR comes by itself, if a sound member is left.
    pub calm: bool,
}

/// A process's last look at the image.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct View {
    pub leader: u8,
    pub leader_epoch: u8,
    pub partition_epoch: u16,
    pub isr: u8,
    pub min: u8,
    pub starts: [u8; NODES],
}

/// What a process does with the partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    Idle,
    Follower {
        /// Its log is a prefix of the leader's.
        matched: bool,
    },
    Leader {
        /// Where its epoch began (R4).
        begins: u8,
        acks: [u8; NODES],
        /// Members that it has proposed (R7).
        also: u8,
        high_watermark: u8,
    },
}

/// How far a process has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stage {
    Asked,
    /// Registered; the grant is not stored.
    Granted,
    Serves,
}

/// A process from its start to its death, with its own look at the metadata.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Process {
    pub start: u8,
    pub stage: Stage,
    pub unclean: bool,
    pub view: View,
    pub role: Role,
}

/// A machine with its directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    pub disk: Disk,
    pub copy: Option<Disk>,
    pub process: Option<Process>,
    pub boot: u8,
    /// Numbers of the last start and of the last directory.
    pub starts: u8,
    pub directories: u8,
    /// Its directory was refused; an operator has to act.
    pub over: bool,
    /// A registration whose process has died.
    pub late: Option<Ask>,
}

/// All machines, the committed metadata, what is on its way, and what a run has used of its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub nodes: [Node; NODES],
    pub image: Image,
    pub wish: Option<Wish>,
    /// The journal position of each registered life, as heard last.
    pub heard: [u8; NODES],
    /// The leader epoch of each record.
    pub epochs: [u8; RECORDS],
    pub appended: u8,
    /// All that was ever acknowledged.
    pub committed: Log,
    /// The process that led in the newest epoch.
    pub led: u8,
    /// Nodes that came back unclean and have not caught up since.
    pub unclean: u8,
    pub faults: u8,
    pub fenced: u8,
    pub min_changes: u8,
    /// Directories that lost something.
    pub harmed: u8,
    pub broken: Option<Violation>,
}

/// One step, for the trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Begin,
    Append(u8),
    Match(u8),
    Pull(u8),
    Sync(u8),
    Ack(u8),
    See(u8),
    Beat(u8),
    Wish(u8, u8),
    /// Whether the leader hears the answer.
    Decide(bool),
    Start(u8, Upto),
    Register(u8),
    RegisterLate(u8),
    Fence(u8),
    Unfence(u8),
    MinIsr(u8),
    Kill(u8),
    Power(u8, u8),
    PowerAll,
    /// What stays of the entries, and whether the failure was recorded.
    SyncFails(u8, u8, bool),
    End(u8),
    Copy(u8),
    Wipe(u8),
    Restore(u8),
    Rot(u8),
}

/// The bounds, and the controller that decides.
pub struct World {
    pub bounds: Bounds,
    real: Option<Real>,
}

impl World {
    /// A world of these bounds.
    #[must_use]
    pub fn new(bounds: Bounds) -> World {
        let real = (bounds.rule == Rule::Real).then(|| Real::new(bounds.nodes, bounds.min));
        World { bounds, real }
    }

    /// All nodes run, are registered and in sync; the first one leads.
    #[must_use]
    pub fn begin(&self) -> State {
        let all = (1u8 << self.bounds.nodes) - 1;
        let broker =
            Broker { start: 1, incarnation: 1, fenced: false, directory: 0, opened: 1, synced: [0; 4] };
        let mut brokers = [Broker::default(); NODES];
        brokers[..self.bounds.nodes].fill(broker);
        let (leader, min) = (0, self.bounds.min);
        let image = Image {
            leader,
            leader_epoch: 0,
            partition_epoch: 0,
            isr: all,
            elr: 0,
            marked: 0,
            min,
            brokers,
            real: 0,
        };
        let node = |n: usize| {
            let disk = Disk::empty(0, 1 << 1, 1);
            let role = match n {
                0 => Role::Leader { begins: 0, acks: [SILENT; NODES], also: 0, high_watermark: 0 },
                _ => Role::Follower { matched: false },
            };
            let process =
                Process { start: 1, stage: Stage::Serves, unclean: false, view: view(&image), role };
            Node {
                disk,
                copy: None,
                process: (n < self.bounds.nodes).then_some(process),
                boot: 0,
                starts: 1,
                directories: 0,
                over: n >= self.bounds.nodes,
                late: None,
            }
        };
        State {
            nodes: std::array::from_fn(node),
            image,
            wish: None,
            heard: [0; NODES],
            epochs: [0; RECORDS],
            appended: 0,
            committed: Log::default(),
            led: life(0, 1),
            unclean: 0,
            faults: 0,
            fenced: 0,
            min_changes: 0,
            harmed: 0,
            broken: None,
        }
    }

    /// The image after an event, by the rule that is searched.
    pub fn decide(&mut self, image: &Image, event: Event) -> (Image, Said) {
        match &mut self.real {
            Some(real) => real.decide(image, event),
            None => Paper { nodes: self.bounds.nodes, planted: self.bounds.planted }.decide(image, event),
        }
    }

    /// Nodes that take part, by number.
    pub fn all(&self) -> std::ops::Range<u8> {
        0..self.bounds.nodes as u8
    }

    /// All steps without a fault, those first that lead on.
    #[must_use]
    pub fn calm_steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        for n in self.all() {
            let node = &state.nodes[usize::from(n)];
            match &node.process {
                None if !node.over => steps.push(Step::Start(n, Upto::Asked)),
                Some(process) if process.stage == Stage::Asked => steps.push(Step::Register(n)),
                _ => {}
            }
            steps.push(Step::See(n));
            steps.push(Step::Unfence(n));
            if !is_registered(state, n) {
                steps.push(Step::Fence(n));
            }
        }
        if state.wish.is_some() {
            steps.push(Step::Decide(true));
        }
        for n in self.all() {
            steps.extend([Step::Pull(n), Step::Sync(n)]);
            if !self.bounds.prompt {
                steps.extend([Step::Match(n), Step::Ack(n)]);
            }
            // A leader asks again and again for a member that is fenced; that leads nowhere.
            let unfenced = |step: &Step| match step {
                Step::Wish(_, isr) => {
                    self.all().all(|n| isr & bit(n) == 0 || !state.image.brokers[usize::from(n)].fenced)
                }
                _ => true,
            };
            steps.extend(self.expansions(state, n).into_iter().filter(unfenced));
        }
        steps
    }

    fn expansions(&self, state: &State, leader: u8) -> Vec<Step> {
        let Some(Process { view, role: Role::Leader { begins, acks, high_watermark, .. }, .. }) =
            state.nodes[usize::from(leader)].process
        else {
            return Vec::new();
        };
        let needed = begins.max(high_watermark);
        let joins = |node: &u8| {
            let ack = acks[usize::from(*node)];
            view.isr & bit(*node) == 0 && ack != SILENT && ack >= needed
        };
        self.all().filter(joins).map(|node| Step::Wish(leader, view.isr | bit(node))).collect()
    }

    /// All steps, faults included.
    #[must_use]
    pub fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = self.calm_steps(state);
        if state.wish.is_some() {
            steps.push(Step::Decide(false));
        }
        if self.bounds.min_changes > state.min_changes {
            steps.push(Step::MinIsr(3 - state.image.min));
        }
        for n in self.all() {
            let node = &state.nodes[usize::from(n)];
            if self.bounds.records > usize::from(state.appended) {
                steps.push(Step::Append(n));
            }
            steps.extend(self.expansions(state, n));
            if self.bounds.heard_late {
                steps.push(Step::Beat(n));
            }
            if node.late.is_some() {
                steps.push(Step::RegisterLate(n));
            }
            if self.bounds.fenced > state.fenced && is_registered(state, n) {
                steps.push(Step::Fence(n));
            }
            let copied = match self.bounds.copies {
                Copies::Never => false,
                Copies::Cold => node.process.is_none(),
                Copies::Hot => true,
            };
            if copied && !node.over && state.nodes.iter().all(|node| node.copy.is_none()) {
                steps.push(Step::Copy(n));
            }
            if let (true, Some(Process { view, role: Role::Leader { .. }, .. })) =
                (self.bounds.shrinks, node.process)
            {
                let others = self.all().filter(|other| *other != n && view.isr & bit(*other) != 0);
                steps.extend(others.map(|other| Step::Wish(n, view.isr & !bit(other))));
            }
            if state.faults < self.bounds.faults {
                self.faults(state, n, &mut steps);
            }
        }
        if state.faults < self.bounds.faults && self.bounds.kinds.contains(&Fault::PowerAll) {
            steps.push(Step::PowerAll);
        }
        steps
    }

    fn faults(&self, state: &State, n: u8, steps: &mut Vec<Step>) {
        let node = &state.nodes[usize::from(n)];
        let (runs, tail) = (node.process.is_some(), node.disk.waiting() as u8);
        let listed = (state.image.isr | state.image.elr) & bit(n) != 0;
        for kind in &self.bounds.kinds {
            match kind {
                Fault::Kill if runs => steps.push(Step::Kill(n)),
                Fault::Power if runs || tail > 0 => {
                    steps.extend((0..=tail).map(|kept| Step::Power(n, kept)));
                }
                Fault::SyncFails if runs && tail > 0 => {
                    steps.extend((0..=tail).map(|kept| Step::SyncFails(n, kept, true)));
                    // A failure that nobody could record loses nothing acknowledged where a sync comes first.
                    if !self.bounds.os {
                        steps.extend((0..=tail).map(|kept| Step::SyncFails(n, kept, false)));
                    }
                }
                Fault::End if runs => steps.push(Step::End(n)),
                Fault::Wipe if usize::from(node.directories) + 1 < super::rule::DIRECTORIES => {
                    steps.push(Step::Wipe(n));
                }
                Fault::Rot if runs && listed => steps.push(Step::Rot(n)),
                Fault::RotOutside if runs && !listed => steps.push(Step::Rot(n)),
                Fault::Restore if node.copy.is_some() => steps.push(Step::Restore(n)),
                Fault::MidStart if !runs && !node.over => {
                    for power in [false, true] {
                        steps.push(Step::Start(n, Upto::Marker { power }));
                        steps.push(Step::Start(n, Upto::Verdict { power }));
                        steps.push(Step::Start(n, Upto::Identity { power }));
                    }
                }
                _ => {}
            }
        }
    }
}

/// Whether the registered life of a node is the process that runs.
#[must_use]
pub fn is_registered(state: &State, n: u8) -> bool {
    let process = state.nodes[usize::from(n)].process;
    process.is_some_and(|process| {
        process.stage != Stage::Asked && process.start == state.image.brokers[usize::from(n)].start
    })
}

/// The name of a process over all nodes.
#[must_use]
pub fn life(node: u8, start: u8) -> u8 {
    (node + 1) << 5 | start
}

/// What a process reads of an image.
#[must_use]
pub fn view(image: &Image) -> View {
    View {
        leader: image.leader,
        leader_epoch: image.leader_epoch,
        partition_epoch: image.partition_epoch,
        isr: image.isr,
        min: image.min,
        starts: image.brokers.map(|broker| broker.start),
    }
}

/// The state without numbers of which only equality counts, and without positions if no directory was ever copied: a
/// position is then never below a recorded one.
#[must_use]
pub fn canonical(bounds: &Bounds, state: &State) -> State {
    let mut state = *state;
    if bounds.copies == Copies::Never {
        state.heard = [0; NODES];
        state.nodes.iter_mut().for_each(|node| node.disk.at = 0);
        state.image.brokers.iter_mut().for_each(|broker| broker.synced = [0; 4]);
    }
    let now = state.image.partition_epoch;
    for process in state.nodes.iter_mut().filter_map(|node| node.process.as_mut()) {
        process.view.partition_epoch = u16::from(process.view.partition_epoch == now);
    }
    state.wish = state.wish.map(|wish| Wish { partition_epoch: 0, ..wish });
    (state.image.partition_epoch, state.image.real) = (0, 0);
    debug_assert!(state.image.leader == NOBODY || usize::from(state.image.leader) < NODES);
    state
}
