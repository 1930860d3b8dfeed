//! A node that `dev` started ends with it, also when `dev` is killed: the kernel sends it SIGTERM then.
//!
//! The kernel tells of the end of the thread that started the process. That is the main thread of `dev`, which lives as
//! long as `dev` does.

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Names the process that a node belongs to. It is no setting for operators.
pub(super) const PARENT: &str = "CALLBOARD_DEV_PARENT";

/// Ties this process to the one that it belongs to, if it belongs to one. An error if that one is gone already.
pub fn end_with_parent() -> Result<(), String> {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|id| id.parse::<i32>().ok()) else {
        return Ok(());
    };
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(|error| format!("prctl: {error}"))?;
    // It may have ended before the kernel was asked.
    match getppid() {
        Some(now) if now.as_raw_nonzero().get() == parent => Ok(()),
        _ => Err("the cluster that this node belongs to has ended".to_owned()),
    }
}
