//! What the wire does to the packets of one direction between two ends.
//!
//! The default does nothing to them. Chances are of 1,000, so that a rule is equal to itself. A rule holds no state.

use std::time::Duration;

/// What happens to packets of one direction, and not to those of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Nothing passes, and no sender hears of it.
    pub cut: bool,
    pub delay: Duration,
    /// A packet is early or late by up to so much.
    pub jitter: Duration,
    /// Of 1,000 packets so many are lost.
    pub loss: u16,
    /// Of 1,000 packets so many come twice.
    pub twice: u16,
    /// Of 1,000 packets so many are held until later ones have passed.
    pub reorder: u16,
    /// Larger packets vanish without a word, as in a tunnel that lets no ICMP through.
    pub mtu: Option<usize>,
    /// Bits a second. A queue of half a second stands before it, and what does not fit is lost.
    pub bandwidth: Option<u64>,
}

impl Rule {
    /// The rule of a cable that is pulled out.
    pub const CUT: Rule = Rule {
        cut: true,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0,
        twice: 0,
        reorder: 0,
        mtu: None,
        bandwidth: None,
    };
}
