//! Tickets: names for the things that a shell keeps while its machine decides, such as replies and payloads.
//!
//! A machine sees only a [`Ticket`]. The shell keeps the thing here and hands the ticket in with the input. It takes
//! the thing out again when an effect names the ticket. Tickets count up, and one shell uses none twice. This table
//! sets no deadline; the machine does.

use callboard_core::Ticket;
use std::collections::HashMap;

/// The kept things of one shell, by ticket.
#[derive(Debug)]
pub struct Tickets<T> {
    next: u64,
    kept: HashMap<Ticket, T>,
}

impl<T> Default for Tickets<T> {
    fn default() -> Tickets<T> {
        Tickets { next: 0, kept: HashMap::new() }
    }
}

impl<T> Tickets<T> {
    /// Keeps a thing and gives it a ticket.
    pub fn keep(&mut self, thing: T) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.kept.insert(ticket, thing);
        ticket
    }

    /// A kept thing, to be changed in place.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        self.kept.get_mut(&ticket)
    }

    /// Gives a kept thing back; none if it was taken before.
    pub fn take(&mut self, ticket: Ticket) -> Option<T> {
        self.kept.remove(&ticket)
    }

    /// Gives back all things that are still kept.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        self.kept.drain().map(|(_, thing)| thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_gives_its_thing_back_once() {
        let mut tickets = Tickets::default();
        let (a, b) = (tickets.keep("a"), tickets.keep("b"));
        assert_ne!(a, b);
        assert_eq!((tickets.take(a), tickets.take(a)), (Some("a"), None));
        assert_ne!(tickets.keep("c"), a, "a ticket is never used twice");
        let mut rest: Vec<_> = tickets.drain().collect();
        rest.sort_unstable();
        assert_eq!(rest, ["b", "c"]);
    }
}
