//! How far consumer groups are behind, for the metrics: the coordinator says it, a scrape reads it.
//!
//! ```text
//!   coordinator ─> set_group_lag · remove_topic · remove_group · set_states ─> GroupLags ─> sample, at each scrape
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
    /// How far a group is behind in a topic now.
    pub fn set_group_lag(&self, group: &str, topic: &str, lag: Lag) {
        let mut inner = self.inner.lock();
        match inner.groups.get_mut(group) {
            Some(topics) => match topics.get_mut(topic) {
                Some(known) => *known = lag,
                None => drop(topics.insert(topic.to_owned(), lag)),
            },
            None => {
                inner.groups.insert(group.to_owned(), BTreeMap::from([(topic.to_owned(), lag)]));
            }
        }
    }

    /// A group has no offsets of this topic any more.
    pub fn remove_topic(&self, group: &str, topic: &str) {
        let mut inner = self.inner.lock();
        if let Some(topics) = inner.groups.get_mut(group) {
            topics.remove(topic);
            if topics.is_empty() {
                inner.groups.remove(group);
            }
        }
    }

    /// A group is gone.
    pub fn remove_group(&self, group: &str) {
        self.inner.lock().groups.remove(group);
    }

    /// How many groups are in which state (`empty`, `stable`, …); states that are not named have none.
    pub fn set_states(&self, counts: &[(&'static str, usize)]) {
        self.inner.lock().states = counts.iter().copied().collect();
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

    #[test]
    fn what_was_removed_is_gone_from_the_next_scrape() {
        let lags = GroupLags::default();
        assert_eq!(text(&lags), "");
        lags.set_states(&[("stable", 2), ("empty", 1)]);
        lags.set_group_lag("g", "t", lag(1));
        lags.set_group_lag("g", "t", lag(8));
        lags.set_group_lag("g", "u", lag(4));
        lags.set_group_lag("h", "t", lag(2));
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
        lags.remove_group("g");
        lags.remove_topic("h", "t");
        lags.set_states(&[("empty", 1)]);
        assert_eq!(text(&lags).lines().filter(|l| !l.starts_with('#')).count(), 1, "{}", text(&lags));
    }

    #[test]
    fn the_furthest_behind_are_named_and_the_rest_is_one_series() {
        let lags = GroupLags::default();
        for n in 0..GROUPS_SHOWN as u64 + 5 {
            lags.set_group_lag(&format!("g{n}"), "t", lag(n));
        }
        // One that is called as the rest is: counted with it, not twice.
        lags.set_group_lag(OTHER, OTHER, lag(1_000_000));
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
        for n in 0..=SERIES_SHOWN {
            lags.set_group_lag("wide", &format!("t{n}"), lag(2));
        }
        let long = "ä".repeat(10_000);
        lags.set_group_lag(&long, "t", lag(1));
        let text = text(&lags);
        assert_eq!(text.lines().filter(|l| l.starts_with("callboard_group_lag_records{")).count(), 2);
        assert!(text.contains(&format!("group=\"{}\"", "ä".repeat(128))));
    }
}
