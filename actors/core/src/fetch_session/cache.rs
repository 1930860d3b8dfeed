//! The sessions of all clients, within a number of slots and a number of bytes.
//!
//! A new session that finds no slot takes one from a session that was idle for two minutes. Otherwise it takes one
//! from the smallest session that is older than two minutes and smaller than the new one. So a crowd of
//! one-partition sessions cannot keep a large consumer out, and a young session is safe. A client without a slot
//! gets id 0 and goes on with full requests.
//!
//! The bound on bytes is our own: in Kafka a session may name any number of partitions. A session that would grow
//! beyond the bound ends.

use super::messages::{Key, Kind, Part, Request, Said, Verdict, next_epoch};
use super::session::{Session, cost};
use crate::error::ErrorCode;
use crate::limits;
use crate::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// A session idle for so long gives way to any; a younger one gives way to none.
const EVICTION_MS: u64 = 120_000;

/// The bounds of the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    pub slots: usize,
    /// Memory of all sessions.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { slots: 1000, bytes: limits::FETCH_SESSION_BYTES }
    }
}

/// All fetch sessions of this node.
#[derive(Debug)]
pub struct FetchSessions {
    limits: Limits,
    bytes: usize,
    sessions: BTreeMap<i32, Session>,
    /// The session that was idle longest comes first.
    by_use: BTreeSet<(Millis, i32)>,
    /// Sessions that are old enough to be replaced; the smallest comes first.
    by_size: BTreeSet<(usize, i32)>,
}

impl FetchSessions {
    /// A cache without sessions.
    #[must_use]
    pub fn new(limits: Limits) -> FetchSessions {
        FetchSessions {
            limits,
            bytes: 0,
            sessions: BTreeMap::new(),
            by_use: BTreeSet::new(),
            by_size: BTreeSet::new(),
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Memory of all sessions.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the cache has no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Takes a request. Returns its kind and the partitions to fetch, or the error that is its whole answer.
    pub fn begin(&mut self, now: Millis, request: Request) -> Result<(Kind, Vec<Part>), ErrorCode> {
        if matches!(request.epoch, 0 | -1) {
            self.remove(request.session_id);
            let kind = match request.epoch {
                0 => Kind::Full { by_id: request.by_id },
                _ => Kind::Sessionless,
            };
            return Ok((kind, own_parts(request.parts)));
        }
        let id = request.session_id;
        let session = self.sessions.get(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_id != request.by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        let new = request.parts.iter().filter(|(key, _)| !session.has(key));
        let grown: usize = new.map(|(key, _)| cost(key)).sum();
        let Some(mut session) = self.take(id) else { return Err(ErrorCode::FetchSessionIdNotFound) };
        if self.bytes + session.bytes() + grown > self.limits.bytes {
            // The session is gone, so the client begins anew with a full request.
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        for (key, wanted) in &request.parts {
            session.put(key.clone(), *wanted, Default::default());
        }
        request.forgotten.iter().for_each(|key| session.forget(key));
        if session.len() == 0 {
            return Ok((Kind::Sessionless, own_parts(request.parts)));
        }
        session.used = now;
        session.epoch = next_epoch(session.epoch);
        let (kind, parts) = (Kind::Incremental { id, next: session.epoch }, session.parts());
        self.insert(id, session);
        Ok((kind, parts))
    }

    /// Takes the answers of the partitions, in the order given. `number` becomes the id of a new session, if it is
    /// free.
    pub fn finish(&mut self, now: Millis, kind: Kind, number: i32, answers: &[(Part, Said)]) -> Verdict {
        let everything = || Ok(vec![true; answers.len()]);
        match kind {
            Kind::Sessionless => Verdict { session_id: 0, result: everything() },
            Kind::Full { by_id } => {
                let session_id = self.create(now, by_id, number, answers);
                Verdict { session_id, result: everything() }
            }
            Kind::Incremental { id, next } => match self.sessions.get_mut(&id) {
                Some(session) if session.epoch == next => {
                    let told = answers.iter().map(|(part, said)| session.said(&part.key, said));
                    Verdict { session_id: id, result: Ok(told.collect()) }
                }
                // The client repeated the request while this one was fetching.
                Some(_) => Verdict { session_id: id, result: Err(ErrorCode::InvalidFetchSessionEpoch) },
                // The session had to give way meanwhile. This answer is still right, and the next request hears of
                // it.
                None => {
                    let told = answers.iter().map(|(part, said)| said.against(part.known).0);
                    Verdict { session_id: id, result: Ok(told.collect()) }
                }
            },
        }
    }

    /// Makes a session of a full request; returns its id, or 0.
    fn create(&mut self, now: Millis, by_id: bool, number: i32, answers: &[(Part, Said)]) -> i32 {
        let mut session = Session::new(now, by_id);
        let bytes: usize = answers.iter().map(|(part, _)| cost(&part.key)).sum();
        while self.bytes + bytes > self.limits.bytes {
            if !self.evict_stale(now) {
                return 0;
            }
        }
        let room = self.sessions.len() < self.limits.slots || self.evict(now, answers.len());
        if !room || self.limits.slots == 0 {
            return 0;
        }
        for (part, said) in answers {
            let (_, known) = said.against(part.known);
            session.put(part.key.clone(), part.wanted, known);
        }
        let id = self.free_id(number);
        self.insert(id, session);
        id
    }

    /// The first free id from `number` on, and from 1 on; slots are fewer than ids.
    fn free_id(&self, number: i32) -> i32 {
        let mut id = number.checked_abs().unwrap_or(1).max(1);
        while self.sessions.contains_key(&id) {
            id = next_epoch(id);
        }
        id
    }

    fn evict_stale(&mut self, now: Millis) -> bool {
        match self.by_use.first() {
            Some((used, id)) if now > used.plus(EVICTION_MS) => self.remove(*id),
            _ => false,
        }
    }

    /// Takes a slot from another session, if a session of this size may.
    fn evict(&mut self, now: Millis, size: usize) -> bool {
        if self.evict_stale(now) {
            return true;
        }
        match self.by_size.first() {
            Some((smallest, id)) if *smallest < size => self.remove(*id),
            _ => false,
        }
    }

    fn remove(&mut self, id: i32) -> bool {
        self.take(id).is_some()
    }

    fn take(&mut self, id: i32) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.by_use.remove(&(session.used, id));
        self.by_size.remove(&(session.len(), id));
        self.bytes -= session.bytes();
        Some(session)
    }

    fn insert(&mut self, id: i32, session: Session) {
        self.bytes += session.bytes();
        self.by_use.insert((session.used, id));
        if session.used > session.created.plus(EVICTION_MS) {
            self.by_size.insert((session.len(), id));
        }
        self.sessions.insert(id, session);
    }

    /// Panics if slots, bytes or orders of the cache do not agree.
    #[cfg(any(test, debug_assertions))]
    pub fn check(&self) {
        self.sessions.values().for_each(Session::check);
        assert!(self.sessions.len() <= self.limits.slots && self.bytes <= self.limits.bytes);
        assert_eq!(self.bytes, self.sessions.values().map(Session::bytes).sum::<usize>());
        assert_eq!(self.by_use.len(), self.sessions.len());
        assert!(self.by_use.iter().all(|(used, id)| self.sessions.get(id).is_some_and(|s| s.used == *used)));
        assert!(
            self.by_size.iter().all(|(size, id)| self.sessions.get(id).is_some_and(|s| s.len() == *size))
        );
    }
}

/// The partitions of a request. A partition named twice keeps its first place and its last wish.
fn own_parts(parts: Vec<(Key, super::Wanted)>) -> Vec<Part> {
    let mut places: BTreeMap<Key, usize> = BTreeMap::new();
    let mut own: Vec<Part> = Vec::with_capacity(parts.len());
    for (key, wanted) in parts {
        match places.get(&key).and_then(|at| own.get_mut(*at)) {
            Some(part) => part.wanted = wanted,
            None => {
                places.insert(key.clone(), own.len());
                own.push(Part { key, wanted, known: super::Known::default() });
            }
        }
    }
    own
}
