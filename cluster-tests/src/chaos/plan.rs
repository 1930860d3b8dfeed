//! A list of plays from a user's words: `F18`, `F18x10`, `all`, and groups that a seed mixes, `partitionsx50`.

use super::fault::Fault;
use super::faults;
use crate::process::load::Rng;

/// Names of groups and the faults that are drawn from them.
const GROUPS: &[(&str, &[&str])] =
    &[("partitions", &["F09", "F10", "F11", "F12", "F13", "F14", "F15"]), ("cuts", &["F17", "F19", "F21"])];

/// The plays that these words name, in order; an error says which word is unknown.
pub fn plan(words: &[String], seed: u64) -> Result<Vec<&'static Fault>, String> {
    let (all, mut rng, mut plays) = (faults::all(), Rng::new(seed), Vec::new());
    let named = |id: &str| all.iter().copied().find(|fault| fault.id.eq_ignore_ascii_case(id));
    for word in words.iter().map(|word| word.trim()) {
        let (name, count) = match word.rsplit_once(['x', '×']) {
            Some((name, count)) => (name, count.parse().map_err(|_| unknown(word))?),
            None => (word, 1),
        };
        if name == "all" {
            (0..count).for_each(|_: usize| plays.extend(&all));
        } else if let Some((_, ids)) = GROUPS.iter().find(|(group, _)| *group == name) {
            let drawn = (0..count).filter_map(|_| named(ids.get(rng.below(ids.len() as u64) as usize)?));
            let mut drawn: Vec<&Fault> = drawn.collect();
            // A cluster of another size is another cluster, so those of one size stay together.
            drawn.sort_by_key(|fault| fault.nodes);
            plays.extend(drawn);
        } else {
            let fault = named(name).ok_or_else(|| unknown(word))?;
            plays.extend(std::iter::repeat_n(fault, count));
        }
    }
    Ok(plays)
}

fn unknown(word: &str) -> String {
    let groups: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
    format!(
        "there is no fault {word}: name one such as F18 or F18x10, a group such as {}x10, or all; --list shows all faults",
        groups.join("x10 or ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(words: &[&str], seed: u64) -> Vec<&'static str> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        plan(&words, seed).unwrap().iter().map(|fault| fault.id).collect()
    }

    #[test]
    fn words_become_plays() {
        assert_eq!(ids(&["f18x3", "F04"], 1), ["F18", "F18", "F18", "F04"]);
        assert_eq!(ids(&["all"], 1).len(), faults::all().len());
        let mixed = ids(&["partitionsx50"], 7);
        assert_eq!((mixed.len(), &mixed), (50, &ids(&["partitionsx50"], 7)));
        assert!(mixed != ids(&["partitionsx50"], 8), "the seed mixes them");
        for (group, all) in GROUPS {
            let drawn = ids(&[&format!("{group}x200")], 3);
            assert!(all.iter().all(|id| drawn.contains(id)), "{drawn:?}");
        }
        for word in ["F99", "F18x", "partitionx3", ""] {
            assert!(plan(&[word.to_owned()], 1).is_err_and(|words| words.contains("no fault")), "{word}");
        }
    }
}
