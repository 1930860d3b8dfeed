//! The lag of consumer groups, as the metrics show it.
//!
//! ```text
//!   scrape ─> LagReader::look ─> replace ─> GroupLags ─> sample
//! ```
//!
//! Series are bounded, whatever names clients give to their groups. The groups that are furthest behind are shown by
//! name. All others together are `group="other", topic="other"`: their records added up, and the longest delay.
//!
//! A group that no longer exists is gone with the next look. This file looks at no offsets; that is `group/lag.rs`.

use crate::group::{Coordinators, GroupLag};
use crate::metrics;
use crate::samples::Samples;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Groups that have series of their own, at most.
pub const GROUPS_SHOWN: usize = 1000;
/// Series of named groups, at most. A group whose topics would exceed this is counted with the others.
pub const SERIES_SHOWN: usize = 10_000;
/// Bytes after which a label value is cut, because a group's name may be 32 KiB long.
const LABEL_BYTES: usize = 256;
/// Label value of all other groups and topics.
const OTHER: &str = "other";

/// How far a group is behind in one topic, in records and in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Lag {
    records: i64,
    seconds: f64,
}

impl Lag {
    fn and(self, other: Lag) -> Lag {
        Lag { records: self.records.saturating_add(other.records), seconds: self.seconds.max(other.seconds) }
    }
}

type Groups = BTreeMap<String, BTreeMap<String, Lag>>;

/// The groups that the last look found.
#[derive(Debug, Default)]
pub struct GroupLags {
    groups: Mutex<Groups>,
}

impl GroupLags {
    /// Replaces the groups of the last look by those of a new one.
    pub fn replace(&self, found: Vec<GroupLag>) {
        let mut groups = Groups::new();
        for GroupLag { group, topic, records, seconds } in found {
            groups.entry(group).or_default().insert(topic, Lag { records, seconds });
        }
        *self.groups.lock() = groups;
    }

    /// Writes the series, and the number of groups in each state. No states are written while groups are being
    /// loaded.
    pub fn sample(&self, coordinators: &Coordinators, out: &mut Samples) {
        let mut states: BTreeMap<&'static str, usize> = BTreeMap::new();
        for (_, summary) in coordinators.list().unwrap_or_default() {
            *states.entry(summary.state.name()).or_default() += 1;
        }
        let mut groups = out.family(&metrics::GROUPS_BY_STATE);
        for (state, count) in states {
            groups.add(&[("state", state)], count as f64);
        }
        let shown = shown(&self.groups.lock());
        let mut records = out.family(&metrics::LAG_RECORDS_BY_GROUP);
        for ((group, topic), lag) in &shown {
            records.add(&[("group", group), ("topic", topic)], lag.records as f64);
        }
        let mut seconds = out.family(&metrics::LAG_SECONDS_BY_GROUP);
        for ((group, topic), lag) in &shown {
            seconds.add(&[("group", group), ("topic", topic)], lag.seconds);
        }
    }
}

/// The series to write. Each pair of labels comes once, even if names equal `other` or become equal when cut.
fn shown(groups: &Groups) -> BTreeMap<(String, String), Lag> {
    let mut furthest: Vec<_> = groups
        .iter()
        .map(|(group, topics)| (topics.values().map(|lag| lag.records).max().unwrap_or(0), group, topics))
        .collect();
    furthest.sort_by_key(|(records, group, _)| (Reverse(*records), *group));
    let mut series: BTreeMap<(String, String), Lag> = BTreeMap::new();
    for (n, (_, group, topics)) in furthest.into_iter().enumerate() {
        let named = n < GROUPS_SHOWN && series.len() + topics.len() <= SERIES_SHOWN;
        for (topic, lag) in topics {
            let labels = if named { (cut(group), cut(topic)) } else { (OTHER.to_owned(), OTHER.to_owned()) };
            let at = series.entry(labels).or_default();
            *at = at.and(*lag);
        }
    }
    series
}

fn cut(name: &str) -> String {
    let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
    name[..ends.take_while(|end| *end <= LABEL_BYTES).last().unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(found: Vec<GroupLag>) -> String {
        let (lags, mut samples) = (GroupLags::default(), Samples::default());
        lags.replace(vec![lag("gone", "t", 7)]);
        lags.replace(found);
        lags.sample(&Coordinators::default(), &mut samples);
        samples.into_text()
    }

    fn lag(group: &str, topic: &str, records: i64) -> GroupLag {
        GroupLag { group: group.into(), topic: topic.into(), records, seconds: records as f64 / 2.0 }
    }

    #[test]
    fn what_the_last_look_did_not_find_is_gone() {
        assert_eq!(text(Vec::new()), "");
        let text = text(vec![lag("g", "t", 8), lag("g", "u", 4), lag("h", "t", 2)]);
        for line in [
            "callboard_group_lag_records{group=\"g\",topic=\"t\"} 8",
            "callboard_group_lag_records{group=\"g\",topic=\"u\"} 4",
            "callboard_group_lag_seconds{group=\"g\",topic=\"t\"} 4",
            "callboard_group_lag_records{group=\"h\",topic=\"t\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("gone"));
    }

    #[test]
    fn the_furthest_behind_are_named_and_the_rest_is_one_series() {
        let mut found: Vec<_> = (0..GROUPS_SHOWN as i64 + 5).map(|n| lag(&format!("g{n}"), "t", n)).collect();
        // A group called `other` is counted with the rest, not twice.
        found.push(lag(OTHER, OTHER, 1_000_000));
        let text = text(found);
        let records = || text.lines().filter(|l| l.starts_with("callboard_group_lag_records{"));
        assert_eq!(records().count(), GROUPS_SHOWN);
        assert!(text.contains("callboard_group_lag_records{group=\"g1004\",topic=\"t\"} 1004\n"));
        // The rest are g0 … g5, which are 15 records behind together.
        assert!(text.contains("callboard_group_lag_records{group=\"other\",topic=\"other\"} 1000015\n"));
        assert!(!text.contains("group=\"g5\""));
    }

    #[test]
    fn topics_of_one_group_are_bounded_too_and_long_names_are_cut() {
        let mut found: Vec<_> = (0..=SERIES_SHOWN).map(|n| lag("wide", &format!("t{n}"), 2)).collect();
        found.push(lag(&"ä".repeat(10_000), "t", 1));
        let text = text(found);
        assert_eq!(text.lines().filter(|l| l.starts_with("callboard_group_lag_records{")).count(), 2);
        assert!(text.contains(&format!("group=\"{}\"", "ä".repeat(128))));
    }
}
