//! No circle of imports between files: a reader can read each file after the files it names.
//!
//! ```text
//!   use super::X;  a::b::f();   ──>  the file that defines X, that defines f: an arrow from this file to that one
//!   mod child;  pub use child::X;    no arrow: a parent shows what its children hold, and needs none of it
//!   a name of a child that the parent writes in its own code: an arrow like any other
//! ```
//! A name is followed through re-exports, imports of modules and globs to the file that defines it. Code for tests
//! draws no arrow. Methods do not either: a file that adds methods to another file's type is not seen from there.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Item, UseTree, Visibility};

use crate::source::{Source, flat, paths};

/// Roots of packages. Cargo itself refuses circles between packages.
const ROOTS: [&str; 4] = ["actors/core/src/", "actors/src/", "cluster-tests/src/", "src/"];

/// All circles; none is allowed.
pub fn circles(sources: &[Source]) -> Vec<String> {
    let graph = arrows(sources);
    knots(&graph).iter().map(|circle| say(circle, &graph)).collect()
}

/// One knot, with an arrow each line.
fn say(circle: &[String], graph: &Graph) -> String {
    let mut lines = vec![format!("a circle of {} files:", circle.len())];
    for from in circle {
        for (to, why) in graph.get(from).into_iter().flatten().filter(|(to, _)| circle.contains(to)) {
            lines.push(format!("  {from} -> {to} ({why})"));
        }
    }
    lines.join("\n")
}

/// From each file to the files it names, with the first place.
type Graph = BTreeMap<String, BTreeMap<String, String>>;
type Path = Vec<String>;

/// Arrows between the files of each package.
fn arrows(sources: &[Source]) -> Graph {
    let mut graph = Graph::new();
    for root in ROOTS {
        let mut package = Package::default();
        let inside: Vec<(&Source, Path)> =
            sources.iter().filter_map(|source| Some((source, module_of(source, root)?))).collect();
        for (source, module) in &inside {
            package.declare(&source.path, module.clone(), &source.code.items);
        }
        for (source, module) in &inside {
            let mut names = Names { package: &package, module: module.clone(), found: Vec::new() };
            names.visit_file(&source.code);
            let to = graph.entry(source.path.clone()).or_default();
            for (file, why) in names.found.into_iter().filter(|(file, _)| *file != source.path) {
                to.entry(file).or_insert(why);
            }
        }
    }
    graph
}

/// `src/kafka/api/mod.rs` is `kafka::api` of its package; `None` where it is none, or the binary's.
fn module_of(source: &Source, root: &str) -> Option<Path> {
    let path = source.path.strip_prefix(root)?.strip_suffix(".rs").filter(|_| !source.all_test())?;
    let mut module: Path = path.split('/').map(str::to_owned).collect();
    if module == ["main"] {
        return None;
    }
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    Some(module)
}

/// The modules of one package.
#[derive(Default)]
struct Package {
    modules: BTreeMap<Path, Module>,
}

#[derive(Default)]
struct Module {
    file: String,
    items: BTreeSet<String>,
    /// Names that a `use` brings in, with the path it gives.
    uses: BTreeMap<String, Path>,
    globs: Vec<Path>,
}

/// More steps than any path in the sources takes; beyond it names lead in a ring.
const STEPS: usize = 32;

impl Package {
    fn declare(&mut self, file: &str, path: Path, items: &[Item]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            match item {
                Item::Mod(inner) => {
                    if let Some((_, items)) = &inner.content {
                        self.declare(file, with(&path, &inner.ident.to_string()), items);
                    }
                }
                Item::Use(item) => {
                    for (name, path, _) in leaves(&item.tree) {
                        match name.as_str() {
                            "*" => module.globs.push(path),
                            _ => drop(module.uses.insert(name, path)),
                        }
                    }
                }
                _ => module.items.extend(name_of(item)),
            }
        }
        self.modules.insert(path, module);
    }

    /// The file that defines what `path` names in `module`; `None`: it is of elsewhere, or a module by itself.
    fn defines(&self, module: &[String], path: &[String], steps: usize) -> Option<&str> {
        match self.find(module, path, steps)? {
            Found::Item(file) => Some(file),
            Found::Module(_) => None,
        }
    }

    fn find(&self, module: &[String], path: &[String], steps: usize) -> Option<Found<'_>> {
        let (mut at, mut rest) = (module.to_vec(), path);
        let mut inside = false;
        while let Some(first) = rest.first() {
            match first.as_str() {
                "crate" if !inside => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                _ => break,
            }
            inside = true;
            rest = &rest[1..];
        }
        self.walk(at, rest, steps)
    }

    fn walk(&self, at: Path, rest: &[String], steps: usize) -> Option<Found<'_>> {
        let steps = steps.checked_sub(1)?;
        let Some((first, after)) = rest.split_first() else { return Some(Found::Module(at)) };
        let child = with(&at, first);
        if self.modules.contains_key(&child) {
            return self.walk(child, after, steps);
        }
        let here = self.modules.get(&at)?;
        if here.items.contains(first) {
            return Some(Found::Item(&here.file));
        }
        if let Some(path) = here.uses.get(first) {
            // A path that begins with its own name is another package's.
            let own = path.first() == Some(first);
            return match (!own).then(|| self.find(&at, path, steps)).flatten()? {
                Found::Module(module) => self.walk(module, after, steps),
                item => Some(item),
            };
        }
        here.globs.iter().filter(|glob| glob.first() != Some(first)).find_map(|glob| {
            match self.find(&at, glob, steps)? {
                Found::Module(module) if module != at => self.walk(module, rest, steps),
                found => Some(found).filter(|found| matches!(found, Found::Item(_))),
            }
        })
    }
}

enum Found<'a> {
    Item(&'a str),
    Module(Path),
}

fn with(path: &[String], name: &str) -> Path {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(i) => &i.ident,
        Item::Enum(i) => &i.ident,
        Item::Fn(i) => &i.sig.ident,
        Item::Macro(i) => i.ident.as_ref()?,
        Item::Static(i) => &i.ident,
        Item::Struct(i) => &i.ident,
        Item::Trait(i) => &i.ident,
        Item::Type(i) => &i.ident,
        Item::Union(i) => &i.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// What a `use` brings in: the name it gets, its path, its line. A glob's name is `*`, its path the module's.
fn leaves(tree: &UseTree) -> Vec<(String, Path, usize)> {
    fn go(tree: &UseTree, path: Path, out: &mut Vec<(String, Path, usize)>) {
        let mut leaf = |name: String, last: &syn::Ident| {
            let line = last.span().start().line;
            if last == "self" && !path.is_empty() {
                let name = if name == "self" { path[path.len() - 1].clone() } else { name };
                out.push((name, path.clone(), line));
            } else {
                out.push((name, with(&path, &last.to_string()), line));
            }
        };
        match tree {
            UseTree::Path(next) => go(&next.tree, with(&path, &next.ident.to_string()), out),
            UseTree::Name(name) => leaf(name.ident.to_string(), &name.ident),
            UseTree::Rename(name) => leaf(name.rename.to_string(), &name.ident),
            UseTree::Glob(glob) => out.push(("*".to_owned(), path, glob.star_token.span.start().line)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| go(tree, path.clone(), out)),
        }
    }
    let mut out = Vec::new();
    go(tree, Vec::new(), &mut out);
    out
}

/// The files whose names one file writes.
struct Names<'a> {
    package: &'a Package,
    module: Path,
    found: Vec<(String, String)>,
}

impl Names<'_> {
    fn add(&mut self, path: &[String], line: usize) {
        if let Some(file) = self.package.defines(&self.module, path, STEPS) {
            self.found.push((file.to_owned(), format!("line {line}: {}", path.join("::"))));
        }
    }

    fn words(&mut self, words: &[(String, usize)]) {
        for (path, line) in paths(words) {
            // A word by itself may be a variable; one with a capital is none.
            if path.len() > 1 || path[0].starts_with(char::is_uppercase) {
                self.add(&path, line);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // A re-export shows a name and needs nothing of it.
        if matches!(item.vis, Visibility::Inherited) {
            for (_, path, line) in leaves(&item.tree) {
                self.add(&path, line);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            self.add(&segments, first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_macro(&mut self, body: &'ast syn::Macro) {
        visit::visit_macro(self, body);
        self.words(&flat(body.tokens.clone()));
    }
}

/// Files that reach each other, as groups of two and more.
fn knots(graph: &Graph) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|from| (from, reached(graph, from))).collect();
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for (from, there) in &reach {
        let both = |to: &&&String| reach.get(**to).is_some_and(|back| back.contains(from));
        let knot: Vec<String> = there.iter().filter(both).map(|file| (*file).clone()).collect();
        if !knot.is_empty() && seen.insert(knot.clone()) {
            out.push(knot);
        }
    }
    out
}

fn reached<'a>(graph: &'a Graph, from: &str) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&String> = graph.get(from).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(graph.get(file).into_iter().flat_map(BTreeMap::keys));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints all circles of this tree: `cargo test --test tidy -- --ignored --nocapture circles`.
    #[test]
    #[ignore = "prints, judges nothing"]
    fn circles_of_this_tree() {
        let graph = arrows(&crate::sources());
        let knots = knots(&graph);
        println!("{} circles", knots.len());
        knots.iter().for_each(|knot| println!("{}", say(knot, &graph)));
    }

    fn knotted(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        knots(&arrows(&sources))
    }

    const A: &str = "actors/src/p/a.rs";
    const B: &str = "actors/src/p/b.rs";
    const P: &str = "actors/src/p/mod.rs";

    #[test]
    fn a_circle_is_found_however_it_is_written() {
        for text in [
            "use super::b::Y; pub struct X;",
            "use super::Y; pub struct X;",
            "use super::b; pub struct X(b::Y);",
            "use super::{b as other}; pub struct X; fn a() { other::Y::new(); }",
            "use crate::p; pub struct X(p::Y);",
            "use crate::p::*; pub struct X(Y);",
            "use super::b::{self}; pub struct X; fn a() { assert!(b::Y::new()); }",
            "pub struct X(super::Y);",
            "use super::Y as Z; pub struct X;",
            "pub struct X; mod inner { use super::super::Y; }",
        ] {
            let files = [
                (P, "mod a; mod b; pub use a::X; pub use b::Y;"),
                (A, text),
                (B, "use super::X; pub struct Y;"),
            ];
            assert_eq!(knotted(&files), [[A, B]], "{text}");
        }
    }

    #[test]
    fn a_parent_that_shows_its_children_needs_none_of_them() {
        let parent = "mod a; pub use a::X; pub struct Shared;";
        assert_eq!(knotted(&[(P, parent), (A, "use super::Shared; pub struct X;")]).len(), 0);
        let parent = "mod a; pub use a::X; pub struct Shared(X);";
        assert_eq!(knotted(&[(P, parent), (A, "use super::Shared; pub struct X;")]), [[A, P]]);
        let parent = "mod a; use a::X; pub struct Shared;";
        assert_eq!(knotted(&[(P, parent), (A, "use super::Shared; pub struct X;")]), [[A, P]]);
    }

    #[test]
    fn names_of_elsewhere_and_of_tests_draw_no_arrow() {
        let other = "use super::X; pub struct Y;";
        for text in [
            "use other::b::Y; pub struct X;",
            "pub struct X; #[cfg(test)] mod tests { use super::super::b::Y; }",
            "pub struct X; fn a() { let b = 1; c(b); }",
            "use metrics::Y; pub struct X;",
            "use super::b; pub struct X;",
        ] {
            let files = [(P, "mod a; mod b; pub use a::X; pub use b::Y;"), (A, text), (B, other)];
            assert_eq!(knotted(&files).len(), 0, "{text}");
        }
    }

    #[test]
    fn a_circle_outside_the_list_is_said_with_its_arrows() {
        let sources = [
            Source::new("src/a.rs", "use crate::b::Y; pub struct X;"),
            Source::new("src/b.rs", "use crate::a::X; pub struct Y;"),
        ];
        let said = circles(&sources);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("src/a.rs -> src/b.rs (line 1: crate::b::Y)"), "{}", said[0]);
    }
}
