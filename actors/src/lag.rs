//! How far consumer groups are behind, for the metrics: `group/lag.rs` finds it out now and then, a scrape reads it.
//!
//! ```text
//!   LagReader ─> replace ─> GroupLags ─> sample, at each scrape
//! ```
//!
//! Series are bounded, whatever clients call their groups: the groups that are furthest behind are shown by name, all
//! others together as `group="other", topic="other"` (records added up, the longest delay). A group that was removed is
//! gone from the next scrape. What is behind is for the coordinator to find out; nothing here looks at offsets.

use crate::metrics;
use crate::samples::Samples;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Groups that have series of their own.
pub const GROUPS_SHOWN: usize = 1000;
/// Series of them: a group whose topics would exceed this is counted with the others.
pub const SERIES_SHOWN: usize = 10_000;
/// A label value is cut here: a group's name may be 32 KiB long.
const LABEL_BYTES: usize = 256;
/// What stands for all others.
const OTHER: &str = "other";

/// How far a group is behind in one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// Records it has not committed yet, over all partitions.
    pub records: u64,
    /// Age of the oldest of them, in seconds.
    pub seconds: f64,
}

impl Lag {
    fn and(self, other: Lag) -> Lag {
        Lag { records: self.records.saturating_add(other.records), seconds: self.seconds.max(other.seconds) }
    }
}

#[derive(Debug, Default)]
struct Inner {
    groups: BTreeMap<String, BTreeMap<String, Lag>>,
    states: BTreeMap<&'static str, usize>,
}

/// The lag of every group this node coordinates.
#[derive(Debug, Default)]
pub struct GroupLags {
    inner: Mutex<Inner>,
}

impl GroupLags {
    /// What was found out last, in place of what was known before. States that are not named have no groups.
    pub fn replace(
        &self,
        groups: BTreeMap<String, BTreeMap<String, Lag>>,
        states: BTreeMap<&'static str, usize>,
    ) {
        *self.inner.lock() = Inner { groups, states };
    }

    /// Writes the series.
    pub fn sample(&self, out: &mut Samples) {
        let (shown, states) = {
            let inner = self.inner.lock();
            (shown(&inner.groups), inner.states.clone())
        };
        let mut groups = out.family(&metrics::GROUPS_BY_STATE);
        for (state, count) in states {
            groups.add(&[("state", state)], count as f64);
        }
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

/// The series: each pair of labels once, whatever names collide with `other` or after they are cut.
fn shown(groups: &BTreeMap<String, BTreeMap<String, Lag>>) -> BTreeMap<(String, String), Lag> {
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

    fn text(lags: &GroupLags) -> String {
        let mut samples = Samples::default();
        lags.sample(&mut samples);
        samples.into_text()
    }

    fn lag(records: u64) -> Lag {
        Lag { records, seconds: records as f64 / 2.0 }
    }

    fn of(groups: &[(&str, &str, u64)]) -> BTreeMap<String, BTreeMap<String, Lag>> {
        let mut out: BTreeMap<String, BTreeMap<String, Lag>> = BTreeMap::new();
        for (group, topic, records) in groups {
            out.entry((*group).to_owned()).or_default().insert((*topic).to_owned(), lag(*records));
        }
        out
    }

    #[test]
    fn what_was_removed_is_gone_from_the_next_scrape() {
        let lags = GroupLags::default();
        assert_eq!(text(&lags), "");
        let groups = of(&[("g", "t", 8), ("g", "u", 4), ("h", "t", 2)]);
        lags.replace(groups, BTreeMap::from([("stable", 2), ("empty", 1)]));
        let before = text(&lags);
        for line in [
            "callboard_groups{state=\"empty\"} 1",
            "callboard_groups{state=\"stable\"} 2",
            "callboard_group_lag_records{group=\"g\",topic=\"t\"} 8",
            "callboard_group_lag_seconds{group=\"g\",topic=\"t\"} 4",
            "callboard_group_lag_records{group=\"h\",topic=\"t\"} 2",
        ] {
            assert!(before.lines().any(|l| l == line), "{line}\n{before}");
        }
        lags.replace(BTreeMap::new(), BTreeMap::from([("empty", 1)]));
        assert_eq!(text(&lags).lines().filter(|l| !l.starts_with('#')).count(), 1, "{}", text(&lags));
    }

    #[test]
    fn the_furthest_behind_are_named_and_the_rest_is_one_series() {
        let lags = GroupLags::default();
        let names: Vec<String> = (0..GROUPS_SHOWN + 5).map(|n| format!("g{n}")).collect();
        let mut groups: Vec<(&str, &str, u64)> =
            names.iter().zip(0u64..).map(|(name, n)| (name.as_str(), "t", n)).collect();
        // One that is called as the rest is: counted with it, not twice.
        groups.push((OTHER, OTHER, 1_000_000));
        lags.replace(of(&groups), BTreeMap::new());
        let text = text(&lags);
        let records = || text.lines().filter(|l| l.starts_with("callboard_group_lag_records{"));
        assert_eq!(records().count(), GROUPS_SHOWN);
        assert!(text.contains("callboard_group_lag_records{group=\"g1004\",topic=\"t\"} 1004\n"));
        // g0 … g5 are the rest.
        assert!(text.contains("callboard_group_lag_records{group=\"other\",topic=\"other\"} 1000015\n"));
        assert!(!text.contains("group=\"g5\""));
    }

    #[test]
    fn topics_of_one_group_are_bounded_too_and_long_names_are_cut() {
        let lags = GroupLags::default();
        let topics: Vec<String> = (0..=SERIES_SHOWN).map(|n| format!("t{n}")).collect();
        let mut groups: Vec<(&str, &str, u64)> = topics.iter().map(|t| ("wide", t.as_str(), 2)).collect();
        let long = "ä".repeat(10_000);
        groups.push((&long, "t", 1));
        lags.replace(of(&groups), BTreeMap::new());
        let text = text(&lags);
        assert_eq!(text.lines().filter(|l| l.starts_with("callboard_group_lag_records{")).count(), 2);
        assert!(text.contains(&format!("group=\"{}\"", "ä".repeat(128))));
    }
}
