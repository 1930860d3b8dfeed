//! Questions and answers as bytes: one stream each, `u8 service | u32 length | body` and `u8 status | u32 length | body`.
//!
//! Numbers are little endian. A length is checked against the bound of its service before a byte of the body is read:
//! Raft may send a snapshot, a question to the controller may name many partitions, all others are small. The meaning of a body is known to those who ask and serve.

use bytes::{BufMut, Bytes, BytesMut};
use callboard_actors::ports::Service;

/// Bytes before a body.
pub(super) const HEAD: usize = 5;
/// A larger body is a bulk one, of which a connection carries few at once.
pub(super) const BULK: usize = 64 << 10;
/// Bulk questions of one connection at once.
pub(super) const BULKS: usize = 16;
/// Largest body of most services.
pub(super) const SMALL: usize = 1 << 20;
/// Largest body of Raft, which sends snapshots.
const SNAPSHOT: usize = 64 << 20;
/// Largest question to the controller: it may name each of a node's partitions.
const ASK: usize = 16 << 20;

/// The status of an answer.
pub(super) const ANSWERED: u8 = 0;
pub(super) const REFUSED: u8 = 1;

/// The longest body of a service's questions and answers.
pub(super) fn longest(service: Service) -> usize {
    match service {
        Service::Raft => SNAPSHOT,
        Service::Ask => ASK,
        _ => SMALL,
    }
}

/// Complains about a body that is too long.
pub(super) fn too_long(what: &str, service: Service, length: usize) -> Option<String> {
    let longest = longest(service);
    (length > longest).then(|| format!("{what} has {length} bytes, and {service:?} takes {longest} at most"))
}

/// The head of a message. A body longer than `u32` was refused before.
pub(super) fn head(first: u8, body: &Bytes) -> Bytes {
    let mut head = BytesMut::with_capacity(HEAD);
    head.put_u8(first);
    head.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
    head.freeze()
}

/// Reads a head: its first byte, and the length of the body.
pub(super) fn of(head: [u8; HEAD]) -> (u8, usize) {
    let [first, a, b, c, d] = head;
    (first, u32::from_le_bytes([a, b, c, d]) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let body = Bytes::from(vec![0; 70_000]);
        let head = head(Service::Ask as u8, &body);
        assert_eq!(of(head.as_ref().try_into().unwrap()), (Service::Ask as u8, 70_000));
        assert_eq!(of([1, 255, 255, 255, 255]), (1, u32::MAX as usize));
    }

    #[test]
    fn each_service_has_its_bound() {
        assert_eq!(too_long("it", Service::Raft, 64 << 20), None);
        assert!(too_long("it", Service::Raft, (64 << 20) + 1).is_some());
        assert_eq!(too_long("it", Service::Ask, 16 << 20), None);
        assert!(too_long("it", Service::Ask, (16 << 20) + 1).is_some());
        assert_eq!(too_long("it", Service::Grant, 1 << 20), None);
        let words = too_long("the question", Service::Grant, (1 << 20) + 1).unwrap();
        assert!(words.contains("1048577") && words.contains("1048576"), "{words}");
    }
}
