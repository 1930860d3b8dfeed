//! A seeded decision for each packet of one direction: when it arrives, and how often.
//!
//! Each packet draws the same number of random numbers whatever the rule says, so a rule that changes shifts no later
//! draw. Each direction has a stream of its own, so traffic elsewhere changes nothing here. The caller tells the time.

use std::time::Duration;

use super::rule::Rule;
use crate::process::load::Rng;

/// Waiting bytes are at most those of so much time.
const QUEUE: Duration = Duration::from_millis(500);
/// A packet that is held comes at least so much later.
const HELD: Duration = Duration::from_millis(5);
/// The second copy follows the first.
const COPY: Duration = Duration::from_micros(100);

/// Decides over the packets from one end to another.
pub(super) struct Judge {
    rng: Rng,
    /// When the last bit of the last packet leaves a narrow wire.
    busy: Duration,
}

impl Judge {
    /// The judge of one direction.
    pub(super) fn new(seed: u64, from: usize, to: usize) -> Judge {
        let direction = (from as u64) << 32 | to as u64;
        Judge { rng: Rng::new(seed ^ direction.wrapping_mul(0x9e37_79b9)), busy: Duration::ZERO }
    }

    /// The times at which a packet arrives; none if it is lost.
    pub(super) fn judge(&mut self, rule: &Rule, bytes: usize, now: Duration) -> [Option<Duration>; 2] {
        let chances = [(); 3].map(|()| self.rng.below(1_000));
        let spread = u64::try_from(rule.jitter.as_nanos()).unwrap_or(u64::MAX / 4);
        let early = Duration::from_nanos(self.rng.below(spread.saturating_mul(2).saturating_add(1)));
        let [loss, twice, reorder] = chances;
        if rule.cut || rule.mtu.is_some_and(|mtu| bytes > mtu) || loss < u64::from(rule.loss) {
            return [None, None];
        }
        let Some(sent) = self.sent(rule, bytes, now) else { return [None, None] };
        // Early by the jitter at most, and never before it is sent.
        let mut at = (sent + rule.delay + early).saturating_sub(rule.jitter).max(sent);
        if reorder < u64::from(rule.reorder) {
            at += rule.delay.max(HELD);
        }
        [Some(at), (twice < u64::from(rule.twice)).then(|| at + COPY)]
    }

    fn sent(&mut self, rule: &Rule, bytes: usize, now: Duration) -> Option<Duration> {
        let Some(bandwidth) = rule.bandwidth else { return Some(now) };
        let begin = self.busy.max(now);
        if begin - now > QUEUE {
            return None;
        }
        let bits = (bytes as u64).saturating_mul(8_000_000_000);
        self.busy = begin + Duration::from_nanos(bits / bandwidth.max(1));
        Some(self.busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Arrivals of so many packets of 100 bytes, which come at once.
    fn arrivals(rule: &Rule, count: usize) -> Vec<[Option<Duration>; 2]> {
        let mut judge = Judge::new(7, 1, 2);
        (0..count).map(|_| judge.judge(rule, 100, ZERO)).collect()
    }

    #[test]
    fn no_rule_lets_everything_pass_at_once_and_a_cut_nothing() {
        assert!(arrivals(&Rule::default(), 100).iter().all(|at| *at == [Some(ZERO), None]));
        assert!(arrivals(&Rule::CUT, 100).iter().all(|at| *at == [None, None]));
    }

    #[test]
    fn chances_are_met_and_follow_from_the_seed() {
        let rule = Rule { loss: 200, twice: 50, ..Rule::default() };
        let seen = arrivals(&rule, 10_000);
        let lost = seen.iter().filter(|at| at[0].is_none()).count();
        let twice = seen.iter().filter(|at| at[1].is_some()).count();
        assert!((1_900..2_100).contains(&lost) && (340..460).contains(&twice), "{lost} {twice}");
        assert_eq!(seen, arrivals(&rule, 10_000));
        let mut other = Judge::new(7, 2, 1);
        let other: Vec<_> = (0..10_000).map(|_| other.judge(&rule, 100, ZERO)).collect();
        assert_ne!(seen, other, "each direction has its own stream");
    }

    #[test]
    fn a_changed_rule_shifts_no_later_draw() {
        let rule = Rule { loss: 500, ..Rule::default() };
        let (mut plain, mut changed) = (Judge::new(1, 0, 1), Judge::new(1, 0, 1));
        for n in 0..1_000 {
            let jittered = Rule { jitter: ms(3), ..rule };
            let other = changed.judge(if n % 2 == 0 { &jittered } else { &rule }, 100, ZERO)[0].is_some();
            assert_eq!(plain.judge(&rule, 100, ZERO)[0].is_some(), other);
        }
    }

    #[test]
    fn delay_and_jitter_bound_the_arrival() {
        let rule = Rule { delay: ms(100), jitter: ms(50), ..Rule::default() };
        let seen: Vec<Duration> = arrivals(&rule, 1_000).iter().filter_map(|at| at[0]).collect();
        assert!(seen.iter().all(|at| (ms(50)..=ms(150)).contains(at)));
        assert!(seen.iter().any(|at| *at < ms(60)) && seen.iter().any(|at| *at > ms(140)));
    }

    #[test]
    fn some_packets_are_overtaken() {
        let rule = Rule { reorder: 100, ..Rule::default() };
        let held = arrivals(&rule, 1_000).iter().filter(|at| at[0] == Some(HELD)).count();
        assert!((60..140).contains(&held), "{held}");
    }

    #[test]
    fn large_packets_vanish_in_a_hole() {
        let rule = Rule { mtu: Some(1_300), ..Rule::default() };
        let mut judge = Judge::new(1, 0, 1);
        assert_eq!(judge.judge(&rule, 1_300, ZERO), [Some(ZERO), None]);
        assert_eq!(judge.judge(&rule, 1_301, ZERO), [None, None]);
    }

    #[test]
    fn a_narrow_wire_queues_and_then_drops() {
        // 100 bytes take 800 µs.
        let rule = Rule { bandwidth: Some(1_000_000), ..Rule::default() };
        let seen = arrivals(&rule, 1_000);
        assert_eq!(seen[0][0], Some(Duration::from_micros(800)));
        assert_eq!(seen[9][0], Some(ms(8)));
        let passed = seen.iter().filter(|at| at[0].is_some()).count();
        assert_eq!(passed, 626, "half a second, and the one that fills it");
        let mut judge = Judge::new(7, 1, 2);
        for _ in 0..1_000 {
            judge.judge(&rule, 100, ZERO);
        }
        assert!(judge.judge(&rule, 100, ms(600))[0].is_some(), "the queue empties with time");
    }
}
