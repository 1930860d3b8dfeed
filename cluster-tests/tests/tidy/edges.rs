//! Who may import whom. Adapters meet only through the ports of `actors/src/ports/`; each foreign crate that shapes
//! an adapter is known in one place, so that it can be changed in one place.

use syn::visit::{self, Visit};
use syn::{ItemUse, UseTree};

use crate::source::{Source, flat, paths};

const ADAPTERS: [&str; 6] = ["kafka", "storage", "transport", "gossip", "controller", "console"];
/// The composition root, which knows all.
const ROOTS: [&str; 1] = ["node"];
/// What else is allowed: from, to.
const ALLOWED: [(&str, &str); 2] = [("controller", "storage"), ("controller", "transport")];

/// A foreign crate and the places that may name it.
const ROOMS: [(&str, &[&str]); 14] = [
    ("redb", &["src/storage/", "src/controller/"]),
    ("kafka_protocol", &[]),
    ("rkyv", &["src/transport/frame.rs"]),
    ("quinn", &["src/transport/"]),
    ("quinn_proto", &["src/transport/"]),
    ("rustls", &["src/transport/"]),
    ("rcgen", &["src/transport/"]),
    ("ring", &["src/transport/"]),
    ("chitchat", &["src/gossip/"]),
    ("openraft", &["src/controller/"]),
    ("hyper", &["src/console/"]),
    ("hyper_util", &["src/console/"]),
    ("http_body_util", &["src/console/"]),
    ("metrics_exporter_prometheus", &["src/console/"]),
];

/// Imports between adapters, and of adapters by anything but the composition root.
pub fn between_adapters(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let Some(module) = source.module() else { continue };
        // main and lib declare the modules; the composition root knows all.
        let Some(from) = module.first().filter(|from| !ROOTS.contains(&from.as_str())) else { continue };
        for (path, line) in mentions(source, &module) {
            let Some(path) = path.strip_prefix(&["crate".to_owned()]) else { continue };
            let to = path.first().map_or("*", String::as_str);
            let adapter =
                ADAPTERS.contains(&to) || (ROOTS.contains(&to) && ADAPTERS.contains(&from.as_str()));
            if to == "*" || (adapter && from != to && !ALLOWED.contains(&(from.as_str(), to))) {
                let place = format!("{}:{line}", source.path);
                complaints
                    .push(format!("{place}: {from} imports {to}: they meet through actors/src/ports/ only"));
            }
        }
    }
    complaints
}

/// Foreign crates named outside their rooms. What tests and measures use is theirs to choose.
pub fn out_of_their_rooms(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        if !(source.path.starts_with("src/") || source.path.starts_with("actors/")) {
            continue;
        }
        for (path, line) in mentions(source, &source.module().unwrap_or_default()) {
            let Some((name, rooms)) =
                ROOMS.iter().find(|(name, _)| path.first().is_some_and(|first| first == name))
            else {
                continue;
            };
            if !rooms.iter().any(|room| source.path.starts_with(room)) {
                let rooms = if rooms.is_empty() { "cluster-tests".to_owned() } else { rooms.join(", ") };
                complaints.push(format!("{}:{line}: {name} belongs in {rooms}", source.path));
            }
        }
    }
    complaints
}

/// Every path in a file, with its line. Paths into this crate begin with `crate`, whatever way they were written; a
/// glob ends in `*`; `crate` by itself, under another name or as a glob, is `crate::*`.
pub fn mentions(source: &Source, module: &[String]) -> Vec<(Vec<String>, usize)> {
    let mut seen = Mentions { module: module.to_vec(), found: Vec::new() };
    seen.visit_file(&source.all);
    seen.found
}

struct Mentions {
    module: Vec<String>,
    found: Vec<(Vec<String>, usize)>,
}

impl Mentions {
    fn add(&mut self, path: &[String], line: usize) {
        let mut base = self.module.clone();
        let mut rest = path;
        let mut inside = false;
        while let Some(first) = rest.first() {
            match first.as_str() {
                // The library's own name: tests and the binary write it.
                "crate" | "callboard" if !inside => base.clear(),
                "self" => {}
                "super" => drop(base.pop()),
                _ => break,
            }
            inside = true;
            rest = &rest[1..];
        }
        let path = if inside {
            ["crate".to_owned()].into_iter().chain(base).chain(rest.iter().cloned()).collect()
        } else {
            rest.to_vec()
        };
        self.found.push((path, line));
    }

    fn tree(&mut self, tree: &UseTree, mut path: Vec<String>) {
        match tree {
            UseTree::Path(next) => {
                path.push(next.ident.to_string());
                self.tree(&next.tree, path);
            }
            UseTree::Name(name) => self.leaf(path, name.ident.to_string(), name.ident.span().start().line),
            UseTree::Rename(name) => self.leaf(path, name.ident.to_string(), name.ident.span().start().line),
            UseTree::Glob(glob) => self.leaf(path, "*".to_owned(), glob.star_token.span.start().line),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, path.clone())),
        }
    }

    fn leaf(&mut self, mut path: Vec<String>, last: String, line: usize) {
        if last != "self" || path.is_empty() {
            path.push(last);
        }
        self.add(&path, line);
    }
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&item.tree, Vec::new());
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.add(&[item.ident.to_string()], item.ident.span().start().line);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // One segment is a local name, never a crate or a module by itself.
        if let Some(first) = path.segments.first().filter(|_| segments.len() > 1) {
            self.add(&segments, first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, body: &'ast syn::Macro) {
        visit::visit_macro(self, body);
        for (path, line) in paths(&flat(body.tokens.clone())) {
            if path.len() > 1 {
                self.add(&path, line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(path: &str, text: &str) -> usize {
        between_adapters(&[Source::new(path, text)]).len()
    }

    fn rooms(path: &str, text: &str) -> usize {
        out_of_their_rooms(&[Source::new(path, text)]).len()
    }

    #[test]
    fn an_edge_between_adapters_is_found_however_it_is_written() {
        for text in [
            "use crate::storage::Store;",
            "use crate::{config::Config, storage};",
            "use crate::storage as elsewhere;",
            "use super::super::storage::Store;",
            "fn a() { crate::storage::open(); }",
            "fn a() -> crate::storage::Store { b() }",
            "fn a() { assert!(crate::storage::open()); }",
            "mod inner { use super::super::super::storage::Store; }",
            "use crate::*;",
            "use crate as all;",
            "use crate::node::Node;",
        ] {
            assert_eq!(edges("src/kafka/conn.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn what_is_allowed_is_not_found() {
        assert_eq!(
            edges(
                "src/kafka/conn.rs",
                "use crate::kafka::wire; use super::api; use callboard_actors::ports;"
            ),
            0
        );
        assert_eq!(
            edges("src/kafka/conn.rs", "use crate::config::Config; use self::storage::X; mod storage {}"),
            0
        );
        assert_eq!(edges("src/controller/log.rs", "use crate::storage::db; use crate::transport::Peer;"), 0);
        assert_eq!(edges("src/node.rs", "use crate::{kafka, storage, controller};"), 0);
        assert_eq!(edges("src/node/parts.rs", "use crate::{kafka, storage, controller};"), 0);
        assert_eq!(edges("src/main.rs", "use callboard::{node, storage};"), 0);
    }

    #[test]
    fn the_way_back_and_from_elsewhere_is_found() {
        assert_eq!(edges("src/storage/mod.rs", "use crate::controller::X;"), 1);
        assert_eq!(edges("src/controller/mod.rs", "use crate::kafka::X;"), 1);
        assert_eq!(edges("src/config.rs", "use crate::storage::X;"), 1);
        assert_eq!(edges("src/config.rs", "use crate::node::X;"), 0);
    }

    #[test]
    fn a_crate_outside_its_room_is_found() {
        assert_eq!(rooms("src/kafka/conn.rs", "use redb::Database;"), 1);
        assert_eq!(rooms("src/kafka/conn.rs", "fn a(b: ::redb::Database) {}"), 1);
        assert_eq!(rooms("src/kafka/conn.rs", "fn a() { assert!(redb::Database::open()); }"), 1);
        assert_eq!(rooms("src/kafka/conn.rs", "use redb as store;"), 1);
        assert_eq!(rooms("actors/core/src/lib.rs", "use redb::Database;"), 1);
        assert_eq!(rooms("src/storage/db.rs", "use redb::Database;"), 0);
        assert_eq!(
            rooms("src/kafka/wire/mod.rs", "#[cfg(test)] mod t { use kafka_protocol::messages::X; }"),
            1
        );
        assert_eq!(rooms("cluster-tests/src/a.rs", "use kafka_protocol::messages::X; use redb::Y;"), 0);
        assert_eq!(rooms("src/transport/stream.rs", "use rkyv::Archive;"), 1);
        assert_eq!(rooms("src/transport/frame.rs", "use rkyv::Archive;"), 0);
    }
}
