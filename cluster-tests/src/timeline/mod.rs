//! A run as one page that a person can read: acknowledgements, gaps, faults, elections and ISR sizes over one axis of time.
//!
//! ```text
//!   event   faults, as the run did them
//!   told    elections and ISR changes, as the nodes' logs tell them
//!   scene   both with a history: tracks, spans, what each fault caused
//!   draw    the picture
//!   page    the page around it
//! ```
//! Nothing here runs anything; the same input always makes the same page.

mod draw;
mod event;
mod page;
mod scene;
mod told;

#[cfg(test)]
mod tests;

pub use event::{Event, Events, KILL, Phase, wall_ms};
pub use page::page;
pub use scene::Input;
pub use told::{Change, Told};
