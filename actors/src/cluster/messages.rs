//! Messages to the judge of sessions. They stand apart, because the controller's actor sends some of them and receives
//! the judgements.

use callboard_core::metadata::{Image, Leadership};
use callboard_core::sessions::Heartbeat;
use std::sync::Arc;

/// A message to the judge of sessions.
#[derive(Debug)]
pub enum SessionsMsg {
    /// The metadata log has a new leader, in the order of the log.
    Lead(Leadership),
    /// The newest committed image, in the order of the log.
    Image(Arc<Image>),
    Heartbeat(Heartbeat),
    /// A deadline may have passed.
    Tick,
}
