//! The configuration: every field of every component is in the sample, every key of the sample is a field.
//!
//! Each field of `struct Config` is a component, whose struct stands in a file of its own and whose fields lie flat in the
//! sample. A component's field whose type is a struct of these files is a table. In the sample a key may be set or
//! shown as a comment (`# key = value`): both count.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Fields, Item};

/// Where the configuration stands.
pub const PLACE: &str = "src/config/";

type Structs<'a> = BTreeMap<String, &'a syn::ItemStruct>;

/// What disagrees between the code of `src/config/` and the sample.
pub fn disagreements(code: &[&syn::File], sample: &str) -> Vec<String> {
    let fields = match fields(code) {
        Ok(fields) => fields,
        Err(complaint) => return vec![complaint],
    };
    let keys = match keys(sample) {
        Ok(keys) => keys,
        Err(complaint) => return vec![complaint],
    };
    let missing =
        fields.difference(&keys).map(|field| format!("config/callboard.toml does not show `{field}`"));
    let unknown =
        keys.difference(&fields).map(|key| format!("config/callboard.toml shows `{key}`, which is no field"));
    missing.chain(unknown).collect()
}

fn fields(code: &[&syn::File]) -> Result<BTreeSet<String>, String> {
    let items = code.iter().flat_map(|file| &file.items);
    let structs: Structs<'_> = items
        .filter_map(|item| match item {
            Item::Struct(item) => Some((item.ident.to_string(), item)),
            _ => None,
        })
        .collect();
    let mut found = BTreeSet::new();
    let config = structs.get("Config").ok_or(format!("{PLACE} has no struct Config"))?;
    for part in &config.fields {
        let name = part.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let inner = named_types(&part.ty).into_iter().find_map(|name| structs.get(&name).copied());
        collect(inner.ok_or(format!("{PLACE}: Config's {name} is no component"))?, "", &structs, &mut found);
    }
    Ok(found)
}

fn collect(item: &syn::ItemStruct, prefix: &str, structs: &Structs<'_>, found: &mut BTreeSet<String>) {
    let Fields::Named(fields) = &item.fields else { return };
    for field in &fields.named {
        let attribute = serde(&field.attrs);
        if attribute.iter().any(|word| word == "skip") {
            continue;
        }
        let renamed = attribute
            .windows(3)
            .find(|w| w[0] == "rename" && w[1] == "=")
            .map(|w| w[2].trim_matches('"').to_owned());
        let name = renamed.or_else(|| field.ident.as_ref().map(ToString::to_string)).unwrap_or_default();
        let inner = named_types(&field.ty).into_iter().find_map(|name| structs.get(&name).copied());
        match inner {
            Some(inner) => collect(inner, &format!("{prefix}{name}."), structs, found),
            None => drop(found.insert(format!("{prefix}{name}"))),
        }
    }
}

fn serde(attributes: &[syn::Attribute]) -> Vec<String> {
    let lists =
        attributes.iter().filter(|a| a.path().is_ident("serde")).filter_map(|a| a.meta.require_list().ok());
    lists.flat_map(|list| crate::source::flat(list.tokens.clone())).map(|(word, _)| word).collect()
}

/// `Option<Limits>` names `Option` and `Limits`.
fn named_types(ty: &syn::Type) -> Vec<String> {
    use syn::visit::Visit;
    struct Names(Vec<String>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
            self.0.push(segment.ident.to_string());
            syn::visit::visit_path_segment(self, segment);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_type(ty);
    names.0
}

fn keys(sample: &str) -> Result<BTreeSet<String>, String> {
    // Shown settings are set ones with a `# ` before them; prose has no ` = `.
    let shown = |line: &str| -> String {
        let bare = line.trim_start().strip_prefix('#').map(str::trim_start).unwrap_or(line);
        let is_key = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || "0123456789_.".contains(c))
        };
        let setting = bare.split_once('=').is_some_and(|(key, _)| is_key(key.trim()));
        let table = bare.starts_with('[') && bare.trim_end().ends_with(']');
        if setting || table { bare.to_owned() } else { line.to_owned() }
    };
    let text: Vec<String> = sample.lines().map(shown).collect();
    let table: toml::Table =
        text.join("\n").parse().map_err(|e| format!("config/callboard.toml, comments lifted: {e}"))?;
    let mut found = BTreeSet::new();
    flatten(&table, "", &mut found);
    Ok(found)
}

fn flatten(table: &toml::Table, prefix: &str, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(inner, &format!("{prefix}{key}."), found),
            _ => drop(found.insert(format!("{prefix}{key}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: [&str; 2] = [
        "pub struct Config { pub one: One, pub two: Two } pub struct Limits { pub bytes: u64 }",
        "pub struct One { pub data: PathBuf, #[serde(default, rename = \"kafka\")] pub listen: String } \
         pub struct Two { #[serde(skip)] pub inner: u8, pub limits: Option<Limits> }",
    ];

    fn found(code: &[&str], sample: &str) -> Vec<String> {
        let files: Vec<syn::File> = code.iter().map(|text| syn::parse_file(text).unwrap()).collect();
        disagreements(&files.iter().collect::<Vec<_>>(), sample)
    }

    #[test]
    fn agreement_is_silent_and_comments_count() {
        let sample =
            "# Where data lies: a directory.\ndata = \"/var\"\n# kafka = \"a:9092\"\n[limits]\n# bytes = 7\n";
        assert_eq!(found(&CODE, sample), Vec::<String>::new());
    }

    #[test]
    fn both_ways_are_checked() {
        let missing = found(&CODE, "data = \"/var\"\nkafka = \"a\"\n");
        assert_eq!(missing, ["config/callboard.toml does not show `limits.bytes`"]);
        let unknown = found(&CODE, "data = \"/var\"\nkafka = \"a\"\nport = 1\n[limits]\nbytes = 1\n");
        assert_eq!(unknown, ["config/callboard.toml shows `port`, which is no field"]);
        assert_eq!(found(&["struct Other;"], "").len(), 1);
        assert_eq!(found(&["struct Config { data: PathBuf }"], "").len(), 1);
        assert_eq!(found(&CODE, "data = ").len(), 1);
    }
}
