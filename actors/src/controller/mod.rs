//! The controller's actor, its messages and its handle.

mod actor;

pub use actor::{Ask, ControllerActor, ControllerArgs, ControllerHandle, ControllerMsg, ControllerState};
