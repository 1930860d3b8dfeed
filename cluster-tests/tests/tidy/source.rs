//! The sources, parsed, and which of their items are only there for tests.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::{Attribute, ImplItem, Item};

/// One file.
pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    /// As it lies there.
    pub text: String,
    /// All of it.
    pub all: syn::File,
    /// Without what is compiled for tests only.
    pub code: syn::File,
    /// Lines of what is compiled for tests only.
    tests: Vec<RangeInclusive<usize>>,
    /// Files that this one declares as modules for tests.
    test_files: Vec<String>,
}

/// Every `.rs` file of the repository.
pub fn load(root: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(root, root, &mut paths);
    paths.sort();
    let read = |path: String| {
        let text = std::fs::read_to_string(root.join(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        Source::new(&path, &text)
    };
    let mut sources: Vec<Source> = paths.into_iter().map(read).collect();
    let tests: HashSet<String> = sources.iter().flat_map(|s| s.test_files.iter().cloned()).collect();
    sources.iter_mut().filter(|s| tests.contains(&s.path)).for_each(Source::is_a_test);
    sources
}

fn walk(root: &Path, dir: &Path, paths: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("a directory entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // Build output and hidden folders are nobody's source.
            if name != "target" && !name.starts_with('.') {
                walk(root, &path, paths);
            }
        } else if name.ends_with(".rs") {
            let relative = path.strip_prefix(root).expect("below the root");
            paths.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
}

impl Source {
    /// Parses one file; `path` decides whether it is a test as a whole.
    pub fn new(path: &str, text: &str) -> Self {
        let all = syn::parse_file(text).unwrap_or_else(|e| panic!("{path}: {e}"));
        let (mut code, mut tests, mut test_mods) = (all.clone(), Vec::new(), Vec::new());
        strip(&mut code.items, &mut tests, &mut test_mods);
        let test_files =
            test_mods.iter().flat_map(|(name, at)| candidates(path, name, at.as_deref())).collect();
        let mut source = Self { path: path.to_owned(), text: text.to_owned(), all, code, tests, test_files };
        if ["tests/", "benches/", "examples/"]
            .iter()
            .any(|dir| path.starts_with(dir) || path.contains(&format!("/{dir}")))
        {
            source.is_a_test();
        }
        source
    }

    fn is_a_test(&mut self) {
        self.code.items.clear();
    }

    /// Whether all of it is compiled for tests only.
    pub fn all_test(&self) -> bool {
        self.code.items.is_empty() && !self.all.items.is_empty()
    }

    /// Lines that are not in an item for tests.
    pub fn lines(&self) -> usize {
        let all = self.text.lines().count();
        (1..=all).filter(|line| !self.tests.iter().any(|range| range.contains(line))).count()
    }

    /// Its module path: `src/kafka/api/fetch.rs` is `kafka::api::fetch`; `None` outside `src/`.
    pub fn module(&self) -> Option<Vec<String>> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        Some(module)
    }
}

/// Where `mod name;` in the file `path` may lie.
fn candidates(path: &str, name: &str, at: Option<&str>) -> Vec<String> {
    let file = PathBuf::from(path);
    let dir = file.parent().unwrap_or(Path::new("")).to_path_buf();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let inner = if matches!(stem.as_str(), "mod" | "lib" | "main") { dir.clone() } else { dir.join(stem) };
    let found = match at {
        Some(at) => vec![dir.join(at)],
        None => vec![inner.join(format!("{name}.rs")), inner.join(name).join("mod.rs")],
    };
    found.into_iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

type TestMod = (String, Option<String>);

/// Takes the items for tests out and notes where they were.
fn strip(items: &mut Vec<Item>, tests: &mut Vec<RangeInclusive<usize>>, mods: &mut Vec<TestMod>) {
    items.retain_mut(|item| {
        if for_tests(attributes(item)) {
            if let Item::Mod(module) = item
                && module.content.is_none()
            {
                mods.push((module.ident.to_string(), path_attribute(&module.attrs)));
            }
            tests.push(lines_of(item));
            return false;
        }
        match item {
            Item::Mod(module) => {
                if let Some((_, items)) = &mut module.content {
                    strip(items, tests, mods);
                }
            }
            Item::Impl(block) => block.items.retain(|item| match item {
                ImplItem::Fn(function) if for_tests(&function.attrs) => {
                    tests.push(lines_of(function));
                    false
                }
                _ => true,
            }),
            _ => {}
        }
        true
    });
}

fn lines_of(what: &impl Spanned) -> RangeInclusive<usize> {
    what.span().start().line..=what.span().end().line
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`; not `#[cfg(not(test))]`, not `#[cfg(any(test, …))]`.
fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        if path.segments.last().is_some_and(|segment| segment.ident == "test") {
            return true;
        }
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let words = flat(list.tokens.clone());
        let has = |word: &str| words.iter().any(|(text, _)| text == word);
        path.is_ident("cfg") && has("test") && !has("not") && !has("any")
    })
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

/// The paths in a macro's flat words, each with its line: `a :: b` is one path, a word by itself another.
pub fn paths(words: &[(String, usize)]) -> Vec<(Vec<String>, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < words.len() {
        let (mut path, line) = (vec![words[at].0.clone()], words[at].1);
        at += 1;
        while words.len() > at + 2 && words[at].0 == ":" && words[at + 1].0 == ":" {
            path.push(words[at + 2].0.clone());
            at += 3;
        }
        found.push((path, line));
    }
    found
}

/// The tokens of a macro's body, groups opened up, each with its line.
pub fn flat(tokens: TokenStream) -> Vec<(String, usize)> {
    let mut words = Vec::new();
    for token in tokens {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                // The brackets are kept: `x.unwrap` alone is not a call.
                words.push(("(".to_owned(), line));
                words.extend(flat(group.stream()));
                words.push((")".to_owned(), line));
            }
            other => words.push((other.to_string(), line)),
        }
    }
    words
}

#[test]
fn items_for_tests_are_told_from_the_others() {
    let text = "//! A.\nfn one() {}\n\n#[cfg(test)]\nmod tests {\n    fn two() {}\n}\n#[cfg(not(test))]\nfn three() {}\n";
    let source = Source::new("src/a.rs", text);
    assert_eq!((source.code.items.len(), source.lines()), (2, 5));
    assert!(Source::new("cluster-tests/tests/a.rs", text).all_test());
    let outline =
        Source::new("src/a.rs", "//! A.\n#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;\nfn one() {}\n");
    assert_eq!(outline.test_files, ["src/a_tests.rs"]);
    let outline = Source::new("src/a/mod.rs", "//! A.\n#[cfg(test)]\nmod tests;\n");
    assert_eq!(outline.test_files, ["src/a/tests.rs", "src/a/tests/mod.rs"]);
    let method = Source::new("src/a.rs", "//! A.\nimpl A {\n#[cfg(test)]\nfn one() {}\nfn two() {}\n}\n");
    assert_eq!(method.lines(), 4);
}
