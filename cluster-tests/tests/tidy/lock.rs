//! `Cargo.lock`: one version of what must be one, and none of what is banned.

use std::collections::BTreeMap;

/// Two of these in one process would be two runtimes, two providers, two file formats.
///
/// Two of `metrics` would be two recorders, one of which nobody installs.
const ONE: [&str; 6] = ["tokio", "rustls", "ractor", "redb", "bytes", "metrics"];
/// One TLS provider everywhere, and it is not these (two in one graph panic at run time).
const BANNED: [&str; 5] = ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys"];

/// What is wrong with a lock file.
pub fn complaints(lock: &str) -> Vec<String> {
    let table: toml::Table = match lock.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("Cargo.lock: {error}")],
    };
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in table.get("package").and_then(toml::Value::as_array).into_iter().flatten() {
        let text = |key| package.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        versions.entry(text("name")).or_default().push(text("version"));
    }
    if versions.is_empty() {
        return vec!["Cargo.lock lists no package".to_owned()];
    }
    let twice = ONE.iter().filter_map(|name| versions.get_key_value(name)).filter(|(_, all)| all.len() > 1);
    let twice =
        twice.map(|(name, all)| format!("{name} is there in {} versions: {}", all.len(), all.join(", ")));
    let banned = BANNED.iter().filter(|name| versions.contains_key(*name));
    twice
        .chain(banned.map(|name| format!("{name} is banned: `cargo tree -i {name}` tells who asks for it")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &str)]) -> String {
        let package = |(name, version): &(&str, &str)| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n")
        };
        packages.iter().map(package).collect()
    }

    #[test]
    fn two_versions_and_banned_crates_are_found() {
        assert_eq!(complaints(&lock(&[("tokio", "1.0.0"), ("syn", "1.0.0"), ("syn", "2.0.0")])).len(), 0);
        assert_eq!(complaints(&lock(&[("redb", "3.0.0"), ("redb", "4.0.0")])).len(), 1);
        assert_eq!(complaints(&lock(&[("openssl-sys", "0.9.0"), ("aws-lc-rs", "1.0.0")])).len(), 2);
        assert_eq!(complaints("").len(), 1);
        assert_eq!(complaints("[[package").len(), 1);
    }
}
