//! The controller on this node: its actor, its messages, and the handle that asks it.
//!
//! The actor moves events and answers. Every decision stands in `callboard_core::metadata::controller`.

mod actor;
mod handle;
mod messages;

#[cfg(test)]
mod tests;

pub use actor::{ControllerActor, ControllerArgs, ControllerState};
pub use callboard_core::metadata::controller::Ask;
pub use handle::ControllerHandle;
pub use messages::ControllerMsg;
