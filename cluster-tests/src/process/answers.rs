//! A broker's answers to calls that cannot be right, held line by line against Apache Kafka's answers to the same calls.
//!
//! ```text
//!   CALLBOARD_ORACLE=host:port  asks a running Kafka instead of the built broker    CALLBOARD_WRITE_ANSWERS=1  writes
//!   calls ──> Said: `case v7: answer` a line ──> judge: the lines of data/*.txt ──> what differs, and is not meant to
//! ```
//! A [`Deviation`] names a case in which our answer differs from Kafka's, and the reason. A deviation that no line needs is
//! an error. This module makes no calls: the suites ask, and note the answers here.

use std::fmt::{Display, Write as _};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::{Broker, Options};

/// The answers so far, one a line.
#[derive(Default)]
pub struct Said {
    lines: String,
}

/// A difference from Kafka's answer that is meant, and its reason.
pub struct Deviation {
    /// Beginning of the lines that it covers.
    pub case: &'static str,
    pub ours: Ours,
    pub why: &'static str,
}

/// Our answer, where it is not Kafka's.
pub enum Ours {
    /// Our line contains this text.
    Holds(&'static str),
    /// Our line differs only in its quoted words.
    Words,
}

impl Ours {
    fn fit(&self, theirs: &str, ours: &str) -> bool {
        match self {
            Ours::Holds(part) => ours.contains(part),
            Ours::Words => wordless(theirs) == wordless(ours),
        }
    }
}

/// The line with each quoted text written as `-`, which also stands for no text.
fn wordless(line: &str) -> String {
    let (mut out, mut quoted, mut escaped) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if quoted => quoted = false,
            '"' => {
                quoted = true;
                out.push('-');
            }
            _ if quoted => {}
            _ => out.push(c),
        }
    }
    out
}

impl Said {
    /// Adds an answer as one line.
    pub fn note(&mut self, case: &str, version: i16, answer: impl Display) {
        let _ = writeln!(self.lines, "{case} v{version}: {}", answer.to_string().replace('\n', " "));
    }

    /// Compares the answers with the file, or writes the file.
    pub fn judge(self, file: &str, meant: &[Deviation]) -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(file);
        if std::env::var_os("CALLBOARD_WRITE_ANSWERS").is_some() {
            return Ok(std::fs::write(path, self.lines)?);
        }
        let kafka = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let (differ, idle) = differences(&kafka, &self.lines, meant);
        ensure!(differ.is_empty(), "{} answers differ:\n{}", differ.len(), differ.join("\n"));
        // Kafka itself needs no deviation.
        let idle = if std::env::var_os("CALLBOARD_ORACLE").is_some() { Vec::new() } else { idle };
        ensure!(idle.is_empty(), "meant, and not needed:\n{}", idle.join("\n"));
        Ok(())
    }
}

/// Differences that no deviation covers, and deviations that no difference needs.
fn differences(kafka: &str, ours: &str, meant: &[Deviation]) -> (Vec<String>, Vec<String>) {
    let (theirs, ours): (Vec<&str>, Vec<&str>) = (kafka.lines().collect(), ours.lines().collect());
    let mut used = vec![false; meant.len()];
    let mut differ = Vec::new();
    for n in 0..theirs.len().max(ours.len()) {
        let line = |of: &[&str]| of.get(n).map_or_else(|| "nothing".to_owned(), |line| (*line).to_owned());
        let (theirs, ours) = (line(&theirs), line(&ours));
        if theirs == ours {
            continue;
        }
        let fits = |one: &Deviation| {
            theirs.starts_with(one.case) && ours.starts_with(one.case) && one.ours.fit(&theirs, &ours)
        };
        match meant.iter().position(fits) {
            Some(at) => used[at] = true,
            None => differ.push(format!("kafka: {theirs}\n ours: {ours}")),
        }
    }
    let idle = meant.iter().zip(used).filter(|(_, used)| !used);
    (differ, idle.map(|(one, _)| format!("`{}`: {}", one.case, one.why)).collect())
}

/// Asks the built broker, or the Kafka that `CALLBOARD_ORACLE` names.
pub fn answers(ask: impl FnOnce(SocketAddr) -> Result<Said>) -> Result<Said> {
    if let Ok(oracle) = std::env::var("CALLBOARD_ORACLE") {
        return ask(oracle.to_socket_addrs()?.next().context("an address")?);
    }
    let mut broker = Broker::start(Options::default())?;
    match ask(broker.addr()) {
        Ok(said) => broker.stop().map(|()| said),
        Err(error) => bail!("{}", broker.broken(&format!("{error:#}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_and_needed_may_differ() {
        let kafka = "a v0: 1\na v1: 1\nb v0: 2\n";
        let meant = |case, ours| Deviation { case, ours: Ours::Holds(ours), why: "a test" };
        assert_eq!(differences(kafka, kafka, &[]), (vec![], vec![]));
        let ours = "a v0: 1\na v1: 9\nb v0: 2\n";
        assert_eq!(differences(kafka, ours, &[]).0.len(), 1);
        assert_eq!(differences(kafka, ours, &[meant("a ", "9")]), (vec![], vec![]));
        assert_eq!(differences(kafka, ours, &[meant("a ", "8")]).0.len(), 1, "another answer than is meant");
        assert_eq!(differences(kafka, kafka, &[meant("a ", "9")]).1.len(), 1, "not needed");
        assert_eq!(differences(kafka, "a v0: 1\na v1: 1\n", &[]).0.len(), 1, "one is missing");
        assert_eq!(differences("a v0: 1\n", ours, &[]).0.len(), 2, "one too many");
    }

    #[test]
    fn words_are_what_is_in_quotes() {
        let said = |kafka, ours| {
            let words = Deviation { case: "a", ours: Ours::Words, why: "a test" };
            differences(kafka, ours, &[words]).0.len()
        };
        assert_eq!(said("a v0: 3 \"no \\\"x\\\"\" 7", "a v0: 3 \"x: make it\" 7"), 0);
        assert_eq!(said("a v0: 3 - 7", "a v0: 3 \"x: make it\" 7"), 0);
        assert_eq!(said("a v0: 3 \"no\" 7", "a v0: 4 \"x\" 7"), 1, "another code");
        assert_eq!(said("a v0: 3 \"no\" 7", "a v0: 3 \"x\" 8"), 1, "another state behind it");
    }
}
