//! README's tables of settings come from the code: `CALLBOARD_WRITE_README=1 cargo test --test readme` writes them.
//!
//! ```text
//!   config/callboard.toml (held against `Config` by its own tests) ─> the settings of a node
//!   the table of topic configs in core                             ─> the configs of a topic
//!   --help                                                         ─> each flag is in the README, and no other
//! ```
#![allow(clippy::unwrap_used)] // helpers of tests, too

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use callboard_core::metadata::configs::{Class, Layers, Statics, topic_class, topic_entries};

fn root(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// The words of a comment as one cell of a table.
fn cell(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Every field of the sample with its default and the comment before it.
fn node_table() -> String {
    let sample = std::fs::read_to_string(root("config/callboard.toml")).unwrap();
    let mut table = String::from("| setting | default | |\n|---|---|---|\n");
    let (mut said, mut fresh) = (String::new(), true);
    for line in sample.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            if fresh {
                said.clear();
            }
            fresh = false;
            said += comment;
            said.push(' ');
        } else if let Some((field, value)) = line.split_once(" = ") {
            writeln!(table, "| `{field}` | `{value}` | {} |", cell(&said)).unwrap();
            // Fields that follow at once share the comment.
            said = "(as above)".into();
            fresh = true;
        } else {
            fresh = true;
        }
    }
    table
}

/// Every topic config with its default, its class and its description.
fn topic_table() -> String {
    let (cluster, statics) = (BTreeMap::new(), Statics::new([]));
    let layers = Layers { broker: None, cluster: &cluster, statics: &statics, nodes: 1 };
    let mut table = String::from("| topic config | default | class | |\n|---|---|---|---|\n");
    for entry in topic_entries(&BTreeMap::new(), &layers) {
        let (name, value, doc) = (entry.name, entry.value.unwrap_or_default(), cell(entry.doc));
        let class = topic_class(name).map(Class::label).unwrap();
        let value = if value.is_empty() { value } else { format!("`{value}`") };
        writeln!(table, "| `{name}` | {value} | {class} | {doc} |").unwrap();
    }
    table
}

/// The text before, between and behind two markers.
fn between<'a>(readme: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
    let (before, rest) = readme.split_once(&begin).unwrap_or_else(|| panic!("README has no {begin}"));
    let (table, after) = rest.split_once(&end).unwrap_or_else(|| panic!("README has no {end}"));
    (before, table, after)
}

#[test]
fn the_tables_of_settings_are_what_the_code_says() {
    let path = root("README.md");
    let mut readme = std::fs::read_to_string(&path).unwrap();
    for (name, wanted) in [("settings", node_table()), ("topic configs", topic_table())] {
        let (before, table, after) = between(&readme, name);
        if table != wanted {
            let write = std::env::var_os("CALLBOARD_WRITE_README").is_some();
            assert!(
                write,
                "README's {name} are not those of the code: CALLBOARD_WRITE_README=1 writes them anew"
            );
            readme = format!("{before}<!-- {name} -->\n{wanted}<!-- end of {name} -->\n{after}");
            std::fs::write(&path, &readme).unwrap();
        }
    }
}

/// Every `--word` in a text.
fn flags(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_lowercase() || c == '-';
    let of = |at: usize| {
        let rest = &text[at..];
        rest.split(|c| !word(c)).next().unwrap_or_default().trim_end_matches('-')
    };
    let starts = text.match_indices("--").filter(|(at, _)| !text[..*at].ends_with(['-', '<', '!']));
    starts.map(|(at, _)| of(at)).filter(|flag| flag.len() > 2).collect()
}

#[test]
fn the_readme_names_every_flag_and_no_other() {
    let help = Command::new(env!("CARGO_BIN_EXE_callboard")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let readme = std::fs::read_to_string(root("README.md")).unwrap();
    let (known, named) = (flags(&help), flags(&readme));
    let missing: Vec<_> = known.difference(&named).filter(|flag| **flag != "--version").collect();
    assert!(missing.is_empty(), "README does not name {missing:?}");
    let section = readme.split_once("## Settings").unwrap().1.split("\n## ").next().unwrap();
    let section = section.lines().filter(|line| !line.contains("kafka-")).collect::<Vec<_>>().join("\n");
    let strange: Vec<_> = flags(&section).difference(&known).copied().collect::<Vec<_>>();
    assert!(strange.is_empty(), "README names {strange:?}, which --help does not");
}
