//! A group's members: their ids, their assignors, their waiting requests, and until when each is believed alive.
//!
//! The rules of a rebalance ask the same questions for every request: have all joined, which assignor do all know, whose
//! session ends first. Indexes answer them without a walk over the members.
//!
//! ```text
//!   by id ──> Member { protocols, timeouts, assignment, waiting join | waiting sync, deadline }
//!   by instance id ──> id        protocol ──> how many know it        (deadline, id) ──> sorted
//! ```
//!
//! Pending members (KIP-394) have an id and a deadline and nothing else. Every change of a member that counts for an index
//! goes through here. No answer is made here.

use super::messages::Join;
use crate::ids::Ticket;
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Names of assignors, and the member's metadata for each.
pub(super) type Protocols = Vec<(String, Arc<[u8]>)>;

/// One member of a group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub id: Arc<str>,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub protocols: Protocols,
    pub assignment: Arc<[u8]>,
    /// It never had an answer to its JoinGroup, so it does not know its id and cannot send heartbeats.
    pub is_new: bool,
    /// The ticket of its SyncGroup that waits.
    pub sync: Option<Ticket>,
    join: Option<Ticket>,
    deadline: Option<Millis>,
}

impl Member {
    /// Makes a member out of its JoinGroup; it waits for nothing yet.
    pub fn new(id: Arc<str>, join: Join) -> Member {
        Member {
            id,
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Arc::from([]),
            is_new: false,
            sync: None,
            join: None,
            deadline: None,
        }
    }

    /// The ticket of its JoinGroup that waits.
    pub fn join(&self) -> Option<Ticket> {
        self.join
    }

    /// Takes the tickets of the JoinGroup and the SyncGroup that wait.
    pub fn take_waiting(&mut self) -> (Option<Ticket>, Option<Ticket>) {
        (self.join.take(), self.sync.take())
    }

    /// The member's metadata for this assignor.
    pub fn metadata(&self, protocol: Option<&str>) -> Arc<[u8]> {
        let named = self.protocols.iter().find(|(name, _)| Some(name.as_str()) == protocol);
        named.map_or_else(|| Arc::from([]), |(_, metadata)| metadata.clone())
    }

    /// Whether it waits for an answer that will begin another session, so that the end of this one means nothing.
    pub fn waits(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }
}

/// All members of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    by_id: BTreeMap<Arc<str>, Member>,
    by_instance: BTreeMap<String, Arc<str>>,
    pending: BTreeMap<Arc<str>, Millis>,
    deadlines: BTreeSet<(Millis, Arc<str>)>,
    known: BTreeMap<String, usize>,
    joining: usize,
}

impl Members {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The member of this id.
    pub fn get(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id)
    }

    pub fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    /// The ids of all members, so that the members can be changed meanwhile.
    pub fn ids(&self) -> Vec<Arc<str>> {
        self.by_id.keys().cloned().collect()
    }

    /// The id of the static member with this instance id.
    pub fn by_instance(&self, instance: &str) -> Option<&Arc<str>> {
        self.by_instance.get(instance)
    }

    /// How many members wait for the answer to their JoinGroup.
    pub fn joining(&self) -> usize {
        self.joining
    }

    /// Whether every member has joined and no pending one is about to.
    pub fn all_joined(&self) -> bool {
        self.joining == self.by_id.len() && self.pending.is_empty()
    }

    /// The largest rebalance timeout of any member.
    pub fn rebalance_timeout_ms(&self) -> u64 {
        let largest = self.iter().map(|member| member.rebalance_timeout_ms).max();
        largest.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)
    }

    /// Whether all members know one of these assignors.
    pub fn know_one_of(&self, protocols: &Protocols) -> bool {
        protocols.iter().any(|(name, _)| self.all_know(name))
    }

    fn all_know(&self, protocol: &str) -> bool {
        self.known.get(protocol).copied().unwrap_or(0) == self.by_id.len()
    }

    /// The assignor with the most votes: each member votes for the first of its own that all know.
    pub fn choose(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.iter() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| self.all_know(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        // In order of name from the end, so that of equals the first name wins.
        votes.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
    }

    /// Adds a member, which is pending no longer.
    pub fn insert(&mut self, member: Member) {
        self.remove(&member.id);
        self.remove_pending(&member.id);
        self.count(&member, true);
        if let Some(instance) = &member.instance_id {
            self.by_instance.insert(instance.clone(), member.id.clone());
        }
        self.by_id.insert(member.id.clone(), member);
    }

    /// Takes a member out, with its waiting tickets.
    pub fn remove(&mut self, id: &str) -> Option<Member> {
        let mut member = self.by_id.remove(id)?;
        self.count(&member, false);
        if let Some(instance) = &member.instance_id
            && self.by_instance.get(instance).is_some_and(|owner| **owner == *id)
        {
            self.by_instance.remove(instance);
        }
        member.deadline = None;
        Some(member)
    }

    fn count(&mut self, member: &Member, there: bool) {
        for (name, _) in &member.protocols {
            let count = self.known.entry(name.clone()).or_default();
            *count = if there { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.known.remove(name);
            }
        }
        let joins = usize::from(member.join.is_some());
        self.joining = if there { self.joining + joins } else { self.joining.saturating_sub(joins) };
        if let Some(at) = member.deadline {
            let entry = (at, member.id.clone());
            if there {
                self.deadlines.insert(entry);
            } else {
                self.deadlines.remove(&entry);
            }
        }
    }

    /// Changes a member's assignors and timeouts to those of its new JoinGroup.
    pub fn update(&mut self, id: &str, join: Join) {
        let Some(mut member) = self.by_id.remove(id) else { return };
        self.count(&member, false);
        member.protocols = join.protocols;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        self.count(&member, true);
        self.by_id.insert(member.id.clone(), member);
    }

    /// Sets or clears the JoinGroup that a member waits with; returns the one before.
    pub fn set_join(&mut self, id: &str, ticket: Option<Ticket>) -> Option<Ticket> {
        let member = self.by_id.get_mut(id)?;
        let before = std::mem::replace(&mut member.join, ticket);
        self.joining = self.joining + usize::from(ticket.is_some()) - usize::from(before.is_some());
        before
    }

    /// Sets or clears the SyncGroup that a member waits with; returns the one before.
    pub fn set_sync(&mut self, id: &str, ticket: Option<Ticket>) -> Option<Ticket> {
        self.by_id.get_mut(id).and_then(|member| std::mem::replace(&mut member.sync, ticket))
    }

    /// Gives a member its share.
    pub fn set_assignment(&mut self, id: &str, assignment: Arc<[u8]>) {
        if let Some(member) = self.by_id.get_mut(id) {
            member.assignment = assignment;
        }
    }

    /// Notes that a member was answered, so that it knows its id and can send heartbeats.
    pub fn set_known(&mut self, id: &str) {
        if let Some(member) = self.by_id.get_mut(id) {
            member.is_new = false;
        }
    }

    /// Whether this id was given out and its member has not joined.
    pub fn is_pending(&self, id: &str) -> bool {
        self.pending.contains_key(id)
    }

    /// Whether any id was given out whose member has not joined.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Notes an id that was given out. Its member must join before the deadline.
    pub fn add_pending(&mut self, id: Arc<str>, until: Millis) {
        self.remove_pending(&id);
        self.deadlines.insert((until, id.clone()));
        self.pending.insert(id, until);
    }

    /// Forgets an id that was given out; false if it was not.
    pub fn remove_pending(&mut self, id: &str) -> bool {
        let Some((id, until)) = self.pending.remove_entry(id) else { return false };
        self.deadlines.remove(&(until, id));
        true
    }

    /// Forgets every id that was given out.
    pub fn clear_pending(&mut self) {
        for (id, until) in std::mem::take(&mut self.pending) {
            self.deadlines.remove(&(until, id));
        }
    }

    /// Believes a member alive until then; none: until the next call.
    pub fn believe(&mut self, id: &str, until: Option<Millis>) {
        let Some(member) = self.by_id.get_mut(id) else { return };
        if let Some(before) = std::mem::replace(&mut member.deadline, until) {
            self.deadlines.remove(&(before, member.id.clone()));
        }
        if let Some(until) = until {
            self.deadlines.insert((until, member.id.clone()));
        }
    }

    /// Whether the member has a deadline.
    pub fn is_believed(&self, id: &str) -> bool {
        self.get(id).is_some_and(|member| member.deadline.is_some())
    }

    /// The member whose session ends first, and when.
    pub fn next_deadline(&self) -> Option<(Millis, &Arc<str>)> {
        self.deadlines.first().map(|(at, id)| (*at, id))
    }

    /// Panics if an index contradicts the members.
    pub fn check(&self) {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut joining, mut instances, mut deadlines) = (0, 0, self.pending.len());
        for (id, member) in &self.by_id {
            assert!(!self.pending.contains_key(id), "{id} is a member and pending");
            joining += usize::from(member.join.is_some());
            deadlines += usize::from(member.deadline.is_some());
            if let Some(instance) = &member.instance_id {
                instances += 1;
                assert_eq!(self.by_instance.get(instance), Some(id), "{instance} is someone else");
            }
            assert!(member.deadline.is_none_or(|at| self.deadlines.contains(&(at, id.clone()))));
            for (name, _) in &member.protocols {
                *known.entry(name).or_default() += 1;
            }
        }
        assert_eq!(joining, self.joining, "members that wait in join");
        assert_eq!(instances, self.by_instance.len(), "static members");
        assert_eq!(deadlines, self.deadlines.len(), "deadlines");
        assert!(
            known
                .iter()
                .map(|(name, count)| (*name, *count))
                .eq(self.known.iter().map(|(name, count)| (name.as_str(), *count)))
        );
        assert!(self.is_empty() || known.values().any(|count| *count == self.len()), "no assignor all know");
    }
}
