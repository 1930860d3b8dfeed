//! The proposals of the controller whose end it has not seen.
//!
//! ```text
//!   image ── pending 1 ── pending 2 ── … ──> ahead: the image on which the next decision stands (R43)
//! ```
//! `ahead` is made by the same `Image::apply` as the image itself, so a change that will not count there does not count
//! here. A broker epoch of a pending registration is a guess, because the log gives the index. No asker has been told it,
//! so no question can name it.
//!
//! An answer "unknown" does not end a proposal, because its batch may still come. It ends when a later one is committed:
//! the log keeps the order of proposals, so the doubted one is not in it. Where nothing else is proposed, a barrier is.
//! This file decides nothing.

use super::messages::{Ask, Reply};
use super::room::Load;
use crate::ids::{BrokerId, Ticket};
use crate::metadata::image::Image;
use crate::metadata::log::ProposalId;
use crate::metadata::record::MetadataRecord;
use crate::mutant::{Mutant, planted};
use std::sync::Arc;

/// A proposal whose end the stream has not shown yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub id: ProposalId,
    records: Vec<MetadataRecord>,
    /// The askers and their answers; none once they were told that the end is unknown.
    pub askers: Vec<(Ticket, Reply)>,
    /// Asks whose answer rests on this proposal. They are decided when it has ended.
    pub held: Vec<(Ticket, Ask)>,
    /// The room that the records and the held asks take.
    load: Load,
    /// Why the end is unknown, if the log said so.
    doubt: Option<String>,
    /// It changes nothing: its commit shows that the doubted ones before it are not in the log.
    barrier: bool,
}

/// All pending proposals, oldest first: the log commits in the order of proposals.
#[derive(Debug)]
pub(super) struct Proposals {
    next: ProposalId,
    list: Vec<Pending>,
    /// The image with all of them applied, as far as it was asked for.
    ahead: Option<Arc<Image>>,
}

impl Proposals {
    /// No proposals. `first` is the id of the next one.
    pub fn new(first: ProposalId) -> Proposals {
        Proposals { next: first, list: Vec::new(), ahead: None }
    }

    /// The node that proposes.
    pub fn node(&self) -> BrokerId {
        self.next.node
    }

    /// The image with all pending proposals applied.
    pub fn ahead(&mut self, image: &Arc<Image>) -> Arc<Image> {
        if self.list.is_empty() || planted(Mutant::DecidedOnImageAlone) {
            return Arc::clone(image);
        }
        let ahead = self.ahead.get_or_insert_with(|| {
            let mut ahead = Image::clone(image);
            for pending in &self.list {
                ahead.apply_batch(ahead.applied.saturating_add(1), &pending.records);
            }
            Arc::new(ahead)
        });
        Arc::clone(ahead)
    }

    /// The image has changed, so what stands on it is made anew.
    pub fn rebase(&mut self) {
        self.ahead = None;
    }

    /// Keeps a new proposal, and gives its id.
    pub fn push(&mut self, records: Vec<MetadataRecord>, askers: Vec<(Ticket, Reply)>) -> ProposalId {
        self.keep(records, askers, false)
    }

    /// Keeps a proposal that changes nothing, and gives its id. There is none unless the newest proposal is in doubt:
    /// behind any other one, that one's own end is enough.
    pub fn push_barrier(&mut self, records: Vec<MetadataRecord>) -> Option<ProposalId> {
        let needed = self.list.last().is_some_and(|newest| newest.doubt.is_some());
        needed.then(|| self.keep(records, Vec::new(), true))
    }

    fn keep(
        &mut self,
        records: Vec<MetadataRecord>,
        askers: Vec<(Ticket, Reply)>,
        barrier: bool,
    ) -> ProposalId {
        let id = self.next;
        self.next = id.next();
        if let Some(ahead) = &mut self.ahead {
            let index = ahead.applied.saturating_add(1);
            Arc::make_mut(ahead).apply_batch(index, &records);
        }
        let load = Load::of_records(&records);
        self.list.push(Pending { id, records, askers, held: Vec::new(), load, doubt: None, barrier });
        id
    }

    /// Ends a proposal, and gives what has waited for it.
    pub fn take(&mut self, id: ProposalId) -> Option<Pending> {
        let at = self.list.iter().position(|p| p.id == id)?;
        self.ahead = None;
        Some(self.list.remove(at))
    }

    /// Ends the proposals of unknown end that this one has passed, and gives them.
    pub fn passed_by(&mut self, id: ProposalId) -> Vec<Pending> {
        let Some(at) = self.list.iter().position(|p| p.id == id) else { return Vec::new() };
        let later = self.list.split_off(at);
        let (doubted, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.list).into_iter().partition(|p| p.doubt.is_some());
        self.list = waiting.into_iter().chain(later).collect();
        self.ahead = None;
        doubted
    }

    /// Ends every proposal: the log has none of them, or nobody can tell.
    pub fn take_all(&mut self) -> Vec<Pending> {
        self.ahead = None;
        std::mem::take(&mut self.list)
    }

    /// Notes that a proposal's end is unknown, and gives its askers, who wait no longer. No asker needs the end of a barrier.
    pub fn doubt(&mut self, id: ProposalId, why: &str) -> Vec<(Ticket, Reply)> {
        self.list.retain(|p| p.id != id || !p.barrier);
        let Some(pending) = self.list.iter_mut().find(|p| p.id == id) else { return Vec::new() };
        pending.doubt = Some(why.to_owned());
        std::mem::take(&mut pending.askers)
    }

    /// The reason why the end of some proposal is unknown.
    pub fn doubted(&self) -> Option<&String> {
        self.list.iter().find_map(|p| p.doubt.as_ref())
    }

    /// Keeps an ask until the newest proposal has ended; gives it back if there is none.
    pub fn hold(&mut self, ticket: Ticket, ask: Ask, load: Load) -> Option<(Ticket, Ask)> {
        match self.list.iter_mut().rfind(|p| !p.barrier) {
            Some(pending) => {
                pending.held.push((ticket, ask));
                pending.load = pending.load.and(load);
                None
            }
            None => Some((ticket, ask)),
        }
    }

    /// The room that all of them take.
    pub fn load(&self) -> Load {
        self.list.iter().fold(Load::default(), |sum, pending| sum.and(pending.load))
    }

    /// The ids of all of them.
    pub fn ids(&self) -> impl Iterator<Item = ProposalId> {
        self.list.iter().map(|p| p.id)
    }
}
