//! The controller as the search sees it: a small image, what can be asked, and the rule on paper (R8–R12, R46, R47).
//!
//! The paper rule is a few lines written from the rules alone, so that they can be searched apart from the code.
//! `real.rs` answers the same questions through the code. A broker epoch is the number of the start that was granted
//! it, because each start of a node is granted one at most.

use super::disk::NODES;

/// Stands in the place of a leader where nobody leads.
pub const NOBODY: u8 = u8::MAX;
/// The most directories of one node.
pub const DIRECTORIES: usize = 4;

/// Who decides for the controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Rule {
    #[default]
    Paper,
    Real,
}

/// A bug planted in the world or in the paper rule; also variants of the rule that a design could choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// An unclean replica stays in the ELR (M9).
    UncleanStays,
    /// A fenced member of the ELR is elected (M10).
    FencedElected,
    /// A change of `min.insync.replicas` leaves the ELR (M11).
    ElrKept,
    /// A registration raises no leader epoch (M12).
    NoEpochBump,
    /// The marker of a clean end stays (M17).
    MarkerKept,
    /// A directory is not asked for the last registered process (M23).
    RestoredAccepted,
    /// An unknown boot is the same as an unknown boot.
    UnknownBootIsKnown,
    /// A lower journal position than the recorded one is clean.
    PositionsIgnored,
    /// A crash behind the recovery forgets its verdict.
    VerdictForgotten,
    /// A directory in which the replica was never opened is clean.
    DirectoryIgnored,
    /// Variant: a change of `min.insync.replicas` clears the ELR.
    ElrCleared,
    /// Variant: an unclean registration raises the leader epoch whoever leads.
    UncleanBumps,
    /// Variant: the last member of the ELR stays though it came back unclean.
    LastStays,
    /// Variant: a replica that gives up its bytes leaves without a higher leader epoch (R41).
    LeavesQuietly,
    /// Variant: positions are recorded when the node registers too, and not at the fence alone.
    RecordedAlways,
    /// Variant: the written position is heard and compared where durability is `os`.
    WrittenCompared,
}

/// A node as the image knows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Broker {
    pub start: u8,
    pub incarnation: u8,
    pub fenced: bool,
    /// The directory of the registered life.
    pub directory: u8,
    /// The directories in which the replica was opened, one bit each.
    pub opened: u8,
    /// The recorded journal position, by directory.
    pub synced: [u8; DIRECTORIES],
}

/// The committed metadata, as far as the partition and its nodes go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Image {
    pub leader: u8,
    pub leader_epoch: u8,
    pub partition_epoch: u16,
    /// Sets of nodes, one bit each.
    pub isr: u8,
    pub elr: u8,
    /// Members that are marked unclean and never elected.
    pub marked: u8,
    pub min: u8,
    pub brokers: [Broker; NODES],
    /// The image of the code behind it.
    pub real: u32,
}

impl Image {
    /// Those whom an election may take.
    #[must_use]
    pub fn members(&self) -> u8 {
        (self.isr | self.elr) & !self.marked
    }
}

/// What a starting process says of its directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ask {
    pub start: u8,
    pub starts: u16,
    pub incarnation: u8,
    pub directory: u8,
    pub at: u8,
    pub unclean: bool,
}

/// A proposal of a leader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Wish {
    pub from: u8,
    pub leader_epoch: u8,
    pub partition_epoch: u16,
    pub isr: u8,
    /// The life of each member, the leader's own included.
    pub starts: [u8; NODES],
}

/// An event that the controller judges.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The position is the one heard last.
    Fence(u8, u8),
    Unfence(u8),
    /// The last number is the position that the former life was heard to have.
    Register(u8, Ask, u8),
    Alter(Wish),
    MinIsr(u8),
    Opened(u8, u8),
    /// A replica asks to leave, because it has to give up bytes that it acknowledged (R41).
    Leave(u8),
}

/// What becomes of an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Said {
    Done,
    Refused,
    /// The proposal was judged on the state that it names, and refused.
    Ineligible,
}

/// The bit of a node.
#[must_use]
pub fn bit(node: u8) -> u8 {
    1 << node
}

/// Whether a registration says, or shows, that the replica may lack what it acknowledged.
#[must_use]
pub fn is_unclean(broker: &Broker, ask: &Ask, recorded: u8, planted: Option<Planted>) -> bool {
    let opened_elsewhere = broker.opened & (1 << ask.directory) == 0;
    let lower = ask.at < recorded;
    ask.unclean
        || (opened_elsewhere && planted != Some(Planted::DirectoryIgnored))
        || (lower && planted != Some(Planted::PositionsIgnored))
}

/// The rule on paper.
#[derive(Clone, Copy, Debug)]
pub struct Paper {
    pub nodes: usize,
    pub planted: Option<Planted>,
}

impl Paper {
    fn has(self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    /// The image after an event, and what its asker hears.
    #[must_use]
    pub fn decide(self, image: &Image, event: Event) -> (Image, Said) {
        let mut next = *image;
        match event {
            Event::Fence(node, heard) => {
                let broker = &mut next.brokers[usize::from(node)];
                broker.fenced = true;
                raise(broker, heard);
                (self.settle(image, next, image.isr & !bit(node), 0, true), Said::Done)
            }
            Event::Unfence(node) => {
                next.brokers[usize::from(node)].fenced = false;
                (self.settle(image, next, image.isr, 0, true), Said::Done)
            }
            Event::Register(node, ask, heard) => self.register(image, node, ask, heard),
            Event::Alter(wish) => self.alter(image, wish),
            Event::MinIsr(min) => {
                next.min = min;
                if self.has(Planted::ElrKept) {
                    return (next, Said::Done);
                }
                if self.has(Planted::ElrCleared) {
                    next.elr = 0;
                    next.partition_epoch += u16::from(image.elr != 0);
                    return (next, Said::Done);
                }
                (self.settle(image, next, image.isr, 0, true), Said::Done)
            }
            Event::Leave(node) => self.leave(image, node),
            Event::Opened(node, directory) => {
                next.brokers[usize::from(node)].opened |= 1 << directory;
                (next, Said::Done)
            }
        }
    }

    fn register(self, image: &Image, node: u8, ask: Ask, heard: u8) -> (Image, Said) {
        let old = image.brokers[usize::from(node)];
        if old.start == ask.start {
            return (*image, Said::Done);
        }
        let known = ask.starts & (1 << old.start) != 0 || self.has(Planted::RestoredAccepted);
        let late = ask.incarnation < old.incarnation && !self.has(Planted::RestoredAccepted);
        if late || !known {
            return (*image, Said::Refused);
        }
        let mut next = *image;
        let broker = &mut next.brokers[usize::from(node)];
        if !old.fenced || self.has(Planted::RecordedAlways) || self.has(Planted::WrittenCompared) {
            raise(broker, heard);
        }
        let at = usize::from(ask.directory);
        let unclean = is_unclean(broker, &ask, broker.synced[at], self.planted);
        broker.synced[at] = broker.synced[at].max(ask.at);
        (broker.start, broker.incarnation, broker.fenced) = (ask.start, ask.incarnation, true);
        broker.directory = ask.directory;
        let stays = self.has(Planted::UncleanStays)
            || (self.has(Planted::LastStays) && (image.isr | image.elr) & !bit(node) == 0);
        let gone = if unclean && !stays { bit(node) } else { 0 };
        let mut next =
            self.settle(image, next, image.isr & !bit(node), gone, !self.has(Planted::NoEpochBump));
        if unclean && self.has(Planted::UncleanBumps) && next.leader_epoch == image.leader_epoch {
            next.leader_epoch += 1;
            next.partition_epoch = image.partition_epoch + 1;
        }
        (next, Said::Done)
    }

    fn leave(self, image: &Image, node: u8) -> (Image, Said) {
        let others = (image.isr | image.elr) & !bit(node);
        if others == 0 {
            // The last one keeps its bytes.
            return (*image, Said::Refused);
        }
        let mut next = self.settle(image, *image, image.isr & !bit(node), bit(node), true);
        if !self.has(Planted::LeavesQuietly) && next.leader_epoch == image.leader_epoch {
            next.leader_epoch += 1;
        }
        next.partition_epoch = image.partition_epoch + 1;
        (next, Said::Done)
    }

    /// R8, in its order.
    fn alter(self, image: &Image, wish: Wish) -> (Image, Said) {
        let same = wish.leader_epoch == image.leader_epoch
            && wish.from == image.leader
            && wish.partition_epoch == image.partition_epoch;
        if !same {
            return (*image, Said::Refused);
        }
        let serves = |node: u8| {
            let broker = image.brokers[usize::from(node)];
            !broker.fenced && broker.start == wish.starts[usize::from(node)]
        };
        let mut members = (0..self.nodes as u8).filter(|node| wish.isr & bit(*node) != 0);
        if wish.isr & bit(wish.from) == 0 || !members.all(serves) {
            return (*image, Said::Ineligible);
        }
        (self.settle(image, *image, wish.isr, 0, true), Said::Done)
    }

    /// The ELR and the leader for this ISR (R9, R10). `next` has all else that changes.
    fn settle(self, image: &Image, mut next: Image, isr: u8, unclean: u8, bump: bool) -> Image {
        let min = u32::from(next.min).min(self.nodes as u32);
        let fell_out = |isr: u8| match isr.count_ones() >= min {
            true => 0,
            false => (image.elr | image.isr) & !isr & !unclean,
        };
        let unfenced = |node: &u8| !next.brokers[usize::from(*node)].fenced;
        let first = |group: u8, may: &dyn Fn(&u8) -> bool| {
            (0..self.nodes as u8).find(|node| group & bit(*node) != 0 && may(node))
        };
        let (mut isr, mut elr) = (isr, fell_out(isr));
        let stays = image.leader != NOBODY && isr & bit(image.leader) != 0 && unfenced(&image.leader);
        let mut leader = if stays { Some(image.leader) } else { first(isr, &unfenced) };
        if isr == 0 {
            leader = first(elr, &|node| unfenced(node) || self.has(Planted::FencedElected));
            isr = leader.map_or(0, bit);
            elr = fell_out(isr);
        }
        let leader = leader.unwrap_or(NOBODY);
        (next.leader, next.isr, next.elr) = (leader, isr, elr);
        next.leader_epoch = image.leader_epoch + u8::from(leader != image.leader && bump);
        let changed = leader != image.leader || isr != image.isr || elr != image.elr;
        next.partition_epoch = image.partition_epoch + u16::from(changed);
        next
    }
}

/// Records a position of the registered life, in its directory.
fn raise(broker: &mut Broker, heard: u8) {
    let known = &mut broker.synced[usize::from(broker.directory)];
    *known = (*known).max(heard);
}
