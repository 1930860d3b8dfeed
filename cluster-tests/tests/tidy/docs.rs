//! Which comments a reader needs, and which only repeat a name.
//!
//! A reader of a public type, trait or function sees its name and its signature, and no reason for it; so each of them
//! has a doc comment. A field or a variant has a name and a type, which mostly say all; so a comment there is free.
//! A comment of three words, or one that says the name again, is complained of wherever it stands.
//! Items that macros make, items for tests and methods such as `len` are not looked at; `shape.rs` asks each file for its `//!`.

use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, TraitItem, Visibility};

use crate::source::Source;

/// A doc comment says more than this many words, or it is not needed.
const FEW_WORDS: usize = 3;
/// Methods that every reader of Rust knows.
const KNOWN: [&str; 7] = ["new", "default", "len", "is_empty", "get", "contains", "iter"];
/// Words that a comment may add to a name without saying anything.
const FILLERS: [&str; 16] = [
    "a", "an", "the", "of", "its", "this", "that", "these", "is", "are", "to", "in", "for", "and", "all",
    "one",
];

/// Public types, traits, functions, methods and constants of the packages without a doc comment.
pub fn undocumented(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| is_product(&source.path)) {
        let mut missing = Missing { own: Vec::new(), found: Vec::new() };
        missing.items(&source.code.items);
        let say = |(name, line)| format!("{}:{line}: {name} is public: say what it is for", source.path);
        complaints.extend(missing.found.into_iter().map(say));
    }
    complaints
}

/// Doc comments of the packages that say too little.
pub fn empty_words(sources: &[Source]) -> Vec<String> {
    sources.iter().filter(|source| is_product(&source.path)).flat_map(saying_nothing).collect()
}

fn is_product(path: &str) -> bool {
    ["src/", "actors/", "cluster-tests/src/"].iter().any(|place| path.starts_with(place))
}

struct Missing {
    /// Types that are not public: nobody outside sees their methods.
    own: Vec<String>,
    found: Vec<(String, usize)>,
}

impl Missing {
    fn items(&mut self, items: &[Item]) {
        self.own.extend(items.iter().filter_map(not_public));
        for item in items {
            match item {
                Item::Const(i) => self.ask(&i.vis, &i.attrs, &i.ident),
                Item::Enum(i) => self.ask(&i.vis, &i.attrs, &i.ident),
                Item::Fn(i) => self.ask(&i.vis, &i.attrs, &i.sig.ident),
                Item::Static(i) => self.ask(&i.vis, &i.attrs, &i.ident),
                Item::Struct(i) => self.ask(&i.vis, &i.attrs, &i.ident),
                Item::Type(i) => self.ask(&i.vis, &i.attrs, &i.ident),
                Item::Union(i) => self.ask(&i.vis, &i.attrs, &i.ident),
                Item::Trait(i) => self.of_trait(i),
                Item::Impl(i) if i.trait_.is_none() => self.of_impl(i),
                Item::Mod(i) => {
                    if let Some((_, items)) = &i.content {
                        self.ask(&i.vis, &i.attrs, &i.ident);
                        self.items(items);
                    }
                }
                _ => {}
            }
        }
    }

    fn of_trait(&mut self, item: &syn::ItemTrait) {
        self.ask(&item.vis, &item.attrs, &item.ident);
        for inner in &item.items {
            match inner {
                TraitItem::Const(i) => self.ask(&item.vis, &i.attrs, &i.ident),
                TraitItem::Fn(i) => self.ask(&item.vis, &i.attrs, &i.sig.ident),
                TraitItem::Type(i) => self.ask(&item.vis, &i.attrs, &i.ident),
                _ => {}
            }
        }
    }

    fn of_impl(&mut self, item: &syn::ItemImpl) {
        let syn::Type::Path(of) = &*item.self_ty else { return };
        if of.path.segments.last().is_some_and(|last| self.own.iter().any(|own| last.ident == own)) {
            return;
        }
        for inner in &item.items {
            match inner {
                ImplItem::Const(i) => self.ask(&i.vis, &i.attrs, &i.ident),
                ImplItem::Fn(i) if !KNOWN.iter().any(|name| i.sig.ident == name) => {
                    self.ask(&i.vis, &i.attrs, &i.sig.ident);
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, visibility: &Visibility, attributes: &[Attribute], name: &syn::Ident) {
        if matches!(visibility, Visibility::Public(_)) && said(attributes).is_none() {
            self.found.push((name.to_string(), name.span().start().line));
        }
    }
}

fn not_public(item: &Item) -> Option<String> {
    let (visibility, name) = match item {
        Item::Enum(i) => (&i.vis, &i.ident),
        Item::Struct(i) => (&i.vis, &i.ident),
        _ => return None,
    };
    (!matches!(visibility, Visibility::Public(_))).then(|| name.to_string())
}

/// The text of a doc comment, and the line on which it begins.
fn said(attributes: &[Attribute]) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut line = None;
    for attribute in attributes {
        let syn::Meta::NameValue(pair) = &attribute.meta else { continue };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(words), .. }) = &pair.value else { continue };
        if pair.path.is_ident("doc") {
            line.get_or_insert(attribute.pound_token.span.start().line);
            text.push_str(&words.value());
            text.push('\n');
        }
    }
    line.map(|line| (text, line))
}

/// All doc comments of a file that are short or say a name again.
fn saying_nothing(source: &Source) -> Vec<String> {
    let mut comments = Comments { found: Vec::new() };
    comments.visit_file(&source.code);
    let mut complaints = Vec::new();
    for (name, text, line) in comments.found {
        let (words, path) = (words(&text), &source.path);
        if words.len() <= FEW_WORDS {
            complaints.push(format!(
                "{path}:{line}: {name}: \"{}\" says nothing: delete it, or give a unit, \
                                     a range, an owner or a reason",
                text.trim()
            ));
        } else if adds_nothing(&name, &words) {
            complaints.push(format!("{path}:{line}: {name}: \"{}\" says the name again", text.trim()));
        }
    }
    complaints
}

fn words(text: &str) -> Vec<String> {
    let bare = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect()
}

/// Whether each word is one of the name's or a filler; an `s` at the end is no difference.
fn adds_nothing(name: &str, words: &[String]) -> bool {
    let stem = |word: &str| word.trim_end_matches('s').to_owned();
    let mut parts = String::new();
    for c in name.chars() {
        if c.is_uppercase() || c == '_' {
            parts.push(' ');
        }
        parts.extend(c.to_lowercase());
    }
    let parts: Vec<String> = parts.split([' ', '_']).map(stem).collect();
    words.iter().all(|word| FILLERS.contains(&word.as_str()) || parts.contains(&stem(word)))
}

struct Comments {
    found: Vec<(String, String, usize)>,
}

impl Comments {
    fn add(&mut self, name: &syn::Ident, attributes: &[Attribute]) {
        // The text of an argument is the program's help.
        let help = attributes.iter().any(|a| a.path().is_ident("arg") || a.path().is_ident("command"));
        if let Some((text, line)) = said(attributes).filter(|_| !help) {
            self.found.push((name.to_string(), text, line));
        }
    }
}

/// `#[derive(ValueEnum)]`, `#[derive(Subcommand)]`: the comments of its variants are the program's help.
fn is_help(attributes: &[Attribute]) -> bool {
    let derives = attributes.iter().filter(|a| a.path().is_ident("derive"));
    let lists = derives.filter_map(|a| a.meta.require_list().ok());
    let words = lists.flat_map(|list| crate::source::flat(list.tokens.clone()));
    words.map(|(word, _)| word).any(|word| word == "ValueEnum" || word == "Subcommand")
}

impl<'ast> Visit<'ast> for Comments {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Const(i) => self.add(&i.ident, &i.attrs),
            Item::Enum(i) if !is_help(&i.attrs) => self.add(&i.ident, &i.attrs),
            Item::Fn(i) => self.add(&i.sig.ident, &i.attrs),
            Item::Static(i) => self.add(&i.ident, &i.attrs),
            Item::Struct(i) => self.add(&i.ident, &i.attrs),
            Item::Trait(i) => self.add(&i.ident, &i.attrs),
            Item::Type(i) => self.add(&i.ident, &i.attrs),
            _ => {}
        }
        if !matches!(item, Item::Enum(i) if is_help(&i.attrs)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(name) = &field.ident {
            self.add(name, &field.attrs);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.add(&variant.ident, &variant.attrs);
        visit::visit_variant(self, variant);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig.ident, &function.attrs);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.add(&function.sig.ident, &function.attrs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(text: &str) -> usize {
        undocumented(&[Source::new("src/a.rs", text)]).len()
    }

    fn nothing(text: &str) -> usize {
        saying_nothing(&Source::new("src/a.rs", text)).len()
    }

    #[test]
    fn public_items_are_asked_for_a_comment() {
        for text in [
            "pub struct A;",
            "pub enum A {}",
            "pub type A = u8;",
            "pub const A: u8 = 1;",
            "pub fn a() {}",
            "/// Of some use.\npub struct A; impl A { pub fn a() {} }",
            "impl A { pub fn a() {} }",
            "/// Of some use.\npub trait A { fn a(); }",
            "/// Of some use.\npub mod a { pub fn b() {} }",
        ] {
            assert_eq!(missing(text), 1, "{text}");
        }
    }

    #[test]
    fn fields_variants_and_private_items_need_none() {
        for text in [
            "/// Of some use.\npub struct A { pub a: u8 }",
            "/// Of some use.\npub enum A { B { c: u8 } }",
            "struct A; fn a() {} pub(crate) fn b() {} pub mod c; trait D { fn d(); }",
            "struct A; impl B for A { fn a() {} } impl A { fn c() {} }",
            "impl A { pub fn len() {} }",
            "pub(super) struct A; impl A { pub fn a() {} }",
            "#[cfg(test)] pub fn a() {}",
        ] {
            assert_eq!(missing(text), 0, "{text}");
        }
        assert_eq!(undocumented(&[Source::new("cluster-tests/tests/a.rs", "pub fn a() {}")]).len(), 0);
    }

    #[test]
    fn comments_that_say_nothing_are_found() {
        for text in [
            "/// Which.\nstruct A;",
            "struct A { /// Its state now.\n b: u8 }",
            "enum A { /// Why.\n B }",
            "struct A; impl A { /// The new one.\n fn a() {} }",
            "/// The epoch of this leader.\nstruct LeaderEpoch;",
            "/// All the offsets of the group.\nfn group_offsets() {}",
        ] {
            assert_eq!(nothing(text), 1, "{text}");
        }
    }

    #[test]
    fn comments_that_say_something_and_help_are_not() {
        for text in [
            "/// Bytes of a segment's header on disk.\nstruct A;",
            "struct A { /// In milliseconds, at most a day.\n b: u8 }",
            "struct A { /// Data directory\n #[arg(long)] b: u8 }",
            "#[derive(ValueEnum)] enum A { /// On disk\n B }",
            "#[cfg(test)] mod tests { /// Which.\n struct A; }",
        ] {
            assert_eq!(nothing(text), 0, "{text}");
        }
    }
}
