//! Tools that the suites share: the search of the bootstrap, the crash backend, the process harness, the kills, the checkers, timelines, odd batches.

pub mod bootstrap;
pub mod chaos;
pub mod crash;
pub mod history;
pub mod odd;
pub mod process;
pub mod sim;
pub mod timeline;
