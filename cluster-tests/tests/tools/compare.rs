//! Two transcripts of the same command lines: what differs, once ids, ports, times and the width of columns are out.
//!
//! Lines of one command are compared without regard to their order (tools print from hash maps), except records.

/// One command and what it printed, normalised.
#[derive(Debug, PartialEq)]
pub struct Ran {
    pub command: String,
    pub lines: Vec<String>,
}

/// Whose lines an entry of the list is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    /// Kafka prints it and we do not.
    Kafka,
    /// We print it and Kafka does not.
    Callboard,
    /// Both print such a line, with other words.
    Both,
}

/// A difference that is meant: lines holding `line` under commands holding `command`.
pub struct Allowed {
    pub side: Side,
    pub command: &'static str,
    pub line: &'static str,
    pub why: &'static str,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Commands with differences that are not allowed.
    pub commands: usize,
    /// Them and their lines.
    pub lines: Vec<String>,
    /// Entries that no difference needed.
    pub idle: Vec<String>,
}

/// The commands of a transcript; `bootstrap` is where its broker was.
pub fn parse(transcript: &str, bootstrap: &str) -> Vec<Ran> {
    let mut all: Vec<Ran> = Vec::new();
    for line in transcript.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            all.push(Ran { command: command.to_owned(), lines: Vec::new() });
        } else if let Some(ran) = all.last_mut() {
            // Where in the tool an error was noticed is the tool's affair.
            let frame = line.starts_with("\tat ") || line.starts_with("\t... ");
            let line = if frame { String::new() } else { normal(line, &ran.command, bootstrap) };
            if !line.is_empty() {
                ran.lines.push(line);
            }
        }
    }
    for ran in &mut all {
        if !ran.command.starts_with("kafka-console-consumer") {
            ran.lines.sort();
        }
    }
    all
}

/// A line without what must differ.
fn normal(line: &str, command: &str, bootstrap: &str) -> String {
    let line = line.replace(bootstrap, "BROKER");
    if command.starts_with("kafka-producer-perf-test") {
        // The rest is how fast it was.
        return line.split(',').next().unwrap_or_default().to_owned();
    }
    if command.starts_with("kafka-consumer-perf-test") && line.starts_with("20") {
        let columns: Vec<&str> = line.split(", ").collect();
        return [2, 4].map(|n| columns.get(n).copied().unwrap_or("nothing")).join(" MB, records ");
    }
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let id = words.last().is_some_and(|before| before == "TopicId:");
        words.push(if id && word.len() == 22 { "ID".to_owned() } else { without_uuid(word) });
    }
    let line = words.join(" ");
    match line.split_once(" Configs: ") {
        // In the order of the broker's hash map.
        Some((before, configs)) => {
            let mut configs: Vec<&str> = configs.split(',').collect();
            configs.sort_unstable();
            format!("{before} Configs: {}", configs.join(","))
        }
        None => line,
    }
}

/// Member ids end in a UUID; console consumers call their groups by a number of five digits or fewer.
fn without_uuid(word: &str) -> String {
    let number = word.trim_matches('\'').strip_prefix("console-consumer-").unwrap_or("x");
    if number.bytes().all(|byte| byte.is_ascii_digit()) {
        return "console-consumer-N".to_owned();
    }
    let Some(at) = word.len().checked_sub(36) else { return word.to_owned() };
    match word.get(at..) {
        Some(tail) if uuid::Uuid::try_parse(tail).is_ok() => format!("{}UUID", &word[..at]),
        _ => word.to_owned(),
    }
}

/// Compares what was printed at Kafka with what was printed at Callboard.
pub fn differences(kafka: &[Ran], callboard: &[Ran], allowed: &[Allowed]) -> Found {
    let mut found = Found::default();
    let mut used = vec![false; allowed.len()];
    let mut ours = callboard.iter();
    for theirs in kafka {
        let Some(ran) = ours.next().filter(|ran| ran.command == theirs.command) else {
            found.lines.push(format!("$ {}\n  was not run at Callboard", theirs.command));
            break;
        };
        let ordered = theirs.command.starts_with("kafka-console-consumer");
        let (minus, plus) =
            if ordered { whole(&theirs.lines, &ran.lines) } else { parts(&theirs.lines, &ran.lines) };
        let mut lines = left(&minus, Side::Kafka, &theirs.command, allowed, &mut used);
        lines.extend(left(&plus, Side::Callboard, &theirs.command, allowed, &mut used));
        if !lines.is_empty() {
            found.commands += 1;
            found.lines.push(format!("$ {}\n{}", theirs.command, lines.join("\n")));
        }
    }
    let idle = allowed.iter().zip(used).filter(|(_, used)| !used);
    let show = |entry: &Allowed| {
        format!("{:?} `{}` under `{}`: {}", entry.side, entry.line, entry.command, entry.why)
    };
    found.idle = idle.map(|(entry, _)| show(entry)).collect();
    found
}

/// Lines that only one has, as often as it has them more.
fn parts(theirs: &[String], ours: &[String]) -> (Vec<String>, Vec<String>) {
    let mut plus = ours.to_vec();
    let mut minus = Vec::new();
    for line in theirs {
        match plus.iter().position(|ours| ours == line) {
            Some(at) => drop(plus.remove(at)),
            None => minus.push(line.clone()),
        }
    }
    (minus, plus)
}

/// All or nothing: where the order counts.
fn whole(theirs: &[String], ours: &[String]) -> (Vec<String>, Vec<String>) {
    if theirs == ours { (Vec::new(), Vec::new()) } else { (theirs.to_vec(), ours.to_vec()) }
}

fn left(lines: &[String], side: Side, command: &str, allowed: &[Allowed], used: &mut [bool]) -> Vec<String> {
    let sign = if side == Side::Kafka { "-" } else { "+" };
    let mut kept = Vec::new();
    for line in lines {
        let fits = |entry: &Allowed| {
            (entry.side == side || entry.side == Side::Both)
                && command.contains(entry.command)
                && line.contains(entry.line)
        };
        match allowed.iter().position(fits) {
            Some(at) => used[at] = true,
            None => kept.push(format!("  {sign} {line}")),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const KAFKA: &str = "$ kafka-topics --describe\nTopic: a\tTopicId: OQ_U334oQiaGUC5VjTyYFQ\tLeader: 1\nTopic: b\nexit 0\n\
                         $ kafka-console-consumer --topic a\none\ntwo\nexit 0\n\
                         $ kafka-consumer-groups --describe\nm-748ccd1d-dd8a-4b03-875b-b417936fb329   h:1  (1)\n\tat x.y\nexit 0\n";
    const OURS: &str = "$ kafka-topics --describe\nTopic: b\nTopic: a TopicId: AAAAAAAAAAAAAAAAAAAAAA Leader: 1\nexit 0\n\
                        $ kafka-console-consumer --topic a\none\ntwo\nexit 0\n\
                        $ kafka-consumer-groups --describe\nm-00000000-dd8a-4b03-875b-b417936fb329 other:2 (1)\nexit 0\n";

    fn found(ours: &str, allowed: &[Allowed]) -> Found {
        differences(&parse(KAFKA, "h:1"), &parse(ours, "other:2"), allowed)
    }

    #[test]
    fn what_must_differ_does_not_count() {
        let found = found(OURS, &[]);
        assert_eq!((found.commands, found.lines.len(), found.idle.len()), (0, 0, 0), "{:?}", found.lines);
    }

    #[test]
    fn everything_else_counts() {
        for (from, to) in [
            ("Leader: 1", "Leader: 2"),
            ("Topic: b\n", ""),
            ("Topic: b\n", "Topic: b\nTopic: b\n"),
            ("one\ntwo", "two\none"),
            ("exit 0\n$ kafka-console", "exit 1\n$ kafka-console"),
            ("m-0", "n-0"),
            ("(1)", "(2)"),
        ] {
            let ours = OURS.replacen(from, to, 1);
            assert_ne!(ours, OURS, "{from}");
            assert_eq!(found(&ours, &[]).commands, 1, "{from} -> {to}");
        }
        let shorter = OURS.split("$ kafka-consumer-groups").next().unwrap();
        assert_eq!(found(shorter, &[]).lines.len(), 1);
    }

    #[test]
    fn allowed_is_what_is_named_and_needed() {
        let entry = |side, line| Allowed { side, command: "kafka-topics", line, why: "a test" };
        let ours = OURS.replace("Topic: b\n", "");
        assert_eq!(found(&ours, &[entry(Side::Kafka, "Topic: b")]).commands, 0);
        assert_eq!(found(&ours, &[entry(Side::Callboard, "Topic: b")]).commands, 1);
        let found = found(OURS, &[entry(Side::Both, "Topic: b")]);
        assert_eq!((found.commands, found.idle.len()), (0, 1));
    }
}
