//! The house rules, as tests over the parsed sources. A rule that cannot be kept is changed here, in
//! sight, never worked round.
//!
//! ```text
//!   tidy/source.rs   the sources, parsed; which of their items are tests
//!   tidy/shape.rs    length of files and functions, the opening `//!`, no `unwrap`, nothing left to do
//!   tidy/edges.rs    who may import whom; one room for each foreign crate
//!   tidy/circles.rs  no circle of imports between files
//!   tidy/docs.rs     public items have a comment; no comment says nothing
//!   tidy/wings.rs    the wings of src/storage: imports run down only
//!   tidy/metrics.rs  each metric named once, described once; dashboards name only what exists
//!   tidy/config.rs   the fields of the configuration and the sample file agree
//!   tidy/lock.rs     one version of what must be one; none of what is banned
//! ```
//! Each rule is a function from sources to complaints, with tests of its own that show that it can fail.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/config.rs"]
mod config;
#[path = "tidy/docs.rs"]
mod docs;
#[path = "tidy/edges.rs"]
mod edges;
#[path = "tidy/lock.rs"]
mod lock;
#[path = "tidy/metrics.rs"]
mod metrics;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/wings.rs"]
mod wings;

use std::path::{Path, PathBuf};

use source::Source;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<Source> {
    let sources = source::load(&root());
    assert!(sources.len() > 20, "only {} sources below {}", sources.len(), root().display());
    sources
}

fn file(path: &str) -> Option<String> {
    std::fs::read_to_string(root().join(path)).ok()
}

#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(
        complaints.is_empty(),
        "{} against the house rules:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

#[test]
fn files_are_short() {
    none(shape::long_files(&sources()));
}

#[test]
fn functions_are_short() {
    none(shape::long_functions(&sources()));
}

#[test]
fn every_file_opens_with_its_picture() {
    none(shape::without_picture(&sources()));
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    none(shape::unwraps(&sources()));
}

#[test]
fn nothing_is_left_to_do() {
    none(shape::leftovers(&sources()));
}

#[test]
fn adapters_meet_only_through_ports() {
    none(edges::between_adapters(&sources()));
}

#[test]
fn imports_in_the_store_run_down_only() {
    none(wings::upward(&sources()));
}

#[test]
fn each_foreign_crate_stays_in_its_room() {
    none(edges::out_of_their_rooms(&sources()));
}

#[test]
fn imports_go_round_in_no_circle() {
    none(circles::circles(&sources()));
}

#[test]
fn public_items_are_documented() {
    none(docs::undocumented(&sources()));
}

#[test]
fn no_comment_says_nothing() {
    none(docs::empty_words(&sources()));
}

#[test]
fn each_metric_is_named_once_and_described_once() {
    none(metrics::undescribed(&sources()));
}

#[test]
fn dashboards_name_only_metrics_that_exist() {
    none(metrics::unknown(&sources(), &metrics::boards(&root())));
}

#[test]
fn configuration_and_sample_agree() {
    let sources = sources();
    let code: Vec<&syn::File> =
        sources.iter().filter(|s| s.path.starts_with(config::PLACE)).map(|s| &s.code).collect();
    none(config::disagreements(&code, &file("config/callboard.toml").unwrap_or_default()));
}

#[test]
fn the_lock_file_holds_nothing_twice_and_nothing_banned() {
    none(lock::complaints(&file("Cargo.lock").expect("a Cargo.lock")));
}
