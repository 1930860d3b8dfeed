//! The histories catch each planted bug.

use super::history::{histories, run};
use crate::mutant::{Mutant, plant};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn caught(mutant: Mutant) {
    let config =
        ProptestConfig { cases: 3_000, max_shrink_iters: 0, failure_persistence: None, ..Default::default() };
    let mut runner = TestRunner::new(config);
    plant(Some(mutant));
    let result = runner.run(&histories(), |history| {
        run(&history);
        Ok(())
    });
    plant(None);
    assert!(result.is_err(), "{mutant:?} was not caught");
}

#[test]
fn a_commit_that_shows_too_early_is_caught() {
    caught(Mutant::CommitShownBeforeStored);
}

#[test]
fn a_member_that_never_expires_is_caught() {
    caught(Mutant::ExpiredMemberStays);
}

#[test]
fn a_fenced_member_that_goes_on_is_caught() {
    caught(Mutant::FencedMemberAccepted);
}

#[test]
fn an_assignment_that_is_told_too_early_is_caught() {
    caught(Mutant::AssignmentBeforeStored);
}
