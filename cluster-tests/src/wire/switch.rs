//! The thread that carries packets: it reads from every TUN, asks the judge, and writes when a packet's time has come.
//!
//! ```text
//!   poll(all TUNs, until the next packet is due) ──> read up to 64 of each ──> judge ──> queue by time ──> write what is due
//! ```
//! A TUN that takes no packet loses it, as a network card with a full ring does. The end of the value ends the thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::judge::Judge;
use super::table::Table;

/// Packets that are read of one TUN before the others have their turn.
const TURN: usize = 64;
/// The longest wait, after which the thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// More than an IPv4 packet can have.
const ROOM: usize = 1 << 16;
/// An IPv4 header without options.
const HEADER: usize = 20;
/// Packets that wait at most; later ones are lost.
const WAITING: usize = 200_000;

/// A packet on its way. It is ordered by its time, then by its number, so that equal times keep the order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    at: Duration,
    number: u64,
    from: usize,
    to: usize,
    bytes: Arc<[u8]>,
}

/// The thread of a wire; drop ends it.
pub(super) struct Switch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Carries packets between these TUNs; end n has the address whose last byte is n + 1.
    pub(super) fn start(tuns: Vec<File>, table: Arc<Table>, seed: u64) -> Switch {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let ends = table.ends();
        let judges = (0..ends * ends).map(|at| Judge::new(seed, at / ends, at % ends)).collect();
        let mut carrier =
            Carrier { tuns, table, judges, waiting: BinaryHeap::new(), number: 0, zero: Instant::now() };
        let thread = std::thread::spawn(move || {
            let mut room = vec![0; ROOM];
            while !stopped.load(Ordering::SeqCst) {
                carrier.turn(&mut room);
            }
        });
        Switch { stop, thread: Some(thread) }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked has said so.
            let _ = thread.join();
        }
    }
}

struct Carrier {
    tuns: Vec<File>,
    table: Arc<Table>,
    judges: Vec<Judge>,
    waiting: BinaryHeap<Reverse<Packet>>,
    number: u64,
    zero: Instant,
}

impl Carrier {
    fn turn(&mut self, room: &mut [u8]) {
        let now = self.zero.elapsed();
        let due = self.waiting.peek().map_or(LOOK, |next| next.0.at.saturating_sub(now).min(LOOK));
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(due.subsec_nanos()) };
        let mut fds: Vec<PollFd<'_>> =
            self.tuns.iter().map(|tun| PollFd::from_borrowed_fd(tun.as_fd(), PollFlags::IN)).collect();
        let polled = poll(&mut fds, Some(&wait));
        let ready: Vec<usize> = fds
            .iter()
            .enumerate()
            .filter(|(_, fd)| polled.is_ok() && fd.revents().contains(PollFlags::IN))
            .map(|(end, _)| end)
            .collect();
        for end in ready {
            for _ in 0..TURN {
                let Some(read) = self.tuns.get_mut(end).and_then(|tun| tun.read(room).ok()) else { break };
                if let Some(packet) = room.get(..read) {
                    self.take(end, packet);
                }
            }
        }
        self.deliver();
    }

    fn take(&mut self, from: usize, packet: &[u8]) {
        let Some(to) = destination(packet).filter(|to| *to < self.tuns.len() && *to != from) else { return };
        let rule = self.table.rule(from, to);
        let now = self.zero.elapsed();
        let Some(judge) = self.judges.get_mut(from * self.table.ends() + to) else { return };
        let arrivals = judge.judge(&rule, packet.len(), now);
        let lost = arrivals[0].is_none() || self.waiting.len() >= WAITING;
        self.table.note(from, to, |count| {
            count.seen += 1;
            count.lost += u64::from(lost);
        });
        if lost {
            return;
        }
        let bytes: Arc<[u8]> = packet.into();
        for at in arrivals.into_iter().flatten() {
            self.number += 1;
            let packet = Packet { at, number: self.number, from, to, bytes: Arc::clone(&bytes) };
            self.waiting.push(Reverse(packet));
        }
    }

    fn deliver(&mut self) {
        let now = self.zero.elapsed();
        while self.waiting.peek().is_some_and(|next| next.0.at <= now) {
            let Some(Reverse(packet)) = self.waiting.pop() else { return };
            // A full ring, or a device that is down: the packet is lost, as on a real wire.
            let written = self.tuns.get_mut(packet.to).is_some_and(|tun| tun.write(&packet.bytes).is_ok());
            self.table.note(packet.from, packet.to, |count| {
                count.passed += u64::from(written);
                count.lost += u64::from(!written);
            });
        }
    }
}

/// The end that an IPv4 packet is for.
fn destination(packet: &[u8]) -> Option<usize> {
    let version = packet.first()? >> 4;
    let last = *packet.get(HEADER - 1)?;
    if version != 4 { None } else { usize::from(last).checked_sub(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ipv4_has_a_destination() {
        let mut packet = [0; 20];
        packet[0] = 0x45;
        packet[19] = 3;
        assert_eq!(destination(&packet), Some(2));
        packet[0] = 0x60;
        assert_eq!(destination(&packet), None);
        assert_eq!(destination(&packet[..10]), None);
        assert_eq!(destination(&[]), None);
    }

    #[test]
    fn equal_times_keep_their_order() {
        let packet = |at: u64, number| Packet {
            at: Duration::from_millis(at),
            number,
            from: 0,
            to: 1,
            bytes: Arc::from(&[][..]),
        };
        let mut waiting: BinaryHeap<_> = [packet(2, 1), packet(1, 3), packet(1, 2)].map(Reverse).into();
        let mut numbers = Vec::new();
        while let Some(Reverse(packet)) = waiting.pop() {
            numbers.push(packet.number);
        }
        assert_eq!(numbers, [2, 3, 1]);
    }
}
