//! The check of a whole history: all tables first, then all rules.
//!
//! A check is a pure function: the same history always has the same verdict. A history of a million operations takes
//! seconds, because each rule sorts or walks it once.

use super::figures::Limits;
use super::index::Index;
use super::op::History;
use super::verdict::Verdict;
use super::{cycles, facts, figures, logs, order};

/// Holds a history against all rules; the verdict names each anomaly with its operations.
#[must_use]
pub fn check(history: &History, limits: &Limits) -> Verdict {
    let mut verdict = Verdict::default();
    let index = Index::new(history, &mut verdict);
    logs::check(&index, &mut verdict);
    order::check(&index, &mut verdict);
    cycles::check(&index, &mut verdict);
    facts::check(&index, limits.stuck, &mut verdict);
    figures::check(&index, limits, &mut verdict);
    drop(index);
    verdict.tell(history);
    verdict
}
