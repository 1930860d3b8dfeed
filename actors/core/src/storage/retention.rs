//! Retention: which of the oldest spans of a log have expired, by time and by size.
//!
//! ```text
//!   log start ├─ span ─┼─ span ─┼─ span ─┼─ … ─┤ high watermark       a span is a row in redb or a run in the journal
//!             └─ goes ─┴─ goes ─┘
//!                               └ the first one that stays keeps all behind it
//! ```
//!
//! Only whole spans go, as Kafka drops only whole segments. By time a span goes if its newest record is older than
//! `retention.ms`. By size it goes while what is left without it is still `retention.bytes` or more. Removing rows is not
//! done here: the log start moves, and the store sweeps below it.

use crate::ids::Offset;
use crate::time::UnixMillis;

/// A stretch of a replica's batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub base: Offset,
    /// The offset behind its last batch.
    pub next: Offset,
    pub bytes: u64,
    /// The largest timestamp of its records, −1 if they have none.
    pub max_timestamp: i64,
    /// When it was stored in its place, if that is known.
    pub stored: Option<UnixMillis>,
}

impl Span {
    /// The date of the span: that of its newest record. Without timestamps it is the time of storing, where Kafka takes the
    /// file's modification time.
    #[must_use]
    pub fn dated(&self) -> Option<i64> {
        if self.max_timestamp >= 0 { Some(self.max_timestamp) } else { self.stored.map(|at| at.0) }
    }
}

/// The rules of retention at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Spans dated before this have expired; none: no span has.
    pub expired_before: Option<i64>,
    /// Bytes that stay; none: all of them.
    pub bytes: Option<u64>,
}

impl Retention {
    /// The rules of `retention.ms` and `retention.bytes`; a negative one has no effect. None if neither has.
    #[must_use]
    pub fn of(now: UnixMillis, ms: i64, bytes: i64) -> Option<Retention> {
        let expired_before = (ms >= 0).then(|| now.0.saturating_sub(ms));
        let bytes = u64::try_from(bytes).ok();
        (expired_before.is_some() || bytes.is_some()).then_some(Retention { expired_before, bytes })
    }
}

/// The offset behind the longest prefix of `spans` that has expired; none if the first one stays. Spans come in order, and
/// none that reaches beyond `until` goes. `size`: bytes of all of them.
pub fn expired_to<E>(
    spans: impl IntoIterator<Item = Result<Span, E>>,
    size: u64,
    until: Offset,
    rules: &Retention,
) -> Result<Option<Offset>, E> {
    let (mut left, mut to) = (size, None);
    for span in spans {
        let span = span?;
        let expired = rules.expired_before.zip(span.dated()).is_some_and(|(before, at)| at < before);
        let rest = left.checked_sub(span.bytes);
        let surplus = rules.bytes.is_some_and(|keep| rest.is_some_and(|rest| rest >= keep));
        if span.next > until || !(expired || surplus) {
            break;
        }
        left = rest.unwrap_or(0);
        to = Some(span.next);
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// Spans of ten offsets each: bytes, largest timestamp, time stored.
    fn spans(of: &[(u64, i64, Option<i64>)]) -> Vec<Span> {
        (0..)
            .zip(of)
            .map(|(n, (bytes, max_timestamp, stored))| Span {
                base: n * 10,
                next: n * 10 + 10,
                bytes: *bytes,
                max_timestamp: *max_timestamp,
                stored: stored.map(UnixMillis),
            })
            .collect()
    }

    fn to(spans: &[Span], until: Offset, rules: Retention) -> Option<Offset> {
        let size = spans.iter().map(|span| span.bytes).sum();
        let Ok(to) = expired_to(spans.iter().map(|s| Ok::<_, Infallible>(*s)), size, until, &rules);
        to
    }

    fn rules(now: i64, ms: i64, bytes: i64) -> Retention {
        Retention::of(UnixMillis(now), ms, bytes).unwrap()
    }

    #[test]
    fn by_time_a_prefix_goes_whose_newest_record_is_too_old() {
        let log = spans(&[(1, 100, None), (1, 50, None), (1, 200, None), (1, 60, None)]);
        assert_eq!(to(&log, 40, rules(1000, 900, -1)), None, "as old as it may be");
        assert_eq!(to(&log, 40, rules(1001, 900, -1)), Some(20));
        assert_eq!(to(&log, 40, rules(1100, 900, -1)), Some(20), "what is not expired keeps all behind it");
        assert_eq!(to(&log, 40, rules(1101, 900, -1)), Some(40));
        assert_eq!(to(&log, 19, rules(1101, 900, -1)), Some(10), "never above the high watermark");
        assert_eq!(to(&log, 40, rules(i64::MIN + 5, i64::MAX, -1)), None);
    }

    #[test]
    fn without_timestamps_the_time_of_storing_counts_and_what_is_not_stored_yet_stays() {
        let log = spans(&[(1, -1, Some(100)), (1, 90, Some(5000)), (1, -1, None)]);
        assert_eq!(to(&log, 30, rules(1000, 900, -1)), None);
        assert_eq!(
            to(&log, 30, rules(1001, 900, -1)),
            Some(20),
            "a timestamp goes before the time of storing"
        );
    }

    #[test]
    fn by_size_whole_spans_go_while_enough_is_left() {
        let log = spans(&[(100, 1, None), (100, 1, None), (50, 1, None)]);
        for (keep, expected) in [
            (251, None),
            (250, None),
            (151, None),
            (150, Some(10)),
            (51, Some(10)),
            (50, Some(20)),
            (1, Some(20)),
            (0, Some(30)),
        ] {
            assert_eq!(to(&log, 30, rules(1, -1, keep)), expected, "retention.bytes={keep}");
        }
        assert_eq!(Retention::of(UnixMillis(9), -1, -1), None);
    }

    #[test]
    fn an_error_is_passed_on() {
        let spans = [Ok(spans(&[(1, 1, None)])[0]), Err("rotten")];
        assert_eq!(expired_to(spans, 2, 99, &rules(100, 1, -1)), Err("rotten"));
    }

    proptest! {
        /// Only a prefix of whole spans goes. Each span of it has a reason to go, and the next one has none.
        #[test]
        fn only_what_has_to_go_goes(
            log in prop::collection::vec((0u64..300, -1i64..50, prop::option::of(0i64..50)), 0..12),
            now in 0i64..80, ms in -1i64..40, bytes in -1i64..900, until in 0i64..130,
        ) {
            let log = spans(&log);
            let Some(rules) = Retention::of(UnixMillis(now), ms, bytes) else { return Ok(()) };
            let size: u64 = log.iter().map(|span| span.bytes).sum();
            let gone = to(&log, until, rules).map_or(0, |to| log.iter().filter(|s| s.next <= to).count());
            let kept = |from: usize| size - log[..from].iter().map(|s| s.bytes).sum::<u64>();
            let reason = |n: usize| {
                let old = ms >= 0 && log[n].dated().is_some_and(|at| now - at > ms);
                let much = bytes >= 0 && kept(n + 1) >= bytes as u64;
                old || much
            };
            prop_assert_eq!(to(&log, until, rules), gone.checked_sub(1).map(|last| log[last].next));
            for (n, span) in log.iter().enumerate().take(gone) {
                prop_assert!(reason(n) && span.next <= until);
            }
            if gone < log.len() {
                prop_assert!(!reason(gone) || log[gone].next > until);
            }
        }
    }
}
