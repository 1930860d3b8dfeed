//! Shortens a failing run: faults are left out, one by one, while the same rule still breaks.
//!
//! The rest is short enough to read. A run without one of its faults is another run, so shortening may lose the
//! failure by chance; then the fault stays.

use crate::sim::run::{Case, Outcome};

/// The shortest run found that breaks the same rule, and how it ended.
#[must_use]
pub fn shrink(case: &Case) -> Option<(Case, Outcome)> {
    let quiet = Case { trace: false, ..case.clone() };
    let case = &quiet;
    let mut outcome = case.run();
    let rule = outcome.violation.as_ref()?.rule;
    let mut case = case.clone();
    // Faults behind the failure do nothing.
    let at = outcome.violation.as_ref().map_or(u64::MAX, |violation| violation.at);
    case.plan.retain(|planned| planned.at <= at);
    loop {
        let before = case.plan.len();
        let mut number = case.plan.len();
        while number > 0 {
            number -= 1;
            let mut shorter = case.clone();
            shorter.plan.remove(number);
            let ended = shorter.run();
            if ended.violation.as_ref().is_some_and(|violation| violation.rule == rule) {
                (case, outcome) = (shorter, ended);
            }
        }
        if case.plan.len() == before {
            break;
        }
    }
    let ended = case.run();
    Some((case, if ended.violation.is_some() { ended } else { outcome }))
}
