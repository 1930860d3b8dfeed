//! The shape of a file: short, with short functions, opening with its picture; nothing in it that panics on a bad day
//! or was left for later.

use proc_macro2::Span;
use syn::visit::{self, Visit};

use crate::source::{Source, flat};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

/// Files over the limit, tests not counted.
pub fn long_files(sources: &[Source]) -> Vec<String> {
    let long = |source: &&Source| source.lines() > FILE_LINES;
    let complaint = |source: &Source| {
        format!(
            "{}: {} lines that are not tests; {FILE_LINES} is the most: split it",
            source.path,
            source.lines()
        )
    };
    sources.iter().filter(long).map(complaint).collect()
}

/// Files that do not open with `//!`.
pub fn without_picture(sources: &[Source]) -> Vec<String> {
    let opens = |source: &&Source| {
        let rest = source.text.strip_prefix("//!").unwrap_or_default();
        rest.lines().next().is_none_or(|line| line.trim().is_empty())
    };
    let complaint = |source: &Source| format!("{}: open it with a `//!` that gives the picture", source.path);
    sources.iter().filter(opens).map(complaint).collect()
}

/// Functions over the limit, in tests too.
pub fn long_functions(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let mut functions = Functions { found: Vec::new() };
        functions.visit_file(&source.all);
        for (name, line, lines) in functions.found {
            if lines > FUNCTION_LINES {
                let path = &source.path;
                complaints.push(format!(
                    "{path}:{line}: fn {name} has {lines} lines; {FUNCTION_LINES} is the most"
                ));
            }
        }
    }
    complaints
}

struct Functions {
    found: Vec<(String, usize, usize)>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = |span: Span| span.start().line;
        let (first, last) = (line(signature.fn_token.span), line(block.brace_token.span.close()));
        self.found.push((signature.ident.to_string(), first, last + 1 - first));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// `.unwrap()`, `Option::unwrap` outside tests, inside macros too.
pub fn unwraps(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let mut unwraps = Unwraps { lines: Vec::new() };
        unwraps.visit_file(&source.code);
        let say = |line| {
            format!("{}:{line}: unwrap outside tests: return an error that says what to do", source.path)
        };
        complaints.extend(unwraps.lines.into_iter().map(say));
    }
    complaints
}

struct Unwraps {
    lines: Vec<usize>,
}

impl<'ast> Visit<'ast> for Unwraps {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "unwrap" {
            self.lines.push(call.method.span().start().line);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        let segments = &path.path.segments;
        if let Some(last) = segments.last().filter(|last| last.ident == "unwrap" && segments.len() > 1) {
            self.lines.push(last.ident.span().start().line);
        }
        visit::visit_expr_path(self, path);
    }

    fn visit_macro(&mut self, body: &'ast syn::Macro) {
        let words = flat(body.tokens.clone());
        for pair in words.windows(2) {
            if matches!(pair[0].0.as_str(), "." | ":") && pair[1].0 == "unwrap" {
                self.lines.push(pair[1].1);
            }
        }
    }
}

/// `todo!`, `unimplemented!`, `dbg!`, anywhere.
pub fn leftovers(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let mut leftovers = Leftovers { found: Vec::new() };
        leftovers.visit_file(&source.all);
        let say = |(name, line)| format!("{}:{line}: {name}! was left behind", source.path);
        complaints.extend(leftovers.found.into_iter().map(say));
    }
    complaints
}

const LEFT: [&str; 3] = ["todo", "unimplemented", "dbg"];

struct Leftovers {
    found: Vec<(String, usize)>,
}

impl<'ast> Visit<'ast> for Leftovers {
    fn visit_macro(&mut self, body: &'ast syn::Macro) {
        if let Some(last) = body.path.segments.last() {
            let name = last.ident.to_string();
            if LEFT.contains(&name.as_str()) {
                self.found.push((name, last.ident.span().start().line));
            }
        }
        for pair in flat(body.tokens.clone()).windows(2) {
            if LEFT.contains(&pair[0].0.as_str()) && pair[1].0 == "!" {
                self.found.push(pair[0].clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str) -> [Source; 1] {
        [Source::new("src/sample.rs", text)]
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let body = "fn a() {}\n".repeat(FILE_LINES);
        assert_eq!(long_files(&sample(&body)).len(), 0);
        assert_eq!(long_files(&sample(&format!("{body}fn b() {{}}\n"))).len(), 1);
        assert_eq!(long_files(&sample(&format!("{body}#[cfg(test)]\nmod tests {{\n{body}}}\n"))).len(), 0);
    }

    #[test]
    fn a_long_function_is_found_wherever_it_stands() {
        let body = |lines: usize| format!("fn long() {{\n{}}}", "    a();\n".repeat(lines - 2));
        assert_eq!(long_functions(&sample(&body(FUNCTION_LINES))).len(), 0);
        let long = body(FUNCTION_LINES + 1);
        assert_eq!(long_functions(&sample(&long)).len(), 1);
        assert_eq!(long_functions(&sample(&format!("impl A {{ {long} }}"))).len(), 1);
        assert_eq!(long_functions(&sample(&format!("trait A {{ {long} }}"))).len(), 1);
        assert_eq!(long_functions(&sample(&format!("#[cfg(test)] mod t {{ {long} }}"))).len(), 1);
    }

    #[test]
    fn a_missing_picture_is_found() {
        assert_eq!(without_picture(&sample("//! What this is.\n")).len(), 0);
        assert_eq!(without_picture(&sample("// What this is.\n")).len(), 1);
        assert_eq!(without_picture(&sample("//!\n")).len(), 1);
        assert_eq!(without_picture(&sample("use a::b;\n//! Late.\n".split_once('\n').unwrap().0)).len(), 1);
    }

    #[test]
    fn an_unwrap_is_found_in_all_its_forms_but_not_in_tests() {
        assert_eq!(unwraps(&sample("fn a() { b().unwrap(); }")).len(), 1);
        assert_eq!(unwraps(&sample("fn a() { b().map(Option::unwrap); }")).len(), 1);
        assert_eq!(unwraps(&sample("fn a() { assert!(b(c.unwrap())); }")).len(), 1);
        assert_eq!(unwraps(&sample("fn a() { b().unwrap_or(0); let unwrap = 1; c(unwrap); }")).len(), 0);
        assert_eq!(unwraps(&sample("#[test] fn a() { b().unwrap(); }")).len(), 0);
        assert_eq!(unwraps(&sample("#[cfg(test)] mod tests { fn a() { b().unwrap(); } }")).len(), 0);
        assert_eq!(unwraps(&[Source::new("cluster-tests/tests/a.rs", "fn a() { b().unwrap(); }")]).len(), 0);
    }

    #[test]
    fn what_was_left_behind_is_found() {
        assert_eq!(leftovers(&sample("fn a() { todo!() }")).len(), 1);
        assert_eq!(leftovers(&sample("fn a() { core::unimplemented!(\"later\") }")).len(), 1);
        assert_eq!(leftovers(&sample("fn a() { vec![dbg!(1)]; }")).len(), 1);
        assert_eq!(leftovers(&sample("#[cfg(test)] mod t { fn a() { dbg!(1); } }")).len(), 1);
        assert_eq!(leftovers(&sample("fn a() { let todo = 1; b(todo); format!(\"{}\", todo) }")).len(), 0);
    }
}
