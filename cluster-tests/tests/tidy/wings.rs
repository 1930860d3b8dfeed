//! The wings of `src/storage`: a file imports only its own wing and wings below.
//!
//! ```text
//!   store ─> shard ─> settled ─> journal ─> disk        beside them: metrics, sample (below), readers, scrape (above)
//! ```
//!
//! The order keeps the store readable from the bottom: a disk knows nothing of journals, a journal nothing of redb. Files of
//! tests may import everything.

use crate::edges::mentions;
use crate::source::Source;

/// From the lowest to the highest. Single files beside the wings have their place in the order, too.
const ORDER: [&[&str]; 6] = [
    &["metrics", "sample", "readers"],
    &["disk"],
    &["journal"],
    &["settled"],
    &["shard"],
    &["store", "scrape"],
];

/// Files that are the face of the whole: they name every wing.
const FACE: &str = "src/storage/mod.rs";

fn height(name: &str) -> Option<usize> {
    ORDER.iter().position(|wings| wings.contains(&name))
}

/// Imports that run up, and files that stand in no wing.
pub fn upward(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let Some(module) = source.module().filter(|m| m.first().is_some_and(|first| first == "storage"))
        else {
            continue;
        };
        if source.path == FACE || source.all_test() {
            continue;
        }
        let wing = module.get(1).map_or("", String::as_str);
        let Some(from) = height(wing) else {
            complaints.push(format!(
                "{}: {wing} is no wing of src/storage: give it a place in the order",
                source.path
            ));
            continue;
        };
        for (path, line) in mentions(source, &module) {
            let [root, storage, to, ..] = &path[..] else { continue };
            if root != "crate" || storage != "storage" {
                continue;
            }
            let place = format!("{}:{line}", source.path);
            match height(to) {
                Some(height) if height <= from => {}
                Some(_) => complaints.push(format!("{place}: {wing} imports {to}, which stands above it")),
                None => complaints.push(format!("{place}: {to} is imported past its wing: name the file")),
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        upward(&[Source::new(path, text)]).len()
    }

    #[test]
    fn an_import_upward_is_found_however_it_is_written() {
        for text in [
            "use crate::storage::shard::engine::Engine;",
            "use super::super::shard::engine::Engine;",
            "use crate::storage::{disk::port::Disk, store::open::Store};",
            "fn a() { crate::storage::settled::window::wall(); }",
            "fn a() { assert!(crate::storage::scrape::sample()); }",
        ] {
            assert_eq!(found("src/storage/journal/segment.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn an_import_past_the_wings_is_found() {
        assert_eq!(found("src/storage/store/open.rs", "use crate::storage::Engine;"), 1);
        assert_eq!(found("src/storage/store/open.rs", "use crate::storage::*;"), 1);
    }

    #[test]
    fn a_file_outside_the_wings_is_found() {
        assert_eq!(found("src/storage/helpers.rs", "fn a() {}"), 1);
        assert_eq!(found("src/storage/extra/mod.rs", "fn a() {}"), 1);
    }

    #[test]
    fn imports_down_and_across_are_fine() {
        let text = "use crate::storage::journal::index::Run; use super::room::Space; use crate::storage::metrics; \
                    use callboard_core::storage::Entry; fn a() { let shard = shard::b(); }";
        assert_eq!(found("src/storage/shard/read.rs", text), 0);
        assert_eq!(found("src/storage/mod.rs", "pub use store::open::Store;"), 0);
        assert_eq!(found("src/storage/tests/mod.rs", "use crate::storage::*;"), 0);
        assert_eq!(found("src/kafka/conn.rs", "use crate::storage::shard::engine::Engine;"), 0);
    }
}
