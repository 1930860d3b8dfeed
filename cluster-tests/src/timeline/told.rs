//! Elections and ISR changes, as the nodes' logs tell them: one line for each change of a partition.
//!
//! ```text
//!   2026-01-31T05:51:28.123456Z  INFO t-3: leader 1 -> 2, leader epoch 4 -> 5, ISR [1, 2, 3] -> [2, 3], partition epoch 7: node 1 is fenced
//! ```
//! Every node tells every change as it learns of it; so the earliest line of a partition epoch counts. Lines about nodes
//! (fenced, unfenced, registered) are kept as words. All other lines are passed over.

use std::collections::BTreeMap;

/// A change of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub wall_ms: u64,
    /// Topic and number as the log writes them: `topic-3`.
    pub partition: String,
    /// The partition epoch that it made.
    pub epoch: i32,
    /// Before and after; −1 is none.
    pub leader: Option<(i32, i32)>,
    pub isr: Option<(Vec<i32>, Vec<i32>)>,
    pub why: String,
}

/// All changes that the logs told.
#[derive(Clone, Default, Debug)]
pub struct Told {
    changes: BTreeMap<(String, i32), Change>,
    nodes: BTreeMap<String, u64>,
}

impl Told {
    /// Takes a line of any node's log.
    pub fn line(&mut self, line: &str) {
        let Some((time, rest)) = line.trim_start().split_once(' ') else { return };
        let Some(wall_ms) = wall(time) else { return };
        let Some(words) = rest.trim_start().strip_prefix("INFO ") else { return };
        if let Some(change) = change(wall_ms, words) {
            let known = self.changes.entry((change.partition.clone(), change.epoch));
            let known = known.or_insert_with(|| change.clone());
            if change.wall_ms < known.wall_ms {
                *known = change;
            }
        } else if words.starts_with("node ") && words.contains(", broker epoch ") {
            let known = self.nodes.entry(words.to_owned()).or_insert(wall_ms);
            *known = (*known).min(wall_ms);
        }
    }

    /// Changes of partitions in the order of their time.
    #[must_use]
    pub fn changes(&self) -> Vec<&Change> {
        let mut all: Vec<&Change> = self.changes.values().collect();
        all.sort_by_key(|change| (change.wall_ms, &change.partition, change.epoch));
        all
    }

    /// What the logs told about nodes, in the order of time.
    #[must_use]
    pub fn nodes(&self) -> Vec<(u64, &str)> {
        let mut all: Vec<(u64, &str)> =
            self.nodes.iter().map(|(words, time)| (*time, words.as_str())).collect();
        all.sort_unstable();
        all
    }
}

fn change(wall_ms: u64, words: &str) -> Option<Change> {
    let (partition, rest) = words.split_once(": ")?;
    let (_, number) = partition.rsplit_once('-')?;
    number.parse::<i32>().ok()?;
    let (what, why) = rest.split_once(": ")?;
    let (what, epoch) = what.rsplit_once("partition epoch ")?;
    let epoch = epoch.parse().ok()?;
    let after = |text: &str, name: &str| {
        text.find(name).and_then(|at| text.get(at + name.len()..).map(str::to_owned))
    };
    let leader =
        after(what, "leader ").filter(|_| what.starts_with("leader ") && !what.starts_with("leader epoch"));
    let leader = leader.and_then(|text| {
        let (from, to) = text.split(", ").next()?.split_once(" -> ")?;
        Some((id(from)?, id(to)?))
    });
    let isr = after(what, "ISR ").and_then(|text| {
        let (from, to) = text.split_once(" -> ")?;
        Some((ids(from)?, ids(to.get(..=to.find(']')?)?)?))
    });
    Some(Change { wall_ms, partition: partition.to_owned(), epoch, leader, isr, why: why.to_owned() })
}

fn id(text: &str) -> Option<i32> {
    if text == "none" { Some(-1) } else { text.parse().ok() }
}

fn ids(text: &str) -> Option<Vec<i32>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.split(", ").filter(|text| !text.is_empty()).map(|text| text.parse().ok()).collect()
}

/// Milliseconds since 1970 of a time such as `2026-01-31T05:51:28.123456Z`.
fn wall(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':');
    let (hour, minute) = (time.next()?.parse::<u64>().ok()?, time.next()?.parse::<u64>().ok()?);
    let second = time.next()?.parse::<f64>().ok()?;
    if !(1970..9999).contains(&year) || !(1..=12).contains(&month) || !(0.0..61.0).contains(&second) {
        return None;
    }
    // A year that begins in March has its odd day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some((days * 86_400 + hour * 3_600 + minute * 60) * 1_000 + (second * 1_000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_change_once() {
        let mut told = Told::default();
        let line = "2026-01-31T05:51:28.123456Z  INFO a-b-3: leader 1 -> none, leader epoch 4 -> 5, ISR [1, 2] -> [2], \
                    partition epoch 7: node 1 is fenced";
        told.line(&line.replace("28.123", "28.200"));
        told.line(line);
        told.line(
            "2026-01-31T05:51:29.5Z  INFO a-b-3: ISR [2] -> [2, 1], partition epoch 8: as its leader asked",
        );
        told.line("2026-01-31T05:51:29.5Z  INFO node 1 is fenced, broker epoch 17");
        told.line("2026-01-31T05:51:29.5Z  WARN a-b-3: ISR [2] -> [], partition epoch 9: no");
        told.line("no time at all");
        let all = told.changes();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].wall_ms % 100_000, all[0].leader, all[0].epoch), (88_123, Some((1, -1)), 7));
        assert_eq!(all[0].isr, Some((vec![1, 2], vec![2])));
        assert_eq!((all[1].leader, &all[1].isr), (None, &Some((vec![2], vec![2, 1]))));
        assert_eq!(all[1].why, "as its leader asked");
        assert_eq!(told.nodes().len(), 1);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(wall("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(wall("2000-02-29T12:00:00.250Z"), Some(951_825_600_250));
        assert_eq!(wall("2026-11-29T05:51:28.5Z"), Some(1_795_931_488_500));
        assert_eq!(wall("2026-13-29T05:51:28.5Z"), None);
        assert_eq!(wall("yesterday"), None);
    }
}
