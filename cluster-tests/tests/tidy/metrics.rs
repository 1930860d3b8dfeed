//! Metrics: names are constants in files called `metrics.rs`, each described once; a dashboard or an alert names only
//! what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Expr, ExprLit, Lit};

use crate::source::{Source, flat};

const PREFIX: &str = "callboard_";
/// What Prometheus hangs on the name of a histogram or a summary.
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Names that are wrong, doubled, or not described exactly once in the file that declares them.
pub fn undescribed(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for source in sources.iter().filter(|source| is_metrics(source)) {
        let metrics = read(source);
        for (constant, name) in &metrics.names {
            let place = format!("{}: {constant}", source.path);
            if !name.starts_with(PREFIX) || name.chars().any(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_')) {
                complaints.push(format!("{place} = {name:?}: names begin with {PREFIX} and are lower case"));
            }
            if let Some(first) = places.insert(name.clone(), place.clone()) {
                complaints.push(format!("{place}: {name} is the name of {first} too"));
            }
            let times = metrics.described.iter().filter(|described| *described == constant).count();
            if times != 1 {
                complaints
                    .push(format!("{place} is described {times} times: once, with unit and help, beside it"));
            }
        }
    }
    complaints
}

/// Names in dashboards and alerts, as (file, text), that no constant has.
pub fn unknown(sources: &[Source], boards: &[(String, String)]) -> Vec<String> {
    let names: BTreeSet<String> = sources
        .iter()
        .filter(|source| is_metrics(source))
        .flat_map(|source| read(source).names.into_iter().map(|(_, name)| name))
        .collect();
    let mut complaints = BTreeSet::new();
    for (file, text) in boards {
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')) {
            // A recording rule's own name has a colon.
            if !word.starts_with(PREFIX) || word.contains(':') {
                continue;
            }
            let base = SERIES.iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
            if !names.contains(word) && !names.contains(base) {
                complaints.insert(format!("{file} names {word}, which no metrics.rs declares"));
            }
        }
    }
    complaints.into_iter().collect()
}

/// The files below `grafana/`.
pub fn boards(root: &Path) -> Vec<(String, String)> {
    let mut boards = Vec::new();
    let mut dirs = vec![root.join("grafana")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                boards.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text));
            }
        }
    }
    boards
}

fn is_metrics(source: &Source) -> bool {
    !source.all_test() && source.path.rsplit('/').next() == Some("metrics.rs")
}

fn read(source: &Source) -> Metrics {
    let mut metrics = Metrics::default();
    metrics.visit_file(&source.code);
    metrics
}

#[derive(Default)]
struct Metrics {
    /// Constant, name.
    names: Vec<(String, String)>,
    /// Constants as they are described, by `describe_…!(NAME, …)` or as a row of a constant table.
    described: Vec<String>,
}

impl<'ast> Visit<'ast> for Metrics {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        match &*item.expr {
            Expr::Lit(ExprLit { lit: Lit::Str(name), .. }) if name.value().starts_with("callboard") => {
                self.names.push((item.ident.to_string(), name.value()));
            }
            table => self.table(table),
        }
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.table(&item.expr);
    }

    fn visit_macro(&mut self, body: &'ast syn::Macro) {
        let describes =
            body.path.segments.last().is_some_and(|last| last.ident.to_string().starts_with("describe_"));
        if describes {
            let words = flat(body.tokens.clone());
            let first = words.iter().take_while(|(word, _)| word != ",").last();
            self.described.extend(first.map(|(word, _)| word.clone()));
        }
        visit::visit_macro(self, body);
    }
}

impl Metrics {
    fn table(&mut self, table: &Expr) {
        let mut constants = Constants { found: Vec::new() };
        constants.visit_expr(table);
        self.described.extend(constants.found);
    }
}

/// Constants that a table names.
struct Constants {
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for Constants {
    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        self.found.extend(path.path.segments.last().map(|last| last.ident.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str) -> [Source; 1] {
        [Source::new("src/kafka/metrics.rs", text)]
    }

    const NAME: &str = "pub const REQUESTS: &str = \"callboard_requests_total\";";

    #[test]
    fn a_metric_is_described_exactly_once() {
        let macros = format!(
            "{NAME} fn describe() {{ metrics::describe_counter!(REQUESTS, Unit::Count, \"help\"); }}"
        );
        assert_eq!(undescribed(&sample(&macros)).len(), 0);
        let table =
            format!("{NAME} const ALL: &[(&str, Unit, &str)] = &[(REQUESTS, Unit::Count, \"help\")];");
        assert_eq!(undescribed(&sample(&table)).len(), 0);
        assert_eq!(undescribed(&sample(NAME)).len(), 1);
        let twice =
            macros.replace("help\");", "help\"); describe_counter!(REQUESTS, Unit::Count, \"again\");");
        assert_eq!(undescribed(&sample(&twice)).len(), 1);
    }

    #[test]
    fn a_bad_or_doubled_name_is_found() {
        let described = |name: &str| format!("pub const A: &str = \"{name}\"; const ALL: &[&str] = &[A];");
        assert_eq!(undescribed(&sample(&described("callboard_good_total"))).len(), 0);
        assert_eq!(undescribed(&sample(&described("callboard_Bad"))).len(), 1);
        assert_eq!(undescribed(&sample(&described("callboard.bad"))).len(), 1);
        let two = [sample(&described("callboard_a")), sample(&described("callboard_a"))].map(|[one]| one);
        assert_eq!(undescribed(&two).len(), 1);
    }

    #[test]
    fn a_dashboard_may_name_only_what_exists() {
        let board = |text: &str| [("board.json".to_owned(), text.to_owned())];
        let good = "sum(rate(callboard_requests_total[5m])) / callboard_requests_total_bucket{le=\"1\"}";
        assert_eq!(unknown(&sample(NAME), &board(good)).len(), 0);
        assert_eq!(unknown(&sample(NAME), &board("rate(callboard_request_total[5m])")).len(), 1);
        assert_eq!(unknown(&sample(NAME), &board("record: callboard_x:rate5m")).len(), 0);
    }
}
