//! Names in place of what differs from run to run: A, B and C for nodes in topics, LEADER, DEAD and FOLLOWER in the quorum.
//!
//! Partitions of an election are sorted too.
//!
//! Numbers that depend on the time become words: −1, which says "never", stays; any other number is N. With a node dead the
//! lag in time says whether it is long. Lists of nodes are sorted, because neither broker promises their order.

use anyhow::{Context, Result, ensure};

use crate::compare::Ran;

/// More than a hiccup between two fetches; a fenced node has been silent for longer.
const LONG_MS: i64 = 1_000;

/// The nodes of one cluster, by id.
#[derive(Clone)]
pub struct Names {
    /// Ids of A, B and C.
    ids: Vec<i32>,
    dead: bool,
}

impl Names {
    /// A is the node that dies; the others follow by id.
    pub fn new(first: i32, mut ids: Vec<i32>) -> Names {
        ids.sort_unstable();
        ids.sort_by_key(|id| *id != first);
        Names { ids, dead: false }
    }

    /// The same nodes after the end of A.
    pub fn with_dead(&self) -> Names {
        Names { dead: true, ..self.clone() }
    }

    /// A command line with ids in place of the letters of `--replica-assignment`.
    pub fn ids(&self, line: &str) -> String {
        const WORD: &str = "--replica-assignment ";
        let Some((before, rest)) = line.split_once(WORD) else { return line.to_owned() };
        let (places, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let id = |c: char| match "ABC".find(c).and_then(|at| self.ids.get(at)) {
            Some(id) => id.to_string(),
            None => c.to_string(),
        };
        format!("{before}{WORD}{} {after}", places.chars().map(id).collect::<String>())
    }

    /// Renames the nodes in what a command printed.
    pub fn normalise(&self, ran: &mut Ran) -> Result<()> {
        if ran.command.starts_with("kafka-topics --describe") {
            ran.lines.iter_mut().for_each(|line| *line = self.topic(line));
        } else if ran.command.starts_with("kafka-leader-election") {
            ran.lines.iter_mut().for_each(|line| *line = partitions(line));
        } else if ran.command.starts_with("kafka-features") {
            ran.lines.iter_mut().for_each(|line| *line = without_epoch(line));
        } else if ran.command.ends_with("--status") {
            let leader = ran.lines.iter().find_map(|line| line.strip_prefix("LeaderId: "));
            let leader = leader.context("no LeaderId")?.parse()?;
            ran.lines = ran.lines.iter().map(|line| self.status(line, leader)).collect::<Result<Vec<_>>>()?;
        } else if ran.command.ends_with("--replication") {
            let leader = ran.lines.iter().find(|line| line.ends_with(" Leader"));
            let leader = leader.and_then(|line| line.split(' ').next()).context("no leader")?.parse()?;
            ran.lines =
                ran.lines.iter().map(|line| self.replication(line, leader)).collect::<Result<Vec<_>>>()?;
        }
        ran.lines.sort();
        Ok(())
    }

    fn letter(&self, id: &str) -> String {
        let at = id.parse().ok().and_then(|id: i32| self.ids.iter().position(|known| *known == id));
        at.and_then(|at| "ABC".get(at..=at)).unwrap_or(id).to_owned()
    }

    fn topic(&self, line: &str) -> String {
        let mut words: Vec<String> = Vec::new();
        for word in line.split(' ') {
            let of = words.last().map(String::as_str).unwrap_or_default();
            let mut ids: Vec<String> = word.split(',').map(|id| self.letter(id)).collect();
            let word = match of {
                "Leader:" | "Replicas:" => ids.join(","),
                "Isr:" | "Elr:" | "LastKnownElr:" if !word.ends_with(':') => {
                    ids.sort();
                    ids.join(",")
                }
                _ => word.to_owned(),
            };
            words.push(word);
        }
        words.join(" ")
    }

    fn role(&self, id: i32, leader: i32) -> &'static str {
        match id {
            id if self.dead && self.ids.first() == Some(&id) => "DEAD",
            id if id == leader => "LEADER",
            id if self.ids.contains(&id) => "FOLLOWER",
            _ => "UNKNOWN",
        }
    }

    fn status(&self, line: &str, leader: i32) -> Result<String> {
        let Some((key, value)) = line.split_once(": ") else { return Ok(line.to_owned()) };
        let value = match key {
            "ClusterId" => directory(value).to_owned(),
            "LeaderId" => self.role(value.parse()?, leader).to_owned(),
            "MaxFollowerLagTimeMs" if self.dead => match value.parse::<i64>()? {
                ..0 => value.to_owned(),
                0..=LONG_MS => "short".to_owned(),
                _ => "long".to_owned(),
            },
            "LeaderEpoch" | "HighWatermark" | "MaxFollowerLag" | "MaxFollowerLagTimeMs" => number(value)?,
            _ => self.voters(value, leader)?,
        };
        Ok(format!("{key}: {value}"))
    }

    /// `[{"id": 1, "directoryId": "…", "endpoints": ["NAME://host:port"]}, …]`.
    fn voters(&self, list: &str, leader: i32) -> Result<String> {
        const ID: &str = "{\"id\": ";
        let mut parts = list.split(ID);
        let first = parts.next().unwrap_or_default().to_owned();
        let mut voters = Vec::new();
        for part in parts {
            let (id, rest) = part.split_once(", ").or_else(|| part.split_once('}')).context("an id")?;
            let quoted: Vec<String> = rest.split('"').map(|part| place(directory(part))).collect();
            let rest = quoted.join("\"");
            let rest = rest.trim_end_matches([']', ',', ' ', '}']);
            voters.push(format!("{ID}{}, {rest}]}}", self.role(id.parse()?, leader)));
        }
        voters.sort();
        let last = if voters.is_empty() { "" } else { "]" };
        Ok(format!("{first}{}{last}", voters.join(", ")))
    }

    /// `NodeId DirectoryId LogEndOffset Lag LastFetchTimestamp LastCaughtUpTimestamp Status`.
    fn replication(&self, line: &str, leader: i32) -> Result<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let Some(id) = words.first().and_then(|word| word.parse().ok()) else { return Ok(line.to_owned()) };
        ensure!(words.len() == 7, "not a node's line: {line}");
        let numbers = words[2..6].iter().map(|word| number(word)).collect::<Result<Vec<_>>>()?;
        let numbers = numbers.join(" ");
        Ok(format!("{} {} {numbers} {}", self.role(id, leader), directory(words[1]), words[6]))
    }
}

/// A line whose list of partitions is sorted: the tool keeps them in a set.
fn partitions(line: &str) -> String {
    const LIST: &str = " for partitions ";
    let Some((before, list)) = line.split_once(LIST) else { return line.to_owned() };
    let mut list: Vec<&str> = list.split(", ").collect();
    list.sort_unstable();
    format!("{before}{LIST}{}", list.join(", "))
}

/// The line of a feature without the epoch of its level, which is an index of the metadata log.
fn without_epoch(line: &str) -> String {
    line.split_once(" Epoch: ").map_or_else(|| line.to_owned(), |(before, _)| format!("{before} Epoch: N"))
}

fn number(word: &str) -> Result<String> {
    let number: i64 = word.parse().with_context(|| format!("not a number: {word}"))?;
    Ok(if number < 0 { number.to_string() } else { "N".to_owned() })
}

/// Ids are 16 bytes in base64; the one of zeros says that there is none.
fn directory(word: &str) -> &str {
    if word.len() == 22 && word != "AAAAAAAAAAAAAAAAAAAAAA" { "ID" } else { word }
}

/// `NAME://host:port` without host and port.
fn place(word: &str) -> String {
    match word.split_once("://") {
        Some((name, at)) if at.contains(':') => format!("{name}://HOST"),
        _ => word.to_owned(),
    }
}
